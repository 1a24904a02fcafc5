/* SPDX-License-Identifier: MIT */
#include "renewal/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/signals.h"
#include "scratch.h"
#include "signalled.h"
#include "store/lock.h"
#include "unit.h"

#define COUNT_MAX 64
#define CONNECTIONS_MAX 16
/* Nobody waits for so long; what hangs fails by it. */
#define LONG_MS 60000

static enum result results[COUNT_MAX];
static int times_done[COUNT_MAX];
static struct renew_wish wish;
static int count, begun, done, ends;
static atomic_int requests, callers;
static void (*on_done)(int number), (*on_request)(int number);

/* ---- the service: answers all of them, and sees who asks ---- */

static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t seen_more = PTHREAD_COND_INITIALIZER;
static const struct connection *seen[CONNECTIONS_MAX];
static bool in_use[CONNECTIONS_MAX];
static int seen_count, meet; /* each waits until so many have asked */

static int look_up(const struct connection *connection)
{
    int i = 0;

    while (i < seen_count && seen[i] != connection)
        i++;
    if (i == seen_count && CHECK(seen_count < CONNECTIONS_MAX))
        seen[seen_count++] = connection;
    return i;
}

static enum result send_to_nobody(struct connection *connection, const struct request *request,
                                  struct reply *reply, int64_t timeout_ms, struct error *error)
{
    struct timespec until = {.tv_sec = time(NULL) + LONG_MS / 1000};
    int which, number;

    (void)request;
    (void)timeout_ms;
    (void)error;
    pthread_mutex_lock(&seen_lock);
    which = look_up(connection);
    CHECK(!in_use[which]); /* it belongs to one thread */
    in_use[which] = true;
    pthread_cond_broadcast(&seen_more);
    while (seen_count < meet && pthread_cond_timedwait(&seen_more, &seen_lock, &until) == 0)
        continue;
    CHECK(seen_count >= meet);
    pthread_mutex_unlock(&seen_lock);

    number = atomic_fetch_add(&requests, 1) + 1;
    if (on_request != NULL)
        on_request(number);
    sched_yield();
    reply_clear(reply);
    reply->fate = REQUEST_ANSWERED;
    reply->status = 200;
    reply->sent_at = reply->date = clock_epoch_s();
    buffer_put(&reply->body, "{\"access_token\":\"new-token\"}");

    pthread_mutex_lock(&seen_lock);
    in_use[which] = false;
    pthread_mutex_unlock(&seen_lock);
    return RESULT_OK;
}

/* ---- the line ---- */

static const char *name_of(int number)
{
    static _Thread_local char name[16];

    snprintf(name, sizeof name, "p%02d", number);
    return name;
}

/* Two at once would show here, if not each time. */
static void enter(void)
{
    CHECK_INT(atomic_fetch_add(&callers, 1), 0);
    for (int i = 0; i < 10; i++)
        sched_yield();
}

static void leave(void)
{
    atomic_fetch_sub(&callers, 1);
}

static const char *next(void *user)
{
    const char *name = NULL;

    CHECK(user == &wish);
    enter();
    if (begun < count)
        name = name_of(begun++);
    else
        ends++;
    leave();
    return name;
}

static void take_back(void *user, const struct renewal *r, enum result result)
{
    int number = atoi(r->cache.name + 1);

    CHECK(user == &wish);
    enter();
    CHECK(r->cache.lock_fd < 0);
    results[number] = result;
    times_done[number]++;
    done++;
    if (on_done != NULL)
        on_done(number);
    leave();
}

static void set_up(int profiles)
{
    scratch_make();
    setenv("SERVETEL_AUTH_DIR", scratch, 1);
    wish = (struct renew_wish){.goal = RENEW_GOAL_FRESH,
                               .keep_above_s = -1,
                               .retries = 2,
                               .timeout_ms = LONG_MS,
                               .send = send_to_nobody};
    memset(times_done, 0, sizeof times_done);
    count = profiles;
    begun = done = ends = seen_count = meet = 0;
    requests = 0;
    on_done = NULL;
    on_request = NULL;
    for (int i = 0; i < count; i++) {
        char *path = mem_join(scratch, "/", name_of(i), ".json");

        put(path, "{\"version\":1,\"access_token\":\"old-token\",\"expires_at\":5,"
                  "\"auth_scheme\":\"raw\",\"email\":\"me\"}");
        mem_free(path);
    }
}

static void tear_down(void)
{
    scratch_remove();
    unsetenv("SERVETEL_AUTH_DIR");
}

static void run(int jobs)
{
    struct workers workers = {
        .wish = &wish, .jobs = jobs, .next = next, .done = take_back, .user = &wish};

    workers_run(&workers);
    CHECK_INT(done, begun);
    for (int i = 0; i < begun; i++)
        CHECK_INT(times_done[i], 1);
}

static bool is_renewed(int number)
{
    char *path = mem_join(scratch, "/", name_of(number), ".json");
    bool renewed = strstr(get(path), "new-token") != NULL;

    mem_free(path);
    return renewed;
}

/* ---- all of them ---- */

TEST(each_is_made_once)
{
    static const int jobs[] = {-1, 0, 1, 2, 4, 15};

    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        set_up(12);
        run(jobs[i]);
        CHECK_INT(begun, 12);
        CHECK_INT(requests, 12);
        CHECK_INT(ends, 1); /* whoever has said so is not asked again */
        for (int number = 0; number < 12; number++) {
            CHECK_INT(results[number], RESULT_OK);
            CHECK(is_renewed(number));
        }
        tear_down();
    }
}

TEST(so_many_are_made_at_once)
{
    static const int jobs[] = {1, 2, 5};

    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        set_up(6);
        meet = jobs[i];
        run(jobs[i]);
        CHECK_INT(seen_count, jobs[i]);
        tear_down();
    }
}

TEST(there_may_be_fewer_of_them_or_none)
{
    set_up(2);
    run(8);
    CHECK_INT(done, 2);
    CHECK(seen_count <= 2);
    tear_down();
    set_up(0);
    run(8);
    CHECK_INT(ends, 1);
    CHECK_INT(requests, 0);
    tear_down();
}

TEST(one_that_fails_is_handed_back_too)
{
    set_up(5);
    put(at("p02.json"), "{");
    run(2);
    CHECK_INT(done, 5);
    CHECK_INT(results[2], RESULT_LOCAL);
    CHECK_INT(results[3], RESULT_OK);
    CHECK_INT(requests, 4);
    tear_down();
}

/* ---- one that must wait ---- */

static struct cache held;
static int last_done;

static void hold_the_first(void)
{
    struct error error;

    CHECK_INT(cache_open(&held, "p00", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held, &error), RESULT_OK);
}

static void let_go_after_the_others(int number)
{
    last_done = number;
    if (done == count - 1)
        cache_unlock(&held);
}

/* Whoever stood there until it has the lock would wait for himself. */
TEST(one_that_must_wait_holds_up_nobody)
{
    static const int jobs[] = {1, 2, 4};

    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        set_up(5);
        hold_the_first();
        on_done = let_go_after_the_others;
        run(jobs[i]);
        CHECK_INT(begun, 5);
        CHECK_INT(last_done, 0);
        for (int number = 0; number < 5; number++) {
            CHECK_INT(results[number], RESULT_OK);
            CHECK(is_renewed(number));
        }
        CHECK_INT(requests, 5);
        cache_close(&held);
        tear_down();
    }
}

static struct cache held_too;

static void let_both_go_after_the_others(int number)
{
    last_done = number;
    if (done == count - 2) {
        cache_unlock(&held);
        cache_unlock(&held_too);
    }
}

TEST(two_that_must_wait_are_both_made_in_the_end)
{
    struct error error;

    set_up(4);
    hold_the_first();
    CHECK_INT(cache_open(&held_too, "p01", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held_too, &error), RESULT_OK);
    on_done = let_both_go_after_the_others;
    run(1);
    CHECK_INT(begun, 4);
    for (int number = 0; number < 4; number++)
        CHECK(is_renewed(number));
    cache_close(&held);
    cache_close(&held_too);
    tear_down();
}

TEST(one_that_waits_in_vain_ends)
{
    set_up(1);
    wish.timeout_ms = 50;
    hold_the_first();
    run(1);
    CHECK_INT(results[0], RESULT_TEMPORARY);
    CHECK_INT(requests, 0);
    cache_close(&held);
    tear_down();
}

static void take_more_than_its_time(int number)
{
    struct timespec more = {.tv_sec = 1, .tv_nsec = 200 * 1000 * 1000};

    if (number == 1)
        nanosleep(&more, NULL);
    cache_unlock(&held);
}

/* It could have gone on long before: that nobody was free is not its fault. */
TEST(one_in_line_loses_no_time_by_it)
{
    set_up(2);
    wish.timeout_ms = 1000;
    hold_the_first();
    on_request = take_more_than_its_time;
    run(1);
    CHECK_INT(results[0], RESULT_OK);
    CHECK_INT(results[1], RESULT_OK);
    CHECK(is_renewed(0));
    cache_close(&held);
    tear_down();
}

/* ---- signals ---- */

static void interrupt(void)
{
    kill(getpid(), SIGTERM);
}

static void interrupt_at_the_third(int number)
{
    if (number == 3)
        interrupt();
}

TEST(after_a_signal_none_is_begun)
{
    set_up(10);
    on_request = interrupt_at_the_third;
    run(1);
    forget_signals();
    CHECK_INT(begun, 3);
    CHECK_INT(results[2], RESULT_OK); /* it was answered */
    CHECK(is_renewed(2) && !is_renewed(3));
    tear_down();
}

TEST(after_a_signal_all_that_were_begun_end)
{
    set_up(COUNT_MAX);
    meet = 4;
    on_request = interrupt_at_the_third;
    run(4);
    forget_signals();
    CHECK(begun >= 4 && begun < COUNT_MAX);
    for (int number = 0; number < begun; number++)
        CHECK(results[number] == RESULT_OK ? is_renewed(number)
                                           : results[number] == RESULT_INTERRUPTED);
    tear_down();
}

static void interrupt_after(int number)
{
    (void)number;
    if (done == 1)
        interrupt();
}

TEST(a_signal_ends_the_wait_of_those_in_line)
{
    static const int jobs[] = {1, 3};

    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        int64_t now = clock_epoch_s();
        char *text = mem_format("{\"version\":1,\"access_token\":\"old-token\",\"expires_at\":5,"
                                "\"retry_at\":%lld,\"retry_noted_at\":%lld}",
                                (long long)now + 30, (long long)now);

        set_up(2);
        put(at("p00.json"), text);
        mem_free(text);
        on_done = interrupt_after;
        run(jobs[i]);
        forget_signals();
        CHECK_INT(results[0], RESULT_INTERRUPTED);
        CHECK_INT(results[1], RESULT_OK);
        CHECK(!is_renewed(0));
        CHECK(clock_epoch_s() < now + 30); /* it was not waited for after all */
        tear_down();
    }
}

/* ---- descriptors ---- */

TEST(where_descriptors_are_few_so_are_the_workers)
{
    static const struct {
        rlim_t descriptors;
        int workers;
    } table[] = {{64, 4}, {40, 2}, {30, 1}, {20, 1}};
    struct rlimit limit, few;

    getrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up(12);
        meet = table[i].workers;
        few = limit;
        few.rlim_cur = table[i].descriptors;
        setrlimit(RLIMIT_NOFILE, &few);
        run(15);
        setrlimit(RLIMIT_NOFILE, &limit);
        CHECK_INT(seen_count, table[i].workers);
        for (int number = 0; number < 12; number++)
            CHECK_INT(results[number], RESULT_OK);
        tear_down();
    }
}

TEST(no_descriptor_is_left_open)
{
    int before = 0, after = 0;

    set_up(4);
    run(4); /* what libcurl opens for good it opens once */
    tear_down();
    for (int fd = 0; fd < 64; fd++)
        before += fcntl(fd, F_GETFD) >= 0;
    set_up(4);
    run(4);
    tear_down();
    for (int fd = 0; fd < 64; fd++)
        after += fcntl(fd, F_GETFD) >= 0;
    CHECK_INT(after, before);
}
