/* SPDX-License-Identifier: MIT */
/* What `status` shows of a profile, and how it looks to a person. Never a token. */
#pragma once

#include "store/profile.h"

/* One profile, as read. Owns its members. */
struct status {
    int64_t now; /* the second of the whole listing */
    char *name, *path;
    struct profile profile;
    struct error error; /* RESULT_OK, or why it cannot be used */
    enum profile_state state;
    int64_t log_in_by; /* as profile_log_in_by(); 0 for a file that cannot be read, too */
    bool in_doubt;     /* a renewal was sent, and its answer lost: the token is perhaps spent */
    bool ends_early;   /* it lasts less than --min-ttl asks */
};

/* Works without a person's help. */
bool status_is_usable(const struct status *status);
/* "login_needed" */
const char *status_state(const struct status *status);
/* "password command", or NULL when only a person can log in. */
const char *status_source(const struct profile *profile);

/* Tab-separated columns, one line a profile. */
void status_columns(struct buffer *out, const struct status *list, size_t count);
/* The table for a terminal. */
void status_table(struct buffer *out, const struct status *list, size_t count);
/* Lines on what a person should know besides: of one that is alone, more. out NULL: as warnings. */
void status_notes(struct buffer *out, const struct status *status, bool alone);
