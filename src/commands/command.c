/* SPDX-License-Identifier: MIT */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/signals.h"
#include "input/source.h"
#include "store/lock.h"
#include "store/url.h"

int command_fail(const struct error *error)
{
    if (error->result != RESULT_INTERRUPTED)
        msg_error("%s", error->text);
    return result_exit_code(error->result);
}

int command_misuse(const char *what)
{
    msg_error("%s", what);
    return result_exit_code(RESULT_USAGE);
}

int command_write(struct buffer *text)
{
    int code = 0;

    /* Some file systems (NFS, quotas) say at close(2) alone that it was not written. */
    if (fd_write(STDOUT_FILENO, text->data, text->len) < 0 || close(dup(STDOUT_FILENO)) < 0) {
        if (errno != EINTR) /* of a signal, of which main() dies */
            msg_error("cannot write to stdout: %s", strerror(errno));
        code = result_exit_code(RESULT_LOCAL);
    }
    buffer_clear(text);
    return code;
}

int command_print(const char *text)
{
    struct buffer line = BUFFER(SIZE_MAX / 2); /* one write, so that lines do not mix */

    buffer_put(&line, text, "\n");
    return command_write(&line);
}

enum result command_read_token(struct renewal *r, struct buffer *token)
{
    static const char what[] = "the token on stdin";
    enum result result = source_read(STDIN_FILENO, SOURCE_ALL, what, r->deadline_ms, token,
                                     &r->error);

    return result == RESULT_OK ? token_clean(token, what, &r->error) : result;
}

const char *command_profile(const struct options *options)
{
    return options->profile != NULL ? options->profile : "default";
}

struct renew_wish command_wish(const struct options *options)
{
    return (struct renew_wish){
        .goal = RENEW_GOAL_FRESH,
        .keep_above_s = -1,
        .send = request_send,
        .api_url = options->api_url,
        .api_url_from = options->api_url_is_flag ? "--api-url" : "SERVETEL_API_URL",
        .scheme = options->auth_scheme,
        .retries = (int)options->retries,
        .timeout_ms = 1000 * options->timeout_s,
    };
}

enum result command_renew(const struct options *options, struct renewal *renewal,
                          const char *waiting)
{
    struct connection connection = {.cacert = options->cacert, .waiting = waiting};
    enum result result;

    renewal->connection = &connection;
    result = renew_wait(renewal);
    renewal->connection = NULL;
    request_close(&connection);
    return result;
}

char *command_host(const struct profile *profile, const char *api_url)
{
    struct error ignored;
    const char *url = profile_api_url(profile, api_url);

    return url_host(url_check(url, &ignored) == RESULT_OK ? url : URL_DEFAULT);
}

struct cJSON *command_json(const char *name, const char *path, const struct profile *profile,
                           int64_t now)
{
    bool has_token = profile->token != NULL, ends = profile->expires_at != TOKEN_NO_EXPIRY;
    char fingerprint[TOKEN_FINGERPRINT_SIZE];
    struct cJSON *json = json_new_object();

    if (has_token)
        token_fingerprint(profile->token, fingerprint);
    json_set_string(json, "profile", name);
    json_set_string(json, "file", path);
    json_set_string(json, "email", profile->email);
    json_set_string(json, "api_url", profile->api_url);
    json_set_string(json, "token_type", profile->token_type);
    json_set_string(json, "fingerprint", has_token ? fingerprint : NULL);
    json_set_bool(json, "permanent", has_token && profile_is_permanent(profile));
    json_set_string(json, "expires_at", NULL);
    json_set_string(json, "expires_in", NULL);
    if (has_token && ends) {
        json_set_integer(json, "expires_at", profile->expires_at);
        json_set_integer(json, "expires_in", profile_ttl_s(profile, now));
    }
    return json;
}

void command_json_result(struct cJSON *json, enum result result, const char *error)
{
    bool died = result == RESULT_INTERRUPTED; /* or will, see main() */

    json_set_integer(json, "exit_code", died ? 128 + signals_caught() : result_exit_code(result));
    json_set_string(json, "error", error);
}

char *command_json_line(struct cJSON *json)
{
    char *text = json_print(json, false);

    json_delete(&json);
    text_escape_json(&text);
    return text;
}

int command_print_json(struct cJSON *json)
{
    OWNED char *line = command_json_line(json);

    return command_print(line);
}

void command_warn_exposed(const char *password_file)
{
    OWNED char *word = text_shell_word(password_file);

    msg_warn("others can read the password file: chmod 600 %s", word);
}

void command_warn(const struct renewal *renewal)
{
    const struct profile *profile = &renewal->profile;
    char text[PROFILE_PASSWORD_TEXT_SIZE];
    const char *password = profile_password_text(profile, clock_epoch_s(), text);

    if (renewal->outcome.exposed_file && profile->password_file != NULL)
        command_warn_exposed(profile->password_file);
    if (password != NULL)
        msg_warn("the password of '%s' %s: change it and log in again", renewal->cache.name,
                 password);
}

const char *command_expiry(const struct profile *profile, char text[COMMAND_EXPIRY_SIZE])
{
    char when[CLOCK_TEXT_SIZE], span[CLOCK_TEXT_SIZE];
    int64_t ttl_s = profile_ttl_s(profile, clock_epoch_s());

    if (profile->expires_at == TOKEN_NO_EXPIRY)
        snprintf(text, COMMAND_EXPIRY_SIZE, "for ever");
    else
        snprintf(text, COMMAND_EXPIRY_SIZE, "until %s (%s)",
                 clock_format(profile->expires_at, when), clock_format_span(ttl_s, span));
    return text;
}

/* A promise is kept or broken loudly: the renewed (or kept) token lasts at least min_ttl_s. */
static enum result check_promise(const struct renewal *r, int64_t min_ttl_s, struct error *error)
{
    int64_t ttl_s = profile_ttl_s(&r->profile, clock_epoch_s());
    char span[CLOCK_TEXT_SIZE];

    if (ttl_s > min_ttl_s) /* of a second that has begun nobody knows how much is left */
        return RESULT_OK;
    if (profile_is_permanent(&r->profile) || r->profile.token_command != NULL)
        return error_set(error, RESULT_NO_TOKEN,
                         "the token of '%s' lasts %s, less than --min-ttl asks, and cannot be "
                         "renewed here",
                         r->cache.name, clock_format_span(ttl_s, span));
    return error_set(error, RESULT_USAGE,
                     "--min-ttl asks for more than a new token lasts, which is %s",
                     clock_format_span(r->profile.expires_at - r->profile.obtained_at, span));
}

static enum result check_cached(struct renewal *r, bool is_promise)
{
    const struct profile *profile = &r->profile;
    bool ended = profile_ttl_s(profile, clock_epoch_s()) == 0;

    if (!ended && !is_promise)
        return RESULT_OK;
    return error_set(&r->error, RESULT_NO_TOKEN,
                     profile->token == NULL         ? "no token is cached for '%s'"
                     : profile->blacklisted_at != 0 ? "the cached token of '%s' is blacklisted"
                     : ended                        ? "the cached token of '%s' has expired"
                             : "the cached token of '%s' lasts less than --min-ttl asks",
                     r->cache.name);
}

/* A token in doubt is renewed though it lasts. Where that takes no password, only the service could
 * settle it, which has just not answered: it is left alone for a while. */
static bool is_to_be_settled(const struct cache *cache, const struct profile *profile)
{
    int64_t rest_s = profile_has_source(profile) ? 0 : profile_default_min_ttl_s(profile);

    return cache_token_is_in_doubt(cache, profile->token, rest_s);
}

/* If there can be no new one, the cached token is good enough while it lasts as was promised. */
static enum result make_fresh(const struct options *options, struct renewal *r)
{
    bool is_promise = options->min_ttl_s != OPTION_UNSET;
    int64_t least_s = is_promise ? options->min_ttl_s : 0;
    enum result result = command_renew(options, r, NULL);

    if (result == RESULT_OK && is_promise)
        return check_promise(r, least_s, &r->error);
    /* (RESULT_USAGE: it is another host's by now.) */
    if (result == RESULT_OK || result == RESULT_INTERRUPTED || result == RESULT_USAGE ||
        r->outcome.spent || profile_ttl_s(&r->profile, clock_epoch_s()) <= least_s)
        return result;
    msg_warn("%s: using the old token, which still lasts", r->error.text);
    return RESULT_OK;
}

enum result command_fresh(const struct options *options, struct renew_wish *wish, struct renewal *r)
{
    bool is_promise = options->min_ttl_s != OPTION_UNSET, lasts, in_doubt;
    char until[CLOCK_TEXT_SIZE], expiry[COMMAND_EXPIRY_SIZE];
    enum result result;

    *wish = command_wish(options);
    wish->hands_out = true;
    renew_begin(r, wish, command_profile(options), options->file);
    result = r->error.result;
    if (result == RESULT_OK) /* the caller is about to send it there */
        result = renew_check_host(r);
    if (result != RESULT_OK)
        return result;
    wish->keep_above_s = is_promise ? options->min_ttl_s : profile_default_min_ttl_s(&r->profile);
    lasts = profile_ttl_s(&r->profile, clock_epoch_s()) > wish->keep_above_s;
    in_doubt = lasts && !options->cached && is_to_be_settled(&r->cache, &r->profile);
    if (in_doubt)
        wish->keep_above_s = -1;
    if (options->cached && !lasts)
        result = check_cached(r, is_promise);
    else if (!options->cached && (!lasts || in_doubt))
        result = make_fresh(options, r);
    else
        msg_verbose("%s: keep the token: it lasts %s", r->cache.name,
                    command_expiry(&r->profile, expiry));
    if (result == RESULT_OK && cache_token_is_in_doubt(&r->cache, r->profile.token, 0))
        msg_warn(
            "the last refresh of '%s' ended without a clear answer: the token is perhaps spent",
            r->cache.name);
    else if (result == RESULT_OK && r->profile.refused_at != 0 && (lasts || options->cached))
        msg_warn("the service does not renew the token of '%s', which lasts until %s",
                 r->cache.name, clock_format(r->profile.expires_at, until));
    return result;
}
