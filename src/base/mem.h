/* SPDX-License-Identifier: MIT */
/* Memory that may hold a secret: wiped before it is given back.
 *
 * mem_malloc() and its kin put a size header in front of each block, so that free and realloc
 * can wipe the whole block. They are handed to libcurl (curl_global_init_mem) and cJSON
 * (cJSON_InitHooks) too: whatever copies those make are wiped with our own.
 *
 * The mem_new family never returns NULL: when memory is out it says so and ends the process
 * with exit code 1. That is safe at any moment, because death at any moment is (see cache.h).
 *
 * Building with -DMEM_NO_WIPE switches wiping off: for the test that proves that it matters. */
#pragma once

#include "base/result.h"

/* A growing, capped, always NUL-terminated buffer. Zeroed, but for max, it is empty. */
struct buffer {
    char *data; /* NULL while nothing was ever added */
    size_t len;
    size_t size; /* bytes allocated */
    size_t max;  /* len never passes this */
};

#define BUFFER(max_len) ((struct buffer){.max = (max_len)})

/* False, and nothing changed, when the cap would be passed. */
bool buffer_append(struct buffer *buffer, const void *bytes, size_t len) MUST_CHECK;
/* Texts, one after the other; one that does not fit is left out. */
#define buffer_put(buffer, ...) buffer_put_texts(buffer, __VA_ARGS__, (char *)NULL)
void buffer_put_texts(struct buffer *buffer, ...) __attribute__((sentinel));
/* The same of a text in a block of ours, which is freed. */
void buffer_take(struct buffer *buffer, char *text);
/* What it holds, "" when nothing. */
const char *buffer_text(const struct buffer *buffer);
/* Wipes and frees; the buffer is empty and usable again. */
void buffer_clear(struct buffer *buffer);

/* Sets memory aside, once, that is handed out where malloc fails from then on: what has been sent
 * is not lost for want of it. Before threads are started. */
void mem_reserve(void);

void mem_wipe(void *bytes, size_t len);

/* As malloc and its kin (NULL when out of memory), wiping what they free. */
void *mem_malloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *block, size_t size);
char *mem_strdup(const char *text);
void mem_free(void *block);
/* A block of ours that lasts as long as the variable: OWNED char *text = mem_copy(...). */
#define OWNED AT_END(mem_free_at)
void mem_free_at(void *slot);

/* The block itself; or, if it is NULL, the end of the process. */
void *mem_require(void *block);
/* Never NULL, zeroed. */
void *mem_new(size_t size);
/* A copy, or NULL for NULL. */
char *mem_copy(const char *text);
/* The texts, one after the other, in a new block. */
#define mem_join(...) mem_join_texts(__VA_ARGS__, (char *)NULL)
char *mem_join_texts(const char *first, ...) __attribute__((sentinel));
/* printf into a new block. Not for secrets: libc leaves parts of what it formats on the stack. */
char *mem_format(const char *format, ...) PRINTF_LIKE(1, 2);
/* Frees *slot and stores a copy of text there. text may be NULL or *slot itself. */
void mem_replace(char **slot, const char *text);
