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
    signals_die(); /* of what came until now; what comes from here on acts by itself */
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
    struct profile profile;    /* whose token is in the file */
    int64_t taken_s, taken_ms; /* since then; by both clocks */
    struct token_file file;
    bool unwritten;         /* but could not be written there */
    int signal;             /* tells the program that it is; 0: nothing does */
    pid_t program, renewer; /* 0 when none runs */
    bool stop_passed;       /* to the program, which has not stopped since */
    int64_t pause_ms;       /* after a renewal that failed */
    int64_t retry_ms;       /* monotonic: no renewal before */
    int tries;              /* renewals since there was a new token */
    bool gave_up;           /* a person is needed, and the renewal has said so */
    bool failed, ended;     /* what was told: a renewal has failed, the token has ended */
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

/* Now that the keeper has the token. */
static void note_times(struct keeper *k)
{
    k->taken_s = clock_epoch_s();
    k->taken_ms = clock_monotonic_ms();
}

/* A clock that was set back meanwhile makes no token last longer. */
static int64_t now_s(const struct keeper *k)
{
    int64_t now = clock_epoch_s();
    int64_t least = k->taken_s + (clock_monotonic_ms() - k->taken_ms) / 1000;

    return now > least ? now : least;
}

static bool needs_person(int code)
{
    return code == result_exit_code(RESULT_NO_TOKEN) || code == result_exit_code(RESULT_REFUSED);
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

/* Says why there is no new token, and what will come of it. */
static void tell_failure(const struct keeper *k, const char *why, int code, int64_t pause_s)
{
    int64_t left_s = profile_ttl_s(&k->profile, now_s(k));
    char left[CLOCK_TEXT_SIZE], next[CLOCK_TEXT_SIZE];

    msg_warn("%s: %s; time left: %s, next try: %s%s", k->cache.name, why,
             left_s > 0 ? clock_format_span(left_s, left) : "none",
             needs_person(code) ? "after a login" : "in ",
             needs_person(code) ? "" : clock_format_span(pause_s, next));
}

static _Noreturn void renew_apart(struct keeper *k, const struct renew_wish *wish)
{
    int null = fd_open("/dev/null", O_RDWR), code;
    int64_t pause_s, asked_s;
    enum result result;
    struct renewal r;

    setpgid(0, 0); /* ^C is for the program */
    /* The program's input and output are its own. */
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        msg_warn("cannot open '/dev/null': %s", strerror(errno));
    renew_begin(&r, wish, command_profile(k->options), k->options->file);
    result = command_renew(k->options, &r, NULL);
    code = result_exit_code(result);
    pause_s = k->pause_ms / 1000;
    asked_s = decide_pause_s(&r.profile, clock_epoch_s());
    if (code != 0 && result != RESULT_INTERRUPTED)
        tell_failure(k, r.error.text, code, asked_s > pause_s ? asked_s : pause_s);
    renew_end(&r);
    _exit(code);
}

/* In a process of its own: the keeper goes on passing signals and watching the program. What it
 * gets reaches us through the cache. */
static void start_renewer(struct keeper *k, struct renew_wish *wish, int64_t now)
{
    int64_t quarter_ms = 1000 * profile_ttl_s(&k->profile, now) / RETRIES_LEFT;

    wish->keep_above_s += now - clock_epoch_s(); /* that is its clock */
    k->pause_ms = (int64_t)RETRY_MS << k->tries;
    if (quarter_ms > 0 && k->pause_ms > quarter_ms)
        k->pause_ms = quarter_ms > RETRY_MS ? quarter_ms : RETRY_MS;
    k->retry_ms = clock_monotonic_ms() + k->pause_ms;
    if (k->tries < RETRY_DOUBLINGS)
        k->tries++;
    k->renewer = signals_fork(false);
    if (k->renewer == 0)
        renew_apart(k, wish);
    if (k->renewer > 0)
        return;
    k->renewer = 0;
    k->failed = true;
    tell_failure(k, "cannot start a process", result_exit_code(RESULT_LOCAL), k->pause_ms / 1000);
}

static void renewer_ended(struct keeper *k, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    k->renewer = 0;
    k->gave_up = needs_person(code);
    if (code != 0) { /* counted from now on, as it has said */
        k->failed = true;
        k->retry_ms = clock_monotonic_ms() + k->pause_ms;
    }
}

/* By rename: the file may have to wait until it can be written, the program's signal with it. */
static void write_token(struct keeper *k)
{
    bool told = k->unwritten;
    struct error error;

    k->unwritten = token_file_write(&k->file, k->profile.token, &error) != RESULT_OK;
    if (k->unwritten && !told)
        msg_warn("%s: %s; next try: now and again", k->cache.name, error.text);
    if (!k->unwritten && k->signal != 0)
        kill(k->program, k->signal);
}

static void take_new_token(struct keeper *k)
{
    char expiry[COMMAND_EXPIRY_SIZE];

    if (k->failed || k->ended)
        msg_note("%s: there is a new token, %s", k->cache.name,
                 command_expiry(&k->profile, expiry));
    note_times(k);
    k->retry_ms = 0; /* RETRY_MS is for renewals that brought nothing */
    k->tries = 0;
    k->gave_up = k->failed = k->ended = false;
    write_token(k);
}

/* A profile may become a link, or one to elsewhere. */
static void follow_cache(struct keeper *k)
{
    struct cache cache;
    struct error ignored;

    if (cache_open(&cache, command_profile(k->options), k->options->file, &ignored) == RESULT_OK) {
        struct cache old = k->cache;

        k->cache = cache;
        k->cache.last_seen = old.last_seen;
        cache = old;
    }
    cache_close(&cache);
}

static void look(struct keeper *k)
{
    struct renew_wish wish = command_wish(k->options);
    struct profile profile;
    enum renew_plan plan;
    int64_t now;
    struct error error;
    const char *why;

    follow_cache(k);
    if (cache_changed(&k->cache)) {
        profile_init(&profile);
        /* A cache that cannot be read now (a logout) leaves the program what it has. */
        if (cache_read(&k->cache, &profile, &error) == RESULT_OK && profile.token != NULL) {
            struct profile old = k->profile;

            k->profile = profile;
            profile = old;
            if (strcmp(old.token, k->profile.token) != 0)
                take_new_token(k);
        }
        profile_clear(&profile);
    }
    if (k->unwritten)
        write_token(k);
    now = now_s(k);
    if (!k->ended && profile_ttl_s(&k->profile, now) == 0) {
        k->ended = true;
        msg_warn("%s: the token has ended, and there is no new one yet", k->cache.name);
    }
    if (k->renewer != 0 || clock_monotonic_ms() < k->retry_ms)
        return;
    wish.keep_above_s = threshold_s(k);
    plan = decide(&k->profile, &wish, now, &why);
    if (plan != RENEW_PLAN_KEEP && plan != RENEW_PLAN_WAIT && !k->gave_up)
        start_renewer(k, &wish, now);
}

/* ---- the program ---- */

/* Since it was asked last: by a shell's `fg`, which continues all of our process group. */
static bool was_continued(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid;
}

/* Whether the program has the signal already: what the terminal sends, it sends to all of our
 * process group; but of its end it tells the session's leader alone. */
static bool has_it(const struct keeper *k, int number, bool from_kernel)
{
    if (number == SIGCHLD)
        return from_kernel; /* nothing to do with it */
    if (getpgid(k->program) != getpgrp())
        return false;
    if (number == SIGCONT)
        return was_continued(k->program);
    return from_kernel && (number == SIGINT || number == SIGQUIT || number == SIGTSTP ||
                           number == SIGWINCH || (number == SIGHUP && getsid(0) != getpid()));
}

static void pass(struct keeper *k, int number, bool from_kernel)
{
    bool stops = number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
    /* One that made a process group of its own has there what it started: in ours, the terminal
     * would have told them all. */
    bool to_group = getpgid(k->program) == k->program &&
                    (from_kernel || stops || number == SIGCONT);
    pid_t target = to_group ? -k->program : k->program;

    k->stop_passed = stops || (k->stop_passed && number != SIGCONT);
    kill(target, number);
    if (stops && getsid(k->program) != getsid(0))
        kill(target, SIGSTOP); /* where no shell sees it, nobody is stopped by the others */
    if (number == SIGCONT)
        was_continued(k->program); /* by this one: the next is for it, too */
}

/* At first it is not so sure what the program has, and twice is better than never. */
static void pass_signals(struct keeper *k, bool at_first)
{
    bool from_kernel;
    int number;

    while ((number = signals_take(&from_kernel)) != 0) {
        if (!has_it(k, number, from_kernel) || (at_first && number != SIGCHLD))
            pass(k, number, from_kernel);
    }
}

/* True once the program has ended. As process 1 this one has children that it never started. */
static bool reap(struct keeper *k, int *status)
{
    pid_t pid;

    while ((pid = waitpid(-1, status, WNOHANG | WUNTRACED)) > 0) {
        if (pid == k->renewer && !WIFSTOPPED(*status))
            renewer_ended(k, *status);
        if (pid != k->program)
            continue;
        if (!WIFSTOPPED(*status))
            return true;
        /* As a shell would see the program stop. But who sends SIGSTOP continues it, and not us. */
        if (WSTOPSIG(*status) != SIGSTOP || k->stop_passed) {
            k->stop_passed = false;
            signals_stop();
            return false; /* what continued it comes first */
        }
    }
    return false;
}

static int run_keeping(const struct options *options, int number, struct profile *profile)
{
    struct keeper k = {.options = options,
                       .cache = {.lock_fd = -1, .temp_fd = -1, .dir_fd = -1},
                       .profile = *profile,
                       .file = {.lock_fd = -1},
                       .signal = number};
    struct error error;
    bool from_kernel;
    int code, status;

    profile_init(profile); /* the keeper has it now */
    note_times(&k);
    signals_catch_all();
    if (cache_open(&k.cache, command_profile(options), options->file, &error) != RESULT_OK ||
        token_file_open(&k.file, &k.cache, k.profile.token, &error) != RESULT_OK) {
        close_keeper(&k);
        return command_fail(&error);
    }
    k.program = signals_fork(true);
    if (k.program == 0)
        _exit(become_program(options->operands, k.profile.token, k.file.path));
    if (k.program < 0) {
        error_set(&error, RESULT_LOCAL, "cannot start a process: %s", strerror(errno));
        code = command_fail(&error);
    } else {
        pass_signals(&k, true);
        while (!reap(&k, &status)) {
            look(&k);
            signals_wait(-1, LOOK_MS);
            pass_signals(&k, false);
        }
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    close_keeper(&k);
    while (signals_take(&from_kernel) != 0)
        continue; /* too late to be passed on: how the program ended counts */
    return code;
}

int cmd_exec(const struct options *options)
{
    int number = options->signal == NULL ? 0 : signals_number(options->signal), code;
    struct renew_wish wish;
    struct renewal r;

    if (options->signal != NULL && number == 0)
        return command_misuse("--signal: no such signal: give HUP, USR1, ... or a number");
    if (options->signal != NULL && !options->keep_fresh)
        return command_misuse("--signal goes with --keep-fresh");
    unsetenv("SERVETEL_TOKEN_FILE"); /* another exec's, in which this one runs */
    if (command_fresh(options, &wish, &r) != RESULT_OK) {
        code = command_fail(&r.error);
    } else if (signals_caught()) {
        code = EXIT_NOT_RUNNABLE; /* not reached: main dies of the signal */
    } else if (options->keep_fresh) {
        code = run_keeping(options, number, &r.profile);
    } else {
        code = become_program(options->operands, r.profile.token, NULL);
    }
    renew_end(&r);
    return code;
}
