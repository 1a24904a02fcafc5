/* The only writer to stderr.
 *
 * Each call writes one line, `servetel-auth: ...`, with one write(2), so that lines of processes
 * that run side by side do not mix. Control characters (C0, C1, DEL) and broken UTF-8 come out as
 * '?', wherever the text came from. Colour goes to terminals only, and not there if NO_COLOR is
 * set or TERM is dumb.
 *
 * Never hand a secret to it.
 */
#ifndef MSG_H
#define MSG_H

#include <stdbool.h>

#include "base/result.h"

enum msg_level { MSG_QUIET, MSG_NORMAL, MSG_VERBOSE };

void msg_set_level(enum msg_level level);
bool msg_is_verbose(void);

void msg_error(const char *format, ...) PRINTF_LIKE(1, 2);
void msg_warn(const char *format, ...) PRINTF_LIKE(1, 2);    /* not when quiet */
void msg_note(const char *format, ...) PRINTF_LIKE(1, 2);    /* not when quiet */
void msg_verbose(const char *format, ...) PRINTF_LIKE(1, 2); /* only when verbose */

/* A line that overwrites itself on a terminal ("\r", no prefix); nothing elsewhere. An empty text
 * removes it. */
void msg_progress(const char *format, ...) PRINTF_LIKE(1, 2);

/* Whether colour may be written to fd. */
bool msg_colour(int fd);

#endif
