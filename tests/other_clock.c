/* SPDX-License-Identifier: MIT */
/* Preloaded: the clock of the wall is CLOCK_OFFSET seconds off, or what the file of that path
 * holds. */
#define _GNU_SOURCE
/* Where time_t had 32 bits, a program of today calls functions of other names for it. */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if defined(__TIMESIZE) && __TIMESIZE == 32
#define REAL "__clock_gettime64"
#else
#define REAL "clock_gettime"
#endif

static long offset(void)
{
    const char *text = getenv("CLOCK_OFFSET");
    char held[32] = "";
    int fd;

    if (text == NULL || *text != '/')
        return text == NULL ? 0 : atol(text);
    fd = open(text, O_RDONLY | O_CLOEXEC);
    if (read(fd, held, sizeof held - 1) < 0)
        held[0] = '\0';
    close(fd);
    return atol(held);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    int result;

    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, REAL);

        memcpy(&real, &symbol, sizeof symbol);
    }
    result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += offset();
    return result;
}

time_t time(time_t *at)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL)
        *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
