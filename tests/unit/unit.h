/* SPDX-License-Identifier: MIT */
/* The whole of a unit test program but the tests. Prints TAP; the exit status is 1 if any failed.
 *
 *     #include "unit.h"
 *
 *     TEST(an_expired_token_has_nothing_left)
 *     {
 *         CHECK_INT(profile_ttl_s(&expired, NOW), 0);
 *     }
 *
 * Tests run in the order in which they stand. A check that fails says so and the test goes on; to
 * stop there, `if (!CHECK(...)) return;`.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define UNIT_TESTS_MAX 200

static struct {
    const char *name;
    void (*run)(void);
} unit_tests[UNIT_TESTS_MAX];
static int unit_count;
static bool unit_failed;
static const char *unit_skip_reason;

/* Registers itself before main, so that no test is written and then forgotten in a list. */
#define TEST(test)                                                                                 \
    static void test(void);                                                                        \
    __attribute__((constructor)) static void unit_register_##test(void)                            \
    {                                                                                              \
        if (unit_count < UNIT_TESTS_MAX) {                                                         \
            unit_tests[unit_count].name = #test;                                                   \
            unit_tests[unit_count].run = test;                                                     \
        }                                                                                          \
        unit_count++;                                                                              \
    }                                                                                              \
    static void test(void)

#define CHECK(condition) unit_check((condition), __FILE__, __LINE__, #condition)
#define CHECK_INT(actual, expected)                                                                \
    unit_check_int((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_STR(actual, expected)                                                                \
    unit_check_str((actual), (expected), __FILE__, __LINE__, #actual)
/* For a test that cannot run here: `if (geteuid() == 0) SKIP("root may read everything");` */
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        unit_skip_reason = (reason);                                                               \
        return;                                                                                    \
    } while (0)

static inline bool unit_check(bool passed, const char *file, int line, const char *condition)
{
    if (!passed) {
        printf("# %s:%d: not so: %s\n", file, line, condition);
        unit_failed = true;
    }
    return passed;
}

static inline bool unit_check_int(long long actual, long long expected, const char *file, int line,
                                  const char *what)
{
    if (actual == expected)
        return true;
    printf("# %s:%d: %s is %lld, not %lld\n", file, line, what, actual, expected);
    unit_failed = true;
    return false;
}

/* NULL equals only NULL. */
static inline bool unit_check_str(const char *actual, const char *expected, const char *file,
                                  int line, const char *what)
{
    if (actual == expected || (actual != NULL && expected != NULL && strcmp(actual, expected) == 0))
        return true;
    printf("# %s:%d: %s is '%s', not '%s'\n", file, line, what, actual == NULL ? "(null)" : actual,
           expected == NULL ? "(null)" : expected);
    unit_failed = true;
    return false;
}

int main(void)
{
    bool any_failed = false;

    /* Line by line: a crash must not swallow what was known before it. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* As in the program: a command that ends before it read its input is no death of ours. */
    signal(SIGPIPE, SIG_IGN);
    if (unit_count > UNIT_TESTS_MAX) {
        printf("Bail out! more than %d tests, raise UNIT_TESTS_MAX\n", UNIT_TESTS_MAX);
        return 1;
    }
    printf("1..%d\n", unit_count);
    for (int i = 0; i < unit_count; i++) {
        unit_failed = false;
        unit_skip_reason = NULL;
        unit_tests[i].run();
        printf("%s %d - %s%s%s\n", unit_failed ? "not ok" : "ok", i + 1, unit_tests[i].name,
               unit_skip_reason == NULL ? "" : " # skip ",
               unit_skip_reason == NULL ? "" : unit_skip_reason);
        any_failed = any_failed || unit_failed;
    }
    return any_failed ? 1 : 0;
}
