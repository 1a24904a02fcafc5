/* SPDX-License-Identifier: MIT */
/* One refresh: in which form of the header the token goes out, what its answer means for the token
 * that went, and what was learnt. */
#include "renewal/steps.h"

#include "base/clock.h"
#include "base/msg.h"
#include "store/advice.h"
#include "store/lock.h"

/* How one form of the header was answered. */
struct asked {
    enum request_fate fate;
    struct api_answer answer; /* REQUEST_ANSWERED only */
};

static bool was_told_to_wait(const struct asked *asked)
{
    return (asked->answer.status == 429 || asked->answer.status == 503) &&
           asked->answer.retry_after_s >= 0;
}

/* The documented bare token first, or the form that worked last. */
static enum api_scheme first_form(const struct renewal *r)
{
    enum api_scheme worked = api_scheme_of(r->profile.auth_scheme);

    if (r->wish->scheme != API_SCHEME_UNKNOWN)
        return r->wish->scheme;
    return worked != API_SCHEME_UNKNOWN ? worked : API_SCHEME_RAW;
}

static enum api_scheme other_form(enum api_scheme form)
{
    return form == API_SCHEME_RAW ? API_SCHEME_BEARER : API_SCHEME_RAW;
}

/* What an answer says of the token that was sent: no longer in doubt if it cannot have been spent.
 * Whether a 5xx, or nonsense in place of a token, spent it nobody knows; a gateway's 503 hardly
 * did, and an address where the API is not (404, a redirect) cannot have. */
static void settle(struct renewal *r, const struct asked *asked, enum result result,
                   bool was_in_doubt)
{
    long status = asked->answer.status;
    bool unspent = asked->fate == REQUEST_NOT_SENT ||
                   (asked->fate == REQUEST_ANSWERED && !asked->answer.blacklisted &&
                    (result == RESULT_REFUSED || status == 503 || (status >= 300 && status < 500)));

    /* An earlier doubt is for a new token to end, or, once it is stored, for the service's word. */
    if (unspent && !was_in_doubt)
        cache_note_answered(&r->cache);
}

/* Sends the token in the form that is chosen, until something comes of it. */
static enum result ask(struct renewal *r, struct asked *asked)
{
    bool was_in_doubt = cache_token_is_in_doubt(&r->cache, r->profile.token, 0);
    struct request request = {0};
    struct reply reply = {0};
    enum result result;

    *asked = (struct asked){.fate = REQUEST_NOT_SENT};
    do {
        if (cache_note_sent(&r->cache, r->profile.token, &r->error) != RESULT_OK)
            return r->error.result;
        api_refresh(&request, profile_api_url(&r->profile, r->wish->api_url), r->profile.token,
                    r->scheme);
        result = step_send(r, &request, &reply);
        asked->fate = reply.fate;
        if (reply.fate == REQUEST_ANSWERED)
            result = step_read(r, API_REFRESH, &reply, &asked->answer);
        settle(r, asked, result, was_in_doubt);
        reply_clear(&reply);
    } while (asked->fate == REQUEST_NOT_SENT && (result = step_retry(r)) == RESULT_OK);
    return result;
}

/* Whether the same token should go once more in the other form: an unparsed header spends
 * nothing. */
static bool other_form_may_do(const struct renewal *r, const struct asked *asked)
{
    long status = asked->answer.status;

    if (r->wish->scheme != API_SCHEME_UNKNOWN || r->scheme != first_form(r) ||
        asked->fate != REQUEST_ANSWERED || asked->answer.blacklisted)
        return false;
    return status == 400 || status == 401 || status == 403 || asked->answer.unparsed ||
           (status == 500 && r->profile.auth_scheme == NULL);
}

/* The other form. If both are refused, the first answer that is not about the form is the one to
 * tell (of a 500 nobody knows what it is about), and to act upon. */
static enum result ask_in_other_form(struct renewal *r, struct asked *asked)
{
    struct error first = r->error;
    bool was_unparsed = asked->answer.unparsed;
    long status = asked->answer.status;
    enum result result;

    r->scheme = other_form(r->scheme);
    msg_verbose("%s: %s: trying the %s form of the header", r->cache.name, r->error.text,
                api_scheme_name(r->scheme));
    api_answer_clear(&asked->answer);
    result = ask(r, asked);
    if (result != RESULT_REFUSED || was_unparsed ||
        (asked->answer.blacklisted && first.result != RESULT_REFUSED))
        return result;
    r->error = first;
    asked->answer.status = status;
    return first.result;
}

/* A remembered form that fails may be one that the service no longer takes: it must not cost a
 * login each time, so the other one goes first then. */
static void doubt_form(struct renewal *r, const struct asked *asked)
{
    if (r->wish->scheme == API_SCHEME_UNKNOWN && r->profile.auth_scheme != NULL &&
        r->scheme == first_form(r) && asked->fate == REQUEST_ANSWERED && !asked->answer.blacklisted)
        mem_replace(&r->profile.auth_scheme, api_scheme_name(other_form(r->scheme)));
}

/* The token itself will not do any more: a login may, without a person if there is a source. */
static enum result fail(struct renewal *r, const struct asked *asked)
{
    bool lost = asked->fate == REQUEST_LOST && r->error.result == RESULT_TEMPORARY;

    if (lost) /* it is never sent again in this run, and if it is spent a login alone helps */
        error_append(&r->error, ": the token is perhaps spent");
    r->exchange_failed = lost || r->error.result == RESULT_REFUSED || asked->answer.status == 500;
    if (r->exchange_failed && profile_has_source(&r->profile))
        doubt_form(r, asked);
    /* (A form that somebody insists on may be just the wrong one.) */
    if (r->error.result == RESULT_REFUSED &&
        (!asked->answer.unparsed || r->wish->scheme == API_SCHEME_UNKNOWN)) {
        r->profile.refused_at = clock_epoch_s();
        if (asked->answer.blacklisted)
            r->profile.blacklisted_at = r->profile.refused_at;
        r->learnt = true;
    }
    if (!r->exchange_failed || profile_has_source(&r->profile))
        return r->error.result;
    if (r->error.result == RESULT_TEMPORARY) {
        char *command = advice_login_command(r->cache.name, r->cache.path, &r->profile);

        error_append(&r->error, ": if it stays so, run %s", command);
        mem_free(command);
        return r->error.result;
    }
    return advice_append_login(&r->error, r->cache.name, r->cache.path, &r->profile);
}

enum result exchange(struct renewal *r)
{
    struct asked asked;
    enum result result;

    if (r->scheme == API_SCHEME_UNKNOWN) /* else it goes on where it was told to wait */
        r->scheme = first_form(r);
    result = ask(r, &asked);
    if (result != RESULT_OK && other_form_may_do(r, &asked))
        result = ask_in_other_form(r, &asked);
    if (result == RESULT_OK) {
        step_take_token(r, asked.answer.token, asked.answer.token_type, asked.answer.obtained_at,
                        asked.answer.expires_at);
        step_take_password_days(r, &asked.answer);
        mem_replace(&r->profile.auth_scheme, api_scheme_name(r->scheme));
        r->outcome.action = RENEW_RENEWED;
        r->outcome.spent = true;
    } else if (was_told_to_wait(&asked)) {
        result = step_told_to_wait(r, &asked.answer);
    } else if (result != RESULT_AGAIN && result != RESULT_INTERRUPTED) {
        result = fail(r, &asked);
    }
    api_answer_clear(&asked.answer);
    return result;
}
