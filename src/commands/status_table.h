/* What `status` shows of a profile, and how it looks to a person. Never a token.
 */
#ifndef STATUS_TABLE_H
#define STATUS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/result.h"
#include "store/profile.h"

/* One profile, as read. Owns its members. */
struct status {
    char *name, *path;
    struct profile profile;
    struct error error; /* RESULT_OK, or why it cannot be used */
    enum profile_state state;
    bool in_doubt; /* a renewal was sent, and its answer lost: the token is perhaps spent */
};

/* name or file as for cache_open; now is the epoch's second of the whole listing. */
void status_read(struct status *status, const char *name, const char *file, int64_t now);
void status_clear(struct status *status);

/* What is wrong with the token that its times do not show, or NULL. In secret memory. */
char *status_warning(const struct status *status);

/* Works without a person's help. */
bool status_is_usable(const struct status *status);
/* "expired, renewable"; "renewable". */
const char *status_state(const struct status *status);
const char *status_state_id(const struct status *status);
/* "password command", or NULL when only a person can log in. */
const char *status_source(const struct profile *profile);

/* Tab-separated columns, one line a profile, in the order of the table. */
void status_columns(struct buffer *out, const struct status *list, size_t count, int64_t now);
/* The table for a terminal, and below it what needs attention; more of it if there is only one. */
void status_table(struct buffer *out, const struct status *list, size_t count, int64_t now);

#endif
