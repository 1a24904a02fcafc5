/* SPDX-License-Identifier: MIT */
#include "commands/option_table.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "commands/options.h"
#include "store/url.h"

#define AT(member) offsetof(struct options, member)

const struct option_spec option_table[] = {
    {"email", 'e', "ADDRESS", TEXT, AT(email), FOR_LOGIN,
     "the login ID (default: the profile's, else asked for) [SERVETEL_EMAIL]",
     .variable = "SERVETEL_EMAIL"},
    {"password-stdin", 0, NULL, FLAG, AT(password_stdin), FOR_LOGIN,
     "read the password from stdin's first line"},
    {"password-file", 0, "FILE", TEXT, AT(password_file), FOR_LOGIN,
     "read it from the file's first line, now and at unattended logins (default: the profile's)"},
    {"password-command", 0, "COMMAND", TEXT, AT(password_command), FOR_LOGIN,
     "run COMMAND for it, now and at unattended logins (default: the profile's)"},
    {"token-stdin", 0, NULL, FLAG, AT(token_stdin), FOR_LOGIN,
     "take a token from stdin instead of logging in"},
    {"token-command", 0, "COMMAND", TEXT, AT(token_command), FOR_LOGIN,
     "take the token that COMMAND prints, now and at every renewal (default: the profile's)"},
    {"forget-source", 0, NULL, FLAG, AT(forget_source), FOR_LOGIN,
     "forget where the password comes from"},
    {"no-cache", 0, NULL, FLAG, AT(no_cache), FOR_LOGIN, "print the token and write no file"},
    {"min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_REFRESH,
     "renew a token that lasts no longer (default: any token)"},
    {"min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_SHOW | FOR_EXEC,
     "a promise: the token lasts so long (default: 60s or a tenth of its life, and no promise)"},
    {"min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_SCHEDULE,
     "renew a token that lasts no longer (default: half of its life)"},
    {"min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_STATUS,
     "fail also if a token lasts no longer (default: any will do)"},
    {"print", 0, NULL, FLAG, AT(print), FOR_LOGIN | FOR_REFRESH, "print the token on stdout"},
    {"cached", 0, NULL, FLAG, AT(cached), FOR_SHOW, "never use the network"},
    {"format", 0, "token|header|curl|env", CHOICE, AT(format), FOR_SHOW,
     "how to print it (default: token)"},
    {"format", 0, "prometheus", CHOICE, AT(format), FOR_STATUS,
     "gauges for node_exporter's textfile collector"},
    {"no-newline", 0, NULL, FLAG, AT(no_newline), FOR_SHOW, "print no newline after it"},
    {"claims", 0, NULL, FLAG, AT(claims), FOR_SHOW, "print the token's decoded payload instead"},
    {"json", 0, NULL, FLAG, AT(json), FOR_REFRESH | FOR_SHOW | FOR_STATUS, "print JSON"},
    {"all", 0, NULL, FLAG, AT(all), FOR_REFRESH | FOR_LOGOUT | FOR_SCHEDULE, "every profile"},
    {"yes", 0, NULL, FLAG, AT(yes), FOR_LOGOUT, "with --all: do not ask"},
    {"jobs", 0, "N", NUMBER, AT(jobs), FOR_REFRESH,
     "with --all: so many requests at once (default: 16)", .least = 1, .most = 1000},
    {"on-change", 0, "COMMAND", TEXT, AT(on_change), FOR_REFRESH | FOR_SCHEDULE,
     "run COMMAND with a new token on its stdin (default: none)"},
    {"adopt", 0, "COMMAND", TEXT, AT(adopt), FOR_REFRESH | FOR_SCHEDULE,
     "first take the token that COMMAND prints, if it is fresher (default: none)"},
    {"on-refused", 0, "COMMAND", TEXT, AT(on_refused), FOR_REFRESH,
     "run COMMAND when the service refuses the remembered password (default: none)"},
    {"rejected-stdin", 0, NULL, FLAG, AT(rejected_stdin), FOR_REFRESH,
     "the API refused the token on stdin: renew it if it is the cached one"},
    {"complain-below", 0, "DURATION", DURATION, AT(complain_below_s), FOR_REFRESH,
     "be silent about temporary failures while the token lasts longer (default: never)"},
    {"dry-run", 0, NULL, FLAG, AT(dry_run), FOR_REFRESH, "say what would be done, send nothing"},
    {"keep-fresh", 0, NULL, FLAG, AT(keep_fresh), FOR_EXEC,
     "keep a valid token in the file SERVETEL_TOKEN_FILE while PROGRAM runs"},
    {"signal", 0, "NAME", TEXT, AT(signal), FOR_EXEC,
     "with --keep-fresh: what tells PROGRAM of a new token (default: none)"},
    {"api-url", 0, "URL", URL, AT(api_url), FOR_NETWORK,
     "the API (default: the profile's, then " URL_DEFAULT ") [SERVETEL_API_URL]",
     .variable = "SERVETEL_API_URL"},
    {"timeout", 0, "DURATION", DURATION, AT(timeout_s), FOR_NETWORK,
     "for the whole command (default: 30s)", .least = 1},
    {"retries", 0, "N", NUMBER, AT(retries), FOR_NETWORK,
     "further tries where that is safe (default: 2)", .most = 100},
    {"cacert", 0, "FILE", TEXT, AT(cacert), FOR_NETWORK,
     "trust these certificates (default: the system's)"},
    {"auth-scheme", 0, "raw|bearer", CHOICE, AT(auth_scheme), FOR_NETWORK,
     "the form of a refresh's Authorization header (default: the one that worked last)"},
    {"profile", 'p', "NAME", PROFILE, AT(profile), FOR_ALL,
     "which account (default: default) [SERVETEL_PROFILE]", .variable = "SERVETEL_PROFILE"},
    {"file", 'f', "PATH", TEXT, AT(file), FOR_ALL,
     "the cache file (default: the profile's) [SERVETEL_AUTH_FILE]",
     .variable = "SERVETEL_AUTH_FILE"},
    {"quiet", 'q', NULL, FLAG, AT(quiet), FOR_ALL, "only errors on stderr"},
    {"verbose", 'v', NULL, FLAG, AT(verbose), FOR_ALL,
     "say what is done, and how long each request takes"},
    {"help", 'h', NULL, FLAG, AT(help), FOR_ALL, "show this help"},
    {"version", 0, NULL, FLAG, AT(version), FOR_ALL, "show the version"},
    {NULL},
};
_Static_assert(sizeof option_table / sizeof option_table[0] <= OPTION_TABLE_MAX,
               "OPTION_TABLE_MAX");

/* Where the texts begin, and where they end on any terminal. */
#define HELP_COLUMN 34
#define HELP_WIDTH 80

static void add_option(struct buffer *text, const struct option_spec *spec)
{
    char head[96], word[128], letter[] = "     ";
    int column, len, gap;

    if (spec->letter != 0)
        snprintf(letter, sizeof letter, "  -%c,", spec->letter);
    column = snprintf(head, sizeof head, "%s --%s %s", letter, spec->name,
                      spec->argument != NULL ? spec->argument : "");
    buffer_put(text, head);
    for (const char *at = spec->help; *at != '\0'; at += len + (at[len] == ' ')) {
        len = (int)strcspn(at, " ");
        gap = at > spec->help ? 1 : HELP_COLUMN - column;
        if (gap < 1 || column + gap + len > HELP_WIDTH) {
            buffer_put(text, "\n");
            column = 0;
            gap = HELP_COLUMN;
        }
        snprintf(word, sizeof word, "%*s%.*s", gap, "", len, at);
        buffer_put(text, word);
        column += gap + len;
    }
    buffer_put(text, "\n");
}

/* group: FOR_ALL, FOR_NETWORK, or 0 for the command's own. */
static void add_group(struct buffer *text, const char *title, int user, int group)
{
    bool any = false;

    for (size_t i = 0; option_table[i].name != NULL; i++) {
        int users = option_table[i].users;
        bool is_own = users != FOR_ALL && users != FOR_NETWORK;

        if ((users & user) == 0 || (group == 0 ? !is_own : users != group))
            continue;
        buffer_put(text, any ? "" : title);
        any = true;
        add_option(text, &option_table[i]);
    }
}

void option_table_help(int user, struct buffer *text)
{
    add_group(text, "\nOptions:\n", user, 0);
    add_group(text, "\nNetwork:\n", user, FOR_NETWORK);
    add_group(text, "\nEvery command takes:\n", user, FOR_ALL);
    if (strstr(buffer_text(text), " DURATION ") != NULL)
        buffer_put(text,
                   "\nA DURATION is a whole number with s (seconds, as without a letter), m, h "
                   "or d.\n");
}
