#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Clocks that are wrong, ours or the service's, and that are set while the program is not looking.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load refresh_helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    needs_other_clock
    test_setup
}

teardown() { test_teardown; }

# at OFFSET COMMAND...: with a clock that is so many seconds ahead, or as many as that file holds then.
at() { LD_PRELOAD="$OTHER_CLOCK" CLOCK_OFFSET="$1" "${@:2}"; }

HOUR=3600
DAY=86400

# http_date EPOCH
http_date() { date -u -d "@$1" '+%a, %d %b %Y %H:%M:%S GMT'; }

# token_of NBF LIFE: as the service makes them, with an iat of weeks ago.
token_of() { jwt "{\"iat\":$(($1 - 20 * DAY)),\"nbf\":$1,\"exp\":$(($1 + $2))}"; }

# -------------------------------------------------------------------------------------------------- pauses

@test "a pause that was noted by a clock that was ahead, or behind, holds nobody when it is set right" {
    local offset
    for offset in $((20 * HOUR)) $((-20 * HOUR)) $((400 * DAY)); do
        server_reset
        with_token
        server_script refresh '{"status":429,"headers":{"Retry-After":"1000"}}'
        capture at "$offset" servetel-auth refresh
        assert_failed 5 "$offset"
        capture at "$offset" servetel-auth refresh # it is kept while the clock is as it was
        assert_failed 5 "$offset"
        assert_requests 1
        try refresh
        assert_done "$offset"
        assert_requests 2
    done
}

@test "a pause never holds longer than it was asked for, wherever the clock is set" {
    local offset
    with_token
    server_script refresh '{"status":429,"headers":{"Retry-After":"1000"}}'
    try refresh
    assert_failed 5
    for offset in 1010 $DAY -100 $((-30 * DAY)); do
        capture at "$offset" servetel-auth refresh --dry-run
        assert_done "$offset"
    done
    for offset in 0 900; do
        capture at "$offset" servetel-auth refresh --dry-run
        assert_status 5 "$offset"
    done
}

@test "a person who logs in at a terminal is told of the pause, and not held by it" {
    with_token
    server_script refresh '{"status":429,"headers":{"Retry-After":"1000"}}'
    try refresh
    assert_failed 5
    on_terminal expect:'Password' "type:$PW\\n" -- servetel-auth login
    assert_done
    assert_requests 1 login
    assert_stdout_has 'the service asked to be left alone until '
    try refresh
    assert_done
}

@test "a time to wait that is a date is a span by the answer's own Date" {
    local ours header now=$EPOCHSECONDS
    for ours in $((2 * HOUR)) $((-2 * HOUR)); do
        for header in "Retry-After" retry_after; do
            server_reset
            with_source
            if [ "$header" = Retry-After ]; then
                server_script refresh "{\"status\":429,\"headers\":{\"Date\":\"$(http_date "$now")\",
                    \"Retry-After\":\"$(http_date $((now + 1000)))\"}}"
            else
                server_script refresh "{\"status\":429,\"headers\":{\"Date\":\"$(http_date "$now")\"},
                    \"json\":{\"retry_after\":\"$(TZ=IST-5:30 date -d "@$((now + 1000))" '+%F %T')\"}}"
            fi
            capture at "$ours" servetel-auth refresh
            assert_failed 5 "$header $ours"
            assert_stderr_has '16 min'
            assert_about $(($(cached .retry_at) - $(cached .retry_noted_at))) 1000 2
            capture at "$ours" servetel-auth refresh
            assert_failed 5
            assert_requests 1
        done
    done
}

@test "a login that is told to wait until a date that our clock calls past is sent once" {
    local now=$EPOCHSECONDS
    server_script login "{\"status\":429,\"repeat\":-1,\"headers\":{\"Date\":\"$(http_date "$now")\",
        \"Retry-After\":\"$(http_date $((now + 1000)))\"}}"
    capture at $((2 * HOUR)) servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_failed 5
    assert_stderr_has '16 min'
    assert_requests 1
}

# --------------------------------------------------------------------------------------------------- lives

@test "a token of an hour lasts an hour, however wrong the clock was when it came" {
    local offset how
    for offset in $((-2 * DAY)) $((2 * DAY)); do
        for how in login refresh; do
            server_reset
            with_token
            case $how in
            login) capture at "$offset" servetel-auth login --password-stdin <<<"$PW" ;;
            refresh) capture at "$offset" servetel-auth refresh ;;
            esac
            assert_done "$how $offset"
            assert_equal "$(cached '.expires_at - .obtained_at')" 3600
        done
    done
}

@test "a token from elsewhere of one hour is none for ever on a host whose clock is two days behind" {
    local token how
    token="$(token_of "$EPOCHSECONDS" $HOUR)"
    for how in stdin command adopt; do
        rm -rf .servetel-auth
        case $how in
        stdin) capture at $((-2 * DAY)) servetel-auth login --token-stdin <<<"$token" ;;
        command) capture at $((-2 * DAY)) servetel-auth login --token-command "echo $token" ;;
        adopt) capture at $((-2 * DAY)) servetel-auth refresh --min-ttl 1m --adopt "echo $token" ;;
        esac
        assert_done "$how"
        assert_equal "$how $(cached .access_token)" "$how $token"
        assert_equal "$how $(cached '.expires_at - .obtained_at')" "$how 3600"
        capture at $((-2 * DAY)) servetel-auth status --json
        assert_equal "$how $(json '.profiles[0].permanent')" "$how false"
        # Right again, the clock says that it ended long ago: it is asked for anew, or a person is.
        try status --json
        assert_equal "$how $(json '.profiles[0].expires_in')" "$how 0"
    done
}

@test "a clock that is set back a minute or more makes no token last longer" {
    local offset old
    for offset in -90 $((-2 * HOUR)) $((-30 * DAY)); do
        with_token
        old="$(cached_token)"
        capture at "$offset" servetel-auth show --cached
        assert_failed 3 "$offset"
        capture at "$offset" servetel-auth show # nobody knows how long it lasts, so it is renewed
        assert_done "$offset"
        [ "$output" != "$old" ]
        token_works "$output"
    done
    with_token
    capture at -30 servetel-auth show
    assert_done
    assert_stdout "$(cached_token)"
    assert_requests 3
}

@test "what was adopted is of the time when it was printed, however long that took" {
    local published
    with_token
    published="$(token_of $((EPOCHSECONDS + 5)) $HOUR)"
    echo 0 >offset
    capture at "$HOME/offset" servetel-auth refresh --min-ttl 10m --adopt "echo 100 >offset; echo $published"
    assert_done
    assert_stderr_has 'took the published token'
    assert_equal "$(cached .access_token)" "$published"
    assert_requests 0
}

@test "status says once and alike that a token ended, as the clock has it now" {
    with_token
    on_terminal -- env LD_PRELOAD="$OTHER_CLOCK" CLOCK_OFFSET=-7200 servetel-auth status
    assert_done # it can be renewed
    assert_stdout_has 'ended'
    [[ $output != *'lasts until'* ]] || fail_with_run 'it lasts, and has ended'
}
