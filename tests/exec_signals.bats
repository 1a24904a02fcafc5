#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# exec --keep-fresh: signals reach the program, and its end is the command's.
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

cached_token_works() { token_works "$(cached_token)"; }

# -------------------------------------------------------------------------------------------------------- signals

@test "each signal sent to servetel-auth reaches the program exactly once" {
    login
    for name in TERM HUP USR1 USR2 ALRM; do
        background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
        retry_until 20 says "$BG_OUT" ready
        kill -"$name" "$BG_PID"
        assert_ends 7
        assert_equal "$(tail -n 1 "$BG_OUT")" "got SIG$name"
    done
    assert_no_token_file
}

@test "one signal after the other is passed on" {
    local sent=0
    login
    background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)" 4
    retry_until 20 says "$BG_OUT" ready
    for name in USR1 HUP TERM TERM; do
        sent=$((sent + 1))
        kill -"$name" "$BG_PID"
        retry_until 20 says "$BG_OUT" "^$sent\$" # those of one number that wait together are one to the kernel
    done
    assert_ends 7
    assert_equal "$(tail -n 1 "$BG_OUT")" 'got SIGUSR1 SIGHUP SIGTERM SIGTERM'
}

@test "a program that a passed signal ends is reported as ended by it, and the file is gone" {
    login
    for name in TERM HUP; do
        keep_fresh sh -c "$WAITS"
        kill -"$name" "$BG_PID"
        assert_ends $((128 + $(kill -l "$name")))
        [ ! -e "$(cat path)" ]
        is_gone "$(cat started)"
    done
    assert_no_token_file
}

@test "^C at a terminal reaches the program once" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        on_terminal --timeout 60 expect:ready 'type:\x03' expect:got -- \
            servetel-auth exec $keep -- "$TESTS_PYTHON" "$(program catcher)"
        assert_status 7
        assert_stdout_has 'got SIGINT'
        assert_equal "$(grep -o SIGINT <<<"$output" | wc -l)" 1
    done
    assert_no_token_file
}

@test "a renewal that is under way when the program ends is not cut off: its answer is stored" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hold":true}'
    keep_fresh sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    kill "$(cat started)"
    server_release
    assert_ends 143
    cached_token_works # nothing goes on behind it: as a container's first process it would take that with it
    assert_no_token_file
}

# know_children: they are ended with the test whatever becomes of their parent. RENEWER is the one that is not the
# program.
know_children() {
    local pid
    for pid in $(ps -o pid= --ppid "$BG_PID"); do
        STARTED_PIDS+=("$pid")
        [ "$pid" = "$(cat started)" ] || RENEWER=$pid
    done
}

@test "a renewal that cannot be told to end is killed, and the program's status is told" {
    local stopped
    server_config '{"ttl":4}'
    for stopped in '' yes; do
        rm -f started
        login
        server_reset
        server_config '{"ttl":4}'
        server_script refresh '{"hang":true}'
        background bash -c 'trap "" TERM; exec "$@"' - servetel-auth exec --keep-fresh -- sh -c "$WAITS"
        retry_until 20 has_requests refresh 1
        retry_until 20 test -e started
        know_children
        [ -z "$stopped" ] || kill -STOP "$RENEWER"
        kill -s KILL "$(cat started)"
        retry_until 40 is_gone "$BG_PID"
        assert_ends 137
        path="$(cat path)"
        [ ! -e "$path" ]
        [ ! -e "${path%.token}" ] # (the renewal's temporary file is for the next writer)
    done
}

@test "what a killed keeper leaves is removed by the next, also while its renewal goes on" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hang":true}'
    keep_fresh sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    know_children
    kill -s KILL "$BG_PID"
    wait "$BG_PID" || true
    path="$(cat path)"
    [ -e "$path" ]
    try refresh --timeout 1s
    assert_failed 5 # the renewal has the profile's lock
    [ ! -e "$path" ]
    [ ! -e "${path%.token}" ]
}

@test "a renewal that gets no answer holds up the end for two seconds at most" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hang":true}'
    keep_fresh sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    kill "$(cat started)"
    retry_until 20 is_gone "$BG_PID"
    assert_ends 143
    capture ps -o pid= --ppid "$BG_PID"
    assert_stdout_empty
    assert_no_token_file
    servetel-auth status --json 2>/dev/null | jq -e '.profiles[0].in_doubt'
}

@test "a signal during the renewal before the program: 143, stored, and the program does not run" {
    local keep old
    for keep in '' --keep-fresh; do
        login
        make_stale
        old="$(cached_token)"
        server_script refresh '{"hold":true}'
        # shellcheck disable=SC2086 # no option, or one
        background servetel-auth exec $keep -- touch "$HOME/ran"
        retry_until 20 has_requests refresh 1
        kill -s TERM "$BG_PID"
        server_release # the answer is waited for, for two seconds
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$status" 143
        [ ! -e "$HOME/ran" ]
        [ "$(cached_token)" != "$old" ]
        server_reset
    done
}

@test "--keep-fresh leaves a permanent token that is about to end alone" {
    needs_strace
    login
    cache_edit '.obtained_at -= 200000 | .expires_at = (now | floor) + 30' # permanent, about to end
    capture strace -f -c -e trace=fork,vfork,clone,clone3 -o "$HOME/forks" \
        servetel-auth exec --keep-fresh -- sleep 1
    assert_done
    [ "$(awk '$NF ~ /clone|fork/ {n += $4} END {print n + 0}' "$HOME/forks")" -lt 5 ] || fail_with_run "$(cat "$HOME/forks")"
}
