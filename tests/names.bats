#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A name server that does not answer: --timeout and signals hold all the same.
# shellcheck disable=SC2016 # the words of sh -c are the inner shell's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load cache_tests_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    unset SERVETEL_API_URL
    needs_silent_names
}

teardown() { test_teardown; }

# Sets SILENTLY, a command that runs the next one where names are asked of a socket that nobody reads. As root it has
# the machine's network, and a loopback address of its own for that; else a network of its own, with nothing in it.
needs_silent_names() {
    local address=127.53.53.53
    needs_mounts
    [ "${NAMESPACE[*]}" = 'unshare --mount' ] || NAMESPACE+=(--net)
    printf 'nameserver %s\noptions timeout:5 attempts:2\n' "$address" >resolv.conf
    printf 'hosts: files dns\n' >nsswitch.conf
    printf '%s\n' 'import fcntl, os, socket, struct, sys' \
        'silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)' \
        'fcntl.ioctl(silent, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running' \
        'silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)' \
        "silent.bind((\"$address\", 53))" \
        'silent.set_inheritable(True)' \
        'os.execvp(sys.argv[1], sys.argv[1:])' >silent.py
    SILENTLY=("${NAMESPACE[@]}" sh -c 'mount --bind resolv.conf /etc/resolv.conf &&
        mount --bind nsswitch.conf /etc/nsswitch.conf && exec "$@"' - "$TESTS_PYTHON" silent.py)
    "${SILENTLY[@]}" true 2>/dev/null || skip "no name server can be feigned here"
}

# assert_took LEAST MOST: seconds since SECONDS was set to 0; whole ones, and the machine may be busy.
assert_took() {
    ((SECONDS >= $1 && SECONDS <= $2)) || fail_with_run "took $SECONDS s"
}

@test "a name that is not answered: --timeout holds, and the lock is free then" {
    write_cache '.api_url = "https://api.example.test/v1"'
    snapshot
    SECONDS=0
    capture "${SILENTLY[@]}" servetel-auth refresh --timeout 2s
    assert_failed 5
    assert_took 1 6 # a resolver's own time is ten seconds at least
    assert_stderr_has api.example.test
    SECONDS=0
    capture "${SILENTLY[@]}" servetel-auth login -e "$EMAIL" --password-stdin --timeout 2s <<<"$PW"
    assert_failed 5
    assert_took 1 6
    flock -n .servetel-auth/default.lock true
    assert_unchanged
}

@test "a name that is not answered: SIGTERM ends it at once" {
    write_cache '.api_url = "https://api.example.test/v1"'
    background "${SILENTLY[@]}" servetel-auth refresh --timeout 10m
    retry_until 20 test -s .servetel-auth/default.lock # it is about to send the token
    SECONDS=0
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    [ "$SECONDS" -le 4 ] || fail_with "took $SECONDS s"
}

@test "a name that is not answered holds up no other profile of --all" {
    local i
    [[ " ${SILENTLY[*]} " != *' --net '* ]] || skip "only root has the machine's network there"
    write_cache '.api_url = "https://api.example.test/v1"' a-dead-name
    for i in 1 2 3 4 5; do write_cache . "fine$i" "$(server_issue)"; done
    background "${SILENTLY[@]}" servetel-auth refresh --all --jobs 2 --timeout 10m
    retry_until 20 has_refreshed 5
    kill -0 "$BG_PID" # it still waits for the name
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    for i in 1 2 3 4 5; do token_works "$(cached_token "fine$i")"; done
}

has_refreshed() { [ "$(server_stats refreshes)" = "$1" ]; }
