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

int result_exit_code(enum result result)
{
    static const int codes[] = {
        [RESULT_OK] = 0,          [RESULT_FAILED] = 1,  [RESULT_USAGE] = 2,
        [RESULT_NO_TOKEN] = 3,    [RESULT_REFUSED] = 4, [RESULT_TEMPORARY] = 5,
        [RESULT_PROTOCOL] = 6,    [RESULT_LOCAL] = 7,   [RESULT_AGAIN] = 5, /* never an end */
        [RESULT_INTERRUPTED] = 1, /* main() raises the signal before it would need this */
    };

    return codes[result];
}

enum result result_worse(enum result a, enum result b)
{
    static const enum result order[] = {
        RESULT_INTERRUPTED, RESULT_LOCAL, RESULT_REFUSED, RESULT_NO_TOKEN,
        RESULT_PROTOCOL,    RESULT_USAGE, RESULT_FAILED,  RESULT_TEMPORARY,
    };

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return RESULT_OK;
}
