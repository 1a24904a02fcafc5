# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The cache files of the tests, and tokens that no service has given. helper.bash loads it.

# cache_file [PROFILE]
cache_file() {
    if [ -n "${SERVETEL_AUTH_FILE:-}" ]; then
        printf '%s\n' "$SERVETEL_AUTH_FILE"
    else
        printf '%s\n' "${SERVETEL_AUTH_DIR:-$HOME/.servetel-auth}/${1:-default}.json"
    fi
}

# cached JQ_FILTER [PROFILE]: of the cache file. A plain member is found without jq, which is slow to start.
cached() {
    local file text
    file="$(cache_file "${2:-}")"
    text="$(<"$file")"
    if [[ $1 =~ ^\.([a-z_]+)$ &&
        $text =~ \"${BASH_REMATCH[1]}\":[[:space:]]*(\"([^\"\\]*)\"|[0-9]+)[,[:space:]}] ]]; then
        printf '%s\n' "${BASH_REMATCH[2]:-${BASH_REMATCH[1]}}"
    else
        jq -r "$1" "$file"
    fi
}

# cached_token [PROFILE]
cached_token() {
    cached .access_token "${1:-}"
}

# cache_edit JQ_EXPRESSION [PROFILE]: in place, so that inode and mode stay.
cache_edit() {
    local file edited
    file="$(cache_file "${2:-}")"
    edited="$(jq "$1" "$file")" || return
    printf '%s\n' "$edited" >"$file"
}

# make_stale [PROFILE]: a token of an hour that lasts five seconds more.
make_stale() {
    set_life 5 "${1:-}"
}

# make_expired [PROFILE]: a token of an hour that ended five seconds ago, as far as the cache knows.
make_expired() {
    set_life -5 "${1:-}"
}

# set_life SECONDS [PROFILE]: a token of an hour that has so many left. In place, without jq.
set_life() {
    local file text
    file="$(cache_file "${2:-}")"
    text="$(<"$file")"
    [[ $text =~ \"expires_at\":[[:space:]]*(null|-?[0-9]+) ]]
    text="${text/"${BASH_REMATCH[0]}"/"\"expires_at\": $((EPOCHSECONDS + $1))"}"
    [[ $text =~ \"obtained_at\":[[:space:]]*-?[0-9]+ ]]
    text="${text/"${BASH_REMATCH[0]}"/"\"obtained_at\": $((EPOCHSECONDS + $1 - 3600))"}"
    printf '%s\n' "$text" >"$file"
}

# snapshot [PROFILE] remembers the cache file, its absence too; assert_unchanged [PROFILE] compares.
snapshot() {
    describe_cache "${1:-}" >"$BATS_TEST_TMPDIR/snapshot.${1:-default}"
}

assert_unchanged() {
    describe_cache "${1:-}" | cmp - "$BATS_TEST_TMPDIR/snapshot.${1:-default}" ||
        fail_with "the cache file has changed" "$(describe_cache "${1:-}")"
}

describe_cache() {
    local file
    file="$(cache_file "$1")"
    if [ -e "$file" ]; then
        printf 'mode %s\n' "$(mode_of "$file")"
        cat "$file"
    else
        echo absent
    fi
}

# assert_nothing_cached [PROFILE]
assert_nothing_cached() {
    [ ! -e "$(cache_file "${1:-}")" ] || fail_with "a cache file" "$(cat "$(cache_file "${1:-}")")"
}

# without_refusal [PROFILE]: takes from the cache that the service has refused the token, which is all that a refusal
# may write there; fails if it is not a refusal of a moment ago.
without_refusal() {
    assert_about "$(cached .refused_at "${1:-}")" "$EPOCHSECONDS" 60 && cache_edit 'del(.refused_at)' "${1:-}"
}

# move_api URL [PROFILE]: the token belongs to another host from now on.
move_api() {
    cache_edit ".api_url = \"$1\"" "${2:-}"
    unset SERVETEL_API_URL
}

# mode_of FILE: its permissions in octal (GNU's stat, else BSD's).
mode_of() {
    stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"
}

# write_cache [JQ_EXPRESSION [PROFILE [TOKEN]]]: a cache file as a login would leave it, without one: quick.
# The token is made up if none is given; the expression changes what it likes, and knows $now.
write_cache() {
    local file dir json now=$EPOCHSECONDS
    file="$(cache_file "${2:-}")"
    dir="${file%/*}"
    [ -d "$dir" ] || (umask 077 && mkdir -p "$dir")
    json="{\"version\":1,\"api_url\":\"${API:-http://127.0.0.1:9/v1}\",\"email\":\"$EMAIL\",
        \"access_token\":\"${3:-made-up-${2:-default}}\",\"token_type\":\"bearer\",
        \"expires_at\":$((now + 3600)),\"obtained_at\":$now,\"logged_in_at\":$now}"
    [ "${1:-.}" = . ] || json="$(jq --argjson now "$now" "$1" <<<"$json")" || return
    [ -e "$file" ] || (umask 077 && : >"$file")
    printf '%s\n' "$json" >"$file"
}

# with_token [JQ_EXPRESSION]: the same, with a token that the service knows.
with_token() {
    write_cache "${1:-.}" default "$(server_issue "{}")"
}

# jwt CLAIMS: a token with these claims and a signature that is none.
jwt() {
    printf '%s.%s.c2ln' "$(base64url '{"typ":"JWT","alg":"HS256"}')" "$(base64url "$1")"
}

base64url() {
    printf '%s' "$1" | base64 | tr -d '\n=' | tr '+/' '-_'
}
