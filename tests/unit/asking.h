/* SPDX-License-Identifier: MIT */
/* What api_read() makes of an answer: ask() says what was asked, read_answer() reads what came. */
#pragma once

#include "service/api.h"
#include "unit.h"

/* By the service's clock and by ours. */
#define NOW 1800000000

static struct api_question question;
static struct api_answer answer;
static struct error error;

static inline void ask(enum api_operation operation)
{
    question = (struct api_question){.operation = operation, .host = "api.example"};
}

/* What was asked is answered so; the answer is then to be cleared. */
static inline enum result read_answer(long status, const char *body)
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
