/* Shape rules: for every op what it makes of right inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/ir/infer_case.h"

#include <stdio.h>
#include <string.h>

static const InferCase right[] = {
    { "constant", "", "value=3", NULL, "f32[]", NULL },
    { "constant", "", "dtype=1", NULL, "i32[]", NULL },
    { "extent", "", "size=T", NULL, "f32[]", NULL },
    { "positions", "", "length=T", NULL, "i32[T]", NULL },
    { "positions", "i32[]", "length=5", NULL, "i32[5]", NULL },
    { "neg abs", X3, NULL, NULL, X3, NULL },
    { "neg abs", "i32[T]", NULL, NULL, "i32[T]", NULL },
    { "exp expm1 log sqrt rsqrt recip tanh sin cos erf sigmoid relu silu gelu gelu_tanh silu_slope "
      "gelu_slope gelu_tanh_slope", X3, NULL, NULL, X3, NULL },
    { "add sub mul", "i32[T];i32[]", NULL, NULL, "i32[T]", NULL },
    { "add sub mul div pow maximum minimum", X3 ";f32[8]", NULL, NULL, X3, NULL },
    { "add sub mul div pow maximum minimum", "f32[T, 1];f32[B, 1, 8]", NULL, NULL, X3, NULL },
    { "add", "f32[];f32[]", NULL, NULL, "f32[]", NULL },
    { "lt le gt ge eq ne", X3 ";f32[]", NULL, NULL, "bool[B, T, 8]", NULL },
    { "lt le gt ge eq ne", "i32[T, 1];i32[T]", NULL, NULL, "bool[T, T]", NULL },
    { "where", "bool[T, 1];f32[B, T, 8];f32[]", NULL, NULL, X3, NULL },
    { "where", "bool[B];i32[];i32[]", NULL, NULL, "i32[B]", NULL },
    { "cast", "i32[B]", NULL, NULL, "f32[B]", NULL },
    { "cast", "f32[B]", "dtype=2", NULL, "bool[B]", NULL },
    { "dropout", X3, "p=0.5", NULL, X3, NULL },
    { "dropout", X3 ";i32[2]", "p=0.999 site=4", NULL, X3, NULL },
    { "sum mean max min logsumexp", X3, NULL, NULL, "f32[]", NULL },
    { "sum mean max min logsumexp", X3, "axes=4", NULL, "f32[B, T, 1]", NULL },
    { "sum mean max min logsumexp", X3, "axes=5", NULL, "f32[1, T, 1]", NULL },
    { "softmax", X3, NULL, NULL, X3, NULL },
    { "softmax", X3, "axis=-3", NULL, X3, NULL },
    { "partial_sum", X3, "square=1", NULL, "f32[256]", NULL },
    { "reshape", X3, NULL, "f32[B, T, 2, 4]", "f32[B, T, 2, 4]", NULL },
    { "reshape", X3, NULL, "f32[8*B*T]", "f32[8*B*T]", NULL },
    { "reshape", "i32[1]", NULL, "f32[]", "i32[]", NULL },
    { "transpose", "f32[B, 4, T, 8]", NULL, NULL, "f32[B, 4, 8, T]", NULL },
    { "transpose", "f32[B, 4, T, 8]", "a=2 b=1", NULL, "f32[B, T, 4, 8]", NULL },
    { "slice", X3, "start=2 stop=5", NULL, "f32[B, T, 3]", NULL },
    { "slice", "i32[9, T]", "axis=0 stop=9", NULL, "i32[9, T]", NULL },
    { "broadcast", "f32[T, 1]", NULL, "f32[B, T, 8]", X3, NULL },
    { "broadcast", "bool[]", NULL, "f32[T]", "bool[T]", NULL },
    { "concat", "f32[B, 3];f32[B, 5];f32[B, 1]", NULL, NULL, "f32[B, 9]", NULL },
    { "concat", "f32[B, 3];f32[B, 3]", "axis=1", NULL, "f32[B, 6]", NULL },
    { "pad", "f32[B, 3]", "before=1 after=2", NULL, "f32[B, 6]", NULL },
    { "pad", "f32[3, B]", "axis=0", NULL, "f32[3, B]", NULL },
    { "copy", "bool[B, T]", NULL, NULL, "bool[B, T]", NULL },
    { "after", "bool[B, T];f32[]", NULL, NULL, "bool[B, T]", NULL },
    { "matmul", X3 ";f32[8, 4]", NULL, NULL, "f32[B, T, 4]", NULL },
    { "matmul", "f32[T, 8];f32[B, 4, 8]", "transpose_b=1", NULL, "f32[B, T, 4]", NULL },
    { "matmul", "f32[B, 1, T, 8];f32[3, T, 5]", "transpose_a=1", NULL, "f32[B, 3, 8, 5]", NULL },
    { "matmul", "f32[8, T];f32[B, 8]", "transpose_a=1 transpose_b=1", NULL, "f32[T, B]", NULL },
    { "matmul", X3 ";bf16[8, 4]", NULL, NULL, "f32[B, T, 4]", NULL },
    { "matmul", "f32[B, 64];q8_0[5, 64]", "transpose_b=1", NULL, "f32[B, 5]", NULL },
    { "matmul", "bf16[B, 64];bf16[B, 5]", "transpose_a=1 precision=3", NULL, "f32[64, 5]", NULL },
    { "transpose", "bf16[4, 8]", NULL, NULL, "bf16[8, 4]", NULL },
    { "round_bf16", X3, NULL, NULL, "bf16[B, T, 8]", NULL },
    { "product", X3 ";f32[8, 4]", "activation=5", NULL, "f32[B, T, 4]", NULL },
    { "product", X3 ";f32[8, 4];f32[4];f32[B, T, 4]", "bias=1 residual=1", NULL, "f32[B, T, 4]",
      NULL },
    { "assign_product", "f32[8, 4];f32[T, 8];f32[T, 4]", "transpose_a=1", NULL, "f32[8, 4]", NULL },
    { "embedding", "f32[100, 8];i32[B, T]", NULL, NULL, X3, NULL },
    { "embedding", "q6_k[100, 256];i32[B]", NULL, NULL, "f32[B, 256]", NULL },
    { "matmul", X3 ";bf16[8, 4]", "precision=3", NULL, "f32[B, T, 4]", NULL },
    { "matmul_squares", "f32[B, 70];f32[B, 4]", "transpose_a=1", NULL, "f32[70, 4];f32[2, 4]", NULL },
    { "column_sums", "f32[B, T, 8]", "parts=3", NULL, "f32[3, 1, 8]", NULL },
    { "sum_squares", "f32[B, T, 130]", "axes=3", NULL, "f32[1, 1, 130];f32[3]", NULL },
    { "cache_write", "bf16[B, 2, 9, 8];f32[B, 2, T, 8];i32[]", NULL, NULL, "bf16[B, 2, 9, 8]", NULL },
    { "cache_write", "q8_0[B, 2, 9, 32];f32[B, 2, T, 32];i32[]", NULL, NULL, "q8_0[B, 2, 9, 32]", NULL },
    { "attention_cached", "f32[B, 4, T, 32];q8_0[B, 2, 99, 32];q8_0[B, 2, 99, 64];i32[]", NULL, NULL,
      "f32[B, 4, T, 64];f32[B, 4, T]", NULL },
    { "decode", "bf16[4, 8]", NULL, NULL, "f32[4, 8]", NULL },
    { "decode", "q4_k[256]", NULL, NULL, "f32[256]", NULL },
    { "embedding", "f32[100, 8];i32[]", NULL, NULL, "f32[8]", NULL },
    { "embedding_grad", "f32[100, 8];i32[B, T];" X3, NULL, NULL, "f32[100, 8]", NULL },
    { "embedding_grad", "f32[100, 70];i32[B];f32[B, 70]", "squares=1", NULL, "f32[100, 70];f32[3]", NULL },
    { "masked_matmul", X3 ";f32[5, 8];f32[B, T, 1]", NULL, NULL, "f32[B, T, 5]", NULL },
    { "rope", "f32[B, 4, T, 8];i32[T];f32[4]", NULL, NULL, "f32[B, 4, T, 8]", NULL },
    { "rope", "f32[B, 4, T, 8];i32[T]", "base=500 style=1", NULL, "f32[B, 4, T, 8]", NULL },
    { "causal_mask", "f32[B, 4, T, T]", NULL, NULL, "f32[B, 4, T, T]", NULL },
    { "attention", QKV, NULL, NULL, "f32[B, 4, T, 6];f32[B, 4, T]", NULL },
    { "attention", QKV ";i32[2]", "drop=0.1 window=4 soft_cap=30 scale=1", NULL,
      "f32[B, 4, T, 6];f32[B, 4, T]", NULL },
    { "attention_grad", QKV ";f32[B, 4, T, 6];f32[B, 4, T];f32[B, 4, T, 6]", NULL, NULL, QKV,
      NULL },
    { "attention_grad", QKV ";f32[B, 4, T, 6];f32[B, 4, T];f32[B, 4, T, 6];i32[2]", "drop=0.5",
      NULL, QKV, NULL },
    { "attention_cached", "f32[B, 4, T, 8];f32[B, 2, 99, 8];f32[B, 2, 99, 6];i32[]", NULL, NULL,
      "f32[B, 4, T, 6];f32[B, 4, T]", NULL },
    { "cross_entropy", X3 ";i32[B, T]", "ignore=-1", NULL, "f32[B, T];f32[B, T]", NULL },
    { "cross_entropy_grad", X3 ";f32[B, T];i32[B, T];f32[B, T]", NULL, NULL, X3, NULL },
    { "linear_cross_entropy", "f32[T, 8];f32[8, 16];i32[T]", "chunk=4", NULL,
      "f32[T];f32[T];f32[4, 16]", NULL },
    { "linear_cross_entropy_grad", "f32[T, 8];f32[16, 8];i32[T];f32[T]", "transpose_w=1 chunk=4",
      NULL, "f32[T, 8];f32[16, 8];f32[T];f32[T];f32[4, 16]", NULL },
    { "linear_cross_entropy_grad", "f32[T, 8];f32[16, 8];i32[T];f32[T];f32[16]",
      "transpose_w=1 chunk=4", NULL, "f32[T, 8];f32[16, 8];f32[T];f32[T];f32[4, 16];f32[16]", NULL },
    { "linear_cross_entropy_grad", "f32[T, 8];f32[66, 8];i32[T];f32[T];f32[66]",
      "transpose_w=1 chunk=4 squares=1", NULL,
      "f32[T, 8];f32[66, 8];f32[T];f32[T];f32[4, 66];f32[66];f32[2];f32[2, 8]", NULL },
    { "linear_cross_entropy_grad", "f32[T, 8];f32[8, 66];i32[T];f32[T]", "chunk=4 squares=1", NULL,
      "f32[T, 8];f32[8, 66];f32[T];f32[T];f32[4, 66];f32[1, 66]", NULL },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, 2, T, 8];i32[]", NULL, NULL, "f32[B, 2, 99, 8]",
      NULL },
    { "assign", "i32[B];i32[B]", NULL, NULL, "i32[B]", NULL },
};

static void right_inputs_give_types(void **state)
{
    (void)state;
    bool seen[N_OPS] = { false };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        infer_case_run(&right[i], seen);
    infer_case_all_seen(seen, "right");
}

/* What a rule has put into its normal form it leaves alone. */
static void normal_forms_stay(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        const InferCase *c = &right[i];
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(c->ops, " "), c->ops);
        OpId op;
        assert_true(op_from_name(name, &op));
        Arena arena;
        arena_init(&arena, NULL);
        ValueId inputs[MOST_INPUTS];
        NodeSpec spec;
        Graph *g = infer_case_read(c, op, &arena, inputs, &spec);
        AttrValue once[MAX_ATTRS], twice[MAX_ATTRS];
        Type out[MAX_OUTPUTS];
        memcpy(once, spec.attr, sizeof once);
        assert_true(infer_types(g, &spec, once, out, NULL));
        memcpy(twice, once, sizeof once);
        memcpy(spec.attr, once, sizeof once);
        assert_true(infer_types(g, &spec, twice, out, NULL));
        assert_memory_equal(once, twice, sizeof once);
        arena_free(&arena);
    }
}

/* A broadcast keeps the name of a size, whichever side knows it. */
static void broadcasting_keeps_names(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = graph_new(&arena, "g", PROGRAM_model);
    Dim width = dim_const(768), bare = dim_const(768), batch = dim_const(4);
    width.origin = graph_origin(g, "width", (Span){ 0, 5, 1, 5 });
    Shape a = type_of(DTYPE_f32, 2, (Dim[]){ batch, bare }).shape;
    Shape b = type_of(DTYPE_f32, 1, (Dim[]){ width }).shape, r;
    int bad;
    assert_true(shape_broadcast(&a, &b, &r, &bad));
    assert_int_equal(r.dim[1].origin, width.origin);
    assert_true(shape_broadcast(&b, &a, &r, &bad));
    assert_int_equal(r.dim[1].origin, width.origin);
    assert_int_equal(r.rank, 2);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_inputs_give_types),
        cmocka_unit_test(normal_forms_stay),
        cmocka_unit_test(broadcasting_keeps_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
