/* The models as they stand: they compile without a word, and their parameters are those of the
 * published checkpoints, by name and shape. */
#include "ir/text.h"
#include "ir/verify.h"
#include "support.h"

#include <dirent.h>

#define DEFINES(...) (const char *const[]){ __VA_ARGS__ }, \
    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)

static Compiled *compile_clean(const char *path, const char *const *defines, uint32_t n)
{
    Compiled *c = compile_file(path, defines, n);
    compile_show(c);
    assert_non_null(c->g);
    assert_int_equal(c->diags.n, 0);
    Error err;
    if (!graph_verify(c->g, &c->arena, &err))
        fail_msg("%s: %s", path, err.text);
    return c;
}

/* ---- expected parameters ---------------------------------------------------------------------- */

typedef struct Seen {
    const Graph *g;
    uint32_t n;                         /* parameters asked for so far */
    uint64_t elements;
} Seen;

/* `shape` as printed, "[768, 2304]". */
static void expect_param(Seen *seen, const char *shape, const char *fmt, ...)
{
    char name[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    StorageId s = graph_find_storage(seen->g, name);
    if (s == NO_STORAGE)
        fail_msg("there is no parameter %s", name);
    const Storage *st = &seen->g->storages[s];
    assert_int_equal(st->class, STORAGE_PARAM);
    Buf b = { 0 };
    shape_print(&b, seen->g, &st->type.shape);
    assert_string_equal(b.data, shape);
    buf_free(&b);
    Dim count;
    assert_true(shape_count(&st->type.shape, &count));
    seen->elements += (uint64_t)count.coef;
    seen->n++;
}

static uint32_t n_params(const Graph *g)
{
    uint32_t n = 0;
    for (StorageId s = 0; s < g->n_storages; s++)
        n += g->storages[s].class == STORAGE_PARAM;
    return n;
}

static void test_gpt2_is_the_published_one(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/gpt2.smg", NULL, 0);
    Seen s = { .g = c->g };
    expect_param(&s, "[50257, 768]", "wte.weight");
    expect_param(&s, "[1024, 768]", "wpe.weight");
    for (int i = 0; i < 12; i++) {
        expect_param(&s, "[768]", "h.%d.ln_1.weight", i);
        expect_param(&s, "[768]", "h.%d.ln_1.bias", i);
        expect_param(&s, "[768, 2304]", "h.%d.attn.c_attn.weight", i);
        expect_param(&s, "[2304]", "h.%d.attn.c_attn.bias", i);
        expect_param(&s, "[768, 768]", "h.%d.attn.c_proj.weight", i);
        expect_param(&s, "[768]", "h.%d.attn.c_proj.bias", i);
        expect_param(&s, "[768]", "h.%d.ln_2.weight", i);
        expect_param(&s, "[768]", "h.%d.ln_2.bias", i);
        expect_param(&s, "[768, 3072]", "h.%d.mlp.c_fc.weight", i);
        expect_param(&s, "[3072]", "h.%d.mlp.c_fc.bias", i);
        expect_param(&s, "[3072, 768]", "h.%d.mlp.c_proj.weight", i);
        expect_param(&s, "[768]", "h.%d.mlp.c_proj.bias", i);
    }
    expect_param(&s, "[768]", "ln_f.weight");
    expect_param(&s, "[768]", "ln_f.bias");
    assert_int_equal(s.n, n_params(c->g));
    assert_int_equal(s.elements, 124439808);
    compile_end(c);
}

static void test_llama_is_tinyllama(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/llama.smg", NULL, 0);
    Seen s = { .g = c->g };
    expect_param(&s, "[32000, 2048]", "model.embed_tokens.weight");
    for (int i = 0; i < 22; i++) {
        expect_param(&s, "[2048]", "model.layers.%d.input_layernorm.weight", i);
        expect_param(&s, "[2048, 2048]", "model.layers.%d.self_attn.q_proj.weight", i);
        expect_param(&s, "[256, 2048]", "model.layers.%d.self_attn.k_proj.weight", i);
        expect_param(&s, "[256, 2048]", "model.layers.%d.self_attn.v_proj.weight", i);
        expect_param(&s, "[2048, 2048]", "model.layers.%d.self_attn.o_proj.weight", i);
        expect_param(&s, "[2048]", "model.layers.%d.post_attention_layernorm.weight", i);
        expect_param(&s, "[5632, 2048]", "model.layers.%d.mlp.gate_proj.weight", i);
        expect_param(&s, "[5632, 2048]", "model.layers.%d.mlp.up_proj.weight", i);
        expect_param(&s, "[2048, 5632]", "model.layers.%d.mlp.down_proj.weight", i);
    }
    expect_param(&s, "[2048]", "model.norm.weight");
    expect_param(&s, "[32000, 2048]", "lm_head.weight");
    assert_int_equal(s.n, n_params(c->g));
    assert_int_equal(s.elements, 1100048384);
    compile_end(c);
}

/* Qwen2's variants of the same file. */
static void test_llama_tied_with_biases(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/llama.smg",
                                DEFINES("tied=true", "qkv_bias=true", "depth=1", "width=64",
                                        "hidden=96", "heads=4", "kv_heads=2", "vocab=100"));
    Seen s = { .g = c->g };
    expect_param(&s, "[64]", "model.layers.0.self_attn.q_proj.bias");
    expect_param(&s, "[32]", "model.layers.0.self_attn.k_proj.bias");
    assert_int_equal(graph_find_storage(c->g, "lm_head.weight"), NO_STORAGE);
    assert_int_equal(graph_find_storage(c->g, "model.layers.0.self_attn.o_proj.bias"), NO_STORAGE);
    compile_end(c);
}

static void test_mlp(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/mlp.smg", NULL, 0);
    Seen s = { .g = c->g };
    expect_param(&s, "[64, 8]", "first.weight");
    expect_param(&s, "[64]", "first.bias");
    expect_param(&s, "[64, 64]", "second.weight");
    expect_param(&s, "[64]", "second.bias");
    expect_param(&s, "[1, 64]", "last.weight");
    expect_param(&s, "[1]", "last.bias");
    assert_int_equal(s.n, n_params(c->g));
    assert_int_equal(graph_sequence(c->g), -1);
    assert_int_equal(c->g->optimizer.kind, OPTIMIZER_sgd);
    assert_true(c->g->optimizer.lr == 0.01 && c->g->optimizer.momentum == 0.9);
    compile_end(c);
}

/* ---- what the graph says besides -------------------------------------------------------------- */

static void test_roles_bounds_and_ids(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/gpt2.smg", DEFINES("depth=1", "context=32"));
    const Graph *g = c->g;
    assert_string_equal(g->name, "gpt2");
    assert_int_equal(g->n_symbols, 2);
    assert_string_equal(g->symbol[graph_batch(g)].name, "B");
    assert_string_equal(g->symbol[graph_sequence(g)].name, "T");
    assert_int_equal(g->symbol[graph_sequence(g)].max, 32);
    const Storage *tokens = &g->storages[graph_find_storage(g, "tokens")];
    const Storage *targets = &g->storages[graph_find_storage(g, "targets")];
    assert_int_equal(tokens->index_limit, 50257);
    assert_false(tokens->train_only);
    assert_int_equal(targets->index_limit, 50257);
    assert_int_equal(targets->index_ignore, -100);
    assert_true(targets->train_only);
    assert_int_equal(g->n_outputs, 1);
    assert_true(g->loss != NO_VALUE);
    assert_int_equal(value_type(g, g->loss)->shape.rank, 0);
    assert_true(g->optimizer.lr == 6e-4 && g->optimizer.beta2 == 0.95);
    assert_true(g->storages[graph_find_storage(g, "wte.weight")].init == INIT_normal);
    compile_end(c);
}

static void test_every_node_knows_its_place(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/gpt2.smg", DEFINES("depth=2"));
    bool attention = false;
    for (NodeId n = 0; n < c->g->n_nodes; n++) {
        const Node *node = &c->g->nodes[n];
        assert_true(node->span.line > 0 && node->span.column > 0 && node->span.length > 0);
        assert_true(node->span.file < c->g->n_files);
        attention |= node->op == OP_softmax && strcmp(node->path, "h.1.attn") == 0;
    }
    assert_true(attention);
    compile_end(c);
}

/* Every dropout has random numbers of its own; without any, dropout leaves no trace. */
static void test_dropout_sites(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/gpt2.smg", DEFINES("depth=2", "drop=0.1"));
    int64_t next = 0;
    for (NodeId n = 0; n < c->g->n_nodes; n++)
        if (c->g->nodes[n].op == OP_dropout)
            assert_int_equal(NODE_ATTR(&c->g->nodes[n], dropout, site).i, next++);
    assert_int_equal(next, 1 + 2 * 3);
    compile_end(c);
    c = compile_clean(SHARED_DIR "/models/gpt2.smg", DEFINES("depth=2"));
    for (NodeId n = 0; n < c->g->n_nodes; n++)
        assert_int_not_equal(c->g->nodes[n].op, OP_dropout);
    compile_end(c);
}

/* The same sizes from PyTorch's side, by the header of its safetensors file. */
static void expect_reference(const char *model, const char *const *defines, uint32_t n)
{
    char path[400];
    snprintf(path, sizeof path, "%s/models/%s.smg", SHARED_DIR, model);
    Compiled *c = compile_clean(path, defines, n);
    snprintf(path, sizeof path, "%s/tests/reference/tiny_%s.safetensors", SOURCE_DIR, model);
    Buf file = read_text(path);
    for (StorageId s = 0; s < c->g->n_storages; s++) {
        const Storage *st = &c->g->storages[s];
        if (st->class != STORAGE_PARAM)
            continue;
        Buf key = { 0 };
        buf_printf(&key, "\"%s\":", st->name);
        if (!memmem(file.data, file.len, key.data, key.len))
            fail_msg("%s is not in %s", st->name, path);
        buf_free(&key);
    }
    buf_free(&file);
    compile_end(c);
}

static void test_reference_files_have_these_names(void **state)
{
    (void)state;
    expect_reference("gpt2", DEFINES("vocab=64", "context=32", "width=32", "depth=2", "heads=4"));
    expect_reference("llama", DEFINES("vocab=64", "context=32", "width=32", "depth=2", "heads=4",
                                      "kv_heads=2", "hidden=64"));
    expect_reference("mlp", NULL, 0);
}

/* ---- every model ------------------------------------------------------------------------------- */

static void compile_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 4, ".smg") != 0)
            continue;
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        compile_end(compile_clean(path, NULL, 0));
    }
    closedir(dir);
}

static void test_all_models_compile(void **state)
{
    (void)state;
    compile_folder(SHARED_DIR "/models");
    compile_folder(SOURCE_DIR "/models");
}

/* Every block of the library, in one model. */
static void test_library(void **state)
{
    (void)state;
    static const char text[] =
        "model all\nuse \"norm.smg\"\nuse \"mlp.smg\"\nuse \"attention.smg\"\n"
        "batch B\nsequence T <= 32\ninput tokens : i32[B, T]\n"
        "wte = table(50, 16) as wte\nx = embedding(wte, tokens)\n"
        "for i in 0..2 as h.{i} {\n"
        "  x = x + causal_attention(layer_norm(x) as ln_1, 4, window = 8, drop = 0.1) as attn\n"
        "  x = x + gelu_mlp(layer_norm(x) as ln_2, 64) as mlp\n}\n"
        "for i in 2..4 as h.{i} {\n"
        "  x = x + rotary_attention(rms_norm(x) as ln_1, 4, 2) as attn\n"
        "  x = x + swiglu(rms_norm(x) as ln_2, 48) as mlp\n}\n"
        "x = conv1d(x, 16) as last\noutput logits = x @ wte'\n";
    Compiled *c = compile_text(text, sizeof text - 1);
    compile_show(c);
    assert_non_null(c->g);
    Seen s = { .g = c->g };
    expect_param(&s, "[48, 16]", "h.0.attn.c_attn.weight");
    expect_param(&s, "[8, 16]", "h.2.attn.k_proj.weight");
    expect_param(&s, "[48, 16]", "h.3.mlp.up_proj.weight");
    expect_param(&s, "[16, 16]", "last.weight");
    compile_end(c);
}

/* What the front end makes reads back from its text. */
static void test_graph_text_reads_back(void **state)
{
    (void)state;
    Compiled *c = compile_clean(SHARED_DIR "/models/llama.smg", DEFINES("depth=2"));
    Buf once = { 0 }, twice = { 0 };
    graph_print(&once, c->g);
    Error err;
    const Graph *again = graph_read(once.data, once.len, &c->arena, &err);
    if (!again)
        fail_msg("%s", err.text);
    graph_print(&twice, again);
    assert_int_equal(once.len, twice.len);
    assert_memory_equal(once.data, twice.data, once.len);
    buf_free(&once);
    buf_free(&twice);
    compile_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_is_the_published_one),
        cmocka_unit_test(test_llama_is_tinyllama),
        cmocka_unit_test(test_llama_tied_with_biases),
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_roles_bounds_and_ids),
        cmocka_unit_test(test_every_node_knows_its_place),
        cmocka_unit_test(test_dropout_sites),
        cmocka_unit_test(test_reference_files_have_these_names),
        cmocka_unit_test(test_all_models_compile),
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_graph_text_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
