/* Shape rules: for every op what it says to wrong inputs, and what the author reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/ir/infer_case.h"

#include <string.h>

static const InferCase wrong[] = {
    { "constant extent", "f32[]", NULL, NULL, "takes 0 inputs, not 1", "E0200" },
    { "positions", "i32[];i32[]", NULL, NULL, "takes 0 to 1 inputs, not 2", "E0200" },
    { "positions", "f32[]", NULL, NULL, "past must be i32, not f32", "E0203" },
    { "positions", "i32[1]", NULL, NULL, "past must have 0 axes, not 1", "E0205" },
    { "positions", "", "length=0", NULL, "length must be at least 1", "E0206" },
    { "neg abs", "bool[B]", NULL, NULL, "x must be f32 or i32, not bool", "E0203" },
    { "exp expm1 log sqrt rsqrt recip tanh sin cos erf sigmoid relu silu gelu gelu_tanh silu_slope "
      "gelu_slope gelu_tanh_slope", "i32[B]", NULL, NULL, "x must be f32, not i32", "E0203" },
    { "add sub mul", "f32[B];i32[]", NULL, NULL, "x is f32 and y is i32", "E0204" },
    { "add sub mul div pow maximum minimum lt le gt ge eq ne", X3 ";f32[4]", NULL, NULL,
      "8 and 4, axis 1 from the end", "E0202" },
    { "add sub mul div pow maximum minimum lt le gt ge eq ne", "f32[B, 8];f32[T, 8]", NULL, NULL,
      "B and T, axis 2 from the end", "E0202" },
    { "div pow maximum minimum", "f32[B];i32[B]", NULL, NULL, "y must be f32, not i32", "E0203" },
    { "lt le gt ge eq ne", "bool[B];bool[B]", NULL, NULL, "x must be f32 or i32", "E0203" },
    { "lt le gt ge eq ne", "f32[B];i32[B]", NULL, NULL, "x is f32 and y is i32", "E0204" },
    { "where", "f32[B];f32[B];f32[B]", NULL, NULL, "condition must be bool, not f32", "E0203" },
    { "where", "bool[B];f32[B];i32[B]", NULL, NULL, "x is f32 and y is i32", "E0204" },
    { "where", "bool[B];f32[T];f32[]", NULL, NULL, "B and T", "E0202" },
    { "where", "bool[B];f32[B]", NULL, NULL, "takes 3 inputs, not 2", "E0200" },
    { "cast copy", "f32[];f32[]", NULL, NULL, "takes 1 input, not 2", "E0200" },
    { "after", "f32[]", NULL, NULL, "takes 2 inputs, not 1", "E0200" },
    { "dropout", "i32[B]", NULL, NULL, "x must be f32", "E0203" },
    { "dropout", X3, "p=1", NULL, "p must be at least 0 and below 1, not 1", "E0206" },
    { "dropout", X3, "p=-0.1", NULL, "p must be at least 0 and below 1", "E0206" },
    { "dropout", X3, "p=nan", NULL, "p must be at least 0 and below 1", "E0206" },
    { "dropout", X3 ";i32[3]", NULL, NULL, "seed must be i32[2]", "E0216" },
    { "dropout", X3, "site=-1", NULL, "site must be at least 0, not -1", "E0206" },
    { "sum mean max min logsumexp", "i32[B]", NULL, NULL, "x must be f32", "E0203" },
    { "sum mean max min logsumexp", X3, "axes=8", NULL, "there is no axis 3", "E0201" },
    { "sum mean max min logsumexp", "f32[]", "axes=1", NULL, "there is no axis 0", "E0201" },
    { "sum mean max min logsumexp", X3, "axes=-7", NULL, "there is no axis", "E0201" },
    { "sum mean max min logsumexp", X3, "axes=0", NULL, "no axis to reduce", "E0217" },
    { "softmax", X3, "axis=3", NULL, "there is no axis 3", "E0201" },
    { "softmax", X3, "axis=-4", NULL, "there is no axis -4", "E0201" },
    { "softmax", "f32[]", NULL, NULL, "there is no axis -1", "E0201" },
    { "softmax", "bool[B]", NULL, NULL, "x must be f32", "E0203" },
    { "partial_sum", "i32[B]", NULL, NULL, "x must be f32", "E0203" },
    { "reshape", X3, NULL, "f32[B, T, 2, 5]", "another number of elements than [B, T, 2, 5]",
      "E0207" },
    { "reshape", "f32[B, 8]", NULL, "f32[T, 8]", "another number of elements", "E0207" },
    { "reshape", "f32[B]", NULL, "f32[4611686018427387903]", "another number", "E0207" },
    { "transpose", "f32[B]", NULL, NULL, "there is no axis -2", "E0201" },
    { "transpose", X3, "a=0 b=3", NULL, "there is no axis 3", "E0201" },
    { "slice", X3, NULL, NULL, "0:0 is not a part of an axis of size 8", "E0208" },
    { "slice", X3, "start=3 stop=9", NULL, "3:9 is not a part", "E0208" },
    { "slice", X3, "start=-1 stop=4", NULL, "-1:4 is not a part", "E0208" },
    { "slice", X3, "axis=1 stop=4", NULL, "axis 1 of x is not a constant", "E0209" },
    { "slice", X3, "axis=5 stop=4", NULL, "there is no axis 5", "E0201" },
    { "broadcast", "f32[T]", NULL, "f32[T, 8]", "x does not stretch to [T, 8]", "E0211" },
    { "broadcast", "f32[T, 8]", NULL, "f32[8]", "x does not stretch to [8]", "E0211" },
    { "broadcast", "f32[8]", NULL, "f32[1]", "x does not stretch to [1]", "E0211" },
    { "concat", "", NULL, NULL, "takes 1 to 32 inputs, not 0", "E0200" },
    { "concat", "f32[B, 3];i32[B, 3]", NULL, NULL, "x0 is f32 and x1 is i32", "E0204" },
    { "concat", "f32[B, 3];f32[3]", NULL, NULL, "x1 must have 2 axes", "E0205" },
    { "concat", "f32[B, 3];f32[T, 3]", NULL, NULL, "x0 and x1 differ on axis 0", "E0212" },
    { "concat", "f32[B, 3];f32[B, 3]", "axis=0", NULL, "axis 0 of x0 is not a constant", "E0209" },
    { "concat", "f32[];f32[]", NULL, NULL, "there is no axis -1", "E0201" },
    { "pad", "f32[B, 3]", "before=-1", NULL, "before must be at least 0", "E0206" },
    { "pad", "f32[B, 3]", "after=9223372036854775807", NULL, "after must be at most", "E0206" },
    { "pad", "f32[B, 3]", "axis=0 after=1", NULL, "axis 0 of x is not a constant", "E0209" },
    { "pad", "f32[3, 4]", "before=1152921504606846976 after=1152921504606846976", NULL,
      "more than 2^62 elements", "E0213" },
    { "pad", "f32[3]", "axis=1", NULL, "there is no axis 1", "E0201" },
    { "product", X3 ";f32[8, 4];f32[4]", NULL, NULL, "3 inputs where its attributes say 2",
      "E0200" },
    { "assign_product", "f32[8, 5];f32[T, 8];f32[T, 4]", "transpose_a=1", NULL,
      "the product has another shape than what it is added to", "E0202" },
    { "product", X3 ";f32[8, 4];f32[5]", "bias=1", NULL, "the bias has another length", "E0202" },
    { "product", X3 ";f32[8, 4];f32[T, 4]", "residual=1", NULL, "the residual has another shape",
      "E0202" },
    { "matmul", X3 ";f32[4, 8]", NULL, NULL, "inner dimensions differ", "E0210" },
    { "matmul", X3 ";f32[8, 4]", "transpose_b=1", NULL, "inner dimensions differ", "E0210" },
    { "matmul", "f32[B, 8];f32[T, 8]", "transpose_a=1", NULL, "inner dimensions differ", "E0210" },
    { "matmul", X3 ";f32[8]", NULL, NULL, "w must have at least 2 axes, not 1", "E0205" },
    { "matmul", "f32[B, 2, 8];f32[T, 8, 4]", NULL, NULL, "leading axes do not broadcast", "E0202" },
    { "matmul", "i32[B, 8];f32[8, 4]", NULL, NULL, "x must be f32, not i32", "E0203" },
    { "matmul", "f16[B, 8];f32[8, 4]", NULL, NULL, "x is stored as f16, which it does not read",
      "E0203" },
    { "matmul", "f32[B, 64];q8_0[64, 32]", NULL, NULL, "along the rows of one matrix", "E0203" },
    { "matmul", "f32[B, 64];q8_0[2, 5, 64]", "transpose_b=1", NULL, "along the rows of one matrix",
      "E0203" },
    { "matmul", X3 ";f32[8, 4]", "precision=4", NULL, "precision must be f32 or bf16", "E0206" },
    { "matmul", "f32[B, 64];q8_0[5, 64]", "transpose_b=1 precision=3", NULL,
      "blocks of q8_0 have a precision of their own", "E0206" },
    { "decode", "f32[4, 8]", NULL, NULL, "x is f32, which needs no decoding", "E0203" },
    { "decode", "bf16[]", NULL, NULL, "x must have", "E0205" },
    { "exp sum copy cast", "bf16[4, 8]", NULL, NULL, "x is stored as bf16, which it does not",
      "E0203" },
    { "round_bf16", "i32[B]", NULL, NULL, "must be f32", "E0203" },
    { "matmul", "q8_0[5, 64];f32[64, 8]", NULL, NULL, "x is stored as q8_0, which it does not", "E0203" },
    { "cast", "f32[B]", "dtype=3", NULL, "a result is f32, i32 or bool; bf16 is a type of storage",
      "E0203" },
    { "embedding", "f32[100, 8];f32[B, T]", NULL, NULL, "ids must be i32, not f32", "E0203" },
    { "embedding", "f32[100];i32[B, T]", NULL, NULL, "table must have 2 axes, not 1", "E0205" },
    { "embedding", "f32[100, 8];i32[1, 1, 1, 1, 1, 1]", NULL, NULL, "at most 5 axes", "E0205" },
    { "column_sums", "f32[8]", NULL, NULL, "x must have at least 2 axes", "E0205" },
    { "column_sums", "f32[4, 8]", "parts=0", NULL, "parts", "E0206" },
    { "sum_squares", "f32[B, T, 130]", "axes=1", NULL, "squares of a sum with more than one axis", "E0202" },
    { "sum_squares", "f32[B, T]", "axes=1", NULL, "squares of an axis whose size is not fixed", "E0202" },
    { "embedding_grad", "f32[100, 8];i32[B, T];f32[B, T, 4]", NULL, NULL,
      "axis 1 of base and axis 2 of g must have one size", "E0216" },
    { "embedding_grad", "f32[100, 8];i32[B, T];f32[T, T, 8]", NULL, NULL,
      "axis 0 of g and axis 0 of ids", "E0216" },
    { "embedding_grad", "f32[100, 8];i32[B, T];f32[B, 8]", NULL, NULL, "g must have 3 axes",
      "E0205" },
    { "masked_matmul", X3 ";f32[8, 5];f32[B, T, 1]", NULL, NULL, "axis 2 of x and axis 1 of w", "E0216" },
    { "masked_matmul", X3 ";f32[5, 8];f32[B, T, 8]", NULL, NULL, "gate must be f32[B, T, 1]", "E0216" },
    { "masked_matmul", X3 ";f32[5, 8];f32[B, T]", NULL, NULL, "gate must have 3 axes", "E0205" },
    { "rope", "f32[B, 4, T, 8];i32[T];f32[8]", NULL, NULL, "factors must be f32[4]", "E0216" },
    { "rope", "f32[B, 4, T, 7];i32[T]", NULL, NULL, "must be even", "E0214" },
    { "rope", "f32[B, 4, T, 8];i32[B]", NULL, NULL, "axis 2 of x and axis 0 of positions",
      "E0216" },
    { "rope", "f32[B, 4, T, 8];f32[T]", NULL, NULL, "positions must be i32", "E0203" },
    { "rope", X3 ";i32[T]", NULL, NULL, "x must have 4 axes, not 3", "E0205" },
    { "rope", "f32[B, 4, T, 8];i32[T]", "base=0", NULL, "base must be a finite number", "E0206" },
    { "rope", "f32[B, 4, T, 8];i32[T]", "base=inf", NULL, "base must be a finite number", "E0206" },
    { "causal_mask", "f32[T]", NULL, NULL, "x must have at least 2 axes", "E0205" },
    { "causal_mask", "i32[T, T]", NULL, NULL, "x must be f32", "E0203" },
    { "attention", "f32[B, 5, T, 8];f32[B, 2, T, 8];f32[B, 2, T, 6]", NULL, NULL,
      "the heads of q must be a multiple", "E0215" },
    { "attention", "f32[B, 4, T, 8];f32[B, 2, T, 7];f32[B, 2, T, 6]", NULL, NULL,
      "axis 3 of q and axis 3 of k", "E0216" },
    { "attention", "f32[B, 4, T, 8];f32[T, 2, T, 8];f32[B, 2, T, 6]", NULL, NULL,
      "axis 0 of q and axis 0 of k", "E0216" },
    { "attention", "f32[B, 4, T, 8];f32[B, 2, T, 8];f32[B, 1, T, 6]", NULL, NULL,
      "axis 1 of k and axis 1 of v", "E0216" },
    { "attention", "f32[B, 4, T, 8];f32[B, 2, T, 8];f32[B, 2, 9, 6]", NULL, NULL,
      "axis 2 of k and axis 2 of v", "E0216" },
    { "attention", "f32[B, 4, T, 8];f32[B, 2, T, 8];f32[T, 2, T, 6]", NULL, NULL,
      "axis 0 of k and axis 0 of v", "E0216" },
    { "attention", "f32[B, T, 8];f32[B, T, 8];f32[B, T, 8]", NULL, NULL, "q must have 4 axes",
      "E0205" },
    { "attention", QKV, "window=-1", NULL, "window must be at least 0", "E0206" },
    { "attention", QKV, "window=4 causal=0", NULL, "a window needs causal", "E0219" },
    { "attention", QKV, "drop=1", NULL, "drop must be at least 0 and below 1", "E0206" },
    { "attention", QKV, "precision=4", NULL, "precision must be f32 or bf16", "E0206" },
    { "attention", QKV, "scale=inf", NULL, "scale must be a finite number", "E0206" },
    { "attention", QKV, "soft_cap=-1", NULL, "soft_cap must be a finite number of at least 0",
      "E0206" },
    { "attention", QKV ";f32[2]", NULL, NULL, "seed must be i32, not f32", "E0203" },
    { "attention_grad", QKV ";f32[B, 4, T, 8];f32[B, 4, T];f32[B, 4, T, 6]", NULL, NULL,
      "out must be f32[B, 4, T, 6]", "E0216" },
    { "attention_grad", QKV ";f32[B, 4, T, 6];f32[B, T];f32[B, 4, T, 6]", NULL, NULL,
      "lse must have 3 axes", "E0205" },
    { "attention_grad", QKV ";f32[B, 4, T, 6];f32[B, 4, T];f32[B, 4, 9, 6]", NULL, NULL,
      "dout must be f32[B, 4, T, 6]", "E0216" },
    { "attention_cached", "f32[B, 4, T, 8];f32[B, 2, 99, 8];f32[B, 2, 99, 6];i32[1]", NULL, NULL,
      "past must have 0 axes", "E0205" },
    { "attention_cached", "f32[B, 4, T, 32];q8_0[B, 2, 99, 32];bf16[B, 2, 99, 32];i32[]", NULL, NULL,
      "v must be q8_0, not bf16", "E0203" },
    { "attention_cached", "f32[B, 4, T, 256];q4_k[B, 2, 99, 256];q4_k[B, 2, 99, 256];i32[]", NULL, NULL,
      "k must be f32, not q4_k", "E0203" },
    { "matmul_squares", "f32[B, 70];f32[70, 4]", NULL, NULL, "the product has other axes", "E0202" },
    { "cache_write", "q4_0[B, 2, 9, 32];f32[B, 2, T, 32];i32[]", NULL, NULL, "cache must be f32", "E0203" },
    { "attention_cached", QKV, NULL, NULL, "takes 4 inputs, not 3", "E0200" },
    { "cross_entropy", X3 ";f32[B, T]", NULL, NULL, "targets must be i32", "E0203" },
    { "cross_entropy", X3 ";i32[B]", NULL, NULL, "logits must have 2 axes, not 3", "E0205" },
    { "cross_entropy", X3 ";i32[B, 8]", NULL, NULL, "axis 1 of logits and axis 1 of targets",
      "E0216" },
    { "cross_entropy", "f32[];i32[]", NULL, NULL, "logits must have at least 1 axis", "E0205" },
    { "cross_entropy", X3 ";i32[B, T]", "ignore=2147483648", NULL, "ignore must be at most",
      "E0206" },
    { "linear_cross_entropy", "f32[T, 8];f32[16, 8];i32[T]", NULL, NULL,
      "axis 1 of x and axis 0 of w", "E0216" },
    { "linear_cross_entropy", "f32[T, 8];f32[8, 16];i32[T]", "chunk=0", NULL,
      "chunk must be at least 1", "E0206" },
    { "linear_cross_entropy", "f32[T, 8];f32[8, 16];i32[T];f32[8]", "chunk=4", NULL,
      "axis 0 of bias and axis 1 of w", "E0216" },
    { "linear_cross_entropy", "f32[T, 8];f32[8, 16];i32[T]", "chunk=4 gain=0", NULL,
      "gain must be a finite number and not 0", "E0206" },
    { "linear_cross_entropy_grad", "f32[T, 8];f32[8, 16];i32[T];f32[B]", NULL, NULL,
      "axis 0 of g and axis 0 of targets", "E0216" },
    { "cross_entropy_grad", X3 ";f32[B, T];i32[B, T];f32[T, T]", NULL, NULL,
      "axis 0 of g and axis 0 of targets", "E0216" },
    { "cross_entropy_grad", X3 ";f32[B];i32[B, T];f32[B, T]", NULL, NULL,
      "lse and targets must have one shape", "E0205" },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, 2, T, 4];i32[]", NULL, NULL,
      "axis 3 of cache and axis 3 of new", "E0216" },
    { "cache_write", "f32[B, 2, 99, 8];f32[T, 2, T, 8];i32[]", NULL, NULL,
      "axis 0 of cache and axis 0 of new", "E0216" },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, 4, T, 8];i32[]", NULL, NULL,
      "axis 1 of cache and axis 1 of new", "E0216" },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, T, 8];i32[]", NULL, NULL, "new must have 4 axes",
      "E0205" },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, 2, T, 8];i32[];i32[T];f32[5]", NULL, NULL,
      "factors must be f32[4]", "E0216" },
    { "cache_write", "f32[B, 2, 99, 7];f32[B, 2, T, 7];i32[];i32[T]", NULL, NULL,
      "the last axis of x holds pairs", "E0214" },
    { "cache_write", "f32[B, 2, 99, 8];f32[B, 2, T, 8];f32[]", NULL, NULL, "past must be i32",
      "E0203" },
    { "assign", "f32[B];f32[T]", NULL, NULL, "axis 0 of old and axis 0 of new", "E0216" },
    { "assign", "f32[B];i32[B]", NULL, NULL, "new must be f32, not i32", "E0203" },
};

static void wrong_inputs_give_mistakes(void **state)
{
    (void)state;
    bool seen[N_OPS] = { false };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        infer_case_run(&wrong[i], seen);
    infer_case_all_seen(seen, "wrong");
}

/* E0218 needs a shape that no graph text can hold. */
static void every_code_is_reached(void **state)
{
    (void)state;
    for (int c = 0; c < N_DIAGS; c++) {
        const char *name = diag_code_name((DiagCode)c);
        bool found = strncmp(name, "E02", 3) != 0 || strcmp(name, "E0218") == 0;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            found = found || (wrong[i].code && strcmp(wrong[i].code, name) == 0);
        if (!found)
            fail_msg("no case reaches %s", name);
    }
}

static void a_size_below_one_is_a_mistake(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = graph_new(&arena, "g", PROGRAM_model);
    DiagSink sink;
    diag_init(&sink, &arena);
    NodeSpec spec = node_spec(OP_constant, NULL, 0, (Span){ 0 }, NULL);
    ValueId x = graph_add(g, &spec, NULL);
    spec = node_spec(OP_reshape, &x, 1, (Span){ 0 }, NULL);
    spec.shape = type_of(DTYPE_f32, 1, (Dim[]){ dim_const(0) }).shape;
    assert_int_equal(graph_add(g, &spec, &sink), NO_VALUE);
    assert_int_equal(sink.diags[0].code, DIAG_E0218);
    spec.shape = type_of(DTYPE_f32, 3, (Dim[]){ dim_const(1), dim_const((int64_t)1 << 61),
                                                dim_const(4) }).shape;
    assert_int_equal(graph_add(g, &spec, &sink), NO_VALUE);
    assert_int_equal(sink.diags[1].code, DIAG_E0213);
    arena_free(&arena);
}

/* ---- what the author reads ------------------------------------------------------------------- */

typedef struct Said {
    Arena arena;
    DiagSink sink;
    Graph *g;
} Said;

static Dim named(Graph *g, int64_t n, const char *name, uint32_t line)
{
    Dim d = dim_const(n);
    d.origin = graph_origin(g, name, (Span){ 0, line, 1, 5 });
    return d;
}

static ValueId input_of(Graph *g, const char *name, int rank, const Dim *dims)
{
    Storage s = { .name = name, .type = type_of(DTYPE_f32, rank, dims) };
    NodeSpec spec = node_spec(OP_input, NULL, 0, (Span){ 0 }, NULL);
    spec.attr[0].i = graph_storage(g, s);
    return graph_add(g, &spec, NULL);
}

static void said_begin(Said *s)
{
    arena_init(&s->arena, NULL);
    diag_init(&s->sink, &s->arena);
    s->g = graph_new(&s->arena, "g", PROGRAM_model);
    static const char *files[] = { "gpt.smg" };
    s->g->files = files;
    s->g->n_files = 1;
    graph_symbol(s->g, "B", ROLE_BATCH, 0, (Span){ 0, 2, 1, 1 });
    graph_symbol(s->g, "T", ROLE_SEQUENCE, 0, (Span){ 0, 3, 1, 1 });
}

static void a_mistake_shows_both_derivations(void **state)
{
    (void)state;
    Said s;
    said_begin(&s);
    Dim width = named(s.g, 768, "width", 5), hidden = named(s.g, 512, "hidden", 6);
    ValueId in[] = {
        input_of(s.g, "a", 3, (Dim[]){ dim_symbol(0), dim_symbol(1), width }),
        input_of(s.g, "b", 2, (Dim[]){ hidden, dim_const(64) }),
        input_of(s.g, "c", 2, (Dim[]){ hidden, width }),
    };
    const Span here = { 0, 12, 9, 5 };
    NodeSpec spec = node_spec(OP_matmul, in, 2, here, NULL);
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    const Diag *d = &s.sink.diags[0];
    assert_int_equal(d->code, DIAG_E0210);
    assert_string_equal(d->text, "matmul: inner dimensions differ");
    assert_string_equal(d->label, "x is [B, T, 768], w is [512, 64]");
    assert_int_equal(d->n_notes, 1);
    assert_string_equal(d->notes[0].text,
                        "768 is `width` (gpt.smg:5), 512 is `hidden` (gpt.smg:6)");
    assert_int_equal(d->span.line, 12);

    spec = node_spec(OP_matmul, (ValueId[]){ in[0], in[2] }, 2, (Span){ 0, 13, 1, 1 }, NULL);
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    assert_string_equal(s.sink.diags[1].notes[1].text, "w' would fit");

    spec = node_spec(OP_matmul, (ValueId[]){ in[2], in[1] }, 2, (Span){ 0, 15, 1, 1 }, NULL);
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    assert_string_equal(s.sink.diags[2].notes[1].text, "x' would fit");

    spec = node_spec(OP_add, in, 2, (Span){ 0, 14, 1, 1 }, NULL);
    ValueId swapped[] = {
        input_of(s.g, "d", 1, (Dim[]){ dim_symbol(0) }),
        input_of(s.g, "e", 1, (Dim[]){ dim_symbol(1) }),
    };
    spec.inputs = swapped;
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    assert_string_equal(s.sink.diags[3].notes[0].text,
                        "B is the batch (gpt.smg:2), T is the sequence (gpt.smg:3)");
    arena_free(&s.arena);
}

static void types_are_shown_where_they_are_wrong(void **state)
{
    (void)state;
    Said s;
    said_begin(&s);
    ValueId x = input_of(s.g, "x", 1, (Dim[]){ dim_symbol(0) });
    NodeSpec spec = node_spec(OP_positions, NULL, 0, (Span){ 0 }, NULL);
    ValueId in[] = { x, graph_add(s.g, &spec, NULL) };
    spec = node_spec(OP_add, in, 2, (Span){ 0, 1, 1, 1 }, NULL);
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    assert_string_equal(s.sink.diags[0].label, "x is f32[B], y is i32[1]");
    assert_string_equal(s.sink.diags[0].notes[0].text,
                        "nothing is converted by itself; cast(x, f32) converts");
    spec = node_spec(OP_exp, in + 1, 1, (Span){ 0, 2, 1, 1 }, NULL);
    assert_int_equal(graph_add(s.g, &spec, &s.sink), NO_VALUE);
    assert_string_equal(s.sink.diags[1].notes[0].text, "cast(x, f32) makes it one");
    arena_free(&s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_inputs_give_mistakes),
        cmocka_unit_test(every_code_is_reached),
        cmocka_unit_test(a_size_below_one_is_a_mistake),
        cmocka_unit_test(a_mistake_shows_both_derivations),
        cmocka_unit_test(types_are_shown_where_they_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
