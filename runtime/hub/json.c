/* Bounded JSON, in and out. */
#include "runtime/hub/json.h"

#include "base/file.h"
#include "runtime/json_parts.h"

#include <stdlib.h>
#include <string.h>

static json_t *parse(const char *text, size_t n, bool bounded, Error *err)
{
    JsonSource source;
    if (!json_source_open(&source, text, n, 0, err))
        return NULL;
    if (!json_is(source.root, '{')) {
        error_set(err, "it is JSON, but not an object");
        return NULL;
    }
    if (!bounded)
        source.budget = SIZE_MAX;
    return json_source_load(&source, source.root, err);
}

json_t *hub_json_parse(const char *text, size_t n, Error *err)
{
    return parse(text, n, true, err);
}

bool hub_json_map(const char *path, FileMap *out, Error *err)
{
    if (!file_map(path, out, err))
        return false;
    if (out->size <= MAX_HUB_JSON)
        return true;
    file_unmap(out);
    return error_set(err, "%s: larger than %d bytes, the most that is read", path, MAX_HUB_JSON);
}

static json_t *read_file(const char *path, bool bounded, Error *err)
{
    FileMap map;
    if (!hub_json_map(path, &map, err))
        return NULL;
    json_t *root = parse(map.data ? (const char *)map.data : "", map.size, bounded, err);
    file_unmap(&map);
    if (!root)
        error_prefix(err, "%s", path);
    return root;
}

json_t *hub_json_read(const char *path, Error *err)
{
    return read_file(path, true, err);
}

json_t *hub_json_read_known(const char *path, Error *err)
{
    return read_file(path, false, err);
}

bool hub_json_write(const char *path, json_t *value, Error *err)
{
    Buf out = { 0 };
    char *text = value ? json_dumps(value, JSON_INDENT(1)) : NULL;
    if (text)
        buf_printf(&out, "%s\n", text);
    const bool ok = text && !out.failed ? file_replace(path, out.data, out.len, err)
                                        : error_set(err, "%s: out of memory", path);
    free(text);
    buf_free(&out);
    json_decref(value);
    return ok;
}

const json_t *hub_json_at(const json_t *root, const char *path, size_t n)
{
    while (root && n > 0) {
        const char *dot = memchr(path, '.', n);
        const size_t part = dot ? (size_t)(dot - path) : n;
        root = json_object_getn(root, path, part);
        n -= dot ? part + 1 : part;
        path += dot ? part + 1 : part;
    }
    return json_is_null(root) ? NULL : root;
}
