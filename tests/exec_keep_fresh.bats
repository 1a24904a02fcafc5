#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# exec --keep-fresh: a file that always holds a token that is valid.
# shellcheck disable=SC2016 # what is in single quotes is the program's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load exec_helper

setup_file() {
    server_start
    write_programs
}

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# --------------------------------------------------------------------------------------------------- --keep-fresh

@test "the token file is there before the program starts: private, with the token of the environment" {
    login
    try exec --keep-fresh -- sh -c '
        cat "$SERVETEL_TOKEN_FILE"
        ls -ld "$SERVETEL_TOKEN_FILE" | cut -c1-10
        ls -ld "$(dirname "$SERVETEL_TOKEN_FILE")" | cut -c1-10
        test "$(cat "$SERVETEL_TOKEN_FILE")" = "$SERVETEL_TOKEN" && echo same
        case $SERVETEL_TOKEN_FILE in /*) echo absolute ;; esac'
    assert_done
    assert_stdout "$(cached_token)"$'\n-rw-------\ndrwx------\nsame\nabsolute'
    assert_stderr_empty
    assert_no_token_file
}

@test "the file is private whatever the umask, and found after a change of directory" {
    login
    umask 000
    export SERVETEL_AUTH_DIR=elsewhere
    login
    try exec --keep-fresh -- sh -c 'cd /; ls -l "$SERVETEL_TOKEN_FILE" | cut -c1-10'
    assert_done
    assert_stdout '-rw-------'
    capture find elsewhere -type f ! -name '*.json' ! -name '*.lock'
    assert_stdout_empty
}

@test "the file is renewed by rename: a reader never finds it empty, cut or absent" {
    server_config '{"ttl":3}'
    login
    try exec --keep-fresh -- "$TESTS_PYTHON" "$(program watcher)"
    assert_done
    assert_stdout 'contents 3, inodes 3'
    assert_no_token_file
}

@test "through five lives of a token what the file holds always works" {
    server_config '{"ttl":3}'
    login
    try exec --keep-fresh -- "$TESTS_PYTHON" "$(program caller)" 16 "$API_PORT"
    assert_done
    assert_stderr_empty
    printf '# %s\n' "$output" >&3
    tokens="$(sed -n 's/.*tokens \([0-9]*\).*/\1/p' <<<"$output")"
    [ "$tokens" -ge 5 ]
    assert_no_token_file
    # The service has seen no more renewals than that, and refused none.
    assert_equal "$(server_stats refused)" 0
    assert_requests 1 login
}

@test "a token with a remembered password is kept fresh past the end of its renewal" {
    (umask 077 && printf '%s\n' "$PW" >pw)
    server_config '{"ttl":3,"refresh_window":7}'
    servetel-auth login -q -e "$EMAIL" --password-file pw
    try exec --keep-fresh -- "$TESTS_PYTHON" "$(program caller)" 15 "$API_PORT"
    assert_done
    assert_stderr_empty
    [ "$(count_requests login)" -ge 2 ]
}

@test "what another process renews is picked up" {
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    ours="$(cached_token)"
    for _ in 1 2 3; do
        servetel-auth refresh -q
        retry_until 5 says "$path" "$(cached_token)"
        ours+=" $(cached_token)"
    done
    assert_equal "$(cat "$path")" "$(cached_token)"
    # The keeper saw no need of its own. (A renewal that an earlier test left under way may be in the log.)
    assert_equal "$(server_log | jq --arg ours "$ours" '[.[] | select(.endpoint == "refresh") | .headers[] |
        select(.[0] == "Authorization") | .[1] as $token | select($ours | contains($token))] | length')" 3
}

@test "a service that answers 500 and 503 for a while is outlived as well" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"status":503}' '{"status":503}' '{"status":500}'
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    retry_until 40 has_requests refresh 4
    says "$BG_ERR" 'next try: in 5 s$' && says "$BG_ERR" 'next try: in 10 s$'
    retry_until 30 token_file_works "$path"
    kill -0 "$(cat started)"
}

@test "a logout meanwhile leaves the program what it has, and brings no cache back" {
    server_config '{"ttl":4}'
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    servetel-auth logout -q
    retry_until 20 says "$BG_ERR" warning # a renewal has found nothing
    [ -s "$path" ]
    kill -0 "$(cat started)"
    kill "$(cat started)"
    assert_ends 143
    [ ! -e "$path" ]
    [ ! -e "$(cache_file)" ]
    assert_no_token_file
}

@test "a login after that is picked up" {
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    servetel-auth logout -q
    login
    retry_until 5 says "$path" "$(cached_token)"
}

@test "the file is removed when the program ends, however it does" {
    login
    keep_fresh sh -c "$WAITS"
    [ -s "$(cat path)" ]
    kill -9 "$(cat started)"
    assert_ends 137
    [ ! -e "$(cat path)" ]
    assert_no_token_file
}

@test "what a keeper that was killed left behind is removed by the next one" {
    login
    keep_fresh sh -c "$WAITS"
    left="$(cat path)"
    child="$(cat started)"
    kill -9 "$BG_PID"
    wait "$BG_PID" || true
    [ -e "$left" ]
    try exec --keep-fresh -- sh -c 'cat "$SERVETEL_TOKEN_FILE"'
    assert_done
    assert_stdout "$(cached_token)"
    [ ! -e "$left" ]
    assert_no_token_file
    stop_pid "$child"
}

@test "what a killed keeper left is removed by login, refresh and logout too, and nothing else is" {
    local left child also other name pid
    login
    login -p other
    keep_fresh sh -c "$WAITS"
    left="$(cat path)" child="$(cat started)"
    kill -9 "$BG_PID"
    wait "$BG_PID" || true
    rm path started
    keep_fresh sh -c "$WAITS" # removes that one: what lives is in use, what is left is made by hand
    [ ! -e "$left" ] && [ ! -e "${left%.token}" ]
    pid="$BG_PID"
    cd .servetel-auth
    other=.other.json.exec.0123cdef
    for name in 'login -q' 'refresh -q' 'logout -q' 'refresh -q --all' 'logout -q --all --yes'; do
        left=.default.json.exec.0123abcd
        touch "$left" "$left.token" "$left.token.tmp" "$other" "$other.token"
        touch .default.json.exec.12 .default.json.exec.0123abcx .exec.0123abcd x.default.json.exec.0123abcd
        case $name in
        login*) login ;;
        logout*) login -p more ;;&
        *) # shellcheck disable=SC2086 # words
            servetel-auth $name ;;
        esac
        for also in "$left" "$left.token" "$left.token.tmp"; do
            [ ! -e "$also" ] || fail_with "$name left $also"
        done
        case $name in
        *--all*) [ ! -e "$other" ] && [ ! -e "$other.token" ] ;;
        *) [ -e "$other" ] && [ -e "$other.token" ] ;;
        esac
        for also in .default.json.exec.12 .default.json.exec.0123abcx .exec.0123abcd x.default.json.exec.0123abcd; do
            [ -e "$also" ] || fail_with "$name removed $also"
        done
        [ -s "$(cat "$HOME/path")" ] || fail_with "$name removed what is in use"
        [ -e "$(cache_file)" ] || login
    done
    kill "$(cat "$HOME/started")"
    retry_until 10 is_gone "$pid"
    stop_pid "$child"
    [ ! -e "$(cat "$HOME/path")" ]
}

@test "what is left beside a cache that is a link is removed there, and in the profiles' directory" {
    local name left
    for name in 'logout -q --all --yes' 'logout -q' 'refresh -q --all'; do
        rm -rf elsewhere .servetel-auth
        mkdir -m 700 elsewhere .servetel-auth
        ln -s ../elsewhere/default.json .servetel-auth/default.json
        login
        left="elsewhere/.default.json.exec.0123abcd .servetel-auth/.p.json.exec.0123abcd"
        # shellcheck disable=SC2086 # words
        touch $left
        # shellcheck disable=SC2086
        servetel-auth $name
        [ ! -e "${left% *}" ] || fail_with "$name left ${left% *}"
        case $name in
        *--all*) [ ! -e "${left#* }" ] || fail_with "$name left ${left#* }" ;;
        esac
    done
}

@test "a signal to the renewal in the background is not the program's" {
    local renewer
    server_config '{"ttl":8}'
    login
    server_script refresh '{"hang":true}'
    background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
    retry_until 20 says "$BG_OUT" ready
    retry_until 20 has_requests refresh 1
    renewer="$(ps -o pid=,pgid= --ppid "$BG_PID" | awk '$1 == $2 {print $1}')"
    [ -n "$renewer" ]
    kill -s TERM "$renewer"
    retry_until 20 is_gone "$renewer"
    kill -s USR1 "$BG_PID"
    assert_ends 7
    assert_equal "$(tail -n 1 "$BG_OUT")" 'got SIGUSR1'
    assert_no_token_file
}

@test "two keepers of one profile have a file each, and leave the other's alone" {
    login
    keep_fresh sh -c "$WAITS"
    first="$(cat path)"
    try exec --keep-fresh -- sh -c 'echo "$SERVETEL_TOKEN_FILE"'
    assert_done
    [ "$output" != "$first" ]
    [ ! -e "$output" ]
    assert_equal "$(cat "$first")" "$(cached_token)"
}

@test "a permanent token is kept as it is" {
    server_issue '{"ttl":null}' >token
    servetel-auth login -q --token-stdin <token
    try exec --keep-fresh -- sh -c 'sleep 1; cat "$SERVETEL_TOKEN_FILE"'
    assert_done
    assert_stdout "$(cat token)"
    assert_requests 0
}
