/* SPDX-License-Identifier: MIT */
/* The renewal of renew.h with a service that a test makes up: what it expects to be asked and what
 * it answers are put down in their order, one after the other, and expect_done() runs it all.
 *
 *     begin();
 *     expect_refresh("old-token");
 *     answer(401, REFUSED_BODY);
 *     answer(200, OK_BODY);
 *     expect_done(RESULT_OK, 2);
 *
 * Pauses are passed over: those in which renew() is left and called again, those that it makes
 * itself, and those which the profile remembers.
 */
#pragma once

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signals.h"
#include "jwt.h"
#include "renewal/renew.h"
#include "scratch.h"
#include "signalled.h"
#include "store/lock.h"
#include "store/token.h"
#include "unit.h"

#define URL "https://api.example/v1"
#define DAY 86400
#define OK_BODY                                                                                    \
    "{\"success\":true,\"access_token\":\"new-token\",\"token_type\":\"bearer\","                  \
    "\"expires_in\":3600}"
#define LOGIN_BODY "{\"email\":\"me@example.com\",\"password\":\"secret\"}"
#define BLACKLISTED_BODY "{\"message\":\"The token has been blacklisted\"}"
#define REFUSED_BODY "{\"success\":false,\"message\":\"Token Signature could not be verified.\"}"

/* One request and its reply. */
struct turn {
    char *url, *text; /* what is expected, with its header or its body; NULL: anything */
    void (*during)(void);
    enum request_fate fate;
    enum result result;
    long status;
    char *body;
    int64_t retry_after_s;
};
#define TURNS_MAX 16
/* More are a renewal without an end. */
#define PAUSES_MAX 16

static int64_t now;
static struct renewal r;
static struct renew_wish wish;
static struct buffer password, imported;
static struct connection connection;
static struct turn script[TURNS_MAX + 1]; /* the last: for an expectation that has no reply */
static int turns, requests, pauses;
static int64_t pause_least_ms, pause_most_ms; /* of the last one; how long it took is not known */
static void (*at_pause)(void);
static const struct request *sent;
static struct stat file_before;
static bool is_begun, passes_over;

/* ---- the service ---- */

/* Each of these is about the next reply. */
static inline void expect_request(const char *url, const char *text)
{
    if (!CHECK(turns < TURNS_MAX))
        return;
    mem_replace(&script[turns].url, url);
    mem_replace(&script[turns].text, text);
}

static inline void expect_refresh(const char *authorization)
{
    expect_request(URL "/auth/refresh", authorization);
}

static inline void expect_login(const char *body)
{
    expect_request(URL "/auth/login", body);
}

/* Called when the request has gone out and before its reply comes. */
static inline void during(void (*function)(void))
{
    if (CHECK(turns < TURNS_MAX))
        script[turns].during = function;
}

static inline void reply_with(enum request_fate fate, enum result result, long status,
                              const char *body, int64_t retry_after_s)
{
    struct turn *turn = &script[turns];

    if (!CHECK(turns < TURNS_MAX))
        return;
    turn->fate = fate;
    turn->result = result;
    turn->status = status;
    mem_replace(&turn->body, body);
    turn->retry_after_s = retry_after_s;
    turns++;
}

static inline void answer_after(long status, const char *body, int64_t retry_after_s)
{
    reply_with(REQUEST_ANSWERED, RESULT_OK, status, body, retry_after_s);
}

static inline void answer(long status, const char *body)
{
    answer_after(status, body, -1);
}

static inline void no_answer(enum request_fate fate, enum result result)
{
    reply_with(fate, result, 0, fate == REQUEST_LOST ? "it broke" : "no connection", -1);
}

static inline void check_request(const struct turn *turn, const struct request *request)
{
    const char *path = strstr(request->url, "/auth/");
    bool is_refresh = path != NULL && strcmp(path, "/auth/refresh") == 0;

    CHECK((request->authorization != NULL) == is_refresh);
    CHECK((request->json != NULL) == !is_refresh);
    CHECK((request->grace_ms > 0) == (is_refresh || wish.password == NULL));
    if (turn->url != NULL)
        CHECK_STR(request->url, turn->url);
    if (turn->text != NULL)
        CHECK_STR(is_refresh ? request->authorization : request->json, turn->text);
}

static inline enum result send_scripted(struct connection *lent, const struct request *request,
                                        struct reply *reply, int64_t timeout_ms,
                                        struct error *error)
{
    const struct turn *turn = &script[requests];

    CHECK(lent == &connection);
    CHECK(timeout_ms > 0 && timeout_ms <= wish.timeout_ms);
    reply_clear(reply);
    if (!CHECK(requests++ < turns))
        return error_set(error, RESULT_PROTOCOL, "the script is over");
    check_request(turn, request);
    sent = request;
    if (turn->during != NULL)
        turn->during();
    reply->fate = turn->fate;
    if (turn->fate != REQUEST_ANSWERED)
        return error_set(error, turn->result, "%s", turn->body);
    reply->status = turn->status;
    reply->sent_at = reply->date = clock_epoch_s();
    reply->retry_after_s = turn->retry_after_s;
    buffer_put(&reply->body, turn->body);
    return RESULT_OK;
}

static inline void clear_script(void)
{
    for (int i = 0; i <= TURNS_MAX; i++) {
        mem_free(script[i].url);
        mem_free(script[i].text);
        mem_free(script[i].body);
        script[i] = (struct turn){0};
    }
    turns = requests = pauses = 0;
}

/* ---- before and after ---- */

/* The pause that the service asked for, if any, is over. */
static inline void let_time_pass(void);

static inline void on_tick(int number)
{
    (void)number;
}

static inline void set_up(void)
{
    const struct sigaction ticks = {.sa_handler = on_tick, .sa_flags = SA_RESTART};

    signals_catch();
    sigaction(SIGALRM, &ticks, NULL); /* for tick(): from now on it is none of those */
    scratch_make();
    setenv("SERVETEL_AUTH_DIR", scratch, 1);
    now = clock_epoch_s();
    wish = (struct renew_wish){.goal = RENEW_GOAL_FRESH,
                               .keep_above_s = -1,
                               .retries = 2,
                               .timeout_ms = 30000,
                               .send = send_scripted};
    password = BUFFER(4096);
    imported = BUFFER(20000);
    at_pause = let_time_pass;
    passes_over = true;
}

static inline void end_renewal(void)
{
    if (is_begun)
        renew_end(&r);
    is_begun = false;
}

static inline void tear_down(void)
{
    CHECK_INT(requests, turns); /* what was put down was also run */
    end_renewal();
    clear_script();
    buffer_clear(&password);
    buffer_clear(&imported);
    scratch_remove();
    unsetenv("SERVETEL_AUTH_DIR");
}

/* A cached token of an hour, from a login just now unless `more` says otherwise. more: further
 * members, each with a comma in front. */
static inline void cache_token(const char *token, int64_t expires_at, const char *more)
{
    char *text = mem_format("{\"version\":1,\"api_url\":\"" URL "\",\"email\":\"me@example.com\","
                            "\"access_token\":\"%s\",\"token_type\":\"bearer\","
                            "\"expires_at\":%lld,\"obtained_at\":%lld,\"logged_in_at\":%lld,"
                            "\"x_kept\":[1]%s}",
                            token, (long long)expires_at, (long long)now - 100,
                            (long long)now - 5000, more);

    put(at("default.json"), text);
    mem_free(text);
}

/* ---- running it ---- */

/* A new renewal, as in another run of the program: nothing is done yet. */
static inline void begin(void)
{
    end_renewal();
    clear_script();
}

static inline void start_with(const char *profile, const char *file)
{
    memset(&file_before, 0, sizeof file_before);
    lstat(at("default.json"), &file_before);
    renew_begin(&r, &wish, profile, file);
    r.connection = &connection;
    is_begun = true;
}

static inline void start(void)
{
    start_with("default", NULL);
}

/* A signal that nobody waits for ends each wait for a time, as if that were over. */
static inline void tick(bool on)
{
    static const struct itimerval soon = {{.tv_usec = 2000}, {.tv_usec = 2000}}, never;

    setitimer(ITIMER_REAL, on ? &soon : &never, NULL);
}

static inline enum result run(void)
{
    enum result result;
    struct rlimit limit;
    int64_t called_ms;

    if (!is_begun)
        start();
    tick(passes_over);
    while (called_ms = clock_monotonic_ms(), (result = renew(&r)) == RESULT_AGAIN) {
        pause_least_ms = r.again_ms - clock_monotonic_ms();
        pause_most_ms = r.again_ms - called_ms;
        CHECK(!r.cache.locked && r.cache.temp_fd < 0); /* others may go on */
        if (!CHECK(++pauses < PAUSES_MAX))
            break;
        if (at_pause != NULL)
            at_pause();
    }
    tick(false);
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0) { /* make_unwritable() */
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    return result;
}

static inline void expect_done(enum result result, int expected_requests)
{
    if (!CHECK_INT(run(), result))
        printf("# '%s'\n", r.error.text);
    CHECK_INT(r.error.result, result);
    CHECK_INT(requests, expected_requests);
    CHECK(script[turns].url == NULL && script[turns].during == NULL);
    CHECK(r.cache.lock_fd < 0);
    CHECK_STR(get(at(".default.json.tmp")), "(none)");
    if (result == RESULT_OK)
        return;
    CHECK(r.error.text[0] != '\0');
    CHECK_INT(renew(&r), result); /* and there it stays */
}

static inline void expect_pause(int64_t least_ms, int64_t most_ms)
{
    if (!CHECK(pause_most_ms >= least_ms && pause_least_ms <= most_ms))
        printf("# %lld to %lld ms\n", (long long)pause_least_ms, (long long)pause_most_ms);
}

static inline void expect_text(const char *part)
{
    if (!CHECK(strstr(r.error.text, part) != NULL))
        printf("# '%s'\n", r.error.text);
}

/* What the file says now; clear it. */
static inline struct profile cached(void)
{
    struct profile profile;
    struct error error;
    struct cache cache;

    profile = PROFILE_NONE;
    CHECK_INT(cache_open(&cache, "default", NULL, &error), RESULT_OK);
    if (!CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK))
        printf("# '%s'\n", error.text);
    cache_close(&cache);
    return profile;
}

static inline void check_cached_token(const char *token)
{
    struct profile profile = cached();

    CHECK_STR(profile.token, token);
    profile_clear(&profile);
}

static inline bool is_in_doubt(const char *token)
{
    struct error error;
    struct cache cache;
    bool doubt;

    CHECK_INT(cache_open(&cache, "default", NULL, &error), RESULT_OK);
    doubt = cache_token_is_in_doubt(&cache, token, 0);
    cache_close(&cache);
    return doubt;
}

static inline bool is_about(int64_t time, int64_t expected)
{
    return time >= expected && time <= expected + 10; /* the test itself takes a moment */
}

/* Whether the file is another one than when the renewal began. */
static inline bool is_rewritten(void)
{
    struct stat st = {0};

    lstat(at("default.json"), &st);
    return st.st_ino != file_before.st_ino;
}

static inline void let_time_pass(void)
{
    struct profile profile;
    int64_t left_s;
    char *text;

    if (strstr(get(at("default.json")), "retry_at") == NULL)
        return;
    profile = cached();
    left_s = profile.retry_at - clock_epoch_s();
    if (left_s > 0) {
        profile.retry_at -= left_s;
        profile.retry_noted_at -= left_s;
    }
    text = profile_print(&profile);
    put(at("default.json"), text);
    mem_free(text);
    profile_clear(&profile);
}

/* ---- what goes wrong while a request is out ---- */

static inline void replace_fd(int fd, int by)
{
    CHECK(by >= 0 && dup2(by, fd) == fd);
    close(by);
}

/* What is then written cannot be. */
static inline void make_unwritable(void)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN); /* as in the program */
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* What is then written is there, but its way to the disk is unsure. */
static inline void make_unsyncable(void)
{
    int fds[2];

    CHECK(pipe(fds) == 0);
    close(fds[1]);
    replace_fd(r.cache.dir_fd, fds[0]);
}

static inline void spend_the_time(void)
{
    r.deadline_ms = clock_monotonic_ms() - 1;
}

static inline void interrupt(void)
{
    raise(SIGTERM);
}

/* ---- what is cached, and what is wanted ---- */

/* A cached token with a password command as its source. */
static inline void cache_with_source(const char *command)
{
    char *more = mem_format(",\"auth_scheme\":\"raw\",\"password_command\":\"%s\"", command);

    cache_token("old-token", now + 1000, more);
    mem_free(more);
}

static inline void cache_with_pause(int64_t noted_ago_s, int64_t left_s)
{
    char *more = mem_format(",\"retry_at\":%lld,\"retry_noted_at\":%lld", (long long)now + left_s,
                            (long long)now - noted_ago_s);

    cache_token("old-token", now + 1000, more);
    mem_free(more);
}

/* Up to the request that logs in with the remembered password. */
static inline void refuse_token(void)
{
    begin();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_login(LOGIN_BODY);
}

static inline void cache_with_command(const char *token, int64_t expires_at, const char *command)
{
    char *more = mem_format(",\"token_command\":\"%s\"", command);

    cache_token(token, expires_at, more);
    mem_free(more);
}

/* A JWT that ends so many seconds from now. */
static inline char *jwt_until(int64_t seconds)
{
    char *payload = mem_format("{\"iat\":%lld,\"exp\":%lld}", (long long)now,
                               (long long)now + (long long)seconds);
    char *token = jwt_of(payload);

    mem_free(payload);
    return token;
}

/* In the directory of the test. */
static inline void wish_hook(const char *command)
{
    static char text[512];

    snprintf(text, sizeof text, "cd '%s' && %s", scratch, command);
    wish.on_change = text;
}

static inline void wish_login(const char *email, const char *secret)
{
    wish.goal = RENEW_GOAL_LOGIN;
    wish.email = email;
    wish.password = &password;
    wish.api_url = URL;
    buffer_put(&password, secret);
}
