/* SPDX-License-Identifier: MIT */
/* One refresh: the form of the header, what its answer means for the token, what was learnt. */
#include "renewal/steps.h"

#include "base/clock.h"
#include "base/msg.h"
#include "store/advice.h"
#include "store/lock.h"

/* The documented bare token first, or the form that worked last. */
static const char *first_form(const struct renewal *r)
{
    if (r->wish->scheme != NULL)
        return r->wish->scheme;
    return text_is(r->profile.auth_scheme, API_BEARER) ? API_BEARER : API_RAW;
}

static const char *other_form(const char *form)
{
    return text_is(form, API_RAW) ? API_BEARER : API_RAW;
}

/* What an answer says of the token that was sent: no longer in doubt if it cannot have been spent.
 * Whether a 5xx, or nonsense in place of a token, spent it nobody knows; a gateway's 503 hardly
 * did, and an address where the API is not (404, a redirect) cannot have. */
static void settle(struct renewal *r, const struct api_answer *answer, enum result result,
                   bool was_in_doubt)
{
    long status = answer->status;
    bool unspent = answer->fate == REQUEST_NOT_SENT ||
                   (answer->fate == REQUEST_ANSWERED && !answer->blacklisted &&
                    (result == RESULT_REFUSED || status == 503 || (status >= 300 && status < 500)));

    /* An earlier doubt is for a new token to end, or, once it is stored, for the service's word. */
    if (unspent && !was_in_doubt)
        cache_note_answered(&r->cache);
}

/* Sends the token in the form that is chosen, until something comes of it. */
static enum result ask(struct renewal *r, struct api_answer *answer)
{
    bool was_in_doubt = cache_token_is_in_doubt(&r->cache, r->profile.token, 0);
    struct request request = {0};
    enum result result;

    *answer = (struct api_answer){.fate = REQUEST_NOT_SENT};
    do {
        if (cache_note_sent(&r->cache, r->profile.token, &r->error) != RESULT_OK)
            return r->error.result;
        api_refresh(&request, profile_api_url(&r->profile, r->wish->api_url), r->profile.token,
                    r->scheme);
        result = step_ask(r, API_REFRESH, &request, answer);
        settle(r, answer, result, was_in_doubt);
    } while (answer->fate == REQUEST_NOT_SENT && (result = step_retry(r)) == RESULT_OK);
    return result;
}

/* Whether the token should go once more, in the other form: an unparsed header spends nothing. */
static bool other_form_may_do(const struct renewal *r, const struct api_answer *answer)
{
    long status = answer->status;

    if (r->wish->scheme != NULL || !text_is(r->scheme, first_form(r)) ||
        answer->fate != REQUEST_ANSWERED || answer->blacklisted)
        return false;
    return status == 400 || status == 401 || status == 403 || answer->unparsed ||
           (status == 500 && r->profile.auth_scheme == NULL);
}

/* The other form. If both are refused, the first answer that is not about the form is the one to
 * tell, and to act upon; a 500 is about the form where the first is known to have worked. */
static enum result ask_in_other_form(struct renewal *r, struct api_answer *answer)
{
    struct error first = r->error;
    bool was_unparsed = answer->unparsed;
    long status = answer->status;
    enum result result;
    bool both_refused;

    r->scheme = other_form(r->scheme);
    msg_verbose("%s: %s: trying the %s form of the header", r->cache.name, r->error.text,
                r->scheme);
    api_answer_clear(answer);
    result = ask(r, answer);
    both_refused = result == RESULT_REFUSED ||
                   (answer->status == 500 && r->profile.auth_scheme != NULL);
    if (!both_refused || was_unparsed || (answer->blacklisted && first.result != RESULT_REFUSED))
        return result;
    r->error = first;
    answer->status = status;
    return first.result;
}

/* A remembered form that fails must not cost a login each time: the other one goes first then. */
static void doubt_form(struct renewal *r, const struct api_answer *answer)
{
    if (r->wish->scheme == NULL && r->profile.auth_scheme != NULL &&
        text_is(r->scheme, first_form(r)) && answer->fate == REQUEST_ANSWERED &&
        !answer->blacklisted)
        mem_replace(&r->profile.auth_scheme, other_form(r->scheme));
}

/* The token itself will not do any more: a login may, without a person if there is a source. */
static enum result fail(struct renewal *r, const struct api_answer *answer)
{
    bool lost = answer->fate == REQUEST_LOST && r->error.result == RESULT_TEMPORARY;

    if (lost) /* it is never sent again in this run, and if it is spent a login alone helps */
        error_append(&r->error, ": the token is perhaps spent");
    r->exchange_failed = lost || r->error.result == RESULT_REFUSED || answer->status == 500;
    if (r->exchange_failed && profile_has_source(&r->profile))
        doubt_form(r, answer);
    /* (A form that somebody insists on may be just the wrong one.) */
    if (r->error.result == RESULT_REFUSED && (!answer->unparsed || r->wish->scheme == NULL)) {
        r->profile.refused_at = clock_epoch_s();
        if (answer->blacklisted)
            r->profile.blacklisted_at = r->profile.refused_at;
        r->learnt = true;
    }
    if (!r->exchange_failed || profile_has_source(&r->profile))
        return r->error.result;
    if (r->error.result == RESULT_TEMPORARY) {
        OWNED char *command = advice_login_command(r->cache.name, r->cache.path, &r->profile);

        error_append(&r->error, ": if it stays so, run %s", command);
        return r->error.result;
    }
    return advice_append_login(&r->error, r->cache.name, r->cache.path, &r->profile);
}

enum result exchange(struct renewal *r)
{
    AT_END(api_answer_clear) struct api_answer answer = {0};
    enum result result;

    if (r->scheme == NULL) /* else it goes on where it was told to wait */
        r->scheme = first_form(r);
    result = ask(r, &answer);
    if (result != RESULT_OK && other_form_may_do(r, &answer))
        result = ask_in_other_form(r, &answer);
    if (result == RESULT_OK) {
        step_take(r, RENEW_RENEWED, &answer);
        mem_replace(&r->profile.auth_scheme, r->scheme);
    } else if (result != RESULT_AGAIN && result != RESULT_INTERRUPTED) {
        result = fail(r, &answer);
    }
    return result;
}
