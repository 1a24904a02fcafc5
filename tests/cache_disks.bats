#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Full and read-only disks: nothing is sent for a token that could not be kept.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load cache_tests_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    DIR="$HOME/.servetel-auth"
    CACHE="$DIR/default.json"
}

teardown() { test_teardown; }

# -------------------------------------------------------------------------------------- full and read-only disks

# run_on_small_disk OPTIONS FREE COMMAND...: the directory is a tmpfs mounted with OPTIONS, with the cache in it, if
# there is one, filled but for FREE pages (-: not filled). Afterwards AFTER holds what is in it.
run_on_small_disk() {
    export AFTER="$BATS_TEST_TMPDIR/after"
    rm -rf "$AFTER"
    mkdir -p "$AFTER" "$DIR"
    # shellcheck disable=SC2016 # for the inner shell
    capture "${NAMESPACE[@]}" bash -c '
        dir="$HOME/.servetel-auth" options=$1 free=$2
        shift 2
        exec 4<"$dir"
        mount -t tmpfs -o "$options,mode=700" none "$dir" || exit 99
        [ ! -e /dev/fd/4/default.json ] || cp -p /dev/fd/4/default.json "$dir" || exit 99
        if [ "$free" != - ]; then
            cat /dev/zero >"$dir/filler" 2>/dev/null
            truncate -s "-$((free * $(getconf PAGESIZE)))" "$dir/filler" || exit 99
        fi
        exec 4<&-
        status=0
        timeout 20 "$@" || status=$?
        rm -f "$dir/filler"
        cp -pR "$dir/." "$AFTER" || exit 99
        exit "$status"' - "$@" <<<"$PW"
}

assert_cache_is_as_before() {
    cmp "$CACHE" "$AFTER/default.json" || fail_with_run "the cache has changed"
}

@test "on a full disk login and refresh are exit 7, and nothing was sent" {
    needs_mounts
    login
    remember_requests
    run_on_small_disk size=64k 0 servetel-auth refresh
    assert_refused "$CACHE"
    assert_stderr_has 'No space left'
    assert_cache_is_as_before
    run_on_small_disk size=64k 0 servetel-auth login -e "$EMAIL" --password-stdin
    assert_refused "$CACHE"
    assert_cache_is_as_before
    assert_equal "$(find "$AFTER" -mindepth 1 ! -name default.lock -exec basename {} \;)" default.json
    make_expired
    run_on_small_disk size=64k 0 servetel-auth show
    assert_refused "$CACHE"
    rm "$CACHE"
    run_on_small_disk size=64k 0 servetel-auth login -e "$EMAIL" --password-stdin
    assert_refused "$CACHE"
    [ ! -e "$AFTER/default.json" ]
    assert_no_more_requests
    assert_no_secret
}

@test "on an almost full disk a token is renewed and stored, or not sent at all" {
    needs_mounts
    login
    renewed=0
    for free in 0 1 2 3 4 6 24; do
        remember_requests
        run_on_small_disk size=256k "$free" servetel-auth refresh
        assert_stdout_empty
        if [ "$status" = 0 ]; then
            token_works "$(jq -r .access_token "$AFTER/default.json")"
            cp "$AFTER/default.json" "$CACHE"
            renewed=$((renewed + 1))
        else
            assert_refused "$CACHE" || fail_with "free pages: $free"
            assert_cache_is_as_before
            assert_no_more_requests
        fi
    done
    [ "$renewed" -ge 1 ] || fail_with "none was renewed"
    [ "$renewed" -le 6 ] || fail_with "all were renewed"
}

@test "without a free inode nothing is sent either" {
    needs_mounts
    login
    remember_requests
    # The root and the cache; those and the lock.
    for inodes in 2 3; do
        run_on_small_disk "nr_inodes=$inodes" - servetel-auth refresh
        assert_failed 7
        assert_one_line
        assert_cache_is_as_before
    done
    assert_no_more_requests
}

@test "a file size limit is found before anything is sent, and kills nobody" {
    login
    snapshot
    for limit in 0 1 7 8 100 500; do
        # valgrind writes a file itself, smaller than these.
        [ "$limit" -ge 100 ] || [ -z "${SERVETEL_AUTH_WRAP:-}" ] || continue
        remember_requests
        # The limit holds for a file that stderr goes to, too: the message goes into a pipe.
        capture bash -c "set -o pipefail; prlimit --fsize=$limit servetel-auth refresh 2>&1 | cat"
        assert_status 7 || fail_with "limit: $limit"
        assert_stdout_has "$DIR/"
        assert_unchanged
        assert_no_more_requests
    done
    capture bash -c "set -o pipefail
        printf '%s\n' '$PW' | prlimit --fsize=100 servetel-auth login -e '$EMAIL' --password-stdin 2>&1 | cat"
    assert_status 7
    assert_stdout_has "$DIR/"
    assert_unchanged
    assert_no_more_requests
    try refresh
    assert_done
}

# run_read_only PATH COMMAND...: with a file system that cannot be written there.
run_read_only() {
    # shellcheck disable=SC2016 # for the inner shell
    capture "${NAMESPACE[@]}" sh -c '
        mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99
        exec timeout 20 "$@"' "$@" <<<"$PW"
}

@test "on a read-only file system login and refresh are exit 7, and nothing was sent" {
    needs_mounts
    login
    make_stale
    snapshot
    remember_requests
    for dir in "$DIR" "$HOME"; do
        run_read_only "$dir" servetel-auth refresh
        assert_refused "$DIR/"
        run_read_only "$dir" servetel-auth login --password-stdin
        assert_refused "$DIR/"
    done
    run_read_only "$HOME" servetel-auth logout
    assert_refused "$DIR/"
    assert_unchanged
    rm -rf "$DIR"
    run_read_only "$HOME" servetel-auth login -e "$EMAIL" --password-stdin
    assert_refused "$DIR"
    assert_no_more_requests
    [ ! -e "$DIR" ]
}

@test "readers work on a read-only file system while the token is fresh, without a lock file even" {
    needs_mounts
    login
    rm "$DIR/default.lock"
    for command in show 'show --cached' 'show --min-ttl 5m'; do
        # shellcheck disable=SC2086 # words
        run_read_only "$HOME" servetel-auth $command
        assert_done "command: $command"
        assert_stdout "$(cached_token)"
        assert_stderr_empty
    done
    # shellcheck disable=SC2016 # for the inner shell
    run_read_only "$HOME" servetel-auth exec -- sh -c 'printf "%s\n" "$SERVETEL_TOKEN"'
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    run_read_only "$HOME" servetel-auth status
    assert_done
    assert_stderr_empty
    assert_requests 0 refresh
}

@test "show prints a token that is still valid, with a warning, where it cannot be renewed" {
    needs_mounts
    login
    set_life 50 # stale, and not over before the test is
    run_read_only "$HOME" servetel-auth show
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has "$DIR/"
    assert_one_line
    run_read_only "$HOME" servetel-auth show --min-ttl 60s
    assert_refused "$DIR/"
    make_expired
    run_read_only "$HOME" servetel-auth show
    assert_refused "$DIR/"
    assert_requests 0 refresh
}

@test "in a directory without write permission login and refresh are exit 7, and nothing was sent" {
    needs_permissions
    login
    make_stale
    snapshot
    remember_requests
    chmod 500 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/"
    capture "${UNPRIVILEGED[@]}" servetel-auth login --password-stdin <<<"$PW"
    assert_refused "$DIR/"
    capture "${UNPRIVILEGED[@]}" servetel-auth logout
    assert_refused "$DIR/"
    chmod 700 "$DIR"
    rm -f "$DIR/default.lock"
    chmod 500 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/"
    assert_unchanged
    assert_no_more_requests
    chmod 700 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_done
}

@test "a directory that cannot be entered or made is exit 7" {
    needs_permissions
    login
    chmod 000 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth show
    assert_refused "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR"
    chmod 700 "$DIR"
    rm -rf "$DIR"
    chmod 500 "$HOME"
    remember_requests
    capture "${UNPRIVILEGED[@]}" servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_refused "$DIR"
    chmod 700 "$HOME"
    assert_no_more_requests
    printf 'a file\n' >"$DIR"
    try show
    assert_refused "$DIR"
    try_login "$PW" -e "$EMAIL"
    assert_refused "$DIR"
    assert_no_more_requests
    assert_equal "$(cat "$DIR")" 'a file'
}
