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
    wish.adopt = options->adopt;
    return wish;
}

/* In JSON, and to a person. */
static const struct {
    const char *id, *words;
} actions[RENEW_ACTIONS] = {
    [RENEW_KEPT] = {"kept", "kept the token of"},
    [RENEW_RENEWED] = {"renewed", "renewed the token of"},
    [RENEW_LOGGED_IN] = {"logged-in", "logged in again for a token of"},
    [RENEW_ADOPTED] = {"adopted", "took the published token for"},
};

/* A temporary failure that cron need not hear of: the token still lasts long enough. */
static bool is_bearable(const struct options *options, const struct renewal *r)
{
    return r->error.result == RESULT_TEMPORARY && options->complain_below_s != OPTION_UNSET &&
           profile_ttl_s(&r->profile, clock_epoch_s()) > options->complain_below_s;
}

static struct cJSON *renewal_json(const struct renewal *r, enum result result)
{
    struct cJSON *json = json_new_object();

    json_set_string(json, "profile", r->cache.name);
    if (result == RESULT_OK)
        json_set_string(json, "action", actions[r->outcome.action].id);
    else
        json_set_integer(json, "exit_code", result_exit_code(result));
    if (r->error.result != RESULT_OK)
        json_set_string(json, "error", r->error.text);
    command_set_expiry(json, &r->profile, clock_epoch_s());
    return json;
}

/* ---- one ---- */

static int refresh_one(const struct options *options)
{
    struct renew_wish wish = refresh_wish(options);
    static const char what[] = "the token on stdin";
    struct buffer rejected = BUFFER(CHILD_LINE_MAX);
    enum result result;
    struct error error;
    char expiry[COMMAND_EXPIRY_SIZE];
    struct renewal r;
    int code = 0;
    bool bearable;

    if (options->rejected_stdin &&
        (source_read_all(STDIN_FILENO, what, clock_monotonic_ms() + wish.timeout_ms, &rejected,
                         &error) != RESULT_OK ||
         token_clean(&rejected, what, &error) != RESULT_OK)) {
        buffer_clear(&rejected);
        return command_fail(&error);
    }
    wish.rejected = rejected.data;
    renew_begin(&r, &wish, command_profile(options), options->file);
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
    if (code == 0 && options->json)
        code = command_print_json(renewal_json(&r, RESULT_OK));
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

static int finish_all(struct all *all)
{
    int code = result_exit_code(all->worst);
    char rest[64] = "";
    size_t interrupted = all->interrupted + all->count - all->ended; /* or not begun */

    msg_progress("%s", "");
    if (all->json != NULL) {
        struct cJSON *total = json_new_object();
        int printed;

        json_set_integer(total, "profiles", (int64_t)all->count);
        json_set_integer(total, "renewed", (int64_t)all->actions[RENEW_RENEWED]);
        json_set_integer(total, "logged-in", (int64_t)all->actions[RENEW_LOGGED_IN]);
        json_set_integer(total, "kept", (int64_t)all->actions[RENEW_KEPT]);
        json_set_integer(total, "failed", (int64_t)all->failed);
        json_set_integer(total, "interrupted", (int64_t)interrupted);
        json_set_item(all->json, "total", total);
        printed = command_print_json(all->json);
        code = printed != 0 ? printed : code;
    }
    if (interrupted > 0)
        snprintf(rest, sizeof rest, ", %zu interrupted", interrupted);
    msg_note("%zu profile%s: %zu renewed, %zu logged in again, %zu kept, %zu failed%s", all->count,
             all->count == 1 ? "" : "s", all->actions[RENEW_RENEWED], all->actions[RENEW_LOGGED_IN],
             all->actions[RENEW_KEPT], all->failed, rest);
    return code;
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
    int code;

    if (cache_list(&all.names, &all.count, &error) != RESULT_OK)
        return command_fail(&error);
    if (all.count == 0) {
        error_set(&error, RESULT_NO_TOKEN, "no profile is cached: run servetel-auth login");
        return command_fail(&error);
    }
    if (options->json)
        all.json = json_new_object();
    if (all.count < (size_t)workers.jobs)
        workers.jobs = (int)all.count;
    show_progress(&all);
    workers_run(&workers);
    token_file_sweep_all();
    code = finish_all(&all);
    for (size_t i = 0; i < all.count; i++)
        mem_free(all.names[i]);
    mem_free(all.names);
    return code;
}

/* ---- dry run ---- */

static enum result foresee(const struct options *options, const char *name, const char *file)
{
    struct renew_wish wish = refresh_wish(options);
    enum renew_plan plan = RENEW_PLAN_NONE;
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
    if (result == RESULT_OK) {
        char *line, expiry[COMMAND_EXPIRY_SIZE];

        plan = decide(&profile, &wish, clock_epoch_s(), &why);
        line = mem_format("%s: would %s: %s", cache.name, decide_plan_name(plan), why);
        if (profile_ttl_s(&profile, clock_epoch_s()) > 0) {
            char *more = mem_format("%s (it lasts %s)", line, command_expiry(&profile, expiry));

            mem_free(line);
            line = more;
        }
        if (command_print(line) != 0)
            result = RESULT_LOCAL;
        else if (plan == RENEW_PLAN_WAIT)
            result = RESULT_TEMPORARY;
        else if (plan == RENEW_PLAN_NONE)
            result = RESULT_NO_TOKEN;
        mem_free(line);
    } else {
        msg_error("%s", error.text);
    }
    profile_clear(&profile);
    cache_close(&cache);
    return result;
}

static int dry_run(const struct options *options)
{
    enum result worst = RESULT_OK;
    struct error error;
    char **names;
    size_t count;

    if (!options->all)
        return result_exit_code(foresee(options, command_profile(options), options->file));
    if (cache_list(&names, &count, &error) != RESULT_OK)
        return command_fail(&error);
    for (size_t i = 0; i < count; i++) {
        worst = result_worse(worst, foresee(options, names[i], NULL));
        mem_free(names[i]);
    }
    mem_free(names);
    return result_exit_code(worst);
}

int cmd_refresh(const struct options *options)
{
    if (options->all &&
        (options->profile_is_flag || options->file_is_flag || options->print || options->adopt))
        return command_misuse("--all goes with none of --profile, --file, --print and --adopt");
    if (options->all && (options->api_url_is_flag || options->rejected_stdin))
        return command_misuse("--all goes with neither --api-url nor --rejected-stdin");
    if (options->rejected_stdin && options->dry_run)
        return command_misuse("--rejected-stdin does not go with --dry-run");
    if (options->print && options->json)
        return command_misuse("give only one of --print and --json");
    if (options->jobs != OPTION_UNSET && !options->all)
        return command_misuse("--jobs goes with --all");
    if (options->dry_run)
        return dry_run(options);
    return options->all ? refresh_all(options) : refresh_one(options);
}
