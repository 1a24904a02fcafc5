# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of exec share: load it after helper.bash.
# shellcheck disable=SC2016 # what is in single quotes is the program's

program() { printf '%s\n' "$BATS_FILE_TMPDIR/$1"; }

# Nothing but the cache and its lock is in the directory: the token file is gone.
assert_no_token_file() {
    capture find "$HOME/.servetel-auth" -type f ! -name '*.json' ! -name '*.lock'
    assert_stdout_empty
    capture find "$HOME/.servetel-auth" -name '.*.json*'
    assert_stdout_empty
}

says() { grep -q -- "$2" "$1"; }

token_file_works() { token_works "$(cat "$1")"; }

# keep_fresh PROGRAM...: in the background, its start awaited. The program writes the file `started`.
keep_fresh() {
    rm -f started
    background servetel-auth exec --keep-fresh -- "$@"
    retry_until 20 test -s started
}

# A program that says where its token file is and waits.
# shellcheck disable=SC2034 # for the tests
WAITS='echo "$SERVETEL_TOKEN_FILE" >path; echo $$ >started.new; mv started.new started; exec sleep 600'

# ends STATUS: the background program's.
assert_ends() {
    local ended=0
    retry_until 60 is_gone "$BG_PID" || fail_with "it does not end" "$(cat "$BG_OUT" "$BG_ERR")"
    wait "$BG_PID" || ended=$?
    assert_equal "$ended" "$1" || fail_with "it said" "$(cat "$BG_OUT" "$BG_ERR")"
}

gate_refuses() { ! (: <>"/dev/tcp/127.0.0.1/$GATE_PORT") 2>/dev/null; }

# gate_start: sets GATE_PID and GATE, the API's URL through a door that can be shut.
gate_start() {
    # shellcheck disable=SC2034 # for the helper, as what it sets is for us
    STARTED_DIR="$(mktemp -d "$BATS_TEST_TMPDIR/gate.XXXXXX")"
    start_and_wait_for_port gate.py --to "$API_PORT" || return
    # shellcheck disable=SC2153
    GATE_PID=$STARTED_PID
    GATE_PORT=$STARTED_PORT
    # shellcheck disable=SC2034 # for the tests
    GATE="http://127.0.0.1:$GATE_PORT/v1"
}

gate_shut() {
    kill -USR1 "$GATE_PID"
    retry_until 5 gate_refuses
}

gate_open() { kill -USR2 "$GATE_PID"; }

# Programs that exec runs, in Python with its standard library only: for setup_file.
write_programs() {
    cat >"$BATS_FILE_TMPDIR/catcher" <<'END'
# Says "ready", with each signal how many have come, and when argv[1] (1) have and then none for half a second,
# which.
import os, select, signal, sys
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda *_: None)
print("ready", flush=True)
got, wanted = [], int(sys.argv[1]) if len(sys.argv) > 1 else 1
while select.select([reading], [], [], 0.5 if len(got) >= wanted else 30)[0]:
    for number in os.read(reading, 100):
        got.append(signal.Signals(number).name if number < signal.SIGRTMIN else str(number))
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
