#include "renewal/drive.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/signals.h"

/* How often a command is looked at that ended without closing its output. */
#define CHILD_LOOK_MS 20
/* How often tick is called at the latest. */
#define TICK_MS 1000
/* How long a signal waits for the answer to a refresh. Most come within a second, and who stops us,
 * an init system or a person, waits longer than two before he does worse. */
#define ANSWER_GRACE_MS 2000
/* Descriptors of a slot (lock, temporary file, directory, a command's pipe), and what the process
 * has besides. */
#define SLOT_FDS 4
/* Slots at once at the most: each is some 16 KiB. */
#define SLOTS_MAX 2000
#define OTHER_FDS 40

struct slot {
    struct renewal *renewal;
    enum renew_step step;
    bool started;      /* the request is under way, the commit is queued */
    int64_t queued_ms; /* since when the request waits for its turn, 0 if it does not */
    bool committed;
    struct slot *next_commit;
};

/* The thread that commits; with one renewal there is none. Slots travel to it and back as pointers
 * through two pipes, so that nothing is shared while it works on one. */
struct committer {
    pthread_t thread;
    bool running;
    int to[2], back[2];
};

struct loop {
    const struct drive *drive;
    struct request_pool *pool;
    struct error pool_error;
    struct slot **slots;         /* pointers: the committer keeps some while others go */
    size_t slot_count, slot_max; /* slots at all */
    size_t window;               /* of them those that do not just wait */
    int jobs, in_flight;
    int64_t answers_until_ms; /* 0 until a signal is caught */
    struct committer committer;
};

/* ---- commits ---- */

/* A group whose files are written each for itself and whose directories are synced once. */
static void commit_group(struct slot *group)
{
    const char *synced = NULL;

    for (struct slot *s = group; s != NULL; s = s->next_commit) {
        struct renewal *r = s->renewal;

        r->commit_error.result = cache_write(&r->cache, r->text, &r->stored, &r->commit_error);
    }
    for (struct slot *s = group; s != NULL; s = s->next_commit) {
        struct renewal *r = s->renewal;

        if (r->commit_error.result != RESULT_OK)
            continue;
        if (synced != NULL && strcmp(synced, r->cache.dir_path) == 0)
            continue;
        /* Where it fails each says so of its own file. */
        r->commit_error.result = cache_sync(&r->cache, &r->commit_error);
        synced = r->commit_error.result == RESULT_OK ? r->cache.dir_path : NULL;
    }
}

/* What a group is at most: the window of the largest --jobs. */
#define GROUP_MAX 2000

static void *commit_thread(void *user)
{
    const struct committer *c = user;
    static struct slot *slots[GROUP_MAX];
    ssize_t len;

    /* As many as have come; pointers are written whole (PIPE_BUF). */
    while ((len = fd_read(c->to[0], slots, sizeof slots)) > 0) {
        size_t count = (size_t)len / sizeof slots[0];

        for (size_t i = 0; i < count; i++)
            slots[i]->next_commit = i + 1 < count ? slots[i + 1] : NULL;
        commit_group(slots[0]);
        if (fd_write(c->back[1], slots, (size_t)len) < 0)
            break;
    }
    return NULL;
}

static void start_committer(struct committer *c)
{
    *c = (struct committer){.to = {-1, -1}, .back = {-1, -1}};
    if (fd_pipe(c->to) < 0 || fd_pipe(c->back) < 0)
        return;                  /* then commits are made in the loop */
    fcntl(c->to[0], F_SETFL, 0); /* the thread's ends wait */
    fcntl(c->back[1], F_SETFL, 0);
    c->running = pthread_create(&c->thread, NULL, commit_thread, c) == 0;
}

static void stop_committer(struct committer *c)
{
    fd_close(&c->to[1]);
    if (c->running)
        pthread_join(c->thread, NULL);
    fd_close(&c->to[0]);
    fd_close(&c->back[0]);
    fd_close(&c->back[1]);
}

static void take_committed(const struct committer *c)
{
    struct slot *slots[64];
    ssize_t len;

    while (c->running && (len = fd_read(c->back[0], slots, sizeof slots)) > 0) {
        for (size_t i = 0; i < (size_t)len / sizeof slots[0]; i++)
            slots[i]->committed = true;
    }
}

/* True once the commit is made. */
static bool commit(const struct committer *c, struct slot *slot)
{
    if (!slot->started) {
        slot->started = true;
        slot->committed = false;
        slot->next_commit = NULL;
        if (!c->running || fd_write(c->to[1], &slot, sizeof slot) < 0) {
            commit_group(slot);
            slot->committed = true;
        }
    }
    return slot->committed;
}

/* ---- requests ---- */

/* True once there is a reply. */
static bool request(struct loop *loop, struct slot *slot)
{
    struct renewal *r = slot->renewal;
    int64_t left_ms;

    if (slot->started) {
        if (!r->reply.done)
            return false;
        loop->in_flight--;
        return true;
    }
    if (loop->in_flight >= loop->jobs || signals_caught()) {
        if (slot->queued_ms == 0)
            slot->queued_ms = clock_monotonic_ms();
        return false;
    }
    /* A request with a remnant of its time would spend the token and not hear the answer. */
    if (slot->queued_ms != 0)
        r->deadline_ms += clock_monotonic_ms() - slot->queued_ms;
    slot->queued_ms = 0;
    if (loop->pool == NULL && loop->pool_error.result == RESULT_OK &&
        request_pool_open(&loop->pool, loop->drive->cacert, loop->jobs, &loop->pool_error) !=
            RESULT_OK)
        loop->pool = NULL;
    left_ms = r->deadline_ms - clock_monotonic_ms();
    if (left_ms <= 0) {
        reply_clear(&r->reply);
        r->reply.fate = REQUEST_NOT_SENT;
        error_set(&r->reply.error, RESULT_TEMPORARY, "no time was left for the request");
        return true;
    }
    if (loop->pool == NULL) {
        reply_clear(&r->reply);
        r->reply.fate = REQUEST_NOT_SENT;
        r->reply.error = loop->pool_error;
        return true;
    }
    request_start(loop->pool, &r->request, &r->reply, left_ms);
    slot->started = true;
    loop->in_flight++;
    return false;
}

/* ---- the loop ---- */

/* Moves one renewal on as far as it goes without waiting. */
static void advance(struct loop *loop, struct slot *slot)
{
    struct renewal *r = slot->renewal;

    for (;;) {
        switch (slot->step) {
        case RENEW_REQUEST:
            if (!request(loop, slot))
                return;
            break;
        case RENEW_CHILD:
            break; /* renew_next looks at it */
        case RENEW_PAUSE:
            if (clock_monotonic_ms() < r->pause_until_ms)
                return;
            break;
        case RENEW_COMMIT:
            if (!commit(&loop->committer, slot))
                return;
            break;
        case RENEW_DONE:
            return;
        }
        slot->started = false;
        slot->step = renew_next(r);
        if (slot->step == RENEW_CHILD)
            return;
    }
}

static bool is_under_way(const struct slot *slot)
{
    return slot->step == RENEW_REQUEST && slot->started && !slot->renewal->reply.done;
}

/* Whether a refresh was sent: the old token is spent by then, and the answer worth some waiting. */
static bool is_answer_due(const struct loop *loop)
{
    for (size_t i = 0; i < loop->slot_count; i++) {
        const struct renewal *r = loop->slots[i]->renewal;

        if (is_under_way(loop->slots[i]) && r->reply.sent_at != 0 &&
            r->request.authorization != NULL)
            return true;
    }
    return false;
}

/* Called until nothing is left. */
static void interrupt_all(struct loop *loop)
{
    int64_t now = clock_monotonic_ms();
    bool is_due;

    if (loop->answers_until_ms == 0)
        loop->answers_until_ms = now + ANSWER_GRACE_MS;
    is_due = now < loop->answers_until_ms && is_answer_due(loop);
    if (!is_due) {
        /* Requests first: their replies belong to the renewals. */
        request_pool_close(loop->pool);
        loop->pool = NULL;
        loop->in_flight = 0;
        error_set(&loop->pool_error, RESULT_INTERRUPTED, "interrupted");
    }
    for (size_t i = 0; i < loop->slot_count; i++) {
        struct slot *slot = loop->slots[i];

        if (is_due && is_under_way(slot))
            continue;
        if (slot->step == RENEW_REQUEST && slot->started && slot->renewal->reply.done &&
            slot->renewal->reply.fate != REQUEST_NOT_SENT) {
            slot->started = false; /* it was answered: that is not thrown away */
            slot->step = renew_next(slot->renewal);
            if (is_due)
                loop->in_flight--;
        }
        if (slot->step != RENEW_COMMIT && slot->step != RENEW_DONE) {
            renew_interrupt(slot->renewal);
            slot->step = RENEW_DONE;
            slot->started = false;
        }
    }
}

static void give_back_done(struct loop *loop)
{
    size_t kept = 0;

    for (size_t i = 0; i < loop->slot_count; i++) {
        struct slot *slot = loop->slots[i];

        if (slot->step == RENEW_DONE) {
            loop->drive->done(loop->drive->user, slot->renewal);
            mem_free(slot);
        } else {
            loop->slots[kept++] = slot;
        }
    }
    loop->slot_count = kept;
}

/* A renewal that waits, for a lock or for a time, keeps nobody's place: others come in its stead.
 */
static size_t count_busy(const struct loop *loop)
{
    size_t busy = 0;

    for (size_t i = 0; i < loop->slot_count; i++)
        busy += loop->slots[i]->step != RENEW_PAUSE;
    return busy;
}

static void fill(struct loop *loop)
{
    size_t busy = count_busy(loop);

    while (busy < loop->window && loop->slot_count < loop->slot_max && !signals_caught()) {
        struct renewal *r = loop->drive->next(loop->drive->user);
        struct slot *slot;

        if (r == NULL)
            return;
        slot = mem_new(sizeof *slot);
        slot->renewal = r;
        slot->step = renew_next(r);
        busy += slot->step != RENEW_PAUSE;
        loop->slots[loop->slot_count++] = slot;
    }
}

static void wait(struct loop *loop)
{
    int *fds = mem_new((loop->slot_count + 2) * sizeof *fds);
    int64_t now = clock_monotonic_ms(), until = now + TICK_MS;
    size_t count = 0;

    for (size_t i = 0; i < loop->slot_count; i++) {
        const struct slot *slot = loop->slots[i];

        if (slot->step == RENEW_PAUSE && slot->renewal->pause_until_ms < until)
            until = slot->renewal->pause_until_ms;
        if (slot->step != RENEW_CHILD)
            continue;
        if (child_fd(&slot->renewal->child) >= 0)
            fds[count++] = child_fd(&slot->renewal->child);
        if (now + CHILD_LOOK_MS < until)
            until = now + CHILD_LOOK_MS;
    }
    if (loop->committer.running)
        fds[count++] = loop->committer.back[0];
    if (loop->answers_until_ms != 0 && loop->answers_until_ms < until)
        until = loop->answers_until_ms;
    if (until < now)
        until = now;
    if (loop->pool != NULL) {
        request_pool_wait(loop->pool, fds, count, until - now);
    } else {
        struct pollfd *polled = mem_new((count + 1) * sizeof *polled);

        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        /* A caught signal keeps its descriptor readable: no news any more. */
        polled[count] = (struct pollfd){.fd = signals_caught() ? -1 : signals_fd(),
                                        .events = POLLIN};
        poll(polled, (nfds_t)count + 1, (int)(until - now));
        mem_free(polled);
    }
    take_committed(&loop->committer);
    mem_free(fds);
}

/* Each connection needs a socket, each prepared profile its descriptors, each waiting one its
 * lock's. */
static void choose_sizes(struct loop *loop)
{
    long most = SLOTS_MAX * SLOT_FDS;
    struct rlimit limit;

    loop->jobs = loop->drive->jobs;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        most = (long)limit.rlim_cur - OTHER_FDS;
    if (loop->jobs > most / (2 * SLOT_FDS + 1))
        loop->jobs = (int)(most / (2 * SLOT_FDS + 1));
    if (loop->jobs <= 1) {
        loop->jobs = 1;
        loop->window = loop->slot_max = 1;
        return;
    }
    loop->window = (size_t)loop->jobs * 2;
    /* Half of what the window leaves: a waiting renewal becomes a busy one when its lock comes. */
    loop->slot_max = loop->window +
                     (size_t)(most - loop->jobs * (2 * SLOT_FDS + 1)) / (2 * SLOT_FDS);
    if (loop->slot_max > SLOTS_MAX)
        loop->slot_max = SLOTS_MAX > loop->window ? SLOTS_MAX : loop->window;
}

void drive_all(const struct drive *drive)
{
    struct loop loop = {.drive = drive};

    signals_catch();
    choose_sizes(&loop);
    loop.slots = mem_new(loop.slot_max * sizeof *loop.slots);
    if (loop.jobs > 1)
        start_committer(&loop.committer);
    for (fill(&loop); loop.slot_count > 0; fill(&loop)) {
        bool finished = false;

        for (size_t i = 0; i < loop.slot_count; i++) {
            advance(&loop, loop.slots[i]);
            finished = finished || loop.slots[i]->step == RENEW_DONE;
        }
        if (!finished) {
            wait(&loop);
            if (signals_caught())
                interrupt_all(&loop);
        }
        give_back_done(&loop);
        if (drive->tick != NULL)
            drive->tick(drive->user);
    }
    if (loop.jobs > 1)
        stop_committer(&loop.committer);
    request_pool_close(loop.pool);
    mem_free(loop.slots);
}

/* ---- one ---- */

struct single {
    struct renewal *renewal;
    bool given;
    const char *waiting;
    int64_t since_ms;
};

static struct renewal *give_single(void *user)
{
    struct single *single = user;

    if (single->given)
        return NULL;
    single->given = true;
    return single->renewal;
}

static void take_single(void *user, struct renewal *renewal)
{
    (void)user;
    (void)renewal;
}

static void show_waiting(void *user)
{
    const struct single *single = user;
    int64_t waited_s = (clock_monotonic_ms() - single->since_ms) / 1000;

    if (single->waiting != NULL && waited_s > 0)
        msg_progress("waiting for %s, %lld s", single->waiting, (long long)waited_s);
}

void drive_one(struct renewal *renewal, const char *cacert, const char *waiting)
{
    struct single single = {
        .renewal = renewal, .waiting = waiting, .since_ms = clock_monotonic_ms()};
    struct drive drive = {.cacert = cacert,
                          .jobs = 1,
                          .next = give_single,
                          .done = take_single,
                          .tick = show_waiting,
                          .user = &single};

    drive_all(&drive);
    msg_progress("%s", "");
}
