#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line: usage, help, and what was probably meant where something was mistyped.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2016 # the words of sh -c are the inner shell's
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

COMMANDS='login refresh show status logout exec schedule help version'

# ---------------------------------------------------------------------------------------- help and usage

@test "without a command: usage on stderr, status 2" {
    local command
    for options in '' '-q' '-p work' '--'; do
        # shellcheck disable=SC2086 # a list of words
        try $options
        assert_failed 2
        assert_stderr_has usage
        for command in $COMMANDS; do
            assert_stderr_has "$command"
        done
    done
}

@test "--help names every command on stdout, status 0" {
    local command
    try --help
    assert_done
    assert_stderr_empty
    for command in $COMMANDS; do
        grep -Eq "^ *$command  " <<<"$output" || fail_with_run "no line for $command"
    done
}

@test "each command's --help names its options on stdout, status 0" {
    local network='api-url timeout retries cacert auth-scheme' common='profile file quiet verbose'
    local command options option
    while read -r command options; do
        try "$command" --help
        assert_done
        assert_stderr_empty
        assert_stdout_has "servetel-auth $command"
        for option in $options $common; do
            assert_stdout_has "--$option"
        done
    done <<EOT
login email password-stdin password-file password-command forget-source token-stdin token-command print no-cache $network
refresh min-ttl print json all jobs on-change complain-below dry-run $network
show min-ttl cached format no-newline json claims $network
status json
logout all yes
exec min-ttl keep-fresh signal $network
schedule min-ttl all adopt on-change
help
version
EOT
    try --help show # the help of the program, or of the command
    assert_done
    assert_nothing_sent
}

@test "help COMMAND is what COMMAND --help says, help what --help says, version what --version says" {
    local command expected
    for command in '' $COMMANDS; do
        # shellcheck disable=SC2086 # none, or one
        expected="$(servetel-auth $command --help)"
        # shellcheck disable=SC2086
        try help $command
        assert_done
        assert_stderr_empty
        assert_stdout "$expected"
    done
    expected="$(servetel-auth --version)"
    try version
    assert_done
    assert_stderr_empty
    assert_stdout "$expected"
    try help shwo
    assert_failed 2
    assert_stderr_has "did you mean 'show'?"
    try help show refresh
    assert_failed 2
    try version now
    assert_failed 2
    assert_nothing_sent
}

@test "a command's help is 80 columns wide, says the defaults, once what a DURATION is, and ends with examples" {
    local command option examples
    for command in $COMMANDS; do
        try help "$command"
        [ "$(awk '{ if (length($0) > most) most = length($0) } END { print most }' <<<"$output")" -le 80 ] ||
            fail_with_run "$command: too wide"
        # Whatever takes a value says what is taken without it.
        awk '/^ +(-.,)? *--[a-z-]+ / { if (option != "" && text !~ /default: /) print option
                                       option = $0 ~ /--[a-z-]+ [A-Za-z]+[A-Z|]/ ? $0 : ""; text = "" }
             /^$/ { if (option != "" && text !~ /default: /) print option; option = "" }
             { text = text " " $0 }' <<<"$output" >without
        [ ! -s without ] || fail_with "$command: no default" "$(cat without)"
        if grep -q ' DURATION ' <<<"$output"; then
            assert_equal "$(grep -c 'A DURATION is a whole number' <<<"$output")" 1
        else
            [[ "$output" != *DURATION* ]]
        fi
        examples="$(sed '1,/^Examples:$/d' <<<"$output")"
        [[ "$(wc -l <<<"$examples")" =~ ^[23]$ ]] || fail_with_run "$command: not two or three examples"
        assert_equal "$(grep -vc "^  .*servetel-auth .*$command\|^  servetel-auth --version" <<<"$examples")" 0
    done
}

@test "the examples in the help are no wrong usage" {
    local command example
    for command in $COMMANDS; do
        while IFS= read -r example; do
            # Only whether it is understood: without a token, a terminal and a network.
            example="${example//https:\/\/api.servetel.in/$API}"
            capture bash -c "touch token; ${example/curl -K/true -K}" </dev/null
            [[ "$stderr" != *'(see servetel-auth'* ]] || fail_with_run "not understood: $example"
        done < <(servetel-auth help "$command" | sed '1,/^Examples:$/d')
    done
}

@test "help comes whatever the environment says, and a bad variable is named" {
    export SERVETEL_PROFILE=/x SERVETEL_API_URL=ftp://x
    try refresh --help
    assert_done
    assert_stderr_empty
    try refresh --version
    assert_done
    try help
    assert_done
    try help show
    assert_done
    try version
    assert_done
    try refresh
    assert_failed 2
    SERVETEL_PROFILE='' try refresh
    assert_failed 2
    assert_stderr_has 'SERVETEL_API_URL: the API URL must start with https://'
}

@test "a file named without a directory is no profile's name in what a message advises" {
    local name
    for name in work default cache.json; do
        try show -f "$name"
        assert_failed 3
        assert_stderr_has "run servetel-auth login -f $name"
    done
}

@test "--version is one line on stdout, status 0, wherever it stands" {
    try --version
    assert_done
    assert_stderr_empty
    [[ "$output" =~ ^servetel-auth\ [0-9]+\.[0-9]+ ]] || fail_with_run "not a version"
    local version=$output
    try show --version
    assert_done
    assert_stdout "$version"
}

# --------------------------------------------------------------------------------------------- did you mean

@test "an unknown command is 2, with the one that was probably meant" {
    local typed meant
    while read -r typed meant; do
        try "$typed"
        assert_failed 2
        assert_stderr_has "unknown command '$typed': did you mean '$meant'?"
        assert_stderr_has '(commands: login, refresh, show, status, logout, exec, schedule, help, version)'
    done <<'EOT'
shw show
logn login
refesh refresh
stauts status
exce exec
EOT
    try frobnicate
    assert_failed 2
    assert_stderr_lacks 'did you mean'
    assert_stderr_has '(commands: login, '
    try ''
    assert_failed 2
    try --json show # an option of a command's, but which command comes later
    [ "$status" = 0 ] || [ "$status" = 2 ] || [ "$status" = 3 ] || fail_with_run "neither taken nor refused"
}

@test "an unknown option is 2, with the one that was probably meant" {
    try show --jsno
    assert_failed 2
    assert_stderr_has "'--jsno'"
    assert_stderr_has "'--json'"
    try login --pasword-stdin
    assert_failed 2
    assert_stderr_has "'--password-stdin'"
    try show --zzzzzz
    assert_failed 2
    assert_stderr_lacks 'did you mean'
    try -Z show
    assert_failed 2
    assert_stderr_has Z
    try show -Z
    assert_failed 2
    assert_stderr_has Z
    try login --insecure # certificate checks cannot be turned off
    assert_failed 2
    assert_nothing_sent
}

@test "an option that is cut short is 2, as a later version may have another one that begins so" {
    local words
    write_cache
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
        assert_stderr_has "unknown option '--"
    done <<'EOT'
show --cache
show --min 5m
show --min=5m
--prof work show
show --no-newlin
login --password-f x
login --api-u=https://hunter2.example
EOT
    assert_stderr_lacks hunter2
    try show --min 5m
    assert_stderr_has "unknown option '--min': did you mean '--min-ttl'?"
    assert_nothing_sent
}

@test "a command that fails is named, with its profile: a password's, a remembered one, a token's" {
    try login -p sales -e "$EMAIL" --password-command 'exit 127'
    assert_failed 7
    assert_stderr_has "the password command of 'sales' exited with 127"
    try login -p sales --token-command 'kill -9 $$'
    assert_failed 7
    assert_stderr_has "the token command of 'sales' died of signal 9"
    quietly login -p sales -e "$EMAIL" --password-command "echo '$PW'"
    cache_edit '.password_command = "exit 3" | .expires_at = 1' sales
    server_script refresh '{"status":401,"repeat":2,"json":{"message":"no"}}'
    try refresh -p sales
    assert_failed 7
    assert_stderr_has "the remembered password command of 'sales' exited with 3"
}

@test "a mistyped profile is met with the one that was meant, and not with advice to make another" {
    local command
    write_cache . sales
    for command in show 'show --cached' refresh 'refresh --dry-run' 'exec true'; do
        # shellcheck disable=SC2086 # a list of words
        try -p slaes $command
        assert_failed 3
        assert_stderr_has "no token is cached for 'slaes': did you mean 'sales'?"
        assert_stderr_lacks 'login'
    done
    try schedule cron -p slaes
    assert_stderr_has "did you mean 'sales'?"
    try logout -p slaes
    assert_done
    assert_stderr_has "no token was cached for 'slaes': did you mean 'sales'?"
    assert_equal "$(cached .access_token sales)" made-up-sales
    try show -p marketing
    assert_failed 3
    assert_stderr_has 'run servetel-auth login -p marketing'
    try show -f slaes # a file is no profile
    assert_failed 3
    assert_stderr_lacks 'did you mean'
    assert_nothing_sent
}
