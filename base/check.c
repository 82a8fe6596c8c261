/* What a failed CHECK does: say where, let the program save what reproduces it, abort. */
#include "base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static void (*hook)(void *);
static void *hook_arg;
static atomic_flag failing = ATOMIC_FLAG_INIT;

void check_set_hook(void (*new_hook)(void *), void *arg)
{
    hook = new_hook;
    hook_arg = arg;
}

void check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%d: internal error: %s: ", file, line, cond);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(stderr);
    /* The hook walks the very structures that are broken, so it may fail a CHECK of its own. */
    if (!atomic_flag_test_and_set(&failing) && hook)
        hook(hook_arg);
    abort();
}
