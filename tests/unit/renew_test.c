/* SPDX-License-Identifier: MIT */
#include "renewal/renew.h"

#include "renewing.h"

/* ---- keeping ---- */

TEST(a_token_that_lasts_is_kept)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.keep_above_s = 60;
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "old-token");
    CHECK(!is_rewritten());
    tear_down();
}

TEST(without_a_cache_nothing_is_made)
{
    set_up();
    rmdir(scratch);
    begin();
    expect_done(RESULT_NO_TOKEN, 0);
    expect_text("login");
    CHECK(access(scratch, F_OK) < 0);
    tear_down();
}

TEST(a_damaged_cache_is_left_alone)
{
    set_up();
    put(at("default.json"), "{\"version\":1,");
    begin();
    expect_done(RESULT_LOCAL, 0);
    CHECK_STR(get(at("default.json")), "{\"version\":1,");
    CHECK_STR(get(at("default.lock")), "(none)");
    tear_down();
}

TEST(a_permanent_token_is_never_sent)
{
    set_up();
    cache_token("permanent", now + 300 * DAY, "");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    cache_token("permanent", now + 300 * DAY, ",\"password_file\":\"/nonexistent\"");
    begin();
    expect_done(RESULT_OK, 0);
    put(at("default.json"), "{\"version\":1,\"access_token\":\"permanent\"}");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_STR(r.profile.token, "permanent");
    tear_down();
}

/* ---- storing ---- */

static void look_at_what_is_prepared(void)
{
    struct stat st;

    CHECK(r.cache.lock_fd >= 0);
    CHECK(stat(at(".default.json.tmp"), &st) == 0 && st.st_size > 16384);
}

TEST(a_refresh_stores_the_new_token)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000,
                ",\"retry_at\":2,\"retry_noted_at\":1,\"password_expires_at\":5");
    begin();
    expect_refresh("old-token");
    during(look_at_what_is_prepared);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.outcome.action, RENEW_RENEWED);
    CHECK(r.outcome.stored && r.outcome.spent);
    CHECK_STR(r.profile.token, "new-token");
    profile = cached();
    CHECK_STR(profile.token, "new-token");
    CHECK_STR(profile.token_type, "bearer");
    CHECK_STR(profile.auth_scheme, "raw");
    CHECK_STR(profile.email, "me@example.com");
    CHECK_STR(profile.api_url, URL);
    CHECK(is_about(profile.obtained_at, now));
    CHECK(is_about(profile.expires_at, now + 3600));
    CHECK_INT(profile.logged_in_at, now - 5000);
    CHECK_INT(profile.retry_at, 0);
    CHECK_INT(profile.retry_noted_at, 0);
    CHECK_INT(profile.password_expires_at, 5);
    CHECK(strstr(get(at("default.json")), "x_kept") != NULL);
    CHECK_STR(get(at("default.lock")), "");
    profile_clear(&profile);
    tear_down();
}

static void look_at_the_note(void)
{
    char note[TOKEN_FINGERPRINT_SIZE];

    token_fingerprint("old-token", note);
    CHECK_STR(get(at("default.lock")), note);
    CHECK(!is_in_doubt("old-token")); /* somebody is at it */
    check_cached_token("old-token");
}

TEST(the_token_is_noted_while_the_answer_is_out)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(look_at_the_note);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("default.lock")), "");
    tear_down();
}

TEST(a_long_token_type_is_not_kept)
{
    struct profile profile;
    char body[512];

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    snprintf(body, sizeof body, "{\"access_token\":\"new-token\",\"token_type\":\"%0100d\"}", 0);
    answer(200, body);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(profile.token_type == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(the_days_of_the_password_are_kept_as_a_time)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(200, "{\"access_token\":\"new-token\",\"number_of_days_left\":9}");
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(is_about(profile.password_expires_at, now + 9 * DAY));
    profile_clear(&profile);
    tear_down();
}

/* ---- what fails here ---- */

TEST(what_cannot_be_prepared_is_not_sent)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK(mkdir(at(".default.json.tmp"), 0700) == 0);
    begin();
    CHECK_INT(run(), RESULT_LOCAL);
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

TEST(a_new_token_that_cannot_be_stored_is_lost_and_that_is_said)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("touch hooked");
    begin();
    during(make_unwritable);
    answer(200, OK_BODY);
    expect_done(RESULT_LOCAL, 1);
    expect_text("cannot write");
    expect_text("the new one is lost");
    expect_text("login");
    CHECK(!r.outcome.stored && r.outcome.spent);
    CHECK(!exists(at("hooked")));
    check_cached_token("old-token");
    CHECK(is_in_doubt("old-token"));
    tear_down();
}

TEST(a_new_token_that_is_perhaps_not_on_the_disk_is_used)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("cat >hooked");
    begin();
    during(make_unsyncable);
    answer(200, OK_BODY);
    expect_done(RESULT_LOCAL, 1);
    expect_text("perhaps not to the disk");
    CHECK(r.outcome.stored);
    CHECK_STR(get(at("hooked")), "new-token");
    check_cached_token("new-token");
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

/* Edited by hand, say: nothing is sent to a host that login would not take. */
TEST(a_bad_url_in_the_profile_is_asked_nothing)
{
    static const char *const urls[] = {"http://api.example/v1", "api.example", "",
                                       "https://user:pw@api.example"};

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char *text;

        set_up();
        text = mem_format("{\"version\":1,\"api_url\":\"%s\",\"access_token\":\"old\","
                          "\"expires_at\":%lld,\"obtained_at\":%lld}",
                          urls[i], (long long)now, (long long)now - 3600);
        put(at("default.json"), text);
        begin();
        expect_done(RESULT_LOCAL, 0);
        CHECK(!is_in_doubt("old"));
        CHECK(strstr(r.error.text, "pw") == NULL);
        wish_login("me", "secret");
        wish.api_url = NULL;
        begin();
        expect_done(RESULT_LOCAL, 0);
        wish.api_url = URL;
        begin();
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 1);
        mem_free(text);
        tear_down();
    }
}

TEST(a_url_of_the_same_host_is_asked)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    wish.api_url = "https://api.example/v2";
    begin();
    expect_request("https://api.example/v2/auth/refresh", "old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK_STR(profile.api_url, URL); /* only a login remembers it */
    profile_clear(&profile);
    tear_down();
}

/* ---- signals ---- */

TEST(after_a_signal_nothing_is_begun)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    start();
    interrupt();
    expect_done(RESULT_INTERRUPTED, 0);
    forget_signals();
    CHECK(!is_rewritten() && !is_in_doubt("old-token"));
    CHECK(!exists(at("default.lock")));
    tear_down();
}

TEST(an_answer_that_comes_in_spite_of_a_signal_is_stored)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(interrupt);
    answer(200, OK_BODY);
    CHECK_INT(run(), RESULT_OK);
    forget_signals();
    check_cached_token("new-token");
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

TEST(an_answer_that_a_signal_cuts_off_leaves_everything_and_a_doubt)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    during(interrupt);
    no_answer(REQUEST_LOST, RESULT_INTERRUPTED);
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    CHECK(!is_rewritten() && is_in_doubt("old-token"));
    tear_down();
}

TEST(a_request_that_a_signal_kept_from_going_out_raises_no_doubt)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(interrupt);
    no_answer(REQUEST_NOT_SENT, RESULT_INTERRUPTED);
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    CHECK(!is_rewritten() && !is_in_doubt("old-token"));
    tear_down();
}

/* The other form is not sent then; what the first one has left open stays open. */
TEST(a_signal_between_the_two_forms_changes_no_doubt)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    during(interrupt);
    answer(401, REFUSED_BODY);
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    CHECK(!is_in_doubt("old-token"));
    begin();
    during(interrupt);
    answer(500, "{}");
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    CHECK(is_in_doubt("old-token"));
    begin();
    during(interrupt);
    answer(401, REFUSED_BODY); /* an older doubt is not this answer's to end */
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    CHECK(is_in_doubt("old-token"));
    tear_down();
}
