/* SPDX-License-Identifier: MIT */
/* The two clocks: epoch seconds for what is stored, monotonic milliseconds for deadlines. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t clock_epoch_s(void);
/* Never set; counts the time that the machine was suspended, where the system has such a clock. */
int64_t clock_monotonic_ms(void);
/* Some number from 0 to below limit: spreads what many processes would do at once. */
int64_t clock_jitter(int64_t limit);
#define CLOCK_TEXT_SIZE 64 /* "2026-11-24 14:05 IST" in local time, or UTC where TZ says so */
const char *clock_format(int64_t epoch_s, char text[CLOCK_TEXT_SIZE]);
/* "2026-11-24 14:05:00" as if in UTC. False, and *epoch_s as it was, for anything else. */
bool clock_parse(const char *text, int64_t *epoch_s);
/* "41 min", "3 days": one unit, rounded down, for people. */
const char *clock_format_span(int64_t seconds, char text[CLOCK_TEXT_SIZE]);
