/* Messages about the world's faults, kept to one line. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A path may hold a newline; a message must not. */
static void keep_one_line(char *s)
{
    for (; *s; s++)
        if (*s == '\n' || *s == '\r')
            *s = ' ';
}

bool error_set(Error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    Error made;                 /* an argument may point into err->text */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, ap);
    va_end(ap);
    keep_one_line(made.text);
    *err = made;
    return false;
}

bool error_prefix(Error *err, const char *fmt, ...)
{
    if (!err)
        return false;
    Error made;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, ap);
    va_end(ap);
    keep_one_line(made.text);
    size_t n = strlen(made.text);
    int rest = (int)(sizeof made.text - n);
    snprintf(made.text + n, (size_t)rest, ": %.*s", rest, err->text);
    *err = made;
    return false;
}
