#!/usr/bin/env bats
# refresh: what is sent and in which form, when nothing is, what each answer leads to, and what is kept.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's

load helper
load cli_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# with_source [JQ_EXPRESSION]: with_token, and a command that prints the password.
with_source() {
    with_token ".password_command = \"echo '$PW'\" | ${1:-.}"
}

# The forms of the refresh requests so far, in order: raw, bearer.
forms() {
    server_log 'map(select(.endpoint == "refresh") | .headers[] | select(.[0] == "Authorization") | .[1]
        | if startswith("Bearer ") then "bearer" else "raw" end) | join(" ")'
}

# assert_endpoints WORDS: which requests the service has received, in order.
assert_endpoints() {
    assert_equal "$(server_log 'map(.endpoint) | join(" ")')" "$1"
}

# ----------------------------------------------------------------------------------------- what goes out

@test "refresh sends the documented request, and nothing else" {
    with_token
    local token
    token="$(cached_token)"
    try refresh
    assert_done
    assert_requests 1
    assert_equal "$(server_log '.[0] | "\(.method) \(.path) \(.body)."')" 'POST /v1/auth/refresh .'
    assert_equal "$(server_log '.[0].headers | map(.[0] | ascii_downcase) | sort | join(" ")')" \
        'accept authorization content-length host user-agent'
    assert_equal "$(header authorization)" "$token" # no scheme before it
    assert_equal "$(header accept)" application/json
    assert_equal "$(header content-length)" 0
}

@test "a renewed token is stored, with its times; the first login's stays" {
    local old now=$EPOCHSECONDS
    with_token '.logged_in_at = $now - 600 | .obtained_at = $now - 600 | .expires_at = $now + 3000'
    old="$(cached_token)"
    try refresh
    assert_done
    assert_stdout_empty
    assert_stderr_has renewed
    assert_stderr_has "$(date -d "@$(cached .expires_at)" '+%H:%M')"
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
    run ! token_works "$old"
    assert_about "$(cached .expires_at)" $((now + 3600))
    assert_about "$(cached .obtained_at)" "$now"
    assert_about "$(cached .logged_in_at)" $((now - 600))
    assert_equal "$(cached .email)" "$EMAIL"
    assert_equal "$(mode_of "$(cache_file)")" 600
    assert_no_secret
}

@test "an expired token is exchanged too" {
    with_token '.expires_at = $now - 86400 | .obtained_at = $now - 90000'
    try refresh
    assert_done
    token_works "$(cached_token)"
    assert_endpoints refresh
}

# ---------------------------------------------------------------------------------- kept, renewed, logged in

@test "--min-ttl: while the token lasts longer nothing is sent, and stderr and --json say kept" {
    write_cache '.expires_at = $now + 600'
    snapshot
    try refresh --min-ttl 9m
    assert_done
    assert_stdout_empty
    assert_stderr_has kept
    try refresh --min-ttl 9m --json
    assert_done
    assert_equal "$(json .action)" kept
    assert_about "$(json .expires_in)" 600
    assert_equal "$(json .expires_at)" "$(cached .expires_at)"
    assert_requests 0
    assert_unchanged
    with_token '.expires_at = $now + 600'
    try refresh --min-ttl 11m
    assert_done
    assert_stderr_has renewed
    assert_requests 1
}

@test "--json says renewed, or logged-in, in one line, and holds no token" {
    with_token
    try refresh --json
    assert_done
    assert_equal "$(json .action)" renewed
    assert_equal "$(json .profile)" default
    assert_equal "$(json .expires_at)" "$(cached .expires_at)"
    assert_equal "$(wc -l <<<"$output")" 1
    assert_no_secret
    with_source
    server_config '{"refresh_window":0}'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged-in
    token_works "$(cached_token)"
    assert_no_secret
}

@test "--print prints the token that results, and nothing else, on stdout" {
    write_cache
    try refresh --min-ttl 5m --print
    assert_done
    assert_stdout made-up-default
    with_token
    try refresh --print
    assert_done
    assert_stdout "$(cached_token)"
    token_works "$output"
    assert_stderr_lacks "$output"
}

@test "without a cached token: 3, nothing is sent, no file is made" {
    try refresh
    assert_failed 3
    assert_stderr_has 'servetel-auth login'
    try refresh --json -p work
    assert_failed 3
    assert_stderr_has work
    assert_requests 0
    run ! compgen -G "$HOME/.servetel-auth/*.json"
}

# ------------------------------------------------------------------------------------ the header's form

@test "the raw form goes first, and what worked is remembered" {
    with_token
    try refresh
    assert_done
    assert_equal "$(forms)" raw
    assert_equal "$(cached .auth_scheme)" raw
}

@test "a service that wants Bearer gets it at the second try, and first from then on" {
    server_config '{"header":"library"}'
    with_token
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(cached .auth_scheme)" bearer
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer bearer'
    token_works "$(cached_token)"
}

@test "a remembered form that no longer works is replaced by the other" {
    server_config '{"header":"raw"}'
    with_token '.auth_scheme = "bearer"'
    try refresh
    assert_done
    assert_equal "$(forms)" 'bearer raw'
    assert_equal "$(cached .auth_scheme)" raw
}

@test "400, 401 and 403 are tried in the other form, once; other answers are not" {
    local answer
    with_token
    snapshot
    for answer in '{"status":400}' '{"status":401}' '{"status":403}'; do
        server_script refresh "$answer" "$answer"
        try refresh
        assert_failed 4 "$answer"
    done
    assert_equal "$(forms)" 'raw bearer raw bearer raw bearer'
    for answer in '{"status":422}' '{"status":404}' '{"status":502}' '{"json":{"success":false}}'; do
        server_script refresh "$answer"
        try refresh
        [ "$status" != 0 ] || fail_with_run "$answer"
    done
    assert_requests 10 refresh
    assert_unchanged
}

@test "while no form has ever worked, a 500 is tried in the other form" {
    server_config '{"header":"library","uncaught":true}'
    with_token
    try refresh
    assert_done
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(cached .auth_scheme)" bearer
    # Now one has.
    server_script refresh '{"status":500,"json":{"message":"Server Error"}}'
    snapshot
    try refresh
    assert_failed 5
    assert_equal "$(forms)" 'raw bearer bearer'
    assert_unchanged
}

@test "--auth-scheme: that form and no other" {
    with_token '.auth_scheme = "bearer"'
    server_config '{"header":"library"}'
    snapshot
    try refresh --auth-scheme raw
    assert_failed 4
    assert_unchanged
    server_config '{"uncaught":true}'
    try refresh --auth-scheme raw
    assert_failed 5
    try refresh --auth-scheme bearer
    assert_done
    assert_equal "$(forms)" 'raw raw bearer'
}

# -------------------------------------------------------------------------------------- refused, and then

@test "a refused token without a password source: 4, a login is needed, the cache as it was" {
    write_cache . default "$(server_issue '{"age":1300000}')" # more than 14 days ago
    snapshot
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_stderr_has 'can no longer be refreshed'
    assert_unchanged
    assert_requests 2
    assert_no_secret
}

@test "a refused token with a password source: one login, with what is remembered" {
    with_source '.auth_scheme = "raw" | .note = 1'
    server_config '{"refresh_window":0}'
    try refresh
    assert_done
    assert_stdout_empty
    assert_stderr_has 'logged in'
    assert_endpoints 'refresh refresh login'
    assert_equal "$(server_log '.[-1].body | fromjson | "\(.email) \(.password)"')" "$EMAIL $PW"
    assert_about "$(cached .logged_in_at)" "$EPOCHSECONDS"
    assert_equal "$(cached '"\(.auth_scheme) \(.note) \(.password_command)"')" "raw 1 echo '$PW'"
    token_works "$(cached_token)"
    # A refusal within a 200 is one too.
    server_script refresh '{"json":{"success":false,"message":"Token has expired"}}'
    try refresh
    assert_done
    assert_requests 2 login
}

@test "a password file serves as well as a command" {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    with_token ".password_file = \"$HOME/pw\""
    server_config '{"refresh_window":0}'
    try refresh
    assert_done
    assert_requests 1 login
    server_config '{"refresh_window":0}'
    rm "$HOME/pw"
    snapshot
    try refresh
    assert_failed 7
    assert_stderr_has "$HOME/pw"
    assert_requests 1 login
    assert_unchanged
}

@test "a 500 with a password source: one login; without one 5, and a hint at a login" {
    with_source '.auth_scheme = "raw"'
    server_config '{"uncaught":true,"refresh_window":0}'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged-in
    assert_endpoints 'refresh login'
    with_token '.auth_scheme = "raw"'
    snapshot
    try refresh
    assert_failed 5
    assert_stderr_has login
    assert_requests 2 refresh
    assert_requests 1 login
    assert_unchanged
}

@test "a remembered password that is refused is noted and not sent again, until a login clears the note" {
    with_source '.note = "mine"'
    server_config '{"refresh_window":0,"users":{"you@example.test":"new horse"}}'
    local token
    token="$(cached_token)"
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_requests 1 login
    assert_equal "$(cached .unattended_login)" refused
    assert_equal "$(cached '"\(.access_token) \(.note)"')" "$token mine"
    snapshot
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    try show --min-ttl 2h
    assert_failed 4
    cache_edit ".expires_at = $((EPOCHSECONDS - 5))"
    try show
    assert_failed 4
    assert_requests 1 login
    assert_equal "$(cached .unattended_login)" refused
    try_login 'wrong' # a failing login clears nothing
    assert_failed 4
    assert_equal "$(cached .unattended_login)" refused
    try_login 'new horse'
    assert_done
    assert_equal "$(cached 'has("unattended_login")')" false
}

@test "an unattended login is sent once: not again after a lost answer or a refusal" {
    with_source
    server_config '{"refresh_window":0}'
    snapshot
    server_script login '{"drop":"no_answer_processed"}' '{"status":404}' '{"status":429}'
    try refresh
    assert_failed 5
    assert_requests 1 login
    try refresh
    assert_failed 6
    assert_requests 2 login
    try refresh
    assert_failed 5
    assert_requests 3 login
    assert_unchanged # neither of these was a refusal of the password
}

# ----------------------------------------------------------------------------------------- permanent tokens

@test "a permanent token is never sent: kept while it lasts" {
    with_source 'del(.expires_at)'
    snapshot
    try refresh --json
    assert_done
    assert_equal "$(json .action)" kept
    assert_equal "$(json '.expires_at // "none"')" none
    try refresh
    assert_done
    assert_stderr_has kept
    assert_unchanged
    with_source '.expires_at = $now + 90000' # 25 hours after it was obtained
    try refresh
    assert_done
    assert_stderr_has kept
    with_source '.expires_at = $now + 300000000'
    try refresh --min-ttl 1h
    assert_done
    assert_stderr_has kept
    assert_requests 0
    with_token '.expires_at = $now + 80000' # 22 hours: not one
    try refresh
    assert_done
    assert_endpoints refresh
}

@test "a permanent token that has expired: the password source, else 3" {
    with_token '.obtained_at = $now - 200000 | .expires_at = $now - 5'
    snapshot
    try refresh
    assert_failed 3
    assert_requests 0
    assert_unchanged
    with_source '.obtained_at = $now - 200000 | .expires_at = $now - 5'
    try refresh --json
    assert_done
    assert_equal "$(json .action)" logged-in
    assert_endpoints login
}

# -------------------------------------------------------------------------------------------- never twice

@test "a lost answer: 5, and no second refresh" {
    local answer
    with_token
    snapshot
    for answer in '{"drop":"no_answer_processed"}' '{"drop":"mid_body"}' \
        '{"reset":true,"drop":"no_answer_processed"}'; do
        server_script refresh "$answer"
        try refresh --retries 5
        assert_failed 5 "$answer"
        assert_stderr_has 'perhaps spent: if it stays so, run servetel-auth login'
    done
    assert_requests 3
    assert_unchanged
    try status
    assert_status 0
    assert_stderr_has 'perhaps spent: if the next one is refused, run servetel-auth login'
}

@test "a token that the service calls blacklisted is out of use: nothing sends or prints it again" {
    local old
    with_token
    old="$(cached_token)"
    server_script refresh '{"drop":"no_answer_processed"}'
    try refresh
    assert_failed 5
    try refresh --complain-below 1m # the service has spent the token
    assert_failed 4
    assert_stderr_has 'blacklisted: run servetel-auth login'
    assert_requests 2 # not in the other form, either
    assert_equal "$(cached_token)" "$old"
    assert_about "$(cached .blacklisted_at)" "$EPOCHSECONDS"
    try refresh
    assert_failed 3
    assert_stderr_has 'no usable token: the service has blacklisted the token: run servetel-auth login'
    try refresh --all --min-ttl 1m
    assert_failed 3
    try show
    assert_failed 3
    try show --cached
    assert_failed 3
    assert_stderr_has "the cached token of 'default' is blacklisted"
    try exec -- touch "$HOME/ran"
    assert_failed 3
    [ ! -e "$HOME/ran" ]
    assert_requests 2
    try status
    assert_status 3
    assert_stdout_has $'\tended\tlogin needed\t'
    assert_stderr_has 'the token is blacklisted: run servetel-auth login'
    try status --json
    assert_equal "$(json '.profiles[0] | [.state, .usable, .in_doubt] | join(" ")')" 'login_needed false false'
    assert_about "$(json '.profiles[0].blacklisted_at')" "$EPOCHSECONDS"
    on_terminal -- servetel-auth status
    assert_stdout_has 'the token is blacklisted: run servetel-auth login'
    login
    assert_equal "$(cached 'has("blacklisted_at")')" false
    try show
    assert_done
    token_works "$output"
}

@test "a blacklisted token is not printed by the show that learns of it" {
    with_token
    http POST /v1/auth/refresh '' "Authorization: $(cached_token)" 'Accept: application/json' # somebody else
    set_life 50
    try show
    assert_failed 4
    assert_stderr_has 'blacklisted: run servetel-auth login'
    try show
    assert_failed 3
}

@test "a blacklisted token whose login fails for a while is not sent again" {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    with_token ".password_file = \"$HOME/pw\""
    http POST /v1/auth/refresh '' "Authorization: $(cached_token)" 'Accept: application/json'
    server_script login '{"status":503}' '{"drop":"before"}'
    try refresh --retries 0
    assert_failed 5
    try status
    assert_status 0
    assert_stderr_has 'blacklisted: the next refresh logs in'
    try refresh
    assert_failed 5
    try refresh
    assert_done
    assert_requests 2 refresh # somebody else's, and ours
    assert_requests 3 login
    assert_equal "$(cached 'has("blacklisted_at")')" false
}

@test "what else may be blacklisted does not condemn the token" {
    with_token
    server_script refresh '{"status":403,"json":{"message":"Your address has been blacklisted"}}' \
        '{"status":403,"json":{"message":"Your address has been blacklisted"}}'
    try refresh
    assert_failed 4
    assert_equal "$(cached 'has("blacklisted_at")')" false
    try refresh
    assert_done
}

@test "a signal before the request is sent leaves no doubt of the token" {
    local said
    with_token
    background "$TESTS_PYTHON" -c '
import socket, time
silent = socket.create_server(("127.0.0.1", 0))
print(silent.getsockname()[1], flush=True)
connection, _ = silent.accept()
print("accepted", flush=True)
time.sleep(600)'
    said="$BG_OUT"
    retry_until 20 test -s "$said"
    background servetel-auth refresh --api-url "https://127.0.0.1:$(<"$said")/v1"
    retry_until 20 grep -q accepted "$said"
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    try status --json
    assert_equal "$(json '.profiles[0].in_doubt')" false
}

@test "a doubt that a lost answer raised outlives an answer that does not settle it" {
    with_token
    server_script refresh '{"drop":"before"}' '{"status":429}' '{"status":503}' '{"status":401}' '{"status":401}'
    for _ in 1 2 3 4; do
        try refresh
        [ "$status" -ne 0 ]
        try status --json
        assert_equal "$(json '.profiles[0].in_doubt')" true
    done
    try refresh
    assert_done
    try status --json
    assert_equal "$(json '.profiles[0].in_doubt')" false
}

@test "a lost answer with a password source: a login helps, here or at the next run" {
    with_source
    server_script refresh '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_requests 1 refresh
    [ "$status" = 5 ] || [ "$status" = 0 ] || fail_with_run "neither healed nor temporary"
    try show --min-ttl 30m
    assert_done
    token_works "$output"
    assert_requests 1 login
}

@test "on a connection used before, a request that got no answer is not sent again" {
    with_token
    # The second form goes out on the first one's connection, which then breaks.
    server_script refresh '{"status":401}' '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_failed 5
    assert_equal "$(forms)" 'raw bearer'
    assert_equal "$(server_log 'map(.connection) | unique | length')" 1 # else it proves nothing
    server_reset
    with_source
    server_script refresh '{"status":401,"repeat":2}'
    server_script login '{"drop":"no_answer_processed"}'
    try refresh --retries 5
    assert_failed 5
    assert_endpoints 'refresh refresh login'
}

@test "no answer within --timeout is 5, after one request" {
    with_token
    snapshot
    server_script refresh '{"hang":true}'
    try refresh --timeout 4 --retries 3
    assert_failed 5
    assert_requests 1
    assert_unchanged
}

@test "before anything was sent a try is safe: a refused connection is tried again, and is 5" {
    with_token
    snapshot
    try refresh --retries 1 --api-url http://127.0.0.1:1/v1
    assert_failed 5
    assert_stderr_has 127.0.0.1:1
    assert_requests 0
    assert_unchanged
}

# ---------------------------------------------------------------------------------------- asked to wait

@test "429 and 503 with a Retry-After within the time left are waited for" {
    local code
    for code in 429 503; do
        server_reset
        with_token
        server_script refresh "{\"status\":$code,\"headers\":{\"Retry-After\":\"1\"}}"
        try refresh
        assert_done
        assert_equal "$(server_log '"\(map(.status)) \(.[1].time - .[0].time >= 0.9)"')" \
            "[$code,200] true"
        assert_equal "$(cached 'has("retry_at")')" false
        token_works "$(cached_token)"
    done
}

@test "without Retry-After no refresh is repeated: 429, 503, 500, 502, 504, 408" {
    local answer count=0
    with_token '.auth_scheme = "raw"'
    snapshot
    for answer in 429 503 500 502 504 408; do
        server_script refresh "{\"status\":$answer}"
        try refresh --retries 5
        assert_failed 5 "$answer"
        assert_requests $((count += 1))
    done
    assert_unchanged
}

@test "a Retry-After beyond the time left is 5, remembered, and kept to: nothing is sent before" {
    local answer
    for answer in '{"status":429,"headers":{"Retry-After":"120"}}' \
        "{\"status\":503,\"json\":{\"retry_after\":\"$(TZ=IST-5:30 date -d '+2 minutes' '+%F %T')\"}}"; do
        server_reset
        with_source '.note = 1'
        server_script refresh "$answer"
        try refresh
        assert_failed 5 "$answer"
        [[ "$stderr" =~ 2\ min|1[12][0-9]\ s ]] || fail_with_run "does not say how long"
        assert_about "$(cached .retry_at)" $((EPOCHSECONDS + 120))
        assert_equal "$(cached .note)" 1
        snapshot
        try refresh
        assert_failed 5
        try show
        assert_done # it still lasts
        assert_requests 1
        assert_unchanged
        cache_edit ".retry_at = $((EPOCHSECONDS - 1))"
        try refresh
        assert_done
        assert_requests 2
        assert_equal "$(cached 'has("retry_at")')" false
    done
}

# ----------------------------------------------------------------------------------------------- answers

# What each answer means: the expected status and the scripted answer.
ANSWERS='
4 {"json":{"success":false,"message":"Token has expired"}}
4 {"merge":{"success":null}}
4 {"status":400}
4 {"status":401,"json":{"success":false,"message":"Token has expired and can no longer be refreshed"}}
4 {"status":403,"body":"<html>forbidden</html>"}
4 {"status":422}
5 {"status":500,"json":{"message":"Server Error"}}
5 {"status":502,"body":"<html>bad gateway</html>"}
5 {"status":504}
6 {"status":404}
6 {"status":405}
6 {"status":302,"headers":{"Location":"/v1/other"}}
6 {"status":307,"headers":{"Location":"/v1/other"}}
6 {"status":999}
6 {"json":{}}
6 {"json":[]}
6 {"body":"<html>welcome</html>"}
6 {"json":{"success":true,"access_token":"a b","expires_in":3600}}
6 {"json":{"success":true,"access_token":"abc","expires_in":-1}}
6 {"raw":"SSH-2.0-OpenSSH_9.2\r\n"}
5 {"drop":"before"}'

@test "a signal while a refresh is under way: its answer is stored, then 128+N" {
    for name in TERM HUP; do
        with_token
        old="$(cached_token)"
        server_script refresh '{"hold":true}'
        background servetel-auth refresh
        retry_until 20 has_requests refresh 1
        kill -s "$name" "$BG_PID"
        server_release # the answer is waited for, for two seconds
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$name $status" "$name $((128 + $(kill -l "$name")))"
        [ "$(cached_token)" != "$old" ] || fail_with "the new token is lost"
        token_works "$(cached_token)"
        server_reset
    done
}

@test "a signal does not wait long for an answer that does not come" {
    with_token
    snapshot
    server_script refresh '{"hang":true}'
    background servetel-auth refresh --timeout 10m
    retry_until 20 has_requests refresh 1
    kill -s TERM "$BG_PID"
    retry_until 20 is_gone "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    assert_unchanged
}

@test "a signal before a refresh is sent: it is not sent" {
    needs_strace
    with_token
    snapshot
    run --separate-stderr strace -o /dev/null -e trace=connect -e inject=connect:signal=TERM servetel-auth refresh \
        --retries 0
    assert_status 143
    assert_stderr_empty
    assert_requests 0 refresh
    assert_unchanged
}

@test "each answer of the service has its exit code, and none of the failures changes the cache" {
    local expected answer answers=() wrong=()
    while read -r expected answer; do
        answers+=("$answer")
    done <<<"${ANSWERS#?}"
    with_token
    snapshot
    server_script refresh "${answers[@]}"
    while read -r expected answer; do
        try refresh --auth-scheme raw
        [ "$status" = "$expected" ] && [ -z "$output" ] && [ -n "$stderr" ] ||
            wrong+=("$answer: expected $expected, got $status: $output$stderr")
    done <<<"${ANSWERS#?}"
    [ ${#wrong[@]} -eq 0 ] || fail_with "the wrong meaning" "${wrong[@]}"
    assert_requests "${#answers[@]}"
    assert_requests 0 other
    assert_unchanged
    assert_no_secret
}

# -------------------------------------------------------------------------------------------- what is kept

@test "members that the program does not know survive, in every kind" {
    with_token '. + {note: "kl\u00e4r \"x\"", more: {a: [1, -2.5, true, null, {}], b: ""}}'
    local before
    before="$(cached '[.note, .more] | tojson')"
    try refresh
    assert_done
    assert_equal "$(cached '[.note, .more] | tojson')" "$before"
}

@test "a number that the program does not know survives, to fifteen digits" {
    with_token '.more = 900719925474099'
    try refresh
    assert_done
    assert_equal "$(cached .more)" 900719925474099
}

@test "token_type is the answer's" {
    with_token
    server_config '{"token_type":"MAC"}'
    try refresh
    assert_done
    assert_equal "$(cached .token_type)" MAC
}

@test "the service's clock does not matter" {
    local skew expires_in
    for skew in 7200 -7200; do
        for expires_in in 3600 null; do
            server_config "{\"claims_skew\":$skew,\"expires_in\":$expires_in}"
            with_token
            try refresh
            assert_done
            assert_about "$(cached .expires_at)" $((EPOCHSECONDS + 3600))
        done
    done
}

@test "iat is the first login's: without expires_in and nbf it does not make a token last for days" {
    local now=$EPOCHSECONDS token
    with_token
    token="$(jwt "{\"iat\":$((now - 300000)),\"exp\":$((now + 3600))}")"
    server_script refresh "{\"omit\":[\"expires_in\"],\"merge\":{\"access_token\":\"$token\"}}"
    try refresh
    assert_done
    assert_equal "$(cached_token)" "$token"
    assert_about "$(cached .expires_at)" $((now + 3600))
}

@test "expires_in is read as at login: a numeric string, and the claims without it" {
    local now=$EPOCHSECONDS
    with_token
    server_script refresh '{"merge":{"expires_in":"1200"}}' '{"omit":["expires_in"]}' \
        '{"merge":{"expires_in":0,"access_token":"opaque"}}'
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 1200))
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 3600))
    try refresh
    assert_done
    assert_about "$(cached .expires_at)" $((now + 3600))
}
