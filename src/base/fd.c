#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define AGAIN_IF_INTERRUPTED(result, call)                                                         \
    do                                                                                             \
        (result) = (call);                                                                         \
    while ((result) == -1 && errno == EINTR)

int fd_open(const char *path, int flags)
{
    int fd;

    AGAIN_IF_INTERRUPTED(fd, open(path, flags | O_CLOEXEC, 0600));
    return fd;
}

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

ssize_t fd_read(int fd, void *bytes, size_t size)
{
    ssize_t len;

    AGAIN_IF_INTERRUPTED(len, read(fd, bytes, size));
    return len;
}

int fd_write(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t done;

        AGAIN_IF_INTERRUPTED(done, write(fd, from, len));
        if (done < 0)
            return -1;
        from += done;
        len -= (size_t)done;
    }
    return 0;
}

int fd_write_at(int fd, const void *bytes, size_t len, off_t offset)
{
    const char *from = bytes;

    while (len > 0) {
        ssize_t done;

        AGAIN_IF_INTERRUPTED(done, pwrite(fd, from, len, offset));
        if (done < 0)
            return -1;
        from += done;
        offset += done;
        len -= (size_t)done;
    }
    return 0;
}

int fd_truncate(int fd, off_t len)
{
    int failed;

    AGAIN_IF_INTERRUPTED(failed, ftruncate(fd, len));
    return failed;
}

int fd_sync(int fd)
{
    int failed;

    AGAIN_IF_INTERRUPTED(failed, fsync(fd));
    return failed;
}

int fd_lock(int fd, int operation)
{
    int failed;

    AGAIN_IF_INTERRUPTED(failed, flock(fd, operation));
    return failed;
}

int fd_pipe(int fds[2])
{
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}
