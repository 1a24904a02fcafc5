/* SPDX-License-Identifier: MIT */
/* status: what is cached, for whom, for how long; never a token. A table for a person,
 * tab-separated columns for a pipe, JSON for a program, gauges for Prometheus. */
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "commands/command.h"
#include "commands/status.h"
#include "renewal/decide.h"
#include "store/lock.h"

/* ---- one profile ---- */

static void read_status(struct status *status, const struct options *options, const char *name,
                        int64_t now)
{
    AT_END(cache_close) struct cache cache;
    bool readable;

    status->now = now;
    status->profile = PROFILE_NONE;
    readable = cache_open(&cache, name, options->file, &status->error) == RESULT_OK &&
               cache_read(&cache, &status->profile, &status->error) == RESULT_OK;
    status->name = mem_copy(cache.name);
    status->path = mem_copy(cache.path);
    status->state = profile_state(&status->profile, now);
    status->log_in_by = status->error.result == RESULT_LOCAL
                            ? 0
                            : profile_log_in_by(&status->profile, now);
    status->ends_early = options->min_ttl_s != OPTION_UNSET && readable &&
                         profile_ttl_s(&status->profile, now) <= options->min_ttl_s;
    status->in_doubt = readable && cache_token_is_in_doubt(&cache, status->profile.token, 0);
}

bool status_is_usable(const struct status *status)
{
    return status->error.result == RESULT_OK &&
           (status->state == PROFILE_VALID || status->state == PROFILE_EXPIRES_SOON ||
            status->state == PROFILE_RENEWABLE);
}

const char *status_state(const struct status *status)
{
    static const char *const names[] = {
        [PROFILE_EMPTY] = "no_token",
        [PROFILE_VALID] = "valid",
        [PROFILE_EXPIRES_SOON] = "expires_soon",
        [PROFILE_RENEWABLE] = "renewable",
        [PROFILE_LOGIN_NEEDED] = "login_needed",
    };

    if (status->error.result == RESULT_NO_TOKEN)
        return names[PROFILE_EMPTY];
    return status->error.result != RESULT_OK ? "unusable" : names[status->state];
}

/* What this profile makes of the exit code. */
static enum result status_result(const struct status *status)
{
    if (status_is_usable(status) && !status->ends_early)
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

static struct cJSON *status_json(const struct status *status)
{
    const struct profile *p = &status->profile;
    struct cJSON *json = command_json(status->name, status->path, p, status->now);

    command_json_result(json, status_result(status),
                        status->error.result != RESULT_OK ? status->error.text : NULL);
    json_set_string(json, "state", status_state(status));
    json_set_bool(json, "usable", status_is_usable(status));
    set_time(json, "log_in_by", status->log_in_by);
    set_time(json, "obtained_at", p->obtained_at);
    set_time(json, "logged_in_at", p->logged_in_at);
    set_time(json, "refused_at", p->refused_at);
    set_time(json, "blacklisted_at", p->blacklisted_at);
    json_set_bool(json, "in_doubt", status->in_doubt);
    set_time(json, "retry_at", decide_pause_s(p, status->now) > 0 ? p->retry_at : 0);
    set_time(json, "password_expires_at", p->password_expires_at);
    json_set_string(json, "source", status_source(p));
    json_set_string(json, "unattended_login", p->unattended_login);
    set_time(json, "unattended_login_at", p->unattended_login_at);
    return json;
}

static int print_json(const struct status *list, size_t count, enum result result,
                      const char *error)
{
    struct cJSON *json = json_new_object();

    json_set_array(json, "profiles");
    for (size_t i = 0; i < count; i++)
        json_add_to_array(json, "profiles", status_json(&list[i]));
    command_json_result(json, result, error);
    return command_print_json(json);
}

/* ---- for node_exporter ---- */

#define UNKNOWN (-1)
#define NEVER TOKEN_NO_EXPIRY

static const struct gauge {
    const char *name, *help;
} gauges[] = {
    {"token_expiry_timestamp_seconds", "When the cached token ends, or ended."},
    {"login_by_timestamp_seconds", "By when a person has to log in."},
    {"profile_usable", "Whether the profile can be used without a person."},
    {"password_expiry_timestamp_seconds", "When the password ends, by the service's policy."},
};
#define GAUGES (sizeof gauges / sizeof gauges[0])

static int64_t gauge_value(size_t gauge, const struct status *status)
{
    const struct profile *p = &status->profile;
    const int64_t values[GAUGES] = {
        p->token == NULL         ? UNKNOWN
        : p->blacklisted_at != 0 ? p->blacklisted_at
                                 : p->expires_at,
        status->error.result == RESULT_LOCAL ? UNKNOWN
        : status->log_in_by == 0             ? NEVER
                                             : status->log_in_by,
        status_is_usable(status),
        p->password_expires_at == 0 ? UNKNOWN : p->password_expires_at,
    };

    return values[gauge];
}

static void put_gauge(struct buffer *out, size_t gauge, const struct status *status)
{
    int64_t value = gauge_value(gauge, status);
    OWNED char *label = mem_copy(status->name); /* or a path: any text */

    if (value == UNKNOWN)
        return;
    text_clean(label);
    buffer_put(out, "servetel_auth_", gauges[gauge].name, "{profile=\"");
    text_put_escaped(out, label, "\"\\", "\\", "");
    buffer_take(out, value == NEVER ? mem_copy("\"} +Inf\n")
                                    : mem_format("\"} %lld\n", (long long)value));
}

static void put_gauges(struct buffer *out, const struct status *list, size_t count)
{
    for (size_t g = 0; g < GAUGES; g++) {
        buffer_put(out, "# HELP servetel_auth_", gauges[g].name, " ", gauges[g].help,
                   "\n# TYPE servetel_auth_", gauges[g].name, " gauge\n");
        for (size_t i = 0; i < count; i++)
            put_gauge(out, g, &list[i]);
    }
}

/* ---- the command ---- */

static int print_text(const struct options *options, const struct status *list, size_t count)
{
    struct buffer out = BUFFER(SIZE_MAX / 2);

    if (options->format != NULL) {
        put_gauges(&out, list, count);
    } else if (!isatty(STDOUT_FILENO)) {
        status_columns(&out, list, count);
    } else if (count > 0) {
        status_table(&out, list, count);
        for (size_t i = 0; i < count; i++)
            status_notes(&out, &list[i], count == 1);
    }
    return command_write(&out);
}

static int show(const struct options *options, struct status *list, size_t count)
{
    static const char none[] = "no token is cached: run servetel-auth login";
    bool is_table = !options->json && options->format == NULL && isatty(STDOUT_FILENO);
    enum result worst = count > 0 ? RESULT_OK : RESULT_NO_TOKEN;
    int code;

    for (size_t i = 0; i < count; i++) {
        worst = result_worse(worst, status_result(&list[i]));
        if (!is_table && list[i].error.result != RESULT_OK)
            msg_error("%s", list[i].error.text);
        else if (!is_table)
            status_notes(NULL, &list[i], false);
    }
    if (count == 0)
        msg_note("%s", none);
    code = options->json ? print_json(list, count, worst, count == 0 ? none : NULL)
                         : print_text(options, list, count);
    for (size_t i = 0; i < count; i++) {
        mem_free(list[i].name);
        mem_free(list[i].path);
        profile_clear(&list[i].profile);
    }
    /* A profile in trouble is to be published, not to keep the file from being written. */
    return code != 0 || options->format != NULL ? code : result_exit_code(worst);
}

int cmd_status(const struct options *options)
{
    bool is_one = options->profile != NULL || options->file != NULL;
    int64_t now = clock_epoch_s();
    AT_END(cache_list_free) char **names = NULL;
    OWNED struct status *list = NULL;
    struct error error;
    size_t count = 1;
    int code;

    if (options->format != NULL && (options->json || options->min_ttl_s != OPTION_UNSET))
        return command_misuse("--format prometheus goes with neither --json nor --min-ttl");
    if (!is_one && cache_list(&names, &count, &error) != RESULT_OK) {
        code = options->json ? print_json(NULL, 0, error.result, error.text) : 0;
        return code != 0 ? code : command_fail(&error);
    }
    list = mem_new((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        read_status(&list[i], options, is_one ? command_profile(options) : names[i], now);
    return show(options, list, count);
}
