/* SPDX-License-Identifier: MIT */
/* Descriptors that are left open, or that a program would inherit. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>

#define FDS 64

/* How many are open, and which of them a program that is started would have; NULL: no matter. */
static inline int count_fds(bool inherited[FDS])
{
    int count = 0;

    for (int fd = 0; fd < FDS; fd++) {
        int flags = fcntl(fd, F_GETFD);

        count += flags >= 0;
        if (inherited != NULL)
            inherited[fd] = flags >= 0 && (flags & FD_CLOEXEC) == 0;
    }
    return count;
}
