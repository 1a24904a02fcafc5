#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Half a year of cron and of scripts that ask for the token, in a minute: tokens live two seconds in place of an
# hour, and can be renewed for six seconds in place of fourteen days, so 78 seconds are the thirteen times fourteen
# days of half a year. Meanwhile the service is away, slow, answers 500 or 429, the disk is full, and the password
# is changed by somebody who does not tell cron.
#
#     tests/halfyear.sh [--seconds N] [--keep DIR]
#
# It prints figures, then what was wrong: a call that got no token when one could be had, or one that the service
# refused; a refused password that was sent again; a fault that is not over when its cause is. Exit status 0 if
# nothing was. N is 78 unless told. DIR keeps the events, the reader's and cron's.
#
# The full disk needs a small file system to mount, so root; without it that fault is left out, and this is said.
# shellcheck disable=SC2317 # what happens is called by name

set -uo pipefail

TOTAL=78
LIFE=2
WINDOW=6
KEPT=
while [ $# -ge 2 ]; do
    case $1 in
    --seconds) TOTAL=$2 ;;
    --keep) KEPT=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || {
    sed -n 's/^#     /usage: /p' "$0" >&2
    exit 2
}

bats_require_minimum_version() { :; } # the helper's functions, without bats
BATS_TEST_TMPDIR="$(mktemp -d)" || exit 1
BATS_FILE_TMPDIR="$BATS_TEST_TMPDIR"
# shellcheck source=tests/helper.bash
. "$(dirname "$0")/helper.bash"
# shellcheck source=tests/refresh_helper.bash
. "$(dirname "$0")/refresh_helper.bash"

MOUNTED=
MEANWHILE=() # cron and the reader
STOP="$BATS_TEST_TMPDIR/stop"
finish() {
    local status=$?
    stop_meanwhile
    test_teardown
    [ -z "$MOUNTED" ] || umount "$MOUNTED" || status=1
    [ -z "$KEPT" ] || { mkdir -p "$KEPT" && cp "$EVENTS" "$READER" "$CRON" "$LOG" "$KEPT/"; } || status=1
    rm -rf "$BATS_TEST_TMPDIR"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

EVENTS="$BATS_TEST_TMPDIR/events" # a line for each fault: from, until, how long it may echo, name
READER="$BATS_TEST_TMPDIR/reader" # a line for each call: from, until, what came of it, why
CRON="$BATS_TEST_TMPDIR/cron"     # a line for each run: when, exit status, first line of stderr
LOG="$BATS_TEST_TMPDIR/log"       # the service's
CACHE_DIR="$BATS_TEST_TMPDIR/home/.servetel-auth"
touch "$EVENTS" "$READER" "$CRON" "$LOG"

die() {
    printf 'halfyear: %s\n' "$1" >&2
    exit 1
}

now() { printf '%s\n' "$EPOCHREALTIME"; }

# ------------------------------------------------------------------------------------------------ who runs meanwhile

# They end by themselves, not in the middle of a run.
stop_meanwhile() {
    touch "$STOP"
    [ ${#MEANWHILE[@]} = 0 ] || wait "${MEANWHILE[@]}"
    MEANWHILE=()
}

# As cron starts it, only much more often.
cron() {
    local started status
    while [ ! -e "$STOP" ]; do
        started="$(now)"
        env -i HOME="$HOME" SHELL=/bin/sh PATH="$PATH" servetel-auth refresh --quiet --min-ttl 1s --timeout 5s \
            >/dev/null 2>"$BATS_TEST_TMPDIR/cron-error"
        status=$?
        printf '%s\t%s\t%s\n' "$started" "$status" "$(head -n 1 "$BATS_TEST_TMPDIR/cron-error")" >>"$CRON"
        sleep 0.3
    done
}

# Asks `show` for the token again and again and calls the service with it, past the gate: that the token is good is
# not the network's matter. One that is refused may have been replaced between the two: what `show` says then, or
# within a second, must be good.
reader() {
    "$TESTS_PYTHON" -c '
import http.client, os, subprocess, sys, time
port, results, stop = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1), sys.argv[3]
service = http.client.HTTPConnection("127.0.0.1", port)
def show():
    done = subprocess.run(["servetel-auth", "show", "--timeout", "5s"], capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode().split("\n")[0]
def refusal(token):
    service.request("GET", "/v1/me", headers={"Authorization": token, "X-Test": "1"})
    answer = service.getresponse()
    body = answer.read().decode()
    return "" if answer.status == 200 else body
while not os.path.exists(stop):
    started, again = time.time(), 0
    code, token, said = show()
    outcome, why = "ok", ""
    if code != 0:
        outcome, why = "exit %d" % code, said
    else:
        why = refusal(token)
        while why and time.time() < started + 6 and again < 10:
            time.sleep(0.1)
            again += 1
            code, newer, said = show()
            if code != 0:
                outcome, why = "exit %d" % code, said
                break
            if newer != token:  # once: the new one is good, or else
                why = refusal(newer)
                break
        if outcome == "ok" and why:
            outcome = "refused"
        elif outcome == "ok" and again:
            outcome = "ok at second look"
    results.write("%.3f\t%.3f\t%s\t%s\n" % (started, time.time(), outcome, why))
    time.sleep(0.01)' "$API_PORT" "$READER" "$STOP"
}

# --------------------------------------------------------------------------------------------------------- faults

# fault NAME ECHO COMMAND...: how long calls may go without a token, and how much longer they may until all that was
# under way or remembered is through.
fault() {
    local name=$1 echo=$2 from
    shift 2
    from="$(now)"
    "$@" || die "cannot make this happen: $name"
    printf '%s\t%s\t%s\t%s\n' "$from" "$(now)" "$echo" "$name" >>"$EVENTS"
}

# condition NAME COMMAND...: under which a token can be had all the same.
condition() {
    local name=$1
    shift
    "$@" || die "cannot make this happen: $name"
    printf '%s\t%s\t%s\t%s\n' 0 0 0 "$name" >>"$EVENTS"
}

gate_refuses() { ! (: <>"/dev/tcp/127.0.0.1/$GATE_PORT") 2>/dev/null; }

# An unattended login that fails makes a pause of a minute, which is half a week here. In it nothing is sent, so nobody
# else writes the cache.
not_so_long() {
    ! jq -e .retry_at "$(cache_file)" >/dev/null 2>&1 || end_pause
}

be_away() {
    kill -USR1 "$GATE_PID" && retry_until 5 gate_refuses && sleep 3 && not_so_long && kill -USR2 "$GATE_PID"
}

# answered STATUS: how often it was.
answered() { server_control log | jq --argjson status "$1" '[.[] | select(.status == $status)] | length'; }

has_answered() { [ "$(answered "$1")" -ge "$2" ]; }

# answer_500 ENDPOINT N...: so many times to each, and waits until that is over.
answer_500() {
    local before times=0
    before="$(answered 500)"
    while [ $# -ge 2 ]; do
        server_script "$1" '{"status":500,"json":{"message":"Server Error"},"repeat":'"$2"'}' || return
        times=$((times + $2))
        shift 2
    done
    retry_until 40 has_answered 500 $((before + times))
}

# The login that follows a refused refresh, too: it is sent once, and then not before its pause is over.
answer_all_500() {
    answer_500 refresh 1 login 1 && sleep 3 && not_so_long
}

# Who is told to wait waits, and so does everybody else on this host.
answer_429() {
    local before
    before="$(answered 429)"
    server_script refresh '{"status":429,"headers":{"Retry-After":"2"}}' &&
        retry_until 20 has_answered 429 $((before + 1)) && sleep 2
}

be_slow() {
    server_config '{"latency":1}' && sleep 5 && server_config '{"latency":0}'
}

fill_disk() {
    cat /dev/zero >"$CACHE_DIR/filler" 2>/dev/null # until there is no more room
    sleep 4
    rm "$CACHE_DIR/filler"
}

is_noted() { [ "$(jq -r .unattended_login "$(cache_file)" 2>/dev/null)" = refused ]; }

PASSWORDS=1
change_password() {
    PASSWORDS=$((PASSWORDS + 1))
    server_config "{\"users\":{\"$EMAIL\":\"password $PASSWORDS\"}}" && retry_until 30 is_noted || return
    sleep 3 # cron and the reader go on, and may not send it again
    (umask 077 && printf 'password %d\n' "$PASSWORDS" >"$HOME/pw")
    servetel-auth login --quiet --timeout 10s --password-file "$HOME/pw" # a person's, as the message says
}

# ------------------------------------------------------------------------------------------------------------ run

test_setup || exit 1
STARTED_DIR="$(mktemp -d "$BATS_TEST_TMPDIR/server.XXXXXX")"
server_start --config "{\"ttl\":$LIFE,\"refresh_window\":$WINDOW,\"lockout\":3}" || exit 1
# shellcheck disable=SC2034 # for the helper
STARTED_DIR="$(mktemp -d "$BATS_TEST_TMPDIR/gate.XXXXXX")"
start_and_wait_for_port gate.py --to "$API_PORT" || exit 1
GATE_PID=$STARTED_PID
GATE_PORT=$STARTED_PORT
SERVETEL_API_URL="http://127.0.0.1:$GATE_PORT/v1"

mkdir -m 700 "$CACHE_DIR"
if [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] &&
    mount -t tmpfs -o size=256k,mode=700 servetel-auth-test "$CACHE_DIR" 2>/dev/null; then
    MOUNTED=$CACHE_DIR
fi
(umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
servetel-auth login --quiet -e "$EMAIL" --password-file "$HOME/pw" || die 'cannot log in'
unset SERVETEL_API_URL # as in cron

calm() { sleep 4; }

happen() {
    case $1 in
    0) fault 'service away' $((LIFE + 1)) be_away ;; # an answer may be lost: the token it replaced is no good
    1) condition 'refresh answered 500' answer_500 refresh 3 ;;
    2) fault 'all answered 500' 2 answer_all_500 ;;
    3) fault 'answered 429' 1 answer_429 ;;
    4) condition 'service slow' be_slow ;;
    5) [ -z "$MOUNTED" ] || fault 'disk full' 1 fill_disk ;;
    6) fault 'password changed' 1 change_password ;;
    esac
    calm
}

BEGAN="$(now)"
END=$((SECONDS + TOTAL + 1)) # which are cut to whole ones
cron &
MEANWHILE+=($!)
reader &
MEANWHILE+=($!)

# Each has its turn once, then again until the time is up, with calm between them.
calm
for ((turn = 0; turn < 7 || SECONDS < END; turn++)); do
    happen $((turn % 7))
done
LASTED="$(jq -n "$(now) - $BEGAN | floor")"
stop_meanwhile
server_control log >"$LOG"

# -------------------------------------------------------------------------------------------------------- figures

"$TESTS_PYTHON" - "$EVENTS" "$READER" "$CRON" "$LOG" "$LASTED" "$LIFE" "$WINDOW" "$(is_noted && echo noted)" <<'END'
import collections, json, sys

def rows(path):
    return [line.rstrip("\n").split("\t") for line in open(path)]

events, reader, cron = (rows(path) for path in sys.argv[1:4])
log = json.load(open(sys.argv[4]))
lasted, life, window = (int(text) for text in sys.argv[5:8])
faults = [(float(a), float(b) + float(echo), name) for a, b, echo, name in events if float(a)]
calls = [(float(a), float(b), outcome, why) for a, b, outcome, why in reader]

def cause(began, ended):
    names = [name for a, b, name in faults if began <= b and ended >= a]
    return names[0] if names else None

def count(endpoint, *statuses):
    return sum(entry["endpoint"] == endpoint and entry["status"] in statuses for entry in log)

outcomes = collections.Counter(call[2] for call in calls)
without = [(cause(call[0], call[1]), call) for call in calls if not call[2].startswith("ok")]
refused = collections.Counter(entry["body"] for entry in log if entry["endpoint"] == "login" and entry["status"] == 401)
happened = collections.Counter(event[3] for event in events)

# Stretches of time in which no call got a good token.
stretches, began = [], None
for call in calls:
    if call[2].startswith("ok"):
        if began is not None:
            stretches.append((call[1] - began, cause(began, call[0]) or "no reason"))
        began = None
    elif began is None:
        began = call[0]
if began is not None:
    stretches.append((calls[-1][1] - began, "to the end"))

print("half a year in %d s: %d lives of a token, %d days of renewal windows" % (lasted, lasted / life, 14 * lasted / window))
print("renewals %d, logins %d, refused refreshes %d, refused logins %d" % (
    count("refresh", 200), count("login", 200), count("refresh", 401), count("login", 401)))
print("happened: " + ", ".join("%s %d" % item for item in happened.items()))
print("cron: %d runs, exit status %s" % (len(cron), ", ".join(
    "%s: %d" % item for item in sorted(collections.Counter(run[1] for run in cron).items()))))
print("reader: %d calls, slowest %.1f s, %s" % (len(calls), max(call[1] - call[0] for call in calls), ", ".join(
    "%s: %d" % item for item in sorted(outcomes.items()))))
for seconds, name in stretches:
    print("without a valid token for %.1f s: %s" % (seconds, name))

wrong = []
for name, call in without:
    if name is None or call[2] == "refused" and name not in ("service away",):
        wrong.append("%s at %.3f (%s): %s" % (call[2], call[0], name or "no fault", call[3]))
for body, times in refused.items():
    if times > 1:
        wrong.append("a refused password was sent %d times" % times)
if any("locked" in call[3] for call in calls):
    wrong.append("the account was locked")
if len(refused) != happened["password changed"]:
    wrong.append("%d passwords refused, %d changed" % (len(refused), happened["password changed"]))
if sys.argv[8]:
    wrong.append("the profile still says that its password is refused")
if outcomes["ok"] < lasted or count("refresh", 200) < lasted / life / 4:
    wrong.append("hardly anything happened")
unexpected = [run for run in cron if run[1] not in ("0", "4", "5", "7")]
if unexpected:
    wrong.append("cron's runs ended with %s" % unexpected[0])
for line in wrong[:20]:
    print("WRONG: " + line)
sys.exit(bool(wrong))
END
status=$?
[ -n "$MOUNTED" ] || printf 'left out: the full disk, for want of a small file system (root can mount one)\n'
exit "$status"
