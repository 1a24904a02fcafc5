/* SPDX-License-Identifier: MIT */
/* The dotfile: where it is, who may touch it, and how it changes without ever being half there.
 *
 *     cache_open                         find the paths; touches nothing
 *     cache_read                         no lock needed: the file is always whole
 *     cache_lock, cache_read             one process at a time from here on (lock.h)
 *     cache_prepare                      temporary file beside the target, room reserved
 *     (the request)                      only now, since a refresh spends the old token
 *     cache_write                        write, fsync, close, rename; fsync the directory
 *     cache_close                        drops what was prepared, lets the lock go
 *
 * So a full disk, a read-only directory, a mount point or an immutable file shows before anything
 * is sent, and death at any point leaves the old file or the new one, whole. A temporary file is
 * its process's own, by a lock on it: one without is a dead process's, and removed by the next to
 * prepare; one with is another's who is at work, too, since somebody removed the lock file.
 *
 * A struct cache owns its strings and descriptors. */
#pragma once

#include <sys/stat.h>

#include "store/profile.h"

/* A token, an address and some commands are 20 KiB at most; the rest is for members of others. */
#define CACHE_SIZE_MAX (256 * 1024)

struct cache {
    char *name;      /* the profile's, or the path where the user named a file */
    char *path;      /* as the user would write it */
    char *target;    /* the same, links followed */
    char *lock_path; /* beside the target, likewise below */
    char *temp_stem; /* temporary files are called so, and .tmp or .1.tmp */
    char *dir_path;
    char *temp_path;              /* the one that is prepared, or NULL */
    int lock_fd, temp_fd, dir_fd; /* -1 when closed */
    bool locked;
    /* After cache_read failed: `logout` may remove, and `login` replace it, unless it is later. */
    bool is_ours, is_later;
    struct stat last_seen; /* what was read or written last; st_ino 0 for nothing */
};

/* Where profiles are, in wiped memory; NULL when there is no telling. */
char *cache_directory(struct error *error);
/* Whether the cache is a link to a file elsewhere. */
bool cache_is_linked(const struct cache *cache);

/* The names of all profiles in the directory, sorted, and a NULL. Give it to cache_list_free(). */
enum result cache_list(char ***names, size_t *count, struct error *error) MUST_CHECK;
void cache_list_free(char ***names);

/* file: the cache file itself, or NULL for the profile's. cache_close() it in any case. */
enum result cache_open(struct cache *cache, const char *profile, const char *file,
                       struct error *error) MUST_CHECK;
void cache_close(struct cache *cache);

/* ": did you mean 'sales'?", in wiped memory; "" where no name is near, or a file was named. */
char *cache_meant(const struct cache *cache);
/* RESULT_OK: there is something to remove; NO_TOKEN: nothing; LOCAL: it is not ours, or unknown. */
enum result cache_find(struct cache *cache, struct error *error) MUST_CHECK;
/* RESULT_NO_TOKEN: no file; RESULT_LOCAL: it cannot or must not be used; *profile is empty then. */
enum result cache_read(struct cache *cache, struct profile *profile,
                       struct error *error) MUST_CHECK;
/* Whether the file is another one than was read or written last. Cheap. */
bool cache_changed(const struct cache *cache);

/* Under the lock. size: the most that will be written. */
enum result cache_prepare(struct cache *cache, size_t size, struct error *error) MUST_CHECK;
/* Under the lock, once for each cache_prepare: the text replaces the file. *stored tells, on
 * failure, whether it did all the same (its way to the disk is unsure, or the directory was moved
 * and what is at the path now is another file). */
enum result cache_write(struct cache *cache, const char *text, bool *stored,
                        struct error *error) MUST_CHECK;
/* Drops what was prepared, keeps the lock. */
void cache_abandon(struct cache *cache);
/* Under the lock: removes the cache and what belongs to it. RESULT_NO_TOKEN: there was none. */
enum result cache_remove(struct cache *cache, struct error *error) MUST_CHECK;
