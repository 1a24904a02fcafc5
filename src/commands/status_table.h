/* SPDX-License-Identifier: MIT */
/* How what `status` shows looks to a person. Never a token. */
#ifndef STATUS_TABLE_H
#define STATUS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "commands/status.h"

/* Tab-separated columns, one line a profile. */
void status_columns(struct buffer *out, const struct status *list, size_t count, int64_t now);
/* The table for a terminal. */
void status_table(struct buffer *out, const struct status *list, size_t count, int64_t now);
/* Lines on what a person should know besides: of one that is alone, more. out NULL: as warnings. */
void status_notes(struct buffer *out, const struct status *status, int64_t now, bool alone);

#endif
