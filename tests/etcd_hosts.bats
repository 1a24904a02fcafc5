#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The recipe for etcd, as it is installed, and hosts that share hundreds of accounts, or a stale password. (What
# becomes of it when things are killed is in many_hosts.bats.)
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2016 # another shell's variables
# shellcheck disable=SC2154 # status, output and stderr are set by capture

load helper
load profiles_helper
load hosts_helper
load etcd_helper
load cache_tests_helper

# How many etcd has done.
transactions() {
    curl -q -sS --noproxy '*' --max-time 20 "$ETCDCTL_ENDPOINTS/metrics" |
        sed -n 's/^grpc_server_handled_total{grpc_code="OK",grpc_method="Txn".* //p'
}

setup_file() {
    have_etcd || return 0
    use_built_program || return
    install_program "$BATS_FILE_TMPDIR/root" etcd.sh || return
    etcd_start "$BATS_FILE_TMPDIR/etcd" || return
    export ETCD_PID
    server_start
}

teardown_file() {
    [ -z "${ETCD_PID:-}" ] || stop_pid "$ETCD_PID"
    [ -z "${SERVER_PID:-}" ] || server_stop
}

setup() {
    have_etcd || skip 'etcd, etcdctl or timeout is not installed'
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'the recipe runs the program as it is installed'
    test_setup
    unset SERVETEL_API_URL # each profile knows its own
    etcdctl del --prefix servetel/ >/dev/null
    mkdir counted
    printf '#!/bin/sh\necho "$1" >>"%s/calls"\nPATH=${PATH#*:}\nexec etcdctl "$@"\n' "$HOME" >counted/etcdctl
    chmod 755 counted/etcdctl
    PATH="$HOME/counted:$BATS_FILE_TMPDIR/root/usr/bin:$PATH"
}

teardown() { test_teardown; }

@test "two hosts take turns at 300 accounts: no token is spent twice, none logged in again, and what is fresh costs nothing" {
    make_profiles p 300
    (umask 077 && mkdir a b && mv "$DIR" a/shared && cp -R a/shared b/shared)
    export TURN_MIN_TTL=2h # each is due each time
    on a turn --all --json
    assert_done
    assert_equal "$(refreshes_answered)" 300
    on b turn --all # from its own, spent copies
    assert_done
    assert_stderr_empty
    on a turn --all
    assert_done
    assert_equal "$(refreshes_answered)" 900
    assert_equal "$(server_stats refused)" 0
    assert_requests 0 login
    assert_equal "$(etcdctl get --prefix --keys-only servetel/token/ | grep -c .)" 300
    DIR=a/shared assert_all_work
    assert_equal "$(etcdctl get --print-value-only servetel/token/p123)" "$(jq -r .access_token a/shared/p123.json)"

    : >calls
    TURN_MIN_TTL=20m on a turn --all
    assert_done
    assert_equal "$(cat calls)" lock
    : >calls
    cp b/shared/p007.json before
    TURN_MIN_TTL=20m on b turn --all
    assert_done
    assert_equal "$(cat calls)" lock
    cmp before b/shared/p007.json
    assert_equal "$(refreshes_answered)" 900
}

# The manual's arithmetic (servetel-auth-hosts(7), SCALE); TEST_ACCOUNTS=1000 tries it at its size.
@test "ten hosts: each account is renewed once and adopted nine times, for a GET each time and one PUT" {
    local accounts="${TEST_ACCOUNTS:-20}" host before
    before="$(transactions)"
    make_profiles p "$accounts"
    (umask 077 && mkdir h{0..9} && mv "$DIR" h0/shared && for host in h{1..9}; do cp -R h0/shared "$host/shared"; done)
    export TURN_WAIT=600
    for host in h{0..9}; do
        on "$host" turn --all
        assert_done "$host"
        assert_stderr_empty
        assert_equal "$(refreshes_answered)" "$accounts"
    done
    assert_equal $(($(transactions) - before)) $((11 * accounts + 10)) # and one for each turn's lock
    assert_equal "$(server_stats refused)" 0
    assert_requests 0 login
    for host in h{1..9}; do
        assert_equal "$(jq -r .access_token "$host"/shared/p*.json)" "$(jq -r .access_token h0/shared/p*.json)"
    done
    DIR=h9/shared assert_all_work
}

@test "a stale password is sent once for all hosts, and told to each; put right, it is sent again" {
    local host
    share_login a b c d e
    server_config '{"users":{"you@example.test":"a new one"},"refresh_window":-1}' # neither the token nor the password will do
    export TURN_MIN_TTL=2h
    on a turn
    assert_failed 4
    assert_stderr_has 'not sent again until a login succeeds'
    for host in b c d e b a; do
        on "$host" turn
        [ "$status" -ne 0 ]
        [ "$host" = a ] || assert_stderr_has 'etcd.sh forget default'
    done
    assert_requests 2 login # share_login's, and the one that was refused
    assert_equal "$(server_stats refused)" "$(count_requests refresh | { read -r n && echo $((n + 1)); })"

    (umask 077 && echo 'a new one' >password)
    server_config '{"refresh_window":1209600}'
    on b turn # it was not told yet
    [ "$status" -ne 0 ]
    on a forget default
    assert_done
    on b turn
    assert_done
    assert_requests 3 login
    on a turn # by what b has published
    assert_done
    assert_requests 3 login
    token_works "$(etcdctl get --print-value-only servetel/token/default)"
}

@test "without etcd nothing is sent, no password either, and it is told when the token is about to end" {
    do_without_engine ETCDCTL_ENDPOINTS=http://127.0.0.1:1
}

@test "by its certificate a host takes its turn, and whoever has none gets and changes nothing" {
    local host certs="$HOME/certs"
    make_certs "$certs"
    export ETCDCTL_CACERT="$certs/root.pem"
    printf 'export ETCDCTL_CERT=%q ETCDCTL_KEY=%q\n' "$certs/service.pem" "$certs/service.key" >etcd.conf
    export SERVETEL_ETCD_CONF="$HOME/etcd.conf" TURN_MIN_TTL=2h
    ETCDCTL_CERT="$certs/service.pem" ETCDCTL_KEY="$certs/service.key" etcd_start "$HOME/etcd" \
        --cert-file "$certs/server.pem" --key-file "$certs/server.key" --client-cert-auth \
        --trusted-ca-file "$certs/root.pem"
    share_login a b
    for host in a b a; do
        on "$host" turn
        assert_done "$host"
        assert_stderr_empty
    done
    assert_equal "$(refreshes_answered)" 3
    assert_none_in_vain
    assert_equal "$(published default)" "$(jq -r .access_token a/shared/default.json)"

    export SERVETEL_ETCD_CONF=/dev/null
    on b get default
    [ "$status" -ne 0 ]
    assert_stdout_empty
    TURN_WAIT=2 on b turn # the token lasts: another turn will do
    assert_done
    assert_equal "$(refreshes_answered)" 3
}

@test "a host whose clock is minutes or hours ahead spends nothing in vain, and is adopted from" {
    be_ahead
}

@test "a host whose disk is full sends nothing, and the next one goes on at once" {
    have_full_disk
}

@test "a host that was off for weeks takes what is published, and publishes nothing older" {
    come_back
}

@test "a turn that is over neither renews nor publishes, and a reader gets what is published" {
    share_login a
    on a turn
    assert_done
    token="$(jq -r .access_token a/shared/default.json)"
    quietly login -p reader --token-command "sh '$RECIPE' get default"
    assert_equal "$(servetel-auth show -p reader)" "$token"
    export ETCD_LOCK_KEY=locks/servetel/shared/0 SERVETEL_PROFILE=default TURN_MIN_TTL=2h TURN_COMPLAIN_BELOW=2h
    on a locked 20
    assert_done
    assert_equal "$(tail -n 1 <<<"$output")" 5
    [[ $output == *'nothing was sent'* ]]
    capture sh "$RECIPE" publish <<<another
    assert_failed 1
    assert_equal "$(etcdctl get --print-value-only servetel/token/default)" "$token"
    assert_requests 0 refresh
}

@test "called wrongly it says how" {
    capture sh "$RECIPE"
    assert_failed 2
    assert_stderr_has 'etcd.sh turn [--all]'
    assert_stderr_has 'etcd.sh forget NAME'
}
