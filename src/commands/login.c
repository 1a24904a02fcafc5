/* SPDX-License-Identifier: MIT */
/* login: a password or a token from wherever it comes, then one renewal that logs in or imports. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/process.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "input/child.h"
#include "input/source.h"
#include "renewal/decide.h"
#include "store/advice.h"

/* What login works with, beyond the options. */
struct login {
    const struct options *options;
    struct renew_wish wish;
    struct renewal r;            /* until it is run, its profile is what was cached before */
    struct buffer email, secret; /* the password or the token */
    char *password_file;         /* absolute */
    char *token_command;
};

/* What is cached now, if it can be used: the e-mail, the API, a remembered source. */
static enum result read_before(struct login *login)
{
    struct cache *cache = &login->r.cache;

    if (login->r.error.result != RESULT_OK) /* renew_begin()'s */
        return login->r.error.result;
    if (cache_read(cache, &login->r.profile, &login->r.error) == RESULT_LOCAL &&
        (!cache->is_ours || cache->is_later) && !login->options->no_cache)
        return RESULT_LOCAL;
    return login->r.error.result = RESULT_OK;
}

/* A person's time does not count. */
static enum result ask_person(struct login *login, const char *prompt, bool echo,
                              struct buffer *answer)
{
    int64_t asked_ms = clock_monotonic_ms();
    enum result result = source_ask(prompt, echo, answer, &login->r.error);

    login->r.deadline_ms += clock_monotonic_ms() - asked_ms;
    return result;
}

static enum result find_email(struct login *login)
{
    const char *given = login->options->email, *cached = login->r.profile.email;

    if (given == NULL && cached != NULL) {
        buffer_put(&login->email, cached); /* which is read again */
    } else if (given == NULL) {
        enum result result = ask_person(login, "Login ID (e-mail): ", true, &login->email);

        if (result == RESULT_USAGE || (result == RESULT_OK && login->email.len == 0))
            return error_set(&login->r.error, RESULT_USAGE,
                             "no login ID was given: give --email, or log in at a terminal");
        if (result != RESULT_OK)
            return result;
    }
    login->wish.email = given != NULL ? given : buffer_text(&login->email);
    if (!text_is_utf8(login->wish.email)) /* JSON texts are: it could not be sent as it is */
        return error_set(&login->r.error, RESULT_USAGE, "the login ID is not UTF-8 text");
    return RESULT_OK;
}

/* What a shell's <(...) gives cannot be read again, and /dev/stdin is another's then. Of the others
 * the whole path is remembered: cron starts elsewhere. */
static enum result read_password_file(struct login *login, const char *path,
                                      struct buffer *password)
{
    struct source_file file;

    if (source_read_file(path, login->r.deadline_ms, password, &file, &login->r.error) != RESULT_OK)
        return login->r.error.result;
    if (file.exposed)
        command_warn_exposed(path);
    if (!file.regular || strcmp(path, "/dev/stdin") == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
        strncmp(path, "/proc/", 6) == 0)
        return RESULT_OK;
    login->wish.password_file = login->password_file = process_absolute_path(path);
    if (login->password_file != NULL)
        return RESULT_OK;
    return error_set(&login->r.error, RESULT_LOCAL,
                     "cannot tell where the password file '%s' is: give its whole path", path);
}

/* A remembered source is another's if the account or the host is another. */
static bool is_same_account(const struct login *login)
{
    return login->r.profile.email != NULL &&
           profile_is_of(&login->r.profile, login->wish.email,
                         profile_api_url(&login->r.profile, login->wish.api_url));
}

/* The remembered password of this account was refused, and none was accepted since. */
static bool is_guarded(const struct login *login)
{
    return is_same_account(login) &&
           text_is(login->r.profile.unattended_login, PROFILE_LOGIN_REFUSED);
}

static enum result ask_password(struct login *login)
{
    bool was_refused = !login->options->forget_source && !login->options->no_cache &&
                       is_guarded(login);
    OWNED char *host = command_host(&login->r.profile, login->wish.api_url);
    OWNED char *prompt = mem_format("Password of %s at %s%s: ", login->wish.email, host,
                                    was_refused ? " (the remembered one was refused)" : "");
    enum result result = ask_person(login, prompt, false, &login->secret);

    if (result == RESULT_USAGE && was_refused) {
        error_set(&login->r.error, RESULT_REFUSED, "no password");
        return advice_append_login(&login->r.error, login->r.cache.name, login->r.cache.path,
                                   &login->r.profile);
    }
    if (result == RESULT_USAGE)
        return error_set(&login->r.error, RESULT_USAGE,
                         "no password: give --password-stdin, --password-file or "
                         "--password-command, or log in at a terminal");
    login->wish.person_waits = true;
    return result;
}

static enum result choose_password(struct login *login)
{
    const struct options *o = login->options;
    const struct profile *before = &login->r.profile;
    const char *what = "the password";
    enum result result;

    login->wish.password = &login->secret;
    if (o->password_stdin) {
        what = "the password on stdin";
        result = source_read(STDIN_FILENO, SOURCE_LINE, what, login->r.deadline_ms, &login->secret,
                             &login->r.error);
    } else if (o->password_file != NULL) {
        return read_password_file(login, o->password_file, &login->secret);
    } else if (o->password_command != NULL) {
        login->wish.password_command = o->password_command;
        what = "the output of the password command";
        result = source_run(o->password_command, "the password command", login->r.cache.name,
                            login->r.deadline_ms, &login->secret, &login->r.error);
    } else if (!o->forget_source && !o->no_cache && is_same_account(login) &&
               before->token_command == NULL && profile_has_source(before)) {
        /* But not what was refused. Without the cache a refusal could not be noted. */
        login->wish.password = NULL; /* the renewal finds it */
        return RESULT_OK;
    } else {
        result = ask_password(login);
    }
    return result == RESULT_OK ? source_check(&login->secret, what, &login->r.error) : result;
}

/* command: NULL for stdin. */
static enum result find_token(struct login *login, const char *command)
{
    AT_END(buffer_clear) struct buffer password = BUFFER(PASSWORD_LENGTH_MAX);
    const char *password_file = login->options->password_file;
    struct error *error = &login->r.error;
    enum result result;

    login->wish.goal = RENEW_GOAL_IMPORT;
    login->wish.token = &login->secret;
    login->wish.email = login->options->email;
    login->wish.password_command = login->options->password_command;
    login->wish.token_command = login->token_command = mem_copy(command);
    if (password_file != NULL && read_password_file(login, password_file, &password) != RESULT_OK)
        return error->result;
    if (command == NULL)
        return command_read_token(&login->r, &login->secret);
    result = source_run(command, "the token command", login->r.cache.name, login->r.deadline_ms,
                        &login->secret, error);
    if (result == RESULT_OK &&
        token_clean(&login->secret, "the output of the token command", error) != RESULT_OK)
        result = error->result = RESULT_LOCAL; /* a source failed, the call was right */
    return result;
}

static void tell(const struct renewal *r)
{
    const struct profile *p = &r->profile;
    char expiry[COMMAND_EXPIRY_SIZE];
    OWNED char *host = command_host(p, r->wish->api_url);

    if (r->outcome.replaced_why != NULL)
        msg_warn("%s: it is replaced", r->outcome.replaced_why);
    if (r->wish->goal == RENEW_GOAL_LOGIN)
        msg_note("logged in to %s as %s; the token lasts %s", host, p->email,
                 command_expiry(p, expiry));
    else if (profile_ttl_s(p, clock_epoch_s()) == 0)
        msg_warn("the token taken for '%s' has expired already", r->cache.name);
    else
        msg_note("took the token of '%s' for %s; it lasts %s", r->cache.name, host,
                 command_expiry(p, expiry));
}

static int log_in_or_import(struct login *login)
{
    const struct options *o = login->options;
    struct renewal *r = &login->r;
    OWNED char *host = command_host(&r->profile, login->wish.api_url);
    char when[CLOCK_TEXT_SIZE];
    bool was_guarded = is_guarded(login);
    int64_t refused_at = r->profile.unattended_login_at;
    enum result result;
    int code = 0;

    if (login->wish.goal == RENEW_GOAL_LOGIN && login->wish.person_waits &&
        is_same_account(login) && decide_pause_s(&r->profile, clock_epoch_s()) > 0 &&
        !decide_pause_is_own(&r->profile))
        msg_warn("the service asked to be left alone until %s",
                 clock_format(r->profile.retry_at, when));
    result = command_renew(o, r, host);
    if (result != RESULT_OK) {
        code = command_fail(&r->error);
    } else {
        tell(r);
        if (login->wish.goal == RENEW_GOAL_LOGIN && login->wish.password_file == NULL &&
            login->wish.password_command == NULL && was_guarded && profile_has_source(&r->profile))
            msg_warn("the remembered password was refused on %s: if it is not this one, correct it "
                     "at its source, or login --forget-source",
                     clock_format(refused_at, when));
        command_warn(r);
    }
    /* A token that is stored but perhaps not on the disk is printed all the same. */
    if ((o->print || o->no_cache) && (result == RESULT_OK || r->outcome.stored)) {
        int printed = command_print(r->profile.token);

        code = code != 0 ? code : printed;
    }
    if (!login->wish.no_cache)
        token_file_sweep(&r->cache);
    return code;
}

int cmd_login(const struct options *options)
{
    struct login login = {
        .options = options,
        .wish = command_wish(options),
        .email = BUFFER(PASSWORD_LENGTH_MAX),
        .secret = BUFFER(CHILD_LINE_MAX),
    };
    const char *token_command = options->token_command;
    bool has_source = options->password_stdin || options->password_file != NULL ||
                      options->password_command != NULL;
    enum result result;
    int code;

    if (options->token_stdin && (options->password_stdin || token_command != NULL))
        return command_misuse(
            "--token-stdin goes with neither --password-stdin nor --token-command");
    if (token_command != NULL && has_source)
        return command_misuse("a profile with a --token-command has no password source");
    signals_catch(); /* a password command must not outlive us */
    login.wish.goal = RENEW_GOAL_LOGIN;
    login.wish.person_waits = isatty(STDERR_FILENO);
    login.wish.no_cache = options->no_cache;
    login.wish.forget_source = options->forget_source;
    renew_begin(&login.r, &login.wish, command_profile(options), options->file);
    result = read_before(&login);
    if (token_command == NULL && options->email == NULL && !has_source && !options->forget_source &&
        profile_is_of(&login.r.profile, NULL, options->api_url))
        token_command = login.r.profile.token_command;
    if (result == RESULT_OK && (options->token_stdin || token_command != NULL)) {
        result = find_token(&login, options->token_stdin ? NULL : token_command);
    } else if (result == RESULT_OK && (result = find_email(&login)) == RESULT_OK) {
        result = choose_password(&login);
    }
    code = result == RESULT_OK ? log_in_or_import(&login) : command_fail(&login.r.error);
    renew_end(&login.r);
    buffer_clear(&login.email);
    buffer_clear(&login.secret);
    mem_free(login.password_file);
    mem_free(login.token_command);
    return code;
}
