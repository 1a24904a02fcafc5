/* SPDX-License-Identifier: MIT */
/* The private file in which `exec --keep-fresh` hands a program its token.
 *
 * .NAME.json.exec.HEX.token stands beside the cache: the same owner, the same protection. Its
 * keeper holds a kernel lock on .NAME.json.exec.HEX, which the kernel lets go when the keeper dies,
 * on whatever host or in whatever container: so whoever can have that lock knows that both are
 * left over, and removes them.
 *
 * A struct token_file owns its strings and its descriptor. */
#pragma once

#include "store/cache.h"

struct token_file {
    char *path, *lock_path; /* absolute: the program may change its directory */
    int lock_fd;
};

/* Makes one beside the cache. token_file_close() it in any case. */
enum result token_file_open(struct token_file *file, const struct cache *cache, const char *token,
                            struct error *error) MUST_CHECK;
/* By rename: a reader finds the old token or the new one, whole. Each with a newline. */
enum result token_file_write(struct token_file *file, const char *token,
                             struct error *error) MUST_CHECK;
void token_file_close(struct token_file *file);

/* Removes what dead keepers of this cache left. Nothing for one that cache_open refused. */
void token_file_sweep(const struct cache *cache);
/* The same for all in the directory of profiles, but for those that are links to elsewhere. */
void token_file_sweep_all(void);
