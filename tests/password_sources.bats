#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A remembered password logs in again where a refresh is refused, and its last days are told.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# assert_stderr_once TEXT: in exactly one line.
assert_stderr_once() {
    assert_equal "$(grep -c -- "$1" <<<"$stderr")" 1 || fail_with_run "expected once in stderr: $1"
}

# --------------------------------------------------------------------------------- remembered password sources

@test "a remembered password file logs in again when the refresh is refused" {
    remember
    end_refresh_window
    old="$(cached_token)"
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_stderr_has 'logged in'
    assert_no_secret
    assert_requests 2 login
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "a remembered password command logs in again, from any directory" {
    printf '%s\n' "$PW" >pw
    quietly login -e "$EMAIL" --password-command "cat '$HOME/pw' | tee -a '$HOME/ran'"
    assert_equal "$(jq -r .password_command "$(cache_file)")" "cat '$HOME/pw' | tee -a '$HOME/ran'"
    end_refresh_window
    cd /
    capture as_cron refresh --quiet
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    assert_requests 2 login
    assert_equal "$(wc -l <"$HOME/ran")" 2
    token_works "$(cached_token)"
}

@test "the password itself is nowhere in the cache" {
    remember
    end_refresh_window
    quietly refresh
    assert_no grep -rF "$PW" "$HOME/.servetel-auth"
}

@test "a password file given by a relative path is remembered by an absolute one" {
    mkdir -p secrets
    (umask 077 && printf '%s\n' "$PW" >secrets/pw)
    quietly login -e "$EMAIL" --password-file secrets/pw
    assert_equal "$(jq -r .password_file "$(cache_file)")" "$HOME/secrets/pw"
    end_refresh_window
    cd /
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_requests 2 login
}

@test "a systemd credential serves as password file, without a complaint about its mode" {
    export CREDENTIALS_DIRECTORY="$HOME/credentials/servetel-auth.service"
    mkdir -p "$CREDENTIALS_DIRECTORY"
    printf '%s' "$PW" >"$CREDENTIALS_DIRECTORY/password"
    chmod 400 "$CREDENTIALS_DIRECTORY/password"
    chmod 500 "$CREDENTIALS_DIRECTORY"
    try login -e "$EMAIL" --password-file "$CREDENTIALS_DIRECTORY/password"
    assert_done
    assert_stderr_lacks chmod
    assert_stderr_lacks warning
    end_refresh_window
    capture as_cron refresh --quiet
    assert_done
    assert_stderr_empty
    assert_requests 2 login
    chmod 700 "$CREDENTIALS_DIRECTORY"
}

@test "a password file that others can read is warned about, with the chmod that mends it" {
    printf '%s\n' "$PW" >pw
    chmod 644 pw
    try login -e "$EMAIL" --password-file pw
    assert_done
    assert_stdout_empty
    assert_stderr_once 'chmod .*pw'
}

@test "neither the token nor the remembered password is sent to another host than it is for" {
    local elsewhere="http://localhost:$API_PORT/v1" command
    remember
    end_refresh_window
    snapshot
    for command in 'refresh' 'refresh --min-ttl 1m' 'show --min-ttl 2h' 'show' 'show --cached' 'exec -- touch ran'; do
        # shellcheck disable=SC2086 # words
        try --api-url "$elsewhere" $command
        assert_failed 2 "$command"
        assert_stderr_has "is for $API and is not sent to $elsewhere, which --api-url names"
        # shellcheck disable=SC2086
        SERVETEL_API_URL="$elsewhere" try $command
        assert_failed 2 "$command"
        assert_stderr_has "is for $API and is not sent to $elsewhere, which SERVETEL_API_URL names"
    done
    [ ! -e ran ]
    assert_requests 1 # the login
    assert_unchanged
}

@test "what another host says at a login is not written down" {
    login
    snapshot
    server_script login '{"status":401}' '{"status":429,"headers":{"Retry-After":"7000"}}'
    for code in 4 5; do
        try_login "$PW" -e "$EMAIL" --api-url "http://localhost:$API_PORT/v1"
        assert_failed "$code"
    done
    assert_unchanged
    try refresh
    assert_done
}

@test "login --no-cache asks the profile's own API, and not with the remembered password" {
    remember
    change_password
    unset SERVETEL_API_URL
    capture setsid -w servetel-auth login --no-cache </dev/null
    assert_failed 2
    assert_stderr_has 'no password: give --password-stdin'
    try login --no-cache --password-stdin <<<"$NEW_PW"
    assert_done
    token_works "$output"
    assert_requests 2 login
}

@test "a death while a blacklisted token's login is under way leaves a doubt, and a later verdict" {
    local name
    for name in KILL TERM; do
        quietly login -e "$EMAIL" --password-command \
            "if [ -e '$HOME/hang' ]; then echo \$\$ >'$HOME/hangs'; exec sleep 600; fi; echo '$PW'"
        http POST /v1/auth/refresh '' "Authorization: $(cached_token)" 'Accept: application/json' # somebody else
        touch hang
        background servetel-auth refresh
        retry_until 20 test -s hangs
        kill -s "$name" "$BG_PID"
        wait "$BG_PID" || true
        kill "$(cat hangs)" 2>/dev/null || true # a death by KILL leaves the command behind
        rm hang hangs
        try status --json
        jq -e '.profiles[0] | .in_doubt or .blacklisted_at != null' <<<"$output"
        try refresh --json
        assert_equal "$(json .action)" logged_in
    done
}

@test "a 500 on refresh is taken for a refusal and logs in again, once" {
    remember
    end_refresh_window
    server_config '{"uncaught":true}'
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_requests 2 login
    token_works "$(cached_token)"
}

@test "a 500 on refresh without a password source is temporary, and says that a login may be needed" {
    login
    end_refresh_window
    server_config '{"uncaught":true}'
    snapshot
    try refresh
    assert_failed 5
    assert_stderr_has login
    assert_requests 1 login
    assert_no_secret
}

@test "a refused refresh without a password source is 4, and says which command is needed" {
    login
    end_refresh_window
    snapshot
    try refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_requests 1 login
    assert_equal "$(jq -r .access_token <"$(cache_file)")" "$(cached_token)"
    token_works "$(cached_token)" # the refusal spent nothing, and nothing cached was thrown away
}

@test "an unattended login whose answer is lost is not sent again" {
    remember
    end_refresh_window
    server_script login '{"drop":"no_answer_processed","repeat":-1}'
    capture as_cron refresh
    assert_failed 5
    assert_requests 2 login
}

@test "a password source that fails is 7, and sends no login" {
    remember
    end_refresh_window
    rm "$HOME/pw"
    snapshot
    try refresh
    assert_failed 7
    assert_stderr_has "$HOME/pw"
    assert_requests 1 login
    token_works "$(cached_token)"
}

@test "a password source that is empty is 7, and sends no login" {
    remember
    end_refresh_window
    : >"$HOME/pw"
    try refresh
    assert_failed 7
    assert_requests 1 login
}

@test "a password command that hangs is ended by --timeout, with 5" {
    quietly login -e "$EMAIL" --password-command \
        "if [ -e '$HOME/hang' ]; then echo \$\$ >'$HOME/pid'; exec sleep 600; fi; echo '$PW'"
    end_refresh_window
    touch "$HOME/hang"
    SECONDS=0
    try refresh --timeout 2s
    [ "$SECONDS" -lt 20 ]
    assert_failed 5
    assert_requests 1 login
    retry_until 5 is_gone "$(cat "$HOME/pid")"
}

@test "an expired permanent token is replaced by an unattended login" {
    remember
    cache_edit "del(.expires_at, .obtained_at) | .access_token = \"expired\" | .expires_at = $(($(date +%s) - 5))"
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    token_works "$(cached_token)"
}

@test "--forget-source drops the remembered source: the next refusal is 4 and sends no login" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login --forget-source --password-stdin <stdin
    assert_equal "$(jq 'has("password_file") or has("password_command")' "$(cache_file)")" false
    end_refresh_window
    capture as_cron refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_requests 2 login
}

@test "a login as somebody else drops the remembered source" {
    remember
    server_config "{\"users\":{\"$EMAIL\":\"$PW\",\"other@example.test\":\"pw\"}}"
    printf 'pw\n' >stdin
    quietly login -e other@example.test --password-stdin <stdin
    end_refresh_window
    capture as_cron refresh
    assert_failed 4
    assert_requests 2 login
}

@test "a login at another host drops the remembered source" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login --api-url "http://localhost:$API_PORT/v1" --password-stdin <stdin
    end_refresh_window
    capture as_cron refresh
    assert_failed 4
    assert_requests 2 login
}

@test "a login as the same person keeps the remembered source" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login -e "$EMAIL" --password-stdin <stdin
    assert_equal "$(jq -r .password_file "$(cache_file)")" "$HOME/pw"
    end_refresh_window
    capture as_cron refresh --quiet
    assert_done
    assert_requests 3 login
}

# ------------------------------------------------------------------------------------------- the password's last days

@test "a password that expires in 14 days is warned about, once, in login, refresh and status" {
    server_config '{"number_of_days_left":14}'
    (umask 077 && printf '%s\n' "$PW" >pw)
    try login -e "$EMAIL" --password-file pw
    assert_done
    assert_stderr_once 'password.*expires in 14 days'
    for command in refresh status; do
        try "$command"
        assert_done
        assert_stderr_once 'password.*expires in 1[34] days'
    done
    try status --json
    assert_done
    jq -e . <<<"$output" >/dev/null
}

@test "a password that expires in 15 days, or at no known time, is not warned about" {
    for days in 15 90 null; do
        server_config "{\"number_of_days_left\":$days}"
        printf '%s\n' "$PW" >stdin
        try login -e "$EMAIL" --password-stdin <stdin
        assert_done
        assert_stderr_lacks 'expires in'
    done
}

@test "an unattended login warns about the password's last days, once; --quiet does not" {
    remember
    end_refresh_window
    server_config '{"number_of_days_left":3}'
    capture as_cron refresh
    assert_done
    assert_stderr_once 'password.*expires in 3 days'
    capture as_cron refresh --quiet
    assert_done
    assert_stderr_empty
}

@test "a password changed in time ends the warning" {
    server_config '{"number_of_days_left":1}'
    login
    server_config '{"number_of_days_left":90}'
    login
    try status
    assert_done
    assert_stderr_empty
}

@test "a number of days that makes no sense harms nothing" {
    for days in -1 0 1e300 '"soon"' '{}' 3.5; do
        server_script login "{\"merge\":{\"number_of_days_left\":$days}}"
        printf '%s\n' "$PW" >stdin
        try login -e "$EMAIL" --password-stdin <stdin
        assert_done
        try status
        assert_done
    done
}
