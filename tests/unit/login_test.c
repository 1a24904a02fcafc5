/* SPDX-License-Identifier: MIT */
/* Logins with a password that is given: login.c, through renew(). */
#include "renewing.h"

/* ---- a password that is given ---- */

static void look_at_what_is_prepared(void)
{
    CHECK(r.cache.lock_fd >= 0 && r.cache.temp_fd >= 0);
}

TEST(a_first_login_makes_the_profile)
{
    struct profile profile;

    set_up();
    rmdir(scratch);
    wish_login("me@example.com", "secret");
    wish.password_file = "/run/pw";
    begin();
    expect_login(LOGIN_BODY);
    during(look_at_what_is_prepared);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
    CHECK(r.outcome.replaced_why == NULL);
    profile = cached();
    CHECK_STR(profile.email, "me@example.com");
    CHECK_STR(profile.api_url, URL);
    CHECK_STR(profile.token, "new-token");
    CHECK_STR(profile.password_file, "/run/pw");
    CHECK(profile.auth_scheme == NULL);
    CHECK(is_about(profile.logged_in_at, now));
    CHECK(strstr(get(at("default.json")), "secret") == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(the_default_url_is_remembered_too)
{
    struct profile profile;

    set_up();
    wish_login("me", "secret");
    wish.api_url = NULL;
    begin();
    expect_request("https://api.servetel.in/v1/auth/login", NULL);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK_STR(profile.api_url, "https://api.servetel.in/v1");
    profile_clear(&profile);
    tear_down();
}

TEST(a_refused_login_by_hand_changes_nothing)
{
    set_up();
    cache_with_source("echo secret");
    wish_login("me@example.com", "wrong");
    begin();
    answer(401, "{\"message\":\"Invalid credentials\"}");
    expect_done(RESULT_REFUSED, 1);
    expect_text("check the login ID and the password");
    CHECK(!is_rewritten());
    check_cached_token("old-token");
    tear_down();
}

TEST(a_refused_first_login_leaves_no_profile)
{
    set_up();
    wish_login("me", "wrong");
    begin();
    answer(401, "");
    expect_done(RESULT_REFUSED, 1);
    CHECK_STR(get(at("default.json")), "(none)");
    tear_down();
}

TEST(a_login_with_the_remembered_password_that_is_refused_sets_the_guard)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    wish_login("me@example.com", "secret");
    wish.password = NULL;
    begin();
    answer(401, "");
    expect_done(RESULT_REFUSED, 1);
    profile = cached();
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    CHECK_STR(profile.token, "old-token");
    profile_clear(&profile);
    tear_down();
}

TEST(a_login_that_succeeds_lifts_the_guard_and_keeps_the_source)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo secret\",\"unattended_login\":\"refused\","
                "\"unattended_login_at\":5,\"auth_scheme\":\"bearer\"");
    wish_login("me@example.com", "secret");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(profile.unattended_login == NULL);
    CHECK_INT(profile.unattended_login_at, 0);
    CHECK_STR(profile.password_command, "echo secret");
    CHECK_STR(profile.auth_scheme, "bearer");
    CHECK(strstr(get(at("default.json")), "x_kept") != NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(somebody_else_or_elsewhere_drops_the_source)
{
    static const struct {
        const char *email, *url;
        bool drops;
    } table[] = {
        {"me@example.com", URL, false},
        {"me@example.com", URL "/", false},
        {"me@example.com", "https://API.example/v1", false},
        {"you@example.com", URL, true},
        {"me@example.com", "https://other.example/v1", true},
        {"me@example.com", "https://api.example/v2", false}, /* the same host */
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct profile profile;

        set_up();
        cache_with_source("echo secret");
        wish_login(table[i].email, "secret");
        wish.api_url = table[i].url;
        begin();
        expect_request(NULL, table[i].drops ? NULL : LOGIN_BODY);
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 1);
        profile = cached();
        CHECK_STR(profile.password_command, table[i].drops ? NULL : "echo secret");
        CHECK_STR(profile.auth_scheme, table[i].drops ? NULL : "raw");
        CHECK_STR(profile.email, table[i].email);
        CHECK_STR(profile.api_url, table[i].url);
        profile_clear(&profile);
        tear_down();
    }
}

TEST(a_new_source_replaces_the_old_one)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    wish_login("me@example.com", "secret");
    wish.password_file = "/run/pw";
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK_STR(profile.password_file, "/run/pw");
    CHECK(profile.password_command == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(a_source_can_be_forgotten)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    wish_login("me@example.com", "secret");
    wish.forget_source = true;
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(profile.password_file == NULL && profile.password_command == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(a_login_ends_the_rule_of_a_token_command)
{
    struct profile profile;

    set_up();
    cache_with_command("old-token", now + 10, "echo x");
    wish_login("me@example.com", "secret");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK(profile.token_command == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(a_login_replaces_a_damaged_cache)
{
    set_up();
    put(at("default.json"), "{\"version\":1,\"email\":\"torn");
    wish_login("me", "secret");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK(r.outcome.replaced_why != NULL && strstr(r.outcome.replaced_why, "damaged") != NULL);
    check_cached_token("new-token");
    tear_down();
}

TEST(a_login_uses_nothing_of_an_exposed_cache)
{
    struct profile profile;

    set_up();
    cache_with_source("echo evil");
    chmod(at("default.json"), 0666);
    wish_login("me@example.com", "secret");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK(r.outcome.replaced_why != NULL);
    profile = cached();
    CHECK(profile.password_command == NULL);
    CHECK(strstr(get(at("default.json")), "x_kept") == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(a_login_does_not_replace_a_later_version)
{
    set_up();
    put(at("default.json"), "{\"version\":2}");
    wish_login("me", "secret");
    begin();
    expect_done(RESULT_LOCAL, 0);
    CHECK_STR(get(at("default.json")), "{\"version\":2}");
    tear_down();
}

TEST(a_login_by_hand_is_not_tried_again_after_a_lost_answer)
{
    set_up();
    wish_login("me", "secret");
    begin();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 1);
    tear_down();
}

TEST(a_login_keeps_to_the_wait_that_was_asked_for)
{
    set_up();
    cache_with_pause(0, 3600);
    wish_login("me@example.com", "secret");
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("nothing was sent");
    wish.api_url = "https://other.example/v1"; /* which asked for nothing */
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    tear_down();
}

TEST(a_login_waits_for_a_short_pause)
{
    set_up();
    cache_with_pause(0, 20);
    wish_login("me@example.com", "secret");
    begin();
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(pauses, 1);
    expect_pause(10000, 20000); /* by a clock that has gone on since */
    tear_down();
}

/* Who has typed it is there to see what comes of it. */
TEST(a_password_that_was_typed_waits_for_no_pause)
{
    set_up();
    cache_with_pause(0, 3600);
    wish_login("me@example.com", "secret");
    wish.person_waits = true;
    begin();
    expect_login(LOGIN_BODY);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(pauses, 0);
    tear_down();
}

TEST(a_login_without_a_cache_touches_no_file)
{
    set_up();
    rmdir(scratch);
    wish_login("me", "secret");
    wish.no_cache = true;
    begin();
    answer(200, OK_BODY);
    CHECK_INT(run(), RESULT_OK);
    CHECK_STR(r.profile.token, "new-token");
    CHECK(access(scratch, F_OK) < 0);
    tear_down();
}

TEST(a_form_that_was_asked_for_at_login_is_remembered)
{
    struct profile profile;

    set_up();
    wish_login("me", "secret");
    wish.scheme = API_BEARER;
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    profile = cached();
    CHECK_STR(profile.auth_scheme, "bearer");
    profile_clear(&profile);
    tear_down();
}
