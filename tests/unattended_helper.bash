# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of that which runs without a person share: load it after helper.bash.

NEW_PW='new horse'

# Logs in with a password file that the profile remembers.
remember() {
    (umask 077 && printf '%s\n' "$PW" >"$HOME/pw")
    quietly login -e "$EMAIL" --password-file "$HOME/pw"
}

# Every refresh is refused from now on: the first login was too long ago.
end_refresh_window() {
    server_config '{"refresh_window":0}'
}

# A token of an hour that is to be renewed, but is good for as long as a test takes on a busy machine.
end_soon() {
    set_life 50
}

change_password() {
    server_config "{\"users\":{\"$EMAIL\":\"$NEW_PW\"}}"
}

# As cron starts it: hardly any environment. The profile knows the rest.
as_cron() {
    env -i HOME="$HOME" SHELL=/bin/sh PATH="$PATH" servetel-auth "$@"
}

# logins_answered STATUS: how many logins got it.
logins_answered() {
    server_control log | jq --argjson status "$1" '[.[] | select(.endpoint == "login" and .status == $status)] | length'
}

# runs: of the token command, so far.
runs() { wc -l <"$HOME/runs"; }
