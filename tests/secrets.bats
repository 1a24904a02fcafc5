#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where the password and the tokens must not be: arguments, environments, cores, freed memory, messages, files.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2016 # a command's variables are the command's

load helper

# Long, so that pieces of it can be looked for, and unlike any other text.
PW='Zx9-quite-unguessable-and-long-enough-71'

setup_file() {
    server_start --config "{\"users\":{\"$EMAIL\":\"$PW\"}}"
    # The same program that wipes nothing: what looks for secrets must find them there.
    make -C "$TESTS_DIR/.." BUILD="$BATS_FILE_TMPDIR/unwiped" CFLAGS=-O0 CPPFLAGS=-DMEM_NO_WIPE \
        >"$BATS_FILE_TMPDIR/make" 2>&1 3>&- || fail_with 'cannot build' "$(cat "$BATS_FILE_TMPDIR/make")"
}

teardown_file() { server_stop; }

setup() {
    # The program itself, not valgrind's picture of it, is what is looked at here.
    unset SERVETEL_AUTH_WRAP
    test_setup
    SECRET_FILE="$BATS_TEST_TMPDIR/secret"
    (umask 077 && printf '%s\n' "$PW" >"$SECRET_FILE" && cp "$SECRET_FILE" pw)
}

teardown() { test_teardown; }

# secrets: the password and every token so far, a line each.
secrets() {
    printf '%s\n' "$PW"
    server_control tokens | jq -r '.[]'
}

# holds_secret FILE...: prints the lines that hold one.
holds_secret() {
    secrets >"$BATS_TEST_TMPDIR/secrets"
    grep -aF -f "$BATS_TEST_TMPDIR/secrets" "$@"
}

# ------------------------------------------------------------------------------- arguments and environment

# assert_clean_process PID: neither its arguments nor its environment hold a secret.
assert_clean_process() {
    tr '\0' '\n' <"/proc/$1/cmdline" >"$BATS_TEST_TMPDIR/proc"
    # Of a process that cannot be dumped, only root may read it: then there is nothing to see for anybody.
    tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" >>"$BATS_TEST_TMPDIR/proc" || [ "$(id -u)" != 0 ]
    [ -s "$BATS_TEST_TMPDIR/proc" ] || fail_with "nothing to look at: $1"
    assert_no holds_secret "$BATS_TEST_TMPDIR/proc"
}

@test "a login under way: nothing in arguments or environment, its own or the command's" {
    [ -d /proc/self ] || skip 'there is no /proc'
    login
    mkfifo gate
    server_script login '{"hang":true}'
    background servetel-auth login -e "$EMAIL" --password-command 'echo $$ >child; read -r _ <gate; cat pw'
    retry_until 20 test -s child
    assert_clean_process "$BG_PID"
    assert_clean_process "$(cat child)"
    echo >gate
    retry_until 20 has_requests login 2
    assert_clean_process "$BG_PID"
}

@test "a hook under way: the token is on its stdin, not in its arguments or environment" {
    [ -d /proc/self ] || skip 'there is no /proc'
    login
    mkfifo gate
    background servetel-auth refresh --on-change 'cat >token; echo $$ >child; read -r _ <gate'
    retry_until 20 test -s child
    assert_equal "$(cat token)" "$(cached_token)"
    assert_clean_process "$BG_PID"
    assert_clean_process "$(cat child)"
    echo >gate
}

# -------------------------------------------------------------------------------------------------- cores

@test "killed by a signal that dumps: no core" {
    [ -d /proc/self ] || skip 'there is no /proc'
    ulimit -c unlimited 2>/dev/null || skip 'the hard limit forbids cores anyway'
    login
    mkdir here
    cd here || return
    local name before=0
    for name in ABRT XCPU; do
        server_script refresh '{"hang":true}'
        background servetel-auth refresh
        before=$((before + 1))
        retry_until 20 has_requests refresh "$before"
        assert_equal "$(awk '/^Max core file size/ {print $5}' "/proc/$BG_PID/limits")" 0
        kill -s "$name" "$BG_PID"
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$status" $((128 + $(kill -l "$name")))
        assert_equal "$(ls -A)" ''
    done
}

@test "dumps are off before anything is read" {
    needs_traced_strings
    [ "$(uname)" = Linux ] || skip 'prctl is Linux'
    login
    strace -o "$BATS_TEST_TMPDIR/trace" servetel-auth refresh -q
    capture awk '/^prctl\(PR_SET_DUMPABLE, (0|SUID_DUMP_DISABLE)\)/ && / = 0$/ { off = 1 }
        /default\.json/ { print off ? "off" : "on"; exit }' "$BATS_TEST_TMPDIR/trace"
    assert_stdout off
}

# ------------------------------------------------------------------------------------------------- memory

need_memory() {
    needs_strace
    [ -z "${ASAN_OPTIONS:-}" ] || skip "the sanitizers' own work at the end leaves copies on the stack"
}

# look_at_memory ARGUMENTS...: as `run --separate-stderr` of the program, under memory.py.
look_at_memory() {
    capture "$TESTS_PYTHON" "$TESTS_DIR/memory.py" --port "$API_PORT" --secret-file "$SECRET_FILE" \
        -- servetel-auth "$@"
}

# assert_wiped STATUS ARGUMENTS...: the program ends so, and leaves no secret in its memory.
assert_wiped() {
    look_at_memory "${@:2}"
    assert_status "$1" "${*:2}"
}

@test "memory at the end of a login: the password from stdin, a file, a command" {
    need_memory
    assert_wiped 0 login -e "$EMAIL" --password-stdin <pw
    assert_wiped 0 login -e "$EMAIL" --password-file pw
    assert_wiped 0 login -e "$EMAIL" --password-command 'cat pw'
    assert_wiped 0 login --print
    assert_wiped 0 login -e "$EMAIL" --password-stdin --no-cache --print <pw
}

@test "memory at the end of a login at a terminal" {
    need_memory
    on_terminal --timeout 60 expect:Password "type:$PW\n" -- \
        "$TESTS_PYTHON" "$TESTS_DIR/memory.py" --port "$API_PORT" --secret-file "$SECRET_FILE" -- \
        servetel-auth login -e "$EMAIL"
    assert_done
    assert_equal "$(server_stats logins)" 1
}

@test "memory at the end of a login and a refresh over TLS" {
    need_memory
    make_certs "$BATS_TEST_TMPDIR/certs"
    local certs="$BATS_TEST_TMPDIR/certs"
    server_start --tls "$certs/server.pem" "$certs/server.key" --config "{\"users\":{\"$EMAIL\":\"$PW\"}}"
    assert_wiped 0 login --cacert "$certs/root.pem" -e "$EMAIL" --password-stdin <pw
    assert_wiped 0 refresh --cacert "$certs/root.pem"
    assert_wiped 0 refresh --cacert "$certs/root.pem" -v --json
}

@test "memory at the end of a refresh" {
    need_memory
    login
    assert_wiped 0 refresh
    assert_wiped 0 refresh --print
    assert_wiped 0 refresh --json
    assert_wiped 0 refresh --on-change 'cat >token'
    assert_wiped 0 refresh --all
    server_config '{"header":"library"}'
    cache_edit 'del(.auth_scheme)'
    assert_wiped 0 refresh
}

@test "memory at the end of a refresh that logs in instead" {
    need_memory
    quietly login -e "$EMAIL" --password-file pw
    server_config '{"refresh_window":0}'
    assert_wiped 0 refresh
    quietly login -e "$EMAIL" --password-command 'cat pw'
    assert_wiped 0 refresh --json
}

@test "memory at the end of show and status" {
    need_memory
    login
    assert_wiped 0 show
    assert_wiped 0 show --no-newline
    assert_wiped 0 show --format header
    assert_wiped 0 show --json
    assert_wiped 0 show --claims
    assert_wiped 0 status
    assert_wiped 0 status --json
    make_stale
    assert_wiped 0 show
}

@test "memory at the end of exec --keep-fresh" {
    need_memory
    login
    look_at_memory exec --keep-fresh -- true
    # The stack may hold parts: when the program ends, the kernel puts the registers there for SIGCHLD's handler,
    # and in them is what was copied last.
    [ "$status" = 0 ] || [ "$status" = 99 ] || fail_with_run 'expected the status 0'
    printf '%s' "$stderr" >"$BATS_TEST_TMPDIR/found"
    assert_no grep -v ' in \[stack\]: ' "$BATS_TEST_TMPDIR/found"
}

@test "memory at the end of an import" {
    need_memory
    server_issue >token
    assert_wiped 0 login --token-stdin <token
    assert_wiped 0 login --token-command 'cat token'
    server_issue >token
    make_stale
    assert_wiped 0 refresh
    server_issue >token
    make_stale
    assert_wiped 0 refresh --on-change 'cat >/dev/null'
    server_issue >token
    login
    assert_wiped 0 refresh --min-ttl 30m --adopt 'cat token' --on-change 'cat >/dev/null'
    printf 'Bearer %s***\n' "$(cat token)" >masked
    assert_wiped 2 login --token-stdin <masked
}

@test "memory at the end of what fails" {
    need_memory
    login
    server_script refresh '{"drop":"mid_body"}'
    assert_wiped 5 refresh
    login
    server_script refresh '{"hang":true}'
    assert_wiped 5 refresh --timeout 3
    server_script refresh "{\"status\":400,\"json\":{\"message\":\"bad header: $(cached_token)\"},\"repeat\":2}"
    assert_wiped 4 refresh
    cache_edit 'del(.refused_at)'
    server_script refresh '{"status":200,"body":"no JSON"}'
    assert_wiped 6 refresh
    server_script refresh '{"status":429,"headers":{"Retry-After":"600"}}'
    assert_wiped 5 refresh
    server_script login "{\"status\":401,\"json\":{\"message\":\"not you: $PW\"}}"
    rm "$(cache_file)"
    assert_wiped 4 login -e "$EMAIL" --password-stdin <pw
    server_script login '{"merge":{"access_token":"not a token: spaces in it"}}'
    assert_wiped 6 login -e "$EMAIL" --password-stdin <pw
    server_script login '{"drop":"before"}'
    assert_wiped 5 login -e "$EMAIL" --password-stdin <pw
}

@test "registers at the end: no piece of a token or password" {
    [ -z "${ASAN_OPTIONS:-}${TSAN_OPTIONS:-}" ] || skip 'a sanitizer must be loaded before all others'
    case $(uname -sm) in
    'Linux x86_64' | 'Linux aarch64') ;;
    *) skip 'only the registers of these are known here' ;;
    esac
    local command
    # shellcheck disable=SC2086 # it may have arguments
    ${CC:-cc} -O1 -shared -fPIC -o registers.so "$TESTS_DIR/registers.c"
    quietly login -e "$EMAIL" --password-file pw
    for command in show 'show --json' 'show --claims' status 'refresh --print' 'refresh --json' 'login --print' \
        'login -e nobody@example.test'; do
        # shellcheck disable=SC2086 # words
        LD_PRELOAD=./registers.so REGISTERS_FILE=registers capture servetel-auth $command
        assert_equal "$(wc -c <registers)" 2048
        server_control tokens | "$TESTS_PYTHON" -c '
import json, sys
registers = open("registers", "rb").read()
secrets = [token.encode() for token in json.load(sys.stdin)] + [sys.argv[1].encode()]
found = [secret[i:i + 8] for secret in secrets for i in range(len(secret) - 7) if secret[i:i + 8] in registers]
sys.exit("found: %s" % found[:3] if found else 0)' "$PW" || fail_with "$command"
        rm registers
    done
}

@test "memory of a build that does not wipe: found" {
    need_memory
    PATH="$BATS_FILE_TMPDIR/unwiped:$PATH"
    look_at_memory login -e "$EMAIL" --password-stdin <pw
    assert_status 99
    assert_stderr_has 'of the password at'
    assert_stderr_has 'of a token at'
    look_at_memory refresh
    assert_status 99
    look_at_memory show
    assert_status 99
}

# ------------------------------------------------------------------------------------- messages and files

# says STATUS ARGUMENTS...: with -v, ends so, and no secret is on stderr.
says() {
    try "${@:2}" -v
    assert_status "$1" "${*:2}"
    [ -n "$stderr" ] || fail_with_run "expected -v to say something: ${*:2}"
    printf '%s\n' "$stderr" >"$BATS_TEST_TMPDIR/stderr"
    assert_no holds_secret "$BATS_TEST_TMPDIR/stderr"
}

@test "verbose output holds no secret" {
    says 0 login -e "$EMAIL" --password-stdin <pw
    says 0 login --password-file pw -e "$EMAIL"
    says 0 refresh
    says 0 refresh --on-change 'cat >token'
    server_config '{"refresh_window":0}'
    says 0 refresh
    server_script login "{\"status\":401,\"json\":{\"message\":\"not you: $PW\"}}"
    says 4 refresh
    server_script refresh "{\"status\":400,\"json\":{\"message\":\"bad: $(cached_token)\"},\"repeat\":2}"
    says 4 refresh
    server_script login "{\"status\":401,\"json\":{\"message\":\"not you: $PW\"}}"
    says 4 login -e "$EMAIL" --password-stdin <pw
}

# record ARGUMENTS...: the program's writes to files and pipes (a socket gets sendto), whole.
record() {
    strace -f -s 100000 -e trace=write,writev,pwrite64,pwritev,pwritev2 -o "$BATS_TEST_TMPDIR/trace" \
        servetel-auth "$@" >"$BATS_TEST_TMPDIR/said" 2>&1
}

# assert_written N: of all that was recorded, so many writes hold a token, to the cache, and none the password.
assert_written() {
    assert_equal "$(grep -cF "$PW" "$BATS_TEST_TMPDIR/trace")" 0
    assert_equal "$(holds_secret -c "$BATS_TEST_TMPDIR/trace")" "$1"
}

@test "the password is written to no file, the token to the cache alone" {
    needs_traced_strings
    record login -e "$EMAIL" --password-stdin <pw
    assert_written 1
    record login -e "$EMAIL" --password-file pw
    assert_written 1
    record refresh
    assert_written 1
    server_config '{"refresh_window":0}'
    record refresh -v
    assert_written 1
    record show --cached
    assert_written 1 # to stdout
    rm pw
    assert_no grep -rF "$PW" "$HOME"
    secrets >"$BATS_TEST_TMPDIR/secrets"
    capture grep -rlF -f "$BATS_TEST_TMPDIR/secrets" "$HOME"
    assert_stdout "$(cache_file)"
}

# ------------------------------------------------------------------------------------- with another's rights

# set_id MODE: a copy of the program, of nobody's and of nobody's group, with that mode. Whoever runs it has the
# rights of both.
set_id() {
    cp "$(command -v servetel-auth)" "$BATS_TEST_TMPDIR/copy"
    cp "$(command -v id)" "$BATS_TEST_TMPDIR/id"
    chown 65534:65534 "$BATS_TEST_TMPDIR/copy" "$BATS_TEST_TMPDIR/id"
    chmod "$1" "$BATS_TEST_TMPDIR/copy" "$BATS_TEST_TMPDIR/id"
    [ "$("$BATS_TEST_TMPDIR/id" -u) $("$BATS_TEST_TMPDIR/id" -g)" != '0 0' ] ||
        skip 'the file system of the tests gives no rights'
}

@test "set-user-ID or set-group-ID it does nothing for anybody" {
    local mode
    [ "$(id -u)" = 0 ] || skip 'only root can make such a file of another user'
    [ -z "${ASAN_OPTIONS:-}" ] || skip "a sanitized program may not look for its leaks with another's rights"
    login
    for mode in 4755 2755 6755; do
        set_id $mode
        capture "$BATS_TEST_TMPDIR/copy" show
        assert_failed 7
        assert_stderr_has 'not run set-user-ID or set-group-ID'
    done
    chmod 755 "$BATS_TEST_TMPDIR/copy"
    capture "$BATS_TEST_TMPDIR/copy" show
    assert_done
}
