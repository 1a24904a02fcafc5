/* SPDX-License-Identifier: MIT */
/* Where a password or a token comes from: stdin, a file, a command's output, a terminal. Into wiped
 * memory; read(2) and write(2) only, since stdio and getpass keep copies.
 *
 * A source that cannot be read, is empty or holds what no password can is RESULT_LOCAL; one that
 * is out of time is RESULT_TEMPORARY. Deadlines are monotonic milliseconds. `what` names it in
 * messages: "the password on stdin", "the remembered password command". */
#pragma once

#include "base/mem.h"

#define PASSWORD_LENGTH_MAX 4096

/* Of a descriptor the first line, no byte of the next one read; or all of it: a token that somebody
 * pipes in may have blank lines around it, and is RESULT_USAGE when it is more than text's cap. */
enum source_extent { SOURCE_LINE, SOURCE_ALL };
enum result source_read(int fd, enum source_extent extent, const char *what, int64_t deadline_ms,
                        struct buffer *text, struct error *error) MUST_CHECK;
struct source_file {
    bool exposed; /* others may read it */
    bool regular; /* it can be read again: no pipe */
};
enum result source_read_file(const char *path, int64_t deadline_ms, struct buffer *password,
                             struct source_file *file, struct error *error) MUST_CHECK;
/* The first line that a command prints (child.h). what: "the password command"; name: whose. */
enum result source_run(const char *command, const char *what, const char *name, int64_t deadline_ms,
                       struct buffer *line, struct error *error) MUST_CHECK;
/* Asks on /dev/tty, whatever stdin is; echo off for a password and on for anything else, restored
 * on every signal. RESULT_USAGE when there is no terminal. */
enum result source_ask(const char *prompt, bool echo, struct buffer *answer,
                       struct error *error) MUST_CHECK;
/* What any source must give: 1 to PASSWORD_LENGTH_MAX bytes of UTF-8 without a NUL. */
enum result source_check(const struct buffer *password, const char *what,
                         struct error *error) MUST_CHECK;
