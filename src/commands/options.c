/* SPDX-License-Identifier: MIT */
#include "commands/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "store/profile.h"
#include "store/url.h"

#define DURATION_MAX_S 315576000 /* a duration beyond ten years is a slip */
/* getopt_long gives an option's place in the table plus this: beyond all letters. */
#define FIRST_ID 256
/* Where the help's texts begin, and where they end on any terminal. */
#define HELP_COLUMN 34
#define HELP_WIDTH 80

/* ---- the one table: parsing, precedence and help all come from it ---- */

#define AT(member) offsetof(struct options, member)

static const struct option_spec {
    const char *name;
    char letter;          /* or 0 */
    const char *argument; /* its name in the help; a CHOICE's values, split by |; NULL for a FLAG */
    enum { FLAG, TEXT, PROFILE, DURATION, NUMBER, URL, CHOICE } kind;
    size_t offset;
    int users;
    const char *help;
    const char *variable; /* the environment's, or NULL */
    int64_t least, most;  /* DURATION (seconds; most: ten years), NUMBER */
} option_table[] = {
    {"--email", 'e', "ADDRESS", TEXT, AT(email), FOR_LOGIN,
     "the login ID (default: the profile's, else asked for) [SERVETEL_EMAIL]",
     .variable = "SERVETEL_EMAIL"},
    {"--password-stdin", 0, NULL, FLAG, AT(password_stdin), FOR_LOGIN,
     "read the password from stdin's first line"},
    {"--password-file", 0, "FILE", TEXT, AT(password_file), FOR_LOGIN,
     "read it from the file's first line, now and at unattended logins (default: the profile's)"},
    {"--password-command", 0, "COMMAND", TEXT, AT(password_command), FOR_LOGIN,
     "run COMMAND for it, now and at unattended logins (default: the profile's)"},
    {"--token-stdin", 0, NULL, FLAG, AT(token_stdin), FOR_LOGIN,
     "take a token from stdin instead of logging in"},
    {"--token-command", 0, "COMMAND", TEXT, AT(token_command), FOR_LOGIN,
     "take the token that COMMAND prints, now and at every renewal (default: the profile's)"},
    {"--forget-source", 0, NULL, FLAG, AT(forget_source), FOR_LOGIN,
     "forget where the password comes from"},
    {"--no-cache", 0, NULL, FLAG, AT(no_cache), FOR_LOGIN, "print the token and write no file"},
    {"--min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_REFRESH,
     "renew a token that lasts no longer (default: any token)"},
    {"--min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_SHOW | FOR_EXEC,
     "a promise: the token lasts so long (default: 60s or a tenth of its life, and no promise)"},
    {"--min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_SCHEDULE,
     "renew a token that lasts no longer (default: half of its life)"},
    {"--min-ttl", 0, "DURATION", DURATION, AT(min_ttl_s), FOR_STATUS,
     "fail also if a token lasts no longer (default: any will do)"},
    {"--print", 0, NULL, FLAG, AT(print), FOR_LOGIN | FOR_REFRESH, "print the token on stdout"},
    {"--cached", 0, NULL, FLAG, AT(cached), FOR_SHOW, "never use the network"},
    {"--format", 0, "token|header|curl|env", CHOICE, AT(format), FOR_SHOW,
     "how to print it (default: token)"},
    {"--format", 0, "prometheus", CHOICE, AT(format), FOR_STATUS,
     "gauges for node_exporter's textfile collector"},
    {"--no-newline", 0, NULL, FLAG, AT(no_newline), FOR_SHOW, "print no newline after it"},
    {"--claims", 0, NULL, FLAG, AT(claims), FOR_SHOW, "print the token's decoded payload instead"},
    {"--json", 0, NULL, FLAG, AT(json), FOR_REFRESH | FOR_SHOW | FOR_STATUS, "print JSON"},
    {"--all", 0, NULL, FLAG, AT(all), FOR_REFRESH | FOR_LOGOUT | FOR_SCHEDULE, "every profile"},
    {"--yes", 0, NULL, FLAG, AT(yes), FOR_LOGOUT, "with --all: do not ask"},
    {"--jobs", 0, "N", NUMBER, AT(jobs), FOR_REFRESH,
     "with --all: so many requests at once (default: 16)", .least = 1, .most = 1000},
    {"--on-change", 0, "COMMAND", TEXT, AT(on_change), FOR_REFRESH | FOR_SCHEDULE,
     "run COMMAND with a new token on its stdin (default: none)"},
    {"--adopt", 0, "COMMAND", TEXT, AT(adopt), FOR_REFRESH | FOR_SCHEDULE,
     "first take the token that COMMAND prints, if it is fresher (default: none)"},
    {"--on-refused", 0, "COMMAND", TEXT, AT(on_refused), FOR_REFRESH,
     "run COMMAND when the service refuses the remembered password (default: none)"},
    {"--rejected-stdin", 0, NULL, FLAG, AT(rejected_stdin), FOR_REFRESH,
     "the API refused the token on stdin: renew it if it is the cached one"},
    {"--complain-below", 0, "DURATION", DURATION, AT(complain_below_s), FOR_REFRESH,
     "be silent about temporary failures while the token lasts longer (default: never)"},
    {"--dry-run", 0, NULL, FLAG, AT(dry_run), FOR_REFRESH, "say what would be done, send nothing"},
    {"--keep-fresh", 0, NULL, FLAG, AT(keep_fresh), FOR_EXEC,
     "keep a valid token in the file SERVETEL_TOKEN_FILE while PROGRAM runs"},
    {"--signal", 0, "NAME", TEXT, AT(signal), FOR_EXEC,
     "with --keep-fresh: what tells PROGRAM of a new token (default: none)"},
    {"--api-url", 0, "URL", URL, AT(api_url), FOR_NETWORK,
     "the API (default: the profile's, then " URL_DEFAULT ") [SERVETEL_API_URL]",
     .variable = "SERVETEL_API_URL"},
    {"--timeout", 0, "DURATION", DURATION, AT(timeout_s), FOR_NETWORK,
     "for the whole command (default: 30s)", .least = 1},
    {"--retries", 0, "N", NUMBER, AT(retries), FOR_NETWORK,
     "further tries where that is safe (default: 2)", .most = 100},
    {"--cacert", 0, "FILE", TEXT, AT(cacert), FOR_NETWORK,
     "trust these certificates (default: the system's)"},
    {"--auth-scheme", 0, "raw|bearer", CHOICE, AT(auth_scheme), FOR_NETWORK,
     "the form of a refresh's Authorization header (default: the one that worked last)"},
    {"--profile", 'p', "NAME", PROFILE, AT(profile), FOR_ALL,
     "which account (default: default) [SERVETEL_PROFILE]", .variable = "SERVETEL_PROFILE"},
    {"--file", 'f', "PATH", TEXT, AT(file), FOR_ALL,
     "the cache file (default: the profile's) [SERVETEL_AUTH_FILE]",
     .variable = "SERVETEL_AUTH_FILE"},
    {"--quiet", 'q', NULL, FLAG, AT(quiet), FOR_ALL, "only errors on stderr"},
    {"--verbose", 'v', NULL, FLAG, AT(verbose), FOR_ALL,
     "say what is done, and how long each request takes"},
    {"--help", 'h', NULL, FLAG, AT(help), FOR_ALL, "show this help"},
    {"--version", 0, NULL, FLAG, AT(version), FOR_ALL, "show the version"},
};
#define OPTION_COUNT (sizeof option_table / sizeof option_table[0])

static void *slot(struct options *options, const struct option_spec *spec)
{
    return (char *)options + spec->offset;
}

/* ---- help ---- */

static void add_option(struct buffer *text, const struct option_spec *spec)
{
    char part[160], letter[] = "    ";
    int column, len, gap;

    if (spec->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", spec->letter);
    column = snprintf(part, sizeof part, "  %s%s %s", letter, spec->name,
                      spec->argument != NULL ? spec->argument : "");
    buffer_put(text, part);
    for (const char *at = spec->help; *at != '\0'; at += len + (at[len] == ' ')) {
        len = (int)strcspn(at, " ");
        gap = at > spec->help ? 1 : HELP_COLUMN - column;
        if (gap < 1 || column + gap + len > HELP_WIDTH) {
            buffer_put(text, "\n");
            column = 0;
            gap = HELP_COLUMN;
        }
        snprintf(part, sizeof part, "%*s%.*s", gap, "", len, at);
        buffer_put(text, part);
        column += gap + len;
    }
    buffer_put(text, "\n");
}

void options_help(int user, struct buffer *text)
{
    const char *title = "";

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_table[i];
        const char *own_title = spec->users == FOR_ALL       ? "\nEvery command takes:\n"
                                : spec->users == FOR_NETWORK ? "\nNetwork:\n"
                                                             : "\nOptions:\n";

        if ((spec->users & user) == 0)
            continue;
        buffer_put(text, own_title != title ? own_title : "");
        title = own_title;
        add_option(text, spec);
    }
    if (strstr(buffer_text(text), " DURATION ") != NULL)
        buffer_put(text,
                   "\nA DURATION is a whole number with s (seconds, as without a letter), m, h "
                   "or d.\n");
}

/* ---- values ---- */

/* A whole number with nothing before or after it but, for durations, a unit. */
static bool read_number(const char *text, bool is_duration, int64_t *value)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    size_t digits = strspn(text, "0123456789");
    const char *unit = units;

    /* Twelve digits are beyond any limit and within 64 bits, whatever the unit. */
    if (digits == 0 || digits > 12)
        return false;
    if (is_duration && text[digits] != '\0')
        unit = strchr(units, text[digits++]);
    if (unit == NULL || text[digits] != '\0')
        return false;
    *value = strtoll(text, NULL, 10) * seconds[unit - units];
    return true;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, value, len) == 0 && (at[len] == '|' || at[len] == '\0'))
            return len > 0 && strchr(value, '|') == NULL;
    }
    return false;
}

/* source: how the user gave it, "--timeout" or "SERVETEL_API_URL". */
static enum result set_value(struct options *options, const struct option_spec *spec,
                             const char *source, const char *value, struct error *error)
{
    struct error inner;
    int64_t number;

    switch (spec->kind) {
    case FLAG:
        *(bool *)slot(options, spec) = true;
        return RESULT_OK;
    case URL:
        if (url_check(value, &inner) != RESULT_OK)
            return error_set(error, inner.result, "%s: %s", source, inner.text);
        break;
    case PROFILE:
        if (!profile_name_is_valid(value))
            return error_set(error, RESULT_USAGE, /* who types -pPASSWORD is not to read it here */
                             "%s needs a profile's name: up to 128 letters, digits and ._@+-, the "
                             "first a letter or digit",
                             source);
        break;
    case CHOICE:
        if (!is_choice(spec->argument, value))
            return error_set(error, RESULT_USAGE, "%s must be one of %s", source, spec->argument);
        break;
    case TEXT:
        if (*value == '\0')
            return error_set(error, RESULT_USAGE, "%s is empty", source);
        break;
    case DURATION:
    case NUMBER:
        if (read_number(value, spec->kind == DURATION, &number) && number >= spec->least &&
            number <= (spec->kind == DURATION ? DURATION_MAX_S : spec->most)) {
            *(int64_t *)slot(options, spec) = number;
            return RESULT_OK;
        }
        if (spec->kind == NUMBER)
            return error_set(error, RESULT_USAGE, "%s '%s' is no whole number from %lld to %lld",
                             source, value, (long long)spec->least, (long long)spec->most);
        return error_set(error, RESULT_USAGE,
                         "%s '%s' is no duration%s: give a whole number with s, m, h or d", source,
                         value, spec->least > 0 ? " of a second or more" : "");
    }
    *(const char **)slot(options, spec) = value;
    return RESULT_OK;
}

/* ---- parsing ---- */

/* typed: as it stands there. What follows an = may be a secret and is not repeated. */
static enum result unknown_option(const char *typed, int users, struct error *error)
{
    const char *names[OPTION_COUNT + 1] = {NULL};
    size_t count = 0, len = strcspn(typed, "=");
    char meant[TEXT_NEAREST_SIZE];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((option_table[i].users & users) != 0)
            names[count++] = option_table[i].name;
    }
    if (len == strlen("--password") && strncmp(typed, "--password", len) == 0)
        return error_set(error, RESULT_USAGE,
                         "there is no option that carries a password, since every process could "
                         "read it: use --password-stdin, --password-file or --password-command");
    return error_set(error, RESULT_USAGE, "unknown option '%.*s'%s", (int)len, typed,
                     text_nearest(typed, len, names, meant));
}

/* What getopt_long, which answered ':' or '?', did not like. typed: the last word that it read. */
static enum result fail_getopt(int id, const char *typed, int users, struct error *error)
{
    bool is_long = optopt >= FIRST_ID && optopt < FIRST_ID + (int)OPTION_COUNT; /* no musl's "é" */
    char letter[] = {'-', (char)optopt, '\0'};
    const char *name = is_long ? option_table[optopt - FIRST_ID].name : letter;

    if (id == ':')
        return error_set(error, RESULT_USAGE, "option '%s' needs an argument", name);
    if (is_long)
        return error_set(error, RESULT_USAGE, "option '%s' takes no argument", name);
    return unknown_option(optopt != 0 ? letter : typed, users, error);
}

/* users: options that none of these commands takes are unknown; of FOR_ALL only flags are set, as a
 * name may have several meanings. stop_at_operand: '+'. */
static enum result run_getopt(struct options *options, int users, bool stop_at_operand, int argc,
                              char **argv, struct error *error)
{
    struct option longs[OPTION_COUNT + 1] = {{NULL}}, *next_long = longs;
    char shorts[2 * OPTION_COUNT + 3], *next_short = shorts;
    int id;

    if (stop_at_operand)
        *next_short++ = '+';
    *next_short++ = ':'; /* getopt is silent: the errors are worded here */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_table[i];
        bool has_argument = spec->kind != FLAG;

        if ((spec->users & users) == 0)
            continue;
        *next_long++ = (struct option){spec->name + 2, has_argument, NULL, FIRST_ID + (int)i};
        if (spec->letter != 0)
            *next_short++ = spec->letter;
        if (spec->letter != 0 && has_argument)
            *next_short++ = ':';
    }
    *next_short = '\0';
    optind = 0; /* begin anew: meant by GNU, and understood by musl and the BSDs */
    while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const char *typed = argv[optind - 1];
        const struct option_spec *spec = option_table;

        if (id == ':' || id == '?')
            return fail_getopt(id, typed, users, error);
        if (id >= FIRST_ID) {
            spec += id - FIRST_ID;
            if (optarg == typed) /* as a word of its own */
                typed = argv[optind - 2];
            /* getopt_long takes abbreviations, whose meaning would change with a new option. */
            if (strcspn(typed, "=") != strlen(spec->name))
                return unknown_option(typed, users, error);
        }
        while (id < FIRST_ID && spec->letter != id)
            spec++;
        if (users == FOR_ALL && spec->kind != FLAG)
            continue;
        if (set_value(options, spec, spec->name, optarg, error) != RESULT_OK)
            return error->result;
    }
    return RESULT_OK;
}

enum result options_find_command(struct options *options, int argc, char **argv, int *index,
                                 struct error *error)
{
    *options = (struct options){.timeout_s = OPTION_TIMEOUT_S,
                                .retries = OPTION_RETRIES,
                                .min_ttl_s = OPTION_UNSET,
                                .jobs = OPTION_UNSET,
                                .complain_below_s = OPTION_UNSET};
    if (run_getopt(options, FOR_ALL, true, argc, argv, error) != RESULT_OK)
        return error->result;
    *index = optind;
    return RESULT_OK;
}

/* What has a variable is a text: NULL until now where no option gave it. */
static enum result read_environment(struct options *options, int user, struct error *error)
{
    bool has_one = options->profile != NULL || options->file != NULL;

    for (const struct option_spec *spec = option_table; spec < option_table + OPTION_COUNT;
         spec++) {
        const char *value;

        if (spec->variable == NULL || (spec->users & user) == 0 ||
            *(const char **)slot(options, spec) != NULL)
            continue;
        /* A profile named by a flag beats a file named by the environment, and the other way. */
        if (has_one && (spec->offset == AT(file) || spec->offset == AT(profile)))
            continue;
        value = process_variable(spec->variable);
        if (value != NULL && set_value(options, spec, spec->variable, value, error) != RESULT_OK)
            return error->result;
    }
    return RESULT_OK;
}

enum result options_parse(struct options *options, int user, bool takes_program, int argc,
                          char **argv, int index, struct error *error)
{
    if (run_getopt(options, user, true, index, argv, error) != RESULT_OK ||
        run_getopt(options, user, takes_program, argc - index, argv + index, error) != RESULT_OK)
        return error->result;
    options->operands = argv + index + optind;
    options->operand_count = argc - index - optind;
    options->api_url_is_flag = options->api_url != NULL;
    if (options->help || options->version || (user & (FOR_HELP | FOR_VERSION)) != 0)
        return RESULT_OK; /* whatever the environment says */
    if (options->all && (options->profile != NULL || options->file != NULL))
        return error_set(error, RESULT_USAGE, "--all goes with neither --profile nor --file");
    if (options->profile != NULL && options->file != NULL)
        return error_set(error, RESULT_USAGE,
                         "--profile does not go with --file, which is the cache itself");
    /* With --all each profile has its own. */
    return options->all ? RESULT_OK : read_environment(options, user, error);
}
