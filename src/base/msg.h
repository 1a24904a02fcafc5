/* SPDX-License-Identifier: MIT */
/* The only writer to stderr.
 *
 * Each call writes one line, `servetel-auth: ...`, with one write(2), so that lines of processes
 * that run side by side do not mix; threads take turns. Control characters (C0, C1, DEL) and broken
 * UTF-8 come out as '?'. Colour goes to terminals only, not if NO_COLOR is set or TERM is dumb.
 *
 * Never hand a secret to it. */
#pragma once

#include "base/result.h"

enum msg_level { MSG_QUIET, MSG_NORMAL, MSG_VERBOSE };

/* What is told; set once, before there are threads. */
extern enum msg_level msg_level;

#define msg_error(...) msg_write(MSG_QUIET, "", __VA_ARGS__)
#define msg_warn(...) msg_write(MSG_NORMAL, "warning: ", __VA_ARGS__) /* not when quiet */
#define msg_note(...) msg_write(MSG_NORMAL, "", __VA_ARGS__)          /* likewise */
/* Only when verbose: else its arguments cost nothing, such as the time zone's file. */
#define msg_verbose(...)                                                                           \
    (msg_level < MSG_VERBOSE ? (void)0 : msg_write(MSG_VERBOSE, "", __VA_ARGS__))
void msg_write(enum msg_level least, const char *kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* A line that overwrites itself on a terminal, and nothing elsewhere; an empty text removes it. */
void msg_progress(const char *format, ...) PRINTF_LIKE(1, 2);

/* Whether colour may be written to fd. */
bool msg_colour(int fd);
