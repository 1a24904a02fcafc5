#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# schedule: a line that cron takes and units that systemd takes, which do keep the token fresh there.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    PATH="$PATH:/usr/sbin:/sbin"
    test_setup
    cd "$HOME" || return
    ODD_DIR="$HOME/a \"b\" 'c' 100% \$HOME \\d"
}

teardown() {
    if [ -n "${CRONTAB_USER:-}" ]; then crontab -u "$CRONTAB_USER" -r; fi
    test_teardown
}

# ---------------------------------------------------------------------------------------------------- as cron does

# run_as_cron LINE: as cron runs it: only the first % that no backslash precedes is special (it ends the command),
# \% is %, and there is hardly any environment.
run_as_cron() {
    local command=$1
    [[ "$command" =~ ^[0-9*,/-]+\ [0-9*,/-]+\ \*\ \*\ \*\ (.*)$ ]] || fail_with "not a crontab line" "$1" || return
    command=${BASH_REMATCH[1]}
    [[ ! "$command" =~ (^|[^\\])% ]] || fail_with "cron would cut this off" "$command" || return
    command=${command//\\%/%}
    capture env -i HOME="$HOME" LOGNAME=root SHELL=/bin/sh PATH=/usr/bin:/bin sh -c "$command"
}

# schedule ARGUMENTS...: prints what the program prints; the test fails if it fails.
schedule() {
    servetel-auth schedule "$@" 2>"$BATS_TEST_TMPDIR/said" || fail_with "failed: schedule $*" "$(cat "$BATS_TEST_TMPDIR/said")"
}

# crontab_accepts LINE: installed for a user without one, listed, and removed by teardown.
crontab_accepts() {
    [ "$(id -u)" = 0 ] || skip 'only root can give another user a crontab'
    # The machine has one such user: another run of these tests waits. The lock ends with the test.
    exec {CRONTAB_LOCK}<"$(type -P crontab)"
    flock -w 60 "$CRONTAB_LOCK"
    ! crontab -u nobody -l >/dev/null 2>&1 || skip 'the user nobody has a crontab already'
    printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/crontab"
    capture crontab -u nobody "$BATS_TEST_TMPDIR/crontab"
    CRONTAB_USER=nobody
    assert_done
    assert_stderr_empty
    capture crontab -u nobody -l
    assert_done
    assert_equal "$(grep -v '^#' <<<"$output")" "$(printf '%s\n' "$@")"
}

# longest_gap SCHEDULE: seconds between two runs of "minutes hours", at most.
longest_gap() {
    "$TESTS_PYTHON" -c '
import sys
def times(field, end):
    return range(end) if field == "*" else [int(part) for part in field.split(",")]
minutes, hours = sys.argv[1].split()[:2]
runs = sorted(hour * 60 + minute for hour in times(hours, 24) for minute in times(minutes, 60))
assert 0 <= runs[0] and runs[-1] < 1440
print(60 * max(b - a for a, b in zip(runs, runs[1:] + [runs[0] + 1440])))' "$1"
}

# seconds DURATION
seconds() {
    local number=${1%[smhd]}
    case $1 in
    *m) echo $((number * 60)) ;;
    *h) echo $((number * 3600)) ;;
    *d) echo $((number * 86400)) ;;
    *) echo "$number" ;;
    esac
}

# option NAME LINE: what the line gives that option, a plain word.
option() { sed -n "s/.* $1 \([^ ]*\).*/\1/p" <<<"$2"; }

# ------------------------------------------------------------------------------------------------- as systemd does

# write_units ARGUMENTS...: the printed units, each in units/ under the name that its comment line says.
write_units() {
    rm -rf units
    mkdir units
    schedule systemd "$@" >printed || return
    awk '/^# ~\/\.config\/systemd\/user\// { file = "units/" substr($0, 26); next } { print >file }' printed
    SERVICE="$(echo units/*.service)"
    TIMER="$(echo units/*.timer)"
    if [ ! -s "$SERVICE" ] || [ ! -s "$TIMER" ]; then fail_with "not two units" "$(cat printed)"; fi
}

# verify_units: as the user's manager reads them; for man pages it would have to be installed.
verify_units() {
    command -v systemd-analyze >/dev/null || skip 'there is no systemd-analyze'
    mkdir -p -m 700 runtime
    capture env XDG_RUNTIME_DIR="$HOME/runtime" systemd-analyze verify --user --man=no "$SERVICE" "$TIMER"
    assert_done
    assert_stderr_lacks "$HOME/units"
    assert_stdout_empty
}

# unit_words KEY FILE: the words that systemd makes of KEY's value, a line each; systemd.syntax(7), systemd.exec(5) and
# systemd.service(5): quotes, C escapes, %% is %, and in a command line only, $$ is $.
unit_words() {
    "$TESTS_PYTHON" -c '
import re, sys
key, file = sys.argv[1:]
value = next(line[len(key) + 1:] for line in open(file).read().split("\n") if line.startswith(key + "="))
token = re.compile(r"\s*((?:\"(?:[^\"\\]|\\.)*\"|\x27(?:[^\x27\\]|\\.)*\x27|[^\s\"\x27\\]|\\.)+)")
piece = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|\x27((?:[^\x27\\]|\\.)*)\x27|((?:[^\"\x27\\]|\\.)+)")
def unescape(text):
    unknown = re.sub(r"\\[\\\"\x27]", "", text)
    assert "\\" not in unknown, "an escape that this test does not know: " + text
    return re.sub(r"\\(.)", r"\1", text)
at, words = 0, []
while value[at:].strip():
    found = token.match(value, at)
    assert found, "cannot be read: " + value[at:]
    word = "".join(unescape(next(part for part in one if part) if any(one) else "") for one in piece.findall(found[1]))
    assert not re.search(r"%[^%]", word.replace("%%", "")), "a specifier: " + word
    word = word.replace("%%", "%")
    if key == "ExecStart":
        assert not re.search(r"\$", word.replace("$$", "")), "a variable: " + word
        word = word.replace("$$", "$")
    words.append(word)
    at = found.end()
print("\n".join(words))' "$1" "$2"
}

# run_as_systemd: the service, with the environment that its unit gives it.
run_as_systemd() {
    local words environment=()
    mapfile -t words < <(unit_words ExecStart "$SERVICE")
    if grep -q '^Environment=' "$SERVICE"; then mapfile -t environment < <(unit_words Environment "$SERVICE"); fi
    capture env -i HOME="$HOME" PATH=/usr/bin:/bin "${environment[@]}" "${words[@]}"
}

# assert_renewed PROFILE OLD: what was run was silent, and there is a new token that works.
assert_renewed() {
    assert_done || return
    assert_stdout_empty || return
    assert_stderr_empty || return
    [ "$(cached_token "$1")" != "$2" ] || fail_with "the token is the old one" || return
    token_works "$(cached_token "$1")"
}

# ----------------------------------------------------------------------------------------------------------- cron

@test "cron's line renews a stale token in cron's environment, and keeps a fresh one" {
    login
    old="$(cached_token)"
    unset SERVETEL_API_URL
    line="$(schedule cron)"
    assert_equal "$(wc -l <<<"$line")" 1
    run_as_cron "$line"
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    assert_equal "$(cached_token)" "$old"
    make_stale
    run_as_cron "$line"
    assert_renewed default "$old"
}

@test "cron's line is silent about a temporary failure while there is time, and not for ever" {
    login
    line="$(schedule cron)"
    now="$(date +%s)"
    server_script refresh '{"status":503,"repeat":-1}'
    cache_edit ".expires_at = $((now + 1700)) | .obtained_at = $((now - 1900))"
    run_as_cron "$line"
    assert_done
    assert_stderr_empty
    assert_requests 1 refresh
    make_stale
    run_as_cron "$line"
    assert_failed 5
}

@test "crontab accepts the line and lists it" {
    login -p you@example.test
    crontab_accepts "$(schedule cron -p you@example.test)"
}

@test "crontab accepts the line for an odd directory, an odd hook and all profiles" {
    login
    export SERVETEL_AUTH_DIR="$ODD_DIR"
    hook='cat >"$HOME/100% in"; echo '\''%'\'' \% `x`'
    crontab_accepts "$(schedule cron --on-change "$hook")" "$(schedule cron --all)" \
        "$(schedule cron --file "$ODD_DIR/x %.json")"
}

@test "cron's line names the program, the profile and the directory in full" {
    mkdir work
    cd work
    export SERVETEL_AUTH_DIR=../tokens SERVETEL_PROFILE=from-environment
    login
    login -p you@example.test
    unset SERVETEL_API_URL
    for profile in from-environment you@example.test; do
        if [ "$profile" = from-environment ]; then line="$(schedule cron)"; else line="$(schedule cron -p "$profile")"; fi
        [[ "$line" =~ \ /[^\ ]*/servetel-auth\ refresh\  ]] || fail_with "no absolute path" "$line"
        make_stale "$profile"
        old="$(cached_token "$profile")"
        run_as_cron "$line" # its directory is another one: cron's is the home
        [[ "$line" == *"$HOME"* ]] || fail_with "no absolute directory" "$line"
        assert_renewed "$profile" "$old"
    done
}

@test "cron's line works with a blank, a %, quotes, a \$ and a backslash in the directory" {
    export SERVETEL_AUTH_DIR="$ODD_DIR"
    login
    make_stale
    old="$(cached_token)"
    line="$(schedule cron)"
    assert_equal "$(wc -l <<<"$line")" 1
    run_as_cron "$line"
    assert_renewed default "$old"
    [ ! -e .servetel-auth ]
}

@test "cron's line works with --file, an odd and relative one" {
    mkdir -m 700 "$ODD_DIR"
    ln -s "$ODD_DIR" odd
    export SERVETEL_AUTH_FILE="odd/my 50% 'token'.json"
    login
    make_stale
    old="$(cached_token)"
    line="$(schedule cron)"
    run_as_cron "$line"
    assert_renewed default "$old"
    line="$(unset SERVETEL_AUTH_FILE && schedule cron --file "odd/my 50% 'token'.json")"
    make_stale
    old="$(cached_token)"
    run_as_cron "$line"
    assert_renewed default "$old"
}

@test "cron's line passes the hook unchanged" {
    login
    make_stale
    line="$(schedule cron --on-change 'cat >"$HOME/100% in"; echo "it'\''s \$done" >hooked')"
    old="$(cached_token)"
    run_as_cron "$line"
    assert_renewed default "$old"
    printf %s "$(cached_token)" | cmp - '100% in'
    assert_equal "$(cat hooked)" "it's \$done"
}

@test "cron's line for --all renews all" {
    for profile in one two; do
        login -p "$profile"
        make_stale "$profile"
    done
    line="$(schedule cron --all)"
    run_as_cron "$line"
    assert_done
    assert_stderr_empty
    assert_equal "$(server_stats refreshes)" 2
}

@test "what does not fit in a line is refused" {
    login
    for kind in cron systemd; do
        try schedule $kind --on-change $'first\nsecond'
        assert_failed 2
    done
}

# -------------------------------------------------------------------------------------------------------- systemd

@test "systemd-analyze verifies the units, and would not take wrong ones" {
    login
    write_units
    verify_units
    sed 's,^ExecStart=/,ExecStart=/no/such/program,' "$SERVICE" >wrong
    mv wrong "$SERVICE"
    capture env XDG_RUNTIME_DIR="$HOME/runtime" systemd-analyze verify --user --man=no "$SERVICE"
    [ "$status" -ne 0 ]
}

@test "the service renews a stale token in systemd's environment, and keeps a fresh one" {
    login
    old="$(cached_token)"
    unset SERVETEL_API_URL
    write_units
    run_as_systemd
    assert_done
    assert_stderr_empty
    assert_equal "$(cached_token)" "$old"
    make_stale
    run_as_systemd
    assert_renewed default "$old"
}

@test "each profile's units are verified, whatever characters its name has" {
    for profile in a Z9 you@example.test a.b_c-d 'x+y' a@b@c; do
        login -p "$profile"
        write_units -p "$profile"
        verify_units
        make_stale "$profile"
        old="$(cached_token "$profile")"
        run_as_systemd
        assert_renewed "$profile" "$old"
    done
}

@test "no two profiles or files share the names of their units" {
    local names=() name
    for name in a@b a+b a_b 'a_b-0b7a7f4c'; do
        schedule systemd -p "$name" >"printed.$name"
        names+=("$(sed -n '1s/.*\///p' "printed.$name")")
    done
    mkdir one two
    for name in one two; do
        login -f "$name/my.json"
        schedule systemd -f "$name/my.json" >"printed.$name"
        names+=("$(sed -n '1s/.*\///p' "printed.$name")")
        grep -q '^Description=Keep a Servetel token fresh (my.json-[0-9a-f]*)$' "printed.$name"
    done
    assert_equal "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" 6
    assert_equal "${names[2]}" servetel-auth-a_b.service
}

@test "a --min-ttl below the interval is warned about: a token could end between two runs" {
    login
    try schedule cron --min-ttl 10m
    assert_done
    assert_stderr_has '15 min later: give --min-ttl 15m or more'
    crontab_accepts "$output"
    try schedule cron --min-ttl 15m
    assert_done
    assert_stderr_empty
}

@test "a relative file in a directory that is gone is no other profile" {
    mkdir gone
    capture bash -c 'cd gone && rmdir ../gone && exec servetel-auth schedule cron -f my.json'
    assert_status 7
    assert_stdout_empty
    capture bash -c 'mkdir gone && cd gone && rmdir ../gone && SERVETEL_AUTH_DIR=my exec servetel-auth schedule cron'
    assert_status 7
    assert_stdout_empty
}

@test "a reader's token without an end is scheduled: the next one may have one" {
    servetel-auth login -q --token-command 'echo made-up'
    try schedule cron
    assert_done
}

@test "the units work with a blank, a %, quotes, a \$ and a backslash in the directory" {
    export SERVETEL_AUTH_DIR="$ODD_DIR"
    login
    make_stale
    old="$(cached_token)"
    write_units
    verify_units
    assert_equal "$(unit_words Environment "$SERVICE")" "SERVETEL_AUTH_DIR=$ODD_DIR"
    run_as_systemd
    assert_renewed default "$old"
}

@test "the units work with --file and a hook, odd ones" {
    mkdir -m 700 "$ODD_DIR"
    export SERVETEL_AUTH_FILE="$ODD_DIR/my token.json"
    login
    make_stale
    old="$(cached_token)"
    write_units --on-change 'cat >"$HOME/100% in"; echo "it'\''s \$done" >hooked'
    verify_units
    run_as_systemd
    assert_renewed default "$old"
    printf %s "$(cached_token)" | cmp - '100% in'
    assert_equal "$(cat hooked)" "it's \$done"
}

@test "the units for --all are verified and renew all" {
    for profile in one two; do
        login -p "$profile"
        make_stale "$profile"
    done
    write_units --all
    verify_units
    run_as_systemd
    assert_done
    assert_equal "$(server_stats refreshes)" 2
}

@test "the timer runs as often as cron's line" {
    login
    write_units
    line="$(schedule cron)"
    [[ "$(cat "$TIMER")" =~ OnCalendar=\*-\*-\*\ ([^:]+):([^:]+):00 ]]
    assert_equal "${BASH_REMATCH[2]} ${BASH_REMATCH[1]}" "$(cut -d ' ' -f 1,2 <<<"$line")"
}

# ----------------------------------------------------------------------------------------------------------- when

@test "how often, and below what life, comes from the token's life: a run may fail before it ends" {
    for life in 120 600 3600 21600 86400; do
        server_config "{\"ttl\":$life}"
        login
        line="$(schedule cron)"
        gap="$(longest_gap "$line")"
        min_ttl="$(seconds "$(option --min-ttl "$line")")"
        # A token that one run keeps still lasts at the next one; one that was just renewed is kept.
        [ "$gap" -le "$min_ttl" ] || fail_with "life $life: $gap s between runs, renewed below $min_ttl" "$line"
        [ "$min_ttl" -lt "$life" ] || fail_with "life $life: renewed below $min_ttl" "$line"
        # Not more often than is of use: some four times in a life, and cron knows no less than a minute.
        [ "$gap" -ge $((life / 8)) ] || fail_with "life $life: every $gap s" "$line"
        # Not silent for so long that nobody hears of trouble before the end.
        [ "$(seconds "$(option --complain-below "$line")")" -gt 0 ]
    done
}

@test "an hour's token is looked at every quarter of an hour" {
    login
    line="$(schedule cron)"
    assert_equal "$(longest_gap "$line")" 900
    assert_equal "$(seconds "$(option --min-ttl "$line")")" 1800
}

@test "--min-ttl is the caller's if it is given" {
    login
    assert_equal "$(seconds "$(option --min-ttl "$(schedule cron --min-ttl 45m)")")" 2700
}

@test "without a token an hour is taken, and said" {
    try schedule cron
    assert_done
    assert_equal "$(longest_gap "$output")" 900
    assert_stderr_has warning
}

@test "the minute differs from profile to profile and is always the same for one" {
    minutes=()
    for profile in a b c d e f g h i j k l; do
        line="$(schedule cron -p "$profile")"
        assert_equal "$(schedule cron -p "$profile")" "$line"
        minutes+=("${line%% *}")
    done
    [ "$(printf '%s\n' "${minutes[@]}" | sort -u | wc -l)" -ge 4 ] || fail_with "hardly any spread" "${minutes[*]}"
}

@test "the minute differs from host to host" {
    unshare -u true 2>/dev/null || skip 'only root can try another host name'
    minutes=()
    for host in one two three four five six seven eight nine ten eleven twelve; do
        line="$(unshare -u sh -c 'hostname "$0" && exec servetel-auth schedule cron -p you' "$host" 2>/dev/null)"
        minutes+=("${line%% *}")
    done
    [ "$(printf '%s\n' "${minutes[@]}" | sort -u | wc -l)" -ge 4 ] || fail_with "hardly any spread" "${minutes[*]}"
}

@test "a permanent token has nothing to renew" {
    server_issue '{"ttl":null}' >token
    servetel-auth login -q --token-stdin <token
    for kind in cron systemd; do
        try schedule $kind
        assert_failed 2
        assert_stderr_has 'permanent'
        assert_stderr_has 'nothing to renew'
        assert_no_secret
    done
}

@test "schedule sends nothing and changes nothing" {
    login
    snapshot
    sent="$(server_log length)"
    schedule cron >line
    schedule systemd --all >units
    assert_requests "$sent"
    assert_unchanged
}

@test "schedule wants cron or systemd, and says so" {
    for arguments in '' launchd 'cron systemd'; do
        # shellcheck disable=SC2086 # none, one or two
        try schedule $arguments
        assert_failed 2
        assert_stderr_has 'schedule'
    done
}
