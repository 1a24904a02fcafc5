/* SPDX-License-Identifier: MIT */
/* Signals that end the process, held until it is safe to die of them; for exec, all that there are.
 *
 * After signals_catch() the first of them is remembered instead of killing: waits end early
 * (signals_fd becomes readable), the work at hand is finished or dropped as its module says, and
 * main() dies of the signal by signals_die(), so that a shell sees 128+N. A signal that was ignored
 * when the program started (nohup) stays ignored.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* May be called again; only the first call does anything. */
void signals_catch(void);
/* The first signal that came, 0 while none has. */
int signals_caught(void);
/* Readable once a signal came; -1 before signals_catch(). */
int signals_fd(void);
/* From now on every signal is one of them, also where it is ignored, but for what this process does
 * to itself: what one signal more or less means is for the program that is to get it. */
void signals_catch_all(void);
/* Waits until fd (-1: none) can be read, ms are over or a signal comes; true if one has come, at
 * once if it came before. What waits for a person, a lock, a command or a time waits here. */
bool signals_wait(int fd, int64_t ms);
/* Forgets the signals that were caught and returns one of them, 0 if there is none; call it until
 * then. *from_kernel: no process has sent it, but a terminal, a timer, a child's end. For exec,
 * which passes signals on. */
int signals_take(bool *from_kernel);
/* fork(2) that loses no signal: none comes while it is done. The child has caught none and has its
 * own signals_fd, and what ends no process is nothing to it; or, where it becomes a program, it has
 * the dispositions of signals_reset(). */
pid_t signals_fork(bool becomes_program);
/* Stops this process, as ^Z does; returns when it is continued, or at once where there is no shell
 * that could do that. */
void signals_stop(void);
/* Dies of the signal that was caught, as if it had never been; returns if there was none. */
void signals_die(void);
/* The dispositions as they were before signals_catch(). For process.c. */
void signals_reset(void);

/* 1 for "HUP", "SIGHUP" or "1"; 0 for what is no signal, or none that programs take for news. */
int signals_number(const char *name);

#endif
