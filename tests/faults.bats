#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Death, interruption and failure at any system call, and memory that runs out: a round of some 1,000 faults. All of
# them are `make faults`.

load helper

setup() {
    needs_traced_strings
}

# inject GROUP: and says how many faults it took. Without SERVETEL_AUTH_WRAP: under valgrind the calls would be
# valgrind's.
inject() {
    local program
    program="$(cd "${SERVETEL_AUTH_BIN_DIR:-$TESTS_DIR/../build}" && pwd)/servetel-auth"
    capture "$TESTS_PYTHON" "$TESTS_DIR/faults.py" "$program" "$1" 3>&-
    printf '# %s\n' "${output##*$'\n'}" >&3
    assert_done
}

@test "killed at any call: the cache is whole, the next run works and clears up" {
    inject kill
}

@test "interrupted at any call: 128+N or done, and no token that was given is lost" {
    inject signal
}

@test "any allocation fails, alone or with all after it: 1 and no token was given, or 0 and it is stored" {
    [ -z "${ASAN_OPTIONS:-}" ] || skip 'the address sanitizer has an allocator of its own'
    [ "$(uname)" = Linux ] || skip 'there is no preloading as on Linux'
    [ "$(basename "$SERVETEL_AUTH_BIN_DIR")" != coverage ] || skip 'what counts the lines allocates, too, and dies of it'
    inject memory
}

@test "any call fails: nothing is sent for nothing, and success means stored" {
    inject error
}
