/* SPDX-License-Identifier: MIT */
/* Descriptors: calls that go on after a signal, close once, never leak into a program we start.
 *
 * All fail as the system calls do, with -1 and errno.
 */
#ifndef FD_H
#define FD_H

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

/* A system call, made again while a signal interrupts it. */
#define FD_RETRY(call)                                                                             \
    __extension__({                                                                                \
        ssize_t fd_result;                                                                         \
        do                                                                                         \
            fd_result = (call);                                                                    \
        while (fd_result == -1 && errno == EINTR);                                                 \
        fd_result;                                                                                 \
    })

/* O_CLOEXEC is added; a file that is made has mode 0600. */
int fd_open(const char *path, int flags);
/* Nothing for -1; *fd is -1 after it. */
void fd_close(int *fd);
/* All of it or -1. */
int fd_write(int fd, const void *bytes, size_t len);
int fd_write_at(int fd, const void *bytes, size_t len, off_t offset);
/* Neither end blocks or is inherited. */
int fd_pipe(int fds[2]);

#endif
