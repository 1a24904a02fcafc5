/* SPDX-License-Identifier: MIT */
/* Logins with the remembered password, nobody being there: login.c, through renew(). */
#include "renewal/decide.h"
#include "renewing.h"

/* ---- the remembered password ---- */

TEST(a_refused_token_with_a_source_logs_in_once)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret; echo more");
    refuse_token();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
    profile = cached();
    CHECK_STR(profile.token, "new-token");
    CHECK(is_about(profile.logged_in_at, now));
    CHECK_STR(profile.password_command, "echo secret; echo more");
    CHECK_STR(profile.auth_scheme, "raw");
    CHECK(strstr(get(at("default.json")), "x_kept") != NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(after_a_500_the_remembered_password_helps)
{
    set_up();
    put(at("pw"), "secret\n");
    chmod(at("pw"), 0600);
    {
        char *more = mem_format(",\"auth_scheme\":\"raw\",\"password_file\":\"%s\"", at("pw"));

        cache_token("old-token", now + 1000, more);
        mem_free(more);
    }
    begin();
    answer(500, "{\"message\":\"Server Error\"}");
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
    tear_down();
}

TEST(after_a_lost_answer_the_remembered_password_helps)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    CHECK(!is_in_doubt("old-token") && !is_in_doubt("new-token"));
    tear_down();
}

static void look_at_the_exposed_file(void)
{
    CHECK(r.outcome.exposed_file);
}

TEST(an_exposed_password_file_is_told_and_used)
{
    set_up();
    put(at("pw"), "secret\r\nmore\n");
    chmod(at("pw"), 0644);
    {
        char *more = mem_format(",\"password_file\":\"%s\"", at("pw"));

        cache_token("old-token", now + 1000, more);
        mem_free(more);
    }
    refuse_token();
    during(look_at_the_exposed_file);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    CHECK(r.outcome.exposed_file);
    tear_down();
}

TEST(an_expired_permanent_token_is_replaced_by_a_login)
{
    char *text;

    set_up();
    text = mem_format("{\"version\":1,\"api_url\":\"" URL "\",\"email\":\"me@example.com\","
                      "\"access_token\":\"permanent\",\"expires_at\":%lld,\"obtained_at\":%lld,"
                      "\"password_command\":\"echo secret\"}",
                      (long long)now - 1, (long long)now - 400 * DAY);
    put(at("default.json"), text);
    mem_free(text);
    begin();
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
    tear_down();
}

TEST(an_expired_permanent_token_without_a_source_is_no_token)
{
    char *text;

    set_up();
    text = mem_format("{\"version\":1,\"access_token\":\"permanent\",\"expires_at\":%lld,"
                      "\"obtained_at\":%lld}",
                      (long long)now - 1, (long long)now - 400 * DAY);
    put(at("default.json"), text);
    mem_free(text);
    begin();
    expect_done(RESULT_NO_TOKEN, 0);
    expect_text("login");
    tear_down();
}

TEST(a_source_that_fails_ends_it)
{
    static const struct {
        const char *command, *text;
    } table[] = {
        {"exit 3", "exited with 3"},
        {"kill -9 $$", "signal 9"},
        {"true", "empty"},
        {"echo", "empty"},
        {"echo secret; exit 1", "exited with 1"},
        {"printf '\\\\377\\\\n'", "UTF-8"},
        {"printf 'a\\\\000b\\\\n'", "NUL"},
        {"head -c 30000 /dev/zero | tr '\\\\0' x", "long"},
        {"/nonexistent/command 2>/dev/null", "exited with 127"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_with_source(table[i].command);
        begin();
        answer(401, REFUSED_BODY);
        answer(401, REFUSED_BODY);
        expect_done(RESULT_LOCAL, 2);
        expect_text(table[i].text);
        check_cached_token("old-token");
        tear_down();
    }
}

TEST(a_password_file_that_is_gone_ends_it)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"password_file\":\"/nonexistent/pw\"");
    begin();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_done(RESULT_LOCAL, 2);
    expect_text("/nonexistent/pw");
    tear_down();
}

/* Less than five seconds: too few for a request whose answer must be heard. */
static void take_most_of_the_time(void)
{
    r.deadline_ms = clock_monotonic_ms() + 4000;
}

TEST(with_a_remnant_of_the_time_the_token_is_not_sent)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    begin();
    start();
    take_most_of_the_time();
    expect_done(RESULT_TEMPORARY, 0);
    CHECK_STR(r.error.text, "too little of --timeout is left for the request: nothing was sent");
    CHECK(!is_in_doubt("old-token"));
    profile = cached();
    CHECK(profile.refused_at == 0 && profile.unattended_login == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(after_a_slow_refresh_the_login_is_for_the_next_run)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    begin();
    during(take_most_of_the_time);
    answer(401, BLACKLISTED_BODY);
    expect_done(RESULT_TEMPORARY, 1);
    expect_text("nothing was sent");
    profile = cached();
    CHECK(profile.blacklisted_at != 0 && profile.unattended_login == NULL);
    profile_clear(&profile);

    begin();
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    tear_down();
}

TEST(a_password_command_has_its_time)
{
    set_up();
    put(at("default.json"), "{\"version\":1,\"email\":\"me\",\"api_url\":\"" URL "\","
                            "\"password_command\":\"exec sleep 1000\"}");
    begin();
    start();
    spend_the_time();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the remembered password command of 'default' did not end in time");
    tear_down();
}

TEST(neither_token_nor_password_goes_to_another_host)
{
    set_up();
    cache_with_source("echo secret");
    wish.api_url = "https://other.example/v1";
    wish.api_url_from = "--api-url";
    begin();
    expect_done(RESULT_USAGE, 0);
    expect_text("is not sent to https://other.example/v1, which --api-url names");
    CHECK(!is_rewritten());
    tear_down();
}

/* Asked for once: its source may be a device that a person touches. */
TEST(the_password_is_asked_for_once)
{
    char *command;

    set_up();
    command = mem_format("echo x >>%s; echo secret", at("asked"));
    cache_with_source(command);
    refuse_token();
    answer_after(429, "", 1);
    expect_login(LOGIN_BODY);
    answer_after(503, "", 1);
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 5);
    CHECK_STR(get(at("asked")), "x\n");
    mem_free(command);
    tear_down();
}

/* ---- the guard ---- */

/* The guard: a stale password in cron must never lock the account. */
TEST(a_refused_password_is_not_sent_again_by_itself)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    refuse_token();
    answer(401, "{\"message\":\"Invalid credentials\"}");
    expect_done(RESULT_REFUSED, 3);
    expect_text("Invalid credentials");
    expect_text("login");
    profile = cached();
    CHECK_STR(profile.token, "old-token");
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK(is_about(profile.unattended_login_at, now));
    CHECK_STR(profile.password_command, "echo secret");
    profile_clear(&profile);

    begin();
    expect_done(RESULT_REFUSED, 0);
    expect_text("not sent again");

    put(at("default.json"), "{\"version\":1,\"email\":\"me\",\"password_command\":\"echo secret\","
                            "\"unattended_login\":\"refused\"}");
    begin();
    expect_done(RESULT_NO_TOKEN, 0);
    tear_down();
}

/* 200 with success:false, and statuses that a refused login may have. */
TEST(every_refusal_of_a_login_sets_the_guard)
{
    static const struct {
        long status;
        const char *body;
    } table[] = {
        {200, "{\"success\":false,\"message\":\"Invalid credentials\"}"},
        {400, ""},
        {401, ""},
        {403, ""},
        {422, "{\"message\":\"The given data was invalid.\"}"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct profile profile;

        set_up();
        cache_with_source("echo secret");
        refuse_token();
        answer(table[i].status, table[i].body);
        expect_done(RESULT_REFUSED, 3);
        profile = cached();
        CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
        profile_clear(&profile);
        tear_down();
    }
}

TEST(a_guard_that_cannot_be_stored_is_told)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    during(make_unwritable);
    answer(401, "{\"message\":\"Invalid credentials\"}");
    expect_done(RESULT_LOCAL, 3);
    expect_text("cannot write");
    expect_text("Invalid credentials");
    tear_down();
}

/* ---- tried again, or not ---- */

TEST(a_login_whose_answer_was_lost_is_not_sent_again)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 0);
    check_cached_token("old-token");
    tear_down();
}

TEST(a_login_that_was_not_sent_is_tried_again)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_login(LOGIN_BODY);
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 5);
    tear_down();
}

/* Once a run, and again only after a pause: it may have counted towards a lock of the account. */
TEST(a_login_that_failed_is_sent_again_after_a_pause)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    refuse_token();
    answer(502, "");
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 0);
    profile = cached();
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_FAILED) &&
          !text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK(is_about(profile.retry_at, now + 60));
    profile_clear(&profile);
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the last unattended login failed");
    tear_down();
}

/* A token that nobody has refused needs no password. */
TEST(meanwhile_the_token_is_exchanged_if_it_can_be)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    begin();
    answer(500, "");
    expect_login(LOGIN_BODY);
    answer(502, "");
    expect_done(RESULT_TEMPORARY, 2);

    begin();
    expect_refresh("Bearer old-token"); /* a form that failed is not the first again */
    answer(500, "");
    expect_done(RESULT_TEMPORARY, 1); /* and no login */
    expect_text("the last unattended login failed: the next one is for after ");
    profile = cached();
    CHECK(is_about(profile.retry_at, now + 60));
    profile_clear(&profile);

    begin();
    answer(401, BLACKLISTED_BODY);
    expect_done(RESULT_TEMPORARY, 1);
    expect_text("the last unattended login failed");
    cache_with_source("echo secret");

    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(profile.unattended_login == NULL && profile.retry_at == 0);
    profile_clear(&profile);
    tear_down();
}

/* Its own pause ends within the time of the renewal. */
TEST(a_login_that_may_be_sent_soon_waits)
{
    struct profile profile;
    char *text;

    set_up();
    cache_with_source("echo secret");
    profile = cached();
    decide_note_failed_login(&profile, now - 50);
    text = profile_print(&profile);
    put(at("default.json"), text);
    mem_free(text);
    profile_clear(&profile);
    begin();
    expect_refresh("old-token");
    answer(500, "");
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    CHECK_INT(pauses, 1);
    expect_pause(5000, 10000);
    tear_down();
}

TEST(a_login_is_not_tried_again_after_other_errors)
{
    static const long statuses[] = {404, 405, 408, 425, 429, 302, 200};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        set_up();
        cache_with_source("echo secret");
        refuse_token();
        answer(statuses[i], "");
        CHECK(run() != RESULT_OK);
        CHECK_INT(requests, 3);
        CHECK_INT(pauses, 0);
        check_cached_token("old-token");
        tear_down();
    }
}

TEST(a_login_that_must_wait_waits)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    answer_after(429, "", 2);
    expect_login(LOGIN_BODY); /* not the token, which was refused */
    answer_after(429, "", 3600);
    expect_done(RESULT_TEMPORARY, 4);
    CHECK_INT(pauses, 1);
    expect_pause(3000, 3000);
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    tear_down();
}

/* Texts of the service may echo what was sent. */
TEST(secrets_are_taken_out_of_errors)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    answer(401, "{\"message\":\"bad header old-token\"}");
    answer(401, "{\"message\":\"bad header Bearer old-token\"}");
    answer(401, "{\"message\":\"bad password secret for old-token\"}");
    expect_done(RESULT_REFUSED, 3);
    CHECK(strstr(r.error.text, "bad password [hidden]") != NULL);
    CHECK(strstr(r.error.text, "old-token") == NULL);
    tear_down();
}

/* Whatever the status, and whenever the service would be asked again. */
TEST(a_password_that_is_refused_with_a_time_to_wait_is_not_sent_again)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    refuse_token();
    answer_after(503, "{\"success\":false,\"message\":\"Invalid credentials\"}", 2);
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 0);
    profile = cached();
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    profile_clear(&profile);
    tear_down();
}

static void let_theirs_be_refused(void)
{
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo secret\",\"unattended_login\":\"refused\","
                "\"unattended_login_at\":5");
}

TEST(a_password_that_another_process_was_refused_meanwhile_is_not_sent)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_login(LOGIN_BODY);
    answer_after(429, "", 2);
    at_pause = let_theirs_be_refused;
    expect_done(RESULT_NO_TOKEN, 2);
    CHECK_INT(pauses, 1);
    expect_text("the remembered password was refused");
    tear_down();
}

static void let_theirs_be_dropped(void)
{
    cache_token("old-token", now + 1000, "");
}

static void let_it_be_anothers(void)
{
    put(at("default.json"), "{\"version\":1,\"api_url\":\"" URL "\",\"email\":\"you@example.com\","
                            "\"access_token\":\"x\",\"password_command\":\"echo yours\"}");
}

TEST(nor_by_a_login_that_waited)
{
    void (*const meanwhile[])(void) = {let_theirs_be_refused, let_theirs_be_dropped,
                                       let_it_be_anothers};

    for (size_t i = 0; i < sizeof meanwhile / sizeof meanwhile[0]; i++) {
        set_up();
        cache_with_source("echo secret");
        wish.goal = RENEW_GOAL_LOGIN;
        wish.email = "me@example.com";
        begin();
        expect_login(LOGIN_BODY);
        answer_after(429, "", 2);
        at_pause = meanwhile[i];
        expect_done(RESULT_REFUSED, 1);
        expect_text(i == 0 ? "no password; the remembered password was refused"
                           : "no password: run servetel-auth login");
        tear_down();
    }
}

static void let_the_source_be_another(void)
{
    cache_token("old-token", now + 1000, ",\"password_command\":\"echo newer\"");
}

TEST(nor_is_an_old_source_s_where_there_is_another_by_then)
{
    set_up();
    cache_with_source("echo secret");
    wish.goal = RENEW_GOAL_LOGIN;
    wish.email = "me@example.com";
    begin();
    expect_login(LOGIN_BODY);
    answer_after(429, "", 2);
    expect_login("{\"email\":\"me@example.com\",\"password\":\"newer\"}");
    answer(200, OK_BODY);
    at_pause = let_the_source_be_another;
    expect_done(RESULT_OK, 2);
    tear_down();
}
