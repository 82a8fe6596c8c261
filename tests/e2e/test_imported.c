/* What import left, changed: weights that an index names wrongly, chunks and caches that do not belong to it; and what
 * cannot be exported. */
#include "tests/e2e/family.h"

#include "base/file.h"
#include "runtime/hub/export.h"
#include "runtime/hub/import.h"
#include "runtime/hub/weights_index.h"
#include "runtime/run_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* A model of a family, and where imports of it go. */
typedef struct Case {
    FamilyCase f;
    char folder[FAMILY_PATH], dir[FAMILY_PATH], path[FAMILY_PATH];
    ImportResult r;
    Buf faults;
} Case;

static Case case_begin(const char *name)
{
    Case c = { .faults = { 0 } };
    family_folder(&c.f, "qwen3", c.folder, 1);
    family_path(c.dir, family_root, name);
    return c;
}

static void case_end(Case *c)
{
    buf_free(&c->faults);
    family_close(&c->f);
}

/* The plan that import left. */
static void case_import(Case *c, const ImportOptions *o, Plan *plan)
{
    Error err;
    if (!import_model(c->folder, c->dir, o, &c->r, &c->faults, &err))
        fail_msg("%s", err.text);
    family_path(c->path, c->dir, "model.smp");
    if (!plan_open(c->path, plan, &err))
        fail_msg("%s", err.text);
}

static void test_weights_index(void **state)
{
    static const struct { const char *text, *expected; } cases[] = {
        { "{", "not valid JSON" },
        { "{\"files\": [], \"tensors\": {}}", "no \"files\"" },
        { "{\"files\": [7], \"tensors\": {}}", "is no text" },
        { "{\"files\": [\"/none.safetensors\"], \"tensors\": {}}", "import the model again" },
        { "{\"files\": [\"../model/model.safetensors\"], \"tensors\": {}}", "has no tensor there" },
        { "{\"files\": [\"../model/model.safetensors\"], \"tensors\": {\"model.embed_tokens.weight\": "
          "[1, \"model.norm.weight\"]}}", "has no tensor there" },
        { "{\"files\": [\"../model/model.safetensors\"], \"tensors\": {\"model.embed_tokens.weight\": "
          "[0, \"model.norm.weight\"]}}", "another shape or type" },
    };
    const SessionOptions so = { .n_threads = 1, .programs = 1u << PLAN_score };
    Case c = case_begin("in_order");
    Plan plan;
    Session *s;
    Error err;
    (void)state;
    case_import(&c, &(ImportOptions){ .context = 64 }, &plan);
    assert_int_equal(c.r.context, 64);
    assert_true(session_open(&plan, &so, &s, &err));
    family_path(c.path, c.dir, WEIGHTS_INDEX);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        family_text(c.dir, WEIGHTS_INDEX, cases[i].text);
        assert_false(weights_index_load(s, c.path, &err));
        if (!strstr(err.text, cases[i].expected))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].expected);
    }
    session_close(s);
    plan_close(&plan);
    case_end(&c);
}

/* A prompt is computed in chunks of 512, of what was asked for, or of what the context has. */
static void test_chunk(void **state)
{
    static const struct { ImportOptions o; int64_t chunk; } cases[] = {
        { { .context = 600 }, 512 }, { { .context = 600, .chunk = 7 }, 7 }, { { .context = 600, .chunk = 599 }, 599 },
        { { .context = 64 }, 64 }, { { .context = 64, .chunk = 1000 }, 64 },
    };
    Case c = case_begin("chunks");
    Plan plan;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        case_import(&c, &cases[i].o, &plan);
        assert_int_equal(c.r.chunk, cases[i].chunk);
        assert_int_equal(plan_program(&plan, PLAN_generate)->max[plan_symbol(&plan, PLAN_SEQUENCE)],
                         cases[i].chunk);
        plan_close(&plan);
    }
    case_end(&c);
}

/* The cache's type reaches the plan, or what smc says of it the user. */
static void test_cache(void **state)
{
    Case c = case_begin("cache");
    Plan plan;
    Error err;
    (void)state;
    case_import(&c, &(ImportOptions){ .cache = "bf16" }, &plan);
    const int32_t k = plan_storage(&plan, "cache.k.0");
    assert_true(k >= 0);
    assert_int_equal(plan.storages[k].dtype, DTYPE_bf16);
    plan_close(&plan);
    assert_false(import_model(c.folder, c.dir, &(ImportOptions){ .cache = "q8_0" }, &c.r, &c.faults, &err));
    assert_non_null(strstr(err.text, "E0434"));
    case_end(&c);
}

static void test_export(void **state)
{
    char folder[FAMILY_PATH];
    FamilyCase f;
    ExportResult r;
    Error err;
    (void)state;
    family_folder(&f, "qwen3", folder, 1);
    assert_false(export_model(folder, "model.bin", &r, &err));
    assert_non_null(strstr(err.text, ".gguf or .safetensors"));
    assert_false(export_model(folder, "model.safetensors", &r, &err));
    assert_non_null(strstr(err.text, "of that format already"));
    assert_false(export_model("/nowhere", "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "/nowhere"));
    family_close(&f);
    family_folder(&f, "mixtral", folder, 1);
    family_rewrite(folder, "model.safetensors", "model.layers.1.block_sparse_moe.experts.2.w2.weight", NULL, 0, 0);
    assert_false(export_model(folder, "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "of the 4 experts of blk.1.ffn_down_exps.weight, 3 are there"));
    family_close(&f);
    family_folder(&f, "mixtral", folder, 1);
    family_rewrite(folder, "model.safetensors", "model.layers.1.block_sparse_moe.experts.2.w2.weight",
            "model.layers.1.block_sparse_moe.experts.2.w2.weight", 32, 64);
    assert_false(export_model(folder, "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "experts.2.w2.weight has another type or shape than"));
    family_close(&f);
}

/* A run of ours goes over once it has a config.json; until then the message says what belongs there. */
static void test_export_run(void **state)
{
    char run[FAMILY_PATH], path[FAMILY_PATH];
    ExportResult r;
    RunRecord record = { .model = "gpt2" };
    Error err;
    (void)state;
    family_path(run, family_root, "run");
    family_path(path, run, "trainer.json");
    assert_true(file_make_dirs(run, &err) && run_record_save(&record, path, &err));
    assert_false(export_model(run, "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "config.json, {\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": N, "
                           "\"n_layer\": N, \"n_head\": N}"));
    strcpy(record.configs, "vocab=50\nturned=true");
    assert_true(run_record_save(&record, path, &err));
    assert_false(export_model(run, "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "compiled with turned=true, and config.json is made here for turned=false"));
    strcpy(record.model, "mine");
    assert_true(run_record_save(&record, path, &err));
    assert_false(export_model(run, "model.gguf", &r, &err));
    assert_non_null(strstr(err.text, "is a run of mine, which is no published model"));
}

/* Where tokens are joined GGUF needs a name for how text is cut first, and where none is, it does not. */
static void test_export_bytes(void **state)
{
#define TOKENIZER(more, merges)                                                              \
    "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}, " \
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1" more "}, \"merges\": [" merges "]}}"
    char folder[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    ExportResult r;
    Error err = { "" };
    (void)state;
    family_folder(&f, "gpt2", folder, 1);
    family_path(path, folder, "model.gguf");
    family_text(folder, "tokenizer.json", TOKENIZER("", ""));
    if (!export_model(folder, path, &r, &err))
        fail_msg("%s", err.text);
    assert_true(r.has_tokenizer);
    family_text(folder, "tokenizer.json", TOKENIZER(", \"ab\": 2", "[\"a\", \"b\"]"));
    assert_false(export_model(folder, path, &r, &err));
    assert_non_null(strstr(err.text, "no name in GGUF stands for"));
    family_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_index),
        cmocka_unit_test(test_chunk),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_export_run),
        cmocka_unit_test(test_export_bytes),
    };
    return cmocka_run_group_tests(tests, family_begin, family_end);
}
