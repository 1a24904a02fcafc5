/* SPDX-License-Identifier: MIT */
#include "input/child.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/signals.h"

#define LOOK_MS 20 /* how often to look whether a child has ended whose output is open */

extern char **environ;

char **child_environment(const char *const *extra)
{
    size_t count = 0, len = 0;
    char **merged;

    for (char **e = environ; e != NULL && *e != NULL; e++)
        count++;
    for (const char *const *x = extra; x != NULL && *x != NULL; x++)
        count++;
    merged = mem_new((count + 1) * sizeof *merged);
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        bool replaced = false;

        for (const char *const *x = extra; x != NULL && *x != NULL; x++)
            replaced = replaced || strncmp(*x, *e, strcspn(*x, "=") + 1) == 0;
        if (!replaced)
            merged[len++] = *e;
    }
    for (const char *const *x = extra; x != NULL && *x != NULL; x++)
        merged[len++] = (char *)(uintptr_t)*x;
    return merged;
}

/* ---- the terminal ---- */

/* A command's own group is in the terminal's foreground if we are: it may have to ask a person. */
struct terminal {
    int fd; /* -1: there is none */
    bool lent;
    struct termios modes; /* before that */
};

/* One command at a time has it: --all runs many. */
static atomic_bool lent;

/* From the background, without being stopped for it (SIGTTOU). Between fork and exec, too. */
static void set_foreground(int tty, pid_t group, const struct termios *modes)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    tcsetpgrp(tty, group);
    if (modes != NULL)
        tcsetattr(tty, TCSANOW, modes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Claims it for a command that is about to be put into the foreground. */
static void lend_terminal(struct terminal *terminal)
{
    if (terminal->fd < 0 || tcgetpgrp(terminal->fd) != getpgrp() || atomic_exchange(&lent, true))
        return;
    terminal->lent = true;
    tcgetattr(terminal->fd, &terminal->modes);
}

/* A shell may have given it to somebody else meanwhile. */
static void take_terminal_back(struct terminal *terminal, pid_t group)
{
    if (!terminal->lent)
        return;
    if (tcgetpgrp(terminal->fd) == group)
        set_foreground(terminal->fd, getpgrp(), &terminal->modes);
    terminal->lent = false;
    atomic_store(&lent, false);
}

/* ---- running ---- */

/* What runs. Owned by child_run(). */
struct running {
    const struct child *child;
    pid_t pid; /* 0 when it has ended */
    struct terminal terminal;
    int out_fd, in_fd; /* -1 when closed */
    size_t input_done;
    bool line_ended, line_too_long;
    int status; /* as from waitpid, once it ended */
};

static void put_into_group(const struct running *running, pid_t pid)
{
    setpgid(pid, pid);
    if (running->terminal.lent)
        set_foreground(running->terminal.fd, pid, NULL);
}

/* Between fork and exec in a program that may have threads: system calls only. */
static _Noreturn void become_shell(const struct running *running, char **environment,
                                   const sigset_t *mask, int in, int out)
{
    char shell[] = "sh", option[] = "-c";
    char *argv[] = {shell, option, (char *)(uintptr_t)running->child->command, NULL};

    put_into_group(running, getpid());
    process_restore();
    pthread_sigmask(SIG_SETMASK, mask, NULL); /* what came since the fork acts by itself */
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        execve("/bin/sh", argv, environment);
    _exit(127);
}

static enum result start(struct running *running, const struct child *child, struct error *error)
{
    OWNED char **merged = child_environment(child->environment);
    int in[2] = {-1, -1}, out[2] = {-1, -1}, number;
    bool wants_output = child->line != NULL;
    sigset_t all, mask;

    sigfillset(&all);
    *running = (struct running){.child = child, .pid = -1, .out_fd = -1, .in_fd = -1};
    running->terminal.fd = fd_open("/dev/tty", O_RDWR | O_NOCTTY);
    if (child->input == NULL)
        in[0] = fd_open("/dev/null", O_RDONLY);
    else if (fd_pipe(in) == 0)
        fcntl(in[0], F_SETFL, 0); /* the command's end is an ordinary one */
    if (wants_output && fd_pipe(out) == 0)
        fcntl(out[1], F_SETFL, 0);
    if (in[0] >= 0 && (!wants_output || out[0] >= 0)) {
        lend_terminal(&running->terminal);
        pthread_sigmask(SIG_BLOCK, &all, &mask);
        running->pid = fork();
        if (running->pid == 0)
            become_shell(running, merged, &mask, in[0], wants_output ? out[1] : STDERR_FILENO);
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
        if (running->pid > 0)
            put_into_group(running, running->pid); /* whichever of the two comes first */
    }
    number = errno;
    fd_close(&in[0]);
    fd_close(&out[1]);
    running->in_fd = in[1];
    running->out_fd = out[0];
    if (running->pid > 0)
        return RESULT_OK;
    running->pid = 0;
    return error_set(error, RESULT_FAILED, "could not be started: %s", strerror(number));
}

static void feed(struct running *running)
{
    const struct buffer *input = running->child->input;

    while (running->in_fd >= 0) {
        size_t left = input->len - running->input_done;
        const char *from = buffer_text(input) + running->input_done;
        ssize_t len = left == 0 ? 0 : FD_RETRY(write(running->in_fd, from, left));

        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) /* all written, or the command does not care to read it */
            fd_close(&running->in_fd);
        else
            running->input_done += (size_t)len;
    }
}

/* The first line of it is kept. */
static void drain(struct running *running)
{
    char chunk[4096];

    while (running->out_fd >= 0) {
        ssize_t len = FD_RETRY(read(running->out_fd, chunk, sizeof chunk)), end = 0;

        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            fd_close(&running->out_fd);
            return;
        }
        while (end < len && chunk[end] != '\n')
            end++;
        if (!running->line_ended && !buffer_append(running->child->line, chunk, (size_t)end))
            running->line_too_long = true;
        running->line_ended = running->line_ended || end < len;
        mem_wipe(chunk, (size_t)len);
    }
}

/* It was stopped: by ^Z, or because it wants the terminal, which another command of ours may have,
 * or nobody here. As it would have been without the command's group, all of ours is stopped as
 * well, where there is a shell that sees it. */
static void resume(struct running *running)
{
    bool typed = WSTOPSIG(running->status) == SIGTSTP, was_lent = running->terminal.lent;
    struct termios own; /* the command's: it may have turned the echo off */

    was_lent = was_lent && tcgetattr(running->terminal.fd, &own) == 0;
    take_terminal_back(&running->terminal, running->pid);
    if (typed || (!lent && tcgetpgrp(running->terminal.fd) != getpgrp()))
        kill(0, SIGTSTP);
    lend_terminal(&running->terminal);
    put_into_group(running, running->pid);
    if (was_lent && running->terminal.lent)
        set_foreground(running->terminal.fd, running->pid, &own);
    kill(-running->pid, SIGCONT);
}

/* True once it ended. Reaped first, drained after: what a dead command had printed is all there. A
 * grandchild that keeps the pipe open is not waited for. */
static bool has_ended(struct running *running)
{
    struct terminal *terminal = &running->terminal;
    int number = 0;

    feed(running);
    if (waitpid(running->pid, &running->status, WNOHANG | WUNTRACED) != running->pid) {
        drain(running);
        return false;
    }
    if (WIFSTOPPED(running->status)) {
        if (terminal->fd >= 0 && WSTOPSIG(running->status) != SIGSTOP)
            resume(running);
        return false;
    }
    if (terminal->lent && WIFSIGNALED(running->status))
        number = WTERMSIG(running->status);
    take_terminal_back(terminal, running->pid);
    if (number == SIGINT || number == SIGQUIT || number == SIGHUP)
        kill(0, number); /* the terminal's: it was meant for all of us */
    running->pid = 0;
    drain(running);
    return true;
}

static enum result judge(const struct running *running, struct error *error)
{
    struct buffer *line = running->child->line;
    int status = running->status; /* macOS's macros cast what is const */

    if (WIFSIGNALED(status))
        return error_set(error, RESULT_FAILED, "died of signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_set(error, RESULT_FAILED, "exited with %d", WEXITSTATUS(status));
    if (running->line_too_long)
        return error_set(error, RESULT_FAILED, "printed too long a line");
    if (line != NULL && line->len > 0 && line->data[line->len - 1] == '\r')
        line->data[--line->len] = '\0';
    return RESULT_OK;
}

/* Ends it if it still runs. */
static void end(struct running *running)
{
    if (running->pid > 0) {
        kill(-running->pid, SIGKILL);
        /* What cannot be killed, as sudo cannot, is not waited for. */
        FD_RETRY(waitpid(running->pid, &running->status,
                         kill(running->pid, SIGKILL) == 0 ? 0 : WNOHANG));
    }
    take_terminal_back(&running->terminal, running->pid);
    fd_close(&running->terminal.fd);
    fd_close(&running->out_fd);
    fd_close(&running->in_fd);
}

enum result child_run(const struct child *child, int64_t deadline_ms, struct error *error)
{
    AT_END(end) struct running running;
    enum result result = start(&running, child, error);

    while (result == RESULT_OK && !has_ended(&running)) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();

        if (signals_wait(running.out_fd, left_ms < LOOK_MS ? left_ms : LOOK_MS))
            result = error_set(error, RESULT_INTERRUPTED, "interrupted");
        else if (left_ms <= 0)
            result = error_set(error, RESULT_TEMPORARY, "did not end in time");
    }
    if (result == RESULT_OK && WIFSIGNALED(running.status) && signals_caught())
        result = error_set(error, RESULT_INTERRUPTED, "interrupted");
    return result == RESULT_OK ? judge(&running, error) : result;
}
