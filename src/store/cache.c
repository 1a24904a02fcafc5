/* SPDX-License-Identifier: MIT */
#include "store/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "store/advice.h"
#include "store/lock.h"

#ifdef __APPLE__ /* its name for POSIX.1-2008's */
#define st_mtim st_mtimespec
#endif

#define LINKS_MAX 40 /* as the kernel's own limit (path_resolution(7)) */
#define EXTENSION ".json"

/* ---- names and places ---- */

char *cache_directory(struct error *error)
{
    const char *dir = process_variable("SERVETEL_AUTH_DIR"), *home = process_variable("HOME");
    struct passwd entry, *user = NULL;
    char texts[4096];

    if (dir != NULL)
        return mem_copy(dir);
    if (home == NULL) {
        getpwuid_r(geteuid(), &entry, texts, sizeof texts, &user); /* renewals may be threads */
        home = user != NULL && user->pw_dir != NULL ? user->pw_dir : "";
    }
    if (*home != '\0')
        return mem_join(home, "/.servetel-auth");
    error_set(error, RESULT_LOCAL,
              "HOME is not set and user %lu has no home directory: set SERVETEL_AUTH_DIR",
              (unsigned long)geteuid());
    return NULL;
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
    struct buffer list = BUFFER(SIZE_MAX / 2); /* of pointers */
    OWNED char *dir_path = cache_directory(error);
    struct dirent *entry;
    char *name;
    DIR *dir;

    *names = NULL;
    *count = 0;
    if (dir_path == NULL)
        return RESULT_LOCAL;
    while ((dir = opendir(dir_path)) == NULL && errno == EINTR)
        continue;
    if (dir == NULL && errno != ENOENT) {
        error_set(error, errno == ENOMEM ? RESULT_FAILED : RESULT_LOCAL, "cannot read '%s': %s",
                  dir_path, strerror(errno));
        return advice_append_owner(error, dir_path);
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        name = mem_copy(entry->d_name);
        if (!strip_extension(name) || !profile_name_is_valid(name) ||
            !buffer_append(&list, &name, sizeof name))
            mem_free(name);
    }
    if (dir != NULL)
        closedir(dir);
    *count = list.len / sizeof name;
    name = NULL;
    *names = buffer_append(&list, &name, sizeof name) ? (char **)(void *)list.data : NULL;
    if (*names != NULL)
        qsort(*names, *count, sizeof name, compare_names);
    return RESULT_OK;
}

void cache_list_free(char ***names)
{
    for (char **name = *names; name != NULL && *name != NULL; name++)
        mem_free(*name);
    mem_free(*names);
}

char *cache_meant(const struct cache *cache)
{
    AT_END(cache_list_free) char **names = NULL;
    char text[TEXT_NEAREST_SIZE] = "";
    struct error ignored;
    size_t count;

    if (strcmp(cache->name, cache->path) != 0 && /* not a file that was named */
        cache_list(&names, &count, &ignored) == RESULT_OK)
        text_nearest(cache->name, strlen(cache->name), (const char *const *)names, text);
    return mem_copy(text);
}

static enum result refuse_mode(const char *path, const struct stat *st, const char *they_may,
                               const char *mode, struct error *error)
{
    OWNED char *word = text_shell_word(path);

    return error_set(error, RESULT_LOCAL, "cannot use '%s': others may %s (mode %04o): chmod %s %s",
                     path, they_may, (unsigned)st->st_mode & 07777, mode, word);
}

/* Where others may write they may replace the cache, but for a sticky directory. */
static enum result check_directory(const char *path, struct error *error)
{
    struct stat st;

    if (stat(path, &st) < 0 || (st.st_mode & 022) == 0 || (st.st_mode & S_ISVTX) != 0)
        return RESULT_OK;
    return refuse_mode(path, &st, "write in it", "go-w", error);
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL   ? mem_copy(".")
           : slash == path ? mem_copy("/")
                           : mem_format("%.*s", (int)(slash - path), path);
}

/* Where path leads, links followed; where the last one dangles, a file would be made. */
static enum result follow_links(const char *path, char **target, struct error *error)
{
    char link[4096]; /* PATH_MAX where there is one */
    struct stat st;

    *target = mem_copy(path);
    for (int i = 0; i < LINKS_MAX; i++) {
        ssize_t len;

        if (lstat(*target, &st) < 0 || !S_ISLNK(st.st_mode))
            return RESULT_OK; /* whoever opens it will say what is wrong */
        if (st.st_uid != geteuid() && st.st_uid != 0)
            return error_set(error, RESULT_LOCAL, "cannot use '%s': user %lu has made the link",
                             *target, (unsigned long)st.st_uid);
        len = readlink(*target, link, sizeof link - 1);
        if (len < 0)
            return error_set(error, RESULT_LOCAL, "cannot read the link '%s': %s", *target,
                             strerror(errno));
        link[len] = '\0';
        OWNED char *dir = directory_of(*target);
        mem_free(*target);
        *target = link[0] == '/' ? mem_copy(link) : mem_join(dir, "/", link);
        if (check_directory(dir, error) != RESULT_OK) /* the link may be another tomorrow */
            return error->result;
    }
    return error_set(error, RESULT_LOCAL, "cannot use '%s': %s", path, strerror(ELOOP));
}

static const struct cache closed = {.lock_fd = -1, .temp_fd = -1, .dir_fd = -1};

enum result cache_open(struct cache *cache, const char *profile, const char *file,
                       struct error *error)
{
    OWNED char *dir = file != NULL ? NULL : cache_directory(error), *stem = NULL;
    const char *slash, *base;

    *cache = closed;
    cache->name = mem_copy(file != NULL ? file : profile);
    if (file == NULL && dir == NULL)
        return error->result;
    cache->path = file != NULL ? mem_copy(file) : mem_join(dir, "/", profile, EXTENSION);
    if (follow_links(cache->path, &cache->target, error) != RESULT_OK)
        return error->result;
    slash = strrchr(cache->target, '/');
    base = slash == NULL ? cache->target : slash + 1;
    if (*base == '\0')
        return error_set(error, RESULT_LOCAL, "cannot use '%s': it is a directory", cache->path);
    stem = mem_copy(cache->target);
    strip_extension(stem);
    cache->lock_path = mem_join(stem, ".lock");
    cache->dir_path = directory_of(cache->target);
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
    *cache = closed;
}

bool cache_is_linked(const struct cache *cache)
{
    return cache->target != NULL && strcmp(cache->target, cache->path) != 0;
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

/* As much as a cache may hold; one byte more is too much. */
static enum result read_file(struct cache *cache, int fd, struct buffer *text, struct error *error)
{
    char chunk[8192]; /* most caches in one call */
    bool fits = true;
    ssize_t len;

    while (fits && (len = FD_RETRY(read(fd, chunk, sizeof chunk))) != 0) {
        if (len < 0) /* of what cannot be read nobody knows whose it is */
            return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path,
                             strerror(errno));
        fits = buffer_append(text, chunk, (size_t)len);
        mem_wipe(chunk, (size_t)len);
    }
    cache->is_ours = profile_wrote(buffer_text(text));
    if (fits)
        return RESULT_OK;
    error_set(error, RESULT_LOCAL, "cannot use '%s': it is larger than %d KiB", cache->path,
              CACHE_SIZE_MAX / 1024);
    return advice_append_login(error, cache->name, cache->path, NULL);
}

static enum result use_text(struct cache *cache, const struct buffer *text, struct profile *profile,
                            struct error *error)
{
    struct error why;
    enum result result = profile_parse(profile, buffer_text(text), text->len, &why);

    if (result == RESULT_OK)
        return RESULT_OK;
    cache->is_later = result == RESULT_LOCAL;
    error_set(error, RESULT_LOCAL, "cannot use '%s': %s", cache->path, why.text);
    if (cache->is_ours && !cache->is_later)
        advice_append_login(error, cache->name, cache->path, NULL);
    return RESULT_LOCAL;
}

/* What was opened. */
static enum result use_file(struct cache *cache, int fd, struct profile *profile,
                            struct error *error)
{
    AT_END(buffer_clear) struct buffer text = BUFFER(CACHE_SIZE_MAX);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
    if (check_owner(cache->path, &st, error) != RESULT_OK ||
        read_file(cache, fd, &text, error) != RESULT_OK)
        return error->result;
    if ((st.st_mode & 077) != 0) {
        refuse_mode(cache->path, &st, "read or write it", "600", error);
        error_append(error, ", and log in again if they should not know the token");
        return error->result;
    }
    cache->last_seen = st;
    return use_text(cache, &text, profile, error);
}

enum result cache_read(struct cache *cache, struct profile *profile, struct error *error)
{
    AT_END(fd_close) int fd = -1;

    profile_clear(profile);
    memset(&cache->last_seen, 0, sizeof cache->last_seen);
    cache->is_ours = cache->is_later = false;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    fd = fd_open(cache->target, O_RDONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        OWNED char *meant = cache_meant(cache);

        error_set(error, RESULT_NO_TOKEN, "no token is cached for '%s'%s", cache->name, meant);
        if (*meant == '\0')
            advice_append_login(error, cache->name, cache->path, NULL);
        return RESULT_NO_TOKEN;
    }
    if (fd < 0) {
        error_set(error, RESULT_LOCAL, "cannot read '%s': %s", cache->path, strerror(errno));
        return advice_append_owner(error, cache->target);
    }
    return use_file(cache, fd, profile, error);
}

bool cache_changed(const struct cache *cache)
{
    const struct stat *seen = &cache->last_seen;
    struct stat st;

    if (lstat(cache->target, &st) < 0)
        return seen->st_ino != 0;
    /* A new file can get the inode of one that was just replaced, so the time counts too. */
    return st.st_ino != seen->st_ino || st.st_dev != seen->st_dev || st.st_size != seen->st_size ||
           st.st_mtim.tv_sec != seen->st_mtim.tv_sec || st.st_mtim.tv_nsec != seen->st_mtim.tv_nsec;
}
