/* SPDX-License-Identifier: MIT */
#include "service/libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

struct libcurl libcurl;

/* *slot: NULL where it is not there. ISO C wants an object pointer copied to be a function's. */
static bool find(void *library, const char *name, void *slot)
{
    void *symbol = dlsym(library, name);

    memcpy(slot, &symbol, sizeof symbol);
    return symbol != NULL;
}

static enum result load(struct error *error)
{
    const curl_version_info_data *version;
    const char *missing = NULL;
    int (*openssl_init)(uint64_t options, const void *settings);
    void *library;

    errno = 0; /* not every text of glibc's says that it was memory */
    library = dlopen(LIBCURL_SONAME, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) {
        bool no_memory = errno == ENOMEM;
        const char *why = dlerror();

        if (no_memory || why == NULL || strstr(why, "memory") != NULL ||
            strstr(why, "allocate") != NULL)
            return error_set(error, RESULT_FAILED, "out of memory: cannot load %s", LIBCURL_SONAME);
        return error_set(error, RESULT_LOCAL,
                         "cannot load %s: install libcurl (Debian: libcurl4, Fedora: libcurl): %s",
                         LIBCURL_SONAME, why);
    }
#define X(name)                                                                                    \
    if (!find(library, "curl_" #name, &libcurl.name))                                              \
        missing = "curl_" #name;
    LIBCURL_FUNCTIONS(X)
#undef X
    if (missing != NULL)
        return error_set(error, RESULT_LOCAL,
                         "%s lacks %s: install libcurl " LIBCURL_OLDEST_TEXT " or later",
                         LIBCURL_SONAME, missing);
    version = libcurl.version_info(CURLVERSION_NOW);
    if (version->version_num < LIBCURL_OLDEST)
        return error_set(error, RESULT_LOCAL,
                         "libcurl %s is too old: install " LIBCURL_OLDEST_TEXT " or later",
                         version->version);
    if (version->ssl_version != NULL && strstr(version->ssl_version, "OpenSSL") != NULL) {
        find(library, "SSL_CTX_set_options", &libcurl.ssl_ctx_set_options);
        if (find(library, "OPENSSL_init_crypto", &openssl_init))
            openssl_init(0x00080000, NULL); /* OPENSSL_INIT_NO_ATEXIT: 4 % of a refresh */
    }
    if (libcurl.global_init_mem(CURL_GLOBAL_DEFAULT, mem_malloc, mem_free, mem_realloc, mem_strdup,
                                mem_calloc) != CURLE_OK)
        return error_set(error, RESULT_LOCAL, "cannot initialise libcurl");
    return RESULT_OK;
}

enum result libcurl_load(struct error *error)
{
    static struct error failure;
    static bool tried;

    if (!tried)
        load(&failure);
    tried = true;
    return failure.result == RESULT_OK ? RESULT_OK
                                       : error_set(error, failure.result, "%s", failure.text);
}
