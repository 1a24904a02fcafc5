#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh's options for cron and for who looks after it: --complain-below and --dry-run.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load unattended_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# ----------------------------------------------------------------------------------------------- --complain-below

@test "--complain-below: a temporary failure is silent while the token lasts longer" {
    login
    snapshot
    server_script refresh '{"status":503,"repeat":-1}'
    capture as_cron refresh --complain-below 10m
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    capture as_cron refresh --all --quiet --complain-below 10m
    assert_done
    assert_stderr_empty
    move_api http://127.0.0.1:1/v1
    capture as_cron refresh --complain-below 10m --retries 0
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    [ "$(count_requests refresh)" -ge 2 ] # it was tried
    token_works "$(cached_token)"
    cache_edit '.api_url = "http://127.0.0.1:1/v1" | .expires_at -= 3300'
    capture as_cron refresh --complain-below 10m --retries 0
    assert_failed 5 # so it is silence and not success
}

@test "--complain-below: a lock that is not had in time is temporary too" {
    login
    hold_lock .servetel-auth/default.lock
    capture as_cron refresh --timeout 1s --complain-below 10m
    assert_done
    assert_stderr_empty
    capture as_cron refresh --timeout 1s --complain-below 2h
    assert_failed 5
}

@test "--complain-below: below it the error is said, with its code" {
    login
    make_stale
    server_script refresh '{"status":503,"repeat":-1}'
    capture as_cron refresh --quiet --complain-below 10m
    assert_failed 5
    assert_stderr_has 503
    make_expired
    capture as_cron refresh --quiet --complain-below 1s
    assert_failed 5
    assert_stderr_has 503
}

@test "--complain-below: what needs a person is never silent" {
    login
    end_refresh_window
    capture as_cron refresh --quiet --complain-below 10m
    assert_failed 4
    assert_stderr_has 'servetel-auth login'
    capture as_cron refresh --quiet --complain-below 10m # it is remembered
    assert_failed 4
    without_refusal
    server_config '{"refresh_window":100000}'
    server_script refresh '{"status":404,"body":"nothing here"}'
    capture as_cron refresh --quiet --complain-below 10m
    assert_failed 6
    printf '{' >"$(cache_file)"
    capture as_cron refresh --quiet --complain-below 10m
    assert_failed 7
}

@test "--complain-below: a hook's failure is not a temporary one" {
    login
    capture as_cron refresh --quiet --complain-below 1m --on-change 'exit 9'
    assert_failed 1
}

# ------------------------------------------------------------------------------------------------------ --dry-run

# foresees CODE TEXT ARGUMENTS...: the dry run's code and words; nothing sent, run or changed.
foresees() {
    local code=$1 text=$2 sent
    shift 2
    snapshot
    sent="$(server_log length)"
    capture as_cron refresh --dry-run --on-change 'touch "$HOME/hooked"' "$@"
    assert_status "$code" || return
    [[ "$output$stderr" == *"$text"* ]] || fail_with_run "expected: $text" || return
    assert_unchanged || return
    assert_requests "$sent" || return
    [ ! -e "$HOME/hooked" ] || fail_with "the hook ran"
}

@test "--dry-run says what would be done and why, and sends nothing" {
    foresees 3 'servetel-auth login'
    remember
    foresees 0 'would refresh'
    foresees 0 'would keep' --min-ttl 30m
    foresees 0 'would refresh' --min-ttl 2h
    make_expired
    foresees 0 'expired'
    foresees 0 'would refresh' --min-ttl 1s
    assert_no_secret
}

@test "--dry-run: a permanent token is kept" {
    server_issue '{"ttl":null}' >token
    quietly login --token-stdin <token
    foresees 0 permanent
    foresees 0 'would keep'
}

@test "--dry-run: an expired permanent token is 3 without a source, a login with one" {
    server_issue '{"ttl":-5,"age":200000}' >token
    login
    now="$(date +%s)"
    cache_edit ".expires_at = $((now - 5)) | .obtained_at = $((now - 900000))"
    foresees 3 expired
    remember
    cache_edit ".expires_at = $((now - 5)) | .obtained_at = $((now - 900000))"
    foresees 0 'would log in'
    # A refused password would not be sent, so that is not what it foresees either.
    cache_edit '.unattended_login = "refused"'
    capture as_cron refresh --dry-run
    [ "$status" -ne 0 ]
    [[ "$output$stderr" != *'would log in'* ]] || fail_with_run "it would not"
    assert_requests 2 login
}

@test "--dry-run: a pause that the service asked for is 5" {
    remember
    cache_edit '.retry_noted_at = (now | floor) | .retry_at = .retry_noted_at + 100'
    foresees 5 'would send nothing'
}

@test "--dry-run: a token command is named and not run" {
    server_issue >token
    quietly login --token-command "echo ran >>'$HOME/ran'; cat '$HOME/token'"
    foresees 0 'token command'
    assert_equal "$(wc -l <ran)" 1
}

@test "--dry-run: a torn cache is 7" {
    login
    printf '{"version":1,' >"$(cache_file)"
    foresees 7 "$(cache_file)"
}

@test "--dry-run with --all has a line for each profile and the most serious code, without any 3" {
    capture as_cron refresh --all --dry-run
    assert_failed 3
    login -p one
    login -p two
    capture as_cron refresh --all --dry-run
    assert_done
    assert_equal "$(grep -c 'would refresh' <<<"$output")" 2
    assert_stdout_has one
    assert_stdout_has two
    printf '{' >"$(cache_file one)"
    capture as_cron refresh --all --dry-run
    assert_status 7
    assert_equal "$(grep -c 'would refresh' <<<"$output")" 1
    assert_requests 0 refresh
}
