#include "renewal/renew.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "input/source.h"
#include "store/token.h"
#include "store/url.h"

/* A taken lock is tried again after 5 ms, then twice that, to 50 ms at most: a renewal takes some
 * 25 ms on a good day, and 200 waiting processes must not eat the machine. */
#define LOCK_PAUSE_FIRST_MS 5
#define LOCK_PAUSE_MAX_MS 50
/* Before a further try: half a second, then twice that each time, and up to as much again by
 * chance, so that many hosts do not come back at once. */
#define RETRY_PAUSE_MS 500
/* A service that says "again, at once" is given a moment all the same. */
#define RETRY_AFTER_MIN_MS 100
/* A token type is a word. A longer one is not kept. */
#define TOKEN_TYPE_MAX 64
/* What a new token and times may add to the file: a token of which each character is escaped. */
#define GROWTH_MAX (2 * TOKEN_LENGTH_MAX + 4096)

enum state {
    STATE_LOCK,
    STATE_DECIDE,
    STATE_REFRESH,
    STATE_REFRESH_ANSWERED,
    STATE_SOURCE,
    STATE_PASSWORD_PRINTED,
    STATE_LOGIN,
    STATE_LOGIN_ANSWERED,
    STATE_TOKEN_PRINTED,
    STATE_COMMITTED,
    STATE_ADOPT_PRINTED,
    STATE_ADOPT_COMMITTED,
    STATE_HOOKED,
    STATE_NOTED, /* the profile was written only to remember what went wrong */
    STATE_DONE,
};

/* What the handlers of the states below return when there is nothing to wait for. */
#define RENEW_GO_ON ((enum renew_step)(-1))

/* ---- helpers ---- */

const char *renew_api_url(const struct renewal *r)
{
    if (r->wish.api_url != NULL)
        return r->wish.api_url;
    return r->profile.api_url != NULL ? r->profile.api_url : URL_DEFAULT;
}

static enum renew_step go(struct renewal *r, enum state state)
{
    r->state = state;
    return RENEW_GO_ON;
}

/* r->error says how it ended. */
static enum renew_step finish(struct renewal *r)
{
    cache_abandon(&r->cache);
    cache_unlock(&r->cache);
    child_kill(&r->child);
    buffer_clear(&r->hook_input);
    buffer_clear(&r->published);
    buffer_clear(&r->password);
    request_clear(&r->request);
    reply_clear(&r->reply);
    r->state = STATE_DONE;
    return RENEW_DONE;
}

static enum renew_step succeed(struct renewal *r, enum renew_action action)
{
    r->action = action;
    r->error.result = RESULT_OK;
    return finish(r);
}

static int64_t left_ms(const struct renewal *r)
{
    int64_t left = r->deadline_ms - clock_monotonic_ms();

    return left < 0 ? 0 : left;
}

static void append_login_hint(struct renewal *r, const char *joint)
{
    char *hint = cache_login_command(r->cache.name, r->cache.path, &r->profile);

    error_append(&r->error, "%srun %s", joint, hint);
    mem_free(hint);
}

/* What a person must do, whom a login needs. */
static void append_login_advice(struct renewal *r)
{
    char when[CLOCK_TEXT_SIZE];

    if (profile_login_was_refused(&r->profile)) {
        error_append(&r->error, "; the remembered password was refused on %s and is not sent again",
                     clock_format(r->profile.unattended_login_at, when));
        append_login_hint(r, ": correct it at its source, then ");
    } else {
        append_login_hint(r, ": ");
    }
}

static enum renew_step pause_for(struct renewal *r, int64_t ms, enum state then)
{
    r->pause_until_ms = clock_monotonic_ms() + ms;
    r->state = then;
    return RENEW_PAUSE;
}

/* ---- deciding ---- */

enum renew_plan renew_decide(const struct profile *profile, int64_t keep_above_s, int64_t now,
                             const char **why)
{
    int64_t ttl_s = profile_ttl_s(profile, now);
    bool permanent = profile->token != NULL && profile_is_permanent(profile);
    bool blacklisted = profile->blacklisted_at != 0;

    if (ttl_s > 0 && keep_above_s >= 0 && ttl_s > keep_above_s) {
        *why = "the token lasts long enough";
        return RENEW_PLAN_KEEP;
    }
    if (profile->token_command != NULL) {
        *why = "this profile's token comes from its token command";
        return RENEW_PLAN_COMMAND;
    }
    if (permanent && ttl_s > 0) {
        *why = "the token is permanent: renewing it would end it";
        return RENEW_PLAN_KEEP;
    }
    /* A time further away than any that is stored is a clock that was set. */
    if (profile->retry_at > now && profile->retry_at - now <= 86400) {
        *why = "the service asked to be left alone for a while";
        return RENEW_PLAN_WAIT;
    }
    if (profile->token != NULL && !permanent && !blacklisted) {
        *why = ttl_s == 0         ? "the token has expired"
               : keep_above_s < 0 ? "a new token is wanted"
                                  : "the token ends soon";
        return RENEW_PLAN_EXCHANGE;
    }
    *why = blacklisted ? "the service has blacklisted the token"
           : permanent ? "the permanent token has expired"
                       : "there is no token";
    return profile_has_source(profile) ? RENEW_PLAN_LOG_IN : RENEW_PLAN_NONE;
}

/* Another process renewed it since this one first looked. */
static bool was_renewed_by_another(const struct renewal *r)
{
    return r->seen_token != NULL && r->profile.token != NULL &&
           strcmp(r->seen_token, r->profile.token) != 0 &&
           profile_ttl_s(&r->profile, clock_epoch_s()) > 0;
}

static enum renew_step prepare(struct renewal *r, enum state then)
{
    char *text = profile_print(&r->profile);
    size_t size = strlen(text) + GROWTH_MAX;

    if (r->wish.password_command != NULL)
        size += 6 * strlen(r->wish.password_command); /* JSON escapes a byte to six at most */
    if (r->wish.token_command != NULL)
        size += 6 * strlen(r->wish.token_command);
    mem_free(text);
    if (cache_prepare(&r->cache, size, &r->error) != RESULT_OK)
        return finish(r);
    return go(r, then);
}

static enum renew_step fail_waiting(struct renewal *r)
{
    char span[CLOCK_TEXT_SIZE];

    error_set(&r->error, RESULT_TEMPORARY,
              "the service asked not to be asked for another %s: nothing was sent",
              clock_format_span(r->profile.retry_at - clock_epoch_s(), span));
    return finish(r);
}

static enum renew_step fail(struct renewal *r);

/* input, environment, want_output: as for child_start. */
static enum renew_step run_child(struct renewal *r, const char *command, const struct buffer *input,
                                 const char *const *environment, bool want_output, enum state then)
{
    child_kill(&r->child); /* what another one printed */
    if (child_start(&r->child, command, input, environment, want_output, &r->error) != RESULT_OK)
        return fail(r);
    return go(r, then);
}

static enum renew_step start_child(struct renewal *r, const char *command, enum state then)
{
    return run_child(r, command, NULL, NULL, true, then);
}

/* The documented bare token first, or the form that worked last. */
static enum api_scheme first_scheme(const struct renewal *r)
{
    enum api_scheme worked = api_scheme_of(r->profile.auth_scheme);

    if (r->wish.scheme != API_SCHEME_UNKNOWN)
        return r->wish.scheme;
    return worked != API_SCHEME_UNKNOWN ? worked : API_SCHEME_RAW;
}

static enum renew_step start_hook(struct renewal *r);

/* The token stays (or is what was adopted); it is published if what is published is another. */
static enum renew_step keep(struct renewal *r)
{
    bool is_published = strcmp(buffer_text(&r->published), r->profile.token) == 0;

    if (r->wish.adopt == NULL || r->wish.on_change == NULL || is_published)
        return succeed(r, r->action);
    r->commit_error.result = RESULT_OK;
    return start_hook(r);
}

/* Does what was decided about the profile that is read, or adopted. */
static enum renew_step carry_out(struct renewal *r)
{
    int64_t now = clock_epoch_s(), wait_ms;
    const char *why;

    switch (renew_decide(&r->profile, r->wish.keep_above_s, now, &why)) {
    case RENEW_PLAN_KEEP:
        return keep(r);
    case RENEW_PLAN_EXCHANGE:
        msg_verbose("%s: refreshing: %s", r->cache.name, why);
        r->scheme = first_scheme(r);
        r->was_in_doubt = cache_token_is_in_doubt(&r->cache, r->profile.token, 0);
        return prepare(r, STATE_REFRESH);
    case RENEW_PLAN_LOG_IN:
        msg_verbose("%s: logging in with the remembered password: %s", r->cache.name, why);
        return prepare(r, STATE_SOURCE);
    case RENEW_PLAN_COMMAND:
        msg_verbose("%s: running the token command", r->cache.name);
        if (prepare(r, STATE_TOKEN_PRINTED) == RENEW_DONE)
            return RENEW_DONE;
        return start_child(r, r->profile.token_command, STATE_TOKEN_PRINTED);
    case RENEW_PLAN_WAIT:
        wait_ms = (r->profile.retry_at - now) * 1000;
        if (wait_ms >= left_ms(r))
            return fail_waiting(r);
        return pause_for(r, wait_ms, STATE_DECIDE);
    case RENEW_PLAN_NONE:
        break;
    }
    error_set(&r->error, RESULT_NO_TOKEN, "no usable token: %s", why);
    append_login_advice(r);
    return finish(r);
}

static enum renew_step decide_fresh(struct renewal *r)
{
    enum result result = cache_read(&r->cache, &r->profile, &r->error);

    if (result != RESULT_OK && (result != RESULT_NO_TOKEN || r->wish.adopt == NULL))
        return finish(r);
    if (was_renewed_by_another(r))
        return succeed(r, RENEW_KEPT);
    if (r->wish.adopt == NULL || r->adopt_asked)
        return carry_out(r);
    r->adopt_asked = true;
    return start_child(r, r->wish.adopt, STATE_ADOPT_PRINTED);
}

static bool changes_account(const struct renewal *r)
{
    const struct profile *p = &r->profile;

    return (p->email != NULL && r->wish.email != NULL && strcmp(p->email, r->wish.email) != 0) ||
           (p->api_url != NULL && url_check(p->api_url, &(struct error){0}) == RESULT_OK &&
            !url_same(p->api_url, renew_api_url(r)));
}

static void take_token(struct renewal *r, const char *token, const char *token_type,
                       int64_t obtained_at, int64_t expires_at)
{
    struct profile *p = &r->profile;

    mem_replace(&p->token, token);
    mem_replace(&p->token_type,
                token_type != NULL && strlen(token_type) <= TOKEN_TYPE_MAX ? token_type : NULL);
    p->obtained_at = obtained_at;
    p->expires_at = expires_at;
    p->blacklisted_at = 0;
    p->retry_at = 0;
}

/* A token from elsewhere: its claims, if it has any, say what is known of it. */
static void import_token(struct renewal *r, const char *token)
{
    struct token_claims claims = token_claims(token);

    take_token(r, token, NULL, clock_epoch_s(), claims.has_exp ? claims.exp : TOKEN_NO_EXPIRY);
    r->profile.logged_in_at = claims.has_iat ? claims.iat : 0;
}

static void remember_url(struct renewal *r)
{
    if (r->profile.api_url == NULL)
        mem_replace(&r->profile.api_url, renew_api_url(r));
}

/* What a login changes besides the token. */
static void take_login(struct renewal *r)
{
    struct profile *p = &r->profile;
    const struct renew_wish *wish = &r->wish;
    bool replaces_source = changes_account(r) || wish->forget_source ||
                           wish->password_command != NULL || wish->password_file != NULL ||
                           wish->token_command != NULL;

    if (changes_account(r)) {
        mem_replace(&p->auth_scheme, NULL);
        p->password_expires_at = 0;
    }
    if (replaces_source) {
        mem_replace(&p->password_command, wish->password_command);
        mem_replace(&p->password_file, wish->password_file);
    }
    /* The newest word counts: a password or a token given by hand ends the command's rule. */
    mem_replace(&p->token_command, wish->token_command);
    /* A token from elsewhere says nothing of the password that was refused. */
    if (wish->goal == RENEW_GOAL_LOGIN || replaces_source) {
        mem_replace(&p->unattended_login, NULL);
        p->unattended_login_at = 0;
    }
    if (wish->email != NULL)
        mem_replace(&p->email, wish->email);
    if (wish->scheme != API_SCHEME_UNKNOWN)
        mem_replace(&p->auth_scheme, api_scheme_name(wish->scheme));
    if (wish->api_url != NULL)
        mem_replace(&p->api_url, wish->api_url);
    remember_url(r);
}

static enum renew_step commit(struct renewal *r, enum state then)
{
    if (r->wish.no_cache) {
        r->stored = true;
        r->commit_error.result = RESULT_OK;
        return go(r, then);
    }
    mem_free(r->text);
    r->text = profile_print(&r->profile);
    r->state = then;
    return RENEW_COMMIT;
}

static enum renew_step import(struct renewal *r)
{
    take_login(r);
    import_token(r, buffer_text(r->wish.token));
    r->action = RENEW_LOGGED_IN;
    return commit(r, STATE_COMMITTED);
}

static enum renew_step decide_login(struct renewal *r)
{
    bool imports = r->wish.goal == RENEW_GOAL_IMPORT;
    int64_t now = clock_epoch_s();

    if (!r->wish.no_cache) {
        enum result result = cache_read(&r->cache, &r->profile, &r->error);

        r->replaced_cache = result == RESULT_LOCAL && r->cache.replaceable;
        r->replaced_why = r->error;
        if (result == RESULT_LOCAL && !r->replaced_cache)
            return finish(r);
    }
    if (url_check(renew_api_url(r), &r->error) != RESULT_OK) {
        r->error.result = RESULT_LOCAL; /* the profile's; the wish's was checked before */
        return finish(r);
    }
    if (!imports && r->profile.retry_at > now && r->profile.retry_at - now <= 86400 &&
        !changes_account(r))
        return fail_waiting(r);
    if (r->wish.no_cache)
        return imports ? import(r) : go(r, STATE_LOGIN);
    if (prepare(r, STATE_LOGIN) == RENEW_DONE)
        return RENEW_DONE;
    return imports ? import(r) : RENEW_GO_ON;
}

static enum renew_step lock(struct renewal *r)
{
    enum result result;

    if (r->wish.no_cache)
        return go(r, STATE_DECIDE);
    result = cache_lock(&r->cache, &r->error);
    if (result == RESULT_OK)
        return go(r, STATE_DECIDE);
    if (result == RESULT_TEMPORARY && left_ms(r) == 0)
        error_append(&r->error, ": it was not let go in time");
    if (result != RESULT_TEMPORARY || left_ms(r) == 0)
        return finish(r);
    /* Whoever holds the lock may be done but for letting it go: look, that needs no lock. */
    if (r->wish.goal == RENEW_GOAL_FRESH && cache_changed(&r->cache)) {
        struct error ignored; /* the lock's holder, or our own turn, will say it */

        if (cache_read(&r->cache, &r->profile, &ignored) == RESULT_OK && was_renewed_by_another(r))
            return succeed(r, RENEW_KEPT);
    }
    r->lock_pause_ms = r->lock_pause_ms == 0 ? LOCK_PAUSE_FIRST_MS : r->lock_pause_ms * 2;
    if (r->lock_pause_ms > LOCK_PAUSE_MAX_MS)
        r->lock_pause_ms = LOCK_PAUSE_MAX_MS;
    return pause_for(r, r->lock_pause_ms + clock_jitter(r->lock_pause_ms), STATE_LOCK);
}

/* ---- after an answer that is no token ---- */

/* Writes the profile with what was learnt (nothing, where there is no file), then ends with the
 * error that is set. */
static enum renew_step note(struct renewal *r)
{
    /* What another host says is nothing to the profile's own. */
    if (r->profile.json == NULL || r->cache.temp_fd < 0 || changes_account(r))
        return finish(r);
    return commit(r, STATE_NOTED);
}

/* Ends with the error that is set. */
static enum renew_step fail(struct renewal *r)
{
    return r->has_learnt ? note(r) : finish(r);
}

static enum renew_step noted(struct renewal *r)
{
    r->stored = false; /* the profile was, with no token in it that the caller wants */
    if (r->commit_error.result != RESULT_OK) {
        /* It matters more than what went wrong before: the guard is down. */
        error_append(&r->commit_error, " (after: %s)", r->error.text);
        r->error = r->commit_error;
    } else if (r->has_learnt) {
        cache_note_answered(&r->cache); /* what the file says now is no mere doubt */
    }
    return finish(r);
}

/* Again after a pause, if tries are left and the pause ends in time. */
static bool may_retry(struct renewal *r, int64_t pause_ms)
{
    if (r->tries_left == 0 || pause_ms >= left_ms(r))
        return false;
    r->tries_left--;
    r->tries_made++;
    return true;
}

static int64_t growing_pause_ms(const struct renewal *r)
{
    /* The shift stays small: tries beyond the sixth all pause alike. */
    int64_t base = RETRY_PAUSE_MS << (r->tries_made < 6 ? r->tries_made : 6);

    return base + clock_jitter(base);
}

/* Not a byte of the request went out, so it may go again. */
static enum renew_step retry_unsent(struct renewal *r, enum state again)
{
    int64_t pause_ms = growing_pause_ms(r);

    r->error = r->reply.error;
    if (r->error.result == RESULT_TEMPORARY && may_retry(r, pause_ms)) {
        msg_verbose("%s: %s: trying again", r->cache.name, r->error.text);
        return pause_for(r, pause_ms, again);
    }
    return fail(r);
}

/* 429 or 503: the service says when. */
static enum renew_step retry_when_told(struct renewal *r, const struct api_answer *answer,
                                       enum state again)
{
    int64_t pause_ms = answer->retry_after_s * 1000 + RETRY_AFTER_MIN_MS;
    char span[CLOCK_TEXT_SIZE];

    if (may_retry(r, pause_ms)) {
        msg_verbose("%s: %s: trying again when told to", r->cache.name, r->error.text);
        return pause_for(r, pause_ms, again);
    }
    error_append(&r->error, ": try again in %s",
                 clock_format_span(answer->retry_after_s < 1 ? 1 : answer->retry_after_s, span));
    /* The second that has begun does not count. */
    r->profile.retry_at = clock_epoch_s() + answer->retry_after_s + 1;
    return note(r);
}

/* ---- refresh ---- */

static enum renew_step refresh(struct renewal *r)
{
    if (url_check(renew_api_url(r), &r->error) != RESULT_OK) {
        r->error.result = RESULT_LOCAL;
        return finish(r);
    }
    if (left_ms(r) == 0) {
        error_set(&r->error, RESULT_TEMPORARY, "no time was left for a request");
        return finish(r);
    }
    if (cache_note_sent(&r->cache, r->profile.token, &r->error) != RESULT_OK)
        return finish(r);
    request_clear(&r->request);
    reply_clear(&r->reply); /* its sent_at is of an earlier try */
    api_refresh(&r->request, renew_api_url(r), r->profile.token, r->scheme);
    r->state = STATE_REFRESH_ANSWERED;
    return RENEW_REQUEST;
}

/* The token itself will not do any more: a login may, without a person if there is a source. */
static enum renew_step refresh_refused(struct renewal *r)
{
    if (profile_has_source(&r->profile)) {
        msg_verbose("%s: %s: logging in with the remembered password", r->cache.name,
                    r->error.text);
        return go(r, STATE_SOURCE);
    }
    if (r->error.result == RESULT_TEMPORARY) {
        error_append(&r->error, ": if it stays so, ");
        append_login_hint(r, "");
    } else {
        append_login_advice(r);
    }
    return fail(r);
}

/* Whether the same token should go once more in the other form: an unparsed header spends
 * nothing. */
static bool should_try_other_scheme(const struct renewal *r, const struct api_answer *answer)
{
    if (r->wish.scheme != API_SCHEME_UNKNOWN || r->tried_scheme != API_SCHEME_UNKNOWN ||
        answer->blacklisted)
        return false;
    return answer->status == 400 || answer->status == 401 || answer->status == 403 ||
           (answer->status == 500 && r->profile.auth_scheme == NULL);
}

static enum renew_step try_other_scheme(struct renewal *r)
{
    r->tried_scheme = r->scheme;
    r->scheme = r->scheme == API_SCHEME_RAW ? API_SCHEME_BEARER : API_SCHEME_RAW;
    if (r->profile.auth_scheme != NULL)
        r->first_error = r->error;
    msg_verbose("%s: %s: trying the %s form of the header", r->cache.name, r->error.text,
                api_scheme_name(r->scheme));
    return go(r, STATE_REFRESH);
}

/* The form that worked before knows better than the other one what is wrong. */
static void prefer_first_error(struct renewal *r)
{
    if (r->first_error.result != RESULT_OK)
        r->error = r->first_error;
}

static enum renew_step refresh_lost(struct renewal *r)
{
    r->error = r->reply.error;
    prefer_first_error(r);
    if (r->error.result != RESULT_TEMPORARY)
        return r->error.result == RESULT_REFUSED ? refresh_refused(r) : fail(r);
    /* It is never sent again in this run, and if it is spent a login alone helps. */
    error_append(&r->error, ": the token is perhaps spent");
    return left_ms(r) > 0 || !profile_has_source(&r->profile) ? refresh_refused(r) : fail(r);
}

static struct api_question question(const struct renewal *r, enum api_operation operation,
                                    const char *host)
{
    return (struct api_question){
        .operation = operation,
        .host = host,
        .password = r->password.len > 0        ? r->password.data
                    : r->wish.password != NULL ? buffer_text(r->wish.password)
                                               : NULL,
        .token = r->profile.token,
        .logged_in_at = r->profile.logged_in_at,
    };
}

static void read_answer(struct renewal *r, enum api_operation operation, struct api_answer *answer)
{
    char *host = url_host(renew_api_url(r));
    struct api_question asked = question(r, operation, host);

    api_read(&asked, &r->reply, answer);
    r->error = answer->error;
    mem_free(host);
}

static void take_password_days(struct renewal *r, const struct api_answer *answer)
{
    if (answer->password_days >= 0)
        r->profile.password_expires_at = answer->obtained_at +
                                         (int64_t)answer->password_days * 86400;
}

static enum renew_step take_refreshed(struct renewal *r, const struct api_answer *answer)
{
    take_token(r, answer->token, answer->token_type, answer->obtained_at, answer->expires_at);
    take_password_days(r, answer);
    mem_replace(&r->profile.auth_scheme, api_scheme_name(r->scheme));
    r->action = RENEW_RENEWED;
    return commit(r, STATE_COMMITTED);
}

static enum renew_step refresh_answered(struct renewal *r)
{
    struct api_answer answer;
    enum renew_step step;
    enum result result;
    long status;

    if (r->reply.fate == REQUEST_NOT_SENT) {
        if (!r->was_in_doubt)
            cache_note_answered(&r->cache);
        if (r->first_error.result != RESULT_OK) {
            prefer_first_error(r);
            return refresh_refused(r);
        }
        return retry_unsent(r, STATE_REFRESH);
    }
    if (r->reply.fate == REQUEST_LOST)
        return refresh_lost(r);
    read_answer(r, API_REFRESH, &answer);
    result = r->error.result;
    status = answer.status;
    if (answer.blacklisted) {
        r->profile.blacklisted_at = clock_epoch_s();
        r->has_learnt = true;
    }
    /* Whether a 5xx or nonsense spent the token nobody knows; a gateway's 503 hardly did. An
     * earlier doubt is for a new token to end, or, once that is stored, for the service's word. */
    if (!r->was_in_doubt && !r->has_learnt &&
        (status == 503 || (status < 500 && result != RESULT_PROTOCOL && result != RESULT_OK)))
        cache_note_answered(&r->cache);
    else
        r->was_in_doubt = true;
    if (result == RESULT_OK) {
        step = take_refreshed(r, &answer);
    } else if ((status == 429 || status == 503) && answer.retry_after_s >= 0) {
        step = retry_when_told(r, &answer, STATE_REFRESH);
    } else if (should_try_other_scheme(r, &answer)) {
        step = try_other_scheme(r);
    } else {
        prefer_first_error(r);
        if (r->error.result == RESULT_REFUSED || status == 500)
            step = refresh_refused(r);
        else
            step = fail(r);
    }
    api_answer_clear(&answer);
    return step;
}

/* ---- login ---- */

static enum renew_step find_password(struct renewal *r)
{
    const struct profile *p = &r->profile;
    struct source_file file;

    if (changes_account(r)) {
        error_set(&r->error, RESULT_USAGE,
                  "the remembered password is for %s and is not sent to %s: see to --api-url and "
                  "SERVETEL_API_URL",
                  p->api_url, renew_api_url(r));
        return fail(r);
    }
    buffer_clear(&r->password);
    r->password = BUFFER(PASSWORD_LENGTH_MAX);
    r->tries_left = r->wish.retries;
    r->tries_made = 0;
    if (p->password_command != NULL)
        return start_child(r, p->password_command, STATE_PASSWORD_PRINTED);
    if (source_read_file(p->password_file, r->deadline_ms, &r->password, &file, &r->error) !=
        RESULT_OK)
        return fail(r);
    r->exposed_file = file.exposed;
    return go(r, STATE_LOGIN);
}

/* Whether the command has ended well and printed something; else *step says how to go on. */
static bool child_ended_well(struct renewal *r, const char *what, enum renew_step *step)
{
    struct error error;

    if (!child_step(&r->child)) {
        *step = RENEW_CHILD;
        if (left_ms(r) > 0)
            return false;
        error_set(&r->error, RESULT_TEMPORARY, "%s did not end in time", what);
    } else if (child_result(&r->child, &error) != RESULT_OK) {
        error_set(&r->error, RESULT_LOCAL, "%s %s", what, error.text);
    } else if (r->child.line_too_long) {
        error_set(&r->error, RESULT_LOCAL, "%s printed too long a line", what);
    } else {
        return true;
    }
    *step = fail(r);
    return false;
}

static enum renew_step password_printed(struct renewal *r)
{
    static const char what[] = "the remembered password command";
    enum renew_step step;

    if (!child_ended_well(r, what, &step))
        return step;
    if (source_check(&r->child.line, "the output of the remembered password command", &r->error) !=
        RESULT_OK)
        return fail(r);
    buffer_clear(&r->password);
    r->password = r->child.line;
    r->child.line = BUFFER(CHILD_LINE_MAX);
    return go(r, STATE_LOGIN);
}

static enum renew_step login(struct renewal *r)
{
    const char *email = r->wish.goal == RENEW_GOAL_LOGIN ? r->wish.email : r->profile.email;
    const char *password = r->wish.goal == RENEW_GOAL_LOGIN ? buffer_text(r->wish.password)
                                                            : buffer_text(&r->password);

    if (url_check(renew_api_url(r), &r->error) != RESULT_OK) {
        r->error.result = RESULT_LOCAL;
        return fail(r);
    }
    if (left_ms(r) == 0) {
        error_set(&r->error, RESULT_TEMPORARY, "no time was left for the login");
        return fail(r);
    }
    request_clear(&r->request);
    api_login(&r->request, renew_api_url(r), email, password);
    r->state = STATE_LOGIN_ANSWERED;
    return RENEW_REQUEST;
}

static enum renew_step login_refused(struct renewal *r)
{
    r->login_failed = true;
    if (r->wish.goal == RENEW_GOAL_LOGIN && !r->wish.password_is_remembered) {
        error_append(&r->error, ": check the login ID and the password");
        return fail(r);
    }
    mem_replace(&r->profile.unattended_login, "refused");
    r->profile.unattended_login_at = clock_epoch_s();
    error_append(&r->error, ": the remembered password is not sent again until a login succeeds");
    append_login_hint(r, ": correct it at its source, then ");
    return note(r);
}

static enum renew_step take_logged_in(struct renewal *r, const struct api_answer *answer)
{
    if (r->wish.goal == RENEW_GOAL_LOGIN)
        take_login(r);
    take_token(r, answer->token, answer->token_type, answer->obtained_at, answer->expires_at);
    r->profile.logged_in_at = answer->obtained_at;
    r->profile.password_expires_at = 0; /* it may be a new one */
    take_password_days(r, answer);
    r->action = RENEW_LOGGED_IN;
    return commit(r, STATE_COMMITTED);
}

static enum renew_step login_answered(struct renewal *r)
{
    struct api_answer answer;
    enum renew_step step;
    int64_t pause_ms;

    if (r->reply.fate == REQUEST_NOT_SENT)
        return retry_unsent(r, STATE_LOGIN);
    if (r->reply.fate == REQUEST_LOST) {
        r->error = r->reply.error; /* never again by itself: each try may count towards a lock */
        r->login_failed = true;
        return fail(r);
    }
    read_answer(r, API_LOGIN, &answer);
    pause_ms = growing_pause_ms(r);
    if (r->error.result == RESULT_OK)
        step = take_logged_in(r, &answer);
    else if (r->error.result == RESULT_REFUSED)
        step = login_refused(r);
    else if ((answer.status == 429 || answer.status == 503) && answer.retry_after_s >= 0)
        step = retry_when_told(r, &answer, STATE_LOGIN);
    else if (answer.status >= 500 && answer.status <= 599 && may_retry(r, pause_ms))
        step = pause_for(r, pause_ms, STATE_LOGIN);
    else
        step = fail(r);
    api_answer_clear(&answer);
    return step;
}

/* ---- a token command ---- */

/* Whether the cached token no longer works, and this one may. */
static bool is_better_than_none(const struct renewal *r, const char *token)
{
    struct token_claims claims = token_claims(token);
    int64_t now = clock_epoch_s();

    return profile_ttl_s(&r->profile, now) == 0 && (!claims.has_exp || claims.exp > now) &&
           (r->profile.token == NULL || strcmp(token, r->profile.token) != 0);
}

/* An error's text, or the "null" of a tool, is visible ASCII too: where the cached token has an end
 * among its claims, what has none is not taken for its successor. */
static bool succeeds(struct renewal *r, const char *what, const char *token)
{
    if (r->profile.token == NULL || !token_claims(r->profile.token).has_exp ||
        token_claims(token).has_exp)
        return true;
    error_set(
        &r->error, RESULT_LOCAL,
        "what %s printed is no token that ends, unlike the cached one: see to whatever prints it",
        what);
    return false;
}

static enum renew_step token_printed(struct renewal *r)
{
    static const char what[] = "the token command";
    int64_t now = clock_epoch_s();
    int64_t old_ttl_s = profile_ttl_s(&r->profile, now);
    struct token_claims claims;
    enum renew_step step;
    bool fresher;

    if (!child_ended_well(r, what, &step))
        return step;
    if (token_clean(&r->child.line, "the output of the token command", &r->error) != RESULT_OK) {
        r->error.result = RESULT_LOCAL;
        return finish(r);
    }
    if (!succeeds(r, what, r->child.line.data))
        return finish(r);
    claims = token_claims(r->child.line.data);
    /* Of the end of an opaque token nobody knows: then what is printed now counts. */
    fresher = is_better_than_none(r, r->child.line.data) ||
              (old_ttl_s > 0 && (!claims.has_exp || claims.exp > now) &&
               (token_is_newer(r->child.line.data, r->profile.token, r->profile.expires_at) ||
                (r->profile.expires_at == TOKEN_NO_EXPIRY &&
                 strcmp(r->child.line.data, r->profile.token) != 0)));
    if (!fresher) {
        /* Without --min-ttl the cached one may still be good enough. */
        if (r->wish.keep_above_s < 0 && old_ttl_s > 0 &&
            old_ttl_s >= profile_default_min_ttl_s(&r->profile))
            return succeed(r, RENEW_KEPT);
        error_set(&r->error, RESULT_TEMPORARY,
                  "the token command printed no fresher token than the cached one: see to "
                  "whatever renews it");
        return finish(r);
    }
    import_token(r, r->child.line.data);
    r->action = RENEW_RENEWED;
    return commit(r, STATE_COMMITTED);
}

/* ---- a shared token ---- */

static enum renew_step adopt_printed(struct renewal *r)
{
    static const char what[] = "the adopt command";
    struct profile *p = &r->profile;
    enum renew_step step;

    if (!child_ended_well(r, what, &step)) {
        if (step == RENEW_DONE) {
            r->error.result = RESULT_TEMPORARY; /* the engine that it asks is down */
            error_append(&r->error, ": nothing was sent");
        }
        return step;
    }
    if (r->child.line.len > 0) { /* else nothing is published yet */
        if (token_clean(&r->child.line, "the output of the adopt command", &r->error) !=
            RESULT_OK) {
            r->error.result = RESULT_LOCAL;
            return finish(r);
        }
        if (!succeeds(r, what, r->child.line.data))
            return finish(r);
        r->published = r->child.line;
        r->child.line = BUFFER(CHILD_LINE_MAX);
        /* Of two that end in the same second the published one is newer, but for a publication
         * that failed. */
        if (p->token == NULL || token_is_newer(r->published.data, p->token, p->expires_at) ||
            is_better_than_none(r, r->published.data)) {
            msg_verbose("%s: adopting the published token", r->cache.name);
            import_token(r, r->published.data);
            remember_url(r);
            r->action = RENEW_ADOPTED;
            if (prepare(r, STATE_ADOPT_COMMITTED) == RENEW_DONE)
                return RENEW_DONE;
            return commit(r, STATE_ADOPT_COMMITTED);
        }
    }
    return carry_out(r);
}

/* Stored first, whatever comes of it then: the older one is no longer good. */
static enum renew_step adopt_committed(struct renewal *r)
{
    if (r->commit_error.result != RESULT_OK) {
        r->error = r->commit_error;
        return finish(r);
    }
    return carry_out(r);
}

/* ---- the machine ---- */

static enum renew_step start_hook(struct renewal *r)
{
    bool is_file = strcmp(r->cache.name, r->cache.path) == 0;
    char *profile = mem_join("SERVETEL_PROFILE=", is_file ? "" : r->cache.name);
    char *file = mem_join("SERVETEL_AUTH_FILE=", is_file ? r->cache.path : "");
    char *url = mem_format("SERVETEL_API_URL=%s", renew_api_url(r));
    char *expires_at = r->profile.expires_at == TOKEN_NO_EXPIRY
                           ? mem_copy("SERVETEL_EXPIRES_AT=")
                           : mem_format("SERVETEL_EXPIRES_AT=%lld",
                                        (long long)r->profile.expires_at);
    const char *const environment[] = {profile, file, url, expires_at, NULL};
    enum renew_step step;

    cache_abandon(&r->cache);
    cache_unlock(&r->cache);
    msg_verbose("%s: running the hook", r->cache.name);
    r->deadline_ms = clock_monotonic_ms() + r->wish.timeout_ms; /* the renewal's time is spent */
    r->hook_input = BUFFER(TOKEN_LENGTH_MAX);
    if (signals_caught()) { /* it would be killed at once */
        msg_warn("%s: the token is stored, but the hook was not run: a signal came", r->cache.name);
        error_set(&r->error, RESULT_INTERRUPTED, "interrupted");
        step = finish(r);
    } else if (!buffer_append_text(&r->hook_input, r->profile.token)) {
        step = finish(r); /* never: it is no longer than that */
    } else {
        step = run_child(r, r->wish.on_change, &r->hook_input, environment, false, STATE_HOOKED);
    }
    mem_free(profile);
    mem_free(file);
    mem_free(url);
    mem_free(expires_at);
    return step;
}

static enum renew_step hooked(struct renewal *r)
{
    enum renew_step step;

    if (child_ended_well(r, "the token is stored, but the hook", &step)) {
        r->error = r->commit_error;
        return finish(r);
    }
    if (step == RENEW_DONE)
        r->error.result = RESULT_FAILED;
    return step;
}

static enum renew_step committed(struct renewal *r)
{
    r->error = r->commit_error;
    if (r->stored) {
        cache_note_answered(&r->cache);
        if (r->wish.on_change != NULL)
            return start_hook(r);
    } else if (r->action == RENEW_RENEWED && r->profile.token_command == NULL) {
        error_append(&r->error, ": the old token is spent and the new one is lost");
        append_login_hint(r, ": ");
    }
    return finish(r);
}

enum renew_step renew_next(struct renewal *r)
{
    enum renew_step step = RENEW_GO_ON;

    while (step == RENEW_GO_ON) {
        switch ((enum state)r->state) {
        case STATE_LOCK:
            step = lock(r);
            break;
        case STATE_DECIDE:
            step = r->wish.goal == RENEW_GOAL_FRESH ? decide_fresh(r) : decide_login(r);
            break;
        case STATE_REFRESH:
            step = refresh(r);
            break;
        case STATE_REFRESH_ANSWERED:
            step = refresh_answered(r);
            break;
        case STATE_SOURCE:
            step = find_password(r);
            break;
        case STATE_PASSWORD_PRINTED:
            step = password_printed(r);
            break;
        case STATE_LOGIN:
            step = login(r);
            break;
        case STATE_LOGIN_ANSWERED:
            step = login_answered(r);
            break;
        case STATE_TOKEN_PRINTED:
            step = token_printed(r);
            break;
        case STATE_COMMITTED:
            step = committed(r);
            break;
        case STATE_ADOPT_PRINTED:
            step = adopt_printed(r);
            break;
        case STATE_ADOPT_COMMITTED:
            step = adopt_committed(r);
            break;
        case STATE_HOOKED:
            step = hooked(r);
            break;
        case STATE_NOTED:
            step = noted(r);
            break;
        case STATE_DONE:
            step = RENEW_DONE;
            break;
        }
    }
    return step;
}

void renew_begin(struct renewal *r, const struct renew_wish *wish, const char *profile,
                 const char *file)
{
    enum result result;

    memset(r, 0, sizeof *r);
    r->wish = *wish;
    profile_init(&r->profile);
    reply_clear(&r->reply);
    r->child = (struct child){.out_fd = -1, .in_fd = -1};
    r->tries_left = wish->retries;
    r->deadline_ms = clock_monotonic_ms() + wish->timeout_ms;
    r->state = STATE_LOCK;
    if (cache_open(&r->cache, profile, file, &r->error) != RESULT_OK) {
        r->state = STATE_DONE;
        return;
    }
    if (wish->goal != RENEW_GOAL_FRESH)
        return;
    /* Without a token nothing is made or locked: no directory, no litter. */
    result = cache_read(&r->cache, &r->profile, &r->error);
    if (result != RESULT_OK && (result != RESULT_NO_TOKEN || wish->adopt == NULL))
        r->state = STATE_DONE;
    else
        r->seen_token = mem_copy(r->profile.token);
}

void renew_interrupt(struct renewal *r)
{
    /* Not a byte of it went out. */
    if (r->state == STATE_REFRESH_ANSWERED && r->reply.sent_at == 0 && !r->was_in_doubt)
        cache_note_answered(&r->cache);
    if (r->state == STATE_HOOKED)
        msg_warn("%s: the token is stored, but a signal stopped the hook", r->cache.name);
    error_set(&r->error, RESULT_INTERRUPTED, "interrupted");
    finish(r);
}

void renew_end(struct renewal *r)
{
    finish(r);
    cache_close(&r->cache);
    profile_clear(&r->profile);
    mem_free(r->text);
    mem_free(r->seen_token);
    memset(r, 0, sizeof *r);
}
