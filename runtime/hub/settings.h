/* What a published model says of itself: config.json of a folder, or the values of a GGUF file,
 * asked in one way.
 *
 * A question names where the answer stands in either: keys of config.json, "a.b" for a key of an
 * object and "x|y" for the first that is there; the key of GGUF without the architecture in front.
 * An empty name is in neither.  The first answer that is no good is kept, and later ones are their
 * fallbacks: ask everything, then look at `failed`. */
#ifndef RUNTIME_HUB_SETTINGS_H
#define RUNTIME_HUB_SETTINGS_H

#include "base/arena.h"
#include "base/status.h"
#include "runtime/gguf.h"

#include <jansson.h>

typedef struct Settings {
    const char *where;                  /* the file, for messages; borrowed */
    json_t *json;                       /* config.json; owned.  Or NULL and: */
    const Gguf *gguf;                   /* borrowed */
    const char *architecture;           /* "LlamaForCausalLM", or GGUF's "llama"; in the arena */
    const json_t *root;                 /* where the keys of the text model are, within json */
    Arena arena;
    bool failed;
    Error err;
} Settings;

typedef struct SettingKey {
    const char *hub, *gguf;
} SettingKey;
#define SETTING(hub, gguf) ((SettingKey){ hub, gguf })

/* All take the place of `out`, which settings_close frees on failure too. */
bool settings_of_file(Settings *out, const char *path, Error *err);
bool settings_of_json(Settings *out, json_t *take, const char *path, Error *err);  /* takes the reference */
bool settings_of_gguf(Settings *out, const Gguf *g, const char *path, Error *err);
void settings_close(Settings *s);

bool settings_has(Settings *s, SettingKey k);
int64_t settings_int(Settings *s, SettingKey k, int64_t lo, int64_t hi, int64_t fallback);
double settings_real(Settings *s, SettingKey k, double lo, double hi, double fallback);
bool settings_bool(Settings *s, SettingKey k, bool fallback);
/* In the settings' arena; `fallback` is returned as it is. */
const char *settings_text(Settings *s, SettingKey k, const char *fallback);
/* Of an array in config.json; NULL when there is none. */
const json_t *settings_list(Settings *s, SettingKey k);

/* Keeps the message, with the file in front. */
void settings_refuse(Settings *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
