#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# tests/deps.sh: what it says before it installs, that it asks nothing, and what it says where it may not.
# shellcheck disable=SC2016 # the words of sh -c are the inner shell's
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

# A machine with a compiler, a package manager that notes what it is told, and nothing else of the table.
setup() {
    local tool
    test_setup
    mkdir bin
    for tool in sh awk sed grep cat tail env id true; do
        ln -s "$(type -P "$tool")" "bin/$tool"
    done
    make_program apt-get 'echo "$*" >>"$HOME/apt.log"'
    make_program cc ''
}

make_program() {
    printf '#!%s/bin/sh\n%s\n' "$HOME" "$2" >"bin/$1"
    chmod 755 "bin/$1"
}

# be USER: id -u says so; sudo, if there is one, is the test's.
be() {
    rm -f bin/id
    make_program id "echo $1"
}

deps() { capture env PATH="$HOME/bin" "$HOME/bin/sh" "$TESTS_DIR/deps.sh" "$@" </dev/null; }

@test "before anything is installed stands what, what for, and the command; nothing is asked" {
    be 0
    deps check
    assert_done
    assert_stdout_empty
    assert_stderr_has 'installing what is missing on this machine, for: check'
    assert_stderr_has '  bats, runs the tests'
    assert_stderr_has '  fish, runs its completions'
    grep -q '^apt-get install -y --no-install-recommends .*bats.* fish' <<<"$stderr"
    grep -q -- '-qq -y .*install --no-install-recommends .*bats' apt.log
    [ "$(grep -n 'bats' <<<"$stderr" | head -n 1 | cut -d: -f1)" -gt 1 ]
}

@test "what is there is not installed, and nothing is said" {
    be 0
    deps compile
    assert_done
    assert_stderr_empty
    [ ! -e apt.log ]
}

@test "without the right to install it prints one line to paste, and installs nothing" {
    be 1000
    deps check
    assert_done # a tool that lacks is reported by what wants it
    [ ! -e apt.log ]
    assert_stderr_has 'missing on this machine, for: check'
    grep -q "^su -c 'apt-get install -y --no-install-recommends [a-z0-9 -]*'\$" <<<"$stderr" || fail_with_run 'no line'
    make_program sudo '[ "$1" != -n ] && echo "sudo was run" >&2; exit 1' # it would ask for a password
    deps check
    assert_done
    [ ! -e apt.log ]
    assert_stderr_lacks 'sudo was run'
    assert_equal "$(grep -c '^sudo apt-get install -y --no-install-recommends ' <<<"$stderr")" 1
}

@test "sudo is used where it asks nothing" {
    be 1000
    make_program sudo '[ "$1" = -n ] && shift; exec "$@"'
    deps check
    assert_done
    grep -q -- 'install --no-install-recommends' apt.log
}

@test "what only the long tests need is not installed for the short ones" {
    be 1000
    deps compile build check
    assert_stderr_lacks etcd
    assert_stderr_lacks debootstrap
    deps long
    assert_stderr_has etcd-server
}

@test "--tell only names what is missing, and fails" {
    be 0
    rm bin/cc
    deps --tell compile
    assert_failed 1
    assert_stderr_has '  C compiler'
    grep -q '^apt-get install -y --no-install-recommends gcc ' <<<"$stderr"
    [ ! -e apt.log ]
}
