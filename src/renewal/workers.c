/* SPDX-License-Identifier: MIT */
#include "renewal/workers.h"

#include <pthread.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/signals.h"
#include "renewal/steps.h"
#include "store/lock.h"

/* Of the descriptors that a renewal and its connection may have open at once: lock, temporary file,
 * directory, a command's pipes, the socket, libcurl's own and its resolver's. */
#define WORKER_FDS 12
#define OTHER_FDS 16 /* what the process has besides */
/* A TLS handshake needs some 30 KiB of it; the rest is never touched. */
#define STACK_SIZE (256 * 1024)
/* A host that limits may take its time, but cron's next run comes, and a person goes home. */
#define PATIENCE_MS (10 * 60 * 1000)

struct line {
    const struct workers *workers;
    struct holds holds;
    pthread_mutex_t lock;    /* of what follows */
    struct renewal *waiting; /* put back, in no order */
    bool ended;              /* there are no more to begin */
};

struct worker {
    struct line *line;
    struct connection connection;
    pthread_t thread;
    bool is_thread;
};

/* Under the lock: one that was put back, if its time has come; else *until_ms is the next one's. */
static struct renewal *take_waiting(struct line *line, int64_t *until_ms)
{
    int64_t now = clock_monotonic_ms();

    for (struct renewal **at = &line->waiting; *at != NULL; at = &(*at)->next) {
        struct renewal *r = *at;

        if (r->again_ms <= now || signals_caught()) {
            *at = r->next;
            r->deadline_ms += now > r->again_ms ? now - r->again_ms : 0; /* it stood in line */
            return r;
        }
        if (*until_ms == 0 || r->again_ms < *until_ms)
            *until_ms = r->again_ms;
    }
    return NULL;
}

/* Reads the cache, so not under the lock. */
static struct renewal *begin(struct line *line, const char *profile)
{
    struct renewal *r = mem_new(sizeof *r);

    renew_begin(r, line->workers->wish, profile, NULL);
    r->holds = &line->holds;
    r->patience_ms = PATIENCE_MS;
    return r;
}

/* NULL when nothing is left to do. Whoever puts one back takes it again, if nobody else does. */
static struct renewal *take_next(struct line *line)
{
    for (;;) {
        const char *profile = NULL;
        struct renewal *r;
        int64_t until_ms = 0;

        pthread_mutex_lock(&line->lock);
        r = take_waiting(line, &until_ms);
        if (r == NULL && !line->ended && !signals_caught()) {
            profile = line->workers->next(line->workers->user);
            line->ended = profile == NULL;
        }
        pthread_mutex_unlock(&line->lock);
        if (profile != NULL)
            return begin(line, profile);
        if (r != NULL || until_ms == 0)
            return r;
        signals_wait(-1, until_ms - clock_monotonic_ms());
    }
}

static void put_back(struct line *line, struct renewal *r)
{
    cache_unlock(&r->cache); /* there may be more in line than descriptors */
    pthread_mutex_lock(&line->lock);
    r->next = line->waiting;
    line->waiting = r;
    pthread_mutex_unlock(&line->lock);
}

static void *work(void *user)
{
    struct worker *worker = user;
    struct line *line = worker->line;
    struct renewal *r;

    while ((r = take_next(line)) != NULL) {
        r->connection = &worker->connection;
        if (renew(r) == RESULT_AGAIN) {
            put_back(line, r);
            continue;
        }
        pthread_mutex_lock(&line->lock);
        line->workers->done(line->workers->user, r, r->error.result);
        pthread_mutex_unlock(&line->lock);
        renew_end(r);
        mem_free(r);
    }
    return NULL;
}

static int count_workers(int jobs)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (rlim_t)jobs * WORKER_FDS + OTHER_FDS > limit.rlim_cur)
        jobs = limit.rlim_cur <= OTHER_FDS ? 1 : (int)(limit.rlim_cur - OTHER_FDS) / WORKER_FDS;
    return jobs < 1 ? 1 : jobs;
}

void workers_run(const struct workers *workers)
{
    struct line line = {.workers = workers, .lock = PTHREAD_MUTEX_INITIALIZER};
    int count = count_workers(workers->jobs);
    struct worker *all = mem_new((size_t)count * sizeof *all);
    struct error ignored; /* each request meets it again, and says so */
    pthread_attr_t attributes;

    signals_catch();
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (int i = 0; i < count; i++) {
        all[i] = (struct worker){.line = &line, .connection.cacert = workers->cacert};
        if (count > 1 && request_open(&all[i].connection, &ignored) != RESULT_OK)
            continue;
    }
    for (int i = 1; i < count; i++)
        all[i].is_thread = pthread_create(&all[i].thread, &attributes, work, &all[i]) == 0;
    work(&all[0]); /* this thread works, too: with one job there is no other */
    for (int i = 0; i < count; i++) {
        if (all[i].is_thread)
            pthread_join(all[i].thread, NULL);
        request_close(&all[i].connection);
    }
    pthread_attr_destroy(&attributes);
    holds_clear(&line.holds);
    mem_free(all);
}
