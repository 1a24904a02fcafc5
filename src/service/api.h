/* SPDX-License-Identifier: MIT */
/* The service's two endpoints: what goes out, and what an answer means. Follows Servetel's page
 * "Authentication Using Tokens" and, where that is silent, what was measured on the library behind
 * such tokens (PHP's tymon/jwt-auth).
 *
 * It knows no files and no libcurl. Texts of the service in errors have the secrets taken out, are
 * control characters made harmless, and are cut to 300 characters. */
#pragma once

#include "service/request.h"

enum api_operation { API_LOGIN, API_REFRESH };
/* A refresh's Authorization header: the documented bare token, or "Bearer " before it. */
#define API_RAW "raw"
#define API_BEARER "bearer"

/* How long a signal waits for an answer that matters: to a refresh, which has spent the old token,
 * or to an unattended login. Most come within a second, and who stops us, an init system or a
 * person, waits longer than two before he does worse. */
#define API_GRACE_MS 2000

/* Both fill *request, which must be clear. */
void api_login(struct request *request, const char *api_url, const char *email,
               const char *password);
void api_refresh(struct request *request, const char *api_url, const char *token,
                 const char *scheme);

/* What was sent, as far as reading the answer needs it. */
struct api_question {
    enum api_operation operation;
    const char *host;     /* for messages */
    const char *password; /* to take out of texts; NULL if none was sent */
    const char *token;    /* the cached one, likewise */
    int64_t logged_in_at; /* of the cached token; 0 unknown */
};

struct api_answer {
    enum request_fate fate;
    long status; /* REQUEST_ANSWERED only, likewise what follows */
    char *token, *token_type;
    int64_t obtained_at, expires_at; /* epoch s, by the local clock */
    int password_days;               /* until the password expires, -1 unknown */
    int64_t retry_after_s;           /* 429 and 503: to be left alone for so long, else -1 */
    bool blacklisted;                /* refused, and by its words because the token is spent */
    bool unparsed;                   /* refused, and by its words because the header was not read */
    bool rejected; /* a login: this password will not do, whatever else the answer is */
};

/* Of one that was answered: RESULT_OK is a token. api_answer_clear() the answer in any case. */
enum result api_read(const struct api_question *question, const struct reply *reply,
                     struct api_answer *answer, struct error *error) MUST_CHECK;
void api_answer_clear(struct api_answer *answer);
