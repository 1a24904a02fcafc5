#!/usr/bin/env bats
# The command line: usage, help, options and their precedence, what is refused before anything is sent,
# and what is written where.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper
load cli_helper

COMMANDS='login refresh show status logout exec schedule'

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# assert_nothing_sent
assert_nothing_sent() {
    assert_equal "$(server_log length)" 0
}

# ---------------------------------------------------------------------------------------- help and usage

@test "without a command: usage on stderr, status 2" {
    local command
    for options in '' '-q' '-p work' '--'; do
        # shellcheck disable=SC2086 # a list of words
        try $options
        assert_failed 2
        assert_stderr_has usage
        for command in $COMMANDS; do
            assert_stderr_has "$command"
        done
    done
}

@test "--help names every command on stdout, status 0" {
    local command
    try --help
    assert_done
    assert_stderr_empty
    for command in $COMMANDS; do
        grep -Eq "^ *$command  " <<<"$output" || fail_with_run "no line for $command"
    done
}

@test "each command's --help names its options on stdout, status 0" {
    local network='api-url timeout retries cacert auth-scheme' common='profile file quiet verbose'
    local command options option
    while read -r command options; do
        try "$command" --help
        assert_done
        assert_stderr_empty
        assert_stdout_has "servetel-auth $command"
        for option in $options $common; do
            assert_stdout_has "--$option"
        done
    done <<EOT
login email password-stdin password-file password-command forget-source token-stdin token-command print no-cache $network
refresh min-ttl print json all jobs on-change complain-below dry-run $network
show min-ttl cached format no-newline json claims $network
status json
logout all
exec min-ttl keep-fresh $network
schedule
EOT
    try --help show # the help of the program, or of the command
    assert_done
    assert_nothing_sent
}

@test "help comes whatever the environment says, and a bad variable is named" {
    export SERVETEL_PROFILE=/x SERVETEL_API_URL=ftp://x
    try refresh --help
    assert_done
    assert_stderr_empty
    try refresh --version
    assert_done
    try refresh
    assert_failed 2
    SERVETEL_PROFILE='' try refresh
    assert_failed 2
    assert_stderr_has 'SERVETEL_API_URL: the API URL must start with https://'
}

@test "a file named without a directory is no profile's name in what a message advises" {
    local name
    for name in work default cache.json; do
        try show -f "$name"
        assert_failed 3
        assert_stderr_has "run servetel-auth login -f $name"
    done
}

@test "--version is one line on stdout, status 0, wherever it stands" {
    try --version
    assert_done
    assert_stderr_empty
    [[ "$output" =~ ^servetel-auth\ [0-9]+\.[0-9]+ ]] || fail_with_run "not a version"
    local version=$output
    try show --version
    assert_done
    assert_stdout "$version"
}

# --------------------------------------------------------------------------------------- options' places

@test "options stand before or after the command, long or short, joined or apart" {
    write_cache . work
    try -p work show
    assert_stdout made-up-work
    try show -p work
    assert_stdout made-up-work
    try -pwork show
    assert_stdout made-up-work
    try --profile=work show --cached
    assert_stdout made-up-work
    try show --profile work --no-newline
    assert_stdout made-up-work
    try -q show -p work -v
    assert_stdout made-up-work
    try -f "$(cache_file work)" show
    assert_stdout made-up-work
    try show --file="$(cache_file work)"
    assert_done
    assert_stdout made-up-work
    assert_nothing_sent
}

@test "-- ends the options: what follows is an operand" {
    write_cache . work
    try -p work -- show
    assert_done
    assert_stdout made-up-work
    try show -p work --
    assert_done
    assert_stdout made-up-work
    try show -p work -- --cached
    assert_failed 2
    assert_stderr_has argument
}

@test "an unknown command is 2, with the one that was probably meant" {
    local typed meant
    while read -r typed meant; do
        try "$typed"
        assert_failed 2
        assert_stderr_has "'$typed'"
        assert_stderr_has "'$meant'"
    done <<'EOT'
shw show
logn login
refesh refresh
stauts status
exce exec
EOT
    try frobnicate
    assert_failed 2
    assert_stderr_lacks 'did you mean'
    try ''
    assert_failed 2
    try --json show # an option of a command's, but which command comes later
    [ "$status" = 0 ] || [ "$status" = 2 ] || [ "$status" = 3 ] || fail_with_run "neither taken nor refused"
}

@test "an unknown option is 2, with the one that was probably meant" {
    try show --jsno
    assert_failed 2
    assert_stderr_has "'--jsno'"
    assert_stderr_has "'--json'"
    try login --pasword-stdin
    assert_failed 2
    assert_stderr_has "'--password-stdin'"
    try show --zzzzzz
    assert_failed 2
    assert_stderr_lacks 'did you mean'
    try -Z show
    assert_failed 2
    assert_stderr_has Z
    try show -Z
    assert_failed 2
    assert_stderr_has Z
    try login --insecure # certificate checks cannot be turned off
    assert_failed 2
    assert_nothing_sent
}

@test "an option of another command is 2, and named" {
    local command option
    write_cache
    while read -r command option; do
        try "$command" "$option"
        assert_failed 2
        assert_stderr_has "$option"
    done <<'EOT'
show --password-stdin
show --print
login --json
login --cached
refresh --no-cache
refresh --format
status --timeout
status --api-url
logout --json
schedule --retries
EOT
    assert_equal "$(cached .access_token)" made-up-default # the logout has not happened
}

@test "a missing argument and one too many are 2" {
    local words
    write_cache
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
    done <<'EOT'
show --min-ttl
show -p
-f
login --password-file
refresh --json=yes
show extra
status extra
logout extra
refresh extra
login extra
exec
exec --
schedule
schedule launchd
schedule cron extra
EOT
    assert_equal "$(cached .access_token)" made-up-default
    assert_nothing_sent
}

@test "options that do not go together are 2, and named" {
    local named words name
    write_cache
    while IFS=: read -r words named; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
        for name in $named; do
            assert_stderr_has "$name"
        done
    done <<'EOT'
refresh --all -p work:--all --profile
refresh --all --file x:--all --file
refresh --all --print:--all --print
refresh --all --adopt true:--all --adopt
refresh --print --json:--print --json
refresh --jobs 4:--jobs --all
logout --all -p work:--all --profile
logout --all --file x:--all --file
schedule cron --all -p work:--all --profile
schedule systemd --all --adopt true:--all --adopt
show --json --claims:--json --claims
show --json --format header:--json --format
login --token-stdin --password-stdin:--token-stdin --password-stdin
login --token-stdin --token-command true:--token-stdin --token-command
login --token-command true --password-file x:--token-command password
EOT
    assert_equal "$(cached .access_token)" made-up-default
    assert_nothing_sent
}

# ------------------------------------------------------------------------------------------------ values

@test "a duration is a whole number with s, m, h, d or nothing behind it; all else is 2" {
    local value
    write_cache '.expires_at = $now + 9000' # two and a half hours
    for value in '' 5x 5ms 1.5h -1 +5 ' 5' '5 ' '5 m' m 0x10 1e3 5mm 5S 99999999999999999999 $'5\n'; do
        try show --min-ttl "$value"
        assert_failed 2 "--min-ttl '$value'"
        assert_stderr_has --min-ttl
    done
    try show --timeout 5x
    assert_failed 2
    assert_stderr_has --timeout
    for value in 0 60 9s 149m 2h; do
        try show --min-ttl "$value"
        assert_stdout made-up-default
    done
    for value in 30 30s 5m 1h 1d; do
        try show --timeout "$value"
        assert_stdout made-up-default
    done
    assert_nothing_sent
    server_script refresh '{"status":404,"repeat":-1}'
    for value in 9100 9100s 152m 3h 1d; do # the unit counts: no more is there
        try show --min-ttl "$value"
        assert_failed 6 "$value"
    done
}

@test "a malformed number or choice is 2" {
    local value
    write_cache
    for value in '' x -1 +1 1.5 1x ' 1' 0x1 99999999999999999999; do
        try show --retries "$value"
        assert_failed 2 "--retries '$value'"
        assert_stderr_has --retries
    done
    for value in x 0 -1; do
        try refresh --all --jobs "$value"
        assert_failed 2 "--jobs '$value'"
        assert_stderr_has --jobs
    done
    try show --format xml
    assert_failed 2
    assert_stderr_has header # what it may be
    try show --format ''
    assert_failed 2
    try show --auth-scheme basic
    assert_failed 2
    assert_stderr_has bearer
    assert_nothing_sent
}

@test "a profile's name is checked, from the option and from the environment" {
    local name long
    long="$(printf 'a%.0s' {1..128})"
    for name in ../x . .. .hidden -x _x a/b 'a b' 'a:b' $'a\nb' $'\xc3\xbc' 'a*' "${long}b"; do
        try show "--profile=$name"
        assert_failed 2 "-p '$name'"
    done
    for name in ../x $'a\e[31m'; do
        SERVETEL_PROFILE="$name" try show
        assert_failed 2 "SERVETEL_PROFILE='$name'"
        assert_stderr_has SERVETEL_PROFILE
        assert_harmless "$stderr"
    done
    try show -p ''
    assert_failed 2
    for name in 0 you@x.test a.b_c+d-e "$long"; do
        write_cache . "$name"
        try show -p "$name"
        assert_done
        assert_stdout "made-up-$name"
    done
}

@test "an API URL that is unsafe or no URL is 2, from the option and from the environment" {
    local url
    unset SERVETEL_API_URL
    while read -r url; do
        try_login "$PW" -e "$EMAIL" --api-url "$url"
        assert_failed 2 "$url"
        assert_stderr_lacks hunter2
    done <<EOT
http://example.test/v1
http://127.0.0.1.example.test:$API_PORT/v1
http://localhost.example.test:$API_PORT/v1
http://127.0.0.1@example.test:$API_PORT/v1
http://128.0.0.1/v1
http://0.0.0.0:$API_PORT/v1
http://[2001:db8::1]/v1
ftp://127.0.0.1:$API_PORT/v1
file:///etc/passwd
gopher://localhost:$API_PORT/v1
//127.0.0.1:$API_PORT/v1
127.0.0.1:$API_PORT/v1
localhost
/v1
https://you:hunter2@127.0.0.1:$API_PORT/v1
http://you:hunter2@127.0.0.1:$API_PORT/v1
https://hunter2@example.test/v1
https://
https:///v1
http://:$API_PORT/v1
https://example.test:0x50/v1
https://example.test:65536/v1
https://example.test:-1/v1
http://127.0.0.1:$API_PORT/v1?key=value
http://127.0.0.1:$API_PORT/v1#part
http://127.0.0.1:$API_PORT/v 1
EOT
    try_login "$PW" -e "$EMAIL" --api-url $'http://127.0.0.1\r\nX: y/v1'
    assert_failed 2
    assert_harmless "$stderr"
    for url in http://example.test/v1 https://you:hunter2@example.test/v1; do
        SERVETEL_API_URL="$url" try_login "$PW" -e "$EMAIL"
        assert_failed 2 "SERVETEL_API_URL=$url"
        assert_stderr_lacks hunter2
    done
    try_login "$PW" -e "$EMAIL" --api-url ''
    assert_failed 2
    assert_nothing_sent
    [ ! -e "$(cache_file)" ]
}

@test "plain http is taken for loopback hosts, with or without a slash at the end" {
    local url
    for url in "http://localhost:$API_PORT/v1" "http://127.0.0.1:$API_PORT/v1/" "HTTP://LOCALHOST:$API_PORT/v1"; do
        try_login "$PW" -e "$EMAIL" --no-cache --api-url "$url"
        assert_done "$url"
    done
    assert_equal "$(server_log 'map(.path) | unique | join(" ")')" /v1/auth/login
    # Nobody listens there; the address itself is accepted.
    for url in http://127.9.9.9:1/v1 'http://[::1]:1/v1'; do
        try_login "$PW" -e "$EMAIL" --no-cache --retries 0 --api-url "$url"
        assert_failed 5 "$url"
    done
}

# -------------------------------------------------------------------------------------------- precedence

@test "the profile: option, environment, default; an empty variable is as if unset" {
    write_cache . default
    write_cache . work
    write_cache . home
    SERVETEL_PROFILE=work try show -p home
    assert_stdout made-up-home
    SERVETEL_PROFILE=work try show
    assert_stdout made-up-work
    SERVETEL_PROFILE='' try show
    assert_stdout made-up-default
    try show
    assert_done
    assert_stdout made-up-default
}

@test "the file: option, environment, the profile's; an empty variable is as if unset" {
    write_cache . default
    SERVETEL_AUTH_FILE="$HOME/one.json" write_cache . one
    SERVETEL_AUTH_FILE="$HOME/two.json" write_cache . two
    SERVETEL_AUTH_FILE="$HOME/one.json" try show -f "$HOME/two.json"
    assert_stdout made-up-two
    SERVETEL_AUTH_FILE="$HOME/one.json" try show
    assert_stdout made-up-one
    SERVETEL_AUTH_FILE="$HOME/one.json" SERVETEL_PROFILE=default try show
    assert_stdout made-up-one # in place of a profile's
    SERVETEL_AUTH_FILE='' try show
    assert_done
    assert_stdout made-up-default
    try show -f ''
    assert_failed 2
}

@test "SERVETEL_AUTH_DIR moves the directory, HOME does without it; an empty one is as if unset" {
    SERVETEL_AUTH_DIR="$HOME/elsewhere" write_cache '.access_token = "moved"'
    write_cache
    SERVETEL_AUTH_DIR="$HOME/elsewhere" try show
    assert_stdout moved
    SERVETEL_AUTH_DIR='' try show
    assert_stdout made-up-default
    XDG_CONFIG_HOME="$HOME/elsewhere" XDG_STATE_HOME="$HOME/elsewhere" try show
    assert_done
    assert_stdout made-up-default
}

@test "the API: option, environment, the profile's; an empty variable is as if unset" {
    # The hosts tell who was asked; all of them are the same service.
    write_cache ".api_url = \"http://127.0.0.3:$API_PORT/v1\" | .expires_at = \$now"
    server_script refresh '{"status":404,"repeat":-1}'
    SERVETEL_API_URL="http://localhost:$API_PORT/v1" try refresh --api-url "http://127.0.0.1:$API_PORT/v1"
    assert_failed 6
    assert_equal "$(header host)" "127.0.0.1:$API_PORT"
    SERVETEL_API_URL="http://localhost:$API_PORT/v1" try refresh
    assert_failed 6
    assert_equal "$(header host)" "localhost:$API_PORT"
    SERVETEL_API_URL='' try refresh --retries 0
    assert_failed 5 # nobody listens there
    assert_stderr_has 127.0.0.3
    unset SERVETEL_API_URL
    try refresh --retries 0
    assert_failed 5
    assert_stderr_has 127.0.0.3
}

@test "without an API given or remembered, Servetel's own is asked" {
    proxy_start --mode 403
    unset SERVETEL_API_URL
    https_proxy="$PROXY" try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    grep -q '^CONNECT api\.servetel\.in:443 ' "$PROXY_LOG"
    [ ! -e "$(cache_file)" ]
}

@test "the e-mail: option, environment, the profile's; an empty variable is as if unset" {
    server_config '{"users":{"a@x":"pw","b@x":"pw","c@x":"pw"}}'
    SERVETEL_EMAIL=b@x try_login pw -e a@x
    assert_done
    SERVETEL_EMAIL=b@x try_login pw
    assert_done
    assert_equal "$(cached .email)" b@x
    SERVETEL_EMAIL='' try_login pw
    assert_done
    try_login pw
    assert_done
    try_login pw --email c@x
    assert_done
    assert_equal "$(server_log 'map(.body | fromjson | .email) | join(" ")')" 'a@x b@x b@x b@x c@x'
    try_login pw -e ''
    assert_failed 2
}

# ----------------------------------------------------------------------------------------------- secrets

@test "a secret typed where none belongs is not repeated" {
    local words
    write_cache
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        try $words </dev/null
        assert_failed 2
        assert_stderr_lacks hunter2
    done <<'EOT'
login --password=hunter2
login --password hunter2
login --passwrod=hunter2
login you@example.test hunter2
login --password-stdin=hunter2
login --token=hunter2
login --token-stdin hunter2
refresh --token=hunter2
refresh hunter2
show hunter2
--password=hunter2 login
exec --token=hunter2 -- true
EOT
    assert_nothing_sent
}

@test "no message carries control characters, however they came in" {
    local evil=$'a\e[31m\ab\x7f\xc2\x9b1m\rc'
    try "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show "--$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show --min-ttl "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try show -f "$HOME/$evil"
    assert_failed 3
    assert_harmless "$stderr"
    try schedule "$evil"
    assert_failed 2
    assert_harmless "$stderr"
    try_login "$PW" -e "$evil"
    assert_failed 4
    assert_harmless "$stderr"
    try login -e "$EMAIL" --password-file "$HOME/$evil"
    assert_failed 7
    assert_harmless "$stderr"
}

@test "what the service says is shown without control characters, and cut" {
    local message long
    message='bad \u001b[31m\u0007\u009b1m\u007f\r\n\u0085thing'
    server_script login "{\"status\":401,\"json\":{\"message\":\"$message\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_stderr_has bad
    assert_stderr_has thing
    assert_harmless "$stderr"
    assert_equal "$(wc -l <<<"$stderr")" 1
    # Not JSON: raw bytes.
    server_script login '{"status":500,"body_base64":"G1szMW1vb3BzG1swbQebMW3/AAo="}'
    try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_harmless "$stderr"
    long="$(printf 'x%.0s' {1..5000})"
    server_script login "{\"status\":403,\"json\":{\"message\":\"$long\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_failed 4
    assert_stderr_has xxxxxxxxxx
    [[ "$stderr" != *"${long:0:301}"* ]] || fail_with_run "more than 300 characters of the service's"
}

@test "what the service echoes holds no password and no token, not even in part" {
    local secret='secret token secret' pad answers=()
    server_config "{\"users\":{\"$EMAIL\":\"$secret\"}}"
    # The cut at 300 characters must not come before the scrubbing.
    for pad in '' 285 290 295; do
        [ -z "$pad" ] || pad="$(printf "%${pad}s" '' | tr ' ' x)"
        answers+=("{\"status\":401,\"json\":{\"message\":\"$pad$secret, you say\"}}")
    done
    server_script login "${answers[@]}"
    for _ in "${answers[@]}"; do
        try_login "$secret" -v -e "$EMAIL"
        assert_failed 4
        assert_stderr_lacks secr
    done
    # A gateway's page shows the header it did not like.
    server_script refresh "${answers[@]//$secret/secret-token}" \
        '{"status":403,"body":"<p>Authorization: Bearer secret-token</p>"}'
    write_cache '.access_token = "secret-token" | .expires_at = $now + 5'
    for _ in "${answers[@]}" .; do
        try refresh -v --auth-scheme raw
        assert_failed 4
        assert_stderr_lacks secr
    done
}

# -------------------------------------------------------------------------------------------- the terminal

@test "colour goes to a terminal only, and not with NO_COLOR or TERM=dumb" {
    local escape=$'\e['
    write_cache
    export TERM=xterm
    on_terminal -- servetel-auth status
    assert_done
    assert_stdout_has "$escape" # else the rest proves nothing
    NO_COLOR='' on_terminal -- servetel-auth status
    assert_stdout_has "$escape"
    assert_no_colour() {
        [[ "$output$stderr" != *"$escape"* ]] || fail_with_run "colour: $TRIED"
    }
    NO_COLOR=1 on_terminal -- servetel-auth status
    assert_done
    assert_no_colour
    TERM=dumb on_terminal -- servetel-auth status
    assert_done
    assert_no_colour
    try status
    assert_done
    assert_no_colour
    TERM=dumb on_terminal -- servetel-auth show -p none
    assert_status 3
    assert_no_colour
}

# ------------------------------------------------------------------------------------- stdout that is not

# assert_7 SPOIL: for what prints to a stdout that SPOIL makes of no use, a line for each way of printing.
assert_7() {
    local spoil=$1 words
    write_cache ".access_token = \"$(jwt '{"iat":1}')\"" # has --claims
    while read -r words; do
        # shellcheck disable=SC2086 # a list of words
        capture "$spoil" servetel-auth $words
        assert_failed 7 "$spoil $words"
    done
}

closed_stdout() { "$@" >&-; }

full_stdout() { "$@" >/dev/full; }

# A pipe whose reader has gone, without a race: the reader goes before the program starts.
broken_stdout() {
    [ -p "$BATS_TEST_TMPDIR/pipe" ] || mkfifo "$BATS_TEST_TMPDIR/pipe"
    (
        exec 8<>"$BATS_TEST_TMPDIR/pipe"
        exec 9>"$BATS_TEST_TMPDIR/pipe" 8<&-
        "$@" >&9
    )
}

@test "on a full device nothing is reported as done: 7" {
    assert_7 full_stdout <<'EOT'
show
show --no-newline
show --json
show --format header
show --claims
status
status --json
refresh --min-ttl 1m --json
refresh --min-ttl 1m --print
schedule cron
schedule systemd
--help
login --help
--version
EOT
}

@test "with stdout closed nothing is reported as done: 7" {
    assert_7 closed_stdout <<'EOT'
show
status
refresh --min-ttl 1m --json
--help
EOT
}

@test "a broken pipe is 7, not a death by SIGPIPE" {
    assert_7 broken_stdout <<'EOT'
show
status
refresh --min-ttl 1m --json
schedule systemd
--help
EOT
}

@test "a new token that cannot be printed is 7, and stored" {
    local spoil old
    capture full_stdout servetel-auth login -e "$EMAIL" --password-stdin --print <<<"$PW"
    assert_failed 7
    token_works "$(cached_token)"
    for spoil in closed_stdout broken_stdout; do
        old="$(cached_token)"
        capture "$spoil" servetel-auth refresh --print
        assert_failed 7 "$spoil"
        [ "$(cached_token)" != "$old" ]
    done
    token_works "$(cached_token)"
    assert_no_secret
}

@test "without stdin, stdout or stderr no message ends up in a file" {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind loads no library when stderr is closed'
    write_cache
    capture bash -c 'printf "%s\n" "$1" | servetel-auth login -v -e "$2" --password-stdin 2>&-' \
        sh "$PW" "$EMAIL"
    assert_done
    assert_stdout_empty
    token_works "$(cached_token)"
    capture bash -c 'servetel-auth refresh -v <&- >&- 2>&-'
    assert_done
    token_works "$(cached_token)" # which is also to say: the file is JSON
    assert_equal "$(ls "$HOME/.servetel-auth")" "$(printf 'default.json\ndefault.lock')"
}

# ------------------------------------------------------------------------------------- quiet and verbose

@test "--quiet: nothing on stderr but errors" {
    printf '%s\n' "$PW" >"$HOME/pw" # readable by all: a warning
    server_config '{"number_of_days_left":3}'
    try login -q -e "$EMAIL" --password-file "$HOME/pw"
    assert_done
    assert_stdout_empty
    assert_stderr_empty
    try refresh -q
    assert_done
    assert_stderr_empty
    try refresh --min-ttl 5m --quiet
    assert_done
    assert_stderr_empty
    try show -q
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_empty
    try_login wrong -q -e "$EMAIL"
    assert_failed 4
    try -q logout
    assert_done
    assert_stderr_empty
}

@test "--verbose: each request's host, status and timing, and never a secret" {
    local timing=' DNS .*connect .*TLS .*total '
    printf '%s\n' "$PW" >"$HOME/pw"
    chmod 600 "$HOME/pw"
    assert_request_told() { # STATUS
        [[ "$stderr " =~ 127\.0\.0\.1:$API_PORT.*$1.*$timing ]] || fail_with_run "no line for a $1"
        assert_no_secret
    }
    try login -v -e "$EMAIL" --password-file "$HOME/pw"
    assert_done
    assert_stdout_empty
    assert_request_told 200
    try refresh --verbose
    assert_done
    assert_stdout_empty
    assert_request_told 200
    make_stale
    server_script refresh '{"status":401,"repeat":2,"json":{"message":"no"}}'
    try -v refresh
    assert_done
    assert_request_told 401
    assert_request_told 200 # the login that follows
    try_login wrong -v -e "$EMAIL"
    assert_failed 4
    assert_request_told 401
    make_stale
    try show -v
    assert_done
    assert_stdout "$(cached_token)"
    output='' # the token belongs there
    assert_request_told 200
    try refresh
    assert_done
    assert_stderr_lacks DNS
}
