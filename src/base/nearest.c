/* SPDX-License-Identifier: MIT */
#include "base/nearest.h"

#include <string.h>

/* Levenshtein's distance; names are short, so one row of 64 does. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], len = strlen(b);

    if (len >= 63)
        return len;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t above = row[j + 1];
            size_t least = diagonal + (a[i] != b[j]);

            least = above + 1 < least ? above + 1 : least;
            row[j + 1] = row[j] + 1 < least ? row[j] + 1 : least;
            diagonal = above;
        }
    }
    return row[len];
}

const char *nearest(const char *typed, const char *const *names)
{
    const char *found = NULL;
    /* A third of what was typed, and one, may be wrong: more is another word. Of one letter nothing
     * would be left. */
    size_t len = strlen(typed), limit = len / 3 + 1 < len ? len / 3 + 2 : 1;

    for (; *names != NULL; names++) {
        size_t away = distance(typed, *names);

        if (away < limit) {
            limit = away;
            found = *names;
        }
    }
    return found;
}
