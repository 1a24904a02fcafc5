/* SPDX-License-Identifier: MIT */
/* Signals that end the process, held until it is safe to die of them; for exec, all that there are.
 *
 * After signals_catch() the first of them is remembered instead of killing: waits end early
 * (signals_fd becomes readable), the work at hand is finished or dropped as its module says, and
 * main() dies of the signal by signals_die(), so that a shell sees 128+N. A signal that was ignored
 * when the program started (nohup) stays ignored. */
#pragma once

#include <sys/types.h>

#include "base/result.h"

/* May be called again. all: from then on every signal, also where it is ignored, but for what this
 * process does to itself: what one more or less means is for the program that is to get it. */
void signals_hold(bool all);
#define signals_catch() signals_hold(false)
#define signals_catch_all() signals_hold(true)
/* The first signal that came, 0 while none has. */
int signals_caught(void);
/* Readable once a signal came; -1 before signals_catch(). */
int signals_fd(void);
/* Waits until fd (-1: none) can be read, ms are over or a signal comes; true if one has come, at
 * once if it came before. What waits for a person, a lock, a command or a time waits here. */
bool signals_wait(int fd, int64_t ms);
/* For exec, which passes signals on: forgets those that were caught and returns one of them, until
 * there is none (0). *from_kernel: no process has sent it, but a terminal, a timer or the like. */
int signals_take(bool *from_kernel);
/* fork(2) that loses no signal. The child has caught none, and dispositions as signals_reset(). */
pid_t signals_fork(void);
/* Stops this process, as ^Z does, until it is continued; not where no shell could do that. */
void signals_stop(void);
/* Dies of the signal that was caught, as if it had never been; returns if there was none. */
void signals_die(void);
/* The dispositions as they were before signals_catch(), which may be called again. */
void signals_reset(void);

/* 1 for "HUP", "SIGHUP" or "1"; 0 for what is no signal, or none that programs take for news. */
int signals_number(const char *name);
