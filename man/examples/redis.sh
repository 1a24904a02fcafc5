#!/bin/sh
# SPDX-License-Identifier: MIT
# Several hosts, the same accounts: one at a time renews, under a lock in Redis, and publishes in Redis.
# See servetel-auth-hosts(7). Works with redis-server and redis-cli 7.0.
#
#   sh redis.sh turn [--all]        from cron, every few minutes, on each host that renews
#   sh redis.sh get NAME            the published token of a profile: the readers' --token-command
#   sh redis.sh password NAME FILE  the --password-command of the hosts that renew: FILE's first line,
#                                   unless the service has refused it to one of them
#   sh redis.sh forget NAME         after that was put right, before the login
#
# Settings come from the environment or from the file below: REDIS_OPTIONS, words for redis-cli (-h HOST
# -p PORT --tls --cacert FILE --user NAME), and, exported, REDISCLI_AUTH, the password. Redis must keep
# what it has confirmed: appendonly yes, appendfsync always, maxmemory-policy noeviction. A replica that
# takes over may lack the last publication or the lock: that costs a renewal, and then a login.
#
# Rights: renewers ~servetel:* +get +set +del +eval +expire; readers ~servetel:token:* +get.
#
# In Redis: servetel:token:NAME, servetel:refused:NAME, and a lock for each directory of profiles,
# servetel:lock: and the last part of SERVETEL_AUTH_DIR: the accounts can be divided, and hosts whose
# directories have the same name share what is in it.
set -u
config=${SERVETEL_REDIS_CONF:-/etc/servetel-auth/redis.conf}
# shellcheck source=/dev/null
[ ! -r "$config" ] || . "$config"
export PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin" # cron's lacks the first

# These belong together. A renewal and its publication take at most twice the timeout, which must be
# less than two thirds of the TTL. The TTL is what the others wait for when the holder of the lock was
# killed.
: "${TURN_TIMEOUT:=10}" "${TURN_TTL:=40}" "${TURN_WAIT:=60}" "${REDIS_TIMEOUT:=4}"
: "${TURN_MIN_TTL:=20m}" "${TURN_COMPLAIN_BELOW:=10m}"
dir=${SERVETEL_AUTH_DIR:-default}
lock=servetel:lock:${dir##*/}

# A hung engine costs no more than this. -e: without it redis-cli ends with 0 whatever Redis answers.
redis() {
    # shellcheck disable=SC2086 # words
    timeout -k 1 "$REDIS_TIMEOUT" redis-cli -e ${REDIS_OPTIONS-} "$@"
}

# in_turn OPTIONS KEY COMMAND [ARG...]: a Lua command, done by Redis in one go with the look at the lock:
# its key is gone, or somebody else's, when this host slept or Redis stood still. KEYS[2] is KEY, its
# arguments begin with ARGV[2].
in_turn() {
    option=$1 key=$2 command=$3
    shift 3
    # shellcheck disable=SC2086 # no word if there is none
    redis $option eval "if redis.call('get', KEYS[1]) ~= ARGV[1] then
        return redis.error_reply('ERR this turn is over: its lock is gone') end $command" \
        2 "$lock" "$key" "$SERVETEL_TURN" "$@"
}

# SET NX EX, but for one thing: whose first answer was lost has the lock already.
take_lock() {
    [ "$(redis eval "local holder = redis.call('get', KEYS[1])
        if holder and holder ~= ARGV[1] then return 'held' end
        return redis.call('set', KEYS[1], ARGV[1], 'EX', ARGV[2])" \
        1 "$lock" "$SERVETEL_TURN" "$TURN_TTL" 2>/dev/null)" = OK ]
}

# All profiles may take longer than the TTL. Ends with the turn, also one that was killed.
keep_lock() {
    until=$(($(date +%s) + longest))
    while sleep $((TURN_TTL / 4 + 1)) && kill -0 $$ 2>/dev/null && [ "$(date +%s)" -lt "$until" ]; do
        in_turn '' "$lock" "return redis.call('expire', KEYS[2], ARGV[2])" "$TURN_TTL" || :
    done >/dev/null 2>&1 </dev/null
}

turn() {
    # One takes its time and no more, whatever hangs; all of them may have to wait for a service that
    # limits (ten minutes).
    longest=$((2 * TURN_TIMEOUT + 3)) check='show --cached' keeper=
    case " $* " in *' --all '*) longest=900 check=status ;; esac
    SERVETEL_TURN=$(uname -n)/$$/$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
    export SERVETEL_TURN
    give_up=$(($(date +%s) + TURN_WAIT))
    until take_lock; do
        if [ "$(date +%s)" -ge "$give_up" ]; then
            # No turn: others have it, or Redis is gone, which is told once the tokens are about to end.
            # shellcheck disable=SC2086 # words
            servetel-auth $check --min-ttl "$TURN_COMPLAIN_BELOW" >/dev/null
            exit
        fi
        sleep 1
    done
    if [ "$check" = status ]; then
        keep_lock &
        keeper=$!
    fi
    timeout -k 2 "$longest" servetel-auth refresh --quiet --timeout "${TURN_TIMEOUT}s" "$@" \
        --min-ttl "$TURN_MIN_TTL" --complain-below "$TURN_COMPLAIN_BELOW" \
        --adopt "sh '$0' adopt" --on-change "sh '$0' publish" --on-refused "sh '$0' refused"
    code=$?
    [ -z "$keeper" ] || kill "$keeper"
    in_turn '' "$lock" "return redis.call('del', KEYS[2])" >/dev/null 2>&1 # or it ends by itself
    exit "$code"
}

case ${1-} in
turn) "$@" ;;
adopt) # prints nothing where nothing is published yet
    in_turn '' "servetel:token:$SERVETEL_PROFILE" "return redis.call('get', KEYS[2])"
    ;;
publish) # the token is on stdin, which -x makes the last argument: in nobody's argv
    in_turn -x "servetel:token:$SERVETEL_PROFILE" "return redis.call('set', KEYS[2], ARGV[2])" >/dev/null
    ;;
refused) redis set "servetel:refused:$SERVETEL_PROFILE" "$(uname -n), $(date)" >/dev/null ;;
get) redis get "servetel:token:$2" ;;
password) # fails where Redis cannot be asked
    refused=$(redis get "servetel:refused:$2") || exit
    if [ -n "$refused" ]; then
        echo "redis.sh: the password of $2 was refused ($refused): put it right, then: redis.sh forget $2" >&2
        exit 1
    fi
    head -n 1 -- "$3"
    ;;
forget) redis del "servetel:refused:$2" >/dev/null ;;
*) sed -n '3,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
