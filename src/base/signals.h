/* SPDX-License-Identifier: MIT */
/* Signals that end the process, held until it is safe to die of them.
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
/* From now on the end of a child is one of them, for signals_take() and signals_wait(). */
void signals_watch_children(void);
/* Waits until fd (-1: none) can be read, ms are over or a signal comes; true if one has come, at
 * once if it came before. What waits for a person, a lock, a command or a time waits here. */
bool signals_wait(int fd, int64_t ms);
/* Forgets the signals that were caught and returns one of them, 0 if there is none; call it until
 * then. *by_terminal: the terminal sent it, so every process in the foreground has it. For exec,
 * which passes signals on. */
int signals_take(bool *by_terminal);
/* fork(2) that loses no signal: none comes while it is done. The child has caught none and has its
 * own signals_fd; or, where it becomes a program, the dispositions of signals_reset(). */
pid_t signals_fork(bool becomes_program);
/* Dies of the signal that was caught, as if it had never been; returns if there was none. */
void signals_die(void);
/* The dispositions as they were before signals_catch(). For process.c. */
void signals_reset(void);

#endif
