/* How a long run is going: one line that is rewritten on a terminal, a plain line every few seconds
 * elsewhere. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Progress {
    FILE *out;                          /* NULL: silent */
    bool live;                          /* a terminal */
    bool on_line;                       /* the cursor stands behind a live line */
    double began, shown;                /* seconds, of clock_seconds */
} Progress;

double clock_seconds(void);             /* monotonic */

void progress_begin(Progress *p, FILE *out);
/* Is it time to show something?  `always` for what must not be missed. */
bool progress_due(const Progress *p, bool always);
/* A state that the next one may overwrite. */
void progress_show(Progress *p, const char *line);
/* A line that stays. */
void progress_line(Progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_end(Progress *p);
/* Instead of the end: takes back what the next state would have overwritten. */
void progress_clear(Progress *p);

/* "1:05", "2:03:04" of `seconds` into out. */
void duration_text(char *out, size_t cap, double seconds);

#endif
