/* SPDX-License-Identifier: MIT */
#include "base/signals.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* Numbers are below that everywhere: the pipe's byte has room for where one came from. */
#define NUMBERS 128
#define FROM_KERNEL 0x80
#ifdef SIGRTMAX
#define NUMBER_MAX SIGRTMAX
#else
#define NUMBER_MAX (NSIG - 1)
#endif

/* Which have our handler, and which of those the caller had ignored. No struct sigaction is kept:
 * libc copies into its mask what happens to lie on the stack. */
static bool held[NUMBERS], ignored[NUMBERS];
static atomic_int caught; /* other threads look at it, too */
static int wake_pipe[2] = {-1, -1};

/* Those that a process brings upon itself. */
static bool is_fault(int number)
{
    return number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGSEGV ||
           number == SIGSYS || number == SIGTRAP;
}

static bool ends_process(int number)
{
#ifdef SIGINFO /* ^T on the BSDs and macOS, which ignore these two unless told otherwise */
    if (number == SIGINFO || number == SIGIO)
        return false;
#endif
    return number != SIGCHLD && number != SIGCONT && number != SIGTSTP && number != SIGTTIN &&
           number != SIGTTOU && number != SIGURG && number != SIGWINCH;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    /* What kill(2) and sigqueue(3) sent says so. */
    bool from_kernel = info->si_code > 0 && info->si_code != SI_USER && info->si_code != SI_QUEUE;
    unsigned char byte = (unsigned char)(number | (from_kernel ? FROM_KERNEL : 0));

    (void)context;
    if (from_kernel && is_fault(number)) {
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

void signals_hold(bool all)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, before;

    if (wake_pipe[0] < 0)
        fd_pipe(wake_pipe); /* without one, waits end a little later, no more */
    for (int number = 1; number <= NUMBER_MAX; number++) {
        bool wanted = all || (ends_process(number) && !is_fault(number));

        if (!wanted || held[number] || sigaction(number, NULL, &before) < 0 ||
            (before.sa_handler == SIG_IGN && !all))
            continue;
        ignored[number] = before.sa_handler == SIG_IGN;
        held[number] = sigaction(number, &action, NULL) == 0; /* not SIGKILL, nor libc's own */
    }
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

void signals_reset(void)
{
    for (int number = 1; number <= NUMBER_MAX; number++) {
        if (held[number])
            signal(number, ignored[number] ? SIG_IGN : SIG_DFL);
        held[number] = false;
    }
}

pid_t signals_fork(void)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0) {
        signals_reset();
        fd_close(&wake_pipe[0]);
        fd_close(&wake_pipe[1]);
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
