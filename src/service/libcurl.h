/* SPDX-License-Identifier: MIT */
/* libcurl, loaded when the first request is made and not before.
 *
 * `show` with a valid token runs thousands of times and needs no network; linking libcurl would
 * make the loader map some thirty libraries first. The functions are the same as in <curl/curl.h>,
 * whose declarations they are checked against, without the curl_ in front. */
#pragma once

#include <curl/curl.h>

#include "base/result.h"

/* CURLOPT_QUICK_EXIT is of 7.87.0, without which a dead name server holds us; the rest is older. */
#define LIBCURL_OLDEST 0x075700
#define LIBCURL_OLDEST_TEXT "7.87.0"
#if LIBCURL_VERSION_NUM < LIBCURL_OLDEST
#error "libcurl 7.87.0 or later is needed"
#endif

#define LIBCURL_FUNCTIONS(X)                                                                       \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_header)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(getdate)                                                                                     \
    X(global_init_mem)                                                                             \
    X(multi_add_handle)                                                                            \
    X(multi_cleanup)                                                                               \
    X(multi_info_read)                                                                             \
    X(multi_init)                                                                                  \
    X(multi_perform)                                                                               \
    X(multi_poll)                                                                                  \
    X(multi_remove_handle)                                                                         \
    X(multi_setopt)                                                                                \
    X(slist_append)                                                                                \
    X(slist_free_all)                                                                              \
    X(version_info)

/* <curl/curl.h> turns some names into checking macros; the functions themselves are wanted. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

extern struct libcurl {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name takes none */
#define X(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(X)
#undef X
    /* OpenSSL's SSL_CTX_set_options where libcurl's TLS is OpenSSL, else NULL. */
    uint64_t (*ssl_ctx_set_options)(void *ctx, uint64_t options);
} libcurl;

/* Once, with secret memory (mem.h). RESULT_LOCAL, naming the package, if missing or too old. */
enum result libcurl_load(struct error *error) MUST_CHECK;
