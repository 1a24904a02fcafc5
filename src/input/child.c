#include "input/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/signals.h"

/* How often to look whether a child ended that keeps its output open or has none. */
#define LOOK_MS 20

extern char **environ;

/* Whether the user sits at a terminal that this process may use. */
static bool has_terminal(void)
{
    int fd = fd_open("/dev/tty", O_RDWR | O_NOCTTY);
    bool foreground = fd >= 0 && tcgetpgrp(fd) == getpgrp();

    fd_close(&fd);
    return foreground;
}

static bool is_same_variable(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");

    return strncmp(a, b, len) == 0 && b[len] == '=';
}

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
            replaced = replaced || is_same_variable(*x, *e);
        if (!replaced)
            merged[len++] = *e;
    }
    for (const char *const *x = extra; x != NULL && *x != NULL; x++)
        merged[len++] = (char *)(uintptr_t)*x;
    return merged;
}

static _Noreturn void become(const char *command, char **environment, int in, int out,
                             bool own_group)
{
    char shell[] = "sh", option[] = "-c";
    char *argv[] = {shell, option, (char *)(uintptr_t)command, NULL};

    if (own_group)
        setpgid(0, 0);
    process_restore();
    environ = environment;
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        execvp("/bin/sh", argv);
    _exit(127);
}

enum result child_start(struct child *child, const char *command, const struct buffer *input,
                        const char *const *environment, bool want_output, struct error *error)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    char **merged = NULL;

    *child = (struct child){.out_fd = -1, .in_fd = -1, .line = BUFFER(CHILD_LINE_MAX)};
    if (input == NULL)
        in[0] = fd_open("/dev/null", O_RDONLY);
    else if (fd_pipe(in) == 0)
        fcntl(in[0], F_SETFL, 0); /* the command's end is an ordinary one */
    if (want_output && fd_pipe(out) == 0)
        fcntl(out[1], F_SETFL, 0);
    if (in[0] >= 0 && (!want_output || out[0] >= 0)) {
        merged = child_environment(environment);
        child->own_group = !has_terminal();
        child->pid = fork();
        if (child->pid == 0)
            become(command, merged, in[0], want_output ? out[1] : STDERR_FILENO, child->own_group);
    } else {
        child->pid = -1;
    }
    if (child->pid < 0) {
        child->pid = 0;
        error_set(error, RESULT_LOCAL, "cannot run a command: %s", strerror(errno));
        fd_close(&in[1]);
        fd_close(&out[0]);
    } else {
        error->result = RESULT_OK;
        if (child->own_group)
            setpgid(child->pid, child->pid); /* whichever of the two comes first */
    }
    mem_free(merged);
    fd_close(&in[0]);
    fd_close(&out[1]);
    child->in_fd = in[1];
    child->out_fd = out[0];
    child->input = input;
    return error->result;
}

static void feed(struct child *child)
{
    while (child->in_fd >= 0) {
        size_t left = child->input->len - child->input_done;
        ssize_t len = left == 0 ? 0
                                : write(child->in_fd, child->input->data + child->input_done, left);

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) /* all written, or the command does not care to read it */
            fd_close(&child->in_fd);
        else
            child->input_done += (size_t)len;
    }
}

static void keep_first_line(struct child *child, const char *text, size_t len)
{
    size_t end = 0;

    if (child->line_ended)
        return;
    while (end < len && text[end] != '\n')
        end++;
    child->line_ended = end < len;
    if (!buffer_append(&child->line, text, end))
        child->line_too_long = true;
}

static void drain(struct child *child)
{
    char chunk[4096];

    while (child->out_fd >= 0) {
        ssize_t len = fd_read(child->out_fd, chunk, sizeof chunk);

        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            fd_close(&child->out_fd);
            return;
        }
        keep_first_line(child, chunk, (size_t)len);
        mem_wipe(chunk, (size_t)len);
    }
}

bool child_step(struct child *child)
{
    if (child->pid == 0)
        return true;
    feed(child);
    /* Reaped first, drained after: what a dead command had printed is all there. A grandchild that
     * keeps the pipe open is not waited for. */
    if (waitpid(child->pid, &child->status, WNOHANG) != child->pid) {
        drain(child);
        return false;
    }
    child->pid = 0;
    drain(child);
    fd_close(&child->out_fd);
    fd_close(&child->in_fd);
    if (child->line.len > 0 && child->line.data[child->line.len - 1] == '\r')
        child->line.data[--child->line.len] = '\0';
    return true;
}

int child_fd(const struct child *child)
{
    return child->pid == 0 ? -1 : child->out_fd;
}

enum result child_result(const struct child *child, struct error *error)
{
    if (WIFSIGNALED(child->status))
        return error_set(error, RESULT_FAILED, "died of signal %d", WTERMSIG(child->status));
    if (WEXITSTATUS(child->status) != 0)
        return error_set(error, RESULT_FAILED, "exited with %d", WEXITSTATUS(child->status));
    return RESULT_OK;
}

void child_kill(struct child *child)
{
    if (child->pid != 0) {
        kill(child->own_group ? -child->pid : child->pid, SIGKILL);
        while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
            continue;
        child->pid = 0;
    }
    fd_close(&child->out_fd);
    fd_close(&child->in_fd);
    buffer_clear(&child->line);
}

enum result child_wait(struct child *child, int64_t deadline_ms, struct error *error)
{
    while (!child_step(child)) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        struct pollfd fds[] = {{.fd = child_fd(child), .events = POLLIN},
                               {.fd = signals_fd(), .events = POLLIN}};

        if (signals_caught())
            return error_set(error, RESULT_INTERRUPTED, "interrupted");
        if (left_ms <= 0)
            return error_set(error, RESULT_TEMPORARY, "did not end in time");
        poll(fds, 2, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
    }
    return RESULT_OK;
}
