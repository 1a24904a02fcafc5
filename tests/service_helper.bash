# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The service and the proxy that the tests start, what is asked of them, and what they have seen. helper.bash loads it.

# server_start [api_server.py's options]: exports SERVER_PID, API_PORT, API and SERVETEL_API_URL. Call it in the
# shell itself, not in `run` or $( ): the server ends with the shell that started it.
server_start() {
    local scheme=http
    case " $* " in *' --tls '*) scheme=https ;; esac
    STARTED_DIR="$(mktemp -d "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/server.XXXXXX")"
    start_and_wait_for_port api_server.py "$@" || return
    # shellcheck disable=SC2153 # start_and_wait_for_port has set it
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

# assert_requests N [ENDPOINT]: the service has received so many since the reset.
assert_requests() {
    local log word="\"endpoint\":\"${2:-}" without
    log="$(server_control log)" || return
    without=${log//"$word"/}
    assert_equal $(((${#log} - ${#without}) / ${#word})) "$1"
}

# Not even a connection.
assert_nothing_sent() {
    assert_equal "$(server_stats 'connections + .tls_app_bytes')" 0
}

# header NAME [N]: the values of request N's headers of that name (the last request's without N).
header() {
    server_log ".[${2:-0} - 1].headers[] | select((.[0] | ascii_downcase) == \"$1\") | .[1]"
}

# Neither the password nor any token of the service is in what the program has printed.
assert_no_secret() {
    local secret tokens seen="${output-}${stderr-}"
    tokens="$(server_control tokens)" || return
    while IFS= read -r secret; do
        [[ "$seen" != *"$secret"* ]] || fail_with_run "a secret was printed: $secret" || return
    done < <(printf '%s\n' "$PW" && jq -r '.[]' <<<"$tokens")
}
