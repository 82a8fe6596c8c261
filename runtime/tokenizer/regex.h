/* Regular expressions as tokenizer files write them (Oniguruma's syntax), run by PCRE2 with its JIT.
 *
 * What the two read differently is rewritten: \s, \w, \h and \b are spelt out, ^ and $ stand at lines.
 * What cannot be is refused by name: set intersection (&&).  Matching uses bounded memory and a
 * bounded number of steps; a pattern that wants more is an error, never a crash. */
#ifndef RUNTIME_TOKENIZER_REGEX_H
#define RUNTIME_TOKENIZER_REGEX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Members of a set: letters, marks, digits, connectors, and the letters in circles and squares, which
 * are symbols to Unicode's categories.  It is what \w of Rust's regex and of Oniguruma share. */
#define REGEX_WORDS \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}" \
    "\\x{1f170}-\\x{1f189}"

typedef struct Regex Regex;                     /* immutable: any number of threads */
typedef struct RegexScratch RegexScratch;       /* one a thread, for any regexes */

Regex *regex_compile(const char *pattern, size_t n, Error *err);        /* NULL with a message */
void regex_free(Regex *r);

RegexScratch *regex_scratch(void);              /* NULL: out of memory */
void regex_scratch_free(RegexScratch *s);

/* The matches of valid UTF-8 from left to right; empty ones count, but not right behind a match. */
typedef struct RegexWalk {
    const Regex *regex;
    RegexScratch *scratch;
    const char *text;
    size_t n;
    size_t at;                                  /* where to search next */
    size_t last_end;                            /* end of the last match; SIZE_MAX: none yet */
    bool done;
} RegexWalk;

RegexWalk regex_walk(const Regex *r, RegexScratch *s, const char *text, size_t n);
/* *found is false after the last match.  False when the pattern was too much work. */
bool regex_next(RegexWalk *w, size_t *begin, size_t *end, bool *found, Error *err);

#endif
