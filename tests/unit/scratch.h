/* SPDX-License-Identifier: MIT */
/* A directory of a test's own, and the files in it. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit.h"

static char scratch[128];

static inline void scratch_make(void)
{
    const char *parent = getenv("TMPDIR");

    snprintf(scratch, sizeof scratch, "%s/servetel-auth-XXXXXX",
             parent != NULL && *parent != '\0' && strlen(parent) < 64 ? parent : "/tmp");
    if (mkdtemp(scratch) == NULL)
        printf("# cannot make '%s': %s\n", scratch, strerror(errno));
}

static inline void scratch_remove_below(const char *path)
{
    struct dirent *entry;
    DIR *listing = opendir(path);

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        char *below;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        below = mem_format("%s/%s", path, entry->d_name);
        if (unlink(below) < 0)
            scratch_remove_below(below);
        mem_free(below);
    }
    if (listing != NULL)
        closedir(listing);
    rmdir(path);
}

static inline void scratch_remove(void)
{
    scratch_remove_below(scratch);
}

/* The path of a file in it; good until the fourth call after it. */
static inline const char *at(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static inline void put_bytes(const char *path, const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (!CHECK(fd >= 0))
        return;
    CHECK_INT(write(fd, bytes, len), (long long)len);
    fchmod(fd, mode);
    close(fd);
}

static inline void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text), 0600);
}

/* The file's text, "(none)" without one; good until the next call. */
static inline const char *get(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0)
        return "(none)";
    len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len < 0 ? 0 : len] = '\0';
    return text;
}

static inline bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static inline unsigned mode_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 ? (unsigned)st.st_mode & 07777 : 0;
}
