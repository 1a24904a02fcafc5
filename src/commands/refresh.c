/* SPDX-License-Identifier: MIT */
/* refresh: a new token for one profile, or for all of them at once. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "input/child.h"
#include "input/source.h"
#include "renewal/decide.h"
#include "renewal/workers.h"
#include "store/token.h"

static struct renew_wish refresh_wish(const struct options *options)
{
    struct renew_wish wish = command_wish(options);

    if (options->all)
        wish.api_url = NULL; /* each profile has its own */
    if (options->min_ttl_s != OPTION_UNSET)
        wish.keep_above_s = options->min_ttl_s;
    wish.on_change = options->on_change;
    wish.hands_out = options->print;
    wish.adopt = options->adopt;
    wish.adopt_when_due = options->all;
    wish.on_refused = options->on_refused;
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
           profile_ttl_s(&r->profile, clock_epoch_s()) > options->complain_below_s;
}

/* error: NULL where there is none. */
static struct cJSON *refresh_json(const struct cache *cache, const struct profile *profile,
                                  enum result result, const char *error)
{
    struct cJSON *json = command_json(cache->name, cache->path, profile, clock_epoch_s());

    json_set_string(json, "action", result == RESULT_OK ? NULL : "failed");
    json_set_string(json, "would", NULL);
    json_set_string(json, "reason", NULL);
    command_json_result(json, result, error);
    return json;
}

static struct cJSON *renewal_json(const struct renewal *r, enum result result)
{
    /* That of a failure which is_bearable(), too. */
    const char *error = r->error.result != RESULT_OK ? r->error.text : NULL;
    struct cJSON *json = refresh_json(&r->cache, &r->profile, result, error);

    if (result == RESULT_OK)
        json_set_string(json, "action", actions[r->outcome.action].id);
    return json;
}

/* ---- one ---- */

static enum result read_rejected(struct buffer *rejected, struct renewal *r)
{
    static const char what[] = "the token on stdin";
    enum result result = source_read_all(STDIN_FILENO, what, r->deadline_ms, rejected, &r->error);

    return result == RESULT_OK ? token_clean(rejected, what, &r->error) : result;
}

static int refresh_one(const struct options *options)
{
    struct renew_wish wish = refresh_wish(options);
    struct buffer rejected = BUFFER(CHILD_LINE_MAX);
    enum result result = RESULT_OK;
    char expiry[COMMAND_EXPIRY_SIZE];
    struct renewal r;
    int code = 0;
    bool bearable;

    renew_begin(&r, &wish, command_profile(options), options->file);
    if (options->rejected_stdin)
        result = read_rejected(&rejected, &r);
    wish.rejected = rejected.data;
    if (result == RESULT_OK)
        result = command_renew(options, &r, NULL);
    bearable = is_bearable(options, &r);
    if (result == RESULT_OK)
        msg_note("%s '%s'; it lasts %s", actions[r.outcome.action].words, r.cache.name,
                 command_expiry(&r.profile, expiry));
    else if (bearable)
        msg_verbose("%s", r.error.text);
    else
        code = command_fail(&r.error);
    if (result != RESULT_INTERRUPTED)
        command_warn(&r);
    if (options->json) {
        int printed = command_print_json(renewal_json(&r, bearable ? RESULT_OK : result));

        code = printed != 0 ? printed : code;
    }
    /* A token that is stored is printed, even if the hook failed or the disk is unsure. */
    if (options->print && (code == 0 || r.outcome.stored)) {
        int printed = command_print(r.profile.token);

        code = printed != 0 ? printed : code;
    }
    token_file_sweep(&r.cache);
    renew_end(&r);
    buffer_clear(&rejected);
    return code;
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
    enum result result = is_bearable(all->options, r) ? RESULT_OK : had;

    all->ended++;
    if (result == RESULT_OK)
        all->actions[r->outcome.action]++;
    else if (result == RESULT_INTERRUPTED && !r->outcome.stored)
        all->interrupted++;
    else
        all->failed++;
    if (result != RESULT_OK && result != RESULT_INTERRUPTED)
        msg_error("%s: %s", r->cache.name, r->error.text);
    else if (had != RESULT_OK)
        msg_verbose("%s: %s", r->cache.name, r->error.text);
    if (result != RESULT_INTERRUPTED)
        command_warn(r);
    if (cache_is_linked(&r->cache))
        token_file_sweep(&r->cache);
    all->worst = result_worse(all->worst, result);
    if (all->json != NULL)
        json_add_to_array(all->json, "profiles", renewal_json(r, result));
    show_progress(all);
}

static size_t interrupted_count(const struct all *all)
{
    return all->interrupted + all->count - all->ended; /* or not begun */
}

/* error: why no profile was looked at, or NULL. Returns the exit code of the whole. */
static int print_all_json(struct all *all, const char *error)
{
    struct cJSON *total = json_new_object();
    int printed;

    json_set_integer(total, "profiles", (int64_t)all->count);
    for (int i = 0; i < RENEW_ACTIONS; i++)
        json_set_integer(total, actions[i].id, (int64_t)all->actions[i]);
    json_set_integer(total, "failed", (int64_t)all->failed);
    json_set_integer(total, "interrupted", (int64_t)interrupted_count(all));
    json_set_item(all->json, "total", total);
    command_json_result(all->json, all->worst, error);
    printed = command_print_json(all->json);
    return printed != 0 ? printed : result_exit_code(all->worst);
}

static int finish_all(struct all *all)
{
    int code = result_exit_code(all->worst);
    char adopted[32] = "", rest[64] = "";

    msg_progress("%s", "");
    if (all->json != NULL)
        code = print_all_json(all, NULL);
    if (all->wish.adopt != NULL)
        snprintf(adopted, sizeof adopted, ", %zu adopted", all->actions[RENEW_ADOPTED]);
    if (interrupted_count(all) > 0)
        snprintf(rest, sizeof rest, ", %zu interrupted", interrupted_count(all));
    msg_note("%zu profile%s: %zu renewed, %zu logged in again%s, %zu kept, %zu failed%s",
             all->count, all->count == 1 ? "" : "s", all->actions[RENEW_RENEWED],
             all->actions[RENEW_LOGGED_IN], adopted, all->actions[RENEW_KEPT], all->failed, rest);
    return code;
}

/* The names; false where there are none, with the exit code in *code. */
static bool list_all(struct all *all, int *code)
{
    struct error error;

    if (all->options->json) {
        all->json = json_new_object();
        json_set_array(all->json, "profiles");
    }
    all->worst = cache_list(&all->names, &all->count, &error);
    if (all->worst == RESULT_OK && all->count > 0)
        return true;
    if (all->worst == RESULT_OK)
        all->worst = error_set(&error, RESULT_NO_TOKEN,
                               "no profile is cached: run servetel-auth login");
    *code = command_fail(&error);
    if (all->json != NULL)
        *code = print_all_json(all, error.text);
    return false;
}

static void free_names(struct all *all)
{
    for (size_t i = 0; i < all->count; i++)
        mem_free(all->names[i]);
    mem_free(all->names);
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
    int code;

    if (list_all(&all, &code)) {
        if (all.count < (size_t)workers.jobs)
            workers.jobs = (int)all.count;
        show_progress(&all);
        workers_run(&workers);
        token_file_sweep_all();
        code = finish_all(&all);
    }
    free_names(&all);
    return code;
}

/* ---- dry run ---- */

static const char *const plan_ids[] = {
    [RENEW_PLAN_KEEP] = "keep",     [RENEW_PLAN_EXCHANGE] = "refresh",
    [RENEW_PLAN_LOG_IN] = "log_in", [RENEW_PLAN_COMMAND] = "run_token_command",
    [RENEW_PLAN_WAIT] = "wait",     [RENEW_PLAN_NONE] = "fail",
};

static int print_plan(const char *name, const struct profile *profile, enum renew_plan plan,
                      const char *why)
{
    bool lasts = profile_ttl_s(profile, clock_epoch_s()) > 0;
    char expiry[COMMAND_EXPIRY_SIZE];
    char *line = mem_format("%s: would %s: %s%s%s%s", name, decide_plan_name(plan), why,
                            lasts ? " (it lasts " : "",
                            lasts ? command_expiry(profile, expiry) : "", lasts ? ")" : "");
    int code = command_print(line);

    mem_free(line);
    return code;
}

/* Prints what would be done, but for --json: *json, if it is one, is then the object. */
static enum result foresee(const struct options *options, const char *name, const char *file,
                           struct cJSON **json)
{
    struct renew_wish wish = refresh_wish(options);
    struct profile profile;
    struct cache cache;
    struct error error;
    enum result result;
    const char *why;

    profile_init(&profile);
    result = cache_open(&cache, name, file, &error);
    if (result == RESULT_OK)
        result = cache_read(&cache, &profile, &error);
    if (result == RESULT_OK)
        result = profile_check_host(&profile, cache.name, wish.api_url, wish.api_url_from, &error);
    if (result != RESULT_OK) {
        msg_error("%s", error.text);
        if (options->json)
            *json = refresh_json(&cache, &profile, result, error.text);
    } else {
        enum renew_plan plan = decide(&profile, &wish, clock_epoch_s(), &why);

        result = plan == RENEW_PLAN_WAIT   ? RESULT_TEMPORARY
                 : plan == RENEW_PLAN_NONE ? RESULT_NO_TOKEN
                                           : RESULT_OK;
        if (options->json) {
            *json = refresh_json(&cache, &profile, result, NULL);
            json_set_string(*json, "action", NULL); /* nothing was done, nothing failed */
            json_set_string(*json, "would", plan_ids[plan]);
            json_set_string(*json, "reason", why);
        } else if (print_plan(cache.name, &profile, plan, why) != 0) {
            result = RESULT_LOCAL;
        }
    }
    profile_clear(&profile);
    cache_close(&cache);
    return result;
}

static int foresee_one(const struct options *options)
{
    struct cJSON *json = NULL;
    enum result result = foresee(options, command_profile(options), options->file, &json);
    int printed = json != NULL ? command_print_json(json) : 0;

    return printed != 0 ? printed : result_exit_code(result);
}

static int foresee_all(const struct options *options)
{
    struct all all = {.options = options};
    int code;

    if (list_all(&all, &code)) {
        for (; all.ended < all.count; all.ended++) {
            struct cJSON *json = NULL;
            enum result result = foresee(options, all.names[all.ended], NULL, &json);

            all.worst = result_worse(all.worst, result);
            all.failed += result != RESULT_OK;
            if (json != NULL)
                json_add_to_array(all.json, "profiles", json);
        }
        code = all.json != NULL ? print_all_json(&all, NULL) : result_exit_code(all.worst);
    }
    free_names(&all);
    return code;
}

int cmd_refresh(const struct options *options)
{
    if (options->all && (options->profile_is_flag || options->file_is_flag || options->print))
        return command_misuse("--all goes with none of --profile, --file and --print");
    if (options->all && (options->api_url_is_flag || options->rejected_stdin))
        return command_misuse("--all goes with neither --api-url nor --rejected-stdin");
    if (options->rejected_stdin && options->dry_run)
        return command_misuse("--rejected-stdin does not go with --dry-run");
    if (options->print && options->json)
        return command_misuse("give only one of --print and --json");
    if (options->jobs != OPTION_UNSET && !options->all)
        return command_misuse("--jobs goes with --all");
    if (options->dry_run)
        return options->all ? foresee_all(options) : foresee_one(options);
    return options->all ? refresh_all(options) : refresh_one(options);
}
