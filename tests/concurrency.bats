#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Many at once on one token: it is renewed once, everybody gets the new one, and who is stuck or dead holds up
# nobody for longer than they were willing to wait. The service spends a token at once, without grace.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    DIR="$HOME/.servetel-auth"
    MANY="$BATS_TEST_TMPDIR/many"
    MANY_PIDS=()
    mkdir "$MANY"
    COUNT=200
    # Each costs a second there.
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || COUNT=20
}

teardown() {
    [ "${#MANY_PIDS[@]}" -eq 0 ] || kill -9 "${MANY_PIDS[@]}" 2>/dev/null || true
    test_teardown
}

# start_many N ARGUMENTS...: as many of the program, in the background; out.I and err.I are what each prints.
start_many() {
    local end=$((${#MANY_PIDS[@]} + $1)) i
    shift
    for ((i = ${#MANY_PIDS[@]}; i < end; i++)); do
        servetel-auth "$@" >"$MANY/out.$i" 2>"$MANY/err.$i" </dev/null 3>&- &
        MANY_PIDS+=($!)
    done
}

# Waits for all of them; each must have succeeded.
wait_many() {
    local i code failed=()
    for i in "${!MANY_PIDS[@]}"; do
        code=0
        wait "${MANY_PIDS[i]}" || code=$?
        [ "$code" = 0 ] || failed+=("number $i: exit $code: $(cat "$MANY/err.$i")")
    done
    MANY_PIDS=()
    [ "${#failed[@]}" = 0 ] || fail_with "${#failed[@]} failed" "${failed[0]}"
}

# What they have printed, each line once.
printed_by_many() {
    cat "$MANY"/out.* | sort -u
}

complaints_of_many() {
    cat "$MANY"/err.* | sort | uniq -c
}

# hold_renewal [OPTIONS]: a renewal that is stopped while its answer is on the way, so that it holds the lock until
# let_go. HOLDER is its pid.
hold_renewal() {
    local seen
    seen="$(count_requests refresh)"
    server_script refresh '{"hold":true}'
    background servetel-auth refresh --timeout 10m "$@" # however long it is stopped
    HOLDER=$BG_PID
    retry_until 20 has_requests refresh $((seen + 1))
    kill -STOP "$HOLDER"
    server_release
}

let_go() {
    local code=0
    kill -CONT "$HOLDER"
    wait "$HOLDER" || code=$?
    assert_equal "$code" 0
}

# have_lock_open N: so many processes have the default profile's lock file open. They have read the cache by then.
have_lock_open() {
    [ "$(find /proc/[0-9]*/fd -lname "$DIR/default.lock" 2>/dev/null | wc -l)" -ge "$1" ]
}

# Waits until N processes wait for the lock or have it; where /proc does not tell (there is none, or we are not
# root: the program lets nobody else look at it), for as long as that may take.
wait_for_waiters() {
    if [ ! -r "/proc/$HOLDER/fd" ]; then
        sleep 3
        return
    fi
    for _ in {1..150}; do
        ! have_lock_open "$1" || return 0
        sleep 0.2 # a look at all processes is dear
    done
    fail_with "fewer than $1 processes wait"
}

# run_timed COMMAND...: as run, and it is not held up: five seconds are much less than the ten and more that it
# would wait. (More under valgrind, which starts slowly.)
run_timed() {
    local limit=5 start=$SECONDS
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || limit=10
    capture timeout 30 "$@"
    [ $((SECONDS - start)) -le "$limit" ] || fail_with_run "took $((SECONDS - start)) s, not $limit: $*"
}

# ------------------------------------------------------------------------------------------------ once for all

@test "many show on one stale token: one renewal, and all print the same new token" {
    login
    make_stale
    old="$(cached_token)"
    server_config '{"latency":0.2}'
    start_many "$COUNT" show
    wait_many
    new="$(cached_token)"
    [ "$new" != "$old" ]
    assert_equal "$(printed_by_many)" "$new"
    assert_equal "$(cat "$MANY"/out.* | wc -l | tr -d ' ')" "$COUNT"
    assert_equal "$(complaints_of_many)" ''
    assert_requests 1 refresh
    assert_equal "$(server_stats refused)" 0
    token_works "$new"
}

@test "many show on one expired token: the same" {
    login
    make_expired
    server_config '{"latency":0.2}'
    start_many 40 show --min-ttl 60s
    wait_many
    assert_equal "$(printed_by_many)" "$(cached_token)"
    assert_equal "$(complaints_of_many)" ''
    assert_requests 1 refresh
    token_works "$(cached_token)"
}

@test "many refresh that wait for one: it renews, the others keep what it got" {
    login
    make_stale
    old="$(cached_token)"
    hold_renewal --json
    start_many $((COUNT - 1)) refresh --json
    wait_for_waiters "$COUNT"
    let_go
    wait_many
    assert_equal "$(jq -r .action "$BG_OUT")" renewed
    assert_equal "$(cat "$MANY"/out.* | jq -r .action | sort | uniq -c | tr -s ' ')" " $((COUNT - 1)) kept"
    assert_equal "$(grep -L kept "$MANY"/err.*)" '' # each says so on stderr as well
    [ "$(cached_token)" != "$old" ]
    assert_requests 1 refresh
    assert_equal "$(server_stats refused)" 0
    token_works "$(cached_token)"
}

@test "show, refresh and exec that wait for one renewal all use its token" {
    local each=$((COUNT / 8))
    login
    make_expired
    hold_renewal
    start_many "$each" show
    start_many "$each" refresh --print -q
    # shellcheck disable=SC2016 # for the program's shell
    start_many "$each" exec -- sh -c 'printf "%s\n" "$SERVETEL_TOKEN"'
    start_many "$each" refresh --min-ttl 60s --print -q
    wait_for_waiters $((4 * each + 1))
    let_go
    wait_many
    assert_equal "$(printed_by_many)" "$(cached_token)"
    assert_equal "$(cat "$MANY"/out.* | wc -l | tr -d ' ')" $((4 * each))
    assert_equal "$(complaints_of_many)" ''
    assert_requests 1 refresh
    token_works "$(cached_token)"
}

@test "those who wait run no --on-change: the one who renewed does" {
    login
    make_stale
    hold_renewal --on-change "echo first >>'$MANY/hook'"
    start_many 10 refresh --on-change "echo other >>'$MANY/hook'"
    wait_for_waiters 11
    let_go
    wait_many
    assert_equal "$(cat "$MANY/hook")" first
}

@test "one lock for one file, whichever way it is named" {
    login
    make_stale
    ln -s .servetel-auth/default.json "$HOME/link"
    ln -s .servetel-auth "$HOME/dir"
    hold_renewal
    start_many 2 refresh --print -q --file "$HOME/link"
    start_many 2 refresh --print -q --file "$DIR/default.json"
    SERVETEL_AUTH_DIR="$HOME/dir" start_many 2 refresh --print -q
    wait_for_waiters 7
    let_go
    wait_many
    assert_equal "$(printed_by_many)" "$(cached_token)"
    assert_requests 1 refresh
}

@test "a password command is run once when a token is refused, however many need a new one" {
    printf '#!/bin/sh\necho run >>"%s"\necho "%s"\n' "$MANY/runs" "$PW" >"$BATS_TEST_TMPDIR/password"
    chmod 700 "$BATS_TEST_TMPDIR/password"
    servetel-auth login -q -e "$EMAIL" --password-command "$BATS_TEST_TMPDIR/password"
    make_expired
    server_config '{"refresh_window":-1,"latency":0.1}'
    start_many 50 show
    wait_many
    assert_equal "$(printed_by_many)" "$(cached_token)"
    assert_equal "$(cat "$MANY/runs")" $'run\nrun'
    assert_requests 2 login
    # In the raw form and as Bearer, by the one who renewed.
    assert_requests 2 refresh
    token_works "$(cached_token)"
}

@test "a refused password is sent once, however many need a new token" {
    servetel-auth login -q -e "$EMAIL" --password-command "echo '$PW'"
    make_expired
    server_config "{\"refresh_window\":-1,\"users\":{\"$EMAIL\":\"changed\"}}"
    start_many 12 show
    for i in "${!MANY_PIDS[@]}"; do
        code=0
        wait "${MANY_PIDS[i]}" || code=$?
        assert_equal "$code" 4
    done
    MANY_PIDS=()
    assert_equal "$(printed_by_many)" ''
    assert_requests 2 login
    assert_equal "$(jq -r .unattended_login "$DIR/default.json")" refused
}

@test "logins at once into an empty directory all succeed and leave one whole cache" {
    umask 077
    printf '%s\n' "$PW" >"$BATS_TEST_TMPDIR/password"
    start_many 12 login -q -e "$EMAIL" --password-file "$BATS_TEST_TMPDIR/password"
    wait_many
    assert_equal "$(complaints_of_many)" ''
    assert_requests 12 login
    assert_equal "$(find "$DIR" -type f | sort)" "$(printf '%s\n' "$DIR/default.json" "$DIR/default.lock")"
    token_works "$(cached_token)"
}

@test "readers see the old token or the new one, never half of a file" {
    login
    # shellcheck disable=SC2016 # for the inner shell
    background sh -c 'i=0; while [ $i -lt 40 ]; do servetel-auth refresh -q || exit 1; i=$((i + 1)); done'
    local writer=$BG_PID writer_status=0 reads=0
    while kill -0 "$writer" 2>/dev/null && [ "$reads" -lt 1000 ]; do
        servetel-auth show --cached >>"$MANY/seen" 2>>"$MANY/complaints"
        reads=$((reads + 1))
    done
    wait "$writer" || writer_status=$?
    assert_equal "$writer_status $(cat "$BG_ERR" "$MANY/complaints")" '0 '
    assert_equal "$(wc -l <"$MANY/seen" | tr -d ' ')" "$reads"
    [ "$(sort -u "$MANY/seen" | wc -l)" -gt 1 ] || fail_with "no reader ran beside the writer"
    server_control tokens | jq -r '.[]' | sort >"$MANY/issued"
    assert_equal "$(sort -u "$MANY/seen" | comm -23 - "$MANY/issued")" ''
}

# ---------------------------------------------------------------------------------------------- stuck and dead

@test "a holder that is killed blocks nobody" {
    login
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 60s
    retry_until 10 has_requests refresh 1
    kill -9 "$BG_PID"
    run_timed servetel-auth refresh --timeout 10s
    assert_done
    assert_stdout_empty
    assert_stderr_has renewed
    assert_requests 2 refresh
    token_works "$(cached_token)"
}

@test "who waits for a holder that is killed takes over" {
    login
    make_expired
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 60s
    local holder=$BG_PID waiter_status=0
    retry_until 10 has_requests refresh 1
    background servetel-auth show --timeout 20s
    wait_for_waiters 2
    kill -9 "$holder"
    wait "$BG_PID" || waiter_status=$?
    assert_equal "$waiter_status $(cat "$BG_ERR")" '0 '
    assert_equal "$(cat "$BG_OUT")" "$(cached_token)"
    token_works "$(cached_token)"
}

@test "a holder that is stopped costs others their own --timeout and no more: exit 5" {
    login
    make_stale
    hold_renewal
    snapshot
    run_timed servetel-auth refresh --timeout 1s
    assert_failed 5
    assert_stderr_has "$DIR/default.lock"
    run_timed servetel-auth login -e "$EMAIL" --timeout 1s --password-stdin <<<"$PW"
    assert_failed 5
    run_timed servetel-auth show --min-ttl 60s --timeout 1s
    assert_failed 5
    assert_unchanged
    assert_requests 2 # the first login and the holder's renewal
    let_go
    token_works "$(cached_token)"
}

@test "a holder that hangs in the network costs the same" {
    login
    make_expired
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 60s
    retry_until 10 has_requests refresh 1
    run_timed servetel-auth show --timeout 1s
    assert_failed 5
    assert_requests 1 refresh
}

@test "show on a fresh token is not held up by a holder that hangs" {
    login
    hold_renewal
    for _ in 1 2 3 4 5; do
        run_timed servetel-auth show
        assert_done
        assert_stdout "$(cached_token)"
        assert_stderr_empty
    done
    run_timed servetel-auth exec -- true
    assert_done
    run_timed servetel-auth status
    assert_done
    let_go
}

@test "show on a stale token that is still valid prints it, with a warning, after its own --timeout" {
    login
    now="$(date +%s)"
    cache_edit ".expires_at = $((now + 30)) | .obtained_at = $((now - 3570))"
    hold_renewal
    run_timed servetel-auth show --timeout 1s
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has warning
    let_go
}

@test "--min-ttl beyond what tokens last is 2, alone and while another renews" {
    login
    server_script refresh '{"hold":true}'
    background servetel-auth refresh
    retry_until 20 has_requests refresh 1
    local first=$BG_PID
    background servetel-auth show --min-ttl 2h
    server_release
    wait "$first"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status $(cat "$BG_OUT")" '2 '
    grep -q 'which is 60 min' "$BG_ERR"
}

@test "two profiles do not wait for each other" {
    login -p one
    login -p two
    make_stale one
    make_stale two
    server_script refresh '{"hang":true}'
    background servetel-auth refresh -p one --timeout 60s
    retry_until 10 has_requests refresh 1
    run_timed servetel-auth refresh -p two --timeout 10s
    assert_done
    assert_stdout_empty
    assert_stderr_has renewed
    token_works "$(cached_token two)"
    run_timed servetel-auth login -p three -e "$EMAIL" --password-stdin --timeout 10s <<<"$PW"
    assert_done
}
