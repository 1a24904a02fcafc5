/* SPDX-License-Identifier: MIT */
/* What the service may answer.
 *
 * The input: 'r' (refresh) or anything else (login), three digits of a status, a byte that is a
 * line feed or the number of seconds of Retry-After, and the body.
 */
#include "service/api.h"
#include "fuzz.h"
#include "base/json.h"
#include "service/request.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/token.h"

#define HOST "api.example"
#define PASSWORD "correct horse"
/* {"iat":1700000000,"exp":1700003600}, so that an answer can keep this iat. */
#define CACHED "aGVhZGVy.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMH0.c2lnbmF0dXJl"
#define SENT_AT 1800000000
#define LOGGED_IN_AT 1799990000

static int digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') % 10;
}

/* Characters as they come out on a terminal. */
static size_t shown_length(const char *text)
{
    char *shown = mem_copy(text);
    size_t count = 0;

    text_clean(shown);
    MUST(text_is_utf8(shown));
    for (const char *c = shown; *c != '\0'; c++)
        count += ((unsigned char)*c & 0xc0) != 0x80;
    mem_free(shown);
    return count;
}

static void check_token(const struct api_question *question, const struct api_answer *answer)
{
    int64_t life_s = answer->expires_at - answer->obtained_at;
    /* A token whose iat is the login's may count from there. */
    int64_t least_s = question->operation == API_REFRESH ? LOGGED_IN_AT - SENT_AT : 0;

    MUST(answer->status >= 200 && answer->status <= 299);
    MUST(is_token(answer->token));
    MUST(answer->obtained_at == SENT_AT);
    MUST(life_s > least_s && life_s <= TOKEN_LIFE_MAX_S);
    MUST(answer->password_days >= -1);
}

/* Long enough, and of such characters, that it cannot come about by what is put in place of others.
 */
static bool is_unmistakable(const char *token)
{
    return strlen(token) >= 16 &&
           strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
               strlen(token);
}

/* silent: the same error where the service said nothing. */
static void check_error(const struct api_answer *answer, const struct error *error,
                        const struct reply *reply, const char *silent)
{
    const char *text = error->text, *sent = NULL;
    struct cJSON *json = NULL;

    MUST(answer->token == NULL && answer->token_type == NULL);
    MUST(answer->password_days == -1);
    MUST(text[0] != '\0' && strlen(text) < sizeof error->text - 1);
    MUST(shown_length(text) <= strlen(silent) + strlen(": ") + 300);
    MUST(strstr(text, PASSWORD) == NULL);
    MUST(strstr(text, CACHED) == NULL);
    MUST(strstr(text, "eyJ") == NULL);
    if (reply->body.len > 0)
        json = json_parse_object(reply->body.data, reply->body.len);
    if (json != NULL)
        sent = json_string(json, "access_token");
    if (sent != NULL && is_unmistakable(sent))
        MUST(strstr(text, sent) == NULL);
    json_delete(&json);
}

/* The text of the error for this status without a message. */
static struct error silent_error(const struct api_question *question, const struct reply *reply,
                                 const struct error *said)
{
    bool succeeded = reply->status >= 200 && reply->status <= 299;
    struct reply silent = *reply;
    struct api_answer other;
    struct error error;

    if (succeeded && said->result == RESULT_PROTOCOL)
        return *said; /* there the service has no say */
    silent.body = BUFFER(REPLY_BODY_MAX);
    if (succeeded)
        buffer_put(&silent.body, "{\"success\":false}");
    MUST(api_read(question, &silent, &other, &error) == said->result);
    api_answer_clear(&other);
    buffer_clear(&silent.body);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_question question = {
        .host = HOST, .password = PASSWORD, .token = CACHED, .logged_in_at = LOGGED_IN_AT};
    struct reply reply = {.fate = REQUEST_ANSWERED,
                          .body = BUFFER(REPLY_BODY_MAX),
                          .sent_at = SENT_AT,
                          .date = SENT_AT,
                          .retry_after_s = -1};
    struct api_answer answer;
    struct error error = {0}, silent;
    enum result result;
    bool waits;

    if (size < 5 || size - 5 > REPLY_BODY_MAX)
        return 0;
    question.operation = data[0] == 'r' ? API_REFRESH : API_LOGIN;
    reply.status = digit(data[1]) * 100 + digit(data[2]) * 10 + digit(data[3]);
    if (data[4] != '\n')
        reply.retry_after_s = data[4];
    MUST(buffer_append(&reply.body, data + 5, size - 5));

    result = api_read(&question, &reply, &answer, &error);
    MUST(result == error.result);
    MUST(answer.status == reply.status);
    MUST(answer.retry_after_s >= -1 && answer.retry_after_s <= 86400);
    waits = !answer.rejected && (reply.status == 429 || reply.status == 503);
    MUST(waits || answer.retry_after_s == -1);
    MUST(!waits || reply.retry_after_s < 0 || answer.retry_after_s == reply.retry_after_s);
    if (result == RESULT_OK) {
        check_token(&question, &answer);
        MUST(error.text[0] == '\0');
    } else {
        MUST(result == RESULT_REFUSED || result == RESULT_TEMPORARY || result == RESULT_PROTOCOL);
        silent = silent_error(&question, &reply, &error);
        check_error(&answer, &error, &reply, silent.text);
    }
    api_answer_clear(&answer);
    buffer_clear(&reply.body);
    return 0;
}
