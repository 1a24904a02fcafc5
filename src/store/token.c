/* SPDX-License-Identifier: MIT */
#include "store/token.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

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
    bool has_nul = strlen(from) != text->len;
    size_t len;

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
    memmove(text->data, from, len);
    mem_wipe(text->data + len, text->len - len);
    text->len = len;
    text->data[len] = '\0';
    if (strstr(text->data, "***") != NULL)
        return error_set(error, RESULT_USAGE, "%s is masked (***): give the whole token", what);
    if (!token_is_valid(text->data) || has_nul)
        return error_set(error, RESULT_USAGE,
                         "%s is no token: one is 1 to %d visible ASCII characters without a blank",
                         what, TOKEN_LENGTH_MAX);
    return RESULT_OK;
}

/* json_delete() it; NULL if it is not a JWT. *text: as it was parsed, in wiped memory. */
static struct cJSON *read_payload(const char *token, char **text)
{
    const char *dot = strchr(token, '.'), *from = dot == NULL ? "" : dot + 1;
    size_t digits = strspn(from, TEXT_ALPHANUMERIC "-_"), len; /* base64url (RFC 7515, 2) */
    struct cJSON *json = NULL;

    *text = NULL;
    if (from[digits + strspn(from + digits, "=")] != '.')
        return NULL;
    *text = mem_new(digits + 1); /* more than the decoded text needs */
    len = text_decode_base64(from, digits, *text);
    json = json_parse_object(*text, len);
    if (json == NULL)
        mem_replace(text, NULL);
    return json;
}

char *token_payload(const char *token)
{
    char *text;
    struct cJSON *json = read_payload(token, &text);

    json_delete(&json);
    return text;
}

struct token_claims token_claims(const char *token)
{
    OWNED char *text = NULL;
    AT_END(json_delete) struct cJSON *json = read_payload(token, &text);
    struct token_claims claims = {0};

    claims.has_exp = json_integer(json, "exp", &claims.exp) && claims.exp >= 0;
    claims.has_iat = json_integer(json, "iat", &claims.iat) && claims.iat >= 0;
    claims.has_nbf = json_integer(json, "nbf", &claims.nbf) && claims.nbf >= 0;
    return claims;
}

/* NULL if it has none. A number stands for its digits: libraries write ids as either. */
static char *subject(const char *token)
{
    OWNED char *text = NULL;
    AT_END(json_delete) struct cJSON *json = read_payload(token, &text);
    int64_t number;

    return json_integer(json, "sub", &number) ? mem_format("%lld", (long long)number)
                                              : mem_copy(json_string(json, "sub"));
}

bool token_may_be_of_same(const char *one, const char *other)
{
    OWNED char *sub = subject(one), *other_sub = subject(other);

    return sub == NULL || other_sub == NULL || strcmp(sub, other_sub) == 0;
}

bool token_span(const struct token_claims *claims, int64_t *life_s)
{
    if (!claims->has_exp || !(claims->has_nbf || claims->has_iat))
        return false;
    *life_s = claims->exp - (claims->has_nbf ? claims->nbf : claims->iat);
    return true;
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
