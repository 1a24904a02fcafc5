/* refresh: a new token for one profile, or for all of them at once. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "commands/command.h"
#include "commands/token_file.h"
#include "renewal/drive.h"
#include "store/token.h"

static struct renew_wish refresh_wish(const struct options *options)
{
    struct renew_wish wish = command_wish(options);

    if (options->min_ttl_s != OPTION_UNSET)
        wish.keep_above_s = options->min_ttl_s;
    wish.on_change = options->on_change;
    wish.adopt = options->adopt;
    return wish;
}

static const char *action_name(const struct renewal *r)
{
    static const char *const names[RENEW_ACTIONS] = {
        [RENEW_KEPT] = "kept",
        [RENEW_RENEWED] = "renewed",
        [RENEW_LOGGED_IN] = "logged-in",
        [RENEW_ADOPTED] = "adopted",
    };

    return names[r->action];
}

/* A temporary failure that cron need not hear of: the token still lasts long enough. */
static bool is_bearable(const struct options *options, const struct renewal *r)
{
    return r->error.result == RESULT_TEMPORARY && options->complain_below_s != OPTION_UNSET &&
           profile_ttl_s(&r->profile, clock_epoch_s()) > options->complain_below_s;
}

static struct cJSON *describe(const struct renewal *r, enum result result)
{
    struct cJSON *json = json_new_object();

    json_set_string(json, "profile", r->cache.name);
    if (result == RESULT_OK)
        json_set_string(json, "action", action_name(r));
    else
        json_set_integer(json, "exit_code", result_exit_code(result));
    if (r->error.result != RESULT_OK)
        json_set_string(json, "error", r->error.text);
    if (r->profile.token != NULL && r->profile.expires_at != TOKEN_NO_EXPIRY) {
        json_set_integer(json, "expires_at", r->profile.expires_at);
        json_set_integer(json, "expires_in", profile_ttl_s(&r->profile, clock_epoch_s()));
    }
    return json;
}

static int print_json(struct cJSON *json)
{
    char *text = json_print_line(json);
    int code = command_print(text);

    mem_free(text);
    json_delete(json);
    return code;
}

static void report(const struct renewal *r)
{
    char expiry[COMMAND_EXPIRY_SIZE];

    command_expiry(&r->profile, expiry);
    switch (r->action) {
    case RENEW_KEPT:
        msg_note("kept the token of '%s'; it lasts %s", r->cache.name, expiry);
        break;
    case RENEW_RENEWED:
        msg_note("renewed the token of '%s'; it lasts %s", r->cache.name, expiry);
        break;
    case RENEW_ADOPTED:
        msg_note("took the published token for '%s'; it lasts %s", r->cache.name, expiry);
        break;
    case RENEW_LOGGED_IN:
        msg_note("logged in again for '%s'; the token lasts %s", r->cache.name, expiry);
        break;
    }
}

/* ---- one ---- */

static int refresh_one(const struct options *options)
{
    struct renew_wish wish = refresh_wish(options);
    struct renewal r;
    int code = 0;
    bool bearable;

    renew_begin(&r, &wish, command_profile(options), options->file);
    drive_one(&r, options->cacert, NULL);
    bearable = is_bearable(options, &r);
    if (r.error.result == RESULT_OK)
        report(&r);
    else if (bearable)
        msg_verbose("%s", r.error.text);
    else
        code = command_fail(&r.error);
    if (r.error.result != RESULT_INTERRUPTED)
        command_warn(&r);
    if (code == 0 && options->json)
        code = print_json(describe(&r, RESULT_OK));
    /* A token that is stored is printed, even if the hook failed or the disk is unsure. */
    if (options->print && (code == 0 || r.stored)) {
        int printed = command_print(r.profile.token);

        code = printed != 0 ? printed : code;
    }
    token_file_sweep(&r.cache);
    renew_end(&r);
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

static struct renewal *begin_next(void *user)
{
    struct all *all = user;
    struct renewal *r;

    if (all->begun == all->count)
        return NULL;
    r = mem_new(sizeof *r);
    renew_begin(r, &all->wish, all->names[all->begun++], NULL);
    return r;
}

static void end_one(void *user, struct renewal *r)
{
    struct all *all = user;
    enum result result = is_bearable(all->options, r) ? RESULT_OK : r->error.result;

    all->ended++;
    if (result == RESULT_OK)
        all->actions[r->action]++;
    else if (result == RESULT_INTERRUPTED && !r->stored)
        all->interrupted++;
    else
        all->failed++;
    if (result != RESULT_OK && result != RESULT_INTERRUPTED)
        msg_error("%s: %s", r->cache.name, r->error.text);
    else if (r->error.result != RESULT_OK)
        msg_verbose("%s: %s", r->cache.name, r->error.text);
    if (result != RESULT_INTERRUPTED)
        command_warn(r);
    if (cache_is_linked(&r->cache))
        token_file_sweep(&r->cache);
    all->worst = result_worse(all->worst, result);
    if (all->json != NULL)
        json_add_to_array(all->json, "profiles", describe(r, result));
    renew_end(r);
    mem_free(r);
}

static void show_progress(void *user)
{
    const struct all *all = user;

    if (all->ended < all->count)
        msg_progress("refreshing: %zu of %zu", all->ended, all->count);
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
        json_set_object(all->json, "total", total);
        printed = print_json(all->json);
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
    struct drive drive = {
        .cacert = options->cacert,
        .jobs = options->jobs == OPTION_UNSET ? OPTION_JOBS : (int)options->jobs,
        .next = begin_next,
        .done = end_one,
        .tick = show_progress,
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
    drive_all(&drive);
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
    int64_t keep_above_s = options->min_ttl_s == OPTION_UNSET ? -1 : options->min_ttl_s;
    static const char *const plans[] = {
        [RENEW_PLAN_KEEP] = "would keep the token",
        [RENEW_PLAN_EXCHANGE] = "would refresh the token",
        [RENEW_PLAN_LOG_IN] = "would log in with the remembered password",
        [RENEW_PLAN_COMMAND] = "would run the token command",
        [RENEW_PLAN_WAIT] = "would send nothing",
        [RENEW_PLAN_NONE] = "would fail",
    };
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
    if (result == RESULT_OK) {
        char *line, expiry[COMMAND_EXPIRY_SIZE];

        plan = renew_decide(&profile, keep_above_s, clock_epoch_s(), &why);
        line = mem_format("%s: %s: %s", cache.name, plans[plan], why);
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
    struct error error = {.result = RESULT_OK};

    if (options->all &&
        (options->profile_is_flag || options->file_is_flag || options->print || options->adopt))
        error_set(&error, RESULT_USAGE,
                  "--all goes with none of --profile, --file, --print and --adopt");
    else if (options->print && options->json)
        error_set(&error, RESULT_USAGE, "give only one of --print and --json");
    else if (options->jobs != OPTION_UNSET && !options->all)
        error_set(&error, RESULT_USAGE, "--jobs goes with --all");
    if (error.result != RESULT_OK)
        return command_fail(&error);
    if (options->dry_run)
        return dry_run(options);
    return options->all ? refresh_all(options) : refresh_one(options);
}
