#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The recipe for PostgreSQL, as it is installed, while hosts and PostgreSQL are killed and stopped. (The tests are in
# hosts_helper.bash: Redis's are the same.)

load helper
load profiles_helper
load hosts_helper
load cache_tests_helper

# Debian keeps the server's programs out of PATH, one directory for each version.
find_server() {
    local dir
    if command -v postgres >/dev/null; then
        PG_BIN="$(dirname "$(command -v postgres)")"
        return
    fi
    for dir in /usr/lib/postgresql/*/bin; do
        [ ! -x "$dir/postgres" ] || PG_BIN="$dir"
    done
    [ -n "${PG_BIN:-}" ]
}

# It refuses to run as root. AS is what makes another user of that.
can_run() {
    AS=()
    MISSING='PostgreSQL or timeout is not installed'
    command -v psql >/dev/null && command -v timeout >/dev/null && find_server || return
    [ "$(id -u)" = 0 ] || return 0
    MISSING='PostgreSQL wants an ordinary user: no setpriv, or no user postgres'
    id -u postgres >/dev/null 2>&1 || return
    AS=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    "${AS[@]}" true 2>/dev/null
}

# engine_start [COMMAND...]: in front of it.
engine_start() {
    (cd / && exec "$@" "${AS[@]}" "$PG_BIN/postgres" -D "$PG_DIR/data" -k "$PG_DIR" -p "$PGPORT" \
        -c listen_addresses=127.0.0.1 -c fsync=off) >>"$BATS_FILE_TMPDIR/output" 2>&1 </dev/null 3>&- &
    ENGINE_PID=$!
    disown # whose end, by a kill, is no news
    echo "$ENGINE_PID" >"$BATS_FILE_TMPDIR/pid"
    retry_until 30 engine_answers_or_ends
    engine_answers
}

engine_answers() { psql -XqAt -U postgres -c 'SELECT 1' >/dev/null 2>&1; }

engine_answers_or_ends() { engine_answers || is_gone "$ENGINE_PID"; }

engine_pid() { cat "$BATS_FILE_TMPDIR/pid"; }

# engine_signal SIGNAL: to the server and its sessions.
engine_signal() {
    local pid
    pid=$(engine_pid)
    # shellcheck disable=SC2046 # words
    kill -s "$1" "$pid" $(ps -o pid= --ppid "$pid")
}

engine_stop() { engine_signal STOP; }
engine_go_on() { engine_signal CONT; }

# Properly, for a copy of its directory: one that was killed leaves its pid there, and is believed to run for as long
# as whoever is its parent by now has not noticed.
engine_end() {
    kill -INT "$(engine_pid)" # it ends its sessions; after TERM it would wait for them
    retry_until 20 is_gone "$(engine_pid)"
}

# It ends rather than confirm what it cannot keep: its next 16 MiB of log have no room.
engine_fill() {
    fill_disk
    while engine_answers; do
        psql -Xq -U postgres -c 'SELECT pg_current_xact_id(), pg_switch_wal()' >/dev/null 2>&1 || true
    done
}

setup_file() {
    can_run || return 0
    use_built_program || return
    install_program "$BATS_FILE_TMPDIR/root" postgresql.sh || return
    # Not in the test's directory, which only its owner may enter, and whose name is too long for a socket's.
    PG_DIR="$(mktemp -d /tmp/servetel-auth-pg.XXXXXX)"
    export PG_DIR PGHOST=127.0.0.1 PGUSER=servetel PGDATABASE=postgres PGPORT
    PGPORT="$("$TESTS_PYTHON" -c \
        'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')"
    [ "${#AS[@]}" = 0 ] || chown postgres "$PG_DIR"
    (cd / && "${AS[@]}" "$PG_BIN/initdb" -N -U postgres --auth=trust -D "$PG_DIR/data" >"$BATS_FILE_TMPDIR/initdb" 2>&1) ||
        { cat "$BATS_FILE_TMPDIR/initdb" >&2 && return 1; }
    engine_start || { cat "$BATS_FILE_TMPDIR/output" >&2 && return 1; }
    # No more rights than the recipe needs.
    psql -Xq -U postgres -c 'CREATE ROLE servetel LOGIN' -c 'CREATE ROLE reader LOGIN' \
        -c 'GRANT CREATE ON SCHEMA public TO servetel' || return
    sed -n 's/^# *\(\(CREATE TABLE\|GRANT\) .*\)/\1/p' "$RECIPE" | psql -Xq -v ON_ERROR_STOP=1 || return
    server_start
}

teardown_file() {
    if [ -e "$BATS_FILE_TMPDIR/pid" ]; then
        engine_end || kill -KILL "$(engine_pid)"
    fi
    [ -z "${PG_DIR:-}" ] || rm -rf "$PG_DIR"
    [ -z "${SERVER_PID:-}" ] || server_stop
}

setup() {
    can_run || skip "$MISSING"
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'the recipe runs the program as it is installed'
    test_setup
    unset SERVETEL_API_URL # each profile knows its own
    PATH="$BATS_FILE_TMPDIR/root/usr/bin:$PATH"
    # A turn has fifteen seconds at most, and whoever waits for one that was stopped not many more.
    export SERVETEL_POSTGRESQL_CONF=/dev/null TURN_TIMEOUT=6 TURN_TTL=19 TURN_WAIT=50 POSTGRESQL_TIMEOUT=5
    psql -Xqc 'TRUNCATE servetel'
}

teardown() {
    engine_go_on || true
    test_teardown
}

@test "PostgreSQL: two hosts take turns at 20 accounts: no token is spent twice, none logged in again, none in argv" {
    take_turns psql
}

@test "PostgreSQL: a token is in no statement, which a log could show" {
    psql -Xq -U postgres -c "ALTER ROLE servetel SET log_statement = 'all'"
    share_login a
    on a turn
    assert_done
    published_works
    psql -Xq -U postgres -c 'ALTER ROLE servetel RESET log_statement'
    grep -q 'INSERT INTO servetel' "$BATS_FILE_TMPDIR/output"
    ! grep -qF "$(published default)" "$BATS_FILE_TMPDIR/output" || fail_with 'a token is in the log'
}

@test "PostgreSQL: a reader's role reads, and can do no more" {
    share_login a
    on a turn
    assert_done
    PGUSER=reader capture sh "$RECIPE" get default
    assert_done
    assert_stdout "$(published default)"
    PGUSER=reader SERVETEL_PROFILE=default capture sh "$RECIPE" refused
    assert_failed 3
    assert_stderr_has 'permission denied'
}

@test "PostgreSQL: a stale password is sent once for all hosts, and told to each; put right, it is sent again" {
    refuse_stale_password
}

@test "PostgreSQL: without it nothing is sent, no password either, and it is told when the token is about to end" {
    do_without_engine PGPORT=1
}

@test "PostgreSQL: a turn that is over neither renews nor publishes, and a reader gets what is published" {
    be_late
}

@test "PostgreSQL: who comes while the lock is held waits, for longer than it lasts if it is kept" {
    wait_for_turn
}

@test "PostgreSQL: a holder that is killed in its request is got over at once, by the remembered password" {
    be_killed_in_request
    # Its lock ends with its connection, not after 19 seconds.
    [ "$RECOVERED_MS" -lt 15000 ] || fail_with "recovered only after $RECOVERED_MS ms"
}

@test "PostgreSQL: a holder that is killed between answer and publication costs one login at most" {
    be_killed_before_publication
}

@test "PostgreSQL: a holder that is stopped for longer than its lock is got over, and what it was about to publish is not" {
    be_stopped
}

@test "PostgreSQL: stopped during a renewal and gone on, it has what was published, and nothing was spent in vain" {
    break_engine 'PostgreSQL stopped' stop_for_seconds
}

# Its sessions see that it is gone and end; until they have, it is not started again.
engine_kill() {
    local sessions pid
    sessions=$(ps -o pid= --ppid "$(engine_pid)")
    kill -KILL "$(engine_pid)"
    for pid in $(engine_pid) $sessions; do
        retry_until 20 is_gone "$pid"
    done
}

@test "PostgreSQL: killed during a renewal and started again, it has what was published, and nothing was spent in vain" {
    break_engine 'PostgreSQL killed' kill_and_start
}

@test "PostgreSQL: a host whose clock is minutes or hours ahead spends nothing in vain, and is adopted from" {
    be_ahead
}

@test "PostgreSQL: a host whose disk is full sends nothing, and the next one goes on at once" {
    have_full_disk
}

@test "PostgreSQL: where its own disk is full, what could not be published is as soon as there is room" {
    needs_mounts
    [ "${#NAMESPACE[@]}" = 2 ] || skip 'PostgreSQL does not run as the root of a namespace'
    engine_end
    give_own_disk "$PG_DIR" 256m
    engine_start "${ON_DISK[@]}"
    fill_engine_disk
    engine_end # not on that disk any more
    engine_start
}

@test "PostgreSQL: a host that was off for weeks takes what is published, and publishes nothing older" {
    come_back
}

@test "PostgreSQL: called wrongly the recipe says how" {
    capture sh "$RECIPE"
    assert_failed 2
    assert_stderr_has 'postgresql.sh turn [--all]'
    assert_stderr_has 'postgresql.sh forget NAME'
}
