#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# login with a token from elsewhere: what is taken for one, and for how long it lasts.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC1003 # a backslash before a quote is data
# shellcheck disable=SC2153 # EMAIL is helper.bash's
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ------------------------------------------------------------------------------------- tokens from elsewhere

@test "--token-stdin: Bearer and white space are stripped, nothing is sent" {
    local text
    for text in abc.def $'abc.def\n' 'Bearer abc.def' $'  Bearer \t abc.def \r\n' $'\n\nabc.def\n\n'; do
        try login --token-stdin <<<"$text"
        assert_done "$(printf %q "$text")"
        assert_stdout_empty
        assert_stderr_lacks abc.def
        assert_equal "$(cached_token)" abc.def
        rm "$(cache_file)"
    done
    assert_requests 0
}

@test "--token-stdin: what is masked, unprintable, too long or empty is 2" {
    local text long
    long="$(printf '0123456789abcdef%.0s' {1..1024})"
    write_cache
    snapshot
    for text in '***' 'eyJ0***xyz' 'Bearer ***' 'abc def' $'abc\ndef' 'ab\001c' 'tök' $'a\xffb' \
        '' ' ' Bearer "${long}x"; do
        # shellcheck disable=SC2059 # the escapes are the point
        try login --token-stdin < <(printf "$text\n")
        assert_failed 2 "$(printf %q "${text:0:40}")"
        [ -z "$text" ] || [ "${#text}" -lt 8 ] || assert_stderr_lacks "$text"
    done
    try login --token-stdin < <(printf 'a\0b\n')
    assert_failed 2
    assert_unchanged
    try login --token-stdin <<<"$long" # 16384 characters
    assert_done
    assert_equal "$(cached_token)" "$long"
}

@test "--token-stdin: the exp claim is the expiry; without one the token is permanent" {
    local now=$EPOCHSECONDS
    try login --token-stdin <<<"$(jwt "{\"iat\":$now,\"exp\":$((now + 1800))}")"
    assert_done
    assert_stderr_has "$(date -d "@$((now + 1800))" '+%H:%M')"
    assert_equal "$(cached .expires_at)" $((now + 1800))
    assert_about "$(cached .obtained_at)" "$now"
    try login --token-stdin <<<"$(jwt "{\"iat\":$now}")"
    assert_done
    assert_equal "$(cached 'has("expires_at")')" false
    try login --token-stdin <<<opaque-token
    assert_done
    assert_equal "$(cached 'has("expires_at")')" false
    # Nine and a half years: beyond 2^31.
    try login --token-stdin <<<"$(jwt "{\"iat\":$now,\"exp\":$((now + 300000000))}")"
    assert_done
    assert_equal "$(cached .expires_at)" $((now + 300000000))
    assert_requests 0
}

@test "--token-command: the first line that it prints, remembered, never the API" {
    try login --token-command 'echo "Bearer first-token"; echo second'
    assert_done
    assert_stdout_empty
    assert_stderr_lacks first-token
    assert_equal "$(cached_token)" first-token
    assert_equal "$(cached .token_command)" 'echo "Bearer first-token"; echo second'
    try login --token-command 'echo abc; exit 1'
    assert_failed 7
    try login --token-command 'true'
    [ "$status" != 0 ]
    assert_equal "$(cached_token)" first-token
    assert_requests 0
}

@test "a token that is not to be cached is printed, whatever is cached and not published yet" {
    write_cache '.publication = "pending"' default "$(jwt "{\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + 900))}")"
    snapshot
    try login --token-stdin --no-cache <<<"$(jwt '{"nbf":5,"exp":99}')"
    assert_status 0
    assert_stdout "$(jwt '{"nbf":5,"exp":99}')"
    assert_unchanged
}

@test "a login at another host does not take the token command along" {
    quietly login --token-command 'echo abc.def' --api-url http://127.0.0.1:9/v1
    snapshot
    capture setsid -w servetel-auth login --api-url "$API"
    assert_failed 2
    assert_stderr_has 'no login ID was given'
    assert_unchanged
}

@test "a password file that comes with a token is looked at as with a login" {
    printf '%s\n' "$PW" >"$HOME/pw"
    chmod 644 "$HOME/pw"
    try login --token-stdin --password-file pw -e "$EMAIL" <<<abc.def
    assert_done
    assert_stderr_has "others can read the password file: chmod 600 pw"
    assert_equal "$(cached .password_file)" "$HOME/pw"
    assert_no_secret
    try login --token-stdin --forget-source --password-file <(echo "$PW") -e "$EMAIL" <<<abc.ghi
    assert_done
    assert_equal "$(cached .password_file)" null
    try login --token-stdin --password-file none -e "$EMAIL" <<<abc.jkl
    assert_failed 7
    assert_stderr_has "'none'"
    assert_equal "$(cached_token)" abc.ghi
    assert_requests 0
}

@test "a profile with a token command is renewed by it, and by nothing else" {
    local now=$EPOCHSECONDS left old new
    new="$(jwt "{\"iat\":$now,\"exp\":$((now + 3600))}")"
    for left in 50 -5; do
        old="$(jwt "{\"exp\":$((now + left))}")"
        write_cache ".expires_at = $((now + left)) | .obtained_at = $((now + left - 3600)) |
            .token_command = \"cat $HOME/token\"" default "$old"
        snapshot
        echo "$old" >"$HOME/token" # no fresher than the cached one
        try refresh
        assert_failed 5
        try show --min-ttl 5m
        assert_failed 5
        assert_unchanged
        echo "$new" >"$HOME/token"
        try show
        assert_done
        assert_stdout "$new"
        assert_equal "$(cached_token)" "$new"
    done
    assert_requests 0
}
