/* SPDX-License-Identifier: MIT */
/* cache.h's writing half: prepare, write, remove. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "store/cache.h"
#include "store/lock.h"

/* So many processes at one cache, although its lock forbids that: somebody removes lock files. */
#define TEMPS_MAX 8

/* What was prepared is dropped; errno says why. */
static enum result give_up(struct cache *cache, const char *what, struct error *error)
{
    error_set(error, RESULT_LOCAL, "cannot %s '%s': %s", what, cache->path, strerror(errno));
    cache_abandon(cache);
    return error->result;
}

/* ---- temporary files ---- */

static char *temp_path(const struct cache *cache, int n)
{
    return n == 0 ? mem_join(cache->temp_stem, ".tmp")
                  : mem_format("%s.%d.tmp", cache->temp_stem, n);
}

/* RESULT_OK: it is not there, or was a dead process's and is gone; RESULT_TEMPORARY: another's. */
static enum result remove_dead(const char *path, struct error *error)
{
    AT_END(fd_close) int fd = -1;
    struct stat st;

    if (lstat(path, &st) < 0 && errno == ENOENT)
        return RESULT_OK;
    if (lock_file(path, 0, &fd, error) == RESULT_TEMPORARY)
        return RESULT_TEMPORARY;
    /* If it is nothing that can be locked, this says why. */
    if (unlink(path) == 0 || errno == ENOENT)
        return RESULT_OK;
    return error_set(error, RESULT_LOCAL, "cannot remove '%s': %s", path, strerror(errno));
}

/* All that dead processes left. */
static enum result sweep_temps(const struct cache *cache, struct error *error)
{
    for (int i = 0; i < TEMPS_MAX; i++) {
        OWNED char *path = temp_path(cache, i);

        if (remove_dead(path, error) == RESULT_LOCAL)
            return RESULT_LOCAL;
    }
    return RESULT_OK;
}

static enum result make_temp(struct cache *cache, struct error *error)
{
    enum result result = RESULT_TEMPORARY;

    for (int i = 0; i < TEMPS_MAX && result == RESULT_TEMPORARY; i++) {
        mem_free(cache->temp_path);
        cache->temp_path = temp_path(cache, i);
        result = lock_file(cache->temp_path, O_CREAT | O_EXCL, &cache->temp_fd, error);
    }
    return result == RESULT_OK ? RESULT_OK : give_up(cache, "write", error);
}

/* ---- before the request ---- */

/* Whether a rename cannot replace it: a mount point, as of a single file in a container, or what is
 * immutable, the directory too. Only Linux can tell without trying. */
static const char *what_pins(const struct cache *cache)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    static const uint64_t fixed = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
    struct statx st;

    if (statx(AT_FDCWD, cache->dir_path, 0, STATX_BASIC_STATS, &st) == 0 &&
        (st.stx_attributes & fixed) != 0)
        return "its directory is immutable: chattr -i -a would let it be replaced";
    if (statx(AT_FDCWD, cache->target, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0)
        return NULL;
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
        return "it is a mount point: mount its directory instead";
    if ((st.stx_attributes & fixed) != 0)
        return "it is immutable: chattr -i -a would let it be written";
#else
    (void)cache;
#endif
    return NULL;
}

enum result cache_prepare(struct cache *cache, size_t size, struct error *error)
{
    /* Not posix_fallocate, which few file systems know: zeros have their blocks, or ENOSPC. */
    OWNED char *zeros = size > CACHE_SIZE_MAX ? NULL : mem_new(size);
    const char *pinned = what_pins(cache);
    struct stat st;

    if (zeros == NULL)
        return error_set(error, RESULT_LOCAL, "'%s' would grow beyond %d KiB", cache->path,
                         CACHE_SIZE_MAX / 1024);
    if (lstat(cache->target, &st) == 0 && !S_ISREG(st.st_mode))
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is not a regular file",
                         cache->path);
    if (pinned != NULL)
        return error_set(error, RESULT_LOCAL, "cannot replace '%s': %s", cache->path, pinned);
    if (cache->dir_fd < 0)
        cache->dir_fd = fd_open(cache->dir_path, O_RDONLY | O_DIRECTORY);
    if (cache->dir_fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot open '%s': %s", cache->dir_path,
                         strerror(errno));
    if (sweep_temps(cache, error) != RESULT_OK || make_temp(cache, error) != RESULT_OK)
        return error->result;
    return fd_write_at(cache->temp_fd, zeros, size, 0) == 0 ? RESULT_OK
                                                            : give_up(cache, "write", error);
}

/* ---- after the answer ---- */

enum result cache_write(struct cache *cache, const char *text, bool *stored, struct error *error)
{
    size_t len = strlen(text);
    struct stat st = {0}, there;
    int failed = 0;

    *stored = false;
    /* What is renamed must be what is written: somebody may have removed it, or moved all. */
    if (!fd_is_at(cache->temp_fd, cache->temp_path)) {
        fd_close(&cache->temp_fd);
        if (make_temp(cache, error) != RESULT_OK)
            return error->result;
    }
    /* The truncation gives back what was reserved and is not needed. */
    if (fd_write_at(cache->temp_fd, text, len, 0) < 0 ||
        FD_RETRY(ftruncate(cache->temp_fd, (off_t)len)) < 0)
        return give_up(cache, "write", error);
    /* From here on the new text is better than the old one, on the disk or not yet. */
    if (fstat(cache->temp_fd, &st) < 0 || FD_RETRY(fsync(cache->temp_fd)) < 0)
        failed = errno;
    if (rename(cache->temp_path, cache->target) < 0)
        return give_up(cache, "replace", error);
    *stored = true;
    cache->last_seen = st; /* what is there now is no other's */
    if (close(cache->temp_fd) < 0 && errno != EINTR)
        failed = errno;
    cache->temp_fd = -1;
    if (FD_RETRY(fsync(cache->dir_fd)) < 0)
        failed = errno;
    if (failed != 0)
        return error_set(error, RESULT_LOCAL, "'%s' is written, but perhaps not to the disk: %s",
                         cache->path, strerror(failed));
    if (stat(cache->path, &there) < 0 || there.st_ino != st.st_ino || there.st_dev != st.st_dev)
        return error_set(error, RESULT_LOCAL,
                         "the new token is written, but '%s' is another file now: it or its "
                         "directory was moved or replaced meanwhile",
                         cache->path);
    return RESULT_OK;
}

void cache_abandon(struct cache *cache)
{
    if (cache->temp_fd >= 0) {
        unlink(cache->temp_path);
        fd_close(&cache->temp_fd);
    }
    mem_free(cache->temp_path);
    cache->temp_path = NULL;
    fd_close(&cache->dir_fd);
}

/* ---- removing ---- */

enum result cache_find(struct cache *cache, struct error *error)
{
    OWNED char *temp = temp_path(cache, 0);
    AT_END(profile_clear) struct profile profile = PROFILE_NONE;
    enum result result = cache_read(cache, &profile, error);
    struct stat st;

    if ((result == RESULT_LOCAL && cache->is_ours) ||
        (result == RESULT_NO_TOKEN && lstat(temp, &st) == 0))
        return RESULT_OK;
    return result;
}

enum result cache_remove(struct cache *cache, struct error *error)
{
    enum result result = sweep_temps(cache, error);

    if (unlink(cache->target) < 0) {
        if (errno == ENOENT && result == RESULT_OK)
            result = error_set(error, RESULT_NO_TOKEN, "no token was cached for '%s'", cache->name);
        else if (errno != ENOENT)
            result = error_set(error, RESULT_LOCAL, "cannot remove '%s': %s", cache->path,
                               strerror(errno));
    }
    if (result != RESULT_LOCAL)
        unlink(cache->lock_path); /* a lock without a cache is litter, no more */
    return result;
}
