/* SPDX-License-Identifier: MIT */
#include "renewal/renew.h"

#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "input/child.h"
#include "input/source.h"
#include "renewal/decide.h"
#include "renewal/steps.h"
#include "store/advice.h"
#include "store/lock.h"

/* What a new token and times may add to the file: a token of which each character is escaped. */
#define GROWTH_MAX (2 * TOKEN_LENGTH_MAX + 4096)

/* ---- before ---- */

/* Another process renewed it since this one first looked. */
static bool was_renewed_by_another(const struct renewal *r)
{
    const char *token = r->profile.token;

    return r->wish->goal == RENEW_GOAL_FRESH && token != NULL && !text_is(r->seen_token, token) &&
           !text_is(r->wish->rejected, token) && profile_ttl_s(&r->profile, clock_epoch_s()) > 0;
}

/* A token command's token spends nothing: whoever it is for can do without the file. */
static enum result do_without_file(struct renewal *r, enum result result)
{
    if (result != RESULT_LOCAL || !r->wish->hands_out || r->profile.token_command == NULL)
        return result;
    mem_replace(&r->no_file_why, r->error.text);
    return RESULT_OK;
}

enum result renew_check_host(struct renewal *r)
{
    return profile_check_host(&r->profile, r->cache.name, r->wish->api_url, r->wish->api_url_from,
                              &r->error);
}

/* What is cached now; a login may do without, or replace what cannot be used. */
static enum result read_again(struct renewal *r)
{
    enum result result = cache_read(&r->cache, &r->profile, &r->error);

    r->learnt = false;
    if (r->wish->goal == RENEW_GOAL_FRESH)
        return result == RESULT_OK                                   ? renew_check_host(r)
               : result == RESULT_NO_TOKEN && r->wish->adopt != NULL ? RESULT_OK
                                                                     : result;
    if (result == RESULT_LOCAL && (!r->cache.is_ours || r->cache.is_later))
        return result;
    if (result == RESULT_LOCAL)
        mem_replace(&r->outcome.replaced_why, r->error.text);
    return RESULT_OK;
}

/* RESULT_AGAIN while another has the lock. */
static enum result lock_and_read(struct renewal *r)
{
    struct error ignored; /* the lock's holder, or our own turn, will say it */
    enum result result;

    if (r->wish->no_cache)
        return RESULT_OK;
    if (r->wish->dry_run)
        return read_again(r);
    result = do_without_file(r, cache_lock(&r->cache, &r->error));
    if (result != RESULT_TEMPORARY)
        return result == RESULT_OK ? read_again(r) : result;
    /* Whoever holds the lock may be done but for letting it go: look, that needs no lock. */
    if (r->wish->goal == RENEW_GOAL_FRESH && cache_changed(&r->cache) &&
        cache_read(&r->cache, &r->profile, &ignored) == RESULT_OK && was_renewed_by_another(r))
        return renew_check_host(r);
    if (step_left_ms(r) > 0)
        return step_again(r, cache_lock_pause_ms(&r->lock_pause_ms));
    error_append(&r->error, ": it was not let go in time");
    return result;
}

enum result renew_prepare(struct renewal *r)
{
    const struct renew_wish *wish = r->wish;
    OWNED char *text = NULL;
    size_t size;

    if (wish->no_cache || r->no_file_why != NULL)
        return RESULT_OK;
    text = profile_print(&r->profile);
    size = strlen(text) + GROWTH_MAX;
    if (wish->password_command != NULL)
        size += 6 * strlen(wish->password_command); /* JSON escapes a byte to six at most */
    if (wish->token_command != NULL)
        size += 6 * strlen(wish->token_command);
    return do_without_file(r, cache_prepare(&r->cache, size, &r->error));
}

/* ---- after ---- */

static enum result write_profile(struct renewal *r, bool *stored, struct error *error)
{
    OWNED char *text = profile_print(&r->profile);

    return cache_write(&r->cache, text, stored, error);
}

/* A token that is stored, though perhaps not on the disk, is the one to use. */
enum result renew_commit(struct renewal *r)
{
    enum result result = RESULT_OK;

    r->learnt = false; /* it goes with the token, or is lost with it */
    r->outcome.stored = r->wish->no_cache;
    if (!r->wish->no_cache && r->no_file_why == NULL)
        result = write_profile(r, &r->outcome.stored, &r->error);
    if (!r->outcome.stored)
        result = do_without_file(r, result);
    if (r->outcome.stored) {
        cache_note_answered(&r->cache);
    } else if (r->no_file_why != NULL) {
        msg_warn("%s: the token is good, but not cached: %s", r->cache.name, r->no_file_why);
    } else if (r->outcome.action == RENEW_RENEWED && r->profile.token_command == NULL) {
        error_append(&r->error, ": the old token is spent and the new one is lost");
        advice_append_login(&r->error, r->cache.name, r->cache.path, NULL);
    }
    return result;
}

/* Not over what another process has stored meanwhile, since somebody removed the lock. */
enum result renew_note(struct renewal *r, enum result result)
{
    const char *api_url = profile_api_url(&r->profile, r->wish->api_url);
    struct error before = r->error;
    bool stored;

    if (!r->learnt || !r->cache.locked || r->no_file_why != NULL ||
        (r->profile.json == NULL && !r->outcome.stored) || cache_changed(&r->cache) ||
        !profile_is_of(&r->profile, r->wish->email, api_url))
        return result;
    r->learnt = false;
    if ((r->cache.temp_fd >= 0 || renew_prepare(r) == RESULT_OK) &&
        write_profile(r, &stored, &r->error) == RESULT_OK) {
        if (r->profile.refused_at != 0)
            cache_note_answered(&r->cache); /* what the file says now is no mere doubt */
        r->error = before;
        return result;
    }
    /* It matters more than what went wrong before: the guard is down. */
    if (result != RESULT_OK && strcmp(before.text, r->error.text) != 0)
        error_append(&r->error, " (after: %s)", before.text);
    return r->error.result;
}

/* ---- the renewal ---- */

/* The token stays (or is what was adopted); it is published if what is published is another. */
static enum result keep(struct renewal *r)
{
    enum result result = renew_note(r, RESULT_OK);

    return publish_is_shared(r) && text_is(r->profile.publication, PROFILE_UNPUBLISHED)
               ? publish(r, result)
               : result;
}

static enum result foretell(struct renewal *r, enum renew_plan plan, const char *why)
{
    r->outcome.plan = plan;
    r->outcome.why = why;
    return plan == RENEW_PLAN_WAIT   ? RESULT_TEMPORARY
           : plan == RENEW_PLAN_NONE ? RESULT_NO_TOKEN
                                     : RESULT_OK;
}

static enum result fail_login_needed(struct renewal *r, const char *why)
{
    bool refused = r->wish->rejected != NULL ||
                   (r->profile.refused_at != 0 && r->profile.blacklisted_at == 0);

    error_set(&r->error, refused ? RESULT_REFUSED : RESULT_NO_TOKEN, "no usable token: %s", why);
    return advice_append_login(&r->error, r->cache.name, r->cache.path, &r->profile);
}

/* A refresh, and a login with the remembered password where that is the way on. */
static enum result exchange_or_log_in(struct renewal *r)
{
    enum result result;

    if (!r->exchange_failed) { /* else an earlier call has come so far */
        result = exchange(r);
        if (!r->exchange_failed || !profile_has_source(&r->profile) || step_left_ms(r) == 0)
            return result;
        msg_verbose("%s: %s: logging in with the remembered password", r->cache.name,
                    r->error.text);
        r->tries_left = r->wish->retries;
        r->tries_made = 0;
    } else if (!profile_has_source(&r->profile)) { /* another's login was refused meanwhile */
        return fail_login_needed(r, "the refresh of the token failed");
    }
    result = signals_caught() ? step_interrupted(r)
                              : step_wait(r, RENEW_PLAN_WAIT, clock_epoch_s());
    return result == RESULT_OK ? log_in(r) : result;
}

static enum result obtain(struct renewal *r, enum renew_plan plan)
{
    return plan == RENEW_PLAN_IMPORT    ? foreign_import(r)
           : plan == RENEW_PLAN_COMMAND ? foreign_fetch(r)
           : plan == RENEW_PLAN_LOG_IN  ? log_in(r)
                                        : exchange_or_log_in(r);
}

static enum result renew_once(struct renewal *r)
{
    enum renew_plan plan;
    enum result result;
    const char *why;
    int64_t now;

    if ((result = lock_and_read(r)) != RESULT_OK || was_renewed_by_another(r))
        return result;
    step_mark_rejected(r);
    if ((result = foreign_adopt(r)) != RESULT_OK)
        return result;
    now = clock_epoch_s(); /* what was adopted is of now */
    plan = decide(&r->profile, r->wish, now, &why);
    if (r->wish->dry_run)
        return foretell(r, plan, why);
    if (r->wish->goal == RENEW_GOAL_FRESH)
        msg_verbose("%s: %s: %s", r->cache.name, decide_plan_names[plan].words, why);
    if (plan == RENEW_PLAN_KEEP)
        return keep(r);
    if (plan == RENEW_PLAN_NONE)
        return fail_login_needed(r, why);
    if ((result = step_wait(r, plan, now)) != RESULT_OK ||
        (result = renew_prepare(r)) != RESULT_OK || (result = obtain(r, plan)) != RESULT_OK)
        return result;
    if (!r->outcome.spent) /* the token command had nothing newer, and need not */
        return keep(r);
    result = renew_commit(r);
    return r->outcome.stored && r->wish->on_change != NULL ? publish(r, result) : result;
}

enum result renew(struct renewal *r)
{
    enum result result = r->error.result;

    if (result != RESULT_OK && result != RESULT_AGAIN)
        return result; /* renew_begin()'s */
    result = signals_caught() ? step_interrupted(r) : renew_once(r);
    if (result != RESULT_OK) /* the pause, the guard, the refusal; then others are told of that */
        result = publish_refusal(r, renew_note(r, result));
    cache_abandon(&r->cache);
    if (result != RESULT_AGAIN || r->cache.locked) /* else its file stays open for the next try */
        cache_unlock(&r->cache);
    r->error.result = result;
    return result;
}

enum result renew_wait(struct renewal *r)
{
    enum result result;

    signals_catch();
    while ((result = renew(r)) == RESULT_AGAIN)
        signals_wait(-1, r->again_ms - clock_monotonic_ms());
    return result;
}

void renew_begin(struct renewal *r, const struct renew_wish *wish, const char *profile,
                 const char *file)
{
    memset(r, 0, sizeof *r);
    r->wish = wish;
    r->profile = PROFILE_NONE;
    r->password = BUFFER(PASSWORD_LENGTH_MAX);
    r->printed = BUFFER(CHILD_LINE_MAX);
    r->tries_left = wish->retries;
    r->deadline_ms = clock_monotonic_ms() + wish->timeout_ms;
    if (cache_open(&r->cache, profile, file, &r->error) != RESULT_OK ||
        wish->goal != RENEW_GOAL_FRESH)
        return;
    /* Without a token nothing is made or locked: no directory, no litter. */
    if (cache_read(&r->cache, &r->profile, &r->error) == RESULT_OK)
        r->seen_token = mem_copy(r->profile.token);
    else if (r->error.result == RESULT_NO_TOKEN && wish->adopt != NULL)
        r->error.result = RESULT_OK;
}

void renew_end(struct renewal *r)
{
    cache_close(&r->cache);
    profile_clear(&r->profile);
    buffer_clear(&r->password);
    buffer_clear(&r->printed);
    mem_free(r->outcome.replaced_why);
    mem_free(r->seen_token);
    mem_free(r->no_file_why);
    mem_free(r->password_from);
    r->seen_token = r->no_file_why = r->password_from = r->outcome.replaced_why = NULL;
}
