# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# The token for clients other than curl, and for curl by its configuration: in nobody's arguments, and
# nothing is sent without one. Each takes the client's own arguments. On a 401 they end as the client
# does; call.sh has what to do then.

# curl: a line of its configuration on stdin. (call.sh gives it the header.)
with_curl() (
    set +x # a trace would show the token
    token=$(servetel-auth show) || exit
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl -sS --fail-with-body -K - "$@"
)

# HTTPie 3.1 or later: the header's value from a file, which is stdin. with_httpie GET URL
with_httpie() (
    set +x
    token=$(servetel-auth show) || exit
    printf 'Bearer %s\n' "$token" |
        http --ignore-stdin --check-status "$@" Authorization:@/dev/stdin
)

# wget: a line of its configuration, which must be a file. It would send the header to whatever host a
# redirect names, so it follows none. Its status is 6 after a 401, 8 after another HTTP error.
with_wget() (
    set +x
    token=$(servetel-auth show) || exit
    config=$(mktemp) || exit
    trap 'rm -f "$config"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf 'header = Authorization: Bearer %s\n' "$token" >"$config"
    wget --config="$config" --max-redirect=0 -nv -O - "$@"
)
