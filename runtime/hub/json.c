/* Bounded JSON, in and out. */
#include "runtime/hub/json.h"

#include "base/file.h"
#include "base/json_depth.h"

#include <stdlib.h>
#include <string.h>

json_t *hub_json_parse(const char *text, size_t n, Error *err)
{
    json_error_t why;
    if (!json_depth_check(text, n, err))
        return NULL;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        error_set(err, "byte %d (line %d): not valid JSON: %s", why.position, why.line, why.text);
    else if (!json_is_object(root))
        error_set(err, "it is JSON, but not an object");
    if (root && !json_is_object(root)) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

json_t *hub_json_read(const char *path, Error *err)
{
    Buf text = { 0 };
    json_t *root = NULL;
    if (file_read(path, MAX_HUB_JSON, &text, err)) {
        root = hub_json_parse(text.len ? text.data : "", text.len, err);
        if (!root)
            error_prefix(err, "%s", path);
    }
    buf_free(&text);
    return root;
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
