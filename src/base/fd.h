/* SPDX-License-Identifier: MIT */
/* Descriptors: calls that go on after a signal, close once, never leak into a program we start.
 *
 * All fail as the system calls do, with -1 and errno. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A system call, made again while a signal interrupts it. */
#define FD_RETRY(call)                                                                             \
    __extension__({                                                                                \
        ssize_t fd_result;                                                                         \
        while ((fd_result = (call)) == -1 && errno == EINTR)                                       \
            continue;                                                                              \
        fd_result;                                                                                 \
    })

/* O_CLOEXEC is added; a file that is made has mode 0600. */
int fd_open(const char *path, int flags);
/* Nothing for -1; *fd is -1 after it. */
void fd_close(int *fd);
/* Whether the open file is the one at path, and that no link. */
bool fd_is_at(int fd, const char *path);
/* All of it or -1; at the offset, or (-1) where the last write ended. */
int fd_write_at(int fd, const void *bytes, size_t len, off_t offset);
#define fd_write(fd, bytes, len) fd_write_at(fd, bytes, len, -1)
/* Neither end blocks or is inherited. */
int fd_pipe(int fds[2]);
