#!/bin/sh
# SPDX-License-Identifier: MIT
# Several hosts, the same accounts: one at a time renews, under a lock of PostgreSQL's, and publishes there.
# See servetel-auth-hosts(7). Works with PostgreSQL and psql 15; 14 is the first that can.
#
#   sh postgresql.sh turn [--all]        from cron, every few minutes, on each host that renews
#   sh postgresql.sh get NAME            the published token of a profile: the readers' --token-command
#   sh postgresql.sh password NAME FILE  the --password-command of the hosts that renew: FILE's first
#                                        line, unless the service has refused it to one of them
#   sh postgresql.sh forget NAME         after that was put right, before the login
#
# Settings come from the environment or from the file below, exported: PGHOST, PGDATABASE, PGUSER, and
# PGSSLMODE=verify-full with PGSSLROOTCERT, PGSSLCERT and PGSSLKEY, or PGPASSFILE. Not through a pooler
# that gives each transaction another session. The table, made once by the role that renews, and what
# the role of the hosts that only read needs:
#
#   CREATE TABLE servetel (kind text, name text, value text NOT NULL, PRIMARY KEY (kind, name));
#   GRANT SELECT ON servetel TO reader;
#
# In it: token and refused, by the profile's name. The lock is an advisory one of the session that runs
# the turn, so it ends with the connection. Each directory of profiles has one, by the last part of
# SERVETEL_AUTH_DIR: the accounts can be divided, and hosts whose directories have the same name share
# what is in it.
set -u
config=${SERVETEL_POSTGRESQL_CONF:-/etc/servetel-auth/postgresql.conf}
# shellcheck source=/dev/null
[ ! -r "$config" ] || . "$config"
export PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin" # cron's lacks the first

# These belong together. A renewal and its publication take at most twice the timeout, which must be
# less than two thirds of the TTL: so long a session may be silent before the lock is another's. (One
# whose host is killed ends at once, one whose host is cut off within 20 seconds, by keepalives.)
: "${TURN_TIMEOUT:=10}" "${TURN_TTL:=40}" "${TURN_WAIT:=60}" "${POSTGRESQL_TIMEOUT:=4}"
: "${TURN_MIN_TTL:=20m}" "${TURN_COMPLAIN_BELOW:=10m}"
dir=${SERVETEL_AUTH_DIR:-default}

# A hung engine costs no more than this.
sql() {
    timeout -k 1 "$POSTGRESQL_TIMEOUT" psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

# Whether the session that began the turn still has its lock. It is known by its start, too: its number
# can be another's after the engine was started again.
held="EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'
    AND granted AND pid || '/' || extract(epoch FROM backend_start) = :'holder')"

# What SQL answers is to begin with this, so that no answer can be told from an empty one.
in_turn() {
    answer=$(sql -v holder="$SERVETEL_TURN" -v name="$SERVETEL_PROFILE" "$@") || exit
    case $answer in
    ok:*) printf '%s\n' "${answer#ok:}" ;;
    *) echo 'postgresql.sh: this turn is over: its lock is gone' >&2 && exit 1 ;;
    esac
}

turn() {
    # One takes its time and no more, whatever hangs; all of them may have to wait for a service that
    # limits (ten minutes).
    longest=$((2 * TURN_TIMEOUT + 3)) ttl=$TURN_TTL check='show --cached'
    case " $* " in *' --all '*) longest=900 ttl=$((900 + TURN_TTL)) check=status ;; esac
    export TURN_SCRIPT="$0" TURN_LONGEST="$longest" TURN_WORDS="$*"
    # --foreground: only psql is told to give up; what it runs has a limit of its own.
    # LOCK TABLE: a publication that began in a turn before this one is waited for.
    # What psql itself says is left out, as nobody can do anything about it.
    said=$(PGCONNECT_TIMEOUT=$POSTGRESQL_TIMEOUT \
        timeout --foreground -k 5 $((TURN_WAIT + longest + 5)) \
        psql -XqAt -v ON_ERROR_STOP=1 -v lock="servetel/${dir##*/}" 2>/dev/null <<EOT
SET lock_timeout = '${TURN_WAIT}s';
SET idle_session_timeout = '${ttl}s';
SET tcp_keepalives_idle = 5;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
\\o /dev/null
SELECT pg_advisory_lock(hashtextextended(:'lock', 0));
\\o
BEGIN; LOCK TABLE servetel IN SHARE MODE; COMMIT;
SELECT pid || '/' || extract(epoch FROM backend_start) AS holder FROM pg_stat_activity WHERE pid = pg_backend_pid() \\gset
\\setenv SERVETEL_TURN :holder
\\! exec sh "\$TURN_SCRIPT" locked "\$TURN_LONGEST" \$TURN_WORDS </dev/null
EOT
    )
    code=${said##*
}
    case $code in
    *[!0-9]*) printf '%s\n' "$said" >&2 && exit 1 ;; # cut off
    ?*) printf '%s' "${said%"$code"}" >&2 && exit "$code" ;;
    esac
    # No turn: others have it, or the engine is gone, which is told once the tokens are about to end.
    # shellcheck disable=SC2086 # words
    servetel-auth $check --min-ttl "$TURN_COMPLAIN_BELOW" >/dev/null
}

# With the lock. psql says nothing of what it has run: the status is the last line that this prints.
locked() {
    exec 2>&1
    longest=$1
    shift
    timeout -k 2 "$longest" servetel-auth refresh --quiet --timeout "${TURN_TIMEOUT}s" "$@" \
        --min-ttl "$TURN_MIN_TTL" --complain-below "$TURN_COMPLAIN_BELOW" \
        --adopt "sh '$0' adopt" --on-change "sh '$0' publish" --on-refused "sh '$0' refused"
    echo $?
}

# value KIND NAME
value() {
    sql -v kind="$1" -v name="$2" <<'EOT'
SELECT value FROM servetel WHERE kind = :'kind' AND name = :'name';
EOT
}

case ${1-} in
turn | locked) "$@" ;;
adopt) # prints an empty line where nothing is published yet
    in_turn <<EOT
SELECT 'ok:' || coalesce((SELECT value FROM servetel WHERE kind = 'token' AND name = :'name'), '') WHERE $held;
EOT
    ;;
publish) # the token is on stdin, and in nobody's arguments; in no statement either, which a log could show
    in_turn -f /dev/fd/3 3<<EOT
BEGIN;
CREATE TEMPORARY TABLE published (value text) ON COMMIT DROP;
\\copy published FROM pstdin
INSERT INTO servetel SELECT 'token', :'name', value FROM published WHERE $held
    ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value RETURNING 'ok:';
COMMIT;
EOT
    ;;
refused)
    sql -v name="$SERVETEL_PROFILE" -v value="$(uname -n), $(date)" <<'EOT'
INSERT INTO servetel VALUES ('refused', :'name', :'value')
    ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value;
EOT
    ;;
get) value token "$2" ;;
password) # fails where PostgreSQL cannot be asked
    refused=$(value refused "$2") || exit
    if [ -n "$refused" ]; then
        echo "postgresql.sh: the password of $2 was refused ($refused): put it right, then: postgresql.sh forget $2" >&2
        exit 1
    fi
    head -n 1 -- "$3"
    ;;
forget)
    sql -v name="$2" <<'EOT'
DELETE FROM servetel WHERE kind = 'refused' AND name = :'name';
EOT
    ;;
*) sed -n '3,10s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
