#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Commands of the user's, for a password, a token or a new token, where there is a terminal: they may ask there, are
# ended whole, and leave it as it was.
# shellcheck disable=SC2016 # what is in single quotes is the commands'

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# A password command that asks, as pinentry-tty does: without echo, on /dev/tty.
ASKS='stty -echo </dev/tty; printf "pin of %s: " "$SERVETEL_PROFILE" >/dev/tty; read -r pw </dev/tty
    stty echo </dev/tty; echo "$pw"'

# One that leaves the terminal raw and has a child, and does not end.
HANGS='stty raw -echo </dev/tty; sh -c "echo \$\$ >child.new; mv child.new child; exec sleep 600"; echo "x"'

child_is_gone() { retry_until 10 is_gone "$(cat child)"; }

@test "a command asks on the terminal, whatever stdin is, and the terminal is as it was" {
    # What the shell reads after it comes from the terminal, too: it is in the foreground again.
    on_terminal --timeout 60 'expect:pin of ' echo:off 'type:correct horse\nmore\n' -- \
        sh -c 'servetel-auth login -e "$1" --password-command "$2" </dev/null && read -r next && echo "then $next"' \
        - "$EMAIL" "$ASKS"
    assert_done
    assert_stdout_has 'then more'
}

@test "a command that does not end in time is ended with its children, and the terminal restored" {
    on_terminal --timeout 60 'run:while [ ! -e child ]; do sleep 0.05; done' expect:next 'type:more\n' -- \
        sh -c 'servetel-auth login -e "$1" --timeout 2s --password-command "$2"; echo "status $?, next?"
            read -r next; echo "then $next"' - "$EMAIL" "$HANGS"
    assert_done
    assert_stdout_has 'did not end in time'
    assert_stdout_has 'status 5'
    assert_stdout_has 'then more'
    child_is_gone
}

@test "so is one when a signal comes, and one without a terminal" {
    on_terminal --timeout 60 'run:while [ ! -e child ]; do sleep 0.05; done' signal:TERM -- \
        servetel-auth login -e "$EMAIL" --password-command "$HANGS"
    assert_status 143
    child_is_gone
    rm child
    try login -e "$EMAIL" --timeout 2s --password-command "${HANGS#*; }"
    assert_failed 5
    child_is_gone
}

@test "a hook at a terminal is ended so, too" {
    login
    on_terminal --timeout 60 'run:while [ ! -e child ]; do sleep 0.05; done' -- \
        servetel-auth refresh --timeout 2s --on-change "$HANGS"
    assert_status 1
    assert_stdout_has 'the token is stored, but the hook did not end in time'
    child_is_gone
}

@test "^C at a command ends all that the terminal's line was about" {
    on_terminal --timeout 60 'expect:pin of ' 'type:\x03' -- \
        sh -c 'servetel-auth login -e "$1" --password-command "trap \"stty echo </dev/tty\" EXIT; $2"; echo "went on"' \
        - "$EMAIL" "$ASKS"
    assert_status 130
    [[ "$output" != *'went on'* ]] || fail_with_run "the shell did not hear of it"
}

@test "^Z at a command stops the program for the shell, and fg goes on with both" {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind passes over a SIGTSTP that a program sends to itself'
    on_terminal --timeout 60 'expect:pin of ' 'type:\x1a' stopped continue silent 'type:correct horse\n' -- \
        servetel-auth login -e "$EMAIL" --password-command "$ASKS"
    assert_done
    [[ "$output" != *horse* ]] || fail_with_run 'the password is on the screen'
    token_works "$(cached_token)"
}

@test "many at once ask one after the other" {
    local name
    for name in a b c; do
        quietly login -p "$name" -e "$EMAIL" --password-command "echo '$PW'"
        make_stale "$name"
        cache_edit ".password_command = $(jq -Rs . <<<"$ASKS")" "$name"
    done
    server_config '{"refresh_window":0}'
    on_terminal --timeout 60 'expect:pin of ' 'type:correct horse\n' 'expect:pin of ' 'type:correct horse\n' \
        'expect:pin of ' 'type:correct horse\n' -- servetel-auth refresh --all --timeout 30s
    assert_done
    assert_stdout_has '3 logged in again'
}

@test "a hook that cannot be started is 1, and says that the token is stored" {
    local old
    needs_strace
    login
    old="$(cached_token)"
    capture strace -f -o /dev/null -e trace=clone,clone3,fork,vfork -e inject=clone,clone3,fork,vfork:error=EAGAIN \
        servetel-auth refresh --on-change true
    assert_failed 1
    assert_stderr_has 'the token is stored, but the hook could not be started'
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}
