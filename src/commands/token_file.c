/* SPDX-License-Identifier: MIT */
#include "commands/token_file.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "store/lock.h"

#define INFIX ".exec."
#define NUMBERS ((int64_t)1 << 32) /* the name's number; a pid may be another container's, too */
#define NUMBER_PATTERN "[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
/* Names that are taken, or whose lock a sweep took first: so many in a row there are not. */
#define TRIES 10

enum result token_file_open(struct token_file *file, const struct cache *cache, const char *token,
                            struct error *error)
{
    OWNED char *stem = process_absolute_path(cache->temp_stem);

    *file = (struct token_file){.lock_fd = -1};
    if (stem == NULL)
        return error_set(error, RESULT_LOCAL, "cannot tell where '%s' is: give its whole path",
                         cache->path);
    token_file_sweep(cache);
    for (int i = 0; i < TRIES && file->lock_fd < 0; i++) {
        mem_free(file->lock_path);
        file->lock_path = mem_format("%s" INFIX "%08llx", stem,
                                     (unsigned long long)clock_jitter(NUMBERS));
        if (lock_file(file->lock_path, O_CREAT | O_EXCL, &file->lock_fd, error) != RESULT_OK)
            continue;
    }
    if (file->lock_fd < 0)
        return error->result = RESULT_LOCAL;
    file->path = mem_join(file->lock_path, ".token");
    return token_file_write(file, token, error);
}

/* Not synced to the disk: nobody needs it after the program. */
enum result token_file_write(struct token_file *file, const char *token, struct error *error)
{
    OWNED char *line = mem_join(token, "\n"), *temp_path = mem_join(file->path, ".tmp");
    bool done;
    int fd;

    unlink(temp_path);
    fd = fd_open(temp_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    done = fd >= 0 && fchmod(fd, 0600) == 0 && fd_write(fd, line, strlen(line)) == 0;
    done = fd >= 0 && close(fd) == 0 && done && rename(temp_path, file->path) == 0;
    if (done)
        return RESULT_OK;
    error_set(error, RESULT_LOCAL, "cannot write '%s': %s", file->path, strerror(errno));
    unlink(temp_path);
    return RESULT_LOCAL;
}

void token_file_close(struct token_file *file)
{
    static const char *const ends[] = {".token.tmp", ".token", ""};

    /* The lock last: what is locked and gone is nobody's. */
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && file->lock_fd >= 0; i++) {
        OWNED char *path = mem_join(file->lock_path, ends[i]);

        unlink(path);
    }
    fd_close(&file->lock_fd);
    mem_free(file->lock_path);
    mem_free(file->path);
}

/* Those of caches whose files are at place, links followed, and then called so. */
static void sweep(const char *place, const char *pattern)
{
    AT_END(buffer_clear) struct buffer locks = BUFFER(SIZE_MAX / 2);
    struct error ignored;
    glob_t found;

    text_put_escaped(&locks, place, "*?[\\", "\\", "");
    buffer_put(&locks, pattern, INFIX NUMBER_PATTERN);
    if (glob(locks.data, GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        AT_END(token_file_close)
        struct token_file left = {.lock_path = mem_copy(found.gl_pathv[i])};

        /* What another process has locked is in use, and stays. */
        if (lock_file(left.lock_path, 0, &left.lock_fd, &ignored) != RESULT_OK)
            continue;
    }
    globfree(&found);
}

void token_file_sweep(const struct cache *cache)
{
    if (cache->temp_stem != NULL)
        sweep(cache->temp_stem, "");
}

void token_file_sweep_all(void)
{
    struct error ignored;
    OWNED char *dir = cache_directory(&ignored);

    if (dir != NULL)
        sweep(dir, "/.*.json");
}
