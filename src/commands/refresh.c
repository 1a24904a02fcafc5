/* SPDX-License-Identifier: MIT */
/* refresh: a new token for one profile, or for all of them at once. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/signals.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "input/child.h"
#include "renewal/decide.h"
#include "renewal/workers.h"

static struct renew_wish refresh_wish(const struct options *options)
{
    struct renew_wish wish = command_wish(options);

    wish.keep_above_s = options->min_ttl_s; /* OPTION_UNSET: none is kept */
    wish.on_change = options->on_change;
    wish.hands_out = options->print;
    wish.adopt = options->adopt;
    wish.adopt_when_due = options->all;
    wish.on_refused = options->on_refused;
    wish.dry_run = options->dry_run;
    return wish;
}

/* In JSON, and to a person. */
static const struct {
    const char *id, *words;
} actions[RENEW_ACTIONS] = {
    [RENEW_KEPT] = {"kept", "kept the token of"},
    [RENEW_RENEWED] = {"renewed", "renewed the token of"},
    [RENEW_LOGGED_IN] = {"logged_in", "logged in again for a token of"},
    [RENEW_ADOPTED] = {"adopted", "took the published token for"},
};

/* A temporary failure that cron need not hear of: the token still lasts long enough. */
static bool is_bearable(const struct options *options, const struct renewal *r)
{
    return r->error.result == RESULT_TEMPORARY && options->complain_below_s != OPTION_UNSET &&
           profile_ttl_s(&r->profile, clock_epoch_s()) > options->complain_below_s &&
           (!options->rejected_stdin ||
            (r->wish->rejected != NULL && !text_is(r->wish->rejected, r->profile.token)));
}

static struct cJSON *refresh_json(const struct renewal *r, enum result result)
{
    const char *action = result == RESULT_OK ? actions[r->outcome.action].id : "failed";
    /* That of a failure which is_bearable(), too. */
    const char *error = r->error.result != RESULT_OK ? r->error.text : NULL;
    struct cJSON *json = command_json(r->cache.name, r->cache.path, &r->profile, clock_epoch_s());
    bool foretold = r->outcome.why != NULL; /* nothing was done, nothing failed */

    json_set_string(json, "action", foretold ? NULL : action);
    json_set_string(json, "would", foretold ? decide_plan_names[r->outcome.plan].id : NULL);
    json_set_string(json, "reason", r->outcome.why);
    command_json_result(json, result, foretold ? NULL : error);
    return json;
}

static enum result print_plan(const struct renewal *r, enum result result)
{
    bool lasts = profile_ttl_s(&r->profile, clock_epoch_s()) > 0;
    char expiry[COMMAND_EXPIRY_SIZE];
    OWNED char *line = mem_format(
        "%s: would %s: %s%s%s%s", r->cache.name, decide_plan_names[r->outcome.plan].words,
        r->outcome.why, lasts ? " (it lasts " : "",
        lasts ? command_expiry(&r->profile, expiry) : "", lasts ? ")" : "");

    return command_print(line) == 0 ? result : RESULT_LOCAL;
}

/* Says what came of it: of many, only what went wrong. Returns the result that counts. */
static enum result tell_outcome(const struct options *options, const struct renewal *r,
                                enum result had)
{
    enum result result = is_bearable(options, r) ? RESULT_OK : had;
    char expiry[COMMAND_EXPIRY_SIZE];

    if (r->outcome.why != NULL)
        return options->json ? had : print_plan(r, had);
    if (had == RESULT_OK && !options->all)
        msg_note("%s '%s'; it lasts %s", actions[r->outcome.action].words, r->cache.name,
                 command_expiry(&r->profile, expiry));
    else if (result != RESULT_OK && result != RESULT_INTERRUPTED)
        msg_error("%s%s%s", options->all ? r->cache.name : "", options->all ? ": " : "",
                  r->error.text);
    else if (had != RESULT_OK)
        msg_verbose("%s: %s", r->cache.name, r->error.text);
    if (result != RESULT_INTERRUPTED)
        command_warn(r);
    return result;
}

/* ---- one ---- */

static int refresh_one(const struct options *options)
{
    struct renew_wish wish = refresh_wish(options);
    AT_END(buffer_clear) struct buffer rejected = BUFFER(CHILD_LINE_MAX);
    AT_END(renew_end) struct renewal r;
    enum result result = RESULT_OK;
    int printed = 0;

    renew_begin(&r, &wish, command_profile(options), options->file);
    if (options->rejected_stdin && (result = command_read_token(&r, &rejected)) == RESULT_OK)
        wish.rejected = rejected.data;
    if (result == RESULT_OK)
        result = command_renew(options, &r, NULL);
    result = tell_outcome(options, &r, result);
    if (options->json)
        printed = command_print_json(refresh_json(&r, result));
    /* One that is stored, even if the hook failed or the disk is unsure; if it is of any use. */
    else if (options->print &&
             (result == RESULT_OK ||
              (r.outcome.stored && profile_ttl_s(&r.profile, clock_epoch_s()) > 0)))
        printed = command_print(r.profile.token);
    if (!options->dry_run)
        token_file_sweep(&r.cache);
    return printed != 0 ? printed : result_exit_code(result);
}

/* ---- all ---- */

struct all {
    const struct options *options;
    struct renew_wish wish;
    char **names;
    size_t count, begun, ended;
    size_t actions[RENEW_ACTIONS], failed, interrupted;
    enum result worst;
    struct cJSON *json;
};

static void show_progress(const struct all *all)
{
    if (all->ended < all->count)
        msg_progress("refreshing: %zu of %zu", all->ended, all->count);
}

static const char *next_name(void *user)
{
    struct all *all = user;

    return all->begun == all->count ? NULL : all->names[all->begun++];
}

static void end_one(void *user, const struct renewal *r, enum result had)
{
    struct all *all = user;
    enum result result = tell_outcome(all->options, r, had);

    all->ended++;
    if (result == RESULT_OK)
        all->actions[r->outcome.action] += !all->wish.dry_run;
    else if (result == RESULT_INTERRUPTED && !r->outcome.stored)
        all->interrupted++;
    else
        all->failed++;
    if (cache_is_linked(&r->cache) && !all->options->dry_run)
        token_file_sweep(&r->cache);
    all->worst = result_worse(all->worst, result);
    if (all->options->json)
        json_add_to_array(all->json, "profiles", refresh_json(r, result));
    show_progress(all);
}

/* error: why no profile was looked at, or NULL. Returns the exit code of the whole. */
static int finish_all(struct all *all, const char *error)
{
    size_t interrupted = all->interrupted + all->count - all->ended; /* or not begun */
    struct cJSON *total = json_new_object();
    char adopted[32] = "", rest[64] = "";
    int printed = 0;

    msg_progress("%s", "");
    json_set_integer(total, "profiles", (int64_t)all->count);
    for (int i = 0; i < RENEW_ACTIONS; i++)
        json_set_integer(total, actions[i].id, (int64_t)all->actions[i]);
    json_set_integer(total, "failed", (int64_t)all->failed);
    json_set_integer(total, "interrupted", (int64_t)interrupted);
    json_set_item(all->json, "total", total);
    command_json_result(all->json, signals_caught() ? RESULT_INTERRUPTED : all->worst, error);
    if (all->options->json)
        printed = command_print_json(all->json);
    else
        json_delete(&all->json);
    if (all->wish.adopt != NULL)
        snprintf(adopted, sizeof adopted, ", %zu adopted", all->actions[RENEW_ADOPTED]);
    if (interrupted > 0)
        snprintf(rest, sizeof rest, ", %zu interrupted", interrupted);
    if (error == NULL && !all->options->dry_run)
        msg_note("%zu profile%s: %zu renewed, %zu logged in again%s, %zu kept, %zu failed%s",
                 all->count, all->count == 1 ? "" : "s", all->actions[RENEW_RENEWED],
                 all->actions[RENEW_LOGGED_IN], adopted, all->actions[RENEW_KEPT], all->failed,
                 rest);
    return printed != 0 ? printed : result_exit_code(all->worst);
}

static int refresh_all(const struct options *options)
{
    struct all all = {.options = options, .wish = refresh_wish(options)};
    struct workers workers = {
        .wish = &all.wish,
        .cacert = options->cacert,
        .jobs = options->jobs == OPTION_UNSET ? OPTION_JOBS : (int)options->jobs,
        .next = next_name,
        .done = end_one,
        .user = &all,
    };
    struct error error;
    enum result listed;
    int code;

    all.json = json_new_object();
    json_set_array(all.json, "profiles");
    listed = cache_list(&all.names, &all.count, &error);
    if (listed == RESULT_OK && all.count == 0)
        listed = error_set(&error, RESULT_NO_TOKEN,
                           "no profile is cached: run servetel-auth login");
    all.worst = listed;
    if (all.count < (size_t)workers.jobs)
        workers.jobs = (int)all.count;
    if (options->dry_run)
        workers.jobs = 1; /* in order */
    if (listed == RESULT_OK) {
        show_progress(&all);
        workers_run(&workers);
        token_file_sweep_all();
    } else {
        command_fail(&error);
    }
    code = finish_all(&all, listed == RESULT_OK ? NULL : error.text);
    cache_list_free(&all.names);
    return code;
}

int cmd_refresh(const struct options *options)
{
    if (options->all && (options->print || options->api_url_is_flag || options->rejected_stdin))
        return command_misuse("--all goes with none of --print, --api-url and --rejected-stdin");
    if (options->dry_run && (options->rejected_stdin || options->print))
        return command_misuse("--dry-run goes with neither --rejected-stdin nor --print");
    if (options->print && options->json)
        return command_misuse("give only one of --print and --json");
    if (options->jobs != OPTION_UNSET && !options->all)
        return command_misuse("--jobs goes with --all");
    return options->all ? refresh_all(options) : refresh_one(options);
}
