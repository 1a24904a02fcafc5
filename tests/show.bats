#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# show: a token for scripts, renewed when it must be, without the network when it need not be.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC1003 # a backslash before a quote is data
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

DEAD=http://127.0.0.1:1/v1 # nobody listens there

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# lasting SECONDS [OF]: an expression for a token of OF seconds (an hour) with so many left.
lasting() {
    printf '.expires_at = $now + %d | .obtained_at = .expires_at - %d' "$1" "${2:-3600}"
}

# assert_kept: show has printed the token of write_cache.
assert_kept() {
    assert_done
    assert_stdout made-up-default
}

# ------------------------------------------------------------------------------------------ a fresh token

@test "show prints the token and a newline, nothing else, and asks nobody" {
    write_cache
    snapshot
    printf 'made-up-default\n' >"$HOME/expected"
    servetel-auth show >"$HOME/stdout" 2>"$HOME/stderr"
    cmp "$HOME/stdout" "$HOME/expected"
    [ ! -s "$HOME/stderr" ]
    assert_requests 0
    assert_unchanged
    assert_equal "$(ls "$HOME/.servetel-auth")" default.json # no lock for a reader
}

@test "while the token is fresh the service may be down" {
    write_cache ".api_url = \"$DEAD\""
    unset SERVETEL_API_URL
    try show
    assert_kept
    assert_stderr_empty
    try show --min-ttl 50m --json
    assert_done
}

@test "a fresh token is shown without libcurl and OpenSSL being opened" {
    needs_traced_strings
    write_cache
    capture strace -f -e trace=open,openat,socket,connect -o "$HOME/trace" servetel-auth show
    assert_kept
    sed -i '/\.gcda"/d' "$HOME/trace" # what a build for coverage writes at its end
    grep -q 'default\.json' "$HOME/trace" # it does record
    assert_no grep -Eq 'libcurl|libssl|libcrypto|AF_INET' "$HOME/trace"
}

@test "no token cached: 3, and what to do" {
    try show
    assert_failed 3
    assert_stderr_has 'servetel-auth login'
    try show -p work --json
    assert_failed_json 3
    assert_stderr_has work
    try show -f "$HOME/none.json" --format env
    assert_failed 3
    assert_requests 0
}

# ------------------------------------------------------------------------------------------------ renewal

@test "less than 60 seconds: renewed first; more: not" {
    write_cache "$(lasting 70)"
    try show
    assert_kept
    assert_requests 0
    with_token "$(lasting 50)"
    local old
    old="$(cached_token)"
    try show
    assert_done
    assert_stdout "$(cached_token)"
    [ "$output" != "$old" ]
    token_works "$output"
    assert_requests 1 refresh
}

@test "a short-lived token is renewed in the last tenth of its life" {
    write_cache "$(lasting 40 300)"
    try show
    assert_kept
    write_cache "$(lasting 40 100)"
    try show
    assert_kept
    assert_requests 0
    with_token "$(lasting 25 300)"
    try show
    assert_done
    assert_stdout "$(cached_token)"
    assert_requests 1 refresh
}

@test "an expired token is renewed, or a login made with the remembered password" {
    with_token "$(lasting -100)"
    try show
    assert_done
    token_works "$output"
    with_token "$(lasting -100) | .password_command = \"echo '$PW'\""
    server_config '{"refresh_window":0}'
    try show
    assert_done
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_requests 1 login
}

@test "a renewal that fails: the old token with a warning while it is valid, for whatever reason" {
    local answer
    write_cache "$(lasting 50)"
    snapshot
    for answer in '{"status":502}' '{"status":404}' '{"body":"<html>"}' '{"drop":"before"}'; do
        server_script refresh "$answer"
        try show
        assert_kept
        assert_stderr_has warning
    done
    assert_unchanged
    server_script refresh '{"status":401,"repeat":2}'
    assert_requests 4
    for _ in 1 2; do # the second time it is remembered
        try show
        assert_kept
        assert_stderr_has warning
        assert_requests 6
    done
    write_cache "$(lasting 50)"
    move_api "$DEAD"
    snapshot
    try show --retries 0
    assert_kept
    assert_stderr_has warning
    try show --retries 0 -q # only errors
    assert_kept
    assert_stderr_empty
    assert_unchanged
}

@test "a renewal that fails with an expired token: the failure's code, and nothing on stdout" {
    write_cache "$(lasting -5)"
    snapshot
    server_script refresh '{"status":502}' '{"status":404}' '{"status":401}' '{"status":401}'
    try show
    assert_failed 5
    try show --format env
    assert_failed 6
    assert_unchanged
    for _ in 1 2; do # the second time it is remembered
        try show
        assert_failed 4
        assert_stderr_has 'servetel-auth login'
        assert_requests 4
    done
    write_cache "$(lasting -5)"
    move_api "$DEAD"
    snapshot
    try show --retries 0 --json
    assert_failed_json 5
    assert_unchanged
}

# ------------------------------------------------------------------------------------------- the promise

@test "--min-ttl is a promise: renewed for it, and nothing printed when that fails" {
    write_cache "$(lasting 600)"
    snapshot
    try show --min-ttl 9m
    assert_kept
    assert_requests 0
    server_script refresh '{"status":502}' '{"status":302}' '{"status":401}' '{"status":401}'
    try show --min-ttl 11m
    assert_failed 5
    try show --min-ttl 11m
    assert_failed 6
    assert_unchanged
    for _ in 1 2; do # the second time it is remembered
        try show --min-ttl 11m
        assert_failed 4
        assert_requests 4
    done
    with_token "$(lasting 600)"
    try show --min-ttl 11m
    assert_done
    assert_stdout "$(cached_token)"
    token_works "$output"
}

@test "--min-ttl below the usual minute is enough" {
    write_cache "$(lasting 40)"
    try show --min-ttl 20
    assert_kept
    try show --min-ttl 0
    assert_kept
    assert_requests 0
}

@test "--min-ttl beyond what tokens last: 2, how long they do, and the new one is stored" {
    with_token
    local old
    old="$(cached_token)"
    try show --min-ttl 2h
    assert_failed 2
    [[ "$stderr" =~ 60\ min|1\ h|3600\ s ]] || fail_with_run "does not say how long tokens last"
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
    assert_requests 1
    assert_no_secret
}

@test "--min-ttl beyond what an imported token lasts: 3" {
    local now=$EPOCHSECONDS
    try login --token-stdin <<<"$(jwt "{\"iat\":$now,\"exp\":$((now + 90000))}")"
    assert_done
    snapshot
    try show --min-ttl 24h
    assert_done
    try show --min-ttl 26h
    assert_failed 3
    assert_requests 0
    assert_unchanged
}

@test "a permanent token is shown without asking, whatever --min-ttl; one that has expired is 3" {
    write_cache 'del(.expires_at)'
    try show --min-ttl 3000d
    assert_kept
    write_cache "$(lasting -5 300000)"
    try show
    assert_failed 3
    assert_stderr_has 'servetel-auth login'
    assert_requests 0
}

@test "--min-ttl is no whole seconds: a token that began to live before it was had lasts less than its life" {
    local command
    for command in 'show --min-ttl 1h' 'exec --min-ttl 1h -- true'; do
        with_token "$(lasting 5)"
        # shellcheck disable=SC2086 # words
        try $command
        assert_failed 2 "$command"
        assert_stderr_has '--min-ttl asks for more than a new token lasts'
    done
    with_token "$(lasting 1)" # of the second that has begun nobody knows what is left
    try refresh --min-ttl 1s
    assert_done
    assert_stderr_has renewed
    set_life 1
    try show --min-ttl 1s
    assert_done
    assert_requests 4 refresh
}

# ------------------------------------------------------------------------------------------------ --cached

@test "--cached never uses the network: what is valid is shown, what has expired is 3, and none is 3" {
    try show --cached
    assert_failed 3
    write_cache "$(lasting 20)" # stale, but valid
    try show --cached
    assert_kept
    try show --cached --format header
    assert_done
    assert_stdout 'Authorization: Bearer made-up-default'
    write_cache "$(lasting -5) | .password_command = \"touch $HOME/run; echo x\""
    snapshot
    try show --cached
    assert_failed 3
    try show --cached --json
    assert_failed_json 3
    assert_requests 0
    assert_unchanged
    [ ! -e "$HOME/run" ]
}

# ----------------------------------------------------------------------------------------------- formats

@test "--format header is for curl -H @-" {
    with_token
    try show --format header
    assert_done
    assert_stdout "Authorization: Bearer $(cached_token)"
    assert_stderr_empty
    servetel-auth show --format header | curl -q -sS --fail --noproxy '*' -H @- "$API/me" |
        jq -e --arg email "$EMAIL" '.user == $email'
}

@test "--format curl is for curl -K -" {
    with_token
    servetel-auth show --format curl | curl -q -sS --fail --noproxy '*' -K - "$API/me" |
        jq -e --arg email "$EMAIL" '.user == $email'
    assert_equal "$(header authorization)" "Bearer $(cached_token)"
    # What would end curl's quotes early.
    write_cache '.access_token = "a\"b\\c"'
    servetel-auth show --format curl | curl -q -sS --noproxy '*' -o /dev/null -K - "$API/me"
    assert_equal "$(header authorization)" 'Bearer a"b\c'
    # Whole, though curl forgives a quote that is not closed.
    try show --format curl
    assert_stdout 'header = "Authorization: Bearer a\"b\\c"'
}

@test "--format env is for eval" {
    write_cache
    try show --format env
    assert_done
    assert_stdout "export SERVETEL_TOKEN='made-up-default'"
    # What would end the shell's quotes early, and be run then.
    local token="a';>x;#\"\\\$(>x)\`>x\`"
    write_cache "$(jq -rn --arg token "$token" '".access_token = \($token | tojson)"')"
    (
        eval "$(servetel-auth show --format env)"
        [ ! -e x ] || fail_with "a part of the token was run"
        assert_equal "$(sh -c 'printf %s "$SERVETEL_TOKEN"')" "$token"
    )
}

@test "--format token is the default; --no-newline leaves out the newline, of any format" {
    write_cache
    try show --format token
    assert_kept
    servetel-auth show --no-newline >"$HOME/out"
    assert_equal "$(wc -c <"$HOME/out")" 15
    servetel-auth show --no-newline --format header >"$HOME/out"
    assert_equal "$(cat "$HOME/out" && echo .)" 'Authorization: Bearer made-up-default.'
}

@test "--json: the token with what is known about it" {
    write_cache "$(lasting 1800)"
    try show --json
    assert_done
    assert_stderr_empty
    assert_equal "$(json 'del(.expires_at, .expires_in) | tojson | fromjson |
        "\(.access_token) \(.profile) \(.token_type) \(.api_url) \(.email)"')" \
        "made-up-default default bearer $API $EMAIL"
    assert_equal "$(json .expires_at)" "$(cached .expires_at)"
    assert_about "$(json .expires_in)" 1800
    write_cache 'del(.expires_at) | del(.email) | del(.token_type)' work
    try show --json -p work
    assert_done
    assert_equal "$(json '"\(.access_token) \(.profile) \(.expires_at) \(.expires_in)"')" \
        'made-up-work work null null'
}

@test "--claims: the payload as JSON; a token without one is a failure" {
    local claims='{"iat":1700000000,"exp":4102444800,"sub":"???>>>~~~~","n":[1,{"a":null}]}'
    write_cache ".access_token = \"$(jwt "$claims")\""
    try show --claims
    assert_done
    assert_stderr_empty
    assert_equal "$(json 'tojson')" "$(jq -r tojson <<<"$claims")"
    [[ "$(jwt "$claims")" == *_* ]] # the payload has base64url's own letters, else it proves less
    for claims in '"text"' '{"iat":' ''; do
        write_cache ".access_token = \"$(jwt "$claims")\""
        try show --claims
        [ "$status" != 0 ]
        assert_stdout_empty
        [ -n "$stderr" ]
    done
    write_cache '.access_token = "opaque"'
    try show --claims
    [ "$status" != 0 ]
    assert_stdout_empty
}

@test "claims with control characters are printed as JSON escapes" {
    write_cache ".access_token = \"$(jwt '{"sub":"a\u001b[31m\u009b1m\u007f"}')\""
    try show --claims
    assert_done
    assert_harmless "$output"
    assert_equal "$(json '.sub | explode | tojson')" '[97,27,91,51,49,109,155,49,109,127]'
}

@test "a new token that is not surely on the disk is 7, and the old one, which is spent, is not shown" {
    needs_strace
    with_token "$(lasting 5)"
    capture strace -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO servetel-auth show
    assert_failed 7
    assert_requests 1 refresh
    try show --cached
    assert_done
    token_works "$output"
}

@test "an ignored SIGCHLD, as some daemons leave it, does not hide how a command ended" {
    write_cache "$(lasting 5) | .token_command = \"echo $(jwt "{\"exp\":$((EPOCHSECONDS + 3600))}")\""
    capture "$TESTS_PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execvp(sys.argv[1], sys.argv[1:])' servetel-auth show
    assert_done
    assert_stderr_empty
}
