/* SPDX-License-Identifier: MIT */
#include "store/lock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/signals.h"
#include "store/advice.h"

/* A taken lock is tried again after 5 ms, then twice that, to 50 ms at most: a renewal takes some
 * 25 ms on a good day, and 200 waiting processes must not eat the machine. */
#define PAUSE_FIRST_MS 5
#define PAUSE_MAX_MS 50

/* above: those above it, too. */
static enum result make_directories(const char *path, bool above, struct error *error)
{
    const char *slash = strrchr(path, '/');
    bool made = mkdir(path, 0700) == 0;

    if (!made && errno == ENOENT && above && slash != NULL && slash != path) {
        OWNED char *parent = mem_format("%.*s", (int)(slash - path), path);

        made = make_directories(parent, true, error) == RESULT_OK && mkdir(path, 0700) == 0;
    }
    /* A umask can only take away; this gives it back. */
    if (made ? chmod(path, 0700) == 0 : errno == EEXIST)
        return RESULT_OK;
    return error_set(error, RESULT_LOCAL, "cannot make the directory '%s': %s%s", path,
                     strerror(errno), above ? "" : ": check HOME, or set SERVETEL_AUTH_DIR");
}

static enum result open_lock(const char *path, int flags, int *fd, struct error *error)
{
    struct stat st;

    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    *fd = fd_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | flags);
    if (*fd < 0 && errno == EEXIST) {
        error_set(error, RESULT_TEMPORARY, "another process has made '%s'", path);
    } else if (*fd < 0 || fstat(*fd, &st) < 0) {
        error_set(error, RESULT_LOCAL, "cannot open the lock '%s': %s", path, strerror(errno));
        advice_append_owner(error, path);
    } else if (!S_ISREG(st.st_mode)) {
        error_set(error, RESULT_LOCAL, "the lock '%s' is not a regular file: remove it", path);
    } else if (st.st_uid == geteuid() && (st.st_mode & 0777) != 0600 && fchmod(*fd, 0600) < 0) {
        error_set(error, RESULT_LOCAL, "cannot chmod the lock '%s': %s", path, strerror(errno));
    } else {
        return RESULT_OK;
    }
    fd_close(fd);
    return error->result;
}

/* *fd stays open while another process has the lock: the next try is one call. */
static enum result try_lock(const char *path, int *fd, struct error *error)
{
    if (FD_RETRY(flock(*fd, LOCK_EX | LOCK_NB)) < 0)
        return error_set(error, errno == EWOULDBLOCK ? RESULT_TEMPORARY : RESULT_LOCAL,
                         "cannot lock '%s': %s", path, strerror(errno));
    if (fd_is_at(*fd, path))
        return RESULT_OK;
    fd_close(fd);
    return error_set(error, RESULT_TEMPORARY, "the lock '%s' was removed", path);
}

enum result lock_file(const char *path, int flags, int *fd, struct error *error)
{
    enum result result = open_lock(path, flags, fd, error);

    if (result != RESULT_OK)
        return result;
    result = try_lock(path, fd, error);
    if (result == RESULT_LOCAL && (flags & O_EXCL) != 0)
        unlink(path); /* nobody else's */
    if (result != RESULT_OK)
        fd_close(fd);
    return result;
}

enum result cache_lock(struct cache *cache, struct error *error)
{
    /* A home that does not exist is a mistake; a place that was named is meant. */
    bool is_file = strcmp(cache->name, cache->path) == 0;
    bool is_named = is_file || process_variable("SERVETEL_AUTH_DIR") != NULL;
    enum result result;
    struct stat st;

    if (cache->locked)
        return RESULT_OK;
    do { /* again with the new file where the old one was removed: each turn needs a logout */
        if (cache->lock_fd < 0) {
            if (stat(cache->dir_path, &st) < 0 && errno == ENOENT &&
                make_directories(cache->dir_path, is_named, error) != RESULT_OK)
                return error->result;
            if ((is_file || cache_is_linked(cache)) && lstat(cache->lock_path, &st) == 0 &&
                st.st_size != 0 && st.st_size != TOKEN_FINGERPRINT_SIZE - 1)
                return error_set(error, RESULT_LOCAL,
                                 "the lock '%s' is another program's: name the cache otherwise",
                                 cache->lock_path);
            if (open_lock(cache->lock_path, O_CREAT, &cache->lock_fd, error) != RESULT_OK)
                return error->result;
        }
        result = try_lock(cache->lock_path, &cache->lock_fd, error);
    } while (result == RESULT_TEMPORARY && cache->lock_fd < 0);
    cache->locked = result == RESULT_OK;
    if (result == RESULT_TEMPORARY)
        error_set(error, result, "another process is renewing '%s' and holds its lock '%s'",
                  cache->name, cache->lock_path);
    return result;
}

int64_t cache_lock_pause_ms(int64_t *last_ms)
{
    *last_ms = *last_ms == 0 ? PAUSE_FIRST_MS : *last_ms * 2;
    if (*last_ms > PAUSE_MAX_MS)
        *last_ms = PAUSE_MAX_MS;
    return *last_ms + clock_jitter(*last_ms);
}

enum result cache_lock_by(struct cache *cache, int64_t deadline_ms, struct error *error)
{
    int64_t pause_ms = 0;
    enum result result;

    while ((result = cache_lock(cache, error)) == RESULT_TEMPORARY &&
           clock_monotonic_ms() < deadline_ms) {
        if (signals_wait(-1, cache_lock_pause_ms(&pause_ms)))
            return error_set(error, RESULT_INTERRUPTED, "interrupted");
    }
    return result;
}

void cache_unlock(struct cache *cache)
{
    /* Not by closing it alone: a command that another thread has just begun may still have it. */
    if (cache->locked)
        flock(cache->lock_fd, LOCK_UN);
    fd_close(&cache->lock_fd);
    cache->locked = false;
}

enum result cache_note_sent(struct cache *cache, const char *token, struct error *error)
{
    char note[TOKEN_FINGERPRINT_SIZE];

    token_fingerprint(token, note);
    if (fd_write_at(cache->lock_fd, note, TOKEN_FINGERPRINT_SIZE - 1, 0) < 0)
        return error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->lock_path,
                         strerror(errno));
    return RESULT_OK;
}

void cache_note_answered(struct cache *cache)
{
    /* If this fails, the token is doubted once for nothing: harmless. */
    if (cache->lock_fd >= 0 && FD_RETRY(ftruncate(cache->lock_fd, 0)) < 0)
        return;
}

bool cache_token_is_in_doubt(const struct cache *cache, const char *token, int64_t pause_s)
{
    char fingerprint[TOKEN_FINGERPRINT_SIZE], note[TOKEN_FINGERPRINT_SIZE] = "";
    AT_END(fd_close) int fd = -1;
    int64_t rested_s;
    struct stat st;

    if (token == NULL || lstat(cache->lock_path, &st) < 0 || st.st_size == 0)
        return false; /* the common case: one call */
    fd = fd_open(cache->lock_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    token_fingerprint(token, fingerprint);
    rested_s = clock_epoch_s() - st.st_mtime; /* negative: the clock was set back */
    return FD_RETRY(read(fd, note, sizeof note - 1)) == (ssize_t)sizeof note - 1 &&
           memcmp(note, fingerprint, sizeof note) == 0 && (rested_s < 0 || rested_s >= pause_s) &&
           (cache->locked || FD_RETRY(flock(fd, LOCK_SH | LOCK_NB)) == 0);
}
