#!/bin/sh
# SPDX-License-Identifier: MIT
# worker.sh WAY: one of several jobs on one account, which calls the API until the file `stop` is there. What it
# does about a 401 is the WAY: relogin, as curl | jq does, with login.json; refresh, and the token anew; or rejected,
# with the function of man/examples/call.sh. API is the address.
# shellcheck source=man/examples/call.sh
. "$(dirname "$0")/../../man/examples/call.sh"

get_token() {
    if [ "$1" = relogin ]; then
        curl -sS -H 'Content-Type: application/json' -H 'Accept: application/json' -d @login.json \
            "$API/auth/login" | jq -r .access_token
    else
        servetel-auth show
    fi
}

token=$(get_token "$1")
until [ -e stop ]; do
    if [ "$1" = rejected ]; then
        call -o /dev/null "$API/me" || exit
        continue
    fi
    code=$(printf 'Authorization: Bearer %s\n' "$token" | curl -sS -H @- -o /dev/null -w '%{http_code}' "$API/me")
    if [ "$code" = 401 ]; then
        [ "$1" = relogin ] || servetel-auth refresh --quiet
        token=$(get_token "$1")
    fi
done
