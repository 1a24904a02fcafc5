/* SPDX-License-Identifier: MIT */
#include "store/profile.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "store/url.h"

#define VERSION_SUPPORTED 1
/* `show` renews what lasts less: the token must outlive the call that it is printed for. */
#define MIN_TTL_S 60
/* So far a clock may be put back (NTP, a machine resumed) before what is left is unknown. */
#define CLOCK_SLACK_S 60
#define NAME_LENGTH_MAX 128
/* How long a renewed token may take to need a person: the library behind the service renews for
 * 14 days from the login unless told otherwise. */
#define RENEWABLE_S (14 * 86400)
/* Servetel's page asks for a new password every 90 days; a fortnight is time to get round to it. */
#define PASSWORD_WARN_S (14 * 86400)

/* The file's members, in the order in which they are written. */
static const struct member {
    const char *name;
    size_t offset;
    bool is_time;
    int64_t absent; /* the time that stands for none */
} members[] = {
    {"api_url", offsetof(struct profile, api_url), false, 0},
    {"email", offsetof(struct profile, email), false, 0},
    {"access_token", offsetof(struct profile, token), false, 0},
    {"token_type", offsetof(struct profile, token_type), false, 0},
    {"expires_at", offsetof(struct profile, expires_at), true, TOKEN_NO_EXPIRY},
    {"obtained_at", offsetof(struct profile, obtained_at), true, 0},
    {"logged_in_at", offsetof(struct profile, logged_in_at), true, 0},
    {"auth_scheme", offsetof(struct profile, auth_scheme), false, 0},
    {"password_command", offsetof(struct profile, password_command), false, 0},
    {"password_file", offsetof(struct profile, password_file), false, 0},
    {"token_command", offsetof(struct profile, token_command), false, 0},
    {"unattended_login", offsetof(struct profile, unattended_login), false, 0},
    {"unattended_login_at", offsetof(struct profile, unattended_login_at), true, 0},
    {"refused_at", offsetof(struct profile, refused_at), true, 0},
    {"blacklisted_at", offsetof(struct profile, blacklisted_at), true, 0},
    {"retry_at", offsetof(struct profile, retry_at), true, 0},
    {"retry_noted_at", offsetof(struct profile, retry_noted_at), true, 0},
    {"password_expires_at", offsetof(struct profile, password_expires_at), true, 0},
    {"publication", offsetof(struct profile, publication), false, 0},
};
#define MEMBER_COUNT (sizeof members / sizeof members[0])

bool profile_name_is_valid(const char *name)
{
    size_t len = strspn(name, TEXT_ALPHANUMERIC "._@+-");

    return len <= NAME_LENGTH_MAX && name[len] == '\0' && strchr("._@+-", name[0]) == NULL;
}

static void *member_slot(struct profile *profile, const struct member *member)
{
    return (char *)profile + member->offset;
}

void profile_clear(struct profile *profile)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (!members[i].is_time)
            mem_free(*(char **)member_slot(profile, &members[i]));
    }
    json_delete(&profile->json);
    *profile = PROFILE_NONE;
}

static bool read_member(struct profile *profile, const struct member *member,
                        const struct cJSON *item)
{
    char **text = member_slot(profile, member);
    int64_t *time = member_slot(profile, member);

    if (member->is_time)
        return json_as_integer(item, time) && *time >= 0;
    mem_replace(text, json_as_string(item));
    return *text != NULL;
}

static enum result read_members(struct profile *profile, struct error *error)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const struct member *member = &members[i];
        const struct cJSON *item = json_member(profile->json, member->name);

        if (item != NULL && !read_member(profile, member, item))
            return error_set(error, RESULT_FAILED, "its member '%s' is not a %s", member->name,
                             member->is_time ? "time" : "string");
    }
    if (profile->token != NULL && !token_is_valid(profile->token))
        return error_set(error, RESULT_FAILED, "its token is not one");
    return RESULT_OK;
}

enum result profile_parse(struct profile *profile, const char *text, size_t len,
                          struct error *error)
{
    int64_t version;
    enum result result;

    *profile = PROFILE_NONE;
    profile->json = json_parse_object(text, len);
    if (profile->json == NULL)
        return error_set(error, RESULT_FAILED, "it is damaged or no cache file");
    if (!json_integer(profile->json, "version", &version) || version < 1)
        result = error_set(error, RESULT_FAILED, "it is no cache file: it has no version");
    else if (version > VERSION_SUPPORTED)
        result = error_set(error, RESULT_LOCAL,
                           "it is of version %lld, this program knows version %d: "
                           "upgrade servetel-auth",
                           (long long)version, VERSION_SUPPORTED);
    else
        result = read_members(profile, error);
    if (result != RESULT_OK)
        profile_clear(profile);
    return result;
}

bool profile_wrote(const char *text)
{
    static const char blanks[] = " \t\r\n";

    text += strspn(text, blanks);
    if (*text == '\0')
        return true;
    if (*text++ != '{')
        return false;
    text += strspn(text, blanks);
    if (strncmp(text, "\"version\"", strlen(text) < 9 ? strlen(text) : 9) == 0)
        return true; /* torn as early as that */
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        char quoted[32];

        snprintf(quoted, sizeof quoted, "\"%s\"", members[i].name);
        if (strstr(text, quoted) != NULL)
            return true;
    }
    return false;
}

char *profile_print(struct profile *profile)
{
    struct cJSON *json = profile->json != NULL ? profile->json : json_new_object();
    char *text;

    json_set_integer(json, "version", VERSION_SUPPORTED);
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const struct member *member = &members[i];
        char **string = member_slot(profile, member);
        int64_t *time = member_slot(profile, member);

        if (member->is_time ? *time == member->absent : *string == NULL)
            json_remove(json, member->name);
        else if (member->is_time)
            json_set_integer(json, member->name, *time);
        else
            json_set_string(json, member->name, *string);
    }
    text = json_print(json, true);
    if (json != profile->json)
        json_delete(&json);
    return text;
}

const char *profile_api_url(const struct profile *profile, const char *named)
{
    return named != NULL ? named : profile->api_url != NULL ? profile->api_url : URL_DEFAULT;
}

bool profile_is_of(const struct profile *profile, const char *email, const char *api_url)
{
    struct error ignored;

    if (email != NULL && profile->email != NULL && strcmp(email, profile->email) != 0)
        return false;
    return api_url == NULL || profile->api_url == NULL ||
           (url_check(profile->api_url, &ignored) == RESULT_OK &&
            url_same_host(profile->api_url, api_url));
}

enum result profile_check_host(const struct profile *profile, const char *name, const char *api_url,
                               const char *from, struct error *error)
{
    if (profile_is_of(profile, NULL, api_url))
        return RESULT_OK;
    return error_set(error, RESULT_USAGE,
                     "the token of '%s' is for %s and is not sent to %s, which %s names: see to "
                     "it, or log in there",
                     name, profile->api_url, api_url, from);
}

int64_t profile_ttl_s(const struct profile *profile, int64_t now)
{
    if (profile->token == NULL || profile->blacklisted_at != 0)
        return 0;
    if (profile->expires_at == TOKEN_NO_EXPIRY)
        return TOKEN_NO_EXPIRY;
    if (now <= profile->obtained_at - CLOCK_SLACK_S || profile->expires_at <= now)
        return 0;
    return profile->expires_at - now;
}

int64_t profile_default_min_ttl_s(const struct profile *profile)
{
    int64_t life_s = profile->expires_at - profile->obtained_at;
    bool is_short = profile->expires_at != TOKEN_NO_EXPIRY && life_s > 0 && life_s / 10 < MIN_TTL_S;

    return is_short ? life_s / 10 : MIN_TTL_S;
}

bool profile_is_permanent(const struct profile *profile)
{
    return profile->expires_at == TOKEN_NO_EXPIRY ||
           profile->expires_at - profile->obtained_at > TOKEN_PERMANENT_S;
}

bool profile_has_source(const struct profile *profile)
{
    if (profile->token_command != NULL)
        return true;
    return profile->email != NULL && !text_is(profile->unattended_login, PROFILE_LOGIN_REFUSED) &&
           (profile->password_command != NULL || profile->password_file != NULL);
}

/* Until when the service renews the token, as far as is known; 0 where it never does. Nor where an
 * unattended login was refused: it was only tried because the token had been. */
static int64_t renewable_until(const struct profile *profile)
{
    int64_t since = profile->logged_in_at != 0 ? profile->logged_in_at : profile->obtained_at;
    bool renews = !profile_is_permanent(profile) && profile->token != NULL &&
                  profile->refused_at == 0 &&
                  !text_is(profile->unattended_login, PROFILE_LOGIN_REFUSED);

    return renews ? since + RENEWABLE_S : 0;
}

enum profile_state profile_state(const struct profile *profile, int64_t now)
{
    int64_t ttl_s = profile_ttl_s(profile, now);

    if (ttl_s > profile_default_min_ttl_s(profile))
        return PROFILE_VALID;
    if (ttl_s > 0)
        return PROFILE_EXPIRES_SOON;
    if (!profile_has_source(profile) && renewable_until(profile) <= now)
        return profile->token == NULL ? PROFILE_EMPTY : PROFILE_LOGIN_NEEDED;
    return PROFILE_RENEWABLE;
}

int64_t profile_log_in_by(const struct profile *profile, int64_t now)
{
    int64_t ttl_s = profile_ttl_s(profile, now), until = renewable_until(profile);

    if (profile_has_source(profile) || ttl_s == TOKEN_NO_EXPIRY)
        return 0;
    return now + ttl_s > until ? now + ttl_s : until;
}

int64_t profile_life_s(const struct profile *profile)
{
    struct token_claims claims;

    if (profile->token == NULL || profile->expires_at == TOKEN_NO_EXPIRY)
        return profile->token == NULL ? 0 : TOKEN_NO_EXPIRY;
    claims = token_claims(profile->token);
    if (claims.has_exp && claims.has_nbf) /* iat may be the first login's */
        return claims.exp - claims.nbf;
    return profile->obtained_at == 0 ? 0 : profile->expires_at - profile->obtained_at;
}

const char *profile_password_text(const struct profile *profile, int64_t now,
                                  char text[PROFILE_PASSWORD_TEXT_SIZE])
{
    int64_t left_s = profile->password_expires_at - now;
    int days = (int)((left_s + 86399) / 86400); /* begun ones count, as with the service */

    if (profile->password_expires_at == 0 || left_s > PASSWORD_WARN_S)
        return NULL;
    if (left_s <= 0)
        return "has expired or does so today";
    snprintf(text, PROFILE_PASSWORD_TEXT_SIZE, "expires in %d day%s", days, days == 1 ? "" : "s");
    return text;
}
