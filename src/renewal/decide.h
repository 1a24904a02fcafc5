/* SPDX-License-Identifier: MIT */
/* What is to be done about a profile now. Pure: no file, no network, no clock. */
#pragma once

#include "renewal/renew.h"

/* *why says it to a person. */
enum renew_plan decide(const struct profile *profile, const struct renew_wish *wish, int64_t now,
                       const char **why);

/* What to do, as it goes on after "would": "refresh the token". */
extern const struct plan_name {
    const char *id, *words; /* in JSON, and to a person */
} decide_plan_names[RENEW_PLAN_NONE + 1];

/* Nothing is to be sent for so many seconds: what the profile remembers of it, and how much of that
 * is left. Never longer than was noted, or than a day, also after the clock was set. */
void decide_note_pause(struct profile *profile, int64_t now, int64_t seconds);
int64_t decide_pause_s(const struct profile *profile, int64_t now);
/* The same after an unattended login that was sent in vain: a minute, then twice the last one; and
 * whether the pause is such a one, not the service's. */
void decide_note_failed_login(struct profile *profile, int64_t now);
bool decide_pause_is_own(const struct profile *profile);
