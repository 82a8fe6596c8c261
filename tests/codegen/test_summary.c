/* Summaries: against numbers counted by hand and published, and against themselves. */
#include "codegen/summary.h"

#include "base/check.h"
#include "codegen/compile.h"
#include "passes/specialize.h"
#include "tests/passes/lab.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static Summary summarise(Lab *l, const char *model, const CompileOptions *options)
{
    char path[512];
    snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", model);
    lab_model(l, path, NULL, 0);
    Summary s = summary_begin(l->g, &l->arena);
    for (Program p = PROGRAM_score; p < N_PROGRAMS; p++) {
        if (!program_possible(l->g, p))
            continue;
        const Graph *g = compile_program(l->g, p, options, &l->arena, &l->scratch, &l->diags);
        assert_non_null(g);
        summary_add(&s, g, &l->scratch);
    }
    return s;
}

static const Block *block(const Summary *s, const char *path)
{
    for (uint32_t i = 0; i < s->n_blocks; i++)
        if (strcmp(s->blocks[i].path, path) == 0)
            return &s->blocks[i];
    fail_msg("no block %s", path);
    return NULL;
}

static const ProgramSum *program(const Summary *s, Program p)
{
    for (uint32_t i = 0; i < s->n_programs; i++)
        if (s->programs[i].program == p)
            return &s->programs[i];
    fail_msg("no program %s", program_name(p));
    return NULL;
}

/* Three layers of 8 x 64, 64 x 64 and 64 x 1 at a batch of 3. */
static void test_by_hand(void **state)
{
    (void)state;
    const CompileOptions options = { .level = 2, .batch = 3 };
    Lab l;
    const Summary s = summarise(&l, "mlp", &options);
    const double products = 2 * 3 * (8 * 64 + 64 * 64 + 64), biases = 3 * (64 + 64 + 1);
    assert_int_equal(s.blocks[0].sum.parameters, 9 * 64 + 65 * 64 + 65);
    assert_int_equal(block(&s, "second")->sum.parameters, 65 * 64);
    assert_true(s.blocks[0].sum.flops == products + biases + 3 * 128);
    assert_true(block(&s, "last")->sum.flops == 3 * (2 * 64 + 1));
    /* Two layers; the difference, and what it passes back.  Which elements of the layers are above 0
     * is asked again. */
    assert_int_equal(s.blocks[0].sum.activations, 2 * (3 * 64 * 4) + 2 * 64);
    assert_int_equal(s.optimizer_bytes, s.parameter_bytes);         /* momentum */
    assert_int_equal(s.cache_bytes, 0);
    assert_int_equal(s.n_programs, 5);                              /* no sequence to generate */
    assert_int_equal(s.sizes[0], 3);
    lab_end(&l);
}

/* The published GPT-2 has 124,439,808 parameters; a layer keeps a key and a value of 768 floats. */
static void test_gpt2(void **state)
{
    (void)state;
    const CompileOptions options = { .level = 2, .batch = 2, .sequence = 128 };
    Lab l;
    const Summary s = summarise(&l, "gpt2", &options);
    const double products = 2.0 * 256 * (12 * 12 * 768 * 768 + 768 * 50257);
    const double attention = 12 * 12 * 2 * (128 * 129 / 2) * (4.0 * 64 + 4);
    const Block *attn = block(&s, "h.7.attn");
    assert_int_equal(s.blocks[0].sum.parameters, 124439808);
    assert_int_equal(block(&s, "h.7")->sum.parameters, 7087872);
    assert_int_equal(block(&s, "h.7.attn.c_attn")->sum.parameters, 769 * 2304);
    assert_int_equal(attn->sum.cache, 2 * 768 * 4);
    assert_int_equal(s.blocks[0].sum.cache, 12 * 2 * 768 * 4);
    assert_true(12 * (attn->sum.flops - block(&s, "h.7.attn.c_attn")->sum.flops
                      - block(&s, "h.7.attn.c_proj")->sum.flops) == attention);
    assert_true(s.blocks[0].sum.flops > products + attention);
    assert_true(s.blocks[0].sum.flops < 1.02 * (products + attention));
    assert_int_equal(s.optimizer_bytes, 2 * s.parameter_bytes);     /* two moments */
    assert_int_equal(s.cache_bytes, (int64_t)12 * 2 * 768 * 4 * 1024);      /* one sequence */
    lab_end(&l);
}

/* Bytes of a position by the cache's type: 12 layers, keys and values of 12 heads of 64. */
static void test_cache_types(void **state)
{
    (void)state;
    static const struct { DType type; int64_t bytes; } want[] = {
        { DTYPE_f32, 4 * 768 }, { DTYPE_bf16, 2 * 768 }, { DTYPE_q8_0, 768 / 32 * 34 },
    };
    for (size_t k = 0; k < COUNT_OF(want); k++) {
        const CompileOptions options = { .level = 2, .batch = 1, .sequence = 32, .cache = want[k].type };
        Lab l;
        const Summary s = summarise(&l, "gpt2", &options);
        assert_int_equal(block(&s, "h.7.attn")->sum.cache, 2 * want[k].bytes);
        assert_int_equal(s.cache_bytes, 12 * 2 * want[k].bytes * 1024);
        lab_end(&l);
    }
}

/* A block has at least what is in it; a program's pool lies between the bound and the plain sum. */
static void test_consistent(void **state)
{
    (void)state;
    const CompileOptions options = { .level = 2, .batch = 2, .sequence = 32 };
    Lab l;
    const Summary s = summarise(&l, "chargpt", &options);
    for (uint32_t i = 0; i < s.n_blocks; i++) {
        BlockSum in = { 0 };
        for (uint32_t c = s.blocks[i].child; c; c = s.blocks[c].sibling) {
            in.parameters += s.blocks[c].sum.parameters;
            in.flops += s.blocks[c].sum.flops;
            in.activations += s.blocks[c].sum.activations;
            in.cache += s.blocks[c].sum.cache;
        }
        assert_true(in.parameters <= s.blocks[i].sum.parameters);
        assert_true(in.flops <= s.blocks[i].sum.flops);
        assert_true(in.activations <= s.blocks[i].sum.activations);
        assert_true(in.cache <= s.blocks[i].sum.cache);
    }
    for (uint32_t i = 0; i < s.n_programs; i++) {
        const ProgramSum *p = &s.programs[i];
        assert_true(p->bound <= p->pool && p->pool <= p->plain);
        assert_true(p->instructions > 0 && p->barriers <= p->instructions);
    }
    assert_true(s.blocks[0].sum.activations > 0);
    assert_true(s.blocks[0].sum.activations <= program(&s, PROGRAM_train)->pool);
    assert_true(program(&s, PROGRAM_train)->flops > 2 * program(&s, PROGRAM_eval)->flops);
    lab_end(&l);
}

static void test_text(void **state)
{
    (void)state;
    const CompileOptions options = { .level = 2, .sequence = 32 };
    Lab l;
    Buf text = { 0 };
    const Summary s = summarise(&l, "chargpt", &options);
    summary_print(&text, &s);
    assert_non_null(strstr(text.data, "chargpt at B = 1, T = 32\n"));
    assert_non_null(strstr(text.data, "\n  layer.1..2"));
    assert_non_null(strstr(text.data, "  2 x  "));
    assert_null(strstr(text.data, "layer.2"));
    assert_non_null(strstr(text.data, "\ntrain "));
    assert_non_null(strstr(text.data, "\nMost is alive in program train at "));
    buf_free(&text);
    lab_end(&l);
}

static void test_json(void **state)
{
    (void)state;
    const CompileOptions options = { .level = 2, .sequence = 32 };
    Lab l;
    Buf text = { 0 };
    json_error_t err;
    const Summary s = summarise(&l, "chargpt", &options);
    summary_json(&text, &s);
    json_t *root = json_loadb(text.data, text.len, 0, &err);
    if (!root)
        fail_msg("line %d: %s", err.line, err.text);
    const json_t *blocks = json_object_get(root, "blocks");
    const json_t *programs = json_object_get(root, "programs");
    assert_int_equal(json_array_size(blocks), s.n_blocks);
    assert_int_equal(json_array_size(programs), s.n_programs);
    const json_t *first = json_array_get(blocks, 0);
    assert_int_equal(json_integer_value(json_object_get(first, "parameters")),
                     s.blocks[0].sum.parameters);
    const json_t *train = json_array_get(programs, 2);
    assert_string_equal(json_string_value(json_object_get(train, "program")), "train");
    assert_int_equal(json_integer_value(json_object_get(train, "pool_bytes")),
                     program(&s, PROGRAM_train)->pool);
    json_decref(root);
    buf_free(&text);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_cache_types),
        cmocka_unit_test(test_consistent),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
