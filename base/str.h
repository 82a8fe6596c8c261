/* Small helpers on strings: did-you-mean, numbers as people read them. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Damerau-Levenshtein distance (adjacent swaps count one), at most `limit` + 1.  A word of more
 * than 127 bytes is near to nothing but itself. */
size_t str_distance(const char *a, const char *b, size_t limit);

/* Keeps the best suggestion over many candidates:
 *     Nearest best = nearest_of("widht"); nearest_try(&best, "width"); ... best.found or NULL
 * A candidate counts when it is within a third of the word's length (one edit for short words) and
 * shares something with it. */
typedef struct Nearest {
    const char *wanted;
    const char *found;          /* borrowed from the candidates */
    size_t distance;
} Nearest;
Nearest nearest_of(const char *wanted);
void nearest_try(Nearest *n, const char *candidate);

/* "1.5 GiB", "312 B" into out. */
void str_bytes(char *out, size_t cap, uint64_t bytes);

/* A whole number within [lo, hi], nothing after it. */
bool str_to_i64(const char *s, int64_t lo, int64_t hi, int64_t *out);
/* A finite number, nothing after it; independent of the locale. */
bool str_to_double(const char *s, double *out);
/* Bytes with an optional K, M or G (powers of 1024, either case). */
bool str_to_bytes(const char *s, uint64_t *out);

#endif
