/* SPDX-License-Identifier: MIT */
#include "service/api.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "jwt.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/token.h"
#include "unit.h"

/* By the service's clock and by ours. */
#define NOW 1800000000
#define TEN_YEARS 315576000
#define URL "https://api.example/v1"

/* ---- what goes out ---- */

TEST(a_login_is_a_json_object)
{
    struct request request = {0};

    api_login(&request, URL, "me@example.com", "secret");
    CHECK_STR(request.url, URL "/auth/login");
    CHECK(request.authorization == NULL);
    CHECK_STR(request.json, "{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    CHECK_INT(request.grace_ms, 0);
    request_clear(&request);
    CHECK(request.url == NULL && request.json == NULL);
}

TEST(odd_passwords_arrive_as_they_are)
{
    static const char *const passwords[] = {
        "\"",
        "\\",
        "\\u0041",
        "a\"b\\c/d",
        "{\"password\":\"x\"}",
        "line\nfeed\rtab\t",
        "\x01\x02\x1f\x7f",
        " leading and trailing ",
        "%s%n%d",
        "'; DROP TABLE users; --",
        "p\xc3\xa4ssw\xc3\xb6rd",
        "\xe0\xa4\xaa\xe0\xa4\xbe\xe0\xa4\xb8",
        "\xf0\x9f\x94\x91",
        "&<>=+%20",
        "***",
    };

    for (size_t i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        struct request request = {0};
        struct cJSON *json;

        api_login(&request, URL, passwords[i], passwords[i]);
        json = json_parse_object(request.json, strlen(request.json));
        if (CHECK(json != NULL)) {
            CHECK_STR(json_string(json, "password"), passwords[i]);
            CHECK_STR(json_string(json, "email"), passwords[i]);
        }
        for (const char *c = request.json; *c != '\0'; c++) {
            if (!CHECK((unsigned char)*c >= ' '))
                break;
        }
        json_delete(&json);
        request_clear(&request);
    }
}

TEST(the_longest_password_arrives_whole)
{
    struct request request = {0};
    struct cJSON *json;
    char password[4097];

    memset(password, '"', 4096);
    password[4096] = '\0';
    api_login(&request, URL, "me", password);
    json = json_parse_object(request.json, strlen(request.json));
    if (CHECK(json != NULL))
        CHECK_STR(json_string(json, "password"), password);
    json_delete(&json);
    request_clear(&request);
}

TEST(a_refresh_has_the_token_in_either_form)
{
    struct request request = {0};

    api_refresh(&request, URL, "abc.def.ghi", API_RAW);
    CHECK_STR(request.url, URL "/auth/refresh");
    CHECK_STR(request.authorization, "abc.def.ghi");
    CHECK(request.json == NULL);
    CHECK(request.grace_ms > 0); /* its answer is worth a wait: the old token is spent */
    request_clear(&request);
    api_refresh(&request, URL, "abc.def.ghi", API_BEARER);
    CHECK_STR(request.authorization, "Bearer abc.def.ghi");
    request_clear(&request);
}

TEST(slashes_after_the_url_do_not_double)
{
    static const char *const urls[] = {URL, URL "/", URL "///"};

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct request request = {0};

        api_refresh(&request, urls[i], "abc", API_RAW);
        CHECK_STR(request.url, URL "/auth/refresh");
        request_clear(&request);
        api_login(&request, urls[i], "me", "pw");
        CHECK_STR(request.url, URL "/auth/login");
        request_clear(&request);
    }
}

/* ---- what comes back ---- */

static struct api_question question;
static struct api_answer answer;
static struct error error;

static void ask(enum api_operation operation)
{
    question = (struct api_question){.operation = operation, .host = "api.example"};
}

/* What was asked is answered so; the answer is then to be cleared. */
static enum result read_answer(long status, const char *body)
{
    struct reply reply = {.fate = REQUEST_ANSWERED,
                          .status = status,
                          .body = BUFFER(REPLY_BODY_MAX),
                          .sent_at = NOW,
                          .date = NOW,
                          .retry_after_s = -1};
    enum result result;

    buffer_put(&reply.body, body);
    error = (struct error){0};
    result = api_read(&question, &reply, &answer, &error);
    CHECK_INT(error.result, result); /* also RESULT_OK: then it is left alone */
    CHECK_INT(answer.status, status);
    CHECK((answer.token != NULL) == (result == RESULT_OK));
    CHECK((error.text[0] == '\0') == (result == RESULT_OK));
    buffer_clear(&reply.body);
    return result;
}

TEST(status_comes_before_body)
{
    static const char token[] =
        "{\"success\":true,\"access_token\":\"abc\",\"token_type\":\"bearer\","
        "\"expires_in\":3600}";
    static const struct {
        long status;
        const char *body;
        enum result result;
    } table[] = {
        {200, token, RESULT_OK},
        {201, token, RESULT_OK},
        {204, token, RESULT_OK},
        {299, token, RESULT_OK},
        {200, "{\"access_token\":\"abc\"}", RESULT_OK},
        {200, "\xef\xbb\xbf{\"access_token\":\"abc\"}", RESULT_OK}, /* a byte order mark */

        /* refused in 2xx */
        {200, "{\"success\":false,\"access_token\":\"abc\"}", RESULT_REFUSED},
        {200, "{\"success\":false,\"message\":\"Token has expired\"}", RESULT_REFUSED},
        {200, "{\"success\":null,\"access_token\":\"abc\"}", RESULT_REFUSED},
        {200, "{\"success\":\"true\",\"access_token\":\"abc\"}", RESULT_REFUSED},
        {200, "{\"success\":1,\"access_token\":\"abc\"}", RESULT_REFUSED},
        {200, "{\"success\":[],\"access_token\":\"abc\"}", RESULT_REFUSED},
        {204, "{\"success\":false}", RESULT_REFUSED},

        /* no sense in 2xx */
        {200, "", RESULT_PROTOCOL},
        {204, "", RESULT_PROTOCOL},
        {200, " ", RESULT_PROTOCOL},
        {200, "OK", RESULT_PROTOCOL},
        {200, "<html>", RESULT_PROTOCOL},
        {200, "null", RESULT_PROTOCOL},
        {200, "\"abc\"", RESULT_PROTOCOL},
        {200, "[{\"access_token\":\"abc\"}]", RESULT_PROTOCOL},
        {200, "{\"access_token\":\"abc\"", RESULT_PROTOCOL},
        {200, "{\"access_token\":\"abc\"}x", RESULT_PROTOCOL},
        {200, "{}", RESULT_PROTOCOL},
        {200, "{\"success\":true}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":null}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":123}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":[\"abc\"]}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"a b\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\" abc\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"abc\\n\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"a\\r\\nX-Evil: 1\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"tok\\u00e9n\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"a\\u0000b\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"access_token\":\"a\\uzzzzb\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"Access_Token\":\"abc\"}", RESULT_PROTOCOL},
        {200, "{\"success\":true,\"data\":{\"access_token\":\"abc\"}}", RESULT_PROTOCOL},

        /* refused */
        {400, "", RESULT_REFUSED},
        {401, "", RESULT_REFUSED},
        {403, "", RESULT_REFUSED},
        {422, "", RESULT_REFUSED},
        {401, token, RESULT_REFUSED},
        {401, "<html>", RESULT_REFUSED},
        {401, "{\"success\":false,\"message\":\"Invalid credentials\"}", RESULT_REFUSED},

        /* later, perhaps */
        {408, "", RESULT_TEMPORARY},
        {425, "", RESULT_TEMPORARY},
        {429, "", RESULT_TEMPORARY},
        {500, "{\"message\":\"Server Error\"}", RESULT_TEMPORARY},
        {500, token, RESULT_TEMPORARY},
        {502, "<html>", RESULT_TEMPORARY},
        {503, "", RESULT_TEMPORARY},
        {504, "", RESULT_TEMPORARY},
        {599, "", RESULT_TEMPORARY},

        /* no sense */
        {100, "", RESULT_PROTOCOL},
        {199, token, RESULT_PROTOCOL},
        {300, "", RESULT_PROTOCOL},
        {301, "", RESULT_PROTOCOL},
        {302, token, RESULT_PROTOCOL},
        {304, "", RESULT_PROTOCOL},
        {307, "", RESULT_PROTOCOL},
        {308, "", RESULT_PROTOCOL},
        {402, "", RESULT_PROTOCOL},
        {404, "", RESULT_PROTOCOL},
        {405, "", RESULT_PROTOCOL},
        {409, "", RESULT_PROTOCOL},
        {410, "", RESULT_PROTOCOL},
        {418, "", RESULT_PROTOCOL},
        {451, "", RESULT_PROTOCOL},
        {600, "", RESULT_PROTOCOL},
        {999, token, RESULT_PROTOCOL},
        {0, "", RESULT_PROTOCOL},
    };

    for (int operation = API_LOGIN; operation <= API_REFRESH; operation++) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            ask(operation);
            if (!CHECK_INT(read_answer(table[i].status, table[i].body), table[i].result))
                printf("# for %ld %s\n", table[i].status, table[i].body);
            api_answer_clear(&answer);
        }
    }
}

TEST(an_answer_with_a_raw_nul_is_no_json)
{
    static const char body[] = "{\"access_token\":\"abc\"}\0";
    struct reply reply = {.fate = REQUEST_ANSWERED,
                          .status = 200,
                          .body = BUFFER(REPLY_BODY_MAX),
                          .sent_at = NOW,
                          .date = NOW,
                          .retry_after_s = -1};

    ask(API_LOGIN);
    CHECK(buffer_append(&reply.body, body, sizeof body));
    CHECK_INT(api_read(&question, &reply, &answer, &error), RESULT_PROTOCOL);
    buffer_clear(&reply.body);
    api_answer_clear(&answer);
}

TEST(an_error_names_host_status_and_what_was_refused)
{
    ask(API_LOGIN);
    read_answer(401, "");
    CHECK(strstr(error.text, "api.example") != NULL);
    CHECK(strstr(error.text, "login") != NULL);
    CHECK(strstr(error.text, "401") != NULL);
    api_answer_clear(&answer);
    ask(API_REFRESH);
    read_answer(401, "");
    CHECK(strstr(error.text, "token") != NULL);
    api_answer_clear(&answer);
    read_answer(302, "");
    CHECK(strstr(error.text, "302") != NULL);
    CHECK(strstr(error.text, "redirect") != NULL);
    CHECK(strstr(error.text, "URL") != NULL);
    api_answer_clear(&answer);
    read_answer(404, "");
    CHECK(strstr(error.text, "URL") != NULL);
    api_answer_clear(&answer);
}

TEST(a_token_of_16384_characters_is_taken_and_not_one_more)
{
    char *body = mem_new(20000);

    ask(API_LOGIN);
    sprintf(body, "{\"access_token\":\"%0*d\"}", TOKEN_LENGTH_MAX, 7);
    CHECK_INT(read_answer(200, body), RESULT_OK);
    CHECK_INT(strlen(answer.token), TOKEN_LENGTH_MAX);
    api_answer_clear(&answer);
    sprintf(body, "{\"access_token\":\"%0*d\"}", TOKEN_LENGTH_MAX + 1, 7);
    CHECK_INT(read_answer(200, body), RESULT_PROTOCOL);
    api_answer_clear(&answer);
    mem_free(body);
}

TEST(the_token_type_is_kept_whatever_it_is)
{
    static const struct {
        const char *member, *type;
    } table[] = {
        {"", NULL},
        {",\"token_type\":\"bearer\"", "bearer"},
        {",\"token_type\":\"Bearer\"", "Bearer"},
        {",\"token_type\":\"mac\"", "mac"},
        {",\"token_type\":\"\"", ""},
        {",\"token_type\":null", NULL},
        {",\"token_type\":7", NULL},
    };

    ask(API_LOGIN);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *body = mem_format("{\"access_token\":\"abc\"%s}", table[i].member);

        CHECK_INT(read_answer(200, body), RESULT_OK);
        CHECK_STR(answer.token, "abc");
        CHECK_STR(answer.token_type, table[i].type);
        api_answer_clear(&answer);
        mem_free(body);
    }
    CHECK(answer.token == NULL);
}

/* ---- how long it lasts ---- */

TEST(expires_in_has_many_forms)
{
    static const struct {
        const char *value;
        int64_t life_s; /* 0: refused */
    } table[] = {
        {"3600", 3600},
        {"3600.0", 3600},
        {"3.6e3", 3600},
        {"3600.9", 3600},
        {"1", 1},
        {"315576000", TEN_YEARS},
        {"\"3600\"", 3600},
        {"\"0003600\"", 3600},
        {"\"1\"", 1},
        {"\"315576000\"", TEN_YEARS},
        /* as if absent */
        {"0", 3600},
        {"-0", 3600},
        {"\"0\"", 3600},
        {"null", 3600},
        /* no sense */
        {"-1", 0},
        {"-3600", 0},
        {"315576001", 0},
        {"9007199254740992", 0},
        {"1e300", 0},
        {"1e999", 0},
        {"-1e999", 0},
        {"\"\"", 0},
        {"\" 3600\"", 0},
        {"\"3600 \"", 0},
        {"\"-3600\"", 0},
        {"\"+3600\"", 0},
        {"\"3600s\"", 0},
        {"\"1 hour\"", 0},
        {"\"0x10\"", 0},
        {"\"315576001\"", 0},
        {"\"9999999999\"", 0},
        {"\"99999999999999999999\"", 0},
        {"\"18446744073709555216\"", 0}, /* 3600 modulo 2^64 */
        {"true", 0},
        {"false", 0},
        {"[3600]", 0},
        {"{\"s\":3600}", 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *body = mem_format("{\"access_token\":\"abc\",\"expires_in\":%s}", table[i].value);
        bool ok;

        ask(i % 2 == 0 ? API_LOGIN : API_REFRESH);
        ok = CHECK_INT(read_answer(200, body), table[i].life_s == 0 ? RESULT_PROTOCOL : RESULT_OK);
        if (table[i].life_s != 0) {
            ok = CHECK_INT(answer.obtained_at, NOW) && ok;
            ok = CHECK_INT(answer.expires_at, NOW + table[i].life_s) && ok;
        }
        if (!ok)
            printf("# for %s\n", table[i].value);
        api_answer_clear(&answer);
        mem_free(body);
    }
}

/* The answer that brings a JWT with these claims. */
static enum result read_jwt(const char *claims, const char *more)
{
    char *token = jwt_of(claims);
    char *body = mem_format("{\"access_token\":\"%s\"%s}", token, more);
    enum result result = read_answer(200, body);

    mem_free(token);
    mem_free(body);
    return result;
}

TEST(without_expires_in_the_claims_tell)
{
    ask(API_LOGIN);
    /* The service's clock is an hour ahead: only the difference counts. */
    CHECK_INT(read_jwt("{\"iat\":1800003600,\"nbf\":1800003600,\"exp\":1800005400}", ""),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 1800);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800003600,\"exp\":1800005400}", ",\"expires_in\":0"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 1800);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1790000000,\"nbf\":1800000000,\"exp\":1800000900}",
                       ",\"expires_in\":null"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 900);
    api_answer_clear(&answer);
}

TEST(expires_in_beats_the_claims)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1800001800}", ",\"expires_in\":3600"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

/* With a ttl of null the library gives neither: that is never taken for "for ever". */
TEST(a_token_that_says_nothing_lasts_an_hour)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000}", ",\"expires_in\":null"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{}", ",\"expires_in\":0"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

TEST(claims_that_make_no_sense_are_refused)
{
    ask(API_REFRESH);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1800000000}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":1700000000}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":9007199254740992}", ""), RESULT_PROTOCOL);
    api_answer_clear(&answer);
}

TEST(a_permanent_token_from_a_login_is_taken)
{
    ask(API_LOGIN);
    CHECK_INT(read_jwt("{\"iat\":1800000000,\"exp\":2100000000}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, (int64_t)NOW + 300000000);
    CHECK(answer.expires_at - answer.obtained_at > TOKEN_PERMANENT_S);
    api_answer_clear(&answer);
}

/* The library keeps iat when it renews. Two hours after the login, exp - iat is three hours, of
 * which one is left. */
TEST(a_kept_iat_counts_from_the_login)
{
    char *old = jwt_of("{\"iat\":1799990000,\"exp\":1799993600}");

    ask(API_REFRESH);
    question.token = old;
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1800000800}", ""), RESULT_OK);
    CHECK_INT(answer.obtained_at, NOW);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    mem_free(old);
}

TEST(a_kept_iat_does_not_matter_where_something_better_is_known)
{
    char *old = jwt_of("{\"iat\":1799990000,\"exp\":1799993600}");

    ask(API_REFRESH);
    question.token = old;
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"nbf\":1799997200,\"exp\":1800000800}", ""),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1800000800}", ",\"expires_in\":600"),
              RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 600);
    api_answer_clear(&answer);
    /* A new iat is this token's own. */
    CHECK_INT(read_jwt("{\"iat\":1799997200,\"exp\":1800000800}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    /* A login makes it all anew, whatever was cached. */
    question.operation = API_LOGIN;
    CHECK_INT(read_jwt("{\"iat\":1799990000,\"exp\":1799993600}", ""), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
    mem_free(old);
}

TEST(an_opaque_token_lasts_an_hour)
{
    ask(API_REFRESH);
    question.token = "opaque-old";
    question.logged_in_at = NOW - 7200;
    CHECK_INT(read_answer(200, "{\"access_token\":\"opaque-new\"}"), RESULT_OK);
    CHECK_INT(answer.expires_at, NOW + 3600);
    api_answer_clear(&answer);
}

TEST(the_days_of_the_password_are_read)
{
    static const struct {
        const char *value;
        int days;
    } table[] = {
        {"14", 14}, {"0", 0},       {"90", 90},   {"3650", 3650}, {"3651", -1},
        {"-1", -1}, {"\"14\"", -1}, {"null", -1}, {"1e300", -1},  {"true", -1},
    };

    ask(API_LOGIN);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *body = mem_format("{\"access_token\":\"abc\",\"number_of_days_left\":%s}",
                                table[i].value);

        CHECK_INT(read_answer(200, body), RESULT_OK);
        if (!CHECK_INT(answer.password_days, table[i].days))
            printf("# for %s\n", table[i].value);
        api_answer_clear(&answer);
        mem_free(body);
    }
    CHECK_INT(read_answer(200, "{\"access_token\":\"abc\"}"), RESULT_OK);
    CHECK_INT(answer.password_days, -1);
    api_answer_clear(&answer);
    read_answer(401, "{\"number_of_days_left\":3}");
    CHECK_INT(answer.password_days, -1);
    api_answer_clear(&answer);
}

/* ---- what the service says in words ---- */

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

/* ---- when to come back ---- */

/* What the answer says, with this header (-1: none) and this member (NULL: none). */
static int64_t retry_after(int64_t header_s, const char *member)
{
    struct reply reply = {.fate = REQUEST_ANSWERED,
                          .status = 429,
                          .body = BUFFER(REPLY_BODY_MAX),
                          .sent_at = NOW,
                          .date = NOW,
                          .retry_after_s = header_s};
    int64_t seconds;

    ask(API_LOGIN);
    if (member != NULL) {
        buffer_put(&reply.body, "{\"success\":false,\"retry_after\":");
        buffer_put(&reply.body, member);
        buffer_put(&reply.body, "}");
    }
    CHECK_INT(api_read(&question, &reply, &answer, &error), RESULT_TEMPORARY);
    seconds = answer.retry_after_s;
    buffer_clear(&reply.body);
    api_answer_clear(&answer);
    return seconds;
}

/* As the service writes it: "YYYY-MM-DD HH:MM:SS" where it is. */
static const char *indian_time(int64_t epoch_s, char text[32])
{
    time_t there = (time_t)epoch_s + 5 * 3600 + 1800;
    struct tm when;

    gmtime_r(&there, &when);
    strftime(text, 32, "\"%Y-%m-%d %H:%M:%S\"", &when);
    return text;
}

TEST(retry_after_in_seconds)
{
    CHECK_INT(retry_after(-1, NULL), -1);
    CHECK_INT(retry_after(0, NULL), 0);
    CHECK_INT(retry_after(17, NULL), 17);
    CHECK_INT(retry_after(86400, NULL), 86400);
    CHECK_INT(retry_after(-1, "17"), 17);
    CHECK_INT(retry_after(-1, "0"), 0);
    CHECK_INT(retry_after(-1, "86400"), 86400);
}

TEST(the_header_beats_the_body)
{
    CHECK_INT(retry_after(17, "99"), 17);
    CHECK_INT(retry_after(0, "99"), 0);
}

TEST(a_retry_after_beyond_a_day_is_cut_and_in_the_body_not_believed)
{
    char text[32];

    CHECK_INT(retry_after(86401, NULL), 86400);
    CHECK_INT(retry_after(INT64_MAX, "5"), 86400);
    CHECK_INT(retry_after(-1, "86401"), -1);
    CHECK_INT(retry_after(-1, "9007199254740992"), -1);
    CHECK_INT(retry_after(-1, indian_time(NOW + 90000, text)), -1);
}

TEST(retry_after_in_indian_time)
{
    static const char *const zones[] = {"UTC0", "EST5EDT", "IST-5:30", "<+14>-14"};
    char text[32];

    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        setenv("TZ", zones[i], 1);
        tzset();
        if (!CHECK_INT(retry_after(-1, indian_time(NOW + 90, text)), 90))
            printf("# in %s\n", zones[i]);
    }
    setenv("TZ", "UTC0", 1);
    tzset();
}

TEST(an_indian_time_that_is_over_is_now)
{
    char text[32];

    CHECK_INT(retry_after(-1, indian_time(NOW - 5, text)), 0);
    CHECK_INT(retry_after(-1, "\"1970-01-01 00:00:00\""), 0);
}

TEST(a_retry_after_that_makes_no_sense_is_none)
{
    static const char *const members[] = {
        "null",
        "true",
        "-1",
        "-0.5",
        "1e300",
        "\"\"",
        "\"soon\"",
        "\"2026-11-24\"",
        "\"2026-11-24 14:05\"",
        "\"2026-11-24T14:05:00\"",
        "\"2026-11-24 14:05:00 IST\"",
        "\"2026-11-24 14:05:00Z\"",
        "\"24-11-2026\"",
        "\"99999-01-01 00:00:00\"",
        "[17]",
        "{\"seconds\":17}",
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (!CHECK_INT(retry_after(-1, members[i]), -1))
            printf("# for %s\n", members[i]);
    }
}

TEST(dates_that_no_calendar_has_are_no_trouble)
{
    static const char *const members[] = {
        "\"9999-99-99 99:99:99\"",
        "\"0000-00-00 00:00:00\"",
        "\"-999--9--9 -9:-9:-9\"",
        "\"2026-02-31 24:60:61\"",
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        int64_t seconds = retry_after(-1, members[i]);

        CHECK(seconds >= -1 && seconds <= 86400);
    }
}
