#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Profiles whose token comes from a command, or from what others have published.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ------------------------------------------------------------------------------------------------- token commands

# Logs in with a token command that prints the file `token`, after it has counted itself; each of its runs takes
# a moment.
use_token_command() {
    server_issue >token
    quietly login --token-command "echo run >>'$HOME/runs'; sleep 0.2; cat '$HOME/token'"
}

# The cached token is at its end, and the command has nothing newer.
go_stale() {
    server_issue '{"ttl":50}' >token
    cache_edit ".access_token = \"$(cat token)\""
    end_soon
}

@test "a token command gives the token for login, show, exec, status and refresh; the API is never asked" {
    use_token_command
    assert_equal "$(cached_token)" "$(cat token)"
    try show
    assert_done
    assert_stdout "$(cat token)"
    assert_stderr_empty
    try exec -- printenv SERVETEL_TOKEN
    assert_done
    assert_stdout "$(cat token)"
    try status
    assert_done
    assert_stdout_has default
    assert_no_secret
    assert_equal "$(runs)" 1 # a token that lasts needs no command

    go_stale
    server_issue >token
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" renewed
    assert_equal "$(cached_token)" "$(cat token)"
    go_stale
    server_issue >token
    capture as_cron show
    assert_done
    assert_stdout "$(cat token)"
    go_stale
    server_issue >token
    capture as_cron refresh --all
    assert_done
    assert_equal "$(cached_token)" "$(cat token)"
    try logout
    assert_done
    assert_requests 0
}

@test "the token command's profile is usable without a person, expired or not" {
    use_token_command
    make_expired
    try status
    assert_done
    server_issue >token
    try show
    assert_done
    assert_stdout "$(cat token)"
    assert_requests 0
}

@test "many processes at once run the token command once" {
    use_token_command
    go_stale
    server_issue >token
    : >runs
    pids=()
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        if [ $((i % 2)) = 0 ]; then
            background servetel-auth show
        else
            background servetel-auth refresh --min-ttl 1m --print
        fi
        pids+=("$BG_PID:$BG_OUT")
    done
    for one in "${pids[@]}"; do
        wait "${one%%:*}"
        assert_equal "$(cat "${one#*:}")" "$(cat token)"
    done
    assert_equal "$(runs)" 1
}

@test "a token command with nothing newer than the stale token is 5, and changes nothing" {
    use_token_command
    go_stale
    snapshot
    try refresh --min-ttl 1m
    assert_failed 5
    assert_no_secret
    try show --min-ttl 1m
    assert_failed 5
    try show
    assert_done
    assert_stdout "$(cat token)"
    assert_stderr_has warning
    assert_unchanged
}

@test "a token command with an older token than the cached one is 5" {
    use_token_command
    go_stale
    server_issue '{"ttl":-30,"age":4000}' >token
    snapshot
    try refresh --min-ttl 1m
    assert_failed 5
    assert_unchanged
}

@test "a token command that hangs is ended by --timeout, with 5" {
    use_token_command
    go_stale
    cache_edit ".token_command = \"echo \$\$ >'$HOME/pid'; exec sleep 600\""
    snapshot
    SECONDS=0
    try refresh --timeout 3s
    assert_failed 5
    [ "$SECONDS" -lt 20 ]
    retry_until 5 is_gone "$(cat pid)"
    assert_unchanged
    try login -p other --timeout 1s --token-command 'sleep 600'
    assert_failed 5
    [ ! -e "$(cache_file other)" ]
    [ "$SECONDS" -lt 40 ]
}

@test "a token command that fails or prints nothing is 5, at a login 7, and changes nothing" {
    use_token_command
    go_stale
    for command in 'exit 3' 'true' 'echo' 'no-such-command-here' 'kill -9 $$' "cat '$HOME/token'; exit 1"; do
        cache_edit ".token_command = $(jq -Rn --arg c "$command" '$c')"
        snapshot
        try refresh
        assert_failed 5
        assert_no_secret
        assert_unchanged
    done
    try login -p other --token-command 'exit 3'
    assert_failed 7
    [ ! -e "$(cache_file other)" ]
}

@test "what a token command prints is a token or it is refused" {
    use_token_command
    go_stale
    for printed in 'ey***' 'two words' "$(printf 'a\001b')" "$(printf '%16385s' '' | tr ' ' x)"; do
        printf '%s\n' "$printed" >token
        snapshot
        try refresh
        [ "$status" -ne 0 ] || fail_with_run "a token that cannot be one was taken"
        assert_stderr_lacks "$printed"
        assert_unchanged
    done
}

@test "only the first line that a token command prints counts, with the cached one's hook run for the new one" {
    use_token_command
    go_stale
    { server_issue && echo second; } >both
    cache_edit ".token_command = \"cat '$HOME/both'\""
    try refresh --on-change 'cat >"$HOME/in"'
    assert_done
    assert_equal "$(cached_token)" "$(head -n 1 both)"
    printf %s "$(head -n 1 both)" | cmp - in
}

@test "a token command run in a loop does not eat the loop's input" {
    server_issue >token
    quietly login --token-command "cat >/dev/null; cat '$HOME/token'"
    count=0
    while read -r _; do
        server_issue >token
        cache_edit '.expires_at = 1'
        assert_equal "$(servetel-auth show)" "$(cat token)"
        count=$((count + 1))
    done <<<$'one\ntwo\nthree'
    assert_equal "$count" 3
}

@test "a login with a password ends the token command's rule" {
    use_token_command
    login
    assert_equal "$(jq 'has("token_command")' "$(cache_file)")" false
    try refresh
    assert_done
    assert_requests 1 refresh
    assert_equal "$(runs)" 1
}

@test "what a store says instead of a token, such as null, does not replace one that ends" {
    login
    server_reset
    snapshot_before="$(cached_token)"
    for word in null 'Error:' servetel/token; do
        try refresh --adopt "echo $word"
        assert_failed 7
        [[ "$stderr" == *'the adopt command'* ]] || fail_with_run 'the command is not named'
        assert_equal "$(cached_token)" "$snapshot_before"
    done
    cache_edit '.token_command = "echo null"'
    try refresh
    assert_failed 7
    [[ "$stderr" == *'the token command'* ]] || fail_with_run 'the command is not named'
    assert_equal "$(cached_token)" "$snapshot_before"
}

@test "a reader follows its source from a permanent token to one that ends" {
    echo permanent >token
    quietly login --token-command "cat '$HOME/token'"
    jwt "{\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + 3600))}" >token
    try refresh --print
    assert_done
    assert_stdout "$(cat token)"
}

@test "a published token takes no permanent token's place" {
    local ending
    servetel-auth login -q --token-stdin <<<'permanent'
    for ending in -10 3600; do
        try refresh --min-ttl 20m --on-change 'cat >published' \
            --adopt "echo '$(jwt "{\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + ending))}")'"
        assert_done
        assert_equal "$(cached_token)" permanent
        assert_equal "$(cat published)" permanent
    done
    assert_requests 0 refresh
}

@test "a published token that works beats a cached one that is blacklisted" {
    local published
    published="$(server_issue)"
    login
    cache_edit '.expires_at += 60 | .blacklisted_at = 1'
    try refresh --min-ttl 20m --adopt "echo '$published'"
    assert_done
    assert_equal "$(cached_token)" "$published"
    assert_requests 0 refresh
}

@test "a newer token that ends earlier is taken: by its nbf, since lives may become shorter" {
    jwt "{\"nbf\":$((EPOCHSECONDS - 100)),\"exp\":$((EPOCHSECONDS + 3500))}" >token
    quietly login --token-command "cat '$HOME/token'"
    jwt "{\"nbf\":$((EPOCHSECONDS - 10)),\"exp\":$((EPOCHSECONDS + 600))}" >token
    try refresh --json
    assert_done
    assert_equal "$(json .action)" renewed
    assert_equal "$(cached_token)" "$(cat token)"
    jwt "{\"nbf\":$((EPOCHSECONDS - 50)),\"exp\":$((EPOCHSECONDS + 3550))}" >token # from a store that lags
    try refresh --json
    assert_done
    assert_equal "$(json .action)" kept
    [ "$(cached_token)" != "$(cat token)" ]
}

@test "a token that cannot be cached is printed all the same, with a warning; stored is what refresh alone promises" {
    local broken
    for broken in 'rm -f default.lock && mkdir default.lock' 'mkdir .default.json.tmp'; do
        use_token_command
        go_stale
        server_issue >token
        snapshot
        for command in 'show' 'show --min-ttl 10m' 'exec -- printenv SERVETEL_TOKEN' 'refresh --print' 'refresh --quiet --print'; do
            # shellcheck disable=SC2086 # words
            capture bash -c 'cd "$HOME/.servetel-auth" && eval "$1" && exec "${@:2}"' - "$broken" \
                servetel-auth $command
            assert_done "$broken: $command"
            assert_stdout "$(cat token)"
            [[ $command == *quiet* ]] || assert_stderr_has 'good, but not cached'
            assert_stderr_lacks "$(cat token)"
            assert_unchanged
            rm -rf .servetel-auth/default.lock .servetel-auth/.default.json.tmp
        done
        capture bash -c 'cd "$HOME/.servetel-auth" && eval "$1" && exec "${@:2}"' - "$broken" \
            servetel-auth refresh
        assert_failed 7 "$broken"
        assert_unchanged
        rm -rf .servetel-auth
    done
}

# account SUB: a token as the service makes it for that account.
account() {
    jwt "{\"sub\":$1,\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + ${2:-3600}))}"
}

@test "another account's token is refused: a slip of quoting renews nobody else's" {
    local mine
    account '"1"' 30 >token
    quietly login --token-command "cat '$HOME/token'"
    mine="$(cat token)"
    account '"2"' >token
    for command in 'refresh' 'refresh --print' 'show --min-ttl 1m'; do
        # shellcheck disable=SC2086 # words
        try $command
        assert_failed 7
        assert_stderr_has 'another account'
        assert_equal "$(cached_token)" "$mine"
    done
    account 1 >token # as a number it is the same
    try refresh
    assert_done
    assert_equal "$(cached_token)" "$(cat token)"
    account '"2"' >token # which is what the login says
    quietly login --token-command "cat '$HOME/token'"
    assert_equal "$(cached_token)" "$(cat token)"

    account '"1"' | quietly login -p shared --token-stdin
    mine="$(cached_token shared)"
    try refresh -p shared --adopt "cat '$HOME/token'" --on-change 'touch published'
    assert_failed 7
    assert_stderr_has 'another account'
    assert_stderr_has "'shared'"
    assert_equal "$(cached_token shared)" "$mine"
    [ ! -e published ]
    assert_requests 0
}
