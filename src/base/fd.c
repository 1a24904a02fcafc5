/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/signals.h"

int fd_open(const char *path, int flags)
{
    return (int)FD_RETRY(open(path, flags | O_CLOEXEC, 0600));
}

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

bool fd_is_at(int fd, const char *path)
{
    struct stat st, there;

    return fstat(fd, &st) == 0 && lstat(path, &there) == 0 && st.st_ino == there.st_ino &&
           st.st_dev == there.st_dev;
}

/* Where signals are held: false once one has come and what is there (a pipe that nobody reads, a
 * terminal that was stopped) takes nothing more. */
static bool has_room(int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = signals_fd(), .events = POLLIN}};

    return signals_fd() < 0 || FD_RETRY(poll(fds, 2, -1)) < 0 || fds[0].revents != 0;
}

int fd_write_at(int fd, const void *bytes, size_t len, off_t offset)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t done;

        errno = EINTR;
        if (offset < 0 && !has_room(fd))
            return -1;
        done = offset < 0 ? write(fd, from, len) : pwrite(fd, from, len, offset);
        if (done < 0 && errno != EINTR)
            return -1;
        done = done < 0 ? 0 : done;
        from += done;
        len -= (size_t)done;
        offset += offset < 0 ? 0 : done;
    }
    return 0;
}

int fd_pipe(int fds[2])
{
    fds[0] = fds[1] = -1; /* and so they are after a failure */
#ifdef __APPLE__          /* no pipe2: another thread may start a program between the two */
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
#else
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK);
#endif
}
