# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of refresh share: load it after helper.bash.

# with_source [JQ_EXPRESSION]: with_token, and a command that prints the password.
with_source() {
    with_token ".password_command = \"echo '$PW'\" | ${1:-.}"
}

# The pause that the profile remembers is over.
end_pause() {
    # shellcheck disable=SC2016 # jq's words
    cache_edit '(.retry_at - .retry_noted_at) as $pause | .retry_at -= $pause | .retry_noted_at -= $pause'
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
