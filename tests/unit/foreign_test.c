/* SPDX-License-Identifier: MIT */
/* Tokens from commands and from other hosts: foreign.c, through renew(). */
#include "renewing.h"

/* ---- importing ---- */

static void wish_import(const char *token)
{
    wish.goal = RENEW_GOAL_IMPORT;
    wish.token = &imported;
    buffer_put(&imported, token);
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
    CHECK_INT(r.outcome.action, RENEW_LOGGED_IN);
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
    CHECK(profile.password_command == NULL ||
          text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
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
    CHECK(!text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    profile_clear(&profile);
    tear_down();
}

TEST(an_import_waits_for_no_pause)
{
    char *more;

    set_up();
    more = mem_format(",\"retry_at\":%lld,\"retry_noted_at\":%lld", (long long)now + 3600,
                      (long long)now);
    cache_token("old-token", now + 1000, more);
    mem_free(more);
    wish_import("opaque");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(pauses, 0);
    check_cached_token("opaque");
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
    CHECK_INT(r.outcome.action, RENEW_RENEWED);
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
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK(!is_rewritten());
    mem_free(same);
    mem_free(command);
    tear_down();
}

/* Nobody knows of its end, so nothing says which of the two is the later. */
TEST(after_an_opaque_token_what_the_token_command_prints_counts)
{
    static const struct {
        const char *printed; /* NULL for a JWT */
        enum renew_action action;
    } table[] = {{"another", RENEW_RENEWED}, {NULL, RENEW_RENEWED}, {"opaque", RENEW_KEPT}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *text, *printed;

        set_up();
        printed = table[i].printed == NULL ? jwt_until(3000) : mem_strdup(table[i].printed);
        text = mem_format("{\"version\":1,\"api_url\":\"" URL "\",\"access_token\":\"opaque\","
                          "\"token_command\":\"echo %s\"}",
                          printed);
        put(at("default.json"), text);
        begin();
        expect_done(RESULT_OK, 0);
        CHECK_INT(r.outcome.action, table[i].action);
        check_cached_token(printed);
        mem_free(text);
        mem_free(printed);
        tear_down();
    }
}

TEST(a_token_command_that_fails_is_temporary_and_one_that_prints_no_token_is_not)
{
    static const struct {
        const char *command, *text;
        enum result result;
    } table[] = {
        {"exit 4", "exited with 4", RESULT_TEMPORARY},
        {"true", "no token", RESULT_TEMPORARY},
        {"echo '***'", "masked", RESULT_LOCAL},
        {"echo not a token", "token", RESULT_LOCAL},
        {"printf 'abc\\\\000def\\\\n'", "token", RESULT_LOCAL},
        {"head -c 17000 /dev/zero | tr '\\\\0' x", "token", RESULT_LOCAL},
        {"head -c 30000 /dev/zero | tr '\\\\0' x", "long", RESULT_TEMPORARY},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_up();
        cache_with_command("old-token", now + 10, table[i].command);
        begin();
        expect_done(table[i].result, 0);
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

TEST(a_token_command_has_its_time)
{
    set_up();
    cache_with_command("old-token", now + 10, "exec sleep 1000");
    begin();
    start();
    spend_the_time();
    expect_done(RESULT_TEMPORARY, 0);
    expect_text("the token command of 'default' did not end in time");
    tear_down();
}

TEST(a_signal_ends_the_command)
{
    set_up();
    cache_with_command("old-token", now + 10, "kill -TERM $PPID; exec sleep 1000");
    begin();
    expect_done(RESULT_INTERRUPTED, 0);
    forget_signals();
    check_cached_token("old-token");
    tear_down();
}

/* An error's text, or the "null" of a tool, could be a token. */
TEST(where_the_cached_token_ends_one_without_an_end_is_none)
{
    char *old = NULL;

    set_up();
    old = jwt_until(10);
    cache_with_command(old, now + 10, "echo null");
    begin();
    expect_done(RESULT_LOCAL, 0);
    expect_text("no token that ends");
    check_cached_token(old);
    mem_free(old);
    tear_down();
}

/* ---- a shared token ---- */

static void wish_adopt(const char *output)
{
    static char text[2048];

    snprintf(text, sizeof text, "%s", output);
    wish.adopt = text;
}

static void wish_adopt_token(const char *token)
{
    char *command = mem_format("echo %s", token);

    wish_adopt(command);
    mem_free(command);
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
    CHECK_INT(r.outcome.action, RENEW_ADOPTED);
    check_cached_token(shared);
    mem_free(command);
    mem_free(shared);
    tear_down();
}

/* A payload with times from now; 0: without. */
static char *token_with(int64_t nbf_in, int64_t exp_in, int id)
{
    char *nbf = nbf_in == 0 ? mem_copy("")
                            : mem_format("\"nbf\":%lld,", (long long)now + (long long)nbf_in);
    char *payload = mem_format("{%s\"exp\":%lld,\"jti\":%d}", nbf,
                               (long long)now + (long long)exp_in, id);
    char *token = jwt_of(payload);

    mem_free(nbf);
    mem_free(payload);
    return token;
}

/* Which of two tokens is the later one; the old one is cached with an end in 2000 s, or at its own
 * where that is over. */
TEST(the_later_token_is_told_by_nbf_then_by_its_end)
{
    static const struct {
        int64_t nbf_in, exp_in, old_nbf_in, old_exp_in;
        bool other, newer;
    } table[] = {
        {200, 1500, 100, 2000, true, true}, /* lives became shorter */
        {100, 2500, 200, 2000, true, false},
        {100, 2500, 100, 2000, true, true},
        {100, 2000, 100, 2000, true, true},
        {100, 1999, 100, 2000, true, false},
        {0, 1999, 100, 2000, true, false},
        {0, 2000, 100, 2001, true, true}, /* the cached end counts */
        {100, 2500, 0, 2000, true, true},
        {100, 1500, 0, 2000, true, false},
        {100, 2500, 100, 2500, false, false}, /* the same */
        {100, 500, 200, -5, true, true},      /* one that lasts, for one that has ended */
        {100, -1, 200, -5, true, false},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *shared, *old;

        set_up();
        shared = token_with(table[i].nbf_in, table[i].exp_in, table[i].other);
        old = token_with(table[i].old_nbf_in, table[i].old_exp_in, 0);
        cache_token(old, now + (table[i].old_exp_in < 0 ? table[i].old_exp_in : 2000), "");
        wish_adopt_token(shared);
        begin();
        expect_refresh(table[i].newer ? shared : old);
        answer(200, OK_BODY);
        expect_done(RESULT_OK, 1);
        mem_free(shared);
        mem_free(old);
        tear_down();
    }
}

/* Of the end of an opaque token nobody knows. */
TEST(of_two_opaque_tokens_the_one_from_elsewhere_counts)
{
    set_up();
    cache_token("old-token", now + 1000, "");
    wish.keep_above_s = 60;
    wish_adopt_token("shared-token");
    begin();
    expect_done(RESULT_OK, 0);
    CHECK_INT(r.outcome.action, RENEW_ADOPTED);
    check_cached_token("shared-token");
    tear_down();
}

static char *adopted;

static void look_at_the_adopted_token(void)
{
    check_cached_token(adopted); /* stored first: the older one is no longer good */
}

TEST(an_adopted_token_that_ends_soon_is_renewed)
{
    set_up();
    adopted = jwt_until(30);
    cache_token("old-token", now + 10, "");
    wish_adopt_token(adopted);
    wish.keep_above_s = 60;
    begin();
    expect_refresh(adopted);
    during(look_at_the_adopted_token);
    answer(200, OK_BODY);
    expect_done(RESULT_OK, 1);
    CHECK_INT(r.outcome.action, RENEW_RENEWED);
    check_cached_token("new-token");
    mem_free(adopted);
    tear_down();
}

/* What was stored in between is its own. */
TEST(a_password_that_is_refused_after_an_adoption_is_remembered_so)
{
    struct profile profile;

    set_up();
    adopted = jwt_until(2000);
    cache_with_source("echo secret");
    wish_adopt_token(adopted);
    begin();
    expect_refresh(adopted);
    answer(401, REFUSED_BODY);
    answer(401, REFUSED_BODY);
    expect_login(LOGIN_BODY);
    answer(401, "{\"success\":false}");
    expect_done(RESULT_REFUSED, 3);
    profile = cached();
    CHECK_STR(profile.token, adopted);
    CHECK(profile.refused_at != 0);
    CHECK(text_is(profile.unattended_login, PROFILE_LOGIN_REFUSED));
    profile_clear(&profile);
    mem_free(adopted);
    tear_down();
}

TEST(so_is_what_was_learnt_where_there_was_no_file)
{
    struct profile profile;

    set_up();
    adopted = jwt_until(2000);
    wish_adopt_token(adopted);
    wish.api_url = URL;
    begin();
    expect_refresh(adopted);
    answer(401, BLACKLISTED_BODY);
    expect_done(RESULT_REFUSED, 1);
    profile = cached();
    CHECK_STR(profile.token, adopted);
    CHECK(profile.refused_at != 0 && profile.blacklisted_at != 0);
    profile_clear(&profile);
    mem_free(adopted);
    tear_down();
}

TEST(that_it_cannot_be_noted_is_said_once)
{
#ifdef COVERAGE
    SKIP("no file may grow here, and the counts of what ran are written to one");
#endif
    set_up();
    cache_token("old-token", now + 1000, ",\"publication\":\"done\"");
    wish_adopt("true");
    wish.keep_above_s = 1;
    begin();
    start();
    make_unwritable();
    expect_done(RESULT_LOCAL, 0);
    expect_text("cannot write");
    CHECK(strstr(r.error.text, "after: ") == NULL);
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
    CHECK_INT(r.outcome.action, RENEW_KEPT);
    CHECK_STR(get(at("published")), "old-token");
    unlink(at("published"));
    wish_adopt("echo old-token");
    begin();
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
    CHECK_INT(r.outcome.action, RENEW_ADOPTED);
    check_cached_token(shared);
    mem_free(command);
    mem_free(shared);
    tear_down();
}

/* ---- what is published ---- */

static bool cached_has(const char *part)
{
    return strstr(get(at("default.json")), part) != NULL;
}

/* Another account's, by sub; 0: none. */
static char *token_of(int sub, int64_t nbf_in)
{
    long long nbf = now + nbf_in, exp = nbf + 3600;
    char *payload = sub == 0
                        ? mem_format("{\"nbf\":%lld,\"exp\":%lld}", nbf, exp)
                        : mem_format("{\"sub\":\"%d\",\"nbf\":%lld,\"exp\":%lld}", sub, nbf, exp);
    char *token = jwt_of(payload);

    mem_free(payload);
    return token;
}

TEST(another_accounts_token_is_not_taken)
{
    static const struct {
        int cached, printed;
        enum result result;
    } table[] = {{1, 2, RESULT_LOCAL}, {1, 1, RESULT_OK}, {0, 2, RESULT_OK}, {1, 0, RESULT_OK}};

    for (size_t i = 0; i < 2 * sizeof table / sizeof table[0]; i++) {
        size_t row = i / 2;
        char *old, *other;

        set_up();
        old = token_of(table[row].cached, -1000);
        other = token_of(table[row].printed, -10);
        if (i % 2 == 0) {
            cache_token(old, now + 30, "");
            wish_adopt_token(other);
        } else {
            char *command = mem_format("echo %s", other);

            cache_with_command(old, now + 30, command);
            mem_free(command);
        }
        wish.keep_above_s = 60;
        begin();
        expect_done(table[row].result, 0);
        check_cached_token(table[row].result == RESULT_OK ? other : old);
        mem_free(old);
        mem_free(other);
        tear_down();
    }
}

/* Whoever imports it has the account's token, not that of the login ID that stands there. */
TEST(another_accounts_imported_token_takes_neither_login_id_nor_source_along)
{
    for (int account = 1; account <= 2; account++) {
        char *old, *other;
        struct profile profile;

        set_up();
        old = token_of(1, -1000);
        other = token_of(account, -10);
        cache_token(old, now + 30, ",\"password_command\":\"echo secret\"");
        wish_import(other);
        begin();
        expect_done(RESULT_OK, 0);
        profile = cached();
        CHECK_STR(profile.token, other);
        CHECK_STR(profile.email, account == 1 ? "me@example.com" : NULL);
        CHECK_STR(profile.password_command, account == 1 ? "echo secret" : NULL);
        profile_clear(&profile);
        mem_free(old);
        mem_free(other);
        tear_down();
    }
}

/* With --all: nobody is asked for what is known to be published and lasts. */
TEST(what_is_published_and_kept_is_not_asked_for)
{
    static const struct {
        const char *publication;
        int64_t ttl_s;
        bool asks;
    } table[] = {
        {"done", 1000, false}, {"done", 30, true}, {"pending", 1000, true}, {"", 1000, true}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *more = table[i].publication[0] == '\0'
                         ? mem_copy("")
                         : mem_format(",\"publication\":\"%s\"", table[i].publication);
        char *command;

        set_up();
        cache_token("old-token", now + table[i].ttl_s, more);
        command = mem_format("touch '%s' && echo old-token", at("asked"));
        wish_adopt(command);
        wish_hook("cat >published");
        wish.adopt_when_due = true;
        wish.keep_above_s = 60;
        begin();
        if (table[i].ttl_s < 60)
            answer(200, OK_BODY);
        expect_done(RESULT_OK, table[i].ttl_s < 60);
        CHECK_INT(exists(at("asked")), table[i].asks);
        CHECK_INT(exists(at("published")), table[i].ttl_s < 60);
        CHECK(cached_has("\"publication\":\t\"done\"") || !table[i].asks);
        mem_free(command);
        mem_free(more);
        tear_down();
    }
}

/* Made in the same second, they cannot be told apart by their times. */
TEST(a_token_that_others_have_not_seen_yet_is_not_replaced_by_what_they_have)
{
    static const struct {
        const char *more;
        int64_t nbf_in;
        bool replaced;
    } table[] = {
        {",\"publication\":\"pending\"", -100, false},
        {",\"publication\":\"pending\"", -99, true},
        {",\"publication\":\"pending\",\"blacklisted_at\":5", -100, true},
        {",\"publication\":\"done\"", -100, true},
        {"", -100, true},
    };

    for (size_t i = 0; i < 2 * sizeof table / sizeof table[0]; i++) {
        bool imports = i % 2 == 1;
        bool replaced = table[i / 2].replaced || (imports && table[i / 2].more[0] == '\0');
        char *mine, *other;

        set_up();
        mine = token_of(0, -100);
        other = token_of(1, table[i / 2].nbf_in); /* the same times, but another text */
        cache_token(mine, now + 3500, table[i / 2].more);
        if (imports) {
            wish_import(other);
        } else {
            wish_adopt_token(other);
            wish_hook("cat >published");
            wish.keep_above_s = 60;
        }
        begin();
        expect_done(replaced || !imports ? RESULT_OK : RESULT_LOCAL, 0);
        check_cached_token(replaced ? other : mine);
        if (!imports)
            CHECK_STR(get(at("published")), replaced ? "(none)" : mine);
        else if (!replaced)
            expect_text("not published yet");
        mem_free(mine);
        mem_free(other);
        tear_down();
    }
}

TEST(what_cannot_be_cached_is_handed_out_all_the_same)
{
#ifdef COVERAGE
    SKIP("no file may grow here, and the counts of what ran are written to one");
#endif
    for (int hands_out = 0; hands_out < 2; hands_out++) {
        char *fresh, *command;

        set_up();
        fresh = jwt_until(3000);
        command = mem_format("echo %s", fresh);
        cache_with_command("old-token", now + 10, command);
        wish.hands_out = hands_out;
        begin();
        start();
        make_unwritable();
        expect_done(hands_out ? RESULT_OK : RESULT_LOCAL, 0);
        CHECK_STR(r.profile.token, hands_out ? fresh : "old-token");
        CHECK(!r.outcome.stored);
        check_cached_token("old-token");
        mem_free(command);
        mem_free(fresh);
        tear_down();
    }
}
