/* cache.h's other half: the lock, and the note in it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/cache.h"
#include "store/token.h"

static enum result make_directories(const char *path, struct error *error)
{
    char *partial = mem_copy(path);
    enum result result = RESULT_OK;

    for (char *slash = partial + 1; result == RESULT_OK; slash++) {
        char kept = *slash;

        if (kept != '/' && kept != '\0')
            continue;
        *slash = '\0';
        if (mkdir(partial, 0700) == 0) {
            if (chmod(partial, 0700) < 0) /* a umask can only take away; this gives it back */
                result = error_set(error, RESULT_LOCAL, "cannot chmod '%s': %s", partial,
                                   strerror(errno));
        } else if (errno != EEXIST && (kept == '\0' || errno != EROFS)) {
            /* (A read-only file system says so even of what exists.) */
            result = error_set(error, RESULT_LOCAL, "cannot make the directory '%s': %s", partial,
                               strerror(errno));
        }
        *slash = kept;
        if (kept == '\0')
            break;
    }
    mem_free(partial);
    return result;
}

static enum result open_lock(struct cache *cache, struct error *error)
{
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
    struct stat st;
    int fd = fd_open(cache->lock_path, flags);

    if (fd < 0 && errno == ENOENT) {
        if (make_directories(cache->dir_path, error) != RESULT_OK)
            return error->result;
        fd = fd_open(cache->lock_path, flags);
    }
    if (fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot open the lock '%s': %s", cache->lock_path,
                         strerror(errno));
    cache->lock_fd = fd;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return error_set(error, RESULT_LOCAL, "the lock '%s' is not a regular file: remove it",
                         cache->lock_path);
    if (st.st_uid == geteuid() && (st.st_mode & 0777) != 0600 && fchmod(fd, 0600) < 0)
        return error_set(error, RESULT_LOCAL, "cannot chmod the lock '%s': %s", cache->lock_path,
                         strerror(errno));
    return RESULT_OK;
}

enum result cache_lock(struct cache *cache, struct error *error)
{
    struct stat held, there;

    /* `logout` removes the lock file under the lock; whoever waited on the removed file finds out
     * here and starts again with the new one. Each turn needs a logout: no endless loop. */
    while (!cache->locked) {
        if (cache->lock_fd < 0 && open_lock(cache, error) != RESULT_OK) {
            fd_close(&cache->lock_fd);
            return error->result;
        }
        if (fd_lock(cache->lock_fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno == EWOULDBLOCK)
                return error_set(error, RESULT_TEMPORARY,
                                 "another process is renewing '%s' and holds its lock '%s'",
                                 cache->name, cache->lock_path);
            return error_set(error, RESULT_LOCAL, "cannot lock '%s': %s", cache->lock_path,
                             strerror(errno));
        }
        if (fstat(cache->lock_fd, &held) == 0 && lstat(cache->lock_path, &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev)
            cache->locked = true;
        else
            fd_close(&cache->lock_fd);
    }
    return RESULT_OK;
}

void cache_unlock(struct cache *cache)
{
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
    if (cache->lock_fd >= 0 && fd_truncate(cache->lock_fd, 0) < 0)
        return;
}

bool cache_token_is_in_doubt(const struct cache *cache, const char *token, int64_t pause_s)
{
    char fingerprint[TOKEN_FINGERPRINT_SIZE], note[TOKEN_FINGERPRINT_SIZE] = "";
    int64_t rested_s;
    struct stat st;
    bool doubt;
    int fd;

    if (token == NULL || lstat(cache->lock_path, &st) < 0 || st.st_size == 0)
        return false; /* the common case: one call */
    fd = fd_open(cache->lock_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    token_fingerprint(token, fingerprint);
    rested_s = clock_epoch_s() - st.st_mtime; /* negative: the clock was set back */
    doubt = fd_read(fd, note, sizeof note - 1) == (ssize_t)sizeof note - 1 &&
            memcmp(note, fingerprint, sizeof note) == 0 && (rested_s < 0 || rested_s >= pause_s) &&
            (cache->locked || fd_lock(fd, LOCK_SH | LOCK_NB) == 0);
    close(fd);
    return doubt;
}
