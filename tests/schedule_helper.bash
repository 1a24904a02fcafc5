# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of schedule share: load it after helper.bash.

# schedule ARGUMENTS...: prints what the program prints; the test fails if it fails.
schedule() {
    servetel-auth schedule "$@" 2>"$BATS_TEST_TMPDIR/said" || fail_with "failed: schedule $*" "$(cat "$BATS_TEST_TMPDIR/said")"
}

# cron_line ARGUMENTS...: the line that cron runs, the second of two: the first is a comment, by which both are found.
cron_line() {
    local text
    text="$(schedule cron "$@")" || return
    [[ "$text" =~ ^\#\ (servetel-auth-[A-Za-z0-9._-]+)$'\n'[^$'\n']*\ \#\ servetel-auth-[A-Za-z0-9._-]+$ &&
        "$text" == *" # ${BASH_REMATCH[1]}" ]] || fail_with "not a comment and a line that both end with it" "$text" || return
    printf '%s\n' "${text#*$'\n'}"
}

# documented WORD: the command in the README that has this word in it, and its continuation lines.
documented() {
    awk -v word="$1" '
        /^```/ { if (found) print block; found = 0; block = ""; inside = !inside; next }
        inside { block = block $0 "\n"; if (index($0, word)) found = 1 }' "$TESTS_DIR/../README.md"
}

# assert_renewed PROFILE OLD: what was run was silent, and there is a new token that works.
assert_renewed() {
    assert_done || return
    assert_stdout_empty || return
    assert_stderr_empty || return
    [ "$(cached_token "$1")" != "$2" ] || fail_with "the token is the old one" || return
    token_works "$(cached_token "$1")"
}
