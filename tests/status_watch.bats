#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# status for who watches: --min-ttl, gauges for Prometheus, a condition of a systemd unit.
# shellcheck disable=SC2016 # $now is jq's
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# gauge NAME PROFILE: its value.
gauge() {
    sed -n "s/^servetel_auth_$1{profile=\"$2\"} //p" <<<"$output"
}

profiles() {
    write_cache '.password_expires_at = $now + 8000000' valid
    write_cache 'del(.expires_at)' forever
    write_cache '.expires_at = $now - 60 | .obtained_at = $now - 3660 | .logged_in_at = $now - 2000000' dead
    write_cache '.password_file = "/pw" | .blacklisted_at = $now - 5 | .refused_at = $now - 5' blacklisted
    write_cache 'del(.access_token, .expires_at)' none
    write_cache . loose
    chmod 644 "$(cache_file loose)"
}

# ------------------------------------------------------------------------------------------- --min-ttl

@test "--min-ttl: 3 also if one lasts less, which is said; a promise of a second is a second; nothing is sent" {
    write_cache '.expires_at = $now + 600 | .obtained_at = $now - 3000' short
    write_cache . long
    write_cache 'del(.expires_at)' forever
    try status --min-ttl 9m
    assert_done
    assert_stderr_empty
    try status --min-ttl 11m
    assert_status 3
    assert_stderr_has 'short: lasts less than --min-ttl asks'
    assert_stderr_lacks long:
    [ "$(wc -l <<<"$output")" = 3 ]
    try status --min-ttl 11m --json
    assert_status 3
    assert_equal "$(json '[.profiles[] | "\(.profile) \(.usable) \(.exit_code)"] | join(", ")')" \
        'forever true 0, long true 0, short true 3'
    try status -q -p short --min-ttl 11m
    assert_status 3
    assert_stderr_empty
    write_cache '.expires_at = $now + 2 | .obtained_at = $now - 7' short # less than two seconds, by now
    try status -p short --min-ttl 2s
    assert_status 3
    on_terminal -- servetel-auth status -p long --min-ttl 2h
    assert_status 3
    assert_stdout_has 'long: lasts less than --min-ttl asks'
    # Renewable, but it has no time left now.
    write_cache '.expires_at = $now - 60 | .obtained_at = $now - 3660' short
    try status -p short
    assert_done
    try status -p short --min-ttl 0s
    assert_status 3
    assert_nothing_sent
}

# ------------------------------------------------------------------------------------------ prometheus

@test "--format prometheus: what is known of each profile, 0 however bad it is" {
    profiles
    try status --format prometheus
    assert_done
    assert_stderr_has "chmod 600"
    assert_equal "$(gauge token_expiry_timestamp_seconds valid)" "$(cached .expires_at valid)"
    assert_about "$(gauge login_by_timestamp_seconds valid)" $((EPOCHSECONDS + 14 * 86400))
    assert_equal "$(gauge profile_usable valid)" 1
    assert_equal "$(gauge password_expiry_timestamp_seconds valid)" "$(cached .password_expires_at valid)"
    assert_equal "$(gauge token_expiry_timestamp_seconds forever) $(gauge login_by_timestamp_seconds forever)" '+Inf +Inf'
    assert_equal "$(gauge password_expiry_timestamp_seconds forever)" ''
    assert_about "$(gauge login_by_timestamp_seconds dead)" "$EPOCHSECONDS"
    assert_equal "$(gauge profile_usable dead)" 0
    assert_equal "$(gauge token_expiry_timestamp_seconds blacklisted)" "$(cached .blacklisted_at blacklisted)"
    assert_equal "$(gauge profile_usable blacklisted)" 1
    assert_equal "$(gauge token_expiry_timestamp_seconds none) $(gauge profile_usable none)" ' 0'
    assert_equal "$(gauge login_by_timestamp_seconds loose) $(gauge profile_usable loose)" ' 0'
    assert_no grep -q 'made-up\|nan' <<<"$output"
    try status --format prometheus -p valid
    assert_done
    assert_equal "$(grep -vc '^#' <<<"$output")" 4
    assert_nothing_sent
}

@test "--format prometheus: without a profile nothing but the heads, 0; where it cannot be told, 7 and no output" {
    try status --format prometheus
    assert_done
    assert_equal "$(grep -c '^# \(HELP\|TYPE\) servetel_auth_' <<<"$output")" 8
    assert_no grep -v '^#' <<<"$output"
    touch "$HOME/file"
    SERVETEL_AUTH_DIR="$HOME/file" try status --format prometheus
    assert_failed 7
    try status --format prometheus --json
    assert_failed 2
    try status --format prometheus --min-ttl 1m
    assert_failed 2
}

@test "--format prometheus: the path of a file is any text, and a label all the same" {
    local path="$HOME/a \"b\\c"$'\n\xff\e.json'
    SERVETEL_AUTH_FILE="$path" write_cache
    try status --format prometheus -f "$path"
    assert_done
    assert_harmless "$output"
    grep -qF "servetel_auth_profile_usable{profile=\"$HOME/a \\\"b\\\\c???.json\"} 1" <<<"$output" ||
        fail_with_run 'no such label'
    command -v promtool >/dev/null || skip 'promtool (package prometheus) is not installed'
    capture promtool check metrics <<<"$output"
    assert_done
    assert_stdout_empty
    assert_stderr_empty
}

@test "--format prometheus: promtool finds nothing wrong, and would" {
    command -v promtool >/dev/null || skip 'promtool (package prometheus) is not installed'
    profiles
    local metrics
    metrics="$(servetel-auth status --format prometheus 2>"$HOME/stderr")"
    capture promtool check metrics <<<"$metrics"
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    capture promtool check metrics <<<"$(grep -v HELP <<<"$metrics")"
    [ "$status" != 0 ]
}

# ------------------------------------------------------------------------------------- the man page's

# snippet WORD: the literal block of the man page's examples that has it, as one would paste it.
snippet() {
    awk -v word="$1" '
        /^\.Bd/ { block = ""; inside = 1; next }
        /^\.Ed/ { if (index(block, word)) printf "%s", block; inside = 0 }
        inside { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); block = block $0 "\n" }' "$TESTS_DIR/../man/servetel-auth.1"
}

@test "the recipe for the textfile collector writes a file that is whole, and keeps the last one when it fails" {
    local recipe
    recipe="$(snippet node-exporter/servetel.prom)"
    recipe="${recipe//\/var\/lib\/prometheus\/node-exporter/$HOME/collector}"
    mkdir "$HOME/collector"
    profiles
    capture sh -c "$recipe"
    assert_done
    assert_equal "$(ls "$HOME/collector")" servetel.prom
    assert_equal "$(grep -c '^servetel_auth_profile_usable' "$HOME/collector/servetel.prom")" 6
    cp "$HOME/collector/servetel.prom" "$HOME/before"
    touch "$HOME/file"
    SERVETEL_AUTH_DIR="$HOME/file" capture sh -c "$recipe"
    [ "$status" != 0 ]
    cmp "$HOME/before" "$HOME/collector/servetel.prom"
}

@test "the service with an ExecCondition: systemd takes it, and the condition says what it should" {
    local unit="$HOME/report.service" condition
    snippet ExecCondition >"$unit"
    grep -q '^ExecCondition=.*status -p sales' "$unit"
    sed -i "s,/usr/local/bin/servetel-auth,$(command -v servetel-auth),; s,/usr/local/bin/report,$(command -v true)," "$unit"
    condition="$(sed -n 's/^ExecCondition=//p' "$unit")"
    write_cache . sales
    capture sh -c "$condition"
    assert_done
    write_cache '.expires_at = $now + 60 | .obtained_at = $now - 3540' sales
    capture sh -c "$condition"
    assert_status 3 # 1 to 254: skipped, not failed
    command -v systemd-analyze >/dev/null || skip 'there is no systemd-analyze'
    mkdir -p "$HOME/runtime"
    capture env XDG_RUNTIME_DIR="$HOME/runtime" systemd-analyze verify --user --man=no "$unit"
    assert_done
    assert_stderr_empty
}
