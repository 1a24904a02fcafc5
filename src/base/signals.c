/* SPDX-License-Identifier: MIT */
#include "base/signals.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fd.h"

static const int fatal[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2};
#define FATAL_COUNT (sizeof fatal / sizeof fatal[0])

/* A program starts with its signals ignored or at their default. No struct sigaction is kept: libc
 * copies into its mask what happens to lie on the stack. */
static bool ignored[FATAL_COUNT];
static bool catching;
static atomic_int caught; /* other threads look at it, too */
static int wake_pipe[2] = {-1, -1};

/* Signal numbers are below 65 everywhere: the byte in the pipe has room for where one came from. */
#define BY_TERMINAL 0x80

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    /* What kill(2) and sigqueue(3) sent says so; of what the kernel sends, these are a terminal's.
     */
    bool by_terminal = (number == SIGINT || number == SIGQUIT || number == SIGHUP) &&
                       info->si_code > 0 && info->si_code != SI_USER && info->si_code != SI_QUEUE;
    unsigned char byte = (unsigned char)(number | (by_terminal ? BY_TERMINAL : 0));

    (void)context;
    if (caught == 0)
        caught = number;
    fd_write(wake_pipe[1], &byte, 1); /* full: then it is readable already */
    errno = saved_errno;
}

void signals_catch(void)
{
    /* Here and elsewhere a zeroed sa_mask is an empty one, as it is on every system there is. */
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, before;

    if (catching)
        return;
    catching = true;
    fd_pipe(wake_pipe); /* without one, waits end a little later, no more */
    for (size_t i = 0; i < FATAL_COUNT; i++) {
        sigaction(fatal[i], NULL, &before);
        ignored[i] = before.sa_handler == SIG_IGN;
        if (!ignored[i])
            sigaction(fatal[i], &action, NULL);
    }
}

void signals_watch_children(void)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};

    sigaction(SIGCHLD, &action, NULL);
}

int signals_caught(void)
{
    return caught;
}

int signals_fd(void)
{
    return wake_pipe[0];
}

bool signals_wait(int fd, int64_t ms)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = wake_pipe[0], .events = POLLIN}};

    if (caught == 0)
        poll(fds, 2, ms <= 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms);
    return caught != 0;
}

int signals_take(bool *by_terminal)
{
    unsigned char byte;

    caught = 0; /* before the pipe is read: a signal that comes now is in the pipe */
    if (read(wake_pipe[0], &byte, 1) != 1)
        return 0;
    *by_terminal = (byte & BY_TERMINAL) != 0;
    return byte & ~BY_TERMINAL;
}

void signals_reset(void)
{
    for (size_t i = 0; catching && i < FATAL_COUNT; i++) {
        if (!ignored[i])
            signal(fatal[i], SIG_DFL);
    }
}

pid_t signals_fork(bool becomes_program)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0) {
        if (becomes_program)
            signals_reset();
        signal(SIGCHLD, SIG_DFL); /* signals_watch_children() was for the parent */
        fd_close(&wake_pipe[0]);
        fd_close(&wake_pipe[1]);
        fd_pipe(wake_pipe);
        caught = 0;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

void signals_die(void)
{
    if (caught == 0)
        return;
    signal(caught, SIG_DFL);
    kill(getpid(), caught);
    _exit(128 + caught); /* not reached */
}
