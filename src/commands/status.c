/* SPDX-License-Identifier: MIT */
/* status: what is cached, for whom, for how long; never a token. A table for a person,
 * tab-separated columns for a pipe, JSON for a program. */
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "commands/command.h"
#include "commands/status_table.h"
#include "renewal/decide.h"
#include "store/advice.h"
#include "store/lock.h"
#include "store/token.h"

/* ---- one profile ---- */

/* name or file as for cache_open; now is the epoch's second of the whole listing. */
static void read_status(struct status *status, const char *name, const char *file, int64_t now)
{
    struct cache cache;
    bool readable;

    profile_init(&status->profile);
    status->error.result = RESULT_OK;
    readable = cache_open(&cache, name, file, &status->error) == RESULT_OK &&
               cache_read(&cache, &status->profile, &status->error) == RESULT_OK;
    status->name = mem_copy(cache.name);
    status->path = mem_copy(cache.path);
    status->state = profile_state(&status->profile, now);
    status->in_doubt = readable && cache_token_is_in_doubt(&cache, status->profile.token, 0);
    cache_close(&cache);
}

static void clear_status(struct status *status)
{
    mem_free(status->name);
    mem_free(status->path);
    profile_clear(&status->profile);
}

char *status_warning(const struct status *status)
{
    const struct profile *p = &status->profile;
    bool renews = profile_has_source(p), lasts = profile_ttl_s(p, clock_epoch_s()) > 0;
    char *command = advice_login_command(status->name, status->path, p);
    char *run = mem_join(lasts ? ": then run " : ": run ", command), *text = NULL;
    const char *next = profile_login_was_refused(p) ? "" /* which is said already */
                       : renews                     ? ": the next refresh logs in"
                                                    : run;
    char when[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];

    if (p->blacklisted_at != 0)
        text = mem_format("the service said on %s that the token is blacklisted%s",
                          clock_format(p->blacklisted_at, when), next);
    else if (p->refused_at != 0)
        text = mem_format("the service refused on %s to renew the token%s%s%s",
                          clock_format(p->refused_at, when), lasts ? ", which lasts until " : "",
                          lasts ? clock_format(p->expires_at, until) : "", next);
    else if (status->in_doubt)
        text = mem_format("a refresh ended without a clear answer, so the token is perhaps "
                          "spent: if the next one is refused, %s%s",
                          renews ? "it logs in" : "run ", renews ? "" : command);
    mem_free(command);
    mem_free(run);
    return text;
}

bool status_is_usable(const struct status *status)
{
    return status->error.result == RESULT_OK &&
           (status->state == PROFILE_VALID || status->state == PROFILE_EXPIRES_SOON ||
            status->state == PROFILE_RENEWABLE);
}

/* For a person, and for a program. */
static const struct state_name {
    const char *words, *id;
} state_names[] = {
    [PROFILE_EMPTY] = {"no token", "no_token"},
    [PROFILE_VALID] = {"valid", "valid"},
    [PROFILE_EXPIRES_SOON] = {"expires soon", "expires_soon"},
    [PROFILE_RENEWABLE] = {"expired, renewable", "renewable"},
    [PROFILE_LOGIN_NEEDED] = {"login needed", "login_needed"},
};
/* No token either, but a password. */
static const struct state_name obtainable = {"no token, renewable", "renewable"};

static const struct state_name *state_name(const struct status *status)
{
    static const struct state_name unusable = {"unusable", "unusable"};

    if (status->error.result == RESULT_NO_TOKEN)
        return &state_names[PROFILE_EMPTY];
    if (status->error.result != RESULT_OK)
        return &unusable;
    if (status->state == PROFILE_RENEWABLE && status->profile.token == NULL)
        return &obtainable;
    return &state_names[status->state];
}

const char *status_state(const struct status *status)
{
    return state_name(status)->words;
}

/* What this profile makes of the exit code. */
static enum result status_result(const struct status *status)
{
    if (status_is_usable(status))
        return RESULT_OK;
    return status->error.result == RESULT_LOCAL ? RESULT_LOCAL : RESULT_NO_TOKEN;
}

const char *status_source(const struct profile *p)
{
    return p->token_command != NULL      ? "token command"
           : p->password_command != NULL ? "password command"
           : p->password_file != NULL    ? "password file"
                                         : NULL;
}

/* ---- JSON ---- */

static void set_time(struct cJSON *json, const char *name, int64_t value)
{
    if (value != 0)
        json_set_integer(json, name, value);
    else
        json_set_string(json, name, NULL);
}

static struct cJSON *status_json(const struct status *status, int64_t now)
{
    const struct profile *p = &status->profile;
    struct cJSON *json = command_json(status->name, status->path, p, now);

    command_json_result(json, status_result(status),
                        status->error.result != RESULT_OK ? status->error.text : NULL);
    json_set_string(json, "state", state_name(status)->id);
    json_set_bool(json, "usable", status_is_usable(status));
    set_time(json, "obtained_at", p->obtained_at);
    set_time(json, "logged_in_at", p->logged_in_at);
    set_time(json, "refused_at", p->refused_at);
    set_time(json, "blacklisted_at", p->blacklisted_at);
    json_set_bool(json, "in_doubt", status->in_doubt);
    set_time(json, "retry_at", decide_pause_s(p, now) > 0 ? p->retry_at : 0);
    set_time(json, "password_expires_at", p->password_expires_at);
    json_set_string(json, "source", status_source(p));
    json_set_string(json, "unattended_login", p->unattended_login);
    set_time(json, "unattended_login_at", p->unattended_login_at);
    return json;
}

static int print_json(const struct status *list, size_t count, int64_t now, enum result result,
                      const char *error)
{
    struct cJSON *json = json_new_object();

    json_set_array(json, "profiles");
    for (size_t i = 0; i < count; i++)
        json_add_to_array(json, "profiles", status_json(&list[i], now));
    command_json_result(json, result, error);
    return command_print_json(json);
}

/* Where stdout is no terminal, what the notes would say goes to stderr. */
static void warn(const struct status *status, int64_t now)
{
    char *refused = advice_refused_password(status->name, status->path, &status->profile);
    char text[PROFILE_PASSWORD_TEXT_SIZE];
    const char *password = profile_password_text(&status->profile, now, text);
    char *warning = status_warning(status);

    if (status->error.result != RESULT_OK)
        msg_error("%s", status->error.text);
    if (warning != NULL)
        msg_warn("%s: %s", status->name, warning);
    mem_free(warning);
    if (refused != NULL)
        msg_warn("%s: %s", status->name, refused);
    mem_free(refused);
    if (password != NULL)
        msg_warn("the password of '%s' %s: change it and log in again", status->name, password);
}

static int print_text(const struct status *list, size_t count, int64_t now)
{
    struct buffer out = BUFFER(64 * 1024 * 1024); /* far beyond thousands of profiles */
    struct error error;
    enum result result;

    if (isatty(STDOUT_FILENO))
        status_table(&out, list, count, now);
    else
        status_columns(&out, list, count, now);
    result = command_write(buffer_text(&out), out.len, &error);
    buffer_clear(&out);
    return result == RESULT_OK ? 0 : command_fail(&error);
}

static int show(const struct options *options, struct status *list, size_t count, int64_t now)
{
    static const char none[] = "no token is cached: run servetel-auth login";
    enum result worst = count > 0 ? RESULT_OK : RESULT_NO_TOKEN;
    int code;

    for (size_t i = 0; i < count; i++) {
        worst = result_worse(worst, status_result(&list[i]));
        if (options->json || !isatty(STDOUT_FILENO))
            warn(&list[i], now);
    }
    if (count == 0)
        msg_note("%s", none);
    code = options->json ? print_json(list, count, now, worst, count == 0 ? none : NULL)
                         : print_text(list, count, now);
    for (size_t i = 0; i < count; i++)
        clear_status(&list[i]);
    return code != 0 ? code : result_exit_code(worst);
}

int cmd_status(const struct options *options)
{
    int64_t now = clock_epoch_s();
    struct status one, *list;
    struct error error;
    size_t count;
    char **names;
    int code;

    if (options->profile != NULL || options->file != NULL) {
        read_status(&one, command_profile(options), options->file, now);
        return show(options, &one, 1, now);
    }
    if (cache_list(&names, &count, &error) != RESULT_OK) {
        code = options->json ? print_json(NULL, 0, now, error.result, error.text) : 0;
        return code != 0 ? code : command_fail(&error);
    }
    list = mem_new((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        read_status(&list[i], names[i], NULL, now);
        mem_free(names[i]);
    }
    mem_free(names);
    code = show(options, list, count, now);
    mem_free(list);
    return code;
}
