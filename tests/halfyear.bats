#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A compressed half-year of cron and readers: halfyear.sh tells what happens. It runs once, and the tests look at
# what came of it. Tokens of two seconds are too short for a program under a wrapper.

load helper

# Not under a wrapper or with sanitizers.
is_quick() {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] && [ "${TEST_SLOW:-}" != 1 ]
}

setup_file() {
    export FIGURES="$BATS_FILE_TMPDIR/figures" ENDED="$BATS_FILE_TMPDIR/ended"
    is_quick || return 0
    local status=0
    "$BATS_TEST_DIRNAME/halfyear.sh" --seconds 60 --keep "$BATS_FILE_TMPDIR" >"$FIGURES" 2>&1 3>&- </dev/null ||
        status=$?
    echo "$status" >"$ENDED"
    sed 's/^/# /' "$FIGURES" >&3
}

setup() {
    is_quick || skip 'tokens of two seconds, too short for a program that is slowed down'
}

@test "through half a year whoever asks has a token that works whenever one can be had" {
    capture cat "$ENDED"
    [ "$output" = 0 ] || fail_with "halfyear.sh found something wrong" "$(cat "$FIGURES")"
    capture grep -c '^WRONG' "$FIGURES"
    assert_stdout 0
}

@test "it lasted a minute at least, and all that was to happen did" {
    seconds="$(sed -n 's/^half a year in \([0-9]*\) s.*/\1/p' "$FIGURES")"
    [ "$seconds" -ge 60 ]
    for event in 'service away' 'refresh answered 500' 'all answered 500' 'answered 429' 'service slow' 'password changed'; do
        grep -q "^happened:.*$event [1-9]" "$FIGURES" || fail_with "did not happen: $event" "$(cat "$FIGURES")"
    done
}

@test "the service never saw a refused password twice" {
    capture jq -r '[.[] | select(.endpoint == "login" and .status == 401) | .body] | group_by(.) | map(length) | max' \
        "$BATS_FILE_TMPDIR/log"
    assert_done
    assert_stdout 1
}

@test "a full disk cost nothing but the time it was full" {
    ! grep -q '^left out: the full disk' "$FIGURES" || skip 'only root can mount a small file system to fill'
    grep -q '^happened:.*disk full [1-9]' "$FIGURES"
    # Cron has met it, and was told so.
    # shellcheck disable=SC2016 # awk's words
    capture awk -F '\t' '$2 == 7' "$BATS_FILE_TMPDIR/cron"
    [ -n "$output" ] || fail_with "no run was refused by the disk" "$(cat "$FIGURES")"
    [[ "$output" == *'No space left'* ]] || fail_with "it was not said" "$output"
}
