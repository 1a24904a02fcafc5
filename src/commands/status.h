/* SPDX-License-Identifier: MIT */
/* What `status` shows of a profile. Never a token. */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>

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

/* What is wrong with the token that its times do not show, or NULL. In wiped memory. */
char *status_warning(const struct status *status);

/* Works without a person's help. */
bool status_is_usable(const struct status *status);
/* "expired, renewable" */
const char *status_state(const struct status *status);
/* "password command", or NULL when only a person can log in. */
const char *status_source(const struct profile *profile);

#endif
