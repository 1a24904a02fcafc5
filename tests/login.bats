#!/usr/bin/env bats
# login: what is sent, where the password or the token comes from, what is kept, and what each answer of
# the service means.
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and is meant to be
# shellcheck disable=SC2154 # status, output and stderr are set by capture
# shellcheck disable=SC1003 # a backslash before a quote is data
# shellcheck disable=SC2153 # EMAIL is helper.bash's
# shellcheck disable=SC2016 # $now is jq's, the words of sh -c are the inner shell's

load helper
load cli_helper

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

assert_nothing_cached() {
    [ ! -e "$(cache_file "${1:-}")" ] || fail_with "a cache file" "$(cat "$(cache_file "${1:-}")")"
}

# --------------------------------------------------------------------------------------- what goes out

@test "login sends the documented request, and nothing else" {
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_requests 1
    assert_equal "$(server_log '.[0] | "\(.method) \(.path)"')" 'POST /v1/auth/login'
    assert_equal "$(server_log '.[0].body')" '{"email":"you@example.test","password":"correct horse"}'
    assert_equal "$(server_log '.[0].headers | map(.[0] | ascii_downcase) | sort | join(" ")')" \
        'accept content-length content-type host user-agent'
    assert_equal "$(header accept)" application/json
    assert_equal "$(header content-type)" application/json
    assert_equal "$(header host)" "127.0.0.1:$API_PORT"
    [[ "$(header user-agent)" == servetel-auth/* ]]
}

@test "login prints nothing on stdout; stderr says who logged in, where, and until when" {
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stdout_empty
    assert_stderr_has "$EMAIL"
    assert_stderr_has "127.0.0.1:$API_PORT"
    assert_stderr_has "$(date -d "@$(cached .expires_at)" '+%F %H:%M')"
    assert_equal "$(wc -l <<<"$stderr")" 1
    assert_no_secret
}

@test "login caches the documented members, and the password nowhere" {
    local now=$EPOCHSECONDS
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached 'del(.expires_at, .obtained_at, .logged_in_at) | keys | join(" ")')" \
        'access_token api_url email token_type version'
    assert_equal "$(cached '"\(.version) \(.api_url) \(.email) \(.token_type)"')" "1 $API $EMAIL bearer"
    assert_about "$(cached .expires_at)" $((now + 3600))
    assert_about "$(cached .obtained_at)" "$now"
    assert_about "$(cached .logged_in_at)" "$now"
    assert_equal "$(cached_token)" "$(server_control tokens | jq -r '.[0]')"
    token_works "$(cached_token)"
    ! grep -rqF "$PW" "$HOME" || fail_with 'the password is in a file'
}

@test "the directory is 0700, its files 0600, whatever the umask" {
    local mask file
    for mask in 000 077 0777; do
        capture bash -c 'umask "$1"; exec servetel-auth login -e "$2" --password-stdin' sh $mask "$EMAIL" \
            <<<"$PW"
        assert_done "umask $mask"
        assert_equal "$(mode_of "$HOME/.servetel-auth")" 700
        for file in "$HOME"/.servetel-auth/*; do
            assert_equal "$(mode_of "$file")" 600
        done
        rm -r "$HOME/.servetel-auth"
    done
}

@test "no file is readable by others even for a moment" {
    umask 000
    needs_traced_strings
    capture strace -f -e trace=mkdir,mkdirat,open,openat,creat -o "$HOME/trace" \
        servetel-auth login -e "$EMAIL" --password-stdin <<<"$PW"
    assert_done
    grep -Eq 'mkdir.*servetel-auth.*, 0700\) = 0' "$HOME/trace"
    grep -E 'O_CREAT|O_TMPFILE|creat\(' "$HOME/trace" | grep -v '\.gcda"' >"$HOME/created"
    run ! grep -v ', 0600) = ' "$HOME/created"
}

# --------------------------------------------------------------------------------- sources of passwords

@test "the password is the first line of stdin, of a file or of a command's output" {
    local text file
    for text in "$PW" "$PW"$'\n' "$PW"$'\r\n' "$PW"$'\nsecond line\n'; do
        capture servetel-auth login -e "$EMAIL" --password-stdin < <(printf '%s' "$text")
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
        capture servetel-auth login -e "$EMAIL" --password-stdin < <(printf "$text")
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

# catches_term PID: whether the process has a handler for SIGTERM (15, so bit 14).
catches_term() {
    local caught
    caught="$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status")"
    ((0x${caught:-0} & 0x4000))
}

@test "a password on stdin that does not come is 5 within --timeout, and SIGTERM meanwhile 143" {
    [ -e /proc/self/status ] || skip 'no /proc tells when the program listens'
    mkfifo "$HOME/pipe"
    exec 7<>"$HOME/pipe" # somebody could still write
    capture servetel-auth login -e "$EMAIL" --password-stdin --timeout 1 <"$HOME/pipe"
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
    capture servetel-auth login -e "$EMAIL" --password-file /dev/stdin <"$(password_file pw)"
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
    file="$(password_file "pass word")"
    chmod 644 "$file"
    try login -e "$EMAIL" --password-file "$file"
    assert_done
    assert_stdout_empty
    assert_stderr_has warning
    assert_stderr_has chmod
    eval "$(grep -o "chmod [^:;]*" <<<"$stderr")" # what it says can be pasted
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
    run ! grep -q made-up "$HOME/env"
    run ! grep -q servetel-auth/ "$HOME/fds"
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
    on_terminal expect:assword echo:off 'type:half\x1a' stopped restored continue \
        expect:assword echo:off 'type:correct horse\n' -- servetel-auth login -e "$EMAIL"
    assert_done
    assert_equal "$(sent_password)" 'correct horse.'
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

# ------------------------------------------------------------------------------------- tokens from elsewhere

@test "--token-stdin: Bearer and white space are stripped, nothing is sent" {
    local text
    for text in abc.def $'abc.def\n' 'Bearer abc.def' $'  Bearer \t abc.def \r\n' $'\n\nabc.def\n\n'; do
        capture servetel-auth login --token-stdin <<<"$text"
        assert_done "$(printf %q "$text")"
        assert_stdout_empty
        assert_stderr_lacks abc.def
        assert_equal "$(cached_token)" abc.def
        rm "$(cache_file)"
    done
    assert_requests 0
}

@test "--token-stdin: what is masked, unprintable, too long or empty is 2" {
    local text long
    long="$(printf '0123456789abcdef%.0s' {1..1024})"
    write_cache
    snapshot
    for text in '***' 'eyJ0***xyz' 'Bearer ***' 'abc def' $'abc\ndef' 'ab\001c' 'tök' $'a\xffb' \
        '' ' ' Bearer "${long}x"; do
        # shellcheck disable=SC2059 # the escapes are the point
        capture servetel-auth login --token-stdin < <(printf "$text\n")
        assert_failed 2 "$(printf %q "${text:0:40}")"
        [ -z "$text" ] || [ "${#text}" -lt 8 ] || assert_stderr_lacks "$text"
    done
    capture servetel-auth login --token-stdin < <(printf 'a\0b\n')
    assert_failed 2
    assert_unchanged
    capture servetel-auth login --token-stdin <<<"$long" # 16384 characters
    assert_done
    assert_equal "$(cached_token)" "$long"
}

@test "--token-stdin: the exp claim is the expiry; without one the token is permanent" {
    local now=$EPOCHSECONDS
    capture servetel-auth login --token-stdin <<<"$(jwt "{\"iat\":$now,\"exp\":$((now + 1800))}")"
    assert_done
    assert_stderr_has "$(date -d "@$((now + 1800))" '+%H:%M')"
    assert_equal "$(cached .expires_at)" $((now + 1800))
    assert_about "$(cached .obtained_at)" "$now"
    capture servetel-auth login --token-stdin <<<"$(jwt "{\"iat\":$now}")"
    assert_done
    assert_equal "$(cached 'has("expires_at")')" false
    capture servetel-auth login --token-stdin <<<opaque-token
    assert_done
    assert_equal "$(cached 'has("expires_at")')" false
    # Nine and a half years: beyond 2^31.
    capture servetel-auth login --token-stdin <<<"$(jwt "{\"iat\":$now,\"exp\":$((now + 300000000))}")"
    assert_done
    assert_equal "$(cached .expires_at)" $((now + 300000000))
    assert_requests 0
}

@test "--token-command: the first line that it prints, remembered, never the API" {
    try login --token-command 'echo "Bearer first-token"; echo second'
    assert_done
    assert_stdout_empty
    assert_stderr_lacks first-token
    assert_equal "$(cached_token)" first-token
    assert_equal "$(cached .token_command)" 'echo "Bearer first-token"; echo second'
    try login --token-command 'echo abc; exit 1'
    assert_failed 7
    try login --token-command 'true'
    [ "$status" != 0 ]
    assert_equal "$(cached_token)" first-token
    assert_requests 0
}

@test "a profile with a token command is renewed by it, and by nothing else" {
    local now=$EPOCHSECONDS left old new
    new="$(jwt "{\"iat\":$now,\"exp\":$((now + 3600))}")"
    for left in 50 -5; do
        old="$(jwt "{\"exp\":$((now + left))}")"
        write_cache ".expires_at = $((now + left)) | .obtained_at = $((now + left - 3600)) |
            .token_command = \"cat $HOME/token\"" default "$old"
        snapshot
        echo "$old" >"$HOME/token" # no fresher than the cached one
        try refresh
        assert_failed 5
        try show --min-ttl 5m
        assert_failed 5
        assert_unchanged
        echo "$new" >"$HOME/token"
        try show
        assert_done
        assert_stdout "$new"
        assert_equal "$(cached_token)" "$new"
    done
    assert_requests 0
}

# ------------------------------------------------------------------------------------------------ output

@test "--print prints the token and a newline, and caches it" {
    try_login "$PW" -e "$EMAIL" --print
    assert_done
    assert_stdout "$(cached_token)"
    assert_stderr_has "$EMAIL"
    assert_stderr_lacks "$output"
    capture servetel-auth login --print --token-stdin <<<some-token
    assert_done
    assert_stdout some-token
}

@test "--no-cache prints the token and makes no file and no directory" {
    printf '%s\n' "$PW" | servetel-auth login -e "$EMAIL" --password-stdin --no-cache >"$HOME/out"
    assert_equal "$(wc -l <"$HOME/out")" 1
    token_works "$(cat "$HOME/out")"
    assert_equal "$(ls -A "$HOME")" out
    write_cache
    snapshot
    try_login "$PW" -e "$EMAIL" --no-cache
    assert_done
    assert_unchanged
    assert_equal "$(ls "$HOME/.servetel-auth")" default.json
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
    run ! grep -rqF "$PW" "$HOME/.servetel-auth"
}

@test "a password file named from here is found from anywhere" {
    cd "$HOME"
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

# ----------------------------------------------------------------------------------------------- answers

@test "a wrong password: 4, one request, the cache as it was" {
    login
    server_config '{"count_failures":true}'
    snapshot
    try_login wrong -e "$EMAIL" --retries 5
    assert_failed 4
    assert_stderr_has "127.0.0.1:$API_PORT"
    assert_stderr_has 'Invalid credentials'
    assert_stderr_lacks wrong
    assert_requests 2
    assert_unchanged
    try_login wrong -e "$EMAIL" -p other
    assert_failed 4
    assert_nothing_cached other
}

# What each answer means: a line for each, the expected status and the scripted answer.
ANSWERS='
4 {"merge":{"success":false}}
4 {"merge":{"success":null}}
4 {"merge":{"success":"true"}}
4 {"merge":{"success":1}}
4 {"json":{"success":false,"message":"Invalid credentials"}}
0 {"omit":["success"]}
0 {"omit":["token_type"]}
0 {"status":201,"process":true}
6 {"omit":["access_token"]}
6 {"merge":{"access_token":""}}
6 {"merge":{"access_token":null}}
6 {"merge":{"access_token":7}}
6 {"merge":{"access_token":"a b"}}
6 {"merge":{"access_token":"a\nb"}}
6 {"merge":{"access_token":"a\u0000b"}}
6 {"merge":{"access_token":"t\u00f6k"}}
6 {"json":["access_token"]}
6 {"json":{}}
6 {"json":"token"}
6 {"status":204}
6 {"body":""}
6 {"body":"<html>welcome</html>"}
6 {"body":"{\"access_token\":\"abc\""}
6 {"body":"{\"access_token\":\"abc\"} trailing"}
4 {"status":400}
4 {"status":401,"json":{"success":false,"message":"no"}}
4 {"status":403,"body":"<html>forbidden</html>"}
4 {"status":422,"json":{"message":"The given data was invalid."}}
5 {"status":408}
5 {"status":425}
5 {"status":429}
5 {"status":500,"json":{"message":"Server Error"}}
5 {"status":502,"body":"<html>bad gateway</html>"}
5 {"status":503}
5 {"status":504}
5 {"status":599}
6 {"status":404,"json":{"message":"no route"}}
6 {"status":405}
6 {"status":410}
6 {"status":999}
6 {"status":301,"headers":{"Location":"/v1/other"}}
6 {"status":302,"headers":{"Location":"/v1/other"}}
6 {"status":307,"headers":{"Location":"/v1/other"}}
6 {"status":308,"headers":{"Location":"/v1/other"}}
6 {"raw":"SSH-2.0-OpenSSH_9.2\r\n"}
6 {"endless":"body"}
6 {"endless":"headers"}
5 {"drop":"before"}
5 {"drop":"after_headers"}
5 {"drop":"mid_body"}
6 {"chunked_broken":true}
5 {"reset":true,"drop":"no_answer_processed"}'

@test "each answer of the service has its exit code, and none but a good one changes the cache" {
    local expected answer answers=() profile wrong=()
    while read -r expected answer; do
        answers+=("$answer")
    done <<<"${ANSWERS#?}"
    server_script login "${answers[@]}"
    write_cache
    snapshot
    while read -r expected answer; do
        profile=default
        [ "$expected" != 0 ] || profile=good
        try_login "$PW" -e "$EMAIL" --retries 0 -p $profile
        [ "$status" = "$expected" ] && [ -z "$output" ] && [[ $stderr == *"127.0.0.1:$API_PORT"* ]] ||
            wrong+=("$answer: expected $expected, got $status: $output$stderr")
    done <<<"${ANSWERS#?}"
    [ ${#wrong[@]} -eq 0 ] || fail_with "the wrong meaning" "${wrong[@]}"
    assert_requests "${#answers[@]}"
    assert_requests 0 other # no redirect was followed
    assert_unchanged
    token_works "$(cached_token good)"
}

@test "a token of 16384 characters is taken, one more is 6; an answer beyond 1 MiB is 6" {
    local long
    long="$(printf '0123456789abcdef%.0s' {1..1024})"
    server_script login "{\"merge\":{\"access_token\":\"$long\"}}" \
        "{\"merge\":{\"access_token\":\"${long}x\"}}" '{"endless":true}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached_token)" "$long"
    snapshot
    try_login "$PW" -e "$EMAIL"
    assert_failed 6
    try_login "$PW" -e "$EMAIL"
    assert_failed 6
    assert_unchanged
}

# How long a token lasts: expires_in as the service writes it, and the life that follows from it, or the
# exit status. The claims say half an hour.
LIVES='
1200 {"merge":{"expires_in":1200}}
1200 {"merge":{"expires_in":"1200"}}
1800 {"omit":["expires_in"]}
1800 {"merge":{"expires_in":null}}
1800 {"merge":{"expires_in":0}}
1800 {"merge":{"expires_in":"0"}}
300000000 {"merge":{"expires_in":300000000}}
status-6 {"merge":{"expires_in":-1}}
status-6 {"merge":{"expires_in":"-1200"}}
status-6 {"merge":{"expires_in":400000000}}
status-6 {"merge":{"expires_in":"400000000"}}
status-6 {"merge":{"expires_in":1e300}}
status-6 {"merge":{"expires_in":"soon"}}
status-6 {"merge":{"expires_in":"1200s"}}
status-6 {"merge":{"expires_in":true}}
status-6 {"merge":{"expires_in":[1200]}}
status-6 {"merge":{"expires_in":{}}}'

@test "expires_in: a number or a numeric string; without it the claims; nonsense is 6" {
    local life answer answers=()
    server_config '{"ttl":1800}'
    while read -r life answer; do
        answers+=("$answer")
    done <<<"${LIVES#?}"
    server_script login "${answers[@]}"
    while read -r life answer; do
        try_login "$PW" -e "$EMAIL"
        if [[ $life == status-* ]]; then
            assert_failed "${life#status-}" "$answer"
        else
            assert_done "$answer"
            assert_about "$(cached '.expires_at - .obtained_at')" "$life" 2
        fi
    done <<<"${LIVES#?}"
    assert_requests "${#answers[@]}"
}

@test "without expires_in: exp from nbf, else from iat, else 60 minutes" {
    local now=$EPOCHSECONDS
    life() { # CLAIMS LIFE
        server_script login "{\"omit\":[\"expires_in\"],\"merge\":{\"access_token\":\"$(jwt "$1")\"}}"
        try_login "$PW" -e "$EMAIL"
        assert_done "$1"
        assert_about "$(cached '.expires_at - .obtained_at')" "$2" 2
    }
    # A service whose clock is two hours ahead; the difference of its times is what counts.
    life "{\"iat\":$((now - 86400)),\"nbf\":$((now + 7200)),\"exp\":$((now + 8100))}" 900
    life "{\"iat\":$((now + 7200)),\"exp\":$((now + 8100))}" 900
    life "{\"iat\":$now}" 3600
    life '{}' 3600
    server_script login '{"omit":["expires_in"],"merge":{"access_token":"opaque"}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_about "$(cached '.expires_at - .obtained_at')" 3600 2
}

@test "a life is counted from the moment the request was sent" {
    server_script login '{"delay":4}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_about "$(cached .expires_at)" "$(server_log '.[0].time + 3600 | floor')" 2
}

@test "token_type is kept as it is, and need not be bearer" {
    server_script login '{"merge":{"token_type":"MAC \"x\""}}' '{"merge":{"token_type":7}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(cached .token_type)" 'MAC "x"'
    try_login "$PW" -e "$EMAIL"
    assert_done
}

@test "a login whose answer tells no end of the password forgets the old one's" {
    write_cache '.password_expires_at = $now + 80000'
    login
    assert_equal "$(cached 'has("password_expires_at")')" false
}

@test "a password that expires within 14 days is warned about" {
    server_config '{"number_of_days_left":15}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stderr_lacks warning
    server_config '{"number_of_days_left":14}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_stderr_has warning
    assert_stderr_has '14 days'
}

# ----------------------------------------------------------------------------------------------- retries

@test "a 5xx is tried again within --retries, with a pause that grows" {
    server_script login '{"status":503}' '{"status":502}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log 'map(.status) | join(" ")')" '503 502 200'
    assert_equal "$(server_log '(.[1].time - .[0].time) > 0.1')" true
    server_reset
    server_script login '{"status":500,"repeat":-1}'
    try_login "$PW" -e "$EMAIL" --retries 1
    assert_failed 5
    assert_requests 2
    try_login "$PW" -e "$EMAIL" --retries 0
    assert_failed 5
    assert_requests 3
}

@test "pauses do not outlast --timeout" {
    local started=$EPOCHSECONDS
    server_script login '{"status":503,"repeat":-1}'
    try_login "$PW" -e "$EMAIL" --retries 100 --timeout 2
    assert_failed 5
    [ $((EPOCHSECONDS - started)) -lt 8 ]
}

@test "429: tried again after Retry-After or retry_after, in Indian time, if that is within the time left" {
    local at until
    server_script login '{"status":429,"headers":{"Retry-After":"1"}}'
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log '(.[1].time - .[0].time) >= 0.9')" true
    server_reset
    until=$((EPOCHSECONDS + 2))
    at="$(TZ=IST-5:30 date -d "@$until" '+%F %T')"
    server_script login "{\"status\":429,\"json\":{\"success\":false,\"retry_after\":\"$at\"}}"
    try_login "$PW" -e "$EMAIL"
    assert_done
    assert_equal "$(server_log 'map(.status) | join(" ")')" '429 200'
    assert_equal "$(server_log ".[1].time >= $until")" true
}

@test "429 and 503: a wait beyond the time left is 5 at once, and the message says how long" {
    local at date started=$EPOCHSECONDS profile=0
    at="$(TZ=IST-5:30 date -d '+50 minutes' '+%F %T')"
    date="$(date -u -d '+50 minutes' '+%a, %d %b %Y %H:%M:%S GMT')"
    server_script login '{"status":429,"headers":{"Retry-After":"3000"}}' \
        '{"status":503,"headers":{"Retry-After":"3000"}}' \
        "{\"status\":429,\"headers\":{\"Retry-After\":\"$date\"}}" \
        "{\"status\":429,\"json\":{\"retry_after\":\"$at\"}}"
    for _ in 1 2 3 4; do
        try_login "$PW" -e "$EMAIL" -p $((profile += 1))
        assert_failed 5
        [[ "$stderr" =~ (50|49)\ min|(29|30)[0-9][0-9]\ s ]] || fail_with_run "does not say how long"
    done
    assert_requests 4
    [ $((EPOCHSECONDS - started)) -lt 10 ]
}

@test "what cannot get better, or may have happened, is asked once: 4xx, 429 alone, a lost answer" {
    local answer wrong=() count=0
    for answer in '{"status":400}' '{"status":401}' '{"status":422}' '{"status":404}' '{"status":429}' \
        '{"status":408}' '{"drop":"no_answer_processed"}' '{"drop":"mid_body"}' \
        '{"status":429,"headers":{"Retry-After":"garbage"}}' \
        '{"status":429,"headers":{"Retry-After":"-5"}}' \
        '{"status":429,"headers":{"Retry-After":"99999999999999999999"}}'; do
        server_script login "$answer"
        try_login "$PW" -e "$EMAIL" --retries 3
        count=$((count + 1))
        if ! assert_requests $count login 2>/dev/null; then
            wrong+=("$answer: $status $stderr")
            count="$(count_requests login)"
        fi
    done
    [ ${#wrong[@]} -eq 0 ] || fail_with "asked more than once" "${wrong[@]}"
    assert_nothing_cached
}

@test "no answer within --timeout is 5, after one request" {
    server_script login '{"hang":true}'
    try_login "$PW" -e "$EMAIL" --timeout 4 --retries 3
    assert_failed 5
    assert_requests 1
    assert_nothing_cached
}

@test "a connection that is not made is tried again, and is 5" {
    try_login "$PW" -e "$EMAIL" --retries 1 --api-url http://127.0.0.1:1/v1
    assert_failed 5
    assert_stderr_has 127.0.0.1:1
    assert_no_secret
    try_login "$PW" -e "$EMAIL" --retries 0 --api-url https://no-such-host.invalid/v1
    assert_failed 5
    assert_stderr_has no-such-host.invalid
    assert_nothing_cached
}
