#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# tests/run: its tests have no terminal and an environment of their own, wherever it runs; it shows what is under way.
# shellcheck disable=SC2016 # the probe's variables are the probe's
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup() {
    test_setup
    # bats' own directory is before its command there.
    PATH="${PATH//"$BATS_LIBEXEC:"/}"
    # (Written as bats does not read it here.)
    sed 's/^at-test/@test/' >probe.bats <<'EOT'
at-test "there is no terminal" { ! (: </dev/tty) 2>/dev/null; }
at-test "the environment is the tests' own" {
    [ "${TERM-dumb}" = dumb ] # as bash says where there is none
    [ -z "${NO_COLOR-}${COLUMNS-}${LANG-}${https_proxy-}${SERVETEL_PROFILE-}${XDG_CONFIG_HOME-}" ]
    [ "$HOME" != "$CALLERS_HOME" ] && [ -d "$HOME" ] && [ -w "$TMPDIR" ]
}
at-test "an interrupt is not ignored" { ! sh -c 'kill -INT $$'; }
EOT
    export NO_COLOR=1 COLUMNS=20 LANG=de_DE.UTF-8 https_proxy=http://127.0.0.1:1 SERVETEL_PROFILE=other \
        XDG_CONFIG_HOME=/nowhere
}

@test "on a terminal: none for the tests, a progress line, the count at the end" {
    for TERM in xterm dumb; do
        TERM=$TERM on_terminal --timeout 60 -- "$TESTS_DIR/run" "$HOME/probe.bats"
        assert_done
        assert_stdout_has '0 of 1 done: probe.bats'
        assert_stdout_has '3 passed, 0 failed'
    done
}

@test "without a terminal, without TERM, in the background: the same, told by lines" {
    capture env -u TERM setsid -w "$TESTS_DIR/run" "$HOME/probe.bats" </dev/null
    assert_done
    assert_stderr_has '# 0 of 1 done, begun: '
    assert_equal "$(tail -n 1 <<<"$output")" '3 passed, 0 failed'
    capture sh -c 'trap "" INT; "$1" "$2"' sh "$TESTS_DIR/run" "$HOME/probe.bats" </dev/null
    assert_done
}

@test "two at once are two" {
    background "$TESTS_DIR/run" "$HOME/probe.bats"
    local other_pid=$BG_PID other_out=$BG_OUT
    capture "$TESTS_DIR/run" "$HOME/probe.bats" </dev/null
    assert_done
    wait "$other_pid"
    assert_equal "$(tail -n 1 "$other_out")" '3 passed, 0 failed'
}

@test "a test that fails, a file without a plan, and a run of nothing are failures" {
    echo 'at-test "no" { false; }' | sed 's/^at-/@/' >no.bats
    capture "$TESTS_DIR/run" "$HOME/no.bats" "$HOME/probe.bats" </dev/null
    assert_status 1
    assert_equal "$(tail -n 1 <<<"$output")" '3 passed, 1 failed'
    echo 'exit 0' >none.bats
    capture "$TESTS_DIR/run" "$HOME/none.bats" </dev/null
    assert_status 1
}
