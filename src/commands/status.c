/* status: what is cached, for whom, for how long; never a token. A table for a person,
 * tab-separated columns for a pipe, JSON for a program. */
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "commands/command.h"
#include "commands/status_table.h"
#include "store/token.h"

/* ---- JSON ---- */

static void set_text(struct cJSON *json, const char *name, const char *text)
{
    if (text != NULL)
        json_set_string(json, name, text);
    else
        json_set_null(json, name);
}

static void set_time(struct cJSON *json, const char *name, int64_t value)
{
    if (value != 0)
        json_set_integer(json, name, value);
    else
        json_set_null(json, name);
}

/* Every member is always there, null when it says nothing, so that a program need not ask. */
static struct cJSON *describe(const struct status *status, int64_t now)
{
    char fingerprint[TOKEN_FINGERPRINT_SIZE];
    const struct profile *p = &status->profile;
    struct cJSON *json = json_new_object();

    json_set_string(json, "profile", status->name);
    json_set_string(json, "file", status->path);
    json_set_string(json, "state", status_state_id(status));
    json_set_bool(json, "usable", status_is_usable(status));
    set_text(json, "error", status->error.result != RESULT_OK ? status->error.text : NULL);
    set_text(json, "email", p->email);
    set_text(json, "api_url", p->api_url);
    set_text(json, "token_type", p->token_type);
    if (p->token != NULL && p->expires_at != TOKEN_NO_EXPIRY) {
        json_set_integer(json, "expires_at", p->expires_at);
        json_set_integer(json, "expires_in", profile_ttl_s(p, now));
    } else {
        json_set_null(json, "expires_at");
        json_set_null(json, "expires_in");
    }
    json_set_bool(json, "permanent", p->token != NULL && profile_is_permanent(p));
    set_time(json, "obtained_at", p->obtained_at);
    set_time(json, "logged_in_at", p->logged_in_at);
    set_time(json, "blacklisted_at", p->blacklisted_at);
    json_set_bool(json, "in_doubt", status->in_doubt);
    set_time(json, "retry_at", p->retry_at);
    set_time(json, "password_expires_at", p->password_expires_at);
    set_text(json, "source", status_source(p));
    set_text(json, "unattended_login", p->unattended_login);
    set_time(json, "unattended_login_at", p->unattended_login_at);
    if (p->token != NULL)
        token_fingerprint(p->token, fingerprint);
    set_text(json, "fingerprint", p->token != NULL ? fingerprint : NULL);
    return json;
}

static int print_json(const struct status *list, size_t count, int64_t now)
{
    struct cJSON *json = json_new_object();
    char *text;
    int code;

    json_set_array(json, "profiles");
    for (size_t i = 0; i < count; i++)
        json_add_to_array(json, "profiles", describe(&list[i], now));
    text = json_print(json);
    code = command_print(text);
    mem_free(text);
    json_delete(json);
    return code;
}

/* Where stdout is no terminal, what the notes would say goes to stderr. */
static void warn(const struct status *status, int64_t now)
{
    char when[CLOCK_TEXT_SIZE], text[PROFILE_PASSWORD_TEXT_SIZE];
    const char *password = profile_password_text(&status->profile, now, text);
    char *warning = status_warning(status);

    if (status->error.result != RESULT_OK)
        msg_error("%s", status->error.text);
    if (warning != NULL)
        msg_warn("%s: %s", status->name, warning);
    mem_free(warning);
    if (profile_login_was_refused(&status->profile)) {
        char *command = cache_login_command(status->name, status->path, &status->profile);

        msg_warn("unattended login refused for '%s' on %s: correct the password at its source, "
                 "then run %s",
                 status->name, clock_format(status->profile.unattended_login_at, when), command);
        mem_free(command);
    }
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
    enum result worst = count > 0 ? RESULT_OK : RESULT_NO_TOKEN;
    int code;

    for (size_t i = 0; i < count; i++) {
        if (!status_is_usable(&list[i]))
            worst = result_worse(worst, list[i].error.result == RESULT_LOCAL ? RESULT_LOCAL
                                                                             : RESULT_NO_TOKEN);
        if (options->json || !isatty(STDOUT_FILENO))
            warn(&list[i], now);
    }
    if (count == 0)
        msg_note("no token is cached: run servetel-auth login");
    code = options->json ? print_json(list, count, now) : print_text(list, count, now);
    for (size_t i = 0; i < count; i++)
        status_clear(&list[i]);
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
        status_read(&one, command_profile(options), options->file, now);
        return show(options, &one, 1, now);
    }
    if (cache_list(&names, &count, &error) != RESULT_OK)
        return command_fail(&error);
    list = mem_new((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        status_read(&list[i], names[i], NULL, now);
        mem_free(names[i]);
    }
    mem_free(names);
    code = show(options, list, count, now);
    mem_free(list);
    return code;
}
