#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# login: what is sent, what is printed, and what each answer of the service means.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC1003 # a backslash before a quote is data
# shellcheck disable=SC2153 # EMAIL is helper.bash's
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# --------------------------------------------------------------------------------------- what goes out

@test "login sends the documented request, and nothing else" {
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_requests 1
    assert_equal "$(server_log '.[0] | "\(.method) \(.path)"')" 'POST /v1/auth/login'
    assert_equal "$(server_log '.[0].body')" '{"email":"you@example.test","password":"correct horse"}'
    assert_equal "$(server_log '.[0].headers | map(.[0] | ascii_downcase) | sort | join(" ")')" \
        'accept content-length content-type host user-agent'
    assert_equal "$(header accept)" application/json
    assert_equal "$(header content-type)" application/json
    assert_equal "$(header host)" "127.0.0.1:$API_PORT"
    [[ "$(header user-agent)" == servetel-auth/* ]]
}

@test "login prints nothing on stdout; stderr says who logged in, where, and until when" {
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_stderr_has "$EMAIL"
    assert_stderr_has "127.0.0.1:$API_PORT"
    assert_stderr_has "$(date -d "@$(cached .expires_at)" '+%F %H:%M')"
    assert_equal "$(wc -l <<<"$stderr")" 1
    assert_no_secret
}

@test "login caches the documented members, and the password nowhere" {
    local now=$EPOCHSECONDS
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached 'del(.expires_at, .obtained_at, .logged_in_at) | keys | join(" ")')" \
        'access_token api_url email token_type version'
    assert_equal "$(cached '"\(.version) \(.api_url) \(.email) \(.token_type)"')" "1 $API $EMAIL bearer"
    assert_about "$(cached .expires_at)" $((now + 3600))
    assert_about "$(cached .obtained_at)" "$now"
    assert_about "$(cached .logged_in_at)" "$now"
    assert_equal "$(cached_token)" "$(server_control tokens | jq -r '.[0]')"
    token_works "$(cached_token)"
    ! grep -rqF "$PW" "$HOME" || fail_with 'the password is in a file'
}

# ------------------------------------------------------------------------------------------------ output

@test "--print prints the token and a newline, and caches it" {
    try_login "$PW" -e "$EMAIL" --print
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has "$EMAIL"
    assert_stderr_lacks "$output"
    try login --print --token-stdin <<<some-token
    assert_done
    assert_stdout some-token
}

@test "--print prints a token that is stored, though perhaps not on the disk: 7" {
    needs_strace
    login
    printf '%s\n' "$PW" >"$HOME/pw"
    capture strace -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO \
        servetel-auth login -e "$EMAIL" --print --password-stdin <"$HOME/pw"
    assert_status 7
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_stderr_has 'Input/output error'
}

@test "--no-cache prints the token and makes no file and no directory" {
    printf '%s\n' "$PW" | servetel-auth login -e "$EMAIL" --password-stdin --no-cache >"$HOME/out"
    assert_equal "$(wc -l <"$HOME/out")" 1
    token_works "$(cat "$HOME/out")"
    assert_equal "$(ls -A "$HOME")" out
    write_cache
    snapshot
    try_login "$PW" -e "$EMAIL" --no-cache
    assert_done
    assert_unchanged
    assert_equal "$(ls "$HOME/.servetel-auth")" default.json
}

# ----------------------------------------------------------------------------------------------- answers

@test "a wrong password: 4, one request, the cache as it was" {
    login
    server_config '{"count_failures":true}'
    snapshot
    try_login wrong -e "$EMAIL" --retries 5
    assert_failed 4
    assert_stderr_has "127.0.0.1:$API_PORT"
    assert_stderr_has 'Invalid credentials'
    assert_stderr_lacks wrong
    assert_requests 2
    assert_unchanged
    try_login wrong -e "$EMAIL" -p other
    assert_failed 4
    assert_nothing_cached other
}

# What each answer means: a line for each, the expected status and the scripted answer.
ANSWERS='
4 {"merge":{"success":false}}
4 {"merge":{"success":null}}
4 {"merge":{"success":"true"}}
4 {"merge":{"success":1}}
4 {"json":{"success":false,"message":"Invalid credentials"}}
0 {"omit":["success"]}
0 {"omit":["token_type"]}
0 {"status":201,"process":true}
6 {"omit":["access_token"]}
6 {"merge":{"access_token":""}}
6 {"merge":{"access_token":null}}
6 {"merge":{"access_token":7}}
6 {"merge":{"access_token":"a b"}}
6 {"merge":{"access_token":"a\nb"}}
6 {"merge":{"access_token":"a\u0000b"}}
6 {"merge":{"access_token":"t\u00f6k"}}
6 {"json":["access_token"]}
6 {"json":{}}
6 {"json":"token"}
6 {"status":204}
6 {"body":""}
6 {"body":"<html>welcome</html>"}
6 {"body":"{\"access_token\":\"abc\""}
6 {"body":"{\"access_token\":\"abc\"} trailing"}
4 {"status":400}
4 {"status":401,"json":{"success":false,"message":"no"}}
4 {"status":403,"body":"<html>forbidden</html>"}
4 {"status":422,"json":{"message":"The given data was invalid."}}
5 {"status":408}
5 {"status":425}
5 {"status":429}
5 {"status":500,"json":{"message":"Server Error"}}
5 {"status":502,"body":"<html>bad gateway</html>"}
5 {"status":503}
5 {"status":504}
5 {"status":599}
6 {"status":404,"json":{"message":"no route"}}
6 {"status":405}
6 {"status":410}
6 {"status":999}
6 {"status":301,"headers":{"Location":"/v1/other"}}
6 {"status":302,"headers":{"Location":"/v1/other"}}
6 {"status":307,"headers":{"Location":"/v1/other"}}
6 {"status":308,"headers":{"Location":"/v1/other"}}
6 {"raw":"SSH-2.0-OpenSSH_9.2\r\n"}
6 {"endless":"body"}
6 {"endless":"headers"}
5 {"drop":"before"}
5 {"drop":"after_headers"}
5 {"drop":"mid_body"}
6 {"chunked_broken":true}
5 {"reset":true,"drop":"no_answer_processed"}'

@test "each answer of the service has its exit code, and none but a good one changes the cache" {
    local expected answer answers=() profile wrong=()
    while read -r expected answer; do
        answers+=("$answer")
    done <<<"${ANSWERS#?}"
    server_script login "${answers[@]}"
    write_cache
    snapshot
    while read -r expected answer; do
        profile=default
        [ "$expected" != 0 ] || profile=good
        try_login "$PW" -e "$EMAIL" --retries 0 -p $profile
        [ "$status" = "$expected" ] && assert_stdout_empty && [[ $stderr == *"127.0.0.1:$API_PORT"* ]] ||
            wrong+=("$answer: expected $expected, got $status: $output$stderr")
    done <<<"${ANSWERS#?}"
    [ ${#wrong[@]} -eq 0 ] || fail_with "the wrong meaning" "${wrong[@]}"
    assert_requests "${#answers[@]}"
    assert_requests 0 other # no redirect was followed
    assert_unchanged
    token_works "$(cached_token good)"
}

@test "a token of 16384 characters is taken, one more is 6; an answer beyond 1 MiB is 6" {
    local long
    long="$(printf '0123456789abcdef%.0s' {1..1024})"
    server_script login "{\"merge\":{\"access_token\":\"$long\"}}" \
        "{\"merge\":{\"access_token\":\"${long}x\"}}" '{"endless":true}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached_token)" "$long"
    snapshot
    try_login "$PW" -e "$EMAIL"
    assert_failed 6
    try_login "$PW" -e "$EMAIL"
    assert_failed 6
    assert_unchanged
}

# How long a token lasts: expires_in as the service writes it, and the life that follows from it, or the
# exit status. The claims say half an hour.
LIVES='
1200 {"merge":{"expires_in":1200}}
1200 {"merge":{"expires_in":"1200"}}
1800 {"omit":["expires_in"]}
1800 {"merge":{"expires_in":null}}
1800 {"merge":{"expires_in":0}}
1800 {"merge":{"expires_in":"0"}}
300000000 {"merge":{"expires_in":300000000}}
status-6 {"merge":{"expires_in":-1}}
status-6 {"merge":{"expires_in":"-1200"}}
status-6 {"merge":{"expires_in":400000000}}
status-6 {"merge":{"expires_in":"400000000"}}
status-6 {"merge":{"expires_in":1e300}}
status-6 {"merge":{"expires_in":"soon"}}
status-6 {"merge":{"expires_in":"1200s"}}
status-6 {"merge":{"expires_in":true}}
status-6 {"merge":{"expires_in":[1200]}}
status-6 {"merge":{"expires_in":{}}}'

@test "expires_in: a number or a numeric string; without it the claims; nonsense is 6" {
    local life answer answers=()
    server_config '{"ttl":1800}'
    while read -r life answer; do
        answers+=("$answer")
    done <<<"${LIVES#?}"
    server_script login "${answers[@]}"
    while read -r life answer; do
        try_login "$PW" -e "$EMAIL"
        if [[ $life == status-* ]]; then
            assert_failed "${life#status-}" "$answer"
        else
            assert_done "$answer"
            assert_about "$(cached '.expires_at - .obtained_at')" "$life" 2
        fi
    done <<<"${LIVES#?}"
    assert_requests "${#answers[@]}"
}

@test "without expires_in: exp from nbf, else from iat, else 60 minutes" {
    local now=$EPOCHSECONDS
    life() { # CLAIMS LIFE
        server_script login "{\"omit\":[\"expires_in\"],\"merge\":{\"access_token\":\"$(jwt "$1")\"}}"
        try_login "$PW" -e "$EMAIL"
        assert_done "$1"
        assert_about "$(cached '.expires_at - .obtained_at')" "$2" 2
    }
    # A service whose clock is two hours ahead; the difference of its times is what counts.
    life "{\"iat\":$((now - 86400)),\"nbf\":$((now + 7200)),\"exp\":$((now + 8100))}" 900
    life "{\"iat\":$((now + 7200)),\"exp\":$((now + 8100))}" 900
    life "{\"iat\":$now}" 3600
    life '{}' 3600
    server_script login '{"omit":["expires_in"],"merge":{"access_token":"opaque"}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_about "$(cached '.expires_at - .obtained_at')" 3600 2
}

@test "a life is counted from the moment the request was sent" {
    server_script login '{"delay":4}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_about "$(cached .expires_at)" "$(server_log '.[0].time + 3600 | floor')" 2
}

@test "token_type is kept as it is, and need not be bearer" {
    server_script login '{"merge":{"token_type":"MAC \"x\""}}' '{"merge":{"token_type":7}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached .token_type)" 'MAC "x"'
    try_login "$PW" -e "$EMAIL"
    assert_done
}

@test "a login whose answer tells no end of the password forgets the old one's" {
    write_cache '.password_expires_at = $now + 80000'
    login
    assert_equal "$(cached 'has("password_expires_at")')" false
}

@test "a password that expires within 14 days is warned about" {
    server_config '{"number_of_days_left":15}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stderr_lacks warning
    server_config '{"number_of_days_left":14}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stderr_has warning
    assert_stderr_has '14 days'
}

# ----------------------------------------------------------------------------------------------- retries

@test "a 5xx is tried again within --retries, with a pause that grows" {
    server_script login '{"status":503}' '{"status":502}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log 'map(.status) | join(" ")')" '503 502 200'
    assert_equal "$(server_log '(.[1].time - .[0].time) > 0.1')" true
    server_reset
    server_script login '{"status":500,"repeat":-1}'
    try_login "$PW" -e "$EMAIL" --retries 1
    assert_failed 5
    assert_requests 2
    try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_requests 3
}

@test "pauses do not outlast --timeout" {
    local started=$EPOCHSECONDS
    server_script login '{"status":503,"repeat":-1}'
    try_login "$PW" -e "$EMAIL" --retries 100 --timeout 2
    assert_failed 5
    [ $((EPOCHSECONDS - started)) -lt 8 ]
}

@test "429: tried again after Retry-After or retry_after, in Indian time, if that is within the time left" {
    local at until
    server_script login '{"status":429,"headers":{"Retry-After":"1"}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log '(.[1].time - .[0].time) >= 0.9')" true
    server_reset
    until=$((EPOCHSECONDS + 2))
    at="$(TZ=IST-5:30 date -d "@$until" '+%F %T')"
    server_script login "{\"status\":429,\"json\":{\"success\":false,\"retry_after\":\"$at\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log 'map(.status) | join(" ")')" '429 200'
    assert_equal "$(server_log ".[1].time >= $until")" true
}

@test "429 and 503: a wait beyond the time left is 5 at once, and the message says how long" {
    local at date started=$EPOCHSECONDS profile=0
    at="$(TZ=IST-5:30 date -d '+50 minutes' '+%F %T')"
    date="$(date -u -d '+50 minutes' '+%a, %d %b %Y %H:%M:%S GMT')"
    server_script login '{"status":429,"headers":{"Retry-After":"3000"}}' \
        '{"status":503,"headers":{"Retry-After":"3000"}}' \
        "{\"status\":429,\"headers\":{\"Retry-After\":\"$date\"}}" \
        "{\"status\":429,\"json\":{\"retry_after\":\"$at\"}}"
    for _ in 1 2 3 4; do
        try_login "$PW" -e "$EMAIL" -p $((profile += 1))
        assert_failed 5
        [[ "$stderr" =~ (50|49)\ min|(29|30)[0-9][0-9]\ s ]] || fail_with_run "does not say how long"
    done
    assert_requests 4
    [ $((EPOCHSECONDS - started)) -lt 30 ] # --timeout: none of the four stood there until it was over
}

@test "what cannot get better, or may have happened, is asked once: 4xx, 429 alone, a lost answer" {
    local answer wrong=() count=0
    for answer in '{"status":400}' '{"status":401}' '{"status":422}' '{"status":404}' '{"status":429}' \
        '{"status":408}' '{"drop":"no_answer_processed"}' '{"drop":"mid_body"}' \
        '{"status":429,"headers":{"Retry-After":"garbage"}}' \
        '{"status":429,"headers":{"Retry-After":"-5"}}' \
        '{"status":429,"headers":{"Retry-After":"99999999999999999999"}}'; do
        server_script login "$answer"
        try_login "$PW" -e "$EMAIL" --retries 3
        count=$((count + 1))
        if ! assert_requests $count login 2>/dev/null; then
            wrong+=("$answer: $status $stderr")
            count="$(count_requests login)"
        fi
    done
    [ ${#wrong[@]} -eq 0 ] || fail_with "asked more than once" "${wrong[@]}"
    assert_nothing_cached
}

@test "no answer within --timeout is 5, after one request" {
    server_script login '{"hang":true}'
    try_login "$PW" -e "$EMAIL" --timeout 4 --retries 3
    assert_failed 5
    assert_requests 1
    assert_nothing_cached
}

@test "a connection that is not made is tried again, and is 5" {
    try_login "$PW" -e "$EMAIL" --retries 1 --api-url http://127.0.0.1:1/v1
    assert_failed 5
    assert_stderr_has 127.0.0.1:1
    assert_no_secret
    try_login "$PW" -e "$EMAIL" --retries 0 --api-url https://no-such-host.invalid/v1
    assert_failed 5
    assert_stderr_has no-such-host.invalid
    assert_nothing_cached
}
