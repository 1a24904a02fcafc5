#include "renewal/renew.h"

#include "renewing.h"

/* ---- deciding ---- */

static const struct decision {
    const char *token; /* NULL: none */
    int64_t expires_in, obtained_ago;
    const char *email, *password_file, *token_command, *unattended_login;
    int64_t retry_in;
    int64_t keep_above_s;
    enum renew_plan plan;
} decisions[] = {
    /* a token of an hour */
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 61, 3539, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 60, 3540, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 60, 3540, NULL, NULL, NULL, NULL, 0, 59, RENEW_PLAN_KEEP},
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_EXCHANGE},
    {"t", 1, 3599, NULL, NULL, NULL, NULL, 0, 0, RENEW_PLAN_KEEP},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, 0, 0, RENEW_PLAN_EXCHANGE},
    {"t", -DAY, DAY + 3600, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", -100 * DAY, 100 * DAY + 3600, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 3600 + 61, -61, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE}, /* clock set back */
    /* a source changes nothing while there is a token to exchange */
    {"t", 0, 3600, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_EXCHANGE},
    {"t", 0, 3600, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_EXCHANGE},
    /* permanent ones are never exchanged */
    {"t", 300 * DAY, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", 30, 300 * DAY, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", INT64_MAX, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", INT64_MAX, 0, "me", "/pw", NULL, NULL, 0, -1, RENEW_PLAN_KEEP},
    {"t", -1, 300 * DAY, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_LOG_IN},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_NONE},
    {"t", -1, 300 * DAY, NULL, "/pw", NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    /* a token command is all such a profile has */
    {"t", 3600, 0, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_KEEP},
    {"t", 3600, 0, NULL, NULL, "cmd", NULL, 0, -1, RENEW_PLAN_COMMAND},
    {"t", 0, 3600, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_COMMAND},
    {"t", 0, 3600, "me", "/pw", "cmd", NULL, 60, 60, RENEW_PLAN_COMMAND},
    {"t", INT64_MAX, 0, NULL, NULL, "cmd", NULL, 0, -1, RENEW_PLAN_COMMAND},
    {NULL, 0, 0, NULL, NULL, "cmd", NULL, 0, 60, RENEW_PLAN_COMMAND},
    /* left alone */
    {"t", 0, 3600, NULL, NULL, NULL, NULL, 1, 60, RENEW_PLAN_WAIT},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, DAY, 60, RENEW_PLAN_WAIT},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, DAY + 1, 60, RENEW_PLAN_EXCHANGE},
    {"t", 0, 3600, NULL, NULL, NULL, NULL, -1, 60, RENEW_PLAN_EXCHANGE},
    {"t", 3600, 0, NULL, NULL, NULL, NULL, 60, 60, RENEW_PLAN_KEEP},
    {"t", 300 * DAY, 0, NULL, NULL, NULL, NULL, 60, -1, RENEW_PLAN_KEEP},
    {"t", -1, 300 * DAY, "me", "/pw", NULL, NULL, 60, 60, RENEW_PLAN_WAIT},
    /* no token */
    {NULL, 0, 0, NULL, NULL, NULL, NULL, 0, 60, RENEW_PLAN_NONE},
    {NULL, INT64_MAX, 0, NULL, NULL, NULL, NULL, 0, -1, RENEW_PLAN_NONE},
    {NULL, 0, 0, "me", "/pw", NULL, NULL, 0, 60, RENEW_PLAN_LOG_IN},
    {NULL, 0, 0, "me", "/pw", NULL, "refused", 0, 60, RENEW_PLAN_NONE},
};

TEST(what_is_decided)
{
    const int64_t t = 1800000000;

    for (size_t i = 0; i < sizeof decisions / sizeof decisions[0]; i++) {
        const struct decision *d = &decisions[i];
        const char *why = NULL;
        struct profile profile;

        profile_init(&profile);
        mem_replace(&profile.token, d->token);
        profile.expires_at = d->expires_in == INT64_MAX ? TOKEN_NO_EXPIRY : t + d->expires_in;
        profile.obtained_at = t - d->obtained_ago;
        mem_replace(&profile.email, d->email);
        mem_replace(&profile.password_file, d->password_file);
        mem_replace(&profile.token_command, d->token_command);
        mem_replace(&profile.unattended_login, d->unattended_login);
        profile.retry_at = d->retry_in == 0 ? 0 : t + d->retry_in;
        if (!CHECK_INT(renew_decide(&profile, d->keep_above_s, t, &why), d->plan))
            printf("# row %zu: %s\n", i, why);
        CHECK(why != NULL && *why != '\0');
        profile_clear(&profile);
    }
}

/* ---- keeping ---- */

TEST(a_token_that_lasts_is_kept)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.keep_above_s = 60;
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "old-token");
    CHECK_INT(commits, 0);
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
    CHECK_INT(r.action, RENEW_KEPT);
    cache_token("permanent", now + 300 * DAY, ",\"password_file\":\"/nonexistent\"");
    begin_again();
    expect_done(RESULT_OK, 0);
    put(at("default.json"), "{\"version\":1,\"access_token\":\"permanent\"}");
    begin_again();
    expect_done(RESULT_OK, 0);
    CHECK_STR(r.profile.token, "permanent");
    tear_down();
}

/* ---- refreshing ---- */

TEST(a_refresh_stores_the_new_token)
{
    struct profile profile;
    struct stat st;

    set_up();
    cache_token("old-token", now + 1000, ",\"retry_at\":1,\"password_expires_at\":5");
    begin();
    expect_refresh("old-token");
    CHECK(r.cache.locked);
    CHECK(stat(at(".default.json.tmp"), &st) == 0 && st.st_size > 16384); /* prepared */
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.action, RENEW_RENEWED);
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
    CHECK_INT(profile.password_expires_at, 5);
    CHECK(strstr(get(at("default.json")), "x_kept") != NULL);
    CHECK_STR(get(at("default.lock")), "");
    profile_clear(&profile);
    tear_down();
}

TEST(the_token_is_noted_while_the_answer_is_out)
{
    char note[TOKEN_FINGERPRINT_SIZE];

    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    token_fingerprint("old-token", note);
    CHECK_STR(get(at("default.lock")), note);
    CHECK(!is_in_doubt("old-token")); /* somebody is at it */
    check_cached_token("old-token");
    answer(200, OK_BODY);
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
        enum api_scheme scheme;
        const char *authorization;
    } table[] = {{API_SCHEME_RAW, "old-token"}, {API_SCHEME_BEARER, "Bearer old-token"}};

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
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    CHECK_INT(r.action, RENEW_LOGGED_IN);
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
    CHECK_INT(commits, 0);
    CHECK(!is_in_doubt("old-token")); /* it was answered */
    tear_down();
}

TEST(the_hint_names_the_profile)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK(rename(at("default.json"), at("work.json")) == 0);
    renew_begin(&r, &wish, "work", NULL);
    advance();
    answer(401, "");
    answer(401, "");
    CHECK_INT(r.error.result, RESULT_REFUSED);
    expect_text("run servetel-auth login -p work");
    renew_end(&r);
    renew_begin(&r, &wish, "default", at("work.json"));
    advance();
    answer(401, "");
    answer(401, "");
    CHECK_INT(r.error.result, RESULT_REFUSED);
    expect_text("run servetel-auth login -f /");
    expect_text("work.json");
    tear_down();
}

TEST(a_refused_token_with_a_source_logs_in_once)
{
    struct profile profile;

    set_up();
    cache_with_source("echo secret; echo more");
    refuse_token();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    CHECK_INT(r.action, RENEW_LOGGED_IN);
    profile = cached();
    CHECK_STR(profile.token, "new-token");
    CHECK(is_about(profile.logged_in_at, now));
    CHECK_STR(profile.password_command, "echo secret; echo more");
    CHECK_STR(profile.auth_scheme, "raw");
    CHECK(strstr(get(at("default.json")), "x_kept") != NULL);
    profile_clear(&profile);
    tear_down();
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
    CHECK(r.exposed_file);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 3);
    CHECK(r.exposed_file);
    tear_down();
}

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
    CHECK(profile_login_was_refused(&profile));
    CHECK(is_about(profile.unattended_login_at, now));
    CHECK_STR(profile.password_command, "echo secret");
    profile_clear(&profile);

    begin_again();
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_done(RESULT_REFUSED, 2);
    expect_text("not sent again");

    put(at("default.json"), "{\"version\":1,\"email\":\"me\",\"password_command\":\"echo secret\","
                            "\"unattended_login\":\"refused\"}");
    begin_again();
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
        CHECK(profile_login_was_refused(&profile));
        profile_clear(&profile);
        tear_down();
    }
}

TEST(a_guard_that_cannot_be_stored_is_told)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    fail_commit = true;
    answer(401, "{\"message\":\"Invalid credentials\"}");
    expect_done(RESULT_LOCAL, 3);
    expect_text("the disk is full");
    expect_text("Invalid credentials");
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

TEST(a_password_command_has_its_time)
{
    set_up();
    cache_with_source("exec sleep 1000");
    begin();
    answer(401, REFUSED_BODY);
    CHECK_INT(step, RENEW_REQUEST);
    reply_clear(&r.reply);
    r.reply.done = true;
    r.reply.fate = REQUEST_ANSWERED;
    r.reply.status = 401;
    CHECK_INT(renew_next(&r), RENEW_CHILD);
    r.deadline_ms = clock_monotonic_ms();
    advance();
    expect_done(RESULT_TEMPORARY, 2);
    expect_text("in time");
    CHECK_INT(r.child.pid, 0);
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
    check_cached_token("old-token");
    CHECK(is_in_doubt("old-token"));
    tear_down();
}

TEST(after_a_lost_answer_the_remembered_password_helps)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 2);
    CHECK(!is_in_doubt("old-token") && !is_in_doubt("new-token"));
    tear_down();
}

TEST(a_lost_answer_in_the_other_form_is_not_sent_again_either)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    answer(401, REFUSED_BODY);
    no_answer(REQUEST_LOST, RESULT_TEMPORARY);
    CHECK_INT(step, RENEW_DONE);
    CHECK_INT(requests, 2);
    check_cached_token("old-token");
    tear_down();
}

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

TEST(what_was_not_sent_is_tried_again_with_growing_pauses)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    stop_at_pause = true;
    begin();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    CHECK_INT(step, RENEW_PAUSE);
    CHECK(last_pause_ms > 400 && last_pause_ms <= 1000);
    CHECK(!is_in_doubt("old-token"));
    advance();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    CHECK_INT(step, RENEW_PAUSE);
    CHECK(last_pause_ms > 900 && last_pause_ms <= 2000);
    advance();
    expect_refresh("old-token");
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_done(RESULT_TEMPORARY, 3);
    CHECK_INT(pauses, 2);
    expect_text("no connection");
    CHECK(!is_in_doubt("old-token"));
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

TEST(a_pause_that_would_end_too_late_is_not_made)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    r.deadline_ms = clock_monotonic_ms() + 300;
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

TEST(a_login_that_was_not_sent_is_tried_again)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    no_answer(REQUEST_NOT_SENT, RESULT_TEMPORARY);
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 5);
    tear_down();
}

TEST(no_time_is_no_request)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    renew_begin(&r, &wish, "default", NULL);
    r.deadline_ms = clock_monotonic_ms() - 1;
    advance();
    expect_done(RESULT_TEMPORARY, 0);
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

/* ---- 429 and 503 ---- */

TEST(a_service_that_says_when_is_asked_then)
{
    static const long statuses[] = {429, 503};

    for (size_t i = 0; i < 2; i++) {
        set_up();
        cache_token("old-token", now + 1000, "");
        stop_at_pause = true;
        begin();
        answer_after(statuses[i], "", 3);
        CHECK_INT(step, RENEW_PAUSE);
        CHECK(last_pause_ms > 2900 && last_pause_ms <= 3200);
        advance();
        expect_refresh("old-token");
        answer_after(statuses[i], "", 0);
        CHECK_INT(step, RENEW_PAUSE);
        CHECK(last_pause_ms > 0 && last_pause_ms <= 200);
        advance();
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 3);
        tear_down();
    }
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
    CHECK(is_about(profile.retry_at, now + 7200));
    profile_clear(&profile);
    CHECK(!is_in_doubt("old-token"));

    begin_again();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("nothing was sent");

    cache_token("old-token", now + 1000, ",\"retry_at\":1");
    begin_again();
    expect_refresh("old-token");
    tear_down();
}

TEST(a_wait_that_ends_in_time_is_made)
{
    char *more;

    set_up();
    more = mem_format(",\"retry_at\":%lld", (long long)now + 10);
    cache_token("old-token", now + 1000, more);
    mem_free(more);
    stop_at_pause = true;
    begin();
    CHECK_INT(step, RENEW_PAUSE);
    CHECK(last_pause_ms > 7000 && last_pause_ms <= 10000);
    cache_token("old-token", now + 1000, ""); /* the time has come */
    advance();
    expect_refresh("old-token");
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

/* ---- the unattended login ---- */

TEST(a_login_is_tried_again_after_a_server_error)
{
    set_up();
    cache_with_source("echo secret");
    refuse_token();
    answer(502, "");
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(500, "");
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(503, "");
    expect_done(RESULT_TEMPORARY, 5);
    CHECK_INT(pauses, 2);
    {
        struct profile profile = cached();

        CHECK(!profile_login_was_refused(&profile));
        profile_clear(&profile);
    }
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
        CHECK_INT(step, RENEW_DONE);
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
    CHECK_INT(pauses, 1);
    CHECK(last_pause_ms > 1900);
    answer_after(429, "", 3600);
    expect_done(RESULT_TEMPORARY, 4);
    begin_again();
    expect_done(RESULT_TEMPORARY, 0);
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
    expect_login("{\"email\":\"me@example.com\",\"password\":\"secret\"}");
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.action, RENEW_LOGGED_IN);
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

/* Texts of the service may echo what was sent. */
TEST(secrets_are_taken_out_of_errors)
{
    set_up();
    cache_with_source("echo secret");
    begin();
    answer(401, "{\"message\":\"bad header old-token\"}");
    answer(401, "{\"message\":\"bad header Bearer old-token\"}");
    CHECK(strstr(r.error.text, "old-token") == NULL);
    answer(401, "{\"message\":\"bad password secret for old-token\"}");
    expect_done(RESULT_REFUSED, 3);
    CHECK(strstr(r.error.text, "bad password [hidden]") != NULL);
    CHECK(strstr(r.error.text, "old-token") == NULL);
    tear_down();
}

/* ---- others at the same profile ---- */

TEST(a_lock_that_is_taken_is_tried_again)
{
    struct cache other;
    struct error error;

    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    stop_at_pause = true;
    begin();
    for (int i = 0; i < 10; i++) {
        CHECK_INT(step, RENEW_PAUSE);
        CHECK(last_pause_ms <= 100);
        advance();
    }
    cache_unlock(&other);
    advance();
    expect_refresh("old-token");
    cache_close(&other);
    tear_down();
}

TEST(a_lock_that_is_not_let_go_in_time_is_a_temporary_failure)
{
    struct cache other;
    struct error error;

    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    stop_at_pause = true;
    begin();
    CHECK_INT(step, RENEW_PAUSE);
    r.deadline_ms = clock_monotonic_ms();
    advance();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("in time");
    cache_close(&other);
    tear_down();
}

TEST(a_token_that_another_process_renewed_is_enough)
{
    struct cache other;
    struct error error;

    set_up();
    cache_token("old-token", now + 10, "");
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    stop_at_pause = true;
    begin();
    CHECK_INT(step, RENEW_PAUSE);
    cache_token("their-token", now + 3600, "");
    advance(); /* the lock is still theirs */
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "their-token");
    cache_close(&other);
    tear_down();
}

TEST(so_it_is_when_the_lock_was_free_again)
{
    set_up();
    cache_token("old-token", now + 10, "");
    renew_begin(&r, &wish, "default", NULL);
    cache_token("their-token", now + 3600, "");
    advance();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.action, RENEW_KEPT);
    CHECK_STR(r.profile.token, "their-token");
    tear_down();
}

TEST(a_token_of_another_process_that_has_expired_is_not_enough)
{
    set_up();
    cache_token("old-token", now + 10, "");
    renew_begin(&r, &wish, "default", NULL);
    cache_token("their-token", now - 10, "");
    advance();
    expect_refresh("their-token");
    tear_down();
}

TEST(a_cache_that_is_gone_when_the_lock_is_had_is_no_token)
{
    set_up();
    cache_token("old-token", now + 10, "");
    renew_begin(&r, &wish, "default", NULL);
    unlink(at("default.json"));
    advance();
    expect_done(RESULT_NO_TOKEN, 0);
    tear_down();
}

/* ---- what fails here ---- */

TEST(what_cannot_be_prepared_is_not_sent)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    CHECK(mkdir(at(".default.json.tmp"), 0700) == 0);
    begin();
    CHECK_INT(step, RENEW_DONE);
    CHECK_INT(r.error.result, RESULT_LOCAL);
    CHECK_INT(requests, 0);
    CHECK(!is_in_doubt("old-token"));
    tear_down();
}

TEST(a_new_token_that_cannot_be_stored_is_lost_and_that_is_said)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.on_change = "touch hooked";
    begin();
    fail_commit = true;
    answer(200, OK_BODY);
    expect_done(RESULT_LOCAL, 1);
    expect_text("the disk is full");
    expect_text("login");
    check_cached_token("old-token");
    CHECK(is_in_doubt("old-token"));
    tear_down();
}

TEST(a_new_token_that_is_perhaps_not_on_the_disk_is_used)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    fail_commit = store_though_failed = true;
    answer(200, OK_BODY);
    expect_done(RESULT_LOCAL, 1);
    CHECK(r.stored);
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
        begin_again();
        expect_done(RESULT_LOCAL, 0);
        wish.api_url = URL;
        begin_again();
        CHECK_INT(step, RENEW_REQUEST);
        mem_free(text);
        tear_down();
    }
}

TEST(a_url_that_was_asked_for_is_asked)
{
    struct profile profile;

    set_up();
    cache_token("old-token", now + 1000, "");
    wish.api_url = "https://other.example/v1";
    begin();
    CHECK_STR(r.request.url, "https://other.example/v1/auth/refresh");
    answer(200, OK_BODY);
    profile = cached();
    CHECK_STR(profile.api_url, URL); /* only a login remembers it */
    profile_clear(&profile);
    tear_down();
}

TEST(an_interrupted_renewal_leaves_everything)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    begin();
    renew_interrupt(&r);
    CHECK_INT(r.error.result, RESULT_INTERRUPTED);
    CHECK_INT(renew_next(&r), RENEW_DONE);
    CHECK(!r.cache.locked);
    check_cached_token("old-token");
    CHECK(!is_in_doubt("old-token")); /* it was not sent */
    CHECK_STR(get(at(".default.json.tmp")), "(none)");
    renew_end(&r);
    begin();
    r.reply.sent_at = now;
    renew_interrupt(&r);
    check_cached_token("old-token");
    CHECK(is_in_doubt("old-token"));
    renew_end(&r);
    cache_token("other-token", now + 1000, "");
    begin();
    answer(500, "{}"); /* unclear; then the other form, which is not sent */
    CHECK_INT(step, RENEW_REQUEST);
    renew_interrupt(&r);
    CHECK(is_in_doubt("other-token"));
    renew_end(&r);
    cache_token("old-token", now + 1000, "");
    begin();
    r.reply.sent_at = now;
    renew_interrupt(&r);
    renew_end(&r);
    begin(); /* an older doubt stays */
    renew_interrupt(&r);
    CHECK(is_in_doubt("old-token"));
    tear_down();
}

TEST(an_interrupted_command_is_ended)
{
    set_up();
    cache_with_command("old-token", now + 10, "exec sleep 1000");
    renew_begin(&r, &wish, "default", NULL);
    CHECK_INT(renew_next(&r), RENEW_CHILD);
    CHECK(r.child.pid != 0);
    renew_interrupt(&r);
    CHECK_INT(r.child.pid, 0);
    tear_down();
}

TEST(a_renewal_can_be_ended_at_any_step)
{
    set_up();
    cache_with_source("echo secret");
    renew_begin(&r, &wish, "default", NULL);
    renew_end(&r);
    begin();
    renew_end(&r);
    refuse_token();
    renew_end(&r);
    check_cached_token("old-token");
    begin();
    tear_down();
}
