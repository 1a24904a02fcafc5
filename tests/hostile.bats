#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Answers that nobody wants: broken, forged, cut, endless, slow, or telling too much. hostile_cases.py has them,
# hostile_run.py what is looked at in each case, for login and for refresh.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# cases GROUP: all of a group's; what is wrong is printed with the name of the case.
cases() {
    mkdir "$BATS_TEST_TMPDIR/work"
    capture "$TESTS_PYTHON" "$TESTS_DIR/hostile_run.py" --work "$BATS_TEST_TMPDIR/work" "$1"
    assert_done
    assert_stderr_empty
    [[ "$output" =~ ^[1-9][0-9]*' cases'$ ]] || fail_with_run "expected the number of cases"
}

@test "a body that is not a JSON object is 6, and nothing is sent again" {
    cases not_an_object
}

@test "JSON that is torn, wrapped or followed by something is 6" {
    cases torn_json
}

@test "bytes that do not belong into JSON are 6" {
    cases bytes_out_of_place
}

@test "deep nesting is 6, and no crash" {
    cases deep_nesting
}

@test "a token that is missing or no string is 6" {
    cases token_missing
}

@test "a token that is not 1 to 16384 characters of visible ASCII is 6" {
    cases token_unsafe
}

@test "success that is present and not true is a refusal: 4" {
    cases success_not_true
}

@test "an expires_in that is negative, over ten years or not a number is 6" {
    cases life_unusable
}

@test "an answer that is odd but good is taken" {
    cases odd_but_good
}

@test "an expires_in that is missing, null or 0 is 60 minutes for a token that does not say; a text may be a number" {
    cases life_taken
}

@test "what a parser may take or leave is stored right or not at all" {
    cases ambiguous
}

@test "an answer of more than 1 MiB is 6" {
    cases too_large
}

@test "headers without end or measure are 6" {
    cases headers_without_measure
}

@test "a status that refuses is 4; a token is tried once in the other form, a password never again" {
    cases refused
}

@test "a temporary status is 5, and a refresh is not repeated" {
    cases temporary
}

@test "a login that a 5xx has answered is repeated as often as --retries says" {
    cases login_repeated
}

@test "any other status is 6, and nothing is sent again" {
    cases other_statuses
}

@test "a redirect is 6 and not followed, wherever it leads" {
    cases redirects
}

@test "a status line that is none is 6" {
    cases status_lines
}

@test "what does not speak HTTP is 6" {
    cases not_http
}

@test "a length or chunks that cannot be right are 6, an answer cut short is 5" {
    cases framing
}

@test "a connection that breaks is 5, and what may have arrived is not sent again" {
    cases broken_connections
}

@test "a request on a connection used before is not sent again behind our back when that breaks" {
    cases broken_when_used_again
}

@test "a service that is slow for ever is 5 when the time is up" {
    cases slow
}

@test "the answer to the other form counts when the first was refused" {
    cases other_form
}

@test "a time to wait that is too long or makes no sense is not waited for: 5 at once, sent once" {
    cases pauses
}

@test "Retry-After: 0 for ever is not followed for ever" {
    cases pauses_of_nothing
}

@test "a message is shown without what a terminal would obey, on one line" {
    cases terminal_codes
}

@test "a message is cut to 300 characters" {
    cases long_messages
}

@test "a message that is no text does not turn a refusal into anything else" {
    cases message_is_no_text
}

@test "a token that a gateway echoes is hidden, also when it or we cut it" {
    cases echoes_of_the_token
}

@test "a password that a gateway echoes is hidden, also where we cut" {
    cases echoes_of_the_password
}

@test "tokens in any other part of an answer are hidden" {
    cases echoes_elsewhere
}

@test "--verbose shows no secret and no control character either" {
    cases verbose
}
