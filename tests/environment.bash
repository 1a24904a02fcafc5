# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What of the caller's environment the tests see: where things are, and what is tested and how. Whatever else a
# test needs it sets. What make tells other makes (MAKEFLAGS) is not here, so that a test's make starts afresh.

# is_passed_on NAME
is_passed_on() {
    case $1 in
    PATH | TMPDIR | LD_LIBRARY_PATH | DYLD_LIBRARY_PATH) ;;
    SERVETEL_AUTH_BIN_DIR | SERVETEL_AUTH_WRAP | TEST_* | BENCH_* | MANY_HOSTS_SECONDS) ;;
    ASAN_OPTIONS | LSAN_OPTIONS | TSAN_OPTIONS | UBSAN_OPTIONS | GCOV_*) ;;
    CC | CFLAGS | CPPFLAGS | LDFLAGS | LDLIBS | PKG_CONFIG | PKG_CONFIG_PATH) ;; # for tests that build it
    *) false ;;
    esac
}
