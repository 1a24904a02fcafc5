# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Hosts that share accounts by one of the recipes as it is installed: what is the same whatever the engine. Load it
# after helper. For the tests in here a file has the engine's functions: engine_start [BEFORE...], engine_pid,
# engine_stop, engine_go_on, engine_kill and engine_fill (its disk).
# shellcheck disable=SC2034,SC2154 # variables of the tests' and of capture's
# shellcheck disable=SC2009,SC2016 # the list is of one session; another shell's variables

# install_program ROOT RECIPE: puts what is installed there first in PATH; RECIPE is that script of it.
install_program() {
    local bin_dir="${SERVETEL_AUTH_BIN_DIR:-${TESTS_DIR%/*}/build}"
    make -s -C "${TESTS_DIR%/*}" BUILD="$(cd "$bin_dir" && pwd)" DESTDIR="$1" PREFIX=/usr install >/dev/null || return
    export PATH="$1/usr/bin:$PATH" RECIPE="$1/usr/share/doc/servetel-auth/examples/$2"
}

# on HOST ARGS...: the recipe there. Its directory of profiles has the same name on each.
on() {
    SERVETEL_AUTH_DIR="$HOME/$1/shared" capture sh "$RECIPE" "${@:2}"
}

# share_login HOSTS...: the same login on each, as its password command the recipe's.
share_login() {
    local host
    (umask 077 && printf '%s\n' "$PW" >password)
    SERVETEL_AUTH_DIR="$HOME/$1/shared" quietly login --api-url "$API" -e "$EMAIL" \
        --password-command "sh '$RECIPE' password default '$HOME/password'"
    for host in "${@:2}"; do
        mkdir "$host" && cp -R "$1/shared" "$host/shared"
    done
}

# note_arguments PROGRAM: its arguments are in $HOME/calls, from now on.
note_arguments() {
    mkdir -p counted
    printf '#!/bin/sh\necho "$*" >>"%s/calls"\nPATH=${PATH#*:}\nexec %s "$@"\n' "$HOME" "$1" >"counted/$1"
    chmod 755 "counted/$1"
    PATH="$HOME/counted:$PATH"
}

# turn_in_session HOST [--all]: a turn in the background, in a session of its own: a machine of its own.
turn_in_session() {
    SERVETEL_AUTH_DIR="$HOME/$1/shared" background setsid sh "$RECIPE" turn "${@:2}"
    SESSION=$BG_PID # background has started it as no leader of a group, so setsid does not fork
}

session_runs() {
    ps -o args= -s "$SESSION" | grep -qF -e "$1"
}

# Like a machine that loses power. Stopped first, so that nothing is started meanwhile.
kill_session() {
    local signal
    for signal in STOP KILL; do
        # shellcheck disable=SC2046 # words
        kill -s "$signal" $(ps -o pid= -s "$SESSION") 2>/dev/null || true
    done
    wait "$SESSION" 2>/dev/null || true
    SINCE=$(date +%s%N) # of what follows
}

published() { sh "$RECIPE" get "$1"; }

published_works() {
    local token
    token="$(published default 2>/dev/null)" && [ -n "$token" ] && token_works "$token"
}

turn_publishes() {
    on "$1" turn && published_works
}

# recovers HOST WHAT: its turns soon publish a token that works; how soon is told.
recovers() {
    retry_until 60 turn_publishes "$1" || fail_with_run "no token after: $2"
    RECOVERED_MS=$((($(date +%s%N) - SINCE) / 1000000))
    printf '# %s: %d ms without a published token that works, %d spent in vain, %d logins\n' "$2" "$RECOVERED_MS" \
        "$(server_stats refused)" $(($(count_requests login) - 1)) >&3
}

# Nothing was spent twice or in vain, nobody logged in again, and what is published works.
assert_none_in_vain() {
    assert_equal "$(server_stats refused)" 0
    assert_requests 1 login
    published_works
}

# ------------------------------------------------------------------------------------------------ tests

take_turns() {
    make_profiles p 20
    (umask 077 && mkdir a b && mv "$DIR" a/shared && cp -R a/shared b/shared)
    # Each is due each time; sixteen at once are slow where others are at work, too.
    export TURN_MIN_TTL=2h TURN_TIMEOUT=30 TURN_TTL=100 REDIS_TIMEOUT=20 POSTGRESQL_TIMEOUT=20
    note_arguments "$1"
    on a turn --all
    assert_done
    on b turn --all # from its own, spent copies
    assert_done
    assert_stderr_empty
    on a turn --all
    assert_done
    assert_equal "$(refreshes_answered)" 60
    assert_equal "$(server_stats refused)" 0
    assert_requests 0 login
    DIR=a/shared assert_all_work
    assert_equal "$(published p07)" "$(jq -r .access_token a/shared/p07.json)"
    grep -q . calls
    ! grep -qF "$(jq -r .access_token a/shared/p07.json)" calls || fail_with 'a token is in the arguments'
    TURN_MIN_TTL=20m on b turn --all # what is fresh enough on this host costs nothing
    assert_done
    assert_equal "$(refreshes_answered)" 60
}

refuse_stale_password() {
    local host
    share_login a b c
    # Neither the token nor the password will do.
    server_config '{"users":{"you@example.test":"a new one"},"refresh_window":-1}'
    export TURN_MIN_TTL=2h
    on a turn
    assert_failed 4
    for host in b c b a; do
        on "$host" turn
        [ "$status" -ne 0 ]
        [ "$host" = a ] || assert_stderr_has "${RECIPE##*/} forget default"
    done
    assert_requests 2 login # share_login's, and the one that was refused
    (umask 077 && echo 'a new one' >password)
    server_config '{"refresh_window":1209600}'
    on a forget default
    assert_done
    on b turn
    assert_done
    assert_requests 3 login
    published_works
}

# do_without_engine NAME=VALUE: the setting that names a place where none is.
do_without_engine() {
    share_login a
    server_reset
    export TURN_WAIT=1 TURN_MIN_TTL=2h "${1?}"
    on a turn
    assert_done
    assert_stderr_empty
    TURN_COMPLAIN_BELOW=2h on a turn
    assert_failed 3
    on a get default
    [ "$status" -ne 0 ]
    on a password default "$HOME/password"
    [ "$status" -ne 0 ]
    assert_stdout_empty
    assert_requests 0
}

be_late() {
    share_login a
    on a turn
    assert_done
    token="$(jq -r .access_token a/shared/default.json)"
    quietly login -p reader --token-command "sh '$RECIPE' get default"
    assert_equal "$(servetel-auth show -p reader)" "$token"
    export SERVETEL_TURN=another/0.5 SERVETEL_PROFILE=default
    capture sh "$RECIPE" adopt
    assert_failed 1
    assert_stderr_has 'this turn is over'
    capture sh "$RECIPE" publish <<<another
    assert_failed 1
    assert_stderr_has 'this turn is over'
    assert_equal "$(published default)" "$token"
}

# One login, two renewals.
two_hosts() {
    share_login a b
    export TURN_MIN_TTL=2h
    on a turn
    assert_done
    on b turn
    assert_done
}

# All profiles may take longer than the lock lasts unless it is kept: who comes meanwhile waits nevertheless.
wait_for_turn() {
    two_hosts
    server_script refresh '{"delay":8}'
    TURN_TIMEOUT=20 TURN_TTL=6 turn_in_session a --all
    retry_until 20 has_requests refresh 3
    on b turn --all
    assert_done
    is_gone "$SESSION" || retry_until 5 is_gone "$SESSION"
    assert_equal "$(cat "$BG_ERR")" ''
    assert_equal "$(refreshes_answered)" 4
    assert_none_in_vain
}

# The holder is killed when its token is spent and the answer did not come.
be_killed_in_request() {
    two_hosts
    server_script refresh '{"hang":true,"process":true}'
    turn_in_session a
    retry_until 20 has_requests refresh 3
    kill_session
    recovers b 'killed in the request'
    assert_equal "$(server_stats refused)" 1 # the spent one, once more by the next
    assert_requests 2 login
    on a turn
    assert_done
    assert_requests 2 login
    published_works
}

# When the answer is stored, and the engine stands still.
be_killed_before_publication() {
    two_hosts
    server_script refresh '{"delay":1}'
    turn_in_session a
    retry_until 20 has_requests refresh 3
    engine_stop
    retry_until 20 session_runs 'publish'
    kill_session
    engine_go_on
    recovers b 'killed between answer and publication'
    [ "$(server_stats refused)" -le 1 ]
    [ "$(count_requests login)" -le 2 ]
    on a turn
    assert_done
    published_works
}

# Longer than its lock lasts, with its answer on the way: the other one takes over, and it finds out.
be_stopped() {
    local pids newer
    two_hosts
    server_script refresh '{"delay":1}'
    turn_in_session a
    retry_until 20 has_requests refresh 3
    pids="$(ps -o pid= -s "$SESSION")"
    # shellcheck disable=SC2086 # words
    kill -STOP $pids
    SINCE=$(date +%s%N)
    recovers b 'stopped in the request'
    assert_equal "$(server_stats refused)" 1
    assert_requests 2 login
    newer="$(published default)"
    # shellcheck disable=SC2086 # words
    kill -CONT $pids
    retry_until 30 is_gone "$SESSION"
    assert_equal "$(published default)" "$newer" # not what was on the way
    on a turn
    assert_done
    assert_requests 2 login
    published_works
}

# break_engine WHAT HOW...: while a renewal is under way.
break_engine() {
    local before
    two_hosts
    server_script refresh '{"delay":1}'
    turn_in_session a
    retry_until 20 has_requests refresh 3
    SINCE=$(date +%s%N)
    "${@:2}"
    retry_until 60 is_gone "$SESSION"
    recovers a "$1" # it has a new token, and publishes it
    assert_none_in_vain
    before="$(refreshes_answered)"
    on b turn
    assert_done
    assert_none_in_vain
    assert_equal "$(refreshes_answered)" $((before + 1))
}

stop_for_seconds() {
    engine_stop
    retry_until 30 session_runs publish
    engine_go_on
}

kill_and_start() {
    engine_kill
    engine_start
}

# told WHAT: what it has cost.
told() {
    printf '# %s: %d spent in vain, %d logins\n' "$1" "$(server_stats refused)" $(($(count_requests login) - 1)) >&3
}

# next_second: what is made from now on is later by its nbf, which is in whole seconds.
next_second() {
    local now=$EPOCHSECONDS
    while [ "$EPOCHSECONDS" = "$now" ]; do pause; done
}

# Ten minutes: no matter. 45: it finds tokens due that are not. Three hours: it finds all of them ended.
be_ahead() {
    local offset turns=0
    local -x CLOCK_OFFSET
    needs_other_clock
    share_login a b
    on a turn
    assert_done
    export TURN_MIN_TTL=20m
    for offset in 600 2700 10800; do
        next_second
        LD_PRELOAD="$OTHER_CLOCK" CLOCK_OFFSET=$offset on b turn
        assert_done "$offset"
        [ "$offset" = 600 ] || turns=$((turns + 1))
        assert_equal "$(refreshes_answered)" "$turns"
        assert_none_in_vain
        on a turn
        assert_done "$offset"
        assert_equal "$(published default)" "$(jq -r .access_token a/shared/default.json)"
        assert_none_in_vain
    done
    # Whoever asks meanwhile has what is published, unless it is ended by its own clock, and is told so.
    quietly login -p reader --token-command "sh '$RECIPE' get default"
    LD_PRELOAD="$OTHER_CLOCK" CLOCK_OFFSET=600 capture servetel-auth refresh -p reader --quiet --print
    assert_done
    assert_stdout "$(published default)"
    LD_PRELOAD="$OTHER_CLOCK" CLOCK_OFFSET=10800 capture servetel-auth refresh -p reader --quiet --print
    assert_failed 5
    assert_stderr_has "this host's clock"
    # Set right, it thinks of nothing that it lasts for hours.
    next_second
    on b turn
    assert_done
    TURN_MIN_TTL=2h on a turn
    assert_done
    on b turn
    assert_done
    assert_equal "$(published default)" "$(jq -r .access_token b/shared/default.json)"
    assert_none_in_vain
    told 'clock ahead by 10 min, 45 min and 3 h'
}

# on_small_disk DIRECTORY OPTIONS COMMAND...: its directory is a tmpfs with what it had in it. In a subshell, whose pid
# it keeps.
on_small_disk() {
    # shellcheck disable=SC2016 # for the inner shell
    exec "${NAMESPACE[@]}" bash -c '
        cd "$1" && exec 4<. && mount -t tmpfs -o "$2" none "$1" && cd "$1" && cp -pR /dev/fd/4/. . && exec 4<&- &&
            shift 2 && exec "$@"' - "$@"
}

# A host whose disk is full sends nothing, and gives the lock back; the next one goes on at once.
have_full_disk() {
    local before
    needs_mounts
    two_hosts
    before="$(published default)"
    capture on_small_disk "$PWD/a/shared" size=64k,mode=700 bash -c '
        cat /dev/zero >filler 2>/dev/null
        SERVETEL_AUTH_DIR="$PWD" exec sh "$RECIPE" turn'
    assert_failed 7
    assert_stderr_has 'No space left'
    assert_equal "$(refreshes_answered)" 2
    assert_equal "$(published default)" "$before"
    SINCE=$(date +%s%N)
    recovers b "a host's disk full"
    assert_equal "$(refreshes_answered)" 3
    on a turn # the disk is as it was
    assert_done
    assert_none_in_vain
}

has_own_disk() { [[ "$(ps -o args= -p "$1")" == sleep* ]]; }

# give_own_disk DIRECTORY SIZE: sets ON_DISK, which starts a command there, and FILLER, what takes its room.
give_own_disk() {
    background on_small_disk "$1" "size=$2" sleep 600 # whoever ends, the disk stays
    retry_until 10 has_own_disk "$BG_PID"
    ON_DISK=(nsenter --target "$BG_PID" --mount)
    [ "${#NAMESPACE[@]}" = 2 ] || ON_DISK+=(--user --preserve-credentials)
    FILLER="/proc/$BG_PID/root$1/filler"
}

fill_disk() { cat /dev/zero >"$FILLER" 2>/dev/null || true; }

engine_free() {
    rm "$FILLER"
    is_gone "$(engine_pid)" || engine_kill
    engine_start "${ON_DISK[@]}"
}

# Full while a renewal is under way: what cannot be published then is as soon as there is room.
fill_engine_disk() {
    two_hosts
    server_script refresh '{"delay":1}'
    turn_in_session a
    retry_until 20 has_requests refresh 3
    engine_fill
    SINCE=$(date +%s%N)
    retry_until 60 is_gone "$SESSION"
    ! published_works || fail_with 'the disk was not full'
    engine_free
    recovers a "the engine's disk full"
    assert_none_in_vain
    on b turn
    assert_done
    assert_none_in_vain
}

# One that was off for weeks, with what was the newest token then, or with one that it could not publish any more.
come_back() {
    local publication
    two_hosts
    cp -R b/shared long_ago
    for publication in "done" pending; do
        next_second
        on a turn
        assert_done
        rm -rf b/shared
        cp -R long_ago b/shared
        SERVETEL_AUTH_DIR="$HOME/b/shared" set_life $((-20 * 86400))
        SERVETEL_AUTH_DIR="$HOME/b/shared" cache_edit ".publication = \"$publication\""
        newest="$(published default)"
        TURN_MIN_TTL=20m on b turn
        assert_done "$publication"
        assert_equal "$(published default)" "$newest"
        assert_equal "$(jq -r .access_token b/shared/default.json)" "$newest"
        assert_none_in_vain
    done
    next_second
    on b turn # and it takes its turn like the others
    assert_done
    assert_equal "$(refreshes_answered)" 5
    assert_none_in_vain
    told 'a host back after 20 days'
}
