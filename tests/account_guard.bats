#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What keeps a machine from locking an account: a refused password is not sent again, and a pause that the service
# asks for is kept.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

assert_logins_refused() {
    assert_equal "$(logins_answered 401)" "$1"
}

# indian_time EPOCH: as the service writes retry_after, +05:30 and without saying so.
indian_time() {
    jq -rn --argjson at "$1" '$at + 19800 | strftime("%Y-%m-%d %H:%M:%S")'
}

# -------------------------------------------------------------------------------------- the guard of the account

@test "a refused remembered password is noted, said in words with the time, and never sent again" {
    remember
    end_refresh_window
    change_password
    capture as_cron refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    assert_no_secret
    assert_logins_refused 1
    assert_equal "$(jq -r .unattended_login "$(cache_file)")" refused

    capture as_cron refresh
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    [[ "$stderr" =~ refused.*[0-9]{4}-[0-9]{2}-[0-9]{2}' '[0-9]{2}:[0-9]{2} ]]

    make_expired
    capture as_cron show
    assert_failed 4
    assert_stderr_has 'servetel-auth login'

    capture as_cron exec --keep-fresh -- touch "$HOME/ran"
    assert_status 4
    [ ! -e "$HOME/ran" ]
    capture as_cron exec -- touch "$HOME/ran"
    assert_status 4
    [ ! -e "$HOME/ran" ]
    capture as_cron refresh --all
    assert_failed 4
    assert_logins_refused 1
}

@test "whatever refuses the remembered password is noted: any 4xx but 408, 425 and 429, and success:false" {
    local answer no='"json":{"success":false,"message":"Account is locked"}'
    remember
    end_refresh_window
    for answer in "6 {\"status\":423,$no}" "6 {\"status\":404,$no}" "6 {\"status\":409,$no}" \
        "5 {\"status\":500,$no}" "5 {\"status\":503,$no}" "4 {$no}" '6 {"status":404}' '6 {"status":405,"body":"<html>"}' \
        '6 {"status":451}' '4 {"status":400}'; do
        cache_edit 'del(.unattended_login, .refused_at, .retry_at, .retry_noted_at)'
        server_script login "${answer#* }"
        logins=$(($(count_requests login) + 1))
        capture as_cron refresh
        assert_failed "${answer%% *}" "$answer"
        assert_stderr_has 'is not sent again until a login succeeds'
        capture as_cron refresh
        assert_failed 4 "$answer"
        assert_requests "$logins" login
        assert_equal "$answer $(cached .unattended_login)" "$answer refused"
    done
    for answer in 408 425 429; do
        cache_edit 'del(.unattended_login, .refused_at, .retry_at, .retry_noted_at)'
        server_script login "{\"status\":$answer}"
        capture as_cron refresh
        assert_failed 5
        assert_equal "$answer $(cached .unattended_login)" "$answer failed"
    done
}

@test "a refusal in any words is remembered: shown with a warning while it lasts, then a login is needed" {
    local i
    login
    set_life 1800
    server_script refresh '{"status":401,"json":{"message":"Unauthenticated."},"repeat":-1}'
    try refresh
    assert_failed 4
    assert_requests 2 refresh # both forms
    for i in show 'show --cached' 'exec -- true'; do
        # shellcheck disable=SC2086 # words
        try $i
        assert_done
        assert_stderr_has "warning: the service does not renew the token of 'default', which lasts until "
    done
    try status
    assert_done
    assert_stderr_has "to renew the token, which lasts until $(date -u -d "@$(cached .expires_at)" '+%F %H:%M') UTC: then run servetel-auth login"
    make_expired
    for ((i = 0; i < 10; i++)); do
        try show
        assert_failed 4
        assert_stderr_has 'run servetel-auth login'
    done
    try status --json
    assert_status 3
    assert_equal "$(json '.profiles[0].state')" login_needed
    assert_stderr_has 'to renew the token: run servetel-auth login'
    assert_requests 2 refresh
    login
    try show
    assert_done
    assert_stderr_empty
}

@test "status says that the unattended login was refused, when, and what to do" {
    remember
    end_refresh_window
    change_password
    try refresh
    assert_failed 4
    try status
    [[ "$output$stderr" =~ refused.*[0-9]{4}-[0-9]{2}-[0-9]{2}' '[0-9]{2}:[0-9]{2} ]] || fail_with_run "no time"
    [[ "$output$stderr" == *'servetel-auth login'* ]] || fail_with_run "no way out"
    try status --json
    assert_equal "$(json '.profiles[0].unattended_login')" refused
    make_expired
    try status
    assert_status 3
    assert_no_secret
}

@test "a keeper that runs on when the password is refused does not send it again either" {
    server_config '{"ttl":8}'
    remember
    end_refresh_window
    change_password
    background servetel-auth exec --keep-fresh -- sleep 600
    retry_until 20 has_requests login 2
    retry_until 10 grep -q 'not sent again' "$BG_ERR"
    # Its next attempt is a quarter of an hour away; a login with the right password makes it go on at once.
    printf '%s\n' "$NEW_PW" >"$HOME/pw"
    quietly login --password-file "$HOME/pw"
    retry_until 30 has_requests login 4
    assert_logins_refused 1
}

@test "once the password is mended a person's login lets unattended logins happen again" {
    remember
    end_refresh_window
    change_password
    capture as_cron refresh
    assert_failed 4
    printf '%s\n' "$NEW_PW" >"$HOME/pw"
    capture as_cron refresh # the file is right by now, but nobody has said so
    assert_failed 4
    assert_requests 2 login
    try login # it may be a crontab's, so it must be named
    assert_failed 4
    assert_stderr_has "correct it at its source, then run servetel-auth login --password-file $HOME/pw"
    assert_requests 2 login
    try login --password-file "$HOME/pw"
    assert_done
    assert_equal "$(jq -r '.unattended_login // "none"' "$(cache_file)")" none
    try status
    assert_done
    assert_stderr_lacks refused
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" logged_in
    assert_logins_refused 1
}

@test "a login at a terminal asks for the password when the remembered one was refused" {
    quietly login -e "$EMAIL" --password-command "echo '$PW'"
    end_refresh_window
    change_password
    capture as_cron refresh
    assert_failed 4
    assert_stderr_has 'then run servetel-auth login --password-command COMMAND'
    assert_no_secret # the command holds it
    on_terminal expect:'(the remembered one was refused): ' echo:off \
        "type:$NEW_PW\\n" -- servetel-auth login
    assert_done
    assert_logins_refused 1
    assert_equal "$(jq -r '.unattended_login // "none"' "$(cache_file)")" none
    assert_stdout_has "if it is not this one, correct it at its source, or login --forget-source"
}

@test "a login with a password file or command of its own says nothing of the remembered one that was refused" {
    local source
    for source in stdin file command; do
        server_config "{\"users\":{\"$EMAIL\":\"$PW\"},\"refresh_window\":1209600}"
        rm -f "$HOME/pw"
        remember
        end_refresh_window
        change_password
        capture as_cron refresh
        assert_failed 4
        (umask 077 && printf '%s\n' "$NEW_PW" >"$HOME/new")
        case $source in
        stdin) try login --password-stdin <"$HOME/new" ;;
        file) try login --password-file "$HOME/new" ;;
        command) try login --password-command "cat '$HOME/new'" ;;
        esac
        assert_done
        if [ "$source" = stdin ]; then
            assert_stderr_has 'warning: the remembered password was refused on '
        else
            assert_stderr_lacks 'refused'
        fi
    done
}

@test "a remembered password that is refused in a person's login is noted too" {
    remember
    end_refresh_window
    change_password
    try login
    assert_failed 4
    assert_logins_refused 1
    capture as_cron refresh
    assert_failed 4
    assert_logins_refused 1
}

@test "twenty runs of cron with a stale password never come near the service's lockout" {
    server_config '{"lockout":3}'
    remember
    end_refresh_window
    change_password
    for ((i = 0; i < 20; i++)); do
        case $((i % 4)) in
        0) capture as_cron refresh --quiet ;;
        1) capture as_cron refresh --quiet --all ;;
        2) capture as_cron refresh --quiet --min-ttl 30m --complain-below 10m && make_stale ;;
        3) capture as_cron show --min-ttl 2h ;;
        esac
        [ "$status" -ne 0 ] || [ $((i % 4)) -eq 2 ] || fail_with "run $i succeeded" "$output"
    done
    assert_logins_refused 1
    printf '%s\n' "$NEW_PW" >stdin
    try login --password-stdin <stdin
    assert_done # the account was never locked
}

# ------------------------------------------------------------------------------------- pauses the service asks for

@test "a 429 with Retry-After is remembered: nothing is sent before that, by anyone" {
    remember
    end_soon
    server_script refresh '{"status":429,"headers":{"Retry-After":"1000"},"json":{"message":"Too Many Attempts."}}'
    capture as_cron refresh
    assert_failed 5
    [[ "$stderr" =~ 1[56]' min' ]] || fail_with_run "the time to wait is not said"
    assert_requests 1 refresh

    capture as_cron refresh
    assert_failed 5
    [[ "$stderr" =~ 1[56]' min' ]] || fail_with_run "the time left is not said"
    capture as_cron refresh --all --quiet # it would wait ten minutes
    assert_failed 5
    capture as_cron show --min-ttl 1h
    assert_failed 5
    capture as_cron show
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has warning
    capture as_cron exec -- true
    assert_done
    assert_requests 1 refresh
    assert_requests 1 login
}

@test "a 429 with a retry_after in Indian time is remembered" {
    remember
    at=$(($(date +%s) + 300))
    server_script refresh "{\"status\":429,\"json\":{\"success\":false,\"retry_after\":\"$(indian_time $at)\"}}"
    capture as_cron refresh
    assert_failed 5
    [[ "$stderr" =~ (300' s'|29[0-9]' s'|5' min'|4' min') ]] || fail_with_run "the time to wait is not said"
    capture as_cron refresh
    assert_status 5
    assert_requests 1 refresh
    assert_equal "$(servetel-auth status --json 2>/dev/null | jq ".profiles[0].retry_at - $at | fabs <= 5")" true
}

@test "a 429 on an unattended login is remembered" {
    remember
    end_refresh_window
    server_script login '{"status":429,"headers":{"Retry-After":"100"}}'
    capture as_cron refresh
    assert_failed 5
    assert_requests 2 login
    refreshes="$(count_requests refresh)"
    capture as_cron refresh
    assert_failed 5
    assert_requests 2 login
    assert_requests "$refreshes" refresh
    capture as_cron refresh --dry-run
    assert_status 5
}

@test "when the pause is over the next run renews, and the first one not before" {
    remember
    server_script refresh '{"status":429,"headers":{"Retry-After":"6"}}'
    capture as_cron refresh --timeout 3s
    assert_failed 5
    assert_requests 1 refresh
    retry_until 20 as_cron refresh --quiet --timeout 3s 2>"$BATS_TEST_TMPDIR/err"
    assert_requests 2 refresh
    # 5.9: what is remembered is in whole seconds
    assert_equal "$(server_log '[.[] | select(.endpoint == "refresh") | .time] | .[1] - .[0] >= 5.9')" true
}

@test "a pause that ends within the time left is waited for" {
    remember
    server_script refresh '{"status":429,"headers":{"Retry-After":"2"}}'
    capture as_cron refresh --json
    assert_done
    assert_equal "$(json .action)" renewed
    assert_requests 2 refresh
    assert_equal "$(server_log '[.[] | select(.endpoint == "refresh") | .time] | .[1] - .[0] >= 1.9')" true
}

@test "a pause longer than a day is a mistake and does not silence the profile" {
    remember
    cache_edit ".retry_at = $(($(date +%s) + 30000000))"
    capture as_cron refresh --quiet
    assert_done
    assert_requests 1 refresh
}
