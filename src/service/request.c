#include "service/request.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/signals.h"
#include "service/libcurl.h"
#include "store/url.h"

/* A host that does not answer within this will not; the rest of the time is for another try. */
#define CONNECT_TIMEOUT_MS 10000
/* OpenSSL's SSL_OP_CLEANSE_PLAINTEXT (ssl.h, 3.0): wipes what was decrypted once it was read. It
 * does nothing in 1.1. */
#define SSL_CLEANSE_PLAINTEXT 0x2U
/* Headers of a real answer are under 2 KiB. */
#define HEADERS_MAX REPLY_BODY_MAX

/* CURLE_TOO_LARGE, which libcurl has since 8.6.0: too many or too long headers. */
#define CURLE_TOO_LARGE_CODE 100

struct transfer {
    struct request_pool *pool;
    CURL *easy;
    struct curl_slist *headers;
    const struct request *request;
    struct reply *reply;
    size_t header_bytes;
    bool sent; /* the connection stood; from here on bytes may have left */
    bool too_large;
    bool resend_refused;
    bool fell_back; /* was started again with libcurl's own roots */
    char curl_error[CURL_ERROR_SIZE];
    struct transfer *next;
};

struct request_pool {
    const struct libcurl *curl;
    CURLM *multi;
    char *ca_file, *ca_path;
    bool trust_is_ours; /* the user named no roots: only the hashed directory is looked at */
    bool trust_fell_back;
    struct transfer *transfers;
};

static void set(struct transfer *transfer, CURLoption option, const void *value)
{
    transfer->pool->curl->easy_setopt(transfer->easy, option, value);
}

static void set_number(struct transfer *transfer, CURLoption option, long value)
{
    transfer->pool->curl->easy_setopt(transfer->easy, option, value);
}

#define SET_FUNCTION(transfer, option, function)                                                   \
    ((transfer)->pool->curl->easy_setopt((transfer)->easy, option, function))

/* ---- whom to trust ---- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_same_file(const char *a, const char *b)
{
    char *first = a == NULL ? NULL : realpath(a, NULL);
    char *second = b == NULL ? NULL : realpath(b, NULL);
    bool same = first != NULL && second != NULL && strcmp(first, second) == 0;

    free(first);
    free(second);
    return same;
}

/* Whether OpenSSL finds certificates there by the hash of their name (c_rehash's NNNNNNNN.0). */
static bool is_hashed_directory(const char *path)
{
    DIR *dir = path == NULL ? NULL : opendir(path);
    struct dirent *entry;
    bool hashed = false;

    while (dir != NULL && !hashed && (entry = readdir(dir)) != NULL)
        hashed = strspn(entry->d_name, "0123456789abcdef") == 8 &&
                 strcmp(entry->d_name + 8, ".0") == 0;
    if (dir != NULL)
        closedir(dir);
    return hashed;
}

/* As the curl tool does it: the option, then CURL_CA_BUNDLE, then SSL_CERT_DIR and SSL_CERT_FILE.
 *
 * With nothing named, and libcurl's own directory of roots a hashed one, only that: libcurl would
 * parse the whole bundle, some 145 certificates, for each connection. Both hold the same roots;
 * should one be missing from the directory, the bundle is asked after all (fall_back). */
static enum result choose_trust(struct request_pool *pool, const char *cacert, struct error *error)
{
    const curl_version_info_data *version = pool->curl->version_info(CURLVERSION_NOW);
    const char *file = cacert != NULL ? cacert : environment("CURL_CA_BUNDLE");
    const char *dir = NULL;
    int fd;

    if (file == NULL) {
        dir = environment("SSL_CERT_DIR");
        file = environment("SSL_CERT_FILE");
    }
    if (cacert == NULL && is_same_file(file, version->cainfo))
        file = NULL;
    if (file == NULL && dir == NULL) {
        pool->trust_is_ours = is_hashed_directory(version->capath);
        if (pool->trust_is_ours)
            pool->ca_path = mem_copy(version->capath);
        return RESULT_OK;
    }
    fd = file == NULL ? -1 : fd_open(file, O_RDONLY | O_NONBLOCK);
    if (file != NULL && fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot read the CA certificates '%s': %s", file,
                         strerror(errno));
    fd_close(&fd);
    pool->ca_file = mem_copy(file);
    pool->ca_path = mem_copy(dir);
    return RESULT_OK;
}

static void set_trust(struct transfer *transfer)
{
    const struct request_pool *pool = transfer->pool;

    if (pool->trust_fell_back) {
        const curl_version_info_data *version = pool->curl->version_info(CURLVERSION_NOW);

        set(transfer, CURLOPT_CAINFO, version->cainfo);
        set(transfer, CURLOPT_CAPATH, version->capath);
    } else if (pool->ca_file != NULL || pool->ca_path != NULL) {
        set(transfer, CURLOPT_CAINFO, pool->ca_file);
        set(transfer, CURLOPT_CAPATH, pool->ca_path);
    }
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *user)
{
    const struct transfer *transfer = user;

    (void)easy;
    if (transfer->pool->curl->ssl_ctx_set_options != NULL)
        transfer->pool->curl->ssl_ctx_set_options(ssl_ctx, SSL_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

/* ---- one transfer ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;

    (void)size; /* 1, says libcurl */
    if (buffer_append(&transfer->reply->body, bytes, count))
        return count;
    transfer->too_large = true;
    return 0;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;

    (void)bytes;
    (void)size;
    transfer->header_bytes += count;
    if (transfer->header_bytes <= HEADERS_MAX)
        return count;
    transfer->too_large = true;
    return 0;
}

/* Called when the connection stands, before the request goes out. libcurl sends a request again by
 * itself when a connection that it reuses turns out to be closed, although the request may have
 * been read before that: for a refresh this must not be, so the second call is refused. */
static int on_connected(void *user, char *remote_ip, char *local_ip, int remote_port,
                        int local_port)
{
    struct transfer *transfer = user;

    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    if (signals_caught())
        return CURL_PREREQFUNC_ABORT; /* who sends it must have the time to hear the answer */
    if (transfer->sent) {
        transfer->resend_refused = true;
        return CURL_PREREQFUNC_ABORT;
    }
    transfer->sent = true;
    transfer->reply->sent_at = clock_epoch_s();
    return CURL_PREREQFUNC_OK;
}

/* Commands and hooks must not inherit a connection that carries tokens. */
static int on_socket(void *user, curl_socket_t socket, curlsocktype purpose)
{
    (void)user;
    (void)purpose;
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

static void add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *grown = transfer->pool->curl->slist_append(transfer->headers, line);

    transfer->headers = mem_require(grown);
}

static void set_headers(struct transfer *transfer)
{
    add_header(transfer, "accept: application/json");
    if (transfer->request->json != NULL)
        add_header(transfer, "content-type: application/json");
    else
        add_header(transfer, "content-type:"); /* none: libcurl would call it a form */
    if (transfer->request->authorization != NULL) {
        char *line = mem_join("Authorization: ", transfer->request->authorization);

        add_header(transfer, line);
        mem_free(line);
    }
    set(transfer, CURLOPT_HTTPHEADER, transfer->headers);
}

static void set_options(struct transfer *transfer, int64_t timeout_ms)
{
    const char *body = transfer->request->json != NULL ? transfer->request->json : "";
    bool plain = url_is_plain_http(transfer->request->url);
    long connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? (long)timeout_ms : CONNECT_TIMEOUT_MS;

    set(transfer, CURLOPT_URL, transfer->request->url);
    set(transfer, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    set(transfer, CURLOPT_POSTFIELDS, body); /* not COPYPOSTFIELDS: one copy less */
    set_number(transfer, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    set(transfer, CURLOPT_USERAGENT, "servetel-auth/" VERSION);
    set_headers(transfer);
    if (plain) /* loopback: never a proxy's business */
        set(transfer, CURLOPT_NOPROXY, "*");
    set_number(transfer, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    set_number(transfer, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_number(transfer, CURLOPT_FOLLOWLOCATION, 0);
    set_number(transfer, CURLOPT_NOSIGNAL, 1);
    set_number(transfer, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    set_number(transfer, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    set(transfer, CURLOPT_ERRORBUFFER, transfer->curl_error);
    set(transfer, CURLOPT_PRIVATE, transfer);
    SET_FUNCTION(transfer, CURLOPT_WRITEFUNCTION, on_body);
    set(transfer, CURLOPT_WRITEDATA, transfer);
    SET_FUNCTION(transfer, CURLOPT_HEADERFUNCTION, on_header);
    set(transfer, CURLOPT_HEADERDATA, transfer);
    SET_FUNCTION(transfer, CURLOPT_PREREQFUNCTION, on_connected);
    set(transfer, CURLOPT_PREREQDATA, transfer);
    SET_FUNCTION(transfer, CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET_FUNCTION(transfer, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    set(transfer, CURLOPT_SSL_CTX_DATA, transfer);
    set_trust(transfer);
    transfer->fell_back = transfer->pool->trust_fell_back;
}

void request_start(struct request_pool *pool, const struct request *request, struct reply *reply,
                   int64_t timeout_ms)
{
    struct transfer *transfer = mem_new(sizeof *transfer);

    reply_clear(reply);
    transfer->pool = pool;
    transfer->request = request;
    transfer->reply = reply;
    transfer->easy = mem_require(pool->curl->easy_init());
    set_options(transfer, timeout_ms < 1 ? 1 : timeout_ms);
    transfer->next = pool->transfers;
    pool->transfers = transfer;
    pool->curl->multi_add_handle(pool->multi, transfer->easy);
}

static void free_transfer(struct transfer *transfer)
{
    struct request_pool *pool = transfer->pool;
    struct transfer **link = &pool->transfers;

    while (*link != transfer)
        link = &(*link)->next;
    *link = transfer->next;
    pool->curl->multi_remove_handle(pool->multi, transfer->easy);
    pool->curl->easy_cleanup(transfer->easy);
    pool->curl->slist_free_all(transfer->headers);
    mem_free(transfer);
}

/* ---- how it ended ---- */

static bool lacks_issuer(const struct transfer *transfer)
{
    long verify = 0;

    transfer->pool->curl->easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    /* X509_V_ERR_ 2, 18, 19, 20, 21: an issuer or a root is not among those looked at. */
    return verify == 2 || (verify >= 18 && verify <= 21);
}

/* libcurl's text, or its name for the code when it has none, or one that quotes a proxy's URL: that
 * may hold a password. */
static const char *curl_text(const struct transfer *transfer, CURLcode code)
{
    const char *text = transfer->curl_error;

    return *text != '\0' && strchr(text, '@') == NULL ? text
                                                      : transfer->pool->curl->easy_strerror(code);
}

/* Whether a failed handshake is a disagreement that will last, not an accident. OpenSSL's words:
 * there is no code for it in libcurl. */
static bool speaks_other_tls(const char *text)
{
    static const char *const words[] = {"version number", "unsupported protocol",
                                        "protocol version", "handshake failure"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(text, words[i]) != NULL)
            return true;
    }
    return false;
}

static enum result classify_unsent(const struct transfer *transfer, CURLcode code, const char *host,
                                   struct error *error)
{
    const char *text = curl_text(transfer, code);
    long proxy_status = 0;

    transfer->pool->curl->easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (proxy_status == 407)
        return error_set(error, RESULT_PROTOCOL,
                         "the proxy to %s wants a login: put it into the proxy's URL", host);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return error_set(error, RESULT_PROTOCOL,
                         "the certificate of %s does not verify, nothing was sent: %s", host, text);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(error, RESULT_LOCAL, "cannot use the CA certificates: %s", text);
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(error, speaks_other_tls(text) ? RESULT_PROTOCOL : RESULT_TEMPORARY,
                         "no TLS connection to %s: %s", host, text);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: /* a proxy's URL, ours was checked */
        return error_set(error, RESULT_USAGE, "cannot connect to %s: %s", host, text);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(error, RESULT_TEMPORARY, "no connection to %s in time: %s", host, text);
    default:
        return error_set(error, RESULT_TEMPORARY, "cannot connect to %s: %s", host, text);
    }
}

static enum result classify_lost(const struct transfer *transfer, CURLcode code, const char *host,
                                 struct error *error)
{
    const char *text = curl_text(transfer, code);

    if (transfer->too_large || (int)code == CURLE_TOO_LARGE_CODE ||
        strstr(text, "Too large response headers") != NULL)
        return error_set(error, RESULT_PROTOCOL, "the answer of %s is larger than %d KiB", host,
                         REPLY_BODY_MAX / 1024);
    if (transfer->resend_refused)
        return error_set(error, RESULT_TEMPORARY, "%s closed the connection without an answer",
                         host);
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
        return error_set(error, RESULT_PROTOCOL, "%s does not speak HTTP/1.1: %s", host, text);
    case CURLE_OUT_OF_MEMORY: /* so libcurl calls a header line over 100 KiB */
        return error_set(error, RESULT_PROTOCOL, "the answer of %s has a header too large", host);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(error, RESULT_TEMPORARY, "no answer from %s in time", host);
    default:
        break;
    }
    /* libcurl has one code for a broken chunk and for a broken connection. */
    if (strstr(text, "chunk") != NULL || strstr(text, "hex") != NULL)
        return error_set(error, RESULT_PROTOCOL, "%s sends broken HTTP: %s", host, text);
    return error_set(error, RESULT_TEMPORARY, "the connection to %s broke before the answer: %s",
                     host, text);
}

static void report_timing(const struct transfer *transfer, const char *host, CURLcode code)
{
    static const CURLINFO infos[] = {CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_CONNECT_TIME_T,
                                     CURLINFO_APPCONNECT_TIME_T, CURLINFO_TOTAL_TIME_T};
    curl_off_t us[4] = {0};
    const char *path = strstr(transfer->request->url, "/auth/");
    char status[32] = "no answer";

    for (size_t i = 0; i < 4; i++)
        transfer->pool->curl->easy_getinfo(transfer->easy, infos[i], &us[i]);
    if (code == CURLE_OK)
        snprintf(status, sizeof status, "HTTP %ld", transfer->reply->status);
    msg_verbose("POST %s at %s: %s, DNS %.1f ms, connect %.1f ms, TLS %.1f ms, total %.1f ms",
                path == NULL ? "" : path, host, status, (double)us[0] / 1000,
                (double)(us[1] > us[0] ? us[1] - us[0] : 0) / 1000,
                (double)(us[2] > us[1] ? us[2] - us[1] : 0) / 1000, (double)us[3] / 1000);
}

/* Seconds or a date (RFC 9110, 10.2.3); -1 when there is none, or nonsense. CURLINFO_RETRY_AFTER
 * gives 0 for both of these. */
static int64_t retry_after_s(const struct transfer *transfer)
{
    const struct libcurl *curl = transfer->pool->curl;
    struct curl_header *header;
    time_t date;

    if (curl->easy_header(transfer->easy, "retry-after", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return -1;
    /* Nine digits are thirty years. */
    if (strlen(header->value) <= 9 && strspn(header->value, "0123456789") == strlen(header->value))
        return *header->value == '\0' ? -1 : strtoll(header->value, NULL, 10);
    date = curl->getdate(header->value, NULL);
    if (date == -1)
        return -1;
    return date < clock_epoch_s() ? 0 : date - clock_epoch_s();
}

/* Tries once more with all the roots that libcurl knows. True if it is under way. */
static bool fall_back(struct transfer *transfer)
{
    struct request_pool *pool = transfer->pool;

    if (!pool->trust_is_ours || transfer->fell_back || transfer->sent || !lacks_issuer(transfer))
        return false;
    msg_verbose("the issuer is not in %s, trying libcurl's bundle", pool->ca_path);
    pool->trust_fell_back = true; /* for those that follow, too */
    transfer->fell_back = true;
    pool->curl->multi_remove_handle(pool->multi, transfer->easy);
    set_trust(transfer);
    pool->curl->multi_add_handle(pool->multi, transfer->easy);
    return true;
}

static void finish(struct transfer *transfer, CURLcode code)
{
    struct reply *reply = transfer->reply;
    char *host;

    if (code == CURLE_PEER_FAILED_VERIFICATION && fall_back(transfer))
        return;
    host = url_host(transfer->request->url);
    if (code == CURLE_OK) {
        transfer->pool->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &reply->status);
        reply->fate = REQUEST_ANSWERED;
        reply->retry_after_s = retry_after_s(transfer);
        reply->error.result = RESULT_OK;
    } else if (transfer->sent) {
        reply->fate = REQUEST_LOST;
        classify_lost(transfer, code, host, &reply->error);
    } else {
        reply->fate = REQUEST_NOT_SENT;
        classify_unsent(transfer, code, host, &reply->error);
    }
    if (msg_is_verbose())
        report_timing(transfer, host, code);
    mem_free(host);
    reply->done = true;
    free_transfer(transfer);
}

/* ---- the pool ---- */

/* libcurl lets the two descriptors with which a multi handle wakes itself be inherited. They are
 * the two lowest that are free. */
static void *open_multi(const struct libcurl *curl)
{
    int fds[2] = {fd_open("/dev/null", O_RDONLY), fd_open("/dev/null", O_RDONLY)};
    void *multi;

    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    multi = curl->multi_init();
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    return multi;
}

enum result request_pool_open(struct request_pool **pool_slot, const char *cacert, int connections,
                              struct error *error)
{
    struct request_pool *pool = mem_new(sizeof *pool);

    if (libcurl_load(&pool->curl, error) != RESULT_OK ||
        choose_trust(pool, cacert, error) != RESULT_OK) {
        request_pool_close(pool);
        return error->result;
    }
    pool->multi = mem_require(open_multi(pool->curl));
    pool->curl->multi_setopt(pool->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)connections);
    pool->curl->multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    *pool_slot = pool;
    return RESULT_OK;
}

void request_pool_close(struct request_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->transfers != NULL)
        free_transfer(pool->transfers);
    if (pool->multi != NULL)
        pool->curl->multi_cleanup(pool->multi);
    mem_free(pool->ca_file);
    mem_free(pool->ca_path);
    mem_free(pool);
}

static bool reap(struct request_pool *pool)
{
    struct CURLMsg *message;
    bool any = false;
    int left;

    while ((message = pool->curl->multi_info_read(pool->multi, &left)) != NULL) {
        struct transfer *transfer;

        if (message->msg != CURLMSG_DONE)
            continue;
        pool->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish(transfer, message->data.result);
        any = true;
    }
    return any;
}

void request_pool_wait(struct request_pool *pool, const int *fds, size_t fd_count,
                       int64_t timeout_ms)
{
    struct curl_waitfd *waits = mem_new((fd_count + 1) * sizeof *waits);
    unsigned count = 0;
    int running;

    for (size_t i = 0; i < fd_count; i++) {
        if (fds[i] >= 0)
            waits[count++] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    }
    if (signals_fd() >= 0 && !signals_caught()) /* else it would be no news */
        waits[count++] = (struct curl_waitfd){.fd = signals_fd(), .events = CURL_WAIT_POLLIN};
    pool->curl->multi_perform(pool->multi, &running);
    if (!reap(pool)) {
        pool->curl->multi_poll(pool->multi, waits, count, (int)timeout_ms, NULL);
        pool->curl->multi_perform(pool->multi, &running);
        reap(pool);
    }
    mem_free(waits);
}

void request_clear(struct request *request)
{
    mem_free(request->url);
    mem_free(request->authorization);
    mem_free(request->json);
    memset(request, 0, sizeof *request);
}

void reply_clear(struct reply *reply)
{
    buffer_clear(&reply->body);
    *reply = (struct reply){.body = BUFFER(REPLY_BODY_MAX), .retry_after_s = -1};
}
