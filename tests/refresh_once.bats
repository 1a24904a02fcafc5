#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh: a token that may be spent is never sent twice, and one that is refused not again.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's

load helper
load refresh_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# -------------------------------------------------------------------------------------------- never twice

@test "a lost answer: 5, and no second refresh" {
    local answer
    with_token
    snapshot
    for answer in '{"drop":"no_answer_processed"}' '{"drop":"mid_body"}' \
        '{"reset":true,"drop":"no_answer_processed"}'; do
        server_script refresh "$answer"
        try refresh --retries 5
        assert_failed 5 "$answer"
        assert_stderr_has 'perhaps spent: if it stays so, run servetel-auth login'
    done
    assert_requests 3
    assert_unchanged
    try status
    assert_done
    assert_stderr_has 'perhaps spent: if the next one is refused, run servetel-auth login'
}

@test "a token that the service calls blacklisted is out of use: nothing sends or prints it again" {
    local old
    with_token
    old="$(cached_token)"
    server_script refresh '{"drop":"no_answer_processed"}'
    try refresh
    assert_failed 5
    try refresh --complain-below 1m # the service has spent the token
    assert_failed 4
    assert_stderr_has 'blacklisted: run servetel-auth login'
    assert_requests 2 # not in the other form, either
    assert_equal "$(cached_token)" "$old"
    assert_about "$(cached .blacklisted_at)" "$EPOCHSECONDS"
    try refresh
    assert_failed 3
    assert_stderr_has 'no usable token: the service has blacklisted the token: run servetel-auth login'
    try refresh --all --min-ttl 1m
    assert_failed 3
    try show
    assert_failed 3
    try show --cached
    assert_failed 3
    assert_stderr_has "the cached token of 'default' is blacklisted"
    try exec -- touch "$HOME/ran"
    assert_failed 3
    [ ! -e "$HOME/ran" ]
    assert_requests 2
    try status
    assert_status 3
    assert_stdout_has $'\tended\tlogin needed\t'
    assert_stderr_has 'the token is blacklisted: run servetel-auth login'
    try status --json
    assert_equal "$(json '.profiles[0] | [.state, .usable, .in_doubt] | join(" ")')" 'login_needed false false'
    assert_about "$(json '.profiles[0].blacklisted_at')" "$EPOCHSECONDS"
    on_terminal -- servetel-auth status
    assert_stdout_has 'the token is blacklisted: run servetel-auth login'
    login
    assert_equal "$(cached 'has("blacklisted_at")')" false
    try show
    assert_done
    token_works "$output"
}

@test "a blacklisted token is not printed by the show that learns of it" {
    with_token
    http POST /v1/auth/refresh '' "Authorization: $(cached_token)" 'Accept: application/json' # somebody else
    set_life 50
    try show
    assert_failed 4
    assert_stderr_has 'blacklisted: run servetel-auth login'
    try show
    assert_failed 3
}

@test "a blacklisted token whose login fails for a while is not sent again" {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    with_token ".password_file = \"$HOME/pw\""
    http POST /v1/auth/refresh '' "Authorization: $(cached_token)" 'Accept: application/json'
    server_script login '{"status":503}' '{"drop":"before"}'
    try refresh --retries 0
    assert_failed 5
    try status
    assert_done
    assert_stderr_has 'blacklisted: the next refresh logs in'
    end_pause
    try refresh
    assert_failed 5
    end_pause
    try refresh
    assert_done
    assert_requests 2 refresh # somebody else's, and ours
    assert_requests 3 login
    assert_equal "$(cached 'has("blacklisted_at")')" false
}

@test "what else may be blacklisted does not condemn the token" {
    with_token
    set_life 50
    server_script refresh '{"status":403,"json":{"message":"Your address has been blacklisted"}}' \
        '{"status":403,"json":{"message":"Your address has been blacklisted"}}'
    try refresh
    assert_failed 4
    assert_equal "$(cached 'has("blacklisted_at")')" false
    try show # it is not renewed, but good until it ends
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has 'still lasts'
    assert_requests 2
}

@test "a signal before the request is sent leaves no doubt of the token" {
    local said
    with_token
    background "$TESTS_PYTHON" -c '
import socket, time
silent = socket.create_server(("127.0.0.1", 0))
print(silent.getsockname()[1], flush=True)
connection, _ = silent.accept()
print("accepted", flush=True)
time.sleep(600)'
    said="$BG_OUT"
    retry_until 20 test -s "$said"
    move_api "https://127.0.0.1:$(<"$said")/v1"
    background servetel-auth refresh
    retry_until 20 grep -q accepted "$said"
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    try status --json
    assert_equal "$(json '.profiles[0].in_doubt')" false
}

@test "a doubt that a lost answer raised outlives an answer that does not settle it" {
    with_token
    server_script refresh '{"drop":"before"}' '{"status":429}' '{"status":503}' '{"status":404}'
    for code in 5 5 5 6; do
        try refresh
        assert_failed "$code"
        try status --json
        assert_equal "$(json '.profiles[0].in_doubt')" true
    done
    try refresh
    assert_done
    try status --json
    assert_equal "$(json '.profiles[0].in_doubt')" false
}

@test "a wrong path in --api-url, 404 or 405, raises no doubt of the token" {
    with_token
    server_script refresh '{"status":405}'
    for path in /v1 /wrong; do
        try refresh --api-url "${API%/v1}$path"
        assert_failed 6
        try status --json
        assert_equal "$(json '.profiles[0].in_doubt')" false
    done
    try show
    assert_done
    assert_stderr_empty
    assert_requests 2
}

@test "a doubt ends with a refusal, which is remembered: no mere doubt any more" {
    with_token
    set_life 50
    server_script refresh '{"drop":"before"}' '{"status":401}' '{"status":401}'
    try refresh
    assert_failed 5
    try refresh
    assert_failed 4
    try status --json
    assert_equal "$(json '.profiles[0] | [.in_doubt, .refused_at != null] | join(" ")')" 'false true'
    try show
    assert_stdout "$(cached_token)"
    assert_stderr_has 'still lasts'
    try refresh
    assert_failed 4
    assert_requests 3
}

@test "a lost answer with a password source: a login helps, here or at the next run" {
    with_source
    server_script refresh '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_requests 1 refresh
    [ "$status" = 5 ] || [ "$status" = 0 ] || fail_with_run "neither healed nor temporary"
    try show --min-ttl 30m
    assert_done
    token_works "$output"
    assert_requests 1 login
}

@test "on a connection used before, a request that got no answer is not sent again" {
    with_token
    # The second form goes out on the first one's connection, which then breaks.
    server_script refresh '{"status":401}' '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_failed 5
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(server_log 'map(.connection) | unique | length')" 1 # else it proves nothing
    server_reset
    with_source
    server_script refresh '{"status":401,"repeat":2}'
    server_script login '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_failed 5
    assert_endpoints 'refresh refresh login'
}

@test "no answer within --timeout is 5, after one request" {
    with_token
    snapshot
    server_script refresh '{"hang":true}'
    try refresh --timeout 4 --retries 3
    assert_failed 5
    assert_requests 1
    assert_unchanged
}

@test "before anything was sent a try is safe: a refused connection is tried again, and is 5" {
    with_token
    move_api http://127.0.0.1:1/v1
    snapshot
    try refresh --retries 1
    assert_failed 5
    assert_stderr_has 127.0.0.1:1
    assert_requests 0
    assert_unchanged
}
