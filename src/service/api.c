/* SPDX-License-Identifier: MIT */
#include "service/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "store/token.h"

#define MESSAGE_MAX 300 /* a service's message is a sentence; more than this hides what matters */
/* What is looked through for secrets; what stands behind it is not shown in any case. */
#define SCRUBBED_MAX 4096
/* What a JWT begins with, and consists of. */
#define JWT_START "eyJ"
#define JWT_CHARACTERS TEXT_ALPHANUMERIC "-_."
#define INDIA_OFFSET_S (5 * 3600 + 30 * 60) /* Indian time, in which `retry_after` is written */
#define RETRY_AFTER_MAX_S 86400 /* longer is a mistake, or in the body a date in the wrong zone */

static char *endpoint(const char *api_url, const char *path)
{
    size_t len = strlen(api_url);

    while (len > 0 && api_url[len - 1] == '/')
        len--;
    return mem_format("%.*s%s", (int)len, api_url, path);
}

void api_login(struct request *request, const char *api_url, const char *email,
               const char *password)
{
    AT_END(json_delete) struct cJSON *body = json_new_object();

    json_set_string(body, "email", email);
    json_set_string(body, "password", password);
    request->url = endpoint(api_url, "/auth/login");
    request->json = json_print(body, false);
}

void api_refresh(struct request *request, const char *api_url, const char *token,
                 const char *scheme)
{
    request->url = endpoint(api_url, "/auth/refresh");
    request->grace_ms = API_GRACE_MS;
    request->authorization = mem_join(text_is(scheme, API_BEARER) ? "Bearer " : "", token);
}

/* ---- what the service says in words ---- */

/* As other texts spell it, too: a service may quote the body, a gateway the header. */
static void hide_secret(char **text, const char *secret)
{
    text_hide(text, secret, "");
    if (secret != NULL && text_reveals(*text, secret))
        mem_replace(text, "[hidden]");
}

/* ": what the service says", or "" when it says nothing that is meant for people. */
static char *service_text(const struct api_question *question, const struct cJSON *body)
{
    static const char *const members[] = {"message", "error_description", "error"};
    /* Laravel's 422 tells its reason only here: {"errors":{"email":["The email is ..."]}} */
    const struct cJSON *item = json_first(json_member(body, "errors"));
    const char *said = json_as_string(json_as_string(item) != NULL ? item : json_first(item));
    OWNED char *text = NULL;

    for (size_t i = 0; i < sizeof members / sizeof members[0] && said == NULL; i++)
        said = json_string(body, members[i]);
    if (said == NULL || *said == '\0')
        return mem_copy("");
    text = mem_copy(said);
    text_cut(text, SCRUBBED_MAX);
    /* Tokens first: a short password may be a part of one. */
    hide_secret(&text, question->token);
    hide_secret(&text, json_string(body, "access_token"));
    text_hide(&text, JWT_START, JWT_CHARACTERS); /* a gateway may echo a part of one */
    hide_secret(&text, question->password);
    text_hide_blobs(text);
    text_clean(text);
    text_cut(text, MESSAGE_MAX);
    return mem_join(": ", text);
}

/* ---- when to come back ---- */

/* The body's `retry_after`: seconds, or "YYYY-MM-DD HH:MM:SS" in Indian time. */
static int64_t body_retry_after_s(const struct reply *reply, const struct cJSON *body)
{
    const char *text = json_string(body, "retry_after");
    int64_t seconds;

    if (json_integer(body, "retry_after", &seconds))
        return seconds;
    if (text == NULL || !clock_parse(text, &seconds))
        return -1;
    seconds -= INDIA_OFFSET_S + reply->date;
    return seconds < 0 ? 0 : seconds;
}

static int64_t retry_after_s(const struct reply *reply, const struct cJSON *body)
{
    int64_t seconds = reply->retry_after_s;

    if (seconds > RETRY_AFTER_MAX_S)
        return RETRY_AFTER_MAX_S; /* a day's silence is as much as a header gets */
    if (seconds < 0)
        seconds = body_retry_after_s(reply, body);
    return seconds < 0 || seconds > RETRY_AFTER_MAX_S ? -1 : seconds;
}

/* ---- a token ---- */

/* A number, or a numeric string; 0 when absent or null. */
static enum result read_expires_in(const struct cJSON *body, int64_t *seconds, struct error *error)
{
    const char *text = json_string(body, "expires_in");
    size_t digits = text == NULL ? 0 : strspn(text, "0123456789");

    *seconds = 0;
    if (json_is_null(body, "expires_in") || json_integer(body, "expires_in", seconds))
        return RESULT_OK;
    if (digits == 0 || text[digits] != '\0')
        return error_set(
            error, RESULT_PROTOCOL,
            "the service sent a token with an expires_in that is no number of seconds");
    *seconds = strtoll(text, NULL, 10); /* INT64_MAX for what is beyond it: no life, either */
    return RESULT_OK;
}

/* expires_in, if not 0, else the claims, else the documented hour: from now, or from its login. */
static enum result read_end(const struct api_question *question, const struct token_claims *claims,
                            int64_t expires_in, struct api_answer *answer, struct error *error)
{
    struct token_claims old = token_claims(question->token != NULL ? question->token : "");
    bool renews = question->operation == API_REFRESH && expires_in == 0;
    /* The service keeps iat when it renews; then exp counts from the login's moment. */
    bool from_login = renews && question->logged_in_at != 0 && claims->has_exp &&
                      !claims->has_nbf && claims->has_iat && old.has_iat && old.iat == claims->iat;
    int64_t life_s = expires_in;

    if (expires_in == 0 && !token_span(claims, &life_s))
        life_s = TOKEN_LIFE_DEFAULT_S;
    if (life_s <= 0 || life_s > TOKEN_LIFE_MAX_S)
        return error_set(error, RESULT_PROTOCOL,
                         "the service sent a token whose life makes no sense (%lld s)",
                         (long long)life_s);
    answer->expires_at = (from_login ? question->logged_in_at : answer->obtained_at) + life_s;
    /* With days of life, and an iat that is not the cached one's, exp is nearer the truth. */
    if (renews && !from_login && life_s > TOKEN_PERMANENT_S && claims->exp > answer->obtained_at)
        answer->expires_at = claims->exp;
    return RESULT_OK;
}

static enum result read_token(const struct api_question *question, const struct reply *reply,
                              const struct cJSON *body, struct api_answer *answer,
                              struct error *error)
{
    const char *token = json_string(body, "access_token");
    struct token_claims claims;
    int64_t expires_in, days;

    if (token == NULL || !token_is_valid(token))
        return error_set(error, RESULT_PROTOCOL, "%s answered without a usable access_token",
                         question->host);
    claims = token_claims(token);
    answer->obtained_at = reply->sent_at;
    if (read_expires_in(body, &expires_in, error) != RESULT_OK ||
        read_end(question, &claims, expires_in, answer, error) != RESULT_OK)
        return error->result;
    answer->token = mem_copy(token);
    answer->token_type = mem_copy(json_string(body, "token_type"));
    /* 0 to ten years of days: more is no policy. */
    if (json_integer(body, "number_of_days_left", &days) && days >= 0 && days <= 3650)
        answer->password_days = (int)days;
    return RESULT_OK;
}

/* ---- status before body ---- */

static enum result read_refusal(const struct api_question *question, const struct cJSON *body,
                                struct api_answer *answer, struct error *error)
{
    OWNED char *said = service_text(question, body);
    const char *what = question->operation == API_LOGIN ? "the login" : "the token";

    error_set(error, RESULT_REFUSED, "%s refused %s (HTTP %ld)%s", question->host, what,
              answer->status, said);
    /* A refresh or a logout elsewhere has spent it. (A gateway may blacklist an address.) */
    answer->blacklisted = question->operation == API_REFRESH &&
                          strcasestr(said, "token has been blacklisted") != NULL;
    /* "Token could not be parsed from the request.", or what a gateway says of the header. */
    answer->unparsed = question->operation == API_REFRESH &&
                       (strcasestr(said, "parsed") != NULL ||
                        strcasestr(said, "authorization header") != NULL);
    return RESULT_REFUSED;
}

static bool says_no(const struct cJSON *body)
{
    return json_member(body, "success") != NULL && !json_is_true(body, "success");
}

static enum result read_success(const struct api_question *question, const struct reply *reply,
                                const struct cJSON *body, struct api_answer *answer,
                                struct error *error)
{
    if (body == NULL)
        return error_set(error, RESULT_PROTOCOL,
                         "the answer of %s (HTTP %ld) is not a JSON object: check the API URL",
                         question->host, answer->status);
    answer->rejected = says_no(body);
    return answer->rejected ? read_refusal(question, body, answer, error)
                            : read_token(question, reply, body, answer, error);
}

static enum result read_failure(const struct api_question *question, const struct cJSON *body,
                                struct api_answer *answer, struct error *error)
{
    long status = answer->status;
    bool is_busy = status == 408 || status == 425 || status == 429;
    OWNED char *said = NULL;

    /* Any of these may count towards a lock of the account. */
    answer->rejected = question->operation == API_LOGIN && !is_busy &&
                       ((status >= 400 && status <= 499) || says_no(body));
    if (status == 400 || status == 401 || status == 403 || status == 422)
        return read_refusal(question, body, answer, error);
    said = service_text(question, body);
    if (is_busy || (status >= 500 && status <= 599))
        return error_set(error, RESULT_TEMPORARY, "%s answered HTTP %ld%s", question->host, status,
                         said);
    return error_set(
        error, RESULT_PROTOCOL, "%s answered HTTP %ld%s: check the API URL%s", question->host,
        status, status >= 300 && status <= 399 ? ", a redirect, which is not followed" : "", said);
}

enum result api_read(const struct api_question *question, const struct reply *reply,
                     struct api_answer *answer, struct error *error)
{
    AT_END(json_delete)
    struct cJSON *body = json_parse_object(buffer_text(&reply->body), reply->body.len);
    enum result result;

    *answer = (struct api_answer){
        .fate = reply->fate, .status = reply->status, .retry_after_s = -1, .password_days = -1};
    if (reply->status >= 200 && reply->status <= 299)
        result = read_success(question, reply, body, answer, error);
    else
        result = read_failure(question, body, answer, error);
    if (!answer->rejected && (answer->status == 429 || answer->status == 503))
        answer->retry_after_s = retry_after_s(reply, body);
    return result;
}

void api_answer_clear(struct api_answer *answer)
{
    mem_free(answer->token);
    mem_free(answer->token_type);
    memset(answer, 0, sizeof *answer);
}
