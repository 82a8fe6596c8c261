/* Answers from config.json and from GGUF's values. */
#include "runtime/hub/settings.h"

#include "runtime/hub/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void settings_refuse(Settings *s, const char *fmt, ...)
{
    va_list ap;
    if (s->failed)
        return;
    va_start(ap, fmt);
    const char *why = arena_vprintf(&s->arena, fmt, ap);
    va_end(ap);
    error_set(&s->err, "%s: %s", s->where, why);
    s->failed = true;
}

/* ---- opening ---------------------------------------------------------------------------------- */

/* A model that also sees keeps its text model's settings in an object of their own. */
static const json_t *text_root(const json_t *json)
{
    const json_t *inner = json_object_get(json, "text_config");
    return json_is_object(inner) ? inner : json;
}

bool settings_of_file(Settings *out, const char *path, Error *err)
{
    *out = (Settings){ 0 };
    json_t *json = hub_json_read(path, err);
    return json && settings_of_json(out, json, path, err);
}

bool settings_of_json(Settings *out, json_t *take, const char *path, Error *err)
{
    *out = (Settings){ .where = path, .json = take };
    arena_init(&out->arena, NULL);
    const json_t *names = json_object_get(out->json, "architectures");
    const char *name = json_string_value(json_array_get(names, 0));
    if (!name)
        return error_set(err, "%s: there is no \"architectures\" that names the kind of model", path);
    out->architecture = arena_strdup(&out->arena, name);
    out->root = text_root(out->json);
    return true;
}

bool settings_of_gguf(Settings *out, const Gguf *g, const char *path, Error *err)
{
    GgufString name;
    *out = (Settings){ .where = path, .gguf = g };
    arena_init(&out->arena, NULL);
    if (!gguf_get_string(g, "general.architecture", &name) || name.n == 0 || name.n > 64)
        return error_set(err, "%s: there is no value general.architecture that names the kind of "
                         "model", path);
    out->architecture = arena_strndup(&out->arena, name.text, name.n);
    return true;
}

void settings_close(Settings *s)
{
    json_decref(s->json);
    arena_free(&s->arena);
    *s = (Settings){ 0 };
}

/* ---- finding ---------------------------------------------------------------------------------- */

static const json_t *find_json(const Settings *s, const char *keys)
{
    while (*keys) {
        const size_t n = strcspn(keys, "|");
        const json_t *v = hub_json_at(s->root, keys, n);
        if (v)
            return v;
        keys += n + (keys[n] == '|');
    }
    return NULL;
}

static const char *gguf_key(Settings *s, const char *key)
{
    return arena_printf(&s->arena, "%s.%s", s->architecture, key);
}

static const GgufValue *find_gguf(Settings *s, const char *key)
{
    return *key ? gguf_find(s->gguf, gguf_key(s, key)) : NULL;
}

bool settings_has(Settings *s, SettingKey k)
{
    return s->gguf ? find_gguf(s, k.gguf) != NULL : find_json(s, k.hub) != NULL;
}

static const char *said(const Settings *s, SettingKey k)
{
    return s->gguf ? k.gguf : k.hub;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static bool read_int(Settings *s, SettingKey k, int64_t *out)
{
    if (!s->gguf) {
        const json_t *v = find_json(s, k.hub);
        if (json_is_integer(v))
            *out = json_integer_value(v);
        return json_is_integer(v);
    }
    uint64_t u;
    if (!gguf_get_u64(s->gguf, gguf_key(s, k.gguf), &u) || u > INT64_MAX)
        return false;
    *out = (int64_t)u;
    return true;
}

int64_t settings_int(Settings *s, SettingKey k, int64_t lo, int64_t hi, int64_t fallback)
{
    int64_t v = 0;
    if (s->failed || !settings_has(s, k))
        return fallback;
    if (read_int(s, k, &v) && v >= lo && v <= hi)
        return v;
    settings_refuse(s, "%s is no whole number from %" PRId64 " to %" PRId64, said(s, k), lo, hi);
    return fallback;
}

static bool read_real(Settings *s, SettingKey k, double *out)
{
    int64_t whole;
    if (s->gguf && gguf_get_f64(s->gguf, gguf_key(s, k.gguf), out))
        return true;
    if (s->gguf) {
        const bool ok = read_int(s, k, &whole);
        *out = ok ? (double)whole : 0;
        return ok;
    }
    const json_t *v = find_json(s, k.hub);
    *out = json_number_value(v);
    return json_is_number(v);
}

double settings_real(Settings *s, SettingKey k, double lo, double hi, double fallback)
{
    double v = 0;
    if (s->failed || !settings_has(s, k))
        return fallback;
    if (read_real(s, k, &v) && isfinite(v) && v >= lo && v <= hi)
        return v;
    settings_refuse(s, "%s is no number from %g to %g", said(s, k), lo, hi);
    return fallback;
}

bool settings_bool(Settings *s, SettingKey k, bool fallback)
{
    bool v = fallback;
    if (s->failed || !settings_has(s, k))
        return fallback;
    const json_t *j = s->gguf ? NULL : find_json(s, k.hub);
    if (s->gguf ? !gguf_get_bool(s->gguf, gguf_key(s, k.gguf), &v) : !json_is_boolean(j))
        settings_refuse(s, "%s is neither true nor false", said(s, k));
    return s->gguf ? v : json_is_true(j);
}

const char *settings_text(Settings *s, SettingKey k, const char *fallback)
{
    GgufString text;
    if (s->failed || !settings_has(s, k))
        return fallback;
    if (!s->gguf) {
        const char *v = json_string_value(find_json(s, k.hub));
        if (v)
            return arena_strdup(&s->arena, v);
    } else if (gguf_get_string(s->gguf, gguf_key(s, k.gguf), &text) && text.n < 4096) {
        return arena_strndup(&s->arena, text.text, text.n);
    }
    settings_refuse(s, "%s is no text", said(s, k));
    return fallback;
}

const json_t *settings_list(Settings *s, SettingKey k)
{
    const json_t *v = s->gguf || s->failed ? NULL : find_json(s, k.hub);
    if (v && !json_is_array(v)) {
        settings_refuse(s, "%s is no list", k.hub);
        return NULL;
    }
    return v;
}
