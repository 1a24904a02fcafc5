/* SPDX-License-Identifier: MIT */
#include "store/lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/signals.h"
#include "caching.h"
#include "store/token.h"

/* ---- the lock ---- */

TEST(one_process_at_a_time_has_the_lock)
{
    struct cache other;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK(cache.lock_fd >= 0);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK); /* it is ours already */
    CHECK_INT(cache_lock(&other, &error), RESULT_TEMPORARY);
    CHECK(strstr(error.text, "default") != NULL);
    CHECK(!other.locked);
    cache_unlock(&cache);
    CHECK(cache.lock_fd < 0);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_TEMPORARY);
    cache_close(&other);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    tear_down();
}

/* As a command that another worker begins at that moment does, until it is another program. */
TEST(a_lock_is_let_go_whoever_has_its_descriptor_too)
{
    struct cache other;
    int copy;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    copy = dup(cache.lock_fd);
    cache_unlock(&cache);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    close(copy);
    cache_close(&other);
    tear_down();
}

TEST(profiles_do_not_share_a_lock)
{
    struct cache other;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&other, "work", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    cache_close(&other);
    tear_down();
}

TEST(the_kernel_lets_go_the_lock_of_the_dead)
{
    int ready[2], status;
    char byte;
    pid_t pid;

    set_up();
    open_cache();
    CHECK(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        if (cache_lock(&cache, &error) != RESULT_OK || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    CHECK_INT(cache_lock(&cache, &error), RESULT_TEMPORARY);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    close(ready[0]);
    close(ready[1]);
    tear_down();
}

TEST(the_directory_is_made_and_private_whatever_the_umask)
{
    static const mode_t masks[] = {0, 022, 077, 0777};

    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        bool stored;

        set_up();
        setenv("SERVETEL_AUTH_DIR", at("a/b/c"), 1);
        umask(masks[i]);
        open_cache();
        CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
        CHECK_INT(cache_prepare(&cache, 100, &error), RESULT_OK);
        CHECK_INT(mode_of(cache.temp_path), 0600);
        CHECK_INT(cache_write(&cache, VALID, &stored, &error), RESULT_OK);
        CHECK_INT(mode_of(at("a")), 0700);
        CHECK_INT(mode_of(at("a/b")), 0700);
        CHECK_INT(mode_of(at("a/b/c")), 0700);
        CHECK_INT(mode_of(at("a/b/c/default.lock")), 0600);
        CHECK_INT(mode_of(at("a/b/c/default.json")), 0600);
        CHECK_STR(get(at("a/b/c/default.json")), VALID);
        tear_down();
    }
}

TEST(a_directory_that_is_there_keeps_its_mode)
{
    set_up();
    chmod(scratch, 0750);
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(mode_of(scratch), 0750);
    tear_down();
}

TEST(a_lock_that_is_open_to_others_is_closed)
{
    set_up();
    put_bytes(at("default.lock"), "", 0, 0666);
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(mode_of(at("default.lock")), 0600);
    tear_down();
}

TEST(a_lock_that_another_program_wrote_is_left_as_it_is)
{
    static const char *const texts[] = {"[[package]]\n", "48213\n"};

    for (int i = 0; i < 4; i++) {
        const char *text = texts[i / 2];
        bool linked = i % 2 != 0;

        set_up();
        put_bytes(at("poetry.lock"), text, strlen(text), 0644);
        CHECK(symlink("poetry.json", at("default.json")) == 0);
        CHECK_INT(cache_open(&cache, "default", linked ? NULL : at("poetry.json"), &error),
                  RESULT_OK);
        CHECK_INT(cache_lock(&cache, &error), RESULT_LOCAL);
        CHECK(strstr(error.text, "another program's") != NULL);
        CHECK_STR(get(at("poetry.lock")), text);
        CHECK_INT(mode_of(at("poetry.lock")), 0644);
        tear_down();
    }
}

TEST(a_lock_that_is_no_file_is_refused)
{
    set_up();
    open_cache();
    put(at("victim"), "untouched");
    CHECK(symlink("victim", at("default.lock")) == 0);
    check_local(cache_lock(&cache, &error), "default.lock");
    CHECK_STR(get(at("victim")), "untouched");
    unlink(at("default.lock"));
    CHECK(mkdir(at("default.lock"), 0700) == 0);
    check_local(cache_lock(&cache, &error), "default.lock");
    rmdir(at("default.lock"));
    CHECK(mkfifo(at("default.lock"), 0600) == 0);
    check_local(cache_lock(&cache, &error), "default.lock");
    unlink(at("default.lock"));
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    tear_down();
}

TEST(a_directory_that_cannot_be_made_is_an_error)
{
    set_up();
    put(at("file"), "");
    setenv("SERVETEL_AUTH_DIR", at("file/below"), 1);
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_LOCAL);
    CHECK(cache.lock_fd < 0);
    tear_down();
}

/* Who waited for a lock that was removed must not take the dead file for the lock. */
TEST(a_lock_that_was_removed_is_made_anew)
{
    struct cache other, third;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_open(&third, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_lock(&other, &error), RESULT_TEMPORARY); /* has the old file open */
    CHECK_INT(cache_remove(&cache, &error), RESULT_NO_TOKEN);
    cache_unlock(&cache);
    CHECK_INT(cache_lock(&other, &error), RESULT_OK);
    CHECK(exists(at("default.lock")));
    CHECK_INT(cache_lock(&third, &error), RESULT_TEMPORARY);
    CHECK_INT(cache_lock(&cache, &error), RESULT_TEMPORARY);
    cache_close(&other);
    CHECK_INT(cache_lock(&third, &error), RESULT_OK);
    cache_close(&third);
    tear_down();
}

/* ---- a lock file of any kind ---- */

TEST(a_lock_file_is_made_where_that_is_wanted)
{
    int first, second;

    set_up();
    check_local(lock_file(at("any.lock"), 0, &first, &error), strerror(ENOENT));
    CHECK_INT(first, -1);
    CHECK_INT(lock_file(at("any.lock"), O_CREAT | O_EXCL, &first, &error), RESULT_OK);
    CHECK(first >= 0);
    CHECK_INT(mode_of(at("any.lock")), 0600);
    CHECK_INT(lock_file(at("any.lock"), O_CREAT | O_EXCL, &second, &error), RESULT_TEMPORARY);
    CHECK_INT(lock_file(at("any.lock"), O_CREAT, &second, &error), RESULT_TEMPORARY);
    CHECK_INT(second, -1);
    CHECK(strstr(error.text, at("any.lock")) != NULL);
    fd_close(&first);
    CHECK_INT(lock_file(at("any.lock"), 0, &second, &error), RESULT_OK);
    fd_close(&second);
    tear_down();
}

TEST(a_lock_file_that_is_had_leaves_the_error_alone)
{
    int fd;

    set_up();
    CHECK_INT(lock_file(at("any.lock"), O_CREAT, &fd, &error), RESULT_OK);
    CHECK_INT(error.result, RESULT_OK);
    CHECK_STR(error.text, "");
    fd_close(&fd);
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_lock_by(&cache, clock_monotonic_ms() + 1000, &error), RESULT_OK);
    CHECK_STR(error.text, "");
    tear_down();
}

TEST(a_lock_file_that_is_none_is_refused)
{
    int fd;

    set_up();
    CHECK(mkfifo(at("any.lock"), 0600) == 0);
    check_local(lock_file(at("any.lock"), O_CREAT, &fd, &error), "regular");
    CHECK_INT(fd, -1);
    unlink(at("any.lock"));
    put(at("victim"), "untouched");
    CHECK(symlink("victim", at("any.lock")) == 0);
    check_local(lock_file(at("any.lock"), O_CREAT, &fd, &error), strerror(ELOOP));
    CHECK_INT(fd, -1);
    CHECK_STR(get(at("victim")), "untouched");
    tear_down();
}

/* ---- waiting for it ---- */

static struct cache held;

static void let_go(int number)
{
    (void)number;
    cache_unlock(&held); /* a close */
}

TEST(a_lock_that_is_let_go_in_time_is_had)
{
    struct sigaction action = {.sa_handler = let_go}, before;
    struct itimerval soon = {.it_value.tv_usec = 20000};

    set_up();
    open_cache();
    CHECK_INT(cache_open(&held, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held, &error), RESULT_OK);
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_INT(cache_lock_by(&cache, clock_monotonic_ms() + 60000, &error), RESULT_OK);
    CHECK(cache.lock_fd >= 0);
    sigaction(SIGALRM, &before, NULL);
    cache_close(&held);
    tear_down();
}

TEST(a_lock_that_is_not_let_go_is_not_waited_for_for_ever)
{
    int64_t deadline_ms;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&held, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held, &error), RESULT_OK);
    deadline_ms = clock_monotonic_ms() + 30;
    CHECK_INT(cache_lock_by(&cache, deadline_ms, &error), RESULT_TEMPORARY);
    CHECK(clock_monotonic_ms() >= deadline_ms);
    CHECK(strstr(error.text, "another process") != NULL);
    CHECK(!cache.locked);
    cache_close(&held);
    tear_down();
}

TEST(without_time_it_is_tried_once)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock_by(&cache, clock_monotonic_ms() - 1, &error), RESULT_OK);
    cache_unlock(&cache);
    CHECK_INT(cache_open(&held, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held, &error), RESULT_OK);
    CHECK_INT(cache_lock_by(&cache, clock_monotonic_ms() - 1, &error), RESULT_TEMPORARY);
    cache_close(&held);
    tear_down();
}

TEST(what_cannot_be_locked_is_not_waited_for)
{
    set_up();
    open_cache();
    CHECK(mkdir(at("default.lock"), 0700) == 0);
    check_local(cache_lock_by(&cache, INT64_MAX, &error), "default.lock");
    tear_down();
}

TEST(a_signal_ends_the_wait)
{
    bool by_terminal;

    set_up();
    open_cache();
    CHECK_INT(cache_open(&held, "default", NULL, &error), RESULT_OK);
    CHECK_INT(cache_lock(&held, &error), RESULT_OK);
    signals_catch();
    raise(SIGTERM);
    CHECK_INT(cache_lock_by(&cache, INT64_MAX, &error), RESULT_INTERRUPTED);
    CHECK_INT(signals_take(&by_terminal), SIGTERM);
    cache_close(&held);
    tear_down();
}

TEST(the_pauses_between_tries_grow_up_to_a_limit)
{
    static const int64_t least[] = {5, 10, 20, 40, 50, 50};

    for (int turn = 0; turn < 100; turn++) {
        int64_t last_ms = 0;

        for (size_t i = 0; i < sizeof least / sizeof least[0]; i++) {
            int64_t pause_ms = cache_lock_pause_ms(&last_ms);

            if (!CHECK(pause_ms >= least[i] && pause_ms < 2 * least[i]))
                printf("# pause %zu: %lld ms\n", i, (long long)pause_ms);
        }
    }
}

/* ---- the note ---- */

TEST(a_token_whose_answer_was_lost_is_in_doubt)
{
    char note[TOKEN_FINGERPRINT_SIZE];
    struct cache other;

    set_up();
    open_cache();
    token_fingerprint("abc", note);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 0)); /* no lock file at all */
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 0));
    CHECK_INT(cache_note_sent(&cache, "abc", &error), RESULT_OK);
    CHECK_STR(get(at("default.lock")), note);
    CHECK(strstr(get(at("default.lock")), "abc") == NULL);
    CHECK(cache_token_is_in_doubt(&cache, "abc", 0));
    CHECK_INT(cache_open(&other, "default", NULL, &error), RESULT_OK);
    CHECK(!cache_token_is_in_doubt(&other, "abc", 0)); /* somebody is at it */
    cache_unlock(&cache);
    CHECK(cache_token_is_in_doubt(&other, "abc", 0));
    cache_close(&other);
    CHECK(cache_token_is_in_doubt(&cache, "abc", 0));
    CHECK(!cache_token_is_in_doubt(&cache, "def", 0));
    tear_down();
}

TEST(an_answer_ends_the_doubt)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_note_sent(&cache, "abc", &error), RESULT_OK);
    cache_note_answered(&cache);
    CHECK_STR(get(at("default.lock")), "");
    cache_unlock(&cache);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 0));
    cache_note_answered(&cache); /* without the lock: nothing */
    tear_down();
}

TEST(the_last_token_that_was_sent_is_noted)
{
    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_note_sent(&cache, "abc", &error), RESULT_OK);
    CHECK_INT(cache_note_sent(&cache, "def", &error), RESULT_OK);
    cache_unlock(&cache);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 0));
    CHECK(cache_token_is_in_doubt(&cache, "def", 0));
    tear_down();
}

TEST(the_doubt_rests_for_a_while_after_each_try)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 100}};

    set_up();
    open_cache();
    CHECK_INT(cache_lock(&cache, &error), RESULT_OK);
    CHECK_INT(cache_note_sent(&cache, "abc", &error), RESULT_OK);
    cache_unlock(&cache);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 60));
    CHECK(utimensat(AT_FDCWD, at("default.lock"), times, 0) == 0);
    CHECK(cache_token_is_in_doubt(&cache, "abc", 60));
    CHECK(cache_token_is_in_doubt(&cache, "abc", 100));
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 1000));
    tear_down();
}

TEST(a_note_that_is_none_raises_no_doubt)
{
    static const char *const notes[] = {"x", "1a47e90", "zzzzzzzz", "\n"};

    set_up();
    open_cache();
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        put(at("default.lock"), notes[i]);
        CHECK(!cache_token_is_in_doubt(&cache, "abc", 0));
    }
    unlink(at("default.lock"));
    CHECK(mkfifo(at("default.lock"), 0600) == 0);
    CHECK(!cache_token_is_in_doubt(&cache, "abc", 0));
    tear_down();
}
