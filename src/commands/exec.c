/* SPDX-License-Identifier: MIT */
/* exec: a program with a fresh token in its environment, and, with --keep-fresh, a file that holds
 * a valid one for as long as the program runs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/process.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "input/child.h"
#include "renewal/decide.h"

/* As the shell says it (POSIX, 2.8.2). */
#define EXIT_NOT_RUNNABLE 126
#define EXIT_NOT_FOUND 127
/* How often the cache is looked at: another process may have renewed the token, and the old one is
 * no longer good then. */
#define LOOK_MS 200
/* A renewal that failed is tried again after this, then twice that, to ten minutes, but at least
 * four times in what is left of the token's life. Each one warns, and has --timeout for itself. */
#define RETRY_MS 5000
#define RETRY_DOUBLINGS 7
#define RETRIES_LEFT 4
/* How long a renewer may take to end, and how often that is looked at. */
#define RENEWER_END_MS 5000
#define RENEWER_LOOK_MS 10

extern char **environ;

/* file: SERVETEL_TOKEN_FILE, or NULL. Returns, with the exit code for it, only if that fails. */
static int become_program(char **argv, const char *token, const char *file)
{
    char *token_variable = mem_join("SERVETEL_TOKEN=", token);
    char *file_variable = file == NULL ? NULL : mem_join("SERVETEL_TOKEN_FILE=", file);
    const char *extra[] = {token_variable, file_variable, NULL};
    char **environment = child_environment(extra), **before = environ;
    int number;

    environ = environment;
    process_restore();
    execvp(argv[0], argv);
    number = errno;
    environ = before;
    mem_free(environment);
    mem_free(file_variable);
    mem_free(token_variable);
    msg_error("cannot run '%s': %s", argv[0], strerror(number));
    return number == ENOENT || number == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE;
}

/* ---- keeping it fresh ---- */

struct keeper {
    const struct options *options;
    struct cache cache;
    struct profile profile; /* whose token is in the file */
    struct token_file file;
    pid_t renewer;    /* 0 when none runs */
    int64_t retry_ms; /* monotonic: no renewal before */
    int tries;        /* renewals since there was a new token */
    bool gave_up;     /* a person is needed, and the renewal has said so */
};

/* A renewal that was sent has two seconds for its answer (api.c) and some more to store it, and
 * none outlives the keeper: in a container, where the keeper may be the first process, it would be
 * killed with it. One that ignores SIGTERM, or was stopped by the terminal, is killed. */
static void end_renewer(struct keeper *k)
{
    int64_t until_ms = clock_monotonic_ms() + RENEWER_END_MS;

    if (k->renewer == 0)
        return;
    kill(k->renewer, SIGTERM);
    while (waitpid(k->renewer, NULL, WNOHANG) == 0) {
        if (clock_monotonic_ms() >= until_ms)
            kill(k->renewer, SIGKILL);
        poll(NULL, 0, RENEWER_LOOK_MS);
    }
    k->renewer = 0;
}

static void close_keeper(struct keeper *k)
{
    end_renewer(k);
    token_file_close(&k->file);
    cache_close(&k->cache);
    profile_clear(&k->profile);
}

/* Well before the end: a third of the life, so that a renewal may fail some times. */
static int64_t threshold_s(const struct keeper *k)
{
    const struct profile *p = &k->profile;
    int64_t min_ttl_s = k->options->min_ttl_s != OPTION_UNSET ? k->options->min_ttl_s
                                                              : profile_default_min_ttl_s(p);
    int64_t third_s = profile_is_permanent(p) ? 0 : (p->expires_at - p->obtained_at) / 3;

    /* No more than two thirds: --min-ttl may ask for as much as a new token has, which would be one
     * renewal after the other. */
    if (min_ttl_s > 2 * third_s && third_s > 0)
        min_ttl_s = 2 * third_s;
    return third_s > min_ttl_s ? third_s : min_ttl_s;
}

/* In a process of its own: the keeper goes on passing signals and watching the program. What it
 * gets reaches us through the cache. */
static void start_renewer(struct keeper *k)
{
    struct renew_wish wish = command_wish(k->options);
    struct renewal r;
    int64_t pause_ms = (int64_t)RETRY_MS << k->tries;
    enum result result;
    int64_t life_ms = 1000 * profile_ttl_s(&k->profile, clock_epoch_s());
    int code, null;

    wish.keep_above_s = threshold_s(k);
    if (life_ms > 0 && pause_ms > life_ms / RETRIES_LEFT)
        pause_ms = life_ms / RETRIES_LEFT > RETRY_MS ? life_ms / RETRIES_LEFT : RETRY_MS;
    k->retry_ms = clock_monotonic_ms() + pause_ms;
    if (k->tries < RETRY_DOUBLINGS)
        k->tries++;
    k->renewer = signals_fork(false);
    if (k->renewer < 0)
        k->renewer = 0;
    if (k->renewer != 0)
        return;
    setpgid(0, 0); /* ^C is for the program */
    /* The program's input and output are its own. */
    null = fd_open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        msg_warn("cannot open '/dev/null': %s", strerror(errno));
    renew_begin(&r, &wish, command_profile(k->options), k->options->file);
    result = command_renew(k->options, &r, NULL);
    code = result_exit_code(result);
    if (code != 0 && result != RESULT_INTERRUPTED)
        msg_warn("%s", r.error.text);
    renew_end(&r);
    _exit(code);
}

static void reap_renewer(struct keeper *k)
{
    int status, code;

    if (k->renewer == 0 || waitpid(k->renewer, &status, WNOHANG) != k->renewer)
        return;
    k->renewer = 0;
    code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    k->gave_up = code == result_exit_code(RESULT_NO_TOKEN);
}

static void look(struct keeper *k)
{
    struct profile profile;
    struct error error;
    struct renew_wish wish = command_wish(k->options);
    enum renew_plan plan;
    const char *why;

    reap_renewer(k);
    if (cache_changed(&k->cache)) {
        profile_init(&profile);
        /* A cache that cannot be read now (a logout) leaves the program what it has. */
        if (cache_read(&k->cache, &profile, &error) == RESULT_OK && profile.token != NULL) {
            struct profile old = k->profile;
            bool differs = strcmp(old.token, profile.token) != 0;

            k->profile = profile;
            profile = old;
            if (differs && token_file_write(&k->file, k->profile.token, &error) != RESULT_OK)
                msg_warn("%s", error.text);
            if (differs) {
                k->retry_ms = 0; /* RETRY_MS is for renewals that brought nothing */
                k->tries = 0;
            }
            k->gave_up = k->gave_up && !differs;
        }
        profile_clear(&profile);
    }
    if (k->renewer != 0 || clock_monotonic_ms() < k->retry_ms)
        return;
    wish.keep_above_s = threshold_s(k);
    plan = decide(&k->profile, &wish, clock_epoch_s(), &why);
    if (plan != RENEW_PLAN_KEEP && plan != RENEW_PLAN_WAIT && !k->gave_up)
        start_renewer(k);
}

/* What the terminal sent, the program has already: it is in the same process group. At first that
 * is not so sure, and twice is better than never. */
static void pass_signals(pid_t pid, bool at_first)
{
    bool by_terminal;
    int number;

    while ((number = signals_take(&by_terminal)) != 0) {
        if (number != SIGCHLD && (!by_terminal || at_first))
            kill(pid, number);
    }
}

static int run_keeping(const struct options *options, struct profile *profile)
{
    struct keeper k = {.options = options, .profile = *profile, .file = {.lock_fd = -1}};
    struct error error;
    bool by_terminal;
    int code, status;
    pid_t pid;

    profile_init(profile); /* the keeper has it now */
    signals_catch();
    if (cache_open(&k.cache, command_profile(options), options->file, &error) != RESULT_OK ||
        token_file_open(&k.file, &k.cache, k.profile.token, &error) != RESULT_OK) {
        close_keeper(&k);
        return command_fail(&error);
    }
    signals_watch_children();
    pid = signals_fork(true);
    if (pid == 0)
        _exit(become_program(options->operands, k.profile.token, k.file.path));
    if (pid < 0) {
        error_set(&error, RESULT_LOCAL, "cannot start a process: %s", strerror(errno));
        code = command_fail(&error);
    } else {
        pass_signals(pid, true);
        while (waitpid(pid, &status, WNOHANG) != pid) {
            look(&k);
            signals_wait(-1, LOOK_MS);
            pass_signals(pid, false);
        }
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    close_keeper(&k);
    while (signals_take(&by_terminal) != 0)
        continue; /* too late to be passed on: how the program ended counts */
    return code;
}

int cmd_exec(const struct options *options)
{
    struct renew_wish wish;
    struct renewal r;
    int code;

    if (command_fresh(options, &wish, &r) != RESULT_OK) {
        code = command_fail(&r.error);
    } else if (signals_caught()) {
        code = EXIT_NOT_RUNNABLE; /* not reached: main dies of the signal */
    } else if (options->keep_fresh) {
        code = run_keeping(options, &r.profile);
    } else {
        code = become_program(options->operands, r.profile.token, NULL);
    }
    renew_end(&r);
    return code;
}
