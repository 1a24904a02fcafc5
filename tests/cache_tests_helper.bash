# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of the cache share: load it after helper.bash.

# What the preparation has sent does not count. (A reset would forget the tokens, too.)
remember_requests() {
    REQUESTS="$(server_control stats)"
}

# Any request would show there, as a connection at least.
assert_no_more_requests() {
    assert_equal "$(server_control stats)" "$REQUESTS"
}

# assert_refused TEXT: exit 7, nothing on stdout, one line on stderr, with TEXT in it.
assert_refused() {
    assert_status 7 && assert_stdout_empty && assert_stderr_has "$1" && assert_one_line
}

# assert_files DIRECTORY NAME...: exactly these are in it.
assert_files() {
    local expected=
    [ $# -lt 2 ] || expected="$(printf './%s\n' "${@:2}" | sort)"
    assert_equal "$(cd "$1" && find . -mindepth 1 | sort)" "$expected"
}

# Sets NAMESPACE, a command that gives the next one mounts of its own, or skips.
needs_mounts() {
    for NAMESPACE in 'unshare --mount' 'unshare --mount --map-root-user'; do
        read -r -a NAMESPACE <<<"$NAMESPACE"
        # shellcheck disable=SC2016 # for the inner shell
        if "${NAMESPACE[@]}" sh -c 'mount -t tmpfs none "$0"' "$BATS_TEST_TMPDIR" 2>/dev/null; then
            return
        fi
    done
    skip "cannot mount anything, not even in a namespace"
}

# Sets UNPRIVILEGED, a command that takes from root what lets it pass over permissions, or skips.
needs_permissions() {
    UNPRIVILEGED=()
    [ "$(id -u)" = 0 ] || return 0
    UNPRIVILEGED=(setpriv --bounding-set '-dac_override,-dac_read_search')
    "${UNPRIVILEGED[@]}" true 2>/dev/null || skip "root cannot give up passing over permissions here"
}

needs_root() {
    [ "$(id -u)" = 0 ] || skip "only root can give a file to another user"
}
