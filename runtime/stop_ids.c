/* Reading "eos_token_id" wherever it is written. */
#include "runtime/stop_ids.h"

#include "base/check.h"
#include "base/file.h"
#include "runtime/json_parts.h"
#include "runtime/weights.h"

enum { MAX_CONFIG = 1 << 20 };

bool stop_ids_has(const StopIds *s, int32_t id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->id[i] == id)
            return true;
    return false;
}

static bool add_id(const json_t *value, StopIds *out, Error *err)
{
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id > INT32_MAX)
        return error_set(err, "\"eos_token_id\" is no id and no list of ids");
    if (out->n == MAX_STOP_IDS)
        return error_set(err, "\"eos_token_id\" has more than %d ids", MAX_STOP_IDS);
    out->id[out->n++] = (int32_t)id;
    return true;
}

static bool read_ids(const json_t *value, StopIds *out, Error *err)
{
    if (!value || json_is_null(value))
        return true;
    if (!json_is_array(value))
        return add_id(value, out, err);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!add_id(json_array_get(value, i), out, err))
            return false;
    return true;
}

bool stop_ids_parse(const char *text, size_t n, StopIds *out, Error *err)
{
    JsonSource source;
    *out = (StopIds){ 0 };
    if (!json_source_open(&source, text, n, 0, err))
        return false;
    json_t *config = json_source_load(&source, source.root, err);
    const bool ok = config && (json_is_object(config) || error_set(err, "it is not a JSON object"))
        && read_ids(json_object_get(config, "eos_token_id"), out, err);
    json_decref(config);
    return ok;
}

static bool read_config(const char *path, StopIds *out, Error *err)
{
    FileMap map;
    if (!file_map(path, &map, err))
        return false;
    bool ok = map.size <= MAX_CONFIG
        || error_set(err, "%zu bytes; at most %d are read", map.size, MAX_CONFIG);
    ok = ok && stop_ids_parse(map.data ? (const char *)map.data : "", map.size, out, err);
    file_unmap(&map);
    return ok || error_prefix(err, "%s", path);
}

bool stop_ids_open(const char *weights, const HfTokenizer *t, StopIds *out, Error *err)
{
    static const char *const files[] = { "generation_config.json", "config.json" };
    static const HfRole roles[] = { HF_EOS, HF_EOT };
    char path[CHECKPOINT_PATH];
    *out = (StopIds){ 0 };
    for (size_t i = 0; i < COUNT_OF(files) && out->n == 0; i++)
        if (weights_beside(weights, files[i], path) && !read_config(path, out, err))
            return false;
    const bool unnamed = out->n == 0;
    for (size_t i = 0; unnamed && t && i < COUNT_OF(roles); i++)
        if (hf_tokenizer_role(t, roles[i]) >= 0)
            out->id[out->n++] = hf_tokenizer_role(t, roles[i]);
    return true;
}
