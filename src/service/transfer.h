/* SPDX-License-Identifier: MIT */
/* Of request.c, trust.c and failure.c alone: one request on its way through libcurl. */
#pragma once

#include "service/libcurl.h"
#include "service/request.h"

struct transfer {
    struct connection *connection;
    CURL *easy;
    struct curl_slist *headers;
    const struct request *request;
    struct reply *reply;
    int64_t deadline_ms;
    size_t header_bytes;
    bool headers_ended;
    bool sent;     /* the connection stood; from here on bytes may have left */
    CURLcode code; /* of an option that could not be set, then of the whole */
    char curl_error[CURL_ERROR_SIZE];
};

/* As the curl tool: by the option, then CURL_CA_BUNDLE, then SSL_CERT_DIR and SSL_CERT_FILE. */
enum result trust_choose(struct connection *connection, struct error *error) MUST_CHECK;
/* Whether the roots were too few and there are more: these are tried when it begins anew. */
bool trust_fall_back(struct transfer *transfer);

/* What it was that kept the answer away, or the request here. */
enum result failure_tell(const struct transfer *transfer, const char *host, struct error *error);
