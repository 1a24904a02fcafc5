/* SPDX-License-Identifier: MIT */
/* Locks, and the note in a cache's lock file.
 *
 * A lock is a kernel lock (flock) on a file of its own, which the kernel lets go when the process
 * dies, on whatever host or in whatever container. Whoever ends with it removes the file or leaves
 * it there: who waited on a file that is gone finds out and starts again with the new one.
 *
 * The content of a cache's lock file is a note for the others: the fingerprint of a token whose
 * renewal was sent and not yet answered. If the lock is free and the note is there, the answer was
 * lost, and that token is perhaps no longer good: it is in doubt. */
#pragma once

#include "store/cache.h"

/* Opens the file (flags: 0, O_CREAT, O_CREAT | O_EXCL) and locks it, without waiting; *fd is -1
 * unless that worked. RESULT_TEMPORARY when another has it, or has removed it meanwhile. */
enum result lock_file(const char *path, int flags, int *fd, struct error *error) MUST_CHECK;

/* Makes the directory if needed. RESULT_TEMPORARY at once when another process has the lock. */
enum result cache_lock(struct cache *cache, struct error *error) MUST_CHECK;
/* The same, waiting for it until the deadline (monotonic ms) or a signal. */
enum result cache_lock_by(struct cache *cache, int64_t deadline_ms, struct error *error) MUST_CHECK;
void cache_unlock(struct cache *cache);
/* How long to wait before the next try; *last_ms is the last one's, 0 at first. */
int64_t cache_lock_pause_ms(int64_t *last_ms);

/* Under the lock, but for the question. */
enum result cache_note_sent(struct cache *cache, const char *token, struct error *error) MUST_CHECK;
void cache_note_answered(struct cache *cache);
/* Its renewal was sent, no answer came, nobody is at it now, nor was since pause_s. NULL: false. */
bool cache_token_is_in_doubt(const struct cache *cache, const char *token, int64_t pause_s);
