/* SPDX-License-Identifier: MIT */
/* What the command line and the environment say, and the help on it. Knows no command: each option
 * carries the set of commands that take it. A name may stand there twice, with another meaning for
 * other commands.
 *
 * A flag beats the environment; an empty variable is as if unset. What the profile remembers and
 * the defaults come after that and are not this module's business. */
#pragma once

#include "base/mem.h"

/* Which commands take an option: a set of bits. */
enum option_users {
    FOR_LOGIN = 1,
    FOR_REFRESH = 2,
    FOR_SHOW = 4,
    FOR_STATUS = 8,
    FOR_LOGOUT = 16,
    FOR_EXEC = 32,
    FOR_SCHEDULE = 64,
    FOR_HELP = 128,
    FOR_VERSION = 256
};
#define FOR_ALL (~0)
#define FOR_NETWORK (FOR_LOGIN | FOR_REFRESH | FOR_SHOW | FOR_EXEC)

#define OPTION_UNSET (-1)

/* Texts point into argv or the environment. */
struct options {
    const char *profile, *file;
    bool quiet, verbose, help, version;

    const char *api_url, *cacert, *auth_scheme;
    bool api_url_is_flag;
    int64_t timeout_s, retries;

    const char *email;
    bool password_stdin, token_stdin;
    const char *password_file, *password_command, *token_command;
    bool forget_source, no_cache;

    bool print, json, all, yes, dry_run;
    int64_t min_ttl_s, jobs, complain_below_s; /* or OPTION_UNSET */
    const char *on_change, *adopt, *on_refused;
    bool rejected_stdin;

    bool cached, no_newline, claims;
    const char *format;

    bool keep_fresh;
    const char *signal;

    char **operands; /* ended by NULL */
    int operand_count;
};

/* The defaults, as the help shows them. */
#define OPTION_TIMEOUT_S 30
#define OPTION_RETRIES 2
#define OPTION_JOBS 16

/* *index is the place of the command's name in argv (or argc). Of the options before it only the
 * flags are set: what else they say depends on the command. */
enum result options_find_command(struct options *options, int argc, char **argv, int *index,
                                 struct error *error) MUST_CHECK;
/* After that, the options before and after the command's name, its operands, the environment. user:
 * the command's bit; takes_program: the first operand ends the options, as for exec. */
enum result options_parse(struct options *options, int user, bool takes_program, int argc,
                          char **argv, int index, struct error *error) MUST_CHECK;
/* For the command's help: its own options, those of every command, what a DURATION is. */
void options_help(int user, struct buffer *text);
