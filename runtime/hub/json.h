/* JSON files that others wrote: bounded in bytes, depth and what they take (json_parts.h), no key twice,
 * an object at the top. */
#ifndef RUNTIME_HUB_JSON_H
#define RUNTIME_HUB_JSON_H

#include "base/file.h"
#include "base/status.h"

#include <jansson.h>
#include <stddef.h>

enum { MAX_HUB_JSON = 64 << 20 };

/* The caller's reference, or NULL with a message that begins with the path. */
json_t *hub_json_read(const char *path, Error *err);
json_t *hub_json_parse(const char *text, size_t n, Error *err);
/* One that its own reader accepted, which may take what it needs. */
json_t *hub_json_read_known(const char *path, Error *err);
/* The text alone, for what is read part by part. */
bool hub_json_map(const char *path, FileMap *out, Error *err);
/* Indented, with a line end; replaces `path`.  Takes the reference; NULL is memory that ran out. */
bool hub_json_write(const char *path, json_t *value, Error *err);

/* The value at "a.b.c" below `root`, where a key that holds `null` counts as missing; or NULL. */
const json_t *hub_json_at(const json_t *root, const char *path, size_t n);

#endif
