#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Proxies: as in curl, but for plain http to a loopback host, which never goes through one; and their credentials
# are shown nowhere.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

# One server with TLS and one without; the tests choose.
setup_file() {
    export CERTS="$BATS_FILE_TMPDIR/certs"
    make_certs "$CERTS"
    server_start
    export PLAIN_PID=$SERVER_PID PLAIN_PORT=$API_PORT
    server_start --tls "$CERTS/server.pem" "$CERTS/server.key"
}

teardown_file() {
    server_stop
    stop_pid "$PLAIN_PID"
}

setup() {
    test_setup
    export CURL_CA_BUNDLE="$CERTS/root.pem"
}

teardown() { test_teardown; }

# For a tunnel to the service, and for nothing else.
assert_proxy_asked() {
    assert_equal "$(cut -d ' ' -f 1,2 "$PROXY_LOG" | sort -u)" "CONNECT 127.0.0.1:$API_PORT"
}

assert_proxy_unused() {
    assert_equal "$(cat "$PROXY_LOG")" ''
}

assert_nothing_arrived() {
    assert_requests 0
    assert_equal "$(server_stats tls_app_bytes)" 0
}

@test "https goes through the proxy, as a tunnel" {
    proxy_start
    export https_proxy="$PROXY"
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_proxy_asked
    assert_equal "$(wc -l <"$PROXY_LOG" | tr -d ' ')" 1
    try refresh
    assert_done
    assert_stdout_empty
    assert_equal "$(wc -l <"$PROXY_LOG" | tr -d ' ')" 2
    token_works "$(cached_token)"
    assert_no_secret
}

@test "the certificate is the service's, through a proxy too" {
    proxy_start
    https_proxy="$PROXY" CURL_CA_BUNDLE='' try_login "$PW" -e "$EMAIL"
    assert_failed 6
    assert_proxy_asked
    assert_nothing_arrived
}

@test "a host that only the proxy can resolve is left to the proxy" {
    server_start --tls "$CERTS/service.pem" "$CERTS/service.key"
    proxy_start --to "$API_PORT"
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --api-url https://api.servetel.in/v1
    assert_done
    assert_stdout_empty
    assert_equal "$(cut -d ' ' -f 1,2 "$PROXY_LOG")" 'CONNECT api.servetel.in:443'
    assert_equal "$(server_log '.[0].headers | map(select(.[0] == "Host")) | .[0][1]')" api.servetel.in
}

@test "all_proxy and the upper-case names count as in curl" {
    proxy_start
    for variable in all_proxy ALL_PROXY HTTPS_PROXY; do
        : >"$PROXY_LOG"
        export "$variable=$PROXY"
        try_login "$PW" -e "$EMAIL"
        assert_done "variable: $variable"
        assert_stdout_empty
        assert_proxy_asked
        unset "$variable"
    done
}

@test "https_proxy beats all_proxy" {
    proxy_start --mode 403
    local refusing=$PROXY refusing_log=$PROXY_LOG
    proxy_start
    all_proxy="$refusing" https_proxy="$PROXY" try_login "$PW" -e "$EMAIL"
    assert_done
    assert_proxy_asked
    assert_equal "$(cat "$refusing_log")" ''
}

@test "http_proxy is not for https" {
    proxy_start --mode 403
    http_proxy="$PROXY" try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_proxy_unused
}

@test "no_proxy names the hosts that need none" {
    proxy_start --mode 403
    export https_proxy="$PROXY"
    for hosts in 127.0.0.1 'example.test,127.0.0.1' '*'; do
        no_proxy="$hosts" try_login "$PW" -e "$EMAIL"
        assert_done "no_proxy: $hosts"
        assert_stdout_empty
        NO_PROXY="$hosts" try refresh
        assert_done "NO_PROXY: $hosts"
        assert_stdout_empty
    done
    assert_proxy_unused
    no_proxy=example.test try refresh
    assert_failed 5
    assert_proxy_asked
}

@test "an empty variable is as if unset" {
    https_proxy='' all_proxy='' no_proxy='' try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    proxy_start
    https_proxy="$PROXY" no_proxy='' try refresh
    assert_done
    assert_proxy_asked
}

# assert_refused_by MODE CODE: a proxy that does not want to is CODE; nothing arrives and the cache stays.
assert_refused_by() {
    try_login "$PW" -e "$EMAIL"
    snapshot
    server_reset
    proxy_start --mode "$1"
    export https_proxy="$PROXY"
    for command in login refresh; do
        try_either "$command" --retries 0
        assert_status "$2" || fail_with "command: $command"
        assert_stdout_empty
        assert_one_line
        assert_no_secret
        assert_unchanged
    done
    assert_proxy_asked
    assert_nothing_arrived
}

@test "a proxy that refuses is 5, and nothing is sent" {
    assert_refused_by 403 5
}

@test "a proxy that wants a login is 6, and nothing is sent" {
    assert_refused_by 407 6
}

@test "a proxy that hangs up is 5, and nothing is sent" {
    try_login "$PW" -e "$EMAIL"
    snapshot
    server_reset
    proxy_start --mode close
    export https_proxy="$PROXY"
    for command in login refresh; do
        try_either "$command" --retries 0
        assert_failed 5 "command: $command"
        assert_one_line
        assert_unchanged
    done
    assert_proxy_asked
    assert_nothing_arrived
}

@test "a proxy that is not there is 5, and the service is not asked without it" {
    proxy_start
    stop_pid "${STARTED_PIDS[-1]}"
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_one_line
    assert_nothing_arrived
}

@test "a proxy's 407 is not tried again, and its refusal as often as --retries says" {
    proxy_start --mode 407
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 3
    assert_failed 6
    assert_equal "$(wc -l <"$PROXY_LOG" | tr -d ' ')" 1
    proxy_start --mode 403
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 1
    assert_failed 5
    [ "$(wc -l <"$PROXY_LOG")" -le 2 ]
    assert_nothing_arrived
}

@test "plain http to loopback goes through no proxy, whatever is set" {
    proxy_start --mode 403
    export http_proxy="$PROXY" HTTP_PROXY="$PROXY" https_proxy="$PROXY" HTTPS_PROXY="$PROXY"
    export all_proxy="$PROXY" ALL_PROXY="$PROXY"
    API_PORT=$PLAIN_PORT
    server_reset
    for host in 127.0.0.1 localhost; do
        try_login "$PW" -e "$EMAIL" --api-url "http://$host:$PLAIN_PORT/v1"
        assert_done "host: $host"
        assert_stdout_empty
        try refresh --api-url "http://$host:$PLAIN_PORT/v1"
        assert_done "host: $host"
        assert_stdout_empty
    done
    assert_proxy_unused
    token_works "$(cached_token)"
}

@test "credentials in the proxy's URL reach the proxy and are shown nowhere" {
    local mode basic
    basic="$(printf 'operator:s3cr3t-word' | base64)"
    for mode in tunnel 403 407 close; do
        proxy_start --mode "$mode"
        export https_proxy="http://operator:s3cr3t-word@127.0.0.1:$PROXY_PORT"
        for command in login refresh; do
            try_either "$command" -v --retries 0
            assert_stdout_empty
            assert_stderr_lacks s3cr3t-word
            assert_stderr_lacks "$basic"
            assert_stderr_lacks operator
        done
        grep -qF "Proxy-Authorization: Basic $basic" "$PROXY_LOG" || fail_with "mode: $mode" "$(cat "$PROXY_LOG")"
    done
    # The service is not told.
    assert_equal "$(server_log '[.[].headers[][0] | ascii_downcase | select(startswith("proxy"))] | length')" 0
    stop_pid "${STARTED_PIDS[-1]}"
    try_login "$PW" -e "$EMAIL" -v --retries 0
    assert_failed 5
    assert_stderr_lacks s3cr3t-word
    assert_stderr_lacks operator
    assert_no grep -r s3cr3t-word "$HOME"
}

@test "a proxy URL that makes no sense is no success, and its credentials are shown nowhere" {
    local url
    for url in 'http://operator:s3cr3t-word@127.0.0.1:notaport' 'gopher://operator:s3cr3t-word@127.0.0.1:1' \
        'http://operator:s3cr3t-word@' 'http://operator:s3cr3t-word@[::1'; do
        https_proxy="$url" try_login "$PW" -e "$EMAIL" -v --retries 0
        [[ "$status" =~ ^[2567]$ ]] || fail_with_run "url: $url"
        assert_stdout_empty
        assert_stderr_lacks s3cr3t-word
        https_proxy="$url" try_login "$PW" -e "$EMAIL" --retries 0
        assert_one_line
        assert_stderr_lacks s3cr3t-word
    done
    assert_nothing_arrived
}

@test "the password and the token are not in what a proxy sees" {
    proxy_start
    export https_proxy="$PROXY"
    try_login "$PW" -e "$EMAIL"
    assert_done
    try refresh
    assert_done
    server_control tokens | jq -r '.[]' >"$BATS_TEST_TMPDIR/secrets"
    printf '%s\n' "$PW" >>"$BATS_TEST_TMPDIR/secrets"
    assert_no grep -F -f "$BATS_TEST_TMPDIR/secrets" "$PROXY_LOG"
}
