/* A shell command of the user's (`sh -c`): a password or token command, a hook.
 *
 * It never blocks: child_start(), then child_step() whenever child_fd() is readable or every few
 * milliseconds, until it is true. Of what the command prints the first line is kept, in secret
 * memory; stderr is the program's own. Its stdin is `input`, or /dev/null: a command run by `show`
 * inside `while read` must not eat the loop's input.
 *
 * Where there is no terminal to ask on, the command gets a process group of its own, so that
 * child_kill() gets all of it; at a terminal it stays in ours, so that it may ask there.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/result.h"

struct child {
    pid_t pid; /* 0 when not running */
    bool own_group;
    int out_fd, in_fd; /* -1 when closed */
    const struct buffer *input;
    size_t input_done;
    struct buffer line; /* the first line, without its end */
    bool line_ended;
    bool line_too_long;
    int status; /* as from waitpid, once it ended */
};

/* The longest first line that is kept: a token and its "Bearer ". */
#define CHILD_LINE_MAX 20000

/* input: NULL for none; stays the caller's and must live on. environment: "NAME=value" texts that
 * replace or join the environment, ended by NULL; or NULL. Its output goes to our stderr if it is
 * not wanted. */
enum result child_start(struct child *child, const char *command, const struct buffer *input,
                        const char *const *environment, bool want_output,
                        struct error *error) MUST_CHECK;
/* The environment with those variables in it: an array to mem_free, whose strings stay whose
 * they were. Not setenv: its copies of a token nobody wipes. */
char **child_environment(const char *const *extra);
/* True once it ended (or there is none). */
bool child_step(struct child *child);
/* To wait for, -1 if there is nothing to read from it. */
int child_fd(const struct child *child);
/* How it ended: RESULT_OK, or RESULT_FAILED with "exited with 3" or "died of signal 9". */
enum result child_result(const struct child *child, struct error *error) MUST_CHECK;
/* Ends it if it still runs, frees the rest. */
void child_kill(struct child *child);

/* The same, blocking, until the deadline (monotonic ms): RESULT_TEMPORARY when it is over,
 * RESULT_INTERRUPTED on a signal. */
enum result child_wait(struct child *child, int64_t deadline_ms, struct error *error) MUST_CHECK;

#endif
