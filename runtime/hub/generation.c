/* Reading generation_config.json for how to draw. */
#include "runtime/hub/generation.h"

#include "base/file.h"
#include "runtime/hub/settings.h"
#include "runtime/hub/json.h"

#include <limits.h>

static void take_real(Settings *s, const char *key, double lo, double hi, double usual, double *out)
{
    if (*out < 0)
        *out = settings_real(s, SETTING(key, ""), lo, hi, usual);
}

static void take_all(Settings *s, SampleOptions *o)
{
    take_real(s, "temperature", 0, 1e3, 1, &o->temperature);
    take_real(s, "top_p", 1e-9, 1, 1, &o->top_p);
    take_real(s, "min_p", 0, 1, 0, &o->min_p);
    take_real(s, "repetition_penalty", 1e-3, 1e3, 1, &o->repeat_penalty);
    if (o->top_k < 0)
        o->top_k = settings_int(s, SETTING("top_k", ""), 0, 1 << 30, 0);
}

static void take_usual(SampleOptions *o)
{
    o->temperature = o->temperature < 0 ? 0.8 : o->temperature;
    o->top_k = o->top_k < 0 ? 0 : o->top_k;
    o->top_p = o->top_p < 0 ? 1 : o->top_p;
    o->min_p = o->min_p < 0 ? 0 : o->min_p;
    o->repeat_penalty = o->repeat_penalty < 0 ? 1 : o->repeat_penalty;
}

bool generation_defaults(const char *folder, SampleOptions *o, Error *err)
{
    char path[PATH_MAX];
    bool ok = true;
    if (*folder && path_join(path, sizeof path, folder, "generation_config.json", NULL)
        && file_exists(path)) {
        Settings s = { .where = path, .json = hub_json_read(path, err) };
        arena_init(&s.arena, NULL);
        s.root = s.json;
        ok = s.json != NULL;
        if (ok && settings_bool(&s, SETTING("do_sample", ""), false))
            take_all(&s, o);
        if (ok && s.failed)
            ok = error_set(err, "%s", s.err.text);
        settings_close(&s);
    }
    take_usual(o);
    return ok;
}
