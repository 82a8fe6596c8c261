/* Configs of our models as GGUF's values: the rows of families.def, and what depends on more. */
#include "runtime/hub/export.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Values {
    GgufWriter *w;
    const Recipe *r;
} Values;

static const char *key_of(const Values *v, const char *name, char out[128])
{
    snprintf(out, 128, "%s.%s", v->r->gguf, name);
    return out;
}

static void put_int(const Values *v, const char *name, double value)
{
    char key[128];
    gguf_add_u32(v->w, key_of(v, name, key), (uint32_t)value);
}

static void put_real(const Values *v, const char *name, double value)
{
    char key[128];
    gguf_add_f32(v->w, key_of(v, name, key), (float)value);
}

static void put_text(const Values *v, const char *name, const char *value)
{
    char key[128];
    gguf_add_string(v->w, key_of(v, name, key), value);
}

static double number(const Values *v, const char *config, double fallback)
{
    return recipe_number(v->r, config, fallback);
}

static void put_rows(const Values *v)
{
#define KEY(m, config, kind, least, most, hub, gguf)                                         \
    if (v->r->model == FAMILY_##m && *gguf && number(v, #config, NAN) > 0)                   \
        put_##kind(v, gguf, number(v, #config, 0));
#include "runtime/hub/families.def"
}

/* ---- rotary positions ------------------------------------------------------------------------- */

static void put_yarn(const Values *v)
{
    const double factor = number(v, "rope_factor", 1), magnitude = number(v, "rope_magnitude", 1);
    const double usual = factor <= 1 ? 1 : 0.1 * log(factor) + 1;
    put_text(v, "rope.scaling.type", "yarn");
    put_real(v, "rope.scaling.factor", factor);
    put_int(v, "rope.scaling.original_context_length", number(v, "rope_trained", 0));
    put_real(v, "rope.scaling.yarn_beta_fast", number(v, "rope_fast", 32));
    put_real(v, "rope.scaling.yarn_beta_slow", number(v, "rope_slow", 1));
    if (fabs(magnitude - usual) > 1e-6)
        put_real(v, "rope.scaling.attn_factor", magnitude / usual);
}

static bool is_gemma(const Recipe *r)
{
    return r->model == FAMILY_gemma || r->model == FAMILY_gemma1;
}

static void put_rope(const Values *v, double head)
{
    const Recipe *r = v->r;
    put_int(v, "rope.dimension_count", number(v, "rotary", head));
    put_real(v, "rope.freq_base", number(v, "rope_base", 10000));
    const bool gemma = is_gemma(r) && number(v, "rope_factor", 1) > 1;
    if (recipe_says(r, "rope_scaling", "linear") || gemma) {
        put_text(v, "rope.scaling.type", "linear");
        put_real(v, "rope.scaling.factor", number(v, "rope_factor", 1));
    } else if (recipe_says(r, "rope_scaling", "yarn")) {
        put_yarn(v);
    } else if (r->factors) {
        put_text(v, "rope.scaling.type", "longrope");
        put_real(v, "rope.scaling.attn_factor", number(v, "rope_magnitude", 1));
        put_int(v, "rope.scaling.original_context_length", (double)r->factors_trained);
    }
}

bool export_llama3_factors(const Recipe *r, float *factors, uint32_t pairs)
{
    if (!recipe_says(r, "rope_scaling", "llama3"))
        return false;
    const double base = recipe_number(r, "rope_base", 10000);
    const double factor = recipe_number(r, "rope_factor", 1);
    const double low = recipe_number(r, "rope_low", 1), high = recipe_number(r, "rope_high", 4);
    const double trained = recipe_number(r, "rope_trained", 8192);
    for (uint32_t j = 0; j < pairs; j++) {
        const double turns = trained / (2 * acos(-1)) * pow(base, -(double)j / pairs);
        const double keep = fmin(fmax((turns - low) / (high - low), 0), 1);
        factors[j] = (float)(1 / ((1 - keep) / factor + keep));
    }
    return true;
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void put_heads(const Values *v)
{
    const double heads = number(v, "heads", 1);
    const double head = number(v, "head", number(v, "width", 1) / heads);
    put_int(v, "attention.head_count_kv", number(v, "kv_heads", heads));
    if (isnan(number(v, "head", NAN)))
        put_int(v, "attention.key_length", head);
    put_int(v, "attention.value_length", head);
    put_rope(v, head);
    if (number(v, "window", 0) > 0)
        put_int(v, "attention.sliding_window", number(v, "window", 0));
}

static void put_gemma(const Values *v)
{
    const double head = number(v, "head", 1), size = number(v, "query_size", head);
    if (fabs(size - head) > 1e-6 * head)
        put_real(v, "attention.scale", 1 / sqrt(size));
    if (number(v, "window", 0) > 0)
        put_int(v, "attention.sliding_window_pattern", number(v, "global_every", 1));
    if (strcmp(v->r->gguf, "gemma3") == 0)
        put_real(v, "rope.freq_base_swa", number(v, "local_base", 10000));
}

void export_values(GgufWriter *w, const Recipe *r, const char *name)
{
    const Values v = { w, r };
    gguf_add_string(w, "general.architecture", r->gguf);
    gguf_add_string(w, "general.name", name);
    put_int(&v, "context_length", (double)r->trained);
    put_int(&v, "vocab_size", number(&v, "vocab", 0));
    put_rows(&v);
    if (r->model == FAMILY_gpt2) {
        if (isnan(number(&v, "hidden", NAN)))
            put_int(&v, "feed_forward_length", 4 * number(&v, "width", 1));
        if (isnan(number(&v, "eps", NAN)))
            put_real(&v, "attention.layer_norm_epsilon", 1e-5);
        return;
    }
    put_heads(&v);
    if (is_gemma(r))
        put_gemma(&v);
    if (r->model == FAMILY_qwen3moe)
        gguf_add_bool(w, "qwen3moe.expert_weights_norm", recipe_says(r, "normed", "true"));
}
