# shellcheck shell=bash
# Shared by all bats files: load it at the top, and call test_setup and test_teardown from setup and teardown.
#
#     load helper
#     setup_file() { server_start; }
#     teardown_file() { server_stop; }
#     setup() { test_setup; }
#     teardown() { test_teardown; }
#
# A file's server is shared by its tests and reset before each. A test may start more of its own (TLS, a
# proxy, programs in the background): test_teardown ends what that test has started, by pid.

bats_require_minimum_version 1.5.0

# Few processes are started in here: there are nearly a thousand tests, and on two processors a process that
# every test starts is five seconds of a run.
TESTS_DIR="${BATS_TEST_DIRNAME:-$(cd "${BASH_SOURCE[0]%/*}" && pwd)}"
EMAIL='you@example.test'
PW='correct horse'
STARTED_PIDS=()

# ---------------------------------------------------------------------------------------------- environment

# The tests' world: nothing of the caller's settings reaches the program.
clean_environment() {
    local name
    export TZ=UTC LC_ALL=C
    umask 022
    for name in $(compgen -e); do
        case $name in
        SERVETEL_AUTH_BIN_DIR | SERVETEL_AUTH_WRAP) ;; # the caller's choice of what is tested
        SERVETEL_* | *_proxy | *_PROXY | CURL_CA_BUNDLE | SSL_CERT_* | XDG_* | NO_COLOR) unset "$name" ;;
        esac
    done
}

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
    clean_environment
    use_built_program || return
    mkdir -p "$BATS_TEST_TMPDIR/home"
    export HOME="$BATS_TEST_TMPDIR/home"
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
    # Looked up once a file: python3 may be the shim of a version manager, which is slow.
    export TESTS_PYTHON="${TESTS_PYTHON:-$(python3 -c 'import sys; print(sys.executable)')}"
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

# -------------------------------------------------------------------------------------------------- service

# server_start [api_server.py's options]: exports SERVER_PID, API_PORT, API and SERVETEL_API_URL. Call it in the
# shell itself, not in `run` or $( ): the server ends with the shell that started it.
server_start() {
    local scheme=http
    case " $* " in *' --tls '*) scheme=https ;; esac
    STARTED_DIR="$(mktemp -d "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/server.XXXXXX")"
    start_and_wait_for_port api_server.py "$@" || return
    SERVER_PID=$STARTED_PID
    API_PORT=$STARTED_PORT
    API="$scheme://127.0.0.1:$API_PORT/v1"
    SERVETEL_API_URL=$API
    export SERVER_PID API_PORT API SERVETEL_API_URL
}

server_stop() {
    stop_pid "$SERVER_PID"
}

# proxy_start [proxy_server.py's options]: sets PROXY_PORT, PROXY (its URL) and PROXY_LOG (a file).
proxy_start() {
    STARTED_DIR="$(mktemp -d "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/proxy.XXXXXX")"
    PROXY_LOG="$STARTED_DIR/log"
    start_and_wait_for_port proxy_server.py --log "$PROXY_LOG" "$@" || return
    PROXY_PORT=$STARTED_PORT
    # shellcheck disable=SC2034 # for the tests
    PROXY="http://127.0.0.1:$PROXY_PORT"
}

# http METHOD PATH [BODY [HEADER...]]: sets ANSWER, head and body. Bash alone: curl takes ten times as long to
# start, and there are thousands of these.
http() {
    local LC_ALL=C service status=0 headers='' # the length is in bytes
    [ $# -lt 4 ] || headers="$(printf '%s\r\n' "${@:4}")"$'\n'
    exec {service}<>"/dev/tcp/127.0.0.1/$API_PORT" || return
    printf '%s %s HTTP/1.0\r\nContent-Length: %d\r\n%s\r\n%s' "$1" "$2" "${#3}" \
        "$headers" "${3-}" >&"$service"
    IFS= read -r -d '' -t 120 -u "$service" ANSWER || status=$? # 1 at its end, above 128 when the time is up
    exec {service}>&-
    [ "$status" -le 128 ]
}

# server_control PATH [JSON]: GET, or POST if there is JSON. Plain http: it works on a TLS server's port too.
server_control() {
    local ANSWER
    if [ $# -gt 1 ]; then
        http POST "/_test/$1" "$2" || return
    else
        http GET "/_test/$1" '' || return
    fi
    printf '%s' "${ANSWER#*$'\r\n\r\n'}"
    [[ $ANSWER == HTTP/1.1\ 200* ]]
}

# Says what was wrong with a control call, if anything.
server_set() {
    local answer
    if ! answer="$(server_control "$@")"; then
        printf 'control call %s failed: %s\n' "$*" "$answer" >&2
        return 1
    fi
}

server_reset() {
    server_set reset '{}'
}

# server_config JSON: an object that is merged into the configuration (keys: DEFAULTS in api_service.py).
server_config() {
    server_set config "$1"
}

# server_script ENDPOINT JSON...: what the next requests to login, refresh or me are answered (api_faults.py).
server_script() {
    local IFS=, endpoint=$1
    shift
    server_set script "{\"endpoint\":\"$endpoint\",\"answers\":[$*]}"
}

# server_release [COUNT]: lets requests go on that a script with "hold" holds.
server_release() {
    server_set release "{\"count\":${1:-1}}"
}

# server_log [JQ_FILTER]: the requests so far, a JSON list.
server_log() {
    server_control log | jq -r "${1:-.}"
}

# server_stats FIELD
server_stats() {
    server_control stats | jq -r ".$1"
}

# stat_is FIELD VALUE: for retry_until; the service may learn how a connection ended after the program has ended.
stat_is() {
    [ "$(server_stats "$1")" = "$2" ]
}

# count_requests ENDPOINT: how many the service has received (login, refresh, me, other).
count_requests() {
    local log word="\"endpoint\":\"$1\"" without
    log="$(server_control log)" || return
    without=${log//"$word"/}
    echo $(((${#log} - ${#without}) / ${#word}))
}

# has_requests ENDPOINT N: for retry_until.
has_requests() {
    [ "$(count_requests "$1")" -ge "$2" ]
}

# server_issue [JSON]: prints a token that took no login: {"email":.., "ttl":.., "age":..}.
server_issue() {
    local answer
    answer="$(server_control issue "${1:-"{}"}")" || return
    [[ $answer =~ \"access_token\":\"([^\"]*) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

# Does the service accept the token now? Neither logged nor counted.
token_works() {
    local ANSWER
    http GET /v1/me '' 'X-Test: 1' "Authorization: Bearer $1" && [[ $ANSWER == HTTP/1.1\ 200* ]]
}

# login [OPTIONS]: logs in; the test fails if that does.
login() {
    if ! printf '%s\n' "$PW" |
        servetel-auth login -e "$EMAIL" --password-stdin "$@" >"$BATS_TEST_TMPDIR/login" 2>&1; then
        printf 'login failed: %s\n' "$(cat "$BATS_TEST_TMPDIR/login")" >&2
        return 1
    fi
}

# ---------------------------------------------------------------------------------------------------- cache

# cache_file [PROFILE]
cache_file() {
    if [ -n "${SERVETEL_AUTH_FILE:-}" ]; then
        printf '%s\n' "$SERVETEL_AUTH_FILE"
    else
        printf '%s\n' "${SERVETEL_AUTH_DIR:-$HOME/.servetel-auth}/${1:-default}.json"
    fi
}

# cached JQ_FILTER [PROFILE]: of the cache file. A plain member is found without jq, which is slow to start.
cached() {
    local file text
    file="$(cache_file "${2:-}")"
    text="$(<"$file")"
    if [[ $1 =~ ^\.([a-z_]+)$ &&
        $text =~ \"${BASH_REMATCH[1]}\":[[:space:]]*(\"([^\"\\]*)\"|[0-9]+)[,[:space:]}] ]]; then
        printf '%s\n' "${BASH_REMATCH[2]:-${BASH_REMATCH[1]}}"
    else
        jq -r "$1" "$file"
    fi
}

# cached_token [PROFILE]
cached_token() {
    cached .access_token "${1:-}"
}

# cache_edit JQ_EXPRESSION [PROFILE]: in place, so that inode and mode stay.
cache_edit() {
    local file edited
    file="$(cache_file "${2:-}")"
    edited="$(jq "$1" "$file")" || return
    printf '%s\n' "$edited" >"$file"
}

# make_stale [PROFILE]: a token of an hour that lasts five seconds more.
make_stale() {
    set_life 5 "${1:-}"
}

# make_expired [PROFILE]: a token of an hour that ended five seconds ago, as far as the cache knows.
make_expired() {
    set_life -5 "${1:-}"
}

# set_life SECONDS [PROFILE]: a token of an hour that has so many left. In place, without jq.
set_life() {
    local file text
    file="$(cache_file "${2:-}")"
    text="$(<"$file")"
    [[ $text =~ \"expires_at\":[[:space:]]*(null|-?[0-9]+) ]]
    text="${text/"${BASH_REMATCH[0]}"/"\"expires_at\": $((EPOCHSECONDS + $1))"}"
    [[ $text =~ \"obtained_at\":[[:space:]]*-?[0-9]+ ]]
    text="${text/"${BASH_REMATCH[0]}"/"\"obtained_at\": $((EPOCHSECONDS + $1 - 3600))"}"
    printf '%s\n' "$text" >"$file"
}

# snapshot [PROFILE] remembers the cache file, its absence too; assert_unchanged [PROFILE] compares.
snapshot() {
    describe_cache "${1:-}" >"$BATS_TEST_TMPDIR/snapshot.${1:-default}"
}

assert_unchanged() {
    describe_cache "${1:-}" | cmp - "$BATS_TEST_TMPDIR/snapshot.${1:-default}" ||
        fail_with "the cache file has changed" "$(describe_cache "${1:-}")"
}

describe_cache() {
    local file
    file="$(cache_file "$1")"
    if [ -e "$file" ]; then
        printf 'mode %s\n' "$(mode_of "$file")"
        cat "$file"
    else
        echo absent
    fi
}

# mode_of FILE: its permissions in octal (GNU's stat, else BSD's).
mode_of() {
    stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"
}

# ----------------------------------------------------------------------------------------------- assertions
# They look at $status, $output and $stderr as `run --separate-stderr` leaves them.

fail_with() {
    printf '%s\n' "$1" >&2
    printf -- '-- %s\n' "${@:2}" >&2
    return 1
}

# shellcheck disable=SC2154 # status, output and stderr are set by run
fail_with_run() {
    fail_with "$1" "status: ${status-}" "stdout: ${output-}" "stderr: ${stderr-}"
}

assert_status() {
    [ "${status-}" = "$1" ] || fail_with_run "expected status $1"
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

# assert_equal ACTUAL EXPECTED
assert_equal() {
    [ "$1" = "$2" ] || fail_with "not equal" "actual:   $1" "expected: $2"
}

# Neither the password nor any token of the service is in what the program has printed.
assert_no_secret() {
    local secret tokens seen="${output-}${stderr-}"
    tokens="$(server_control tokens)" || return
    while IFS= read -r secret; do
        [[ "$seen" != *"$secret"* ]] || fail_with_run "a secret was printed: $secret" || return
    done < <(printf '%s\n' "$PW" && jq -r '.[]' <<<"$tokens")
}

# ---------------------------------------------------------------------------------------------- certificates

# make_certs DIR: a test root and what it signed, each as NAME.pem and NAME.key:
#   root, hashed/ (the root as a hashed directory), server (localhost, 127.0.0.1, ::1),
#   service (api.servetel.in), wrong-host, expired, not-yet, self-signed,
#   chain (signed by an intermediate that is in the file), no-chain (the same without the intermediate)
make_certs() {
    local dir=$1
    mkdir -p "$dir/hashed" "$dir/issued"
    : >"$dir/index.txt"
    write_openssl_config "$dir"
    (cd "$dir" && issue_all_certs) >"$dir/output" 2>&1 ||
        fail_with "cannot make certificates" "$(cat "$dir/output")"
}

issue_all_certs() {
    local from=20200101000000Z until=20491231000000Z
    new_key root &&
        openssl req -x509 -config openssl.cnf -extensions authority -key root.key -subj '/CN=Test root' \
            -days 3650 -out root.pem &&
        cp root.pem "hashed/$(openssl x509 -noout -subject_hash -in root.pem).0" &&
        new_key self-signed &&
        openssl req -x509 -config openssl.cnf -extensions local -key self-signed.key -subj '/CN=localhost' \
            -days 3650 -out self-signed.pem &&
        issue_cert root intermediate authority $from $until &&
        issue_cert root server local $from $until &&
        issue_cert root service service $from $until &&
        issue_cert root wrong-host other $from $until &&
        issue_cert root expired local $from 20210101000000Z &&
        issue_cert root not-yet local 20480101000000Z $until &&
        issue_cert intermediate no-chain local $from $until &&
        cat no-chain.pem intermediate.pem >chain.pem &&
        cp no-chain.key chain.key
}

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# issue_cert ISSUER NAME EXTENSIONS FROM UNTIL: `openssl ca`, because `openssl x509` cannot set past dates.
issue_cert() {
    new_key "$2" &&
        openssl req -new -config openssl.cnf -key "$2.key" -subj "/CN=Test $2" -out "$2.csr" &&
        openssl ca -config openssl.cnf -batch -notext -cert "$1.pem" -keyfile "$1.key" \
            -in "$2.csr" -extensions "$3" -startdate "$4" -enddate "$5" -out "$2.pem"
}

write_openssl_config() {
    cat >"$1/openssl.cnf" <<EOT
[req]
distinguished_name = name
[name]
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = issued
default_md = sha256
policy = policy
unique_subject = no
rand_serial = yes
[policy]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[local]
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
[service]
subjectAltName = DNS:api.servetel.in
[other]
subjectAltName = DNS:other.example.test
EOT
}
