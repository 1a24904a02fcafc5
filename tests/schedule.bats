#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# schedule cron: a line that cron takes and that does keep the token fresh there; how often, and whom it warns.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load schedule_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    PATH="$PATH:/usr/sbin:/sbin"
    test_setup
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
    assert_equal "$(grep -v '^# [^s]' <<<"$output")" "$(printf '%s\n' "$@")" # some crontabs tell where it is from
}

# longest_gap SCHEDULE: seconds between two runs of "minutes hours", at most.
longest_gap() {
    "$TESTS_PYTHON" -c '
import re, sys
def times(field, end):
    if field == "*" or field.isdigit():
        return range(end) if field == "*" else [int(field)]
    first, last, step = map(int, re.fullmatch("([0-9]+)-([0-9]+)/([0-9]+)", field).groups())
    assert last == end - 1
    return range(first, end, step)
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

# ----------------------------------------------------------------------------------------------------------- cron

@test "cron's line renews a stale token in cron's environment, and keeps a fresh one" {
    login
    old="$(cached_token)"
    unset SERVETEL_API_URL
    line="$(cron_line)"
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
    line="$(cron_line)"
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
        if [ "$profile" = from-environment ]; then line="$(cron_line)"; else line="$(cron_line -p "$profile")"; fi
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
    line="$(cron_line)"
    assert_equal "$(wc -l <<<"$line")" 1
    run_as_cron "$line"
    assert_renewed default "$old"
    [ ! -e .servetel-auth ]
}

@test "cron's line: quotes end and begin again after a backslash alone, and a % has one before it" {
    login
    line="$(schedule cron --file '/a/b c\d\%e.json')"
    [[ "$line" == *" --file '/a/b c\\''d\\''\\%e.json' "* ]] || fail_with 'quoted otherwise' "$line"
}

@test "cron's line works with --file, an odd and relative one" {
    mkdir -m 700 "$ODD_DIR"
    ln -s "$ODD_DIR" odd
    export SERVETEL_AUTH_FILE="odd/my 50% 'token'.json"
    login
    make_stale
    old="$(cached_token)"
    line="$(cron_line)"
    run_as_cron "$line"
    assert_renewed default "$old"
    line="$(unset SERVETEL_AUTH_FILE && cron_line --file "odd/my 50% 'token'.json")"
    make_stale
    old="$(cached_token)"
    run_as_cron "$line"
    assert_renewed default "$old"
}

@test "cron's line passes the hook unchanged" {
    login
    make_stale
    line="$(cron_line --on-change 'cat >"$HOME/100% in"; echo "it'\''s \$done" >hooked')"
    old="$(cached_token)"
    run_as_cron "$line"
    assert_renewed default "$old"
    printf %s "$(cached_token)" | cmp - '100% in'
    assert_equal "$(cat hooked)" "it's \$done"
}

@test "for all profiles, the commands of hosts that share them are passed on" {
    local line
    line="$(cron_line --all --adopt 'cat "store/$SERVETEL_PROFILE"' --on-change 'cat >"store/$SERVETEL_PROFILE"')"
    [[ $line == *' refresh --quiet --all '* ]]
    [[ $line == *"--adopt 'cat \"store/\$SERVETEL_PROFILE\"'"* ]]
    [[ $line == *"--on-change 'cat >\"store/\$SERVETEL_PROFILE\"'"* ]]
}

@test "cron's line for --all renews all" {
    for profile in one two; do
        login -p "$profile"
        make_stale "$profile"
    done
    line="$(cron_line --all)"
    run_as_cron "$line"
    assert_done
    assert_stderr_empty
    assert_equal "$(server_stats refreshes)" 2
}

@test "what does not fit in a line is refused: a hook, a file, a directory, the working directory" {
    local kind end
    login
    for kind in cron systemd; do
        for end in $'\n' $'\r'; do
            try schedule $kind --on-change "first${end}second"
            assert_failed 2
            assert_stderr_has 'more than one line'
            try schedule $kind --adopt "first${end}second"
            assert_failed 2
            try schedule $kind -f "$HOME/a${end}b.json"
            assert_failed 2
            SERVETEL_AUTH_DIR="$HOME/a${end}* * * * * touch here" try schedule $kind
            assert_failed 2
            SERVETEL_AUTH_DIR="$HOME/a${end}b" try schedule $kind --all
            assert_failed 2
            mkdir -p "in a${end}b"
            capture sh -c 'cd "$1" && exec servetel-auth schedule "$2" -f x.json' sh "in a${end}b" $kind
            assert_failed 2
            SERVETEL_AUTH_DIR=tokens capture sh -c 'cd "$1" && exec servetel-auth schedule "$2"' sh "in a${end}b" $kind
            assert_failed 2
        done
    done
}

# as_crontab: a crontab(1) for whoever has none yet; as root the true one, for a user that is no person.
as_crontab() {
    mkdir -p "$HOME/bin"
    cat >"$HOME/bin/crontab" <<'EOT'
#!/bin/sh
case $1 in
-l) cat "$HOME/tab" 2>/dev/null || { echo "no crontab for you" >&2; exit 1; } ;;
-) cat >"$HOME/tab.new" && mv "$HOME/tab.new" "$HOME/tab" ;;
esac
EOT
    chmod 755 "$HOME/bin/crontab"
    PATH="$HOME/bin:$PATH"
}

@test "the documented way installs the line once, however often, beside others, and for who has no crontab" {
    local install
    login
    as_crontab
    install="$(documented 'crontab -')"
    install="$(grep -v 'servetel-auth login' <<<"$install")"
    capture sh -c "$install"
    assert_done
    assert_equal "$(cat tab)" "$(schedule cron)"
    for shell in sh bash zsh; do
        command -v "$shell" >/dev/null || continue
        capture "$shell" -c "$install"
        assert_done
        assert_equal "$(cat tab)" "$(schedule cron)"
    done
    # Others', another profile's whose name begins alike, and an older line of this one.
    { echo '# mine'; echo '5 4 * * * true'; schedule cron -p default-2; schedule cron --min-ttl 20m; } >tab
    capture sh -c "$install"
    assert_done
    assert_equal "$(cat tab)" \
        "$(echo '# mine'; echo '5 4 * * * true'; schedule cron -p default-2; schedule cron)"
    # What cannot be scheduled takes nothing away.
    cp tab before
    server_issue '{"ttl":null}' >token
    servetel-auth login -q --token-stdin <token
    capture sh -c "$install"
    [ "$status" != 0 ]
    cmp tab before
}

@test "each schedule has a name of its own: directories, files, all and a profile called all" {
    local kind names
    login
    login -p all
    cp -R .servetel-auth elsewhere
    cp .servetel-auth/default.json x.json
    for kind in cron systemd; do
        names="$(
            schedule $kind | grep '^# '
            schedule $kind --all | grep '^# '
            schedule $kind -p all | grep '^# '
            schedule $kind --file x.json | grep '^# '
            export SERVETEL_AUTH_DIR="$HOME/elsewhere"
            schedule $kind | grep '^# '
            schedule $kind --all | grep '^# '
        )"
        assert_equal "$kind $(sort -u <<<"$names" | wc -l)" "$kind $(wc -l <<<"$names")"
    done
    unset SERVETEL_AUTH_DIR
    schedule cron --all | grep -q '# servetel-auth-all$'
}

@test "stderr says by when a person must log in: no source, a source, --all, a permanent token" {
    local by
    login -p alone
    printf '%s\n' "$PW" >pw
    chmod 600 pw
    quietly login -e "$EMAIL" -p able --password-file pw
    by="$(date -u -d "@$(($(cached .logged_in_at alone) + 14 * 86400))" '+%Y-%m-%d %H:%M UTC')"
    for kind in cron systemd; do
        try schedule $kind -p alone
        assert_done
        assert_one_line
        assert_stderr_has "warning: 'alone': a person must log in again by $by, unless"
        assert_stderr_has --password-command
        try schedule $kind -f "$(cache_file alone)"
        assert_stderr_has "$by"
        try schedule $kind -p able
        assert_done
        assert_stderr_empty
        try schedule $kind --all
        assert_done
        assert_one_line
        assert_stderr_has "warning: 1 of 2 profiles: a person must log in again by $by, unless"
    done
    cache_edit ".logged_in_at = $(date +%s) - 15 * 86400" alone # until the token's own end
    try schedule cron -p alone
    by="$(date -u -d "@$(cached .expires_at alone)" '+%Y-%m-%d %H:%M UTC')"
    assert_stderr_has "'alone': a person must log in again by $by, unless"
    cache_edit ".expires_at = $(date +%s) - 60" alone
    try schedule cron -p alone
    assert_stderr_has 'a person must log in again by now'
    servetel-auth login -q -p reader --token-command 'echo made-up'
    try schedule cron -p reader
    assert_stderr_empty
    try schedule -q cron -p alone
    assert_done
    assert_stderr_empty
}

@test "a --min-ttl below the interval is warned about: a token could end between two runs" {
    login
    try schedule cron --min-ttl 10m
    assert_done
    assert_stderr_has '15 min later: give --min-ttl 15m or more'
    crontab_accepts "$output"
    try schedule cron --min-ttl 15m
    assert_done
    assert_stderr_lacks --min-ttl
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

# ----------------------------------------------------------------------------------------------------------- when

@test "how often, and below what life, comes from the token's life: a run may fail before it ends" {
    for life in 120 600 3600 21600 86400; do
        server_config "{\"ttl\":$life}"
        login
        line="$(cron_line)"
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
    line="$(cron_line)"
    assert_equal "$(longest_gap "$line")" 900
    assert_equal "$(seconds "$(option --min-ttl "$line")")" 1800
}

@test "--min-ttl is the caller's if it is given" {
    login
    assert_equal "$(seconds "$(option --min-ttl "$(cron_line --min-ttl 45m)")")" 2700
}

@test "without a token an hour is taken, and said" {
    try schedule cron
    assert_done
    assert_equal "$(longest_gap "${output#*$'\n'}")" 900
    assert_stderr_has warning
}

@test "the minute differs from profile to profile and is always the same for one" {
    minutes=()
    for profile in a b c d e f g h i j k l; do
        line="$(cron_line -p "$profile")"
        assert_equal "$(cron_line -p "$profile")" "$line"
        minutes+=("${line%% *}")
    done
    [ "$(printf '%s\n' "${minutes[@]}" | sort -u | wc -l)" -ge 4 ] || fail_with "hardly any spread" "${minutes[*]}"
}

@test "the minute differs from host to host" {
    unshare -u true 2>/dev/null || skip 'only root can try another host name'
    minutes=()
    for host in one two three four five six seven eight nine ten eleven twelve; do
        line="$(unshare -u sh -c 'hostname "$0" && servetel-auth schedule cron -p you | tail -n 1' "$host" 2>/dev/null)"
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
