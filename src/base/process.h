/* SPDX-License-Identifier: MIT */
/* What the caller gave this process and this process changes for itself: a program that it starts
 * must find it as the caller had it. Changed are: core files (off: one would hold a token; nor may
 * another process of the user read our memory), SIGPIPE and SIGXFSZ (ignored: a broken pipe and a
 * file size limit are errors of write(2), with a message and an exit code), SIGCHLD (default). */
#pragma once

/* A variable of the environment; NULL where it is empty, too. */
const char *process_variable(const char *name);

/* The path from the root, in wiped memory; NULL when there is no telling where this process is. */
char *process_absolute_path(const char *path);

/* Once, first thing in main(). */
void process_shut_out(void);
/* Last thing there. */
_Noreturn void process_end(int code);
/* In a child, or before an exec: everything as it was, the signals of signals.h included. */
void process_restore(void);
