/* SPDX-License-Identifier: MIT */
#include "service/transfer.h"

#include <string.h>

#include "base/signals.h"

/* libcurl's text, or its name for the code when it has none, or one that quotes a proxy's URL: that
 * may hold a password. Of OpenSSL's "error:0A00010B:SSL routines::wrong version number" its end. */
static const char *curl_text(const struct transfer *transfer)
{
    const char *text = transfer->curl_error, *openssl = strstr(text, "error:");

    if (openssl != NULL && strrchr(openssl, ':')[1] != '\0')
        text = strrchr(openssl, ':') + 1;
    return *text != '\0' && strchr(text, '@') == NULL ? text
                                                      : libcurl.easy_strerror(transfer->code);
}

/* Whether a failed handshake is a disagreement that lasts: OpenSSL's words, libcurl has no code. */
static bool speaks_other_tls(const char *text)
{
    static const char *const words[] = {"version number", "unsupported protocol",
                                        "protocol version", "handshake failure",
                                        "no application protocol"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(text, words[i]) != NULL)
            return true;
    }
    return false;
}

static enum result tell_unsent(const struct transfer *transfer, const char *host,
                               struct error *error)
{
    const char *text = curl_text(transfer);
    long proxy_status = 0, proxy_verify = 0;

    libcurl.easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (proxy_status == 407)
        return error_set(error, RESULT_PROTOCOL,
                         "the proxy to %s wants a login: put it into the proxy's URL", host);
    libcurl.easy_getinfo(transfer->easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &proxy_verify);
    switch (transfer->code) {
    case CURLE_OUT_OF_MEMORY:
        return error_set(error, RESULT_FAILED, "out of memory: nothing was sent to %s", host);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return error_set(error, RESULT_PROTOCOL,
                         "the certificate of %s%s does not verify, nothing was sent: %s",
                         proxy_verify != 0 ? "the proxy to " : "", host, text);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(error, RESULT_LOCAL, "cannot use the CA certificates: %s", text);
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(error, speaks_other_tls(text) ? RESULT_PROTOCOL : RESULT_TEMPORARY,
                         "no TLS connection to %s: %s%s", host, text,
                         strstr(text, "wrong version number") != NULL ? ": does it speak https?"
                                                                      : "");
    case CURLE_ABORTED_BY_CALLBACK:
        return error_set(error, RESULT_TEMPORARY,
                         "too little of --timeout is left for the request: nothing was sent");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: /* a proxy's URL, ours was checked */
        return error_set(error, RESULT_USAGE, "cannot connect to %s: %s", host, text);
    default:
        return error_set(error, RESULT_TEMPORARY, "cannot connect to %s: %s", host, text);
    }
}

static enum result tell_lost(const struct transfer *transfer, const char *host, struct error *error)
{
    const char *text = curl_text(transfer);
    bool is_broken = strstr(text, "chunk") != NULL || strstr(text, "hex") != NULL;

    if (transfer->code == CURLE_WRITE_ERROR || (int)transfer->code == 100 || /* TOO_LARGE, 8.6.0 */
        strstr(text, "Too large response headers") != NULL)
        return error_set(error, RESULT_PROTOCOL, "the answer of %s is larger than %d KiB", host,
                         REPLY_BODY_MAX / 1024);
    switch (transfer->code) {
    case CURLE_ABORTED_BY_CALLBACK: /* it would have been sent again */
        return error_set(error, RESULT_TEMPORARY, "%s closed the connection without an answer",
                         host);
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
        return error_set(error, RESULT_PROTOCOL, "%s does not speak HTTP/1.1: %s", host, text);
    case CURLE_OUT_OF_MEMORY: /* so libcurl calls a header line over 100 KiB */
        return error_set(error, RESULT_PROTOCOL, "the answer of %s has a header too large", host);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(error, RESULT_TEMPORARY, "no answer from %s in time", host);
    default: /* one code for a broken chunk and for a broken connection */
        return error_set(error, is_broken ? RESULT_PROTOCOL : RESULT_TEMPORARY,
                         is_broken ? "%s sends broken HTTP: %s"
                                   : "the connection to %s broke before the answer: %s",
                         host, text);
    }
}

enum result failure_tell(const struct transfer *transfer, const char *host, struct error *error)
{
    if (signals_caught())
        return error_set(error, RESULT_INTERRUPTED, "interrupted");
    return transfer->sent ? tell_lost(transfer, host, error) : tell_unsent(transfer, host, error);
}
