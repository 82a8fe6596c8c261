/* From configs to settings. */
#include "runtime/hub/run_config.h"

#include "base/check.h"
#include "base/str.h"

#include <string.h>

/* Settings that recipe.c asks for beside the rows of families.def. */
static const struct {
    FamilyModel model;
    const char *config, *setting;
} more[] = {
    { FAMILY_gpt2,  "vocab",     "vocab_size" },
    { FAMILY_gpt2,  "places",    "n_positions" },
    { FAMILY_llama, "vocab",     "vocab_size" },
    { FAMILY_llama, "context",   "max_position_embeddings" },
    { FAMILY_llama, "kv_heads",  "num_key_value_heads" },
    { FAMILY_llama, "tied",      "tie_word_embeddings" },
    { FAMILY_llama, "rope_base", "rope_theta" },
};

/* Configs that config.json could not say, or not to everybody, and what they must be. */
static const struct {
    FamilyModel model;
    const char *config, *value;
} plain[] = {
    { FAMILY_gpt2,  "turned",       "false" },
    { FAMILY_llama, "rope_style",   "half" },
    { FAMILY_llama, "rope_scaling", "none" },
    { FAMILY_llama, "nope_every",   "0" },
    { FAMILY_llama, "window",       "0" },
};

/* A config's value in the run's record; n is its length, NULL: there is none. */
static const char *value_of(const RunRecord *run, const char *config, size_t *n)
{
    const size_t length = strlen(config);
    for (const char *line = run->configs; *line; line += *line == '\n') {
        *n = strcspn(line, "\n");
        if (*n > length && line[length] == '=' && strncmp(line, config, length) == 0) {
            *n -= length + 1;
            return line + length + 1;
        }
        line += *n;
    }
    return NULL;
}

static bool is_value(const char *value, size_t n, const char *text)
{
    char copy[64];
    double x, y;
    if (strlen(text) == n && memcmp(value, text, n) == 0)
        return true;
    snprintf(copy, sizeof copy, "%.*s", (int)(n < sizeof copy ? n : sizeof copy - 1), value);
    return str_to_double(copy, &x) && str_to_double(text, &y) && !(x < y) && !(x > y);
}

static bool is_plain(const RunRecord *run, FamilyModel model, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        size_t n;
        const char *value = value_of(run, plain[i].config, &n);
        if (plain[i].model == model && value && !is_value(value, n, plain[i].value))
            return error_set(err, "it was compiled with %s=%.*s, and config.json is made here for %s=%s alone",
                             plain[i].config, (int)(n < 64 ? n : 64), value, plain[i].config, plain[i].value);
    }
    return true;
}

/* "name": value, unless the model has no such config.  Names are the first of `setting`'s alternatives. */
static bool add_setting(Buf *out, const RunRecord *run, const char *config, const char *setting)
{
    size_t n;
    const char *value = value_of(run, config, &n);
    if (value)
        buf_printf(out, ",\n  \"%.*s\": %.*s", (int)strcspn(setting, "|"), setting, (int)n, value);
    return value != NULL;
}

static void add_settings(Buf *out, const RunRecord *run, FamilyModel m)
{
#define KEY(model, config, kind, least, most, hub, gguf)                                    \
    if (m == FAMILY_##model)                                                                \
        add_setting(out, run, #config, hub);
#include "runtime/hub/families.def"
    for (size_t i = 0; i < COUNT_OF(more); i++)
        if (more[i].model == m)
            add_setting(out, run, more[i].config, more[i].setting);
}

bool run_config_text(const RunRecord *run, Buf *out, Error *err)
{
    size_t n;
    const char *norm = value_of(run, "qk_norm", &n);
    const bool gpt2 = strcmp(run->model, family_model_name(FAMILY_gpt2)) == 0;
    const FamilyModel model = gpt2 ? FAMILY_gpt2 : FAMILY_llama;
    if (!gpt2 && strcmp(run->model, family_model_name(FAMILY_llama)) != 0)
        return error_set(err, "config.json is made here of runs of gpt2 and llama");
    if (!*run->configs)
        return error_set(err, "it does not keep what its model was compiled with");
    if (!is_plain(run, model, err))
        return false;
    buf_printf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"",
               gpt2 ? "GPT2LMHeadModel" : norm && is_value(norm, n, "true") ? "Qwen3ForCausalLM"
                                                                           : "LlamaForCausalLM",
               gpt2 ? "gpt2" : norm && is_value(norm, n, "true") ? "qwen3" : "llama");
    add_settings(out, run, model);
    buf_puts(out, "\n}\n");
    return !out->failed || error_set(err, "out of memory");
}

bool run_config_agrees(const RunRecord *run, const Recipe *recipe, Error *err)
{
    for (uint32_t i = 0; i < recipe->n_defines; i++) {
        char config[64];
        size_t n;
        const char *define = recipe->define[i], *equals = strchr(define, '=');
        snprintf(config, sizeof config, "%.*s", (int)(equals - define), define);
        const char *value = value_of(run, config, &n);
        if (value && strcmp(config, "context") != 0 && !is_value(value, n, equals + 1))
            return error_set(err, "config.json makes it %s, and the run was compiled with %s=%.*s", define,
                             config, (int)(n < 64 ? n : 64), value);
    }
    return true;
}
