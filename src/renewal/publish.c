/* SPDX-License-Identifier: MIT */
/* Who else is told: the user's commands, and the publication of a token that hosts share. */
#include "renewal/steps.h"

#include <string.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/signals.h"
#include "input/child.h"
#include "store/lock.h"
#include "store/url.h"

/* A publication that fails leaves all other hosts with a spent token, and an engine that chooses a
 * new leader is back within seconds: it is tried so often, after half a second, then after twice
 * the last pause each time, as long as the time lasts. */
#define PUBLISH_TRIES 5
#define PUBLISH_PAUSE_MS 500

enum result step_run(const struct renewal *r, struct child *child, int64_t deadline_ms,
                     struct error *error)
{
    bool is_file = strcmp(r->cache.name, r->cache.path) == 0;
    OWNED char *host = url_host(profile_api_url(&r->profile, r->wish->api_url));
    char *variables[] = {
        mem_join("SERVETEL_PROFILE=", is_file ? "" : r->cache.name),
        mem_join("SERVETEL_AUTH_FILE=", is_file ? r->cache.path : ""),
        mem_join("SERVETEL_TOKEN_HOST=", host),
        r->profile.expires_at == TOKEN_NO_EXPIRY
            ? mem_copy("SERVETEL_EXPIRES_AT=")
            : mem_format("SERVETEL_EXPIRES_AT=%lld", (long long)r->profile.expires_at),
        NULL,
    };
    enum result result;

    child->environment = (const char *const *)variables;
    result = child_run(child, deadline_ms, error);
    child->environment = NULL;
    for (int i = 0; variables[i] != NULL; i++)
        mem_free(variables[i]);
    return result;
}

bool publish_is_shared(const struct renewal *r)
{
    return r->wish->adopt != NULL && r->wish->on_change != NULL;
}

/* Written down, unless another process has changed the file since. If it cannot be, the token is
 * compared with the published one once more, which costs little. */
static void note_published(struct renewal *r)
{
    struct error ignored;

    if (cache_lock(&r->cache, &ignored) != RESULT_OK)
        return;
    mem_replace(&r->profile.publication, PROFILE_PUBLISHED);
    r->learnt = true;
    renew_note(r, RESULT_OK);
}

/* The command, and if it publishes, its further tries. */
static enum result run_hook(struct renewal *r, struct error *error)
{
    const struct buffer token = {.data = r->profile.token, .len = strlen(r->profile.token)};
    struct child hook = {.command = r->wish->on_change, .input = &token};
    /* The renewal's own time may be spent. */
    int64_t deadline_ms = clock_monotonic_ms() + r->wish->timeout_ms;
    int64_t pause_ms = PUBLISH_PAUSE_MS;
    enum result result;

    msg_verbose("%s: running the hook", r->cache.name);
    for (int tries = publish_is_shared(r) ? PUBLISH_TRIES : 1;; tries--) {
        result = step_run(r, &hook, deadline_ms, error);
        if (result != RESULT_FAILED || tries == 1 || clock_monotonic_ms() + pause_ms >= deadline_ms)
            return result;
        msg_verbose("%s: the hook %s: trying again", r->cache.name, error->text);
        if (signals_wait(-1, pause_ms))
            return RESULT_INTERRUPTED;
        pause_ms *= 2;
    }
}

enum result publish(struct renewal *r, enum result result)
{
    struct error error;
    enum result ended;

    cache_abandon(&r->cache);
    cache_unlock(&r->cache);
    if (signals_caught()) { /* it would be killed at once */
        msg_warn("%s: the token is stored, but the hook was not run: a signal came", r->cache.name);
        return step_interrupted(r);
    }
    ended = run_hook(r, &error);
    if (ended == RESULT_INTERRUPTED) {
        msg_warn("%s: the token is stored, but a signal stopped the hook", r->cache.name);
        return step_interrupted(r);
    }
    if (ended != RESULT_OK)
        return error_set(&r->error, RESULT_FAILED, "the token is stored, but the hook %s",
                         error.text);
    if (publish_is_shared(r))
        note_published(r);
    return result;
}

enum result publish_refusal(struct renewal *r, enum result result)
{
    struct child hook = {.command = r->wish->on_refused};
    struct error error;

    if (!r->login_refused || hook.command == NULL || signals_caught())
        return result;
    cache_abandon(&r->cache);
    cache_unlock(&r->cache);
    if (step_run(r, &hook, clock_monotonic_ms() + r->wish->timeout_ms, &error) != RESULT_OK)
        error_append(&r->error, "; and the on-refused command %s", error.text);
    return result;
}
