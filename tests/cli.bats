#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line: usage, help, options, and what is refused before anything is sent.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

COMMANDS='login refresh show status logout exec schedule'

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
logout all
exec min-ttl keep-fresh $network
schedule
EOT
    try --help show # the help of the program, or of the command
    assert_done
    assert_nothing_sent
}

@test "help comes whatever the environment says, and a bad variable is named" {
    export SERVETEL_PROFILE=/x SERVETEL_API_URL=ftp://x
    try refresh --help
    assert_done
    assert_stderr_empty
    try refresh --version
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

# --------------------------------------------------------------------------------------- options' places

@test "options stand before or after the command, long or short, joined or apart" {
    write_cache . work
    try -p work show
    assert_stdout made-up-work
    try show -p work
    assert_stdout made-up-work
    try -pwork show
    assert_stdout made-up-work
    try --profile=work show --cached
    assert_stdout made-up-work
    try show --profile work --no-newline
    assert_stdout made-up-work
    try -q show -p work -v
    assert_stdout made-up-work
    try -f "$(cache_file work)" show
    assert_stdout made-up-work
    try show --file="$(cache_file work)"
    assert_done
    assert_stdout made-up-work
    assert_nothing_sent
}

@test "-- ends the options: what follows is an operand" {
    write_cache . work
    try -p work -- show
    assert_done
    assert_stdout made-up-work
    try show -p work --
    assert_done
    assert_stdout made-up-work
    try show -p work -- --cached
    assert_failed 2
    assert_stderr_has argument
}

@test "an unknown command is 2, with the one that was probably meant" {
    local typed meant
    while read -r typed meant; do
        try "$typed"
        assert_failed 2
        assert_stderr_has "'$typed'"
        assert_stderr_has "'$meant'"
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

@test "an option of another command is 2, and named" {
    local command option
    write_cache
    while read -r command option; do
        try "$command" "$option"
        assert_failed 2
        assert_stderr_has "$option"
    done <<'EOT'
show --password-stdin
show --print
login --json
login --cached
refresh --no-cache
refresh --format
status --timeout
status --api-url
logout --json
schedule --retries
EOT
    assert_equal "$(cached .access_token)" made-up-default # the logout has not happened
}

@test "a missing argument and one too many are 2" {
    local words
    write_cache
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
    done <<'EOT'
show --min-ttl
show -p
-f
login --password-file
refresh --json=yes
show extra
status extra
logout extra
refresh extra
login extra
exec
exec --
schedule
schedule launchd
schedule cron extra
EOT
    assert_equal "$(cached .access_token)" made-up-default
    assert_nothing_sent
}

@test "options that do not go together are 2, and named" {
    local named words name
    write_cache
    while IFS=: read -r words named; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
        for name in $named; do
            assert_stderr_has "$name"
        done
    done <<'EOT'
refresh --all -p work:--all --profile
refresh --all --file x:--all --file
refresh --all --print:--all --print
refresh --all --adopt true:--all --adopt
refresh --print --json:--print --json
refresh --jobs 4:--jobs --all
logout --all -p work:--all --profile
logout --all --file x:--all --file
schedule cron --all -p work:--all --profile
schedule systemd --all --adopt true:--all --adopt
show --json --claims:--json --claims
show --json --format header:--json --format
login --token-stdin --password-stdin:--token-stdin --password-stdin
login --token-stdin --token-command true:--token-stdin --token-command
login --token-command true --password-file x:--token-command password
EOT
    assert_equal "$(cached .access_token)" made-up-default
    assert_nothing_sent
}

# ------------------------------------------------------------------------------------------------ values

@test "a duration is a whole number with s, m, h, d or nothing behind it; all else is 2" {
    local value
    write_cache '.expires_at = $now + 9000' # two and a half hours
    for value in '' 5x 5ms 1.5h -1 +5 ' 5' '5 ' '5 m' m 0x10 1e3 5mm 5S 99999999999999999999 $'5\n'; do
        try show --min-ttl "$value"
        assert_failed 2 "--min-ttl '$value'"
        assert_stderr_has --min-ttl
    done
    try show --timeout 5x
    assert_failed 2
    assert_stderr_has --timeout
    for value in 0 60 9s 149m 2h; do
        try show --min-ttl "$value"
        assert_stdout made-up-default
    done
    for value in 30 30s 5m 1h 1d; do
        try show --timeout "$value"
        assert_stdout made-up-default
    done
    assert_nothing_sent
    server_script refresh '{"status":404,"repeat":-1}'
    for value in 9100 9100s 152m 3h 1d; do # the unit counts: no more is there
        try show --min-ttl "$value"
        assert_failed 6 "$value"
    done
}

@test "a malformed number or choice is 2" {
    local value
    write_cache
    for value in '' x -1 +1 1.5 1x ' 1' 0x1 99999999999999999999; do
        try show --retries "$value"
        assert_failed 2 "--retries '$value'"
        assert_stderr_has --retries
    done
    for value in x 0 -1; do
        try refresh --all --jobs "$value"
        assert_failed 2 "--jobs '$value'"
        assert_stderr_has --jobs
    done
    try show --format xml
    assert_failed 2
    assert_stderr_has header # what it may be
    try show --format ''
    assert_failed 2
    try show --auth-scheme basic
    assert_failed 2
    assert_stderr_has bearer
    assert_nothing_sent
}

@test "a profile's name is checked, from the option and from the environment" {
    local name long
    long="$(printf 'a%.0s' {1..128})"
    for name in ../x . .. .hidden -x _x a/b 'a b' 'a:b' $'a\nb' $'\xc3\xbc' 'a*' "${long}b"; do
        try show "--profile=$name"
        assert_failed 2 "-p '$name'"
    done
    for name in ../x $'a\e[31m'; do
        SERVETEL_PROFILE="$name" try show
        assert_failed 2 "SERVETEL_PROFILE='$name'"
        assert_stderr_has SERVETEL_PROFILE
        assert_harmless "$stderr"
    done
    try show -p ''
    assert_failed 2
    for name in 0 you@x.test a.b_c+d-e "$long"; do
        write_cache . "$name"
        try show -p "$name"
        assert_done
        assert_stdout "made-up-$name"
    done
}

@test "an API URL that is unsafe or no URL is 2, from the option and from the environment" {
    local url
    unset SERVETEL_API_URL
    while read -r url; do
        try_login "$PW" -e "$EMAIL" --api-url "$url"
        assert_failed 2 "$url"
        assert_stderr_lacks hunter2
    done <<EOT
http://example.test/v1
http://127.0.0.1.example.test:$API_PORT/v1
http://localhost.example.test:$API_PORT/v1
http://127.0.0.1@example.test:$API_PORT/v1
http://128.0.0.1/v1
http://0.0.0.0:$API_PORT/v1
http://[2001:db8::1]/v1
ftp://127.0.0.1:$API_PORT/v1
file:///etc/passwd
gopher://localhost:$API_PORT/v1
//127.0.0.1:$API_PORT/v1
127.0.0.1:$API_PORT/v1
localhost
/v1
https://you:hunter2@127.0.0.1:$API_PORT/v1
http://you:hunter2@127.0.0.1:$API_PORT/v1
https://hunter2@example.test/v1
https://
https:///v1
http://:$API_PORT/v1
https://example.test:0x50/v1
https://example.test:65536/v1
https://example.test:-1/v1
http://127.0.0.1:$API_PORT/v1?key=value
http://127.0.0.1:$API_PORT/v1#part
http://127.0.0.1:$API_PORT/v 1
EOT
    try_login "$PW" -e "$EMAIL" --api-url $'http://127.0.0.1\r\nX: y/v1'
    assert_failed 2
    assert_harmless "$stderr"
    for url in http://example.test/v1 https://you:hunter2@example.test/v1; do
        SERVETEL_API_URL="$url" try_login "$PW" -e "$EMAIL"
        assert_failed 2 "SERVETEL_API_URL=$url"
        assert_stderr_lacks hunter2
    done
    try_login "$PW" -e "$EMAIL" --api-url ''
    assert_failed 2
    assert_nothing_sent
    [ ! -e "$(cache_file)" ]
}

@test "plain http is taken for loopback hosts, with or without a slash at the end" {
    local url
    for url in "http://localhost:$API_PORT/v1" "http://127.0.0.1:$API_PORT/v1/" "HTTP://LOCALHOST:$API_PORT/v1"; do
        try_login "$PW" -e "$EMAIL" --no-cache --api-url "$url"
        assert_done "$url"
    done
    assert_equal "$(server_log 'map(.path) | unique | join(" ")')" /v1/auth/login
    # Nobody listens there; the address itself is accepted.
    for url in http://127.9.9.9:1/v1 'http://[::1]:1/v1'; do
        try_login "$PW" -e "$EMAIL" --no-cache --retries 0 --api-url "$url"
        assert_failed 5 "$url"
    done
}
