/* SPDX-License-Identifier: MIT */
#include "input/source.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/text.h"
#include "input/child.h"

enum result source_check(const struct buffer *password, const char *what, struct error *error)
{
    if (password->len == 0)
        return error_set(error, RESULT_LOCAL, "%s is empty", what);
    if (password->len > PASSWORD_LENGTH_MAX)
        return error_set(error, RESULT_LOCAL, "%s is longer than %d bytes", what,
                         PASSWORD_LENGTH_MAX);
    if (strlen(password->data) != password->len)
        return error_set(error, RESULT_LOCAL, "%s holds a NUL byte", what);
    /* JSON texts are UTF-8 (RFC 8259, 8.1): anything else could not be sent as it is. */
    if (!text_is_utf8(password->data))
        return error_set(error, RESULT_LOCAL, "%s is not UTF-8 text", what);
    return RESULT_OK;
}

/* What can be read at once; EAGAIN where that is nothing. */
static ssize_t read_ready(int fd, char *bytes, size_t size)
{
    struct pollfd now = {.fd = fd, .events = POLLIN};

    errno = EAGAIN;
    return poll(&now, 1, 0) > 0 ? read(fd, bytes, size) : -1;
}

/* One read of at most size bytes: *len, 0 at the end. A person at a terminal may take his time. */
static enum result read_some(int fd, const char *what, int64_t deadline_ms, char *bytes,
                             size_t size, size_t *len, struct error *error)
{
    bool person_types = isatty(fd);
    int64_t left_ms;
    ssize_t got;

    do {
        left_ms = person_types ? INT64_MAX : deadline_ms - clock_monotonic_ms();
        if (signals_wait(fd, left_ms))
            return error_set(error, RESULT_INTERRUPTED, "interrupted");
        got = read_ready(fd, bytes, size);
    } while (got < 0 && (errno == EINTR || (errno == EAGAIN && left_ms > 0)));
    if (got < 0 && errno == EAGAIN)
        return error_set(error, RESULT_TEMPORARY, "%s did not come in time", what);
    if (got < 0)
        return error_set(error, RESULT_LOCAL, "cannot read %s: %s", what, strerror(errno));
    *len = (size_t)got;
    return RESULT_OK;
}

enum result source_read(int fd, enum source_extent extent, const char *what, int64_t deadline_ms,
                        struct buffer *text, struct error *error)
{
    bool is_line = extent == SOURCE_LINE, ended, fits;
    char chunk[1024];
    size_t len = 0;

    do { /* a line byte by byte, since what follows is for others */
        if (read_some(fd, what, deadline_ms, chunk, is_line ? 1 : sizeof chunk, &len, error) !=
            RESULT_OK)
            return error->result;
        ended = len == 0 || (is_line && chunk[0] == '\n');
        fits = ended || buffer_append(text, chunk, len);
        mem_wipe(chunk, len);
    } while (!ended && fits);
    if (!fits)
        return error_set(error, is_line ? RESULT_LOCAL : RESULT_USAGE, "%s is too long", what);
    if (is_line && text->len > 0 && text->data[text->len - 1] == '\r') /* a file from elsewhere */
        text->data[--text->len] = '\0';
    return RESULT_OK;
}

enum result source_read_file(const char *path, int64_t deadline_ms, struct buffer *password,
                             struct source_file *file, struct error *error)
{
    /* O_NONBLOCK: a FIFO that nobody writes must not hang the open. */
    AT_END(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char what[512];
    struct stat st;

    snprintf(what, sizeof what, "the password file '%s'", path);
    *file = (struct source_file){0};
    if (fd < 0)
        return error_set(error, RESULT_LOCAL, "cannot read %s: %s", what, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        /* By its group's right another's file is given to us, as a Secret in a volume is. */
        mode_t others = st.st_uid == geteuid() ? 044 : 004;

        *file = (struct source_file){.exposed = (st.st_mode & others) != 0, .regular = true};
    }
    if (source_read(fd, SOURCE_LINE, what, deadline_ms, password, error) != RESULT_OK)
        return error->result;
    return source_check(password, what, error);
}

enum result source_run(const char *command, const char *what, const char *name, int64_t deadline_ms,
                       struct buffer *line, struct error *error)
{
    struct buffer printed = BUFFER(CHILD_LINE_MAX);
    struct child child = {.command = command, .line = &printed};
    struct error ended;
    enum result result = child_run(&child, deadline_ms, &ended);

    if (result == RESULT_OK) {
        buffer_clear(line);
        *line = printed;
        return RESULT_OK;
    }
    buffer_clear(&printed);
    if (result == RESULT_INTERRUPTED)
        return error_set(error, result, "interrupted");
    return error_set(error, result == RESULT_FAILED ? RESULT_LOCAL : result, "%s of '%s' %s", what,
                     name, ended.text);
}

/* ---- the terminal ---- */

static volatile sig_atomic_t suspended;

static void on_suspend(int number)
{
    (void)number;
    suspended = 1;
}

static void set_echo(int tty, struct termios *before, bool echo)
{
    struct termios quiet = *before;

    if (!echo)
        quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    quiet.c_lflag |= ICANON | ISIG | (echo ? 0 : ECHONL);
    while (tcsetattr(tty, TCSAFLUSH, &quiet) < 0 && errno == EINTR && !signals_caught())
        continue;
}

/* One line from the terminal. ^Z gives the terminal back, stops, and asks again when resumed. */
static enum result read_answer(int tty, struct termios *before, const char *prompt, bool echo,
                               struct buffer *answer, struct error *error)
{
    for (;;) {
        ssize_t len;
        char c;

        if (signals_wait(tty, 200)) /* so long may a ^Z at the wrong moment go unnoticed */
            return error_set(error, RESULT_INTERRUPTED, "interrupted");
        if (suspended) {
            tcsetattr(tty, TCSAFLUSH, before);
            suspended = 0;
            signals_stop();
            if (signals_caught())
                continue;
            set_echo(tty, before, echo);
            buffer_clear(answer);
            fd_write(tty, prompt, strlen(prompt));
            continue;
        }
        len = read_ready(tty, &c, 1);
        if (len < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (len < 0)
            return error_set(error, RESULT_LOCAL, "cannot read from the terminal: %s",
                             strerror(errno));
        if (len == 0 || c == '\n')
            return RESULT_OK;
        if (!buffer_append(answer, &c, 1))
            return error_set(error, RESULT_LOCAL, "that is too long");
        mem_wipe(&c, 1);
    }
}

enum result source_ask(const char *prompt, bool echo, struct buffer *answer, struct error *error)
{
    struct sigaction suspend = {.sa_handler = on_suspend}, suspend_before;
    AT_END(fd_close) int tty = fd_open("/dev/tty", O_RDWR | O_NOCTTY);
    struct termios before;
    enum result result;

    if (tty < 0 || tcgetattr(tty, &before) < 0)
        return error_set(error, RESULT_USAGE, "there is no terminal to ask on");
    signals_catch();
    sigaction(SIGTSTP, NULL, &suspend_before);
    if (suspend_before.sa_handler != SIG_IGN)
        sigaction(SIGTSTP, &suspend, NULL);
    set_echo(tty, &before, echo);
    fd_write(tty, prompt, strlen(prompt));
    result = read_answer(tty, &before, prompt, echo, answer, error);
    while (tcgetpgrp(tty) == getpgrp() && tcsetattr(tty, TCSAFLUSH, &before) < 0 && errno == EINTR)
        continue;
    sigaction(SIGTSTP, &suspend_before, NULL);
    if (result == RESULT_INTERRUPTED && !echo)
        fd_write(tty, "\n", 1);
    return result;
}
