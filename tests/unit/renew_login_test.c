#include "renewal/renew.h"

#include "renewing.h"

/* ---- logging in ---- */

TEST(a_first_login_makes_the_profile)
{
    struct profile profile;

    set_up();
    rmdir(scratch);
    wish_login("me@example.com", "secret");
    wish.password_file = "/run/pw";
    begin();
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    CHECK(r.cache.locked && r.cache.temp_fd >= 0);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.action, RENEW_LOGGED_IN);
    CHECK(!r.replaced_cache);
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
    CHECK_STR(r.request.url, "https://api.servetel.in/v1/auth/login");
    answer(200, OK_BODY);
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
    CHECK_INT(commits, 0);
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
    wish.password_is_remembered = true;
    begin();
    answer(401, "");
    expect_done(RESULT_REFUSED, 1);
    profile = cached();
    CHECK(profile_login_was_refused(&profile));
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
        {"me@example.com", "https://api.example/v2", true},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct profile profile;

        set_up();
        cache_with_source("echo secret");
        wish_login(table[i].email, "secret");
        wish.api_url = table[i].url;
        begin();
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
    CHECK_INT(step, RENEW_REQUEST);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK(r.replaced_cache);
    CHECK(strstr(r.replaced_why.text, "damaged") != NULL);
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
    CHECK(r.replaced_cache);
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
    char *more;

    set_up();
    more = mem_format(",\"retry_at\":%lld", (long long)now + 3600);
    cache_token("old-token", now + 1000, more);
    mem_free(more);
    wish_login("me@example.com", "secret");
    begin();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("nothing was sent");
    wish.api_url = "https://other.example/v1"; /* which asked for nothing */
    begin_again();
    CHECK_INT(step, RENEW_REQUEST);
    tear_down();
}

TEST(a_login_without_a_cache_touches_no_file)
{
    set_up();
    rmdir(scratch);
    wish_login("me", "secret");
    wish.no_cache = true;
    begin();
    CHECK_INT(step, RENEW_REQUEST);
    answer(200, OK_BODY);
    CHECK_INT(step, RENEW_DONE);
    CHECK_INT(r.error.result, RESULT_OK);
    CHECK_STR(r.profile.token, "new-token");
    CHECK_INT(commits, 0);
    CHECK(access(scratch, F_OK) < 0);
    tear_down();
}

TEST(a_form_that_was_asked_for_at_login_is_remembered)
{
    struct profile profile;

    set_up();
    wish_login("me", "secret");
    wish.scheme = API_SCHEME_BEARER;
    begin();
    answer(200, OK_BODY);
    profile = cached();
    CHECK_STR(profile.auth_scheme, "bearer");
    profile_clear(&profile);
    tear_down();
}

/* ---- importing ---- */

static void wish_import(const char *token)
{
    wish.goal = RENEW_GOAL_IMPORT;
    wish.token = &imported;
    CHECK(buffer_append_text(&imported, token));
}

TEST(an_imported_token_lasts_as_its_claims_say)
{
    struct profile profile;
    char *token;

    set_up();
    token = jwt_until(300 * DAY);
    wish_import(token);
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_LOGGED_IN);
    profile = cached();
    CHECK_STR(profile.token, token);
    CHECK_INT(profile.expires_at, now + 300 * DAY);
    CHECK_INT(profile.logged_in_at, now);
    CHECK(is_about(profile.obtained_at, now));
    CHECK(profile_is_permanent(&profile));
    CHECK(profile.email == NULL);
    profile_clear(&profile);
    mem_free(token);
    tear_down();
}

TEST(an_imported_token_without_claims_has_no_expiry)
{
    struct profile profile;

    set_up();
    wish_import("opaque");
    begin();
    expect_done(RESULT_OK, 0);
    profile = cached();
    CHECK_INT(profile.expires_at, TOKEN_NO_EXPIRY);
    CHECK_INT(profile.logged_in_at, 0);
    profile_clear(&profile);
    tear_down();
}

TEST(an_import_with_a_command_remembers_it)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret");
    wish_import("opaque");
    wish.token_command = "vault x";
    begin();
    expect_done(RESULT_OK, 0);
    profile = cached();
    CHECK_STR(profile.token_command, "vault x");
    CHECK(profile.password_command == NULL);
    profile_clear(&profile);
    tear_down();
}

/* A token says nothing of the password that the service refused. */
TEST(an_import_does_not_lift_the_guard)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo stale\",\"unattended_login\":\"refused\","
                "\"unattended_login_at\":5");
    wish_import("opaque");
    begin();
    expect_done(RESULT_OK, 0);
    profile = cached();
    CHECK(profile.password_command == NULL || profile_login_was_refused(&profile));
    profile_clear(&profile);
    tear_down();
}

TEST(an_import_with_a_new_source_lifts_the_guard)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000,
                ",\"password_command\":\"echo stale\",\"unattended_login\":\"refused\"");
    wish_import("opaque");
    wish.password_file = "/run/pw";
    begin();
    expect_done(RESULT_OK, 0);
    profile = cached();
    CHECK_STR(profile.password_file, "/run/pw");
    CHECK(!profile_login_was_refused(&profile));
    profile_clear(&profile);
    tear_down();
}

/* ---- token commands ---- */

TEST(a_token_command_gives_a_fresher_token)
{
    char *fresh, *command;
    struct profile profile;

    set_up();
    fresh = jwt_until(3000);
    command = mem_format("echo Bearer %s; echo more", fresh);
    cache_with_command("old-token", now + 10, command);
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_RENEWED);
    profile = cached();
    CHECK_STR(profile.token, fresh);
    CHECK_INT(profile.expires_at, now + 3000);
    CHECK_INT(profile.logged_in_at, now);
    CHECK_STR(profile.token_command, command);
    profile_clear(&profile);
    mem_free(command);
    mem_free(fresh);
    tear_down();
}

TEST(a_token_command_that_gives_nothing_fresher_is_a_temporary_failure)
{
    static const struct {
        int64_t cached_s, printed_s;
    } table[] = {{10, 10}, {-10, -10}, {10, 5}, {-10, -5}, {-10, -20}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *old, *printed, *command;

        set_up();
        old = jwt_until(table[i].cached_s);
        printed = jwt_until(table[i].printed_s);
        command = mem_format("echo %s", printed);
        cache_with_command(old, now + table[i].cached_s, command);
        wish.keep_above_s = 60;
        begin();
        if (!CHECK_INT(r.error.result, RESULT_TEMPORARY))
            printf("# row %zu: '%s'\n", i, r.error.text);
        expect_done(RESULT_TEMPORARY, 0);
        check_cached_token(old);
        CHECK(strstr(r.error.text, old) == NULL);
        mem_free(old);
        mem_free(printed);
        mem_free(command);
        tear_down();
    }
}

TEST(a_token_command_that_gives_the_same_good_token_keeps_it)
{
    char *same, *command;

    set_up();
    same = jwt_until(3000);
    command = mem_format("echo %s", same);
    cache_with_command(same, now + 3000, command);
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_KEPT);
    CHECK_INT(commits, 0);
    mem_free(same);
    mem_free(command);
    tear_down();
}

TEST(a_token_command_that_fails_is_a_local_failure)
{
    static const struct {
        const char *command, *text;
    } table[] = {
        {"exit 4", "exited with 4"},
        {"true", "empty"},
        {"echo '***'", "masked"},
        {"echo not a token", "token"},
        {"printf 'abc\\\\000def\\\\n'", "token"},
        {"head -c 17000 /dev/zero | tr '\\\\0' x", "token"},
        {"head -c 30000 /dev/zero | tr '\\\\0' x", "long"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_with_command("old-token", now + 10, table[i].command);
        begin();
        expect_done(RESULT_LOCAL, 0);
        expect_text(table[i].text);
        check_cached_token("old-token");
        tear_down();
    }
}

TEST(a_token_command_needs_no_usable_url)
{
    set_up();
    put(at("default.json"), "{\"version\":1,\"access_token\":\"old\",\"expires_at\":5,"
                            "\"api_url\":\"nonsense\",\"token_command\":\"echo opaque\"}");
    begin();
    expect_done(RESULT_OK, 0);
    check_cached_token("opaque");
    tear_down();
}

/* ---- hooks ---- */

static void wish_hook(const char *command)
{
    static char text[512];

    snprintf(text, sizeof text, "cd '%s' && %s", scratch, command);
    wish.on_change = text;
}

TEST(a_hook_gets_the_token_and_the_lock_is_free)
{
    struct profile profile;
    char expires[32];

    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("cat >token && echo $SERVETEL_PROFILE $SERVETEL_API_URL >names && "
              "echo $SERVETEL_EXPIRES_AT >expires && env >env && "
              "{ ! command -v flock >/dev/null || flock -n default.lock true; }");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("token")), "new-token");
    CHECK_STR(get(at("names")), "default " URL "\n");
    profile = cached();
    snprintf(expires, sizeof expires, "%lld\n", (long long)profile.expires_at);
    CHECK_STR(get(at("expires")), expires);
    CHECK(strstr(get(at("env")), "new-token") == NULL);
    profile_clear(&profile);
    tear_down();
}

TEST(a_hook_that_fails_leaves_the_token_stored)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("exit 9");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_FAILED, 1);
    expect_text("exited with 9");
    CHECK_INT(r.action, RENEW_RENEWED);
    check_cached_token("new-token");
    tear_down();
}

TEST(a_hook_has_its_own_time)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("exec sleep 1000");
    begin();
    CHECK_INT(step, RENEW_REQUEST);
    reply_clear(&r.reply);
    r.reply.done = true;
    r.reply.fate = REQUEST_ANSWERED;
    r.reply.status = 200;
    CHECK(buffer_append_text(&r.reply.body, OK_BODY));
    r.deadline_ms = clock_monotonic_ms() + 1; /* the renewal's own is over */
    CHECK_INT(renew_next(&r), RENEW_COMMIT);
    commit();
    CHECK_INT(renew_next(&r), RENEW_CHILD);
    CHECK(r.deadline_ms > clock_monotonic_ms() + 20000);
    r.deadline_ms = clock_monotonic_ms();
    advance();
    expect_done(RESULT_FAILED, 1);
    expect_text("in time");
    check_cached_token("new-token");
    tear_down();
}

TEST(a_kept_token_runs_no_hook)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.keep_above_s = 60;
    wish_hook("touch hooked");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_STR(get(at("hooked")), "(none)");
    tear_down();
}

TEST(a_hook_that_reads_nothing_is_fine)
{
    char *body = mem_format("{\"access_token\":\"%0*d\"}", TOKEN_LENGTH_MAX, 0);

    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("touch hooked");
    begin();
    answer(200, body);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("hooked")), "");
    mem_free(body);
    tear_down();
}

/* ---- a shared token ---- */

static void wish_adopt(const char *output)
{
    static char text[2048];

    snprintf(text, sizeof text, "%s", output);
    wish.adopt = text;
}

TEST(a_fresher_shared_token_is_adopted_and_stored)
{
    char *shared, *command;

    set_up();
    shared = jwt_until(3000);
    command = mem_format("echo %s", shared);
    cache_token("old-token", now + 10, "");
    wish_adopt(command);
    wish.keep_above_s = 60;
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_ADOPTED);
    check_cached_token(shared);
    mem_free(command);
    mem_free(shared);
    tear_down();
}

TEST(an_older_shared_token_is_not_adopted)
{
    char *shared, *command;

    set_up();
    shared = jwt_until(5);
    command = mem_format("echo %s", shared);
    cache_token("old-token", now + 10, "");
    wish_adopt(command);
    wish.keep_above_s = 60;
    begin();
    expect_refresh("old-token");
    mem_free(command);
    mem_free(shared);
    tear_down();
}

TEST(an_adopted_token_that_ends_soon_is_renewed)
{
    char *shared, *command;

    set_up();
    shared = jwt_until(30);
    command = mem_format("echo %s", shared);
    cache_token("old-token", now + 10, "");
    wish_adopt(command);
    wish.keep_above_s = 60;
    begin();
    expect_refresh(shared);
    check_cached_token(shared); /* stored first: the older one is no longer good */
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.action, RENEW_RENEWED);
    check_cached_token("new-token");
    mem_free(command);
    mem_free(shared);
    tear_down();
}

TEST(without_the_shared_token_nothing_is_sent)
{
    static const struct {
        const char *command;
        enum result result;
    } table[] = {
        {"exit 1", RESULT_TEMPORARY},
        {"echo '***'", RESULT_LOCAL},
        {"echo not a token", RESULT_LOCAL},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_token("old-token", now + 10, "");
        wish_adopt(table[i].command);
        begin();
        expect_done(table[i].result, 0);
        check_cached_token("old-token");
        tear_down();
    }
}

TEST(where_nothing_is_published_yet_it_goes_on)
{
    set_up();
    cache_token("old-token", now + 10, "");
    wish_adopt("true");
    wish_hook("cat >published");
    begin();
    expect_refresh("old-token");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("published")), "new-token");
    tear_down();
}

TEST(a_publication_that_was_cut_off_is_made_up_for)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.keep_above_s = 60;
    wish_adopt("true");
    wish_hook("cat >published");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_KEPT);
    CHECK_STR(get(at("published")), "old-token");
    unlink(at("published"));
    wish_adopt("echo old-token");
    begin_again();
    expect_done(RESULT_OK, 0);
    CHECK_STR(get(at("published")), "(none)");
    tear_down();
}

TEST(a_host_without_a_cache_adopts_the_shared_token)
{
    char *shared, *command;

    set_up();
    rmdir(scratch);
    shared = jwt_until(3000);
    command = mem_format("echo %s", shared);
    wish_adopt(command);
    wish.keep_above_s = 60;
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_ADOPTED);
    check_cached_token(shared);
    mem_free(command);
    mem_free(shared);
    tear_down();
}
