/* show: a valid token on stdout, as a script wants it. The command that runs thousands of times:
 * with a fresh token it opens one file, and loads nothing that it does not need for that. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "commands/command.h"
#include "store/token.h"

/* text with a backslash (or what `before` says) in front of each of `special`. */
static bool append_escaped(struct buffer *out, const char *text, const char *special,
                           const char *before, const char *after)
{
    for (; *text != '\0'; text++) {
        bool escape = strchr(special, *text) != NULL;

        if ((escape && !buffer_append_text(out, before)) || !buffer_append(out, text, 1) ||
            (escape && !buffer_append_text(out, after)))
            return false;
    }
    return true;
}

static bool format_token(struct buffer *out, const char *format, const char *token)
{
    if (format == NULL || strcmp(format, "token") == 0)
        return buffer_append_text(out, token);
    if (strcmp(format, "header") == 0)
        return buffer_append_text(out, "Authorization: Bearer ") && buffer_append_text(out, token);
    if (strcmp(format, "curl") == 0)
        return buffer_append_text(out, "header = \"Authorization: Bearer ") &&
               append_escaped(out, token, "\"\\", "\\", "") && buffer_append_text(out, "\"");
    /* env: a quote within quotes, as sh wants it: '\'' */
    return buffer_append_text(out, "export SERVETEL_TOKEN='") &&
           append_escaped(out, token, "'", "'\\", "'") && buffer_append_text(out, "'");
}

static char *describe(const struct options *options, const struct profile *profile)
{
    struct cJSON *json = json_new_object();
    char *text;

    json_set_string(json, "access_token", profile->token);
    json_set_string(json, "token_type", profile->token_type);
    json_set_string(json, "profile",
                    options->file != NULL ? options->file : command_profile(options));
    json_set_string(json, "email", profile->email);
    json_set_string(json, "api_url", profile->api_url);
    if (profile->expires_at == TOKEN_NO_EXPIRY) {
        json_set_null(json, "expires_at");
        json_set_null(json, "expires_in");
    } else {
        json_set_integer(json, "expires_at", profile->expires_at);
        json_set_integer(json, "expires_in", profile_ttl_s(profile, clock_epoch_s()));
    }
    text = json_print_line(json);
    json_delete(json);
    return text;
}

static enum result render(const struct options *options, const struct profile *profile,
                          struct buffer *out, struct error *error)
{
    char *text = NULL;
    bool fits;

    if (options->json) {
        text = describe(options, profile);
    } else if (options->claims) {
        text = token_payload(profile->token);
        if (text == NULL)
            return error_set(error, RESULT_FAILED, "the token is no JWT: it has no claims to show");
    }
    if (text != NULL)
        fits = buffer_append_text(out, text);
    else
        fits = format_token(out, options->format, profile->token);
    mem_free(text);
    if (!fits || (!options->no_newline && !buffer_append_text(out, "\n")))
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

    if (options->json + options->claims + (options->format != NULL) > 1) {
        error_set(&error, RESULT_USAGE, "give only one of --format, --json and --claims");
        return command_fail(&error);
    }
    result = command_fresh_profile(options, &profile, &error);
    if (result == RESULT_OK)
        result = render(options, &profile, &out, &error);
    if (result == RESULT_OK)
        result = command_write(out.data, out.len, &error);
    buffer_clear(&out);
    profile_clear(&profile);
    return result == RESULT_OK ? 0 : command_fail(&error);
}
