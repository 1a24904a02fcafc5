#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# schedule systemd: units that systemd takes, and that do keep the token fresh there.
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
    test_teardown
}

# ------------------------------------------------------------------------------------------------- as systemd does

# write_units ARGUMENTS...: the printed units, each in units/ under the name that its comment line says.
write_units() {
    rm -rf units
    mkdir units
    schedule systemd "$@" >printed || return
    (cd units && awk '/^# servetel-auth-/ { file = $2; next } { print >file }' ../printed)
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

@test "the documented command installs and enables the units, for a user and for root, also a second time" {
    local install
    command -v systemd-analyze >/dev/null || skip 'there is no systemd-analyze'
    login
    mkdir bin
    printf '#!/bin/sh\necho "$@" >>"$HOME/systemctl.log"\n' >bin/systemctl
    chmod 755 bin/systemctl
    PATH="$HOME/bin:$PATH"
    install="$(documented systemctl)"
    for _ in 1 2; do
        rm -f systemctl.log
        capture sh -c "$install"
        assert_done
        assert_equal "$(cd .config/systemd/user && ls)" $'servetel-auth-default.service\nservetel-auth-default.timer'
        assert_equal "$(cat systemctl.log)" $'--user daemon-reload\n--user enable --now servetel-auth-default.timer'
    done
    SERVICE=.config/systemd/user/servetel-auth-default.service
    TIMER=.config/systemd/user/servetel-auth-default.timer
    verify_units
    run_as_systemd
    assert_done
    # For root's: what stands below it.
    install="$(sed "s,=~/.config/systemd/user.*,=$HOME/system,; s, --user,,g" <<<"$install")"
    grep -q 'it is `/etc/systemd/system`, and systemctl without --user' "$TESTS_DIR/../README.md"
    capture sh -c "$install"
    assert_done
    assert_equal "$(tail -n 1 systemctl.log)" 'enable --now servetel-auth-default.timer'
    capture systemd-analyze verify --man=no system/servetel-auth-default.{service,timer}
    assert_done
    assert_stderr_lacks "$HOME/system"
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
        names+=("$(sed -n '1s/^# //p' "printed.$name")")
    done
    mkdir one two
    for name in one two; do
        login -f "$name/my.json"
        schedule systemd -f "$name/my.json" >"printed.$name"
        names+=("$(sed -n '1s/^# //p' "printed.$name")")
        grep -q '^Description=Keep a Servetel token fresh (my.json-[0-9a-f]*)$' "printed.$name"
    done
    assert_equal "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" 6
    assert_equal "${names[2]}" servetel-auth-a_b.service
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
    line="$(cron_line)"
    [[ "$(cat "$TIMER")" =~ OnCalendar=\*-\*-\*\ ([^:]+):([^:]+):00 ]]
    # What is a range for cron, is none for systemd.
    assert_equal "${BASH_REMATCH[2]} ${BASH_REMATCH[1]}" "$(cut -d ' ' -f 1,2 <<<"$line" | sed 's,-[25][39]/,/,g')"
}
