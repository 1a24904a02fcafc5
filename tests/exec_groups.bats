#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# exec --keep-fresh: signals, where the program is not in our process group, or is but is stopped; and as process 1.
# shellcheck disable=SC2016 # what is in single quotes is the program's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load exec_helper

setup_file() {
    server_start
    write_programs
}

teardown_file() { server_stop; }

setup() {
    test_setup
    login
}

teardown() { test_teardown; }

# The first letter of what ps says of the process: T is stopped.
is_in_state() { [[ "$(ps -o stat= -p "$2")" == "$1"* ]]; }
is_not_stopped() { ! is_in_state T "$1"; }

# All signals that a program can catch, by number, but those in the arguments. (valgrind keeps the last for itself.)
catchable() {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || set -- 64 "$@"
    "$TESTS_PYTHON" -c 'import signal, sys
print(*sorted(set(map(int, signal.valid_signals())) - {9, 19} - set(map(int, sys.argv[1:]))))' "$@"
}

# start_catcher COUNT COMMAND...: the catcher, behind a command that runs it; waits until it is ready.
start_catcher() {
    background servetel-auth exec --keep-fresh -- "${@:2}" "$TESTS_PYTHON" "$(program catcher)" "$1"
    retry_until 20 says "$BG_OUT" ready
}

# send_each NUMBER...: one by one, since those of one number that wait together are one to the kernel; then the catcher
# must have got each, and nothing else.
send_each() {
    local number sent=0 names
    for number; do
        sent=$((sent + 1))
        kill -s "$number" "$BG_PID"
        retry_until 20 says "$BG_OUT" "^$sent\$" || fail_with "signal $number did not come" "$(cat "$BG_OUT")"
    done
    assert_ends 7
    names="$("$TESTS_PYTHON" -c 'import signal, sys
print(*(signal.Signals(n).name if n < signal.SIGRTMIN else n for n in map(int, sys.argv[1:])))' "$@")"
    assert_equal "$(tail -n 1 "$BG_OUT")" "got $names"
    assert_no_token_file
}

# ----------------------------------------------------------------------------------------------------- each signal

@test "every signal that can be caught is passed on, once, and ends no keeper" {
    local numbers
    read -ra numbers <<<"$(catchable)"
    start_catcher "${#numbers[@]}"
    send_each "${numbers[@]}"
}

@test "also to a program in a session of its own, and to one that ignores them at first" {
    local numbers
    # (Those that stop: see below.)
    read -ra numbers <<<"$(catchable 20 21 22)"
    start_catcher "${#numbers[@]}" setsid
    send_each "${numbers[@]}"
    background bash -c 'trap "" HUP USR1; exec "$@"' - servetel-auth exec --keep-fresh -- \
        "$TESTS_PYTHON" "$(program catcher)" 2
    retry_until 20 says "$BG_OUT" ready
    send_each 1 10
}

@test "a signal that comes while the program is about to be run is not lost" {
    local calls
    needs_strace
    # The limit for core files is the first thing that is given back before that. The renewal holds signals back.
    make_stale
    capture strace -e trace=execve,prlimit64,setrlimit -o calls servetel-auth exec -- "$(type -P true)"
    assert_done
    calls="$(awk '/^execve/ {programs++} /limit/ && programs == 1 {n++} END {print n}' calls)"
    make_stale
    capture strace -o /dev/null -e trace=prlimit64,setrlimit \
        -e "inject=prlimit64,setrlimit:signal=TERM:when=$calls" servetel-auth exec -- touch ran
    assert_status 143
    [ ! -e ran ]
}

# ------------------------------------------------------------------------------------------------------- ^C and ^Z

@test "^C reaches a program that made a process group or a session of its own, and all that it started" {
    local by
    for by in setsid 'timeout 60'; do
        # shellcheck disable=SC2086 # words
        on_terminal --timeout 60 expect:started 'type:\x03' -- servetel-auth exec --keep-fresh -- \
            $by bash -c 'sh -c "echo \$\$ >sleeper; echo started; exec sleep 600"; echo over'
        [ "$status" = 130 ] || [ "$status" = 124 ] || fail_with_run "not ended by ^C: $by"
        retry_until 10 is_gone "$(cat sleeper)" || fail_with "still there: $by"
    done
    on_terminal --timeout 60 expect:ready 'type:\x03' expect:got -- \
        servetel-auth exec --keep-fresh -- setsid "$TESTS_PYTHON" "$(program catcher)"
    assert_status 7
    assert_stdout_has 'got SIGINT'
    assert_no_token_file
}

@test "the window's size: WINCH reaches the program once, wherever it is" {
    local by
    for by in '' setsid; do
        # shellcheck disable=SC2086
        on_terminal --timeout 60 expect:ready 'run:stty -F "$(cat tty)" cols 100' expect:got -- \
            sh -c 'tty >tty; exec "$@"' - servetel-auth exec --keep-fresh -- $by "$TESTS_PYTHON" "$(program catcher)"
        assert_status 7
        [[ "$output" == *'got SIGWINCH' ]] || fail_with_run "not once: $by"
    done
}

@test "^Z stops program and keeper, fg continues both, each once" {
    local by
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind passes over a SIGTSTP that a program sends to itself'
    for by in '' 'timeout 60' setsid; do
        rm -f pid
        # shellcheck disable=SC2086
        on_terminal --timeout 60 expect:started 'type:\x1a' stopped \
            'run:for i in $(seq 200); do case $(ps -o stat= -p $(cat pid)) in T*) exit;; esac; sleep 0.05; done; exit 1' \
            continue 'expect:continued' 'type:\x03' -- servetel-auth exec --keep-fresh -- \
            $by bash -c 'trap "echo one >>conts; echo continued" CONT; echo $$ >pid; echo started
                while :; do sleep 0.05; done'
        [ "$status" = 130 ] || [ "$status" = 124 ] || fail_with_run "not ended by ^C: $by"
        assert_equal "$(wc -l <conts)" 1
        rm conts
    done
    assert_no_token_file
}

@test "a program that does not mind ^Z goes on, and so does its keeper" {
    on_terminal --timeout 60 expect:ready 'type:\x1a' expect:got -- \
        servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
    assert_status 7
    assert_stdout_has 'got SIGTSTP'
}

@test "stop and continue are passed on to a program in a session of its own; SIGSTOP to it alone stops no keeper" {
    local pid
    keep_fresh setsid sh -c "$WAITS"
    pid="$(cat started)"
    kill -s TSTP "$BG_PID"
    retry_until 10 is_in_state T "$pid"
    kill -s CONT "$BG_PID"
    retry_until 10 is_not_stopped "$pid"
    kill -s STOP "$pid"
    retry_until 10 is_in_state T "$pid"
    servetel-auth refresh -q
    retry_until 10 says "$(cat path)" "$(cached_token)" # it goes on
    is_not_stopped "$BG_PID"
    kill -s CONT "$pid"
    kill "$BG_PID"
    assert_ends 143
}

@test "a terminal that hangs up tells the session's leader alone, which passes it on" {
    # (And that it is to go on: as it would have told the program.)
    capture "$TESTS_PYTHON" - servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)" 2 <<'END'
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", 'exec "$@" >got 2>err', "-"] + sys.argv[1:])
while not os.path.exists("got") or "ready" not in open("got").read():
    time.sleep(0.02)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
    assert_stdout 7
    assert_equal "$(tail -n 1 got | tr ' ' '\n' | sort | tr '\n' ' ')" 'SIGCONT SIGHUP got '
}

# ------------------------------------------------------------------------------------------------------- process 1

# As a container's first process.
PROCESS_1=(unshare --pid --fork --kill-child --mount-proc)

needs_process_1() {
    [ "$(id -u)" = 0 ] || skip 'only root may make a process 1'
    "${PROCESS_1[@]}" true 2>/dev/null || skip 'no process 1 can be made here'
}

@test "as process 1 it reaps what it inherits, and passes signals on" {
    needs_process_1
    cat >inherited <<'END'
# Each of these loses its parent at once and then ends; the program must not see one as a zombie for long.
for i in 1 2 3 4 5; do (sleep 0.05 &); done
for i in $(seq 200); do
    sleep 0.05
    [ "$(ps -e -o stat= | grep -c Z)" = 0 ] && [ "$(pgrep -c sleep)" = 0 ] && break
done
ps -e -o stat= | grep Z && exit 1
ps -o pid= -p 1 >/dev/null && [ $$ != 1 ] && echo reaped
END
    capture "${PROCESS_1[@]}" servetel-auth exec --keep-fresh -- bash inherited
    assert_done
    assert_stdout reaped
    background "${PROCESS_1[@]}" servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
    retry_until 20 says "$BG_OUT" ready
    kill -s USR1 "$(ps -o pid= --ppid "$BG_PID")"
    assert_ends 7
    assert_equal "$(tail -n 1 "$BG_OUT")" 'got SIGUSR1'
    assert_no_token_file
}
