#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The test service itself, asked with curl: it must be as strict as the real one, or the other tests prove
# nothing.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { server_reset; }

teardown() { test_teardown; }

# ask [CURL OPTIONS] URL: sets STATUS, HEAD (a file) and BODY.
ask() {
    HEAD="$BATS_TEST_TMPDIR/head"
    CURL_STATUS=0
    STATUS="$(curl -q -sS -k --max-time 10 -D "$HEAD" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" \
        2>"$BATS_TEST_TMPDIR/curl-error")" || CURL_STATUS=$?
    BODY="$(cat "$BATS_TEST_TMPDIR/body" 2>/dev/null || true)"
}

ask_json() { ask -H 'Accept: application/json' "$@"; }

# post_login BODY [CURL OPTIONS]
post_login() {
    ask_json -H 'Content-Type: application/json' --data-binary "$1" "${@:2}" "$API/auth/login"
}

log_in() {
    post_login '{"email":"you@example.test","password":"correct horse"}'
    TOKEN="$(member .access_token)"
}

# post_refresh TOKEN [CURL OPTIONS]: the token alone in Authorization, as documented.
post_refresh() { ask_json -H "Authorization: $1" -X POST "${@:2}" "$API/auth/refresh"; }

member() { jq -r "$1" <<<"$BODY"; }

# claim NAME TOKEN
claim() {
    jq -rn --arg token "$2" "\$token | split(\".\")[1] | gsub(\"-\"; \"+\") | gsub(\"_\"; \"/\")
        | . + (\"=\" * ((4 - length % 4) % 4)) | @base64d | fromjson | .$1"
}

# assert_answer STATUS [MESSAGE]
assert_answer() {
    [ "$STATUS" = "$1" ] || fail_with "expected $1" "status: $STATUS" "body: $BODY"
    [ $# -lt 2 ] || assert_equal "$(member .message)" "$2"
}

assert_html() {
    assert_answer "$1"
    grep -qi '^content-type: text/html' "$HEAD"
    size="$(wc -c <"$BATS_TEST_TMPDIR/body")"
    [ "$size" -gt 6500 ] && [ "$size" -lt 6700 ]
}

@test "login answers a signed token with the library's claims" {
    before="$(date +%s)"
    log_in
    assert_answer 200
    assert_equal "$(jq -c 'keys_unsorted' <<<"$BODY")" '["success","access_token","token_type","expires_in"]'
    assert_equal "$(member '[.success,.token_type,.expires_in] | tostring')" '[true,"bearer",3600]'
    assert_equal "$(claim 'iat >= '"$before" "$TOKEN")" true
    assert_equal "$(claim 'exp - .iat' "$TOKEN")" 3600
    assert_equal "$(claim 'nbf - .iat' "$TOKEN")" 0
    assert_equal "$(claim 'prv | length' "$TOKEN")" 40
    token_works "$TOKEN"
}

@test "login refuses a wrong password, an unknown e-mail and a body that is not JSON" {
    post_login '{"email":"you@example.test","password":"Correct horse"}'
    assert_answer 401 'Invalid credentials'
    assert_equal "$(member .success)" false
    post_login '{"email":"no@example.test","password":"correct horse"}'
    assert_answer 401 'Invalid credentials'
    post_login 'email=you@example.test'
    assert_answer 401 'Invalid credentials'
    ask_json -H 'Content-Type: text/plain' -d '{"email":"you@example.test","password":"correct horse"}' "$API/auth/login"
    assert_answer 401 'Invalid credentials'
    assert_equal "$(server_stats refused)" 4
}

@test "login validates: 422 names the missing fields" {
    post_login '{"email":"you@example.test"}'
    assert_answer 422 'The given data was invalid.'
    assert_equal "$(member '.errors | keys | tostring')" '["password"]'
    post_login '{}'
    assert_equal "$(member '.errors | keys | tostring')" '["email","password"]'
}

@test "GET on login is 405, an unknown route 404" {
    ask_json "$API/auth/login"
    assert_answer 405
    [[ "$(member .message)" == 'The GET method is not supported for this route'* ]]
    ask_json -X POST "$API/auth/logon"
    assert_answer 404
}

@test "without JSON in Accept there is HTML, and nothing is spent" {
    log_in
    ask -H 'Content-Type: application/json' -d '{"email":"you@example.test","password":"correct horse"}' "$API/auth/login"
    assert_html 401
    ask "$API/auth/login"
    assert_html 405
    ask -H "Authorization: $TOKEN" -X POST "$API/auth/refresh"
    assert_html 500
    post_refresh "$TOKEN"
    assert_answer 200
}

@test "refresh: a new jti and expiry, the old iat; the old token is spent" {
    old="$(server_issue '{"age":1000}')"
    post_refresh "$old"
    assert_answer 200
    new="$(member .access_token)"
    assert_equal "$(claim iat "$new")" "$(claim iat "$old")"
    [ "$(claim jti "$new")" != "$(claim jti "$old")" ]
    [ "$(claim 'exp - .nbf' "$new")" = 3600 ]
    token_works "$new"
    assert_no token_works "$old"
    post_refresh "$old"
    assert_answer 401 'The token has been blacklisted'
    assert_equal "$(server_stats refreshes)" 1
}

@test "refresh with the old token within a grace period gives another new one" {
    server_config '{"grace":30}'
    old="$(server_issue)"
    post_refresh "$old"
    first="$(member .access_token)"
    post_refresh "$old"
    assert_answer 200
    [ "$(member .access_token)" != "$first" ]
    server_config '{"grace":1}'
    old="$(server_issue)"
    post_refresh "$old"
    sleep 1.1
    post_refresh "$old"
    assert_answer 401 'The token has been blacklisted'
}

@test "an expired token is renewed within the window, which is counted from the first login" {
    post_refresh "$(server_issue '{"ttl":-10,"age":3700}')"
    assert_answer 200
    post_refresh "$(server_issue '{"age":1209605}')" # valid now, but the login is fourteen days old
    assert_answer 401 'Token has expired and can no longer be refreshed'
    token="$(server_issue '{"age":1209000}')"
    post_refresh "$token"
    assert_answer 200
    server_config '{"refresh_window":1208000}' # however often it was renewed
    post_refresh "$(member .access_token)"
    assert_answer 401 'Token has expired and can no longer be refreshed'
    server_config '{"refresh_expired":false}'
    post_refresh "$(server_issue '{"ttl":-10}')"
    assert_answer 401 'Token has expired'
}

@test "a token of three seconds lasts three seconds" {
    server_config '{"ttl":3}'
    log_in
    sleep 1
    token_works "$TOKEN"
    sleep 2.1
    assert_no token_works "$TOKEN"
    post_refresh "$TOKEN"
    assert_answer 200
}

@test "garbage, a bad signature and no token at all are refused" {
    post_refresh garbage
    assert_answer 401 'Wrong number of segments'
    post_refresh "$(server_issue)x"
    assert_answer 401 'Token Signature could not be verified.'
    post_refresh "$(server_issue)" -H 'Authorization: another'
    assert_answer 401 'Token could not be parsed from the request.'
    ask_json -X POST "$API/auth/refresh"
    assert_answer 401 'Token could not be parsed from the request.'
}

@test "the header's form: both, the library's parser, raw, uncaught" {
    post_refresh "Bearer $(server_issue)"
    assert_answer 200
    post_refresh "$(server_issue)"
    assert_answer 200
    token="$(server_issue)"
    server_config '{"header":"library"}'
    post_refresh "$token"
    assert_answer 401 'Token could not be parsed from the request.'
    server_config '{"uncaught":true}'
    post_refresh "$token"
    assert_answer 500 'Server Error'
    post_refresh "Bearer $token" # what could not be parsed has spent nothing
    assert_answer 200
    server_config '{"header":"raw","uncaught":false}'
    post_refresh "Bearer $(server_issue)"
    assert_answer 401
    post_refresh "$(server_issue)"
    assert_answer 200
}

@test "two refreshes at once: one wins, or both if the blacklist is not atomic" {
    race() {
        local token
        token="$(server_issue)"
        curl -q -s --parallel --parallel-immediate -X POST -H 'Accept: application/json' -H "Authorization: $token" \
            -o /dev/null -o /dev/null -w '%{http_code}\n' "$API/auth/refresh" "$API/auth/refresh" | sort | tr '\n' ' '
    }
    assert_equal "$(race)" '200 401 '
    server_config '{"atomic_blacklist":false}'
    assert_equal "$(race)" '200 200 '
}

@test "a ttl of null makes tokens without exp; expires_in, token_type and days left can be set" {
    server_config '{"ttl":null}'
    log_in
    assert_equal "$(member .expires_in)" null
    assert_equal "$(claim exp "$TOKEN")" null
    token_works "$TOKEN"
    server_config '{"expires_in":"3600","token_type":"Token","number_of_days_left":14}'
    log_in
    assert_equal "$(jq -c 'del(.access_token)' <<<"$BODY")" \
        '{"success":true,"token_type":"Token","expires_in":"3600","number_of_days_left":14}'
}

@test "clock skew moves the claims, not the token's real life" {
    server_config '{"claims_skew":-7200}'
    log_in
    [ "$(claim exp "$TOKEN")" -lt "$(date +%s)" ]
    token_works "$TOKEN"
}

@test "a lockout refuses the right password too, until a reset" {
    server_config '{"lockout":2,"count_failures":true}'
    post_login '{"email":"you@example.test","password":"a"}'
    assert_equal "$(member .login_failed_count)" 1
    post_login '{"email":"you@example.test","password":"b"}'
    log_in
    assert_answer 401 'Account locked'
    server_reset
    log_in
    assert_answer 200
}

@test "passwords can be changed; a login can end the older tokens" {
    server_config '{"users":{"me@example.test":"new"},"single_session":true}'
    log_in
    assert_answer 401
    post_login '{"email":"me@example.test","password":"new"}'
    old="$(member .access_token)"
    post_login '{"email":"me@example.test","password":"new"}'
    assert_no token_works "$old"
    token_works "$(member .access_token)"
}

@test "me takes the token in either form and counts" {
    log_in
    ask_json -H "Authorization: $TOKEN" "$API/me"
    assert_answer 200
    assert_equal "$(member .user)" you@example.test
    ask_json -H "Authorization: Bearer $TOKEN" "$API/me"
    assert_answer 200
    ask_json "$API/me"
    assert_answer 401
    assert_equal "$(server_stats me_ok)/$(server_stats me_refused)" 2/1
}

@test "the log has each request as received, on one connection, and leaves the tests' own out" {
    curl -q -s -o /dev/null -o /dev/null -H 'aCCept: application/json' -H 'X-Two: b' -H 'X-Two: a' -d 'a body' \
        "$API/auth/login" "$API/auth/refresh?x=1"
    token_works x || true
    assert_equal "$(server_log 'map([.n,.connection,.endpoint,.method,.path,.body,.status]) | tostring')" \
        '[[1,1,"login","POST","/v1/auth/login","a body",401],[2,1,"refresh","POST","/v1/auth/refresh?x=1","a body",401]]'
    assert_equal "$(server_log '.[0].headers | map(select(.[0] | test("X-|aCC")) | join(":")) | join(" ")')" \
        'aCCept:application/json X-Two:b X-Two:a'
    assert_equal "$(count_requests login) $(server_stats connections) $(server_stats me_refused)" '1 1 0'
}

@test "a body in chunks is read to its end before the answer, and the connection stands" {
    ask_json --data-binary @- -H 'Transfer-Encoding: chunked' "$API/me" <<<"$(seq 20000)" \
        --next -q -sS -o /dev/null "$API/me"
    assert_equal "$(cksum <<<"$(server_log '.[0].body')")" "$(seq 20000 | cksum)"
    assert_equal "$(server_log '[.[].connection] | join(" ")')" '1 1'
}

@test "scripted answers: status, headers, JSON, repetition, and {} for the real one" {
    server_script login '{"status":429,"headers":{"Retry-After":"2","X-Many":["1","2"]}}' \
        '{"json":{"success":false,"message":"Token has expired"},"repeat":2}' '{}' '{"status":999,"repeat":-1}'
    log_in
    assert_answer 429
    assert_equal "$(grep -ciE '^(retry-after: 2|x-many: [12])' "$HEAD")" 3
    for _ in 1 2; do
        log_in
        assert_answer 200 'Token has expired'
    done
    log_in
    token_works "$TOKEN"
    for _ in 1 2 3; do
        log_in
        assert_answer 999
    done
    assert_equal "$(server_stats logins)" 1
}

@test "scripted answers: the real operation with a spoilt answer" {
    server_script refresh '{"drop":"no_answer_processed"}' '{"status":502,"process":true,"body":"<html>"}' \
        '{"merge":{"expires_in":"60"},"omit":["success"]}' '{"status":502}'
    lost="$(server_issue)"
    post_refresh "$lost"
    assert_equal "$CURL_STATUS" 52
    assert_no token_works "$lost"
    lost="$(server_issue)"
    post_refresh "$lost"
    assert_equal "$STATUS $BODY" '502 <html>'
    assert_no token_works "$lost"
    post_refresh "$(server_issue)"
    assert_equal "$(member '[.success,.expires_in] | tostring')" '[null,"60"]'
    token="$(server_issue)"
    post_refresh "$token"
    assert_answer 502
    token_works "$token"
    assert_equal "$(server_log 'map(.status) | tostring')" '[0,502,200,502]'
}

@test "scripted faults on the wire" {
    # Each with curl's exit status: 52 nothing came, 56 receiving failed, 18 cut short, 1 and 8 not HTTP,
    # 28 out of time, 27 and 100 too many headers; where there are two, it depends on curl's version.
    while read -r fault expected; do
        server_script login "$fault"
        patience=10
        [ "$expected" != 28 ] || patience=0.5
        post_login '{}' --max-time "$patience"
        [[ " $expected " == *" $CURL_STATUS "* ]] ||
            fail_with "$fault: curl's status is $CURL_STATUS" "$(cat "$BATS_TEST_TMPDIR/curl-error")"
    done <<'EOT'
{"drop":"before"}                        52
{"drop":"before","reset":true}           56
{"drop":"after_headers"}                 18
{"drop":"mid_body"}                      18
{"chunked_broken":true}                  56
{"raw":"SSH-2.0-OpenSSH\r\n"}            1 8
{"raw_base64":"AAECAwQ="}                1 8
{"hang":true}                            28
{"delay":1}                              28
{"drip":0.05}                            28
{"endless":"headers"}                    56 27 100
EOT
    server_script login '{"endless":true}'
    capture bash -c "curl -q -s --max-time 10 -d x '$API/auth/login' | head -c 3000000 | wc -c"
    assert_done
    [ "${output// /}" = 3000000 ]
}

@test "a mistaken control call is an error" {
    assert_no server_config '{"tll":3}'
    assert_no server_script login '{"staus":500}'
    assert_no server_script nowhere '{}'
    assert_no server_control nothing
}

@test "a held request is in the log, and has not been processed before it is released" {
    log_in
    server_script refresh '{"hold":true}'
    background curl -q -s -H 'Accept: application/json' -H "Authorization: $TOKEN" -X POST "$API/auth/refresh"
    retry_until 20 has_requests refresh 1
    token_works "$TOKEN"
    assert_equal "$(server_stats refreshes)" 0
    server_release
    wait "$BG_PID"
    token_works "$(jq -r .access_token "$BG_OUT")"
    assert_no token_works "$TOKEN"
}

@test "hanging requests are in the log before they are answered, and 300 connections are served" {
    server_script me '{"hang":true}'
    background curl -q -s "$API/me"
    retry_until 5 has_requests me 1
    assert_equal "$(server_log '.[0].status')" null
    stop_pid "$BG_PID"
    server_reset
    server_script me '{"hold":true,"repeat":300}'
    for _ in $(seq 300); do printf 'url=%s/me\noutput=/dev/null\n' "$API"; done >"$BATS_TEST_TMPDIR/urls"
    background curl -q -s --parallel --parallel-immediate --parallel-max 300 -K "$BATS_TEST_TMPDIR/urls"
    retry_until 60 has_requests me 300
    server_release 300
    wait "$BG_PID"
    assert_equal "$(server_stats me_refused)/$(server_stats max_concurrent)" 300/300
}

@test "the options: prefix, secret, configuration, log file, expiry kept over a reset" {
    server_start --prefix /api --secret s --config '{"ttl":60}' --log "$BATS_TEST_TMPDIR/log"
    server_reset
    API="http://127.0.0.1:$API_PORT/api"
    log_in
    assert_equal "$(member .expires_in)" 60
    assert_equal "$(jq -c '[.endpoint,.status]' "$BATS_TEST_TMPDIR/log")" '["login",200]'
    head_and_claims="${TOKEN%.*}"
    signature="$(printf %s "$head_and_claims" | openssl dgst -sha256 -hmac s -binary | base64 | tr '+/' '-_' | tr -d '=')"
    assert_equal "$TOKEN" "$head_and_claims.$signature"
    server_reset
    post_refresh "$TOKEN"
    assert_answer 200
}

@test "TLS: certificates as named, handshakes counted, nothing received" {
    certs="$BATS_TEST_TMPDIR/certs"
    make_certs "$certs"
    check() { # check CERT CURL_STATUS
        local status=0
        server_start --tls "$certs/$1.pem" "$certs/$1.key"
        curl -q -s -o /dev/null --cacert "$certs/root.pem" "${API/127.0.0.1/localhost}/me" || status=$?
        assert_equal "$1 $status" "$1 $2"
        assert_equal "$(server_stats tls_handshakes)" 1
        if [ "$2" = 60 ]; then
            assert_equal "$(server_stats tls_app_bytes) $(count_requests me)" '0 0'
        else
            [ "$(server_stats tls_app_bytes)" -gt 0 ]
            assert_equal "$(server_log '.[0].connection')" 1
        fi
        test_teardown
    }
    check server 0
    check chain 0
    for cert in expired not-yet self-signed no-chain wrong-host; do
        check "$cert" 60
    done
    server_start --tls "$certs/server.pem" "$certs/server.key"
    capture curl -q -sS -o /dev/null --capath "$certs/hashed" "$API/me"
    assert_done
    ask "http://127.0.0.1:$API_PORT/v1/me"
    assert_answer 400
    token_works "$(server_issue)"
}

@test "TLS: the newest version offered can be limited" {
    certs="$BATS_TEST_TMPDIR/certs"
    make_certs "$certs"
    for version in 1.1 1.2 1.3; do
        server_start --tls "$certs/server.pem" "$certs/server.key" --tls-max "$version"
        ask --tls-max "$version" --tlsv1.0 --ciphers ALL:@SECLEVEL=0 "$API/me"
        assert_answer 401
        [ "$version" = 1.3 ] || ! curl -q -sk --tlsv1.3 "$API/me" || fail_with "more than $version was taken"
        test_teardown
    done
}

@test "the proxy: tunnel, refusals, close, and a log of what was asked" {
    proxy_start
    ask_json -p -x "$PROXY" "$API/me"
    assert_answer 401
    ask_json -p -x "$PROXY" "http://127.0.0.1:1/me"
    [[ $CURL_STATUS =~ ^(7|56)$ ]] # by its version
    assert_equal "$(cat "$PROXY_LOG")" "CONNECT 127.0.0.1:$API_PORT HTTP/1.1
CONNECT 127.0.0.1:1 HTTP/1.1"
    proxy_start --to "$API_PORT"
    ask_json -p -x "$PROXY" "http://api.example.test/v1/me"
    assert_answer 401
    for mode in 403 407 close; do
        proxy_start --mode "$mode"
        ask_json -p -x "$PROXY" "$API/me"
        [ "$CURL_STATUS" -ne 0 ]
        [ "$mode" = close ] || grep -q "^HTTP/1.1 $mode" "$HEAD"
    done
}
