/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* As malloc's own blocks, ours must suit any type. */
struct header {
    _Alignas(max_align_t) size_t size;
};

/* For the answers of some requests under way at once, 50 KiB each. Untouched while malloc works. */
#define RESERVE_SIZE ((size_t)1024 * 1024)
static char *reserve;
static atomic_size_t reserve_used;

void mem_wipe(void *bytes, size_t len)
{
    /* Through a volatile pointer, so that the compiler cannot see that nobody reads the zeros.
     * explicit_bzero would do, but macOS and older systems lack it. */
    static void *(*const volatile set)(void *, int, size_t) = memset;

#ifdef MEM_NO_WIPE
    len = 0;
#endif
    if (len > 0)
        set(bytes, 0, len);
}

void mem_reserve(void)
{
    if (reserve == NULL)
        reserve = mem_require(malloc(RESERVE_SIZE));
}

/* Not given back: it is for the last few steps of a process that is short of memory. */
static void *take_from_reserve(size_t size)
{
    size_t unit = sizeof(struct header), whole = (size + unit - 1) / unit * unit, at;

    if (reserve == NULL || whole > RESERVE_SIZE)
        return NULL;
    at = atomic_fetch_add(&reserve_used, whole);
    return at > RESERVE_SIZE - whole ? NULL : reserve + at;
}

void *mem_malloc(size_t size)
{
    struct header *header;

    if (size > SIZE_MAX / 2)
        return NULL;
    header = malloc(sizeof *header + size);
    if (header == NULL)
        header = take_from_reserve(sizeof *header + size);
    if (header == NULL)
        return NULL;
    header->size = size;
    return header + 1;
}

void mem_free(void *block)
{
    struct header *header = block;

    if (block == NULL)
        return;
    header--;
    mem_wipe(block, header->size);
    if ((uintptr_t)header - (uintptr_t)reserve >= RESERVE_SIZE) /* else it stays there */
        free(header);
}

void *mem_calloc(size_t count, size_t size)
{
    void *block;

    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    block = mem_malloc(count * size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

void *mem_realloc(void *block, size_t size)
{
    void *grown = mem_malloc(size);
    size_t old_size;

    if (block == NULL || grown == NULL)
        return grown;
    old_size = ((struct header *)block - 1)->size;
    memcpy(grown, block, old_size < size ? old_size : size);
    mem_free(block);
    return grown;
}

char *mem_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mem_malloc(size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void mem_free_at(void *slot)
{
    void *block;

    memcpy(&block, slot, sizeof block); /* a pointer of any type */
    mem_free(block);
}

void *mem_require(void *block)
{
    static const char message[] = "servetel-auth: out of memory\n";

    if (block == NULL) {
        fd_write(STDERR_FILENO, message, sizeof message - 1);
        _exit(1);
    }
    return block;
}

void *mem_new(size_t size)
{
    return mem_require(mem_calloc(1, size));
}

char *mem_copy(const char *text)
{
    return text == NULL ? NULL : mem_require(mem_strdup(text));
}

char *mem_join_texts(const char *first, ...)
{
    struct buffer joined = BUFFER(SIZE_MAX / 2);
    va_list texts;

    va_start(texts, first);
    for (const char *text = first; text != NULL; text = va_arg(texts, const char *))
        buffer_put(&joined, text);
    va_end(texts);
    return joined.data;
}

char *mem_format(const char *format, ...)
{
    va_list args, again;
    char *text;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    text = mem_new((size_t)(len < 0 ? 0 : len) + 1);
    if (len > 0)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void mem_replace(char **slot, const char *text)
{
    char *copy = mem_copy(text);

    mem_free(*slot);
    *slot = copy;
}

bool buffer_append(struct buffer *buffer, const void *bytes, size_t len)
{
    if (len > buffer->max || buffer->len > buffer->max - len)
        return false;
    if (buffer->data == NULL || buffer->len + len + 1 > buffer->size) {
        /* Doubling keeps the copies few; 256 bytes hold most answers' fields. */
        size_t size = buffer->size < 256 ? 256 : buffer->size * 2;

        if (size < buffer->len + len + 1)
            size = buffer->len + len + 1;
        buffer->data = mem_require(mem_realloc(buffer->data, size));
        buffer->size = size;
    }
    if (len > 0)
        memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
    return true;
}

void buffer_put_texts(struct buffer *buffer, ...)
{
    const char *text;
    va_list texts;

    va_start(texts, buffer);
    while ((text = va_arg(texts, const char *)) != NULL) {
        if (!buffer_append(buffer, text, strlen(text)))
            continue;
    }
    va_end(texts);
}

void buffer_take(struct buffer *buffer, char *text)
{
    buffer_put(buffer, text);
    mem_free(text);
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->data == NULL ? "" : buffer->data;
}

void buffer_clear(struct buffer *buffer)
{
    mem_free(buffer->data);
    *buffer = BUFFER(buffer->max);
}
