#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The cache changes whole or not at all; the lock, and logout.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load cache_tests_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    DIR="$HOME/.servetel-auth"
    CACHE="$DIR/default.json"
}

teardown() { test_teardown; }

# ----------------------------------------------------------------------------------------------------- writing

@test "a temporary file of a process that was killed is removed by the next writer" {
    login
    server_script refresh '{"hang":true}'
    background servetel-auth refresh
    retry_until 10 has_requests refresh 1
    # Room is reserved before anything is sent: there it is.
    left="$(find "$DIR" -type f ! -name default.json ! -name default.lock -exec basename {} \;)"
    assert_equal "$(wc -l <<<"$left")" 1
    assert_equal "$(mode_of "$DIR/$left")" 600
    kill -9 "$BG_PID"
    retry_until 5 is_gone "$BG_PID"
    [ -e "$DIR/$left" ]
    try status # it is no profile
    assert_done
    assert_equal "$(wc -l <<<"$output" | tr -d ' ')" 1
    try refresh
    assert_done
    assert_files "$DIR" default.json default.lock
    token_works "$(cached_token)"
}

@test "login too removes what a killed process has left" {
    server_script login '{"hang":true}'
    BG_OUT=/dev/null BG_ERR=/dev/null
    servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW" >/dev/null 2>&1 3>&- &
    STARTED_PIDS+=($!)
    retry_until 10 has_requests login 1
    kill -9 "${STARTED_PIDS[-1]}"
    retry_until 5 is_gone "${STARTED_PIDS[-1]}"
    assert_equal "$(find "$DIR" -type f | wc -l | tr -d ' ')" 2 # the lock and the temporary file
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_files "$DIR" default.json default.lock
}

@test "a signal leaves the old file and nothing else" {
    login
    snapshot
    for signal in TERM:143 INT:130 HUP:129; do
        server_script refresh '{"hang":true}'
        seen="$(count_requests refresh)"
        # bash starts what is in the background with SIGINT ignored.
        background env --default-signal=INT servetel-auth refresh
        retry_until 10 has_requests refresh $((seen + 1))
        kill "-${signal%:*}" "$BG_PID"
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$signal $status" "$signal ${signal#*:}"
        assert_files "$DIR" default.json default.lock
        assert_unchanged
        assert_equal "$(cat "$BG_OUT")" ''
    done
}

@test "a failure never deletes, empties or changes what was cached" {
    login
    make_stale
    cache_edit '{of_others: 1} + .' # first, as a rewrite puts it
    snapshot
    local case answer
    for case in '401:4' '503:5' '302:6'; do # hostile.bats has them all
        answer="{\"status\":${case%:*},\"headers\":{\"Location\":\"/v1/me\"},\"repeat\":-1}"
        server_reset
        server_script refresh "$answer"
        server_script login "$answer"
        try refresh
        assert_status "${case#*:}" || fail_with "refresh: $case"
        assert_stdout_empty
        assert_one_line
        [ "${case#*:}" != 4 ] || without_refusal
        assert_unchanged
        try_login "$PW" -q --retries 0
        assert_status "${case#*:}" || fail_with "login: $case"
        assert_stdout_empty
        assert_one_line
        assert_unchanged
    done
    assert_files "$DIR" default.json default.lock
    server_reset
    server_script refresh '{"body":"<html>captive portal</html>"}'
    try refresh
    assert_failed 6
    assert_unchanged
    local nobody=http://127.0.0.1:1/v1 # a port that was in use a moment ago may be another run's by now
    move_api "$nobody"
    snapshot
    try refresh --retries 0
    assert_failed 5
    assert_unchanged
    try_login "$PW" --api-url "$nobody" --retries 0
    assert_status 5
    assert_stdout_empty
    assert_unchanged
    assert_files "$DIR" default.json default.lock
}

# ---------------------------------------------------------------------------------------------------- the lock

@test "a lock that is a link is refused, and nothing was sent" {
    login
    snapshot
    rm "$DIR/default.lock"
    printf 'precious\n' >"$HOME/precious"
    chmod 644 "$HOME/precious"
    ln -s "$HOME/precious" "$DIR/default.lock"
    remember_requests
    capture timeout 20 servetel-auth refresh
    assert_refused "$DIR/default.lock"
    capture timeout 20 servetel-auth login --password-stdin <<<"$PW"
    assert_refused "$DIR/default.lock"
    assert_no_more_requests
    assert_unchanged
    assert_equal "$(mode_of "$HOME/precious") $(cat "$HOME/precious")" '644 precious'
    # Readers take no lock, so it is nothing to them.
    try show
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
}

@test "a lock of another user that cannot be opened is refused" {
    needs_root
    needs_permissions
    login
    snapshot
    remember_requests
    chown 65534 "$DIR/default.lock"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/default.lock"
    assert_unchanged
    assert_no_more_requests
}

@test "a lock file is made 0600 again, and what is in it does no harm" {
    login
    head -c 1000 /dev/urandom >"$DIR/default.lock"
    chmod 666 "$DIR/default.lock"
    try refresh
    assert_done
    assert_stdout_empty
    assert_equal "$(mode_of "$DIR/default.lock")" 600
    head -c 1000 /dev/zero >"$DIR/default.lock"
    try refresh
    assert_done
    token_works "$(cached_token)"
}

@test "readers take no lock: a hanging renewal does not hold them up" {
    login
    token="$(cached_token)"
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 60s
    retry_until 10 has_requests refresh 1
    for command in show 'show --cached' 'status -p default' 'exec -- true'; do
        # shellcheck disable=SC2086 # words
        capture timeout 10 servetel-auth $command
        assert_done "command: $command"
    done
    assert_equal "$(cached_token)" "$token"
}

# ------------------------------------------------------------------------------------------------------ logout

@test "logout removes the cache, and is a success when there was none" {
    login
    login -p other
    try logout
    assert_done
    assert_stdout_empty
    [ ! -e "$CACHE" ]
    [ -e "$DIR/other.json" ]
    try logout
    assert_done
    assert_stdout_empty
    try show
    assert_failed 3
    try logout --all --yes
    assert_done
    [ ! -e "$DIR/other.json" ]
    rm -rf "$DIR"
    try logout
    assert_done
    [ ! -e "$DIR" ]
    assert_equal "$(server_log '[.[] | select(.endpoint != "login")] | length')" 0
}

@test "a logout during a renewal has the last word" {
    login
    server_script refresh '{"delay":0.7}'
    background servetel-auth refresh
    local refresh_pid=$BG_PID refresh_status=0
    retry_until 10 has_requests refresh 1
    try logout
    assert_done
    assert_stdout_empty
    wait "$refresh_pid" || refresh_status=$?
    [ ! -e "$CACHE" ] || fail_with "the renewal brought it back"
    assert_equal "$refresh_status" 0
    try show
    assert_failed 3
}

@test "a renewal that waited while somebody logged out does not bring the token back" {
    login
    server_script refresh '{"delay":0.7}'
    background servetel-auth refresh
    local first=$BG_PID second_status=0
    retry_until 10 has_requests refresh 1
    background servetel-auth logout
    local logout=$BG_PID
    background servetel-auth refresh
    local second=$BG_PID
    wait "$first" "$logout" || true
    wait "$second" || second_status=$?
    try logout
    assert_done
    # It came before the logout or after it: a token was there to be kept or renewed, or none.
    [[ "$second_status" = 0 || "$second_status" = 3 ]] || fail_with "status $second_status" "$(cat "$BG_ERR")"
    [ ! -e "$CACHE" ]
}
