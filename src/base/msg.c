/* SPDX-License-Identifier: MIT */
#include "base/msg.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"

#define CLEAR_LINE "\r\033[K"

enum msg_level msg_level = MSG_NORMAL;
/* Whether the terminal's last line is a progress line. The lock is for that, and for writing. */
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;
static bool progress_shown;

/* Whether what is there does as escape sequences say. */
static bool knows_escapes(int fd)
{
    const char *term = process_variable("TERM");

    return isatty(fd) && term != NULL && strcmp(term, "dumb") != 0;
}

bool msg_colour(int fd)
{
    return knows_escapes(fd) && process_variable("NO_COLOR") == NULL;
}

/* What nobody reads, such as a terminal that was stopped, would hold up an answer or a commit. */
static bool is_stuck(void)
{
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&output, 1, 0) == 0;
}

void msg_write(enum msg_level least, const char *kind, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE + 64];
    char line[sizeof text + 96];
    bool colour = msg_colour(STDERR_FILENO);
    va_list args;
    int len;

    if (msg_level < least || (least == MSG_VERBOSE && is_stuck()))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_clean(text);
    pthread_mutex_lock(&output_lock);
    len = snprintf(line, sizeof line, "%s%sservetel-auth:%s %s%s%s%s\n",
                   progress_shown ? CLEAR_LINE : "", colour ? "\033[1m" : "",
                   colour ? "\033[0m" : "", colour && *kind != '\0' ? "\033[33m" : "", kind,
                   colour && *kind != '\0' ? "\033[0m" : "", text);
    progress_shown = false;
    /* That stderr cannot be written to is what one would say there. */
    fd_write(STDERR_FILENO, line, (size_t)len);
    pthread_mutex_unlock(&output_lock);
}

void msg_progress(const char *format, ...)
{
    char line[256] = CLEAR_LINE, *text = line + strlen(line);
    va_list args;

    if (msg_level < MSG_NORMAL || !knows_escapes(STDERR_FILENO) || is_stuck())
        return;
    va_start(args, format);
    vsnprintf(text, sizeof line - strlen(line), format, args);
    va_end(args);
    text_clean(text);
    pthread_mutex_lock(&output_lock);
    if (*text != '\0' || progress_shown)
        fd_write(STDERR_FILENO, line, strlen(line));
    progress_shown = *text != '\0';
    pthread_mutex_unlock(&output_lock);
}
