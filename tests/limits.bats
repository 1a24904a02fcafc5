#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh --all and a service that limits: its word to one profile is one to all of that host.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load profiles_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    unset SERVETEL_API_URL # each profile knows its own
}

teardown() { test_teardown; }

@test "a service that takes 40 requests in 2 seconds renews 120 profiles, none fails, and what it forbids is not sent" {
    make_profiles p 120
    server_config '{"throttle":[40,2]}'
    try refresh --all --json
    assert_done
    assert_no_secret
    assert_equal "$(jq -c '.total | [.renewed, .failed]' <<<"$output")" '[120,0]'
    assert_equal "$(refreshes_answered)" 120
    # Two windows are full before the last one; what was on its way when the first refusal came is all that is refused.
    [ "$(server_stats throttled)" -le 32 ] || fail_with 'sent in vain' "$(server_stats throttled)"
    assert_all_work
}

@test "a refusal holds the profiles of its host, and those of others go on meanwhile" {
    local here=$API_PORT
    make_profiles here 20
    server_start
    make_profiles there 20
    all_there_are_renewed() { [ "$(refreshes_answered)" = 20 ]; }
    API_PORT=$here server_script refresh '{"status":429,"headers":{"Retry-After":"5"}}'
    SECONDS=0
    background servetel-auth refresh --all --jobs 1 --json
    retry_until 30 all_there_are_renewed
    # One by one, in the order of their names: the first has been refused, and nobody was asked since.
    assert_equal "$(API_PORT=$here count_requests refresh)" 1
    wait "$BG_PID"
    [ "$SECONDS" -ge 5 ]
    assert_equal "$(jq -c '.total | [.renewed, .failed]' "$BG_OUT")" '[40,0]'
    assert_equal "$(API_PORT=$here count_requests refresh)" 21
    assert_all_work there
    API_PORT=$here assert_all_work here
}

@test "the wait takes nothing of --timeout, nor of --retries" {
    make_profiles p 4
    server_script refresh '{"status":503,"headers":{"Retry-After":"4"},"repeat":3}'
    try refresh --all --jobs 1 --timeout 3s --retries 1
    assert_done
    assert_requests 7 refresh
    assert_all_work
}

@test "a wait of more than ten minutes is not waited for: each says so, and one has asked" {
    make_profiles p 5
    server_script refresh '{"status":429,"headers":{"Retry-After":"700"}}'
    cache_edit '.expires_at += 3000' p05
    try refresh --all --jobs 1 --min-ttl 10m --json
    assert_status 5
    assert_one_line_for p01 p02 p03 p04
    assert_equal "$(grep -c 'not to be asked for another 11 min: nothing was sent' <<<"$stderr")" 3
    assert_equal "$(jq -c '.total | [.kept, .failed]' <<<"$output")" '[1,4]' # what need not be sent is not held
    assert_requests 1 refresh
    # What it said to one profile is remembered for that one alone: it may have been about the account.
    try refresh --all --min-ttl 10m --json
    assert_status 5
    assert_equal "$(jq -c '.total | [.renewed, .kept, .failed]' <<<"$output")" '[3,1,1]'
}

@test "a login that the service forbids for now holds the others too" {
    make_profiles p 3
    (umask 077 && printf '%s\n' "$PW" >pw)
    for i in 1 2 3; do cache_edit ".password_file = \"$HOME/pw\"" "p0$i"; done
    server_config '{"refresh_window":0}'
    server_script login '{"status":429,"headers":{"Retry-After":"2"}}'
    try refresh --all --jobs 1
    assert_done
    assert_stderr_has '3 logged in again'
    assert_requests 4 login
    server_log '[.[] | select(.endpoint == "login") | .time] | .[1] - .[0] >= 2' | grep true
    assert_all_work
}

@test "without --all the wait is of the renewal's own time" {
    make_profiles default 1
    mv "$DIR/default01.json" "$DIR/default.json"
    server_script refresh '{"status":429,"headers":{"Retry-After":"5"}}'
    try refresh --timeout 4s
    assert_failed 5
    assert_requests 1 refresh
}
