#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# refresh --all: many profiles at once over few connections, where one's trouble is never another's.
# shellcheck disable=SC2016 # a hook's variables are the hook's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load profiles_helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() {
    test_setup
    unset SERVETEL_API_URL # each profile knows its own
}

teardown() { test_teardown; }

@test "sixty profiles are renewed, each in its own private file, and a count is told" {
    make_profiles p 60
    try refresh --all
    assert_done
    assert_stdout_empty
    assert_stderr_has 60
    assert_equal "$(wc -l <<<"$stderr")" 1
    assert_no_secret
    assert_equal "$(refreshes_answered)" 60
    assert_all_work
    assert_tidy
}

@test "--quiet says nothing when all went well" {
    make_profiles p 3
    try refresh --all --quiet
    assert_done
    assert_stdout_empty
    assert_stderr_empty
}

@test "--all without a profile is 3" {
    try refresh --all
    assert_failed 3
    assert_stderr_has 'servetel-auth login'
}

@test "--jobs is the most connections and the most requests at once, and connections are used again" {
    make_profiles p 60
    server_config '{"latency":0.05}'
    try refresh --all --jobs 4
    assert_done
    [ "$(server_stats max_concurrent)" -le 4 ]
    [ "$(server_stats max_in_flight)" -le 4 ]
    [ "$(server_stats max_in_flight)" -ge 2 ] # at once indeed
    [ "$(server_stats connections)" -le 4 ]
    assert_all_work
}

@test "without --jobs there are at most sixteen at once" {
    make_profiles p 60
    server_config '{"latency":0.05}'
    try refresh --all
    assert_done
    [ "$(server_stats max_concurrent)" -le 16 ]
    [ "$(server_stats max_in_flight)" -ge 4 ]
    assert_all_work
}

@test "--jobs 1 renews one after the other over one connection" {
    make_profiles p 10
    try refresh --all --jobs 1
    assert_done
    assert_equal "$(server_stats max_in_flight)" 1
    assert_equal "$(server_stats connections)" 1
    assert_all_work
}

@test "many at once take a fraction of the time of one after the other" {
    make_profiles p 60
    server_config '{"latency":0.5}'
    SECONDS=0
    try refresh --all --jobs 30
    assert_done
    [ "$SECONDS" -lt 15 ] # two rounds; one after the other would be 30
    assert_all_work
}

@test "torn, loose, locked, refused, permanent and expired ones among many: each fails or is kept alone" {
    make_profiles good 20
    make_profiles bad 8
    printf '{"version":1,"acc' >"$DIR/bad01.json"
    chmod 644 "$DIR/bad02.json"
    hold_lock "$DIR/bad03.lock"
    cache_edit '.access_token = "a.b.c"' bad04
    cache_edit 'del(.expires_at)' bad05
    cache_edit "del(.obtained_at) | .expires_at = $(($(date +%s) - 5))" bad06
    cache_edit '.api_url = "http://127.0.0.1:1/v1"' bad07
    cache_edit ".expires_at = $(($(date +%s) - 5))" bad08
    for i in 1 2 3 4 5 6 7; do snapshot "bad0$i"; done

    try refresh --all --timeout 3s --retries 0
    assert_failed 7
    assert_no_secret
    assert_one_line_for bad01 bad02 bad03 bad04 bad07
    assert_equal "$(grep -c -e good -e bad05 -e bad08 <<<"$stderr")" 0
    grep -w bad02 <<<"$stderr" | grep -q chmod
    without_refusal bad04
    for i in 1 2 3 4 5 6 7; do assert_unchanged "bad0$i"; done
    assert_all_work good
    token_works "$(cached_token bad08)"
    assert_equal "$(tail -n 1 <<<"$stderr" | grep -o -w 28)" 28
    assert_tidy
}

@test "the exit code is the most serious one, in the order 7, 4, 3, 6, 1, 5" {
    make_profiles c 7
    printf '{' >"$DIR/c07.json"
    cache_edit '.access_token = "a.b.c"' c04
    cache_edit "del(.obtained_at) | .expires_at = $(($(date +%s) - 5)) | .access_token = \"permanent\"" c03
    cache_edit ".api_url = \"http://127.0.0.1:$API_PORT/v9\"" c06
    cache_edit '.api_url = "http://127.0.0.1:1/v1"' c05
    mv "$DIR/c02.json" "$DIR/fine.json"
    for code in 7 4 3 6 1 5 0; do
        try refresh --all --retries 0 --on-change '[ "$SERVETEL_PROFILE" != c01 ]'
        assert_status "$code"
        rm -f "$DIR/c0$code.json"
    done
    token_works "$(cached_token fine)"
}

@test "a locked profile does not hold up the others, and is renewed when it is let go" {
    make_profiles p 20
    hold_lock "$DIR/p01.lock"
    background servetel-auth refresh --all --jobs 2 --timeout 60s
    retry_until 30 has_answered 19
    kill -0 "$BG_PID" # it still waits for the lock
    for i in 02 10 20; do token_works "$(cached_token "p$i")"; done
    release_lock
    wait "$BG_PID"
    assert_all_work
    assert_equal "$(refreshes_answered)" 20
}

@test "the time that a request waits for its turn is not its own" {
    local latency=4 timeout=7 # two of the one are more than the other
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || latency=12 timeout=22
    make_profiles p 4
    server_config "{\"latency\":$latency}"
    try refresh --all --jobs 2 --timeout "$timeout"
    assert_done
    assert_stderr_has '4 profiles: 4 renewed, 0 logged in again, 0 kept, 0 failed'
    assert_all_work
}

@test "more locked profiles than jobs do not hold up the others either" {
    make_profiles a 6
    make_profiles b 10
    for i in 1 2 3 4 5 6; do hold_lock "$DIR/a0$i.lock"; done
    background servetel-auth refresh --all --jobs 2 --timeout 60s
    retry_until 30 has_answered 10
    kill -0 "$BG_PID"
    assert_all_work b
}

@test "--json is one object for each profile and the total" {
    make_profiles p 3
    cache_edit '.access_token = "a.b.c"' p02
    cache_edit 'del(.expires_at)' p03
    try refresh --all --json
    assert_status 4
    assert_one_line_for p02
    assert_no_secret
    assert_equal "$(json '.profiles | sort_by(.profile) | map(.profile) | join(" ")')" 'p01 p02 p03'
    assert_equal "$(json '.profiles[] | select(.profile == "p01") | .action')" renewed
    assert_equal "$(json '.profiles[] | select(.profile == "p03") | .action')" kept
    assert_equal "$(json '.profiles[] | select(.profile == "p02") | .exit_code')" 4
    assert_equal "$(json '.profiles[] | select(.profile == "p02") | .action')" failed
    assert_equal "$(jq -c '.total | [.profiles, .renewed, .kept, .failed]' <<<"$output")" '[3,1,1,1]'
    jq -e '.profiles[] | select(.profile == "p01") | .expires_in > 3500' <<<"$output" >/dev/null
}

@test "a progress line is shown on a terminal, and only there" {
    make_profiles p 6
    server_config '{"latency":0.8}'
    on_terminal --timeout 60 -- servetel-auth refresh --all --jobs 2
    assert_done
    [[ "$output" =~ [0-5]' of 6' ]] || fail_with "no progress" "$output"
    try refresh --all --jobs 2
    assert_done
    assert_stderr_lacks ' of 6'
    assert_stderr_lacks $'\r'
    on_terminal --timeout 60 -- servetel-auth refresh --all --jobs 2 --quiet
    assert_done
    [[ "$output" != *' of 6'* ]] || fail_with "--quiet, and yet" "$output"
}

@test "--min-ttl keeps the tokens that last longer" {
    make_profiles old 5
    make_profiles new 5
    for i in 1 2 3 4 5; do cache_edit ".expires_at += 3000" "new0$i"; snapshot "new0$i"; done
    try refresh --all --min-ttl 30m --json
    assert_done
    assert_equal "$(jq -c '.total | [.renewed, .kept, .failed]' <<<"$output")" '[5,5,0]'
    for i in 1 2 3 4 5; do assert_unchanged "new0$i"; done
    assert_equal "$(refreshes_answered)" 5
    assert_all_work
}

@test "the hook runs for each profile that changed, with its own token and name" {
    make_profiles p 20
    cache_edit '.expires_at += 3000' p07
    mkdir hooked
    try refresh --all --min-ttl 1m --on-change 'cat >"hooked/$SERVETEL_PROFILE"'
    assert_done
    assert_equal "$(find hooked -type f | wc -l)" 19
    for file in hooked/*; do
        printf %s "$(cached_token "${file#*/}")" | cmp - "$file"
    done
    [ ! -e hooked/p07 ]
}

@test "a hook that fails for one profile is that profile's failure only" {
    make_profiles p 5
    try refresh --all --on-change '[ "$SERVETEL_PROFILE" != p03 ]'
    assert_failed 1
    assert_one_line_for p03
    assert_equal "$(grep -c 'p0[1245]' <<<"$stderr")" 0
    assert_all_work
}

@test "a hook that hangs for one profile does not hold up the others" {
    make_profiles p 5
    mkdir hooked
    try refresh --all --timeout 4s --on-change \
        'touch "hooked/$SERVETEL_PROFILE"; [ "$SERVETEL_PROFILE" != p01 ] || exec sleep 600'
    assert_failed 1
    assert_one_line_for p01
    assert_equal "$(find hooked -type f | wc -l)" 5
    assert_all_work
}

@test "profiles with a remembered password log in again, those without are refused" {
    make_profiles p 6
    (umask 077 && printf '%s\n' "$PW" >pw)
    for i in 1 2 3; do cache_edit ".password_file = \"$HOME/pw\"" "p0$i"; done
    server_config '{"refresh_window":0}'
    try refresh --all --json
    assert_status 4
    assert_one_line_for p04 p05 p06
    assert_equal "$(jq -c '.total | [.renewed, .logged_in, .kept, .failed]' <<<"$output")" '[0,3,0,3]'
    assert_requests 3 login
    assert_all_work
}

@test "two runs at once renew each profile once" {
    make_profiles p 40
    background servetel-auth refresh --all --min-ttl 1m --jobs 4
    first=$BG_PID
    try refresh --all --min-ttl 1m --jobs 4
    assert_done
    wait "$first"
    assert_equal "$(refreshes_answered)" 40
    assert_equal "$(server_stats refused)" 0
    assert_all_work
}

@test "SIGTERM in the middle: every file is whole, and every token that was answered is stored" {
    make_profiles p 60
    # A connection asks again only when it has its answer: when each of the four is held, twenty have arrived.
    server_script refresh '{"repeat":20}' '{"hold":true,"repeat":4}'
    background servetel-auth refresh --all --jobs 4
    retry_until 30 has_requests refresh 24
    server_control tokens | jq -r '.[60:][]' >answered
    assert_equal "$(wc -l <answered)" 20
    kill -TERM "$BG_PID"
    server_release 4
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    assert_equal "$(find "$DIR" -name 'p*.json' | wc -l)" 60
    capture jq -er .access_token "$DIR"/p*.json
    assert_done
    assert_equal "$(wc -l <<<"$output")" 60
    missing="$(sort <<<"$output" | comm -13 - <(sort answered) | wc -l)"
    assert_equal "tokens lost: $missing" 'tokens lost: 0'
    assert_requests 24 refresh # none was begun after it
    # No more is lost than was under way.
    capture assert_all_work
    [ "$(wc -l <<<"$stderr")" -le 4 ] || fail_with_run "too many lost"
    [[ "$stderr" != *mode' '[!6]* ]] || fail_with_run "not private"
    assert_tidy
    # What was not begun is there for the next run.
    try refresh --all --min-ttl 1m
    [ "$(grep -c '' <<<"$stderr")" -le 5 ]
}

@test "few descriptors are enough" {
    make_profiles p 60
    capture bash -c 'ulimit -n 64 && exec servetel-auth refresh --all --jobs 64'
    assert_done
    assert_equal "$(refreshes_answered)" 60
    assert_all_work
    assert_tidy
}

@test "--complain-below is judged for each profile by itself" {
    make_profiles p 3
    cache_edit '.expires_at += 3000' p02
    server_script refresh '{"status":503,"repeat":-1}'
    try refresh --all --quiet --complain-below 10m
    assert_failed 5
    assert_one_line_for p01 p03
    assert_equal "$(grep -c p02 <<<"$stderr")" 0
}

@test "a service that is down is told for each profile, and costs no token" {
    make_profiles p 5
    for i in 1 2 3 4 5; do cache_edit '.api_url = "http://127.0.0.1:1/v1"' "p0$i"; snapshot "p0$i"; done
    try refresh --all --retries 0
    assert_failed 5
    assert_one_line_for p01 p02 p03 p04 p05
    for i in 1 2 3 4 5; do assert_unchanged "p0$i"; done
    assert_all_work
}

# ----------------------------------------------------------------------------------------------- several hosts
# (With a real store and its lock: etcd_hosts.bats.)

# share HOST ARGS...: refresh there, with a store of files. The one of p04 cannot be written while `full` exists.
share() {
    SERVETEL_AUTH_DIR="$HOME/$1" try refresh --all --json "${@:2}" \
        --adopt 'echo "$SERVETEL_PROFILE" >>asked; cat "store/$SERVETEL_PROFILE" 2>/dev/null || true' \
        --on-change 'echo "$SERVETEL_PROFILE" >>put; [ "$SERVETEL_PROFILE" != p04 ] || [ ! -e full ] &&
                     cat >"store/$SERVETEL_PROFILE"'
}

counts() { jq -c '.total | [.renewed, .adopted, .kept, .logged_in, .failed]' <<<"$output"; }

@test "hosts that share all profiles take over each other's tokens, and ask only for what is due or not published" {
    make_profiles p 20
    cp -R "$DIR" a && mv "$DIR" b && mkdir store
    share a --min-ttl 1m
    assert_done
    assert_equal "$(counts)" '[20,0,0,0,0]'
    : >asked
    share b --min-ttl 1m # its own copies are spent, and due
    assert_done
    assert_stderr_has '20 adopted'
    assert_equal "$(counts)" '[0,20,0,0,0]'
    assert_equal "$(sort asked | uniq | wc -l)" 20
    : >asked
    : >put
    share a --min-ttl 1m
    assert_done
    assert_equal "$(counts)" '[0,0,20,0,0]'
    share b
    assert_done
    share a
    assert_done
    assert_equal "$(counts)" '[20,0,0,0,0]' # adopted first, or it would have been refused
    assert_equal "$(sort asked | uniq | wc -l)" 20 # twice each, or again where a connection was not had at once
    assert_equal "$(wc -l <put)" 40
    assert_equal "$(refreshes_answered)" 60
    assert_equal "$(server_stats refused)" 0
    DIR=a assert_all_work
    assert_equal "$(cat store/p13)" "$(jq -r .access_token a/p13.json)"
}

@test "a publication that failed is that profile's failure, tried again at once and made up for by the next run" {
    make_profiles p 6
    mv "$DIR" a && mkdir store
    touch full
    share a --min-ttl 1m --timeout 3s
    assert_status 1
    assert_one_line_for p04
    assert_stderr_has 'the token is stored, but the hook exited with 1'
    assert_equal "$(counts)" '[5,0,0,0,1]'
    assert_equal "$(grep -c p04 put)" 3 # 0, 0.5 and 1.5 seconds; the next would be beyond the timeout
    assert_equal "$(jq -r .publication a/p04.json)" pending
    rm full
    : >asked
    share a --min-ttl 1m
    assert_done
    assert_equal "$(counts)" '[0,0,6,0,0]'
    assert_equal "$(cat asked)" p04
    assert_equal "$(cat store/p04)" "$(jq -r .access_token a/p04.json)"
    assert_equal "$(jq -r .publication a/p04.json)" 'done'
    assert_equal "$(refreshes_answered)" 6
}

@test "a store that is down for one profile is that profile's failure, and nothing is sent for it" {
    make_profiles p 4
    try refresh --all --adopt '[ "$SERVETEL_PROFILE" != p02 ] && exit 0; exit 9' --on-change 'cat >/dev/null'
    assert_failed 5
    assert_one_line_for p02
    assert_stderr_has 'the adopt command exited with 9: nothing was sent'
    assert_equal "$(refreshes_answered)" 3
    assert_all_work
}

@test "the host of a refused password is told who it is, once" {
    make_profiles p 3
    echo stale >pw
    chmod 600 pw
    for i in 1 2; do cache_edit ".password_file = \"$HOME/pw\"" "p0$i"; done
    server_config '{"refresh_window":0}'
    for run in 1 2; do
        try refresh --all --on-refused 'echo "$SERVETEL_PROFILE $SERVETEL_TOKEN_HOST" >>told'
        assert_failed 4 "$run"
    done
    assert_equal "$(sort told)" "p01 127.0.0.1:$API_PORT"$'\n'"p02 127.0.0.1:$API_PORT"
    assert_requests 2 login
}
