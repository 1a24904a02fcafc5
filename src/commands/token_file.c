/* SPDX-License-Identifier: MIT */
#include "commands/token_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/lock.h"

#define INFIX ".exec."
/* Digits of the number in the name; not a pid, which another container may have too. */
#define DIGITS 8
/* A name that is taken, or whose lock a sweep took first, is not met twice in a row but for a
 * directory in which nothing can be made or locked. */
#define TRIES 10

static void name_files(struct token_file *file)
{
    file->path = mem_join(file->lock_path, ".token");
    file->temp_path = mem_join(file->path, ".tmp");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* Makes and locks a lock file of its own. */
static enum result make_lock(struct token_file *file, const char *dir, const char *base,
                             struct error *error)
{
    enum result result = RESULT_TEMPORARY;

    for (int i = 0; i < TRIES && result != RESULT_OK; i++) {
        mem_free(file->lock_path);
        file->lock_path = mem_format("%s/.%s" INFIX "%0*llx", dir, base, DIGITS,
                                     (unsigned long long)clock_jitter((int64_t)1 << 4 * DIGITS));
        result = lock_file(file->lock_path, O_CREAT | O_EXCL, &file->lock_fd, error);
    }
    return result == RESULT_TEMPORARY ? error->result = RESULT_LOCAL : result;
}

enum result token_file_open(struct token_file *file, const struct cache *cache, const char *token,
                            struct error *error)
{
    const char *base = base_name(cache->target);
    char *dir = realpath(cache->dir_path, NULL);
    enum result result;

    *file = (struct token_file){.lock_fd = -1};
    if (dir == NULL)
        return error_set(error, RESULT_LOCAL, "cannot use '%s': %s", cache->dir_path,
                         strerror(errno));
    token_file_sweep(cache);
    result = make_lock(file, dir, base, error);
    if (result == RESULT_OK) {
        name_files(file);
        result = token_file_write(file, token, error);
    }
    free(dir);
    return result;
}

/* Not synced to the disk: nobody needs it after the program. */
enum result token_file_write(struct token_file *file, const char *token, struct error *error)
{
    char *line = mem_join(token, "\n");
    bool done;
    int fd;

    unlink(file->temp_path);
    fd = fd_open(file->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    done = fd >= 0 && fchmod(fd, 0600) == 0 && fd_write(fd, line, strlen(line)) == 0;
    if (fd >= 0 && close(fd) < 0)
        done = false;
    done = done && rename(file->temp_path, file->path) == 0;
    mem_free(line);
    if (done)
        return RESULT_OK;
    error_set(error, RESULT_LOCAL, "cannot write '%s': %s", file->path, strerror(errno));
    unlink(file->temp_path);
    return error->result;
}

void token_file_close(struct token_file *file)
{
    if (file->path != NULL) {
        unlink(file->temp_path);
        unlink(file->path);
    }
    if (file->lock_fd >= 0)
        unlink(file->lock_path); /* last: what is locked and gone is nobody's */
    fd_close(&file->lock_fd);
    mem_free(file->path);
    mem_free(file->temp_path);
    mem_free(file->lock_path);
    *file = (struct token_file){.lock_fd = -1};
}

/* .BASE.exec.HEX, where BASE ends so. */
static bool is_lock_name(const char *name, const char *base_end)
{
    size_t len = strlen(name), tail = strlen(INFIX) + DIGITS, end_len = strlen(base_end);
    const char *infix = len > end_len + tail ? name + len - tail : NULL;

    return name[0] == '.' && infix != NULL && strncmp(infix - end_len, base_end, end_len) == 0 &&
           strncmp(infix, INFIX, strlen(INFIX)) == 0 &&
           strspn(infix + strlen(INFIX), "0123456789abcdef") == DIGITS;
}

static void remove_if_dead(const char *dir, const char *name)
{
    struct token_file left = {.lock_path = mem_join(dir, "/", name)};
    struct error ignored;

    if (lock_file(left.lock_path, 0, &left.lock_fd, &ignored) == RESULT_OK)
        name_files(&left);
    token_file_close(&left);
}

static void sweep(const char *dir_path, const char *base_end)
{
    DIR *dir = opendir(dir_path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (is_lock_name(entry->d_name, base_end))
            remove_if_dead(dir_path, entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
}

void token_file_sweep(const struct cache *cache)
{
    if (cache->dir_path != NULL)
        sweep(cache->dir_path, base_name(cache->target));
}

void token_file_sweep_all(void)
{
    struct error ignored;
    char *dir = cache_directory(&ignored);

    if (dir != NULL)
        sweep(dir, ".json");
    mem_free(dir);
}
