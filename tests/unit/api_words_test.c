/* SPDX-License-Identifier: MIT */
/* What is shown of what the service says in words. */
#include "asking.h"
#include "base/clock.h"
#include "base/text.h"

#define CACHED "opaque-cached-token-0123456789"
#define PASSWORD "correct horse"

/* The error that a refusal with this body leads to; valid until the next call. */
static const char *refusal(const char *body)
{
    ask(API_REFRESH);
    question.token = CACHED;
    question.password = PASSWORD;
    CHECK_INT(read_answer(401, body), RESULT_REFUSED);
    api_answer_clear(&answer);
    return error.text;
}

TEST(the_message_is_shown)
{
    static const struct {
        const char *body, *said;
    } table[] = {
        {"{\"message\":\"Token has expired\"}", "Token has expired"},
        {"{\"error\":\"invalid_grant\"}", "invalid_grant"},
        {"{\"error\":\"invalid_grant\",\"error_description\":\"The token is old\"}",
         "The token is old"},
        {"{\"error\":\"x\",\"error_description\":\"y\",\"message\":\"z\"}", ": z"},
        {"{\"message\":\"na\\u00efve \\ud83d\\udd11\"}", "na\xc3\xafve \xf0\x9f\x94\x91"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *text = refusal(table[i].body);

        if (!CHECK(strstr(text, table[i].said) != NULL))
            printf("# '%s'\n", text);
    }
}

TEST(what_is_no_message_is_not_shown)
{
    static const char *const bodies[] = {
        "{\"message\":null}",
        "{\"message\":{\"a\":\"NO\"}}",
        "{\"message\":[\"NO\"]}",
        "{\"message\":\"\"}",
        "{\"Message\":\"NO\"}",
        "{\"error\":{\"code\":\"NO\"}}",
        "{\"errors\":\"NO\"}",
        "<html>NO</html>",
        "NO",
        "\"NO\"",
        "[\"NO\"]",
        "{\"message\":\"NO\"",
        "{\"message\":\"NO\\u0000\"}",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const char *text = refusal(bodies[i]);

        if (!CHECK(strstr(text, "NO") == NULL))
            printf("# for %s: '%s'\n", bodies[i], text);
    }
}

static void check_scrubbed(const char *body, const char *secret)
{
    const char *text = refusal(body);

    if (!CHECK(strstr(text, secret) == NULL))
        printf("# '%s'\n", text);
    CHECK(strstr(text, "[hidden]") != NULL);
}

TEST(what_gateways_echo_is_taken_out)
{
    check_scrubbed("{\"message\":\"bad header: " CACHED "\"}", CACHED);
    check_scrubbed("{\"message\":\"bad header: Bearer " CACHED "\"}", CACHED);
    check_scrubbed("{\"message\":\"" CACHED CACHED "\"}", "opaque");
    check_scrubbed("{\"message\":\"" CACHED "\\n" CACHED "\"}", "opaque");
    check_scrubbed("{\"message\":\"wrong password: " PASSWORD "!\"}", PASSWORD);
    check_scrubbed("{\"error\":\"wrong password: " PASSWORD "!\"}", PASSWORD);
    check_scrubbed("{\"message\":\"correct\\u0020horse\"}", PASSWORD);
    check_scrubbed("{\"message\":\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.c2ln is bad\"}", "eyJ");
    check_scrubbed("{\"message\":\"eyJhbGciOiJIUzI1NiJ9... is bad\"}", "eyJ");
    check_scrubbed("{\"message\":\"eyJ\"}", "eyJ");
}

TEST(the_new_token_is_taken_out_too)
{
    check_scrubbed("{\"success\":false,\"access_token\":\"opaque-new-token-987\","
                   "\"message\":\"opaque-new-token-987 was made but not stored\"}",
                   "opaque-new-token-987");
}

/* What was sent is JSON, and that is what comes back. */
TEST(a_password_is_taken_out_as_it_was_sent_too)
{
    ask(API_LOGIN);
    question.password = "quo\"te\\slash";
    read_answer(400, "{\"message\":\"cannot read {\\\"password\\\":\\\"quo\\\\\\\"te\\\\\\\\slash"
                     "\\\"}\"}");
    if (!CHECK(strstr(error.text, "te\\\\slash") == NULL))
        printf("# '%s'\n", error.text);
    api_answer_clear(&answer);
}

/* A password of a few letters is found inside of tokens, too, and must not keep the rest of one
 * from being found. */
TEST(a_password_within_the_token_does_not_save_the_token)
{
    const char *text;

    ask(API_REFRESH);
    question.token = "opaque9cached9token";
    question.password = "9";
    read_answer(401, "{\"message\":\"bad header: opaque9cached9token\"}");
    text = error.text;
    if (!CHECK(strstr(text, "opaque") == NULL && strstr(text, "cached") == NULL))
        printf("# '%s'\n", text);
    api_answer_clear(&answer);
    question.token = NULL;
    question.password = "J";
    read_answer(401, "{\"message\":\"bad header: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.c2ln\"}");
    text = error.text;
    if (!CHECK(strstr(text, "hbGciOi") == NULL))
        printf("# '%s'\n", text);
    api_answer_clear(&answer);
}

/* Cut first, half of the secret would be left, which nothing recognizes. */
TEST(secrets_are_taken_out_before_the_text_is_cut)
{
    for (size_t lead = 270; lead <= 300; lead++) {
        char *body = mem_format("{\"message\":\"%0*d" CACHED "\"}", (int)lead, 0);
        const char *text = refusal(body);

        if (!CHECK(strstr(text, "opaq") == NULL))
            printf("# '%s'\n", text);
        mem_free(body);
    }
}

/* Characters of a text as they come out on a terminal. */
static size_t shown_length(const char *text)
{
    char *shown = mem_copy(text);
    size_t count = 0;

    text_clean(shown);
    for (const char *c = shown; *c != '\0'; c++)
        count += ((unsigned char)*c & 0xc0) != 0x80;
    mem_free(shown);
    return count;
}

TEST(a_message_is_cut_to_300_characters)
{
    static const char *const units[] = {
        "x",    "\xc3\xa9", "\xf0\x9f\x94\x91", "\\n", "\\u0085", "\\u007f", "\x80", "\xbf",
        "\xc3", "\xf0",     "\xe2\x82"};
    size_t fixed = shown_length(refusal("")) + 2; /* ": " */

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct buffer body = BUFFER(100000);
        const char *text;

        buffer_put(&body, "{\"message\":\"");
        for (int n = 0; n < 5000; n++)
            buffer_put(&body, units[i]);
        buffer_put(&body, "\"}");
        text = refusal(body.data);
        if (!CHECK(shown_length(text) <= fixed + 300))
            printf("# unit %zu: %zu characters\n", i, shown_length(text) - fixed);
        CHECK(strlen(text) < ERROR_TEXT_SIZE - 1);
        buffer_clear(&body);
    }
    CHECK_INT(shown_length(refusal("{\"message\":\"short\"}")), (long long)fixed + 5);
}

/* --timeout is for the whole command: an answer may not keep it busy for minutes. */
static void check_quick(const char *unit)
{
    struct buffer body = BUFFER(REPLY_BODY_MAX);
    int64_t started_ms;

    buffer_put(&body, "{\"message\":\"");
    while (body.len < 50000)
        buffer_put(&body, unit);
    buffer_put(&body, "\"}");
    started_ms = clock_monotonic_ms();
    refusal(body.data);
    CHECK(clock_monotonic_ms() - started_ms < 1000);
    buffer_clear(&body);
}

TEST(an_answer_full_of_tokens_is_read_quickly)
{
    check_quick("eyJ ");
    check_quick(CACHED);
    check_quick(PASSWORD);
}

TEST(an_answer_full_of_different_tokens_is_read_quickly)
{
    struct buffer body = BUFFER(REPLY_BODY_MAX);
    int64_t started_ms;
    char unit[32];

    buffer_put(&body, "{\"message\":\"");
    for (int i = 0; i < 5000; i++) {
        snprintf(unit, sizeof unit, "eyJ%d ", i);
        buffer_put(&body, unit);
    }
    buffer_put(&body, "\"}");
    started_ms = clock_monotonic_ms();
    CHECK(strstr(refusal(body.data), "eyJ") == NULL);
    CHECK(clock_monotonic_ms() - started_ms < 1000);
    buffer_clear(&body);
}
