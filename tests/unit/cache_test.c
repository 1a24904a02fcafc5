/* SPDX-License-Identifier: MIT */
#include "store/cache.h"

#include <pwd.h>

#include "caching.h"
#include "store/lock.h"

/* ---- places ---- */

TEST(the_directory_can_be_moved)
{
    set_up();
    open_cache();
    CHECK_STR(cache.name, "default");
    CHECK_STR(cache.path, at("default.json"));
    CHECK_STR(cache.target, at("default.json"));
    CHECK_STR(cache.lock_path, at("default.lock"));
    CHECK_STR(cache.dir_path, scratch);
    CHECK(!exists(cache.lock_path)); /* nothing was touched */
    tear_down();
}

TEST(without_a_word_it_is_in_the_home_directory)
{
    set_up();
    unsetenv("SERVETEL_AUTH_DIR");
    setenv("HOME", "/home/me", 1);
    setenv("XDG_CONFIG_HOME", "/elsewhere", 1);
    setenv("XDG_CACHE_HOME", "/elsewhere", 1);
    setenv("XDG_DATA_HOME", "/elsewhere", 1);
    setenv("XDG_STATE_HOME", "/elsewhere", 1);
    CHECK_INT(cache_open(&cache, "work", NULL, &error), RESULT_OK);
    CHECK_STR(cache.path, "/home/me/.servetel-auth/work.json");
    CHECK_STR(cache.lock_path, "/home/me/.servetel-auth/work.lock");
    cache_close(&cache);
    setenv("SERVETEL_AUTH_DIR", "", 1); /* as if unset */
    CHECK_INT(cache_open(&cache, "work", NULL, &error), RESULT_OK);
    CHECK_STR(cache.path, "/home/me/.servetel-auth/work.json");
    tear_down();
}

/* As cron and systemd may start it. */
TEST(without_home_the_passwd_entry_tells)
{
    const struct passwd *user = getpwuid(geteuid());
    char *expected;

    if (user == NULL)
        SKIP("this user has no passwd entry");
    set_up();
    expected = mem_format("%s/.servetel-auth/default.json", user->pw_dir);
    unsetenv("SERVETEL_AUTH_DIR");
    unsetenv("HOME");
    open_cache();
    CHECK_STR(cache.path, expected);
    cache_close(&cache);
    setenv("HOME", "", 1);
    open_cache();
    CHECK_STR(cache.path, expected);
    setenv("HOME", user->pw_dir, 1);
    mem_free(expected);
    tear_down();
}

TEST(a_file_of_ones_own)
{
    static const struct {
        const char *file, *lock;
    } table[] = {
        {"/x/token.json", "/x/token.lock"},      {"/x/token", "/x/token.lock"},
        {"/x/token.JSON", "/x/token.JSON.lock"}, {"token.json", "token.lock"},
        {"token.json.json", "token.json.lock"},  {"a/b", "a/b.lock"},
    };

    set_up();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK_INT(cache_open(&cache, "default", table[i].file, &error), RESULT_OK);
        CHECK_STR(cache.path, table[i].file);
        CHECK_STR(cache.lock_path, table[i].lock);
        cache_close(&cache);
    }
    tear_down();
}

TEST(a_file_that_can_be_none_is_refused)
{
    set_up();
    check_local(cache_open(&cache, "default", "", &error), "directory");
    cache_close(&cache);
    check_local(cache_open(&cache, "default", "/x/", &error), "directory");
    cache_close(&cache);
    check_local(cache_open(&cache, "default", "/", &error), "directory");
    tear_down();
}

/* ---- the list ---- */

TEST(profiles_are_listed_in_order)
{
    char **names;
    size_t count;

    set_up();
    put(at("work.json"), VALID);
    put(at("default.json"), VALID);
    put(at("Zoe.json"), "damaged");
    put(at("a.json.json"), VALID);
    put(at("work.lock"), "");
    put(at(".default.json.tmp"), VALID);
    put(at(".hidden.json"), VALID);
    put(at("no"), VALID);
    put(at(".json"), VALID);
    put(at("a b.json"), VALID);
    put(at("x.JSON"), VALID);
    CHECK_INT(cache_list(&names, &count, &error), RESULT_OK);
    CHECK_INT((long long)count, 4);
    if (count == 4) {
        CHECK_STR(names[0], "Zoe");
        CHECK_STR(names[1], "a.json");
        CHECK_STR(names[2], "default");
        CHECK_STR(names[3], "work");
    }
    cache_list_free(&names);
    tear_down();
}

TEST(many_profiles_are_listed)
{
    char **names;
    size_t count;

    set_up();
    for (int i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof name, "p%03d.json", 99 - i);
        put(at(name), VALID);
    }
    CHECK_INT(cache_list(&names, &count, &error), RESULT_OK);
    CHECK_INT((long long)count, 100);
    for (size_t i = 0; i < count; i++)
        CHECK_INT(atoi(names[i] + 1), (long long)i);
    cache_list_free(&names);
    tear_down();
}

TEST(no_directory_is_no_profile)
{
    char **names;
    size_t count;

    set_up();
    rmdir(scratch);
    CHECK_INT(cache_list(&names, &count, &error), RESULT_OK);
    CHECK_INT((long long)count, 0);
    cache_list_free(&names);
    put(scratch, "a file in its place");
    CHECK_INT(cache_list(&names, &count, &error), RESULT_LOCAL);
    CHECK_INT((long long)count, 0);
    cache_list_free(&names);
    unlink(scratch);
    tear_down();
}

/* ---- reading ---- */

TEST(a_cached_token_is_read)
{
    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(cache_find(&cache, &error), RESULT_OK);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK_STR(profile.token, "abc");
    CHECK(!exists(at("default.lock"))); /* readers take no lock */
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK_STR(profile.token, "abc");
    tear_down();
}

TEST(no_file_is_no_token)
{
    set_up();
    open_cache();
    CHECK_INT(cache_find(&cache, &error), RESULT_NO_TOKEN);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_NO_TOKEN);
    CHECK(strstr(error.text, "login") != NULL);
    CHECK(!cache.is_ours);
    rmdir(scratch);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_NO_TOKEN);
    tear_down();
}

TEST(a_failed_read_leaves_an_empty_profile)
{
    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    put(at("default.json"), "{");
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_LOCAL);
    CHECK(profile.token == NULL && profile.json == NULL);
    tear_down();
}

TEST(a_damaged_file_may_be_replaced)
{
    static const char *const texts[] = {
        "",
        "{",
        "\n",
        "{\"version\":1",
        "{\"version\":1,\"access_token\":7}",
        "{\"version\":1,\"access_token\":\"a b\"}",
        VALID "{}", /* NOLINT(bugprone-suspicious-missing-comma): one text, with more behind it */
    };

    set_up();
    open_cache();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put(at("default.json"), texts[i]);
        check_local(cache_read(&cache, &profile, &error), "login");
        CHECK(strstr(error.text, at("default.json")) != NULL);
        CHECK(cache.is_ours);
    }
    put_bytes(at("default.json"), VALID "\0\0\0", sizeof VALID + 2, 0600);
    check_local(cache_read(&cache, &profile, &error), "damaged");
    CHECK(cache.is_ours);
    tear_down();
}

TEST(what_never_was_a_cache_is_neither_replaced_nor_removed)
{
    static const char *const texts[] = {"not JSON",         "[]",          "{}",
                                        "{\"name\":\"x\"}", "\"version\"", "#!/bin/sh\n"};

    set_up();
    open_cache();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put(at("default.json"), texts[i]);
        check_local(cache_read(&cache, &profile, &error), at("default.json"));
        CHECK(!cache.is_ours);
        check_local(cache_find(&cache, &error), at("default.json"));
    }
    tear_down();
}

TEST(a_later_version_is_not_replaced)
{
    set_up();
    put(at("default.json"), "{\"version\":2}");
    open_cache();
    check_local(cache_read(&cache, &profile, &error), "version 2");
    CHECK(cache.is_ours && cache.is_later);
    tear_down();
}

TEST(a_file_that_others_can_touch_is_refused)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0606, 0644, 0666, 0777, 0620, 0602, 0610};

    set_up();
    open_cache();
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put_bytes(at("default.json"), VALID, strlen(VALID), modes[i]);
        check_local(cache_read(&cache, &profile, &error), "chmod 600");
        CHECK(profile.token == NULL);
        CHECK(cache.is_ours);
    }
    put_bytes(at("default.json"), VALID, strlen(VALID), 0700);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    /* The last: we could not write it again. */
    put_bytes(at("default.json"), VALID, strlen(VALID), 0400);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    tear_down();
}

TEST(a_file_of_another_user_is_refused)
{
    if (geteuid() != 0)
        SKIP("only root can give a file away");
    set_up();
    put(at("default.json"), VALID);
    CHECK(chown(at("default.json"), 12345, (gid_t)-1) == 0);
    open_cache();
    check_local(cache_read(&cache, &profile, &error), "12345");
    CHECK(profile.token == NULL);
    CHECK(!cache.is_ours);
    tear_down();
}

TEST(what_is_no_file_is_refused_and_not_waited_for)
{
    set_up();
    open_cache();
    CHECK(mkdir(at("default.json"), 0700) == 0);
    check_local(cache_read(&cache, &profile, &error), at("default.json"));
    CHECK(!cache.is_ours);
    rmdir(at("default.json"));
    CHECK(mkfifo(at("default.json"), 0600) == 0);
    check_local(cache_read(&cache, &profile, &error), "regular");
    CHECK(!cache.is_ours);
    check_local(cache_find(&cache, &error), "regular");
    tear_down();
}

TEST(a_file_that_is_too_large_is_refused)
{
    char *text = mem_new(256 * 1024 + 2);

    set_up();
    /* Blanks before the object are as good as any other text. */
    snprintf(text, 256 * 1024 + 2, "%*s", 256 * 1024 + 1, VALID);
    open_cache();
    put_bytes(at("default.json"), text + 1, 256 * 1024, 0600);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    put_bytes(at("default.json"), text, 256 * 1024 + 1, 0600);
    check_local(cache_read(&cache, &profile, &error), "larger");
    CHECK(cache.is_ours);
    mem_free(text);
    tear_down();
}

TEST(a_file_that_cannot_be_read_is_not_replaced)
{
    if (geteuid() == 0)
        SKIP("root may read everything");
    set_up();
    put_bytes(at("default.json"), VALID, strlen(VALID), 0200);
    open_cache();
    check_local(cache_read(&cache, &profile, &error), strerror(EACCES));
    CHECK(!cache.is_ours);
    tear_down();
}

/* ---- links ---- */

TEST(a_link_is_followed_and_the_lock_stands_at_its_end)
{
    bool stored;

    set_up();
    CHECK(mkdir(at("far"), 0700) == 0);
    put(at("far/real.json"), VALID);
    CHECK(symlink("far/real.json", at("default.json")) == 0);
    open_cache();
    CHECK_STR(cache.path, at("default.json"));
    CHECK_STR(cache.target, at("far/real.json"));
    CHECK_STR(cache.lock_path, at("far/real.lock"));
    CHECK_STR(cache.dir_path, at("far"));
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_prepare(&cache, 100, &error), RESULT_OK);
    CHECK_INT(cache_write(&cache, "new", &stored, &error), RESULT_OK);
    CHECK(stored);
    CHECK_STR(get(at("far/real.json")), "new");
    CHECK(exists(at("far/real.lock")));
    CHECK(!exists(at("default.lock")));
    {
        struct stat st;

        CHECK(lstat(at("default.json"), &st) == 0 && S_ISLNK(st.st_mode));
    }
    tear_down();
}

TEST(chains_of_links_are_followed)
{
    set_up();
    CHECK(mkdir(at("one"), 0700) == 0 && mkdir(at("two"), 0700) == 0);
    put(at("two/end.json"), VALID);
    CHECK(symlink(at("one/middle"), at("default.json")) == 0);
    CHECK(symlink("../two/end.json", at("one/middle")) == 0);
    open_cache();
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK_STR(profile.token, "abc");
    CHECK_STR(cache.lock_path, at("one/../two/end.lock"));
    tear_down();
}

TEST(a_dangling_link_says_where_a_file_would_be)
{
    bool stored;

    set_up();
    CHECK(symlink("later/real.json", at("default.json")) == 0);
    open_cache();
    CHECK_STR(cache.target, at("later/real.json"));
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_NO_TOKEN);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_prepare(&cache, 100, &error), RESULT_OK);
    CHECK_INT(cache_write(&cache, VALID, &stored, &error), RESULT_OK);
    CHECK_STR(get(at("later/real.json")), VALID);
    CHECK_STR(get(at("default.json")), VALID);
    tear_down();
}

TEST(a_loop_of_links_is_refused)
{
    set_up();
    CHECK(symlink("default.json", at("default.json")) == 0);
    check_local(cache_open(&cache, "default", NULL, &error), strerror(ELOOP));
    tear_down();
}

TEST(a_link_to_a_directory_is_refused)
{
    set_up();
    CHECK(mkdir(at("far"), 0700) == 0);
    CHECK(symlink("far", at("default.json")) == 0);
    open_cache();
    check_local(cache_read(&cache, &profile, &error), "default.json");
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    check_local(cache_prepare(&cache, 100, &error), "regular");
    cache_close(&cache);
    unlink(at("default.json"));
    CHECK(symlink("far/", at("default.json")) == 0);
    check_local(cache_open(&cache, "default", NULL, &error), "directory");
    tear_down();
}

/* ---- changes ---- */

TEST(a_change_by_another_is_seen)
{
    struct cache other;
    bool stored;

    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK(!cache_changed(&cache));
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    CHECK(!cache_changed(&cache));
    CHECK_INT(cache_prepare(&other, 100, &error), RESULT_OK);
    CHECK(!cache_changed(&cache));
    CHECK_INT(cache_write(&other, VALID, &stored, &error), RESULT_OK);
    CHECK(cache_changed(&cache));
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK(!cache_changed(&cache));
    cache_close(&other);
    tear_down();
}

TEST(a_file_that_comes_or_goes_is_a_change)
{
    set_up();
    open_cache();
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_NO_TOKEN);
    CHECK(!cache_changed(&cache));
    put(at("default.json"), VALID);
    CHECK(cache_changed(&cache));
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    unlink(at("default.json"));
    CHECK(cache_changed(&cache));
    tear_down();
}
