#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A cache that others can touch, that is none, or that is broken is not used.
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

# A login whose source is remembered.
login_with_command() {
    servetel-auth login -q -e "$EMAIL" --password-command "echo '$PW'"
}

# Every command that reads a cache, but login and logout. schedule asks it whether there is anything to renew.
READERS=('show' 'show --cached' 'show --json' 'status -p default' 'refresh' 'refresh --min-ttl 60s'
    'refresh --dry-run' 'refresh --all' 'exec -- true')

assert_stdout_lacks() {
    [[ "${output-}" != *"$1"* ]] || fail_with_run "not expected on stdout: $1"
}

# ------------------------------------------------------------------------------------------ permissions, owners

@test "a cache that others can read or write is refused by every command but login and logout" {
    login
    token="$(cached_token)"
    remember_requests
    chmod 640 "$CACHE"
    snapshot
    try show
    assert_refused "chmod 600 $CACHE"
    for command in "${READERS[@]}"; do
        # shellcheck disable=SC2086 # words
        try $command
        assert_status 7 "command: $command"
        assert_stderr_has "chmod 600 $CACHE"
        assert_stderr_lacks "$token"
        assert_stdout_lacks "$token"
    done
    assert_unchanged
    assert_no_more_requests
    chmod 600 "$CACHE"
    try show
    assert_done
}

@test "the chmod named for a path with blanks is one that a shell can run" {
    login
    mkdir "$HOME/my files"
    mv "$CACHE" "$HOME/my files/a token.json"
    chmod 644 "$HOME/my files/a token.json"
    try show -f "$HOME/my files/a token.json"
    assert_refused 'chmod 600 '
    # shellcheck disable=SC2154 # capture sets it
    hint="${stderr#*chmod 600 }"
    bash -c "chmod 600 ${hint%%, *}"
    assert_equal "$(mode_of "$HOME/my files/a token.json")" 600
}

@test "status of all profiles names the loose one, and is not a success" {
    login
    login -p other
    chmod 644 "$CACHE"
    try status
    [[ "$status" = 3 || "$status" = 7 ]] || fail_with_run "expected a failure"
    assert_stderr_has "chmod 600 $CACHE"
    assert_stdout_has other
}

@test "login replaces a loose cache with a warning" {
    login
    old="$(cached_token)"
    chmod 644 "$CACHE"
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_stderr_has "$CACHE"
    assert_stderr_has 'others may read or write'
    assert_equal "$(mode_of "$CACHE")" 600
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "login uses nothing of a loose cache: neither the e-mail, the source nor members of others" {
    login_with_command
    cache_edit '.of_others = 1 | .auth_scheme = "bearer"'
    chmod 644 "$CACHE"
    snapshot
    remember_requests
    capture setsid -w servetel-auth login --password-stdin <<<"$PW"
    assert_failed 2
    assert_stderr_has --email
    assert_unchanged
    capture setsid -w servetel-auth login -e "$EMAIL" </dev/null
    assert_failed 2
    assert_unchanged
    assert_no_more_requests
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(jq -c '[.password_command, .of_others, .auth_scheme]' "$CACHE")" '[null,null,null]'
}

@test "login does not use a loose cache's URL" {
    login
    chmod 666 "$CACHE"
    snapshot
    remember_requests
    unset SERVETEL_API_URL
    # The default host must be tried, and must not be reached by a test.
    proxy_start --mode 403
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_equal "$(cut -d ' ' -f 1,2 "$PROXY_LOG")" 'CONNECT api.servetel.in:443'
    assert_unchanged
    assert_no_more_requests
}

@test "logout removes a loose cache" {
    login
    chmod 666 "$CACHE"
    try logout
    assert_done
    assert_stdout_empty
    [ ! -e "$CACHE" ]
}

@test "a cache of another user is refused with what mends it, and login leaves it alone" {
    needs_root
    login
    remember_requests
    for mode in 600 644; do
        chown 65534 "$CACHE"
        chmod "$mode" "$CACHE"
        snapshot
        for command in "${READERS[@]}"; do
            # shellcheck disable=SC2086 # words
            try $command
            assert_status 7 "command: $command"
            assert_stderr_has "$CACHE"
            assert_stderr_has 'chmod 600'
        done
        assert_unchanged
    done
    chmod 600 "$CACHE"
    snapshot
    try_login "$PW" -e "$EMAIL"
    assert_refused "$CACHE"
    assert_unchanged
    assert_no_more_requests
}

# --------------------------------------------------------------------------------------- no file, or a broken one

# make_special KIND: something that is no regular file in the cache's place.
make_special() {
    rm -rf "$DIR"
    mkdir "$DIR"
    case $1 in
    fifo) mkfifo -m 600 "$CACHE" ;;
    socket) "$TESTS_PYTHON" -c 'import os, socket, sys
os.chdir(sys.argv[1])  # the path of a socket has a limit of some 100 bytes
socket.socket(socket.AF_UNIX).bind("default.json")' "$DIR" && chmod 600 "$CACHE" ;;
    device) ln -s /dev/zero "$CACHE" ;;
    null) ln -s /dev/null "$CACHE" ;;
    esac
}

@test "a directory in which others may write is refused, the one that a link stands in too" {
    local mode path
    login
    mkdir shared
    cp -p "$CACHE" shared/cache.json
    ln -s ../.servetel-auth/default.json shared/link.json
    remember_requests
    for mode in 777 720 702; do
        chmod "$mode" shared
        for path in shared/cache.json shared/link.json; do
            for command in show refresh 'login -e me --password-stdin'; do
                # shellcheck disable=SC2086 # words
                capture servetel-auth $command -f "$path" <<<"$PW"
                assert_refused "others may write in it (mode 0$mode): chmod go-w shared" || fail_with "$command $path"
            done
        done
    done
    assert_no_more_requests
    chmod 1777 shared # where nobody can take another's file away
    try show -f shared/cache.json
    assert_done
    try refresh -f shared/link.json
    assert_done
}

@test "a link that another user has made is not followed, and what it leads to is left alone" {
    needs_root
    login
    mkdir -m 1777 shared
    printf 'precious\n' >precious.json
    ln -s "$HOME/precious.json" shared/cache.json
    chown -h 65534 shared/cache.json
    remember_requests
    for command in show refresh 'login -e me --password-stdin' logout; do
        # shellcheck disable=SC2086 # words
        capture servetel-auth $command -f shared/cache.json <<<"$PW"
        assert_refused 'user 65534 has made the link' || fail_with "$command"
    done
    assert_no_more_requests
    assert_equal "$(<precious.json)" precious
}

@test "login and logout leave a file alone that never was a cache" {
    printf 'precious\n' >notes.txt
    chmod 600 notes.txt
    for command in 'login -e me --password-stdin' logout refresh; do
        # shellcheck disable=SC2086 # words
        capture servetel-auth $command -f notes.txt <<<"$PW"
        assert_refused 'notes.txt' || fail_with "$command"
    done
    assert_nothing_sent
    assert_equal "$(<notes.txt)" precious
}

@test "logout that cannot see the directory is 7, and not none" {
    needs_permissions
    login
    chmod 0 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth logout
    chmod 700 "$DIR"
    assert_refused "$CACHE"
    [ -s "$CACHE" ]
}

@test "what another user has made in this home, as root does with sudo: whose it is and what gives it back is said" {
    needs_root
    needs_permissions
    login
    chown -R 65534 "$DIR"
    for command in show refresh 'login -e me --password-stdin' logout 'refresh --all' status; do
        # shellcheck disable=SC2086 # words
        capture "${UNPRIVILEGED[@]}" servetel-auth $command <<<"$PW"
        assert_refused "$DIR belongs to user 65534: if it should be yours, run as root: chown -R 0 $DIR" ||
            fail_with "$command"
    done
    chown 0 "$DIR"
    capture "${UNPRIVILEGED[@]}" servetel-auth show
    assert_refused "$CACHE belongs to user 65534: if it should be yours, run as root: chown -R 0 $CACHE"
    chown 0 "$CACHE"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/default.lock belongs to user 65534: if it should be yours, run as root: chown -R 0 $DIR/default.lock"
    chown 0 "$DIR/default.lock"
    capture "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_done
}

@test "a FIFO, a socket and a device are refused without hanging" {
    for kind in fifo socket device null; do
        make_special "$kind"
        for command in "${READERS[@]}"; do
            # shellcheck disable=SC2086 # words
            capture timeout 20 servetel-auth $command
            assert_status 7 "kind: $kind, command: $command"
            assert_stderr_has "$CACHE"
        done
        capture timeout 20 servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
        assert_refused "$CACHE" || fail_with "kind: $kind"
        [ -e "$CACHE" ]
    done
    assert_nothing_sent
}

@test "logout removes no FIFO, socket or device" {
    for kind in fifo socket device null; do
        make_special "$kind"
        capture timeout 20 servetel-auth logout
        assert_refused "$CACHE" || fail_with "kind: $kind"
        [ -e "$CACHE" ]
    done
}

# assert_broken CASE: the cache as it is now is refused, and unchanged.
assert_broken() {
    cp "$CACHE" "$BATS_TEST_TMPDIR/broken"
    try refresh
    assert_refused "$CACHE" || fail_with "case: $1"
    cmp "$CACHE" "$BATS_TEST_TMPDIR/broken" || fail_with "case: $1"
}

@test "a cache that is cut, or full of zeros, is refused" {
    login
    remember_requests
    size="$(wc -c <"$CACHE")"
    truncate -s $((size / 2)) "$CACHE"
    assert_broken half
    # A disk that lost its power can leave zeros.
    head -c "$size" /dev/zero >"$CACHE"
    assert_broken zeros
    assert_no_more_requests
}

@test "a cache with a member that cannot be is refused" {
    login
    make_stale # so that a program that does not mind would send it
    remember_requests
    cp "$CACHE" "$BATS_TEST_TMPDIR/whole"
    for breaker in '.version = 0.5' '.version = [1]' '.access_token = "a\u0000b"' '.access_token = ("a" * 16385)' \
        '.expires_at = []'; do
        jq "$breaker" "$BATS_TEST_TMPDIR/whole" >"$CACHE"
        assert_broken "$breaker"
    done
    assert_no_more_requests
}

@test "a cache of 10 MB is refused" {
    login
    jq '.of_others = ("x" * 10000000)' "$CACHE" >"$BATS_TEST_TMPDIR/large"
    cp "$BATS_TEST_TMPDIR/large" "$CACHE"
    for command in 'show --cached' refresh 'status -p default'; do
        # shellcheck disable=SC2086 # words
        try $command
        assert_status 7 "command: $command"
        assert_stderr_has "$CACHE"
    done
    cmp "$BATS_TEST_TMPDIR/large" "$CACHE"
}

@test "a torn cache is 7 for every command but login and logout" {
    login
    printf '{"version":1,"access_tok' >"$CACHE"
    snapshot
    for command in "${READERS[@]}"; do
        # shellcheck disable=SC2086 # words
        try $command
        assert_status 7 "command: $command"
        assert_stderr_has "$CACHE"
        assert_stderr_has 'servetel-auth login'
    done
    assert_unchanged
}

@test "login replaces a torn cache with a warning and uses nothing of it" {
    login_with_command
    cp "$CACHE" "$BATS_TEST_TMPDIR/whole"
    for breaker in empty 'del(.version)' '.of_others = ("x" * 10000000)'; do
        jq "$breaker" "$BATS_TEST_TMPDIR/whole" >"$CACHE"
        capture setsid -w servetel-auth login --password-stdin <<<"$PW"
        assert_failed 2 "case: $breaker"
        assert_stderr_has --email
        try_login "$PW" -e "$EMAIL"
        assert_done "case: $breaker"
        assert_stdout_empty
        assert_stderr_has "$CACHE"
        assert_equal "$(mode_of "$CACHE")" 600
        assert_equal "$(jq -c '[.version, .password_command, .of_others]' "$CACHE")" '[1,null,null]'
        token_works "$(cached_token)"
    done
}

@test "a login that fails leaves a torn or loose cache as it was" {
    login
    printf '{"version":1,"access_tok' >"$CACHE"
    chmod 640 "$CACHE"
    snapshot
    server_script login '{"status":401}'
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_unchanged
}

@test "logout removes a torn cache" {
    login
    printf '{' >"$CACHE"
    try logout
    assert_done
    assert_stdout_empty
    [ ! -e "$CACHE" ]
    try show
    assert_failed 3
}

@test "a later version is refused and not rewritten, by login neither" {
    login
    remember_requests
    cp "$CACHE" "$BATS_TEST_TMPDIR/whole"
    # What a later version makes of its members is not for this one to judge.
    for change in '.version = 2' '{version: 1000000000, access_token: [1, 2], vault: "x"}'; do
        jq "$change" "$BATS_TEST_TMPDIR/whole" >"$CACHE"
        snapshot
        for command in "${READERS[@]}"; do
            # shellcheck disable=SC2086 # words
            try $command
            assert_status 7 "case: $change, command: $command"
            assert_stderr_has version
        done
        try_login "$PW" -e "$EMAIL"
        assert_refused version || fail_with "case: $change, command: login"
        try login --token-stdin <<<token
        assert_refused version || fail_with "case: $change, command: login --token-stdin"
        assert_unchanged
    done
    assert_no_more_requests
    try logout
    assert_done
    [ ! -e "$CACHE" ]
}

@test "unknown members survive refresh and login" {
    login
    cache_edit '. + {note: "a \"b\" \\ \u00e9 \ud83d\ude00 \u0007", nothing: null, empty: {}, none: [],
        yes: true, number: 1234567890123, half: 0.5, minus: -7, "": "no name",
        deep: {a: [1, {b: [null, "c"]}]}, Access_Token: "not it", VERSION: 9, "with/slash": 1}'
    others='del(.version, .api_url, .email, .access_token, .token_type, .expires_at, .obtained_at,
        .logged_in_at, .auth_scheme)'
    before="$(jq -S "$others" "$CACHE")"
    old="$(cached_token)"
    try refresh
    assert_done
    [ "$(cached_token)" != "$old" ]
    assert_equal "$(jq -S "$others" "$CACHE")" "$before"
    try_login "$PW"
    assert_done
    assert_equal "$(jq -S "$others" "$CACHE")" "$before"
    try show
    assert_done
    assert_stdout "$(cached_token)"
}

@test "a whole number of others survives a rewrite to the digit" {
    login
    cache_edit '.theirs = 1795491602123456' # an epoch in microseconds: less than 2^53, so exact anywhere
    try refresh
    assert_done
    assert_stdout_empty
    assert_equal "$(jq '.theirs == 1795491602123456' "$CACHE")" true ||
        fail_with "changed" "$(grep -o '"theirs".*' "$CACHE")"
}
