/* SPDX-License-Identifier: MIT */
/* The hosts that asked to be left alone for a while, for many renewals at once: an answer to one of
 * them is one to all. Any thread may call these; a struct holds that is all zero holds nothing. */
#pragma once

#include <stdint.h>

struct holds {
    struct hold *last;
};

/* Until when (monotonic) it holds by now: no less than until_ms. */
int64_t holds_note(struct holds *holds, const char *api_url, int64_t until_ms);
/* How long nothing is to be sent there from now on, 0 if it may be. */
int64_t holds_left_ms(struct holds *holds, const char *api_url);
void holds_clear(struct holds *holds);
