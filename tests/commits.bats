#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No token lost: what happens to the files, the time or the process between the request and its answer.
# shellcheck disable=SC2016 # the words of sh -c are the inner shell's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load refresh_helper
load unattended_helper
load cache_tests_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    DIR="$HOME/.servetel-auth"
    CACHE="$DIR/default.json"
}

teardown() { test_teardown; }

# finish PID: sets status; stderr is the file that background named.
finish() {
    status=0
    wait "$1" || status=$?
}

# ---------------------------------------------------------------------------------- the lock file is removed

@test "the lock file removed meanwhile: two renewals are at work, and each commits its own whole answer" {
    local first first_err
    with_token
    server_script refresh '{"hold":true}' '{"json":{"success":true,"access_token":"second.token.x","expires_in":3600}}'
    background servetel-auth refresh
    first=$BG_PID first_err=$BG_ERR
    retry_until 20 has_requests refresh 1
    rm "$DIR/default.lock"
    try refresh
    assert_done
    assert_equal "$(cached_token)" second.token.x
    server_release
    finish "$first"
    assert_equal "$status" 0
    grep -q renewed "$first_err"
    assert_equal "$(cached '"\(.email) \(.version)"')" "$EMAIL 1" # whole
    token_works "$(cached_token)"
    assert_files "$DIR" default.json default.lock
}

@test "the lock file removed meanwhile: what is only noted does not overwrite another's token" {
    local answer code token
    for answer in '{"hold":true,"status":401}:4' '{"hold":true,"status":429,"headers":{"Retry-After":"3000"}}:5'; do
        code=${answer##*:}
        server_reset
        with_token '.auth_scheme = "raw"'
        server_script refresh "${answer%:*}" # and then as it is
        server_script refresh "{}"
        background servetel-auth refresh --auth-scheme raw
        retry_until 20 has_requests refresh 1
        rm "$DIR/default.lock"
        try refresh
        assert_done
        token="$(cached_token)"
        snapshot
        server_release
        finish "$BG_PID"
        assert_equal "$status" "$code"
        assert_unchanged
        token_works "$token"
    done
}

@test "what is noted of a login is not written over another's token either" {
    with_source
    end_refresh_window
    server_script login '{"hold":true,"status":401}'
    background servetel-auth refresh
    retry_until 20 has_requests login 1
    rm "$DIR/default.lock"
    try_login "$PW"
    assert_done
    snapshot
    server_release
    finish "$BG_PID"
    assert_equal "$status" 4
    assert_unchanged
}

# ------------------------------------------------------------------------- a file that no rename can replace

@test "a cache that is mounted itself, as a single file in a container, is refused before anything is sent" {
    needs_mounts
    local command
    with_token
    snapshot
    for command in 'refresh' 'show --min-ttl 2h' 'login --password-stdin'; do
        # shellcheck disable=SC2086 # words
        capture "${NAMESPACE[@]}" sh -c 'mount --bind "$0" "$0" && exec "$@"' "$CACHE" servetel-auth $command <<<"$PW"
        assert_refused 'it is a mount point: mount its directory instead'
    done
    capture "${NAMESPACE[@]}" sh -c 'mount --bind "$0" "$0" && exec "$@"' "$CACHE" servetel-auth show
    assert_done
    assert_stdout "$(cached_token)"
    assert_requests 0
    assert_unchanged
    assert_files "$DIR" default.json default.lock
    try refresh
    assert_done
}

# needs_attributes FILE: skips where it cannot be made immutable.
needs_attributes() {
    chattr +i "$1" 2>/dev/null || skip "no file can be made immutable here"
    chattr -i "$1"
}

@test "a cache that is immutable or append-only is refused before anything is sent" {
    local attribute
    with_token
    needs_attributes "$CACHE"
    snapshot
    for attribute in i a; do
        chattr "+$attribute" "$CACHE"
        try refresh
        chattr "-$attribute" "$CACHE"
        assert_refused 'it is immutable: chattr -i -a'
    done
    chattr +a "$DIR"
    try refresh
    chattr -a "$DIR"
    assert_refused 'its directory is immutable: chattr -i -a'
    assert_requests 0
    assert_unchanged
    try refresh
    assert_done
}

# ------------------------------------------------------------------------------------ the directory is moved

@test "the directory is moved or replaced while the answer is awaited: never 0 without the token at its path" {
    local way
    for way in moved replaced removed; do
        server_reset
        rm -rf "$DIR" aside
        with_token
        server_script refresh '{"hold":true}'
        background servetel-auth refresh
        retry_until 20 has_requests refresh 1
        case $way in
        moved) mv "$DIR" aside ;;
        replaced) mv "$DIR" aside && cp -rp aside "$DIR" ;;
        removed) rm -r "$DIR" ;;
        esac
        server_release
        finish "$BG_PID"
        if [ "$status" = 0 ]; then
            token_works "$(cached_token)" || fail_with "$way: 0, and no token"
        else
            assert_equal "$way $status" "$way 7"
            [ -s "$BG_ERR" ]
        fi
        [ "$way" != replaced ] || assert_equal "$status" 0
    done
}

@test "a link at the cache's path that is pointed elsewhere meanwhile: 7, and the token stands where it pointed" {
    with_token
    mkdir -m 700 one two
    mv "$CACHE" one/cache.json
    cp -p one/cache.json two/cache.json
    ln -s ../one/cache.json "$CACHE"
    server_script refresh '{"hold":true}'
    background servetel-auth refresh
    retry_until 20 has_requests refresh 1
    ln -sfn ../two/cache.json "$CACHE"
    server_release
    finish "$BG_PID"
    assert_equal "$status" 7
    grep -q 'moved or replaced meanwhile' "$BG_ERR"
    token_works "$(jq -r .access_token one/cache.json)"
}

# ----------------------------------------------------------------------------------------------- the time

@test "after a wait for the lock a refresh is not sent with a remnant of the time: 5, and nothing sent" {
    with_token
    snapshot
    hold_lock "$DIR/default.lock"
    background servetel-auth refresh --timeout 9s
    # It has waited for most of its time, and less than a third is left: two seconds for us, if the machine is busy.
    sleep 7
    release_lock
    finish "$BG_PID"
    assert_equal "$status" 5
    assert_requests 0
    assert_unchanged
    grep -q 'nothing was sent' "$BG_ERR"
}

@test "a process that was stopped beyond its time takes the answer that lies there" {
    local how
    for how in refresh login; do
        with_token
        server_script $how '{"hold":true}'
        background servetel-auth $how --timeout 5s
        [ "$how" = refresh ] || {
            stop_pid "$BG_PID"
            printf '%s\n' "$PW" >pw
            server_reset
            server_script $how '{"hold":true}'
            background servetel-auth login --timeout 5s --password-file pw
        }
        retry_until 20 has_requests $how 1
        kill -STOP "$BG_PID"
        server_release
        sleep 6
        kill -CONT "$BG_PID"
        finish "$BG_PID"
        assert_equal "$how $status" "$how 0"
        token_works "$(cached_token)"
    done
}
