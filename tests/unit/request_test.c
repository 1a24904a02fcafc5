/* SPDX-License-Identifier: MIT */
/* Requests to a service on this machine's loopback that answers byte by byte what a test gives it.
 */
#include "service/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "descriptors.h"
#include "service/libcurl.h"
#include "signalled.h"
#include "unit.h"

/* Nobody waits for so long; what hangs fails by it. */
#define LONG_MS 60000
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
#define TURNS_MAX 8

/* ---- the service ---- */

static struct turn {
    const char *answer; /* NULL: none */
    size_t len;
    void (*before)(void);
    bool closes;
} turns[TURNS_MAX];
static int turn_count, listener = -1, stop_pipe[2] = {-1, -1};
static atomic_int requests, connections, closed; /* connections, as the service has it */
static char asked[8192];                         /* the last request */
static char url[64];
static pthread_t thread;

static struct connection connection;
static struct request request;
static struct reply reply;
static struct error error;

/* False when the test is over. */
static bool wait_readable(int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_pipe[0], .events = POLLIN}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    return fds[1].revents == 0;
}

static bool is_whole(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");

    return body != NULL && (length == NULL || strlen(body + 4) >= strtoul(length + 16, NULL, 10));
}

/* One request, whole, into `asked`. */
static bool hear(int fd)
{
    size_t len = 0;

    do {
        ssize_t got;

        if (!wait_readable(fd) || len == sizeof asked - 1)
            return false;
        got = read(fd, asked + len, sizeof asked - 1 - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
        asked[len] = '\0';
    } while (!is_whole(asked));
    return true;
}

static void say(int fd, const char *bytes, size_t len)
{
    ssize_t done;

    for (; len > 0 && (done = write(fd, bytes, len)) > 0; bytes += done)
        len -= (size_t)done;
}

static void serve(int fd)
{
    bool more = true;

    while (more && hear(fd)) {
        int number = requests++;
        const struct turn *turn = &turns[number];

        if (number >= turn_count)
            break;
        if (turn->before != NULL)
            turn->before();
        if (turn->answer == NULL && !turn->closes)
            wait_readable(-1); /* for the end of the test */
        else if (turn->answer != NULL)
            say(fd, turn->answer, turn->len);
        more = !turn->closes;
    }
}

static void *run_service(void *user)
{
    (void)user;
    while (wait_readable(listener)) {
        int fd = accept(listener, NULL, NULL);

        connections++;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        serve(fd);
        close(fd);
        closed++;
    }
    return NULL;
}

/* ---- a test ---- */

/* A port on the loopback that is ours; whether anybody listens there is seen later. */
static int bind_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    fcntl(fd, F_SETFD, FD_CLOEXEC);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
          getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

/* What comes next is answered so. */
static void answer_bytes(const char *bytes, size_t len)
{
    if (CHECK(turn_count < TURNS_MAX))
        turns[turn_count++] = (struct turn){.answer = bytes, .len = len};
}

static void answer(const char *text)
{
    answer_bytes(text, text == NULL ? 0 : strlen(text));
}

static void answer_and_close(const char *text)
{
    answer(text);
    turns[turn_count - 1].closes = true;
}

static void set_up(void)
{
    sigset_t all, before;

    listener = bind_port();
    CHECK(listen(listener, 8) == 0 && pipe(stop_pipe) == 0);
    for (int i = 0; i < 2; i++)
        fcntl(stop_pipe[i], F_SETFD, FD_CLOEXEC);
    turn_count = 0;
    requests = connections = closed = 0;
    asked[0] = '\0';
    /* Signals are for the thread that sends. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK_INT(pthread_create(&thread, NULL, run_service, NULL), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void tear_down(void)
{
    CHECK(write(stop_pipe[1], "", 1) == 1);
    pthread_join(thread, NULL);
    request_close(&connection);
    request_clear(&request);
    reply_clear(&reply);
    close(stop_pipe[0]);
    close(stop_pipe[1]);
    close(listener);
}

static enum result send_for(int64_t timeout_ms)
{
    error = (struct error){0};
    if (request.url == NULL)
        request.url = mem_join(url, "/v1/auth/refresh");
    return request_send(&connection, &request, &reply, timeout_ms, &error);
}

static enum result send_it(void)
{
    return send_for(LONG_MS);
}

static void check_failure(enum result result, enum result expected, enum request_fate fate,
                          const char *part)
{
    CHECK_INT(error.result, expected);
    CHECK_INT(reply.fate, fate);
    if (!CHECK_INT(result, expected) || !CHECK(strstr(error.text, part) != NULL))
        printf("# '%s'\n", error.text);
}

/* ---- what goes out ---- */

TEST(a_refresh_as_it_goes_out)
{
    set_up();
    answer(OK);
    request.authorization = mem_copy("the-token");
    CHECK_INT(send_it(), RESULT_OK);
    CHECK(strncmp(asked, "POST /v1/auth/refresh HTTP/1.1\r\n", 32) == 0);
    CHECK(strstr(asked, "\r\nAuthorization: the-token\r\n") != NULL);
    CHECK(strstr(asked, "\r\naccept: application/json\r\n") != NULL);
    CHECK(strstr(asked, "\r\nUser-Agent: servetel-auth/") != NULL);
    CHECK(strstr(asked, "\r\nContent-Length: 0\r\n") != NULL);
    CHECK(strcasestr(asked, "content-type") == NULL);
    CHECK(strstr(asked, "\r\n\r\n")[4] == '\0');
    tear_down();
}

TEST(a_login_as_it_goes_out)
{
    set_up();
    answer(OK);
    request.json = mem_copy("{\"email\":\"me\"}");
    CHECK_INT(send_it(), RESULT_OK);
    CHECK(strstr(asked, "\r\ncontent-type: application/json\r\n") != NULL);
    CHECK(strstr(asked, "\r\n\r\n{\"email\":\"me\"}") != NULL);
    CHECK(strcasestr(asked, "authorization") == NULL);
    tear_down();
}

/* The loopback is never a proxy's business. */
TEST(no_proxy_is_asked)
{
    set_up();
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    answer(OK);
    CHECK_INT(send_it(), RESULT_OK);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    tear_down();
}

/* ---- what comes back ---- */

TEST(an_answer_is_one_whatever_its_status)
{
    static const struct {
        const char *answer;
        long status;
        const char *body;
    } table[] = {
        {OK, 200, "{}"},
        {"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nbad", 401, "bad"},
        {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500, ""},
        {"HTTP/1.1 204 None\r\n\r\n", 204, ""},
        {"HTTP/1.1 100 Continue\r\n\r\n" OK, 200, "{}"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200,
         "{}"},
        {"HTTP/1.1 302 There\r\nLocation: /v1/auth/refresh\r\nContent-Length: 0\r\n\r\n", 302, ""},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int64_t now = clock_epoch_s();

        set_up();
        answer(table[i].answer);
        if (!CHECK_INT(send_it(), RESULT_OK))
            printf("# row %zu: '%s'\n", i, error.text);
        CHECK_STR(error.text, "");
        CHECK_INT(reply.fate, REQUEST_ANSWERED);
        CHECK_INT(reply.status, table[i].status);
        CHECK_STR(buffer_text(&reply.body), table[i].body);
        CHECK(reply.sent_at >= now && reply.sent_at <= clock_epoch_s());
        CHECK(reply.date >= now && reply.date <= clock_epoch_s()); /* ours: it sent none */
        CHECK_INT(reply.retry_after_s, -1);
        CHECK_INT(requests, 1); /* no redirect is followed */
        tear_down();
    }
}

TEST(the_service_says_when_to_come_back)
{
    static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const struct {
        const char *retry_after; /* NULL: none */
        int64_t seconds;
    } table[] = {
        {NULL, -1},
        {"0", 0},
        {"17", 17},
        {"4102444800", 4102444800},
        {"99999999999999999999", INT64_MAX},
        {"Sun, 06 Nov 1994 08:51:07 GMT", 90}, /* by its own clock */
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:00:00 GMT", 0},
        {"", -1},
        {"soon", -1},
        {"1.5", -1},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *value = table[i].retry_after;
        char text[256];

        set_up();
        snprintf(text, sizeof text,
                 "HTTP/1.1 429 No\r\nDate: %s\r\n%s%s%sContent-Length: 0\r\n\r\n", date,
                 value == NULL ? "" : "Retry-After: ", value == NULL ? "" : value,
                 value == NULL ? "" : "\r\n");
        answer(text);
        CHECK_INT(send_it(), RESULT_OK);
        CHECK_INT(reply.date, 784111777);
        if (!CHECK_INT(reply.retry_after_s, table[i].seconds))
            printf("# for '%s'\n", value == NULL ? "(none)" : value);
        tear_down();
    }
}

/* ---- limits ---- */

TEST(an_answer_of_a_mebibyte_is_read_and_not_a_byte_more)
{
    for (int more = 0; more <= 1; more++) {
        size_t body = REPLY_BODY_MAX + (size_t)more, head;
        char *text = mem_new(body + 100);

        set_up();
        head = (size_t)snprintf(text, 100, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
        memset(text + head, 'x', body);
        answer_bytes(text, head + body);
        if (more == 0)
            CHECK_INT(send_it(), RESULT_OK);
        else
            check_failure(send_it(), RESULT_PROTOCOL, REQUEST_LOST, "larger than 1024 KiB");
        CHECK(more == 1 || reply.body.len == body);
        tear_down();
        mem_free(text);
    }
}

TEST(headers_without_an_end_are_not_read_for_ever)
{
    char *text = mem_format("HTTP/1.1 200 OK\r\nX-Long: %0*d", 200000, 0);

    set_up();
    answer(text);
    check_failure(send_it(), RESULT_PROTOCOL, REQUEST_LOST, "larg");
    tear_down();
    mem_free(text);
}

/* ---- no answer ---- */

TEST(a_refused_connection_is_a_request_that_was_not_sent)
{
    int fd = bind_port(); /* where nobody listens */

    check_failure(send_it(), RESULT_TEMPORARY, REQUEST_NOT_SENT, "cannot connect to 127.0.0.1:");
    CHECK_INT(reply.sent_at, 0);
    request_close(&connection);
    request_clear(&request);
    close(fd);
}

TEST(what_is_no_answer_is_a_lost_one)
{
    static const struct {
        const char *answer;
        enum result result;
        const char *text;
    } table[] = {
        {NULL, RESULT_TEMPORARY, "broke before the answer"},
        {"HTTP/1.1 20", RESULT_TEMPORARY, "broke before the answer"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", RESULT_TEMPORARY,
         "broke before the answer"},
        {"HTTP/1.1 200 OK\r\nContent-Len", RESULT_TEMPORARY, "broke before the answer"},
        {"SSH-2.0-OpenSSH_9.6\r\n", RESULT_PROTOCOL, "does not speak HTTP/1.1"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", RESULT_PROTOCOL,
         "sends broken HTTP"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        answer_and_close(table[i].answer);
        check_failure(send_it(), table[i].result, REQUEST_LOST, table[i].text);
        if (!CHECK(strstr(error.text, "127.0.0.1:") != NULL))
            printf("# row %zu\n", i);
        CHECK_INT(requests, 1);
        tear_down();
    }
}

/* The shortest time that is long enough for it to go out, on whatever machine. */
TEST(an_answer_that_is_too_slow_is_lost)
{
    set_up();
    for (int i = 0; i < TURNS_MAX; i++)
        answer(NULL);
    for (int64_t ms = 50; ms < LONG_MS; ms *= 2) {
        enum result result = send_for(ms);

        if (reply.fate == REQUEST_LOST) {
            check_failure(result, RESULT_TEMPORARY, REQUEST_LOST, "no answer from 127.0.0.1:");
            break;
        }
        CHECK_INT(result, RESULT_TEMPORARY);
    }
    CHECK_INT(reply.fate, REQUEST_LOST);
    tear_down();
}

/* ---- the connection ---- */

TEST(a_connection_is_used_again)
{
    set_up();
    for (int i = 0; i < 4; i++)
        answer(OK);
    for (int i = 0; i < 3; i++)
        CHECK_INT(send_it(), RESULT_OK);
    CHECK_INT(connections, 1);
    CHECK_INT(requests, 3);
    request_close(&connection);
    CHECK_INT(send_it(), RESULT_OK);
    CHECK_INT(connections, 2);
    tear_down();
}

/* libcurl would send it again by itself, though it was read. */
TEST(what_was_read_on_a_used_connection_is_not_sent_again)
{
    set_up();
    answer(OK);
    answer_and_close(NULL);
    answer(OK);
    CHECK_INT(send_it(), RESULT_OK);
    check_failure(send_it(), RESULT_TEMPORARY, REQUEST_LOST, "without an answer");
    CHECK_INT(requests, 2);
    CHECK_INT(send_it(), RESULT_OK); /* one that is new */
    CHECK_INT(requests, 3);
    tear_down();
}

/* The service's thread may be a little later. */
static void close_both(void)
{
    request_close(&connection);
    while (closed < connections)
        poll(NULL, 0, 1);
}

TEST(no_descriptor_is_left_open_or_inherited)
{
    bool before[FDS], during[FDS];
    int count;

    set_up();
    for (int i = 0; i < 2; i++)
        answer_and_close(OK);
    CHECK_INT(send_it(), RESULT_OK); /* what is opened for good is opened now */
    close_both();
    count = count_fds(before);
    CHECK_INT(request_open(&connection, &error), RESULT_OK);
    CHECK_INT(send_it(), RESULT_OK);
    CHECK(count_fds(during) > count);
    CHECK(memcmp(during, before, sizeof before) == 0);
    close_both();
    CHECK_INT(count_fds(during), count);
    tear_down();
}

/* The connection alone may have taken the time. */
TEST(with_too_little_time_for_the_answer_nothing_is_sent)
{
    set_up();
    answer(OK);
    request.least_ms = LONG_MS + 1;
    CHECK_INT(send_it(), RESULT_TEMPORARY);
    CHECK_STR(error.text, "too little of --timeout is left for the request: nothing was sent");
    CHECK_INT(reply.fate, REQUEST_NOT_SENT);
    CHECK_INT(requests, 0);
    request.least_ms = 1;
    CHECK_INT(send_it(), RESULT_OK);
    CHECK_INT(requests, 1);
    tear_down();
}

/* ---- signals ---- */

/* From the service, when it has the request; it goes on once the signal has come. */
static void interrupt(void)
{
    kill(getpid(), SIGTERM);
    while (signals_caught() == 0)
        poll(NULL, 0, 1);
}

TEST(after_a_signal_nothing_is_sent)
{
    set_up();
    signals_catch();
    raise(SIGTERM);
    request.grace_ms = LONG_MS;
    check_failure(send_it(), RESULT_INTERRUPTED, REQUEST_NOT_SENT, "interrupted");
    CHECK_INT(requests, 0);
    tear_down();
    forget_signals();
}

TEST(a_signal_ends_the_wait_for_an_answer)
{
    set_up();
    signals_catch();
    answer(NULL);
    turns[0].before = interrupt;
    check_failure(send_it(), RESULT_INTERRUPTED, REQUEST_LOST, "interrupted");
    CHECK_INT(requests, 1);
    tear_down();
    forget_signals();
}

TEST(where_the_answer_is_worth_it_a_signal_waits_for_it)
{
    set_up();
    signals_catch();
    answer(OK);
    turns[0].before = interrupt;
    request.grace_ms = LONG_MS;
    CHECK_INT(send_it(), RESULT_OK);
    CHECK_INT(signals_caught(), SIGTERM);
    CHECK_INT(reply.fate, REQUEST_ANSWERED);
    CHECK_STR(buffer_text(&reply.body), "{}");
    tear_down();
    forget_signals();
}

TEST(but_not_for_ever)
{
    set_up();
    signals_catch();
    answer(NULL);
    turns[0].before = interrupt;
    request.grace_ms = 50;
    check_failure(send_it(), RESULT_INTERRUPTED, REQUEST_LOST, "interrupted");
    tear_down();
    forget_signals();
}

/* ---- libcurl fails ---- */

static CURLcode fail_setopt(CURL *easy, CURLoption option, ...)
{
    (void)easy;
    return option == CURLOPT_POSTFIELDS ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

static CURLMcode fail_add(CURLM *multi, CURL *easy)
{
    (void)multi;
    (void)easy;
    return CURLM_BAD_EASY_HANDLE;
}

TEST(an_option_that_cannot_be_set_is_told_and_nothing_is_sent)
{
    __typeof__(libcurl.easy_setopt) setopt;

    set_up();
    CHECK_INT(request_open(&connection, &error), RESULT_OK);
    setopt = libcurl.easy_setopt;
    libcurl.easy_setopt = fail_setopt;
    check_failure(send_it(), RESULT_FAILED, REQUEST_NOT_SENT, "out of memory");
    libcurl.easy_setopt = setopt;
    CHECK_INT(connections, 0);
    tear_down();
}

TEST(so_is_a_request_that_libcurl_does_not_take)
{
    __typeof__(libcurl.multi_add_handle) add;

    set_up();
    CHECK_INT(request_open(&connection, &error), RESULT_OK);
    add = libcurl.multi_add_handle;
    libcurl.multi_add_handle = fail_add;
    check_failure(send_it(), RESULT_TEMPORARY, REQUEST_NOT_SENT, "cannot connect");
    libcurl.multi_add_handle = add;
    CHECK_INT(connections, 0);
    tear_down();
}

/* ---- what is told ---- */

/* Microseconds from the beginning; with plain http there are none for TLS. */
static CURLcode tell_times(CURL *easy, CURLINFO info, ...)
{
    void *slot;
    va_list args;

    (void)easy;
    va_start(args, info);
    slot = va_arg(args, void *);
    va_end(args);
    if (info == CURLINFO_RESPONSE_CODE)
        *(long *)slot = 200;
    else
        *(curl_off_t *)slot = info == CURLINFO_NAMELOOKUP_TIME_T ? 1000
                              : info == CURLINFO_CONNECT_TIME_T  ? 3500
                              : info == CURLINFO_TOTAL_TIME_T    ? 7000
                                                                 : 0;
    return CURLE_OK;
}

TEST(how_long_each_step_took_is_told)
{
    __typeof__(libcurl.easy_getinfo) getinfo;
    int before, fd[2];
    char told[256] = "";

    set_up();
    answer_and_close(OK);
    answer(OK);
    CHECK_INT(send_it(), RESULT_OK);
    close_both(); /* libcurl 8.22 and later would not notice, for a second, that the service did */
    getinfo = libcurl.easy_getinfo;
    libcurl.easy_getinfo = tell_times;
    CHECK(pipe(fd) == 0);
    before = dup(STDERR_FILENO);
    dup2(fd[1], STDERR_FILENO);
    msg_level = MSG_VERBOSE;
    CHECK_INT(send_it(), RESULT_OK);
    msg_level = MSG_NORMAL;
    dup2(before, STDERR_FILENO);
    libcurl.easy_getinfo = getinfo;
    CHECK(read(fd[0], told, sizeof told - 1) > 0);
    if (!CHECK(strstr(told, "DNS 1.0 ms, connect 2.5 ms, TLS 0.0 ms, total 7.0 ms\n") != NULL))
        printf("# '%s'\n", told);
    close(before);
    close(fd[0]);
    close(fd[1]);
    tear_down();
}

/* ---- what cannot be asked ---- */

TEST(roots_that_cannot_be_read_are_a_local_error)
{
    connection.cacert = "/nonexistent/roots.pem";
    request.url = mem_copy("https://127.0.0.1:1/auth/refresh");
    CHECK_INT(send_it(), RESULT_LOCAL);
    CHECK(strstr(error.text, "/nonexistent/roots.pem") != NULL);
    CHECK_INT(reply.fate, REQUEST_NOT_SENT);
    request_close(&connection);
    request_clear(&request);
    connection.cacert = NULL;
}
