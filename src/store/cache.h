/* The dotfile: where it is, who may touch it, and how it changes without ever being half there.
 *
 *     cache_open                         find the paths; touches nothing
 *     cache_read                         no lock needed: the file is always whole
 *     cache_lock, cache_read             one process at a time from here on
 *     cache_prepare                      temporary file beside the target, room reserved
 *     (the request)                      only now, since a refresh spends the old token
 *     cache_write, cache_sync            write, fsync, close, rename; fsync the directory
 *     cache_close                        drops what was prepared, lets the lock go
 *
 * So a full disk or a read-only directory shows before anything is sent, and death at any point
 * leaves the old file or the new one, whole. Only the lock's holder makes the temporary file, so
 * one that is there already is a dead process's, and is removed by the next to prepare.
 *
 * The lock is a kernel lock (flock) on a file beside the cache, which the kernel lets go when the
 * process dies. Its content is a note for the others: the fingerprint of a token whose renewal was
 * sent and not yet answered. If the lock is free and the note is there, a renewal was lost, and
 * that token is perhaps no longer good (cache_token_is_in_doubt).
 *
 * A struct cache owns its strings and descriptors.
 */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/result.h"
#include "store/profile.h"

struct cache {
    char *name;      /* the profile's, or the path where the user named a file */
    char *path;      /* as the user would write it */
    char *target;    /* the same, links followed */
    char *lock_path; /* beside the target, likewise below */
    char *temp_path;
    char *dir_path;
    int lock_fd, temp_fd, dir_fd; /* -1 when closed */
    bool locked;
    bool replaceable;      /* after cache_read failed: `login` may replace the file */
    struct stat last_seen; /* what cache_read read; st_ino 0 for nothing */
};

/* Where profiles are, in secret memory; NULL when there is no telling. */
char *cache_directory(struct error *error);
/* Whether the cache is a link to a file elsewhere. */
bool cache_is_linked(const struct cache *cache);

/* The names of all profiles in the directory, sorted; free each and the list with mem_free. */
enum result cache_list(char ***names, size_t *count, struct error *error) MUST_CHECK;

/* What a person should type to log in there; name and path as in struct cache. profile: NULL, or if
 * its remembered password was refused, the source is named: that is the word to send it again. (Not
 * the command itself: it may hold the password.) In secret memory. */
char *cache_login_command(const char *name, const char *path, const struct profile *profile);

/* file: the cache file itself, or NULL for the profile's. cache_close() it in any case. */
enum result cache_open(struct cache *cache, const char *profile, const char *file,
                       struct error *error) MUST_CHECK;
void cache_close(struct cache *cache);

/* Whether there is anything to remove, of whatever kind. */
bool cache_exists(const struct cache *cache);
/* RESULT_NO_TOKEN when there is no file; RESULT_LOCAL when it cannot or must not be used. *profile
 * is cleared first and is empty then. */
enum result cache_read(struct cache *cache, struct profile *profile,
                       struct error *error) MUST_CHECK;
/* Whether the file is another one than cache_read last saw. Cheap. */
bool cache_changed(const struct cache *cache);

/* Makes the directory if needed. RESULT_TEMPORARY at once when another process has the lock. */
enum result cache_lock(struct cache *cache, struct error *error) MUST_CHECK;
/* Under the lock. size: the most that will be written. */
enum result cache_prepare(struct cache *cache, size_t size, struct error *error) MUST_CHECK;
/* Under the lock, once for each cache_prepare: the text replaces the file. *stored tells, on
 * failure, whether it did all the same (only its way to the disk is unsure). */
enum result cache_write(struct cache *cache, const char *text, bool *stored,
                        struct error *error) MUST_CHECK;
/* The directory's way to the disk; one call does for all caches in the same directory. */
enum result cache_sync(struct cache *cache, struct error *error) MUST_CHECK;
/* Drops what was prepared, keeps the lock. */
void cache_abandon(struct cache *cache);
void cache_unlock(struct cache *cache);
/* Under the lock: removes the cache and what belongs to it. RESULT_NO_TOKEN: there was none. */
enum result cache_remove(struct cache *cache, struct error *error) MUST_CHECK;

/* The note in the lock file. Under the lock, but for the question. */
enum result cache_note_sent(struct cache *cache, const char *token, struct error *error) MUST_CHECK;
void cache_note_answered(struct cache *cache);
/* A renewal of this token was sent, no answer came, nobody else is at it now, and the last try was
 * at least pause_s ago. False for NULL. */
bool cache_token_is_in_doubt(const struct cache *cache, const char *token, int64_t pause_s);

#endif
