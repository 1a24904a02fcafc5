# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Shared by all bats files: load it at the top, and call test_setup and test_teardown from setup and teardown.
#
#     load helper
#     setup_file() { server_start; }
#     teardown_file() { server_stop; }
#     setup() { test_setup; }
#     teardown() { test_teardown; }
#
# Each test stands in a home of its own. A file's server is shared by its tests and reset before each. A test
# may start more of its own (TLS, a proxy, programs in the background): test_teardown ends what that test has
# started, by pid.

bats_require_minimum_version 1.5.0

# Few processes are started in here: there are nearly a thousand tests, and on two processors a process that
# every test starts is five seconds of a run.
TESTS_DIR="${BATS_TEST_DIRNAME:-$(cd "${BASH_SOURCE[0]%/*}" && pwd)}"
EMAIL='you@example.test'
PW='correct horse'
STARTED_PIDS=()

# ---------------------------------------------------------------------------------------------- environment

# The tests' world. A file that is run by bats itself, not by tests/run, still has its caller's environment; what a
# file exports for its tests stays, and so does what bats (from 1.11 on) needs while it only lists the tests.
clean_environment() {
    local name
    if [ -z "${TESTS_ENVIRONMENT:-}${TESTS_LIST_FILE:-}" ]; then
        # shellcheck source=tests/environment.bash
        . "$TESTS_DIR/environment.bash"
        for name in $(compgen -e); do
            [[ $name == BATS_* || $name == HOME ]] || is_passed_on "$name" || unset "$name"
        done
    fi
    export TESTS_ENVIRONMENT=clean TZ=UTC LC_ALL=C
    # Looked up once a file: python3 may be the shim of a version manager, which is slow.
    export TESTS_PYTHON="${TESTS_PYTHON:-$(python3 -c 'import sys; print(sys.executable)')}"
    umask 022
}

clean_environment

# shellcheck source=tests/service_helper.bash
. "$TESTS_DIR/service_helper.bash"
# shellcheck source=tests/cache_helper.bash
. "$TESTS_DIR/cache_helper.bash"
# shellcheck source=tests/certs_helper.bash
. "$TESTS_DIR/certs_helper.bash"

# Puts the program that is to be tested first in PATH, behind SERVETEL_AUTH_WRAP (valgrind, say) if that is set.
use_built_program() {
    local bin_dir="${SERVETEL_AUTH_BIN_DIR:-${TESTS_DIR%/*}/build}"
    [[ $bin_dir == /* ]] || bin_dir="$PWD/$bin_dir"
    if [ -n "${SERVETEL_AUTH_WRAP:-}" ]; then
        mkdir -p "$BATS_TEST_TMPDIR/wrapped"
        printf '#!/bin/sh\nexec %s %s "$@"\n' "$SERVETEL_AUTH_WRAP" "'$bin_dir/servetel-auth'" \
            >"$BATS_TEST_TMPDIR/wrapped/servetel-auth"
        chmod 755 "$BATS_TEST_TMPDIR/wrapped/servetel-auth"
        bin_dir="$BATS_TEST_TMPDIR/wrapped"
    fi
    PATH="$bin_dir:$PATH"
}

test_setup() {
    # The test's own lines are traced, so that bats can name the one that failed; the functions that they call
    # are not: bats' trap at each command takes longer than most commands do, half of a run in all.
    set +T
    use_built_program || return
    mkdir -p "$BATS_TEST_TMPDIR/home"
    export HOME="$BATS_TEST_TMPDIR/home"
    cd "$HOME" || return # what a test leaves where it stands is in no other's way
    if [ -n "${API:-}" ]; then
        export SERVETEL_API_URL="$API"
        server_reset
    fi
}

test_teardown() {
    local pid
    for pid in "${STARTED_PIDS[@]}"; do
        stop_pid "$pid"
    done
    STARTED_PIDS=()
}

# ------------------------------------------------------------------------------------------------ processes

# A sanitized program's own look for leaks does not work under ptrace.
strace() {
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" command strace "$@"
}

# For a test that has strace change what the kernel answers, or reads its list of calls.
needs_strace() {
    type -P strace >/dev/null || skip 'strace is not installed'
    strace -o /dev/null true 2>/dev/null || skip 'strace may not trace here'
}

# For one that looks at the names and texts in them: the program switches dumps off, and then only root's strace
# may read its memory.
needs_traced_strings() {
    needs_strace
    [ "$(id -u)" = 0 ] || [ "$(uname)" != Linux ] || skip "only root's strace can read the program's memory"
}

# retry_until SECONDS COMMAND...: until the command succeeds; fails when it has not by then.
retry_until() {
    local deadline=$((SECONDS + $1 + 1)) # SECONDS is whole: the one begun counts as none
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        pause
    done
}

# A fiftieth of a second: reads what never comes, because sleep is a process.
pause() {
    [ -n "${NOTHING_COMES:-}" ] || exec {NOTHING_COMES}<> <(:)
    read -r -t 0.02 -u "$NOTHING_COMES" || true
}

# One that has ended is gone even if nobody has asked for its status yet.
is_gone() {
    ! kill -0 "$1" 2>/dev/null || [[ "$(ps -o stat= -p "$1" 2>/dev/null)" == Z* ]]
}

# Ends a process that a test has started and waits until it is gone.
stop_pid() {
    kill "$1" 2>/dev/null || return 0
    retry_until 5 is_gone "$1" || kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true # its status is of no interest
}

# background COMMAND...: starts it; BG_PID is its pid, BG_OUT and BG_ERR are the files with its output.
background() {
    BG_OUT="$(mktemp "$BATS_TEST_TMPDIR/out.XXXXXX")"
    BG_ERR="$(mktemp "$BATS_TEST_TMPDIR/err.XXXXXX")"
    "$@" >"$BG_OUT" 2>"$BG_ERR" </dev/null 3>&- &
    BG_PID=$!
    STARTED_PIDS+=("$BG_PID")
}

# Starts a Python server in tests/ that writes a port file; sets STARTED_PID and STARTED_PORT. STARTED_DIR must
# have been made.
start_and_wait_for_port() {
    local script="$TESTS_DIR/$1" port_file="$STARTED_DIR/port"
    shift
    "$TESTS_PYTHON" "$script" --port-file "$port_file" --with-parent "$@" \
        >"$STARTED_DIR/output" 2>&1 </dev/null 3>&- &
    STARTED_PID=$!
    STARTED_PIDS+=("$STARTED_PID")
    if ! retry_until 60 port_or_end "$port_file" "$STARTED_PID" || [ ! -s "$port_file" ]; then
        printf 'the server did not start: %s\n' "$(cat "$STARTED_DIR/output")" >&2
        return 1
    fi
    STARTED_PORT="$(cat "$port_file")"
}

port_or_end() {
    [ -s "$1" ] || is_gone "$2"
}

# catches_term PID: whether the process has a handler for SIGTERM (15, so bit 14).
catches_term() {
    local caught
    caught="$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status")"
    ((0x${caught:-0} & 0x4000))
}

# hold_lock FILE: from another process, until release_lock or the test's end. The one process left has the lock.
hold_lock() {
    local held
    held="$(mktemp -u "$BATS_TEST_TMPDIR/held.XXXXXX")"
    # shellcheck disable=SC2016 # for the inner shell
    background bash -c 'umask 077 && exec 9>>"$1" && flock 9 && touch "$2" && exec sleep 600' - "$1" "$held"
    HOLDER=$BG_PID
    retry_until 10 test -e "$held"
}

release_lock() {
    stop_pid "$HOLDER"
}

# -------------------------------------------------------------------------------------------------- running

# capture COMMAND...: sets status, output and stderr. It takes half the time of bats' own `run --separate-stderr`, and
# there are thousands of these.
capture() {
    TRIED="$*"
    status=0
    output="$("$@" 2>"$BATS_TEST_TMPDIR/stderr")" || status=$?
    stderr="$(<"$BATS_TEST_TMPDIR/stderr")"
}

# Sets OTHER_CLOCK, a library to preload, which reads CLOCK_OFFSET; or skips.
needs_other_clock() {
    [ -z "${ASAN_OPTIONS:-}${TSAN_OPTIONS:-}" ] || skip 'a sanitizer must be loaded before all others'
    [ "$(uname)" = Linux ] || skip 'there is no preloading as on Linux'
    OTHER_CLOCK="$BATS_TEST_TMPDIR/other_clock.so"
    # shellcheck disable=SC2086 # it may have arguments
    ${CC:-cc} -O1 -shared -fPIC -o "$OTHER_CLOCK" "$TESTS_DIR/other_clock.c" -ldl
}

# try ARGS...: runs the program.
try() {
    capture servetel-auth "$@"
}

# try_login PASSWORD ARGS...: a login with the password on stdin.
try_login() {
    capture servetel-auth login --password-stdin "${@:2}" <<<"$1"
}

# try_either login|refresh ARGS...: for what holds for both.
try_either() {
    case $1 in
    login) try_login "$PW" -e "$EMAIL" "${@:2}" ;;
    *) try "$@" ;;
    esac
}

# quietly ARGS...: the program, for what a test needs but is not about; the test fails with what it said if it fails.
quietly() {
    servetel-auth "$@" >"$BATS_TEST_TMPDIR/said" 2>&1 || fail_with "failed: $*" "$(cat "$BATS_TEST_TMPDIR/said")"
}

# on_terminal STEP... -- PROGRAM ARG...: pty_run.py. status is the program's, output the screen.
on_terminal() {
    capture "$TESTS_PYTHON" "$TESTS_DIR/pty_run.py" "$@"
}

# json JQ_FILTER: of what was printed on stdout.
json() {
    jq -r "$1" <<<"${output-}"
}

# ----------------------------------------------------------------------------------------------- assertions
# They look at $status, $output and $stderr as capture leaves them; a test that goes through a table names the case.

fail_with() {
    printf '%s\n' "$1" >&2
    printf -- '-- %s\n' "${@:2}" >&2
    return 1
}

# shellcheck disable=SC2154 # status, output and stderr are set by run
fail_with_run() {
    fail_with "$1" "status: ${status-}" "stdout: ${output-}" "stderr: ${stderr-}"
}

# assert_status STATUS [CASE]
assert_status() {
    [ "${status-}" = "$1" ] || fail_with_run "expected status $1: ${2:-${TRIED-}}"
}

# assert_failed STATUS [CASE]: with that status, a reason on stderr and nothing on stdout.
assert_failed() {
    if [ "${status-}" != "$1" ] || [ -n "${output-}" ] || [ -z "${stderr-}" ]; then
        fail_with_run "expected a failure with $1 and a reason: ${2:-${TRIED-}}"
    fi
}

# assert_failed_json STATUS: the same of --json, whose object says so too, and has no token.
assert_failed_json() {
    if [ "${status-}" != "$1" ] || [ -z "${stderr-}" ] ||
        [ "$(json '"\(.exit_code) \(.error | length > 0) \(.access_token)"')" != "$1 true null" ]; then
        fail_with_run "expected a failure with $1, a reason and an object: ${TRIED-}"
    fi
}

# assert_done [CASE]: status 0.
assert_done() {
    [ "${status-}" = 0 ] || fail_with_run "expected success: ${1:-${TRIED-}}"
}

assert_stdout() {
    [ "${output-}" = "$1" ] || fail_with_run "expected stdout: $1"
}

assert_stdout_has() {
    [[ "${output-}" == *"$1"* ]] || fail_with_run "expected in stdout: $1"
}

assert_stdout_empty() {
    [ -z "${output-}" ] || fail_with_run "expected nothing on stdout"
}

assert_stderr_has() {
    [[ "${stderr-}" == *"$1"* ]] || fail_with_run "expected in stderr: $1"
}

assert_stderr_lacks() {
    [[ "${stderr-}" != *"$1"* ]] || fail_with_run "not expected in stderr: $1"
}

assert_stderr_empty() {
    [ -z "${stderr-}" ] || fail_with_run "expected nothing on stderr"
}

# One line, in the program's own name.
assert_one_line() {
    [[ "${stderr-}" == 'servetel-auth: '* && "${stderr-}" != *$'\n'* ]] || fail_with_run "expected one line on stderr"
}

# assert_equal ACTUAL EXPECTED
assert_equal() {
    [ "$1" = "$2" ] || fail_with "not equal" "actual:   $1" "expected: $2"
}

# A cached time is NOW + SECONDS, give or take the seconds that a busy machine needs.
# assert_about ACTUAL EXPECTED [SLACK]
assert_about() {
    local off=$(($1 - $2))
    [ "${off#-}" -le "${3:-10}" ] || fail_with "not near" "actual:   $1" "expected: $2"
}

# assert_no COMMAND...: it answers no, which is 1; a grep that finds no file has not answered.
assert_no() {
    capture "$@"
    assert_status 1
}

# A stretch of text with no control character in it but line feeds.
assert_harmless() {
    local control=$'[\x01-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]'
    ! LC_ALL=C grep -aqP "$control" <<<"$1" || fail_with "control characters" "$(cat -v <<<"$1")"
}
