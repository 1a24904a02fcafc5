/* SPDX-License-Identifier: MIT */
/* What a module's work came to: one enum, one text, one place that turns it into an exit code.
 *
 * Modules return an enum result and, when it is not RESULT_OK, have filled a struct error with it
 * and with a text a person can act on: lower case, the subject named, what to do next. On RESULT_OK
 * nobody reads the struct error: what was overcome on the way may stand in it. They never print and
 * never exit. The exit codes are part of the contract, see EXIT STATUS in the man page.
 *
 * An error's text may hold what the service sent (cleaned and cut by api.c), never a secret. */
#pragma once

#include <stdbool.h> /* these types come with it: every other header needs some of them */
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK __attribute__((warn_unused_result))
/* Of a variable that has a value at once: what gets its address when its block is left. */
#define AT_END(function) __attribute__((cleanup(function)))

enum result {
    RESULT_OK = 0,
    RESULT_FAILED,      /* anything else: a hook failed */
    RESULT_USAGE,       /* options; missing or malformed input */
    RESULT_NO_TOKEN,    /* none cached, or expired and not renewable here */
    RESULT_REFUSED,     /* the service refused the credentials or the token */
    RESULT_TEMPORARY,   /* network, timeout, 429, 5xx, lock not had in time */
    RESULT_PROTOCOL,    /* the answer makes no sense, or the certificate does not verify */
    RESULT_LOCAL,       /* cache, disk, stdout */
    RESULT_INTERRUPTED, /* a signal; main() dies of it, so the shell sees 128+N */
    RESULT_AGAIN,       /* no end: renew() is to be called again, later (renew.h) */
};

/* A path (PATH_MAX is 4096 on Linux, but people's are short) and a sentence or two. */
#define ERROR_TEXT_SIZE 2048

struct error {
    enum result result;
    char text[ERROR_TEXT_SIZE];
};

/* Fills *error and returns result, for `return error_set(...)`. errno is kept. */
enum result error_set(struct error *error, enum result result, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Appends to the text of an error that is already set. */
void error_append(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

int result_exit_code(enum result result);

/* The more serious of two results, in the order 7, 4, 3, 6, 2, 1, 5 (then success). */
enum result result_worse(enum result a, enum result b);
