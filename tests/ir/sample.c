/* A sample of every row of the op table, by its shape rule. */
#include "sample.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>

#define DIMS(...) (int)COUNT_OF(((Dim[]){ __VA_ARGS__ })), ((Dim[]){ __VA_ARGS__ })
#define C(n) dim_const(n)

Sample sample_begin(Arena *arena)
{
    Graph *g = graph_new(arena, "sample \"quoted\" \\ \xc3\xa9", PROGRAM_train);
    g->files = arena_array(arena, 2, sizeof *g->files);
    g->files[0] = arena_strdup(arena, "sample.smg");
    g->files[1] = arena_strdup(arena, "lib/blocks.smg");
    g->n_files = 2;
    g->context = 1024;
    Sample s = { .g = g };
    int b = graph_symbol(g, "B", ROLE_BATCH, 4, (Span){ 0, 3, 1, 7 });
    int t = graph_symbol(g, "T", ROLE_SEQUENCE, 16, (Span){ 0, 4, 1, 10 });
    graph_symbol(g, "n_free", ROLE_FREE, 0, (Span){ 0 });
    s.B = dim_symbol(b);
    s.T = dim_symbol(t);
    s.b = builder_at(g, NULL);
    s.b.span = (Span){ 1, 20, 5, 9 };
    s.b.path = arena_strdup(arena, "h.0.attn");
    return s;
}

static ValueId sample_storage(Sample *s, StorageClass class, DType dtype, int rank, const Dim *dims)
{
    static const char *const words[] = { "in", "par", "st" };
    char name[32];
    snprintf(name, sizeof name, "%s.%u", words[class], s->n_storages++);
    Storage storage = { .name = name, .class = class, .type = type_of(dtype, rank, dims) };
    if (class == STORAGE_PARAM) {
        storage.init = INIT_normal;
        storage.init_value = 0.02;
        storage.span = (Span){ 0, 9, 3, 20 };
    }
    return build_storage(&s->b, graph_storage(s->g, storage));
}

ValueId sample_input(Sample *s, DType dtype, int rank, const Dim *dims)
{
    return sample_storage(s, STORAGE_INPUT, dtype, rank, dims);
}

ValueId sample_state(Sample *s, DType dtype, int rank, const Dim *dims)
{
    return sample_storage(s, STORAGE_STATE, dtype, rank, dims);
}

static ValueId f32_in(Sample *s, int rank, const Dim *dims)
{
    return sample_input(s, DTYPE_f32, rank, dims);
}

static ValueId scalar_in(Sample *s, DType dtype)
{
    return sample_input(s, dtype, 0, NULL);
}

static ValueId seed_in(Sample *s)
{
    return sample_input(s, DTYPE_i32, DIMS(C(2)));
}

/* The op on its inputs; the attribute named (if any) set by the caller's spec. */
static NodeSpec spec(Sample *s, OpId op, const ValueId *in, uint32_t n)
{
    return node_spec(op, in, n, s->b.span, s->b.path);
}

static ValueId add(Sample *s, const NodeSpec *spec)
{
    return graph_add(s->g, spec, NULL);
}

static AttrValue *attr(NodeSpec *spec, const char *name)
{
    int i = op_attr(spec->op, name);
    CHECK(i >= 0, "%s has no %s", op_info(spec->op)->name, name);
    return &spec->attr[i];
}

/* ---- one sample for each shape rule ---------------------------------------------------------- */

static void sample_storage_rule(Sample *s, OpId op)
{
    StorageClass class = op == OP_input   ? STORAGE_INPUT
                         : op == OP_param ? STORAGE_PARAM
                                          : STORAGE_STATE;
    sample_storage(s, class, DTYPE_f32, DIMS(C(3), C(4)));
    sample_storage(s, class, DTYPE_i32, 0, NULL);
}

static void sample_constant(Sample *s, OpId op)
{
    static const double values[] = {
        0, -0.0, 1, -3, 0.1, 1e-5, 1.0 / 3, 1e300, 5e-324, 0.02 / 4.898979485566356, 123456789012,
        1e15, 1e16 + 2, INFINITY, -INFINITY, NAN,
    };
    for (size_t i = 0; i < COUNT_OF(values); i++)
        build_constant(&s->b, values[i]);
    NodeSpec n = spec(s, op, NULL, 0);
    attr(&n, "dtype")->i = DTYPE_i32;
    attr(&n, "value")->f = 7;
    add(s, &n);
}

static void sample_extent(Sample *s, OpId op)
{
    NodeSpec n = spec(s, op, NULL, 0);
    add(s, &n);
    CHECK(dim_mul(s->B, s->T, &attr(&n, "size")->dim), "B * T");
    add(s, &n);
}

static void sample_positions(Sample *s, OpId op)
{
    NodeSpec n = spec(s, op, NULL, 0);
    attr(&n, "length")->dim = s->T;
    add(s, &n);
    ValueId past = scalar_in(s, DTYPE_i32);
    n = spec(s, op, &past, 1);
    attr(&n, "length")->dim = s->T;
    add(s, &n);
}

/* x of the full shape, then ones that stretch. */
static void sample_map_of(Sample *s, OpId op, DType dtype)
{
    ValueId in[] = {
        sample_input(s, dtype, DIMS(s->B, s->T, C(8))),
        sample_input(s, dtype, DIMS(s->T, C(1))),
        sample_input(s, dtype, 0, NULL),
    };
    NodeSpec n = spec(s, op, in, op_info(op)->min_inputs);
    add(s, &n);
}

static void sample_map_float(Sample *s, OpId op)
{
    sample_map_of(s, op, DTYPE_f32);
}

static void sample_map(Sample *s, OpId op)
{
    sample_map_of(s, op, DTYPE_f32);
    sample_map_of(s, op, DTYPE_i32);
}

static void sample_compare(Sample *s, OpId op)
{
    sample_map(s, op);
}

static void sample_where(Sample *s, OpId op)
{
    ValueId in[] = {
        sample_input(s, DTYPE_bool, DIMS(s->T, C(1))),
        f32_in(s, DIMS(s->B, s->T, C(8))), scalar_in(s, DTYPE_f32),
    };
    NodeSpec n = spec(s, op, in, 3);
    add(s, &n);
}

static void sample_decode(Sample *s, OpId op)
{
    static const DType types[] = { DTYPE_bf16, DTYPE_f16, DTYPE_q8_0, DTYPE_q6_k };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        ValueId x = sample_storage(s, STORAGE_PARAM, types[i], DIMS(C(3), C(256)));
        NodeSpec n = spec(s, op, &x, 1);
        add(s, &n);
        sample_storage(s, STORAGE_PARAM, DTYPE_f32, DIMS(C(3), C(256)));
        s->g->storages[s->g->n_storages - 1].stored = types[i];
    }
    const char *weight = s->g->storages[s->g->n_storages - 1].name;
    sample_storage(s, STORAGE_STATE, DTYPE_bf16, DIMS(C(3), C(256)));
    s->g->storages[s->g->n_storages - 1].rounded_of = weight;
}

static void sample_cast(Sample *s, OpId op)
{
    for (int to = 0; to < N_DTYPES; to++)
        for (int from = 0; from < N_DTYPES; from++) {
            if (!dtype_is_lane((DType)to) || !dtype_is_lane((DType)from))
                continue;
            ValueId x = sample_input(s, (DType)from, DIMS(s->B));
            NodeSpec n = spec(s, op, &x, 1);
            attr(&n, "dtype")->i = to;
            add(s, &n);
        }
}

static void sample_round_bf16(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
}

static void sample_dropout(Sample *s, OpId op)
{
    ValueId in[] = { f32_in(s, DIMS(s->B, s->T, C(8))), seed_in(s) };
    NodeSpec n = spec(s, op, in, 1);
    add(s, &n);
    n = spec(s, op, in, 2);
    attr(&n, "p")->f = 0.1;
    attr(&n, "site")->i = 3;
    add(s, &n);
}

static void sample_reduce(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
    attr(&n, "axes")->i = 1 << 2;
    add(s, &n);
    attr(&n, "axes")->i = 1 << 0 | 1 << 2;
    add(s, &n);
}

static void sample_softmax(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
    attr(&n, "axis")->i = 1;
    add(s, &n);
}

static void sample_partial_sum(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(C(64), C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
    attr(&n, "square")->i = 1;
    add(s, &n);
}

static void sample_column_sums(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
    attr(&n, "parts")->i = 3;
    add(s, &n);
}

static void sample_sum_squares(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(70)));
    NodeSpec n = spec(s, op, &x, 1);
    attr(&n, "axes")->i = 3;
    add(s, &n);
}

static void sample_reshape(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    n.shape = type_of(DTYPE_f32, DIMS(s->B, s->T, C(2), C(4))).shape;
    add(s, &n);
    Dim rows;
    CHECK(dim_mul(s->B, s->T, &rows) && dim_mul(rows, C(2), &rows), "2 B T");
    n.shape = type_of(DTYPE_f32, DIMS(rows, C(4))).shape;
    add(s, &n);
}

static void sample_transpose(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, s->T, C(2), C(4)));
    NodeSpec n = spec(s, op, &x, 1);
    add(s, &n);
    attr(&n, "a")->i = 1;
    attr(&n, "b")->i = 2;
    add(s, &n);
}

static void sample_slice(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(C(6), s->T, C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    attr(&n, "stop")->i = 3;
    add(s, &n);
    attr(&n, "start")->i = 2;
    attr(&n, "axis")->i = 0;
    add(s, &n);
}

static void sample_broadcast(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->T, C(1)));
    NodeSpec n = spec(s, op, &x, 1);
    n.shape = type_of(DTYPE_f32, DIMS(s->B, s->T, C(8))).shape;
    add(s, &n);
}

static void sample_concat(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, C(3), C(8))), f32_in(s, DIMS(s->B, C(5), C(8))),
        f32_in(s, DIMS(s->B, C(5), C(2))),
    };
    NodeSpec n = spec(s, op, in, 1);
    add(s, &n);
    n = spec(s, op, in, 2);
    attr(&n, "axis")->i = 1;
    add(s, &n);
    n = spec(s, op, in + 1, 2);
    add(s, &n);
}

static void sample_pad(Sample *s, OpId op)
{
    ValueId x = f32_in(s, DIMS(s->B, C(5), C(8)));
    NodeSpec n = spec(s, op, &x, 1);
    attr(&n, "before")->i = 1;
    add(s, &n);
    attr(&n, "axis")->i = 1;
    attr(&n, "after")->i = 2;
    add(s, &n);
}

static void sample_copy(Sample *s, OpId op)
{
    build1(&s->b, op, f32_in(s, DIMS(s->B, s->T)));
}

static void sample_after(Sample *s, OpId op)
{
    build2(&s->b, op, f32_in(s, DIMS(s->B, s->T)), f32_in(s, DIMS(C(8))));
}

static void sample_product(Sample *s, OpId op)
{
    ValueId in[] = { f32_in(s, DIMS(C(2), C(8), s->T)), f32_in(s, DIMS(C(4), C(8))),
                     f32_in(s, DIMS(C(4))), f32_in(s, DIMS(C(2), s->T, C(4))) };
    NodeSpec n = spec(s, op, in, 4);
    attr(&n, "transpose_a")->i = 1;
    attr(&n, "transpose_b")->i = 1;
    attr(&n, "alpha")->f = 0.5;
    attr(&n, "bias")->i = 1;
    attr(&n, "residual")->i = 1;
    attr(&n, "activation")->i = OP_silu;
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
    in[2] = in[3];
    n.n_inputs = 3;
    attr(&n, "bias")->i = 0;
    attr(&n, "activation")->i = OP_copy;
    add(s, &n);
}

static void sample_matmul(Sample *s, OpId op)
{
    ValueId in[] = { f32_in(s, DIMS(s->B, C(2), s->T, C(8))), f32_in(s, DIMS(C(8), C(4))) };
    NodeSpec n = spec(s, op, in, 2);
    add(s, &n);
    in[1] = f32_in(s, DIMS(C(1), s->T, C(4)));
    attr(&n, "transpose_a")->i = 1;
    attr(&n, "alpha")->f = 0.125;
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
    in[1] = f32_in(s, DIMS(C(4), s->T));
    attr(&n, "transpose_b")->i = 1;
    add(s, &n);
}

static void sample_matmul_squares(Sample *s, OpId op)
{
    ValueId in[] = { f32_in(s, DIMS(s->T, C(70))), f32_in(s, DIMS(C(4), s->T)) };
    NodeSpec n = spec(s, op, in, 2);
    attr(&n, "transpose_a")->i = 1;
    attr(&n, "transpose_b")->i = 1;
    attr(&n, "alpha")->f = 0.5;
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
}

static void sample_embedding(Sample *s, OpId op)
{
    build2(&s->b, op, f32_in(s, DIMS(C(16), C(8))),
           sample_input(s, DTYPE_i32, DIMS(s->B, s->T)));
}

static void sample_embedding_grad(Sample *s, OpId op)
{
    Type table = type_of(DTYPE_f32, DIMS(C(16), C(8)));
    ValueId in[] = { build_zeros(&s->b, &table), sample_input(s, DTYPE_i32, DIMS(s->B, s->T)),
                     f32_in(s, DIMS(s->B, s->T, C(8))) };
    NodeSpec n = spec(s, op, in, 3);
    add(s, &n);
    attr(&n, "squares")->i = 1;
    add(s, &n);
}

static void sample_masked_matmul(Sample *s, OpId op)
{
    build3(&s->b, op, f32_in(s, DIMS(s->B, s->T, C(8))), f32_in(s, DIMS(C(6), C(8))),
           f32_in(s, DIMS(s->B, s->T, C(1))));
}

static void sample_rope(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, C(2), s->T, C(8))), sample_input(s, DTYPE_i32, DIMS(s->T)),
    };
    NodeSpec n = spec(s, op, in, 2);
    add(s, &n);
    attr(&n, "base")->f = 500000;
    attr(&n, "style")->i = STYLE_interleaved;
    attr(&n, "inverse")->i = 1;
    add(s, &n);
    ValueId stretched[] = { in[0], in[1], f32_in(s, DIMS(C(4))) };
    n = spec(s, op, stretched, 3);
    add(s, &n);
}

static void sample_causal_mask(Sample *s, OpId op)
{
    build1(&s->b, op, f32_in(s, DIMS(s->B, C(2), s->T, s->T)));
}

static void odd_attention(NodeSpec *n)
{
    attr(n, "window")->i = 4;
    attr(n, "scale")->f = 0.25;
    attr(n, "soft_cap")->f = 30;
}

static void odd_dropping(NodeSpec *n)
{
    attr(n, "drop")->f = 0.2;
    attr(n, "site")->i = 5;
}

static void sample_attention(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, C(4), s->T, C(8))), f32_in(s, DIMS(s->B, C(2), s->T, C(8))),
        f32_in(s, DIMS(s->B, C(2), s->T, C(6))), seed_in(s),
    };
    NodeSpec n = spec(s, op, in, 3);
    attr(&n, "causal")->i = 0;
    add(s, &n);
    n = spec(s, op, in, 4);
    odd_attention(&n);
    odd_dropping(&n);
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
}

static void sample_attention_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, C(4), s->T, C(8))), f32_in(s, DIMS(s->B, C(2), s->T, C(8))),
        f32_in(s, DIMS(s->B, C(2), s->T, C(6))), f32_in(s, DIMS(s->B, C(4), s->T, C(6))),
        f32_in(s, DIMS(s->B, C(4), s->T)), f32_in(s, DIMS(s->B, C(4), s->T, C(6))), seed_in(s),
    };
    NodeSpec n = spec(s, op, in, 6);
    attr(&n, "causal")->i = 0;
    add(s, &n);
    n = spec(s, op, in, 7);
    odd_attention(&n);
    odd_dropping(&n);
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
}

static void sample_attention_cached(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, C(4), s->T, C(8))), sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
        sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(6))), scalar_in(s, DTYPE_i32),
    };
    NodeSpec n = spec(s, op, in, 4);
    attr(&n, "causal")->i = 0;
    add(s, &n);
    attr(&n, "causal")->i = 1;
    odd_attention(&n);
    add(s, &n);
}

static void sample_cross_entropy(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, s->T, C(16))), sample_input(s, DTYPE_i32, DIMS(s->B, s->T)),
    };
    NodeSpec n = spec(s, op, in, 2);
    add(s, &n);
    attr(&n, "ignore")->i = -1;
    add(s, &n);
}

static void sample_cross_entropy_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->B, s->T, C(16))), f32_in(s, DIMS(s->B, s->T)),
        sample_input(s, DTYPE_i32, DIMS(s->B, s->T)), f32_in(s, DIMS(s->B, s->T)),
    };
    NodeSpec n = spec(s, op, in, 4);
    add(s, &n);
    attr(&n, "ignore")->i = 0;
    add(s, &n);
}

static void sample_linear_cross_entropy(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->T, C(8))), f32_in(s, DIMS(C(8), C(16))),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_in(s, DIMS(C(16))),
    };
    NodeSpec n = spec(s, op, in, 3);
    add(s, &n);
    in[1] = f32_in(s, DIMS(C(16), C(8)));
    attr(&n, "transpose_w")->i = 1;
    attr(&n, "alpha")->f = 0.5;
    attr(&n, "chunk")->i = 4;
    attr(&n, "precision")->i = DTYPE_bf16;
    attr(&n, "ignore")->i = 0;
    attr(&n, "activation")->i = OP_tanh;
    attr(&n, "gain")->f = 30;
    add(s, &n);
    n.n_inputs = 4;
    add(s, &n);
}

static void sample_linear_cross_entropy_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_in(s, DIMS(s->T, C(8))), f32_in(s, DIMS(C(16), C(8))),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_in(s, DIMS(s->T)), f32_in(s, DIMS(C(16))),
    };
    NodeSpec n = spec(s, op, in, 4);
    attr(&n, "transpose_w")->i = 1;
    attr(&n, "alpha")->f = 0.5;
    attr(&n, "chunk")->i = 4;
    attr(&n, "precision")->i = DTYPE_bf16;
    attr(&n, "ignore")->i = 0;
    add(s, &n);
    attr(&n, "activation")->i = OP_sigmoid;
    attr(&n, "gain")->f = -2;
    attr(&n, "squares")->i = 1;
    add(s, &n);
    n.n_inputs = 5;
    add(s, &n);
    attr(&n, "squares")->i = 0;
    add(s, &n);
}

static void sample_cache_write(Sample *s, OpId op)
{
    build3(&s->b, op, sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
           f32_in(s, DIMS(s->B, C(2), s->T, C(8))), scalar_in(s, DTYPE_i32));
    ValueId in[] = {
        sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
        f32_in(s, DIMS(s->B, C(2), s->T, C(8))), scalar_in(s, DTYPE_i32),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_in(s, DIMS(C(4))),
    };
    NodeSpec n = spec(s, op, in, 5);
    attr(&n, "base")->f = 500;
    attr(&n, "style")->i = STYLE_interleaved;
    attr(&n, "inverse")->i = 1;
    add(s, &n);
}

static void sample_assign(Sample *s, OpId op)
{
    build2(&s->b, op, sample_state(s, DTYPE_f32, DIMS(C(3), C(4))), f32_in(s, DIMS(C(3), C(4))));
}

static void sample_assign_product(Sample *s, OpId op)
{
    ValueId in[] = { sample_state(s, DTYPE_f32, DIMS(C(3), C(4))), f32_in(s, DIMS(s->T, C(3))),
                     f32_in(s, DIMS(C(4), s->T)) };
    NodeSpec n = spec(s, op, in, 3);
    attr(&n, "transpose_a")->i = 1;
    attr(&n, "transpose_b")->i = 1;
    attr(&n, "alpha")->f = 2;
    attr(&n, "precision")->i = DTYPE_bf16;
    add(s, &n);
}

#define sample_storage sample_storage_rule
static void (*const samples[N_OPS])(Sample *s, OpId op) = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    [OP_##name] = sample_##shape,
#include "ir/ops.def"
};
#undef sample_storage

void sample_op(Sample *s, OpId op)
{
    samples[op](s, op);
}
