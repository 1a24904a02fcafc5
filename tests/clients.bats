#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The examples that are installed, with the true clients: what they do with and without a token, and after a 401.
# The function for curl is taken from the README, as a person would.
# shellcheck disable=SC2016 # scripts are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load refresh_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

EXAMPLES="$TESTS_DIR/../man/examples"

setup() {
    test_setup
    "$TESTS_PYTHON" "$TESTS_DIR/snippets.py" "$TESTS_DIR/../README.md" snippets
    CALL="$PWD/$(grep -l '^call() ($' snippets/*)"
}

teardown() { test_teardown; }

# The shells that there are, each by its words.
shells() {
    local shell
    for shell in dash bash zsh busybox; do
        if type -P "$shell" >/dev/null; then echo "$shell"; fi
    done
}

# in_shell SHELL SCRIPT: after the function has been pasted.
in_shell() {
    local words=("$1")
    [ "$1" != busybox ] || words+=(sh)
    cat "$CALL" - >script <<<"$2"
    capture "${words[@]}" ./script
}

# needs PROGRAM
needs() { type -P "$1" >/dev/null || skip "$1 is not installed"; }

# use CLIENT ARGUMENT...: one of clients.sh's functions.
use() { capture sh -c '. "$0/clients.sh"; "$@"' "$EXAMPLES" "$@"; }

# use_requests SCRIPT: with session, whose auth is the class, and the API's address.
use_requests() {
    capture timeout 60 "$REQUESTS_PYTHON" -c "import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import requests
from servetel_requests import ServetelAuth
api, session = os.environ['API'], requests.Session()
session.trust_env = False
session.auth = ServetelAuth()
$1" "$EXAMPLES"
}

# The python3 that has requests, which may not be the first in PATH.
needs_requests() {
    for REQUESTS_PYTHON in /usr/bin/python3 python3; do
        if "$REQUESTS_PYTHON" -c 'import requests' 2>/dev/null; then return; fi
    done
    skip "Python's requests is not installed"
}

# The cached token is refused from now on; a refresh of it, too.
end_token() { http POST /v1/auth/refresh '' 'X-Test: 1' 'Accept: application/json' "Authorization: $(cached_token)"; }

ME='{"success":true,"user":"you@example.test"}'
REFUSED='{"status":401,"body":"no"}'

# --------------------------------------------------------------------------------------------- call, for curl

@test "the function in the README is the one that is installed" {
    diff "$CALL" <(sed 1,2d "$EXAMPLES/call.sh")
}

@test "call: the answer and nothing else, in each shell, with strict options too" {
    local shell
    with_token
    for shell in $(shells); do
        in_shell "$shell" 'set -eu; call "$API/me"; call -o file "$API/me"'
        assert_done "$shell"
        assert_stdout "$ME"
        assert_stderr_empty
        assert_equal "$(<file)" "$ME"
    done
    assert_equal "$(server_stats me_ok)" $(($(shells | wc -l) * 2))
    assert_equal "$(count_requests refresh)" 0
}

@test "call: after a 401 it is sent again with another token, its body too, and the caller sees one answer" {
    local shell
    for shell in $(shells); do
        server_reset
        with_source
        end_token
        in_shell "$shell" 'set -eu; call -d "a=b" -X POST "$API/me"; call "$API/me"'
        assert_done "$shell"
        assert_stdout "$ME$ME"
        assert_stderr_empty
        assert_endpoints 'me refresh login me me'
        assert_equal "$(server_log 'map(select(.endpoint == "me") | .body) | join(" ")')" 'a=b a=b '
        end_token
        in_shell "$shell" 'set -e; call --fail "$API/me"' # with which curl's own status says so
        assert_done "$shell"
        assert_stdout "$ME"
    done
}

@test "call: what is refused again is told, and not sent a third time" {
    with_source
    server_script me "$REFUSED" "$REFUSED"
    in_shell sh 'call "$API/me"'
    assert_status 22
    assert_stdout no
    assert_stderr_has 'call: HTTP 401'
    assert_endpoints 'me refresh me'
}

@test "call: without a way to another token it ends as servetel-auth does, with no answer" {
    local status_then=4
    with_token
    end_token
    for shell in $(shells); do
        in_shell "$shell" 'call "$API/me"'
        assert_failed "$status_then" "$shell"
        assert_stderr_has 'run servetel-auth login'
        status_then=3 # the next one has no token to begin with
    done
    assert_endpoints 'me refresh'
}

@test "call: nothing but a 401 is sent again, and each failure has its status" {
    local answer
    with_token
    for answer in '{"status":403}' '{"status":500}' '{"status":503}'; do
        server_script me "$answer"
        in_shell sh 'set -e; call "$API/me"; echo not reached'
        assert_status 22 "$answer"
        assert_stderr_has 'call: HTTP '
        assert_stdout_empty
    done
    server_script me '{"drop":"before"}'
    in_shell sh 'call "$API/me"'
    assert_status 52
    in_shell sh 'call --fail "$API/nowhere"'
    assert_status 22
    assert_endpoints 'me me me me other'
}

@test "call: an answer comes through byte for byte, with odd bytes and empty lines at its end" {
    local shell
    with_token
    printf 'caf\303\251 \377\n\n' >expected
    for shell in $(shells); do
        server_script me "{\"status\":200,\"body_base64\":\"$(base64 <expected)\"}"
        in_shell "$shell" 'call "$API/me" >got'
        assert_done "$shell"
        cmp got expected
    done
}

@test "call: a trace of the script does not show the token" {
    local shell
    with_source
    end_token
    for shell in $(shells); do
        in_shell "$shell" 'set -x; call "$API/me"; set +x; echo; set | grep -c eyJ'
        assert_stdout "$ME"$'\n0'
        assert_no_secret
    done
}

# ------------------------------------------------------------------------------------------ curl, HTTPie, wget

@test "curl by its configuration, HTTPie and wget get the answer" {
    local client
    needs http
    needs wget
    with_token
    for client in with_curl with_httpie with_wget; do
        use "$client" "$API/me"
        assert_done "$client"
        assert_stdout "$ME"
    done
    assert_equal "$(server_stats me_refused)" 0
}

@test "curl by its configuration, HTTPie and wget send nothing without a token" {
    local client
    for client in with_curl with_httpie with_wget; do
        use "$client" "$API/me"
        assert_failed 3 "$client"
        assert_stderr_has 'no token is cached'
    done
    assert_nothing_sent
}

@test "curl by its configuration, HTTPie and wget tell a 401 by their status" {
    local client
    needs http
    needs wget
    with_token
    end_token
    for client in 'with_curl 22' 'with_httpie 4' 'with_wget 6'; do
        use "${client% *}" "$API/me"
        assert_status "${client#* }" "$client"
        assert_no_secret
    done
}

@test "wget leaves no file, and sends the header to no other host" {
    needs wget
    with_token
    mkdir tmp
    server_script me '{"status":302,"headers":{"Location":"/v1/other"},"body":""}'
    TMPDIR="$PWD/tmp" use with_wget "$API/me"
    assert_status 8
    assert_endpoints me
    assert_equal "$(ls -A tmp)" ''
}

# -------------------------------------------------------------------------------------------- Python's requests

@test "requests: the answer, and a fresh token for each request" {
    needs_requests
    with_token
    use_requests 'print(session.get(api + "/me").text); print(session.post(api + "/me", json={"a": 1}).status_code)'
    assert_done
    assert_stdout "$ME"$'\n200'
    make_stale
    use_requests 'print(session.get(api + "/me").status_code)'
    assert_stdout 200
    assert_endpoints 'me me refresh me'
}

@test "requests: without a token it raises, and sends nothing" {
    needs_requests
    use_requests 'session.get(api + "/me")'
    assert_status 1
    assert_stderr_has 'no token is cached'
    assert_stderr_has CalledProcessError
    assert_nothing_sent
}

@test "requests: a 401 is answered by another token, once, with the body from its start" {
    needs_requests
    with_source
    end_token
    printf 'the body' >body
    use_requests 'answer = session.post(api + "/me", data=open("body", "rb"))
print(answer.text, [old.status_code for old in answer.history])
print(session.get(api + "/me").status_code)'
    assert_done
    assert_stdout "$ME [401]"$'\n200'
    assert_endpoints 'me refresh login me me'
    assert_equal "$(server_log 'map(select(.endpoint == "me") | .body) | join(" ")')" 'the body the body '
    assert_equal "$(server_stats connections)" 2 # its own, which it keeps, and servetel-auth's

    server_reset
    with_source
    server_script me "$REFUSED" "$REFUSED"
    use_requests 'print(session.get(api + "/me").status_code)'
    assert_stdout 401
    assert_endpoints 'me refresh me'
}

@test "requests: a stream is not sent again, but the next request has another token" {
    needs_requests
    with_source
    end_token
    use_requests 'print(session.post(api + "/me", data=iter([b"x"])).status_code, session.get(api + "/me").status_code)'
    assert_done
    assert_stdout '401 200'
    assert_endpoints 'me refresh login me'
}

@test "requests: another host to which it is sent on gets no token, whatever it answers" {
    local first=$API_PORT other
    needs_requests
    server_start
    other=$API_PORT
    API_PORT=$first
    export API="http://127.0.0.1:$first/v1" SERVETEL_API_URL="http://127.0.0.1:$first/v1"
    with_token
    server_script me "{\"status\":302,\"headers\":{\"Location\":\"http://127.0.0.1:$other/v1/me\"},\"body\":\"\"}"
    use_requests 'print(session.get(api + "/me").status_code)'
    assert_stdout 401
    assert_endpoints me
    API_PORT=$other
    assert_requests 1
    assert_equal "$(server_log 'map(.headers[] | select(.[0] == "Authorization")) | length')" 0
}

# ---------------------------------------------------------------------------------------------------- in nobody's

# seen HOW: in how many lines of ps the cached token is; `-A` with arguments, `-A e` with the environment too.
seen() {
    cached_token >pattern
    # shellcheck disable=SC2009,SC2086 # it is in any process; words
    ps $1 -ww -o args= | grep -cFf pattern || true
}

# watch COMMAND...: while the service holds its request, nobody sees the token.
watch() {
    local before
    before="$(count_requests me)"
    server_script me '{"hold":true}'
    background "$@"
    retry_until 20 has_requests me $((before + 1))
    assert_equal "$(seen '-A e')" 0
    server_release
    wait "$BG_PID"
    [[ "$(cat "$BG_OUT")" == *"$ME"* ]] || fail_with 'no answer' "$(cat "$BG_OUT" "$BG_ERR")"
}

@test "while a client runs, the token is in no arguments and no environment" {
    local client
    needs ps
    needs http
    needs wget
    with_token
    watch sh -c '. "$0"; call "$API/me"' "$CALL"
    for client in with_curl with_httpie with_wget; do
        watch sh -c '. "$0/clients.sh"; "$@"' "$EXAMPLES" "$client" "$API/me"
    done
    # What is to be seen is seen.
    server_script me '{"hold":true}' '{"hold":true}'
    background curl -sS -H "Authorization: Bearer $(cached_token)" "$API/me"
    assert_equal "$(retry_until 20 seen_once -A && echo yes)" yes
    server_release
    wait "$BG_PID"
    background env TOKEN="$(cached_token)" curl -sS "$API/me"
    assert_equal "$(retry_until 20 seen_once '-A e' && echo yes)" yes
    server_release
}

seen_once() { [ "$(seen "$1")" -ge 1 ]; }

@test "while a program with Python's requests runs, neither" {
    needs ps
    needs_requests
    with_token
    watch "$REQUESTS_PYTHON" -B -c "import sys; sys.path.insert(0, sys.argv[1])
import requests, servetel_requests
print(requests.get('$API/me', auth=servetel_requests.ServetelAuth()).text)" "$EXAMPLES"
}
