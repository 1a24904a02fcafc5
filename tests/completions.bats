#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# TAB, pressed in the three shells, each in a terminal; and whether the completions, the man page and --help
# know the same options.

load helper

setup() {
    test_setup
    mkdir -p "$HOME/bin" "$HOME/certs" "$HOME/.servetel-auth" "$HOME/other"
    touch "$HOME/.servetel-auth/"{work.json,you@example.test.json,work.lock,.work.json.tmp,'no name.json'} \
        "$HOME/other/elsewhere.json" "$HOME/certs/root one.pem"
    # A program whose completion the shells are told.
    printf '#!/bin/sh\n' >"$HOME/bin/dial-program"
    chmod 755 "$HOME/bin/dial-program"
    PATH="$HOME/bin:$PATH"
    COMPLETIONS="$(cd "$TESTS_DIR/../completions" && pwd)"
    BASH_COMPLETION=/usr/share/bash-completion/bash_completion
}

# ------------------------------------------------------------------------------------------------- the shells

# press_tab bash|bash-alone|zsh|fish <STEPS: see press_tab.py. bash-alone is without bash-completion.
press_tab() {
    local shell="${1%-alone}"
    command -v tmux >/dev/null || skip 'tmux is not installed'
    command -v "$shell" >/dev/null || skip "$shell is not installed"
    [ "$1" != bash ] || [ -e "$BASH_COMPLETION" ] || skip 'bash-completion is not installed'
    "configure_$shell" "$1"
    capture "$TESTS_PYTHON" "$TESTS_DIR/press_tab.py" "${SHELL_COMMAND[@]}"
    assert_done
}

configure_bash() {
    {
        echo "PS1='> '; unset HISTFILE"
        [ "$1" = bash-alone ] || echo ". '$BASH_COMPLETION'"
        echo ". '$COMPLETIONS/servetel-auth.bash'"
        echo "complete -W '--frobnicate' dial-program"
    } >"$HOME/bashrc"
    cat >"$HOME/.inputrc" <<'EOT'
set show-all-if-ambiguous on
set completion-query-items 0
set page-completions off
set bell-style none
EOT
    SHELL_COMMAND=(bash --noprofile --rcfile "$HOME/bashrc" -i)
}

configure_zsh() {
    cat >"$HOME/.zshrc" <<EOT
PROMPT='> '
bindkey -e
unsetopt beep prompt_sp
fpath=('$COMPLETIONS' \$fpath)
autoload -Uz compinit
compinit -u -d '$BATS_FILE_TMPDIR/zcompdump'
_dial-program() { _arguments --frobnicate }
compdef _dial-program dial-program
EOT
    export ZDOTDIR="$HOME"
    SHELL_COMMAND=(zsh -d -i) # -d: not the system's settings
}

configure_fish() {
    # With the second directory fish does not start to read all man pages.
    mkdir -p "$HOME/.config/fish" "$HOME/.local/share/fish/generated_completions"
    cat >"$HOME/.config/fish/config.fish" <<EOT
set -g fish_greeting
set -g fish_autosuggestion_enabled 0
function fish_prompt; echo -n '> '; end
set fish_complete_path '$COMPLETIONS' \$fish_complete_path
complete -c dial-program -f -l frobnicate
EOT
    SHELL_COMMAND=(fish -i)
}

# -------------------------------------------------------------------------------------------------- the steps

commands_and_options() {
    cat <<'EOT'
offers 'servetel-auth ' login refresh show status logout exec schedule help version
completes 'servetel-auth sched' 'servetel-auth schedule '
completes 'servetel-auth -q --profile work ref' 'servetel-auth -q --profile work refresh '
adds_nothing 'servetel-auth show logi'
offers 'servetel-auth --' --profile --file --quiet --verbose --help --version
offers 'servetel-auth login --' --email --password-file --token-stdin --api-url --cacert --profile
completes 'servetel-auth refresh --dry' 'servetel-auth refresh --dry-run '
completes 'servetel-auth exec --keep' 'servetel-auth exec --keep-fresh '
# Not what another command takes, not what is given already, nothing after --.
adds_nothing 'servetel-auth status --dry' 'servetel-auth show --cached --cach' 'servetel-auth schedule -- --al'
EOT
}

values_and_operands() {
    cat <<'EOT'
offers 'servetel-auth show --format ' token header curl env
completes 'servetel-auth show --format cu' 'servetel-auth show --format curl '
completes 'servetel-auth show --format=hea' 'servetel-auth show --format=header '
completes 'servetel-auth refresh --auth-scheme b' 'servetel-auth refresh --auth-scheme bearer '
offers 'servetel-auth schedule ' cron systemd
offers 'servetel-auth help ' login refresh show status logout exec schedule
completes 'servetel-auth -q help sched' 'servetel-auth -q help schedule '
completes 'servetel-auth logout --all --y' 'servetel-auth logout --all --yes '
adds_nothing 'servetel-auth help show ref' 'servetel-auth version sh'
completes 'servetel-auth schedule --all cr' 'servetel-auth schedule --all cron '
adds_nothing 'servetel-auth schedule cron sys'
# What is free text.
adds_nothing 'servetel-auth login --email ' 'servetel-auth login --password-command '
adds_nothing 'servetel-auth show --min-ttl ' 'servetel-auth refresh --jobs '
EOT
}

profiles_and_files() {
    cat <<'EOT'
offers 'servetel-auth -p ' work you@example.test
completes 'servetel-auth show -p w' 'servetel-auth show -p work '
completes 'servetel-auth --profile you' 'servetel-auth --profile you@example.test '
completes 'servetel-auth -p you@ex' 'servetel-auth -p you@example.test '
completes 'servetel-auth status --profile=you@ex' 'servetel-auth status --profile=you@example.test '
adds_nothing 'servetel-auth -p n'
completes 'servetel-auth login --cacert certs/ro' 'servetel-auth login --cacert certs/root\ one.pem '
completes 'servetel-auth -f oth' 'servetel-auth -f other/'
completes 'servetel-auth show --file=other/e' 'servetel-auth show --file=other/elsewhere.json '
completes 'servetel-auth login --password-file other/e' 'servetel-auth login --password-file other/elsewhere.json '
runs 'export SERVETEL_AUTH_DIR=other'
completes 'servetel-auth -p else' 'servetel-auth -p elsewhere '
adds_nothing 'servetel-auth -p wor'
EOT
}

# programs COMPLETED: what comes of --fro, an option of the program's.
programs() {
    cat <<EOT
completes 'servetel-auth exec -- dial-p' 'servetel-auth exec -- dial-program '
completes 'servetel-auth exec --keep-fresh dial-p' 'servetel-auth exec --keep-fresh dial-program '
completes 'servetel-auth exec dial-program --fro' 'servetel-auth exec dial-program $1'
completes 'servetel-auth -q exec --retries 1 -- dial-program --fro' \
    'servetel-auth -q exec --retries 1 -- dial-program $1'
EOT
}

# -------------------------------------------------------------------------------------------------- the tests

@test "bash: commands and options" { press_tab bash < <(commands_and_options); }

@test "bash: values and operands" { press_tab bash < <(values_and_operands); }

@test "bash: profiles and files" { press_tab bash < <(profiles_and_files); }

@test "bash: programs after exec, and their own completion" {
    press_tab bash < <(programs '--frobnicate ')
}

@test "bash without bash-completion: commands, options, values" {
    press_tab bash-alone < <(commands_and_options && values_and_operands)
}

@test "bash without bash-completion: profiles, files, programs after exec" {
    press_tab bash-alone < <(profiles_and_files && programs --fro)
}

@test "zsh: commands and options" { press_tab zsh < <(commands_and_options); }

@test "zsh: values and operands" { press_tab zsh < <(values_and_operands); }

@test "zsh: profiles and files" { press_tab zsh < <(profiles_and_files); }

@test "zsh: programs after exec, and their own completion" {
    press_tab zsh < <(programs '--frobnicate ')
}

@test "fish: commands and options" { press_tab fish < <(commands_and_options); }

@test "fish: values and operands" { press_tab fish < <(values_and_operands); }

@test "fish: profiles and files" { press_tab fish < <(profiles_and_files); }

@test "fish: programs after exec, and their own completion" {
    press_tab fish < <(programs '--frobnicate ')
}

@test "--help, the man page and the completions know the same commands, options and values" {
    capture "$TESTS_PYTHON" "$TESTS_DIR/interface_check.py" "$(command -v servetel-auth)" "$TESTS_DIR/.."
    assert_done
}
