/* Progress on a terminal and elsewhere. */
#include "base/progress.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static const double live_every = 0.1, plain_every = 5;      /* seconds */

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(Progress *p, FILE *out)
{
    *p = (Progress){ .out = out, .live = out && isatty(fileno(out)), .began = clock_seconds() };
    p->shown = p->began - plain_every;  /* the first step shows that things move */
}

bool progress_due(const Progress *p, bool always)
{
    return p->out
        && (always || clock_seconds() - p->shown >= (p->live ? live_every : plain_every));
}

void progress_show(Progress *p, const char *line)
{
    if (!p->out)
        return;
    if (p->live)
        fprintf(p->out, "\r%s\033[K", line);
    else
        fprintf(p->out, "%s\n", line);
    fflush(p->out);
    p->on_line = p->live;
    p->shown = clock_seconds();
}

void progress_end(Progress *p)
{
    if (p->out && p->on_line)
        fputc('\n', p->out);
    p->on_line = false;
}

void progress_clear(Progress *p)
{
    if (p->out && p->on_line)
        fputs("\r\033[K", p->out);
    p->on_line = false;
}

void progress_line(Progress *p, const char *fmt, ...)
{
    if (!p->out)
        return;
    va_list ap;
    progress_clear(p);
    va_start(ap, fmt);
    vfprintf(p->out, fmt, ap);
    va_end(ap);
    fputc('\n', p->out);
    fflush(p->out);
}

void duration_text(char *out, size_t cap, double seconds)
{
    const long s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000 : (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, cap, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, cap, "%ld:%02ld", s / 60, s % 60);
}
