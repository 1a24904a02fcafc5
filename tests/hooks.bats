#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# --on-change: when the hook runs, what it gets, and what its failure means.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ------------------------------------------------------------------------------------------------------- hooks

@test "the hook gets the token on stdin, without a newline, and what it is for in the environment" {
    login
    unset SERVETEL_API_URL
    try refresh --on-change 'cat >"$HOME/in"; env >"$HOME/env"; echo "$0 $*" >"$HOME/args"'
    assert_done
    assert_stdout_empty
    token="$(cached_token)"
    printf %s "$token" | cmp - "$HOME/in"
    assert_equal "$(grep '^SERVETEL_PROFILE=' env)" SERVETEL_PROFILE=default
    assert_equal "$(grep '^SERVETEL_EXPIRES_AT=' env)" "SERVETEL_EXPIRES_AT=$(jq .expires_at "$(cache_file)")"
    assert_equal "$(grep '^SERVETEL_TOKEN_HOST=' env)" "SERVETEL_TOKEN_HOST=127.0.0.1:$API_PORT"
    assert_no grep '^SERVETEL_API_URL=' env # a program of ours in it would ask that host for any profile
    assert_no grep -F "$token" env args
    token_works "$token"
}

@test "the hook's environment names the same cache, so that the program can be used in it" {
    local show='servetel-auth show --cached >"$HOME/shown"; env >"$HOME/env"; ls -l /proc/self/fd >"$HOME/fds"'
    login -p work
    SERVETEL_AUTH_FILE=elsewhere.json servetel-auth refresh -q -p work --on-change "$show"
    assert_equal "$(cat shown)" "$(cached_token work)"
    assert_equal "$(grep -E '^SERVETEL_(PROFILE|AUTH_FILE)=' env | sort | xargs)" 'SERVETEL_AUTH_FILE= SERVETEL_PROFILE=work'
    ! grep socket fds || fail_with "inherited" "$(cat fds)"
    login -f my.json
    SERVETEL_PROFILE=work servetel-auth refresh -q -f my.json --on-change "$show"
    assert_equal "$(cat shown)" "$(jq -r .access_token my.json)"
    assert_equal "$(grep -E '^SERVETEL_(PROFILE|AUTH_FILE)=' env | sort | xargs)" 'SERVETEL_AUTH_FILE=my.json SERVETEL_PROFILE='
}

@test "a program of ours in a hook asks each other profile's own host" {
    login
    unset SERVETEL_API_URL
    first=$API_PORT
    server_start
    login -p other --api-url "$API"
    unset SERVETEL_API_URL
    try refresh --on-change 'servetel-auth refresh --quiet -p other && servetel-auth show -p other >"$HOME/other"'
    assert_done
    token_works "$(cat other)"
    assert_requests 1 refresh
    API_PORT=$first assert_requests 1 refresh
}

@test "a hook that a signal leaves out or stops is told of" {
    local status
    login
    server_script refresh '{"hold":true}'
    background servetel-auth refresh --on-change 'touch "$HOME/ran"'
    retry_until 20 has_requests refresh 1
    kill -s TERM "$BG_PID"
    server_release # the answer is waited for, for two seconds
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    token_works "$(cached_token)"
    [ ! -e ran ]
    grep -q 'default: the token is stored, but the hook was not run: a signal came' "$BG_ERR"

    background servetel-auth refresh --on-change 'touch "$HOME/ran"; exec sleep 600'
    retry_until 20 test -e ran
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    token_works "$(cached_token)"
    grep -q 'default: the token is stored, but a signal stopped the hook' "$BG_ERR"
}

@test "the hook runs for an unattended login too" {
    remember
    end_refresh_window
    capture as_cron refresh --quiet --on-change 'cat >"$HOME/in"'
    assert_done
    printf %s "$(cached_token)" | cmp - in
}

@test "the hook runs after the token is stored and the lock let go" {
    login
    # In the hook another renewal of the same profile works, and finds what the first one stored.
    try refresh --on-change \
        'test "$(servetel-auth show --cached)" = "$(cat)" && servetel-auth refresh --quiet --timeout 5s && touch "$HOME/ok"'
    assert_done
    [ -e ok ]
    assert_requests 2 refresh
}

@test "the hook does not run when the token is kept" {
    login
    try refresh --min-ttl 1m --json --on-change 'touch "$HOME/ran"'
    assert_done
    assert_equal "$(json .action)" kept
    [ ! -e ran ]
    assert_requests 0 refresh
}

@test "the hook does not run when another process has renewed the token meanwhile" {
    login
    server_script refresh '{"delay":3}'
    background servetel-auth refresh --on-change 'echo first >>"$HOME/ran"'
    first=$BG_PID
    retry_until 10 has_requests refresh 1
    try refresh --json --on-change 'echo second >>"$HOME/ran"'
    assert_done
    assert_equal "$(json .action)" kept
    wait "$first"
    assert_equal "$(cat ran)" first
    assert_requests 1 refresh
}

@test "the hook does not run when the renewal fails" {
    login
    end_refresh_window
    try refresh --on-change 'touch "$HOME/ran"'
    assert_failed 4
    [ ! -e ran ]
}

@test "a hook that fails is exit 1, said on stderr, and the token stays stored" {
    login
    old="$(cached_token)"
    try refresh --on-change 'cat >/dev/null; echo "vault is sealed" >&2; exit 3'
    assert_failed 1
    assert_stderr_has 'vault is sealed'
    assert_stderr_has '3'
    assert_no_secret
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "a hook that is killed, or does not exist, is exit 1" {
    login
    try refresh --on-change 'kill -9 $$'
    assert_failed 1
    assert_stderr_has 9
    try refresh --on-change "$HOME/no-such-hook"
    assert_failed 1
    token_works "$(cached_token)"
}

@test "what the hook prints does not mix with --print or --json" {
    login
    try refresh --print --on-change 'echo noise; cat'
    assert_done
    assert_stdout "$(cached_token)"
    try refresh --json --on-change 'echo noise'
    assert_done
    assert_equal "$(json .action)" renewed
    assert_stderr_has noise
}

@test "--print prints the stored token even when the hook fails" {
    login
    try refresh --print --on-change 'exit 1'
    assert_status 1
    assert_stdout "$(cached_token)"
    token_works "$output"
}

@test "a hook that does not read its stdin is no failure" {
    login
    try refresh --on-change 'exec <&-; touch "$HOME/ran"'
    assert_done
    [ -e ran ]
    # A token that is longer than a pipe's smallest buffer.
    long="$(printf '%16384s' '' | tr ' ' x)"
    server_script refresh "{\"status\":200,\"json\":{\"success\":true,\"access_token\":\"$long\",\"expires_in\":3600}}"
    try refresh --on-change true
    assert_done
    assert_equal "$(cached_token)" "$long"
}

@test "a hook that hangs is ended by --timeout, and the token stays stored" {
    login
    old="$(cached_token)"
    SECONDS=0
    try refresh --timeout 3s --on-change 'echo $$ >"$HOME/pid"; exec sleep 600'
    [ "$SECONDS" -lt 20 ]
    assert_status 1
    [ -n "$stderr" ]
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
    retry_until 5 is_gone "$(cat pid)"
}

@test "a hook that leaves a process behind with its output open does not hold up the program" {
    login
    SECONDS=0
    try refresh --on-change \
        'sleep 600 >/dev/null 2>&1 </dev/null 3>&- & echo $! >"$HOME/pid"'
    STARTED_PIDS+=("$(cat pid)")
    [ "$SECONDS" -lt 20 ]
    assert_done
}
