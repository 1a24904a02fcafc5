/* SPDX-License-Identifier: MIT */
/* store/write.c. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "caching.h"
#include "descriptors.h"
#include "store/lock.h"

/* ---- writing ---- */

static void lock_and_prepare(size_t size)
{
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_prepare(&cache, size, &error), RESULT_OK);
}

TEST(what_is_written_replaces_the_file_whole)
{
    bool stored = false;
    struct stat st;

    set_up();
    put(at("default.json"), VALID);
    open_cache();
    lock_and_prepare(10000);
    CHECK(exists(TEMP));
    CHECK(stat(TEMP, &st) == 0 && st.st_size >= 10000); /* room is reserved */
    CHECK_STR(get(at("default.json")), VALID);
    CHECK_INT(cache_write(&cache, "{\"version\":1}", &stored, &error), RESULT_OK);
    CHECK(stored);
    CHECK_STR(get(at("default.json")), "{\"version\":1}");
    CHECK(stat(at("default.json"), &st) == 0 && st.st_size == 13);
    CHECK(!exists(TEMP));
    CHECK(cache.lock_fd >= 0);
    tear_down();
}

TEST(more_than_was_reserved_is_written_all_the_same)
{
    char text[5001];
    bool stored;

    set_up();
    memset(text, 'x', 5000);
    text[5000] = '\0';
    open_cache();
    lock_and_prepare(10);
    CHECK_INT(cache_write(&cache, text, &stored, &error), RESULT_OK);
    CHECK_STR(get(at("default.json")), text);
    tear_down();
}

TEST(it_can_be_written_again_and_again)
{
    set_up();
    open_cache();
    for (int i = 0; i < 3; i++) {
        char text[16];
        bool stored;

        snprintf(text, sizeof text, "turn %d", i);
        lock_and_prepare(100);
        CHECK_INT(cache_write(&cache, text, &stored, &error), RESULT_OK);
        CHECK_STR(get(at("default.json")), text);
    }
    tear_down();
}

TEST(what_is_abandoned_leaves_the_old_file)
{
    set_up();
    put(at("default.json"), VALID);
    open_cache();
    lock_and_prepare(100);
    cache_abandon(&cache);
    CHECK(!exists(TEMP));
    CHECK(cache.lock_fd >= 0);
    CHECK_STR(get(at("default.json")), VALID);
    cache_abandon(&cache);
    lock_and_prepare(100);
    cache_close(&cache);
    CHECK_STR(get(at("default.json")), VALID);
    open_cache();
    CHECK(!exists(TEMP));
    tear_down();
}

TEST(what_the_dead_left_behind_is_replaced)
{
    bool stored;

    set_up();
    open_cache();
    put_bytes(TEMP, "an old, longer secret", 21, 0644);
    put(at(".default.json.7.tmp"), "a secret");
    lock_and_prepare(4);
    CHECK(!exists(at(".default.json.7.tmp")));
    CHECK_INT(mode_of(TEMP), 0600);
    CHECK(strstr(get(TEMP), "secret") == NULL);
    CHECK_INT(cache_write(&cache, "new", &stored, &error), RESULT_OK);
    CHECK_STR(get(at("default.json")), "new");
    tear_down();
}

TEST(a_link_in_place_of_the_temporary_file_is_not_followed)
{
    bool stored;

    set_up();
    open_cache();
    put(at("victim"), "untouched");
    CHECK(symlink("victim", TEMP) == 0);
    lock_and_prepare(100);
    CHECK_INT(cache_write(&cache, "new", &stored, &error), RESULT_OK);
    CHECK_STR(get(at("victim")), "untouched");
    CHECK_STR(get(at("default.json")), "new");
    tear_down();
}

TEST(a_directory_in_place_of_the_temporary_file_is_an_error)
{
    set_up();
    open_cache();
    CHECK(mkdir(TEMP, 0700) == 0);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_prepare(&cache, 100, &error), RESULT_LOCAL);
    tear_down();
}

TEST(what_a_rename_could_not_replace_is_found_before)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK(mkdir(at("default.json"), 0700) == 0);
    check_local(cache_prepare(&cache, 100, &error), "regular");
    CHECK(!exists(TEMP));
    tear_down();
}

TEST(a_file_that_would_grow_too_large_is_refused)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_prepare(&cache, 256 * 1024, &error), RESULT_OK);
    cache_abandon(&cache);
    CHECK_INT(cache_prepare(&cache, 256 * 1024 + 1, &error), RESULT_LOCAL);
    CHECK(!exists(TEMP));
    tear_down();
}

TEST(a_rename_that_fails_keeps_what_is_there)
{
    bool stored = true;

    set_up();
    open_cache();
    lock_and_prepare(100);
    CHECK(mkdir(at("default.json"), 0700) == 0);
    CHECK_INT(cache_write(&cache, "new", &stored, &error), RESULT_LOCAL);
    CHECK(!stored);
    CHECK(!exists(TEMP));
    tear_down();
}

/* A limit on the size of files is a full disk that needs no root. */
static void limit_files(rlim_t size)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(a_full_disk_is_found_before_anything_is_sent)
{
    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    limit_files(4096);
    CHECK_INT(cache_prepare(&cache, 8192, &error), RESULT_LOCAL);
    limit_files(RLIM_INFINITY);
    CHECK(strstr(error.text, "default.json") != NULL);
    CHECK(!exists(TEMP));
    CHECK_STR(get(at("default.json")), VALID);
    tear_down();
}

TEST(a_write_that_fails_keeps_the_old_file)
{
    char text[9001];
    bool stored = true;

    set_up();
    put(at("default.json"), VALID);
    memset(text, 'x', 9000);
    text[9000] = '\0';
    open_cache();
    lock_and_prepare(100);
    limit_files(4096);
    CHECK_INT(cache_write(&cache, text, &stored, &error), RESULT_LOCAL);
    limit_files(RLIM_INFINITY);
    CHECK(!stored);
    CHECK(!exists(TEMP));
    CHECK_STR(get(at("default.json")), VALID);
    tear_down();
}

TEST(a_directory_that_may_not_be_written_is_found_before)
{
    if (geteuid() == 0)
        SKIP("root may write everywhere");
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    chmod(scratch, 0500);
    CHECK_INT(cache_prepare(&cache, 100, &error), RESULT_LOCAL);
    chmod(scratch, 0700);
    tear_down();
}

/* ---- removing ---- */

TEST(what_is_removed_is_gone)
{
    set_up();
    put(at("default.json"), VALID);
    put(at("other.json"), VALID);
    open_cache();
    put(TEMP, "left behind");
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_remove(&cache, &error), RESULT_OK);
    CHECK(!exists(at("default.json")));
    CHECK(!exists(at("default.lock")));
    CHECK(!exists(TEMP));
    CHECK_INT(cache_find(&cache, &error), RESULT_NO_TOKEN);
    CHECK_STR(get(at("other.json")), VALID);
    tear_down();
}

TEST(of_the_temporary_files_another_process_s_stay)
{
    int fd;

    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(lock_file(TEMP, O_CREAT, &fd, &error), RESULT_OK);
    put(at(".default.json.1.tmp"), "left behind");
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_remove(&cache, &error), RESULT_OK);
    CHECK(exists(TEMP));
    CHECK(!exists(at(".default.json.1.tmp")));
    close(fd);
    tear_down();
}

TEST(a_temporary_file_that_cannot_be_removed_is_an_error)
{
    set_up();
    open_cache();
    CHECK(mkdir(TEMP, 0700) == 0);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    check_local(cache_remove(&cache, &error), "cannot remove");
    CHECK(exists(at("default.lock")));
    tear_down();
}

TEST(nothing_to_remove_is_said)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_remove(&cache, &error), RESULT_NO_TOKEN);
    CHECK(!exists(at("default.lock")));
    tear_down();
}

TEST(whatever_is_there_can_be_removed)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    put_bytes(at("default.json"), "damaged", 7, 0666);
    CHECK_INT(cache_remove(&cache, &error), RESULT_OK);
    CHECK(mkfifo(at("default.json"), 0600) == 0);
    CHECK_INT(cache_remove(&cache, &error), RESULT_OK);
    CHECK(!exists(at("default.json")));
    tear_down();
}

TEST(a_directory_is_not_removed)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK(mkdir(at("default.json"), 0700) == 0);
    check_local(cache_remove(&cache, &error), "default.json");
    CHECK(exists(at("default.json")));
    tear_down();
}

/* ---- descriptors ---- */

TEST(no_descriptor_is_left_open_or_inherited)
{
    bool before[FDS], during[FDS];
    int count = count_fds(before);
    bool stored;

    set_up();
    put(at("default.json"), VALID);
    open_cache();
    CHECK_INT(cache_read(&cache, &profile, &error), RESULT_OK);
    CHECK_INT(count_fds(during), count);
    lock_and_prepare(100);
    CHECK(count_fds(during) > count);
    CHECK(memcmp(during, before, sizeof before) == 0);
    CHECK_INT(cache_write(&cache, VALID, &stored, &error), RESULT_OK);
    cache_close(&cache);
    cache_close(&cache);
    CHECK_INT(count_fds(during), count);
    tear_down();
}

/* The reason is that of what failed, not of what was tidied up after it. */
TEST(why_nothing_can_be_prepared_is_said)
{
    struct rlimit all, few;

    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK(getrlimit(RLIMIT_NOFILE, &all) == 0);
    few = all;
    few.rlim_cur = (rlim_t)dup(STDIN_FILENO) + 1; /* the directory's, and no other */
    close((int)few.rlim_cur - 1);
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    check_local(cache_prepare(&cache, 100, &error), "Too many open files");
    CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
    tear_down();
}
