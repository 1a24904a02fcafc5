#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line: options, their values, and what is refused before anything is sent.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

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
show -p work -f x:--profile --file
-f x.json logout -p work:--profile --file
refresh --all -p work:--all --profile
refresh --all --file x:--all --file
refresh --all --print:--all --print
refresh --print --json:--print --json
refresh --jobs 4:--jobs --all
refresh --dry-run --print:--dry-run --print
refresh --dry-run --rejected-stdin:--dry-run --rejected-stdin
logout --all -p work:--all --profile
logout --all --file x:--all --file
schedule cron --all -p work:--all --profile
schedule systemd --all --file x:--all --file
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
