/* SPDX-License-Identifier: MIT */
#include "commands/options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/process.h"
#include "commands/option_table.h"
#include "store/profile.h"
#include "store/url.h"

/* A duration beyond ten years is a slip. */
#define DURATION_MAX_S 315576000
/* getopt_long gives an option's place in the table plus this: beyond all letters. */
#define FIRST_ID 256

static void *slot(struct options *options, const struct option_spec *spec)
{
    return (char *)options + spec->offset;
}

/* ---- values ---- */

/* A whole number with nothing before or after it but, for durations, a unit. */
static bool read_number(const char *text, bool is_duration, int64_t *value)
{
    int64_t unit = 1;
    size_t digits = strspn(text, "0123456789");

    /* Twelve digits are beyond any limit and within 64 bits, whatever the unit. */
    if (digits == 0 || digits > 12)
        return false;
    *value = strtoll(text, NULL, 10);
    text += digits;
    if (is_duration && *text != '\0') {
        const char *units = "smhd", *found = strchr(units, *text);
        static const int64_t seconds[] = {1, 60, 3600, 86400};

        if (found == NULL)
            return false;
        unit = seconds[found - units];
        text++;
    }
    *value *= unit;
    return *text == '\0';
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

/* ---- did you mean ---- */

/* argument: as typed. What follows an = may be a secret and is not repeated. */
static enum result unknown_option(const char *argument, int users, struct error *error)
{
    const char *names[OPTION_TABLE_MAX + 1], *meant = NULL;
    size_t count = 0;
    int len = (int)strcspn(argument, "=");

    if (strncmp(argument, "--", 2) != 0)
        return error_set(error, RESULT_USAGE, "unknown option '-%c'", argument[0]);
    for (size_t i = 0; option_table[i].name != NULL; i++) {
        if ((option_table[i].users & users) != 0)
            names[count++] = option_table[i].name;
    }
    names[count] = NULL;
    if (len < 64) {
        char typed[64];

        snprintf(typed, sizeof typed, "%.*s", len - 2, argument + 2);
        meant = nearest(typed, names);
    }
    if (strcmp(argument, "--password") == 0 || strncmp(argument, "--password=", 11) == 0)
        return error_set(error, RESULT_USAGE,
                         "there is no option that carries a password, since every process could "
                         "read it: use --password-stdin, --password-file or --password-command");
    if (meant != NULL)
        return error_set(error, RESULT_USAGE, "unknown option '%.*s': did you mean '--%s'?", len,
                         argument, meant);
    return error_set(error, RESULT_USAGE, "unknown option '%.*s'", len, argument);
}

/* ---- parsing ---- */

static void reset_getopt(void)
{
#ifdef __GLIBC__
    optind = 0; /* also forgets the order that the last option string asked for */
#else
    optind = 1;
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
    optreset = 1;
#endif
#endif
}

/* What getopt_long, which answered ':' or '?', did not like. typed: the last word that it read. */
static enum result fail_getopt(int id, const char *typed, int users, struct error *error)
{
    bool is_long = optopt >= FIRST_ID;
    char letter[] = {(char)optopt, '\0'};
    const char *name = is_long ? option_table[optopt - FIRST_ID].name : letter;

    if (id == ':')
        return error_set(error, RESULT_USAGE, "option '%s%s' needs an argument",
                         is_long ? "--" : "-", name);
    if (is_long)
        return error_set(error, RESULT_USAGE, "option '--%s' takes no argument", name);
    return unknown_option(optopt != 0 ? letter : typed, users, error);
}

/* users: options that none of these commands takes are unknown; of FOR_ALL only flags are set, as a
 * name may have several meanings. stop_at_operand: '+'. */
static enum result run_getopt(struct options *options, int users, bool stop_at_operand, int argc,
                              char **argv, struct error *error)
{
    struct option longs[OPTION_TABLE_MAX + 1];
    char shorts[2 * OPTION_TABLE_MAX + 3];
    size_t long_count = 0, short_len = 0;
    int id;

    memset(longs, 0, sizeof longs);
    if (stop_at_operand)
        shorts[short_len++] = '+';
    shorts[short_len++] = ':'; /* getopt is silent: the errors are worded here */
    for (size_t i = 0; option_table[i].name != NULL; i++) {
        const struct option_spec *spec = &option_table[i];

        if ((spec->users & users) == 0)
            continue;
        longs[long_count++] = (struct option){
            .name = spec->name,
            .has_arg = spec->kind == FLAG ? no_argument : required_argument,
            .val = FIRST_ID + (int)i,
        };
        if (spec->letter != 0) {
            shorts[short_len++] = spec->letter;
            if (spec->kind != FLAG)
                shorts[short_len++] = ':';
        }
    }
    shorts[short_len] = '\0';
    reset_getopt();
    while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const char *typed = argv[optind - 1];
        char source[64];
        size_t i = 0;

        if (id == ':' || id == '?')
            return fail_getopt(id, typed, users, error);
        if (id >= FIRST_ID) {
            i = (size_t)(id - FIRST_ID);
            if (optarg == typed) /* as a word of its own */
                typed = argv[optind - 2];
            /* getopt_long takes an abbreviation, which would mean another option, or none, once
             * there is a new one. */
            if (strcspn(typed + 2, "=") != strlen(option_table[i].name))
                return error_set(error, RESULT_USAGE, "unknown option '%.*s': did you mean '--%s'?",
                                 (int)strcspn(typed, "="), typed, option_table[i].name);
        } else {
            while (option_table[i].letter != id)
                i++;
        }
        if (users == FOR_ALL && option_table[i].kind != FLAG)
            continue;
        snprintf(source, sizeof source, "--%s", option_table[i].name);
        if (set_value(options, &option_table[i], source, optarg, error) != RESULT_OK)
            return error->result;
    }
    return RESULT_OK;
}

static void set_defaults(struct options *options)
{
    *options = (struct options){
        .timeout_s = OPTION_UNSET,
        .retries = OPTION_UNSET,
        .min_ttl_s = OPTION_UNSET,
        .jobs = OPTION_UNSET,
        .complain_below_s = OPTION_UNSET,
    };
}

enum result options_find_command(struct options *options, int argc, char **argv, int *index,
                                 struct error *error)
{
    set_defaults(options);
    if (run_getopt(options, FOR_ALL, true, argc, argv, error) != RESULT_OK)
        return error->result;
    *index = optind;
    return RESULT_OK;
}

/* What has a variable is a text: NULL until now where no option gave it. */
static enum result read_environment(struct options *options, int user, struct error *error)
{
    for (const struct option_spec *spec = option_table; spec->name != NULL; spec++) {
        const char *value;

        if (spec->variable == NULL || (spec->users & user) == 0 ||
            *(const char **)slot(options, spec) != NULL)
            continue;
        /* A profile named by a flag beats a file named by the environment. */
        if (spec->offset == offsetof(struct options, file) && options->profile_is_flag)
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
    set_defaults(options);
    if (run_getopt(options, user, true, index, argv, error) != RESULT_OK ||
        run_getopt(options, user, takes_program, argc - index, argv + index, error) != RESULT_OK)
        return error->result;
    options->operands = argv + index + optind;
    options->operand_count = argc - index - optind;
    options->profile_is_flag = options->profile != NULL;
    options->file_is_flag = options->file != NULL;
    options->api_url_is_flag = options->api_url != NULL;
    if (options->help || options->version)
        return RESULT_OK; /* whatever the environment says */
    if (options->profile_is_flag && options->file_is_flag)
        return error_set(error, RESULT_USAGE,
                         "--profile does not go with --file, which is the cache itself");
    return read_environment(options, user, error);
}
