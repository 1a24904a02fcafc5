/* SPDX-License-Identifier: MIT */
/* What a person, a program or the service may give for a token. */
#include <strings.h>

#include "fuzz.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/token.h"

static void check_claim(bool has, int64_t value)
{
    MUST(!has || (value >= 0 && value <= INT64_C(9007199254740992)));
}

/* Six bits at a time, most significant first: what the digits of the token must say. */
static unsigned payload_bits(const char *payload, size_t len, size_t digit)
{
    unsigned bits = 0;

    for (size_t bit = digit * 6; bit < digit * 6 + 6; bit++) {
        unsigned byte = bit / 8 < len ? (unsigned char)payload[bit / 8] : 0;

        bits = bits << 1 | (byte >> (7 - bit % 8) & 1);
    }
    return bits;
}

/* The payload, encoded again, is what stands between the dots. */
static void check_payload(const char *token)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *payload = token_payload(token);
    const char *part = strchr(token, '.');
    struct cJSON *json;
    size_t len, whole;

    if (payload == NULL)
        return;
    MUST(part != NULL && strchr(part + 1, '.') != NULL);
    part++;
    len = strlen(payload);
    json = json_parse_object(payload, len);
    MUST(json != NULL);
    json_delete(&json);
    whole = len * 8 / 6; /* digits that lie within the payload entirely */
    for (size_t i = 0; i < whole; i++)
        MUST(part[i] == digits[payload_bits(payload, len, i)]);
    MUST(strcspn(part, ".=") <= (len * 8 + 5) / 6 + 1);
    mem_free(payload);
}

static void check_token(const char *token)
{
    struct token_claims claims = token_claims(token);
    char fingerprint[TOKEN_FINGERPRINT_SIZE];
    int64_t life_s;

    check_claim(claims.has_exp, claims.exp);
    check_claim(claims.has_iat, claims.iat);
    check_claim(claims.has_nbf, claims.nbf);
    if (token_span(&claims, &life_s))
        MUST(claims.has_exp && life_s <= claims.exp);
    token_fingerprint(token, fingerprint);
    MUST(strlen(fingerprint) == 8);
    check_payload(token);
}

static bool holds(const uint8_t *data, size_t size, const char *part, size_t len)
{
    for (size_t i = 0; i + len <= size; i++) {
        if (memcmp(data + i, part, len) == 0)
            return true;
    }
    return false;
}

static void check_cleaned(const uint8_t *data, size_t size, struct buffer *cleaned)
{
    struct error error;
    char *before;

    MUST(strlen(cleaned->data) == cleaned->len);
    MUST(token_is_valid(cleaned->data));
    MUST(strstr(cleaned->data, "***") == NULL);
    MUST(memchr(data, '\0', size) == NULL);
    MUST(holds(data, size, cleaned->data, cleaned->len));
    if (strcasecmp(cleaned->data, "Bearer") == 0)
        return; /* what is left of "Bearer Bearer"; alone, the word stands before nothing */
    before = mem_copy(cleaned->data);
    MUST(token_clean(cleaned, "it", &error) == RESULT_OK);
    MUST(strcmp(cleaned->data, before) == 0);
    mem_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer text = BUFFER(1 << 20);
    struct error error = {0};
    char *token;

    if (size > text.max)
        return 0;
    token = mem_new(size + 1);
    memcpy(token, data, size);
    check_token(token); /* as it is: the cache's and the service's are not cleaned */
    mem_free(token);

    MUST(buffer_append(&text, data, size));
    if (token_clean(&text, "the token", &error) == RESULT_OK) {
        check_cleaned(data, size, &text);
        check_token(text.data);
    } else {
        MUST(error.result == RESULT_USAGE);
        MUST(strlen(error.text) < 200);
        MUST(strncmp(error.text, "the token is ", 13) == 0);
    }
    buffer_clear(&text);
    return 0;
}
