/* SPDX-License-Identifier: MIT */
/* One login: with the password that the wish brings, or, with nobody there, the remembered one, and
 * then guarded: one that was refused is never sent again by itself. */
#include "renewal/steps.h"

#include "base/clock.h"
#include "input/source.h"
#include "renewal/decide.h"
#include "store/advice.h"

static bool is_attended(const struct renewal *r)
{
    return r->wish->password != NULL;
}

void login_take_account(struct renewal *r)
{
    struct profile *p = &r->profile;
    const struct renew_wish *wish = r->wish;
    const char *api_url = profile_api_url(p, wish->api_url);
    /* By the token that is brought: its login ID is not known then. */
    bool is_foreign = wish->goal == RENEW_GOAL_IMPORT && p->token != NULL &&
                      !token_may_be_of_same(p->token, wish->token->data);
    bool is_another = is_foreign || !profile_is_of(p, wish->email, api_url);
    bool replaces_source = is_another || wish->forget_source || wish->password_command != NULL ||
                           wish->password_file != NULL || wish->token_command != NULL;

    if (is_another) {
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
    if (wish->email != NULL || is_foreign)
        mem_replace(&p->email, wish->email);
    if (wish->scheme != NULL)
        mem_replace(&p->auth_scheme, wish->scheme);
    mem_replace(&p->api_url, api_url);
}

/* The remembered password, unless an earlier call of this renewal has it already; and not where it
 * was refused, dropped or made another account's meanwhile: the profile was read again. */
static enum result remembered_password(struct renewal *r)
{
    const struct profile *p = &r->profile;
    const char *from = p->password_command != NULL ? p->password_command : p->password_file;
    struct source_file file = {0};
    enum result result;

    if (!profile_has_source(p) || p->token_command != NULL ||
        !profile_is_of(p, r->wish->email, profile_api_url(p, r->wish->api_url))) {
        error_set(&r->error, RESULT_REFUSED, "no password");
        return advice_append_login(&r->error, r->cache.name, r->cache.path, p);
    }
    if (r->password.len > 0 && text_is(r->password_from, from))
        return RESULT_OK;
    buffer_clear(&r->password);
    mem_replace(&r->password_from, from);
    if (p->password_command != NULL) {
        result = source_run(from, "the remembered password command", r->cache.name, r->deadline_ms,
                            &r->password, &r->error);
        return result != RESULT_OK
                   ? result
                   : source_check(&r->password, "the output of the remembered password command",
                                  &r->error);
    }
    result = source_read_file(from, r->deadline_ms, &r->password, &file, &r->error);
    r->outcome.exposed_file = file.exposed;
    return result;
}

/* An unattended login that was sent in vain may have counted towards a lock of the account: a
 * refused password is never sent again by itself, and any other failure makes a pause. */
static void guard(struct renewal *r, bool rejected)
{
    OWNED char *command = NULL;

    if (is_attended(r) && r->error.result == RESULT_REFUSED)
        error_append(&r->error, ": check the login ID and the password");
    if (is_attended(r))
        return;
    r->learnt = true;
    if (!rejected) {
        decide_note_failed_login(&r->profile, clock_epoch_s());
        return;
    }
    r->login_refused = true;
    mem_replace(&r->profile.unattended_login, PROFILE_LOGIN_REFUSED);
    r->profile.unattended_login_at = clock_epoch_s();
    command = advice_login_command(r->cache.name, r->cache.path, &r->profile);
    error_append(&r->error,
                 ": the remembered password is not sent again until a login succeeds: correct it "
                 "at its source, then run %s",
                 command);
}

/* After a pause: one that never arrived, or a person's that the service could not answer. */
static bool may_be_sent_again(const struct renewal *r, const struct api_answer *answer)
{
    return answer->fate == REQUEST_NOT_SENT ||
           (is_attended(r) && !answer->rejected && answer->retry_after_s < 0 &&
            answer->status >= 500 && answer->status <= 599);
}

enum result log_in(struct renewal *r)
{
    const struct buffer *password = is_attended(r) ? r->wish->password : &r->password;
    enum result result = is_attended(r) ? RESULT_OK : remembered_password(r);
    AT_END(api_answer_clear) struct api_answer answer = {0};

    if (result != RESULT_OK)
        return result;
    do {
        /* Unheard, an unattended one counts as one that failed. */
        struct request request = {.grace_ms = is_attended(r) ? 0 : API_GRACE_MS};

        api_login(&request, profile_api_url(&r->profile, r->wish->api_url),
                  r->wish->email != NULL ? r->wish->email : r->profile.email,
                  buffer_text(password));
        result = step_ask(r, API_LOGIN, &request, &answer);
    } while (result != RESULT_OK && may_be_sent_again(r, &answer) &&
             (result = step_retry(r)) == RESULT_OK);
    if (result == RESULT_OK) {
        if (r->wish->goal == RENEW_GOAL_LOGIN)
            login_take_account(r);
        r->profile.password_expires_at = 0; /* it may be a new one */
        step_take(r, RENEW_LOGGED_IN, &answer);
        r->profile.logged_in_at = answer.obtained_at;
    } else if (answer.fate != REQUEST_NOT_SENT && answer.retry_after_s < 0) {
        guard(r, answer.rejected);
    }
    return result;
}
