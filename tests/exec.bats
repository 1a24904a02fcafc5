#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# exec: a program with a token in its environment.
# shellcheck disable=SC2016 # what is in single quotes is the program's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load exec_helper

setup_file() {
    server_start
    write_programs
}

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# with_pipe_signal default|ignore COMMAND...: a shell cannot give back what was ignored when it started.
with_pipe_signal() {
    "$TESTS_PYTHON" -c '
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL if sys.argv[1] == "default" else signal.SIG_IGN)
os.execvp(sys.argv[2], sys.argv[2:])' "$@"
}

# ---------------------------------------------------------------------------------------------------- the program

@test "the program has a token in SERVETEL_TOKEN that works" {
    login
    try exec -- printenv SERVETEL_TOKEN
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    token_works "$output"
}

@test "a stale token is renewed first" {
    login
    old="$(cached_token)"
    make_stale
    try exec -- printenv SERVETEL_TOKEN
    assert_done
    [ "$output" != "$old" ]
    token_works "$output"
}

@test "the program's exit status is passed back" {
    login
    for keep in '' --keep-fresh; do
        for code in 0 1 3 7 42 255; do
            # shellcheck disable=SC2086 # no option, or one
            try exec $keep -- sh -c "exit $code"
            assert_status "$code"
            assert_stdout_empty
            assert_stderr_empty
        done
    done
    assert_no_token_file
}

@test "a program that is not found is 127, one that cannot be run 126, and stderr says which" {
    login
    printf 'no program' >file
    # execvp says "Permission denied" where PATH has a directory that we may not search.
    PATH="$(dirname "$(type -P servetel-auth)"):/usr/bin:/bin"
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        try exec $keep -- no-such-program
        assert_failed 127
        assert_stderr_has no-such-program
        # shellcheck disable=SC2086
        try exec $keep -- "$HOME/none/here"
        assert_failed 127
        # shellcheck disable=SC2086
        try exec $keep -- ./file
        assert_failed 126
        assert_stderr_has ./file
        # shellcheck disable=SC2086
        try exec $keep -- "$HOME"
        assert_status 126
        assert_no_secret
    done
    assert_no_token_file
}

@test "a program that dies of signal N is 128+N" {
    login
    for keep in '' --keep-fresh; do
        for number in 9 15 1 11; do
            # shellcheck disable=SC2086
            try exec $keep -- sh -c "ulimit -c 0; kill -$number \$\$"
            assert_status $((128 + number))
        done
    done
    assert_no_token_file
}

@test "without --keep-fresh the program takes the process over" {
    login
    background servetel-auth exec -- sh -c 'echo $$; exec sleep 600'
    retry_until 10 test -s "$BG_OUT"
    assert_equal "$(cat "$BG_OUT")" "$BG_PID"
}

@test "arguments are passed unchanged, options of the program's own too" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        try exec $keep -- printf '<%s>' 'a  b' '' '*' '$HOME' -- -p --keep-fresh $'x\ny' '%'
        assert_done
        assert_stdout $'<a  b><><*><$HOME><--><-p><--keep-fresh><x\ny><%>'
    done
}

@test "-- before the program is optional" {
    login
    try exec printf '<%s>' -p --json -q
    assert_done
    assert_stdout '<-p><--json><-q>'
    try exec --min-ttl 1m -q printf '<%s>' --min-ttl
    assert_done
    assert_stdout '<--min-ttl>'
}

@test "stdin is the program's" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        try exec $keep -- cat <<<'what comes in'
        assert_done
        assert_stdout 'what comes in'
    done
}

@test "no program is 2, and without a token none is started" {
    try exec
    assert_failed 2
    try exec -- touch ran
    assert_status 3
    [ ! -e ran ]
    login
    make_expired
    server_config '{"refresh_window":0}'
    try exec --keep-fresh -- touch ran
    assert_status 4
    [ ! -e ran ]
    assert_no_token_file
}

@test "the program has SIGPIPE as the caller had it" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        capture with_pipe_signal default servetel-auth exec $keep -- sh -c 'kill -PIPE $$; echo alive'
        assert_status 141
        assert_stdout_empty
        # shellcheck disable=SC2086
        capture with_pipe_signal ignore servetel-auth exec $keep -- sh -c 'kill -PIPE $$; echo alive'
        assert_done
        assert_stdout alive
    done
}

@test "a signal that the caller ignores (nohup) stays ignored, others do what they do" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        capture bash -c 'trap "" HUP; exec "$@"' - servetel-auth exec $keep -- \
            sh -c 'kill -HUP $$; echo alive; kill -TERM $$; echo still'
        assert_status 143
        assert_stdout alive
    done
}

@test "the program has the caller's core limit, not ours" {
    login
    hard="$(ulimit -Hc)"
    for keep in '' --keep-fresh; do
        for soft in 0 "$hard"; do
            # shellcheck disable=SC2086
            capture bash -c 'ulimit -Sc "$1"; shift; exec "$@"' - "$soft" \
                servetel-auth exec $keep -- bash -c 'ulimit -Sc; ulimit -Hc'
            assert_done
            assert_stdout "$soft"$'\n'"$hard"
        done
    done
}

@test "the program inherits no descriptor of ours" {
    login
    list='import os; print([n for n in os.listdir("/dev/fd") if int(n) > 2 and os.path.exists("/dev/fd/" + n)])'
    usual="$("$TESTS_PYTHON" -c "$list" 3>&-)"
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        capture bash -c 'exec 3>&-; exec "$@"' - servetel-auth exec $keep -- "$TESTS_PYTHON" -c "$list"
        assert_done
        assert_stdout "$usual"
    done
}

@test "while the program runs others can renew the same profile" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        try exec $keep -- servetel-auth refresh --quiet --timeout 5s
        assert_done
    done
}

@test "the token is not in the arguments of any process, nor is the password in the environment" {
    login
    keep_fresh sh -c "$WAITS"
    capture ps -e -o args=
    [[ "$output" != *"$(cached_token)"* ]]
    if [ -r "/proc/$BG_PID/environ" ]; then
        # Of the process that keeps: its own environment is as it was called.
        capture grep -c -F -a -- "$PW" "/proc/$BG_PID/environ"
        assert_stdout 0
    fi
}
