/* SPDX-License-Identifier: MIT */
/* Of request.c, trust.c and failure.c alone: one request on its way through libcurl. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>

#include "service/libcurl.h"
#include "service/request.h"

/* Which roots are trusted. Its strings are the user's and libcurl's, there to the end. */
struct trust {
    const char *file, *path;
    bool is_ours; /* the user named none: only libcurl's hashed directory is looked at */
};

/* What a connection has once its first request was made. */
struct session {
    const struct libcurl *curl;
    CURLM *multi;
    struct trust trust;
};

struct transfer {
    struct session *session;
    CURL *easy;
    struct curl_slist *headers;
    const struct request *request;
    struct reply *reply;
    size_t header_bytes;
    bool headers_ended;
    bool sent;      /* the connection stood; from here on bytes may have left */
    CURLcode setup; /* of an option that could not be set */
    char curl_error[CURL_ERROR_SIZE];
};

/* As the curl tool does it: the option, then CURL_CA_BUNDLE, then SSL_CERT_DIR and SSL_CERT_FILE.
 */
enum result trust_choose(struct session *session, const char *cacert,
                         struct error *error) MUST_CHECK;
/* Whether the roots were too few for this failure and there are more: they are tried from now on.
 */
bool trust_fall_back(struct transfer *transfer);

/* What it was that kept the answer away. */
enum result failure_unsent(const struct transfer *transfer, CURLcode code, const char *host,
                           struct error *error);
enum result failure_lost(const struct transfer *transfer, CURLcode code, const char *host,
                         struct error *error);

#endif
