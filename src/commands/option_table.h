/* SPDX-License-Identifier: MIT */
/* The one table of options: parsing, precedence, help and completions all come from it. It knows no
 * command: each option carries the set of commands that take it. A name may stand there twice, with
 * another meaning for other commands.
 */
#ifndef OPTION_TABLE_H
#define OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum option_kind { FLAG, TEXT, PROFILE, DURATION, NUMBER, URL, CHOICE };

struct option_spec {
    const char *name;
    char letter;          /* or 0 */
    const char *argument; /* its name in the help; a CHOICE's values, split by |; NULL for a FLAG */
    enum option_kind kind;
    size_t offset;
    int users;
    const char *help;
    const char *variable; /* the environment's, or NULL */
    int64_t least, most;  /* DURATION (seconds; most: ten years), NUMBER */
};

/* Ended by a row without a name, and no longer than that. */
#define OPTION_TABLE_MAX 80
extern const struct option_spec option_table[];

/* Lines for the help of the command: its own options, then those that every command takes; what a
 * DURATION is. */
void option_table_help(int user, struct buffer *text);

#endif
