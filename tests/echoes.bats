#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a service or a gateway quotes of the request, in whatever encoding, is not shown; its reasons are.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# assert_echoes_hidden ENDPOINT STATUS TEXT...: quotes each in all encodings, and looks for eight characters of it in
# what the program then says. One process: there are hundreds.
assert_echoes_hidden() {
    capture "$TESTS_PYTHON" - "$API_PORT" "$EMAIL" "$@" <<'END'
import base64, html, http.client, json, re, subprocess, sys, urllib.parse

port, email, endpoint, status = sys.argv[1:5]
commands = {"login": ["login", "--no-cache", "--password-stdin", "-e", email], "refresh": ["refresh", "--auth-scheme", "raw"]}


def encodings(text):
    data = text.encode()
    escaped = html.escape(text)
    url = urllib.parse.quote(text)
    return {"plain": text, "HTML": escaped, "HTML, decimal": escaped.replace("&#x27;", "&#039;"),
            "HTML, ASCII": escaped.encode("ascii", "xmlcharrefreplace").decode(), "URL": url,
            "URL, lower": re.sub("%..", lambda code: code.group().lower(), url), "URL, twice": urllib.parse.quote(url),
            "form": urllib.parse.quote_plus(text), "backslashes": re.sub(r"([^\w])", r"\\\1", text),
            "JSON": json.dumps(text)[1:-1], "JSON, twice": json.dumps(json.dumps(text))[1:-1],
            "base64": base64.b64encode(data).decode(), "Basic": base64.b64encode(b"me:" + data).decode(),
            "base64url": base64.urlsafe_b64encode(data).decode().rstrip("="),
            "base64 of the body": base64.b64encode(json.dumps({"password": text}).encode()).decode()}


count = 0
for text in sys.argv[5:]:
    for name, encoded in encodings(text).items():
        for around in ("bad: %s", "x=%s&y=1"):
            answer = {"status": int(status), "json": {"success": False, "message": around % encoded}}
            control = http.client.HTTPConnection("127.0.0.1", int(port))
            control.request("POST", "/_test/script", json.dumps({"endpoint": endpoint, "answers": [answer]}))
            assert control.getresponse().status == 200
            program = subprocess.run(["servetel-auth", *commands[endpoint]], input=text + "\n", capture_output=True, text=True)
            count += 1
            if "HTTP " + status not in program.stderr:
                print("another failure:", program.stderr)
            if any(encoded[i:i + 8] in program.stderr for i in range(max(1, len(encoded) - 7))):
                print("%s is shown: %s" % (name, program.stderr))
print("%d echoes" % count)
END
    assert_done
    [[ $output =~ ^[1-9][0-9]*\ echoes$ ]] || fail_with_run "echoes"
}

@test "a password that is quoted in another encoding is hidden" {
    assert_echoes_hidden login 401 'correct horse' $'p&w\'d<"x">\\ \xc3\xa9%' $'\xc3\xbcber-geheim\xc3\x9f'
}

@test "so is one of signs alone, and one in another script" {
    assert_echoes_hidden login 401 '!@#$%^&*()' '@#$%&!x1' $'\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c'
}

@test "a token that is quoted in another encoding, or in part, is hidden" {
    local token
    with_token
    token="$(cached_token)"
    assert_echoes_hidden refresh 502 "$token" "${token: -60}" "${token##*.}"
}

@test "the reason of a 422 stands in its errors, and is told" {
    server_script login '{"status":422,"json":{"message":"The given data was invalid.",
        "errors":{"email":["The email must be a client login."],"password":["No."]}}}'
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_stderr_has 'The email must be a client login.'
    with_token
    server_script refresh '{"status":422,"json":{"message":"The given data was invalid.","errors":{"token":"Too old."}}}'
    try refresh
    assert_failed 4
    assert_stderr_has 'Too old.'
}

@test "a login ID that is not UTF-8 is 2, wherever it comes from, and nothing is sent" {
    local id=$'me\xff@example.test'
    try_login "$PW" -e "$id"
    assert_failed 2
    assert_stderr_has 'UTF-8'
    SERVETEL_EMAIL="$id" try_login "$PW"
    assert_failed 2
    assert_stderr_has 'UTF-8'
    on_terminal expect:'mail' 'type:me\xff@example.test\n' -- servetel-auth login --password-stdin
    assert_status 2
    assert_nothing_sent
    [ ! -e "$HOME/.servetel-auth/default.json" ]
}
