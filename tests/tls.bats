#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# TLS: a certificate that does not verify is 6, and not a byte of the request is sent; which roots count; and one
# connection for everything.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

# Two servers for the file: one with a good certificate, and one with the same and its intermediate.
setup_file() {
    export CERTS="$BATS_FILE_TMPDIR/certs"
    make_certs "$CERTS"
    # A root that has signed nothing here.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$CERTS/other-root.key" \
        -subj '/CN=Other root' -days 3650 -out "$CERTS/other-root.pem" 2>/dev/null
    mkdir "$CERTS/other-hashed"
    cp "$CERTS/other-root.pem" "$CERTS/other-hashed/$(openssl x509 -noout -subject_hash -in "$CERTS/other-root.pem").0"
    server_start --tls "$CERTS/server.pem" "$CERTS/server.key"
}

teardown_file() { server_stop; }

setup() {
    test_setup
    export CURL_CA_BUNDLE="$CERTS/root.pem"
}

teardown() { test_teardown; }

# use_server CERTIFICATE [OPTIONS]: for this test, a server with that one.
use_server() {
    server_start --tls "$CERTS/$1.pem" "$CERTS/$1.key" "${@:2}"
}

# put_cache TOKEN: a stale one, without a connection to the server: what is tested is the first one.
put_cache() {
    local now
    now="$(date +%s)"
    mkdir -p "$HOME/.servetel-auth"
    (umask 077 && printf '{"version":1,"api_url":"%s","email":"%s","access_token":"%s","token_type":"bearer",
        "expires_at":%d,"obtained_at":%d}' "$API" "$EMAIL" "$1" $((now + 50)) $((now - 3550)) \
        >"$HOME/.servetel-auth/default.json")
}

# assert_not_trusted: neither login nor refresh sends anything, both are 6, and the cache stays.
assert_not_trusted() {
    put_cache the.old.token
    snapshot
    for command in login refresh; do
        try_either "$command"
        assert_failed 6 "command: $command"
        assert_one_line
        assert_stderr_lacks "$PW"
        assert_stderr_lacks the.old.token
        assert_unchanged
    done
    assert_nothing_sent
}

# Both work.
assert_trusted() {
    put_cache "$(server_issue)"
    for command in refresh login; do
        try_either "$command"
        assert_done "command: $command"
        assert_stdout_empty
        token_works "$(cached_token)"
    done
}

# assert_login CODE [OPTIONS]: for what differs in the roots only.
assert_login() {
    try_login "$PW" -e "$EMAIL" -q "${@:2}"
    assert_status "$1"
    assert_stdout_empty
    if [ "$1" = 0 ]; then assert_stderr_empty; else assert_one_line; fi
}

@test "a certificate that the roots have signed, for this host and now, is trusted" {
    assert_trusted
    assert_equal "$(server_stats tls_handshakes)" 2 # one a command
}

@test "a certificate for another host is 6, and nothing is sent" {
    use_server wrong-host
    assert_not_trusted
}

@test "the name in the URL counts, not the address behind it" {
    use_server service
    API="https://localhost:$API_PORT/v1"
    SERVETEL_API_URL="$API"
    assert_not_trusted
}

@test "a certificate of an unknown root is 6, and nothing is sent" {
    CURL_CA_BUNDLE="$CERTS/other-root.pem"
    assert_not_trusted
    assert_equal "$(server_stats tls_handshakes)" 2 # not a third handshake with other roots
}

@test "without a word about roots the system's count, and they do not know ours" {
    unset CURL_CA_BUNDLE
    assert_not_trusted
}

@test "an expired certificate is 6, and nothing is sent" {
    use_server expired
    assert_not_trusted
}

@test "a certificate that is not yet valid is 6, and nothing is sent" {
    use_server not-yet
    assert_not_trusted
}

@test "a self-signed certificate is 6, and nothing is sent" {
    use_server self-signed
    assert_not_trusted
}

@test "a certificate whose intermediate the server does not send is 6, and nothing is sent" {
    use_server no-chain
    assert_not_trusted
}

@test "with the intermediate it is trusted" {
    use_server chain
    assert_trusted
}

@test "a verification that failed is not tried again" {
    CURL_CA_BUNDLE="$CERTS/other-root.pem"
    try_login "$PW" -e "$EMAIL" --retries 9
    assert_failed 6
    assert_equal "$(server_stats tls_handshakes)" 1
}

@test "TLS 1.1 is not spoken: 6, trying again does not help, and nothing is sent" {
    use_server server --tls-max 1.1
    assert_not_trusted
}

@test "TLS 1.2 is" {
    use_server server --tls-max 1.2
    assert_trusted
}

@test "a server that answers in plain text is 6, and nothing is sent to it" {
    server_start
    try_login "$PW" -e "$EMAIL" --api-url "https://127.0.0.1:$API_PORT/v1" --retries 0
    assert_failed 6
    assert_one_line
    assert_stderr_has "no TLS connection to 127.0.0.1:$API_PORT: wrong version number: does it speak https?"
    # shellcheck disable=SC2154 # capture sets it
    [[ ! "$stderr" =~ [0-9A-F]{8} ]] || fail_with_run "a code without words"
    assert_nothing_sent
}

@test "one that takes the connection and says nothing is 5, and nothing is sent to it" {
    server_start
    kill -STOP "$SERVER_PID" # the kernel takes it
    try_login "$PW" -e "$EMAIL" --api-url "https://127.0.0.1:$API_PORT/v1" --retries 0 --timeout 1s
    kill -CONT "$SERVER_PID"
    assert_failed 5
    assert_one_line
    assert_nothing_sent
}

@test "plain http to a port that wants TLS is no success" {
    try_login "$PW" -e "$EMAIL" --api-url "http://127.0.0.1:$API_PORT/v1"
    assert_failed 4
    assert_one_line
}

# ------------------------------------------------------------------------------------------------------- roots

@test "--cacert, CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR each name the roots" {
    unset CURL_CA_BUNDLE
    assert_login 0 --cacert "$CERTS/root.pem"
    CURL_CA_BUNDLE="$CERTS/root.pem" assert_login 0
    SSL_CERT_FILE="$CERTS/root.pem" assert_login 0
    SSL_CERT_DIR="$CERTS/hashed" assert_login 0
    cd "$CERTS"
    assert_login 0 --cacert root.pem
    assert_equal "$(server_stats logins)" 5
}

@test "the roots that are named stand in place of the system's, each way" {
    unset CURL_CA_BUNDLE
    assert_login 6 --cacert "$CERTS/other-root.pem"
    CURL_CA_BUNDLE="$CERTS/other-root.pem" assert_login 6
    SSL_CERT_FILE="$CERTS/other-root.pem" assert_login 6
    SSL_CERT_DIR="$CERTS/other-hashed" assert_login 6
    assert_nothing_sent
}

@test "--cacert beats every variable" {
    export SSL_CERT_FILE="$CERTS/root.pem" SSL_CERT_DIR="$CERTS/hashed"
    CURL_CA_BUNDLE="$CERTS/root.pem" assert_login 6 --cacert "$CERTS/other-root.pem"
    assert_nothing_sent
    export SSL_CERT_FILE="$CERTS/other-root.pem" SSL_CERT_DIR="$CERTS/other-hashed"
    CURL_CA_BUNDLE="$CERTS/other-root.pem" assert_login 0 --cacert "$CERTS/root.pem"
}

@test "CURL_CA_BUNDLE beats SSL_CERT_FILE and SSL_CERT_DIR" {
    export SSL_CERT_FILE="$CERTS/root.pem" SSL_CERT_DIR="$CERTS/hashed"
    CURL_CA_BUNDLE="$CERTS/other-root.pem" assert_login 6
    assert_nothing_sent
    export SSL_CERT_FILE="$CERTS/other-root.pem" SSL_CERT_DIR="$CERTS/other-hashed"
    assert_login 0
}

@test "SSL_CERT_FILE and SSL_CERT_DIR count together, as in curl" {
    unset CURL_CA_BUNDLE
    SSL_CERT_FILE="$CERTS/other-root.pem" SSL_CERT_DIR="$CERTS/other-hashed" assert_login 6
    assert_nothing_sent
    SSL_CERT_FILE="$CERTS/root.pem" SSL_CERT_DIR="$CERTS/other-hashed" assert_login 0
    SSL_CERT_FILE="$CERTS/other-root.pem" SSL_CERT_DIR="$CERTS/hashed" assert_login 0
}

# bundle_login CERTIFICATE...: a login, verbose, where libcurl's own bundle is these.
bundle_login() {
    load cache_tests_helper
    needs_mounts
    BUNDLE=/etc/ssl/certs/ca-certificates.crt
    [ -e "$BUNDLE" ] || skip "libcurl's bundle is elsewhere"
    unset CURL_CA_BUNDLE
    (cd "$CERTS" && cat "$@") >"$HOME/bundle"
    # shellcheck disable=SC2016 # the inner shell's words
    capture "${NAMESPACE[@]}" sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$HOME/bundle" "$BUNDLE" \
        servetel-auth login -v -e "$EMAIL" --password-stdin <<<"$PW"
}

@test "SSL_CERT_FILE that is libcurl's own bundle counts beside SSL_CERT_DIR" {
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt SSL_CERT_DIR="$CERTS/other-hashed"
    bundle_login root.pem
    assert_done
    assert_stderr_lacks 'trying'
}

@test "without a word about roots their directory is asked first, and the bundle after all" {
    compgen -G '/etc/ssl/certs/????????.0' >"$HOME/found" || skip "libcurl's directory of roots is not hashed"
    bundle_login root.pem
    assert_done
    assert_stderr_has "the issuer is not in /etc/ssl/certs, trying libcurl's bundle"
    # The bundle by its name is no word about them, in the environment; in an option it is one.
    SSL_CERT_FILE="$BUNDLE" bundle_login root.pem
    assert_done
    assert_stderr_has "trying libcurl's bundle"
    # A certificate that is its own root, alone and, as a server may send it, behind what it signed.
    use_server self-signed
    bundle_login root.pem self-signed.pem
    assert_done
    assert_stderr_has "trying libcurl's bundle"
    bundle_login root.pem
    assert_failed 6
}

@test "the certificate of an https proxy is verified too, and a failure is told as the proxy's" {
    unset CURL_CA_BUNDLE
    export https_proxy="https://127.0.0.1:$API_PORT" SERVETEL_API_URL=https://api.example.test/v1
    try_login "$PW" -e "$EMAIL"
    assert_failed 6
    assert_stderr_has 'the certificate of the proxy to api.example.test does not verify, nothing was sent'
    assert_nothing_sent
    # With the root for it, its refusal is heard: it is no proxy.
    try_login "$PW" -e "$EMAIL" --cacert "$CERTS/root.pem" --retries 0
    assert_failed 5
    assert_stderr_lacks certificate
}

@test "a server that wants another protocol than HTTP, by ALPN, is 6" {
    local port
    mkfifo "$HOME/stdin" # it ends with its stdin
    # shellcheck disable=SC2016 # the inner shell's words
    background bash -c 'exec "$@" <>"$0"' "$HOME/stdin" openssl s_server -accept 127.0.0.1:0 \
        -cert "$CERTS/server.pem" -key "$CERTS/server.key" -alpn imap
    retry_until 20 grep -q ACCEPT "$BG_OUT"
    port="$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' "$BG_OUT" | head -n 1)"
    SERVETEL_API_URL="https://127.0.0.1:$port/v1" try_login "$PW" -e "$EMAIL" --retries 3
    assert_failed 6
    assert_stderr_has 'no application protocol'
}

@test "an empty variable is as if unset" {
    CURL_CA_BUNDLE='' SSL_CERT_FILE='' SSL_CERT_DIR='' assert_login 6
    assert_nothing_sent
    SSL_CERT_FILE='' SSL_CERT_DIR='' assert_login 0
    CURL_CA_BUNDLE='' SSL_CERT_FILE="$CERTS/root.pem" assert_login 0
}

@test "a file of roots that is missing, unreadable or garbage is 7, and named" {
    printf 'garbage\n' >"$BATS_TEST_TMPDIR/garbage.pem"
    : >"$BATS_TEST_TMPDIR/empty.pem"
    mkdir "$BATS_TEST_TMPDIR/directory.pem"
    put_cache the.old.token
    snapshot
    for name in missing garbage empty directory; do
        file="$BATS_TEST_TMPDIR/$name.pem"
        for command in login refresh; do
            try_either "$command" --cacert "$file"
            assert_failed 7 "--cacert $name, $command"
            assert_one_line
            assert_stderr_has "$file"
            assert_unchanged
        done
    done
    unset CURL_CA_BUNDLE
    for variable in CURL_CA_BUNDLE SSL_CERT_FILE; do
        capture env "$variable=$BATS_TEST_TMPDIR/missing.pem" servetel-auth refresh
        assert_failed 7 "$variable"
        assert_stderr_has "$BATS_TEST_TMPDIR/missing.pem"
        assert_unchanged
    done
    assert_nothing_sent
}

# Nobody writes to it: neither --timeout nor a signal would end that.
@test "a pipe as a file of roots is 7 at once" {
    mkfifo pipe.pem
    put_cache the.old.token
    snapshot
    background servetel-auth refresh --cacert pipe.pem
    retry_until 20 is_gone "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_status 7
    assert_equal "$(cat "$BG_OUT")" ''
    assert_equal "$(cat "$BG_ERR")" "servetel-auth: cannot use the CA certificates 'pipe.pem': it is a pipe"
    assert_unchanged
    assert_nothing_sent
}

@test "show prints a token that is still valid when the service cannot be trusted, with a warning" {
    put_cache the.old.token
    CURL_CA_BUNDLE="$CERTS/other-root.pem" try show
    assert_done
    assert_stdout the.old.token
    assert_one_line
    assert_stderr_has warning
    assert_nothing_sent
}

@test "no option switches the checks off" {
    for command in '' login refresh show status logout exec schedule; do
        # shellcheck disable=SC2086 # none or one word
        try $command --help
        assert_done
        assert_stderr_empty
        assert_stdout_has Usage 2>/dev/null || assert_stdout_has usage
        assert_no grep -iE 'insecure|no-?verify|no-?check|skip|unsafe|self-signed|disable' <<<"$output"
    done
    use_server self-signed
    for option in --insecure -k --no-verify --no-check-certificate --cacert= --tls-max=1.1; do
        try_login "$PW" -e "$EMAIL" "$option"
        [[ "$status" != 0 ]] || fail_with_run "taken: $option"
        assert_stdout_empty
    done
    assert_nothing_sent
}

# ------------------------------------------------------------------------------------------------- connections

# through_proxy COMMAND...: sets CONNECTIONS, how many were opened for it. A proxy sees those without a request, too.
through_proxy() {
    [ -n "${PROXY:-}" ] || proxy_start
    : >"$PROXY_LOG"
    https_proxy="$PROXY" "$@"
    CONNECTIONS="$(wc -l <"$PROXY_LOG" | tr -d ' ')"
}

@test "a login is one connection and one request, and so is a refresh" {
    for command in login refresh; do
        server_reset
        through_proxy try_either "$command"
        assert_done
        assert_stdout_empty
        assert_equal "$CONNECTIONS" 1
        assert_equal "$(server_log '[.[].endpoint] | join(" ")')" "$command"
        assert_equal "$(server_stats connections)" 1
        assert_equal "$(server_stats tls_handshakes)" 1
    done
}

@test "the other form of the header goes over the same connection" {
    try_login "$PW" -e "$EMAIL"
    assert_done
    server_reset
    server_config '{"header":"library"}'
    through_proxy try refresh
    assert_done
    assert_requests 2 refresh
    assert_equal "$(server_log '[.[].connection] | unique | length')" 1
    assert_equal "$CONNECTIONS" 1
    token_works "$(cached_token)"
}

@test "so does the login after a refusal" {
    servetel-auth login -q -e "$EMAIL" --password-command "echo '$PW'"
    server_reset
    server_config '{"refresh_window":-1}'
    through_proxy try refresh
    assert_done
    assert_equal "$(server_log '[.[].endpoint] | join(" ")')" 'refresh refresh login'
    assert_equal "$CONNECTIONS" 1
    token_works "$(cached_token)"
}

@test "a fresh token takes no connection at all" {
    try_login "$PW" -e "$EMAIL"
    through_proxy try show
    assert_done
    assert_stdout "$(cached_token)"
    assert_equal "$CONNECTIONS" 0
}
