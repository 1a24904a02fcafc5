#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Several hosts, one account: refreshers take turns under etcd's lock and publish in it, readers ask it. What
# happens is in many_hosts.py; it runs once, and the tests look at what came of it.
#
# 15 seconds; MANY_HOSTS_SECONDS=N makes it so many, TEST_SLOW=1 a minute.

load helper

have_etcd() {
    command -v etcd >/dev/null && command -v etcdctl >/dev/null && command -v timeout >/dev/null
}

can_run() {
    have_etcd && [ -z "${SERVETEL_AUTH_WRAP:-}" ]
}

setup_file() {
    local seconds=15
    export RESULTS="$BATS_FILE_TMPDIR/hosts"
    can_run || return 0
    [ "${TEST_SLOW:-}" != 1 ] || seconds=60
    use_built_program || return
    server_start --config '{"ttl":4}' || return
    mkdir "$RESULTS"
    "$TESTS_PYTHON" "$TESTS_DIR/many_hosts.py" --api-port "$API_PORT" --dir "$RESULTS" \
        --seconds "${MANY_HOSTS_SECONDS:-$seconds}" >"$RESULTS/output" 2>&1 3>&- || true
    if [ -e "$RESULTS/figures" ]; then
        sed 's/^/# /' "$RESULTS/figures" >&3
    fi
}

teardown_file() {
    [ -z "${SERVER_PID:-}" ] || server_stop
}

setup() {
    have_etcd || skip 'etcd, etcdctl or timeout is not installed'
    can_run || skip 'tokens of seconds, too short for a program under a wrapper'
}

# assert_none NAME: many_hosts.py found nothing of that kind.
assert_none() {
    [ -e "$RESULTS/$1" ] || fail_with 'many_hosts.py did not come to its end' "$(cat "$RESULTS/output")"
    [ ! -s "$RESULTS/$1" ] || fail_with "$1:" "$(cat "$RESULTS/$1")"
}

@test "several hosts: no token is renewed twice, none is sent again but the one of a renewal that was broken" {
    assert_none double
}

@test "several hosts: no reader is without a token while a good one can be had" {
    assert_none starved
}

@test "several hosts: kills and stops are got over within seconds, by themselves" {
    assert_none recovery
}

@test "several hosts: nothing else happened, such as logins that were not needed" {
    assert_none surprises
}
