#include "store/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/token.h"

/* A token, an address and some commands are 20 KiB at most; the rest is for members of others. */
#define FILE_SIZE_MAX (256 * 1024)
/* As the kernel's own limit (path_resolution(7)). */
#define LINKS_MAX 40
#define EXTENSION ".json"

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* ---- names and places ---- */

char *cache_directory(struct error *error)
{
    const char *dir = environment("SERVETEL_AUTH_DIR"), *home = environment("HOME");

    if (dir != NULL)
        return mem_copy(dir);
    if (home == NULL) {
        const struct passwd *user = getpwuid(geteuid());

        if (user == NULL || user->pw_dir == NULL || *user->pw_dir == '\0') {
            error_set(error, RESULT_LOCAL,
                      "HOME is not set and user %lu has no home directory: set SERVETEL_AUTH_DIR",
                      (unsigned long)geteuid());
            return NULL;
        }
        home = user->pw_dir;
    }
    return mem_join(home, "/.servetel-auth");
}

static bool strip_extension(char *name)
{
    size_t len = strlen(name);

    if (len <= strlen(EXTENSION) || strcmp(name + len - strlen(EXTENSION), EXTENSION) != 0)
        return false;
    name[len - strlen(EXTENSION)] = '\0';
    return true;
}

char *cache_login_command(const char *name, const char *path, const struct profile *profile)
{
    bool refused = profile != NULL && profile_login_was_refused(profile);
    /* Names of profiles hold nothing that a shell would mind, and no slash. */
    const char *which = path != NULL && strcmp(name, path) == 0 ? " -f "
                        : strcmp(name, "default") != 0          ? " -p "
                                                                : "";
    char *word = *which == '\0' ? mem_copy("") : text_shell_word(name);
    char *file = refused && profile->password_file != NULL ? text_shell_word(profile->password_file)
                                                           : mem_copy("");
    const char *source = *file != '\0' ? " --password-file "
                         : refused && profile->password_command != NULL
                             ? " --password-command COMMAND"
                             : "";
    char *command = mem_join("servetel-auth login", which, word, source, file);

    mem_free(word);
    mem_free(file);
    return command;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum result cache_list(char ***names, size_t *count, struct error *error)
{
    char *dir_path = cache_directory(error);
    struct dirent *entry;
    size_t room = 0;
    DIR *dir;

    *names = NULL;
    *count = 0;
    if (dir_path == NULL)
        return error->result;
    do
        dir = opendir(dir_path);
    while (dir == NULL && errno == EINTR);
    if (dir == NULL && errno != ENOENT)
        error_set(error, RESULT_LOCAL, "cannot read '%s': %s", dir_path, strerror(errno));
    else
        error->result = RESULT_OK;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *name = mem_copy(entry->d_name);

        if (!strip_extension(name) || !profile_name_is_valid(name)) {
            mem_free(name);
            continue;
        }
        if (*count == room) {
            room = room == 0 ? 16 : room * 2;
            *names = mem_require(mem_realloc(*names, room * sizeof **names));
        }
        (*names)[(*count)++] = name;
    }
    if (dir != NULL)
        closedir(dir);
    mem_free(dir_path);
    if (*count > 1)
        qsort(*names, *count, sizeof **names, compare_names);
    return error->result;
}

/* Where path leads, links followed; the last one may dangle, then it is where a file would be
 * made. */
static enum result follow_links(const char *path, char **target, struct error *error)
{
    char link[4096]; /* PATH_MAX where there is one */
    struct stat st;

    *target = mem_copy(path);
    for (int i = 0; i < LINKS_MAX; i++) {
        const char *slash = strrchr(*target, '/');
        char *next;
        ssize_t len;

        if (lstat(*target, &st) < 0 || !S_ISLNK(st.st_mode))
            return RESULT_OK; /* whoever opens it will say what is wrong */
        len = readlink(*target, link, sizeof link - 1);
        if (len < 0)
            return error_set(error, RESULT_LOCAL, "cannot read the link '%s': %s", *target,
                             strerror(errno));
        link[len] = '\0';
        if (link[0] == '/' || slash == NULL)
            next = mem_copy(link);
        else
            next = mem_format("%.*s/%s", (int)(slash - *target), *target, link);
        mem_free(*target);
        *target = next;
    }
    return error_set(error, RESULT_LOCAL, "cannot use '%s': %s", path, strerror(ELOOP));
}

enum result cache_open(struct cache *cache, const char *profile, const char *file,
                       struct error *error)
{
    const char *slash, *base;
    char *dir, *stem;

    memset(cache, 0, sizeof *cache);
    cache->lock_fd = cache->temp_fd = cache->dir_fd = -1;
    if (file != NULL) {
        cache->name = mem_copy(file);
        cache->path = mem_copy(file);
    } else {
        dir = cache_directory(error);
        if (dir == NULL)
            return error->result;
        cache->name = mem_copy(profile);
        cache->path = mem_join(dir, "/", profile, EXTENSION);
        mem_free(dir);
    }
    if (follow_links(cache->path, &cache->target, error) != RESULT_OK)
        return error->result;
    slash = strrchr(cache->target, '/');
    base = slash == NULL ? cache->target : slash + 1;
    if (*base == '\0')
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is a directory", cache->path);
    stem = mem_copy(cache->target);
    strip_extension(stem);
    cache->lock_path = mem_join(stem, ".lock");
    mem_free(stem);
    cache->dir_path = mem_copy(slash == NULL ? "." : slash == cache->target ? "/" : cache->target);
    if (slash != NULL && slash != cache->target)
        cache->dir_path[slash - cache->target] = '\0';
    cache->temp_path = mem_join(cache->dir_path, "/.", base, ".tmp");
    return RESULT_OK;
}

void cache_close(struct cache *cache)
{
    cache_abandon(cache);
    cache_unlock(cache);
    mem_free(cache->name);
    mem_free(cache->path);
    mem_free(cache->target);
    mem_free(cache->lock_path);
    mem_free(cache->temp_path);
    mem_free(cache->dir_path);
    memset(cache, 0, sizeof *cache);
    cache->lock_fd = cache->temp_fd = cache->dir_fd = -1;
}

/* ---- reading ---- */

/* Appends what a person should do about it, and returns the error's result. */
static enum result advise_login(const struct cache *cache, struct error *error)
{
    char *command = cache_login_command(cache->name, cache->path, NULL);

    error_append(error, ": run %s", command);
    mem_free(command);
    return error->result;
}

static enum result check_safety(struct cache *cache, const struct stat *st, struct error *error)
{
    const char *path = cache->path;

    if (!S_ISREG(st->st_mode))
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is not a regular file", path);
    if (st->st_uid != geteuid())
        return error_set(error, RESULT_LOCAL,
                         "cannot use '%s': it belongs to user %lu: remove it, or chown and "
                         "chmod 600 '%s'",
                         path, (unsigned long)st->st_uid, path);
    if ((st->st_mode & 077) != 0) {
        cache->replaceable = true;
        return error_set(error, RESULT_LOCAL,
                         "cannot use '%s': others may read or write it (mode %04o): "
                         "chmod 600 '%s', and log in again if they should not know the token",
                         path, (unsigned)st->st_mode & 07777, path);
    }
    return RESULT_OK;
}

static enum result read_file(struct cache *cache, int fd, struct buffer *text, struct error *error)
{
    char chunk[8192]; /* most caches in one call */
    ssize_t len;

    while ((len = fd_read(fd, chunk, sizeof chunk)) > 0) {
        bool fits = buffer_append(text, chunk, (size_t)len);

        mem_wipe(chunk, (size_t)len);
        if (!fits) {
            cache->replaceable = true;
            error_set(error, RESULT_LOCAL, "cannot use '%s': it is larger than %d KiB", cache->path,
                      FILE_SIZE_MAX / 1024);
            return advise_login(cache, error);
        }
    }
    if (len < 0)
        return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
    return RESULT_OK;
}

bool cache_is_linked(const struct cache *cache)
{
    return cache->target != NULL && strcmp(cache->target, cache->path) != 0;
}

bool cache_exists(const struct cache *cache)
{
    struct stat st;

    return lstat(cache->target, &st) == 0 || lstat(cache->temp_path, &st) == 0;
}

enum result cache_read(struct cache *cache, struct profile *profile, struct error *error)
{
    struct buffer text = BUFFER(FILE_SIZE_MAX);
    struct error inner;
    struct stat st;
    enum result result;
    int fd;

    profile_clear(profile);
    memset(&cache->last_seen, 0, sizeof cache->last_seen);
    cache->replaceable = false;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    fd = fd_open(cache->target, O_RDONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        error_set(error, RESULT_NO_TOKEN, "no token is cached for '%s'", cache->name);
        return advise_login(cache, error);
    }
    if (fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
    if (fstat(fd, &st) < 0)
        result = error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path,
                           strerror(errno));
    else
        result = check_safety(cache, &st, error);
    if (result == RESULT_OK)
        result = read_file(cache, fd, &text, error);
    close(fd);
    if (result == RESULT_OK) {
        cache->last_seen = st;
        result = profile_parse(profile, buffer_text(&text), text.len, &inner);
        cache->replaceable = result == RESULT_FAILED;
        if (result != RESULT_OK)
            result = error_set(error, RESULT_LOCAL, "cannot use '%s': %s", cache->path, inner.text);
        if (cache->replaceable)
            advise_login(cache, error);
    }
    buffer_clear(&text);
    return result;
}

bool cache_changed(const struct cache *cache)
{
    const struct stat *seen = &cache->last_seen;
    struct stat st;

    if (lstat(cache->target, &st) < 0)
        return seen->st_ino != 0;
    /* A new file can get the inode of one that was just replaced, so the time counts too. */
    return st.st_ino != seen->st_ino || st.st_dev != seen->st_dev || st.st_size != seen->st_size ||
           st.st_mtime != seen->st_mtime
#ifdef __APPLE__
           || st.st_mtimespec.tv_nsec != seen->st_mtimespec.tv_nsec
#elif defined st_mtime /* POSIX.1-2008's nanoseconds, where st_mtime is a macro for them */
           || st.st_mtim.tv_nsec != seen->st_mtim.tv_nsec
#endif
        ;
}

/* ---- writing ---- */

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
    struct stat st;

    if (size > FILE_SIZE_MAX)
        return error_set(error, RESULT_LOCAL, "'%s' would grow beyond %d KiB", cache->path,
                         FILE_SIZE_MAX / 1024);
    /* What a rename could not replace must be found now. */
    if (lstat(cache->target, &st) == 0 && !S_ISREG(st.st_mode))
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is not a regular file",
                         cache->path);
    if (cache->dir_fd < 0)
        cache->dir_fd = fd_open(cache->dir_path, O_RDONLY | O_DIRECTORY);
    if (cache->dir_fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot open '%s': %s", cache->dir_path,
                         strerror(errno));
    if (unlink(cache->temp_path) < 0 && errno != ENOENT)
        return error_set(error, RESULT_LOCAL, "cannot remove '%s': %s", cache->temp_path,
                         strerror(errno));
    cache->temp_fd = fd_open(cache->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (cache->temp_fd < 0 || fchmod(cache->temp_fd, 0600) < 0 ||
        reserve(cache->temp_fd, size) < 0) {
        error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->path, strerror(errno));
        cache_abandon(cache);
        return error->result;
    }
    return RESULT_OK;
}

static enum result unsure(const struct cache *cache, int number, struct error *error)
{
    return error_set(error, RESULT_LOCAL, "'%s' is written, but perhaps not to the disk: %s",
                     cache->path, strerror(number));
}

enum result cache_write(struct cache *cache, const char *text, bool *stored, struct error *error)
{
    size_t len = strlen(text);
    int failed = 0;

    *stored = false;
    /* The truncation gives back what was reserved and is not needed. */
    if (fd_write_at(cache->temp_fd, text, len, 0) < 0 ||
        fd_truncate(cache->temp_fd, (off_t)len) < 0) {
        error_set(error, RESULT_LOCAL, "cannot write '%s': %s", cache->path, strerror(errno));
        cache_abandon(cache);
        return error->result;
    }
    /* From here on the new text is better than the old one, on the disk or not yet. */
    if (fd_sync(cache->temp_fd) < 0)
        failed = errno;
    if (close(cache->temp_fd) < 0 && errno != EINTR)
        failed = errno;
    cache->temp_fd = -1;
    if (rename(cache->temp_path, cache->target) < 0) {
        error_set(error, RESULT_LOCAL, "cannot replace '%s': %s", cache->path, strerror(errno));
        unlink(cache->temp_path);
        return error->result;
    }
    *stored = true;
    return failed != 0 ? unsure(cache, failed, error) : RESULT_OK;
}

enum result cache_sync(struct cache *cache, struct error *error)
{
    return fd_sync(cache->dir_fd) < 0 ? unsure(cache, errno, error) : RESULT_OK;
}

void cache_abandon(struct cache *cache)
{
    if (cache->temp_fd >= 0) {
        fd_close(&cache->temp_fd);
        unlink(cache->temp_path);
    }
    fd_close(&cache->dir_fd);
}

enum result cache_remove(struct cache *cache, struct error *error)
{
    enum result result = RESULT_OK;

    if (unlink(cache->temp_path) < 0 && errno != ENOENT)
        result = error_set(error, RESULT_LOCAL, "cannot remove '%s': %s", cache->temp_path,
                           strerror(errno));
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
