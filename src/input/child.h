/* SPDX-License-Identifier: MIT */
/* A shell command of the user's (`sh -c`): a password or token command, a hook.
 *
 * Of what it prints the first line is kept, in wiped memory; stderr is the program's own. Its stdin
 * is `input`, or /dev/null: a command run by `show` inside `while read` must not eat the loop's
 * input.
 *
 * The command has a process group of its own, so that all of it can be ended. At a terminal that
 * group is in the foreground, as a shell's job, so that it may ask there; what ^C and ^Z do to it,
 * they do to ours. Afterwards the terminal is as it was before. */
#pragma once

#include "base/mem.h"

#define CHILD_LINE_MAX 20000 /* the longest first line that is kept: a token and its "Bearer " */

struct child {
    const char *command;
    const struct buffer *input;     /* NULL: none */
    const char *const *environment; /* "NAME=value" texts that replace or join it, ended by NULL */
    struct buffer *line;            /* for the first line, without its end; NULL: to our stderr */
};

/* Runs it until it ends, the deadline (monotonic ms) is over or a signal comes; in the last two
 * cases it is killed. The errors' texts go on after what the caller calls the command:
 * RESULT_TEMPORARY "did not end in time", RESULT_INTERRUPTED, RESULT_FAILED "exited with 3", "died
 * of signal 9", "printed too long a line", "could not be started: ...". */
enum result child_run(const struct child *child, int64_t deadline_ms,
                      struct error *error) MUST_CHECK;

/* The environment with those variables in it: an array to mem_free, whose strings stay whose they
 * were. Not setenv: its copies of a token nobody wipes. */
char **child_environment(const char *const *extra);
