/* SPDX-License-Identifier: MIT */
/* Many renewals at once: workers, each a thread with a connection of its own and a commit of its
 * own, take them from a line. One that is to be called again (a lock, a pause) goes back in line
 * and holds up nobody; a hook or a command holds its own worker. After a signal none is begun. */
#pragma once

#include "renewal/renew.h"

struct workers {
    const struct renew_wish *wish;
    const char *cacert;
    int jobs; /* how many at once; fewer where descriptors are few */
    /* Both are called by one worker at a time. */
    const char *(*next)(void *user); /* a profile; NULL when there are no more */
    void (*done)(void *user, const struct renewal *renewal, enum result result);
    void *user;
};

void workers_run(const struct workers *workers);
