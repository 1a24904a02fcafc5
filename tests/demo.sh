#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The main job, command by command as a user types it, against a service on this machine that
# behaves as Servetel's does. Ends 0 only if everything went as told.
set -u

tests_dir=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

export HOME="$work" TZ=UTC LC_ALL=C.UTF-8
PATH="$(cd "${SERVETEL_AUTH_BIN_DIR:-$tests_dir/../build}" && pwd):$PATH"
for name in $(compgen -e); do
    case $name in SERVETEL_* | *_proxy | *_PROXY | CURL_CA_BUNDLE | SSL_CERT_*) unset "$name" ;; esac
done
cd "$work" || exit 1

python3 "$tests_dir/api_server.py" --port-file "$work/port" &
server=$!
for _ in $(seq 500); do
    [ -s "$work/port" ] && break
    sleep 0.02
done
port=$(cat "$work/port") || exit 1
api="http://127.0.0.1:$port/v1"
failed=0

say() {
    printf '\n# %s\n' "$1"
}

# run STATUS COMMAND: shows the command, its output as it comes, and its exit status if not 0.
run() {
    local expected=$1 status
    printf '$ %s\n' "$2"
    bash -c "$2" </dev/null 2>&1
    status=$?
    [ "$status" = 0 ] || printf '(exit %s)\n' "$status"
    if [ "$status" != "$expected" ]; then
        printf '!! exit %s was expected\n' "$expected"
        failed=1
    fi
}

# holds COMMAND: what the text before it claims, checked.
holds() {
    bash -c "$1" >/dev/null 2>&1 </dev/null || {
        printf '!! does not hold: %s\n' "$1"
        failed=1
    }
}

say 'Log in once. The password comes from a pipe, a file, a command or a prompt; never from argv.'
printf '%s\n' 'correct horse' >"$work/pw" && chmod 600 "$work/pw"
run 0 "export SERVETEL_API_URL=$api
  servetel-auth login -e you@example.test --password-stdin <pw"
export SERVETEL_API_URL=$api
holds "[ \"\$(stat -c %a .servetel-auth/default.json)\" = 600 ]"

say 'Hand the token to a script; to curl without a token in its arguments.'
run 0 "servetel-auth show | cut -c 1-40"
run 0 "token=\$(servetel-auth show) &&
  printf 'Authorization: Bearer %s\\n' \"\$token\" | curl -sS -H @- $api/me; echo"
holds "servetel-auth show --format curl | curl -sSf -K - $api/me | grep -q '\"success\":true'"

say 'Cron: a new token for the old one; then nothing to do, as it lasts longer than half an hour.'
before=$(servetel-auth show)
run 0 "servetel-auth refresh"
run 0 "servetel-auth refresh --min-ttl 30m"
after=$(servetel-auth show)
[ "$before" != "$after" ] || failed=1
holds "servetel-auth show --format curl | curl -sSf -K - $api/me"

say 'What is cached, for whom, for how long.'
run 0 "servetel-auth status"

say 'A wrong password is sent once, says so, and loses nothing.'
run 4 "echo 'wrong horse' | servetel-auth login --password-stdin"
[ "$(servetel-auth show)" = "$after" ] || failed=1

if [ "$failed" != 0 ]; then
    printf '\ndemo: something did not go as told\n' >&2
    exit 1
fi
printf '\ndemo: all went as told\n'
