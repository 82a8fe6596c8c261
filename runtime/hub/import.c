/* From a source to a folder that runs. */
#include "runtime/hub/import.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/hub/compiler.h"
#include "runtime/hub/json.h"
#include "runtime/hub/recipe.h"
#include "runtime/hub/weights_index.h"
#include "runtime/plan.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Import {
    Source source;
    Recipe recipe;
    const char *dir;
    const char *cache;                  /* see ImportOptions */
    Plan plan;
    Buf *faults;
    ImportResult *result;
    bool *used;                         /* of each tensor of the source */
    json_t *places;                     /* parameter: [file, tensor] */
} Import;

static bool in_dir(const Import *m, const char *name, char out[MAX_IMPORT_PATH], Error *err)
{
    return path_join(out, MAX_IMPORT_PATH, m->dir, name, err);
}

/* ---- do the tensors fit? ---------------------------------------------------------------------- */

static uint32_t shape_of(const PlanStorage *st, int64_t dim[MAX_RANK])
{
    const int64_t none[MAX_SYMBOLS] = { 0 };
    for (uint32_t a = 0; a < st->rank; a++) {
        bool ok = plan_dim(&st->dim[a], none, &dim[a]);
        CHECK(ok, "checked when the plan was opened");
    }
    return st->rank;
}

/* A parameter that config.json holds. */
static bool is_factors(const Import *m, const char *param)
{
    return m->recipe.factors && strcmp(param, "rope_factors.weight") == 0;
}

static void place(Import *m, const char *param, uint32_t file, const char *tensor)
{
    json_object_set_new(m->places, param, json_pack("[I, s]", (json_int_t)file, tensor));
    m->result->n_params++;
}

static void check_param(Import *m, const PlanStorage *st)
{
    const char *param = plan_string(&m->plan, st->name);
    char told[MAX_TENSOR_NAME], expected[160], found[160];
    int64_t dim[MAX_RANK];
    const uint32_t rank = shape_of(st, dim);
    shape_text(expected, sizeof expected, rank, dim);
    if (is_factors(m, param)) {
        place(m, param, m->source.n_files, param);
        return;
    }
    const HubTensor *t = recipe_find(&m->recipe, &m->source, param, told);
    if (!t) {
        buf_printf(m->faults, "missing     %s %s\n", told, expected);
        return;
    }
    m->used[t - m->source.tensor] = true;
    shape_text(found, sizeof found, t->rank, t->dim);
    if (t->rank != rank || memcmp(t->dim, dim, rank * sizeof *dim) != 0)
        buf_printf(m->faults, "misshapen   %s is %s; the model has it as %s\n", t->name, found,
                   expected);
    else if (t->type == N_DTYPES || t->type == DTYPE_i32)
        buf_printf(m->faults, "unreadable  %s is %s; weights are read as %s\n", t->name, t->type_name,
                   m->source.is_gguf ? "f32, f16, bf16 and GGUF's blocks" : "F32, F16 and BF16");
    m->result->bytes += t->bytes;
    place(m, param, t->file, t->name);
}

static bool check_tensors(Import *m, Error *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->plan.n_storages; i++)
        if (m->plan.storages[i].class == PLAN_PARAM)
            check_param(m, &m->plan.storages[i]);
    for (size_t i = 0; i < m->source.n_tensors; i++) {
        const char *name = m->source.tensor[i].name;
        if (m->used[i])
            continue;
        if (family_ignores(m->recipe.model, name))
            m->result->n_ignored++;
        else
            buf_printf(m->faults, "unexpected  %s\n", name);
    }
    for (size_t i = 0; i < m->faults->len; i++)
        n += m->faults->data[i] == '\n';
    return n == 0 || error_set(err, "%s: %zu tensors do not fit models/%s.smg as its settings make it",
                               m->source.where, n, m->result->model);
}

/* ---- what is written -------------------------------------------------------------------------- */

static bool write_factors(const Import *m, Error *err)
{
    char path[MAX_IMPORT_PATH];
    const SafeEntry e = { .name = "rope_factors.weight", .type = DTYPE_f32, .rank = 1,
                          .dim = { m->recipe.n_factors }, .data = m->recipe.factors };
    return !m->recipe.factors || (in_dir(m, "factors.safetensors", path, err)
                                  && safetensors_write(path, &e, 1, err));
}

static bool write_index(Import *m, Error *err)
{
    char path[MAX_IMPORT_PATH];
    json_t *files = json_array();
    for (uint32_t i = 0; i < m->source.n_files; i++)
        json_array_append_new(files, json_string(m->source.path[i]));
    if (m->recipe.factors)
        json_array_append_new(files, json_string("factors.safetensors"));
    json_t *index = json_pack("{s:s, s:o, s:O}", "source", m->source.where, "files", files, "tensors", m->places);
    return in_dir(m, WEIGHTS_INDEX, path, err) && hub_json_write(path, index, err);
}

static bool copy_beside(const Import *m, const char *name, bool *there, Error *err)
{
    char from[MAX_SOURCE_PATH], to[MAX_IMPORT_PATH];
    Buf text = { 0 };
    *there = source_beside(&m->source, name, from);
    if (!*there)
        return true;
    const bool ok = file_read(from, MAX_HUB_JSON, &text, err) && in_dir(m, name, to, err)
        && file_replace(to, text.len ? text.data : "", text.len, err);
    buf_free(&text);
    return ok;
}

/* A GGUF file names the ids that end a text in the tokenizer's values. */
static json_t *ends_of(const HfTokenizer *t)
{
    static const HfRole roles[] = { HF_EOS, HF_EOT };
    json_t *ids = json_array(), *out = json_object();
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (hf_tokenizer_role(t, roles[i]) >= 0)
            json_array_append_new(ids, json_integer(hf_tokenizer_role(t, roles[i])));
    if (hf_tokenizer_role(t, HF_BOS) >= 0)
        json_object_set_new(out, "bos_token_id", json_integer(hf_tokenizer_role(t, HF_BOS)));
    json_object_set_new(out, "eos_token_id", ids);
    return out;
}

static bool write_gguf_tokenizer(const Import *m, Error *err)
{
    char path[MAX_IMPORT_PATH];
    const Gguf *g = &m->source.file[0].gguf;
    GgufString kind;
    m->result->has_tokenizer = gguf_get_string(g, "tokenizer.ggml.model", &kind)
        && !(kind.n == 8 && memcmp(kind.text, "no_vocab", 8) == 0);
    if (!m->result->has_tokenizer)
        return true;
    HfTokenizer *t = hf_tokenizer_of_gguf(g, err);
    bool ok = t && in_dir(m, "tokenizer.json", path, err) && hf_tokenizer_save(t, path, err)
        && in_dir(m, "generation_config.json", path, err)
        && hub_json_write(path, ends_of(t), err);
    hf_tokenizer_free(t);
    return ok || error_prefix(err, "%s", m->source.where);
}

static bool write_texts(const Import *m, Error *err)
{
    char path[MAX_SOURCE_PATH];
    bool there;
    if (m->source.is_gguf)
        return write_gguf_tokenizer(m, err);
    m->result->has_sentencepiece = source_beside(&m->source, "tokenizer.model", path);
    const bool whole = !m->source.is_bin;       /* what lies beside a .bin may be of another model */
    return (!whole || copy_beside(m, "config.json", &there, err))
        && (!whole || copy_beside(m, "generation_config.json", &there, err))
        && copy_beside(m, "tokenizer.json", &m->result->has_tokenizer, err);
}

/* ---- all of it -------------------------------------------------------------------------------- */

/* What a plan stores a matrix as: bf16 and blocks as they are, all else as f32. */
static DType stored_type(const HubTensor *t)
{
    const bool kept = t->type == DTYPE_bf16 || (t->type != N_DTYPES && dtype_block(t->type) > 1);
    return t->rank >= 2 && kept ? t->type : DTYPE_f32;
}

/* The type that most bytes of matrices are of. */
static DType usual_type(const Import *m)
{
    size_t bytes[N_DTYPES] = { 0 };
    DType most = DTYPE_f32;
    for (size_t i = 0; i < m->source.n_tensors; i++) {
        const HubTensor *t = &m->source.tensor[i];
        bytes[stored_type(t)] += t->bytes;
    }
    for (int t = 0; t < N_DTYPES; t++)
        most = bytes[t] > bytes[most] ? (DType)t : most;
    return most;
}

/* Rules by which the plan stores each matrix as it was published: the usual type, then those that are of
 * another.  0 when f32 is all there is, or when there are too many. */
static uint32_t type_rules(Import *m, const char *rule[MAX_COMPILER_RULES])
{
    const DType usual = usual_type(m);
    uint32_t n = 0;
    char param[MAX_TENSOR_NAME];
    rule[n++] = arena_printf(&m->recipe.arena, "%s,f32", dtype_name(usual));
    for (size_t i = 0; i < m->source.n_tensors; i++) {
        const HubTensor *t = &m->source.tensor[i];
        if (t->rank < 2 || stored_type(t) == usual
            || !recipe_param(&m->recipe, &m->source, t->name, param))
            continue;
        if (n == MAX_COMPILER_RULES)
            return 0;
        rule[n++] = arena_printf(&m->recipe.arena, "%s=%s,f32", param,
                                 dtype_name(stored_type(t)));
    }
    return n == 1 && usual == DTYPE_f32 ? 0 : n;
}

static bool compile(Import *m, Error *err)
{
    char path[MAX_IMPORT_PATH];
    const char *rule[MAX_COMPILER_RULES];
    const CompilerInput in = { .model = m->result->model, .define = m->recipe.define,
                               .n_defines = m->recipe.n_defines, .rule = rule,
                               .n_rules = type_rules(m, rule), .chunk = m->result->chunk,
                               .cache = m->cache };
    return file_make_dirs(m->dir, err) && in_dir(m, "model.smp", path, err)
        && compiler_run(&in, path, err) && plan_open(path, &m->plan, err);
}

static int64_t chunk_of(const ImportOptions *o, const Recipe *r)
{
    const int64_t chunk = o->chunk ? o->chunk : DEFAULT_IMPORT_CHUNK;
    return chunk < r->context ? chunk : r->context;
}

/* The files that an import leaves would replace those of a model that was published or trained there. */
static bool spares_dir(const Import *m, Error *err)
{
    char path[MAX_IMPORT_PATH];
    if (file_same(m->source.where, m->dir) || !source_is_there(m->dir)
        || (in_dir(m, WEIGHTS_INDEX, path, err) && file_exists(path)))
        return true;
    return error_set(err, "%s: another model is there; import into a folder of its own", m->dir);
}

static bool import_open(Import *m, const char *source, const ImportOptions *o, Error *err)
{
    if (!source_open(&m->source, source, err) || !spares_dir(m, err)
        || !recipe_open(&m->recipe, &m->source, o->context, err))
        return false;
    m->result->chunk = chunk_of(o, &m->recipe);
    m->result->model = family_model_name(m->recipe.model);
    m->result->context = m->recipe.context;
    m->used = calloc(m->source.n_tensors + 1, sizeof *m->used);
    m->places = json_object();
    return (m->used && m->places) || error_set(err, "out of memory");
}

bool import_model(const char *source, const char *dir, const ImportOptions *o, ImportResult *result,
                  Buf *faults, Error *err)
{
    Import m = { .dir = dir, .cache = o->cache, .faults = faults, .result = result };
    *result = (ImportResult){ 0 };
    bool ok = import_open(&m, source, o, err) && compile(&m, err);
    if (ok && !check_tensors(&m, err)) {
        char plan[MAX_IMPORT_PATH];
        ok = false;
        if (in_dir(&m, "model.smp", plan, NULL))
            unlink(plan);               /* it runs with nothing */
    }
    ok = ok && write_factors(&m, err) && write_index(&m, err) && write_texts(&m, err);
    plan_close(&m.plan);
    json_decref(m.places);
    free(m.used);
    recipe_close(&m.recipe);
    source_close(&m.source);
    return ok;
}

/* ---- the cache -------------------------------------------------------------------------------- */

static bool cache_root(char out[MAX_IMPORT_PATH], Error *err)
{
    const char *set = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (set && *set == '/')
        return path_join(out, MAX_IMPORT_PATH, set, "smallmind", err);
    if (home && *home)
        return path_join(out, MAX_IMPORT_PATH, home, ".cache/smallmind", err);
    return error_set(err, "neither XDG_CACHE_HOME nor HOME says where the cache is; smrun import -o DIR "
                     "needs none");
}

static bool cache_name(const char *source, const ImportOptions *o, char out[64], Error *err)
{
    Source s;
    Recipe r = { 0 };
    uint64_t h = 0, compiler = 0;
    bool ok = source_open(&s, source, err) && recipe_open(&r, &s, o->context, err)
        && source_hash(&s, &h, err) && compiler_hash(family_model_name(r.model), &compiler, err);
    const int64_t sizes[] = { r.context, chunk_of(o, &r) };
    h = o->cache && strcmp(o->cache, "f32") != 0 ? hash_seeded(o->cache, strlen(o->cache), h) : h;
    h = hash_seeded(sizes, sizeof sizes, hash_seeded(&compiler, sizeof compiler, h));
    snprintf(out, 64, "%016" PRIx64, h);
    recipe_close(&r);
    source_close(&s);
    return ok;
}

bool import_cached(const char *source, const ImportOptions *o, char dir[MAX_IMPORT_PATH], bool *fresh,
                   Buf *faults, Error *err)
{
    char root[MAX_IMPORT_PATH], index[MAX_IMPORT_PATH], name[64];
    ImportResult result;
    if (!cache_root(root, err) || !cache_name(source, o, name, err)
        || !path_join(dir, MAX_IMPORT_PATH, root, name, err)
        || !path_join(index, sizeof index, dir, WEIGHTS_INDEX, err))
        return false;
    *fresh = !file_exists(index);
    return !*fresh || import_model(source, dir, o, &result, faults, err);
}
