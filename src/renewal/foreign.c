/* SPDX-License-Identifier: MIT */
/* A token from a command or from other hosts: which of two is newer, and what becomes of it. */
#include "renewal/steps.h"

#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "input/child.h"
#include "input/source.h"
#include "store/token.h"

/* Of a token from elsewhere its claims, if it has any, say what is known. Its clock may be another:
 * it lasts no longer than its whole life from now. */
void foreign_take(struct renewal *r, const char *token)
{
    struct token_claims claims = token_claims(token);
    int64_t now = clock_epoch_s(), expires_at = claims.has_exp ? claims.exp : TOKEN_NO_EXPIRY;
    int64_t life_s = claims.exp - (claims.has_nbf ? claims.nbf : claims.iat);

    if (claims.has_exp && (claims.has_nbf || claims.has_iat) && life_s > 0 &&
        expires_at - now > life_s)
        expires_at = now + life_s;
    step_take_token(r, token, NULL, now, expires_at);
    r->profile.logged_in_at = claims.has_iat ? claims.iat : 0;
    r->outcome.spent = true;
}

/* Whether a token from elsewhere is to take the cached one's place: it is another, and lasts where
 * the cached one has ended, or was made later by its nbf (which the service sets anew at each
 * renewal, and iat not), or, where that says nothing, ends no earlier. */
static bool is_newer(const struct profile *p, const char *token)
{
    struct token_claims claims = token_claims(token), old;
    int64_t now = clock_epoch_s();

    if (p->token == NULL)
        return true;
    if (strcmp(token, p->token) == 0)
        return false;
    if (profile_ttl_s(p, now) == 0 && (!claims.has_exp || claims.exp > now))
        return true;
    old = token_claims(p->token);
    if (claims.has_nbf && old.has_nbf && claims.nbf != old.nbf)
        return claims.nbf > old.nbf;
    return !claims.has_exp || claims.exp >= p->expires_at;
}

/* An error's text, or the "null" of a tool, is visible ASCII too: where the cached token has an end
 * among its claims, what has none is not taken for its successor. */
static enum result check(struct renewal *r, struct buffer *token, const char *what)
{
    char *output = mem_join("the output of ", what);
    enum result result = token_clean(token, output, &r->error);

    mem_free(output);
    if (result != RESULT_OK)
        return r->error.result = RESULT_LOCAL; /* a source that failed, no call that is wrong */
    if (r->profile.token == NULL || !token_claims(r->profile.token).has_exp ||
        token_claims(token->data).has_exp)
        return RESULT_OK;
    return error_set(&r->error, RESULT_LOCAL,
                     "what %s printed is no token that ends, unlike the cached one: see to "
                     "whatever prints it",
                     what);
}

enum result foreign_fetch(struct renewal *r)
{
    static const char what[] = "the token command";
    struct buffer token = BUFFER(CHILD_LINE_MAX);
    struct profile *p = &r->profile;
    int64_t now = clock_epoch_s(), old_ttl_s = profile_ttl_s(p, now);
    struct token_claims claims;
    enum result result;
    bool newer;

    result = source_run(p->token_command, what, r->deadline_ms, &token, &r->error);
    if (result == RESULT_OK)
        result = check(r, &token, what);
    if (result != RESULT_OK)
        goto out;
    claims = token_claims(token.data);
    /* Of the end of an opaque token nobody knows: then what is printed now counts. */
    newer = is_newer(p, token.data) ||
            (p->expires_at == TOKEN_NO_EXPIRY && strcmp(token.data, p->token) != 0);
    if (newer && (!claims.has_exp || claims.exp > now)) {
        foreign_take(r, token.data);
        r->outcome.action = RENEW_RENEWED;
    } else if (r->wish->keep_above_s >= 0 || old_ttl_s == 0 ||
               old_ttl_s < profile_default_min_ttl_s(p)) {
        /* (Without --min-ttl the cached one may still be good enough.) */
        result = error_set(&r->error, RESULT_TEMPORARY,
                           "the token command printed no fresher token than the cached one: see "
                           "to whatever renews it");
    }
out:
    buffer_clear(&token);
    return result;
}

enum result foreign_adopt(struct renewal *r)
{
    static const char what[] = "the adopt command";
    enum result result = source_run(r->wish->adopt, what, r->deadline_ms, &r->published, &r->error);

    if (result != RESULT_OK) {
        if (result != RESULT_INTERRUPTED) { /* the engine that it asks is down */
            r->error.result = RESULT_TEMPORARY;
            error_append(&r->error, ": nothing was sent");
        }
        return r->error.result;
    }
    if (r->published.len == 0)
        return RESULT_OK; /* nothing is published yet */
    result = check(r, &r->published, what);
    if (result != RESULT_OK || !is_newer(&r->profile, r->published.data))
        return result;
    /* Stored first, whatever comes of it then: the older one is no longer good. */
    msg_verbose("%s: adopting the published token", r->cache.name);
    if (renew_prepare(r) != RESULT_OK)
        return r->error.result;
    foreign_take(r, r->published.data);
    if (r->profile.api_url == NULL)
        mem_replace(&r->profile.api_url, profile_api_url(&r->profile, r->wish->api_url));
    mem_replace(&r->seen_token, r->profile.token);
    r->outcome.action = RENEW_ADOPTED;
    return renew_commit(r);
}
