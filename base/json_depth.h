/* How deep untrusted JSON nests, before a parser recurses into it. */
#ifndef BASE_JSON_DEPTH_H
#define BASE_JSON_DEPTH_H

#include "base/status.h"

#include <stddef.h>

enum { MAX_JSON_DEPTH = 64 };

/* At most MAX_JSON_DEPTH brackets of either kind open at once, those in strings not counted.  A message
 * names the byte where one is too many. */
bool json_depth_check(const char *text, size_t n, Error *err);

#endif
