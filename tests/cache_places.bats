#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where the cache is: directories and modes, links, and --file.
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

# ------------------------------------------------------------------------------------------- places and modes

@test "login makes ~/.servetel-auth 0700 and its files 0600, whatever the umask" {
    for mask in 000 277; do # the others are in tests/unit
        rm -rf "$DIR"
        # shellcheck disable=SC2016 # for the inner shell
        capture bash -c 'umask "$0"; exec servetel-auth "$@"' "$mask" \
            login -q -e "$EMAIL" --password-stdin <<<"$PW"
        assert_done
        assert_stdout_empty
        assert_stderr_empty
        assert_equal "$mask: $(mode_of "$DIR")" "$mask: 700"
        assert_files "$DIR" default.json default.lock
        assert_equal "$mask: $(mode_of "$DIR/default.json")" "$mask: 600"
        assert_equal "$mask: $(mode_of "$DIR/default.lock")" "$mask: 600"
    done
}

@test "refresh leaves 0600, whatever the umask and what the owner had made of it" {
    login
    for mask in 000 777; do
        chmod 700 "$CACHE"
        # shellcheck disable=SC2016 # for the inner shell
        capture bash -c 'umask "$0"; exec servetel-auth refresh -q' "$mask"
        assert_done
        assert_stdout_empty
        assert_stderr_empty
        assert_equal "$mask: $(mode_of "$CACHE")" "$mask: 600"
    done
    assert_requests 2 refresh
}

@test "files are 0600 and directories 0700 from their first byte" {
    needs_traced_strings
    umask 000
    capture strace -f -qq -o "$BATS_TEST_TMPDIR/trace" \
        -e trace=open,openat,creat,mkdir,mkdirat,mknod,mknodat \
        servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
    assert_done
    capture grep -E "\"$HOME.*(O_CREAT|mkdir|creat|mknod)|(mkdir|creat|mknod).*\"$HOME" \
        "$BATS_TEST_TMPDIR/trace"
    # At least the directory, the lock and the temporary file.
    [ "$(wc -l <<<"$output")" -ge 3 ] || fail_with_run "expected more files to be made"
    while read -r line; do
        [[ "$line" == *O_CREAT*', 0600) = '* || "$line" == *mkdir*', 0700) = '* ]] || fail_with "too wide" "$line"
    done <<<"$output"
}

@test "SERVETEL_AUTH_DIR moves the directory, and missing parents are made" {
    export SERVETEL_AUTH_DIR="$BATS_TEST_TMPDIR/a b/c"
    try_login "$PW" -p work -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_files "$SERVETEL_AUTH_DIR" work.json work.lock
    assert_equal "$(mode_of "$SERVETEL_AUTH_DIR")" 700
    assert_equal "$(mode_of "$BATS_TEST_TMPDIR/a b")" 700
    [ ! -e "$DIR" ]
    try show -p work
    assert_done
    assert_stdout "$(cached_token work)"
    assert_stderr_empty
}

@test "an empty SERVETEL_AUTH_DIR or SERVETEL_AUTH_FILE is as if unset" {
    SERVETEL_AUTH_DIR='' SERVETEL_AUTH_FILE='' try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_files "$DIR" default.json default.lock
}

@test "without HOME, or with an empty one, the home directory is the passwd entry's" {
    needs_mounts
    mkdir "$BATS_TEST_TMPDIR/entry"
    for home in '-u HOME' 'HOME='; do
        rm -rf "$BATS_TEST_TMPDIR/entry/.servetel-auth"
        # shellcheck disable=SC2016,SC2086 # for the inner shell; two words
        capture "${NAMESPACE[@]}" bash -c '
            printf "tester:x:%s:%s::%s:/bin/sh\n" "$(id -u)" "$(id -g)" "$0/entry" >"$0/passwd" &&
                mount --bind "$0/passwd" /etc/passwd && exec env "$@"' "$BATS_TEST_TMPDIR" \
            $home servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
        assert_done
        assert_stdout_empty
        assert_stderr_empty
        assert_files "$BATS_TEST_TMPDIR/entry/.servetel-auth" default.json default.lock
    done
    [ ! -e "$DIR" ]
}

@test "without HOME and without a passwd entry it is exit 7, and SERVETEL_AUTH_DIR is enough" {
    local stranger=(unshare --map-user=54321)
    "${stranger[@]}" true 2>/dev/null || skip "cannot become a user without a passwd entry"
    capture env -u HOME "${stranger[@]}" servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_refused HOME
    assert_stderr_has SERVETEL_AUTH_DIR
    capture env -u HOME "${stranger[@]}" servetel-auth show
    assert_refused HOME
    assert_nothing_sent
    capture env -u HOME SERVETEL_AUTH_DIR="$BATS_TEST_TMPDIR/dir" "${stranger[@]}" \
        servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
    assert_done
    assert_stderr_empty
    assert_files "$BATS_TEST_TMPDIR/dir" default.json default.lock
}

@test "XDG variables are not consulted: cron does not have them" {
    local xdg="$BATS_TEST_TMPDIR/xdg"
    mkdir "$xdg"
    export XDG_CONFIG_HOME="$xdg" XDG_CACHE_HOME="$xdg" XDG_DATA_HOME="$xdg" XDG_STATE_HOME="$xdg"
    export XDG_RUNTIME_DIR="$xdg" XDG_CONFIG_DIRS="$xdg" XDG_DATA_DIRS="$xdg"
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_files "$DIR" default.json default.lock
    assert_equal "$(find "$xdg" -mindepth 1)" ''
    unset "${!XDG_@}"
    try show
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
}

@test "the cache is one JSON object with the documented members" {
    before="$(date +%s)"
    login
    assert_equal "$(jq -cS 'map_values(type)' "$CACHE")" "$(jq -cnS '{version: "number", api_url: "string",
        email: "string", access_token: "string", token_type: "string", expires_at: "number",
        obtained_at: "number", logged_in_at: "number"}')"
    assert_equal "$(jq -c '[.version, .api_url, .email, .token_type]' "$CACHE")" "[1,\"$API\",\"$EMAIL\",\"bearer\"]"
    assert_equal "$(jq "(.obtained_at - $before) | . >= 0 and . <= 5" "$CACHE")" true
    assert_equal "$(jq '[.expires_at - .obtained_at, .logged_in_at - .obtained_at] | tostring' "$CACHE")" '"[3600,0]"'
    token_works "$(cached_token)"
}

# ------------------------------------------------------------------------------------------------------- links

# link_cache LINK TARGET: logs in, moves the cache to TARGET and puts a link in its place.
link_cache() {
    login
    mv "$CACHE" "$2"
    rm -f "$DIR/default.lock"
    ln -s "$1" "$CACHE"
}

@test "a file at the end of a link is replaced where the link points, and its lock stands there too" {
    mkdir "$BATS_TEST_TMPDIR/real"
    link_cache "$BATS_TEST_TMPDIR/real/token.json" "$BATS_TEST_TMPDIR/real/token.json"
    old="$(cached_token)"
    try refresh
    assert_done
    assert_stdout_empty
    assert_stderr_has 'renewed'
    assert_equal "$(readlink "$CACHE")" "$BATS_TEST_TMPDIR/real/token.json"
    assert_files "$DIR" default.json
    assert_files "$BATS_TEST_TMPDIR/real" token.json token.lock
    assert_equal "$(mode_of "$BATS_TEST_TMPDIR/real/token.json")" 600
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "the directory may be a link" {
    mkdir -m 700 "$HOME/real"
    ln -s real "$DIR"
    try_login "$PW" -e "$EMAIL"
    assert_done
    [ -L "$DIR" ]
    assert_files "$HOME/real" default.json default.lock
    try refresh
    assert_done
    [ -L "$DIR" ]
    token_works "$(cached_token)"
}

@test "a link's target with loose permissions is refused like any other" {
    link_cache "$HOME/token.json" "$HOME/token.json"
    chmod 640 "$HOME/token.json"
    try show
    assert_refused 'chmod 600'
}

@test "a link that cannot be read is 7" {
    needs_traced_strings
    mkdir -m 700 "$DIR"
    ln -s nowhere "$CACHE"
    # Of this path alone: a sanitizer reads the link to its own program.
    capture strace -o /dev/null -P "$CACHE" -e trace=readlink,readlinkat -e inject=readlink,readlinkat:error=EIO \
        servetel-auth show
    assert_refused "cannot read the link '$CACHE': Input/output error"
}

# ------------------------------------------------------------------------------------------------------ --file

@test "the lock of --file PATH is PATH without .json, plus .lock" {
    mkdir "$HOME/files"
    cd "$HOME/files"
    for name in tok.json token.txt plain x.json.bak; do
        try_login "$PW" -e "$EMAIL" --file "$HOME/files/$name"
        assert_done
        assert_stdout_empty
    done
    assert_files "$HOME/files" tok.json tok.lock token.txt token.txt.lock plain plain.lock x.json.bak x.json.bak.lock
    [ ! -e "$DIR" ]
    for name in tok.json tok.lock plain plain.lock; do
        assert_equal "$name $(mode_of "$name")" "$name 600"
    done
}

@test "--file may be relative, beats the variable, and is what every command uses" {
    mkdir "$HOME/files"
    cd "$HOME/files"
    export SERVETEL_AUTH_FILE="$HOME/files/variable.json"
    try_login "$PW" -e "$EMAIL" --file here.json
    assert_done
    assert_files "$HOME/files" here.json here.lock
    try show
    assert_status 3
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_files "$HOME/files" here.json here.lock variable.json variable.lock
    try show -f ./here.json
    assert_done
    assert_stdout "$(jq -r .access_token here.json)"
    try refresh -f here.json --print
    assert_done
    assert_stdout "$(jq -r .access_token here.json)"
    try logout -f here.json
    assert_done
    assert_stdout_empty
    [ ! -e here.json ]
    [ -e variable.json ]
    [ ! -e "$DIR" ]
}

@test "--file with a directory is refused" {
    mkdir "$HOME/files"
    for path in "$HOME/files" "$HOME/files/"; do
        try show -f "$path"
        assert_refused "$path"
        try_login "$PW" -e "$EMAIL" -f "$path"
        assert_refused "$path"
    done
    assert_nothing_sent
    assert_files "$HOME/files"
    assert_files "$HOME" files
}
