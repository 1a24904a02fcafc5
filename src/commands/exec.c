/* SPDX-License-Identifier: MIT */
/* exec: a program with a fresh token in its environment and, with --keep-fresh, in a file. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
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
/* How often the cache is looked at: once another process has renewed it, the old one is no good. */
#define CACHE_LOOK_MS 200
/* A renewal that failed is tried again after this, then twice that, to ten minutes, but at least
 * four times in what is left of the token's life. Each one warns, and has --timeout for itself. */
#define RETRY_MS 5000
#define RETRY_MAX_MS 600000
#define RETRIES_LEFT 4
/* How long a renewer may take to end, and how often that is looked at. */
#define RENEWER_END_MS 10000
#define RENEWER_LOOK_MS 10

extern char **environ;

/* file: SERVETEL_TOKEN_FILE, or NULL. Returns, with the exit code for it, only if that fails. */
static int become_program(char **argv, const char *token, const char *file)
{
    OWNED char *token_variable = mem_join("SERVETEL_TOKEN=", token);
    OWNED char *file_variable = file == NULL ? NULL : mem_join("SERVETEL_TOKEN_FILE=", file);
    const char *extra[] = {token_variable, file_variable, NULL};
    OWNED char **environment = child_environment(extra);
    char **before = environ;
    int number;

    environ = environment;
    process_restore();
    signals_die(); /* of what came until now; what comes from here on acts by itself */
    execvp(argv[0], argv);
    number = errno;
    environ = before;
    msg_error("cannot run '%s': %s", argv[0], strerror(number));
    return number == ENOENT || number == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE;
}

/* ---- keeping it fresh ---- */

struct keeper {
    const struct options *options;
    const char *name;          /* the profile's, or its file */
    struct profile *profile;   /* whose token is in the file */
    struct stat last_seen;     /* of the cache */
    int64_t taken_s, taken_ms; /* when the token was had, by both clocks */
    struct token_file file;
    bool unwritten;         /* but could not be written there */
    int signal;             /* tells the program that it is; 0: nothing does */
    pid_t program, renewer; /* 0 when none runs */
    bool stop_passed;       /* to the program, which has not stopped since */
    int64_t pause_ms;       /* after a renewal that failed; 0 for a new token */
    int64_t retry_ms;       /* monotonic: no renewal before */
    bool failed, ended;     /* what was told: a renewal has failed, the token has ended */
};

/* A clock that was set back meanwhile makes no token last longer. */
static int64_t now_s(const struct keeper *k)
{
    int64_t now = clock_epoch_s();
    int64_t least = k->taken_s + (clock_monotonic_ms() - k->taken_ms) / 1000;

    return now > least ? now : least;
}

/* Well before the end: a third of the life, so that a renewal may fail some times; more if
 * --min-ttl says so, but not as much as a new token has: that would be one after the other. */
static int64_t threshold_s(const struct keeper *k)
{
    const struct profile *p = k->profile;
    int64_t min_ttl_s = k->options->min_ttl_s != OPTION_UNSET ? k->options->min_ttl_s
                                                              : profile_default_min_ttl_s(p);
    int64_t third_s = profile_is_permanent(p) ? 0 : (p->expires_at - p->obtained_at) / 3;

    if (third_s == 0 || (min_ttl_s > third_s && min_ttl_s < 2 * third_s))
        return min_ttl_s;
    return min_ttl_s > third_s ? 2 * third_s : third_s;
}

static bool needs_person(enum result result)
{
    return result == RESULT_NO_TOKEN || result == RESULT_REFUSED;
}

/* Says why there is no new token, and what will come of it. */
static void tell_failure(const struct keeper *k, const char *why, enum result result,
                         int64_t pause_s)
{
    int64_t left_s = profile_ttl_s(k->profile, now_s(k));
    char left[CLOCK_TEXT_SIZE], next[CLOCK_TEXT_SIZE];

    msg_warn("%s: %s; time left: %s, next try: %s%s", k->name, why,
             left_s > 0 ? clock_format_span(left_s, left) : "none",
             needs_person(result) ? "after a login" : "in ",
             needs_person(result) ? "" : clock_format_span(pause_s, next));
}

/* In a process of its own: the keeper goes on watching. What it gets comes through the cache. */
static _Noreturn void renew_apart(const struct keeper *k, const struct renew_wish *wish)
{
    int64_t pause_s = k->pause_ms / 1000, asked_s;
    enum result result;
    struct renewal r;

    setsid();                 /* the terminal and its ^C are the program's */
    signal(SIGTERM, SIG_DFL); /* ours, whatever was ignored */
    close(k->file.lock_fd);   /* the keeper's alone: it tells that it lives */
    renew_begin(&r, wish, command_profile(k->options), k->options->file);
    result = command_renew(k->options, &r, NULL);
    asked_s = decide_pause_is_own(&r.profile) ? 0 : decide_pause_s(&r.profile, clock_epoch_s());
    if (result != RESULT_OK && result != RESULT_INTERRUPTED)
        tell_failure(k, r.error.text, result, asked_s > pause_s ? asked_s : pause_s);
    renew_end(&r);
    process_end((int)result);
}

static void renewer_ended(struct keeper *k, enum result result)
{
    k->renewer = 0;
    if (result == RESULT_OK || k->pause_ms == 0) /* another token came meanwhile */
        return;
    k->failed = true;
    /* Counted from now on, as it has said. */
    k->retry_ms = needs_person(result) ? INT64_MAX : clock_monotonic_ms() + k->pause_ms;
}

static void start_renewer(struct keeper *k, struct renew_wish *wish, int64_t now)
{
    int64_t most_ms = 1000 * profile_ttl_s(k->profile, now) / RETRIES_LEFT;

    wish->keep_above_s += now - clock_epoch_s(); /* that is its clock */
    if (most_ms == 0 || most_ms > RETRY_MAX_MS)
        most_ms = RETRY_MAX_MS;
    k->pause_ms = k->pause_ms * 2 < most_ms ? k->pause_ms * 2 : most_ms;
    if (k->pause_ms < RETRY_MS)
        k->pause_ms = RETRY_MS;
    k->retry_ms = clock_monotonic_ms() + k->pause_ms;
    k->renewer = signals_fork();
    if (k->renewer == 0)
        renew_apart(k, wish);
    if (k->renewer < 0) {
        tell_failure(k, "cannot start a process", RESULT_LOCAL, k->pause_ms / 1000);
        renewer_ended(k, RESULT_LOCAL);
    }
}

/* One that was sent has two seconds for its answer (api.h) and some more to store it. None outlives
 * the keeper, who may be a container's first process: one that ignores SIGTERM is killed. */
static void end_renewer(const struct keeper *k)
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
}

/* By rename: the file may have to wait until it can be written, the program's signal with it. */
static void write_token(struct keeper *k)
{
    bool told = k->unwritten;
    struct error error;

    k->unwritten = token_file_write(&k->file, k->profile->token, &error) != RESULT_OK;
    if (k->unwritten && !told)
        msg_warn("%s: %s; next try: now and again", k->name, error.text);
    if (!k->unwritten && k->signal != 0)
        kill(k->program, k->signal);
}

static void take_new_token(struct keeper *k)
{
    char expiry[COMMAND_EXPIRY_SIZE];

    if (k->failed || k->ended)
        msg_note("%s: there is a new token, %s", k->name, command_expiry(k->profile, expiry));
    k->taken_s = clock_epoch_s();
    k->taken_ms = clock_monotonic_ms();
    k->pause_ms = k->retry_ms = 0;
    k->failed = k->ended = false;
    write_token(k);
}

/* The cache is opened anew: a profile may become a link, or one to elsewhere. One that cannot be
 * read now (a logout) leaves the program what it has. */
static void look_at_cache(struct keeper *k)
{
    AT_END(profile_clear) struct profile profile = PROFILE_NONE;
    AT_END(cache_close) struct cache cache;
    struct profile old;
    struct error ignored;

    if (cache_open(&cache, command_profile(k->options), k->options->file, &ignored) != RESULT_OK)
        return;
    cache.last_seen = k->last_seen;
    if (cache_changed(&cache) && cache_read(&cache, &profile, &ignored) == RESULT_OK &&
        profile.token != NULL && profile_is_of(&profile, NULL, k->options->api_url)) {
        if (k->last_seen.st_ino == 0)
            k->retry_ms = 0; /* that it was away may be why a renewal failed */
        old = *k->profile;
        *k->profile = profile;
        profile = old;
        if (strcmp(old.token, k->profile->token) != 0)
            take_new_token(k);
    }
    k->last_seen = cache.last_seen;
}

static void look(struct keeper *k)
{
    struct renew_wish wish = command_wish(k->options);
    enum renew_plan plan;
    const char *why;
    int64_t now;

    look_at_cache(k);
    if (k->unwritten)
        write_token(k);
    now = now_s(k);
    if (!k->ended && profile_ttl_s(k->profile, now) == 0) {
        k->ended = true;
        msg_warn("%s: the token has ended, and there is no new one yet", k->name);
    }
    wish.keep_above_s = threshold_s(k);
    plan = decide(k->profile, &wish, now, &why);
    if (k->renewer == 0 && clock_monotonic_ms() >= k->retry_ms && plan != RENEW_PLAN_KEEP &&
        plan != RENEW_PLAN_WAIT)
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
    /* What it started is in its own group, if it made one: in ours, the terminal tells them all. */
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
            renewer_ended(k,
                          WIFEXITED(*status) ? (enum result)WEXITSTATUS(*status) : RESULT_FAILED);
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

/* Returns the program's exit code, as the shell says it. */
static int watch_program(struct keeper *k)
{
    int status;

    pass_signals(k, true);
    while (!reap(k, &status)) {
        look(k);
        signals_wait(-1, CACHE_LOOK_MS);
        pass_signals(k, false);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_keeping(const struct options *options, int number, struct renewal *r)
{
    struct keeper k = {.options = options,
                       .name = r->cache.name,
                       .profile = &r->profile,
                       .last_seen = r->cache.last_seen,
                       .taken_s = clock_epoch_s(),
                       .taken_ms = clock_monotonic_ms(),
                       .signal = number};
    struct error error;
    enum result result;
    bool from_kernel;
    int code;

    signals_catch_all();
    result = token_file_open(&k.file, &r->cache, r->profile.token, &error);
    if (result == RESULT_OK && (k.program = signals_fork()) < 0)
        result = error_set(&error, RESULT_LOCAL, "cannot start a process: %s", strerror(errno));
    if (result == RESULT_OK && k.program == 0)
        _exit(become_program(options->operands, r->profile.token, k.file.path));
    code = result == RESULT_OK ? watch_program(&k) : command_fail(&error);
    end_renewer(&k);
    token_file_close(&k.file);
    while (signals_take(&from_kernel) != 0)
        continue; /* too late to be passed on: how the program ended counts */
    return code;
}

int cmd_exec(const struct options *options)
{
    int number = options->signal == NULL ? 0 : signals_number(options->signal);
    struct renew_wish wish;

    if (options->signal != NULL && number == 0)
        return command_misuse("--signal: no such signal: give HUP, USR1, ... or a number");
    if (options->signal != NULL && !options->keep_fresh)
        return command_misuse("--signal goes with --keep-fresh");
    unsetenv("SERVETEL_TOKEN_FILE"); /* another exec's, in which this one runs */
    AT_END(renew_end) struct renewal r;
    if (command_fresh(options, &wish, &r) != RESULT_OK)
        return command_fail(&r.error);
    if (signals_caught())
        return EXIT_NOT_RUNNABLE; /* not reached: main dies of the signal */
    return options->keep_fresh ? run_keeping(options, number, &r)
                               : become_program(options->operands, r.profile.token, NULL);
}
