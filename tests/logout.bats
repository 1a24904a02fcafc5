#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# logout: what it removes, when it asks, and when it says that there was nothing.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup() {
    test_setup
    DIR="$HOME/.servetel-auth"
}

teardown() { test_teardown; }

profiles() { (cd "$DIR" && ls ./*.json 2>/dev/null); }

make_three() {
    local name
    for name in one two three; do write_cache . "$name"; done
}

@test "logout forgets one profile, says so, and is done also where there was none" {
    make_three
    try logout -p two
    assert_done
    assert_stdout_empty
    assert_stderr_has "forgot the token of 'two'"
    assert_equal "$(profiles)" $'./one.json\n./three.json'
    try logout -p two
    assert_done
    assert_stderr_has "no token was cached for 'two'"
}

@test "logout --all without a terminal wants --yes, and removes nothing until then" {
    make_three
    capture setsid -w servetel-auth logout --all </dev/null
    assert_failed 2
    assert_stderr_has --yes
    assert_equal "$(profiles | wc -l)" 3
    capture setsid -w servetel-auth logout --all --yes </dev/null
    assert_done
    assert_stdout_empty
    assert_one_line
    assert_stderr_has 'forgot 3 of 3 profiles'
    assert_equal "$(profiles)" ''
    capture setsid -w servetel-auth logout --all </dev/null # nothing to ask about
    assert_done
    assert_stderr_has 'forgot 0 of 0 profiles'
    try -q logout --all --yes
    assert_done
    assert_stderr_empty
}

@test "logout --all asks on a terminal, with the count; all but yes is no" {
    local answer
    make_three
    for answer in '' n x nay ye; do
        on_terminal 'expect:Forget 3 profiles, ' "type:$answer\\n" restored -- servetel-auth logout --all
        assert_status 1 "$answer"
        assert_stdout_has 'nothing was forgotten'
        assert_equal "$(profiles | wc -l)" 3
    done
    on_terminal 'expect:Forget 3 profiles, ' 'type:\x03' restored -- servetel-auth logout --all
    assert_status 130
    assert_equal "$(profiles | wc -l)" 3
    for answer in y YES; do
        make_three
        on_terminal 'expect:[y/N]' "type:$answer\\n" restored -- servetel-auth logout --all
        assert_done
        assert_stdout_has 'forgot 3 of 3 profiles'
        assert_equal "$(profiles)" ''
    done
    write_cache . one
    on_terminal 'expect:Forget 1 profile, ' 'type:y\n' -- servetel-auth logout --all
    assert_done
    assert_stdout_has 'forgot 1 of 1 profile'
}

@test "logout --all goes on after one that cannot be removed, and its count is without it" {
    make_three
    rm "$DIR/two.json"
    mkfifo "$DIR/two.json"
    try logout --all --yes
    assert_failed 7
    assert_stderr_has "two.json'"
    assert_stderr_has 'forgot 2 of 3 profiles'
    assert_equal "$(profiles)" ./two.json
}

@test "a signal ends logout --all where it is: what comes behind stays, and no word of it" {
    [ -e /proc/self/status ] || skip 'only Linux says what a process catches'
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind catches it itself, and earlier'
    make_three
    hold_lock "$DIR/one.lock"
    background servetel-auth logout --all --yes
    retry_until 10 catches_term "$BG_PID"
    kill -TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_status 143
    output="$(cat "$BG_OUT")"
    stderr="$(cat "$BG_ERR")"
    assert_stdout_empty
    assert_equal "$stderr" 'servetel-auth: forgot 0 of 3 profiles'
    assert_equal "$(profiles)" $'./one.json\n./three.json\n./two.json'
}

@test "where it cannot be told whether there was a token, logout is 7" {
    local ordinary=()
    [ "$(id -u)" != 0 ] || ordinary=(setpriv --bounding-set '-dac_override,-dac_read_search')
    "${ordinary[@]}" true 2>/dev/null || skip 'root sees all, and there is no setpriv'
    write_cache
    chmod 000 "$DIR"
    capture "${ordinary[@]}" servetel-auth logout
    chmod 700 "$DIR"
    assert_failed 7
    assert_stderr_has "$DIR"
    [ -e "$DIR/default.json" ]
}

@test "in a home that does not exist nothing is made" {
    local words
    export HOME="$BATS_TEST_TMPDIR/nowhere/you"
    for words in logout 'logout --all --yes' show status 'refresh --all' 'schedule cron'; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        [ ! -e "$BATS_TEST_TMPDIR/nowhere" ] || fail_with_run "made by: $words"
    done
    try login --token-stdin <<<"made-up"
    assert_failed 7
    assert_stderr_has "cannot make the directory '$HOME/.servetel-auth': No such file or directory: check HOME"
    [ ! -e "$BATS_TEST_TMPDIR/nowhere" ]
    # A place that was named is meant.
    SERVETEL_AUTH_DIR="$BATS_TEST_TMPDIR/made/for it" try login --token-stdin <<<"made-up"
    assert_done
    [ -e "$BATS_TEST_TMPDIR/made/for it/default.json" ]
}
