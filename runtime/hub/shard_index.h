/* model.safetensors.index.json: which file of a folder holds which tensor.
 *
 *     { "metadata": ..., "weight_map": { "model.norm.weight": "model-00002-of-00002.safetensors", ... } }
 *
 * Read part by part, for a large model's is long; it borrows the text. */
#ifndef RUNTIME_HUB_SHARD_INDEX_H
#define RUNTIME_HUB_SHARD_INDEX_H

#include "runtime/json_parts.h"

typedef struct ShardIndex {
    JsonSource source;
    JsonText weight_map;
} ShardIndex;

/* The text is JSON with one weight map that is not empty. */
bool shard_index_read(ShardIndex *out, const char *text, size_t n, Error *err);

/* The next tensor of json_parts(&x->source, x->weight_map): p->key, and its file, the name of a
 * .safetensors file that stays in the folder.  False after the last, or where p->failed. */
bool shard_index_next(JsonParts *p, const char **file, Error *err);

#endif
