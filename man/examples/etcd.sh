#!/bin/sh
# SPDX-License-Identifier: MIT
# Several hosts, the same accounts: one at a time renews, under etcd's lock, and publishes in etcd.
# See servetel-auth-hosts(7). Works with etcd and etcdctl 3.4.
#
#   sh etcd.sh turn [--all]        from cron, every few minutes, on each host that renews
#   sh etcd.sh get NAME            the published token of a profile: the readers' --token-command
#   sh etcd.sh password NAME FILE  the --password-command of the hosts that renew: FILE's first line,
#                                  unless the service has refused it to one of them
#   sh etcd.sh forget NAME         after that was put right, before the login
#
# Settings come from the environment or from the file below: ETCDCTL_ENDPOINTS (all of them, with
# commas), ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY. Certificates rather than user and password:
# etcd takes its time, on purpose, to check one of those.
#
# In etcd: servetel/token/NAME, servetel/refused/NAME, and a lock for each directory of profiles,
# locks/servetel/ and the last part of SERVETEL_AUTH_DIR: the accounts can be divided, and hosts
# whose directories have the same name share what is in it.
set -u
config=${SERVETEL_ETCD_CONF:-/etc/servetel-auth/etcd.conf}
# shellcheck source=/dev/null
[ ! -r "$config" ] || . "$config"
export ETCDCTL_API=3 PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin" # cron's lacks the first

# These belong together. A renewal and its publication take at most twice the timeout, which must be
# less than two thirds of the TTL: so old may the lease be when the turn begins. The TTL is what the
# others wait for when the holder of the lock was killed.
: "${TURN_TIMEOUT:=10}" "${TURN_TTL:=40}" "${TURN_WAIT:=60}" "${ETCD_TIMEOUT:=4}"
: "${TURN_MIN_TTL:=20m}" "${TURN_COMPLAIN_BELOW:=10m}"
dir=${SERVETEL_AUTH_DIR:-default}
lock=locks/servetel/${dir##*/}

# A hung engine costs no more than this, and leaves time for further tries.
etcd() {
    timeout -k 1 "$ETCD_TIMEOUT" etcdctl "$@"
}

# What is to be done, in one transaction, only while the turn lasts: its key is gone with its lease,
# when this host slept or the engine stood still. Prints what etcd answers.
etcd_in_turn() {
    answer=$(printf 'version("%s") > "0"\n\n%s\n\n\n' "$ETCD_LOCK_KEY" "$1" | etcd txn) || exit
    case $answer in
    SUCCESS*) printf '%s\n' "$answer" ;;
    *) echo 'etcd.sh: this turn is over: its lock is gone' >&2 && exit 1 ;;
    esac
}

turn() {
    # One takes its time and no more, whatever hangs; all of them may have to wait for a service that
    # limits (ten minutes).
    longest=$((2 * TURN_TIMEOUT + 3)) check='show --cached'
    case " $* " in *' --all '*) longest=900 check=status ;; esac
    # --foreground: only etcdctl is told to give up, and it does so only while it waits: whoever has
    # the lock ends his turn. -k: etcdctl waits for ever to unlock at an engine that is gone.
    # What etcdctl itself says is left out, as nobody can do anything about it.
    said=$(timeout --foreground -k $((longest + 5)) "$TURN_WAIT" \
        etcdctl lock --ttl "$TURN_TTL" "$lock" -- sh "$0" locked "$longest" "$@" 2>/dev/null)
    code=${said##*
}
    case $code in
    *[!0-9]*) printf '%s\n' "$said" >&2 && exit 1 ;; # cut off
    ?*) printf '%s' "${said%"$code"}" >&2 && exit "$code" ;;
    esac
    # No turn: others have it, or the engine is gone, which is told once the tokens are about to end.
    # shellcheck disable=SC2086 # words
    servetel-auth $check --min-ttl "$TURN_COMPLAIN_BELOW" >/dev/null
}

# With the lock. etcdctl makes one of all failures: the status is the last line that this prints.
locked() {
    exec 2>&1
    longest=$1
    shift
    timeout -k 2 "$longest" servetel-auth refresh --quiet --timeout "${TURN_TIMEOUT}s" "$@" \
        --min-ttl "$TURN_MIN_TTL" --complain-below "$TURN_COMPLAIN_BELOW" \
        --adopt "sh '$0' adopt" --on-change "sh '$0' publish" --on-refused "sh '$0' refused"
    echo $?
}

case ${1-} in
turn | locked) "$@" ;;
adopt) # prints nothing where nothing is published yet
    answer=$(etcd_in_turn "get servetel/token/$SERVETEL_PROFILE") || exit
    printf '%s\n' "$answer" | sed -n '4p'
    ;;
publish) # the token is on stdin: in nobody's arguments
    etcd_in_turn "put servetel/token/$SERVETEL_PROFILE \"$(cat)\"" >/dev/null
    ;;
refused) etcd put "servetel/refused/$SERVETEL_PROFILE" "$(uname -n), $(date)" >/dev/null ;;
get) etcd get --print-value-only "servetel/token/$2" ;;
password) # fails where etcd cannot be asked
    refused=$(etcd get --print-value-only "servetel/refused/$2") || exit
    if [ -n "$refused" ]; then
        echo "etcd.sh: the password of $2 was refused ($refused): put it right, then: etcd.sh forget $2" >&2
        exit 1
    fi
    head -n 1 -- "$3"
    ;;
forget) etcd del "servetel/refused/$2" >/dev/null ;;
*) sed -n '3,12s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
