#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line: an option beats the environment, that beats what is remembered, that beats the default.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# -------------------------------------------------------------------------------------------- precedence

@test "the profile: option, environment, default; an empty variable is as if unset" {
    write_cache . default
    write_cache . work
    write_cache . home
    SERVETEL_PROFILE=work try show -p home
    assert_stdout made-up-home
    SERVETEL_PROFILE=work try show
    assert_stdout made-up-work
    SERVETEL_PROFILE='' try show
    assert_stdout made-up-default
    try show
    assert_done
    assert_stdout made-up-default
}

@test "the file: option, environment, the profile's; an empty variable is as if unset" {
    write_cache . default
    SERVETEL_AUTH_FILE="$HOME/one.json" write_cache . one
    SERVETEL_AUTH_FILE="$HOME/two.json" write_cache . two
    SERVETEL_AUTH_FILE="$HOME/one.json" try show -f "$HOME/two.json"
    assert_stdout made-up-two
    SERVETEL_AUTH_FILE="$HOME/one.json" try show
    assert_stdout made-up-one
    SERVETEL_AUTH_FILE="$HOME/one.json" SERVETEL_PROFILE=default try show
    assert_stdout made-up-one # in place of a profile's
    SERVETEL_AUTH_FILE='' try show
    assert_done
    assert_stdout made-up-default
    try show -f ''
    assert_failed 2
}

@test "SERVETEL_AUTH_DIR moves the directory, HOME does without it; an empty one is as if unset" {
    SERVETEL_AUTH_DIR="$HOME/elsewhere" write_cache '.access_token = "moved"'
    write_cache
    SERVETEL_AUTH_DIR="$HOME/elsewhere" try show
    assert_stdout moved
    SERVETEL_AUTH_DIR='' try show
    assert_stdout made-up-default
    XDG_CONFIG_HOME="$HOME/elsewhere" XDG_STATE_HOME="$HOME/elsewhere" try show
    assert_done
    assert_stdout made-up-default
}

@test "the API: option, environment, the profile's; an empty variable is as if unset" {
    # The hosts tell who was asked; all of them are the same service. (Only a login may ask another than before.)
    write_cache ".api_url = \"http://127.0.0.3:$API_PORT/v1\" | .expires_at = \$now"
    server_script login '{"status":404,"repeat":-1}'
    SERVETEL_API_URL="http://localhost:$API_PORT/v1" try_login "$PW" --api-url "http://127.0.0.1:$API_PORT/v1"
    assert_failed 6
    assert_equal "$(header host)" "127.0.0.1:$API_PORT"
    SERVETEL_API_URL="http://localhost:$API_PORT/v1" try_login "$PW"
    assert_failed 6
    assert_equal "$(header host)" "localhost:$API_PORT"
    for command in login refresh; do
        SERVETEL_API_URL='' try_either $command --retries 0
        assert_failed 5 # nobody listens there
        assert_stderr_has 127.0.0.3
        (unset SERVETEL_API_URL && servetel-auth refresh --retries 0 2>&1 | grep -F 127.0.0.3)
    done
    assert_requests 2
}

@test "the API's path, on the profile's host: option, environment, the profile's" {
    write_cache ".api_url = \"http://127.0.0.1:$API_PORT/profile\""
    for path in option environment profile; do
        case $path in
        option) SERVETEL_API_URL="${API%/v1}/environment" try refresh --api-url "${API%/v1}/option" ;;
        environment) SERVETEL_API_URL="${API%/v1}/environment" try refresh ;;
        profile) SERVETEL_API_URL='' try refresh ;;
        esac
        assert_failed 6
        assert_equal "$(server_log '.[-1].path')" "/$path/auth/refresh"
    done
}

@test "a file that is named beats a profile of the environment" {
    write_cache
    SERVETEL_PROFILE=/x try show -f "$(cache_file)"
    assert_done
    assert_stdout made-up-default
    assert_stderr_empty
}

@test "with --all no variable that is about one profile is looked at" {
    write_cache
    export SERVETEL_API_URL=ftp://x SERVETEL_AUTH_FILE=/none/ SERVETEL_PROFILE=/x
    try refresh --all --min-ttl 1m
    assert_done
    assert_stderr_has '1 kept'
    try schedule --all cron
    assert_done
    assert_stdout_has ' refresh --quiet --all '
    try logout --all --yes
    assert_done
    unset SERVETEL_AUTH_FILE
    assert_nothing_cached
}

@test "without an API given or remembered, Servetel's own is asked" {
    proxy_start --mode 403
    unset SERVETEL_API_URL
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    grep -q '^CONNECT api\.servetel\.in:443 ' "$PROXY_LOG"
    [ ! -e "$(cache_file)" ]
}

@test "the e-mail: option, environment, the profile's; an empty variable is as if unset" {
    server_config '{"users":{"a@x":"pw","b@x":"pw","c@x":"pw"}}'
    SERVETEL_EMAIL=b@x try_login pw -e a@x
    assert_done
    SERVETEL_EMAIL=b@x try_login pw
    assert_done
    assert_equal "$(cached .email)" b@x
    SERVETEL_EMAIL='' try_login pw
    assert_done
    try_login pw
    assert_done
    try_login pw --email c@x
    assert_done
    assert_equal "$(server_log 'map(.body | fromjson | .email) | join(" ")')" 'a@x b@x b@x b@x c@x'
    try_login pw -e ''
    assert_failed 2
}
