/* Published families against `transformers`: tiny models written as the hub publishes them, imported,
 * scored and continued (tests/reference/make_families.py).
 *
 * Logits may be off by 1e-4 of the largest: both sides compute in float32, and differ in the order of
 * their sums and in their elementary functions.  The greedy ids are the same: the reference was chosen
 * so that no choice is closer than 1e-3. */
#include "tests/e2e/family.h"

#include "base/file.h"
#include "runtime/generator.h"
#include "runtime/hub/export.h"
#include "runtime/hub/import.h"
#include "runtime/hub/weights_index.h"
#include "runtime/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double tolerance = 1e-4;

/* A family, and how its tensors lie in files. */
typedef struct FolderCase {
    const char *name;
    DType type;
    int shards;
    bool indexed;
} FolderCase;

static const FolderCase cases[] = {
    { "gpt2",    DTYPE_f32,  1, false }, { "llama2", DTYPE_f16,  1, false },
    { "llama3",  DTYPE_f32,  3, true  }, { "smollm3", DTYPE_bf16, 1, false },
    { "mistral", DTYPE_f32,  2, false }, { "qwen2",  DTYPE_bf16, 1, false },
    { "qwen3",   DTYPE_bf16, 2, true  }, { "gemma",  DTYPE_f32,  1, false },
    { "gemma2",  DTYPE_bf16, 1, false }, { "gemma3", DTYPE_f32,  1, false },
    { "phi3",    DTYPE_f32,  1, false }, { "mixtral", DTYPE_f32, 2, true },
    { "qwen3moe", DTYPE_bf16, 1, false },
};

static int32_t id_at(const FamilyCase *f, const char *key, size_t i)
{
    return (int32_t)json_integer_value(json_array_get(json_object_get(f->json, key), i));
}

static size_t count_of(const FamilyCase *f, const char *key)
{
    return json_array_size(json_object_get(f->json, key));
}

/* ---- logits ------------------------------------------------------------------------------------ */

static void check_row(const FamilyCase *f, size_t row, const Operand *o)
{
    const json_t *want = json_array_get(json_object_get(f->json, "logits"), row);
    const int64_t t = id_at(f, "rows", row);
    double largest = 0, worst = 0;
    assert_int_equal((int64_t)json_array_size(want), o->dim[2]);
    for (int64_t v = 0; v < o->dim[2]; v++) {
        const double w = json_number_value(json_array_get(want, (size_t)v));
        const double x = (double)((const float *)o->data)[t * o->stride[1] + v * o->stride[2]];
        largest = fmax(largest, fabs(w));
        worst = fmax(worst, isnan(x) ? INFINITY : fabs(x - w));
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: logits at position %lld are off by %.2g, largest %.2g", f->name, (long long)t,
                 worst, largest);
}

static void check_logits(const FamilyCase *f, const Plan *p, const char *dir)
{
    const size_t n = count_of(f, "prompt");
    Operand logits;
    Session *s = family_score(p, dir, 2, (int64_t)n);
    int32_t *ids = session_storage_named(s, "tokens");
    for (size_t i = 0; i < n; i++)
        ids[i] = id_at(f, "prompt", i);
    session_run(s, PLAN_score);
    assert_true(session_output(s, PLAN_score, "logits", &logits));
    for (size_t row = 0; row < count_of(f, "rows"); row++)
        check_row(f, row, &logits);
    session_close(s);
}

/* ---- continuation ------------------------------------------------------------------------------ */

static int32_t likeliest(const Generator *g)
{
    int32_t best = 0;
    for (int32_t v = 1; v < g->model.vocab; v++)
        if (g->logits[v * g->logits_stride] > g->logits[best * g->logits_stride])
            best = v;
    return best;
}

static void check_ids(const FamilyCase *f, const Plan *p, const char *index)
{
    const GeneratorOptions o = { .cache = true, .n_threads = 1 };
    int32_t prompt[256];
    const size_t n = count_of(f, "prompt");
    Generator g;
    Error err;
    assert_true(n <= 256);
    if (!generator_open(&g, p, &o, &err) || !weights_index_load(g.session, index, &err))
        fail_msg("%s: %s", f->name, err.text);
    for (size_t i = 0; i < n; i++)
        prompt[i] = id_at(f, "prompt", i);
    generator_feed(&g, prompt, (int64_t)n);
    for (size_t i = 0; i < count_of(f, "ids"); i++) {
        const int32_t id = likeliest(&g);
        if (id != id_at(f, "ids", i))
            fail_msg("%s: id %zu is %d, expected %d", f->name, i, id, id_at(f, "ids", i));
        generator_feed(&g, &id, 1);
    }
    generator_close(&g);
}

/* ---- both, from an imported source ------------------------------------------------------------- */

static void import_or_fail(const char *source, const char *dir)
{
    ImportResult r;
    Buf faults = { 0 };
    Error err;
    if (!import_model(source, dir, &(ImportOptions){ 0 }, &r, &faults, &err))
        fail_msg("%s\n%s", err.text, faults.len ? faults.data : "");
    buf_free(&faults);
}

static void check_imported(const FamilyCase *f, const char *dir)
{
    char path[FAMILY_PATH], index[FAMILY_PATH];
    Plan plan;
    Error err;
    family_path(path, dir, "model.smp");
    family_path(index, dir, WEIGHTS_INDEX);
    if (!plan_open(path, &plan, &err))
        fail_msg("%s", err.text);
    check_logits(f, &plan, dir);
    check_ids(f, &plan, index);
    plan_close(&plan);
}

static void test_folders(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[FAMILY_PATH], dir[FAMILY_PATH];
        FamilyCase f;
        print_message("%s\n", cases[i].name);
        family_open(&f, cases[i].name);
        family_path(folder, family_root, cases[i].name);
        family_path(dir, folder, "imported");
        family_write(&f, folder, cases[i].type, cases[i].shards, cases[i].indexed);
        import_or_fail(folder, dir);
        check_imported(&f, dir);
        family_close(&f);
    }
}

static void export_or_fail(const char *from, const char *out)
{
    ExportResult r;
    Error err;
    if (!export_model(from, out, &r, &err))
        fail_msg("%s", err.text);
}

static void check_same(const FamilyCase *f, const HubTensor *t, const SafeTensor *back)
{
    const bool widened = t->type != DTYPE_f32 && back->type == ST_F32;
    float *x = malloc((size_t)back->count * sizeof *x);
    assert_true(x && (t->rank == 1 || !widened));
    assert_true(!widened || hub_tensor_read(t, DTYPE_f32, x));
    const void *was = widened ? (const void *)x : t->data;
    assert_true(widened || t->bytes == back->bytes);
    if (memcmp(was, back->data, back->bytes) != 0)
        fail_msg("%s: %s came back different", f->name, t->name);
    free(x);
}

/* Tensors that went to GGUF and came back are those of the folder: byte for byte where their type is as it
 * was, else (vectors, which GGUF has in f32) by value. */
static void check_returned(const FamilyCase *f, const char *folder, const char *returned)
{
    char path[FAMILY_PATH];
    SafeTensors back;
    Source source;
    Error err;
    family_path(path, family_root, f->name);
    if (!safetensors_open(returned, &back, &err) || !source_open(&source, folder, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < back.n; i++) {
        char prefixed[256];
        snprintf(prefixed, sizeof prefixed, "transformer.%s", back.tensors[i].name);
        const HubTensor *t = source_find(&source, back.tensors[i].name);
        t = t ? t : source_find(&source, prefixed);
        assert_non_null(t);
        assert_memory_equal(t->dim, back.tensors[i].dim, t->rank * sizeof *t->dim);
        check_same(f, t, &back.tensors[i]);
    }
    assert_int_equal(back.n, source.n_tensors);
    source_close(&source);
    safetensors_close(&back);
}

/* The same models by way of our own GGUF files. */
static void test_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[FAMILY_PATH], dir[FAMILY_PATH], gguf[FAMILY_PATH], back[FAMILY_PATH];
        FamilyCase f;
        print_message("%s\n", cases[i].name);
        family_open(&f, cases[i].name);
        family_path(folder, family_root, cases[i].name);
        family_path(gguf, folder, "model.gguf");
        family_path(dir, folder, "from_gguf");
        family_path(back, folder, "back.safetensors");
        export_or_fail(folder, gguf);
        import_or_fail(gguf, dir);
        check_imported(&f, dir);
        export_or_fail(gguf, back);
        check_returned(&f, folder, back);
        family_close(&f);
    }
}

/* ---- which experts a position meets ------------------------------------------------------------- */

enum { LAYERS = 2, EXPERTS = 6, CHOSEN = 3, MATRICES = 3, ONE_EXPERT = 24 * 32 * 2 };

static void run_one(Session *s, int32_t id, float *out, int64_t n)
{
    Operand o;
    *(int32_t *)session_storage_named(s, "tokens") = id;
    session_run(s, PLAN_score);
    assert_true(session_output(s, PLAN_score, "logits", &o) && o.dim[2] == n);
    for (int64_t v = 0; v < n; v++)
        out[v] = ((const float *)o.data)[v * o.stride[2]];
}

/* Does one position give the same logits when all of an expert's weights are NaN? */
static bool is_untouched(Session *s, int layer, int expert, const float *want, int64_t n)
{
    static const char *const matrix[MATRICES] = { "gate_proj", "up_proj", "down_proj" };
    uint8_t was[MATRICES][ONE_EXPERT];
    uint8_t *w[MATRICES];
    float got[256];
    for (int i = 0; i < MATRICES; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s.weight", layer, expert, matrix[i]);
        w[i] = session_storage_named(s, name);
        assert_non_null(w[i]);
        memcpy(was[i], w[i], ONE_EXPERT);
        memset(w[i], 0xff, ONE_EXPERT);
    }
    run_one(s, 5, got, n);
    for (int i = 0; i < MATRICES; i++)
        memcpy(w[i], was[i], ONE_EXPERT);
    return memcmp(got, want, (size_t)n * sizeof *want) == 0;
}

static void check_experts(Session *s, const FamilyCase *f)
{
    const int64_t n = (int64_t)json_array_size(json_array_get(json_object_get(f->json, "logits"), 0));
    float want[256];
    assert_true(n <= 256);
    run_one(s, 5, want, n);
    for (int layer = 0; layer < LAYERS; layer++) {
        int untouched = 0;
        for (int e = 0; e < EXPERTS; e++)
            untouched += is_untouched(s, layer, e, want, n);
        assert_int_equal(untouched, EXPERTS - CHOSEN);
    }
}

/* A position meets the experts that it is sent to, and no others, with their weights in bf16. */
static void test_experts(void **state)
{
    char dir[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    Plan plan;
    Error err;
    (void)state;
    family_open(&f, "qwen3moe");
    family_path(dir, family_root, "experts");
    import_or_fail(SOURCE_DIR "/tests/reference/families/qwen3moe.gguf", dir);
    family_path(path, dir, "model.smp");
    assert_true(plan_open(path, &plan, &err));
    Session *s = family_score(&plan, dir, 2, 1);
    check_experts(s, &f);
    session_close(s);
    plan_close(&plan);
    family_close(&f);
}

/* Files that Python's gguf package wrote, by its own table of names (tests/reference/gguf_families.py). */
static void test_foreign_gguf(void **state)
{
    static const char *const names[] = { "qwen3", "gemma", "gemma3", "phi3", "mixtral", "qwen3moe" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char dir[FAMILY_PATH], file[FAMILY_PATH];
        FamilyCase f;
        print_message("%s\n", names[i]);
        family_open(&f, names[i]);
        snprintf(file, sizeof file, "%s/tests/reference/families/%s.gguf", SOURCE_DIR, names[i]);
        family_path(dir, family_root, "foreign");
        import_or_fail(file, dir);
        check_imported(&f, dir);
        family_close(&f);
    }
}

/* Names the parts of blk.0.ffn_up_exps.weight as files of before 2024 do, blk.0.ffn_up.3.weight. */
static void write_singly(GgufWriter *w, const GgufTensor *t)
{
    char name[128];
    const char *mark = memmem(t->name, t->name_n, "_exps.", 6);
    for (uint64_t e = 0; mark && e < t->dim[2]; e++) {
        snprintf(name, sizeof name, "%.*s.%u.weight", (int)(mark - t->name), t->name, (unsigned)e);
        gguf_add_tensor(w, name, (GgmlType)t->type, 2, t->dim);
    }
    if (!mark) {
        snprintf(name, sizeof name, "%.*s", (int)t->name_n, t->name);
        gguf_add_tensor(w, name, (GgmlType)t->type, t->rank, t->dim);
    }
}

/* A copy of a file, its stacks taken apart; with `twice`, one of the parts stands in a stack as well. */
static void take_apart(const char *from, const char *to, bool twice)
{
    Gguf g;
    GgufWriter w = { .alignment = 32 };
    Error err;
    if (!gguf_open(from, &g, &err))
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < g.n_values; i++)
        gguf_add_value(&w, &g.values[i]);
    for (uint32_t i = 0; i < g.n_tensors; i++)
        write_singly(&w, &g.tensors[i]);
    if (twice)
        gguf_add_tensor(&w, "blk.0.ffn_up_exps.2.weight", GGML_f32, 1, (uint64_t[]){ 1 });
    assert_true(gguf_write_begin(&w, to, &err));
    for (uint32_t i = 0; i < g.n_tensors; i++) {
        const GgufTensor *t = &g.tensors[i];
        const uint64_t n = t->rank == 3 ? t->dim[2] : 1;
        for (uint64_t e = 0; e < n; e++)
            gguf_write_data(&w, t->data + e * (t->bytes / n), t->bytes / n);
    }
    if (twice)
        gguf_write_data(&w, &(float){ 0 }, sizeof(float));
    if (!gguf_write_end(&w, &err))
        fail_msg("%s", err.text);
    gguf_close(&g);
}

static void test_single_experts(void **state)
{
    static const char foreign[] = SOURCE_DIR "/tests/reference/families/mixtral.gguf";
    char folder[FAMILY_PATH], own[FAMILY_PATH], apart[FAMILY_PATH], dir[FAMILY_PATH];
    ImportResult r = { 0 };
    ExportResult exported;
    FamilyCase f;
    Error err;
    (void)state;
    family_open(&f, "mixtral");
    family_path(folder, family_root, "single");
    family_path(own, family_root, "stacked.gguf");
    family_path(apart, family_root, "single.gguf");
    family_path(dir, family_root, "single_imported");
    family_write(&f, folder, DTYPE_f32, 1, false);
    assert_true(export_model(folder, own, &exported, &err));
    for (int i = 0; i < 2; i++) {
        take_apart(i ? own : foreign, apart, false);
        import_or_fail(apart, dir);
        check_imported(&f, dir);
    }
    take_apart(own, apart, true);
    Buf faults = { 0 };
    assert_false(import_model(apart, dir, &(ImportOptions){ 0 }, &r, &faults, &err));
    buf_free(&faults);
    assert_non_null(strstr(err.text, "blk.0.ffn_up_exps.2.weight is there twice"));
    family_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_foreign_gguf),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_single_experts),
    };
    return cmocka_run_group_tests(tests, family_begin, family_end);
}
