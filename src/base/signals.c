/* SPDX-License-Identifier: MIT */
#include "base/signals.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* Signal numbers are below that everywhere: the byte in the pipe has room for where one came from.
 */
#define NUMBERS 128
#define FROM_KERNEL 0x80
#ifdef SIGRTMAX
#define NUMBER_MAX SIGRTMAX
#else
#define NUMBER_MAX (NSIG - 1)
#endif

/* Those that end no process by default, and those that a process brings upon itself. */
static const int harmless[] = {SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
#define IS_IN(list, number) is_in(list, sizeof(list) / sizeof(list)[0], number)

/* Which have our handler, and which of those the caller had ignored. No struct sigaction is kept:
 * libc copies into its mask what happens to lie on the stack. */
static bool held[NUMBERS], ignored[NUMBERS];
static atomic_int caught; /* other threads look at it, too */
static int wake_pipe[2] = {-1, -1};

static bool is_in(const int *list, size_t count, int number)
{
    while (count > 0 && list[count - 1] != number)
        count--;
    return count > 0;
}

static bool is_fatal(int number)
{
    return !IS_IN(harmless, number) && !IS_IN(faults, number);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    /* What kill(2) and sigqueue(3) sent says so. */
    bool from_kernel = info->si_code > 0 && info->si_code != SI_USER && info->si_code != SI_QUEUE;
    unsigned char byte = (unsigned char)(number | (from_kernel ? FROM_KERNEL : 0));

    (void)context;
    if (from_kernel && IS_IN(faults, number)) {
        signal(number, SIG_DFL); /* our own, which comes again at once */
    } else if (from_kernel && (number == SIGTTIN || number == SIGTTOU)) {
        signals_stop(); /* the call that met it is made again, and would meet it again */
    } else if ((number != SIGPIPE && number != SIGXFSZ) || info->si_pid != getpid()) {
        if (caught == 0)
            caught = number;
        fd_write(wake_pipe[1], &byte, 1); /* full: then it is readable already */
    }
    errno = saved_errno;
}

static void hold(int number, bool also_ignored)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, before;

    if (held[number] || sigaction(number, NULL, &before) < 0 ||
        (before.sa_handler == SIG_IGN && !also_ignored))
        return;
    ignored[number] = before.sa_handler == SIG_IGN;
    held[number] = sigaction(number, &action, NULL) == 0; /* not SIGKILL, nor what is libc's own */
}

void signals_catch(void)
{
    if (wake_pipe[0] < 0)
        fd_pipe(wake_pipe); /* without one, waits end a little later, no more */
    for (int number = 1; number <= NUMBER_MAX; number++) {
        if (is_fatal(number))
            hold(number, false);
    }
}

void signals_catch_all(void)
{
    signals_catch();
    for (int number = 1; number <= NUMBER_MAX; number++)
        hold(number, true);
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

int signals_take(bool *from_kernel)
{
    unsigned char byte;

    caught = 0; /* before the pipe is read: a signal that comes now is in the pipe */
    if (read(wake_pipe[0], &byte, 1) != 1)
        return 0;
    *from_kernel = (byte & FROM_KERNEL) != 0;
    return byte & ~FROM_KERNEL;
}

/* All of them, as the caller had them; or what signals_catch_all() added, which then does nothing.
 */
static void let_go(bool all)
{
    for (int number = 1; number <= NUMBER_MAX; number++) {
        bool ends = is_fatal(number) && !ignored[number];

        if (held[number] && (all || !ends))
            signal(number, ignored[number] || (!all && number != SIGCHLD) ? SIG_IGN : SIG_DFL);
    }
}

void signals_reset(void)
{
    let_go(true);
}

pid_t signals_fork(bool becomes_program)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0) {
        let_go(becomes_program);
        fd_close(&wake_pipe[0]);
        fd_close(&wake_pipe[1]);
        fd_pipe(wake_pipe);
        caught = 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

void signals_stop(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL}, before;

    sigaction(SIGTSTP, &by_default, &before);
    kill(getpid(), SIGTSTP);
    sigaction(SIGTSTP, &before, NULL);
}

void signals_die(void)
{
    if (caught == 0)
        return;
    signal(caught, SIG_DFL);
    kill(getpid(), caught);
    _exit(128 + caught); /* not reached, but as process 1 */
}

int signals_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"HUP", SIGHUP},   {"INT", SIGINT},    {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},
                 {"USR2", SIGUSR2}, {"ALRM", SIGALRM},  {"TERM", SIGTERM}, {"CONT", SIGCONT},
                 {"URG", SIGURG},   {"WINCH", SIGWINCH}};
    char *end;
    long long number = strtoll(name, &end, 10);

    if (*name >= '0' && *name <= '9')
        return *end == '\0' && number > 0 && number <= NUMBER_MAX ? (int)number : 0;
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, name) == 0)
            return names[i].number;
    }
    return 0;
}
