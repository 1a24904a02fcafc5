/* SPDX-License-Identifier: MIT */
/* What is run with a new token, through renew(). */
#include "renewing.h"

TEST(a_hook_gets_the_token_and_the_lock_is_free)
{
    struct profile profile;
    char expires[32];

    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("cat >token && echo $SERVETEL_PROFILE $SERVETEL_TOKEN_HOST >names && "
              "echo $SERVETEL_EXPIRES_AT >expires && env >env && "
              "{ ! command -v flock >/dev/null || flock -n default.lock true; }");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("token")), "new-token");
    CHECK_STR(get(at("names")), "default api.example\n");
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
    CHECK_INT(r.outcome.action, RENEW_RENEWED);
    check_cached_token("new-token");
    tear_down();
}

static void shorten_the_hook(void)
{
    spend_the_time(); /* the renewal's own, which is not the hook's */
    wish.timeout_ms = 50;
}

TEST(a_hook_has_its_own_time)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("cat >token");
    begin();
    during(spend_the_time);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("token")), "new-token");
    wish_hook("exec sleep 1000");
    begin();
    during(shorten_the_hook);
    answer(200, "{\"access_token\":\"newer-token\"}");
    expect_done(RESULT_FAILED, 1);
    expect_text("in time");
    check_cached_token("newer-token");
    tear_down();
}

static int stderr_before;

static void catch_warnings(void)
{
    int fd = open(at("stderr"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    stderr_before = dup(STDERR_FILENO);
    CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    close(fd);
}

static void expect_warning(const char *part)
{
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    if (!CHECK(strstr(get(at("stderr")), part) != NULL))
        printf("# '%s'\n", get(at("stderr")));
}

TEST(a_signal_ends_the_hook)
{
    set_up();
    catch_warnings();
    cache_token("old-token", now + 1000, "");
    wish_hook("kill -TERM $PPID; exec sleep 1000");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    expect_warning("the token is stored, but a signal stopped the hook");
    CHECK(r.outcome.stored);
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

TEST(after_a_signal_the_hook_is_not_run)
{
    set_up();
    catch_warnings();
    cache_token("old-token", now + 1000, "");
    wish_hook("touch hooked");
    begin();
    during(interrupt);
    answer(200, OK_BODY);
    expect_done(RESULT_INTERRUPTED, 1);
    forget_signals();
    expect_warning("the hook was not run");
    CHECK(r.outcome.stored && !exists(at("hooked")));
    check_cached_token("new-token");
    tear_down();
}

/* ---- publications, and refusals ---- */

static void expect_publication(const char *state)
{
    struct profile profile = cached();

    CHECK_STR(profile.publication, state);
    profile_clear(&profile);
}

TEST(a_publication_that_fails_is_tried_again)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.adopt = "true";
    wish_hook("echo x >>tries && test $(wc -l <tries) -ge 5 && cat >published");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("published")), "new-token");
    expect_publication("done");
    tear_down();
}

TEST(a_publication_that_goes_on_failing_is_made_up_for_by_the_next_run)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.adopt = "true";
    wish.keep_above_s = 2000;
    wish_hook("echo x >>tries && exit 1");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_FAILED, 1);
    expect_text("the token is stored, but the hook exited with 1");
    CHECK_STR(get(at("tries")), "x\nx\nx\nx\nx\n");
    check_cached_token("new-token");
    expect_publication("pending");
    wish.adopt_when_due = true; /* whatever else is to be done */
    wish_hook("cat >published");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_STR(get(at("published")), "new-token");
    expect_publication("done");
    tear_down();
}

/* The engine has lost what was there: the next run must know, should it not get it there again. */
TEST(a_publication_that_was_lost_and_fails_is_made_up_for_by_the_next_run)
{
    set_up();
    cache_token("old-token", now + 1000, ",\"publication\":\"done\"");
    wish.adopt = "true";
    wish.keep_above_s = 60;
    wish.timeout_ms = 400;
    wish_hook("exit 1");
    begin();
    expect_done(RESULT_FAILED, 0);
    expect_publication("pending");
    wish.adopt_when_due = true;
    wish_hook("cat >published");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_STR(get(at("published")), "old-token");
    expect_publication("done");
    tear_down();
}

TEST(a_publication_is_tried_as_long_as_the_time_lasts)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.adopt = "true";
    wish.timeout_ms = 400; /* less than the first pause */
    wish_hook("echo x >>tries && exit 1");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_FAILED, 1);
    CHECK_STR(get(at("tries")), "x\n");
    tear_down();
}

TEST(a_hook_that_publishes_nothing_is_run_once)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish_hook("echo x >>tries && exit 1");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_FAILED, 1);
    CHECK_STR(get(at("tries")), "x\n");
    expect_publication(NULL);
    tear_down();
}

static void renew_meanwhile(void)
{
    cache_token("another", now + 3000, ",\"publication\":\"pending\"");
}

/* What is published is then no longer what is cached. */
TEST(what_another_has_renewed_meanwhile_is_not_noted_as_published)
{
    char *command;

    set_up();
    renew_meanwhile();
    command = mem_format("cp '%s' '%s'", at("default.json"), at("other"));
    CHECK_INT(system(command), 0);
    mem_free(command);
    cache_token("old-token", now + 1000, "");
    wish.adopt = "true";
    wish_hook("cat >published && cp other default.json");
    begin();
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_STR(get(at("published")), "new-token");
    CHECK_STR(r.profile.token, "new-token");
    check_cached_token("another");
    expect_publication("pending");
    tear_down();
}

TEST(others_are_told_of_a_refused_password_once)
{
    static char command[512];

    set_up();
    cache_with_source("echo secret");
    snprintf(command, sizeof command,
             "cd '%s' && echo $SERVETEL_PROFILE $SERVETEL_TOKEN_HOST >>told && grep -q refused "
             "default.json",
             scratch);
    wish.on_refused = command;
    refuse_token();
    answer(401, "{\"success\":false}");
    expect_done(RESULT_REFUSED, 3);
    CHECK_STR(get(at("told")), "default api.example\n");
    CHECK(strstr(r.error.text, "on-refused") == NULL); /* the file said so already */
    begin();
    expect_done(RESULT_REFUSED, 0);
    CHECK_STR(get(at("told")), "default api.example\n");
    tear_down();
}

TEST(others_are_not_told_of_other_failures_and_a_command_that_fails_is_told_of)
{
    set_up();
    cache_with_source("echo secret");
    wish.on_refused = "exit 3";
    refuse_token();
    answer(500, "");
    expect_done(RESULT_TEMPORARY, 3);
    CHECK(strstr(r.error.text, "on-refused") == NULL);
    cache_with_source("echo secret");
    refuse_token();
    answer(401, "{\"success\":false}");
    expect_done(RESULT_REFUSED, 3);
    expect_text("the on-refused command exited with 3");
    tear_down();
}

/* A file that was edited by hand; nothing is sent for a token command. */
TEST(a_hook_is_run_although_the_remembered_url_is_none)
{
    set_up();
    put(at("default.json"), "{\"version\":1,\"api_url\":\"nonsense\",\"access_token\":\"x\","
                            "\"expires_at\":5,\"token_command\":\"echo fresh-token\"}");
    wish_hook("cat >hooked");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_STR(get(at("hooked")), "fresh-token");
    tear_down();
}
