/* The one path on which a token changes: lock, read again, decide, prepare, request, commit, log in
 * again. A state machine that touches no network: renew_next() says what must happen next, whoever
 * drives it (drive.h) makes that happen and calls again. So the rules stand in one place, and one
 * profile or thousands go through them by the same loop.
 *
 *     renew_begin
 *     while ((step = renew_next) != RENEW_DONE) do what the step asks
 *     read action, error, profile, exposed_file
 *     renew_end
 *
 * A hook (on_change) runs after the token is stored and the lock let go; its failure is
 * RESULT_FAILED and the token stays stored.
 *
 * Waits are not made here: a taken lock or a pause is RENEW_PAUSE, so that one profile does not
 * hold up another. (A password file that is read while it is a FIFO has until the deadline.)
 */
#ifndef RENEW_H
#define RENEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/result.h"
#include "input/child.h"
#include "service/api.h"
#include "service/request.h"
#include "store/cache.h"
#include "store/profile.h"

enum renew_goal {
    RENEW_GOAL_FRESH,  /* refresh, show: a token that lasts */
    RENEW_GOAL_LOGIN,  /* login with a password */
    RENEW_GOAL_IMPORT, /* login with a token from elsewhere */
};

/* What the caller wants. Strings and secrets stay the caller's and must live as long. */
struct renew_wish {
    enum renew_goal goal;
    int64_t keep_above_s;   /* FRESH: a token that lasts longer is kept; -1: none is */
    const char *api_url;    /* overrides the profile's; NULL does not */
    enum api_scheme scheme; /* the only form to use; unknown: what worked, then the other */
    int retries;
    int64_t timeout_ms;

    const char *email;             /* LOGIN; for IMPORT or NULL as it may be known */
    const struct buffer *password; /* LOGIN */
    bool password_is_remembered;   /* LOGIN: it came from the profile's source */
    const struct buffer *token;    /* IMPORT */
    /* LOGIN, IMPORT: sources to remember */
    const char *password_command, *password_file, *token_command;
    bool forget_source;
    bool no_cache; /* LOGIN, IMPORT: read and write no file */

    const char *on_change; /* a command to run with the new token on its stdin, or NULL */
    /* FRESH: a command that prints the token which several hosts share, or NULL. It is taken first
     * if it is fresher than the cached one; if it cannot be had, nothing is sent. on_change then
     * also runs when what is published is not what is cached: a publication that failed, or was
     * cut off, is made up for. */
    const char *adopt;
};

enum renew_plan {
    RENEW_PLAN_KEEP,
    RENEW_PLAN_EXCHANGE,
    RENEW_PLAN_LOG_IN,  /* with the remembered password */
    RENEW_PLAN_COMMAND, /* run the token command */
    RENEW_PLAN_WAIT,    /* the service asked for it; until profile->retry_at */
    RENEW_PLAN_NONE,    /* no usable token, and no way to one without a person */
};

/* What FRESH would do with this profile now; *why says it to a person. Does nothing. */
enum renew_plan renew_decide(const struct profile *profile, int64_t keep_above_s, int64_t now,
                             const char **why);

enum renew_step {
    RENEW_REQUEST, /* send r->request, fill r->reply */
    RENEW_CHILD,   /* r->child runs: call again when it ended, or every now and then */
    RENEW_PAUSE,   /* call again at r->pause_until_ms (monotonic) */
    RENEW_COMMIT,  /* cache_write r->text, cache_sync; set r->stored and r->commit_error */
    RENEW_DONE,
};

enum renew_action { RENEW_KEPT, RENEW_RENEWED, RENEW_LOGGED_IN, RENEW_ADOPTED };
#define RENEW_ACTIONS (RENEW_ADOPTED + 1)

struct renewal {
    struct renew_wish wish;
    struct cache cache;
    struct profile profile; /* as cached; once a new token is had, as it will be */

    /* between the machine and its driver */
    struct request request;
    struct reply reply;
    struct child child;
    int64_t pause_until_ms;
    int64_t deadline_ms; /* the request's, too; monotonic */
    char *text;
    bool stored;
    struct error commit_error;

    /* the outcome */
    enum renew_action action;
    struct error error;  /* error.result is RESULT_OK when all is well */
    bool login_failed;   /* one was sent, and refused or not answered */
    bool exposed_file;   /* the remembered password file may be read by others */
    bool replaced_cache; /* LOGIN, IMPORT: an unusable cache was replaced; replaced_why says why */
    struct error replaced_why;

    /* the machine's own */
    int state;
    char *seen_token;
    bool was_in_doubt; /* the token, before this run sent it */
    bool has_learnt;   /* of the token, what the cache should say */
    enum api_scheme scheme, tried_scheme;
    struct error first_error; /* of the form that was known to work, while the other is tried */
    struct buffer password;
    int tries_left, tries_made;
    int64_t lock_pause_ms;
    struct buffer hook_input, published;
    bool adopt_asked;
};

/* profile or file as for cache_open. What goes wrong is for renew_next to say. */
void renew_begin(struct renewal *renewal, const struct renew_wish *wish, const char *profile,
                 const char *file);
enum renew_step renew_next(struct renewal *renewal);
/* Gives up what is under way (a signal): the next step is RENEW_DONE. Not between RENEW_COMMIT and
 * the call after it. */
void renew_interrupt(struct renewal *renewal);
void renew_end(struct renewal *renewal);

/* The API that would be asked: the wish's, the profile's, the default. */
const char *renew_api_url(const struct renewal *renewal);

#endif
