#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# exec: what it says while it keeps a token fresh, to people and to the program.
# shellcheck disable=SC2016 # what is in single quotes is the program's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load exec_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# has_said COUNT REGEX: the keeper, so often.
has_said() { [ "$(grep -cE -- "$2" "$BG_ERR")" = "$1" ]; }

token_ended() { servetel-auth status --json 2>/dev/null | jq -e '.profiles[0].expires_in == 0' >/dev/null; }

# ------------------------------------------------------------------------------------------------------- to people

@test "a service that is away: profile, time left, next try; then the end, then the recovery, each once" {
    gate_start
    server_config '{"ttl":9}'
    login -p sales --api-url "$GATE"
    unset SERVETEL_API_URL
    export SERVETEL_PROFILE=sales
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    gate_shut
    retry_until 30 says "$BG_ERR" 'warning: sales: cannot .*; time left: [1-9] s, next try: in [1-9][0-9]* s$'
    [ -s "$path" ]
    retry_until 30 says "$BG_ERR" 'warning: sales: the token has ended, and there is no new one yet$'
    retry_until 30 says "$BG_ERR" 'warning: sales: cannot .*; time left: none, next try: in [1-9][0-9]* s$'
    has_said 0 'new token, until'
    gate_open
    retry_until 60 token_file_works "$path"
    retry_until 5 has_said 1 '^servetel-auth: sales: there is a new token, until '
    kill -0 "$(cat started)"
    server_config '{"ttl":3600}'
    has_said 1 'has ended'
}

@test "a renewal that needs a person says so once, and a login is told as the recovery" {
    server_config '{"ttl":4,"refresh_window":1}'
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    retry_until 30 says "$BG_ERR" 'warning: default: .*servetel-auth login; time left: .*, next try: after a login$'
    retry_until 30 says "$BG_ERR" 'the token has ended'
    server_config '{"ttl":3600,"refresh_window":1209600}'
    login
    retry_until 10 says "$path" "$(cached_token)"
    retry_until 5 has_said 1 'there is a new token'
    has_said 1 'after a login'
    has_said 1 'has ended'
}

@test "quiet, none of that is said" {
    server_config '{"ttl":3,"refresh_window":1}'
    login
    background servetel-auth exec -q --keep-fresh -- sh -c "$WAITS"
    retry_until 20 test -s started
    retry_until 20 token_ended
    server_config '{"ttl":3600,"refresh_window":1209600}'
    login
    retry_until 10 says "$(cat path)" "$(cached_token)"
    kill "$BG_PID"
    assert_ends 143
    [ ! -s "$BG_ERR" ]
}

@test "-v says that the token was kept, and how long it lasts" {
    login
    try exec -v -- true
    assert_done
    assert_stderr_has 'default: keep the token: it lasts until '
    try exec -- true
    assert_stderr_empty
}

# --------------------------------------------------------------------------------------------------- to the program

# A program that takes a signal for news, and writes down each token that it finds then.
NEWS='trap "cat \"\$SERVETEL_TOKEN_FILE\" >>news" NAME; echo "$SERVETEL_TOKEN_FILE" >path; echo $$ >started
    while :; do sleep 0.05; done'

@test "--signal tells the program that the new token is in the file" {
    local name told
    login
    for name in USR1 SIGHUP 12; do
        rm -f news started
        background servetel-auth exec --keep-fresh --signal "$name" -- sh -c "${NEWS/NAME/"${name#SIG}"}"
        retry_until 20 test -s started
        told=
        for _ in 1 2; do
            servetel-auth refresh -q
            told+="$(cached_token)"$'\n'
            retry_until 10 says news "$(cached_token)" || fail_with "not told by $name"
        done
        assert_equal "$(cat news)"$'\n' "$told"
        kill "$BG_PID"
        assert_ends 143
    done
    assert_no_token_file
}

@test "--signal with what is no signal, or without --keep-fresh, is 2 before anything is done" {
    local name
    login
    for name in NONE KILL sighup HUP1 -1 0 999 ''; do
        try exec --keep-fresh --signal "$name" -- touch ran
        assert_failed 2 "$name"
        assert_stderr_has --signal
    done
    try exec --signal HUP -- touch ran
    assert_failed 2
    assert_stderr_has --keep-fresh
    [ ! -e ran ]
}

@test "a token file that cannot be written is told once, and written when it can be" {
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    old="$(cat "$path")"
    mkdir "$path.tmp"
    servetel-auth refresh -q
    retry_until 10 says "$BG_ERR" "warning: default: cannot write '.*.token'"
    assert_equal "$(cat "$path")" "$old"
    rmdir "$path.tmp"
    retry_until 10 says "$path" "$(cached_token)"
    has_said 1 'cannot write'
}

# ------------------------------------------------------------------------------------------------ which token it is

@test "a profile that is a link, and is made to lead elsewhere or to be a file, is followed" {
    login -p a
    login -p b
    ln -s a.json "$(cache_file)"
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    for name in b a; do
        ln -sfn "$name.json" "$(cache_file).new"
        mv -f "$(cache_file).new" "$(cache_file)"
        retry_until 10 says "$path" "$(cached_token "$name")" || fail_with "not followed to $name"
    done
    cp -p "$(cache_file b)" "$(cache_file).new"
    mv -f "$(cache_file).new" "$(cache_file)"
    retry_until 10 says "$path" "$(cached_token b)"
    kill "$BG_PID"
    assert_ends 143
    assert_no_token_file
}

@test "what runs in an exec sees no other's token file, and nor do its password commands" {
    local keep
    login
    login -p inner
    export SERVETEL_TOKEN_FILE=/of/an/outer/one
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086 # no option, or one
        try exec --keep-fresh -- servetel-auth exec $keep -p inner -- \
            sh -c 'echo "${SERVETEL_TOKEN_FILE-none}"; echo "$SERVETEL_TOKEN"'
        assert_done
        case $keep in
        '') assert_equal "${output%%$'\n'*}" none ;;
        *) [[ "$output" == *'/.inner.json.exec.'* ]] ;;
        esac
        assert_equal "${output#*$'\n'}" "$(cached_token inner)"
    done
    quietly login -e "$EMAIL" --password-command "echo \"\${SERVETEL_TOKEN_FILE-none}\" >seen; echo '$PW'"
    assert_equal "$(cat seen)" /of/an/outer/one
    make_stale
    server_config '{"refresh_window":0}'
    try exec -- printenv SERVETEL_TOKEN_FILE
    assert_status 1
    assert_stdout_empty
    assert_equal "$(cat seen)" none
}

@test "a clock that is set back while the program runs makes no token last longer" {
    needs_other_clock
    login
    # Two thirds of its life are over in three seconds: then it is renewed.
    cache_edit '.obtained_at = (now | floor) - 1997 | .expires_at = .obtained_at + 3000'
    echo 0 >offset
    CLOCK_OFFSET="$HOME/offset" LD_PRELOAD="$OTHER_CLOCK" keep_fresh sh -c "$WAITS"
    echo -600 >offset
    retry_until 30 has_requests refresh 1
    retry_until 10 says "$(cat path)" "$(cached_token)"
    [ ! -s "$BG_ERR" ]
}

@test "a profile that is another host's by now gives the program nothing" {
    local said
    server_config '{"ttl":12}'
    login
    background servetel-auth exec --keep-fresh --api-url "$API" -- sh -c 'echo "$SERVETEL_TOKEN_FILE" >path; exec sleep 600'
    retry_until 20 test -s path
    said="$BG_ERR"
    hold_lock .servetel-auth/default.lock
    cache_edit '.api_url = "https://other.example/v1" | .access_token = "anothers" | .expires_at += 9999'
    release_lock
    BG_ERR="$said"
    retry_until 40 has_said 1 'the token has ended'
    [ "$(cat "$(cat path)")" != anothers ]
}

@test "a cache that is away for a while and comes back as it was is renewed" {
    server_config '{"ttl":12}'
    login
    background servetel-auth exec --keep-fresh -- sh -c 'echo "$SERVETEL_TOKEN_FILE" >path; exec sleep 600'
    retry_until 20 test -s path
    mv .servetel-auth/default.json away
    retry_until 30 has_said 1 'next try: after a login'
    [ "$(count_requests refresh)" = 0 ]
    mv away .servetel-auth/default.json
    retry_until 30 has_requests refresh 1
    retry_until 30 token_file_works "$(cat path)"
}
