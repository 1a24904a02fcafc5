/* Memory that may hold a secret: wiped before it is given back.
 *
 * secret_malloc() and its kin put a size header in front of each block, so that free and realloc
 * can wipe the whole block. They are handed to libcurl (curl_global_init_mem) and cJSON
 * (cJSON_InitHooks) too: whatever copies those make are wiped with our own.
 *
 * The secret_new family never returns NULL: when memory is out it says so and ends the process
 * with exit code 1. That is safe at any moment, because death at any moment is (see cache.h).
 *
 * Building with -DSECRET_NO_WIPE switches wiping off; only the test that proves that the wiping
 * matters does that.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* A growing, capped, always NUL-terminated buffer. Zeroed, but for max, it is empty. */
struct secret {
    char *data; /* NULL while nothing was ever added */
    size_t len;
    size_t size; /* bytes allocated */
    size_t max;  /* len never passes this */
};

#define SECRET(max_len) ((struct secret){.max = (max_len)})

/* False, and nothing changed, when the cap would be passed. */
bool secret_append(struct secret *secret, const void *bytes, size_t len)
    __attribute__((warn_unused_result));
bool secret_append_text(struct secret *secret, const char *text)
    __attribute__((warn_unused_result));
/* What it holds, "" when nothing. */
const char *secret_text(const struct secret *secret);
/* Wipes and frees; the buffer is empty and usable again. */
void secret_clear(struct secret *secret);

void secret_wipe(void *bytes, size_t len);

/* As malloc and its kin (NULL when out of memory), wiping what they free. */
void *secret_malloc(size_t size);
void *secret_calloc(size_t count, size_t size);
void *secret_realloc(void *block, size_t size);
char *secret_strdup(const char *text);
void secret_free(void *block);

/* The block itself; or, if it is NULL, the end of the process. */
void *secret_require(void *block);
/* Never NULL, zeroed. */
void *secret_new(size_t size);
/* A copy, or NULL for NULL. */
char *secret_copy(const char *text);
/* The texts, one after the other, in a new block. */
#define secret_join(...) secret_join_texts(__VA_ARGS__, (char *)NULL)
char *secret_join_texts(const char *first, ...) __attribute__((sentinel));
/* printf into a new block. Not for secrets: libc leaves parts of what it formats on the stack. */
char *secret_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Frees *slot and stores a copy of text there. text may be NULL or *slot itself. */
void secret_replace(char **slot, const char *text);

#endif
