/* SPDX-License-Identifier: MIT */
#include "service/request.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/signals.h"
#include "service/transfer.h"
#include "store/url.h"

/* A host that does not answer within this will not; the rest of the time is for another try. */
#define CONNECT_TIMEOUT_MS 10000
/* How long a wait may be before somebody at a terminal is told of it, and how often then. */
#define WAITING_MS 1000

#define UNUSED __attribute__((unused))

/* With its type. What this libcurl was built without is done without; else a failure is kept. */
#define SET_OPTION(transfer, option, value)                                                        \
    remember(transfer, libcurl.easy_setopt((transfer)->easy, option, value))

static void remember(struct transfer *transfer, CURLcode code)
{
    if (code != CURLE_OK && code != CURLE_UNKNOWN_OPTION && code != CURLE_NOT_BUILT_IN)
        transfer->code = code;
}

/* ---- what libcurl calls ---- */

static CURLcode on_ssl_ctx(CURL *easy UNUSED, void *ssl_ctx, void *user UNUSED)
{
    if (libcurl.ssl_ctx_set_options != NULL)
        libcurl.ssl_ctx_set_options(ssl_ctx, 2); /* SSL_OP_CLEANSE_PLAINTEXT: wiped once read */
    return CURLE_OK;
}

static size_t on_body(char *bytes, size_t one UNUSED, size_t count, void *user)
{
    struct transfer *transfer = user;

    return buffer_append(&transfer->reply->body, bytes, count) ? count : 0;
}

static size_t on_header(char *bytes, size_t one UNUSED, size_t count, void *user)
{
    struct transfer *transfer = user;

    if (count > 5 && memcmp(bytes, "HTTP/", 5) == 0) /* more than one, after 1xx */
        transfer->headers_ended = false;
    else if (bytes[0] == '\r' || bytes[0] == '\n')
        transfer->headers_ended = true;
    transfer->header_bytes += count;
    return transfer->header_bytes <= REPLY_BODY_MAX ? count : 0; /* real ones: under 2 KiB */
}

/* Called when the connection stands, before the request goes out. libcurl sends a request again by
 * itself when a connection that it reuses turns out to be closed, although the request may have
 * been read before that: for a refresh this must not be, so the second call is refused. */
static int on_connected(void *user, char *remote UNUSED, char *local UNUSED, int remote_port UNUSED,
                        int local_port UNUSED)
{
    struct transfer *transfer = user;

    /* Who sends it must have the time to hear the answer: a handshake may have taken most of it. */
    if (signals_caught() || transfer->sent ||
        transfer->deadline_ms - clock_monotonic_ms() < transfer->request->least_ms)
        return CURL_PREREQFUNC_ABORT;
    transfer->sent = true;
    transfer->reply->sent_at = clock_epoch_s();
    return CURL_PREREQFUNC_OK;
}

/* Commands, which another thread may start at any moment, must not inherit what carries tokens. */
static curl_socket_t open_socket(void *user UNUSED, curlsocktype purpose UNUSED,
                                 struct curl_sockaddr *address)
{
#ifdef SOCK_CLOEXEC
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
#else
    int fd = socket(address->family, address->socktype, address->protocol);

    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
#endif
}

/* ---- what goes out ---- */

static void add_header(struct transfer *transfer, const char *line)
{
    transfer->headers = mem_require(libcurl.slist_append(transfer->headers, line));
}

static void set_headers(struct transfer *transfer)
{
    add_header(transfer, "accept: application/json");
    /* Without a body none: libcurl would call it a form. */
    add_header(transfer, transfer->request->json != NULL ? "content-type: application/json"
                                                         : "content-type:");
    if (transfer->request->authorization != NULL) {
        OWNED char *line = mem_join("Authorization: ", transfer->request->authorization);

        add_header(transfer, line);
    }
    SET_OPTION(transfer, CURLOPT_HTTPHEADER, transfer->headers);
}

static void set_options(struct transfer *transfer, int64_t timeout_ms)
{
    const char *body = transfer->request->json != NULL ? transfer->request->json : "";
    bool plain = url_is_plain_http(transfer->request->url);
    long connect_ms = timeout_ms < 1                    ? 1 /* loading libcurl took the rest */
                      : timeout_ms < CONNECT_TIMEOUT_MS ? (long)timeout_ms
                                                        : CONNECT_TIMEOUT_MS;

    SET_OPTION(transfer, CURLOPT_URL, transfer->request->url);
    SET_OPTION(transfer, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    SET_OPTION(transfer, CURLOPT_POSTFIELDS, body); /* not COPYPOSTFIELDS: one copy less */
    SET_OPTION(transfer, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    SET_OPTION(transfer, CURLOPT_USERAGENT, "servetel-auth/" VERSION);
    set_headers(transfer);
    if (plain) /* loopback: never a proxy's business */
        SET_OPTION(transfer, CURLOPT_NOPROXY, "*");
    SET_OPTION(transfer, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET_OPTION(transfer, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET_OPTION(transfer, CURLOPT_FOLLOWLOCATION, 0L);
    SET_OPTION(transfer, CURLOPT_NOSIGNAL, 1L);
    /* No CURLOPT_TIMEOUT_MS: it would throw away an answer that lies there when the process was
     * stopped beyond its time. run_transfer() looks at the clock. */
    SET_OPTION(transfer, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    /* A name server that does not answer keeps its thread, not us: before libcurl 8.20. */
    SET_OPTION(transfer, CURLOPT_QUICK_EXIT, 1L);
    SET_OPTION(transfer, CURLOPT_ERRORBUFFER, transfer->curl_error);
    SET_OPTION(transfer, CURLOPT_WRITEFUNCTION, on_body);
    SET_OPTION(transfer, CURLOPT_WRITEDATA, transfer);
    SET_OPTION(transfer, CURLOPT_HEADERFUNCTION, on_header);
    SET_OPTION(transfer, CURLOPT_HEADERDATA, transfer);
    SET_OPTION(transfer, CURLOPT_PREREQFUNCTION, on_connected);
    SET_OPTION(transfer, CURLOPT_PREREQDATA, transfer);
    SET_OPTION(transfer, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET_OPTION(transfer, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
}

static void set_roots(struct transfer *transfer)
{
    const char *file = transfer->connection->roots_file, *path = transfer->connection->roots_path;

    if (file == NULL && path == NULL)
        return; /* libcurl's own */
    SET_OPTION(transfer, CURLOPT_CAINFO, file);
    SET_OPTION(transfer, CURLOPT_CAPATH, path);
    SET_OPTION(transfer, CURLOPT_PROXY_CAINFO, file);
    SET_OPTION(transfer, CURLOPT_PROXY_CAPATH, path);
}

/* ---- what comes back ---- */

static void report_timing(const struct transfer *transfer, const char *host)
{
    static const CURLINFO infos[] = {CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_CONNECT_TIME_T,
                                     CURLINFO_APPCONNECT_TIME_T, CURLINFO_TOTAL_TIME_T};
    curl_off_t us[4] = {0};
    const char *path = strstr(transfer->request->url, "/auth/");
    char status[32] = "no answer";

    for (size_t i = 0; i < 4; i++)
        libcurl.easy_getinfo(transfer->easy, infos[i], &us[i]);
    if (transfer->code == CURLE_OK)
        snprintf(status, sizeof status, "HTTP %ld", transfer->reply->status);
    msg_verbose("POST %s at %s: %s, DNS %.1f ms, connect %.1f ms, TLS %.1f ms, total %.1f ms",
                path == NULL ? "" : path, host, status, (double)us[0] / 1000,
                (double)(us[1] > us[0] ? us[1] - us[0] : 0) / 1000,
                (double)(us[2] > us[1] ? us[2] - us[1] : 0) / 1000, (double)us[3] / 1000);
}

/* "" when there is none. */
static const char *header(const struct transfer *transfer, const char *name)
{
    struct curl_header *found;

    return libcurl.easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK
               ? found->value
               : "";
}

/* -1 when it is none. On 32-bit systems libcurl may have been built with a time_t of 32 bits,
 * unlike this program: then only that half of what it returns is its answer, until 2106. */
static int64_t read_date(const char *text)
{
    time_t date = libcurl.getdate(text, NULL);

    if (sizeof(long) < sizeof date)
        return (uint32_t)date == UINT32_MAX ? -1 : (int64_t)(uint32_t)date;
    return date;
}

/* Seconds or a date (RFC 9110, 10.2.3), which is a span by the service's own clock; -1 when there
 * is none, or nonsense. CURLINFO_RETRY_AFTER gives 0 for both of these. */
static int64_t header_retry_after_s(const struct transfer *transfer)
{
    const char *value = header(transfer, "retry-after");
    int64_t date = read_date(value);
    size_t digits = strspn(value, "0123456789");

    if (digits > 0 && value[digits] == '\0')
        return strtoll(value, NULL, 10); /* INT64_MAX for what is beyond it */
    return date == -1 ? -1 : date < transfer->reply->date ? 0 : date - transfer->reply->date;
}

static void take_headers(const struct transfer *transfer, struct reply *reply)
{
    int64_t then = read_date(header(transfer, "date"));

    libcurl.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    reply->date = then == -1 ? clock_epoch_s() : then;
    reply->retry_after_s = header_retry_after_s(transfer);
}

/* ---- on its way ---- */

/* Moves it on until it has ended (true), the deadline is over or a signal comes, which leaves an
 * answer that is worth it its grace. What lies in the socket is read before the clock is. */
static bool run_transfer(struct transfer *transfer)
{
    const char *waiting = transfer->connection->waiting;
    CURLM *multi = transfer->connection->multi;
    int64_t begun_ms = clock_monotonic_ms(), deadline_ms = transfer->deadline_ms;
    bool caught = false;
    int running = 1;

    while (libcurl.multi_perform(multi, &running) == CURLM_OK && running > 0) {
        struct curl_waitfd signals = {.fd = signals_fd(), .events = CURL_WAIT_POLLIN};
        int64_t now = clock_monotonic_ms(), left_ms = deadline_ms - now;

        if (!caught && signals_caught()) {
            int64_t grace_ms = transfer->sent ? transfer->request->grace_ms : 0;

            caught = true;
            left_ms = left_ms < grace_ms ? left_ms : grace_ms;
            deadline_ms = now + left_ms;
        }
        if (left_ms <= 0)
            return false;
        if (waiting != NULL && now - begun_ms >= WAITING_MS)
            msg_progress("waiting for %s, %lld s", waiting, (long long)(now - begun_ms) / 1000);
        /* A caught signal keeps its descriptor readable: no news any more. */
        libcurl.multi_poll(multi, &signals, caught || signals.fd < 0 ? 0 : 1,
                           (int)(left_ms < WAITING_MS ? left_ms : WAITING_MS), NULL);
    }
    return running == 0;
}

static CURLcode perform(struct transfer *transfer)
{
    CURLM *multi = transfer->connection->multi;
    CURLcode code = CURLE_OPERATION_TIMEDOUT;
    struct CURLMsg *message;
    int left;

    set_roots(transfer);
    if (transfer->code != CURLE_OK)
        return transfer->code;
    if (libcurl.multi_add_handle(multi, transfer->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    if (run_transfer(transfer)) {
        message = libcurl.multi_info_read(multi, &left);
        code = message == NULL ? CURLE_FAILED_INIT : message->data.result;
    }
    libcurl.multi_remove_handle(multi, transfer->easy);
    if (transfer->connection->waiting != NULL)
        msg_progress("%s", "");
    if (code == CURLE_OK && !transfer->headers_ended)
        code = CURLE_RECV_ERROR; /* libcurl takes a connection that ends there for an answer */
    return code;
}

static enum result finish(const struct transfer *transfer, struct error *error)
{
    OWNED char *host = url_host(transfer->request->url);
    bool answered = transfer->code == CURLE_OK;

    transfer->reply->fate = answered         ? REQUEST_ANSWERED
                            : transfer->sent ? REQUEST_LOST
                                             : REQUEST_NOT_SENT;
    if (answered)
        take_headers(transfer, transfer->reply);
    report_timing(transfer, host);
    return answered ? RESULT_OK : failure_tell(transfer, host, error);
}

enum result request_send(struct connection *connection, const struct request *request,
                         struct reply *reply, int64_t timeout_ms, struct error *error)
{
    struct transfer transfer = {.connection = connection, .request = request, .reply = reply};
    enum result result;

    transfer.deadline_ms = clock_monotonic_ms() + timeout_ms;
    reply_clear(reply);
    if (request_open(connection, error) != RESULT_OK)
        return error->result;
    transfer.easy = mem_require(libcurl.easy_init());
    set_options(&transfer, transfer.deadline_ms - clock_monotonic_ms());
    transfer.code = perform(&transfer);
    if (trust_fall_back(&transfer))
        transfer.code = perform(&transfer);
    result = finish(&transfer, error);
    libcurl.easy_cleanup(transfer.easy);
    libcurl.slist_free_all(transfer.headers);
    return result;
}

/* ---- the connection ---- */

/* libcurl lets the two descriptors with which a multi handle wakes itself be inherited. They are
 * the two lowest that are free: no other thread may run yet. */
static void *open_multi(void)
{
    int fds[2] = {fd_open("/dev/null", O_RDONLY), fd_open("/dev/null", O_RDONLY)};
    void *multi;

    for (int i = 0; i < 2; i++)
        close(fds[i]); /* -1, too, is let pass */
    multi = libcurl.multi_init();
    for (int i = 0; i < 2; i++)
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    libcurl.multi_setopt(mem_require(multi), (CURLMoption)21, 1L); /* QUICK_EXIT, from 8.20 on */
    return multi;
}

enum result request_open(struct connection *connection, struct error *error)
{
    if (connection->multi != NULL)
        return RESULT_OK;
    mem_reserve();
    if (libcurl_load(error) != RESULT_OK || trust_choose(connection, error) != RESULT_OK)
        return error->result;
    connection->multi = open_multi();
    return RESULT_OK;
}

void request_close(struct connection *connection)
{
    if (connection->multi != NULL)
        libcurl.multi_cleanup(connection->multi);
    mem_free(connection->root);
    connection->root = connection->multi = NULL;
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
