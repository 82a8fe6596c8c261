/* JSON text looked at where it lies: whether it is JSON, and where the parts of its objects and arrays
 * are.  Nothing is decoded and nothing is allocated, so that a reader of untrusted text can refuse it,
 * or take it part by part, before it costs anything. */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/status.h"

#include <stddef.h>

enum { MAX_JSON_DEPTH = 64 };

/* One value within a text that json_scan found to be JSON; no space around it.  Borrows the text. */
typedef struct JsonText {
    const char *text;
    size_t n;
} JsonText;

/* The whole text is one value, spaces around it aside, and at most MAX_JSON_DEPTH brackets of either
 * kind are open at once.  A message begins with the byte where that ends to be so.  What is left to who
 * decodes it: UTF-8, halves of surrogate pairs, numbers that are too large, keys that are there twice. */
bool json_scan(const char *text, size_t n, JsonText *out, Error *err);

/* The elements of an array, or the members of an object, in their order; of another value nothing. */
typedef struct JsonWalk {
    const char *at;
    bool object;
} JsonWalk;
JsonWalk json_walk(JsonText value);
/* `key` with its quotes; empty in an array.  False after the last. */
bool json_walk_next(JsonWalk *w, JsonText *key, JsonText *value);

size_t json_count(JsonText value);              /* how many parts a walk gives */
bool json_is(JsonText value, char first);       /* '{' an object, '[' an array, '"' a string */
/* Is the string that of these ASCII characters, escaped or not? */
bool json_equals(JsonText string, const char *ascii);

#endif
