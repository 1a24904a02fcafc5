/* SPDX-License-Identifier: MIT */
/* When to come back. */
#include <stdlib.h>
#include <time.h>

#include "asking.h"

/* What the answer says, with this header (-1: none) and this member (NULL: none). */
static int64_t retry_after(int64_t header_s, const char *member)
{
    struct reply reply = {.fate = REQUEST_ANSWERED,
                          .status = 429,
                          .body = BUFFER(REPLY_BODY_MAX),
                          .sent_at = NOW,
                          .date = NOW,
                          .retry_after_s = header_s};
    int64_t seconds;

    ask(API_LOGIN);
    if (member != NULL) {
        buffer_put(&reply.body, "{\"success\":false,\"retry_after\":");
        buffer_put(&reply.body, member);
        buffer_put(&reply.body, "}");
    }
    CHECK_INT(api_read(&question, &reply, &answer, &error), RESULT_TEMPORARY);
    seconds = answer.retry_after_s;
    buffer_clear(&reply.body);
    api_answer_clear(&answer);
    return seconds;
}

/* As the service writes it: "YYYY-MM-DD HH:MM:SS" where it is. */
static const char *indian_time(int64_t epoch_s, char text[32])
{
    time_t there = (time_t)epoch_s + 5 * 3600 + 1800;
    struct tm when;

    gmtime_r(&there, &when);
    strftime(text, 32, "\"%Y-%m-%d %H:%M:%S\"", &when);
    return text;
}

TEST(retry_after_in_seconds)
{
    CHECK_INT(retry_after(-1, NULL), -1);
    CHECK_INT(retry_after(0, NULL), 0);
    CHECK_INT(retry_after(17, NULL), 17);
    CHECK_INT(retry_after(86400, NULL), 86400);
    CHECK_INT(retry_after(-1, "17"), 17);
    CHECK_INT(retry_after(-1, "0"), 0);
    CHECK_INT(retry_after(-1, "86400"), 86400);
}

TEST(the_header_beats_the_body)
{
    CHECK_INT(retry_after(17, "99"), 17);
    CHECK_INT(retry_after(0, "99"), 0);
}

TEST(a_retry_after_beyond_a_day_is_cut_and_in_the_body_not_believed)
{
    char text[32];

    CHECK_INT(retry_after(86401, NULL), 86400);
    CHECK_INT(retry_after(INT64_MAX, "5"), 86400);
    CHECK_INT(retry_after(-1, "86401"), -1);
    CHECK_INT(retry_after(-1, "9007199254740992"), -1);
    CHECK_INT(retry_after(-1, indian_time(NOW + 90000, text)), -1);
}

TEST(retry_after_in_indian_time)
{
    static const char *const zones[] = {"UTC0", "EST5EDT", "IST-5:30", "<+14>-14"};
    char text[32];

    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        setenv("TZ", zones[i], 1);
        tzset();
        if (!CHECK_INT(retry_after(-1, indian_time(NOW + 90, text)), 90))
            printf("# in %s\n", zones[i]);
    }
    setenv("TZ", "UTC0", 1);
    tzset();
}

TEST(an_indian_time_that_is_over_is_now)
{
    char text[32];

    CHECK_INT(retry_after(-1, indian_time(NOW - 5, text)), 0);
    CHECK_INT(retry_after(-1, "\"1970-01-01 00:00:00\""), 0);
}

TEST(a_retry_after_that_makes_no_sense_is_none)
{
    static const char *const members[] = {
        "null",
        "true",
        "-1",
        "-0.5",
        "1e300",
        "\"\"",
        "\"soon\"",
        "\"2026-11-24\"",
        "\"2026-11-24 14:05\"",
        "\"2026-11-24T14:05:00\"",
        "\"2026-11-24 14:05:00 IST\"",
        "\"2026-11-24 14:05:00Z\"",
        "\"24-11-2026\"",
        "\"99999-01-01 00:00:00\"",
        "[17]",
        "{\"seconds\":17}",
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (!CHECK_INT(retry_after(-1, members[i]), -1))
            printf("# for %s\n", members[i]);
    }
}

TEST(dates_that_no_calendar_has_are_no_trouble)
{
    static const char *const members[] = {
        "\"9999-99-99 99:99:99\"",
        "\"0000-00-00 00:00:00\"",
        "\"-999--9--9 -9:-9:-9\"",
        "\"2026-02-31 24:60:61\"",
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        int64_t seconds = retry_after(-1, members[i]);

        CHECK(seconds >= -1 && seconds <= 86400);
    }
}
