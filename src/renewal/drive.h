/* Makes happen what renewals ask for (renew.h): requests over one set of connections, commands,
 * pauses, commits. One renewal or thousands, by the same loop.
 *
 * With many, about twice as many are prepared as there are connections, so that a free connection
 * never waits for a disk; commits are made by one thread, in groups that share the directory's
 * fsync. A signal ends the loop early: what was answered is committed, a refresh that was sent has
 * two seconds more, because the old token is spent; the rest is given up, and nothing is begun.
 */
#ifndef DRIVE_H
#define DRIVE_H

#include "renewal/renew.h"

struct drive {
    const char *cacert;
    int jobs;                                          /* requests at once, at least 1 */
    struct renewal *(*next)(void *user);               /* begun; NULL when there are no more */
    void (*done)(void *user, struct renewal *renewal); /* takes it back */
    void (*tick)(void *user); /* now and then, at least every second; or NULL */
    void *user;
};

void drive_all(const struct drive *drive);
/* One that was begun; waiting is shown on a terminal after a second, if `waiting` says for what. */
void drive_one(struct renewal *renewal, const char *cacert, const char *waiting);

#endif
