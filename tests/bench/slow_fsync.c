/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: a disk that needs 5 ms more to have a file or a directory for certain, as many do
 * (a disk that turns, a network's, a cloud's). Where this is measured fsync may be nearly free. */
#include <dlfcn.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

static int sync_slowly(const char *name, int fd)
{
    struct timespec left = {.tv_nsec = 5 * 1000 * 1000};
    int (*sync)(int);

    /* ISO C knows no way from a void * to a function. */
    *(void **)&sync = dlsym(RTLD_NEXT, name);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
    return sync(fd);
}

int fsync(int fd)
{
    return sync_slowly("fsync", fd);
}

int fdatasync(int fildes)
{
    return sync_slowly("fdatasync", fildes);
}
