/* Names of files come from outside: none may lead out of the folder. */
#include "runtime/hub/shard_index.h"

#include <fnmatch.h>
#include <string.h>

enum { MAX_FILE_NAME = 255 };

bool shard_index_read(ShardIndex *out, const char *text, size_t n, Error *err)
{
    JsonText key, value;
    *out = (ShardIndex){ .weight_map = { "", 0 } };
    if (!json_source_open(&out->source, text, n, 0, err))
        return false;
    for (JsonWalk w = json_walk(out->source.root); json_walk_next(&w, &key, &value);) {
        if (!json_equals(key, "weight_map"))
            continue;
        if (out->weight_map.n)
            return error_set(err, "\"weight_map\" is there twice");
        out->weight_map = value;
    }
    if (!json_is(out->source.root, '{') || !json_is(out->weight_map, '{'))
        return error_set(err, "there is no \"weight_map\"");
    return json_count(out->weight_map) > 0 || error_set(err, "its \"weight_map\" is empty");
}

static bool is_shard_name(const char *name)
{
    return name && *name && !strchr(name, '/') && strlen(name) <= MAX_FILE_NAME
        && fnmatch("*.safetensors", name, 0) == 0;
}

bool shard_index_next(JsonParts *p, const char **file, Error *err)
{
    if (!json_parts_next(p, err))
        return false;
    *file = json_string_value(p->value);
    if (is_shard_name(*file))
        return true;
    p->failed = true;
    return error_set(err, "tensor %.200s: its file is no name of a .safetensors file", p->key);
}
