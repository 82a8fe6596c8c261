/* Importing what is not in order: every fault is told with its place, nothing is left behind, and no
 * bytes of a config.json make the program fall over. */
#include "tests/e2e/family.h"

#include "base/file.h"
#include "base/random.h"
#include "runtime/gguf.h"
#include "runtime/hub/export.h"
#include "runtime/hub/import.h"
#include "runtime/hub/weights_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* The message with which the import fails, and what it listed. */
static void expect_fault(const char *what, const char *source, const char *expected, Buf *faults)
{
    char dir[FAMILY_PATH], index[FAMILY_PATH];
    ImportResult r;
    Buf mine = { 0 };
    Error err = { "" };
    family_path(dir, family_root, "out");
    family_path(index, dir, WEIGHTS_INDEX);
    if (import_model(source, dir, &(ImportOptions){ 0 }, &r, faults ? faults : &mine, &err))
        fail_msg("%s: was imported", what);
    if (!strstr(err.text, expected))
        fail_msg("%s: \"%s\" does not say \"%s\"", what, err.text, expected);
    assert_false(file_exists(index));
    buf_free(&mine);
}

/* ---- config.json ------------------------------------------------------------------------------- */

typedef struct ConfigCase {
    const char *family, *key;           /* NULL key: `value` is the whole file */
    const char *value;                  /* JSON; NULL: the key is taken away */
    const char *expected;
} ConfigCase;

static const ConfigCase configs[] = {
    { "qwen3", NULL, "", "not valid JSON" },
    { "qwen3", NULL, "[1, 2]", "not an object" },
    { "qwen3", NULL, "{\"a\": 1, \"a\": 2}", "not valid JSON" },
    { "qwen3", NULL, "{}", "no \"architectures\"" },
    { "qwen3", "architectures", "[]", "no \"architectures\"" },
    { "qwen3", "architectures", "[7]", "no \"architectures\"" },
    { "qwen3", "architectures", "[\"Qwen9ForCausalLM\"]", "Qwen3ForCausalLM" },
    { "qwen3", "hidden_size", NULL, "there is no hidden_size" },
    { "qwen3", "hidden_size", "\"32\"", "hidden_size is no whole number from 1 to" },
    { "qwen3", "hidden_size", "-32", "hidden_size is no whole number" },
    { "qwen3", "hidden_size", "4294967328", "hidden_size is no whole number" },
    { "qwen3", "hidden_size", "1e9", "hidden_size is no whole number" },
    { "qwen3", "num_hidden_layers", "100000", "num_hidden_layers is no whole number" },
    { "qwen3", "num_attention_heads", "0", "num_attention_heads is no whole number" },
    { "qwen3", "head_dim", "15", "no pairs to rotate" },
    { "qwen3", "rms_norm_eps", "null", "there is no rms_norm_eps" },
    { "qwen3", "rms_norm_eps", "[]", "rms_norm_eps is no number" },
    { "qwen3", "vocab_size", "1000000", "vocab_size is 1000000; the table of tokens model.embed_tokens.weight has" },
    { "qwen3", "hidden_act", "\"gelu\"", "knows silu" },
    { "qwen3", "hidden_act", "7", "hidden_act is no text" },
    { "qwen3", "tie_word_embeddings", "1", "neither true nor false" },
    { "qwen3", "rope_theta", "0.0", "rope_theta" },
    { "qwen3", "rope_scaling", "{\"rope_type\": \"spiral\"}", "stretched by \"spiral\"" },
    { "qwen3", "rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": \"4\"}", "factor" },
    { "qwen3", "layer_types", "[\"sliding_attention\", \"full_attention\", \"full_attention\"]",
      "layer_types: layer 0" },
    { "qwen3", "layer_types", "\"full_attention\"", "layer_types is no list" },
    { "smollm3", "no_rope_layers", "[1, 0, 1, 0]", "no_rope_layers is not every 4th layer" },
    { "phi3", "rope_scaling", "{\"rope_type\": \"longrope\", \"long_factor\": [1.0], "
      "\"short_factor\": [1.0]}", "long_factor is no list of 6 numbers" },
    { "phi3", "rope_scaling", "{\"rope_type\": \"longrope\", \"long_factor\": [1, 1, 1, 1, 1, -1], "
      "\"short_factor\": [1, 1, 1, 1, 1, 1]}", "long_factor[5] is no number" },
    { "gpt2", "activation_function", "\"relu\"", "knows gelu_new" },
    { "gpt2", "scale_attn_by_inverse_layer_idx", "true", "root of the head" },
};

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        const ConfigCase *c = &configs[i];
        char folder[FAMILY_PATH], what[200];
        FamilyCase f;
        family_folder(&f, c->family, folder, 1);
        json_t *config = json_object_get(f.json, "config");
        if (c->key && c->value)
            json_object_set_new(config, c->key, json_loads(c->value, JSON_DECODE_ANY, NULL));
        else if (c->key)
            json_object_del(config, c->key);
        char *text = json_dumps(config, 0);
        family_text(folder, "config.json", c->key ? text : c->value);
        snprintf(what, sizeof what, "%s: %s = %s", c->family, c->key ? c->key : "all",
                 c->value ? c->value : "nothing");
        expect_fault(what, folder, c->expected, NULL);
        free(text);
        family_close(&f);
    }
}

static void test_depth(void **state)
{
    char folder[FAMILY_PATH];
    FamilyCase f;
    Buf deep = { 0 };
    (void)state;
    family_folder(&f, "qwen3", folder, 1);
    buf_puts(&deep, "{\"a\": ");
    for (int i = 0; i < 100000; i++)
        buf_putc(&deep, '[');
    family_text(folder, "config.json", deep.data);
    expect_fault("deep", folder, "nested deeper than 64", NULL);
    buf_free(&deep);
    family_close(&f);
}

/* No bytes of a config.json do harm: those of the real one with a few changed. */
static void test_changed_bytes(void **state)
{
    char folder[FAMILY_PATH];
    FamilyCase f;
    (void)state;
    family_folder(&f, "phi3", folder, 1);
    char *text = json_dumps(json_object_get(f.json, "config"), 0);
    const size_t n = strlen(text);
    size_t opened = 0;
    for (uint64_t round = 0; round < 400; round++) {
        char *changed = strdup(text);
        Source source;
        Recipe recipe = { 0 };
        Error err;
        for (uint64_t k = 0; k < 1 + round % 3; k++)
            changed[random_u32(1, round, 2 * k) % n] =
                "0123456789.-eE\"{}[],:ntf x"[random_u32(1, round, 2 * k + 1) % 26];
        family_text(folder, "config.json", changed);
        opened += source_open(&source, folder, &err)
            && recipe_open(&recipe, &source, 0, &err);
        recipe_close(&recipe);
        source_close(&source);
        free(changed);
    }
    print_message("%zu of 400 changed files were still in order\n", opened);
    assert_true(opened > 0 && opened < 400);
    free(text);
    family_close(&f);
}

/* ---- tensors ----------------------------------------------------------------------------------- */

/* All three kinds of fault in one message. */
static void test_tensors(void **state)
{
    static const char k_proj[] = "model.layers.1.self_attn.k_proj.weight";
    char folder[FAMILY_PATH];
    FamilyCase f;
    Buf faults = { 0 };
    (void)state;
    family_folder(&f, "qwen3", folder, 1);
    family_rewrite(folder, "model.safetensors", "model.layers.2.mlp.up_proj.weight", "model.layers.7.mlp.extra", 2, 3);
    family_rewrite(folder, "model.safetensors", k_proj, k_proj, 16, 32);
    expect_fault("tensors", folder, "3 tensors do not fit models/llama.smg", &faults);
    assert_non_null(strstr(faults.data, "missing     model.layers.2.mlp.up_proj.weight [48, 32]\n"));
    assert_non_null(strstr(faults.data, "unexpected  model.layers.7.mlp.extra\n"));
    assert_non_null(strstr(faults.data, "misshapen   model.layers.1.self_attn.k_proj.weight is [16, 32]; "
                           "the model has it as [32, 32]\n"));
    buf_free(&faults);
    family_close(&f);
}

#define EXPERT "model.layers.1.block_sparse_moe.experts."

/* Likewise of a mixture in two files without an index. */
static void test_mixture(void **state)
{
    static const char first[] = "model-00001-of-00002.safetensors";
    static const char second[] = "model-00002-of-00002.safetensors";
    char folder[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    Buf faults = { 0 };
    (void)state;
    family_folder(&f, "mixtral", folder, 2);
    family_path(path, folder, "model.safetensors.index.json");
    assert_int_equal(unlink(path), 0);
    family_rewrite(folder, first, EXPERT "2.w1.weight", EXPERT "4.w1.weight", 48, 32);
    family_rewrite(folder, second, EXPERT "2.w1.weight", NULL, 0, 0);
    family_rewrite(folder, first, EXPERT "0.w3.weight", NULL, 0, 0);
    family_rewrite(folder, second, EXPERT "0.w3.weight", EXPERT "0.w3.weight", 32, 48);
    expect_fault("mixture", folder, "3 tensors do not fit models/moe.smg", &faults);
    assert_non_null(strstr(faults.data, "missing     " EXPERT "2.w1.weight [48, 32]\n"));
    assert_non_null(strstr(faults.data, "unexpected  " EXPERT "4.w1.weight\n"));
    assert_non_null(strstr(faults.data, "misshapen   " EXPERT "0.w3.weight is [32, 48]; the model has it as "
                           "[48, 32]\n"));
    buf_free(&faults);
    family_close(&f);
}

/* More experts than a GGUF file stacks: told one by one, by the stack's name. */
static void test_stack(void **state)
{
    char folder[FAMILY_PATH], path[FAMILY_PATH], broken[FAMILY_PATH];
    FamilyCase f;
    ExportResult r;
    Buf bytes = { 0 }, faults = { 0 };
    Error err;
    (void)state;
    family_folder(&f, "mixtral", folder, 1);
    family_path(path, folder, "model.gguf");
    family_path(broken, folder, "broken.gguf");
    assert_true(export_model(folder, path, &r, &err) && file_read(path, 1 << 24, &bytes, &err));
    char *count = memmem(bytes.data, bytes.len, "llama.expert_count", 18);
    assert_non_null(count);
    memcpy(count + 18 + 4, &(uint32_t){ 5 }, 4);
    assert_true(file_replace(broken, bytes.data, bytes.len, &err));
    expect_fault("stack", broken, "8 tensors do not fit models/moe.smg", &faults);
    assert_non_null(strstr(faults.data, "missing     blk.1.ffn_up_exps.4.weight [48, 32]\n"));
    assert_non_null(strstr(faults.data, "misshapen   blk.0.ffn_gate_inp.weight is [4, 32]; the model has it as "
                           "[5, 32]\n"));
    buf_free(&faults);
    buf_free(&bytes);
    family_close(&f);
}

/* ---- the index --------------------------------------------------------------------------------- */

static void test_index(void **state)
{
    static const struct { const char *text, *expected; } cases[] = {
        { "", "not valid JSON" },
        { "{}", "no \"weight_map\"" },
        { "{\"weight_map\": {}}", "is empty" },
        { "{\"weight_map\": {\"a\": 7}}", "no name of a .safetensors file" },
        { "{\"weight_map\": {\"a\": \"../model.safetensors\"}}", "no name of a .safetensors file" },
        { "{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "no name of a .safetensors file" },
        { "{\"weight_map\": {\"a\": \"none.safetensors\"}}", "none.safetensors is not in the folder" },
        { "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}", "tensor a is not in" },
        { "{\"weight_map\": {\"model.norm.weight\": \"model-00001-of-00002.safetensors\", "
          "\"lm_head.weight\": \"model-00002-of-00002.safetensors\"}}", "index" },
    };
    char folder[FAMILY_PATH];
    FamilyCase f;
    (void)state;
    family_folder(&f, "qwen3", folder, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        family_text(folder, "model.safetensors.index.json", cases[i].text);
        expect_fault(cases[i].text, folder, cases[i].expected, NULL);
    }
    family_close(&f);
}

/* Files that a half-finished download lacks, and files of another kind. */
static void test_missing_files(void **state)
{
    char folder[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    (void)state;
    family_folder(&f, "qwen3", folder, 3);
    family_path(path, folder, "model.safetensors.index.json");
    assert_int_equal(unlink(path), 0);
    family_path(path, folder, "model-00002-of-00003.safetensors");
    assert_int_equal(unlink(path), 0);
    expect_fault("two of three", folder, "is one of 3 files, but 2 are there", NULL);
    family_path(path, folder, "model-00001-of-00003.safetensors");
    assert_int_equal(unlink(path), 0);
    family_path(path, folder, "model-00003-of-00003.safetensors");
    assert_int_equal(unlink(path), 0);
    expect_fault("none", folder, "there is no model.safetensors", NULL);
    family_text(folder, "pytorch_model.bin", "PK");
    expect_fault("pickle", folder, "pytorch_model.bin is Python's pickle", NULL);
    family_close(&f);
}

/* What people name instead of a model, and files that a download left broken. */
static void test_mistaken(void **state)
{
    char folder[FAMILY_PATH], path[FAMILY_PATH], command[FAMILY_PATH + 64];
    FamilyCase f;
    (void)state;
    expect_fault("nowhere", "/nowhere/model", "/nowhere/model: No such file", NULL);
    family_folder(&f, "qwen3", folder, 2);
    expect_fault("above", family_root, "there is no config.json in this folder", NULL);
    family_path(path, folder, "config.json");
    expect_fault("config.json", path, "name its folder", NULL);
    family_path(path, folder, "model-00001-of-00002.safetensors");
    expect_fault("weights", path, "name its folder", NULL);
    snprintf(command, sizeof command, "truncate -s 6000 %s", path);
    assert_int_equal(system(command), 0);
    expect_fault("cut off", folder, "is the file cut off?", NULL);
    family_text(folder, "model-00001-of-00002.safetensors", "");
    expect_fault("empty shard", folder, "model-00001-of-00002.safetensors: 0 bytes are no safetensors", NULL);
    family_text(folder, "config.json", "");
    expect_fault("empty config", folder, "config.json: byte 0: not valid JSON", NULL);
    family_text(folder, "zero.gguf", "");
    family_path(path, folder, "zero.gguf");
    expect_fault("empty file", path, "the file is empty; is the download complete?", NULL);
    family_path(path, folder, "config.json");
    assert_int_equal(unlink(path), 0);
    expect_fault("GGUF files", folder, "of its .gguf files, name the one that is meant", NULL);
    family_close(&f);
}

/* A type that files can have and weights here cannot. */
static void test_types(void **state)
{
    static const char header[] = "{\"model.embed_tokens.weight\":{\"dtype\":\"F64\",\"shape\":[120,32],"
                                 "\"data_offsets\":[0,30720]}}";
    static const double table[120 * 32] = { 1, 2 };
    char folder[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    Buf file = { 0 }, faults = { 0 };
    Error err;
    (void)state;
    family_folder(&f, "qwen3", folder, 1);
    buf_add(&file, &(uint64_t){ sizeof header - 1 }, 8);
    buf_puts(&file, header);
    buf_add(&file, table, sizeof table);
    family_path(path, folder, "model.safetensors");
    assert_true(file_replace(path, file.data, file.len, &err));
    expect_fault("F64", folder, "do not fit models/llama.smg", &faults);
    assert_non_null(strstr(faults.data, "model.embed_tokens.weight is F64; weights are read as F32, F16 "
                           "and BF16\n"));
    buf_free(&faults);
    buf_free(&file);
    family_close(&f);
}

/* The same tensor in two files, without an index that says which. */
static void test_twice(void **state)
{
    char folder[FAMILY_PATH], from[FAMILY_PATH], to[FAMILY_PATH];
    FamilyCase f;
    Buf bytes = { 0 };
    Error err;
    (void)state;
    family_folder(&f, "qwen3", folder, 2);
    family_path(from, folder, "model.safetensors.index.json");
    assert_int_equal(unlink(from), 0);
    family_path(from, folder, "model-00001-of-00002.safetensors");
    family_path(to, folder, "model-again.safetensors");
    assert_true(file_read(from, 1 << 24, &bytes, &err)
                && file_replace(to, bytes.data, bytes.len, &err));
    expect_fault("twice", folder, "is there twice", NULL);
    buf_free(&bytes);
    family_close(&f);
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

static void write_gguf(const char *path, const char *architecture, uint32_t width)
{
    GgufWriter w = { 0 };
    static const float zeros[64];
    Error err;
    if (architecture)
        gguf_add_string(&w, "general.architecture", architecture);
    if (width) {
        gguf_add_u32(&w, "llama.embedding_length", width);
        gguf_add_u32(&w, "llama.block_count", 1);
        gguf_add_u32(&w, "llama.attention.head_count", 1);
        gguf_add_u32(&w, "llama.feed_forward_length", 8);
        gguf_add_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    }
    gguf_add_tensor(&w, "token_embd.weight", GGML_f32, 2, (uint64_t[]){ 8, 8 });
    assert_true(gguf_write_begin(&w, path, &err));
    gguf_write_data(&w, zeros, sizeof zeros);
    assert_true(gguf_write_end(&w, &err));
}

static void test_gguf(void **state)
{
    char path[FAMILY_PATH];
    (void)state;
    family_path(path, family_root, "broken.gguf");
    write_gguf(path, NULL, 0);
    expect_fault("no architecture", path, "no value general.architecture", NULL);
    write_gguf(path, "lama", 0);
    expect_fault("unknown architecture", path, "those known are gpt2, llama", NULL);
    write_gguf(path, "llama", 0);
    expect_fault("no width", path, "there is no embedding_length", NULL);
    write_gguf(path, "llama", 1 << 30);
    expect_fault("large", path, "embedding_length is no whole number", NULL);
    family_text(family_root, "cut.gguf", "GGUF\3");
    family_path(path, family_root, "cut.gguf");
    expect_fault("cut off", path, "cut.gguf", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_mistaken),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, family_begin, family_end);
}
