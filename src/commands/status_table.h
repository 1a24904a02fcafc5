/* SPDX-License-Identifier: MIT */
/* How what `status` shows looks to a person. Never a token. */
#ifndef STATUS_TABLE_H
#define STATUS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "commands/status.h"

/* Tab-separated columns, one line a profile, in the order of the table. */
void status_columns(struct buffer *out, const struct status *list, size_t count, int64_t now);
/* The table for a terminal, and below it what needs attention; more of it if there is only one. */
void status_table(struct buffer *out, const struct status *list, size_t count, int64_t now);

#endif
