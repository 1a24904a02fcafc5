#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh: what each answer leads to, a refusal and a wish to wait among them.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's

load helper
load refresh_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# -------------------------------------------------------------------------------------- refused, and then

@test "a refused token without a password source: 4, a login is needed, and no more than that is noted" {
    write_cache . default "$(server_issue '{"age":1300000}')" # more than 14 days ago
    cache_edit . # as jq writes it
    snapshot
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_stderr_has 'can no longer be refreshed'
    assert_requests 2
    assert_no_secret
    without_refusal
    assert_unchanged
}

@test "a refused token with a password source: one login, with what is remembered" {
    with_source '.auth_scheme = "raw" | .note = 1'
    server_config '{"refresh_window":0}'
    try refresh
    assert_done
    assert_stdout_empty
    assert_stderr_has 'logged in'
    assert_endpoints 'refresh refresh login'
    assert_equal "$(server_log '.[-1].body | fromjson | "\(.email) \(.password)"')" "$EMAIL $PW"
    assert_about "$(cached .logged_in_at)" "$EPOCHSECONDS"
    assert_equal "$(cached '"\(.auth_scheme) \(.note) \(.password_command)"')" "raw 1 echo '$PW'"
    token_works "$(cached_token)"
    # A refusal within a 200 is one too.
    server_script refresh '{"json":{"success":false,"message":"Token has expired"}}'
    try refresh
    assert_done
    assert_requests 2 login
}

@test "a password file serves as well as a command" {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    with_token ".password_file = \"$HOME/pw\""
    server_config '{"refresh_window":0}'
    try refresh
    assert_done
    assert_requests 1 login
    server_config '{"refresh_window":0}'
    rm "$HOME/pw"
    cache_edit .
    snapshot
    try refresh
    assert_failed 7
    assert_stderr_has "$HOME/pw"
    assert_requests 1 login
    without_refusal
    assert_unchanged
}

@test "a 500 with a password source: one login; without one 5, and a hint at a login" {
    with_source '.auth_scheme = "raw"'
    server_config '{"uncaught":true,"refresh_window":0}'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_endpoints 'refresh login'
    with_token '.auth_scheme = "raw"'
    snapshot
    try refresh
    assert_failed 5
    assert_stderr_has login
    assert_requests 2 refresh
    assert_requests 1 login
    assert_unchanged
}

@test "a remembered password that is refused is noted and not sent again, until a login clears the note" {
    with_source '.note = "mine"'
    server_config '{"refresh_window":0,"users":{"you@example.test":"new horse"}}'
    local token
    token="$(cached_token)"
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_requests 1 login
    assert_equal "$(cached .unattended_login)" refused
    assert_equal "$(cached '"\(.access_token) \(.note)"')" "$token mine"
    snapshot
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    try show --min-ttl 2h
    assert_failed 4
    cache_edit ".expires_at = $((EPOCHSECONDS - 5))"
    try show
    assert_failed 4
    assert_requests 1 login
    assert_equal "$(cached .unattended_login)" refused
    try_login 'wrong' # a failing login clears nothing
    assert_failed 4
    assert_equal "$(cached .unattended_login)" refused
    try_login 'new horse'
    assert_done
    assert_equal "$(cached 'has("unattended_login")')" false
}

@test "an unattended login is sent once a run, and again after a pause that doubles from a minute to an hour" {
    local answer logins=0 pause=60 token
    with_source
    token="$(cached_token)"
    server_config '{"refresh_window":0}'
    server_script login '{"drop":"no_answer_processed"}' '{"status":500}' '{"status":302}' '{"body":"<html>"}' \
        '{"status":429}' '{"status":408}' '{"status":502}' '{"status":504}'
    for answer in 5 5 6 6 5 5 5 5; do
        try refresh
        assert_failed "$answer"
        assert_requests $((logins += 1)) login
        assert_equal "$(cached '"\(.unattended_login) \(.retry_at - .retry_noted_at)"')" "failed $pause"
        try refresh # it is too early
        assert_failed 5
        assert_stderr_has 'the last unattended login failed: the next one is for after'
        assert_requests "$logins" login
        cache_edit ".retry_at -= $pause | .retry_noted_at -= $pause"
        pause=$((pause < 1800 ? 2 * pause : 3600))
    done
    assert_requests 2 refresh # both forms, once
    assert_equal "$(cached_token)" "$token"
    try refresh
    assert_done
    assert_equal "$(cached '[has("unattended_login"), has("retry_at")] | any')" false
}

# ----------------------------------------------------------------------------------------------- answers

# What each answer means: the expected status and the scripted answer.
ANSWERS='
4 {"json":{"success":false,"message":"Token has expired"}}
4 {"merge":{"success":null}}
4 {"status":400}
4 {"status":401,"json":{"success":false,"message":"Token has expired and can no longer be refreshed"}}
4 {"status":403,"body":"<html>forbidden</html>"}
4 {"status":422}
5 {"status":500,"json":{"message":"Server Error"}}
5 {"status":502,"body":"<html>bad gateway</html>"}
5 {"status":504}
6 {"status":404}
6 {"status":405}
6 {"status":302,"headers":{"Location":"/v1/other"}}
6 {"status":307,"headers":{"Location":"/v1/other"}}
6 {"status":999}
6 {"json":{}}
6 {"json":[]}
6 {"body":"<html>welcome</html>"}
6 {"json":{"success":true,"access_token":"a b","expires_in":3600}}
6 {"json":{"success":true,"access_token":"abc","expires_in":-1}}
6 {"raw":"SSH-2.0-OpenSSH_9.2\r\n"}
5 {"drop":"before"}'

@test "a signal while a refresh is under way: its answer is stored, then 128+N" {
    for name in TERM HUP; do
        with_token
        old="$(cached_token)"
        server_script refresh '{"hold":true}'
        background servetel-auth refresh
        retry_until 20 has_requests refresh 1
        kill -s "$name" "$BG_PID"
        server_release # the answer is waited for, for two seconds
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$name $status" "$name $((128 + $(kill -l "$name")))"
        [ "$(cached_token)" != "$old" ] || fail_with "the new token is lost"
        token_works "$(cached_token)"
        server_reset
    done
}

@test "a signal does not wait long for an answer that does not come" {
    with_token
    snapshot
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 10m
    retry_until 20 has_requests refresh 1
    kill -s TERM "$BG_PID"
    retry_until 20 is_gone "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    assert_unchanged
}

@test "a signal before a refresh is sent: it is not sent" {
    needs_strace
    with_token
    snapshot
    capture strace -o /dev/null -e trace=connect -e inject=connect:signal=TERM servetel-auth refresh \
        --retries 0
    assert_status 143
    assert_stderr_empty
    assert_requests 0 refresh
    assert_unchanged
}

@test "each answer of the service has its exit code, and of the failures only a refusal is written down" {
    local expected answer answers=() wrong=()
    while read -r expected answer; do
        answers+=("$answer")
    done <<<"${ANSWERS#?}"
    with_token
    cache_edit .
    snapshot
    server_script refresh "${answers[@]}"
    while read -r expected answer; do
        try refresh --auth-scheme raw
        [ "$status" = "$expected" ] && assert_stdout_empty && [ -n "$stderr" ] ||
            wrong+=("$answer: expected $expected, got $status: $output$stderr")
        [ "$expected" != 4 ] || without_refusal
        assert_unchanged
    done <<<"${ANSWERS#?}"
    [ ${#wrong[@]} -eq 0 ] || fail_with "the wrong meaning" "${wrong[@]}"
    assert_requests "${#answers[@]}"
    assert_requests 0 other
    assert_no_secret
}

# ---------------------------------------------------------------------------------------- asked to wait

@test "429 and 503 with a Retry-After within the time left are waited for" {
    local code
    for code in 429 503; do
        server_reset
        with_token
        server_script refresh "{\"status\":$code,\"headers\":{\"Retry-After\":\"1\"}}"
        try refresh
        assert_done
        assert_equal "$(server_log '"\(map(.status)) \(.[1].time - .[0].time >= 0.9)"')" \
            "[$code,200] true"
        assert_equal "$(cached 'has("retry_at")')" false
        token_works "$(cached_token)"
    done
}

@test "without Retry-After no refresh is repeated: 429, 503, 500, 502, 504, 408" {
    local answer count=0
    with_token '.auth_scheme = "raw"'
    snapshot
    for answer in 429 503 500 502 504 408; do
        server_script refresh "{\"status\":$answer}"
        try refresh --retries 5
        assert_failed 5 "$answer"
        assert_requests $((count += 1))
    done
    assert_unchanged
}

@test "a Retry-After beyond the time left is 5, remembered, and kept to: nothing is sent before" {
    local answer
    for answer in '{"status":429,"headers":{"Retry-After":"120"}}' \
        "{\"status\":503,\"json\":{\"retry_after\":\"$(TZ=IST-5:30 date -d '+2 minutes' '+%F %T')\"}}"; do
        server_reset
        with_source '.note = 1'
        server_script refresh "$answer"
        try refresh
        assert_failed 5 "$answer"
        [[ "$stderr" =~ 2\ min|1[12][0-9]\ s ]] || fail_with_run "does not say how long"
        assert_about "$(cached .retry_at)" $((EPOCHSECONDS + 120))
        assert_equal "$(cached .note)" 1
        snapshot
        try refresh
        assert_failed 5
        try show
        assert_done # it still lasts
        assert_requests 1
        assert_unchanged
        cache_edit ".retry_at = $((EPOCHSECONDS - 1))"
        try refresh
        assert_done
        assert_requests 2
        assert_equal "$(cached 'has("retry_at")')" false
    done
}
