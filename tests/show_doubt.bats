#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# show of a token in doubt: a refresh of it was sent, and its answer lost.
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# doubt: as a refresh leaves the cached token that was killed before its answer came.
doubt() {
    servetel-auth status --json | jq -j '.profiles[0].fingerprint' >"$HOME/.servetel-auth/default.lock"
    chmod 600 "$HOME/.servetel-auth/default.lock"
}

@test "a token that is perhaps spent is renewed before it is shown, with a login if it must be" {
    with_token '.password_command = "echo correct horse"'
    doubt
    try show --min-ttl 5m
    assert_done
    assert_stderr_empty
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_requests 1 refresh
    doubt
    server_script refresh '{"status":401,"repeat":2}'
    try show
    assert_done
    assert_stderr_empty
    token_works "$output"
    assert_requests 1 login
}

@test "where that cannot be, it is shown with a warning, also to --min-ttl and --cached" {
    write_cache '.password_command = "echo x"'
    move_api http://127.0.0.1:1/v1 # nobody listens there
    local options
    for options in '' '--min-ttl 5m' '--cached'; do
        doubt
        # shellcheck disable=SC2086 # words
        try show --retries 0 $options
        assert_done
        assert_stdout made-up-default
        assert_stderr_has "the last refresh of 'default' ended without a clear answer: the token is perhaps spent"
    done
}

@test "--min-ttl stays a promise when the renewal of a token in doubt took until it is broken" {
    local now=$EPOCHSECONDS
    with_token ".password_command = \"echo x\" | .expires_at = $((now + 5))"
    doubt
    server_script refresh '{"hang":true}'
    try show --min-ttl 2s --timeout 4s
    assert_failed 5
    assert_stdout_empty
    assert_requests 1 refresh
}

@test "without a password it is left alone for a minute after the last try, with a warning" {
    with_token
    doubt
    try show
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has 'perhaps spent'
    assert_requests 0
    touch -d '2 minutes ago' "$HOME/.servetel-auth/default.lock"
    try show
    assert_done
    assert_stderr_empty
    token_works "$output"
    assert_requests 1 refresh
}

pause_is_noted() {
    [ "$(cached .retry_at)" != null ]
}

@test "a token that is another host's when its turn comes is not printed for the one that was named" {
    local status=0
    login
    make_stale
    server_script refresh '{"status":429,"headers":{"Retry-After":"3"}}'
    background servetel-auth show # SERVETEL_API_URL names the host
    retry_until 10 pause_is_noted
    cache_edit ".api_url = \"https://other.example/v1\" | .access_token = \"elsewhere\" |
                .expires_at += 3000 | del(.retry_at, .retry_noted_at)"
    wait "$BG_PID" || status=$?
    assert_equal "$status" 2
    assert_equal "$(<"$BG_OUT")" ''
    [[ "$(<"$BG_ERR")" == *"is for https://other.example/v1 and is not sent to"* ]]
}
