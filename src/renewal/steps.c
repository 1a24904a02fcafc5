/* SPDX-License-Identifier: MIT */
#include "renewal/steps.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "renewal/decide.h"
#include "store/url.h"

/* Before a further try, then doubled, and as much again by chance: hosts do not come at once. */
#define RETRY_PAUSE_MS 500
#define LEAST_MS 5000     /* a refresh is not sent with less, or a third of --timeout, left */
#define RETRY_DOUBLINGS 6 /* tries beyond these all pause alike */
#define TOKEN_TYPE_MAX 64 /* a token type is a word. A longer one is not kept. */

/* ---- what a host has said, for many renewals ---- */

struct hold {
    char *api_url;
    int64_t until_ms;
    struct hold *next;
};

/* Of all of them: it is held for a moment. */
static pthread_mutex_t holds_lock = PTHREAD_MUTEX_INITIALIZER;

/* Until when (monotonic) it holds by now: no less than until_ms. */
static int64_t hold_host(struct holds *holds, const char *api_url, int64_t until_ms)
{
    struct hold *hold;

    pthread_mutex_lock(&holds_lock);
    hold = holds->last;
    while (hold != NULL && !url_same_host(hold->api_url, api_url))
        hold = hold->next;
    if (hold == NULL) {
        hold = mem_new(sizeof *hold);
        *hold = (struct hold){.api_url = mem_copy(api_url), .next = holds->last};
        holds->last = hold;
    }
    if (until_ms > hold->until_ms)
        hold->until_ms = until_ms;
    until_ms = hold->until_ms;
    pthread_mutex_unlock(&holds_lock);
    return until_ms;
}

void holds_clear(struct holds *holds)
{
    while (holds->last != NULL) {
        struct hold *hold = holds->last;

        holds->last = hold->next;
        mem_free(hold->api_url);
        mem_free(hold);
    }
}

/* ---- the steps ---- */

int64_t step_left_ms(const struct renewal *r)
{
    int64_t left = r->deadline_ms - clock_monotonic_ms();

    return left < 0 ? 0 : left;
}

enum result step_again(struct renewal *r, int64_t ms)
{
    r->again_ms = clock_monotonic_ms() + ms;
    return RESULT_AGAIN;
}

enum result step_interrupted(struct renewal *r)
{
    return error_set(&r->error, RESULT_INTERRUPTED, "interrupted");
}

/* What must be left for a request: enough to hear an answer that is worth it, or has spent it. */
static int64_t least_ms(const struct renewal *r)
{
    int64_t third_ms = r->wish->timeout_ms / 3;

    return r->wish->password != NULL ? 0 : third_ms < LEAST_MS ? third_ms : LEAST_MS;
}

/* The service's pause takes nothing of a renewal's time while there is patience. */
static bool can_wait(struct renewal *r, int64_t ms)
{
    int64_t free_ms = ms < r->patience_ms ? ms : r->patience_ms;

    if (ms - free_ms + least_ms(r) >= step_left_ms(r))
        return false;
    r->patience_ms -= free_ms;
    r->deadline_ms += free_ms;
    return true;
}

static enum result told_to_wait(struct renewal *r, int64_t seconds)
{
    /* The second that has begun does not count; nor may "at once" be at once. */
    int64_t pause_s = seconds + 1;
    bool may = r->holds != NULL || r->tries_left > 0;
    char span[CLOCK_TEXT_SIZE];

    decide_note_pause(&r->profile, clock_epoch_s(), pause_s);
    r->learnt = true;
    if (r->holds != NULL) /* what the service forbade is not a try of this one's */
        hold_host(r->holds, profile_api_url(&r->profile, r->wish->api_url),
                  clock_monotonic_ms() + pause_s * 1000);
    else
        r->tries_left -= may;
    if (may && can_wait(r, pause_s * 1000)) {
        msg_verbose("%s: %s: trying again when told to", r->cache.name, r->error.text);
        return step_again(r, pause_s * 1000);
    }
    error_append(&r->error, ": try again in %s",
                 clock_format_span(seconds < 1 ? 1 : seconds, span));
    return r->error.result;
}

static enum result send_request(struct renewal *r, struct request *request, struct reply *reply)
{
    enum result result = url_check(profile_api_url(&r->profile, r->wish->api_url), &r->error);

    if (result != RESULT_OK) /* the profile's; the wish's was checked before */
        return r->error.result = RESULT_LOCAL;
    if (signals_caught())
        return step_interrupted(r);
    request->least_ms = least_ms(r);
    if (step_left_ms(r) > request->least_ms)
        return r->wish->send(r->connection, request, reply, step_left_ms(r), &r->error);
    r->tries_left = 0; /* it gets no better */
    return error_set(&r->error, RESULT_TEMPORARY,
                     "too little of --timeout is left for the request: nothing was sent");
}

static enum result read_reply(struct renewal *r, enum api_operation operation,
                              const struct reply *reply, struct api_answer *answer)
{
    OWNED char *host = url_host(profile_api_url(&r->profile, r->wish->api_url));
    struct api_question asked = {
        .operation = operation,
        .host = host,
        .password = r->password.len > 0         ? r->password.data
                    : r->wish->password != NULL ? buffer_text(r->wish->password)
                                                : NULL,
        .token = r->profile.token,
        .logged_in_at = r->profile.logged_in_at,
    };

    return api_read(&asked, reply, answer, &r->error);
}

enum result step_ask(struct renewal *r, enum api_operation operation, struct request *request,
                     struct api_answer *answer)
{
    struct reply reply = {0};
    enum result result = send_request(r, request, &reply);

    *answer = (struct api_answer){.fate = reply.fate, .retry_after_s = -1};
    if (reply.fate == REQUEST_ANSWERED)
        result = read_reply(r, operation, &reply, answer);
    r->answered = r->answered || reply.fate != REQUEST_NOT_SENT;
    request_clear(request);
    reply_clear(&reply);
    return answer->retry_after_s < 0 ? result : told_to_wait(r, answer->retry_after_s);
}

enum result step_retry(struct renewal *r)
{
    int64_t base = RETRY_PAUSE_MS << (r->tries_made < RETRY_DOUBLINGS ? r->tries_made
                                                                      : RETRY_DOUBLINGS);
    int64_t pause_ms = base + clock_jitter(base);

    if (r->error.result != RESULT_TEMPORARY || r->tries_left == 0 ||
        pause_ms + least_ms(r) >= step_left_ms(r))
        return r->error.result;
    r->tries_left--;
    r->tries_made++;
    msg_verbose("%s: %s: trying again", r->cache.name, r->error.text);
    if (!r->answered)
        return step_again(r, pause_ms);
    return signals_wait(-1, pause_ms) ? step_interrupted(r) : RESULT_OK;
}

enum result step_wait(struct renewal *r, enum renew_plan plan, int64_t now)
{
    bool sends = plan == RENEW_PLAN_EXCHANGE || plan == RENEW_PLAN_LOG_IN;
    bool is_own = plan == RENEW_PLAN_WAIT && decide_pause_is_own(&r->profile);
    int64_t ms = 0;
    char span[CLOCK_TEXT_SIZE];

    if (plan == RENEW_PLAN_WAIT)
        ms = 1000 * decide_pause_s(&r->profile, now);
    else if (sends && r->holds != NULL)
        ms = hold_host(r->holds, profile_api_url(&r->profile, r->wish->api_url), 0) -
             clock_monotonic_ms();
    if (ms <= 0)
        return RESULT_OK;
    if (is_own ? ms + least_ms(r) < step_left_ms(r) : can_wait(r, ms))
        return step_again(r, ms);
    return error_set(&r->error, RESULT_TEMPORARY,
                     is_own ? "the last unattended login failed: the next one is for after %s"
                            : "the service asked not to be asked for another %s: nothing was sent",
                     clock_format_span((ms + 999) / 1000, span));
}

void step_take(struct renewal *r, enum renew_action action, const struct api_answer *answer)
{
    const char *type = answer->token_type;
    struct profile *p = &r->profile;

    mem_replace(&p->token, answer->token);
    mem_replace(&p->token_type, type != NULL && strlen(type) <= TOKEN_TYPE_MAX ? type : NULL);
    p->obtained_at = answer->obtained_at;
    p->expires_at = answer->expires_at;
    if (answer->password_days >= 0)
        p->password_expires_at = answer->obtained_at + (int64_t)answer->password_days * 86400;
    p->refused_at = p->blacklisted_at = 0;
    p->retry_at = p->retry_noted_at = 0;
    if (publish_is_shared(r) || p->publication != NULL)
        mem_replace(&p->publication, PROFILE_UNPUBLISHED);
    if (text_is(p->unattended_login, PROFILE_LOGIN_FAILED)) {
        mem_replace(&p->unattended_login, NULL);
        p->unattended_login_at = 0;
    }
    r->outcome.action = action;
    r->outcome.spent = true;
}

void step_mark_rejected(struct renewal *r)
{
    if (!text_is(r->wish->rejected, r->profile.token) || r->profile.blacklisted_at != 0)
        return;
    r->profile.blacklisted_at = clock_epoch_s();
    r->learnt = true;
}
