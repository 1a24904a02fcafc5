/* SPDX-License-Identifier: MIT */
#include "store/token.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"

/* `show` renews what lasts less: the token must outlive the call that it is printed for. */
#define MIN_TTL_S 60
/* How far a clock may be put back (NTP slewing, a virtual machine resumed) before what is left is
 * taken as unknown. */
#define CLOCK_SLACK_S 60

bool token_is_valid(const char *token)
{
    size_t len = 0;

    for (; token[len] != '\0'; len++) {
        if (token[len] <= ' ' || token[len] > '~' || len >= TOKEN_LENGTH_MAX)
            return false;
    }
    return len > 0;
}

enum result token_clean(struct buffer *text, const char *what, struct error *error)
{
    static const char blanks[] = " \t\r\n", bearer[] = "Bearer";
    const char *from = buffer_text(text);
    bool has_nul;
    size_t len;

    has_nul = strlen(from) != text->len;
    from += strspn(from, blanks);
    if (strncasecmp(from, bearer, strlen(bearer)) == 0 &&
        (from[strlen(bearer)] == '\0' || strchr(blanks, from[strlen(bearer)]) != NULL))
        from += strlen(bearer);
    from += strspn(from, blanks);
    len = strlen(from);
    while (len > 0 && strchr(blanks, from[len - 1]) != NULL)
        len--;
    if (len == 0)
        return error_set(error, RESULT_USAGE, "%s is empty", what);
    for (size_t i = 0; i < len; i++)
        text->data[i] = from[i];
    mem_wipe(text->data + len, text->len - len);
    text->len = len;
    if (strstr(text->data, "***") != NULL)
        return error_set(error, RESULT_USAGE, "%s is masked (***): give the whole token", what);
    if (!token_is_valid(text->data) || has_nul)
        return error_set(error, RESULT_USAGE,
                         "%s is no token: one is 1 to %d visible ASCII "
                         "characters without a blank",
                         what, TOKEN_LENGTH_MAX);
    return RESULT_OK;
}

char *token_payload(const char *token)
{
    const char *from = strchr(token, '.');
    const char *to = from == NULL ? NULL : strchr(from + 1, '.');
    struct cJSON *json;
    char *payload;
    size_t len;

    if (to == NULL || strcspn(from, "+/") < (size_t)(to - from)) /* base64url (RFC 7515, 2) */
        return NULL;
    from++;
    payload = mem_new((size_t)(to - from) + 1); /* more than the decoded text needs */
    len = text_decode_base64(from, (size_t)(to - from), payload);
    /* All of it, up to the padding: four digits are three bytes. */
    json = len == strcspn(from, "=.") * 3 / 4 ? json_parse_object(payload, len) : NULL;
    if (json == NULL) {
        mem_free(payload);
        return NULL;
    }
    json_delete(json);
    return payload;
}

/* json_delete() it; NULL if it is not a JWT. */
static struct cJSON *read_payload(const char *token)
{
    char *payload = token_payload(token);
    struct cJSON *json = payload == NULL ? NULL : json_parse_object(payload, strlen(payload));

    mem_free(payload);
    return json;
}

struct token_claims token_claims(const char *token)
{
    struct token_claims claims = {0};
    struct cJSON *json = read_payload(token);

    if (json != NULL) {
        claims.has_exp = json_integer(json, "exp", &claims.exp) && claims.exp >= 0;
        claims.has_iat = json_integer(json, "iat", &claims.iat) && claims.iat >= 0;
        claims.has_nbf = json_integer(json, "nbf", &claims.nbf) && claims.nbf >= 0;
    }
    json_delete(json);
    return claims;
}

/* NULL if it has none. A number stands for its digits: libraries write ids as the one and as the
 * other. */
static char *subject(const char *token)
{
    struct cJSON *json = read_payload(token);
    const char *text = json == NULL ? NULL : json_string(json, "sub");
    int64_t number;
    char *sub = json != NULL && json_integer(json, "sub", &number)
                    ? mem_format("%lld", (long long)number)
                    : mem_copy(text);

    json_delete(json);
    return sub;
}

bool token_may_be_of_same(const char *one, const char *other)
{
    char *sub = subject(one), *other_sub = subject(other);
    bool same = sub == NULL || other_sub == NULL || strcmp(sub, other_sub) == 0;

    mem_free(sub);
    mem_free(other_sub);
    return same;
}

enum result token_answer_life(int64_t expires_in, const struct token_claims *claims,
                              bool iat_is_old, struct token_life *life, struct error *error)
{
    life->from_login = false;
    if (expires_in != 0) {
        life->life_s = expires_in;
    } else if (claims->has_exp && claims->has_nbf) {
        life->life_s = claims->exp - claims->nbf;
    } else if (claims->has_exp && claims->has_iat) {
        life->life_s = claims->exp - claims->iat;
        life->from_login = iat_is_old;
    } else {
        life->life_s = TOKEN_LIFE_DEFAULT_S;
    }
    if (life->life_s <= 0 || life->life_s > TOKEN_LIFE_MAX_S)
        return error_set(error, RESULT_PROTOCOL,
                         "the service sent a token whose life makes no sense (%lld s)",
                         (long long)life->life_s);
    return RESULT_OK;
}

bool token_is_permanent(int64_t expires_at, int64_t obtained_at)
{
    return expires_at == TOKEN_NO_EXPIRY || expires_at - obtained_at > TOKEN_PERMANENT_S;
}

int64_t token_ttl_s(int64_t expires_at, int64_t obtained_at, int64_t now)
{
    if (expires_at == TOKEN_NO_EXPIRY)
        return TOKEN_NO_EXPIRY;
    if (now < obtained_at - CLOCK_SLACK_S || expires_at <= now)
        return 0;
    return expires_at - now;
}

int64_t token_default_min_ttl_s(int64_t expires_at, int64_t obtained_at)
{
    int64_t tenth;

    if (expires_at == TOKEN_NO_EXPIRY || expires_at <= obtained_at)
        return MIN_TTL_S;
    tenth = (expires_at - obtained_at) / 10;
    return tenth < MIN_TTL_S ? tenth : MIN_TTL_S;
}

uint32_t token_checksum(const char *text)
{
    /* FNV-1a's 32-bit offset basis and prime. */
    uint32_t hash = 2166136261U;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

void token_fingerprint(const char *token, char fingerprint[TOKEN_FINGERPRINT_SIZE])
{
    snprintf(fingerprint, TOKEN_FINGERPRINT_SIZE, "%08x", (unsigned)token_checksum(token));
}
