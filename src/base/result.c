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
    switch (result) {
    case RESULT_OK:
        return 0;
    case RESULT_FAILED:
    case RESULT_INTERRUPTED: /* main() raises the signal before it would need this */
        return 1;
    case RESULT_USAGE:
        return 2;
    case RESULT_NO_TOKEN:
        return 3;
    case RESULT_REFUSED:
        return 4;
    case RESULT_TEMPORARY:
        return 5;
    case RESULT_PROTOCOL:
        return 6;
    case RESULT_LOCAL:
        return 7;
    }
    return 1;
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
