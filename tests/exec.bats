#!/usr/bin/env bats
# exec: a program with a token in its environment, and with --keep-fresh a file that always holds a valid one.
# shellcheck disable=SC2016 # what is in single quotes is the program's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup_file() {
    server_start
    # Their stdlib modules only; run as the program of exec.
    cat >"$BATS_FILE_TMPDIR/catcher" <<'END'
# Says "ready", with each signal how many have come, and when argv[1] (1) have and then none for half a second,
# which.
import os, select, signal, sys
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGALRM", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), lambda *_: None)
print("ready", flush=True)
got, wanted = [], int(sys.argv[1]) if len(sys.argv) > 1 else 1
while select.select([reading], [], [], 0.5 if len(got) >= wanted else 30)[0]:
    for number in os.read(reading, 100):
        got.append(signal.Signals(number).name)
        print(len(got), flush=True)
print("got", *got)
sys.exit(7)
END
    cat >"$BATS_FILE_TMPDIR/watcher" <<'END'
# Reads the token file as fast as it can until it has changed twice (or 20 s have passed). Prints how often; fails
# at once when the file is absent, empty or not a whole token.
import os, re, sys, time
path, seen, inodes = os.environ["SERVETEL_TOKEN_FILE"], set(), {}
until = time.monotonic() + 20
while len(seen) < 3 and time.monotonic() < until:
    file = open(path)
    text = file.read()
    status = os.fstat(file.fileno())
    if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]{43}\n?", text):
        sys.exit("not a whole token: %r" % text)
    if status.st_mode & 0o7777 != 0o600:
        sys.exit("mode %o" % status.st_mode)
    seen.add(text)
    if status.st_ino not in inodes:  # kept open: or the number may be given again
        inodes[status.st_ino] = os.dup(file.fileno())
print("contents %d, inodes %d" % (len(seen), len(inodes)))
END
    cat >"$BATS_FILE_TMPDIR/caller" <<'END'
# For argv[1] seconds: reads the token file and calls the service with what it holds, on port argv[2]. A token can be
# replaced between the two; so one that is refused is looked at again, for four seconds at most (a busy machine),
# and what has come instead must work. Prints how many calls, tokens and second looks there were; fails at the
# first failure.
import http.client, os, sys, time
def read():
    with open(os.environ["SERVETEL_TOKEN_FILE"]) as file:
        return file.read().strip()
def works(token):
    service.request("GET", "/v1/me", headers={"Authorization": "Bearer " + token, "X-Test": "1"})
    answer = service.getresponse()
    answer.read()
    return answer.status == 200
service = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
calls, again, longest, tokens = 0, 0, 0, set()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    token = read()
    calls += 1
    if not works(token):
        again, refused_at, newer = again + 1, time.monotonic(), token
        while newer == token and time.monotonic() < refused_at + 4:
            newer = read()
        longest = max(longest, time.monotonic() - refused_at)
        if newer == token or not works(newer):
            sys.exit("after %d calls the file holds a token that is refused" % calls)
        token = newer
    tokens.add(token)
    time.sleep(0.002)
print("calls %d tokens %d again %d longest %.3f" % (calls, len(tokens), again, longest))
END
}

teardown_file() { server_stop; }

setup() {
    test_setup
    cd "$HOME" || return
}

teardown() { test_teardown; }

program() { printf '%s\n' "$BATS_FILE_TMPDIR/$1"; }

# Nothing but the cache and its lock is in the directory: the token file is gone.
assert_no_token_file() {
    run find "$HOME/.servetel-auth" -type f ! -name '*.json' ! -name '*.lock'
    assert_equal "$output" ''
    run find "$HOME/.servetel-auth" -name '.*.json*'
    assert_equal "$output" ''
}

# with_pipe_signal default|ignore COMMAND...: a shell cannot give back what was ignored when it started.
with_pipe_signal() {
    "$TESTS_PYTHON" -c '
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL if sys.argv[1] == "default" else signal.SIG_IGN)
os.execvp(sys.argv[2], sys.argv[2:])' "$@"
}

says() { grep -q -- "$2" "$1"; }

# keep_fresh PROGRAM...: in the background, its start awaited. The program writes the file `started`.
keep_fresh() {
    rm -f started
    background servetel-auth exec --keep-fresh -- "$@"
    retry_until 20 test -s started
}

# A program that says where its token file is and waits.
WAITS='echo "$SERVETEL_TOKEN_FILE" >path; echo $$ >started.new; mv started.new started; exec sleep 600'

# ends STATUS: the background program's.
assert_ends() {
    local ended=0
    retry_until 60 is_gone "$BG_PID" || fail_with "it does not end" "$(cat "$BG_OUT" "$BG_ERR")"
    wait "$BG_PID" || ended=$?
    assert_equal "$ended" "$1" || fail_with "it said" "$(cat "$BG_OUT" "$BG_ERR")"
}

token_file_works() { token_works "$(cat "$1")"; }

cached_token_works() { token_works "$(cached_token)"; }

# gate_start: sets GATE_PID and GATE, the API's URL through a door that can be shut.
gate_start() {
    # shellcheck disable=SC2034 # for the helper, as what it sets is for us
    STARTED_DIR="$(mktemp -d "$BATS_TEST_TMPDIR/gate.XXXXXX")"
    start_and_wait_for_port gate.py --to "$API_PORT" || return
    # shellcheck disable=SC2153
    GATE_PID=$STARTED_PID
    GATE_PORT=$STARTED_PORT
    GATE="http://127.0.0.1:$GATE_PORT/v1"
}

gate_refuses() { ! (: <>"/dev/tcp/127.0.0.1/$GATE_PORT") 2>/dev/null; }

gate_shut() {
    kill -USR1 "$GATE_PID"
    retry_until 5 gate_refuses
}

gate_open() { kill -USR2 "$GATE_PID"; }

# ---------------------------------------------------------------------------------------------------- the program

@test "the program has a token in SERVETEL_TOKEN that works" {
    login
    run --separate-stderr servetel-auth exec -- printenv SERVETEL_TOKEN
    assert_status 0
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    token_works "$output"
}

@test "a stale token is renewed first" {
    login
    old="$(cached_token)"
    make_stale
    run --separate-stderr servetel-auth exec -- printenv SERVETEL_TOKEN
    assert_status 0
    [ "$output" != "$old" ]
    token_works "$output"
}

@test "the program's exit status is passed back" {
    login
    for keep in '' --keep-fresh; do
        for code in 0 1 3 7 42 255; do
            # shellcheck disable=SC2086 # no option, or one
            run --separate-stderr servetel-auth exec $keep -- sh -c "exit $code"
            assert_status "$code"
            assert_stdout_empty
            assert_stderr_empty
        done
    done
    assert_no_token_file
}

@test "a program that is not found is 127, one that cannot be run 126, and stderr says which" {
    login
    printf 'no program' >file
    # execvp says "Permission denied" where PATH has a directory that we may not search.
    PATH="$(dirname "$(type -P servetel-auth)"):/usr/bin:/bin"
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run -127 --separate-stderr servetel-auth exec $keep -- no-such-program
        assert_status 127
        assert_stdout_empty
        assert_stderr_has no-such-program
        # shellcheck disable=SC2086
        run -127 --separate-stderr servetel-auth exec $keep -- "$HOME/none/here"
        assert_status 127
        # shellcheck disable=SC2086
        run --separate-stderr servetel-auth exec $keep -- ./file
        assert_status 126
        assert_stderr_has ./file
        # shellcheck disable=SC2086
        run --separate-stderr servetel-auth exec $keep -- "$HOME"
        assert_status 126
        assert_no_secret
    done
    assert_no_token_file
}

@test "a program that dies of signal N is 128+N" {
    login
    for keep in '' --keep-fresh; do
        for number in 9 15 1 11; do
            # shellcheck disable=SC2086
            run --separate-stderr servetel-auth exec $keep -- sh -c "ulimit -c 0; kill -$number \$\$"
            assert_status $((128 + number))
        done
    done
    assert_no_token_file
}

@test "without --keep-fresh the program takes the process over" {
    login
    background servetel-auth exec -- sh -c 'echo $$; exec sleep 600'
    retry_until 10 test -s "$BG_OUT"
    assert_equal "$(cat "$BG_OUT")" "$BG_PID"
}

@test "arguments are passed unchanged, options of the program's own too" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr servetel-auth exec $keep -- printf '<%s>' 'a  b' '' '*' '$HOME' -- -p --keep-fresh $'x\ny' '%'
        assert_status 0
        assert_stdout $'<a  b><><*><$HOME><--><-p><--keep-fresh><x\ny><%>'
    done
}

@test "-- before the program is optional" {
    login
    run --separate-stderr servetel-auth exec printf '<%s>' -p --json -q
    assert_status 0
    assert_stdout '<-p><--json><-q>'
    run --separate-stderr servetel-auth exec --min-ttl 1m -q printf '<%s>' --min-ttl
    assert_status 0
    assert_stdout '<--min-ttl>'
}

@test "stdin is the program's" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr servetel-auth exec $keep -- cat <<<'what comes in'
        assert_status 0
        assert_stdout 'what comes in'
    done
}

@test "no program is 2, and without a token none is started" {
    run --separate-stderr servetel-auth exec
    assert_status 2
    assert_stdout_empty
    [ -n "$stderr" ]
    run --separate-stderr servetel-auth exec -- touch ran
    assert_status 3
    [ ! -e ran ]
    login
    make_expired
    server_config '{"refresh_window":0}'
    run --separate-stderr servetel-auth exec --keep-fresh -- touch ran
    assert_status 4
    [ ! -e ran ]
    assert_no_token_file
}

@test "the program has SIGPIPE as the caller had it" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr with_pipe_signal default servetel-auth exec $keep -- sh -c 'kill -PIPE $$; echo alive'
        assert_status 141
        assert_stdout_empty
        # shellcheck disable=SC2086
        run --separate-stderr with_pipe_signal ignore servetel-auth exec $keep -- sh -c 'kill -PIPE $$; echo alive'
        assert_status 0
        assert_stdout alive
    done
}

@test "a signal that the caller ignores (nohup) stays ignored, others do what they do" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr bash -c 'trap "" HUP; exec "$@"' - servetel-auth exec $keep -- \
            sh -c 'kill -HUP $$; echo alive; kill -TERM $$; echo still'
        assert_status 143
        assert_stdout alive
    done
}

@test "the program has the caller's core limit, not ours" {
    login
    hard="$(ulimit -Hc)"
    for keep in '' --keep-fresh; do
        for soft in 0 "$hard"; do
            # shellcheck disable=SC2086
            run --separate-stderr bash -c 'ulimit -Sc "$1"; shift; exec "$@"' - "$soft" \
                servetel-auth exec $keep -- bash -c 'ulimit -Sc; ulimit -Hc'
            assert_status 0
            assert_stdout "$soft"$'\n'"$hard"
        done
    done
}

@test "the program inherits no descriptor of ours" {
    login
    list='import os; print([n for n in os.listdir("/dev/fd") if int(n) > 2 and os.path.exists("/dev/fd/" + n)])'
    usual="$("$TESTS_PYTHON" -c "$list" 3>&-)"
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr bash -c 'exec 3>&-; exec "$@"' - servetel-auth exec $keep -- "$TESTS_PYTHON" -c "$list"
        assert_status 0
        assert_stdout "$usual"
    done
}

@test "while the program runs others can renew the same profile" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr servetel-auth exec $keep -- servetel-auth refresh --quiet --timeout 5s
        assert_status 0
    done
}

@test "the token is not in the arguments of any process, nor is the password in the environment" {
    login
    keep_fresh sh -c "$WAITS"
    run ps -e -o args=
    [[ "$output" != *"$(cached_token)"* ]]
    if [ -r "/proc/$BG_PID/environ" ]; then
        # Of the process that keeps: its own environment is as it was called.
        run grep -c -F -a -- "$PW" "/proc/$BG_PID/environ"
        assert_equal "$output" 0
    fi
}

# --------------------------------------------------------------------------------------------------- --keep-fresh

@test "the token file is there before the program starts: private, with the token of the environment" {
    login
    run --separate-stderr servetel-auth exec --keep-fresh -- sh -c '
        cat "$SERVETEL_TOKEN_FILE"
        ls -ld "$SERVETEL_TOKEN_FILE" | cut -c1-10
        ls -ld "$(dirname "$SERVETEL_TOKEN_FILE")" | cut -c1-10
        test "$(cat "$SERVETEL_TOKEN_FILE")" = "$SERVETEL_TOKEN" && echo same
        case $SERVETEL_TOKEN_FILE in /*) echo absolute ;; esac'
    assert_status 0
    assert_stdout "$(cached_token)"$'\n-rw-------\ndrwx------\nsame\nabsolute'
    assert_stderr_empty
    assert_no_token_file
}

@test "the file is private whatever the umask, and found after a change of directory" {
    login
    umask 000
    export SERVETEL_AUTH_DIR=elsewhere
    login
    run --separate-stderr servetel-auth exec --keep-fresh -- sh -c 'cd /; ls -l "$SERVETEL_TOKEN_FILE" | cut -c1-10'
    assert_status 0
    assert_stdout '-rw-------'
    run find elsewhere -type f ! -name '*.json' ! -name '*.lock'
    assert_equal "$output" ''
}

@test "the file is renewed by rename: a reader never finds it empty, cut or absent" {
    server_config '{"ttl":3}'
    login
    run --separate-stderr servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program watcher)"
    assert_status 0
    assert_stdout 'contents 3, inodes 3'
    assert_no_token_file
}

@test "through five lives of a token what the file holds always works" {
    server_config '{"ttl":3}'
    login
    run --separate-stderr servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program caller)" 16 "$API_PORT"
    assert_status 0
    assert_stderr_empty
    printf '# %s\n' "$output" >&3
    tokens="$(sed -n 's/.*tokens \([0-9]*\).*/\1/p' <<<"$output")"
    [ "$tokens" -ge 5 ]
    assert_no_token_file
    # The service has seen no more renewals than that, and refused none.
    assert_equal "$(server_stats refused)" 0
    assert_equal "$(count_requests login)" 1
}

@test "a token with a remembered password is kept fresh past the end of its renewal" {
    (umask 077 && printf '%s\n' "$PW" >pw)
    server_config '{"ttl":3,"refresh_window":7}'
    servetel-auth login -q -e "$EMAIL" --password-file pw
    run --separate-stderr servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program caller)" 15 "$API_PORT"
    assert_status 0
    assert_stderr_empty
    [ "$(count_requests login)" -ge 2 ]
}

@test "what another process renews is picked up" {
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    ours="$(cached_token)"
    for _ in 1 2 3; do
        servetel-auth refresh -q
        retry_until 5 says "$path" "$(cached_token)"
        ours+=" $(cached_token)"
    done
    assert_equal "$(cat "$path")" "$(cached_token)"
    # The keeper saw no need of its own. (A renewal that an earlier test left under way may be in the log.)
    assert_equal "$(server_log | jq --arg ours "$ours" '[.[] | select(.endpoint == "refresh") | .headers[] |
        select(.[0] == "Authorization") | .[1] as $token | select($ours | contains($token))] | length')" 3
}

@test "a service that is away for a while costs nothing but that time" {
    gate_start
    server_config '{"ttl":4}'
    login --api-url "$GATE"
    unset SERVETEL_API_URL
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    gate_shut
    retry_until 30 says "$BG_ERR" warning # a renewal has failed
    [ -s "$path" ]
    gate_open
    retry_until 30 token_file_works "$path"
    renewals="$(count_requests refresh)"
    retry_until 30 has_requests refresh $((renewals + 1))
    kill -0 "$(cat started)"
}

@test "a service that answers 500 and 503 for a while is outlived as well" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"status":503}' '{"status":500}'
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    retry_until 40 has_requests refresh 3
    retry_until 30 token_file_works "$path"
    kill -0 "$(cat started)"
}

@test "a logout meanwhile leaves the program what it has, and brings no cache back" {
    server_config '{"ttl":4}'
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    servetel-auth logout -q
    retry_until 20 says "$BG_ERR" warning # a renewal has found nothing
    [ -s "$path" ]
    kill -0 "$(cat started)"
    kill "$(cat started)"
    assert_ends 143
    [ ! -e "$path" ]
    [ ! -e "$(cache_file)" ]
    assert_no_token_file
}

@test "a login after that is picked up" {
    login
    keep_fresh sh -c "$WAITS"
    path="$(cat path)"
    servetel-auth logout -q
    login
    retry_until 5 says "$path" "$(cached_token)"
}

@test "the file is removed when the program ends, however it does" {
    login
    keep_fresh sh -c "$WAITS"
    [ -s "$(cat path)" ]
    kill -9 "$(cat started)"
    assert_ends 137
    [ ! -e "$(cat path)" ]
    assert_no_token_file
}

@test "what a keeper that was killed left behind is removed by the next one" {
    login
    keep_fresh sh -c "$WAITS"
    left="$(cat path)"
    child="$(cat started)"
    kill -9 "$BG_PID"
    wait "$BG_PID" || true
    [ -e "$left" ]
    run --separate-stderr servetel-auth exec --keep-fresh -- sh -c 'cat "$SERVETEL_TOKEN_FILE"'
    assert_status 0
    assert_stdout "$(cached_token)"
    [ ! -e "$left" ]
    assert_no_token_file
    stop_pid "$child"
}

@test "what a killed keeper left is removed by login, refresh and logout too, and nothing else is" {
    local left child also other name pid
    login
    login -p other
    keep_fresh sh -c "$WAITS"
    left="$(cat path)" child="$(cat started)"
    kill -9 "$BG_PID"
    wait "$BG_PID" || true
    rm path started
    keep_fresh sh -c "$WAITS" # removes that one: what lives is in use, what is left is made by hand
    [ ! -e "$left" ] && [ ! -e "${left%.token}" ]
    pid="$BG_PID"
    cd .servetel-auth
    other=.other.json.exec.0123cdef
    for name in 'login -q' 'refresh -q' 'logout -q' 'refresh -q --all' 'logout -q --all'; do
        left=.default.json.exec.0123abcd
        touch "$left" "$left.token" "$left.token.tmp" "$other" "$other.token"
        touch .default.json.exec.12 .default.json.exec.0123abcx .exec.0123abcd x.default.json.exec.0123abcd
        case $name in
        login*) login ;;
        logout*) login -p more ;;&
        *) # shellcheck disable=SC2086 # words
            servetel-auth $name ;;
        esac
        for also in "$left" "$left.token" "$left.token.tmp"; do
            [ ! -e "$also" ] || fail_with "$name left $also"
        done
        case $name in
        *--all) [ ! -e "$other" ] && [ ! -e "$other.token" ] ;;
        *) [ -e "$other" ] && [ -e "$other.token" ] ;;
        esac
        for also in .default.json.exec.12 .default.json.exec.0123abcx .exec.0123abcd x.default.json.exec.0123abcd; do
            [ -e "$also" ] || fail_with "$name removed $also"
        done
        [ -s "$(cat "$HOME/path")" ] || fail_with "$name removed what is in use"
        [ -e "$(cache_file)" ] || login
    done
    kill "$(cat "$HOME/started")"
    retry_until 10 is_gone "$pid"
    stop_pid "$child"
    [ ! -e "$(cat "$HOME/path")" ]
}

@test "what is left beside a cache that is a link is removed there, and in the profiles' directory" {
    local name left
    for name in 'logout -q --all' 'logout -q' 'refresh -q --all'; do
        rm -rf elsewhere .servetel-auth
        mkdir -m 700 elsewhere .servetel-auth
        ln -s ../elsewhere/default.json .servetel-auth/default.json
        login
        left="elsewhere/.default.json.exec.0123abcd .servetel-auth/.p.json.exec.0123abcd"
        # shellcheck disable=SC2086 # words
        touch $left
        # shellcheck disable=SC2086
        servetel-auth $name
        [ ! -e "${left% *}" ] || fail_with "$name left ${left% *}"
        case $name in
        *--all) [ ! -e "${left#* }" ] || fail_with "$name left ${left#* }" ;;
        esac
    done
}

@test "a signal to the renewal in the background is not the program's" {
    local renewer
    server_config '{"ttl":8}'
    login
    server_script refresh '{"hang":true}'
    background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
    retry_until 20 says "$BG_OUT" ready
    retry_until 20 has_requests refresh 1
    renewer="$(ps -o pid=,pgid= --ppid "$BG_PID" | awk '$1 == $2 {print $1}')"
    [ -n "$renewer" ]
    kill -s TERM "$renewer"
    retry_until 20 is_gone "$renewer"
    kill -s USR1 "$BG_PID"
    assert_ends 7
    assert_equal "$(tail -n 1 "$BG_OUT")" 'got SIGUSR1'
    assert_no_token_file
}

@test "two keepers of one profile have a file each, and leave the other's alone" {
    login
    keep_fresh sh -c "$WAITS"
    first="$(cat path)"
    run --separate-stderr servetel-auth exec --keep-fresh -- sh -c 'echo "$SERVETEL_TOKEN_FILE"'
    assert_status 0
    [ "$output" != "$first" ]
    [ ! -e "$output" ]
    assert_equal "$(cat "$first")" "$(cached_token)"
}

@test "a permanent token is kept as it is" {
    server_issue '{"ttl":null}' >token
    servetel-auth login -q --token-stdin <token
    run --separate-stderr servetel-auth exec --keep-fresh -- sh -c 'sleep 1; cat "$SERVETEL_TOKEN_FILE"'
    assert_status 0
    assert_stdout "$(cat token)"
    assert_equal "$(server_log length)" 0
}

# -------------------------------------------------------------------------------------------------------- signals

@test "each signal sent to servetel-auth reaches the program exactly once" {
    login
    for name in TERM HUP USR1 USR2 ALRM; do
        background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)"
        retry_until 20 says "$BG_OUT" ready
        kill -"$name" "$BG_PID"
        assert_ends 7
        assert_equal "$(tail -n 1 "$BG_OUT")" "got SIG$name"
    done
    assert_no_token_file
}

@test "one signal after the other is passed on" {
    local sent=0
    login
    background servetel-auth exec --keep-fresh -- "$TESTS_PYTHON" "$(program catcher)" 4
    retry_until 20 says "$BG_OUT" ready
    for name in USR1 HUP TERM TERM; do
        sent=$((sent + 1))
        kill -"$name" "$BG_PID"
        retry_until 20 says "$BG_OUT" "^$sent\$" # those of one number that wait together are one to the kernel
    done
    assert_ends 7
    assert_equal "$(tail -n 1 "$BG_OUT")" 'got SIGUSR1 SIGHUP SIGTERM SIGTERM'
}

@test "a program that a passed signal ends is reported as ended by it, and the file is gone" {
    login
    for name in TERM HUP; do
        keep_fresh sh -c "$WAITS"
        kill -"$name" "$BG_PID"
        assert_ends $((128 + $(kill -l "$name")))
        [ ! -e "$(cat path)" ]
        is_gone "$(cat started)"
    done
    assert_no_token_file
}

@test "^C at a terminal reaches the program once" {
    login
    for keep in '' --keep-fresh; do
        # shellcheck disable=SC2086
        run --separate-stderr "$TESTS_PYTHON" "$TESTS_DIR/pty_run.py" --timeout 60 expect:ready 'type:\x03' expect:got -- \
            servetel-auth exec $keep -- "$TESTS_PYTHON" "$(program catcher)"
        assert_status 7
        assert_stdout_has 'got SIGINT'
        assert_equal "$(grep -o SIGINT <<<"$output" | wc -l)" 1
    done
    assert_no_token_file
}

@test "a renewal that is under way when the program ends is not cut off: its answer is stored" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hold":true}'
    keep_fresh sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    kill "$(cat started)"
    server_release
    assert_ends 143
    cached_token_works # nothing goes on behind it: as a container's first process it would take that with it
    assert_no_token_file
}

@test "a renewal that cannot be told to end is killed, and the program's status is told" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hang":true}'
    background bash -c 'trap "" TERM; exec "$@"' - servetel-auth exec --keep-fresh -- sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    kill -s KILL "$(cat started)"
    retry_until 20 is_gone "$BG_PID"
    assert_ends 137
    path="$(cat path)"
    [ ! -e "$path" ]
    [ ! -e "${path%.token}" ] # (the renewal's temporary file is for the next writer)
}

@test "a renewal that gets no answer holds up the end for two seconds at most" {
    server_config '{"ttl":4}'
    login
    server_script refresh '{"hang":true}'
    keep_fresh sh -c "$WAITS"
    retry_until 20 has_requests refresh 1
    kill "$(cat started)"
    retry_until 20 is_gone "$BG_PID"
    assert_ends 143
    run ps -o pid= --ppid "$BG_PID"
    assert_stdout_empty
    assert_no_token_file
    servetel-auth status --json 2>/dev/null | jq -e '.profiles[0].in_doubt'
}

@test "a signal during the renewal before the program: 143, stored, and the program does not run" {
    local keep old
    for keep in '' --keep-fresh; do
        login
        make_stale
        old="$(cached_token)"
        server_script refresh '{"hold":true}'
        # shellcheck disable=SC2086 # no option, or one
        background servetel-auth exec $keep -- touch "$HOME/ran"
        retry_until 20 has_requests refresh 1
        kill -s TERM "$BG_PID"
        server_release # the answer is waited for, for two seconds
        status=0
        wait "$BG_PID" || status=$?
        assert_equal "$status" 143
        [ ! -e "$HOME/ran" ]
        [ "$(cached_token)" != "$old" ]
        server_reset
    done
}

@test "--keep-fresh leaves a permanent token that is about to end alone" {
    needs_strace
    login
    cache_edit '.obtained_at -= 200000 | .expires_at = (now | floor) + 30' # permanent, about to end
    run --separate-stderr strace -f -c -e trace=fork,vfork,clone,clone3 -o "$HOME/forks" \
        servetel-auth exec --keep-fresh -- sleep 1
    assert_status 0
    [ "$(awk '$NF ~ /clone|fork/ {n += $4} END {print n + 0}' "$HOME/forks")" -lt 5 ] || fail_with_run "$(cat "$HOME/forks")"
}
