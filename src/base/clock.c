#include "base/clock.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t clock_epoch_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

int64_t clock_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
    if (ms > 0)
        poll(NULL, 0, ms > INT_MAX ? INT_MAX : (int)ms);
}

int64_t clock_jitter(int64_t limit)
{
    static uint64_t state;
    struct timespec now;

    if (state == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
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
    static const char form[] = "0000-00-00 00:00:00";
    enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, PARTS };
    int64_t parts[PARTS] = {0}, year, month;
    int at = YEAR;

    if (strlen(text) != strlen(form))
        return false;
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] != '0' && text[i] == form[i])
            at++;
        else if (form[i] == '0' && text[i] >= '0' && text[i] <= '9')
            parts[at] = parts[at] * 10 + (text[i] - '0');
        else
            return false;
    }
    if (parts[MONTH] < 1 || parts[MONTH] > 12 || parts[DAY] < 1 || parts[DAY] > 31 ||
        parts[HOUR] > 23 || parts[MINUTE] > 59 || parts[SECOND] > 60)
        return false;
    /* The Gregorian calendar, with years that begin in March: the day that some lack is the last.
     */
    month = (parts[MONTH] + 9) % 12;
    year = parts[YEAR] - (month >= 10);
    *epoch_s = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
               parts[DAY] - 1 - 719468; /* days from 0000-03-01 to 1970-01-01 */
    *epoch_s = ((*epoch_s * 24 + parts[HOUR]) * 60 + parts[MINUTE]) * 60 + parts[SECOND];
    return true;
}

const char *clock_format_span(int64_t seconds, char text[CLOCK_TEXT_SIZE])
{
    /* Two units before the larger one takes over: "90 min" tells more than "1 h". */
    static const struct {
        int64_t seconds, from;
        const char *name;
    } units[] = {
        {365 * 86400, 2 * 365 * 86400, "years"},
        {86400, 2 * 86400, "days"},
        {3600, 2 * 3600, "h"},
        {60, 2 * 60, "min"},
        {1, 0, "s"},
    };

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds >= units[i].from || units[i].seconds == 1) {
            snprintf(text, CLOCK_TEXT_SIZE, "%lld %s", (long long)(seconds / units[i].seconds),
                     units[i].name);
            break;
        }
    }
    return text;
}
