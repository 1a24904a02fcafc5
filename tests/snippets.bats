#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the README and the man page's EXAMPLES tell people to paste works as it is pasted, against the service; and
# what they warn of is so.
# shellcheck disable=SC2016 # snippets and made-up programs are for other shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    server_config "{\"users\":{\"$EMAIL\":\"$PW\",\"you@example.com\":\"$PW\",\"sales@example.com\":\"$PW\"}}"
    make_world
}

teardown() { test_teardown; }

# What is not run: a piece of its text, and why.
EXCLUDED=(
    'sudo make install' 'installs on this machine: tests/install.bats does so elsewhere'
    'make deb' 'makes a package and installs it: tests/install.bats'
    'vault ' 'wants Vault'
    'consul ' 'wants Consul'
    'kubectl ' 'wants Kubernetes'
    'servetel-etcd ' 'wants etcd: tests/etcd_hosts.bats'
    '[Service]' 'a piece of a unit, not of a script'
    'systemd-run ' 'wants root and a running systemd'
    'time() < ' "alerts in Prometheus's language"
    'make check ' 'the tests themselves'
    ' ... # and is in ps' 'what not to do: below'
)

# why_excluded FILE: prints why, or fails. The patterns that were of use are noted.
why_excluded() {
    local i
    for ((i = 0; i < ${#EXCLUDED[@]}; i += 2)); do
        if grep -qF -e "${EXCLUDED[i]}" "$1"; then
            printf '%s\n' "${EXCLUDED[i]}" >>used
            printf '%s\n' "${EXCLUDED[i + 1]}"
            return 0
        fi
    done
    return 1
}

# program NAME LINE...: a program of that name, which is none of ours.
program() {
    printf '%s\n' '#!/bin/sh' "${@:2}" >"$1"
    chmod 755 "$1"
}

# The programs and files that the snippets speak of. Each run of servetel-auth leaves its status in `statuses`: a
# snippet whose first half fails can still end with 0.
make_world() {
    mkdir bin
    program bin/servetel-auth "'$(type -P servetel-auth)' \"\$@\"" 'status=$?' \
        'echo "$status $1" >>"$HOME/statuses"' 'exit "$status"'
    program bin/pass "echo '$PW'"
    program bin/ssh 'cat "$HOME/elsewhere"'
    program bin/crontab 'case $1 in' '-l) cat "$HOME/crontab" ;;' \
        '-) cat >"$HOME/crontab.new" && mv "$HOME/crontab.new" "$HOME/crontab" ;;' 'esac'
    program bin/systemctl 'echo "$*" >>"$HOME/systemctl"'
    program bin/loginctl :
    program report.py 'test -n "$SERVETEL_TOKEN"'
    program report.sh 'servetel-auth show >/dev/null'
    program dialer 'test -n "$SERVETEL_TOKEN" && test -s "$SERVETEL_TOKEN_FILE"'
    cp dialer worker
    cp "$TESTS_DIR/../man/examples/call.sh" .
    PATH="$PWD/bin:$PATH"
    umask 077
    printf '%s\n' "$PW" >.servetel-password
    cp .servetel-password secret
    server_issue >elsewhere
    server_issue '{"ttl":null}' >token.txt
}

# run_snippet FILE: in a shell, on a terminal if it asks for passwords. The addresses are the test's, `...` is a path.
run_snippet() {
    local asks
    sed -e "s|https://api.servetel.in/v1/\.\.\.|$API/me|; s|https://api-smartflo[a-z.]*/v1|$API|" \
        -e "s|/run/secrets/servetel|$HOME/secret|; s|/var/lib/prometheus/node-exporter|$HOME|" "$1" >snippet
    asks=$(grep -c '^servetel-auth login .*example.com$' snippet || true)
    # In a function of the shell's, which people have pasted before; the last token is that of the script so far.
    printf '%s\n' '. ./call.sh' 'token=$(cat cached 2>/dev/null)' | cat - snippet >script
    if grep -q 'smartflo' snippet; then asks=1; fi
    if [ "$asks" = 0 ]; then
        capture sh script
    else
        on_terminal "expect:Password of" type:"$PW\n" -- sh script
    fi
    assert_done "$(<snippet)"
    [ ! -e .servetel-auth/default.json ] || cached_token >cached
}

# run_snippets DOCUMENT: one after another, as the reader comes to them.
run_snippets() {
    local file ran=0
    "$TESTS_PYTHON" "$TESTS_DIR/snippets.py" "$TESTS_DIR/../$1" snippets
    for file in snippets/*; do
        if why_excluded "$file"; then continue; fi
        echo "$1:${file//[!0-9]/}" # the last one is what failed
        run_snippet "$file"
        printf '%s\n' "$output" >>printed
        ran=$((ran + 1))
    done
    assert_equal "$(grep -cv '^0 ' statuses)" 0 # none of ours failed
    [ "$ran" -ge "$2" ] || fail_with "only $ran snippets were run"
}

@test "what the README says to paste works, from the first login to the container" {
    run_snippets README.md 8
    assert_equal "$(grep -c '"success":true' printed)" 2
    assert_equal "$(server_stats me_ok)" 3
    assert_equal "$(server_stats me_refused)" 0
    grep -q ' refresh ' crontab
    grep -q -- '--user enable --now servetel-auth-default.timer' systemctl
    [ -s .config/systemd/user/servetel-auth-default.service ]
}

@test "what the man page says to paste works" {
    run_snippets man/servetel-auth.1 9
    assert_equal "$(grep -c '"success":true' printed)" 1
    grep -q ' refresh ' crontab
    grep -q -- '--user enable --now servetel-auth-default.timer' systemctl
    [ -s .config/systemd/user/servetel-auth-default.timer ]
    assert_equal "$(cached .access_token permanent)" "$(<token.txt)"
    assert_equal "$(cached .email sales)" sales@example.com
}

@test "each exclusion is of something that is there" {
    local i document
    for document in README.md man/servetel-auth.1; do
        "$TESTS_PYTHON" "$TESTS_DIR/snippets.py" "$TESTS_DIR/../$document" "${document##*.}"
    done
    for ((i = 0; i < ${#EXCLUDED[@]}; i += 2)); do
        cat md/* 1/* | grep -qF -e "${EXCLUDED[i]}" || fail_with "nothing to exclude: ${EXCLUDED[i]}"
    done
}

@test "the README's first page is what make demo prints" {
    local made
    made="$(SERVETEL_AUTH_BIN_DIR="$(dirname "$(PATH="${PATH#*:}" type -P servetel-auth)")" "$TESTS_DIR/demo.sh")"
    without_chance() {
        sed -E 's/127.0.0.1:[0-9]+/HOST/g; s/[0-9-]{10} [0-9:]{5} UTC/TIME/; s/(59|60) min/AN HOUR/; s/[0-9a-f]{8}$/PRINT/' |
            grep -v '^$' | grep -v '^demo:'
    }
    diff <(sed -n '/^```console/,/^```$/p' "$TESTS_DIR/../README.md" | sed '1d;$d' | without_chance) \
        <(without_chance <<<"$made")
}

# ------------------------------------------------------------------------------------------------ what not to do

@test "without a token: what is shown first stops, what is warned of goes on with 0" {
    local snippet
    program bin/curl 'cat >got </dev/null' 'echo "$*" >>called'
    for snippet in 'curl -H "Authorization: Bearer $(servetel-auth show)" URL' \
        'servetel-auth show --format curl | curl -K - URL' 'eval "$(servetel-auth show --format env)"'; do
        capture sh -c "$snippet"
        assert_done "$snippet"
        assert_stderr_has 'no token is cached'
        grep -qF "${snippet%URL}" "$TESTS_DIR/../README.md" || grep -qF "${snippet% URL}" "$TESTS_DIR/../README.md"
    done
    assert_equal "$(<called)" $'-H Authorization: Bearer  URL\n-K - URL'
    rm called
    for snippet in 'token=$(servetel-auth show) || exit; curl' 'servetel-auth exec -- curl' '. ./call.sh; call'; do
        capture sh -c "$snippet URL"
        assert_failed 3 "$snippet"
        [ ! -e called ]
    done
}
