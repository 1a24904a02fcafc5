/* SPDX-License-Identifier: MIT */
/* show: a valid token on stdout, as a script wants it. The command that runs thousands of times:
 * with a fresh token it opens one file, and loads nothing that it does not need for that. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "commands/command.h"
#include "store/token.h"

/* text with `before` and `after` around each of `special`. */
static void put_escaped(struct buffer *out, const char *text, const char *special,
                        const char *before, const char *after)
{
    for (; *text != '\0'; text++) {
        const char one[] = {*text, '\0'};
        bool escape = strchr(special, *text) != NULL;

        buffer_put(out, escape ? before : "");
        buffer_put(out, one);
        buffer_put(out, escape ? after : "");
    }
}

static void put_token(struct buffer *out, const char *format, const char *token)
{
    if (format == NULL || strcmp(format, "token") == 0) {
        buffer_put(out, token);
    } else if (strcmp(format, "header") == 0) {
        buffer_put(out, "Authorization: Bearer ");
        buffer_put(out, token);
    } else if (strcmp(format, "curl") == 0) {
        buffer_put(out, "header = \"Authorization: Bearer ");
        put_escaped(out, token, "\"\\", "\\", "");
        buffer_put(out, "\"");
    } else { /* env: a quote within quotes, as sh wants it: '\'' */
        buffer_put(out, "export SERVETEL_TOKEN='");
        put_escaped(out, token, "'", "'\\", "'");
        buffer_put(out, "'");
    }
}

static char *token_json(const struct options *options, const struct profile *profile)
{
    struct cJSON *json = json_new_object();
    char *text;

    json_set_string(json, "access_token", profile->token);
    json_set_string(json, "token_type", profile->token_type);
    json_set_string(json, "profile",
                    options->file != NULL ? options->file : command_profile(options));
    json_set_string(json, "email", profile->email);
    json_set_string(json, "api_url", profile->api_url);
    command_set_expiry(json, profile, clock_epoch_s());
    text = json_print_line(json);
    json_delete(json);
    return text;
}

static enum result render(const struct options *options, const struct profile *profile,
                          struct buffer *out, struct error *error)
{
    char *text = NULL;

    if (options->json) {
        text = token_json(options, profile);
    } else if (options->claims) {
        text = token_payload(profile->token);
        if (text == NULL)
            return error_set(error, RESULT_FAILED, "the token is no JWT: it has no claims to show");
    }
    if (text != NULL)
        buffer_put(out, text);
    else
        put_token(out, options->format, profile->token);
    mem_free(text);
    buffer_put(out, options->no_newline ? "" : "\n");
    if (out->cut)
        return error_set(error, RESULT_FAILED, "the output is too large");
    return RESULT_OK;
}

int cmd_show(const struct options *options)
{
    /* A token of quotes only, as `env` writes it, is four times itself; JSON adds an address. */
    struct buffer out = BUFFER(8 * TOKEN_LENGTH_MAX);
    struct profile profile;
    struct error error;
    enum result result;

    if (options->json + options->claims + (options->format != NULL) > 1)
        return command_misuse("give only one of --format, --json and --claims");
    result = command_fresh_profile(options, &profile, &error);
    if (result == RESULT_OK)
        result = render(options, &profile, &out, &error);
    if (result == RESULT_OK)
        result = command_write(out.data, out.len, &error);
    buffer_clear(&out);
    profile_clear(&profile);
    return result == RESULT_OK ? 0 : command_fail(&error);
}
