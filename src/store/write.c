/* SPDX-License-Identifier: MIT */
/* cache.h's writing half: prepare and write. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "store/cache.h"
#include "store/lock.h"

/* So many processes at work on one cache at once, which its lock forbids: somebody removes lock
 * files. */
#define TEMPS_MAX 8

/* ---- temporary files ---- */

char *cache_temp_path(const struct cache *cache, int n)
{
    return n == 0 ? mem_join(cache->temp_stem, ".tmp")
                  : mem_format("%s.%d.tmp", cache->temp_stem, n);
}

/* RESULT_OK: it is not there, or was a dead process's and is gone; RESULT_TEMPORARY: another's. */
static enum result remove_dead(const char *path, struct error *error)
{
    enum result result;
    struct stat st;
    int fd;

    if (lstat(path, &st) < 0 && errno == ENOENT)
        return RESULT_OK;
    result = lock_file(path, 0, &fd, error);
    if (result == RESULT_TEMPORARY)
        return result;
    /* If it is nothing that can be locked, this says why. */
    result = unlink(path) == 0 || errno == ENOENT
                 ? RESULT_OK
                 : error_set(error, RESULT_LOCAL, "cannot remove '%s': %s", path, strerror(errno));
    fd_close(&fd);
    return result;
}

enum result cache_sweep(const struct cache *cache, struct error *error)
{
    enum result result = RESULT_OK;

    for (int i = 0; i < TEMPS_MAX && result != RESULT_LOCAL; i++) {
        char *path = cache_temp_path(cache, i);

        result = remove_dead(path, error);
        mem_free(path);
    }
    return result == RESULT_LOCAL ? result : RESULT_OK;
}

static enum result make_temp(struct cache *cache, struct error *error)
{
    enum result result = RESULT_TEMPORARY;

    for (int i = 0; i < TEMPS_MAX && result == RESULT_TEMPORARY; i++) {
        mem_free(cache->temp_path);
        cache->temp_path = cache_temp_path(cache, i);
        result = remove_dead(cache->temp_path, error);
        if (result == RESULT_LOCAL)
            return result;
        if (result == RESULT_OK)
            result = lock_file(cache->temp_path, O_CREAT | O_EXCL, &cache->temp_fd, error);
    }
    if (result == RESULT_OK)
        return RESULT_OK;
    return error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->path, strerror(errno));
}

/* ---- before the request ---- */

/* Whether a rename cannot replace it: a mount point, as of a single file in a container, or an
 * immutable file. Only Linux can tell without trying. */
static const char *what_pins(const char *path)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx st;

    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0)
        return NULL;
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
        return "it is a mount point: mount its directory instead";
    if ((st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
        return "it is immutable: chattr -i -a would let it be written";
#else
    (void)path;
#endif
    return NULL;
}

/* Zeros rather than posix_fallocate, which not every file system knows: what is written has its
 * blocks, or its ENOSPC, at once. */
static int reserve(int fd, size_t size)
{
    static const char zeros[4096];

    for (size_t done = 0; done < size; done += sizeof zeros) {
        size_t len = size - done < sizeof zeros ? size - done : sizeof zeros;

        if (fd_write_at(fd, zeros, len, (off_t)done) < 0)
            return -1;
    }
    return 0;
}

enum result cache_prepare(struct cache *cache, size_t size, struct error *error)
{
    const char *pinned = what_pins(cache->target);
    struct stat st;

    if (size > CACHE_SIZE_MAX)
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
    if (make_temp(cache, error) == RESULT_OK) {
        if (reserve(cache->temp_fd, size) == 0)
            return RESULT_OK;
        error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->path, strerror(errno));
    }
    cache_abandon(cache);
    return error->result;
}

/* ---- after the answer ---- */

static bool is_at(const struct stat *st, int found, const struct stat *there)
{
    return found == 0 && st->st_ino == there->st_ino && st->st_dev == there->st_dev;
}

enum result cache_write(struct cache *cache, const char *text, bool *stored, struct error *error)
{
    size_t len = strlen(text);
    struct stat st, there;
    int failed = 0;

    *stored = false;
    /* Somebody may have removed it by hand, or moved the directory: what is renamed must be what is
     * written. */
    if (fstat(cache->temp_fd, &st) == 0 && !is_at(&st, lstat(cache->temp_path, &there), &there)) {
        fd_close(&cache->temp_fd);
        if (make_temp(cache, error) != RESULT_OK)
            return error->result;
    }
    /* The truncation gives back what was reserved and is not needed. */
    if (fd_write_at(cache->temp_fd, text, len, 0) < 0 ||
        FD_RETRY(ftruncate(cache->temp_fd, (off_t)len)) < 0) {
        error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->path, strerror(errno));
        cache_abandon(cache);
        return error->result;
    }
    /* From here on the new text is better than the old one, on the disk or not yet. */
    if (FD_RETRY(fsync(cache->temp_fd)) < 0)
        failed = errno;
    if (fstat(cache->temp_fd, &st) < 0)
        failed = errno;
    if (rename(cache->temp_path, cache->target) < 0) {
        error_set(error, RESULT_LOCAL, "cannot replace '%s': %s", cache->path, strerror(errno));
        cache_abandon(cache);
        return error->result;
    }
    *stored = true;
    cache->last_seen = st; /* what is there now is no other's */
    if (close(cache->temp_fd) < 0 && errno != EINTR)
        failed = errno;
    cache->temp_fd = -1;
    if (FD_RETRY(fsync(cache->dir_fd)) < 0)
        failed = errno;
    if (!is_at(&st, stat(cache->path, &there), &there))
        return error_set(error, RESULT_LOCAL,
                         "the new token is written, but '%s' is another file now: it or its "
                         "directory was moved or replaced meanwhile",
                         cache->path);
    if (failed != 0)
        return error_set(error, RESULT_LOCAL, "'%s' is written, but perhaps not to the disk: %s",
                         cache->path, strerror(failed));
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
