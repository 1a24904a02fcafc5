#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# login: where the password comes from, the prompt, and which source is remembered.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC1003 # a backslash before a quote is data
# shellcheck disable=SC2153 # EMAIL is helper.bash's
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper

setup_file() { server_start; }

teardown_file() { server_stop; }

setup() { test_setup; }

teardown() { test_teardown; }

# password_file NAME [CONTENT]: a private file below HOME; prints its path.
password_file() {
    (umask 077 && printf '%s' "${2-"$PW"}" >"$HOME/$1")
    printf '%s\n' "$HOME/$1"
}

# The password of the last request, with a full stop behind it, for $( ).
sent_password() {
    server_log '.[-1].body | fromjson | .password + "."'
}

# --------------------------------------------------------------------------------- sources of passwords

@test "the password is the first line of stdin, of a file or of a command's output" {
    local text file
    for text in "$PW" "$PW"$'\n' "$PW"$'\r\n' "$PW"$'\nsecond line\n'; do
        try login -e "$EMAIL" --password-stdin < <(printf '%s' "$text")
        assert_done "stdin $(printf %q "$text")"
        file="$(password_file pw "$text")"
        try login -e "$EMAIL" --password-file "$file"
        assert_done "file $(printf %q "$text")"
        try login -e "$EMAIL" --password-command "cat '$file' | cat -" # a shell's
        assert_done "command $(printf %q "$text")"
        assert_stderr_lacks warning
    done
    assert_requests 12
    assert_equal "$(server_stats refused)" 0
}

@test "white space belongs to the password" {
    server_config '{"users":{"you@example.test":" pass\tword  "}}'
    try_login $' pass\tword  ' -e "$EMAIL"
    assert_done
    assert_equal "$(sent_password)" $' pass\tword  .'
}

@test "any password arrives as it is: quotes, backslashes, UTF-8, control characters, 4096 bytes" {
    local password long
    long="$(printf '0123456789abcde"%.0s' {1..256})"
    for password in '"' '\' 'a"b\c/d' "'\$(x)\`y\`" '\u0041\n' ' ' $'\t' 'päß wörd €😀' $'\x01\x1f\x7f' \
        "${long:0:4096}"; do
        server_config "$(jq -cn --arg p "$password" '{users: {"you@example.test": $p}}')"
        try_login "$password" -e "$EMAIL" --no-cache
        assert_done "$(printf %q "${password:0:40}")"
    done
    assert_requests 10
}

@test "an e-mail address arrives as it is, and need hold no @" {
    local email
    for email in 'client"7\' 'kläger' 'plain login'; do
        server_config "$(jq -cn --arg e "$email" '{users: {($e): "pw"}}')"
        try_login pw -e "$email"
        assert_done
        assert_equal "$(cached .email)" "$email"
    done
}

@test "a password that is no text, or none, is 7, and nothing is sent" {
    local text file
    for text in '' '\n' '\r\n' '\nsecond\n' 'a\377b\n' 'a\0b\n' '\0\n' '\355\240\200\n' '\300\257\n'; do
        # shellcheck disable=SC2059 # the escapes are the point
        try login -e "$EMAIL" --password-stdin < <(printf "$text")
        assert_failed 7 "stdin '$text'"
    done
    file="$(password_file nul)"
    printf 'a\0b\n' >"$file"
    try login -e "$EMAIL" --password-file "$file"
    assert_failed 7
    try login -e "$EMAIL" --password-file "$(password_file empty '')"
    assert_failed 7
    try login -e "$EMAIL" --password-command 'printf "a\\377\\n"'
    assert_failed 7
    try login -e "$EMAIL" --password-command true
    assert_failed 7
    assert_requests 0
    assert_nothing_cached
}

@test "a password of more than 4096 bytes is 7, from wherever, and nothing is sent" {
    local long
    for long in 4097 100000; do
        long="$(printf '%*s' "$long" '' | tr ' ' x)"
        try_login "$long" -e "$EMAIL"
        assert_failed 7
        assert_stderr_has long
        try login -e "$EMAIL" --password-file "$(password_file long "$long")"
        assert_failed 7
        assert_stderr_has long
        try login -e "$EMAIL" --password-command "cat '$(password_file long "$long")'"
        assert_failed 7
        assert_stderr_has long
    done
    assert_requests 0
    assert_nothing_cached
}

@test "a password on stdin that does not come is 5 within --timeout, and SIGTERM meanwhile 143" {
    [ -e /proc/self/status ] || skip 'no /proc tells when the program listens'
    mkfifo "$HOME/pipe"
    exec 7<>"$HOME/pipe" # somebody could still write
    try login -e "$EMAIL" --password-stdin --timeout 1 <"$HOME/pipe"
    assert_failed 5
    assert_stderr_has stdin
    background sh -c 'exec servetel-auth login -e "$1" --password-stdin <"$2" 7<&-' sh "$EMAIL" "$HOME/pipe"
    retry_until 10 catches_term "$BG_PID"
    kill -s TERM "$BG_PID"
    status=0
    wait "$BG_PID" || status=$?
    assert_equal "$status" 143
    exec 7<&-
    assert_requests 0
    assert_nothing_cached
}

@test "a file that is another one each time, /dev/stdin, is read and not remembered" {
    try login -e "$EMAIL" --password-file /dev/stdin <"$(password_file pw)"
    assert_done
    assert_equal "$(cached .password_file)" null
}

@test "a source that fails is 7, named, and nothing is sent" {
    try login -e "$EMAIL" --password-command "echo '$PW'; exit 3"
    assert_failed 7
    assert_no_secret
    try login -e "$EMAIL" --password-command "echo '$PW'; kill -9 \$\$"
    assert_failed 7
    try login -e "$EMAIL" --password-command /nonexistent/command
    assert_failed 7
    try login -e "$EMAIL" --password-file "$HOME/nothing-here"
    assert_failed 7
    assert_stderr_has "$HOME/nothing-here"
    try login -e "$EMAIL" --password-file "$HOME"
    assert_failed 7
    capture bash -c 'exec servetel-auth login -e "$1" --password-stdin --timeout 5 <&-' sh "$EMAIL"
    assert_failed 7
    assert_requests 0
    assert_nothing_cached
}

@test "a password file that others can read is warned about, with the chmod that mends it" {
    local file
    file="$(password_file "pass word it's")"
    chmod 644 "$file"
    try login -e "$EMAIL" --password-file "$file"
    assert_done
    assert_stdout_empty
    assert_stderr_has warning
    assert_stderr_has chmod
    eval "$(grep -o "chmod .*" <<<"$stderr")" # what it says can be pasted
    assert_equal "$(mode_of "$file")" 600
    try login
    assert_done
    assert_stderr_lacks warning
    assert_no_secret
}

@test "a command that hangs is 5 within --timeout, and is ended, what it started too" {
    local started=$EPOCHSECONDS pid
    try login -e "$EMAIL" --timeout 3 --password-command "sleep 60 & printf '%s\n' \$! \$\$ >$HOME/pids; wait"
    assert_failed 5
    [ $((EPOCHSECONDS - started)) -lt 10 ]
    while read -r pid; do
        retry_until 3 is_gone "$pid" || fail_with "still there: $pid"
    done <"$HOME/pids"
    assert_requests 0
    assert_nothing_cached
}

@test "a command that leaves something in the background is not waited for" {
    local started=$EPOCHSECONDS
    try login -e "$EMAIL" --password-command "sleep 60 2>/dev/null & echo \$! >$HOME/pid; echo '$PW'"
    STARTED_PIDS+=("$(cat "$HOME/pid")")
    assert_done
    [ $((EPOCHSECONDS - started)) -lt 10 ]
}

@test "a command has no password, no token and no open cache file from the program" {
    write_cache
    try login -e "$EMAIL" --password-command "env >$HOME/env; ls -l /proc/self/fd >$HOME/fds; echo '$PW'"
    assert_done
    assert_no grep -q made-up "$HOME/env"
    assert_no grep -q servetel-auth/ "$HOME/fds"
}

@test "without a source and without a terminal: 2 at once, no prompt" {
    local started=$EPOCHSECONDS
    capture setsid -w servetel-auth login -e "$EMAIL" </dev/null
    assert_failed 2
    assert_stderr_has --password-file # what to do
    capture setsid -w servetel-auth login -e "$EMAIL" <<<"$PW" # stdin is read when told to only
    assert_failed 2
    capture setsid -w servetel-auth login --password-stdin <<<"$PW"
    assert_failed 2
    assert_stderr_has --email
    [ $((EPOCHSECONDS - started)) -lt 10 ]
    assert_requests 0
    assert_nothing_cached
}

@test "sources have an order: stdin, file, command, the remembered one" {
    server_config '{"users":{"you@example.test":"from stdin"}}'
    local file
    file="$(password_file pw 'from file')"
    try_login 'from stdin' -e "$EMAIL" --password-file "$file" --password-command 'echo from command'
    assert_done
    server_config '{"users":{"you@example.test":"from file"}}'
    try login --password-command 'echo from command' --password-file "$file" <<<'from stdin'
    assert_done
    server_config '{"users":{"you@example.test":"from command"}}'
    try login --password-command 'echo from command' <<<'from stdin'
    assert_done
    try login <<<'from stdin' # remembered
    assert_done
    assert_equal "$(server_log 'map(.body | fromjson | .password) | join(", ")')" \
        'from stdin, from file, from command, from command'
}

# -------------------------------------------------------------------------------------------- the prompt

@test "the prompt: on the terminal whatever stdin is, without echo, which is restored" {
    on_terminal expect:assword echo:off 'type:correct horse\n' \
        -- sh -c 'exec servetel-auth login -e you@example.test </dev/null 2>/dev/null'
    assert_done
    [[ "$output" != *horse* ]] || fail_with_run "the password was on the screen"
    token_works "$(cached_token)"
    assert_requests 1
}

@test "the e-mail is asked for on the terminal when nothing else tells it" {
    on_terminal expect:mail echo:on 'type:you@example.test\n' expect:assword echo:off \
        'type:correct horse\n' -- servetel-auth login
    assert_done
    assert_equal "$(cached .email)" "$EMAIL"
    [[ "$output" != *horse* ]]
    # Known now, so only the password is asked for.
    on_terminal expect:assword 'type:correct horse\n' -- servetel-auth login
    assert_done
    [[ "$output" != *mail:* ]]
}

@test "at the prompt a character can be taken back, and UTF-8 is text" {
    server_config '{"users":{"you@example.test":"gr\u00fcn"}}'
    on_terminal expect:assword 'type:grx\x7f\xc3\xbcn\n' -- servetel-auth login -e "$EMAIL"
    assert_done
    assert_equal "$(sent_password)" grün.
}

@test "an empty password at the prompt is 7, an end of input too" {
    on_terminal expect:assword 'type:\n' -- servetel-auth login -e "$EMAIL"
    assert_status 7
    on_terminal expect:assword 'type:\x04' -- servetel-auth login -e "$EMAIL"
    assert_status 7
    on_terminal expect:mail 'type:\n' -- servetel-auth login
    assert_status 2
    assert_stdout_has 'no login ID was given'
    assert_requests 0
    assert_nothing_cached
}

@test "a prompt left by ^C is 130, by SIGTERM 143, by SIGHUP 129, with the terminal restored" {
    write_cache
    snapshot
    on_terminal expect:assword echo:off 'type:half\x03' -- servetel-auth login -e "$EMAIL"
    assert_status 130
    on_terminal expect:assword echo:off 'type:\x03' -- \
        sh -c 'trap : INT; servetel-auth login -e "$1"; echo "then $?"' - "$EMAIL"
    assert_stdout "Password of $EMAIL at 127.0.0.1:$API_PORT: "$'\nthen 130'
    on_terminal expect:assword echo:off signal:TERM -- servetel-auth login -e "$EMAIL"
    assert_status 143
    on_terminal expect:assword echo:off signal:HUP -- servetel-auth login -e "$EMAIL"
    assert_status 129
    on_terminal expect:assword echo:off signal:QUIT -- servetel-auth login -e "$EMAIL"
    assert_status 131
    assert_requests 0
    assert_unchanged
}

@test "a prompt that is stopped by ^Z gives the terminal back, and asks again after fg" {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind passes over a SIGTSTP that a program sends to itself'
    on_terminal expect:assword echo:off 'type:half\x1a' stopped restored continue \
        expect:assword echo:off 'type:correct horse\n' -- servetel-auth login -e "$EMAIL"
    assert_done
    assert_equal "$(sent_password)" 'correct horse.'
}

@test "where no shell could continue it, ^Z at the prompt asks again" {
    [ -n "$(type -P script)" ] || skip 'there is no script(1)'
    on_terminal --timeout 30 expect:assword 'type:half\x1a' expect:assword 'type:correct horse\n' -- \
        script -qec "servetel-auth login -e '$EMAIL'" /dev/null
    assert_status 0
    assert_equal "$(sent_password)" 'correct horse.'
}

@test "a prompt that is stopped by ^Z can be ended" {
    [ -z "${SERVETEL_AUTH_WRAP:-}" ] || skip 'valgrind passes over a SIGTSTP that a program sends to itself'
    # shellcheck disable=SC2016 # the inner shell's
    local ended='for i in $(seq 200); do case $(ps -o stat= -p "$PROGRAM") in Z*) exit ;; esac; sleep 0.05; done; exit 1'
    on_terminal --timeout 30 expect:assword echo:off 'type:\x1a' stopped restored signal:TERM signal:CONT \
        "run:$ended" continue -- servetel-auth login -e "$EMAIL"
    assert_status 143
    assert_requests 0
}

@test "time at the prompt does not count towards --timeout" {
    # The person waits until the time is over.
    on_terminal expect:assword 'run:sleep 1.2' 'type:correct horse\n' \
        -- servetel-auth login -e "$EMAIL" --timeout 1
    assert_done
}

@test "time at the prompt for the e-mail does not count either" {
    on_terminal expect:mail 'run:sleep 1.2' 'type:you@example.test\n' expect:assword 'type:correct horse\n' \
        -- servetel-auth login --timeout 1
    assert_done
}

@test "a source that is given or remembered is not asked for at the terminal" {
    on_terminal -- servetel-auth login -e "$EMAIL" --password-command "echo '$PW'"
    assert_done
    on_terminal -- servetel-auth login
    assert_done
    [[ "$output" != *assword:* ]]
    assert_requests 2
}

# ------------------------------------------------------------------------------------ remembered sources

@test "a password file or command is remembered, the password is not" {
    local file
    file="$(password_file pw)"
    try login -e "$EMAIL" --password-file "$file"
    assert_done
    assert_equal "$(cached '"\(.password_file) \(.password_command)"')" "$file null"
    try login --password-command "cat $file"
    assert_done
    assert_equal "$(cached '"\(.password_file) \(.password_command)"')" "null cat $file"
    try login # the same person at the same host
    assert_done
    assert_equal "$(cached .password_command)" "cat $file"
    assert_no grep -rqF "$PW" "$HOME/.servetel-auth"
}

@test "a password file named from here is found from anywhere" {
    password_file pw >/dev/null
    try login -e "$EMAIL" --password-file pw
    assert_done
    cd /
    try login
    assert_done
    assert_requests 2
}

@test "a remembered source is dropped by a login as somebody else, at another host, or on request" {
    local file
    file="$(password_file pw)"
    server_config '{"users":{"you@example.test":"correct horse","b@x":"b"}}'
    remembered() {
        try login -e "$EMAIL" --password-file "$file"
        assert_done
        cache_edit '.auth_scheme = "bearer"'
        assert_equal "$(cached .password_file)" "$file"
    }
    remembered
    try_login b -e b@x
    assert_done
    assert_equal "$(cached .password_file)" null
    remembered
    try_login "$PW" --api-url "http://localhost:$API_PORT/v1"
    assert_done
    assert_equal "$(cached '"\(.password_file) \(.auth_scheme)"')" 'null null'
    remembered
    try_login "$PW" --forget-source
    assert_done
    assert_equal "$(cached .password_file)" null
    assert_equal "$(cached .auth_scheme)" bearer
    remembered
    try login -e b@x --password-command 'echo b' # another one is given
    assert_done
    assert_equal "$(cached '"\(.password_file) \(.password_command)"')" 'null echo b'
}

@test "somebody else's remembered source is not used" {
    password_file pw >/dev/null
    try login -e "$EMAIL" --password-file "$HOME/pw"
    assert_done
    snapshot
    capture setsid -w servetel-auth login -e b@x
    assert_failed 2
    capture setsid -w servetel-auth login --api-url "http://localhost:$API_PORT/v1"
    assert_failed 2
    assert_requests 1
    assert_unchanged
}
