/* The machine of renew.h, driven by hand: replies are made up, pauses are passed over, commits are
 * made at once. */
#ifndef RENEWING_H
#define RENEWING_H

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "jwt.h"
#include "renewal/renew.h"
#include "scratch.h"
#include "store/token.h"
#include "unit.h"

#define URL "https://api.example/v1"
#define DAY 86400
#define OK_BODY                                                                                    \
    "{\"success\":true,\"access_token\":\"new-token\",\"token_type\":\"bearer\","                  \
    "\"expires_in\":3600}"
#define REFUSED_BODY "{\"success\":false,\"message\":\"Token Signature could not be verified.\"}"

static int64_t now;
static struct renewal r;
static struct renew_wish wish;
static struct buffer password, imported;
static enum renew_step step;
static int requests, pauses, commits;
static int64_t last_pause_ms;
static bool stop_at_pause, fail_commit, store_though_failed;

static inline void set_up(void)
{
    scratch_make();
    setenv("SERVETEL_AUTH_DIR", scratch, 1);
    now = clock_epoch_s();
    wish = (struct renew_wish){
        .goal = RENEW_GOAL_FRESH, .keep_above_s = -1, .retries = 2, .timeout_ms = 30000};
    password = BUFFER(4096);
    imported = BUFFER(20000);
    requests = pauses = commits = 0;
    stop_at_pause = fail_commit = store_though_failed = false;
}

static inline void tear_down(void)
{
    renew_end(&r);
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

static inline void commit(void)
{
    commits++;
    if (fail_commit) {
        r.stored = store_though_failed;
        if (r.stored)
            CHECK_INT(cache_write(&r.cache, r.text, &r.stored, &r.commit_error), RESULT_OK);
        error_set(&r.commit_error, RESULT_LOCAL, "the disk is full");
        return;
    }
    r.commit_error.result = cache_write(&r.cache, r.text, &r.stored, &r.commit_error);
    if (r.commit_error.result == RESULT_OK)
        r.commit_error.result = cache_sync(&r.cache, &r.commit_error);
}

/* On to the next request or the end (or, if wanted, the next pause). */
static inline void advance(void)
{
    for (;;) {
        struct pollfd fd = {.events = POLLIN};

        step = renew_next(&r);
        switch (step) {
        case RENEW_REQUEST:
            requests++;
            return;
        case RENEW_DONE:
            return;
        case RENEW_PAUSE:
            pauses++;
            last_pause_ms = r.pause_until_ms - clock_monotonic_ms();
            if (stop_at_pause)
                return;
            break;
        case RENEW_CHILD:
            fd.fd = child_fd(&r.child);
            poll(&fd, 1, 5);
            break;
        case RENEW_COMMIT:
            commit();
            break;
        }
    }
}

static inline void begin(void)
{
    renew_begin(&r, &wish, "default", NULL);
    advance();
}

/* Ends one renewal and begins the next, as another run of the program would. */
static inline void begin_again(void)
{
    renew_end(&r);
    requests = pauses = commits = 0;
    begin();
}

static inline void answer_after(long status, const char *body, int64_t retry_after_s)
{
    CHECK_INT(step, RENEW_REQUEST);
    reply_clear(&r.reply);
    r.reply.done = true;
    r.reply.fate = REQUEST_ANSWERED;
    r.reply.status = status;
    r.reply.sent_at = clock_epoch_s();
    r.reply.retry_after_s = retry_after_s;
    CHECK(buffer_append_text(&r.reply.body, body));
    advance();
}

static inline void answer(long status, const char *body)
{
    answer_after(status, body, -1);
}

static inline void no_answer(enum request_fate fate, enum result result)
{
    CHECK_INT(step, RENEW_REQUEST);
    reply_clear(&r.reply);
    r.reply.done = true;
    r.reply.fate = fate;
    error_set(&r.reply.error, result, "%s", fate == REQUEST_LOST ? "it broke" : "no connection");
    advance();
}

static inline void expect_refresh(const char *authorization)
{
    if (!CHECK_INT(step, RENEW_REQUEST))
        return;
    CHECK_STR(r.request.url, URL "/auth/refresh");
    CHECK_STR(r.request.authorization, authorization);
    CHECK(r.request.json == NULL);
    CHECK(r.deadline_ms > clock_monotonic_ms());
}

static inline void expect_login(const char *body)
{
    if (!CHECK_INT(step, RENEW_REQUEST))
        return;
    CHECK_STR(r.request.url, URL "/auth/login");
    CHECK_STR(r.request.json, body);
    CHECK(r.request.authorization == NULL);
}

static inline void expect_done(enum result result, int expected_requests)
{
    if (!CHECK_INT(step, RENEW_DONE) || !CHECK_INT(r.error.result, result))
        printf("# '%s'\n", r.error.text);
    CHECK_INT(requests, expected_requests);
    CHECK(!r.cache.locked);
    CHECK_STR(get(at(".default.json.tmp")), "(none)");
    CHECK(r.request.url == NULL && r.password.data == NULL);
    if (result != RESULT_OK)
        CHECK(r.error.text[0] != '\0');
    CHECK_INT(renew_next(&r), RENEW_DONE);
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

    profile_init(&profile);
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

/* A cached token with a password command as its source. */
static inline void cache_with_source(const char *command)
{
    char *more = mem_format(",\"auth_scheme\":\"raw\",\"password_command\":\"%s\"", command);

    cache_token("old-token", now + 1000, more);
    mem_free(more);
}

/* Up to the request that logs in with the remembered password. */
static inline void refuse_token(void)
{
    begin();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
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

static inline void wish_login(const char *email, const char *secret)
{
    wish.goal = RENEW_GOAL_LOGIN;
    wish.email = email;
    wish.password = &password;
    wish.api_url = URL;
    CHECK(buffer_append_text(&password, secret));
}

#endif
