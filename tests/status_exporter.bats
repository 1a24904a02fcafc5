#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The gauges of status, read by node_exporter's textfile collector as the man page's recipe writes them.
# shellcheck disable=SC2016 # $now is jq's
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper

setup() {
    test_setup
    command -v prometheus-node-exporter >/dev/null || skip 'prometheus-node-exporter is not installed'
}

teardown() { test_teardown; }

listening() {
    PORT="$(sed -n 's/.*[Ll]istening on.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$BG_ERR")"
    [ -n "$PORT" ]
}

scrape() {
    capture curl -q -sS --noproxy '*' "http://127.0.0.1:$PORT/metrics"
    assert_done
}

@test "node_exporter publishes the gauges, and nothing of a file that is being written" {
    local collector="$HOME/collector"
    mkdir "$collector"
    write_cache . sales
    write_cache 'del(.expires_at)' forever
    background prometheus-node-exporter --web.listen-address=127.0.0.1:0 --collector.disable-defaults \
        --collector.textfile --collector.textfile.directory="$collector"
    retry_until 20 listening
    servetel-auth status --format prometheus >"$collector/servetel.prom.$$"
    scrape
    assert_no grep -q servetel_auth_ <<<"$output"
    mv "$collector/servetel.prom.$$" "$collector/servetel.prom"
    scrape
    grep -q '^node_textfile_scrape_error 0$' <<<"$output"
    grep -q '^# HELP servetel_auth_profile_usable Whether ' <<<"$output"
    grep -q '^servetel_auth_profile_usable{profile="sales"} 1$' <<<"$output"
    grep -q '^servetel_auth_token_expiry_timestamp_seconds{profile="forever"} +Inf$' <<<"$output"
    assert_equal "$(sed -n 's/^servetel_auth_token_expiry_timestamp_seconds{profile="sales"} //p' <<<"$output" |
        awk '{ printf "%d", $1 }')" "$(cached .expires_at sales)"
    # It would say so of a file that is not whole.
    echo 'servetel_auth_profile_usable{profile="sa' >"$collector/torn.prom"
    scrape
    grep -q '^node_textfile_scrape_error 1$' <<<"$output"
}
