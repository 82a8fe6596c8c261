/* Writing a source's tensors in the other format. */
#include "runtime/hub/export.h"

#include "base/check.h"
#include "base/file.h"
#include "runtime/checkpoint.h"
#include "runtime/hub/json.h"
#include "runtime/hub/run_config.h"
#include "runtime/hub/weights_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run of smrun train has the published names and files, but a config.json only once it is made here, of what
 * the run's record says.  *has_run: `run` is that record, which the recipe must agree with. */
static bool take_run(const char *from, RunRecord *run, bool *has_run, Error *err)
{
    char path[CHECKPOINT_PATH], config[CHECKPOINT_PATH];
    Buf text = { 0 }, by_hand = { 0 };
    Error why;
    *has_run = checkpoint_file(from, "trainer.json", path, NULL) && file_exists(path);
    if (!*has_run)
        return true;
    if (!run_record_open(path, run, err))
        return false;
    if (source_is_there(from))
        return true;
    bool ok = run_config_text(run, &text, &why);
    if (ok)
        ok = checkpoint_file(from, "config.json", config, err) && file_replace(config, text.data, text.len, err);
    else if (family_config(run->model, &by_hand))
        error_set(err, "%s is a run of models/%s.smg: %s. Write it there as config.json, %s, and export again",
                  from, run->model, why.text, by_hand.len ? by_hand.data : "");
    else
        error_set(err, "%s is a run of %s, which is no published model that other programs read", from,
                  run->model);
    buf_free(&text);
    buf_free(&by_hand);
    return ok;
}

/* ---- what goes -------------------------------------------------------------------------------- */

bool export_source(const char *from, char source[MAX_SOURCE_PATH], Error *err)
{
    char index[MAX_SOURCE_PATH];
    snprintf(source, MAX_SOURCE_PATH, "%s", from);
    if (!path_join(index, sizeof index, from, WEIGHTS_INDEX, NULL) || !file_exists(index))
        return true;
    json_t *json = hub_json_read(index, err);
    const char *named = json_string_value(json_object_get(json, "source"));
    if (named)
        snprintf(source, MAX_SOURCE_PATH, "%s", named);
    else if (json)
        error_set(err, "%s: it does not name its source", index);
    json_decref(json);
    return named != NULL;
}

/* What the other side does not hold: a second copy of a tied table, and the hub's factors, which stand in
 * config.json. */
static bool stays(const Export *x, const char *param)
{
    return (strcmp(param, "lm_head.weight") == 0 && recipe_says(&x->recipe, "tied", "true"))
        || (!x->to_gguf && strcmp(param, "rope_factors.weight") == 0);
}

/* Takes the number out of blk.0.ffn_up_exps.3.weight; -1 when there is none. */
static int32_t take_expert(char *name)
{
    static const char mark[] = "_exps.";
    char *at = strstr(name, mark), *end;
    if (!at)
        return -1;
    at += sizeof mark - 1;
    const long expert = strtol(at, &end, 10);
    if (end == at || *end != '.')
        return -1;
    memmove(at, end + 1, strlen(end));
    return (int32_t)expert;
}

static bool add_tensor(Export *x, const HubTensor *t, Error *err)
{
    char param[MAX_TENSOR_NAME], name[MAX_TENSOR_NAME];
    const FamilyModel m = x->recipe.model;
    const bool known = recipe_param(&x->recipe, &x->source, t->name, param);
    if (!known && !family_ignores(m, t->name))
        return error_set(err, "%s: models/%s.smg has no parameter for tensor %.200s", x->source.where,
                         family_model_name(m), t->name);
    if (!known || stays(x, param))
        return true;
    if (t->type == N_DTYPES)
        return error_set(err, "%s: tensor %.200s is of a type that is not written here",
                         x->source.where, t->name);
    snprintf(name, sizeof name, "%s", param);
    if (x->to_gguf && !family_gguf_name(m, param, name))
        return error_set(err, "%s: GGUF has no name for %s", x->source.where, param);
    Going *g = &x->going[x->n++];
    *g = (Going){ .from = t, .layout = layout_of(&x->recipe, param, t->rank), .expert = -1 };
    g->target = layout_target(t, g->layout, x->to_gguf);
    if (x->to_gguf)
        g->expert = take_expert(name);
    g->target.name = arena_strdup(&x->arena, name);
    return true;
}

static void add_floats(Export *x, const char *name, const float *data, uint32_t n)
{
    x->going[x->n++] = (Going){ .data = data, .expert = -1, .target = { .name = name, .type = DTYPE_f32, .rank = 1,
                                                          .dim = { n }, .bytes = n * sizeof *data } };
}

static void add_factors(Export *x)
{
    const uint32_t pairs = (uint32_t)(x->head / 2);
    float *factors = arena_array(&x->arena, pairs, sizeof *factors);
    if (x->recipe.factors) {
        add_floats(x, "rope_factors_long.weight", x->recipe.factors_long, x->recipe.n_factors);
        add_floats(x, "rope_factors_short.weight", x->recipe.factors_short, x->recipe.n_factors);
    } else if (export_llama3_factors(&x->recipe, factors, pairs)) {
        add_floats(x, "rope_freqs.weight", factors, pairs);
    }
}

/* llama.cpp wants an output matrix of GPT-2, which shares the table of tokens. */
static void add_output(Export *x)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (strcmp(x->going[i].target.name, "token_embd.weight") == 0) {
            x->going[x->n] = x->going[i];
            x->going[x->n++].target.name = "output.weight";
            return;
        }
}

static int by_stack(const void *a, const void *b)
{
    const Going *x = a, *y = b;
    const int order = strcmp(x->target.name, y->target.name);
    return order ? order : (x->expert > y->expert) - (x->expert < y->expert);
}

/* GGUF has room for all experts or none, and they are alike. */
static bool check_stack(const Export *x, uint32_t first, uint32_t n, Error *err)
{
    const HubTensor *like = &x->going[first].target;
    const uint32_t experts = (uint32_t)recipe_number(&x->recipe, "experts", 0);
    for (uint32_t i = 0; i < n; i++) {
        const Going *g = &x->going[first + i];
        if (g->expert != (int32_t)i)
            break;
        if (g->target.type != like->type || g->target.rank != 2
            || memcmp(g->target.dim, like->dim, 2 * sizeof *like->dim) != 0)
            return error_set(err, "%s: tensor %s has another type or shape than %s; GGUF stacks them",
                             x->source.where, g->from->name, x->going[first].from->name);
    }
    return (n == experts && x->going[first + n - 1].expert + 1 == (int32_t)n)
        || error_set(err, "%s: of the %" PRIu32 " experts of %s, %" PRIu32 " are there", x->source.where,
                     experts, like->name, n);
}

static bool stack_experts(Export *x, Error *err)
{
    uint32_t parts;
    qsort(x->going, x->n, sizeof *x->going, by_stack);
    for (uint32_t i = 0; i < x->n; i += parts) {
        export_target(x, i, &parts);
        if (x->going[i].expert >= 0 && !check_stack(x, i, parts, err))
            return false;
    }
    return true;
}

static bool gather(Export *x, Error *err)
{
    x->going = calloc(x->source.n_tensors + 4, sizeof *x->going);
    if (!x->going)
        return error_set(err, "out of memory");
    for (size_t i = 0; i < x->source.n_tensors; i++)
        if (!add_tensor(x, &x->source.tensor[i], err))
            return false;
    if (x->to_gguf && x->recipe.model == FAMILY_gpt2)
        add_output(x);
    else if (x->to_gguf)
        add_factors(x);
    return !x->to_gguf || stack_experts(x, err);
}

HubTensor export_target(const Export *x, uint32_t i, uint32_t *parts)
{
    HubTensor t = x->going[i].target;
    *parts = 1;
    if (x->going[i].expert < 0)
        return t;
    while (i + *parts < x->n && strcmp(x->going[i + *parts].target.name, t.name) == 0)
        ++*parts;
    memmove(t.dim + 1, t.dim, 2 * sizeof *t.dim);
    t.dim[0] = *parts;
    t.rank = 3;
    t.bytes *= *parts;
    return t;
}

/* ---- writing ---------------------------------------------------------------------------------- */

const void *export_bytes(const Export *x, Going *g, Error *err)
{
    if (!g->from)
        return g->data;
    if (g->layout == LAYOUT_SAME && g->target.type == g->from->type)
        return g->from->data;
    g->owned = malloc(g->target.bytes + 1);
    if (!g->owned) {
        error_set(err, "out of memory");
        return NULL;
    }
    return layout_convert(g->from, g->layout, x->to_gguf, x->head, &g->target, g->owned, err)
        ? g->owned : NULL;
}

void export_let_go(Going *g)
{
    free(g->owned);
    g->owned = NULL;
}

static bool declare(GgufWriter *w, const HubTensor *t, Error *err)
{
    uint64_t dim[GGUF_MAX_RANK];
    if (t->rank < 1 || t->rank > GGUF_MAX_RANK)
        return error_set(err, "tensor %s has %" PRIu32 " axes; GGUF has 1 to %d", t->name, t->rank,
                         GGUF_MAX_RANK);
    for (uint32_t a = 0; a < t->rank; a++)
        dim[a] = (uint64_t)t->dim[t->rank - 1 - a];
    gguf_add_tensor(w, t->name, (GgmlType)dtype_ggml(t->type), t->rank, dim);
    return true;
}

bool export_head(const Export *x, GgufWriter *w, bool *has_tokenizer, Error *err)
{
    const char *slash = strrchr(x->source.where, '/');
    const int64_t vocab = (int64_t)recipe_number(&x->recipe, "vocab", 0);
    export_values(w, &x->recipe, slash ? slash + 1 : x->source.where);
    return export_tokenizer(w, x->source.where, vocab, has_tokenizer, err);
}

static bool write_gguf(Export *x, const char *path, ExportResult *result, Error *err)
{
    GgufWriter w = { 0 };
    bool ok = export_head(x, &w, &result->has_tokenizer, err);
    gguf_add_u32(&w, "general.quantization_version", 2);
    for (uint32_t i = 0, parts; ok && i < x->n; i += parts) {
        const HubTensor t = export_target(x, i, &parts);
        ok = declare(&w, &t, err);
    }
    result->n_tensors = (uint32_t)w.n_tensors;
    ok = ok && gguf_write_begin(&w, path, err);
    for (uint32_t i = 0; ok && i < x->n; i++) {
        const void *data = export_bytes(x, &x->going[i], err);
        ok = data != NULL;
        if (ok)
            gguf_write_data(&w, data, x->going[i].target.bytes);
        export_let_go(&x->going[i]);
    }
    if (ok)
        return gguf_write_end(&w, err);
    gguf_write_abandon(&w);
    return false;
}

static bool write_safetensors(Export *x, const char *path, ExportResult *result, Error *err)
{
    SafeEntry *e = calloc(x->n + 1, sizeof *e);
    bool ok = e || error_set(err, "out of memory");
    for (uint32_t i = 0; ok && i < x->n; i++) {
        const HubTensor *t = &x->going[i].target;
        e[i] = (SafeEntry){ .name = t->name, .type = t->type, .rank = t->rank,
                            .data = export_bytes(x, &x->going[i], err) };
        memcpy(e[i].dim, t->dim, sizeof e[i].dim);
        ok = e[i].data != NULL;
    }
    ok = ok && safetensors_write(path, e, x->n, err);
    result->n_tensors = x->n;
    for (uint32_t i = 0; i < x->n; i++)
        export_let_go(&x->going[i]);
    free(e);
    return ok;
}

static bool has_ending(const char *path, const char *ending)
{
    const size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

/* ---- the doors -------------------------------------------------------------------------------- */

static bool open_source(Export *x, const char *from, Error *err)
{
    char source[MAX_SOURCE_PATH];
    RunRecord run;
    bool has_run;
    if (!take_run(from, &run, &has_run, err) || !export_source(from, source, err) || !source_open(&x->source, source, err)
        || !recipe_open(&x->recipe, &x->source, 0, err))
        return false;
    if (has_run && !run_config_agrees(&run, &x->recipe, err))
        return error_prefix(err, "%s", from);
    if (x->source.is_bin)
        return error_set(err, "%s: a .bin file runs; it is not written in another format", x->source.where);
    if (x->to_gguf == x->source.is_gguf)
        return error_set(err, "%s is of that format already", x->source.where);
    const double heads = recipe_number(&x->recipe, "heads", 1);
    x->head = (int64_t)recipe_number(&x->recipe, "head",
                                     recipe_number(&x->recipe, "width", 2) / heads);
    return gather(x, err);
}

/* What is read must still be there when something goes wrong, or the result is not what was meant. */
static bool spares_source(const Export *x, const char *path, Error *err)
{
    for (uint32_t i = 0; i < x->source.n_files; i++)
        if (file_same(x->source.path[i], path))
            return error_set(err, "%s: it is a file of the model that is read; give the new one another name", path);
    return true;
}

bool export_open(Export *out, const char *from, const char *path, bool to_gguf, Error *err)
{
    *out = (Export){ .to_gguf = to_gguf };
    arena_init(&out->arena, NULL);
    return open_source(out, from, err) && spares_source(out, path, err);
}

void export_close(Export *x)
{
    free(x->going);
    arena_free(&x->arena);
    recipe_close(&x->recipe);
    source_close(&x->source);
}

bool export_model(const char *from, const char *out, ExportResult *result, Error *err)
{
    Export x;
    const bool to_gguf = has_ending(out, ".gguf");
    *result = (ExportResult){ 0 };
    if (!to_gguf && !has_ending(out, ".safetensors"))
        return error_set(err, "%s: the name says the format: .gguf or .safetensors", out);
    const bool ok = export_open(&x, from, out, to_gguf, err)
        && (to_gguf ? write_gguf(&x, out, result, err) : write_safetensors(&x, out, result, err));
    for (uint32_t i = 0; i < x.n; i++)
        result->bytes += x.going[i].target.bytes;
    export_close(&x);
    return ok;
}
