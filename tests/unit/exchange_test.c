/* SPDX-License-Identifier: MIT */
/* One refresh: exchange.c, through renew(). */
#include "renewing.h"

/* ---- the form of the header ---- */

TEST(a_refusal_is_tried_once_in_the_other_form)
{
    static const long statuses[] = {400, 401, 403, 500};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct profile profile;

        set_up();
        cache_token("old-token", now + 1000, "");
        begin();
        expect_refresh("old-token");
        answer(statuses[i], REFUSED_BODY);
        expect_refresh("Bearer old-token");
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 2);
        CHECK_INT(pauses, 0);
        profile = cached();
        CHECK_STR(profile.auth_scheme, "bearer");
        CHECK_STR(profile.token, "new-token");
        profile_clear(&profile);
        tear_down();
    }
}

TEST(the_form_that_worked_goes_first)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, ",\"auth_scheme\":\"bearer\"");
    begin();
    expect_refresh("Bearer old-token");
    answer(401, REFUSED_BODY);
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    profile = cached();
    CHECK_STR(profile.auth_scheme, "raw");
    profile_clear(&profile);
    tear_down();
}

TEST(a_form_that_was_asked_for_is_the_only_one)
{
    static const struct {
        const char *scheme, *authorization;
    } table[] = {{API_RAW, "old-token"}, {API_BEARER, "Bearer old-token"}};

    for (size_t i = 0; i < 2; i++) {
        set_up();
        cache_token("old-token", now + 1000, i == 0 ? ",\"auth_scheme\":\"bearer\"" : "");
        wish.scheme = table[i].scheme;
        begin();
        expect_refresh(table[i].authorization);
        answer(401, REFUSED_BODY);
        expect_done(RESULT_REFUSED, 1);
        tear_down();
    }
}

TEST(a_token_is_sent_twice_at_most)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_done(RESULT_REFUSED, 2);
    tear_down();
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    answer(500, "{\"message\":\"Server Error\"}");
    expect_done(RESULT_TEMPORARY, 2);
    tear_down();
}

TEST(what_is_no_refusal_of_the_header_is_not_tried_in_the_other_form)
{
    static const struct {
        long status;
        const char *body;
        enum result result;
    } table[] = {
        {200, REFUSED_BODY, RESULT_REFUSED}, {422, "", RESULT_REFUSED},
        {404, "", RESULT_PROTOCOL},          {405, "", RESULT_PROTOCOL},
        {302, "", RESULT_PROTOCOL},          {408, "", RESULT_TEMPORARY},
        {425, "", RESULT_TEMPORARY},         {429, "", RESULT_TEMPORARY},
        {502, "", RESULT_TEMPORARY},         {503, "", RESULT_TEMPORARY},
        {504, "", RESULT_TEMPORARY},         {999, "", RESULT_PROTOCOL},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_token("old-token", now + 1000, "");
        begin();
        answer(table[i].status, table[i].body);
        expect_done(table[i].result, 1);
        CHECK_INT(pauses, 0); /* nor again in the same form */
        check_cached_token("old-token");
        tear_down();
    }
}

/* The form that is known to work says what is wrong; the other one only that it is the other. */
TEST(the_error_of_the_known_form_counts)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"auth_scheme\":\"raw\"");
    begin();
    answer(401, "{\"message\":\"Token has expired\"}");
    answer(400, "{\"message\":\"header not parsed\"}");
    expect_done(RESULT_REFUSED, 2);
    expect_text("Token has expired");
    CHECK(strstr(r.error.text, "parsed") == NULL);
    tear_down();
}

/* ---- what an answer says of the token that went ---- */

/* An address where the API is not (404, 405, a redirect) was no refresh; a gateway's 503 hardly was
 * one. Whether a 5xx or nonsense spent it nobody knows. */
TEST(whether_the_token_is_in_doubt_then)
{
    static const struct {
        long status;
        const char *body;
        bool doubt;
    } table[] = {
        {200, REFUSED_BODY, false},
        {401, REFUSED_BODY, false},
        {403, "", false},
        {422, "", false},
        {404, "", false},
        {405, "", false},
        {301, "", false},
        {302, "", false},
        {308, "", false},
        {408, "", false},
        {429, "", false},
        {503, "", false},
        {500, "", true},
        {502, "", true},
        {504, "", true},
        {200, "", true},
        {200, "<html>", true},
        {999, "", true},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_token("old-token", now + 1000, "");
        wish.scheme = API_RAW;
        begin();
        answer(table[i].status, table[i].body);
        run();
        CHECK_INT(requests, 1);
        if (!CHECK(is_in_doubt("old-token") == table[i].doubt))
            printf("# row %zu: %ld\n", i, table[i].status);
        tear_down();
    }
}

TEST(an_answer_without_a_usable_token_changes_nothing)
{
    static const char *const bodies[] = {"", "<html>", "{}", "{\"access_token\":\"a b\"}",
                                         "{\"access_token\":\"x\",\"expires_in\":-1}"};

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        set_up();
        cache_token("old-token", now + 1000, "");
        begin();
        answer(200, bodies[i]);
        expect_done(RESULT_PROTOCOL, 1);
        check_cached_token("old-token");
        CHECK(is_in_doubt("old-token")); /* it may be spent all the same */
        tear_down();
    }
}

TEST(a_blacklisted_token_is_never_sent_again)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    expect_refresh("old-token");
    answer(401, BLACKLISTED_BODY); /* nor in the other form */
    expect_done(RESULT_REFUSED, 1);
    profile = cached();
    CHECK_STR(profile.token, "old-token");
    CHECK(is_about(profile.blacklisted_at, now));
    CHECK(!is_in_doubt("old-token")); /* what the file says is no mere doubt */
    profile_clear(&profile);
    begin();
    expect_done(RESULT_NO_TOKEN, 0);
    expect_text("blacklisted");
    tear_down();
}

/* Then nothing but the doubt tells the next one. */
TEST(what_cannot_be_noted_of_a_blacklisted_token_stays_in_doubt)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(make_unwritable);
    answer(401, BLACKLISTED_BODY);
    expect_done(RESULT_LOCAL, 1);
    expect_text("blacklisted");
    CHECK(!is_rewritten() && is_in_doubt("old-token"));
    tear_down();
}

TEST(in_place_of_a_blacklisted_token_the_password_goes)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    begin();
    answer(401, BLACKLISTED_BODY);
    expect_login(LOGIN_BODY);
    answer_after(429, "", 1);
    expect_login(LOGIN_BODY); /* as the file says by then */
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    profile = cached();
    CHECK_INT(profile.blacklisted_at, 0);
    profile_clear(&profile);
    tear_down();
}

/* ---- 500 ---- */

TEST(a_500_may_be_a_refusal_as_long_as_no_form_has_worked)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"auth_scheme\":\"raw\"");
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    expect_done(RESULT_TEMPORARY, 1);
    expect_text("login");
    check_cached_token("old-token");
    tear_down();
}

TEST(other_server_errors_are_no_refusals)
{
    set_up();
    cache_token("old-token", now + 1000,
                ",\"auth_scheme\":\"raw\",\"password_command\":\"echo secret\"");
    begin();
    answer(502, "");
    expect_done(RESULT_TEMPORARY, 1);
    tear_down();
}

/* ---- refused ---- */

TEST(a_refused_token_without_a_source_needs_a_person)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_done(RESULT_REFUSED, 2);
    expect_text("run servetel-auth login");
    expect_text("Signature");
    check_cached_token("old-token");
    CHECK(!is_in_doubt("old-token")); /* it was answered */
    begin();
    expect_done(RESULT_REFUSED, 0); /* and is not sent again */
    expect_text("does not renew");
    tear_down();
}

TEST(the_hint_names_the_profile)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK(rename(at("default.json"), at("work.json")) == 0);
    begin();
    answer(401, "");
    answer(401, "");
    start_with("work", NULL);
    expect_done(RESULT_REFUSED, 2);
    expect_text("run servetel-auth login -p work");
    cache_token("old-token", now + 1000, "");
    CHECK(rename(at("default.json"), at("work.json")) == 0);
    begin();
    answer(401, "");
    answer(401, "");
    start_with("default", at("work.json"));
    expect_done(RESULT_REFUSED, 2);
    expect_text("run servetel-auth login -f /");
    expect_text("work.json");
    tear_down();
}

/* ---- no answer ---- */

TEST(a_refresh_whose_answer_was_lost_is_not_sent_again)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    expect_text("it broke");
    expect_text("perhaps spent");
    check_cached_token("old-token");
    CHECK(is_in_doubt("old-token"));
    tear_down();
}

TEST(a_lost_answer_in_the_other_form_is_not_sent_again_either)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(401, REFUSED_BODY);
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 2);
    check_cached_token("old-token");
    tear_down();
}

static void look_at_the_growing_pause(void)
{
    expect_pause(pauses == 1 ? 500 : 1000, pauses == 1 ? 1000 : 2000);
    CHECK(!is_in_doubt("old-token"));
}

TEST(what_was_not_sent_is_tried_again_with_growing_pauses)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    at_pause = look_at_the_growing_pause;
    begin();
    for (int i = 0; i < 3; i++) {
        expect_refresh("old-token");
        no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    }
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 2);
    expect_text("no connection");
    CHECK(!is_in_doubt("old-token") && !is_rewritten());
    tear_down();
}

/* Once the service has heard of it, the lock is kept: nobody else sends the same token meanwhile.
 */
TEST(after_an_answer_the_pause_is_made_under_the_lock)
{
    int64_t begun_ms;

    set_up();
    cache_token("old-token", now + 1000, "");
    passes_over = false;
    begin();
    answer(401, REFUSED_BODY);
    expect_refresh("Bearer old-token");
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_refresh("Bearer old-token");
    answer(200, OK_BODY);
    begun_ms = clock_monotonic_ms();
    expect_done(RESULT_OK, 3);
    CHECK_INT(pauses, 0);
    CHECK(clock_monotonic_ms() - begun_ms >= 500);
    tear_down();
}

TEST(without_retries_nothing_is_tried_again)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.retries = 0;
    begin();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 1);
    tear_down();
}

static void leave_little_time(void)
{
    r.deadline_ms = clock_monotonic_ms() + 300;
}

TEST(a_pause_that_would_end_too_late_is_not_made)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(leave_little_time);
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 1);
    CHECK_INT(pauses, 0);
    tear_down();
}

/* A certificate that does not verify: another try would find the same. */
TEST(what_will_not_get_better_is_not_tried_again)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    no_answer(REQUEST_NOT_SENT, RESULT_PROTOCOL);
    expect_done(RESULT_PROTOCOL, 1);
    tear_down();
}

TEST(no_time_is_no_request)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    start();
    spend_the_time();
    expect_done(RESULT_TEMPORARY, 0);
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

/* ---- told to wait ---- */

TEST(after_a_pause_it_goes_on_in_the_form_that_was_told_to_wait)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    expect_refresh("old-token");
    answer(401, REFUSED_BODY);
    expect_refresh("Bearer old-token");
    answer_after(429, "", 1);
    expect_refresh("Bearer old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    tear_down();
}

TEST(no_form_is_tried_again_after_a_pause)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    expect_refresh("old-token");
    answer(401, REFUSED_BODY);
    expect_refresh("Bearer old-token");
    answer_after(429, "", 1);
    expect_refresh("Bearer old-token");
    answer(401, REFUSED_BODY);
    expect_done(RESULT_REFUSED, 3);
    tear_down();
}

/* Though the form that is known to work was refused first. */
TEST(a_pause_counts_in_whichever_form_it_is_asked_for)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"auth_scheme\":\"raw\"");
    begin();
    answer(401, REFUSED_BODY);
    answer_after(503, "", 7200);
    expect_done(RESULT_TEMPORARY, 2);
    expect_text("try again in 2 h");
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    tear_down();
}

/* A new token is as good as the service's word that it may be asked again. */
TEST(a_new_token_ends_the_pause)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer_after(429, "", 1);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    profile = cached();
    CHECK_INT(profile.retry_at, 0);
    CHECK_INT(profile.retry_noted_at, 0);
    profile_clear(&profile);
    tear_down();
}

/* The first answer is the one to tell, and the one that says what comes next. */
TEST(a_500_before_a_refusal_in_the_other_form_leads_to_a_login)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"password_command\":\"echo secret\"");
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    answer(401, REFUSED_BODY);
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
    tear_down();
}

TEST(a_500_before_a_refusal_in_the_other_form_is_told)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    answer(401, REFUSED_BODY);
    expect_done(RESULT_TEMPORARY, 2);
    expect_text("HTTP 500");
    expect_text("if it stays so, run servetel-auth login");
    tear_down();
}

/* Not if that form is the one that has worked: the 500 is about the other. */
TEST(a_500_after_a_refusal_in_the_known_form_is_not_told)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, ",\"auth_scheme\":\"raw\"");
    begin();
    expect_refresh("old-token");
    answer(401, "{\"message\":\"Token has expired and can no longer be refreshed\"}");
    expect_refresh("Bearer old-token");
    answer(500, "{\"message\":\"Server Error\"}");
    expect_done(RESULT_REFUSED, 2);
    expect_text("can no longer be refreshed");
    profile = cached();
    CHECK(profile.refused_at != 0);
    CHECK_STR(profile.auth_scheme, "raw");
    CHECK(!cache_token_is_in_doubt(&r.cache, "old-token", 0));
    profile_clear(&profile);
    tear_down();
}

/* No form of the header has to do with that. */
TEST(a_blacklisted_token_is_one_whatever_the_first_form_was_answered)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    answer(401, BLACKLISTED_BODY);
    expect_done(RESULT_REFUSED, 2);
    profile = cached();
    CHECK(profile.blacklisted_at != 0 && profile.refused_at != 0);
    profile_clear(&profile);
    tear_down();
}
