/* SPDX-License-Identifier: MIT */
#include "store/token.h"

#include <stdlib.h>

#include "jwt.h"
#include "unit.h"

#define UNKNOWN INT64_MIN

/* ---- what a token may look like ---- */

TEST(a_token_is_visible_ascii)
{
    static const struct {
        const char *token;
        bool valid;
    } table[] = {
        {"a", true},
        {"!~", true}, /* the first and the last visible character */
        {"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", true},
        {"\"quoted\\'", true},
        {"", false},
        {" ", false},
        {"a b", false},
        {" a", false},
        {"a ", false},
        {"a\tb", false},
        {"a\n", false},
        {"\r\na", false},
        {"a\x7f", false},
        {"a\x01", false},
        {"a\x80", false},
        {"tok\xc3\xa9n", false},
        {"a\xff", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!CHECK(token_is_valid(table[i].token) == table[i].valid))
            printf("# row %zu\n", i);
    }
}

TEST(a_token_is_16384_characters_at_most)
{
    char *token = mem_new(TOKEN_LENGTH_MAX + 2);

    memset(token, 'x', TOKEN_LENGTH_MAX);
    CHECK(token_is_valid(token));
    token[TOKEN_LENGTH_MAX] = 'x';
    CHECK(!token_is_valid(token));
    mem_free(token);
}

/* ---- cleaning ---- */

/* What token_clean makes of `len` bytes: its result, and in *cleaned (to free) what is left. */
static enum result clean_bytes(const char *bytes, size_t len, char **cleaned, struct error *error)
{
    struct buffer text = BUFFER(2 * TOKEN_LENGTH_MAX);
    enum result result;

    memset(error, 0, sizeof *error);
    CHECK(buffer_append(&text, bytes, len));
    result = token_clean(&text, "the token on stdin", error);
    CHECK_INT(strlen(buffer_text(&text)), result == RESULT_OK ? text.len : strlen(text.data));
    *cleaned = strdup(buffer_text(&text));
    buffer_clear(&text);
    return result;
}

static void check_cleaned(const char *given, const char *expected)
{
    struct error error;
    char *cleaned;

    CHECK_INT(clean_bytes(given, strlen(given), &cleaned, &error), RESULT_OK);
    CHECK_STR(cleaned, expected);
    free(cleaned);
}

static void check_refused(const char *given, size_t len, const char *because)
{
    struct error error;
    char *cleaned;

    if (!CHECK_INT(clean_bytes(given, len, &cleaned, &error), RESULT_USAGE))
        printf("# for '%s'\n", given);
    if (!CHECK(strstr(error.text, because) != NULL))
        printf("# '%s'\n", error.text);
    CHECK(strstr(error.text, "the token on stdin") != NULL);
    free(cleaned);
}

TEST(white_space_and_bearer_are_taken_off)
{
    check_cleaned("abc", "abc");
    check_cleaned("abc\n", "abc");
    check_cleaned("\r\n \t abc \t\r\n", "abc");
    check_cleaned("Bearer abc", "abc");
    check_cleaned("bearer abc\n", "abc");
    check_cleaned("BEARER  \t abc", "abc");
    check_cleaned("  Bearer abc  ", "abc");
}

TEST(only_a_whole_word_bearer_is_taken_off)
{
    check_cleaned("Bearerabc", "Bearerabc");
    check_cleaned("Bearer.abc", "Bearer.abc");
    check_refused("bearer", 6, "empty");
}

TEST(bearer_is_taken_off_once)
{
    check_refused("Bearer Bearer abc", 17, "no token");
}

TEST(nothing_is_no_token)
{
    check_refused("", 0, "empty");
    check_refused("\n", 1, "empty");
    check_refused(" \t\r\n", 4, "empty");
    check_refused("Bearer ", 7, "empty");
    check_refused("Bearer \n", 8, "empty");
}

TEST(an_untouched_buffer_is_empty_too)
{
    struct buffer text = BUFFER(100);
    struct error error;

    CHECK_INT(token_clean(&text, "the token on stdin", &error), RESULT_USAGE);
    buffer_clear(&text);
}

TEST(a_masked_token_is_refused)
{
    check_refused("***", 3, "masked");
    check_refused("eyJhb***", 8, "masked");
    check_refused("Bearer ********\n", 16, "masked");
    check_refused("abc***def", 9, "masked");
    check_cleaned("a**b", "a**b");
}

TEST(an_unprintable_token_is_refused)
{
    check_refused("abc def", 7, "no token");
    check_refused("abc\tdef", 7, "no token");
    check_refused("abc\ndef", 7, "no token");
    check_refused("abc\x1b[31m", 8, "no token");
    check_refused("abc\x7f", 4, "no token");
    check_refused("tok\xc3\xa9n", 6, "no token");
    check_refused("\xe2\x80\x8b"
                  "abc",
                  6, "no token"); /* a zero-width space, from a web page */
}

/* Cut at the NUL it would be another token than the one that was given. */
TEST(a_token_with_a_nul_in_it_is_refused)
{
    check_refused("abc\0def", 7, "no token");
    check_refused("abc\0", 4, "no token");
    check_refused("\0abc", 4, "");
    check_refused("Bearer abc\0\n", 12, "no token");
}

TEST(a_token_that_is_too_long_is_refused)
{
    char *token = mem_new(TOKEN_LENGTH_MAX + 2);
    struct error error;
    char *cleaned;

    memset(token, 'x', TOKEN_LENGTH_MAX + 1);
    CHECK_INT(clean_bytes(token, TOKEN_LENGTH_MAX + 1, &cleaned, &error), RESULT_USAGE);
    free(cleaned);
    token[TOKEN_LENGTH_MAX] = '\n';
    CHECK_INT(clean_bytes(token, TOKEN_LENGTH_MAX + 1, &cleaned, &error), RESULT_OK);
    CHECK_INT(strlen(cleaned), TOKEN_LENGTH_MAX);
    free(cleaned);
    mem_free(token);
}

TEST(the_text_of_a_refusal_never_holds_the_token)
{
    static const char given[] = "Bearer eyJnotatoken with-a-blank";
    struct error error;
    char *cleaned;

    CHECK_INT(clean_bytes(given, strlen(given), &cleaned, &error), RESULT_USAGE);
    CHECK(strstr(error.text, "eyJnotatoken") == NULL);
    CHECK(strstr(error.text, "with-a-blank") == NULL);
    free(cleaned);
}

TEST(what_was_around_the_token_is_wiped)
{
    struct buffer text = BUFFER(100);
    struct error error;

    buffer_put(&text, "   Bearer abc   ");
    CHECK_INT(token_clean(&text, "it", &error), RESULT_OK);
    CHECK_INT(text.len, 3);
    for (size_t i = 3; i < 17; i++)
        CHECK_INT(text.data[i], 0);
    buffer_clear(&text);
}

/* ---- payload ---- */

static void check_payload(const char *token, const char *expected)
{
    char *payload = token_payload(token);

    if (!CHECK_STR(payload, expected))
        printf("# for '%s'\n", token);
    mem_free(payload);
}

TEST(the_payload_is_the_middle_part)
{
    check_payload("a.e30.b", "{}");
    check_payload("a.e30.", "{}");
    check_payload(".e30.", "{}");
    check_payload("a.eyJhIjoxfQ.b", "{\"a\":1}");
    check_payload("a.e30.b.c", "{}");
}

TEST(a_token_that_is_no_jwt_has_no_payload)
{
    check_payload("", NULL);
    check_payload("abc", NULL);
    check_payload(".", NULL);
    check_payload("..", NULL);
    check_payload("a.e30", NULL);
    check_payload("a..b", NULL);
    check_payload("..e30", NULL);
    check_payload("a.WzFd.b", NULL);               /* [1] */
    check_payload("a.bnVsbA.b", NULL);             /* null */
    check_payload("a.InRleHQi.b", NULL);           /* "text" */
    check_payload("a.eyJhIjo.b", NULL);            /* {"a": */
    check_payload("a.e30gZXh0cmE.b", NULL);        /* {} extra */
    check_payload("a.e30A.b", NULL);               /* {} and a NUL */
    check_payload("a.eyJhXHUwMDAwIjoxfQ.b", NULL); /* {"a\u0000":1} */
}

TEST(base64url_has_its_own_digits)
{
    char *token = jwt_of("{\"a\":\"\xc3\xbf\xc3\xbe\xc3\xbf>>>???\"}");

    CHECK(strpbrk(token, "-_") != NULL);
    check_payload(token, "{\"a\":\"\xc3\xbf\xc3\xbe\xc3\xbf>>>???\"}");
    mem_free(token);
    check_payload("a.e3 0.b", NULL);
    check_payload("a.e30\xc3.b", NULL);
    check_payload("a.e30%.b", NULL);
}

TEST(padding_is_taken_as_the_end)
{
    check_payload("a.e30=.b", "{}");
    check_payload("a.eyJhIjoxfQ==.b", "{\"a\":1}");
    check_payload("a.=.b", NULL);
    check_payload("a.====.b", NULL);
    check_payload("a.e3=0.b", NULL);
}

TEST(every_length_of_payload_is_decoded)
{
    for (int len = 1; len < 40; len++) {
        char *payload = mem_format("{\"a\":\"%0*d\"}", len, 7), *token = jwt_of(payload);

        check_payload(token, payload);
        mem_free(token);
        mem_free(payload);
    }
}

TEST(the_longest_token_is_decoded)
{
    char *payload = mem_format("{\"a\":\"%0*d\"}", 12242, 7), *token = jwt_of(payload);

    CHECK_INT(strlen(token), TOKEN_LENGTH_MAX);
    check_payload(token, payload);
    mem_free(payload);
    mem_free(token);
}

/* ---- claims ---- */

static struct token_claims claims_of(const char *payload)
{
    char *token = jwt_of(payload);
    struct token_claims claims = token_claims(token);

    mem_free(token);
    return claims;
}

TEST(claims_are_read)
{
    struct token_claims claims = claims_of("{\"exp\":1800003600,\"iat\":1800000000,"
                                           "\"nbf\":1799999999,\"sub\":\"x\"}");

    CHECK(claims.has_exp && claims.has_iat && claims.has_nbf);
    CHECK_INT(claims.exp, 1800003600);
    CHECK_INT(claims.iat, 1800000000);
    CHECK_INT(claims.nbf, 1799999999);
}

TEST(claims_are_64_bit)
{
    struct token_claims claims = claims_of("{\"exp\":4102444800,\"iat\":9007199254740992}");

    CHECK_INT(claims.exp, 4102444800);
    CHECK_INT(claims.iat, 9007199254740992);
}

TEST(claims_that_are_no_times_are_absent)
{
    static const char *const table[] = {
        "{}",
        "{\"exp\":null,\"iat\":null,\"nbf\":null}",
        "{\"exp\":\"1800003600\",\"iat\":\"1\",\"nbf\":\"1\"}",
        "{\"exp\":-1,\"iat\":-5,\"nbf\":-0.5}",
        "{\"exp\":1e300,\"iat\":-1e300,\"nbf\":1e999}",
        "{\"exp\":9007199254740994,\"iat\":true,\"nbf\":[1]}",
        "{\"EXP\":1800003600,\"Iat\":1,\"nBf\":1}",
        "{\"x\":{\"exp\":1,\"iat\":1,\"nbf\":1}}",
        "not JSON",
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct token_claims claims = claims_of(table[i]);

        if (!CHECK(!claims.has_exp && !claims.has_iat && !claims.has_nbf))
            printf("# for %s\n", table[i]);
    }
}

TEST(claims_of_a_token_that_is_no_jwt_are_absent)
{
    struct token_claims claims = token_claims("abc");

    CHECK(!claims.has_exp && !claims.has_iat && !claims.has_nbf);
}

TEST(a_fraction_of_a_second_is_cut)
{
    struct token_claims claims = claims_of("{\"exp\":1800003600.9,\"iat\":1.8e9}");

    CHECK_INT(claims.exp, 1800003600);
    CHECK_INT(claims.iat, 1800000000);
}

TEST(the_span_of_a_token_is_from_nbf_or_iat_to_exp)
{
    static const struct {
        const char *payload;
        int64_t life_s; /* UNKNOWN: they do not say */
    } table[] = {
        {"{\"exp\":1800003600,\"nbf\":1800000000}", 3600},
        {"{\"exp\":1800003600,\"iat\":1799995000,\"nbf\":1800000000}", 3600},
        {"{\"exp\":1800003600,\"iat\":1799995000}", 8600},
        {"{\"exp\":9007199254740992,\"iat\":0}", 9007199254740992},
        {"{\"exp\":0,\"iat\":9007199254740992}", -9007199254740992},
        {"{\"exp\":1800000000,\"iat\":1800000000}", 0},
        {"{\"exp\":1800003600}", UNKNOWN},
        {"{\"exp\":1800003600,\"iat\":-1,\"nbf\":\"1\"}", UNKNOWN},
        {"{\"iat\":1800000000,\"nbf\":1800000000}", UNKNOWN},
        {"{}", UNKNOWN},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct token_claims claims = claims_of(table[i].payload);
        int64_t life_s = UNKNOWN;

        CHECK_INT(token_span(&claims, &life_s), table[i].life_s != UNKNOWN);
        if (!CHECK_INT(life_s, table[i].life_s))
            printf("# for %s\n", table[i].payload);
    }
}

/* ---- fingerprint ---- */

/* From the test suite of FNV's authors. */
TEST(the_fingerprint_is_fnv_1a)
{
    static const struct {
        const char *token, *fingerprint;
    } table[] = {
        {"", "811c9dc5"},    {"a", "e40c292c"},    {"b", "e70c2de5"},     {"c", "e60c2c52"},
        {"d", "e10c2473"},   {"e", "e00c22e0"},    {"f", "e30c2799"},     {"fo", "6222e842"},
        {"foo", "a9f37ed7"}, {"foob", "3f5076ef"}, {"fooba", "39aaa18a"}, {"foobar", "bf9cf968"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char fingerprint[TOKEN_FINGERPRINT_SIZE];

        token_fingerprint(table[i].token, fingerprint);
        CHECK_STR(fingerprint, table[i].fingerprint);
    }
}

TEST(a_fingerprint_keeps_its_leading_zeros)
{
    char fingerprint[TOKEN_FINGERPRINT_SIZE], token[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(token, sizeof token, "token-%d", i);
        token_fingerprint(token, fingerprint);
        if (!CHECK_INT(strlen(fingerprint), 8))
            return;
    }
}
