/* How the windows into the compiler name things: places in the source, instances of blocks, numbers.
 * All text is the arena's. */
#ifndef CODEGEN_SHOW_H
#define CODEGEN_SHOW_H

#include "ir/graph.h"

/* "gpt2.smg:37", the file without its folders; "" where the node has no place. */
const char *show_line(Arena *a, const Graph *g, const Node *n);
const char *show_type(Arena *a, const Graph *g, ValueId v);
/* "12.5 MiB" */
const char *show_bytes(Arena *a, int64_t bytes);
/* "1,234,567" */
const char *show_count(Arena *a, int64_t n);

/* "h.*.attn" for "h.3.attn": instances of one block in a loop have one pattern. */
const char *show_pattern(Arena *a, const char *path);

/* Does the path match, or a block that it is inside of?  In patterns `*` stands for any run of
 * characters within one part of the path: "h.*" matches "h.3" and "h.3.attn.c_proj". */
bool path_matches(const char *pattern, const char *path);

void show_json_string(Buf *out, const char *s);

#endif
