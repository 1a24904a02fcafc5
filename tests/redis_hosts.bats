#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The recipe for Redis, as it is installed, while hosts and Redis are killed and stopped. (The tests are in
# hosts_helper.bash: PostgreSQL's are the same.)

load helper
load profiles_helper
load hosts_helper
load cache_tests_helper

have_redis() {
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null && command -v timeout >/dev/null
}

# engine_start [COMMAND...]: in front of it.
engine_start() {
    "$@" redis-server --port "${REDIS_OPTIONS##* }" --bind 127.0.0.1 --dir "$REDIS_DIR" --appendonly yes \
        --appendfsync always --save '' --daemonize no --pidfile '' \
        >>"$REDIS_DIR/output" 2>&1 </dev/null 3>&- &
    echo $! >"$REDIS_DIR/pid"
    disown # whose end, by a kill, is no news
    retry_until 30 engine_answers
}

engine_answers() {
    # shellcheck disable=SC2086 # words
    [ "$(redis-cli -e $REDIS_OPTIONS ping 2>/dev/null)" = PONG ]
}

engine_pid() { cat "$REDIS_DIR/pid"; }
engine_stop() { kill -STOP "$(engine_pid)"; }
engine_go_on() { kill -CONT "$(engine_pid)"; }

engine_kill() {
    kill -KILL "$(engine_pid)"
    retry_until 10 is_gone "$(engine_pid)"
}

# It ends rather than confirm what it cannot keep.
engine_fill() {
    fill_disk
    # More than what its file's last page has room for.
    # shellcheck disable=SC2086 # words
    redis-cli $REDIS_OPTIONS set filler "$(printf '%9000d' 0)" >/dev/null 2>&1 || true
}

setup_file() {
    have_redis || return 0
    use_built_program || return
    install_program "$BATS_FILE_TMPDIR/root" redis.sh || return
    export REDIS_DIR="$BATS_FILE_TMPDIR/redis" REDIS_OPTIONS
    mkdir "$REDIS_DIR"
    REDIS_OPTIONS="-h 127.0.0.1 -p $("$TESTS_PYTHON" -c \
        'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')"
    engine_start || return
    server_start
}

teardown_file() {
    [ ! -e "${REDIS_DIR:-}/pid" ] || stop_pid "$(engine_pid)"
    [ -z "${SERVER_PID:-}" ] || server_stop
}

setup() {
    have_redis || skip 'redis-server, redis-cli or timeout is not installed'
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'the recipe runs the program as it is installed'
    test_setup
    unset SERVETEL_API_URL # each profile knows its own
    PATH="$BATS_FILE_TMPDIR/root/usr/bin:$PATH"
    # A turn has eleven seconds at most, and whoever waits for one that was killed not many more.
    export SERVETEL_REDIS_CONF=/dev/null TURN_TIMEOUT=4 TURN_TTL=13 TURN_WAIT=40 REDIS_TIMEOUT=3
    # shellcheck disable=SC2086 # words
    redis-cli -e $REDIS_OPTIONS flushall >/dev/null
}

teardown() {
    engine_go_on || true
    test_teardown
}

@test "Redis: two hosts take turns at 20 accounts: no token is spent twice, none logged in again, none in argv" {
    take_turns redis-cli
}

@test "Redis: a stale password is sent once for all hosts, and told to each; put right, it is sent again" {
    refuse_stale_password
}

@test "Redis: without it nothing is sent, no password either, and it is told when the token is about to end" {
    do_without_engine REDIS_OPTIONS='-h 127.0.0.1 -p 1'
}

@test "Redis: a turn that is over neither renews nor publishes, and a reader gets what is published" {
    be_late
}

@test "Redis: who comes while the lock is held waits, for longer than it lasts if it is kept" {
    wait_for_turn
}

@test "Redis: a holder that is killed in its request is got over when its lock ends, by the remembered password" {
    be_killed_in_request
}

@test "Redis: a holder that is killed between answer and publication costs one login at most" {
    be_killed_before_publication
}

@test "Redis: a holder that is stopped for longer than its lock is got over, and what it was about to publish is not" {
    be_stopped
}

@test "Redis: stopped during a renewal and gone on, it has what was published, and nothing was spent in vain" {
    break_engine 'Redis stopped' stop_for_seconds
}

@test "Redis: killed during a renewal and started again, it has what was published, and nothing was spent in vain" {
    break_engine 'Redis killed' kill_and_start
}

@test "Redis: a host whose clock is minutes or hours ahead spends nothing in vain, and is adopted from" {
    be_ahead
}

@test "Redis: a host whose disk is full sends nothing, and the next one goes on at once" {
    have_full_disk
}

@test "Redis: where its own disk is full, what could not be published is as soon as there is room" {
    needs_mounts
    engine_kill
    give_own_disk "$REDIS_DIR" 16m
    engine_start "${ON_DISK[@]}"
    fill_engine_disk
    engine_kill # not on that disk any more
    engine_start
}

@test "Redis: a host that was off for weeks takes what is published, and publishes nothing older" {
    come_back
}

@test "Redis: what the manual has one host publish with, and the others read with, works as it stands" {
    local commands
    mapfile -t commands < <(sed -n '/^redis.-cli/s/\\-/-/gp' "$TESTS_DIR/../man/servetel-auth-hosts.7")
    assert_equal "${#commands[@]}" 2
    mkdir here
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$(type -P redis-cli)" "$REDIS_OPTIONS" >here/redis-cli
    chmod 755 here/redis-cli
    PATH="$PWD/here:$PATH"
    login --api-url "$API"
    quietly refresh --on-change "${commands[0]}"
    quietly login -p reader --token-command "${commands[1]}"
    assert_equal "$(servetel-auth refresh -p reader --quiet --print)" "$(servetel-auth show)"
}

@test "Redis: called wrongly the recipe says how" {
    capture sh "$RECIPE"
    assert_failed 2
    assert_stderr_has 'redis.sh turn [--all]'
    assert_stderr_has 'redis.sh forget NAME'
}
