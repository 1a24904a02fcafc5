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
