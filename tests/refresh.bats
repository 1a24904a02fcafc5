#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh: what is sent and in which form, when nothing is, and what is kept.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's

load helper
load refresh_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ----------------------------------------------------------------------------------------- what goes out

@test "refresh sends the documented request, and nothing else" {
    with_token
    local token
    token="$(cached_token)"
    try refresh
    assert_done
    assert_requests 1
    assert_equal "$(server_log '.[0] | "\(.method) \(.path) \(.body)."')" 'POST /v1/auth/refresh .'
    assert_equal "$(server_log '.[0].headers | map(.[0] | ascii_downcase) | sort | join(" ")')" \
        'accept authorization content-length host user-agent'
    assert_equal "$(header authorization)" "$token" # no scheme before it
    assert_equal "$(header accept)" application/json
    assert_equal "$(header content-length)" 0
}

@test "a renewed token is stored, with its times; the first login's stays" {
    local old now=$EPOCHSECONDS
    with_token '.logged_in_at = $now - 600 | .obtained_at = $now - 600 | .expires_at = $now + 3000'
    old="$(cached_token)"
    try refresh
    assert_done
    assert_stdout_empty
    assert_stderr_has renewed
    assert_stderr_has "$(date -d "@$(cached .expires_at)" '+%H:%M')"
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
    assert_no token_works "$old"
    assert_about "$(cached .expires_at)" $((now + 3600))
    assert_about "$(cached .obtained_at)" "$now"
    assert_about "$(cached .logged_in_at)" $((now - 600))
    assert_equal "$(cached .email)" "$EMAIL"
    assert_equal "$(mode_of "$(cache_file)")" 600
    assert_no_secret
}

@test "an expired token is exchanged too" {
    with_token '.expires_at = $now - 86400 | .obtained_at = $now - 90000'
    try refresh
    assert_done
    token_works "$(cached_token)"
    assert_endpoints refresh
}

# ---------------------------------------------------------------------------------- kept, renewed, logged in

@test "--min-ttl: while the token lasts longer nothing is sent, and stderr and --json say kept" {
    write_cache '.expires_at = $now + 600'
    snapshot
    try refresh --min-ttl 9m
    assert_done
    assert_stdout_empty
    assert_stderr_has kept
    try refresh --min-ttl 9m --json
    assert_done
    assert_equal "$(json .action)" kept
    assert_about "$(json .expires_in)" 600
    assert_equal "$(json .expires_at)" "$(cached .expires_at)"
    assert_requests 0
    assert_unchanged
    with_token '.expires_at = $now + 600'
    try refresh --min-ttl 11m
    assert_done
    assert_stderr_has renewed
    assert_requests 1
}

@test "--json says renewed, or logged_in, in one line, and holds no token" {
    with_token
    try refresh --json
    assert_done
    assert_equal "$(json .action)" renewed
    assert_equal "$(json .profile)" default
    assert_equal "$(json .expires_at)" "$(cached .expires_at)"
    assert_equal "$(wc -l <<<"$output")" 1
    assert_no_secret
    with_source
    server_config '{"refresh_window":0}'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    token_works "$(cached_token)"
    assert_no_secret
}

@test "--print prints the token that results, and nothing else, on stdout" {
    write_cache
    try refresh --min-ttl 5m --print
    assert_done
    assert_stdout made-up-default
    with_token
    try refresh --print
    assert_done
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_stderr_lacks "$output"
}

@test "without a cached token: 3, nothing is sent, no file is made" {
    try refresh
    assert_failed 3
    assert_stderr_has 'servetel-auth login'
    try refresh --json -p work
    assert_failed_json 3
    assert_stderr_has work
    assert_requests 0
    assert_no compgen -G "$HOME/.servetel-auth/*.json"
}

# ------------------------------------------------------------------------------------ the header's form

@test "the raw form goes first, and what worked is remembered" {
    with_token
    try refresh
    assert_done
    assert_equal "$(forms)" raw
    assert_equal "$(cached .auth_scheme)" raw
}

@test "a service that wants Bearer gets it at the second try, and first from then on" {
    server_config '{"header":"library"}'
    with_token
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(cached .auth_scheme)" bearer
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer bearer'
    token_works "$(cached_token)"
}

@test "a remembered form that the service no longer takes costs one login, and then the other has its turn" {
    with_source '.auth_scheme = "raw"'
    server_config '{"header":"library","uncaught":true}' # 500 to whatever it cannot read
    try refresh
    assert_done
    assert_endpoints 'refresh login'
    try refresh
    assert_done
    try refresh
    assert_done
    assert_endpoints 'refresh login refresh refresh'
    assert_equal "$(forms)" 'raw bearer bearer'
    assert_equal "$(cached .auth_scheme)" bearer
}

@test "a form that a lost answer or a blacklisted token has met stays the one that worked" {
    with_source '.auth_scheme = "bearer"'
    server_script refresh '{"drop":"no_answer_processed"}' \
        '{"status":401,"json":{"message":"The token has been blacklisted"}}'
    for _ in 1 2; do
        try refresh
        assert_done
        assert_equal "$(cached .auth_scheme)" bearer
    done
    assert_equal "$(forms)" 'bearer bearer'
}

@test "a 200 that says that the token was not parsed is answered with the other form" {
    with_token '.auth_scheme = "raw"'
    server_script refresh '{"json":{"success":false,"message":"Token could not be parsed from the request."}}'
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(cached .auth_scheme)" bearer
}

@test "of two refusals the first that is not about parsing is told, and remembered" {
    local parsed='{"status":400,"json":{"message":"Token could not be parsed from the request."}}'
    local real='{"status":401,"json":{"message":"Token has expired and can no longer be refreshed"}}'
    for answers in "$parsed,$real" "$real,$parsed" "$parsed,$parsed"; do
        server_reset
        with_token
        server_script refresh "$answers"
        try refresh
        assert_failed 4 "$answers"
        [[ $answers != *expired* || "$stderr" == *'can no longer be refreshed'* ]] || fail_with_run "$answers"
        try refresh
        assert_failed 4 "$answers"
        assert_requests 2
        without_refusal
    done
    try refresh --auth-scheme raw
    assert_done
}

@test "--auth-scheme: that form and no other" {
    with_token '.auth_scheme = "bearer"'
    server_config '{"header":"library"}'
    snapshot
    try refresh --auth-scheme raw
    assert_failed 4
    assert_unchanged
    server_config '{"uncaught":true}'
    try refresh --auth-scheme raw
    assert_failed 5
    try refresh --auth-scheme bearer
    assert_done
    assert_equal "$(forms)" 'raw raw bearer'
}

# ----------------------------------------------------------------------------------------- permanent tokens

@test "a permanent token is never sent: kept while it lasts" {
    with_source 'del(.expires_at)'
    snapshot
    try refresh --json
    assert_done
    assert_equal "$(json .action)" kept
    assert_equal "$(json '.expires_at // "none"')" none
    try refresh
    assert_done
    assert_stderr_has kept
    assert_unchanged
    with_source '.expires_at = $now + 90000' # 25 hours after it was obtained
    try refresh
    assert_done
    assert_stderr_has kept
    with_source '.expires_at = $now + 300000000'
    try refresh --min-ttl 1h
    assert_done
    assert_stderr_has kept
    assert_requests 0
    with_token '.expires_at = $now + 80000' # 22 hours: not one
    try refresh
    assert_done
    assert_endpoints refresh
}

@test "a permanent token that has expired: the password source, else 3" {
    with_token '.obtained_at = $now - 200000 | .expires_at = $now - 5'
    snapshot
    try refresh
    assert_failed 3
    assert_requests 0
    assert_unchanged
    with_source '.obtained_at = $now - 200000 | .expires_at = $now - 5'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_endpoints login
}

# -------------------------------------------------------------------------------------------- what is kept

@test "members that the program does not know survive, in every kind" {
    with_token '. + {note: "kl\u00e4r \"x\"", more: {a: [1, -2.5, true, null, {}], b: ""}}'
    local before
    before="$(cached '[.note, .more] | tojson')"
    try refresh
    assert_done
    assert_equal "$(cached '[.note, .more] | tojson')" "$before"
}

@test "a number that the program does not know survives, to fifteen digits" {
    with_token '.more = 900719925474099'
    try refresh
    assert_done
    assert_equal "$(cached .more)" 900719925474099
}

@test "token_type is the answer's" {
    with_token
    server_config '{"token_type":"MAC"}'
    try refresh
    assert_done
    assert_equal "$(cached .token_type)" MAC
}

@test "the service's clock does not matter" {
    local skew expires_in
    for skew in 7200 -7200; do
        for expires_in in 3600 null; do
            server_config "{\"claims_skew\":$skew,\"expires_in\":$expires_in}"
            with_token
            try refresh
            assert_done
            assert_about "$(cached .expires_at)" $((EPOCHSECONDS + 3600))
        done
    done
}

@test "iat is the first login's: without expires_in and nbf it does not make a token last for days" {
    local now=$EPOCHSECONDS token
    with_token
    token="$(jwt "{\"iat\":$((now - 300000)),\"exp\":$((now + 3600))}")"
    server_script refresh "{\"omit\":[\"expires_in\"],\"merge\":{\"access_token\":\"$token\"}}"
    try refresh
    assert_done
    assert_equal "$(cached_token)" "$token"
    assert_about "$(cached .expires_at)" $((now + 3600))
}

@test "expires_in is read as at login: a numeric string, and the claims without it" {
    local now=$EPOCHSECONDS
    with_token
    server_script refresh '{"merge":{"expires_in":"1200"}}' '{"omit":["expires_in"]}' \
        '{"merge":{"expires_in":0,"access_token":"opaque"}}'
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 1200))
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 3600))
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 3600))
}
