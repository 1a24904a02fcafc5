/* SPDX-License-Identifier: MIT */
/* What a cache file may hold: what is accepted must be the same after it was written and read. */
#include "fuzz.h"
#include "store/profile.h"
#include "base/mem.h"
#include "store/token.h"

/* cJSON prints 15 digits of a number; times of the year 31,690,000 and later lose some. */
#define EXACT_MAX 1000000000000000

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_time(int64_t a, int64_t b)
{
    return a == b || (a > EXACT_MAX && b > EXACT_MAX && a < TOKEN_NO_EXPIRY && b < TOKEN_NO_EXPIRY);
}

static void check_same(const struct profile *a, const struct profile *b)
{
    MUST(same_text(a->api_url, b->api_url));
    MUST(same_text(a->email, b->email));
    MUST(same_text(a->token, b->token));
    MUST(same_text(a->token_type, b->token_type));
    MUST(same_time(a->expires_at, b->expires_at));
    MUST(same_time(a->obtained_at, b->obtained_at));
    MUST(same_time(a->logged_in_at, b->logged_in_at));
    MUST(same_text(a->auth_scheme, b->auth_scheme));
    MUST(same_text(a->password_command, b->password_command));
    MUST(same_text(a->password_file, b->password_file));
    MUST(same_text(a->token_command, b->token_command));
    MUST(same_text(a->unattended_login, b->unattended_login));
    MUST(same_time(a->unattended_login_at, b->unattended_login_at));
    MUST(same_time(a->blacklisted_at, b->blacklisted_at));
    MUST(same_time(a->retry_at, b->retry_at));
    MUST(same_time(a->retry_noted_at, b->retry_noted_at));
    MUST(same_time(a->password_expires_at, b->password_expires_at));
}

static void check_sense(const struct profile *profile)
{
    static const int64_t times[] = {0, 1, 1800000000, 4102444800, INT64_C(9007199254740992)};

    MUST(profile->token == NULL || is_token(profile->token));
    MUST(profile->expires_at >= 0 && profile->obtained_at >= 0 && profile->logged_in_at >= 0);
    MUST(profile->retry_at >= 0 && profile->unattended_login_at >= 0);
    MUST(profile->password_expires_at >= 0);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char password[PROFILE_PASSWORD_TEXT_SIZE];
        int64_t ttl_s = profile_ttl_s(profile, times[i]);
        enum profile_state state = profile_state(profile, times[i]);

        MUST(ttl_s >= 0);
        MUST(profile->token != NULL || ttl_s == 0);
        MUST(state != PROFILE_VALID || ttl_s > 0);
        MUST(state != PROFILE_EXPIRES_SOON || ttl_s > 0);
        profile_password_text(profile, times[i], password);
    }
    MUST(profile_default_min_ttl_s(profile) >= 0 && profile_default_min_ttl_s(profile) <= 60);
}

/* Without its token a profile must stay without one, whatever else the file holds. */
static void check_removal(struct profile *profile)
{
    struct profile without;
    struct error error;
    char *text;

    mem_replace(&profile->token, NULL);
    profile->retry_at = 0;
    profile->expires_at = TOKEN_NO_EXPIRY;
    text = profile_print(profile);
    MUST(profile_parse(&without, text, strlen(text), &error) == RESULT_OK);
    MUST(without.token == NULL && without.retry_at == 0);
    MUST(without.expires_at == TOKEN_NO_EXPIRY);
    profile_clear(&without);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *first, *second;
    struct profile profile, again;
    struct error error = {0};
    enum result result;

    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    result = profile_parse(&profile, text, size, &error);
    free(text);
    if (result != RESULT_OK) {
        MUST(result == RESULT_FAILED || result == RESULT_LOCAL);
        MUST(error.text[0] != '\0' && strlen(error.text) < 200);
        MUST(profile.token == NULL && profile.email == NULL && profile.json == NULL);
        MUST(profile.expires_at == TOKEN_NO_EXPIRY);
        profile_clear(&profile);
        return 0;
    }
    check_sense(&profile);
    first = profile_print(&profile);
    MUST(profile_parse(&again, first, strlen(first), &error) == RESULT_OK);
    check_same(&profile, &again);
    second = profile_print(&again);
    MUST(strcmp(first, second) == 0);
    check_removal(&profile);
    profile_clear(&profile);
    profile_clear(&again);
    mem_free(first);
    mem_free(second);
    return 0;
}
