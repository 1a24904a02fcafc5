# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# call ARGUMENT... URL: curl with the token, which is in nobody's arguments. What is answered 401 was
# not done (RFC 9110), so it is sent again, once, with another token; nothing else is sent again.
# The status is curl's, 22 for an HTTP error too, or servetel-auth's.
call() (
    set +x # a trace would show the token
    token=$(servetel-auth show) || exit
    for try in 1 2; do
        result=0
        answer=$(printf 'Authorization: Bearer %s\n' "$token" |
            curl -sS -H @- "$@" -w '\n%{http_code}') || result=$?
        code=${answer##*[!0-9]}
        if [ "$code" != 401 ] || [ "$try" = 2 ]; then break; fi
        token=$(printf '%s\n' "$token" |
            servetel-auth refresh --quiet --rejected-stdin --print) || exit
    done
    printf '%s' "${answer%????}"
    if [ "$result" = 0 ] && [ "$code" -ge 400 ]; then
        echo "call: HTTP $code" >&2
        result=22
    fi
    exit "$result"
)
