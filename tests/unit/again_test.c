/* SPDX-License-Identifier: MIT */
/* When renew() is to be called again, and who does so: the service's pauses, others' locks. */
#include "renewal/steps.h"
#include "renewing.h"

/* ---- pauses that the service asks for ---- */

TEST(a_service_that_says_when_is_asked_then)
{
    static const long statuses[] = {429, 503};

    for (size_t i = 0; i < 2; i++) {
        set_up();
        cache_token("old-token", now + 1000, "");
        begin();
        answer_after(statuses[i], "", 3);
        expect_refresh("old-token");
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 2);
        CHECK_INT(pauses, 1);
        expect_pause(4000, 4000); /* the second that has begun does not count */
        tear_down();
    }
}

TEST(a_service_that_says_at_once_is_not_asked_at_once)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer_after(429, "", 0);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    expect_pause(1000, 1000);
    tear_down();
}

static void look_at_the_pause(void)
{
    struct profile profile = cached();

    CHECK_STR(profile.token, "old-token");
    CHECK_INT(profile.retry_at, profile.retry_noted_at + 61);
    CHECK(is_about(profile.retry_noted_at, now));
    CHECK(!is_in_doubt("old-token"));
    profile_clear(&profile);
}

/* For other processes, too; and it is obeyed as it stands there. */
TEST(a_pause_is_noted_and_kept)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.timeout_ms = 100000;
    begin();
    answer_after(429, "", 60);
    start();
    for (int i = 0; i < 3; i++) {
        CHECK_INT(renew(&r), RESULT_AGAIN);
        look_at_the_pause();
    }
    CHECK_INT(requests, 1);
    let_time_pass();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    tear_down();
}

TEST(a_wait_that_is_too_long_is_noted_and_kept)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer_after(429, "{\"message\":\"Too Many Attempts.\"}", 7200);
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    expect_text("try again in 2 h");
    profile = cached();
    CHECK_STR(profile.token, "old-token");
    CHECK(is_about(profile.retry_at, now + 7201));
    profile_clear(&profile);
    CHECK(!is_in_doubt("old-token"));

    begin();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("nothing was sent");

    let_time_pass();
    begin();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    tear_down();
}

TEST(a_wait_that_ends_in_time_is_made)
{
    set_up();
    cache_with_pause(5, 20);
    begin();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(pauses, 1);
    expect_pause(10000, 20000); /* by a clock that has gone on since */
    tear_down();
}

TEST(a_pause_without_the_time_of_its_note_holds_nothing)
{
    char *more;

    set_up();
    more = mem_format(",\"retry_at\":%lld", (long long)now + 20);
    cache_token("old-token", now + 1000, more);
    mem_free(more);
    begin();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(pauses, 0);
    tear_down();
}

/* What is left after it must be enough for a request. */
TEST(a_wait_after_which_nothing_could_be_sent_is_not_made)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer_after(429, "", 26);
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    expect_text("try again in 26 s");

    begin();
    expect_done(RESULT_TEMPORARY, 0);
    CHECK_INT(pauses, 0);
    expect_text("the service asked not to be asked for another 2");
    tear_down();
}

static void leave_five_seconds(void)
{
    r.deadline_ms = clock_monotonic_ms() + 5100;
}

TEST(nor_a_try_that_could_not_be_made)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(leave_five_seconds);
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    expect_text("no connection");
    tear_down();
}

TEST(a_service_that_does_not_say_when_is_left_alone)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(429, "");
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    CHECK(!is_rewritten());
    tear_down();
}

TEST(waits_are_retries)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    for (int i = 0; i < 3; i++)
        answer_after(429, "", 1);
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 2);
    tear_down();
}

/* ---- of many, what one was told holds for all ---- */

static struct holds holds;

static void start_held(int64_t patience_ms)
{
    begin();
    start();
    r.holds = &holds;
    r.patience_ms = patience_ms;
}

/* Another renewal is told so. */
static void tell_for(int64_t seconds)
{
    cache_token("other-token", now + 1000, "");
    start_held(100000);
    answer_after(429, "", seconds);
    CHECK_INT(renew(&r), RESULT_AGAIN);
}

static bool is_held(const char *api_url)
{
    struct renew_wish other = {.api_url = api_url};
    struct renewal renewal = {.wish = &other,
                              .holds = &holds,
                              .patience_ms = 100000,
                              .deadline_ms = clock_monotonic_ms() + 1000};

    return step_wait(&renewal, RENEW_PLAN_EXCHANGE, clock_epoch_s()) == RESULT_AGAIN &&
           renewal.again_ms - clock_monotonic_ms() > 4000;
}

TEST(what_one_was_told_holds_for_the_others_of_that_host)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    start_held(20000);
    answer_after(429, "", 5);
    CHECK_INT(renew(&r), RESULT_AGAIN);
    CHECK_INT(requests, 1);
    CHECK(is_held(URL));
    CHECK(!is_held("https://api.example:444/v1"));
    CHECK(!is_held("nonsense"));

    cache_token("other-token", now + 1000, ""); /* another profile */
    start_held(20000);
    CHECK_INT(renew(&r), RESULT_AGAIN);
    CHECK_INT(requests, 0);
    CHECK(r.again_ms - clock_monotonic_ms() > 4000);
    CHECK_INT(r.tries_left, wish.retries); /* it has tried nothing */
    CHECK(r.deadline_ms - clock_monotonic_ms() > wish.timeout_ms + 4000);
    CHECK(r.patience_ms > 13000 && r.patience_ms < 16000);
    CHECK(!is_rewritten());

    wish.keep_above_s = 60; /* nor has it to try */
    start_held(20000);
    expect_done(RESULT_OK, 0);
    holds_clear(&holds);
    CHECK(!is_held(URL));
    tear_down();
}

/* The pause after a failed login is over: this one is the host's. */
TEST(a_host_is_waited_for_by_one_whose_last_login_failed)
{
    set_up();
    tell_for(wish.timeout_ms / 1000 + 4);
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo secret\",\"unattended_login\":\"failed\","
                "\"unattended_login_at\":5,\"retry_at\":65,\"retry_noted_at\":5");
    start_held(2000);
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the service asked not to be asked");
    start_held(20000);
    CHECK_INT(renew(&r), RESULT_AGAIN);
    holds_clear(&holds);
    tear_down();
}

TEST(so_it_is_where_that_pause_is_noted)
{
    set_up();
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo secret\",\"unattended_login\":\"failed\","
                "\"unattended_login_at\":5");
    begin();
    answer_after(429, "", 300);
    expect_done(RESULT_TEMPORARY, 1);
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the service asked not to be asked");
    tear_down();
}

TEST(the_patience_has_an_end)
{
    set_up();
    tell_for(wish.timeout_ms / 1000 + 9);
    cache_token("old-token", now + 1000, "");
    start_held(2000);
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the service asked not to be asked for another ");
    start_held(20000);
    CHECK_INT(renew(&r), RESULT_AGAIN);
    CHECK_INT(r.patience_ms, 0);
    holds_clear(&holds);
    tear_down();
}

TEST(waits_for_all_are_no_retries)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.retries = 0;
    wish.timeout_ms = 3000;
    start_held(60000);
    for (int i = 0; i < 4; i++)
        answer_after(429, "", 5);
    answer(200, OK_BODY);
    passes_over = false;
    for (int i = 0; i < 4; i++) {
        CHECK_INT(renew(&r), RESULT_AGAIN);
        holds_clear(&holds);
        let_time_pass();
        r.deadline_ms -= 6000;
    }
    CHECK_INT(renew(&r), RESULT_OK);
    check_cached_token("new-token");
    tear_down();
}

/* ---- others at the same profile ---- */

static struct cache other;

static void let_others_begin(void)
{
    struct error error;

    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
}

static void let_others_end_at_the_tenth(void)
{
    CHECK(pause_most_ms > 0 && pause_least_ms <= 100);
    CHECK_INT(requests, 0);
    if (pauses == 10)
        cache_unlock(&other);
}

TEST(a_lock_that_is_taken_is_tried_again)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    let_others_begin();
    at_pause = let_others_end_at_the_tenth;
    begin();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(pauses, 10);
    cache_close(&other);
    tear_down();
}

TEST(a_lock_that_is_not_let_go_in_time_is_a_temporary_failure)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    let_others_begin();
    at_pause = spend_the_time;
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    CHECK_INT(pauses, 1);
    expect_text("in time");
    cache_close(&other);
    tear_down();
}

static void renew_theirs(void)
{
    cache_token("their-token", now + 3600, "");
}

TEST(a_token_that_another_process_renewed_is_enough)
{
    set_up();
    cache_token("old-token", now + 10, "");
    let_others_begin();
    at_pause = renew_theirs;
    begin();
    expect_done(RESULT_OK, 0); /* the lock is still theirs */
    CHECK_INT(pauses, 1);
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "their-token");
    cache_close(&other);
    tear_down();
}

TEST(so_it_is_when_the_lock_was_free_again)
{
    set_up();
    cache_token("old-token", now + 10, "");
    begin();
    start();
    cache_token("their-token", now + 3600, "");
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "their-token");
    tear_down();
}

/* The API has refused it: it is nobody's idea of a new one. */
TEST(a_token_of_another_process_that_was_rejected_is_not_enough)
{
    set_up();
    wish.rejected = "their-token";
    cache_token("old-token", now + 10, "");
    begin();
    start();
    renew_theirs();
    expect_refresh("their-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.outcome.action, RENEW_RENEWED);
    check_cached_token("new-token");
    tear_down();
}

static void log_in_elsewhere(void)
{
    put(at("default.json"), "{\"version\":1,\"api_url\":\"https://other.example/v1\","
                            "\"access_token\":\"their-token\"}");
}

/* The caller is about to send it to the host that was named. */
TEST(a_token_of_another_process_for_another_host_is_not_handed_out)
{
    set_up();
    cache_token("old-token", now + 10, "");
    wish.api_url = URL;
    wish.api_url_from = "--api-url";
    let_others_begin();
    at_pause = log_in_elsewhere;
    begin();
    expect_done(RESULT_USAGE, 0);
    expect_text("other.example");
    cache_close(&other);
    begin();
    expect_done(RESULT_USAGE, 0);
    tear_down();
}

/* As with an adopt command on a new host, or a file that remembers but a source. */
TEST(the_first_token_of_another_process_is_enough_too)
{
    set_up();
    put(at("default.json"), "{\"version\":1,\"email\":\"me\",\"password_file\":\"/run/pw\"}");
    let_others_begin();
    at_pause = renew_theirs;
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "their-token");
    cache_close(&other);
    tear_down();
}

TEST(a_token_of_another_process_that_has_expired_is_not_enough)
{
    set_up();
    cache_token("old-token", now + 10, "");
    begin();
    start();
    cache_token("their-token", now - 10, "");
    expect_refresh("their-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    tear_down();
}

TEST(a_cache_that_is_gone_when_the_lock_is_had_is_no_token)
{
    set_up();
    cache_token("old-token", now + 10, "");
    begin();
    start();
    unlink(at("default.json"));
    expect_done(RESULT_NO_TOKEN, 0);
    tear_down();
}

/* ---- one that has the thread to itself ---- */

TEST(whoever_has_the_thread_to_itself_waits)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_refresh("old-token");
    answer(200, OK_BODY);
    start();
    tick(true);
    CHECK_INT(renew_wait(&r), RESULT_OK);
    tick(false);
    CHECK_INT(requests, 2);
    check_cached_token("new-token");
    tear_down();
}

TEST(a_signal_ends_that_wait)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    let_others_begin();
    begin();
    start();
    interrupt();
    CHECK_INT(renew_wait(&r), RESULT_INTERRUPTED);
    forget_signals();
    cache_close(&other);
    tear_down();
}

TEST(a_renewal_can_be_ended_at_any_time)
{
    set_up();
    cache_with_pause(0, 20);
    begin();
    start();
    end_renewal();
    start();
    CHECK_INT(renew(&r), RESULT_AGAIN);
    end_renewal();
    check_cached_token("old-token");
    tear_down();
}
