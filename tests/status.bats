#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# status: the table that a person reads, the columns and the JSON that programs read.
# shellcheck disable=SC2016 # $now is jq's
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup() {
    test_setup
    export COLUMNS=80 TERM=xterm NO_COLOR=1 LC_ALL=C.UTF-8
}

teardown() { test_teardown; }

# One profile of each state, and one whose names are long.
many_profiles() {
    write_cache . valid
    write_cache '.expires_at = $now + 40 | .obtained_at = $now - 3560' soon
    write_cache '.expires_at = $now - 60 | .obtained_at = $now - 3660 | .logged_in_at = $now - 3660' expired
    write_cache '.expires_at = $now - 60 | .obtained_at = $now - 3660 | .logged_in_at = $now - 2000000' dead
    write_cache 'del(.expires_at)' permanent
    write_cache '.password_command = "pass show servetel" | .email = "someone-with-a-long-name@a-long-company.example"
        | .api_url = "https://api-smartflo.tatateleservices.com/v1"' long-name-of-a-profile
    printf '{"version":1,' >"$HOME/.servetel-auth/torn.json"
    chmod 600 "$HOME/.servetel-auth/torn.json"
}

# row PROFILE: of the table that was printed.
row() { grep "^$1 " <<<"$output"; }

@test "the table fits 80 columns, whatever the names are, and says each state in words" {
    many_profiles
    on_terminal -- servetel-auth status
    assert_status 7 # the torn one
    table="$(sed '/: /,$d' <<<"${output//$'\r'/}")"
    [ "$(wc -l <<<"$table")" -eq 8 ]
    while IFS= read -r line; do
        [ "${#line}" -le 80 ] || fail_with "wider than 80" "$line"
    done <<<"$table"
    [[ "$(head -n 1 <<<"$table")" =~ ^PROFILE\ +LOGIN\ +LEFT\ +STATE\ +LOG\ IN\ BY$ ]] || fail_with_run head
    [[ "$(row valid)" == *' valid '* ]]
    [[ "$(row soon)" == *' expires soon '* ]]
    [[ "$(row expired)" == *' renewable '* ]]
    [[ "$(row dead)" == *' login needed '* ]]
    [[ "$(row permanent)" == *' for ever '*' valid'* ]]
    [[ "$(row torn)" == *' unusable'* ]]
    [[ "$output" == *"torn: cannot use '$HOME/.servetel-auth/torn.json'"*'run servetel-auth login -p torn'* ]]
}

@test "a wide terminal cuts nothing" {
    many_profiles
    COLUMNS=200 on_terminal -- servetel-auth status
    assert_stdout_has TOKEN
    [[ "$(row permanent)" == *' for ever  ██████  valid '* ]]
    [[ "$(row long-name-of-a-profile)" == \
        *someone-with-a-long-name@a-long-company.example*api-smartflo.tatateleservices.com*' valid '* ]]
    [[ "$(row long-name-of-a-profile)" =~ \ [0-9a-f]{8}$'\r'?$ ]]
}

@test "without UTF-8 the bar is ASCII, and so is the rest" {
    write_cache .
    COLUMNS=90 LC_ALL=C on_terminal -- servetel-auth status
    assert_stdout_has '######'
    ! LC_ALL=C grep -q '[^ -~[:space:]]' <<<"$output" || fail_with_run 'not ASCII'
}

@test "the bar is the share of the token's own life" {
    export COLUMNS=120
    write_cache '.expires_at = $now + 1830 | .obtained_at = $now - 1770'
    on_terminal -- servetel-auth status
    [[ "$(row default)" == *' 30 min  ███░░░ '* ]] || fail_with_run 'half of it'
    write_cache '.expires_at = $now - 10 | .obtained_at = $now - 3610'
    on_terminal -- servetel-auth status
    [[ "$(row default)" == *' ended  ░░░░░░ '* ]] || fail_with_run 'none of it'
    write_cache '.expires_at = $now + 7300 | .obtained_at = $now - 14300' # of six hours
    on_terminal -- servetel-auth status
    [[ "$(row default)" == *' 2 h   ██░░░░ '* ]] || fail_with_run 'a third of it'
    # One that is had late in its life has not its whole life before it.
    try login -p had --token-stdin <<<"$(jwt "{\"nbf\":$((EPOCHSECONDS - 3000)),\"exp\":$((EPOCHSECONDS + 600))}")"
    assert_done
    on_terminal -- servetel-auth status -p had
    [[ "$(row had)" == *' min  █░░░░░ '* ]] || fail_with_run 'a sixth of it'
}

@test "a profile's name is never cut: what gives way is the bar, the fingerprint, the host, the login" {
    local i name=a-name-of-twenty-seven-letters-and-so-on-to-far-beyond-what-any-terminal-will-ever-show-in-one-line-of-text
    local heads columns
    for i in {01..30}; do
        write_cache ".email = \"call-centre-$i@example.com\"" "call-centre-mumbai-$i"
    done
    while read -r columns heads; do
        COLUMNS=$columns on_terminal -- servetel-auth status
        assert_done
        assert_equal "$(head -n 1 <<<"${output//$'\r'/}" | tr -s ' ')" "$heads"
        [ "$(grep -c '^call-centre-mumbai-[0-9][0-9]  ' <<<"$output")" = 30 ]
        [ "$(wc -L <<<"${output//$'\r'/}")" -le "$columns" ]
    done <<'EOT'
200 PROFILE LOGIN HOST LEFT STATE LOG IN BY TOKEN
112 PROFILE LOGIN HOST LEFT STATE LOG IN BY TOKEN
100 PROFILE LOGIN HOST LEFT STATE LOG IN BY TOKEN
90 PROFILE LOGIN HOST LEFT STATE LOG IN BY
80 PROFILE LOGIN LEFT STATE LOG IN BY
70 PROFILE LOGIN LEFT STATE LOG IN BY
64 PROFILE LOGIN LEFT STATE LOG IN BY
54 PROFILE LEFT STATE LOG IN BY
EOT
    # One that is longer than a line spoils no other's row, nor moves a column.
    on_terminal -- servetel-auth status
    heads="${output%%$'\n'*}"
    write_cache . "$name"
    on_terminal -- servetel-auth status
    assert_equal "${output%%$'\n'*}" "$heads"
    grep -q "^$name"$'\r*$' <<<"$output" || fail_with_run 'cut'
    [[ "$(row call-centre-mumbai-30)" == *' min  valid  '* ]] || fail_with_run 'no row'
}

@test "by when a person must log in: in the table, for however many, and in JSON; never a date that is past" {
    write_cache '.logged_in_at = $now - 86400' fortnight
    write_cache '.logged_in_at = $now - 1200000' soon
    write_cache '.refused_at = $now' refused
    write_cache '.expires_at = $now - 60 | .obtained_at = $now - 3660 | .logged_in_at = $now - 2000000' late
    write_cache '.password_file = "/pw"' alone
    write_cache 'del(.expires_at)' forever
    write_cache '.expires_at = $now + 900000000' years
    write_cache '.logged_in_at = $now - 1209500' last # a renewal just in time outlives the fortnight
    export COLUMNS=120
    on_terminal -- servetel-auth status
    by() { sed -n "s/^$1 .* valid *//p; s/^$1 .* login needed *//p" <<<"${output//$'\r'/}" | sed 's/  .*//'; }
    assert_equal "$(by fortnight)" "$(date -u -d '+13 days' +%F)"
    assert_equal "$(by soon)" 'in 2 h'
    [[ "$(by refused)" =~ ^in\ (59|60)\ min$ ]]
    assert_equal "$(by late)" now
    [[ "$(by alone)" =~ ^[0-9a-f]{8}$ ]] # no date: the fingerprint comes next
    assert_equal "$(by years)" "$(date -u -d '+900000000 seconds' +%F)"
    [[ "$(by last)" =~ ^in\ (59|60)\ min$ ]]
    assert_stdout_has 'refused: the service refused to renew the token, which lasts until 20'
    assert_stdout_has ': then run servetel-auth login -p refused'
    try status --json
    by() { json ".profiles[] | select(.profile == \"$1\") | .log_in_by"; }
    assert_about "$(by fortnight)" $((EPOCHSECONDS + 13 * 86400))
    assert_about "$(by soon)" $((EPOCHSECONDS + 14 * 86400 - 1200000))
    assert_equal "$(by refused)" "$(cached .expires_at refused)"
    assert_about "$(by late)" "$EPOCHSECONDS"
    assert_equal "$(by alone) $(by forever)" 'null null'
    # Where nobody must, there is no column.
    on_terminal -- servetel-auth status -p alone
    [[ "$output" != *'LOG IN BY'* ]]
    # And alone, no "until" that is over.
    on_terminal -- servetel-auth status -p late
    assert_status 3
    assert_stdout_has 'late: the token cannot be renewed any more: run servetel-auth login -p late'
    [[ "$output" != *until* ]]
}

@test "one profile alone: until when it lasts, and what happens then" {
    write_cache '.password_command = "pass show servetel"'
    on_terminal -- servetel-auth status
    assert_stdout_has 'default: the token lasts until '
    assert_stdout_has 'default: renews itself, with its password command'
    write_cache . other
    on_terminal -- servetel-auth status -p other
    assert_stdout_has 'other: can be renewed until about '
    write_cache 'del(.expires_at)' forever
    on_terminal -- servetel-auth status -p forever
    assert_stdout_has 'forever: a permanent token: never renewed'
}

@test "what a person should know stands below the table: refused logins, pauses, passwords that end" {
    write_cache '.expires_at = $now - 60 | .unattended_login = "refused" | .unattended_login_at = $now - 60' refused
    write_cache '.retry_noted_at = $now | .retry_at = $now + 600' paused
    write_cache '.password_expires_at = $now + 80000' ending
    write_cache '.retry_noted_at = $now | .retry_at = $now + 60 | .unattended_login = "failed" | .unattended_login_at = $now' failed
    COLUMNS=200 on_terminal -- servetel-auth status
    assert_stdout_has 'refused: unattended login refused on 20'
    assert_stdout_has 'run servetel-auth login -p refused'
    assert_stdout_has 'paused: the service asked not to be asked before 20'
    [[ "$output" =~ \((9|10)\ min\) ]] || fail_with_run 'no span'
    assert_stdout_has 'failed: the last unattended login failed: no other before 20'
    assert_stdout_has 'ending: the password expires in 1 day'
}

@test "a profile without a token that can get one is no expired one, and an ended password is told" {
    write_cache 'del(.access_token, .expires_at) | .password_command = "echo x"'
    write_cache '.password_expires_at = $now - 80000' ended
    try status
    assert_done
    assert_stdout_has $'\t-\trenewable\t-'
    assert_stderr_has 'ended: the password has expired or does so today: change it'
    try refresh --dry-run
    assert_done
    assert_stdout 'default: would log in with the remembered password: there is no token'
    on_terminal -- servetel-auth status
    [[ "$(row default)" == *'  -       renewable'* ]] || fail_with_run row
    assert_stdout_has 'ended: the password has expired or does so today'
}

@test "elsewhere than on a terminal: one line a profile, six fields between tabs, no colour, no bar" {
    many_profiles
    unset NO_COLOR
    try status
    assert_status 7
    [ "$(wc -l <<<"$output")" -eq 7 ]
    while IFS= read -r line; do
        tabs="${line//[^$'\t']/}"
        assert_equal "${#tabs}" 5
    done <<<"$output"
    assert_stdout_has "$(printf 'permanent\t%s\t127.0.0.1:9\tfor ever\tvalid\t' "$EMAIL")"
    [[ "$output" != *$'\033'* && "$output" != *'█'* ]]
}

@test "--json: every member in every profile, and never the token" {
    many_profiles
    try status --json
    assert_status 7
    jq -e '.profiles | length == 7' <<<"$output"
    assert_equal "$(jq -c '[.profiles[] | keys] | unique | length' <<<"$output")" 1
    assert_equal "$(json '[.profiles[] | .profile + "=" + .state] | join(" ")')" \
        'dead=login_needed expired=renewable long-name-of-a-profile=valid permanent=valid soon=expires_soon torn=unusable valid=valid'
    jq -e '.profiles[] | select(.profile == "permanent") | .permanent and .expires_at == null and .usable' <<<"$output"
    jq -e '.profiles[] | select(.profile == "torn") | .usable == false and (.error | contains("damaged"))' <<<"$output"
    jq -e '.profiles[] | select(.profile == "valid") | .fingerprint | test("^[0-9a-f]{8}$")' <<<"$output"
    assert_stderr_lacks made-up
    [[ "$output" != *made-up* ]]
}

@test "0 if every profile shown is usable without a person, else 3" {
    many_profiles
    rm "$HOME/.servetel-auth/torn.json"
    try status
    assert_status 3
    rm "$HOME/.servetel-auth/dead.json"
    try status
    assert_done
}

@test "without any profile: 3, and what to do" {
    try status
    assert_failed 3
    assert_stderr_has 'run servetel-auth login'
    try status --json
    assert_status 3
    assert_equal "$(jq -c '[.profiles, .exit_code]' <<<"$output")" '[[],3]'
}
