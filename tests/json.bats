#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# --json: the members that the man page names, no fewer and no others, whatever the command and whatever came of it;
# and nothing in them that a terminal or a parser would mind.
# shellcheck disable=SC2016 # $now is jq's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

DEAD=http://127.0.0.1:1/v1 # nobody listens there

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# members HEADING...: what the man page lists under these, sorted.
members() {
    local heading
    for heading; do
        awk -v heading=".Ss $heading" '
            /^\.S[sh]/ { inside = ($0 == heading) }
            inside && $1 == ".It" { print $2; found = 1 }
            END { exit !found }' "$TESTS_DIR/../man/servetel-auth.1" || fail_with "no table: $heading"
    done | sort
}

# assert_members JQ_FILTER HEADING...: each object that the filter finds has exactly those members.
assert_members() {
    local filter=$1 wanted found
    shift
    wanted="$(members "$@")"
    assert_equal "$(wc -l <<<"$output")" 1
    found="$(jq -r "[$filter | keys] | unique | .[] | join(\"\n\")" <<<"$output")"
    [ "$found" = "$wanted" ] ||
        fail_with_run "$TRIED: members and man page differ: $(diff <(echo "$wanted") <(echo "$found"))"
}

EVERY='Members about a profile, of all commands'

assert_refresh() { assert_members . "$EVERY" 'Further members of refresh --json'; }

assert_refresh_all() {
    assert_members . 'Members of refresh --all --json'
    [ "$(json '.profiles | length')" = 0 ] || assert_members '.profiles[]' "$EVERY" 'Further members of refresh --json'
    # What total holds is told in a sentence.
    assert_equal "$(sed -n '/^\.It total/,/^\.It/s/^\.Ql \([a-z_]*\).*/\1/p' "$TESTS_DIR/../man/servetel-auth.1" | sort)" \
        "$(json '.total | keys | join("\n")')"
}

assert_show() { assert_members . "$EVERY" 'Further members of show --json'; }

assert_status_json() {
    assert_members . 'Members of status --json'
    [ "$(json '.profiles | length')" = 0 ] ||
        assert_members '.profiles[]' "$EVERY" 'Further members about a profile of status --json'
}

# try_each CASE: the four commands, for a state of which they need not send anything to succeed or to fail.
try_each() {
    try refresh --min-ttl 1m --json --timeout 5s --retries 0
    assert_refresh
    assert_equal "$(json .exit_code)" "$status"
    try refresh --min-ttl 1m --json --dry-run
    assert_refresh
    assert_equal "$(json .exit_code)" "$status"
    try refresh --min-ttl 1m --all --json --timeout 5s --retries 0
    assert_refresh_all
    assert_equal "$(json .exit_code)" "$status"
    try refresh --min-ttl 1m --all --json --dry-run
    assert_refresh_all
    assert_equal "$(json .exit_code)" "$status"
    try show --json --timeout 5s --retries 0
    assert_show
    assert_equal "$(json .exit_code)" "$status"
    try status --json
    assert_status_json
    assert_equal "$(json .exit_code)" "$status"
}

@test "the members are those of the man page's tables: with a token, a permanent one, and little known" {
    write_cache '.password_file = "/none" | .retry_at = 5 | .unattended_login = "failed" | .password_expires_at = 9'
    try_each
    write_cache 'del(.expires_at)'
    try_each
    write_cache 'del(.expires_at, .email, .api_url, .token_type, .obtained_at, .logged_in_at)'
    try_each
}

@test "the same after a failure: no token, an expired one, a service that is away, a torn file, no HOME" {
    try_each
    write_cache '.expires_at = $now - 900000 | .obtained_at = $now - 1000000 | .refused_at = $now'
    try_each
    unset SERVETEL_API_URL
    write_cache ".expires_at = \$now - 60 | .obtained_at = \$now - 3660 | .api_url = \"$DEAD\""
    try_each
    assert_equal "$(servetel-auth refresh --json --retries 0 2>/dev/null | jq -c '[.action, .exit_code]')" '["failed",5]'
    printf '{"version":1,' >"$(cache_file)"
    try_each
    assert_equal "$(servetel-auth refresh --json 2>/dev/null | jq -c '[.action, .exit_code]')" '["failed",7]'
    SERVETEL_AUTH_DIR="$HOME/file" && export SERVETEL_AUTH_DIR
    touch "$HOME/file"
    try_each
}

@test "the same after a renewal, a login, a refusal, and when a hook fails" {
    with_token
    try refresh --json
    assert_done
    assert_refresh
    assert_equal "$(json '"\(.action) \(.error) \(.would) \(.reason)"')" 'renewed null null null'
    try refresh --json --on-change false
    assert_status 1
    assert_refresh
    assert_equal "$(json .action)" failed
    [[ "$(json .error)" == *'token is stored'* ]]
    with_token '.password_command = "echo correct horse"'
    server_config '{"refresh_window":0}'
    try refresh --all --json
    assert_done
    assert_refresh_all
    assert_equal "$(json '"\(.profiles[0].action) \(.total.logged_in)"')" 'logged_in 1'
    write_cache '.expires_at = $now - 60'
    try show --json
    assert_status 4
    assert_show
    assert_equal "$(json '"\(.access_token) \(.exit_code)"')" 'null 4'
    [ "$(json .error)" = "${stderr#servetel-auth: }" ]
    try refresh --json --rejected-stdin <<<'***'
    assert_status 2
    assert_refresh
    assert_equal "$(json .exit_code)" 2
}

@test "--dry-run --json: what would be done, and why, as for a person" {
    local words would plan
    while read -r plan would; do
        write_cache "$plan"
        try refresh --dry-run --json
        assert_equal "$(json '"\(.action) \(.would) \(.exit_code)"')" "null $would"
        words="$(json .reason)"
        try refresh --dry-run
        assert_stdout_has ": $words"
    done <<'EOT'
. refresh 0
del(.expires_at) keep 0
.token_command="false" run_token_command 0
.refused_at=$now|.password_file="/none" log_in 0
.retry_noted_at=$now|.retry_at=$now+90 wait 5
.refused_at=$now fail 3
EOT
}

@test "an interrupted refresh prints its object too, with the exit status that follows" {
    with_token
    server_config '{"latency":20}'
    background servetel-auth refresh --json
    retry_until 10 has_requests refresh 1
    kill -TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_status 143
    output="$(cat "$BG_OUT")"
    assert_refresh
    assert_equal "$(json '"\(.action) \(.exit_code)"')" 'failed 143'
}

@test "an interrupted refresh --all says with which status it ends, though all that was sent is stored" {
    local name
    for name in a b c d; do write_cache . "$name" "$(server_issue '{}')"; done
    server_script refresh '{"hold":true}'
    background servetel-auth refresh --all --json --jobs 1
    retry_until 10 has_requests refresh 1
    kill -TERM "$BG_PID"
    server_release
    status=0
    wait "$BG_PID" || status=$?
    assert_status 143
    assert_equal "$(jq -c '[.exit_code, .total.renewed, .total.failed, .total.interrupted]' "$BG_OUT")" '[143,1,0,3]'
}

@test "what the service, a token or a file says is valid UTF-8 in JSON, without a control character" {
    local claims nasty
    # ESC, BEL, DEL and C1 as JSON escapes; the same, a broken sequence and a lone byte, raw.
    claims=$'{"a":"\\u001b[31m\\u0007\\u007f\\u009b1m","b\xff":"\x1b[31m\x07\x7f\xc2\x9b1m\xed\xa0\x80\xfe\\"\\\\",\n\t"n":[123456789012345678901,null]}'
    nasty="$(jwt "$claims")"
    write_cache . default "$nasty"
    LC_ALL=C sed -i $'s/"bearer"/"be\x7f\xc2\x9b\xff\\\\u001barer"/' "$(cache_file)"
    for command in 'show --claims' 'show --json' 'status --json' 'refresh --min-ttl 1m --json' \
        'refresh --all --min-ttl 1m --json' 'refresh --dry-run --json'; do
        # shellcheck disable=SC2086 # words
        try $command
        assert_done
        assert_equal "$(wc -l <<<"$output")" 1
        assert_harmless "$output"
        iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null || fail_with_run "not UTF-8: $command"
        jq -e . <<<"$output" >/dev/null || fail_with_run "not JSON: $command"
    done
    try show --json
    assert_equal "$(json '.token_type | explode | tojson')" '[98,101,127,155,65533,27,97,114,101,114]'
    try show --claims
    assert_equal "$(json '.a | explode | tojson')" '[27,91,51,49,109,7,127,155,49,109]'
    [[ "$output" == *'123456789012345678901'* ]] # as it was written, not as a double
    assert_equal "$(json '.["b\ufffd"] | explode | tojson')" \
        '[27,91,51,49,109,7,127,155,49,109,65533,65533,65533,65533,34,92]'
}
