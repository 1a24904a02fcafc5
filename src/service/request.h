/* SPDX-License-Identifier: MIT */
/* One HTTPS POST through libcurl: limits, trust, timing. A status and a bounded body come back. It
 * knows no JSON, no tokens and no files of ours.
 *
 * Certificates are always checked, TLS is 1.2 or later, redirects are not followed, HTTP is 1.1
 * (HTTP/2 keeps copies of headers in buffers that nobody wipes).
 *
 * A reply says apart what a caller must not mix up: whether there was an HTTP answer (fate), its
 * status, and, as the result, what to make of it when there was none. */
#pragma once

#include "base/mem.h"

/* Owns its strings, which request_clear() wipes. */
struct request {
    char *url;
    char *authorization; /* the header's value, or NULL */
    char *json;          /* the body, or NULL for an empty one */
    int64_t grace_ms;    /* how long a caught signal waits for the answer, once it was sent */
    int64_t least_ms;    /* it is not sent with less time than this left for the answer */
};

enum request_fate {
    REQUEST_NOT_SENT, /* not a byte of it: may be tried again */
    REQUEST_LOST,     /* it may have arrived; there is no usable answer */
    REQUEST_ANSWERED,
};

struct reply {
    enum request_fate fate;
    long status; /* REQUEST_ANSWERED only, likewise body, date, retry_after_s */
    struct buffer body;
    int64_t sent_at;       /* epoch s, when the connection stood and the request went out; or 0 */
    int64_t date;          /* epoch s, the service's clock where it tells it, else ours */
    int64_t retry_after_s; /* the header's, -1 when there was none */
};

#define REPLY_BODY_MAX (1024 * 1024) /* the largest answer that is read; real ones are 1 KiB */

/* A way to the service, used again by the next request. Belongs to one thread. */
struct connection {
    const char *cacert; /* a file with roots to trust, or NULL for the environment's and system's */
    const char *waiting; /* for whom somebody at a terminal is told to wait; NULL: not told */

    /* request.c's and trust.c's own */
    void *multi; /* libcurl's handle; NULL before the first request */
    const char *roots_file, *roots_path;
    char *root;         /* a file in that path, ours */
    bool roots_are_few; /* the user named none: only libcurl's hashed directory is looked at */
};

/* Loads libcurl and makes ready; request_send() does it where it was not done. To be done before
 * threads are started: only then can programs be kept from inheriting libcurl's descriptors. */
enum result request_open(struct connection *connection, struct error *error) MUST_CHECK;
void request_close(struct connection *connection);

/* Returns when there is an answer (RESULT_OK, whatever its status), none will come (RESULT_USAGE,
 * TEMPORARY, PROTOCOL, LOCAL), or a signal came, for which a request that was not sent is given up
 * at once (RESULT_INTERRUPTED). The reply is cleared first. */
enum result request_send(struct connection *connection, const struct request *request,
                         struct reply *reply, int64_t timeout_ms, struct error *error) MUST_CHECK;

void request_clear(struct request *request);
void reply_clear(struct reply *reply);
