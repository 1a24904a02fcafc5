# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of servetel-auth(1) for bash. It needs nothing of bash-completion; with that loaded,
# `exec` completes the arguments of the program that it runs, too.

# The options that COMMAND takes; without one, those that may stand before it.
_servetel_auth_options()
{
    case $1 in
    login)
        echo --email --password-stdin --password-file --password-command --token-stdin \
            --token-command --forget-source --no-cache --print
        ;;
    refresh)
        echo --min-ttl --print --json --all --jobs --on-change --adopt --on-refused \
            --rejected-stdin --complain-below --dry-run
        ;;
    show) echo --min-ttl --cached --format --no-newline --claims --json ;;
    status) echo --min-ttl --format --json ;;
    logout) echo --all --yes ;;
    exec) echo --min-ttl --keep-fresh --signal ;;
    schedule) echo --min-ttl --all --on-change --adopt ;;
    esac
    case $1 in
    login | refresh | show | exec) echo --api-url --timeout --retries --cacert --auth-scheme ;;
    esac
    echo --profile --file --quiet --verbose --help --version
}

# An option's long name, however it was typed.
_servetel_auth_long()
{
    case $1 in
    -e*) echo --email ;;
    -p*) echo --profile ;;
    -f*) echo --file ;;
    -q) echo --quiet ;;
    -v) echo --verbose ;;
    -h) echo --help ;;
    *) echo "${1%%=*}" ;;
    esac
}

# Whether the word is an option whose argument comes next.
_servetel_auth_wants_argument()
{
    case $1 in
    -e | -p | -f | --email | --profile | --file | --password-file | --password-command | \
        --token-command | --min-ttl | --format | --jobs | --on-change | --adopt | \
        --on-refused | --complain-below | --signal | --api-url | --timeout | --retries | \
        --cacert | --auth-scheme) ;;
    *) return 1 ;;
    esac
}

# The names of the profiles that exist and begin so.
_servetel_auth_profiles()
{
    local LC_ALL=C dir=${SERVETEL_AUTH_DIR:-$HOME/.servetel-auth} name
    while IFS= read -r name; do
        name=${name##*/}
        name=${name%.json}
        case $name in
        *[!A-Za-z0-9._@+-]*) ;;
        [A-Za-z0-9]*) echo "$name" ;;
        esac
    done < <(compgen -f -X '!*.json' -- "$dir/$1")
}

# Offers each word that begins with $cur, without $kept.
_servetel_auth_offer()
{
    local word
    for word in "$@"; do
        [[ $word != "$cur"* ]] || COMPREPLY+=("${word#"$kept"}")
    done
}

_servetel_auth_offer_lines()
{
    local line
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done
}

_servetel_auth_files()
{
    # readline's own: it knows how to quote, and puts a slash after a directory.
    compopt -o default 2>/dev/null || _servetel_auth_offer_lines < <(compgen -f -- "$cur")
}

# The argument of an option; nothing where it is free text.
_servetel_auth_argument()
{
    local profiles
    case $1 in
    --profile)
        profiles=$(_servetel_auth_profiles "$cur")
        # shellcheck disable=SC2086 # names hold no blanks
        _servetel_auth_offer $profiles
        ;;
    --file | --password-file | --cacert) _servetel_auth_files ;;
    --format)
        if [ "$command" = status ]; then
            _servetel_auth_offer prometheus
        else
            _servetel_auth_offer token header curl env
        fi
        ;;
    --auth-scheme) _servetel_auth_offer raw bearer ;;
    esac
}

# The program that exec runs, and its arguments. $1: where it stands in COMP_WORDS.
_servetel_auth_program()
{
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif [ "$COMP_CWORD" -gt "$1" ] || [[ $cur == */* ]]; then
        _servetel_auth_files
    else
        _servetel_auth_offer_lines < <(compgen -c -- "$cur" | LC_ALL=C sort -u)
    fi
}

# COMP_WORDS is split at = and @ as well: puts together what no blank separates. Sets words, starts
# (where each of them begins in COMP_WORDS), cur (the last one) and kept (the part of cur that
# stays when readline puts in what is offered).
_servetel_auth_split()
{
    local line=$COMP_LINE i word
    words=()
    starts=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ "$i" -eq 0 ] || [ -z "$word" ] || [[ $line == [[:blank:]]* ]]; then
            words+=("$word")
            starts+=("$i")
        else
            words[${#words[@]} - 1]+=$word
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        line=${line#"$word"}
    done
    cur=${words[${#words[@]} - 1]}
    # readline replaces what follows the last =, and the last @ with what follows.
    kept=${cur%"$word"}
    case $word in
    =) kept=$cur ;;
    @) ;;
    *) [ "${COMP_WORDS[COMP_CWORD - 1]}" != @ ] || kept=${kept%@} ;;
    esac
}

_servetel_auth()
{
    local IFS=$' \t\n' words starts cur kept
    local i word option='' command='' only_operands='' operands=0 program='' given=' '

    COMPREPLY=()
    _servetel_auth_split

    # What stands before the cursor. In the end, option is one that wants its argument, and program
    # is where exec's program stands.
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [ -n "$option" ]; then
            option=''
        elif [ -z "$only_operands" ] && [ "$word" = -- ]; then
            only_operands=yes
        elif [ -z "$only_operands" ] && [[ $word == -?* ]]; then
            given+="$(_servetel_auth_long "$word") "
            if _servetel_auth_wants_argument "$word"; then
                option=$(_servetel_auth_long "$word")
            fi
        elif [ -z "$command" ]; then
            command=$word
            only_operands=''
        elif [ "$command" = exec ]; then
            program=${starts[i]}
            break
        else
            operands=$((operands + 1))
        fi
    done
    if [ "$command" = exec ] && [ -z "$program$option" ] &&
        { [ -n "$only_operands" ] || [[ $cur != -* ]]; }; then
        program=${starts[i]}
    fi

    if [ -n "$program" ]; then
        _servetel_auth_program "$program"
    elif [ -n "$option" ]; then
        _servetel_auth_argument "$option"
    elif [ -z "$only_operands" ] && [[ $cur == --*=* ]]; then
        option=${cur%%=*}
        cur=${cur#*=}
        kept=${kept#"$option="}
        _servetel_auth_argument "$option"
    elif [ -z "$only_operands" ] && [[ $cur == -* ]]; then
        for word in $(_servetel_auth_options "$command"); do
            [[ $given == *" $word "* ]] || _servetel_auth_offer "$word"
        done
    elif [ -z "$command" ]; then
        _servetel_auth_offer login refresh show status logout exec schedule help version
    elif [ "$command" = help ] && [ "$operands" -eq 0 ]; then
        _servetel_auth_offer login refresh show status logout exec schedule help version
    elif [ "$command" = schedule ] && [ "$operands" -eq 0 ]; then
        _servetel_auth_offer cron systemd
    fi
}

complete -F _servetel_auth servetel-auth
