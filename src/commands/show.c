/* SPDX-License-Identifier: MIT */
/* show: a valid token on stdout, as a script wants it. The command that runs thousands of times:
 * with a fresh token it opens one file, and loads nothing that it does not need for that. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "commands/command.h"

static void put_token(struct buffer *out, const char *format, const char *token)
{
    if (format == NULL || strcmp(format, "token") == 0) {
        buffer_put(out, token);
    } else if (strcmp(format, "header") == 0) {
        buffer_put(out, "Authorization: Bearer ", token);
    } else if (strcmp(format, "curl") == 0) {
        buffer_put(out, "header = \"Authorization: Bearer ");
        text_put_escaped(out, token, "\"\\", "\\", "");
        buffer_put(out, "\"");
    } else { /* env: a quote within quotes, as sh wants it: '\'' */
        buffer_put(out, "export SERVETEL_TOKEN='");
        text_put_escaped(out, token, "'", "'\\", "'");
        buffer_put(out, "'");
    }
}

static char *token_json(const struct renewal *r, enum result result)
{
    bool failed = result != RESULT_OK;
    struct cJSON *json = command_json(r->cache.name, r->cache.path, &r->profile, clock_epoch_s());

    json_set_string(json, "access_token", failed ? NULL : r->profile.token);
    command_json_result(json, result, failed ? r->error.text : NULL);
    return command_json_line(json);
}

static enum result render(const struct options *options, const struct profile *profile,
                          struct buffer *out, struct error *error)
{
    OWNED char *claims = options->claims ? token_payload(profile->token) : NULL;

    if (options->claims && claims == NULL)
        return error_set(error, RESULT_FAILED, "the token is no JWT: it has no claims to show");
    if (options->claims) {
        text_escape_json(&claims);
        buffer_put(out, claims);
    } else {
        put_token(out, options->format, profile->token);
    }
    return RESULT_OK;
}

int cmd_show(const struct options *options)
{
    struct buffer out = BUFFER(SIZE_MAX / 2);
    struct renew_wish wish;
    enum result result;
    int code, written = 0;

    if (options->json + options->claims + (options->format != NULL) > 1)
        return command_misuse("give only one of --format, --json and --claims");
    AT_END(renew_end) struct renewal r;
    result = command_fresh(options, &wish, &r);
    if (options->json) {
        buffer_take(&out, token_json(&r, result));
    } else if (result == RESULT_OK) {
        result = render(options, &r.profile, &out, &r.error);
    }
    code = result == RESULT_OK ? 0 : command_fail(&r.error);
    if (out.len > 0) {
        buffer_put(&out, options->no_newline ? "" : "\n");
        written = command_write(&out);
    }
    return written != 0 ? written : code;
}
