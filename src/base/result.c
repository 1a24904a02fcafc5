/* SPDX-License-Identifier: MIT */
#include "base/result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum result error_set(struct error *error, enum result result, const char *format, ...)
{
    int saved_errno = errno;
    va_list args;

    error->result = result;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    errno = saved_errno;
    return result;
}

void error_append(struct error *error, const char *format, ...)
{
    size_t used = strlen(error->text);
    va_list args;

    va_start(args, format);
    vsnprintf(error->text + used, sizeof error->text - used, format, args);
    va_end(args);
}

/* weight: of two, the heavier one is the more serious. */
static const struct {
    int exit_code, weight;
} facts[] = {
    [RESULT_OK] = {0, 0},          [RESULT_FAILED] = {1, 2},
    [RESULT_USAGE] = {2, 3},       [RESULT_NO_TOKEN] = {3, 5},
    [RESULT_REFUSED] = {4, 6},     [RESULT_TEMPORARY] = {5, 1},
    [RESULT_PROTOCOL] = {6, 4},    [RESULT_LOCAL] = {7, 7},
    [RESULT_AGAIN] = {5, 0},       /* never an end */
    [RESULT_INTERRUPTED] = {1, 8}, /* main() raises the signal before it would need this */
};

int result_exit_code(enum result result)
{
    return facts[result].exit_code;
}

enum result result_worse(enum result a, enum result b)
{
    return facts[a].weight >= facts[b].weight ? a : b;
}
