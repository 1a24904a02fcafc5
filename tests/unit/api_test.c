/* SPDX-License-Identifier: MIT */
#include "service/api.h"

#include "asking.h"
#include "base/json.h"
#include "store/token.h"

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
