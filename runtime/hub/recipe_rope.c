/* Rotary positions: the base, and the ways in which published models stretch it.
 *
 * The same facts stand as "rope_theta" and "rope_scaling" in older config.json files and in
 * "rope_parameters" in newer ones, there perhaps once for each kind of layer. */
#include "runtime/hub/recipe.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* "rope_scaling.LEAF|rope_parameters.LEAF|rope_parameters.full_attention.LEAF". */
static SettingKey key(RecipeDraft *d, const char *leaf, const char *gguf)
{
    return SETTING(arena_printf(&d->r->arena, "rope_scaling.%s|rope_parameters.%s|"
                                "rope_parameters.full_attention.%s", leaf, leaf, leaf), gguf);
}

static double number(RecipeDraft *d, const char *leaf, const char *gguf, double fallback)
{
    return settings_real(d->s, key(d, leaf, gguf), 1e-6, 1e12, fallback);
}

/* GGUF need not say that positions are stretched by factors: they are there. */
static const char *kind_of(RecipeDraft *d)
{
    const bool factors = d->source->is_gguf && source_find(d->source, "rope_factors_long.weight");
    const char *old = settings_text(d->s, SETTING("rope_scaling.type", ""), factors ? "longrope" : "default");
    const char *kind = settings_text(d->s, key(d, "rope_type", "rope.scaling.type"), old);
    return strcmp(kind, "none") == 0 ? "default" : strcmp(kind, "su") == 0 ? "longrope" : kind;
}

/* Positions before the context was stretched. */
static double trained(RecipeDraft *d)
{
    const double beside = settings_real(d->s, SETTING("original_max_position_embeddings", ""), 1,
                                        1e12, (double)d->trained);
    return number(d, "original_max_position_embeddings", "rope.scaling.original_context_length",
                  beside);
}

/* How much longer the context became; where nothing says it, the ratio of the two contexts. */
static double factor(RecipeDraft *d)
{
    return number(d, "factor", "rope.scaling.factor", (double)d->trained / trained(d));
}

/* YaRN lets rotated queries and keys grow with the factor (section 3.4 of the paper). */
static double yarn_growth(double factor, double by)
{
    return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

static double yarn_magnitude(RecipeDraft *d)
{
    const double one = number(d, "mscale", "", 0), all = number(d, "mscale_all_dim", "", 0);
    const double usual = one > 0 && all > 0
        ? yarn_growth(factor(d), one) / yarn_growth(factor(d), all) : yarn_growth(factor(d), 1);
    return d->source->is_gguf ? usual * number(d, "", "rope.scaling.attn_factor", 1)
                              : number(d, "attention_factor", "", usual);
}

static void rope_yarn(RecipeDraft *d)
{
    if (!settings_bool(d->s, key(d, "truncate", ""), true))
        settings_refuse(d->s, "rope_scaling.truncate is false, which lib/rope.smg does not know");
    recipe_define(d, "rope_scaling=yarn");
    recipe_define_real(d, "rope_factor", factor(d));
    recipe_define_real(d, "rope_fast", number(d, "beta_fast", "rope.scaling.yarn_beta_fast", 32));
    recipe_define_real(d, "rope_slow", number(d, "beta_slow", "rope.scaling.yarn_beta_slow", 1));
    recipe_define(d, "rope_trained=%.0f", trained(d));
    recipe_define_real(d, "rope_magnitude", yarn_magnitude(d));
}

static void rope_llama3(RecipeDraft *d)
{
    recipe_define(d, "rope_scaling=llama3");
    recipe_define_real(d, "rope_factor", factor(d));
    recipe_define_real(d, "rope_low", number(d, "low_freq_factor", "", 1));
    recipe_define_real(d, "rope_high", number(d, "high_freq_factor", "", 4));
    recipe_define(d, "rope_trained=%.0f", trained(d));
}

static const float *take_factors(RecipeDraft *d, const char *name, int64_t pairs)
{
    const json_t *list = settings_list(d->s, key(d, name, ""));
    if (!list || (int64_t)json_array_size(list) != pairs) {
        settings_refuse(d->s, "rope_scaling.%s is no list of %" PRId64 " numbers", name, pairs);
        return NULL;
    }
    float *out = arena_array(&d->r->arena, (size_t)pairs, sizeof *out);
    for (size_t i = 0; i < (size_t)pairs; i++) {
        const double v = json_number_value(json_array_get(list, i));
        if (!(v >= 1e-3 && v <= 1e9))
            settings_refuse(d->s, "rope_scaling.%s[%zu] is no number from 0.001 to 1e9", name, i);
        out[i] = (float)v;
    }
    return out;
}

/* LongRoPE (Ding et al. 2024) has two lists, for contexts within the trained one and beyond.  The
 * choice is made here, once, by the context that is compiled for. */
static void rope_long(RecipeDraft *d, int64_t size)
{
    const double before = trained(d);
    const bool within = (double)d->r->context <= before;
    const double grown = factor(d);
    const double usual = grown <= 1 ? 1 : sqrt(1 + log(grown) / log(before));
    recipe_define(d, "rope_scaling=given");
    recipe_define_real(d, "rope_magnitude",
                       number(d, "attention_factor", "rope.scaling.attn_factor", usual));
    if (d->source->is_gguf) {
        d->r->factors_name = within ? "rope_factors_short.weight" : "rope_factors_long.weight";
        return;
    }
    d->r->n_factors = (uint32_t)(size / 2);
    d->r->factors_trained = (int64_t)before;
    d->r->factors_long = take_factors(d, "long_factor", size / 2);
    d->r->factors_short = take_factors(d, "short_factor", size / 2);
    d->r->factors = within ? d->r->factors_short : d->r->factors_long;
}

/* NTK-aware scaling that depends on the length of the text; ours is the compiled context. */
static double dynamic_base(RecipeDraft *d, double base, int64_t size)
{
    const double f = factor(d), longer = (double)d->r->context / (double)d->trained;
    return longer <= 1 || size <= 2
        ? base : base * pow(f * longer - (f - 1), (double)size / (double)(size - 2));
}

void recipe_rope(RecipeDraft *d, int64_t size)
{
    const char *kind = kind_of(d);
    double base = settings_real(
        d->s, SETTING("rope_theta|rope_parameters.rope_theta|"
                      "rope_parameters.full_attention.rope_theta", "rope.freq_base"), 1, 1e12, 10000);
    const bool llama = d->r->model == FAMILY_llama, gemma = d->r->model == FAMILY_gemma || d->r->model == FAMILY_gemma1;
    if (strcmp(kind, "dynamic") == 0) {
        base = dynamic_base(d, base, size);
        kind = "default";
    }
    recipe_define_real(d, "rope_base", base);
    if (strcmp(kind, "default") == 0) {
        if (recipe_has(d, "rope_factors.weight"))
            recipe_define(d, "rope_scaling=given");
    } else if (strcmp(kind, "linear") == 0 && (llama || gemma)) {
        recipe_define_real(d, "rope_factor", factor(d));
        if (llama)
            recipe_define(d, "rope_scaling=linear");
    } else if (strcmp(kind, "llama3") == 0 && llama) {
        rope_llama3(d);
    } else if (strcmp(kind, "yarn") == 0 && llama) {
        rope_yarn(d);
    } else if (strcmp(kind, "longrope") == 0 && (llama || d->r->model == FAMILY_phi3)) {
        rope_long(d, size);
    } else {
        settings_refuse(d->s, "rotary positions are stretched by \"%.64s\", which models/%s.smg does "
                        "not know", kind, family_model_name(d->r->model));
    }
}
