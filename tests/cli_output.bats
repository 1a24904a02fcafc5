#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line: what is written where, and never: secrets, colour, and a stdout that takes nothing.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ----------------------------------------------------------------------------------------------- secrets

@test "a secret typed where none belongs is not repeated" {
    local words
    write_cache
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
        assert_stderr_lacks hunter2
    done <<'EOT'
login --password=hunter2
login --password hunter2
login --passwrod=hunter2
login you@example.test hunter2
login --password-stdin=hunter2
login --token=hunter2
login -phunter2!
login --profile=hunter2!
login --token-stdin hunter2
refresh --token=hunter2
refresh hunter2
show hunter2
--password=hunter2 login
exec --token=hunter2 -- true
EOT
    assert_nothing_sent
}

@test "no message carries control characters, however they came in" {
    local evil=$'a\e[31m\ab\x7f\xc2\x9b1m\rc'
    try "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show "--$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show --min-ttl "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show -f "$HOME/$evil"
    assert_failed 3
    assert_harmless "$stderr"
    try schedule "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try_login "$PW" -e "$evil"
    assert_failed 4
    assert_harmless "$stderr"
    try login -e "$EMAIL" --password-file "$HOME/$evil"
    assert_failed 7
    assert_harmless "$stderr"
}

@test "what the service says is shown without control characters, and cut" {
    local message long
    message='bad \u001b[31m\u0007\u009b1m\u007f\r\n\u0085thing'
    server_script login "{\"status\":401,\"json\":{\"message\":\"$message\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_stderr_has bad
    assert_stderr_has thing
    assert_harmless "$stderr"
    assert_equal "$(wc -l <<<"$stderr")" 1
    # Not JSON: raw bytes.
    server_script login '{"status":500,"body_base64":"G1szMW1vb3BzG1swbQebMW3/AAo="}'
    try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_harmless "$stderr"
    long="$(printf 'x%.0s' {1..5000})"
    server_script login "{\"status\":403,\"json\":{\"message\":\"$long\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_stderr_has xxxxxxxxxx
    [[ "$stderr" != *"${long:0:301}"* ]] || fail_with_run "more than 300 characters of the service's"
}

@test "what the service echoes holds no password and no token, not even in part" {
    local secret='secret token secret' pad answers=()
    server_config "{\"users\":{\"$EMAIL\":\"$secret\"}}"
    # The cut at 300 characters must not come before the scrubbing.
    for pad in '' 285 290 295; do
        [ -z "$pad" ] || pad="$(printf "%${pad}s" '' | tr ' ' x)"
        answers+=("{\"status\":401,\"json\":{\"message\":\"$pad$secret, you say\"}}")
    done
    server_script login "${answers[@]}"
    for _ in "${answers[@]}"; do
        try_login "$secret" -v -e "$EMAIL"
        assert_failed 4
        assert_stderr_lacks secr
    done
    # A gateway's page shows the header it did not like.
    server_script refresh "${answers[@]//$secret/secret-token}" \
        '{"status":403,"body":"<p>Authorization: Bearer secret-token</p>"}'
    write_cache '.access_token = "secret-token" | .expires_at = $now + 5'
    for _ in "${answers[@]}" .; do
        try refresh -v --auth-scheme raw
        assert_failed 4
        assert_stderr_lacks secr
    done
}

# -------------------------------------------------------------------------------------------- the terminal

@test "colour goes to a terminal only, and not with NO_COLOR or TERM=dumb" {
    local escape=$'\e['
    write_cache
    export TERM=xterm
    on_terminal -- servetel-auth status
    assert_done
    assert_stdout_has "$escape" # else the rest proves nothing
    NO_COLOR='' on_terminal -- servetel-auth status
    assert_stdout_has "$escape"
    assert_no_colour() {
        [[ "$output$stderr" != *"$escape"* ]] || fail_with_run "colour: $TRIED"
    }
    NO_COLOR=1 on_terminal -- servetel-auth status
    assert_done
    assert_no_colour
    TERM=dumb on_terminal -- servetel-auth status
    assert_done
    assert_no_colour
    try status
    assert_done
    assert_no_colour
    TERM=dumb on_terminal -- servetel-auth show -p none
    assert_status 3
    assert_no_colour
}

# ------------------------------------------------------------------------------------- stdout that is not

# assert_7 SPOIL: for what prints to a stdout that SPOIL makes of no use, a line for each way of printing.
assert_7() {
    local spoil=$1 words
    write_cache ".access_token = \"$(jwt '{"iat":1}')\"" # has --claims
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        capture "$spoil" servetel-auth $words
        assert_failed 7 "$spoil $words"
    done
}

closed_stdout() { "$@" >&-; }

full_stdout() { "$@" >/dev/full; }

# A pipe whose reader has gone, without a race: the reader goes before the program starts.
broken_stdout() {
    [ -p "$BATS_TEST_TMPDIR/pipe" ] || mkfifo "$BATS_TEST_TMPDIR/pipe"
    (
        exec 8<>"$BATS_TEST_TMPDIR/pipe"
        exec 9>"$BATS_TEST_TMPDIR/pipe" 8<&-
        "$@" >&9
    )
}

@test "on a full device nothing is reported as done: 7" {
    assert_7 full_stdout <<'EOT'
show
show --no-newline
show --json
show --format header
show --claims
status
status --json
refresh --min-ttl 1m --json
refresh --min-ttl 1m --print
schedule cron
schedule systemd
--help
login --help
--version
EOT
}

@test "with stdout closed nothing is reported as done: 7" {
    assert_7 closed_stdout <<'EOT'
show
status
refresh --min-ttl 1m --json
--help
EOT
}

@test "a broken pipe is 7, not a death by SIGPIPE" {
    assert_7 broken_stdout <<'EOT'
show
status
refresh --min-ttl 1m --json
schedule systemd
--help
EOT
}

# As NFS and quotas do it.
@test "what the file system refuses when it is closed is no success: 7" {
    needs_traced_strings
    login
    show_refused_close() {
        strace -o /dev/null -P "$HOME/out" -e trace=close -e inject=close:error=EDQUOT servetel-auth show >out
    }
    capture show_refused_close
    assert_failed 7
    assert_stderr_has 'cannot write to stdout: Disk quota exceeded'
}

has_another_token() { [ "$(cached_token)" != "$1" ]; }

@test "what nobody reads of -v holds up no token" {
    local old
    login
    old="$(cached_token)"
    mkfifo pipe
    exec 9<>pipe
    # Not a byte more goes in: but for -v it would stand there before the request.
    "$TESTS_PYTHON" -c '
import os
os.set_blocking(9, False)
try:
    while os.write(9, b"x" * 4096):
        pass
except BlockingIOError:
    pass'
    servetel-auth refresh -v 2>&9 3>&- </dev/null &
    STARTED_PIDS+=($!)
    retry_until 20 has_another_token "$old"
    exec 9<&-
    token_works "$(cached_token)"
    try refresh # and the lock is free
    assert_done
}

@test "a signal ends what nobody reads" {
    local old out="$BATS_TEST_TMPDIR/out"
    login
    old="$(cached_token)"
    mkfifo "$out"
    exec 8<>"$out"
    dd if=/dev/zero of="$out" oflag=nonblock bs=4096 2>"$BATS_TEST_TMPDIR/dd" || true # until it is full
    # shellcheck disable=SC2016 # the inner shell's
    background sh -c 'exec servetel-auth refresh --print >"$0"' "$out"
    retry_until 20 has_another_token "$old"
    kill -TERM "$BG_PID"
    retry_until 20 is_gone "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_status 143
    assert_equal "$(cat "$BG_ERR")" "$(grep -v stdout "$BG_ERR")"
    exec 8>&-
}

@test "a new token that cannot be printed is 7, and stored" {
    local spoil old
    capture full_stdout servetel-auth login -e "$EMAIL" --password-stdin --print <<<"$PW"
    assert_failed 7
    token_works "$(cached_token)"
    for spoil in closed_stdout broken_stdout; do
        old="$(cached_token)"
        capture "$spoil" servetel-auth refresh --print
        assert_failed 7 "$spoil"
        [ "$(cached_token)" != "$old" ]
    done
    token_works "$(cached_token)"
    assert_no_secret
}

@test "without stdin, stdout or stderr no message ends up in a file" {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind loads no library when stderr is closed'
    write_cache
    capture bash -c 'printf "%s\n" "$1" | servetel-auth login -v -e "$2" --password-stdin 2>&-' \
        sh "$PW" "$EMAIL"
    assert_done
    assert_stdout_empty
    token_works "$(cached_token)"
    capture bash -c 'servetel-auth refresh -v <&- >&- 2>&-'
    assert_done
    token_works "$(cached_token)" # which is also to say: the file is JSON
    assert_equal "$(ls "$HOME/.servetel-auth")" "$(printf 'default.json\ndefault.lock')"
}

# ------------------------------------------------------------------------------------- quiet and verbose

@test "--quiet: nothing on stderr but errors" {
    printf '%s\n' "$PW" >"$HOME/pw" # readable by all: a warning
    server_config '{"number_of_days_left":3}'
    try login -q -e "$EMAIL" --password-file "$HOME/pw"
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    try refresh -q
    assert_done
    assert_stderr_empty
    try refresh --min-ttl 5m --quiet
    assert_done
    assert_stderr_empty
    try show -q
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    try_login wrong -q -e "$EMAIL"
    assert_failed 4
    try -q logout
    assert_done
    assert_stderr_empty
}

@test "--verbose: each request's host, status and timing, and never a secret" {
    local timing=' DNS .*connect .*TLS .*total '
    printf '%s\n' "$PW" >"$HOME/pw"
    chmod 600 "$HOME/pw"
    assert_request_told() { # STATUS
        [[ "$stderr " =~ 127\.0\.0\.1:$API_PORT.*$1.*$timing ]] || fail_with_run "no line for a $1"
        assert_no_secret
    }
    try login -v -e "$EMAIL" --password-file "$HOME/pw"
    assert_done
    assert_stdout_empty
    assert_request_told 200
    try refresh --verbose
    assert_done
    assert_stdout_empty
    assert_request_told 200
    make_stale
    server_script refresh '{"status":401,"repeat":2,"json":{"message":"no"}}'
    try -v refresh
    assert_done
    assert_request_told 401
    assert_request_told 200 # the login that follows
    try_login wrong -v -e "$EMAIL"
    assert_failed 4
    assert_request_told 401
    try_login "$PW" -v -e "$EMAIL" -p other --api-url http://127.0.0.1:1/v1 --retries 1
    assert_failed 5
    assert_stderr_has ': trying again'
    make_stale
    try show -v
    assert_done
    assert_stdout "$(cached_token)"
    output='' # the token belongs there
    assert_request_told 200
    try refresh
    assert_done
    assert_stderr_lacks DNS
}
