#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Several hosts, one account: refreshers take turns under etcd's lock and publish in it, readers ask it, all by the
# recipe as it is installed. What happens is in many_hosts.py; it runs once, and the tests look at what came of it.
#
# A minute or two: each disturbance once. MANY_HOSTS_SECONDS=N makes it so many, TEST_SLOW=1 four minutes.

load helper
load hosts_helper
load etcd_helper

can_run() {
    have_etcd && [ -z "${SERVETEL_AUTH_WRAP:-}" ]
}

setup_file() {
    local seconds=0
    export RESULTS="$BATS_FILE_TMPDIR/hosts"
    can_run || return 0
    [ "${TEST_SLOW:-}" != 1 ] || seconds=240
    use_built_program || return
    install_program "$BATS_FILE_TMPDIR/root" etcd.sh || return
    server_start --config '{"ttl":6}' || return
    mkdir "$RESULTS"
    "$TESTS_PYTHON" "$TESTS_DIR/many_hosts.py" --recipe "$RECIPE" --api-port "$API_PORT" \
        --dir "$RESULTS" --seconds "${MANY_HOSTS_SECONDS:-$seconds}" >"$RESULTS/output" 2>&1 3>&- || true
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
