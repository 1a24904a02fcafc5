# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Many profiles in $HOME, which is the working directory, for tests of --all. Load it after helper.

DIR=.servetel-auth

# make_profiles PREFIX COUNT: PREFIX01 and so on, as login leaves them, with tokens that end in five seconds. One
# curl for all: logging in would take half a minute.
make_profiles() {
    local now tokens urls=() i
    for ((i = 0; i < $2; i++)); do urls+=("http://127.0.0.1:$API_PORT/_test/issue"); done
    mapfile -t tokens < <(curl -q -sS --noproxy '*' --max-time 20 --data-binary '{}' "${urls[@]}" | jq -r .access_token)
    assert_equal "${#tokens[@]}" "$2" || return
    now="$(date +%s)"
    (
        umask 077
        mkdir -p "$DIR"
        for ((i = 0; i < $2; i++)); do
            printf '{"version":1,"api_url":"%s","email":"%s","access_token":"%s","token_type":"bearer",' \
                "$API" "$EMAIL" "${tokens[i]}"
            printf '"expires_at":%d,"obtained_at":%d,"logged_in_at":%d,"auth_scheme":"raw"}\n' \
                $((now + 5)) $((now - 3595)) $((now - 3595))
        done | split -l 1 -a $((${#2} > 2 ? ${#2} : 2)) --numeric-suffixes=1 --additional-suffix=.json - "$DIR/$1"
    )
}

# assert_all_work [PREFIX]: each file is private and whole, and its token is one that the service takes. In one
# process: a curl for each would take longer than the rest of the test.
assert_all_work() {
    "$TESTS_PYTHON" -c '
import glob, http.client, json, os, sys
service = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
files = glob.glob(sys.argv[2] + "*.json")
bad = [] if files else ["no file"]
for file in files:
    try:
        token = json.load(open(file))["access_token"]
        service.request("GET", "/v1/me", headers={"Authorization": token, "X-Test": "1"})
        answer = service.getresponse()
        answer.read()
        mode = os.stat(file).st_mode & 0o7777
        if answer.status != 200 or mode != 0o600:
            bad.append("%s: HTTP %d, mode %o" % (file, answer.status, mode))
    except (KeyError, ValueError) as error:
        bad.append("%s: %r" % (file, error))
sys.exit("\n".join(bad) or 0)' "$API_PORT" "$DIR/${1:-}"
}

# Nothing but the caches and their locks is left in the directory.
assert_tidy() {
    capture find "$DIR" -type f ! -name '*.json' ! -name '*.lock'
    assert_stdout_empty
}

# One line of the errors names the profile.
assert_one_line_for() {
    local profile
    for profile; do
        [ "$(grep -c -w -- "$profile" <<<"${stderr-}")" = 1 ] || fail_with_run "not one line for $profile" || return
    done
}

# refreshes_answered: how many renewals the service has granted.
refreshes_answered() { server_stats refreshes; }

has_answered() { [ "$(refreshes_answered)" -ge "$1" ]; }
