#!/usr/bin/env bats
# What runs without a person: remembered passwords and the guard of the account, pauses that the service asks
# for, hooks, cron's options, and profiles whose token comes from a command.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper
load cli_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    cd "$HOME" || return
}

teardown() { test_teardown; }

NEW_PW='new horse'

# Logs in with a password file that the profile remembers.
remember() {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    quietly login -e "$EMAIL" --password-file "$HOME/pw"
}

# quietly ARGUMENTS...: the program; the test fails with what it said if it fails.
quietly() {
    servetel-auth "$@" >"$BATS_TEST_TMPDIR/said" 2>&1 || fail_with "failed: $*" "$(cat "$BATS_TEST_TMPDIR/said")"
}

# Every refresh is refused from now on: the first login was too long ago.
end_refresh_window() {
    server_config '{"refresh_window":0}'
}

# A token of an hour that is to be renewed, but is good for as long as a test takes on a busy machine.
end_soon() {
    set_life 50
}

change_password() {
    server_config "{\"users\":{\"$EMAIL\":\"$NEW_PW\"}}"
}

# As cron starts it: hardly any environment. The profile knows the rest.
as_cron() {
    env -i HOME="$HOME" SHELL=/bin/sh PATH="$PATH" servetel-auth "$@"
}

# logins_answered STATUS: how many logins got it.
logins_answered() {
    server_control log | jq --argjson status "$1" '[.[] | select(.endpoint == "login" and .status == $status)] | length'
}

assert_logins_refused() {
    assert_equal "$(logins_answered 401)" "$1"
}

assert_requests() {
    assert_equal "$(count_requests "$1") $1" "$2 $1"
}

# assert_stderr_once TEXT: in exactly one line.
assert_stderr_once() {
    assert_equal "$(grep -c -- "$1" <<<"$stderr")" 1 || fail_with_run "expected once in stderr: $1"
}

# indian_time EPOCH: as the service writes retry_after, +05:30 and without saying so.
indian_time() {
    jq -rn --argjson at "$1" '$at + 19800 | strftime("%Y-%m-%d %H:%M:%S")'
}

# --------------------------------------------------------------------------------- remembered password sources

@test "a remembered password file logs in again when the refresh is refused" {
    remember
    end_refresh_window
    old="$(cached_token)"
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" logged-in
    assert_stderr_has 'logged in'
    assert_no_secret
    assert_requests login 2
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "a remembered password command logs in again, from any directory" {
    printf '%s\n' "$PW" >pw
    quietly login -e "$EMAIL" --password-command "cat '$HOME/pw' | tee -a '$HOME/ran'"
    assert_equal "$(jq -r .password_command "$(cache_file)")" "cat '$HOME/pw' | tee -a '$HOME/ran'"
    end_refresh_window
    cd /
    run --separate-stderr as_cron refresh --quiet
    assert_status 0
    assert_stdout_empty
    assert_stderr_empty
    assert_requests login 2
    assert_equal "$(wc -l <"$HOME/ran")" 2
    token_works "$(cached_token)"
}

@test "the password itself is nowhere in the cache" {
    remember
    end_refresh_window
    quietly refresh
    run grep -rF "$PW" "$HOME/.servetel-auth"
    [ "$status" -eq 1 ]
    [ -z "$output" ]
}

@test "a password file given by a relative path is remembered by an absolute one" {
    mkdir -p secrets
    (umask 077 && printf '%s\n' "$PW" >secrets/pw)
    quietly login -e "$EMAIL" --password-file secrets/pw
    assert_equal "$(jq -r .password_file "$(cache_file)")" "$HOME/secrets/pw"
    end_refresh_window
    cd /
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" logged-in
    assert_requests login 2
}

@test "a systemd credential serves as password file, without a complaint about its mode" {
    export CREDENTIALS_DIRECTORY="$HOME/credentials/servetel-auth.service"
    mkdir -p "$CREDENTIALS_DIRECTORY"
    printf '%s' "$PW" >"$CREDENTIALS_DIRECTORY/password"
    chmod 400 "$CREDENTIALS_DIRECTORY/password"
    chmod 500 "$CREDENTIALS_DIRECTORY"
    run --separate-stderr servetel-auth login -e "$EMAIL" --password-file "$CREDENTIALS_DIRECTORY/password"
    assert_status 0
    assert_stderr_lacks chmod
    assert_stderr_lacks warning
    end_refresh_window
    run --separate-stderr as_cron refresh --quiet
    assert_status 0
    assert_stderr_empty
    assert_requests login 2
    chmod 700 "$CREDENTIALS_DIRECTORY"
}

@test "a password file that others can read is warned about, with the chmod that mends it" {
    printf '%s\n' "$PW" >pw
    chmod 644 pw
    run --separate-stderr servetel-auth login -e "$EMAIL" --password-file pw
    assert_status 0
    assert_stdout_empty
    assert_stderr_once 'chmod .*pw'
}

@test "the remembered password is not sent to another host than it is for" {
    remember
    end_refresh_window
    run --separate-stderr servetel-auth refresh --api-url "http://localhost:$API_PORT/v1"
    assert_status 2
    assert_stderr_has "the remembered password is for $API and is not sent to http://localhost:$API_PORT/v1: see to --api-url"
    SERVETEL_API_URL="http://localhost:$API_PORT/v1" run --separate-stderr servetel-auth show --min-ttl 2h
    assert_status 2
    assert_requests login 1
}

@test "what another host says of the token is not written down" {
    login
    snapshot
    server_script refresh '{"status":401,"json":{"message":"The token has been blacklisted"}}' \
        '{"status":429,"headers":{"Retry-After":"7000"}}'
    run --separate-stderr servetel-auth refresh --api-url "http://localhost:$API_PORT/v1"
    assert_status 4
    run --separate-stderr servetel-auth refresh --api-url "http://localhost:$API_PORT/v1"
    assert_status 5
    assert_unchanged
    run --separate-stderr servetel-auth refresh
    assert_status 0
}

@test "login --no-cache asks the profile's own API, and not with the remembered password" {
    remember
    change_password
    unset SERVETEL_API_URL
    run --separate-stderr setsid -w servetel-auth login --no-cache </dev/null
    assert_status 2
    assert_stderr_has 'no password: give --password-stdin'
    run --separate-stderr servetel-auth login --no-cache --password-stdin <<<"$NEW_PW"
    assert_status 0
    token_works "$output"
    assert_requests login 2
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
        run --separate-stderr servetel-auth status --json
        jq -e '.profiles[0] | .in_doubt or .blacklisted_at != null' <<<"$output"
        run --separate-stderr servetel-auth refresh --json
        assert_equal "$(jq -r .action <<<"$output")" logged-in
    done
}

@test "a 500 on refresh is taken for a refusal and logs in again, once" {
    remember
    end_refresh_window
    server_config '{"uncaught":true}'
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" logged-in
    assert_requests login 2
    token_works "$(cached_token)"
}

@test "a 500 on refresh without a password source is temporary, and says that a login may be needed" {
    login
    end_refresh_window
    server_config '{"uncaught":true}'
    snapshot
    run --separate-stderr servetel-auth refresh
    assert_status 5
    assert_stdout_empty
    assert_stderr_has login
    assert_requests login 1
    assert_no_secret
}

@test "a refused refresh without a password source is 4, and says which command is needed" {
    login
    end_refresh_window
    snapshot
    run --separate-stderr servetel-auth refresh
    assert_status 4
    assert_stdout_empty
    assert_stderr_has 'servetel-auth login'
    assert_requests login 1
    assert_equal "$(jq -r .access_token <"$(cache_file)")" "$(cached_token)"
    token_works "$(cached_token)" # the refusal spent nothing, and nothing cached was thrown away
}

@test "an unattended login whose answer is lost is not sent again" {
    remember
    end_refresh_window
    server_script login '{"drop":"no_answer_processed","repeat":-1}'
    run --separate-stderr as_cron refresh
    assert_status 5
    assert_requests login 2
}

@test "a password source that fails is 7, and sends no login" {
    remember
    end_refresh_window
    rm "$HOME/pw"
    snapshot
    run --separate-stderr servetel-auth refresh
    assert_status 7
    assert_stdout_empty
    assert_stderr_has "$HOME/pw"
    assert_requests login 1
    token_works "$(cached_token)"
}

@test "a password source that is empty is 7, and sends no login" {
    remember
    end_refresh_window
    : >"$HOME/pw"
    run --separate-stderr servetel-auth refresh
    assert_status 7
    assert_requests login 1
}

@test "a password command that hangs is ended by --timeout, with 5" {
    quietly login -e "$EMAIL" --password-command \
        "if [ -e '$HOME/hang' ]; then echo \$\$ >'$HOME/pid'; exec sleep 600; fi; echo '$PW'"
    end_refresh_window
    touch "$HOME/hang"
    SECONDS=0
    run --separate-stderr servetel-auth refresh --timeout 2s
    [ "$SECONDS" -lt 20 ]
    assert_status 5
    assert_requests login 1
    retry_until 5 is_gone "$(cat "$HOME/pid")"
}

@test "an expired permanent token is replaced by an unattended login" {
    remember
    cache_edit "del(.expires_at, .obtained_at) | .access_token = \"expired\" | .expires_at = $(($(date +%s) - 5))"
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" logged-in
    token_works "$(cached_token)"
}

@test "--forget-source drops the remembered source: the next refusal is 4 and sends no login" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login --forget-source --password-stdin <stdin
    assert_equal "$(jq 'has("password_file") or has("password_command")' "$(cache_file)")" false
    end_refresh_window
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_stderr_has 'servetel-auth login'
    assert_requests login 2
}

@test "a login as somebody else drops the remembered source" {
    remember
    server_config "{\"users\":{\"$EMAIL\":\"$PW\",\"other@example.test\":\"pw\"}}"
    printf 'pw\n' >stdin
    quietly login -e other@example.test --password-stdin <stdin
    end_refresh_window
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_requests login 2
}

@test "a login at another host drops the remembered source" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login --api-url "http://localhost:$API_PORT/v1" --password-stdin <stdin
    end_refresh_window
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_requests login 2
}

@test "a login as the same person keeps the remembered source" {
    remember
    printf '%s\n' "$PW" >stdin
    quietly login -e "$EMAIL" --password-stdin <stdin
    assert_equal "$(jq -r .password_file "$(cache_file)")" "$HOME/pw"
    end_refresh_window
    run --separate-stderr as_cron refresh --quiet
    assert_status 0
    assert_requests login 3
}

# -------------------------------------------------------------------------------------- the guard of the account

@test "a refused remembered password is noted, said in words with the time, and never sent again" {
    remember
    end_refresh_window
    change_password
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_stdout_empty
    assert_stderr_has 'servetel-auth login'
    assert_no_secret
    assert_logins_refused 1
    assert_equal "$(jq -r .unattended_login "$(cache_file)")" refused

    run --separate-stderr as_cron refresh
    assert_status 4
    assert_stderr_has 'servetel-auth login'
    [[ "$stderr" =~ refused.*[0-9]{4}-[0-9]{2}-[0-9]{2}' '[0-9]{2}:[0-9]{2} ]]

    make_expired
    run --separate-stderr as_cron show
    assert_status 4
    assert_stdout_empty
    assert_stderr_has 'servetel-auth login'

    run --separate-stderr as_cron exec --keep-fresh -- touch "$HOME/ran"
    assert_status 4
    [ ! -e "$HOME/ran" ]
    run --separate-stderr as_cron exec -- touch "$HOME/ran"
    assert_status 4
    [ ! -e "$HOME/ran" ]
    run --separate-stderr as_cron refresh --all
    assert_status 4
    assert_logins_refused 1
}

@test "status says that the unattended login was refused, when, and what to do" {
    remember
    end_refresh_window
    change_password
    run servetel-auth refresh
    [ "$status" -eq 4 ]
    run --separate-stderr servetel-auth status
    [[ "$output$stderr" =~ refused.*[0-9]{4}-[0-9]{2}-[0-9]{2}' '[0-9]{2}:[0-9]{2} ]] || fail_with_run "no time"
    [[ "$output$stderr" == *'servetel-auth login'* ]] || fail_with_run "no way out"
    run --separate-stderr servetel-auth status --json
    assert_equal "$(jq -r '.profiles[0].unattended_login' <<<"$output")" refused
    make_expired
    run --separate-stderr servetel-auth status
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
    run as_cron refresh
    [ "$status" -eq 4 ]
    printf '%s\n' "$NEW_PW" >"$HOME/pw"
    run as_cron refresh # the file is right by now, but nobody has said so
    [ "$status" -eq 4 ]
    assert_requests login 2
    run --separate-stderr servetel-auth login # it may be a crontab's, so it must be named
    assert_status 4
    assert_stderr_has "correct it at its source, then run servetel-auth login --password-file $HOME/pw"
    assert_requests login 2
    run --separate-stderr servetel-auth login --password-file "$HOME/pw"
    assert_status 0
    assert_equal "$(jq -r '.unattended_login // "none"' "$(cache_file)")" none
    run --separate-stderr servetel-auth status
    assert_status 0
    assert_stderr_lacks refused
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" logged-in
    assert_logins_refused 1
}

@test "a login at a terminal asks for the password when the remembered one was refused" {
    quietly login -e "$EMAIL" --password-command "echo '$PW'"
    end_refresh_window
    change_password
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_stderr_has 'then run servetel-auth login --password-command COMMAND'
    assert_no_secret # the command holds it
    run "$TESTS_PYTHON" "$TESTS_DIR/pty_run.py" expect:'(the remembered one was refused): ' echo:off \
        "type:$NEW_PW\\n" -- servetel-auth login
    assert_status 0
    assert_logins_refused 1
    assert_equal "$(jq -r '.unattended_login // "none"' "$(cache_file)")" none
    assert_stdout_has "if it is not this one, correct it at its source, or login --forget-source"
}

@test "a remembered password that is refused in a person's login is noted too" {
    remember
    end_refresh_window
    change_password
    run --separate-stderr servetel-auth login
    assert_status 4
    assert_logins_refused 1
    run --separate-stderr as_cron refresh
    assert_status 4
    assert_logins_refused 1
}

@test "twenty runs of cron with a stale password never come near the service's lockout" {
    server_config '{"lockout":3}'
    remember
    end_refresh_window
    change_password
    for ((i = 0; i < 20; i++)); do
        case $((i % 4)) in
        0) run as_cron refresh --quiet ;;
        1) run as_cron refresh --quiet --all ;;
        2) run as_cron refresh --quiet --min-ttl 30m --complain-below 10m && make_stale ;;
        3) run as_cron show --min-ttl 2h ;;
        esac
        [ "$status" -ne 0 ] || [ $((i % 4)) -eq 2 ] || fail_with "run $i succeeded" "$output"
    done
    assert_logins_refused 1
    printf '%s\n' "$NEW_PW" >stdin
    run --separate-stderr servetel-auth login --password-stdin <stdin
    assert_status 0 # the account was never locked
}

# ------------------------------------------------------------------------------------- pauses the service asks for

@test "a 429 with Retry-After is remembered: nothing is sent before that, by anyone" {
    remember
    end_soon
    server_script refresh '{"status":429,"headers":{"Retry-After":"100"},"json":{"message":"Too Many Attempts."}}'
    run --separate-stderr as_cron refresh
    assert_status 5
    assert_stdout_empty
    [[ "$stderr" =~ (9[0-9]|100)' s' ]] || fail_with_run "the time to wait is not said"
    assert_requests refresh 1

    run --separate-stderr as_cron refresh
    assert_status 5
    [[ "$stderr" =~ (9[0-9]|10[01])' s' ]] || fail_with_run "the time left is not said"
    run --separate-stderr as_cron refresh --all --quiet
    assert_status 5
    run --separate-stderr as_cron show --min-ttl 1h
    assert_status 5
    assert_stdout_empty
    run --separate-stderr as_cron show
    assert_status 0
    assert_stdout "$(cached_token)"
    assert_stderr_has warning
    run --separate-stderr as_cron exec -- true
    assert_status 0
    assert_requests refresh 1
    assert_requests login 1
}

@test "a 429 with a retry_after in Indian time is remembered" {
    remember
    at=$(($(date +%s) + 300))
    server_script refresh "{\"status\":429,\"json\":{\"success\":false,\"retry_after\":\"$(indian_time $at)\"}}"
    run --separate-stderr as_cron refresh
    assert_status 5
    [[ "$stderr" =~ (300' s'|29[0-9]' s'|5' min'|4' min') ]] || fail_with_run "the time to wait is not said"
    run --separate-stderr as_cron refresh
    assert_status 5
    assert_requests refresh 1
    assert_equal "$(servetel-auth status --json 2>/dev/null | jq ".profiles[0].retry_at - $at | fabs <= 5")" true
}

@test "a 429 on an unattended login is remembered" {
    remember
    end_refresh_window
    server_script login '{"status":429,"headers":{"Retry-After":"100"}}'
    run --separate-stderr as_cron refresh
    assert_status 5
    assert_requests login 2
    refreshes="$(count_requests refresh)"
    run --separate-stderr as_cron refresh
    assert_status 5
    assert_requests login 2
    assert_requests refresh "$refreshes"
    run as_cron refresh --dry-run
    [ "$status" -eq 5 ]
}

@test "when the pause is over the next run renews, and the first one not before" {
    remember
    server_script refresh '{"status":429,"headers":{"Retry-After":"6"}}'
    run --separate-stderr as_cron refresh --timeout 3s
    assert_status 5
    assert_requests refresh 1
    retry_until 20 as_cron refresh --quiet --timeout 3s 2>"$BATS_TEST_TMPDIR/err"
    assert_requests refresh 2
    # 5.9: what is remembered is in whole seconds
    assert_equal "$(server_log '[.[] | select(.endpoint == "refresh") | .time] | .[1] - .[0] >= 5.9')" true
}

@test "a pause that ends within the time left is waited for" {
    remember
    server_script refresh '{"status":429,"headers":{"Retry-After":"2"}}'
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" renewed
    assert_requests refresh 2
    assert_equal "$(server_log '[.[] | select(.endpoint == "refresh") | .time] | .[1] - .[0] >= 1.9')" true
}

@test "a pause longer than a day is a mistake and does not silence the profile" {
    remember
    cache_edit ".retry_at = $(($(date +%s) + 30000000))"
    run --separate-stderr as_cron refresh --quiet
    assert_status 0
    assert_requests refresh 1
}

# ------------------------------------------------------------------------------------------------------- hooks

@test "the hook gets the token on stdin, without a newline, and what it is for in the environment" {
    login
    unset SERVETEL_API_URL
    run --separate-stderr servetel-auth refresh --on-change 'cat >"$HOME/in"; env >"$HOME/env"; echo "$0 $*" >"$HOME/args"'
    assert_status 0
    assert_stdout_empty
    token="$(cached_token)"
    printf %s "$token" | cmp - "$HOME/in"
    assert_equal "$(grep '^SERVETEL_PROFILE=' env)" SERVETEL_PROFILE=default
    assert_equal "$(grep '^SERVETEL_EXPIRES_AT=' env)" "SERVETEL_EXPIRES_AT=$(jq .expires_at "$(cache_file)")"
    assert_equal "$(grep '^SERVETEL_API_URL=' env)" "SERVETEL_API_URL=$API"
    run grep -F "$token" env args
    [ "$status" -eq 1 ]
    token_works "$token"
}

@test "the hook's environment names the same cache, so that the program can be used in it" {
    local show='servetel-auth show --cached >"$HOME/shown"; env >"$HOME/env"; ls -l /proc/self/fd >"$HOME/fds"'
    login -p work
    SERVETEL_AUTH_FILE=elsewhere.json servetel-auth refresh -q -p work --on-change "$show"
    assert_equal "$(cat shown)" "$(cached_token work)"
    assert_equal "$(grep -E '^SERVETEL_(PROFILE|AUTH_FILE)=' env | sort | xargs)" 'SERVETEL_AUTH_FILE= SERVETEL_PROFILE=work'
    ! grep socket fds || fail_with "inherited" "$(cat fds)"
    login -f my.json
    SERVETEL_PROFILE=work servetel-auth refresh -q -f my.json --on-change "$show"
    assert_equal "$(cat shown)" "$(jq -r .access_token my.json)"
    assert_equal "$(grep -E '^SERVETEL_(PROFILE|AUTH_FILE)=' env | sort | xargs)" 'SERVETEL_AUTH_FILE=my.json SERVETEL_PROFILE='
}

@test "a hook that a signal leaves out or stops is told of" {
    local status
    login
    server_script refresh '{"hold":true}'
    background servetel-auth refresh --on-change 'touch "$HOME/ran"'
    retry_until 20 has_requests refresh 1
    kill -s TERM "$BG_PID"
    server_release # the answer is waited for, for two seconds
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    token_works "$(cached_token)"
    [ ! -e ran ]
    grep -q 'default: the token is stored, but the hook was not run: a signal came' "$BG_ERR"

    background servetel-auth refresh --on-change 'touch "$HOME/ran"; exec sleep 600'
    retry_until 20 test -e ran
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    token_works "$(cached_token)"
    grep -q 'default: the token is stored, but a signal stopped the hook' "$BG_ERR"
}

@test "the hook runs for an unattended login too" {
    remember
    end_refresh_window
    run --separate-stderr as_cron refresh --quiet --on-change 'cat >"$HOME/in"'
    assert_status 0
    printf %s "$(cached_token)" | cmp - in
}

@test "the hook runs after the token is stored and the lock let go" {
    login
    # In the hook another renewal of the same profile works, and finds what the first one stored.
    run --separate-stderr servetel-auth refresh --on-change \
        'test "$(servetel-auth show --cached)" = "$(cat)" && servetel-auth refresh --quiet --timeout 5s && touch "$HOME/ok"'
    assert_status 0
    [ -e ok ]
    assert_requests refresh 2
}

@test "the hook does not run when the token is kept" {
    login
    run --separate-stderr servetel-auth refresh --min-ttl 1m --json --on-change 'touch "$HOME/ran"'
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" kept
    [ ! -e ran ]
    assert_requests refresh 0
}

@test "the hook does not run when another process has renewed the token meanwhile" {
    login
    server_script refresh '{"delay":3}'
    background servetel-auth refresh --on-change 'echo first >>"$HOME/ran"'
    first=$BG_PID
    retry_until 10 has_requests refresh 1
    run --separate-stderr servetel-auth refresh --json --on-change 'echo second >>"$HOME/ran"'
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" kept
    wait "$first"
    assert_equal "$(cat ran)" first
    assert_requests refresh 1
}

@test "the hook does not run when the renewal fails" {
    login
    end_refresh_window
    run --separate-stderr servetel-auth refresh --on-change 'touch "$HOME/ran"'
    assert_status 4
    [ ! -e ran ]
}

@test "a hook that fails is exit 1, said on stderr, and the token stays stored" {
    login
    old="$(cached_token)"
    run --separate-stderr servetel-auth refresh --on-change 'cat >/dev/null; echo "vault is sealed" >&2; exit 3'
    assert_status 1
    assert_stdout_empty
    assert_stderr_has 'vault is sealed'
    assert_stderr_has '3'
    assert_no_secret
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
}

@test "a hook that is killed, or does not exist, is exit 1" {
    login
    run --separate-stderr servetel-auth refresh --on-change 'kill -9 $$'
    assert_status 1
    assert_stderr_has 9
    run --separate-stderr servetel-auth refresh --on-change "$HOME/no-such-hook"
    assert_status 1
    token_works "$(cached_token)"
}

@test "what the hook prints does not mix with --print or --json" {
    login
    run --separate-stderr servetel-auth refresh --print --on-change 'echo noise; cat'
    assert_status 0
    assert_stdout "$(cached_token)"
    run --separate-stderr servetel-auth refresh --json --on-change 'echo noise'
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" renewed
    assert_stderr_has noise
}

@test "--print prints the stored token even when the hook fails" {
    login
    run --separate-stderr servetel-auth refresh --print --on-change 'exit 1'
    assert_status 1
    assert_stdout "$(cached_token)"
    token_works "$output"
}

@test "a hook that does not read its stdin is no failure" {
    login
    run --separate-stderr servetel-auth refresh --on-change 'exec <&-; touch "$HOME/ran"'
    assert_status 0
    [ -e ran ]
    # A token that is longer than a pipe's smallest buffer.
    long="$(printf '%16384s' '' | tr ' ' x)"
    server_script refresh "{\"status\":200,\"json\":{\"success\":true,\"access_token\":\"$long\",\"expires_in\":3600}}"
    run --separate-stderr servetel-auth refresh --on-change true
    assert_status 0
    assert_equal "$(cached_token)" "$long"
}

@test "a hook that hangs is ended by --timeout, and the token stays stored" {
    login
    old="$(cached_token)"
    SECONDS=0
    run --separate-stderr servetel-auth refresh --timeout 3s --on-change 'echo $$ >"$HOME/pid"; exec sleep 600'
    [ "$SECONDS" -lt 20 ]
    assert_status 1
    [ -n "$stderr" ]
    [ "$(cached_token)" != "$old" ]
    token_works "$(cached_token)"
    retry_until 5 is_gone "$(cat pid)"
}

@test "a hook that leaves a process behind with its output open does not hold up the program" {
    login
    SECONDS=0
    run --separate-stderr servetel-auth refresh --on-change \
        'sleep 600 >/dev/null 2>&1 </dev/null 3>&- & echo $! >"$HOME/pid"'
    STARTED_PIDS+=("$(cat pid)")
    [ "$SECONDS" -lt 20 ]
    assert_status 0
}

# ----------------------------------------------------------------------------------------------- --complain-below

@test "--complain-below: a temporary failure is silent while the token lasts longer" {
    login
    snapshot
    server_script refresh '{"status":503,"repeat":-1}'
    run --separate-stderr as_cron refresh --complain-below 10m
    assert_status 0
    assert_stdout_empty
    assert_stderr_empty
    run --separate-stderr as_cron refresh --complain-below 10m --api-url http://127.0.0.1:1/v1 --retries 0
    assert_status 0
    assert_stdout_empty
    assert_stderr_empty
    run --separate-stderr as_cron refresh --all --quiet --complain-below 10m
    assert_status 0
    assert_stderr_empty
    [ "$(count_requests refresh)" -ge 2 ] # it was tried
    token_works "$(cached_token)"
}

@test "--complain-below: a lock that is not had in time is temporary too" {
    login
    background bash -c 'exec 9>>.servetel-auth/default.lock && flock 9 && touch held && exec sleep 600'
    retry_until 10 test -e held
    run --separate-stderr as_cron refresh --timeout 1s --complain-below 10m
    assert_status 0
    assert_stderr_empty
    run --separate-stderr as_cron refresh --timeout 1s --complain-below 2h
    assert_status 5
    [ -n "$stderr" ]
}

@test "--complain-below: below it the error is said, with its code" {
    login
    make_stale
    server_script refresh '{"status":503,"repeat":-1}'
    run --separate-stderr as_cron refresh --quiet --complain-below 10m
    assert_status 5
    assert_stdout_empty
    assert_stderr_has 503
    make_expired
    run --separate-stderr as_cron refresh --quiet --complain-below 1s
    assert_status 5
    assert_stderr_has 503
}

@test "--complain-below: what needs a person is never silent" {
    login
    end_refresh_window
    run --separate-stderr as_cron refresh --quiet --complain-below 10m
    assert_status 4
    assert_stderr_has 'servetel-auth login'
    server_config '{"refresh_window":100000}'
    server_script refresh '{"status":404,"body":"nothing here"}'
    run --separate-stderr as_cron refresh --quiet --complain-below 10m
    assert_status 6
    [ -n "$stderr" ]
    printf '{' >"$(cache_file)"
    run --separate-stderr as_cron refresh --quiet --complain-below 10m
    assert_status 7
    [ -n "$stderr" ]
}

@test "--complain-below: a hook's failure is not a temporary one" {
    login
    run --separate-stderr as_cron refresh --quiet --complain-below 1m --on-change 'exit 9'
    assert_status 1
    [ -n "$stderr" ]
}

# ------------------------------------------------------------------------------------------------------ --dry-run

# foresees CODE TEXT ARGUMENTS...: the dry run's code and words; nothing sent, run or changed.
foresees() {
    local code=$1 text=$2 sent
    shift 2
    snapshot
    sent="$(server_log length)"
    run --separate-stderr as_cron refresh --dry-run --on-change 'touch "$HOME/hooked"' "$@"
    assert_status "$code" || return
    [[ "$output$stderr" == *"$text"* ]] || fail_with_run "expected: $text" || return
    assert_unchanged || return
    assert_equal "$(server_log length)" "$sent" || return
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
    run --separate-stderr as_cron refresh --dry-run
    [ "$status" -ne 0 ]
    [[ "$output$stderr" != *'would log in'* ]] || fail_with_run "it would not"
    assert_requests login 2
}

@test "--dry-run: a pause that the service asked for is 5" {
    remember
    cache_edit ".retry_at = $(($(date +%s) + 100))"
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

@test "--dry-run with --all has a line for each profile and the most serious code" {
    login -p one
    login -p two
    run --separate-stderr as_cron refresh --all --dry-run
    assert_status 0
    assert_equal "$(grep -c 'would refresh' <<<"$output")" 2
    assert_stdout_has one
    assert_stdout_has two
    printf '{' >"$(cache_file one)"
    run --separate-stderr as_cron refresh --all --dry-run
    assert_status 7
    assert_equal "$(grep -c 'would refresh' <<<"$output")" 1
    assert_requests refresh 0
}

# ------------------------------------------------------------------------------------------- the password's last days

@test "a password that expires in 14 days is warned about, once, in login, refresh and status" {
    server_config '{"number_of_days_left":14}'
    (umask 077 && printf '%s\n' "$PW" >pw)
    run --separate-stderr servetel-auth login -e "$EMAIL" --password-file pw
    assert_status 0
    assert_stderr_once 'password.*expires in 14 days'
    for command in refresh status; do
        run --separate-stderr servetel-auth "$command"
        assert_status 0
        assert_stderr_once 'password.*expires in 1[34] days'
    done
    run --separate-stderr servetel-auth status --json
    assert_status 0
    jq -e . <<<"$output" >/dev/null
}

@test "a password that expires in 15 days, or at no known time, is not warned about" {
    for days in 15 90 null; do
        server_config "{\"number_of_days_left\":$days}"
        printf '%s\n' "$PW" >stdin
        run --separate-stderr servetel-auth login -e "$EMAIL" --password-stdin <stdin
        assert_status 0
        assert_stderr_lacks 'expires in'
    done
}

@test "an unattended login warns about the password's last days, once; --quiet does not" {
    remember
    end_refresh_window
    server_config '{"number_of_days_left":3}'
    run --separate-stderr as_cron refresh
    assert_status 0
    assert_stderr_once 'password.*expires in 3 days'
    run --separate-stderr as_cron refresh --quiet
    assert_status 0
    assert_stderr_empty
}

@test "a password changed in time ends the warning" {
    server_config '{"number_of_days_left":1}'
    login
    server_config '{"number_of_days_left":90}'
    login
    run --separate-stderr servetel-auth status
    assert_status 0
    assert_stderr_empty
}

@test "a number of days that makes no sense harms nothing" {
    for days in -1 0 1e300 '"soon"' '{}' 3.5; do
        server_script login "{\"merge\":{\"number_of_days_left\":$days}}"
        printf '%s\n' "$PW" >stdin
        run --separate-stderr servetel-auth login -e "$EMAIL" --password-stdin <stdin
        assert_status 0
        run --separate-stderr servetel-auth status
        assert_status 0
    done
}

# ------------------------------------------------------------------------------------------------- token commands

# Logs in with a token command that prints the file `token`, after it has counted itself; each of its runs takes
# a moment.
use_token_command() {
    server_issue >token
    quietly login --token-command "echo run >>'$HOME/runs'; sleep 0.2; cat '$HOME/token'"
}

# The cached token is at its end, and the command has nothing newer.
go_stale() {
    server_issue '{"ttl":50}' >token
    cache_edit ".access_token = \"$(cat token)\""
    end_soon
}

# runs: of the token command, so far.
runs() { wc -l <"$HOME/runs"; }

@test "a token command gives the token for login, show, exec, status and refresh; the API is never asked" {
    use_token_command
    assert_equal "$(cached_token)" "$(cat token)"
    run --separate-stderr servetel-auth show
    assert_status 0
    assert_stdout "$(cat token)"
    assert_stderr_empty
    run --separate-stderr servetel-auth exec -- printenv SERVETEL_TOKEN
    assert_status 0
    assert_stdout "$(cat token)"
    run --separate-stderr servetel-auth status
    assert_status 0
    assert_stdout_has default
    assert_no_secret
    assert_equal "$(runs)" 1 # a token that lasts needs no command

    go_stale
    server_issue >token
    run --separate-stderr as_cron refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" renewed
    assert_equal "$(cached_token)" "$(cat token)"
    go_stale
    server_issue >token
    run --separate-stderr as_cron show
    assert_status 0
    assert_stdout "$(cat token)"
    go_stale
    server_issue >token
    run --separate-stderr as_cron refresh --all
    assert_status 0
    assert_equal "$(cached_token)" "$(cat token)"
    run --separate-stderr servetel-auth logout
    assert_status 0
    assert_equal "$(server_log length)" 0
}

@test "the token command's profile is usable without a person, expired or not" {
    use_token_command
    make_expired
    run --separate-stderr servetel-auth status
    assert_status 0
    server_issue >token
    run --separate-stderr servetel-auth show
    assert_status 0
    assert_stdout "$(cat token)"
    assert_equal "$(server_log length)" 0
}

@test "many processes at once run the token command once" {
    use_token_command
    go_stale
    server_issue >token
    : >runs
    pids=()
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        if [ $((i % 2)) = 0 ]; then
            background servetel-auth show
        else
            background servetel-auth refresh --min-ttl 1m --print
        fi
        pids+=("$BG_PID:$BG_OUT")
    done
    for one in "${pids[@]}"; do
        wait "${one%%:*}"
        assert_equal "$(cat "${one#*:}")" "$(cat token)"
    done
    assert_equal "$(runs)" 1
}

@test "a token command with nothing newer than the stale token is 5, and changes nothing" {
    use_token_command
    go_stale
    snapshot
    run --separate-stderr servetel-auth refresh --min-ttl 1m
    assert_status 5
    assert_stdout_empty
    [ -n "$stderr" ]
    assert_no_secret
    run --separate-stderr servetel-auth show --min-ttl 1m
    assert_status 5
    assert_stdout_empty
    run --separate-stderr servetel-auth show
    assert_status 0
    assert_stdout "$(cat token)"
    assert_stderr_has warning
    assert_unchanged
}

@test "a token command with an older token than the cached one is 5" {
    use_token_command
    go_stale
    server_issue '{"ttl":-30,"age":4000}' >token
    snapshot
    run --separate-stderr servetel-auth refresh --min-ttl 1m
    assert_status 5
    assert_unchanged
}

@test "a token command that hangs is ended by --timeout, with 5" {
    use_token_command
    go_stale
    cache_edit ".token_command = \"echo \$\$ >'$HOME/pid'; exec sleep 600\""
    snapshot
    SECONDS=0
    run --separate-stderr servetel-auth refresh --timeout 3s
    assert_status 5
    [ "$SECONDS" -lt 20 ]
    retry_until 5 is_gone "$(cat pid)"
    assert_unchanged
    run --separate-stderr servetel-auth login -p other --timeout 1s --token-command 'sleep 600'
    assert_status 5
    [ ! -e "$(cache_file other)" ]
    [ "$SECONDS" -lt 40 ]
}

@test "a token command that fails or prints nothing is 7, and changes nothing" {
    use_token_command
    go_stale
    for command in 'exit 3' 'true' 'echo' 'no-such-command-here' 'kill -9 $$' "cat '$HOME/token'; exit 1"; do
        cache_edit ".token_command = $(jq -Rn --arg c "$command" '$c')"
        snapshot
        run --separate-stderr servetel-auth refresh
        assert_status 7
        assert_stdout_empty
        [ -n "$stderr" ]
        assert_no_secret
        assert_unchanged
    done
    run --separate-stderr servetel-auth login -p other --token-command 'exit 3'
    assert_status 7
    [ ! -e "$(cache_file other)" ]
}

@test "what a token command prints is a token or it is refused" {
    use_token_command
    go_stale
    for printed in 'ey***' 'two words' "$(printf 'a\001b')" "$(printf '%16385s' '' | tr ' ' x)"; do
        printf '%s\n' "$printed" >token
        snapshot
        run --separate-stderr servetel-auth refresh
        [ "$status" -ne 0 ] || fail_with_run "a token that cannot be one was taken"
        assert_stderr_lacks "$printed"
        assert_unchanged
    done
}

@test "only the first line that a token command prints counts, with the cached one's hook run for the new one" {
    use_token_command
    go_stale
    { server_issue && echo second; } >both
    cache_edit ".token_command = \"cat '$HOME/both'\""
    run --separate-stderr servetel-auth refresh --on-change 'cat >"$HOME/in"'
    assert_status 0
    assert_equal "$(cached_token)" "$(head -n 1 both)"
    printf %s "$(head -n 1 both)" | cmp - in
}

@test "a token command run in a loop does not eat the loop's input" {
    server_issue >token
    quietly login --token-command "cat >/dev/null; cat '$HOME/token'"
    count=0
    while read -r _; do
        server_issue >token
        cache_edit '.expires_at = 1'
        assert_equal "$(servetel-auth show)" "$(cat token)"
        count=$((count + 1))
    done <<<$'one\ntwo\nthree'
    assert_equal "$count" 3
}

@test "a login with a password ends the token command's rule" {
    use_token_command
    login
    assert_equal "$(jq 'has("token_command")' "$(cache_file)")" false
    run --separate-stderr servetel-auth refresh
    assert_status 0
    assert_requests refresh 1
    assert_equal "$(runs)" 1
}

@test "what a store says instead of a token, such as null, does not replace one that ends" {
    login
    server_reset
    snapshot_before="$(cached_token)"
    for word in null 'Error:' servetel/token; do
        run --separate-stderr servetel-auth refresh --adopt "echo $word"
        assert_status 7
        assert_stdout_empty
        [[ "$stderr" == *'the adopt command'* ]] || fail_with_run 'the command is not named'
        assert_equal "$(cached_token)" "$snapshot_before"
    done
    cache_edit '.token_command = "echo null"'
    run --separate-stderr servetel-auth refresh
    assert_status 7
    [[ "$stderr" == *'the token command'* ]] || fail_with_run 'the command is not named'
    assert_equal "$(cached_token)" "$snapshot_before"
}

@test "a reader follows its source from a permanent token to one that ends" {
    echo permanent >token
    quietly login --token-command "cat '$HOME/token'"
    jwt "{\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + 3600))}" >token
    run --separate-stderr servetel-auth refresh --print
    assert_status 0
    assert_stdout "$(cat token)"
}

@test "a published token takes no permanent token's place" {
    local ending
    servetel-auth login -q --token-stdin <<<'permanent'
    snapshot
    for ending in -10 3600; do
        run --separate-stderr servetel-auth refresh --min-ttl 20m --on-change 'cat >published' \
            --adopt "echo '$(jwt "{\"nbf\":$EPOCHSECONDS,\"exp\":$((EPOCHSECONDS + ending))}")'"
        assert_status 0
        assert_unchanged
        assert_equal "$(cat published)" permanent
    done
    assert_requests refresh 0
}

@test "a published token that works beats a cached one that is blacklisted" {
    local published
    published="$(server_issue)"
    login
    cache_edit '.expires_at += 60 | .blacklisted_at = 1'
    run --separate-stderr servetel-auth refresh --min-ttl 20m --adopt "echo '$published'"
    assert_status 0
    assert_equal "$(cached_token)" "$published"
    assert_requests refresh 0
}

@test "a newer token that ends earlier is taken: by its nbf, since lives may become shorter" {
    jwt "{\"nbf\":$((EPOCHSECONDS - 100)),\"exp\":$((EPOCHSECONDS + 3500))}" >token
    quietly login --token-command "cat '$HOME/token'"
    jwt "{\"nbf\":$((EPOCHSECONDS - 10)),\"exp\":$((EPOCHSECONDS + 600))}" >token
    run --separate-stderr servetel-auth refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" renewed
    assert_equal "$(cached_token)" "$(cat token)"
    jwt "{\"nbf\":$((EPOCHSECONDS - 50)),\"exp\":$((EPOCHSECONDS + 3550))}" >token # from a store that lags
    run --separate-stderr servetel-auth refresh --json
    assert_status 0
    assert_equal "$(jq -r .action <<<"$output")" kept
    [ "$(cached_token)" != "$(cat token)" ]
}
