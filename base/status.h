/* The world's faults: a file, memory, a bad plan.  A function that can meet one returns false and
 * fills the caller's Error with what was expected, what was found, and where. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdbool.h>

typedef struct Error {
    char text[1024];            /* one line, no newline at the end; cut to fit */
} Error;

/* Fills `err` (which may be NULL) and returns false, so that a caller writes
 * `return error_set(err, ...)`. */
bool error_set(Error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts `fmt...: ` in front of what `err` says; returns false. */
bool error_prefix(Error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
