#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh --rejected-stdin: what a caller whom the API answered 401 says of its token. The service has no grace.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load refresh_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# reject TOKEN ARGUMENTS...: says that the API refused it. OLD is the token that was cached before.
reject() {
    OLD="$(cached_token)"
    capture servetel-auth refresh --rejected-stdin "${@:2}" <<<"$1"
}

# reject_cached ARGUMENTS...: the one that is cached.
reject_cached() { reject "$(cached_token)" "$@"; }

assert_renewed() {
    assert_done
    [ "$(cached_token)" != "$OLD" ] || fail_with_run 'the token is the old one'
    token_works "$(cached_token)"
}

# assert_out_of_use: everything that could hand the cached token out knows of it, and sends nothing to learn it.
assert_out_of_use() {
    assert_about "$(cached .blacklisted_at)" "$EPOCHSECONDS" 60
    try show --cached
    assert_failed 3
    assert_no_secret
    try status --json
    [[ "$(json '.profiles[0].state')" == @(renewable|login_needed) ]] || fail_with_run 'status does not know'
    assert_about "$(json '.profiles[0].blacklisted_at')" "$EPOCHSECONDS" 60
    assert_equal "$(json '.profiles[0] | .expires_in // 0')" 0 # without an end it is null
}

# ----------------------------------------------------------------------------------------------- which of two

@test "the refused token, though it lasts, is exchanged at once" {
    with_token
    reject_cached
    assert_renewed
    assert_stdout_empty
    assert_stderr_has "servetel-auth: renewed the token of 'default'; it lasts until "
    assert_endpoints refresh

    reject_cached --quiet
    assert_renewed
    assert_stderr_empty
    reject_cached --print
    assert_renewed
    assert_stdout "$(cached_token)"
    reject_cached --json
    assert_renewed
    assert_equal "$(json .action)" renewed
    assert_requests 4
}

@test "another token that lasts is what the caller wants: nothing is sent, no hook is run" {
    local refused
    with_token
    snapshot
    for refused in "$(server_issue)" "$(server_issue '{"ttl":-5}')" opaque; do
        reject "$refused" --on-change 'touch hooked'
        assert_done
        assert_stdout_empty
        assert_stderr_has "servetel-auth: kept the token of 'default'; it lasts until "
        reject "$refused" --print --quiet
        assert_done
        assert_stdout "$OLD"
        assert_stderr_empty
        reject "$refused" --json
        assert_done
        assert_equal "$(json .action)" kept
    done
    [ ! -e hooked ]
    assert_unchanged
    assert_nothing_sent
}

@test "another token that show would renew is exchanged, with --min-ttl one that lasts less than that" {
    with_token
    make_stale
    reject other
    assert_renewed
    set_life 600
    reject other
    assert_done
    assert_stderr_has 'kept the token'
    reject other --min-ttl 9m
    assert_stderr_has 'kept the token'
    reject other --min-ttl 11m
    assert_renewed
    assert_endpoints 'refresh refresh'
}

@test "the refused token is out of use whatever --min-ttl says, and also if it has expired" {
    with_token
    reject_cached --min-ttl 1m
    assert_renewed
    make_expired
    reject_cached
    assert_renewed
    assert_endpoints 'refresh refresh'
}

@test "the token is read as --token-stdin reads one" {
    local text token
    with_token
    for text in 'Bearer %s' 'bearer\t%s' '\n\n  %s \r\n\n' '%s'; do
        # shellcheck disable=SC2059 # it is a format
        token="$(printf "$text" "$(cached_token)")"
        reject "$token"
        assert_renewed
    done
    assert_requests 4
}

@test "what is no token is refused with 2: empty, masked, in pieces, unprintable, too long, no stdin" {
    local text
    with_token
    snapshot
    for text in '' ' ' $'\n\n' Bearer 'eyJ***' 'two words' $'caf\xc3\xa9' "$(printf '%020000d' 0)"; do
        reject "$text" --print
        assert_failed 2 "${text:0:20}"
        assert_stderr_has 'the token on stdin '
        assert_one_line
        reject "$text" --json
        assert_status 2 "${text:0:20}"
        assert_equal "$(json '"\(.action) \(.exit_code)"')" 'failed 2'
    done
    capture sh -c 'servetel-auth refresh --rejected-stdin <&-'
    assert_failed 2
    assert_unchanged
    assert_equal "$(ls "$HOME/.servetel-auth")" default.json # not even a lock
    assert_nothing_sent
}

@test "with --all and --dry-run it is a misuse, without a token there is nothing to replace" {
    capture servetel-auth refresh --rejected-stdin <<<any
    assert_failed 3
    assert_stderr_has "no token is cached for 'default': run servetel-auth login"
    [ ! -e "$HOME/.servetel-auth" ]
    with_token
    snapshot
    reject_cached --all
    assert_failed 2
    reject_cached --dry-run
    assert_failed 2
    assert_unchanged
    assert_nothing_sent
}

@test "of two profiles, and for a file, it is the one that is named" {
    local token
    with_token
    snapshot
    token="$(server_issue)"
    write_cache . work "$token"
    capture servetel-auth refresh --rejected-stdin -p work --print <<<"$token"
    assert_done
    assert_stdout "$(cached_token work)"
    [ "$output" != "$token" ]
    (umask 077 && cp .servetel-auth/work.json other.json)
    capture servetel-auth refresh --rejected-stdin -f other.json --print <<<"$output"
    assert_done
    token_works "$output"
    assert_equal "$(SERVETEL_AUTH_FILE=other.json cached_token)" "$output"
    assert_unchanged
}

# ------------------------------------------------------------------------------------------- when it is refused

@test "where the exchange is refused, the remembered password gets another" {
    with_source
    reject "$(spent_token)" --print
    assert_renewed
    assert_stdout "$(cached_token)"
    assert_stderr_has "logged in again for a token of 'default'"
    assert_endpoints 'refresh login'
    reject "$(spent_token)" --json
    assert_renewed
    assert_equal "$(json .action)" logged_in
}

# The cached token, which somebody else has spent.
spent_token() {
    http POST /v1/auth/refresh '' 'X-Test: 1' 'Accept: application/json' "Authorization: Bearer $(cached_token)"
    cached_token
}

@test "without a remembered password it is 4, and show, status and exec know it" {
    with_token
    reject "$(spent_token)" --print --on-change 'touch hooked'
    assert_failed 4
    assert_stderr_has 'blacklisted: run servetel-auth login'
    assert_endpoints refresh
    assert_out_of_use
    try status
    assert_status 3
    try show
    assert_failed 3
    try exec -- touch started
    assert_failed 3
    [ ! -e started ] && [ ! -e hooked ]
    reject_cached --json # by the next worker
    assert_status 4
    assert_equal "$(json '"\(.action) \(.exit_code) \(.expires_in)"')" 'failed 4 0'
    assert_stderr_has "no usable token: the service has blacklisted the token: run servetel-auth login"
    assert_endpoints refresh
    assert_equal "$(cached_token)" "$OLD"
}

@test "a refusal in other words is as final" {
    with_token
    server_script refresh '{"status":401,"json":{"message":"Unauthenticated."},"repeat":2}'
    reject_cached
    assert_failed 4
    assert_requests 2 # in both forms of the header
    assert_out_of_use
    try show
    assert_failed 3
    reject_cached
    assert_failed 4
    assert_stderr_has 'no usable token: '
    assert_requests 2
}

@test "while the service is away the refused token is not handed out, and is exchanged when it is back" {
    with_token
    server_script refresh '{"status":502}' '{"status":502}' '{"status":502}'
    reject_cached --print
    assert_failed 5
    reject_cached --print --complain-below 1m # it lasts for an hour, and is of no use
    assert_failed 5
    assert_out_of_use
    try show
    assert_failed 5
    assert_no_secret
    try show
    assert_done
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_equal "$(cached .blacklisted_at)" null
    assert_endpoints 'refresh refresh refresh refresh'
}

@test "nor is it while another process has the lock, whatever --complain-below bears" {
    with_token
    hold_lock .servetel-auth/default.lock
    reject_cached --print --timeout 1s --complain-below 1m
    assert_failed 5
    assert_stdout_empty
    assert_stderr_has 'holds its lock'
    reject another-token --print --timeout 1s --complain-below 1m # the cached one is good
    assert_done
    assert_stdout "$OLD"
    assert_requests 0
}

@test "nor is it where the refused one does not come, or comes too late" {
    with_token
    mkfifo silent
    exec 8<>silent
    capture servetel-auth refresh --rejected-stdin --print --timeout 1s --complain-below 1m <&8
    assert_failed 5
    assert_stdout_empty
    cached_token >&8 # and no end of it
    capture servetel-auth refresh --rejected-stdin --print --timeout 1s --complain-below 1m <&8
    assert_failed 5
    assert_stdout_empty
    assert_requests 0
    exec 8>&-
}

@test "a refused password is not sent for the next worker's 401" {
    with_source '.password_command = "echo stale"'
    reject "$(spent_token)" --print
    assert_failed 4
    assert_endpoints 'refresh login'
    reject_cached --print
    assert_failed 4
    assert_endpoints 'refresh login'
    assert_out_of_use
}

@test "a permanent token that was refused is never sent to be refreshed" {
    write_cache 'del(.expires_at)'
    reject_cached
    assert_failed 4
    assert_stderr_has 'the API has refused the token'
    assert_nothing_sent
    assert_out_of_use
    write_cache "del(.expires_at) | .password_command = \"echo '$PW'\""
    reject_cached
    assert_renewed
    assert_endpoints login
}

# ----------------------------------------------------------------------------------- hooks, commands, many hosts

@test "on-change gets the new token, not the refused one" {
    with_token
    reject_cached --on-change 'cat >hooked; echo "$SERVETEL_PROFILE" >>names'
    assert_renewed
    assert_equal "$(cat hooked)" "$(cached_token)"
    assert_equal "$(cat names)" default
    reject_cached --print --on-change 'exit 3'
    assert_status 1
    assert_stdout "$(cached_token)" # it is stored, and good
    token_works "$output"
}

@test "a token command is run for the refused token, and not for another" {
    local token
    server_issue >token
    quietly login --token-command 'echo run >>runs; cat token'
    reject other --print
    assert_done
    assert_stdout "$(cat token)"
    assert_equal "$(wc -l <runs)" 1

    reject_cached --print # whoever renews it has not done so yet
    assert_failed 5
    assert_stderr_has 'the token command printed no fresher token than the cached one'
    assert_equal "$(wc -l <runs)" 2
    assert_out_of_use

    token="$(cat token)"
    server_issue >token
    capture servetel-auth refresh --rejected-stdin --json <<<"$token"
    assert_done
    assert_equal "$(json .action)" renewed
    assert_equal "$(cached_token)" "$(cat token)"
    assert_nothing_sent
}

@test "a token command that prints the refused token has nothing new, whatever is cached" {
    server_issue >token
    quietly login --token-command 'cat token'
    make_expired
    server_issue '{"ttl":7200}' >token
    snapshot
    reject "$(cat token)" --print
    assert_failed 5
    assert_stderr_has 'the token command printed no fresher token'
    assert_unchanged
}

@test "adopt: a published token that is newer is what the caller wants" {
    with_token
    server_issue '{"ttl":7200}' >published
    reject_cached --adopt 'cat published' --on-change 'touch hooked' --json
    assert_done
    assert_equal "$(json .action)" adopted
    assert_equal "$(cached_token)" "$(cat published)"
    [ ! -e hooked ]
    assert_nothing_sent
}

@test "adopt: the refused token that is published is exchanged, and what is new published" {
    with_token
    cached_token >published
    reject_cached --adopt 'cat published' --on-change 'cat >published' --print
    assert_renewed
    assert_stdout "$(cat published)"
    assert_endpoints refresh

    # The cached one is older: the refused one is taken, as others renewed it, and is out of use all the same.
    server_issue '{"ttl":7200}' >published
    server_script refresh '{"status":502}'
    reject "$(cat published)" --adopt 'cat published' --print
    assert_failed 5
    assert_stdout_empty
    assert_equal "$(cached_token)" "$(cat published)"
    assert_out_of_use
    reject "$(cat published)" --adopt 'cat published' --on-change 'cat >published' --json
    assert_renewed
    assert_equal "$(json .action)" renewed
    assert_equal "$(cat published)" "$(cached_token)"
}

@test "adopt: where the published token cannot be had nothing is sent, and the refused one is out of use" {
    with_token
    reject_cached --adopt false --print
    assert_failed 5
    assert_nothing_sent
    assert_out_of_use
}

# ------------------------------------------------------------------------------------------------- many at once

@test "twenty at once: one request between them, and all get the same new token" {
    local i pids=() code
    with_token
    OLD="$(cached_token)"
    printf '%s\n' "$OLD" >refused
    server_script refresh '{"hold":true}'
    for ((i = 0; i < 20; i++)); do
        servetel-auth refresh --rejected-stdin --print <refused >"out.$i" 2>"err.$i" 3>&- &
        pids+=($!)
        STARTED_PIDS+=($!)
    done
    retry_until 120 has_requests refresh 1
    server_release
    for i in "${!pids[@]}"; do
        code=0
        wait "${pids[i]}" || code=$?
        [ "$code" = 0 ] || fail_with "exit $code" "$(cat "err.$i")"
    done
    assert_equal "$(cat out.* | sort -u)" "$(cached_token)"
    [ "$(cached_token)" != "$OLD" ]
    token_works "$(cached_token)"
    assert_requests 1
    assert_equal "$(grep -l 'kept the token' err.* | wc -l)" 19
}

@test "twenty at once, and no way to a new token: all end with 4, after one request" {
    local i pids=() code
    with_token
    spent_token >refused
    for ((i = 0; i < 20; i++)); do
        servetel-auth refresh --rejected-stdin --print <refused >"out.$i" 2>"err.$i" 3>&- &
        pids+=($!)
        STARTED_PIDS+=($!)
    done
    for i in "${!pids[@]}"; do
        code=0
        wait "${pids[i]}" || code=$?
        [ "$code" = 4 ] || fail_with "exit $code" "$(cat "err.$i")"
    done
    assert_equal "$(cat out.*)" ''
    assert_requests 1
}

@test "eight workers with curl, whose token another login ends: each has one call refused, one logs in" {
    local i before pids=()
    server_config '{"single_session":true}'
    printf '%s\n' "$PW" >pw
    chmod 600 pw
    quietly login -e "$EMAIL" --password-file "$HOME/pw"
    for i in 1 2 3 4 5 6 7 8; do
        sh "$TESTS_DIR/bench/worker.sh" rejected >"out.$i" 2>"err.$i" </dev/null 3>&- &
        pids+=($!)
        STARTED_PIDS+=($!)
    done
    retry_until 240 calls_done 24
    http POST /v1/auth/login "{\"email\":\"$EMAIL\",\"password\":\"$PW\"}" 'X-Test: 1' 'Accept: application/json' \
        'Content-Type: application/json'
    before="$(server_stats me_ok)"
    retry_until 240 calls_done $((before + 80))
    touch stop
    for i in "${!pids[@]}"; do
        wait "${pids[i]}" || fail_with "worker $i failed" "$(cat "err.$((i + 1))")"
    done
    assert_equal "$(cat out.* err.*)" ''
    [ "$(server_stats me_refused)" -ge 1 ]
    [ "$(server_stats me_refused)" -le 9 ] || fail_with "refused: $(server_stats me_refused)"
    assert_equal "$(count_requests refresh)" 1
    assert_equal "$(count_requests login)" 2 # the first one is its own
}

# calls_done N: so many have succeeded.
calls_done() { [ "$(server_stats me_ok)" -ge "$1" ]; }
