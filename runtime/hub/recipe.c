/* Settings to configs: the table's rows, then what depends on more than one setting. */
#include "runtime/hub/recipe.h"

#include "base/check.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_SIZE ((int64_t)1 << 24)

void recipe_define(RecipeDraft *d, const char *fmt, ...)
{
    va_list ap;
    CHECK(d->r->n_defines < MAX_RECIPE_DEFINES, "more configs than a recipe holds");
    va_start(ap, fmt);
    d->r->define[d->r->n_defines++] = arena_vprintf(&d->r->arena, fmt, ap);
    va_end(ap);
}

/* With a point or an exponent, so that it is a fraction, and enough digits to be the same number. */
void recipe_define_real(RecipeDraft *d, const char *config, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    for (int digits = 6; digits < 17; digits++) {
        char shorter[40];
        double back;
        snprintf(shorter, sizeof shorter, "%.*g", digits, value);
        if (str_to_double(shorter, &back) && !(back < value) && !(back > value)) {
            strcpy(text, shorter);
            break;
        }
    }
    recipe_define(d, "%s=%s%s", config, text, strpbrk(text, ".e") ? "" : ".0");
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* What a checkpoint of a larger model puts before the paths of the text model. */
static const char *const prefixes[] = { "", "transformer.", "language_model.",
                                        "model.language_model." };

const HubTensor *recipe_find(const Recipe *r, const Source *s, const char *param,
                                char told[MAX_TENSOR_NAME])
{
    snprintf(told, MAX_TENSOR_NAME, "%s", param);
    if (r->factors_name && strcmp(param, "rope_factors.weight") == 0) {
        snprintf(told, MAX_TENSOR_NAME, "%s", r->factors_name);
        return source_find(s, told);
    }
    if (s->is_gguf)
        return family_gguf_name(r->model, param, told) ? source_find(s, told) : NULL;
    const HubTensor *found = NULL;
    for (size_t i = 0; i < COUNT_OF(prefixes) && !found; i++) {
        char name[2 * MAX_TENSOR_NAME];
        const bool inner = strncmp(prefixes[i], "model.", 6) == 0;
        if (inner && strncmp(param, "model.", 6) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s", prefixes[i], inner ? param + 6 : param);
        found = source_find(s, name);
    }
    return found;
}

bool recipe_param(const Recipe *r, const Source *s, const char *tensor, char param[MAX_TENSOR_NAME])
{
    char gguf[MAX_TENSOR_NAME];
    if (s->is_gguf)
        return family_param_name(r->model, tensor, param);
    for (size_t i = COUNT_OF(prefixes); i-- > 0;) {
        const size_t n = strlen(prefixes[i]);
        const bool inner = strncmp(prefixes[i], "model.", 6) == 0;
        if (strncmp(tensor, prefixes[i], n) != 0)
            continue;
        snprintf(param, MAX_TENSOR_NAME, "%s%s", inner ? "model." : "", tensor + n);
        if (family_gguf_name(r->model, param, gguf))
            return true;
    }
    return false;
}

static const char *value_of(const Recipe *r, const char *config)
{
    const size_t n = strlen(config);
    for (uint32_t i = 0; i < r->n_defines; i++)
        if (strncmp(r->define[i], config, n) == 0 && r->define[i][n] == '=')
            return r->define[i] + n + 1;
    return NULL;
}

double recipe_number(const Recipe *r, const char *config, double fallback)
{
    const char *text = value_of(r, config);
    double v;
    return text && str_to_double(text, &v) ? v : fallback;
}

bool recipe_says(const Recipe *r, const char *config, const char *value)
{
    const char *text = value_of(r, config);
    return text && strcmp(text, value) == 0;
}

bool recipe_has(const RecipeDraft *d, const char *param)
{
    char told[MAX_TENSOR_NAME];
    return recipe_find(d->r, d->source, param, told) != NULL;
}

/* ---- the rows of the table -------------------------------------------------------------------- */

static void define_int(RecipeDraft *d, const char *config, SettingKey k, double least, double most)
{
    if (!settings_has(d->s, k))
        return;
    const int64_t v = settings_int(d->s, k, (int64_t)least, (int64_t)most, (int64_t)least);
    recipe_define(d, "%s=%" PRId64, config, v);
}

static void define_real(RecipeDraft *d, const char *config, SettingKey k, double least, double most)
{
    if (settings_has(d->s, k))
        recipe_define_real(d, config, settings_real(d->s, k, least, most, least));
}

static void need(RecipeDraft *d, SettingKey k)
{
    if (!settings_has(d->s, k))
        settings_refuse(d->s, "there is no %s", d->s->gguf ? k.gguf : k.hub);
}

/* One of the words, between blanks? */
static bool among(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at++)
        if (n > 0 && (at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

static void check_word(RecipeDraft *d, const char *key, const char *words)
{
    const char *word = settings_text(d->s, SETTING(key, ""), NULL);
    if (word && !among(words, word))
        settings_refuse(d->s, "%s is \"%.64s\"; models/%s.smg knows %s", key, word,
                        family_model_name(d->r->model), words);
}

static void take_rows(RecipeDraft *d)
{
#define NEED(m, hub, gguf)                                                                   \
    if (d->r->model == FAMILY_##m)                                                           \
        need(d, SETTING(hub, gguf));
#define KEY(m, config, kind, least, most, hub, gguf)                                         \
    if (d->r->model == FAMILY_##m)                                                           \
        define_##kind(d, #config, SETTING(hub, gguf), least, most);
#define WORD(m, hub, words)                                                                  \
    if (d->r->model == FAMILY_##m)                                                           \
        check_word(d, hub, words);
#include "runtime/hub/families.def"
}

/* ---- what the rows leave ---------------------------------------------------------------------- */

/* The rows of the token table; GGUF need not say them otherwise, and config.json must not say another number. */
static void take_vocabulary(RecipeDraft *d, const char *table)
{
    char told[MAX_TENSOR_NAME];
    const HubTensor *t = recipe_find(d->r, d->source, table, told);
    if (!t || t->rank != 2 || t->dim[0] < 1 || t->dim[0] > MAX_SIZE)
        settings_refuse(d->s, "there is no table of tokens %s of two axes among the tensors", told);
    else {
        const SettingKey key = SETTING("vocab_size", "vocab_size");
        const int64_t said = d->s->gguf ? t->dim[0] : settings_int(d->s, key, 1, MAX_SIZE, t->dim[0]);
        recipe_define(d, "vocab=%" PRId64, t->dim[0]);
        if (said != t->dim[0])
            settings_refuse(d->s, "vocab_size is %" PRId64 "; the table of tokens %s has %" PRId64 " rows", said, told,
                            t->dim[0]);
    }
}

static void take_context(RecipeDraft *d, const char *hub, int64_t context)
{
    d->trained = settings_int(d->s, SETTING(hub, "context_length"), 1, (int64_t)1 << 30,
                              DEFAULT_HUB_CONTEXT);
    d->r->context = context ? context : d->trained < DEFAULT_HUB_CONTEXT ? d->trained
                                                                         : DEFAULT_HUB_CONTEXT;
    d->r->trained = d->trained;
    recipe_define(d, "context=%" PRId64, d->r->context);
}

static void take_heads(RecipeDraft *d)
{
    const int64_t width = settings_int(d->s, SETTING("hidden_size", "embedding_length"), 1,
                                       MAX_SIZE, 1);
    d->depth = settings_int(d->s, SETTING("num_hidden_layers", "block_count"), 1, 1000, 1);
    d->heads = settings_int(d->s, SETTING("num_attention_heads", "attention.head_count"), 1,
                            MAX_SIZE, 1);
    d->head = settings_int(d->s, SETTING("head_dim", "attention.key_length"), 1, MAX_SIZE,
                           width / d->heads);
    const int64_t kv = settings_int(d->s, SETTING("num_key_value_heads", "attention.head_count_kv"),
                                    1, MAX_SIZE, d->heads);
    recipe_define(d, "kv_heads=%" PRId64, kv);
    if (d->head < 2 || d->head % 2 != 0)
        settings_refuse(d->s, "a head of %" PRId64 " features has no pairs to rotate", d->head);
}

static void take_tied(RecipeDraft *d)
{
    const bool says = settings_bool(d->s, SETTING("tie_word_embeddings", ""), false);
    recipe_define(d, "tied=%s", says || !recipe_has(d, "lm_head.weight") ? "true" : "false");
}

/* Positions that a layer with a window sees; 0 where the context is no longer than that. */
static int64_t window_of(RecipeDraft *d)
{
    const int64_t w = settings_int(d->s, SETTING("sliding_window", "attention.sliding_window"), 0,
                                   (int64_t)1 << 30, 0);
    return w < d->r->context ? w : 0;
}

/* Does "layer_types", where it is there, say of each layer what we make of it? */
static void check_layers(RecipeDraft *d, int64_t from, int64_t every)
{
    const json_t *types = settings_list(d->s, SETTING("layer_types", ""));
    for (int64_t i = 0; types && i < d->depth && !d->s->failed; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        const bool local = i >= from && (every == 0 || (i + 1) % every != 0);
        if (!type || strcmp(type, local ? "sliding_attention" : "full_attention") != 0)
            settings_refuse(d->s, "layer_types: layer %" PRId64 " is %.64s where models/%s.smg can "
                            "have %s", i, type ? type : "no text", family_model_name(d->r->model),
                            local ? "sliding_attention" : "full_attention");
    }
}

/* ---- families --------------------------------------------------------------------------------- */

static void recipe_gpt2(RecipeDraft *d, int64_t context)
{
    take_context(d, "n_positions|n_ctx", context);
    if (d->r->context > d->trained)
        settings_refuse(d->s, "a context of %" PRId64 " positions: the model has a table of %" PRId64,
                        d->r->context, d->trained);
    recipe_define(d, "places=%" PRId64, d->trained);
    take_vocabulary(d, "wte.weight");
    recipe_define(d, "turned=%s", d->source->is_gguf || d->source->is_bin ? "true" : "false");
    if (!settings_bool(d->s, SETTING("scale_attn_weights", ""), true)
        || settings_bool(d->s, SETTING("scale_attn_by_inverse_layer_idx", ""), false))
        settings_refuse(d->s, "models/gpt2.smg scales attention by the root of the head alone");
}

/* GGUF's Llama and SmolLM3, and llama2.c, hold queries and keys with the pairs of rope side by side. */
static bool has_interleaved_heads(const RecipeDraft *d)
{
    return d->source->is_bin || (d->source->is_gguf && (strcmp(d->r->gguf, "llama") == 0
                                                        || strcmp(d->r->gguf, "smollm3") == 0));
}

static void take_nope(RecipeDraft *d)
{
    const json_t *layers = settings_list(d->s, SETTING("no_rope_layers", ""));
    const int64_t every = settings_int(d->s, SETTING("no_rope_layer_interval", ""), 1, MAX_SIZE, 4);
    for (int64_t i = 0; layers && i < d->depth && !d->s->failed; i++)
        if (json_integer_value(json_array_get(layers, (size_t)i)) != ((i + 1) % every != 0))
            settings_refuse(d->s, "no_rope_layers is not every %" PRId64 "th layer", every);
    recipe_define(d, "nope_every=%" PRId64, every);
}

static void take_windows(RecipeDraft *d)
{
    const bool qwen = strncmp(d->r->gguf, "qwen", 4) == 0;
    const bool has = (d->source->is_gguf || strcmp(d->architecture, "LlamaForCausalLM") != 0)
        && settings_bool(d->s, SETTING("use_sliding_window", ""),
                         d->source->is_gguf || (!qwen && strcmp(d->r->gguf, "smollm3") != 0));
    const int64_t window = has ? window_of(d) : 0;
    const int64_t from = qwen && has
        ? settings_int(d->s, SETTING("max_window_layers", ""), 0, MAX_SIZE, 0) : 0;
    recipe_define(d, "window=%" PRId64, window);
    recipe_define(d, "window_from=%" PRId64, from);
    if (strcmp(d->architecture, "MistralForCausalLM") != 0)
        check_layers(d, has && window > 0 ? from : d->depth, 0);
}

static void recipe_llama(RecipeDraft *d, int64_t context)
{
    static const struct { const char *config, *param; } there[] = {
        { "qkv_bias", "model.layers.0.self_attn.q_proj.bias" },
        { "out_bias", "model.layers.0.self_attn.o_proj.bias" },
        { "mlp_bias", "model.layers.0.mlp.gate_proj.bias" },
        { "qk_norm",  "model.layers.0.self_attn.q_norm.weight" },
    };
    take_context(d, "max_position_embeddings", context);
    take_vocabulary(d, "model.embed_tokens.weight");
    take_heads(d);
    take_tied(d);
    for (size_t i = 0; i < COUNT_OF(there); i++)
        recipe_define(d, "%s=%s", there[i].config,
                      recipe_has(d, there[i].param) ? "true" : "false");
    recipe_define(d, "rope_style=%s", has_interleaved_heads(d) ? "interleaved" : "half");
    if (strcmp(d->r->gguf, "smollm3") == 0)
        take_nope(d);
    take_windows(d);
    recipe_rope(d, d->head);
}

/* The last of how many layers is global? */
static int64_t global_every(RecipeDraft *d)
{
    const json_t *types = settings_list(d->s, SETTING("layer_types", ""));
    const int64_t usual = strcmp(d->r->gguf, "gemma3") == 0 ? 6 : 2;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type && strcmp(type, "full_attention") == 0)
            return (int64_t)i + 1;
    }
    return types ? d->depth + 1
        : settings_int(d->s, SETTING("sliding_window_pattern|_sliding_window_pattern",
                                     "attention.sliding_window_pattern"), 1, MAX_SIZE, usual);
}

/* What scores are divided by the root of.  GGUF need not say it: it is the head, but width / heads of
 * the largest Gemma 2 and 3, which have 46 and 62 layers. */
static double query_size(RecipeDraft *d)
{
    const bool largest = (strcmp(d->r->gguf, "gemma2") == 0 && d->depth == 46)
        || (strcmp(d->r->gguf, "gemma3") == 0 && d->depth == 62);
    const int64_t width = settings_int(d->s, SETTING("", "embedding_length"), 1, MAX_SIZE, 1);
    const double scale = settings_real(d->s, SETTING("", "attention.scale"), 1e-6, 1e6, 0);
    const double usual = scale > 0 ? 1 / (scale * scale)
        : d->source->is_gguf && largest ? (double)width / (double)d->heads : (double)d->head;
    return settings_real(d->s, SETTING("query_pre_attn_scalar", ""), 1e-3, 1e6, usual);
}

static void recipe_gemma(RecipeDraft *d, int64_t context)
{
    const bool first = strcmp(d->r->gguf, "gemma") == 0;
    take_context(d, "max_position_embeddings", context);
    take_vocabulary(d, "model.embed_tokens.weight");
    take_heads(d);
    recipe_define(d, "norm_shift=%s", d->source->is_gguf ? "0.0" : "1.0");
    recipe_define(d, "four_norms=%s", first ? "false" : "true");
    recipe_define(d, "qk_norm=%s", recipe_has(d, "model.layers.0.self_attn.q_norm.weight")
                  ? "true" : "false");
    recipe_define_real(d, "query_size", query_size(d));
    if (!first) {
        const int64_t every = global_every(d);
        recipe_define(d, "window=%" PRId64, window_of(d));
        recipe_define(d, "global_every=%" PRId64, every);
        check_layers(d, 0, every);
    }
    if (strcmp(d->r->gguf, "gemma3") == 0)
        recipe_define_real(d, "local_base", settings_real(
            d->s, SETTING("rope_local_base_freq|rope_parameters.sliding_attention.rope_theta",
                          "rope.freq_base_swa"), 1, 1e12, 10000));
    recipe_rope(d, d->head);
}

static void recipe_phi3(RecipeDraft *d, int64_t context)
{
    take_context(d, "max_position_embeddings", context);
    take_vocabulary(d, "model.embed_tokens.weight");
    take_heads(d);
    take_tied(d);
    const double part = settings_real(
        d->s, SETTING("partial_rotary_factor|rope_parameters.partial_rotary_factor"
                      "|rope_scaling.partial_rotary_factor", ""), 0, 1, 1);
    const int64_t rotary = settings_int(d->s, SETTING("", "rope.dimension_count"), 2, d->head,
                                        (int64_t)((double)d->head * part));
    if (rotary < 2 || rotary % 2 != 0)
        settings_refuse(d->s, "%" PRId64 " rotated features of a head make no pairs", rotary);
    recipe_define(d, "rotary=%" PRId64, rotary);
    const int64_t window = window_of(d);
    recipe_define(d, "window=%" PRId64, window);
    recipe_rope(d, rotary);
}

static void recipe_moe(RecipeDraft *d, int64_t context)
{
    const bool qwen = d->r->model == FAMILY_qwen3moe;
    take_context(d, "max_position_embeddings", context);
    take_vocabulary(d, "model.embed_tokens.weight");
    take_heads(d);
    take_tied(d);
    recipe_define(d, "qk_norm=%s", qwen ? "true" : "false");
    recipe_define(d, "window=%" PRId64, qwen ? 0 : window_of(d));
    recipe_define(d, "moe=%s", qwen ? "mlp" : "block_sparse_moe");
    recipe_define(d, "gate_name=%s", qwen ? "gate_proj" : "w1");
    recipe_define(d, "up_name=%s", qwen ? "up_proj" : "w3");
    recipe_define(d, "down_name=%s", qwen ? "down_proj" : "w2");
    const SettingKey normed = SETTING(qwen ? "norm_topk_prob" : "", "expert_weights_norm");
    recipe_define(d, "normed=%s", settings_bool(d->s, normed, !qwen || d->source->is_gguf) ? "true" : "false");
    recipe_define(d, "rope_style=%s", has_interleaved_heads(d) ? "interleaved" : "half");
    if (settings_int(d->s, SETTING("decoder_sparse_step", ""), 1, 1000, 1) != 1
        || json_array_size(settings_list(d->s, SETTING("mlp_only_layers", ""))) != 0
        || settings_bool(d->s, SETTING("use_sliding_window", ""), false))
        settings_refuse(d->s, "models/moe.smg has a mixture and all positions in every layer");
    recipe_rope(d, d->head);
}

bool recipe_open(Recipe *out, Source *source, int64_t context, Error *err)
{
    *out = (Recipe){ 0 };
    arena_init(&out->arena, NULL);
    Settings *s = &source->settings;
    const Family *f = family_find(s->architecture, source->is_gguf, err);
    if (f && f->model == FAMILY_llama && settings_int(s, SETTING("", "expert_count"), 0, 1024, 0) > 0)
        f = family_find("MixtralForCausalLM", false, err);
    if (!f)
        return error_prefix(err, "%s", s->where);
    out->model = f->model;
    out->gguf = f->gguf;
    RecipeDraft d = { .r = out, .source = source, .s = s, .architecture = f->architecture };
    take_rows(&d);
    switch (f->model) {
    case FAMILY_gpt2:  recipe_gpt2(&d, context); break;
    case FAMILY_llama: recipe_llama(&d, context); break;
    case FAMILY_gemma1:
    case FAMILY_gemma: recipe_gemma(&d, context); break;
    case FAMILY_phi3:  recipe_phi3(&d, context); break;
    case FAMILY_mixtral:
    case FAMILY_qwen3moe: recipe_moe(&d, context); break;
    case N_FAMILY_MODELS: break;
    }
    return !s->failed || error_set(err, "%s", s->err.text);
}

void recipe_close(Recipe *r)
{
    arena_free(&r->arena);
    *r = (Recipe){ 0 };
}
