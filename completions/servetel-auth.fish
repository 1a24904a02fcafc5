# SPDX-License-Identifier: MIT
# Completion of servetel-auth(1) for fish.

# What stands before the cursor, put into the caller's variables: command, operands (after it; for
# exec, its program and what follows), given (options), option (one that wants its argument), and
# ended (after --).
function __servetel_auth_parse --no-scope-shadowing
    set command
    set operands
    set given
    set option
    set ended
    for word in (commandline -opc)[2..]
        if test "$command" = exec; and set -q operands[1]
            set -a operands $word
        else if set -q option[1]
            set option
        else if not set -q ended[1]; and contains -- "$word" --
            set ended yes
        else if not set -q ended[1]; and string match -qr -- '^-.' "$word"
            set -a given (string replace -r -- '=.*' '' $word)
            if contains -- $word -e -p -f --email --profile --file --password-file \
                    --password-command --token-command --min-ttl --format --jobs --on-change \
                    --adopt --on-refused --complain-below --signal --api-url --timeout --retries --cacert --auth-scheme
                set option $word
            end
        else if not set -q command[1]
            set command $word
            set ended
        else
            set -a operands $word
        end
    end
end

# Whether an option may stand here: that of the commands in the list $argv[1] (or before any, if
# one of them is -), and not given yet under one of its names, $argv[2..].
function __servetel_auth_takes
    set -l command
    set -l operands
    set -l given
    set -l option
    set -l ended
    __servetel_auth_parse
    set -q ended[1]; and return 1
    test "$command" = exec; and set -q operands[1]; and return 1
    set -q command[1]; or set command -
    contains -- $command (string split ' ' -- $argv[1]); or return 1
    # The one whose argument is being typed has been given just now.
    if set -q option[1]
        contains -- $option $argv[2..]
        return
    end
    for name in $argv[2..]
        contains -- $name $given; and return 1
    end
    return 0
end

# Whether the next word is an operand of the command ($argv[1], or - for the command itself).
function __servetel_auth_operand
    set -l command
    set -l operands
    set -l given
    set -l option
    set -l ended
    __servetel_auth_parse
    set -q option[1]; and return 1
    set -q command[1]; or set command -
    test "$command" = $argv[1]; or return 1
    if set -q operands[1]
        test "$command" = exec
        return
    end
    set -q ended[1]; or not string match -q -- '-*' (commandline -ct)
end

# The program that exec runs, or what that program's own completion offers.
function __servetel_auth_program
    set -l command
    set -l operands
    set -l given
    set -l option
    set -l ended
    __servetel_auth_parse
    set -l line (string escape -- $operands) (commandline -ct)
    complete --do-complete=(string join ' ' -- $line)
end

# The names of the profiles that exist.
function __servetel_auth_profiles
    set -l dir $HOME/.servetel-auth
    test -n "$SERVETEL_AUTH_DIR"; and set dir $SERVETEL_AUTH_DIR
    set -l files $dir/*.json
    string replace -rf -- '^.*/([A-Za-z0-9][A-Za-z0-9._@+-]*)\.json$' '$1' $files
end

complete -c servetel-auth -f

# ---- commands ----

complete -c servetel-auth -n '__servetel_auth_operand -' -a login -d 'Get a token and cache it'
complete -c servetel-auth -n '__servetel_auth_operand -' -a refresh -d 'Exchange the cached token for a new one'
complete -c servetel-auth -n '__servetel_auth_operand -' -a show -d 'Print a token that is valid now'
complete -c servetel-auth -n '__servetel_auth_operand -' -a status -d 'Say what is cached and how long it lasts'
complete -c servetel-auth -n '__servetel_auth_operand -' -a logout -d 'Forget what is cached'
complete -c servetel-auth -n '__servetel_auth_operand -' -a exec -d 'Run a program with a fresh token'
complete -c servetel-auth -n '__servetel_auth_operand -' -a schedule -d 'Print a crontab line or systemd units'
complete -c servetel-auth -n '__servetel_auth_operand -' -a help -d 'Show the help of the program, or of a command'
complete -c servetel-auth -n '__servetel_auth_operand -' -a version -d 'Show the version'
complete -c servetel-auth -n '__servetel_auth_operand help' -a 'login refresh show status logout exec schedule help version'
complete -c servetel-auth -n '__servetel_auth_operand schedule' -a 'cron systemd'
complete -c servetel-auth -n '__servetel_auth_operand exec' -a '(__servetel_auth_program)'

# ---- login ----

complete -c servetel-auth -n '__servetel_auth_takes login -e --email' -s e -l email -x -d 'Login ID'
complete -c servetel-auth -n '__servetel_auth_takes login --password-stdin' -l password-stdin -d 'Read the password from stdin'
complete -c servetel-auth -n '__servetel_auth_takes login --password-file' -l password-file -rF -d 'Read it from a file'
complete -c servetel-auth -n '__servetel_auth_takes login --password-command' -l password-command -x -d 'Run a command for it'
complete -c servetel-auth -n '__servetel_auth_takes login --token-stdin' -l token-stdin -d 'Take a token from stdin'
complete -c servetel-auth -n '__servetel_auth_takes login --token-command' -l token-command -x -d 'Take the token that a command prints'
complete -c servetel-auth -n '__servetel_auth_takes login --forget-source' -l forget-source -d 'Forget where the password comes from'
complete -c servetel-auth -n '__servetel_auth_takes login --no-cache' -l no-cache -d 'Print the token and write no file'

# ---- other commands, and what several take ----

complete -c servetel-auth -n '__servetel_auth_takes "login refresh" --print' -l print -d 'Print the token on stdout'
complete -c servetel-auth -n '__servetel_auth_takes "refresh show status exec schedule" --min-ttl' -l min-ttl -x -d 'Least time that the token lasts'
complete -c servetel-auth -n '__servetel_auth_takes "refresh show status" --json' -l json -d 'Print JSON'
complete -c servetel-auth -n '__servetel_auth_takes "refresh logout schedule" --all' -l all -d 'Every profile'
complete -c servetel-auth -n '__servetel_auth_takes logout --yes' -l yes -d 'With --all: do not ask'
complete -c servetel-auth -n '__servetel_auth_takes refresh --jobs' -l jobs -x -d 'With --all: requests at once'
complete -c servetel-auth -n '__servetel_auth_takes "refresh schedule" --on-change' -l on-change -x -d 'Run a command with a new token on its stdin'
complete -c servetel-auth -n '__servetel_auth_takes "refresh schedule" --adopt' -l adopt -x -d 'First take the token that a command prints'
complete -c servetel-auth -n '__servetel_auth_takes refresh --on-refused' -l on-refused -x -d 'Run a command when the remembered password is refused'
complete -c servetel-auth -n '__servetel_auth_takes refresh --complain-below' -l complain-below -x -d 'Be silent while the token lasts longer'
complete -c servetel-auth -n '__servetel_auth_takes refresh --rejected-stdin' -l rejected-stdin -d 'The API refused the token on stdin: renew it'
complete -c servetel-auth -n '__servetel_auth_takes refresh --dry-run' -l dry-run -d 'Say what would be done, send nothing'
complete -c servetel-auth -n '__servetel_auth_takes show --cached' -l cached -d 'Never use the network'
complete -c servetel-auth -n '__servetel_auth_takes show --format' -l format -x -a 'token header curl env' -d 'How to print it'
complete -c servetel-auth -n '__servetel_auth_takes status --format' -l format -x -a prometheus -d 'Gauges for node_exporter'
complete -c servetel-auth -n '__servetel_auth_takes show --no-newline' -l no-newline -d 'Print no newline after it'
complete -c servetel-auth -n '__servetel_auth_takes show --claims' -l claims -d 'Print the decoded payload instead'
complete -c servetel-auth -n '__servetel_auth_takes exec --keep-fresh' -l keep-fresh -d 'Keep a valid token in SERVETEL_TOKEN_FILE'
complete -c servetel-auth -n '__servetel_auth_takes exec --signal' -l signal -x -d 'Tell the program of a new token'

# ---- the network's ----

complete -c servetel-auth -n '__servetel_auth_takes "login refresh show exec" --api-url' -l api-url -x -d 'The API'
complete -c servetel-auth -n '__servetel_auth_takes "login refresh show exec" --timeout' -l timeout -x -d 'For the whole command'
complete -c servetel-auth -n '__servetel_auth_takes "login refresh show exec" --retries' -l retries -x -d 'Further tries where that is safe'
complete -c servetel-auth -n '__servetel_auth_takes "login refresh show exec" --cacert' -l cacert -rF -d 'Trust these certificates'
complete -c servetel-auth -n '__servetel_auth_takes "login refresh show exec" --auth-scheme' -l auth-scheme -x -a 'raw bearer' -d 'Form of the Authorization header'

# ---- every command's ----

set -l all '- login refresh show status logout exec schedule help version'
complete -c servetel-auth -n "__servetel_auth_takes '$all' -p --profile" -s p -l profile -x -a '(__servetel_auth_profiles)' -d 'Which account'
complete -c servetel-auth -n "__servetel_auth_takes '$all' -f --file" -s f -l file -rF -d 'The cache file'
complete -c servetel-auth -n "__servetel_auth_takes '$all' -q --quiet" -s q -l quiet -d 'Only errors on stderr'
complete -c servetel-auth -n "__servetel_auth_takes '$all' -v --verbose" -s v -l verbose -d 'Say what is done'
complete -c servetel-auth -n "__servetel_auth_takes '$all' -h --help" -s h -l help -d 'Show the help'
complete -c servetel-auth -n "__servetel_auth_takes '$all' --version" -l version -d 'Show the version'
