#!/usr/bin/env bats
# The cache: where it is, who may touch it, and that it changes whole or not at all.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

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

# run_auth ARGUMENTS...: as `run --separate-stderr` would, which takes ten times as long as the program. LIMIT may be
# a command to run it under.
run_auth() {
    status=0
    ${LIMIT-} servetel-auth "$@" >"$BATS_TEST_TMPDIR/stdout" 2>"$BATS_TEST_TMPDIR/stderr" || status=$?
    output="$(<"$BATS_TEST_TMPDIR/stdout")"
    stderr="$(<"$BATS_TEST_TMPDIR/stderr")"
}

# The same with the password on stdin; LIMIT='setsid -w' takes the terminal away.
run_login() {
    run_auth login "$@" <<<"$PW"
}

assert_nothing_sent() {
    assert_equal "$(server_log length)" 0
}

# What the preparation has sent does not count. (A reset would forget the tokens, too.)
remember_requests() {
    REQUESTS="$(server_control stats)"
}

# Any request would show there, as a connection at least.
assert_no_more_requests() {
    assert_equal "$(server_control stats)" "$REQUESTS"
}

# assert_refused TEXT: exit 7, nothing on stdout, one line on stderr, with TEXT in it.
assert_refused() {
    assert_status 7 && assert_stdout_empty && assert_stderr_has "$1" && assert_one_line
}

assert_stdout_lacks() {
    [[ "${output-}" != *"$1"* ]] || fail_with_run "not expected on stdout: $1"
}

assert_one_line() {
    [[ "${stderr-}" == 'servetel-auth: '* && "${stderr-}" != *$'\n'* ]] || fail_with_run "expected one line on stderr"
}

# assert_files DIRECTORY NAME...: exactly these are in it.
assert_files() {
    local expected=
    [ $# -lt 2 ] || expected="$(printf './%s\n' "${@:2}" | sort)"
    assert_equal "$(cd "$1" && find . -mindepth 1 | sort)" "$expected"
}

# Sets NAMESPACE, a command that gives the next one mounts of its own, or skips.
needs_mounts() {
    for NAMESPACE in 'unshare --mount' 'unshare --mount --map-root-user'; do
        read -r -a NAMESPACE <<<"$NAMESPACE"
        # shellcheck disable=SC2016 # for the inner shell
        if "${NAMESPACE[@]}" sh -c 'mount -t tmpfs none "$0"' "$BATS_TEST_TMPDIR" 2>/dev/null; then
            return
        fi
    done
    skip "cannot mount anything, not even in a namespace"
}

# Sets UNPRIVILEGED, a command that takes from root what lets it pass over permissions, or skips.
needs_permissions() {
    UNPRIVILEGED=()
    [ "$(id -u)" = 0 ] || return 0
    UNPRIVILEGED=(setpriv --bounding-set '-dac_override,-dac_read_search')
    "${UNPRIVILEGED[@]}" true 2>/dev/null || skip "root cannot give up passing over permissions here"
}

needs_root() {
    [ "$(id -u)" = 0 ] || skip "only root can give a file to another user"
}

# ------------------------------------------------------------------------------------------- places and modes

@test "login makes ~/.servetel-auth 0700 and its files 0600, whatever the umask" {
    for mask in 000 022 077 277 777; do
        rm -rf "$DIR"
        # shellcheck disable=SC2016 # for the inner shell
        run --separate-stderr bash -c 'umask "$0"; exec servetel-auth "$@"' "$mask" \
            login -q -e "$EMAIL" --password-stdin <<<"$PW"
        assert_status 0
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
        run --separate-stderr bash -c 'umask "$0"; exec servetel-auth refresh -q' "$mask"
        assert_status 0
        assert_stdout_empty
        assert_stderr_empty
        assert_equal "$mask: $(mode_of "$CACHE")" "$mask: 600"
    done
    assert_equal "$(count_requests refresh)" 2
}

@test "files are 0600 and directories 0700 from their first byte" {
    needs_traced_strings
    # The leak sanitizer cannot work in a traced process.
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
    umask 000
    run --separate-stderr strace -f -qq -o "$BATS_TEST_TMPDIR/trace" \
        -e trace=open,openat,creat,mkdir,mkdirat,mknod,mknodat \
        servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
    assert_status 0
    run --separate-stderr grep -E "\"$HOME.*(O_CREAT|mkdir|creat|mknod)|(mkdir|creat|mknod).*\"$HOME" \
        "$BATS_TEST_TMPDIR/trace"
    # At least the directory, the lock and the temporary file.
    [ "${#lines[@]}" -ge 3 ] || fail_with_run "expected more files to be made"
    for line in "${lines[@]}"; do
        [[ "$line" == *O_CREAT*', 0600) = '* || "$line" == *mkdir*', 0700) = '* ]] || fail_with "too wide" "$line"
    done
}

@test "SERVETEL_AUTH_DIR moves the directory, and missing parents are made" {
    export SERVETEL_AUTH_DIR="$BATS_TEST_TMPDIR/a b/c"
    run_login -p work -e "$EMAIL" --password-stdin
    assert_status 0
    assert_stdout_empty
    assert_files "$SERVETEL_AUTH_DIR" work.json work.lock
    assert_equal "$(mode_of "$SERVETEL_AUTH_DIR")" 700
    assert_equal "$(mode_of "$BATS_TEST_TMPDIR/a b")" 700
    [ ! -e "$DIR" ]
    run_auth show -p work
    assert_status 0
    assert_stdout "$(cached_token work)"
    assert_stderr_empty
}

@test "an empty SERVETEL_AUTH_DIR or SERVETEL_AUTH_FILE is as if unset" {
    SERVETEL_AUTH_DIR='' SERVETEL_AUTH_FILE='' run_login -e "$EMAIL" --password-stdin
    assert_status 0
    assert_stdout_empty
    assert_files "$DIR" default.json default.lock
}

@test "without HOME, or with an empty one, the home directory is the passwd entry's" {
    needs_mounts
    mkdir "$BATS_TEST_TMPDIR/entry"
    for home in '-u HOME' 'HOME='; do
        rm -rf "$BATS_TEST_TMPDIR/entry/.servetel-auth"
        # shellcheck disable=SC2016,SC2086 # for the inner shell; two words
        run --separate-stderr "${NAMESPACE[@]}" bash -c '
            printf "tester:x:%s:%s::%s:/bin/sh\n" "$(id -u)" "$(id -g)" "$0/entry" >"$0/passwd" &&
                mount --bind "$0/passwd" /etc/passwd && exec env "$@"' "$BATS_TEST_TMPDIR" \
            $home servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
        assert_status 0
        assert_stdout_empty
        assert_stderr_empty
        assert_files "$BATS_TEST_TMPDIR/entry/.servetel-auth" default.json default.lock
    done
    [ ! -e "$DIR" ]
}

@test "without HOME and without a passwd entry it is exit 7, and SERVETEL_AUTH_DIR is enough" {
    local nobody=(unshare --map-user=54321)
    "${nobody[@]}" true 2>/dev/null || skip "cannot become a user without a passwd entry"
    run --separate-stderr env -u HOME "${nobody[@]}" servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_refused HOME
    assert_stderr_has SERVETEL_AUTH_DIR
    run --separate-stderr env -u HOME "${nobody[@]}" servetel-auth show
    assert_refused HOME
    assert_nothing_sent
    run --separate-stderr env -u HOME SERVETEL_AUTH_DIR="$BATS_TEST_TMPDIR/dir" "${nobody[@]}" \
        servetel-auth login -q -e "$EMAIL" --password-stdin <<<"$PW"
    assert_status 0
    assert_stderr_empty
    assert_files "$BATS_TEST_TMPDIR/dir" default.json default.lock
}

@test "XDG variables are not consulted: cron does not have them" {
    local xdg="$BATS_TEST_TMPDIR/xdg"
    mkdir "$xdg"
    export XDG_CONFIG_HOME="$xdg" XDG_CACHE_HOME="$xdg" XDG_DATA_HOME="$xdg" XDG_STATE_HOME="$xdg"
    export XDG_RUNTIME_DIR="$xdg" XDG_CONFIG_DIRS="$xdg" XDG_DATA_DIRS="$xdg"
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
    assert_stdout_empty
    assert_files "$DIR" default.json default.lock
    assert_equal "$(find "$xdg" -mindepth 1)" ''
    unset "${!XDG_@}"
    run_auth show
    assert_status 0
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
    run_auth refresh
    assert_status 0
    assert_stdout_empty
    assert_stderr_has 'renewed'
    assert_equal "$(readlink "$CACHE")" "$BATS_TEST_TMPDIR/real/token.json"
    assert_files "$DIR" default.json
    assert_files "$BATS_TEST_TMPDIR/real" token.json token.lock
    assert_equal "$(mode_of "$BATS_TEST_TMPDIR/real/token.json")" 600
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "login goes through a link too" {
    mkdir "$BATS_TEST_TMPDIR/real"
    link_cache "$BATS_TEST_TMPDIR/real/token.json" "$BATS_TEST_TMPDIR/real/token.json"
    old="$(cached_token)"
    run_login --password-stdin
    assert_status 0
    assert_stdout_empty
    [ -L "$CACHE" ]
    assert_files "$DIR" default.json
    assert_files "$BATS_TEST_TMPDIR/real" token.json token.lock
    [ "$(cached_token)" != "$old" ]
}

@test "links may be relative, and several in a row" {
    mkdir -p "$HOME/a/b"
    link_cache ../a/first "$HOME/a/b/last.json"
    ln -s b/second "$HOME/a/first"
    ln -s "$HOME/a/b/third" "$HOME/a/b/second"
    ln -s last.json "$HOME/a/b/third"
    cd / # a link leads from where it stands, not from here
    run_auth refresh
    assert_status 0
    assert_stdout_empty
    assert_files "$HOME" .servetel-auth .servetel-auth/default.json \
        a a/first a/b a/b/second a/b/third a/b/last.json a/b/last.lock
    assert_equal "$(readlink "$HOME/a/b/third")" last.json
    token_works "$(cached_token)"
}

@test "a link that dangles is no token for a reader, and where login makes the file" {
    mkdir -p "$DIR" "$HOME/real"
    ln -s ../real/token "$CACHE"
    run_auth show
    assert_status 3
    assert_stdout_empty
    assert_stderr_has 'servetel-auth login'
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
    assert_stdout_empty
    assert_files "$DIR" default.json
    assert_equal "$(readlink "$CACHE")" ../real/token
    assert_files "$HOME/real" token token.lock
    assert_equal "$(mode_of "$HOME/real/token")" 600
}

@test "links in a circle are refused" {
    mkdir -p "$DIR"
    ln -s other.json "$CACHE"
    ln -s default.json "$DIR/other.json"
    for command in show 'show --cached' refresh 'exec -- true'; do
        # shellcheck disable=SC2086 # words
        run_auth $command
        assert_refused "$CACHE"
    done
    run_login -e "$EMAIL" --password-stdin
    assert_refused "$CACHE"
    assert_nothing_sent
    assert_files "$DIR" default.json other.json
}

@test "the directory may be a link" {
    mkdir -m 700 "$HOME/real"
    ln -s real "$DIR"
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
    [ -L "$DIR" ]
    assert_files "$HOME/real" default.json default.lock
    run_auth refresh
    assert_status 0
    [ -L "$DIR" ]
    token_works "$(cached_token)"
}

@test "a link's target with loose permissions is refused like any other" {
    link_cache "$HOME/token.json" "$HOME/token.json"
    chmod 640 "$HOME/token.json"
    run_auth show
    assert_refused 'chmod 600'
}

# ------------------------------------------------------------------------------------------------------ --file

@test "the lock of --file PATH is PATH without .json, plus .lock" {
    mkdir "$HOME/files"
    cd "$HOME/files"
    for name in tok.json token.txt plain x.json.bak; do
        run_login -e "$EMAIL" --password-stdin --file "$HOME/files/$name"
        assert_status 0
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
    run_login -e "$EMAIL" --password-stdin --file here.json
    assert_status 0
    assert_files "$HOME/files" here.json here.lock
    run_auth show
    assert_status 3
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
    assert_files "$HOME/files" here.json here.lock variable.json variable.lock
    run_auth show -f ./here.json
    assert_status 0
    assert_stdout "$(jq -r .access_token here.json)"
    run_auth refresh -f here.json --print
    assert_status 0
    assert_stdout "$(jq -r .access_token here.json)"
    run_auth logout -f here.json
    assert_status 0
    assert_stdout_empty
    [ ! -e here.json ]
    [ -e variable.json ]
    [ ! -e "$DIR" ]
}

@test "--file with a directory is refused" {
    mkdir "$HOME/files"
    for path in "$HOME/files" "$HOME/files/"; do
        run_auth show -f "$path"
        assert_refused "$path"
        run_login -e "$EMAIL" --password-stdin -f "$path"
        assert_refused "$path"
    done
    assert_nothing_sent
    assert_files "$HOME/files"
    assert_files "$HOME" files
}

# ------------------------------------------------------------------------------------------ permissions, owners

@test "a cache that others can read or write is refused by every command but login and logout" {
    login
    token="$(cached_token)"
    remember_requests
    for mode in 640 604 644 620 602 660 606 666; do
        chmod "$mode" "$CACHE"
        snapshot
        run_auth show
        assert_refused "chmod 600 '$CACHE'"
    done
    assert_unchanged
    for command in "${READERS[@]}"; do
        # shellcheck disable=SC2086 # words
        run_auth $command
        assert_status 7 || fail_with "command: $command"
        assert_stderr_has "chmod 600 '$CACHE'"
        assert_stderr_lacks "$token"
        assert_stdout_lacks "$token"
    done
    assert_unchanged
    assert_no_more_requests
    chmod 600 "$CACHE"
    run_auth show
    assert_status 0
}

@test "the chmod named for a path with blanks is one that a shell can run" {
    login
    mkdir "$HOME/my files"
    mv "$CACHE" "$HOME/my files/a token.json"
    chmod 644 "$HOME/my files/a token.json"
    run_auth show -f "$HOME/my files/a token.json"
    assert_refused 'chmod 600 '
    hint="${stderr#*chmod 600 }"
    bash -c "chmod 600 ${hint%%, *}"
    assert_equal "$(mode_of "$HOME/my files/a token.json")" 600
}

@test "status of all profiles names the loose one, and is not a success" {
    login
    login -p other
    chmod 644 "$CACHE"
    run_auth status
    [[ "$status" = 3 || "$status" = 7 ]] || fail_with_run "expected a failure"
    assert_stderr_has "chmod 600 '$CACHE'"
    assert_stdout_has other
}

@test "login replaces a loose cache with a warning" {
    login
    old="$(cached_token)"
    chmod 644 "$CACHE"
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
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
    LIMIT='setsid -w' run_login --password-stdin
    assert_status 2
    assert_stdout_empty
    assert_stderr_has --email
    assert_unchanged
    LIMIT='setsid -w' run_auth login -e "$EMAIL" </dev/null
    assert_status 2
    assert_stdout_empty
    assert_unchanged
    assert_no_more_requests
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
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
    https_proxy="$PROXY" run_login -e "$EMAIL" --password-stdin --retries 0
    assert_status 5
    assert_stdout_empty
    assert_equal "$(cut -d ' ' -f 1,2 "$PROXY_LOG")" 'CONNECT api.servetel.in:443'
    assert_unchanged
    assert_no_more_requests
}

@test "logout removes a loose cache" {
    login
    chmod 666 "$CACHE"
    run_auth logout
    assert_status 0
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
            run_auth $command
            assert_status 7 || fail_with "command: $command"
            assert_stderr_has "$CACHE"
            assert_stderr_has 'chmod 600'
        done
        assert_unchanged
    done
    chmod 600 "$CACHE"
    snapshot
    run_login -e "$EMAIL" --password-stdin
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
    directory) mkdir -m 700 "$CACHE" ;;
    socket) "$TESTS_PYTHON" -c 'import os, socket, sys
os.chdir(sys.argv[1])  # the path of a socket has a limit of some 100 bytes
socket.socket(socket.AF_UNIX).bind("default.json")' "$DIR" && chmod 600 "$CACHE" ;;
    device) ln -s /dev/zero "$CACHE" ;;
    null) ln -s /dev/null "$CACHE" ;;
    esac
}

@test "a FIFO, a directory, a socket and a device are refused without hanging" {
    for kind in fifo directory socket device null; do
        make_special "$kind"
        for command in "${READERS[@]}"; do
            # shellcheck disable=SC2086 # words
            LIMIT='timeout 20' run_auth $command
            assert_status 7 || fail_with "kind: $kind, command: $command"
            assert_stderr_has "$CACHE"
        done
        LIMIT='timeout 20' run_login -e "$EMAIL" --password-stdin
        assert_refused "$CACHE" || fail_with "kind: $kind"
        [ -e "$CACHE" ]
    done
    assert_nothing_sent
}

@test "logout removes a FIFO and a socket" {
    for kind in fifo socket; do
        make_special "$kind"
        run_auth logout
        assert_status 0 || fail_with "kind: $kind"
        assert_stdout_empty
        [ ! -e "$CACHE" ]
    done
}

# assert_broken CASE: the cache as it is now is refused, and unchanged.
assert_broken() {
    cp "$CACHE" "$BATS_TEST_TMPDIR/broken"
    run_auth refresh
    assert_refused "$CACHE" || fail_with "case: $1"
    cmp "$CACHE" "$BATS_TEST_TMPDIR/broken" || fail_with "case: $1"
}

@test "a torn cache is refused, wherever it is torn" {
    login
    remember_requests
    cp "$CACHE" "$BATS_TEST_TMPDIR/whole"
    size="$(wc -c <"$CACHE")"
    for part in 0 1 2 20 $((size / 3)) $((size / 2)) $((size - 20)) $((size - 4)) $((size - 2)); do
        head -c "$part" "$BATS_TEST_TMPDIR/whole" >"$CACHE"
        assert_broken "first $part bytes"
    done
    # A disk that lost its power can leave zeros.
    head -c "$size" /dev/zero >"$CACHE"
    assert_broken zeros
    { cat "$BATS_TEST_TMPDIR/whole" && cat "$BATS_TEST_TMPDIR/whole"; } >"$CACHE"
    assert_broken twice
    { cat "$BATS_TEST_TMPDIR/whole" && printf '\0'; } >"$CACHE"
    assert_broken 'with a NUL behind it'
    assert_no_more_requests
}

@test "a cache that is JSON but not ours is refused" {
    umask 077
    mkdir "$DIR"
    for text in ' ' '[]' '"x"' null 7 true '{}' '[{"version":1}]' "{'version':1}" '{"version":1,}' \
        '{"version":1} x'; do
        printf '%s\n' "$text" >"$CACHE"
        assert_broken "$text"
    done
    assert_nothing_sent
}

# jq programs that spoil one member each.
BREAKERS=('del(.version)' '.version = "1"' '.version = null' '.version = [1]' '.version = true' '.version = 0'
    '.version = -1' '.version = 0.5'
    '.access_token = 7' '.access_token = ""' '.access_token = ["a"]' '.access_token = "a b"'
    '.access_token = "a\nb"' '.access_token = "a\u0000b"' '.access_token = "a\u00e9"'
    '.access_token = ("a" * 16385)' '.access_token = {}' '.access_token = false'
    '.expires_at = "soon"' '.expires_at = []' '.expires_at = -1' '.expires_at = 1e300' '.expires_at = {}'
    '.obtained_at = "then"' '.obtained_at = -5' '.logged_in_at = {}' '.logged_in_at = true'
    '.api_url = 7' '.api_url = {}' '.email = 7' '.email = []' '.token_type = 7' '.auth_scheme = 7'
    '.password_command = 7' '.password_file = {}' '.token_command = [1]' '.unattended_login = 7')

@test "a cache with a member of the wrong type or without its version is refused" {
    login
    make_stale # so that a program that does not mind would send it
    remember_requests
    # All at once: jq takes longer to start than the program.
    all="$(printf '(%s),' "${BREAKERS[@]}")"
    jq -c "${all%,}" "$CACHE" >"$BATS_TEST_TMPDIR/all"
    number=0
    while IFS= read -r broken; do
        printf '%s\n' "$broken" >"$CACHE"
        assert_broken "${BREAKERS[number]}"
        number=$((number + 1))
    done <"$BATS_TEST_TMPDIR/all"
    assert_equal "$number" "${#BREAKERS[@]}"
    assert_no_more_requests
}

@test "a cache of 10 MB is refused" {
    login
    jq '.of_others = ("x" * 10000000)' "$CACHE" >"$BATS_TEST_TMPDIR/large"
    cp "$BATS_TEST_TMPDIR/large" "$CACHE"
    for command in 'show --cached' refresh 'status -p default'; do
        # shellcheck disable=SC2086 # words
        run_auth $command
        assert_status 7 || fail_with "command: $command"
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
        run_auth $command
        assert_status 7 || fail_with "command: $command"
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
        LIMIT='setsid -w' run_login --password-stdin
        assert_status 2 || fail_with "case: $breaker"
        assert_stderr_has --email
        run_login -e "$EMAIL" --password-stdin
        assert_status 0 || fail_with "case: $breaker"
        assert_stdout_empty
        assert_stderr_has "$CACHE"
        assert_equal "$(mode_of "$CACHE")" 600
        assert_equal "$(jq -c '[.version, .password_command, .of_others]' "$CACHE")" '[1,null,null]'
        token_works "$(cached_token)"
    done
}

@test "a login that fails leaves a torn or loose cache as it was" {
    login
    printf torn >"$CACHE"
    chmod 640 "$CACHE"
    snapshot
    server_script login '{"status":401}'
    run_login -e "$EMAIL" --password-stdin
    assert_status 4
    assert_stdout_empty
    assert_unchanged
}

@test "logout removes a torn cache" {
    login
    printf '{' >"$CACHE"
    run_auth logout
    assert_status 0
    assert_stdout_empty
    [ ! -e "$CACHE" ]
    run_auth show
    assert_status 3
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
            run_auth $command
            assert_status 7 || fail_with "case: $change, command: $command"
            assert_stderr_has version
        done
        run_login -e "$EMAIL" --password-stdin
        assert_refused version || fail_with "case: $change, command: login"
        run_auth login --token-stdin <<<token
        assert_refused version || fail_with "case: $change, command: login --token-stdin"
        assert_unchanged
    done
    assert_no_more_requests
    run_auth logout
    assert_status 0
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
    run_auth refresh
    assert_status 0
    [ "$(cached_token)" != "$old" ]
    assert_equal "$(jq -S "$others" "$CACHE")" "$before"
    run_login --password-stdin
    assert_status 0
    assert_equal "$(jq -S "$others" "$CACHE")" "$before"
    run_auth show
    assert_status 0
    assert_stdout "$(cached_token)"
}

@test "a whole number of others survives a rewrite to the digit" {
    login
    cache_edit '.theirs = 1795491602123456' # an epoch in microseconds: less than 2^53, so exact anywhere
    run_auth refresh
    assert_status 0
    assert_stdout_empty
    assert_equal "$(jq '.theirs == 1795491602123456' "$CACHE")" true ||
        fail_with "changed" "$(grep -o '"theirs".*' "$CACHE")"
}

# ----------------------------------------------------------------------------------------------------- writing

@test "a temporary file of a process that was killed is removed by the next writer" {
    login
    server_script refresh '{"hang":true}'
    background servetel-auth refresh
    retry_until 10 has_requests refresh 1
    # Room is reserved before anything is sent: there it is.
    left="$(find "$DIR" -type f ! -name default.json ! -name default.lock -exec basename {} \;)"
    assert_equal "$(wc -l <<<"$left")" 1
    assert_equal "$(mode_of "$DIR/$left")" 600
    kill -9 "$BG_PID"
    retry_until 5 is_gone "$BG_PID"
    [ -e "$DIR/$left" ]
    run_auth status # it is no profile
    assert_status 0
    assert_equal "$(wc -l <<<"$output" | tr -d ' ')" 1
    run_auth refresh
    assert_status 0
    assert_files "$DIR" default.json default.lock
    token_works "$(cached_token)"
}

@test "login too removes what a killed process has left" {
    server_script login '{"hang":true}'
    BG_OUT=/dev/null BG_ERR=/dev/null
    servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW" >/dev/null 2>&1 3>&- &
    STARTED_PIDS+=($!)
    retry_until 10 has_requests login 1
    kill -9 "${STARTED_PIDS[-1]}"
    retry_until 5 is_gone "${STARTED_PIDS[-1]}"
    assert_equal "$(find "$DIR" -type f | wc -l | tr -d ' ')" 2 # the lock and the temporary file
    run_login -e "$EMAIL" --password-stdin
    assert_status 0
    assert_files "$DIR" default.json default.lock
}

@test "a signal leaves the old file and nothing else" {
    login
    snapshot
    for signal in TERM:143 INT:130 HUP:129; do
        server_script refresh '{"hang":true}'
        seen="$(count_requests refresh)"
        # bash starts what is in the background with SIGINT ignored.
        background env --default-signal=INT servetel-auth refresh
        retry_until 10 has_requests refresh $((seen + 1))
        kill "-${signal%:*}" "$BG_PID"
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$signal $status" "$signal ${signal#*:}"
        assert_files "$DIR" default.json default.lock
        assert_unchanged
        assert_equal "$(cat "$BG_OUT")" ''
    done
}

# A port that nobody listens on: its server has just ended.
closed_port() {
    STARTED_DIR="$(mktemp -d "$BATS_TEST_TMPDIR/closed.XXXXXX")"
    start_and_wait_for_port proxy_server.py --log "$STARTED_DIR/log"
    stop_pid "${STARTED_PIDS[-1]}"
    printf '%s\n' "$STARTED_PORT"
}

@test "a failure never deletes, empties or changes what was cached" {
    login
    cache_edit '.of_others = 1'
    make_stale
    snapshot
    local case answer
    for case in '401:4' '503:5' '302:6'; do # hostile.bats has them all
        answer="{\"status\":${case%:*},\"headers\":{\"Location\":\"/v1/me\"},\"repeat\":-1}"
        server_reset
        server_script refresh "$answer"
        server_script login "$answer"
        run_auth refresh
        assert_status "${case#*:}" || fail_with "refresh: $case"
        assert_stdout_empty
        assert_one_line
        assert_unchanged
        run_login -q --password-stdin --retries 0
        assert_status "${case#*:}" || fail_with "login: $case"
        assert_stdout_empty
        assert_one_line
        assert_unchanged
    done
    assert_files "$DIR" default.json default.lock
    server_reset
    server_script refresh '{"body":"<html>captive portal</html>"}'
    run_auth refresh
    assert_status 6
    assert_unchanged
    local nobody
    nobody="http://127.0.0.1:$(closed_port)/v1"
    run_auth refresh --api-url "$nobody" --retries 0
    assert_status 5
    assert_stdout_empty
    assert_unchanged
    run_login --password-stdin --api-url "$nobody" --retries 0
    assert_status 5
    assert_stdout_empty
    assert_unchanged
    assert_files "$DIR" default.json default.lock
}

# -------------------------------------------------------------------------------------- full and read-only disks

# run_on_small_disk OPTIONS FREE COMMAND...: the directory is a tmpfs mounted with OPTIONS, with the cache in it, if
# there is one, filled but for FREE pages (-: not filled). Afterwards AFTER holds what is in it.
run_on_small_disk() {
    export AFTER="$BATS_TEST_TMPDIR/after"
    rm -rf "$AFTER"
    mkdir -p "$AFTER" "$DIR"
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr "${NAMESPACE[@]}" bash -c '
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
        assert_status 7
        assert_stdout_empty
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
        run bash -c "set -o pipefail; prlimit --fsize=$limit servetel-auth refresh 2>&1 | cat"
        assert_status 7 || fail_with "limit: $limit"
        assert_stdout_has "$DIR/"
        assert_unchanged
        assert_no_more_requests
    done
    run bash -c "set -o pipefail
        printf '%s\n' '$PW' | prlimit --fsize=100 servetel-auth login -e '$EMAIL' --password-stdin 2>&1 | cat"
    assert_status 7
    assert_stdout_has "$DIR/"
    assert_unchanged
    assert_no_more_requests
    run_auth refresh
    assert_status 0
}

# run_read_only PATH COMMAND...: with a file system that cannot be written there.
run_read_only() {
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr "${NAMESPACE[@]}" sh -c '
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
        assert_status 0 || fail_with "command: $command"
        assert_stdout "$(cached_token)"
        assert_stderr_empty
    done
    # shellcheck disable=SC2016 # for the inner shell
    run_read_only "$HOME" servetel-auth exec -- sh -c 'printf "%s\n" "$SERVETEL_TOKEN"'
    assert_status 0
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    run_read_only "$HOME" servetel-auth status
    assert_status 0
    assert_stderr_empty
    assert_equal "$(count_requests refresh)" 0
}

@test "show prints a token that is still valid, with a warning, where it cannot be renewed" {
    needs_mounts
    login
    set_life 50 # stale, and not over before the test is
    run_read_only "$HOME" servetel-auth show
    assert_status 0
    assert_stdout "$(cached_token)"
    assert_stderr_has "$DIR/"
    assert_one_line
    run_read_only "$HOME" servetel-auth show --min-ttl 60s
    assert_refused "$DIR/"
    make_expired
    run_read_only "$HOME" servetel-auth show
    assert_refused "$DIR/"
    assert_equal "$(count_requests refresh)" 0
}

@test "in a directory without write permission login and refresh are exit 7, and nothing was sent" {
    needs_permissions
    login
    make_stale
    snapshot
    remember_requests
    chmod 500 "$DIR"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth login --password-stdin <<<"$PW"
    assert_refused "$DIR/"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth logout
    assert_refused "$DIR/"
    chmod 700 "$DIR"
    rm -f "$DIR/default.lock"
    chmod 500 "$DIR"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/"
    assert_unchanged
    assert_no_more_requests
    chmod 700 "$DIR"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_status 0
}

@test "a directory that cannot be entered or made is exit 7" {
    needs_permissions
    login
    chmod 000 "$DIR"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth show
    assert_refused "$DIR"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR"
    chmod 700 "$DIR"
    rm -rf "$DIR"
    chmod 500 "$HOME"
    remember_requests
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_refused "$DIR"
    chmod 700 "$HOME"
    assert_no_more_requests
    printf 'a file\n' >"$DIR"
    run_auth show
    assert_refused "$DIR"
    run_login -e "$EMAIL" --password-stdin
    assert_refused "$DIR"
    assert_no_more_requests
    assert_equal "$(cat "$DIR")" 'a file'
}

# ---------------------------------------------------------------------------------------------------- the lock

# A lock that cannot be had, and not because another one has it.
assert_lock_is_refused() {
    remember_requests
    LIMIT='timeout 20' run_auth refresh
    assert_refused "$DIR/default.lock"
    LIMIT='timeout 20' run_login --password-stdin
    assert_refused "$DIR/default.lock"
    assert_no_more_requests
    assert_unchanged
}

@test "a lock that is a FIFO, a directory or a link is refused, and nothing was sent" {
    login
    snapshot
    rm "$DIR/default.lock"
    mkfifo -m 600 "$DIR/default.lock"
    assert_lock_is_refused
    rm "$DIR/default.lock"
    mkdir "$DIR/default.lock"
    assert_lock_is_refused
    rmdir "$DIR/default.lock"
    printf 'precious\n' >"$HOME/precious"
    chmod 644 "$HOME/precious"
    ln -s "$HOME/precious" "$DIR/default.lock"
    assert_lock_is_refused
    assert_equal "$(mode_of "$HOME/precious") $(cat "$HOME/precious")" '644 precious'
    # Readers take no lock, so it is nothing to them.
    run_auth show
    assert_status 0
    assert_stdout "$(cached_token)"
    assert_stderr_empty
}

@test "a lock of another user that cannot be opened is refused" {
    needs_root
    needs_permissions
    login
    snapshot
    remember_requests
    chown 65534 "$DIR/default.lock"
    run --separate-stderr "${UNPRIVILEGED[@]}" servetel-auth refresh
    assert_refused "$DIR/default.lock"
    assert_unchanged
    assert_no_more_requests
}

@test "a lock file is made 0600 again, and what is in it does no harm" {
    login
    head -c 1000 /dev/urandom >"$DIR/default.lock"
    chmod 666 "$DIR/default.lock"
    run_auth refresh
    assert_status 0
    assert_stdout_empty
    assert_equal "$(mode_of "$DIR/default.lock")" 600
    head -c 1000 /dev/zero >"$DIR/default.lock"
    run_auth refresh
    assert_status 0
    token_works "$(cached_token)"
}

@test "readers take no lock: a hanging renewal does not hold them up" {
    login
    token="$(cached_token)"
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 60s
    retry_until 10 has_requests refresh 1
    for command in show 'show --cached' 'status -p default' 'exec -- true'; do
        # shellcheck disable=SC2086 # words
        LIMIT='timeout 10' run_auth $command
        assert_status 0 || fail_with "command: $command"
    done
    assert_equal "$(cached_token)" "$token"
}

# ------------------------------------------------------------------------------------------------------ logout

@test "logout removes the cache, and is a success when there was none" {
    login
    login -p other
    run_auth logout
    assert_status 0
    assert_stdout_empty
    [ ! -e "$CACHE" ]
    [ -e "$DIR/other.json" ]
    run_auth logout
    assert_status 0
    assert_stdout_empty
    run_auth show
    assert_status 3
    run_auth logout --all
    assert_status 0
    [ ! -e "$DIR/other.json" ]
    rm -rf "$DIR"
    run_auth logout
    assert_status 0
    [ ! -e "$DIR" ]
    assert_equal "$(server_log '[.[] | select(.endpoint != "login")] | length')" 0
}

@test "a logout during a renewal has the last word" {
    login
    server_script refresh '{"delay":0.7}'
    background servetel-auth refresh
    local refresh_pid=$BG_PID refresh_status=0
    retry_until 10 has_requests refresh 1
    run_auth logout
    assert_status 0
    assert_stdout_empty
    wait "$refresh_pid" || refresh_status=$?
    [ ! -e "$CACHE" ] || fail_with "the renewal brought it back"
    assert_equal "$refresh_status" 0
    run_auth show
    assert_status 3
}

@test "a renewal that waited while somebody logged out does not bring the token back" {
    login
    server_script refresh '{"delay":0.7}'
    background servetel-auth refresh
    local first=$BG_PID second_status=0
    retry_until 10 has_requests refresh 1
    background servetel-auth logout
    local logout=$BG_PID
    background servetel-auth refresh
    local second=$BG_PID
    wait "$first" "$logout" || true
    wait "$second" || second_status=$?
    run_auth logout
    assert_status 0
    # It came before the logout or after it: a token was there to be kept or renewed, or none.
    [[ "$second_status" = 0 || "$second_status" = 3 ]] || fail_with "status $second_status" "$(cat "$BG_ERR")"
    [ ! -e "$CACHE" ]
}
