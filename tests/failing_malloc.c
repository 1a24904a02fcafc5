/* SPDX-License-Identifier: MIT */
/* Preloaded: the allocation whose number is FAIL_ALLOCATION fails, and with FAIL_ALLOCATION_ON set
 * all after it too. With COUNT_ALLOCATIONS the number of them is written into that file at the end;
 * the process may end as it likes, so each new one writes it.
 *
 * What dlsym() itself needs while the real functions are looked up comes from a piece of memory of
 * our own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);

static _Alignas(max_align_t) char own[16384];
static size_t own_used;
static atomic_long count;
static long fail_at = -1;
static int fail_on;
static int count_fd = -1;

static void *take_own(size_t size)
{
    void *block = own + own_used;

    size = (size + 15) / 16 * 16;
    if (size > sizeof own - own_used)
        abort();
    own_used += size;
    return block;
}

static int is_own(const void *block)
{
    return (const char *)block >= own && (const char *)block < own + sizeof own;
}

static void find(const char *name, void *slot)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(slot, &symbol, sizeof symbol);
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("FAIL_ALLOCATION"), *file = getenv("COUNT_ALLOCATIONS");

    find("calloc", &real_calloc);
    find("realloc", &real_realloc);
    find("free", &real_free);
    find("malloc", &real_malloc);
    if (at != NULL)
        fail_at = atol(at);
    fail_on = getenv("FAIL_ALLOCATION_ON") != NULL;
    if (file != NULL)
        count_fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int is_to_fail(void)
{
    long number = atomic_fetch_add(&count, 1) + 1;
    char text[24];

    if (count_fd >= 0) {
        snprintf(text, sizeof text, "%ld\n", number);
        if (pwrite(count_fd, text, strlen(text), 0) < 0)
            abort();
    }
    if (number != fail_at && !(fail_on && fail_at > 0 && number > fail_at))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    if (real_malloc == NULL)
        return take_own(size);
    return is_to_fail() ? NULL : real_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    if (real_malloc == NULL)
        return take_own(number * size); /* never used before, so zeroed */
    return is_to_fail() ? NULL : real_calloc(number, size);
}

void *realloc(void *block, size_t size)
{
    if (is_own(block)) {
        void *grown = malloc(size);

        return grown == NULL ? NULL : memcpy(grown, block, size); /* reads beyond it, within own */
    }
    return is_to_fail() ? NULL : real_realloc(block, size);
}

void free(void *block)
{
    if (block != NULL && !is_own(block))
        real_free(block);
}
