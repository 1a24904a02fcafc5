/* SPDX-License-Identifier: MIT */
#include "store/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/process.h"
#include "base/text.h"
#include "store/advice.h"
#include "store/lock.h"

/* As the kernel's own limit (path_resolution(7)). */
#define LINKS_MAX 40
#define EXTENSION ".json"

/* ---- names and places ---- */

char *cache_directory(struct error *error)
{
    const char *dir = process_variable("SERVETEL_AUTH_DIR"), *home = process_variable("HOME");

    if (dir != NULL)
        return mem_copy(dir);
    if (home == NULL) {
        struct passwd entry, *user = NULL; /* _r: renewals of --all are threads */
        char texts[4096];

        getpwuid_r(geteuid(), &entry, texts, sizeof texts, &user);
        if (user == NULL || user->pw_dir == NULL || *user->pw_dir == '\0') {
            error_set(error, RESULT_LOCAL,
                      "HOME is not set and user %lu has no home directory: set SERVETEL_AUTH_DIR",
                      (unsigned long)geteuid());
            return NULL;
        }
        return mem_join(user->pw_dir, "/.servetel-auth");
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

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum result cache_list(char ***names, size_t *count, struct error *error)
{
    char *dir_path = cache_directory(error);
    enum result result = RESULT_OK;
    struct dirent *entry;
    size_t room = 0;
    DIR *dir;

    *names = NULL;
    *count = 0;
    if (dir_path == NULL)
        return RESULT_LOCAL;
    do
        dir = opendir(dir_path);
    while (dir == NULL && errno == EINTR);
    if (dir == NULL && errno != ENOENT) {
        error_set(error, errno == ENOMEM ? RESULT_FAILED : RESULT_LOCAL, "cannot read '%s': %s",
                  dir_path, strerror(errno));
        result = advice_append_owner(error, dir_path);
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *name = mem_copy(entry->d_name);

        if (!strip_extension(name) || !profile_name_is_valid(name)) {
            mem_free(name);
            continue;
        }
        if (*count == room) {
            room = room == 0 ? 16 : room * 2;
            *names = mem_require(mem_realloc(*names, (room + 1) * sizeof **names));
        }
        (*names)[(*count)++] = name;
        (*names)[*count] = NULL;
    }
    if (dir != NULL)
        closedir(dir);
    mem_free(dir_path);
    if (*count > 1)
        qsort(*names, *count, sizeof **names, compare_names);
    return result;
}

void cache_list_free(char **names)
{
    for (char **name = names; name != NULL && *name != NULL; name++)
        mem_free(*name);
    mem_free(names);
}

char *cache_meant(const struct cache *cache)
{
    const char *meant = NULL;
    struct error ignored;
    char **names = NULL, *copy;
    size_t count = 0;

    if (strcmp(cache->name, cache->path) != 0 && /* not a file that was named */
        cache_list(&names, &count, &ignored) == RESULT_OK && count > 0)
        meant = nearest(cache->name, (const char *const *)names);
    copy = meant != NULL ? mem_format(": did you mean '%s'?", meant) : mem_copy("");
    cache_list_free(names);
    return copy;
}

/* Where others may write, they may put another file in the cache's place. (In a sticky directory
 * they may not.) */
static enum result check_directory(const char *path, struct error *error)
{
    struct stat st;
    char *word;

    if (stat(path, &st) < 0 || (st.st_mode & 022) == 0 || (st.st_mode & S_ISVTX) != 0)
        return RESULT_OK;
    word = text_shell_word(path);
    error_set(error, RESULT_LOCAL,
              "cannot use '%s': others may write in it (mode %04o): chmod go-w %s", path,
              (unsigned)st.st_mode & 07777, word);
    mem_free(word);
    return RESULT_LOCAL;
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
        if (st.st_uid != geteuid() && st.st_uid != 0)
            return error_set(error, RESULT_LOCAL, "cannot use '%s': user %lu has made the link",
                             *target, (unsigned long)st.st_uid);
        next = slash == NULL ? mem_copy(".") : mem_format("%.*s/", (int)(slash - *target), *target);
        if (check_directory(next, error) != RESULT_OK) { /* the link may be another tomorrow */
            mem_free(next);
            return error->result;
        }
        mem_free(next);
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
    cache->name = mem_copy(file != NULL ? file : profile);
    if (file != NULL) {
        cache->path = mem_copy(file);
    } else {
        dir = cache_directory(error);
        if (dir == NULL)
            return error->result;
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
    cache->temp_stem = mem_join(cache->dir_path, "/.", base);
    return check_directory(cache->dir_path, error);
}

void cache_close(struct cache *cache)
{
    cache_abandon(cache);
    cache_unlock(cache);
    mem_free(cache->name);
    mem_free(cache->path);
    mem_free(cache->target);
    mem_free(cache->lock_path);
    mem_free(cache->temp_stem);
    mem_free(cache->dir_path);
    memset(cache, 0, sizeof *cache);
    cache->lock_fd = cache->temp_fd = cache->dir_fd = -1;
}

/* ---- reading ---- */

static enum result check_owner(const char *path, const struct stat *st, struct error *error)
{
    if (!S_ISREG(st->st_mode))
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is not a regular file", path);
    if (st->st_uid != geteuid())
        return error_set(error, RESULT_LOCAL,
                         "cannot use '%s': it belongs to user %lu: remove it, or chown and "
                         "chmod 600 it",
                         path, (unsigned long)st->st_uid);
    return RESULT_OK;
}

static enum result check_mode(const char *path, const struct stat *st, struct error *error)
{
    char *word;

    if ((st->st_mode & 077) == 0)
        return RESULT_OK;
    word = text_shell_word(path);
    error_set(error, RESULT_LOCAL,
              "cannot use '%s': others may read or write it (mode %04o): chmod 600 %s, and log in "
              "again if they should not know the token",
              path, (unsigned)st->st_mode & 07777, word);
    mem_free(word);
    return RESULT_LOCAL;
}

/* As much as a cache may hold; one byte more is too much. */
static enum result read_file(struct cache *cache, int fd, struct buffer *text, struct error *error)
{
    char chunk[8192]; /* most caches in one call */
    ssize_t len;

    while ((len = FD_RETRY(read(fd, chunk, sizeof chunk))) > 0) {
        bool fits = buffer_append(text, chunk, (size_t)len);

        mem_wipe(chunk, (size_t)len);
        if (!fits) {
            cache->is_ours = profile_wrote(text->data);
            error_set(error, RESULT_LOCAL, "cannot use '%s': it is larger than %d KiB", cache->path,
                      CACHE_SIZE_MAX / 1024);
            return advice_append_login(error, cache->name, cache->path, NULL);
        }
    }
    /* Of what cannot be read nobody knows whose it is. */
    cache->is_ours = len >= 0 && profile_wrote(buffer_text(text));
    if (len < 0)
        return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
    return RESULT_OK;
}

bool cache_is_linked(const struct cache *cache)
{
    return cache->target != NULL && strcmp(cache->target, cache->path) != 0;
}

/* What was opened. */
static enum result use_file(struct cache *cache, int fd, struct profile *profile,
                            struct error *error)
{
    struct buffer text = BUFFER(CACHE_SIZE_MAX);
    struct error inner;
    struct stat st;
    enum result result;

    if (fstat(fd, &st) < 0)
        return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
    if (check_owner(cache->path, &st, error) != RESULT_OK)
        return error->result;
    result = read_file(cache, fd, &text, error);
    if (result == RESULT_OK)
        result = check_mode(cache->path, &st, error);
    if (result == RESULT_OK) {
        cache->last_seen = st;
        result = profile_parse(profile, buffer_text(&text), text.len, &inner);
        if (result != RESULT_OK)
            error_set(error, RESULT_LOCAL, "cannot use '%s': %s", cache->path, inner.text);
        if (result == RESULT_FAILED && cache->is_ours)
            advice_append_login(error, cache->name, cache->path, NULL);
        cache->is_later = result == RESULT_LOCAL;
        if (result != RESULT_OK)
            result = RESULT_LOCAL;
    }
    buffer_clear(&text);
    return result;
}

enum result cache_read(struct cache *cache, struct profile *profile, struct error *error)
{
    enum result result;
    int fd;

    profile_clear(profile);
    memset(&cache->last_seen, 0, sizeof cache->last_seen);
    cache->is_ours = cache->is_later = false;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    fd = fd_open(cache->target, O_RDONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        char *meant = cache_meant(cache);

        error_set(error, RESULT_NO_TOKEN, "no token is cached for '%s'%s", cache->name, meant);
        if (*meant == '\0')
            advice_append_login(error, cache->name, cache->path, NULL);
        mem_free(meant);
        return RESULT_NO_TOKEN;
    }
    if (fd < 0) {
        error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
        return advice_append_owner(error, cache->target);
    }
    result = use_file(cache, fd, profile, error);
    close(fd);
    return result;
}

enum result cache_find(struct cache *cache, struct error *error)
{
    char *temp_path = cache_temp_path(cache, 0);
    struct profile profile;
    enum result result;
    struct stat st;

    profile_init(&profile);
    result = cache_read(cache, &profile, error);
    profile_clear(&profile);
    if ((result == RESULT_LOCAL && cache->is_ours) ||
        (result == RESULT_NO_TOKEN && lstat(temp_path, &st) == 0))
        result = RESULT_OK;
    mem_free(temp_path);
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

/* ---- removing ---- */

enum result cache_remove(struct cache *cache, struct error *error)
{
    enum result result = cache_sweep(cache, error);

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
