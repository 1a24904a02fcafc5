# shellcheck shell=bash
# What the tests of single commands share beyond helper.bash: load it after that.

# capture COMMAND...: status, output and stderr, as `run --separate-stderr` sets them, in half its time:
# tables of a hundred cases add up.
capture() {
    TRIED="$*"
    status=0
    output="$("$@" 2>"$BATS_TEST_TMPDIR/stderr")" || status=$?
    stderr="$(<"$BATS_TEST_TMPDIR/stderr")"
}

# try ARGS...: runs the program.
try() {
    capture servetel-auth "$@"
}

# try_login PASSWORD ARGS...: a login with the password on stdin.
try_login() {
    capture servetel-auth login --password-stdin "${@:2}" <<<"$1"
}

# assert_failed STATUS [CASE]: with that status, a reason on stderr and nothing on stdout. A test that
# goes through a table names the case.
assert_failed() {
    if [ "${status-}" != "$1" ] || [ -n "${output-}" ] || [ -z "${stderr-}" ]; then
        fail_with_run "expected a failure with $1 and a reason: ${2:-$TRIED}"
    fi
}

# assert_done [CASE]: status 0.
assert_done() {
    [ "${status-}" = 0 ] || fail_with_run "expected success: ${1:-$TRIED}"
}

# json JQ_FILTER: of what was printed on stdout.
json() {
    jq -r "$1" <<<"${output-}"
}

# A cached time is NOW + SECONDS, give or take the seconds that a busy machine needs.
# assert_about ACTUAL EXPECTED [SLACK]
assert_about() {
    local off=$(($1 - $2))
    [ "${off#-}" -le "${3:-10}" ] || fail_with "not near" "actual:   $1" "expected: $2"
}

# write_cache [JQ_EXPRESSION [PROFILE [TOKEN]]]: a cache file as a login would leave it, without one: quick.
# The token is made up if none is given; the expression changes what it likes, and knows $now.
write_cache() {
    local file dir json now=$EPOCHSECONDS
    file="$(cache_file "${2:-}")"
    dir="${file%/*}"
    [ -d "$dir" ] || (umask 077 && mkdir -p "$dir")
    json="{\"version\":1,\"api_url\":\"${API:-http://127.0.0.1:9/v1}\",\"email\":\"$EMAIL\",
        \"access_token\":\"${3:-made-up-${2:-default}}\",\"token_type\":\"bearer\",
        \"expires_at\":$((now + 3600)),\"obtained_at\":$now,\"logged_in_at\":$now}"
    [ "${1:-.}" = . ] || json="$(jq --argjson now "$now" "$1" <<<"$json")" || return
    [ -e "$file" ] || (umask 077 && : >"$file")
    printf '%s\n' "$json" >"$file"
}

# with_token [JQ_EXPRESSION]: the same, with a token that the service knows.
with_token() {
    write_cache "${1:-.}" default "$(server_issue "{}")"
}

# jwt CLAIMS: a token with these claims and a signature that is none.
jwt() {
    printf '%s.%s.c2ln' "$(base64url '{"typ":"JWT","alg":"HS256"}')" "$(base64url "$1")"
}

base64url() {
    printf '%s' "$1" | base64 | tr -d '\n=' | tr '+/' '-_'
}

# header NAME [N]: the values of request N's headers of that name (the last request's without N).
header() {
    server_log ".[${2:-0} - 1].headers[] | select((.[0] | ascii_downcase) == \"$1\") | .[1]"
}

# on_terminal STEP... -- PROGRAM ARG...: pty_run.py. status is the program's, output the screen.
on_terminal() {
    capture "$TESTS_PYTHON" "$TESTS_DIR/pty_run.py" "$@"
}

# A stretch of text with no control character in it but line feeds.
assert_harmless() {
    local control=$'[\x01-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]'
    ! LC_ALL=C grep -aqP "$control" <<<"$1" || fail_with "control characters" "$(cat -v <<<"$1")"
}

# assert_requests N [ENDPOINT]: the service has received so many since the reset.
assert_requests() {
    local log word="\"endpoint\":\"${2:-}" without
    log="$(server_control log)" || return
    without=${log//"$word"/}
    assert_equal $(((${#log} - ${#without}) / ${#word})) "$1"
}
