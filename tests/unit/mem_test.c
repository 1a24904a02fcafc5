/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* ---- buffers ---- */

TEST(a_new_buffer_is_empty)
{
    struct buffer secret = BUFFER(10);

    CHECK_STR(buffer_text(&secret), "");
    CHECK_INT(secret.len, 0);
    buffer_clear(&secret);
    CHECK_STR(buffer_text(&secret), "");
}

TEST(what_is_appended_is_there_and_terminated)
{
    struct buffer secret = BUFFER(100);

    CHECK(buffer_append(&secret, "abc", 3));
    buffer_put(&secret, "def");
    CHECK(buffer_append(&secret, "", 0));
    buffer_put(&secret, "");
    CHECK_STR(buffer_text(&secret), "abcdef");
    CHECK_INT(secret.len, 6);
    CHECK_INT(secret.data[6], 0);
    buffer_clear(&secret);
}

TEST(nothing_appended_to_nothing_is_empty)
{
    struct buffer secret = BUFFER(100);

    CHECK(buffer_append(&secret, "", 0));
    CHECK_STR(buffer_text(&secret), "");
    CHECK_INT(secret.len, 0);
    buffer_clear(&secret);
}

TEST(bytes_may_be_anything)
{
    struct buffer secret = BUFFER(100);

    CHECK(buffer_append(&secret, "a\0b\xff", 4));
    CHECK_INT(secret.len, 4);
    CHECK(memcmp(secret.data, "a\0b\xff", 5) == 0);
    buffer_clear(&secret);
}

TEST(a_buffer_grows_and_keeps_what_it_has)
{
    struct buffer secret = BUFFER(1 << 20);
    size_t len = 0;

    for (size_t step = 1; len + step <= secret.max; step = step * 3 + 1) {
        char *bytes = malloc(step);

        for (size_t i = 0; i < step; i++)
            bytes[i] = (char)((len + i) * 7);
        CHECK(buffer_append(&secret, bytes, step));
        len += step;
        free(bytes);
        CHECK_INT(secret.len, len);
        CHECK(secret.size > secret.len);
        CHECK_INT(secret.data[len], 0);
        for (size_t i = 0; i < len; i++) {
            if (secret.data[i] != (char)(i * 7)) {
                CHECK_INT(secret.data[i], (char)(i * 7));
                break;
            }
        }
    }
    CHECK(len > 300000);
    buffer_clear(&secret);
}

TEST(byte_by_byte_is_linear_enough)
{
    struct buffer secret = BUFFER(300000);

    for (int i = 0; i < 300000; i++) {
        if (!CHECK(buffer_append(&secret, "x", 1)))
            break;
    }
    CHECK_INT(secret.len, 300000);
    CHECK(!buffer_append(&secret, "x", 1));
    buffer_clear(&secret);
}

TEST(the_cap_is_kept_and_nothing_changes_when_it_would_be_passed)
{
    struct buffer secret = BUFFER(5);

    buffer_put(&secret, "abc");
    buffer_put(&secret, "def");
    CHECK_STR(buffer_text(&secret), "abc");
    CHECK_INT(secret.len, 3);
    buffer_put(&secret, "de");
    CHECK_STR(buffer_text(&secret), "abcde");
    CHECK(!buffer_append(&secret, "f", 1));
    CHECK(buffer_append(&secret, "", 0));
    CHECK_STR(buffer_text(&secret), "abcde");
    buffer_clear(&secret);
}

TEST(lengths_that_would_wrap_are_beyond_the_cap)
{
    struct buffer secret = BUFFER(5);

    buffer_put(&secret, "abc");
    CHECK(!buffer_append(&secret, "x", SIZE_MAX));
    CHECK(!buffer_append(&secret, "x", SIZE_MAX - 2));
    CHECK_STR(buffer_text(&secret), "abc");
    buffer_clear(&secret);
}

TEST(a_buffer_without_a_cap_takes_nothing)
{
    struct buffer secret = {0};

    CHECK(!buffer_append(&secret, "x", 1));
    CHECK(buffer_append(&secret, "", 0));
    CHECK_STR(buffer_text(&secret), "");
    buffer_clear(&secret);
}

TEST(a_cleared_buffer_is_usable_again)
{
    struct buffer secret = BUFFER(10);

    buffer_put(&secret, "one");
    buffer_clear(&secret);
    buffer_clear(&secret);
    CHECK_INT(secret.len, 0);
    CHECK_INT(secret.max, 10);
    buffer_put(&secret, "two");
    CHECK_STR(buffer_text(&secret), "two");
    buffer_clear(&secret);
}

/* ---- memory ---- */

TEST(wiped_bytes_are_zero)
{
    char bytes[] = "0123456789";

    mem_wipe(bytes + 2, 5);
    CHECK(memcmp(bytes,
                 "01\0\0\0\0\0"
                 "789",
                 11) == 0);
    mem_wipe(bytes, 0);
    CHECK_INT(bytes[0], '0');
    mem_wipe(NULL, 0);
}

TEST(new_memory_is_zeroed)
{
    char *bytes = mem_new(1000);

    for (size_t i = 0; i < 1000; i++) {
        if (!CHECK_INT(bytes[i], 0))
            break;
    }
    mem_free(bytes);
    mem_free(mem_new(0));
}

TEST(blocks_suit_any_type)
{
    for (size_t size = 0; size < 70; size++) {
        void *block = mem_malloc(size);

        CHECK_INT((uintptr_t)block % _Alignof(max_align_t), 0);
        mem_free(block);
    }
}

TEST(realloc_keeps_the_bytes)
{
    char *block = mem_realloc(NULL, 4);

    memcpy(block, "abc", 4);
    block = mem_realloc(block, 10000);
    CHECK_STR(block, "abc");
    memset(block + 3, 'x', 9996);
    block = mem_realloc(block, 5);
    CHECK(memcmp(block, "abcxx", 5) == 0);
    block = mem_realloc(block, 0);
    CHECK(block != NULL);
    mem_free(block);
}

TEST(calloc_zeroes_and_minds_the_product)
{
    char *block = mem_calloc(10, 10);

    for (size_t i = 0; i < 100; i++)
        CHECK_INT(block[i], 0);
    mem_free(block);
    CHECK(mem_calloc(SIZE_MAX, 2) == NULL);
    CHECK(mem_calloc(SIZE_MAX / 2 + 1, 2) == NULL);
    mem_free(mem_calloc(0, 10));
    mem_free(mem_calloc(10, 0));
}

/* Not a constant, so that the compiler does not judge the call. */
static volatile size_t too_much = SIZE_MAX;

TEST(sizes_that_would_wrap_are_out_of_memory)
{
    void *block = mem_malloc(4);

    CHECK(mem_malloc(too_much) == NULL);
    CHECK(mem_malloc(too_much - 8) == NULL);
    CHECK(mem_realloc(block, too_much) == NULL); /* and the block is as it was */
    mem_free(block);
}

TEST(freeing_nothing_is_fine)
{
    mem_free(NULL);
}

TEST(copies_are_copies)
{
    char text[] = "abc";
    char *copy = mem_copy(text), *empty = mem_copy("");

    text[0] = 'x';
    CHECK_STR(copy, "abc");
    CHECK_STR(empty, "");
    CHECK(mem_copy(NULL) == NULL);
    mem_free(copy);
    mem_free(empty);
    copy = mem_strdup("def");
    CHECK_STR(copy, "def");
    mem_free(copy);
}

TEST(formatting_takes_what_it_needs)
{
    char *text = mem_format("%s-%d%c", "abc", 42, '!'), *longer, *empty = mem_format("%s", "");

    CHECK_STR(text, "abc-42!");
    CHECK_STR(empty, "");
    longer = mem_format("%5000s|%.*s", text, 2, "xyz");
    CHECK_INT(strlen(longer), 5003);
    CHECK_STR(longer + 4993, "abc-42!|xy");
    mem_free(text);
    mem_free(longer);
    mem_free(empty);
}

TEST(replacing_copies_first)
{
    char *slot = NULL;

    mem_replace(&slot, "one");
    CHECK_STR(slot, "one");
    mem_replace(&slot, "two");
    CHECK_STR(slot, "two");
    mem_replace(&slot, slot);
    CHECK_STR(slot, "two");
    mem_replace(&slot, NULL);
    CHECK(slot == NULL);
    mem_replace(&slot, NULL);
    CHECK(slot == NULL);
}

/* ---- wiping ---- */

/* How many of len bytes at an address are `byte`, as the kernel sees them: C forbids to look at
 * memory that was freed. -1 where there is no /proc; what is no longer mapped holds none. */
static int count_at(uintptr_t address, size_t len, char byte)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), count = 0;
    char *seen = malloc(len);
    ssize_t got;

    if (fd < 0) {
        free(seen);
        return -1;
    }
    got = pread(fd, seen, len, (off_t)address);
    close(fd);
    for (ssize_t i = 0; i < got; i++)
        count += seen[i] == byte;
    free(seen);
    return count;
}

/* A byte that neither pointers of the allocator nor anything else around is likely to have. */
#define MARK '\xa7'

static bool can_look(void)
{
    char bytes[4] = {MARK, MARK, 0, MARK};

    return count_at((uintptr_t)bytes, sizeof bytes, MARK) == 3;
}

/* The pointers that the allocator writes into a freed block may hold a mark by chance. */
static void check_wiped(uintptr_t address, size_t len)
{
    CHECK(count_at(address, len, MARK) < 8);
}

TEST(a_freed_block_is_wiped)
{
    static const size_t sizes[] = {40, 100, 1000, 5000, 100000, 1000000};

    if (!can_look())
        SKIP("memory cannot be looked at here");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = mem_malloc(sizes[i]);
        uintptr_t address = (uintptr_t)block;

        memset(block, MARK, sizes[i]);
        CHECK_INT(count_at(address, sizes[i], MARK), (long long)sizes[i]);
        mem_free(block);
        check_wiped(address, sizes[i]);
    }
}

TEST(what_realloc_leaves_is_wiped)
{
    static const size_t sizes[] = {100, 1000, 100000, 500, 50};
    char *block = mem_malloc(40);
    size_t old_size = 40;

    if (!can_look())
        SKIP("memory cannot be looked at here");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uintptr_t old = (uintptr_t)block;

        memset(block, MARK, old_size);
        block = mem_realloc(block, sizes[i]);
        check_wiped(old, old_size);
        old_size = sizes[i];
    }
    mem_free(block);
}

TEST(a_growing_buffer_leaves_no_copies)
{
    static const char marks[50] = {MARK, MARK, MARK, MARK, MARK, MARK, MARK, MARK, MARK};
    struct buffer secret = BUFFER(100000);
    int moves = 0;

    if (!can_look())
        SKIP("memory cannot be looked at here");
    for (int i = 0; i < 1000; i++) {
        uintptr_t old = (uintptr_t)secret.data;
        size_t old_len = secret.len;

        CHECK(buffer_append(&secret, marks, sizeof marks));
        if (old != 0 && old != (uintptr_t)secret.data) {
            check_wiped(old, old_len);
            moves++;
        }
    }
    CHECK(moves > 5);
    buffer_clear(&secret);
}

/* Bytes beyond the length may be older, longer contents. */
TEST(a_shortened_buffer_is_wiped_whole)
{
    struct buffer secret = BUFFER(1000);
    char marks[200];
    uintptr_t address;

    if (!can_look())
        SKIP("memory cannot be looked at here");
    memset(marks, MARK, sizeof marks);
    CHECK(buffer_append(&secret, marks, sizeof marks));
    address = (uintptr_t)secret.data;
    secret.len = 1;
    buffer_clear(&secret);
    check_wiped(address, sizeof marks);
}

TEST(what_is_replaced_is_wiped)
{
    char marks[200];
    char *slot = NULL;
    uintptr_t address;

    if (!can_look())
        SKIP("memory cannot be looked at here");
    memset(marks, MARK, sizeof marks);
    marks[sizeof marks - 1] = '\0';
    mem_replace(&slot, marks);
    address = (uintptr_t)slot;
    mem_replace(&slot, "new");
    check_wiped(address, sizeof marks);
    mem_free(slot);
}

/* ---- no memory ---- */

/* In a process of its own, which this ends. */
TEST(without_memory_the_process_ends_with_a_word)
{
    int fds[2], status = -1;
    char said[128] = "";
    ssize_t len;
    pid_t pid;

    if (!CHECK(pipe(fds) == 0))
        return;
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        mem_require(NULL);
        _exit(0);
    }
    close(fds[1]);
    len = read(fds[0], said, sizeof said - 1);
    close(fds[0]);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CHECK(len > 0 && strstr(said, "out of memory") != NULL);
}
