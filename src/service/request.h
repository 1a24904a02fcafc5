/* One HTTPS POST, or many at once, through libcurl: limits, trust, timing. A status and a bounded
 * body come back. It knows no JSON, no tokens and no files of ours.
 *
 * Certificates are always checked, TLS is 1.2 or later, redirects are not followed, HTTP is 1.1
 * (HTTP/2 keeps copies of headers in buffers that nobody wipes).
 *
 * A reply says apart what a caller must not mix up: whether there was an HTTP answer (fate), its
 * status, and what to make of it when there was none (error.result).
 *
 *     request_pool_open, request_start..., request_pool_wait until reply.done, request_pool_close
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/result.h"

/* Owns its strings, which request_clear() wipes. */
struct request {
    char *url;
    char *authorization; /* the header's value, or NULL */
    char *json;          /* the body, or NULL for an empty one */
};

enum request_fate {
    REQUEST_NOT_SENT, /* not a byte of it: may be tried again */
    REQUEST_LOST,     /* it may have arrived; there is no usable answer */
    REQUEST_ANSWERED,
};

struct reply {
    bool done;
    enum request_fate fate;
    long status; /* REQUEST_ANSWERED only, likewise body */
    struct buffer body;
    int64_t sent_at;       /* epoch s, when the connection stood and the request went out */
    int64_t retry_after_s; /* the header's, -1 when there was none */
    struct error error;    /* what went wrong otherwise; RESULT_OK when REQUEST_ANSWERED */
};

struct request_pool;

/* The largest answer that is read; the service's are 1 KiB. */
#define REPLY_BODY_MAX (1024 * 1024)

/* cacert: a file with the roots to trust in place of the system's, or NULL for the environment's
 * and the system's. connections: at most so many at once. */
enum result request_pool_open(struct request_pool **pool, const char *cacert, int connections,
                              struct error *error) MUST_CHECK;
/* Drops what is under way. */
void request_pool_close(struct request_pool *pool);

/* Both stay the caller's, and where they are, until reply->done. */
void request_start(struct request_pool *pool, const struct request *request, struct reply *reply,
                   int64_t timeout_ms);
/* Moves all of them on, for timeout_ms at most, or until one is done, a descriptor in fds (-1s are
 * passed over) is readable or a signal is caught. */
void request_pool_wait(struct request_pool *pool, const int *fds, size_t fd_count,
                       int64_t timeout_ms);

void request_clear(struct request *request);
void reply_clear(struct reply *reply);

#endif
