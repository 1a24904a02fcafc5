/* SPDX-License-Identifier: MIT */
/* A token from a command or from other hosts: which of two is newer, and what becomes of it. */
#include "renewal/steps.h"

#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "input/child.h"
#include "input/source.h"
#include "renewal/decide.h"

/* Its claims, if any, say what is known; by another clock: it lasts its whole life at the most. */
static void take_foreign(struct renewal *r, enum renew_action action, char *token)
{
    struct token_claims claims = token_claims(token);
    int64_t now = clock_epoch_s(), life_s;
    struct api_answer answer = {.token = token, .obtained_at = now, .password_days = -1};

    answer.expires_at = claims.has_exp ? claims.exp : TOKEN_NO_EXPIRY;
    if (token_span(&claims, &life_s) && life_s > 0 && answer.expires_at - now > life_s)
        answer.expires_at = now + life_s;
    step_take(r, action, &answer);
    r->profile.logged_in_at = claims.has_iat ? claims.iat : 0;
}

/* Whether a token from elsewhere is to take the cached one's place: it is another, and lasts where
 * the cached one has ended, or was made later by its nbf (which the service sets anew at each
 * renewal, and iat not), or, where that says nothing, ends no earlier. But what others have not
 * seen yet is later than what they have, unless that shows for certain. */
static bool is_newer(const struct profile *p, const char *token)
{
    struct token_claims claims = token_claims(token), old;
    int64_t now = clock_epoch_s();
    bool is_last = text_is(p->publication, PROFILE_UNPUBLISHED) && p->blacklisted_at == 0 &&
                   p->refused_at == 0;

    if (p->token == NULL)
        return true;
    if (strcmp(token, p->token) == 0)
        return false;
    /* Of the end of an opaque one nobody knows: then what its command prints now counts. */
    if (p->token_command != NULL && p->expires_at == TOKEN_NO_EXPIRY)
        return true;
    if (!is_last && profile_ttl_s(p, now) == 0 && (!claims.has_exp || claims.exp > now))
        return true;
    old = token_claims(p->token);
    if (claims.has_nbf && old.has_nbf && claims.nbf != old.nbf)
        return claims.nbf > old.nbf;
    if (is_last)
        return claims.has_exp && claims.exp > p->expires_at;
    return !claims.has_exp || claims.exp >= p->expires_at;
}

/* An error's text, or the "null" of a tool, is visible ASCII too: where the cached token has an end
 * among its claims, what has none is not taken for its successor. Nor is another account's: a slip
 * of quoting would renew it here, and spend it there. */
static enum result check(struct renewal *r, const char *what)
{
    OWNED char *output = mem_join("the output of ", what);
    const char *cached = r->profile.token;

    if (token_clean(&r->printed, output, &r->error) != RESULT_OK)
        return r->error.result = RESULT_LOCAL; /* a source that failed, no call that is wrong */
    if (cached == NULL)
        return RESULT_OK;
    if (!token_may_be_of_same(cached, r->printed.data))
        return error_set(&r->error, RESULT_LOCAL,
                         "what %s printed is the token of another account (its sub is not that of "
                         "the cached one): see to what it asks for '%s'",
                         what, r->cache.name);
    if (token_claims(cached).has_exp && !token_claims(r->printed.data).has_exp)
        return error_set(&r->error, RESULT_LOCAL,
                         "what %s printed is no token that ends, unlike the cached one: see to "
                         "whatever prints it",
                         what);
    return RESULT_OK;
}

enum result foreign_import(struct renewal *r)
{
    char *token = r->wish->token->data;

    if (!r->wish->no_cache && text_is(r->profile.publication, PROFILE_UNPUBLISHED) &&
        profile_is_of(&r->profile, r->wish->email,
                      profile_api_url(&r->profile, r->wish->api_url)) &&
        !is_newer(&r->profile, token) && strcmp(token, r->profile.token) != 0)
        return error_set(&r->error, RESULT_LOCAL,
                         "the cached token of '%s' is newer, and not published yet: publish it "
                         "(refresh --adopt ... --on-change ...), or run servetel-auth logout first",
                         r->cache.name);
    login_take_account(r);
    take_foreign(r, RENEW_LOGGED_IN, token);
    return RESULT_OK;
}

enum result foreign_fetch(struct renewal *r)
{
    static const char what[] = "the token command";
    struct profile *p = &r->profile;
    int64_t now = clock_epoch_s(), old_ttl_s = profile_ttl_s(p, now);
    enum result result = source_run(p->token_command, what, r->cache.name, r->deadline_ms,
                                    &r->printed, &r->error);
    struct token_claims claims;
    bool newer;

    if (result == RESULT_LOCAL) /* the store that it asks is down */
        return r->error.result = RESULT_TEMPORARY;
    if (result == RESULT_OK && r->printed.len == 0)
        return error_set(&r->error, RESULT_TEMPORARY, "%s printed no token", what);
    if (result != RESULT_OK || check(r, what) != RESULT_OK)
        return r->error.result;
    claims = token_claims(r->printed.data);
    newer = is_newer(p, r->printed.data) && !text_is(r->wish->rejected, r->printed.data);
    if (newer && (!claims.has_exp || claims.exp > now))
        take_foreign(r, RENEW_RENEWED, r->printed.data);
    else if (r->wish->keep_above_s >= 0 || old_ttl_s == 0 ||
             old_ttl_s < profile_default_min_ttl_s(p))
        /* (Without --min-ttl the cached one may still be good enough.) */
        return error_set(&r->error, RESULT_TEMPORARY,
                         "%s printed no fresher token than the cached one: see to whatever renews "
                         "it, and to this host's clock",
                         what);
    return RESULT_OK;
}

/* With --all, which may find nothing to do for hundreds, only where there is something to learn. */
static bool is_to_be_asked_for(const struct renewal *r)
{
    const char *why;

    return r->wish->adopt != NULL && !r->wish->dry_run &&
           (!r->wish->adopt_when_due || !text_is(r->profile.publication, PROFILE_PUBLISHED) ||
            decide(&r->profile, r->wish, clock_epoch_s(), &why) != RENEW_PLAN_KEEP);
}

enum result foreign_adopt(struct renewal *r)
{
    struct child get = {.command = r->wish->adopt, .line = &r->printed};
    struct profile *p = &r->profile;
    struct error error;
    enum result result;

    if (!is_to_be_asked_for(r))
        return RESULT_OK;
    buffer_clear(&r->printed);
    result = step_run(r, &get, r->deadline_ms, &error);
    if (result == RESULT_INTERRUPTED)
        return step_interrupted(r);
    if (result != RESULT_OK) /* the engine that it asks is down */
        return error_set(&r->error, RESULT_TEMPORARY, "the adopt command %s: nothing was sent",
                         error.text);
    if (r->printed.len > 0 && check(r, "the adopt command") != RESULT_OK)
        return r->error.result;
    if (r->printed.len == 0 || !is_newer(p, r->printed.data)) {
        bool same = text_is(p->token, buffer_text(&r->printed));

        r->learnt = r->learnt || text_is(p->publication, PROFILE_PUBLISHED) != same;
        mem_replace(&p->publication, same ? PROFILE_PUBLISHED : PROFILE_UNPUBLISHED);
        return RESULT_OK;
    }
    /* Stored first, whatever comes of it then: the older one is no longer good. */
    msg_verbose("%s: adopting the published token", r->cache.name);
    if (renew_prepare(r) != RESULT_OK)
        return r->error.result;
    take_foreign(r, RENEW_ADOPTED, r->printed.data);
    mem_replace(&p->publication, PROFILE_PUBLISHED);
    if (p->api_url == NULL)
        mem_replace(&p->api_url, profile_api_url(p, r->wish->api_url));
    step_mark_rejected(r);
    mem_replace(&r->seen_token, p->token);
    return renew_commit(r);
}
