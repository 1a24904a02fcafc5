/* SPDX-License-Identifier: MIT */
/* For the files in renewal/ alone: its steps. All return RESULT_OK to go on, else fill r->error. */
#pragma once

#include "renewal/renew.h"

/* ---- exchange.c, login.c, foreign.c: how a new token is had, all being prepared ---- */

/* One refresh. Where a login is the way on, exchange_failed is set. */
enum result exchange(struct renewal *r) MUST_CHECK;
/* With the wish's password or the remembered one. */
enum result log_in(struct renewal *r) MUST_CHECK;
/* What a login changes of a profile besides the token. */
void login_take_account(struct renewal *r);
/* The token that the token command prints. */
enum result foreign_fetch(struct renewal *r) MUST_CHECK;
/* The token that other hosts share, if it is wanted and newer, stored at once. */
enum result foreign_adopt(struct renewal *r) MUST_CHECK;
/* The wish's token. */
enum result foreign_import(struct renewal *r) MUST_CHECK;

/* ---- publish.c: who else is told ---- */

struct child;
/* child_run(), with the profile's name, its host and the token's end in its environment. */
enum result step_run(const struct renewal *r, struct child *child, int64_t deadline_ms,
                     struct error *error) MUST_CHECK;
/* Other hosts are told of a new token, and start from it. */
bool publish_is_shared(const struct renewal *r);
/* Lets the lock go and runs the hook with the token, which is stored, with that result. */
enum result publish(struct renewal *r, enum result result) MUST_CHECK;
/* After a failure, which stays it: tells others if the remembered password was refused just now. */
enum result publish_refusal(struct renewal *r, enum result result) MUST_CHECK;

/* ---- renew.c, steps.c ---- */

enum result renew_prepare(struct renewal *r) MUST_CHECK;
enum result renew_commit(struct renewal *r) MUST_CHECK;
/* Writes what was learnt into the file, without a new token; the result is as it was. */
enum result renew_note(struct renewal *r, enum result result);

int64_t step_left_ms(const struct renewal *r);
/* RESULT_AGAIN, so many milliseconds from now. */
enum result step_again(struct renewal *r, int64_t ms);
enum result step_interrupted(struct renewal *r);

/* Sends the request, unless its URL cannot be used, the time is over or a signal has come, and
 * wipes it. What is answered is read: api_answer_clear() it. A pause that the service asks for is
 * noted, and is the end, or this is to begin again when it is over. */
enum result step_ask(struct renewal *r, enum api_operation operation, struct request *request,
                     struct api_answer *answer) MUST_CHECK;

/* After a failure that may be tried again: RESULT_OK when the time has come and a try was left (the
 * pause grows), RESULT_AGAIN while nothing of this renewal was answered yet. */
enum result step_retry(struct renewal *r) MUST_CHECK;
/* While the host is not to be asked, as the profile says or as another renewal was told just now:
 * RESULT_AGAIN, or RESULT_TEMPORARY if that is longer than what is left. */
enum result step_wait(struct renewal *r, enum renew_plan plan, int64_t now) MUST_CHECK;

/* A new token: from here on the old one is no longer good. */
void step_take(struct renewal *r, enum renew_action action, const struct api_answer *answer);
/* If the caller says that the API refused the cached token, that is out of use. */
void step_mark_rejected(struct renewal *r);

/* ---- the hosts that asked to be left alone for a while: an answer to one is one to all ---- */

struct holds {
    struct hold *last; /* all zero: none */
};

void holds_clear(struct holds *holds);
