/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef CLOCK_BOOTTIME
#define MONOTONIC CLOCK_BOOTTIME
#else
#define MONOTONIC CLOCK_MONOTONIC
#endif

int64_t clock_epoch_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

int64_t clock_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_jitter(int64_t limit)
{
    static _Thread_local uint64_t state;
    struct timespec now;

    if (state == 0) {
        clock_gettime(MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
    }
    /* Knuth's MMIX linear congruential generator: good enough to spread, nothing is guarded. */
    state = state * 6364136223846793005U + 1442695040888963407U;
    return limit <= 0 ? 0 : (int64_t)((state >> 33) % (uint64_t)limit);
}

const char *clock_format(int64_t epoch_s, char text[CLOCK_TEXT_SIZE])
{
    time_t when = (time_t)epoch_s;
    struct tm local;

    if (localtime_r(&when, &local) == NULL ||
        strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M %Z", &local) == 0)
        snprintf(text, CLOCK_TEXT_SIZE, "%lld s after 1970", (long long)epoch_s);
    return text;
}

bool clock_parse(const char *text, int64_t *epoch_s)
{
    struct tm parts = {0};
    static const char form[] = "dddd-dd-dd dd:dd:dd"; /* strptime takes more */

    if (strlen(text) != strlen(form) || strptime(text, "%Y-%m-%d %H:%M:%S", &parts) == NULL)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    }
    *epoch_s = timegm(&parts);
    return true;
}

const char *clock_format_span(int64_t seconds, char text[CLOCK_TEXT_SIZE])
{
    /* Two units before the larger one takes over: "90 min" tells more than "1 h". */
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{365 * 86400, "years"}, {86400, "days"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;

    while (units[i].seconds > 1 && seconds < 2 * units[i].seconds)
        i++;
    snprintf(text, CLOCK_TEXT_SIZE, "%lld %s", (long long)(seconds / units[i].seconds),
             units[i].name);
    return text;
}
