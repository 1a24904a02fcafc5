/* SPDX-License-Identifier: MIT */
/* The one path on which a token changes: lock, read again, decide, prepare, request, commit, log in
 * again. renew() is that path, from top to bottom; decide, exchange, login and foreign are its
 * steps, workers.h makes many at once.
 *
 *     renew_begin
 *     renew, until it no longer says RESULT_AGAIN (renew_wait does so), or workers_run
 *     read the outcome, profile, error
 *     renew_end
 *
 * For another's lock, or as long as the service asks, renew() does not wait: it gives up what it
 * holds, says RESULT_AGAIN, and begins anew when it is called again. It waits for a request, for a
 * command, a moment before a further try.
 *
 * A signal ends all waits; then nothing is begun, but what was answered is stored, and a refresh
 * or an unattended login that was sent has two seconds for its answer (api.h).
 *
 * A hook (on_change) runs after the token is stored and the lock let go; its failure is
 * RESULT_FAILED and the token stays stored. */
#pragma once

#include "service/api.h"
#include "store/cache.h"

enum renew_goal {
    RENEW_GOAL_FRESH,  /* refresh, show: a token that lasts */
    RENEW_GOAL_LOGIN,  /* login with a password */
    RENEW_GOAL_IMPORT, /* login with a token from elsewhere */
};

/* What is to be done about a token: see decide.h. */
enum renew_plan {
    RENEW_PLAN_KEEP,
    RENEW_PLAN_EXCHANGE,
    RENEW_PLAN_LOG_IN,  /* with the wish's password, or the remembered one */
    RENEW_PLAN_IMPORT,  /* take the wish's token */
    RENEW_PLAN_COMMAND, /* run the token command */
    RENEW_PLAN_WAIT,    /* the service asked for it; decide_pause_s() */
    RENEW_PLAN_NONE,    /* no usable token, and no way to one without a person */
};

/* What the caller wants. It, its strings and secrets stay the caller's and must live as long. */
struct renew_wish {
    enum renew_goal goal;
    int64_t keep_above_s; /* FRESH: a token that lasts longer is kept; -1: none is */
    const char *api_url;  /* LOGIN, IMPORT: overrides the profile's; FRESH: must be of its host */
    const char *api_url_from; /* the option or variable that names it */
    const char *scheme;       /* the only form to use; NULL: what worked, then the other */
    int retries;
    int64_t timeout_ms;
    /* How requests are sent: request_send(), but for tests. */
    enum result (*send)(struct connection *connection, const struct request *request,
                        struct reply *reply, int64_t timeout_ms, struct error *error);

    const char *email;             /* LOGIN; for IMPORT or NULL as it may be known */
    const struct buffer *password; /* LOGIN; NULL: the profile's remembered one */
    bool person_waits;             /* LOGIN: somebody at a terminal, whom no pause holds */
    const struct buffer *token;    /* IMPORT */
    /* LOGIN, IMPORT: sources to remember */
    const char *password_command, *password_file, *token_command;
    bool forget_source;
    bool no_cache;  /* LOGIN, IMPORT: read and write no file */
    bool hands_out; /* FRESH: the token is for a caller, who can use one that could not be cached */

    const char *rejected;  /* FRESH: a token that the API refused, and another is wanted; or NULL */
    const char *on_change; /* a command to run with the new token on its stdin, or NULL */
    /* FRESH: a command that prints the token which several hosts share, or NULL. It is taken first
     * if it is fresher than the cached one; if it cannot be had, nothing is sent. on_change then
     * also runs when another is published than is cached, as after one that failed. */
    const char *adopt;
    bool adopt_when_due;    /* only where the token is not kept, or is not published yet */
    const char *on_refused; /* a command to run when the service refuses the remembered password */
    bool dry_run; /* FRESH: only the outcome's plan is wanted: nothing is locked, run or sent */
};

enum renew_action { RENEW_KEPT, RENEW_RENEWED, RENEW_LOGGED_IN, RENEW_ADOPTED };
#define RENEW_ACTIONS (RENEW_ADOPTED + 1)

/* What came of it. */
struct renew_outcome {
    enum renew_action action; /* of the token that was had last, whatever failed after that */
    bool stored;              /* a new token is, even where the result is no RESULT_OK */
    bool spent;               /* there was a new one: the old one is no longer good */
    bool exposed_file;        /* the remembered password file may be read by others */
    char *replaced_why;       /* LOGIN, IMPORT: an unusable cache was replaced, and why; or NULL */
    enum renew_plan plan;     /* of a dry run that came so far, and then why; else NULL */
    const char *why;
};

struct renewal {
    const struct renew_wish *wish;
    struct connection *connection; /* lent by whoever calls renew() */
    /* Lent, or NULL: what other renewals heard of the host holds for this one, too. */
    struct holds *holds;
    int64_t patience_ms; /* what its time may be prolonged by, in all, to wait for a host */
    struct cache cache;
    struct profile profile; /* as cached; once a new token is had, as it will be */
    struct renew_outcome outcome;
    struct error error;
    int64_t again_ms;     /* after RESULT_AGAIN: when to call again (monotonic) */
    struct renewal *next; /* the caller's, to keep several in a list */

    /* renew()'s own, from one call to the next */
    int64_t deadline_ms, lock_pause_ms;
    int tries_left, tries_made;
    char *seen_token;       /* when it began */
    char *no_file_why;      /* it goes on without lock and file, since these failed; or NULL */
    const char *scheme;     /* the form in which the token went out last */
    bool answered;          /* a request of this renewal was, or may have arrived */
    bool exchange_failed;   /* it did, and the service would not have it */
    bool login_refused;     /* the remembered password was, in this renewal */
    bool learnt;            /* something that the file should say, token or no */
    struct buffer password; /* from the remembered source, which is: */
    char *password_from;
    struct buffer printed; /* by the token command, or the adopt command */
};

/* profile or file as for cache_open. What goes wrong is for renew() to say. */
void renew_begin(struct renewal *renewal, const struct renew_wish *wish, const char *profile,
                 const char *file);
enum result renew(struct renewal *renewal) MUST_CHECK;
/* Whether its token may go to the host that the wish names. */
enum result renew_check_host(struct renewal *renewal) MUST_CHECK;
/* The same, for one that has the thread to itself: sleeps while it is RESULT_AGAIN. */
enum result renew_wait(struct renewal *renewal) MUST_CHECK;
void renew_end(struct renewal *renewal);
