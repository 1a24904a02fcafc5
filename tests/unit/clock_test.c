/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#include "unit.h"

#define DAY 86400
#define YEAR (365 * (int64_t)DAY)

TEST(a_span_is_told_in_one_unit_rounded_down)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } table[] = {
        {0, "0 s"},
        {1, "1 s"},
        {59, "59 s"},
        {60, "60 s"},
        {119, "119 s"},
        {120, "2 min"},
        {179, "2 min"},
        {41 * 60 + 59, "41 min"},
        {3600, "60 min"},
        {7199, "119 min"},
        {7200, "2 h"},
        {2 * DAY - 1, "47 h"},
        {2 * DAY, "2 days"},
        {3 * DAY + 5, "3 days"},
        {14 * DAY, "14 days"},
        {2 * YEAR - 1, "729 days"},
        {2 * YEAR, "2 years"},
        {300000000, "9 years"},
        {INT64_MAX, "292471208677 years"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[CLOCK_TEXT_SIZE];

        CHECK_STR(clock_format_span(table[i].seconds, text), table[i].text);
    }
}

TEST(a_span_below_zero_is_not_another_unit)
{
    char text[CLOCK_TEXT_SIZE];

    CHECK_STR(clock_format_span(-5, text), "-5 s");
}

TEST(a_time_is_read_as_libc_would)
{
    static const char *const texts[] = {
        "1970-01-01 00:00:00", "1999-12-31 23:59:59", "2000-02-29 12:00:00", "2000-03-01 00:00:00",
        "2026-11-24 14:05:09", "2100-02-28 23:59:59", "2100-03-01 00:00:00", "2400-02-29 01:02:03",
        "1900-03-01 00:00:00", "9999-12-31 23:59:59", "0004-02-29 00:00:00",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tm when = {0};
        int64_t epoch_s = 7;

        CHECK(strptime(texts[i], "%Y-%m-%d %H:%M:%S", &when) != NULL);
        CHECK(clock_parse(texts[i], &epoch_s));
        CHECK_INT(epoch_s, (int64_t)timegm(&when));
    }
}

TEST(what_is_no_time_is_not_read)
{
    static const char *const texts[] = {
        "",
        "2026-11-24",
        "2026-11-24 14:05",
        "2026-11-24 14:05:0",
        "2026-11-24 14:05:099",
        "2026-11-24T14:05:09",
        "2026-11-24 14:05:09 ",
        " 2026-11-24 14:05:9",
        "2026-00-24 14:05:09",
        "2026-13-24 14:05:09",
        "2026-11-00 14:05:09",
        "2026-11-32 14:05:09",
        "2026-11-24 24:05:09",
        "2026-11-24 14:60:09",
        "2026-11-24 14:05:62",
        "-026-11-24 14:05:09",
        "2026-+1-24 14:05:09",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t epoch_s = 7;

        CHECK(!clock_parse(texts[i], &epoch_s));
        CHECK_INT(epoch_s, 7);
    }
}

static void use_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

TEST(a_time_is_told_in_the_local_zone)
{
    char text[CLOCK_TEXT_SIZE];

    use_zone("UTC0");
    CHECK_STR(clock_format(1795529100, text), "2026-11-24 14:05 UTC");
    CHECK_STR(clock_format(0, text), "1970-01-01 00:00 UTC");
    use_zone("IST-5:30");
    CHECK_STR(clock_format(1795529100, text), "2026-11-24 19:35 IST");
}

TEST(a_time_after_2038_is_told)
{
    char text[CLOCK_TEXT_SIZE];

    use_zone("UTC0");
    CHECK_STR(clock_format(4102444800, text), "2100-01-01 00:00 UTC");
}

TEST(a_time_that_no_calendar_has_is_told_somehow)
{
    char text[CLOCK_TEXT_SIZE] = "";

    clock_format(INT64_MAX, text);
    CHECK(text[0] != '\0');
    CHECK(strlen(text) < sizeof text);
}

TEST(jitter_stays_within_its_limit)
{
    bool seen[4] = {false};

    for (int i = 0; i < 1000; i++) {
        int64_t value = clock_jitter(4);

        if (!CHECK(value >= 0 && value < 4))
            return;
        seen[value] = true;
    }
    for (int i = 0; i < 4; i++)
        CHECK(seen[i]);
    CHECK_INT(clock_jitter(1), 0);
    CHECK_INT(clock_jitter(0), 0);
    CHECK_INT(clock_jitter(-5), 0);
}

TEST(the_clocks_run)
{
    int64_t before = clock_monotonic_ms();

    CHECK(clock_epoch_s() > 1600000000);
    CHECK(clock_monotonic_ms() >= before);
}
