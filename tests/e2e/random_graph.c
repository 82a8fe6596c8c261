/* Random models.
 *
 * Values are kept of size about 1 by squashing what grows, and away from the edges of domains (logs
 * and roots see x * x + 1/2), so that differences are faults and not amplified noise.  Whatever the
 * shape rules refuse is simply not added. */
#include "tests/e2e/random_graph.h"

#include "base/check.h"
#include "base/random.h"
#include "ir/build.h"

enum { MAX_POOL = 96, WIDTH = 8, HEADS = 2, VOCAB = 11 };

typedef struct Random {
    uint64_t seed, drawn;
    Graph *g;
    Builder b;
    DiagSink diags;
    ValueId pool[MAX_POOL];             /* f32 values */
    uint32_t n_pool, n_params;
    ValueId tokens, targets;            /* i32[B, T] */
    int64_t n_sites;
    Dim batch, time;
} Random;

static uint32_t draw(Random *r, uint32_t n)
{
    return random_u32(r->seed, 1, r->drawn++) % n;
}

static ValueId pick(Random *r)
{
    /* Recent values more often, so that graphs grow deep. */
    const uint32_t recent = r->n_pool < 6 ? r->n_pool : 6;
    return draw(r, 2) ? r->pool[draw(r, r->n_pool)] : r->pool[r->n_pool - 1 - draw(r, recent)];
}

static const Shape *shape_of(const Random *r, ValueId v)
{
    return &value_type(r->g, v)->shape;
}

static ValueId add_node(Random *r, const NodeSpec *spec)
{
    return graph_add(r->g, spec, &r->diags);
}

static NodeSpec spec1(OpId op, const ValueId *x)
{
    return node_spec(op, x, 1, (Span){ 0 }, "");
}

static ValueId param(Random *r, int rank, const Dim *dims)
{
    Storage s = { .name = arena_printf(r->g->arena, "p.%u", r->n_params++),
                  .class = STORAGE_PARAM, .type = type_of(DTYPE_f32, rank, dims),
                  .init = INIT_normal, .init_value = 0.5 };
    return build_storage(&r->b, graph_storage(r->g, s));
}

/* ---- one more value, or NO_VALUE --------------------------------------------------------------- */

static ValueId positive(Random *r, ValueId x)
{
    return build2(&r->b, OP_add, build2(&r->b, OP_mul, x, x), build_constant(&r->b, 0.5));
}

static ValueId add_unary(Random *r)
{
    static const OpId smooth[] = { OP_neg, OP_tanh, OP_sin, OP_cos, OP_erf, OP_sigmoid, OP_silu,
                                   OP_gelu, OP_gelu_tanh, OP_relu, OP_abs };
    static const OpId guarded[] = { OP_log, OP_sqrt, OP_rsqrt };
    const ValueId x = pick(r);
    if (draw(r, 4) == 0)
        return build1(&r->b, guarded[draw(r, 3)], positive(r, x));
    if (draw(r, 8) == 0)
        return build1(&r->b, draw(r, 2) ? OP_exp : OP_expm1, build1(&r->b, OP_tanh, x));
    return build1(&r->b, smooth[draw(r, COUNT_OF(smooth))], x);
}

static ValueId add_binary(Random *r)
{
    static const OpId ops[] = { OP_add, OP_sub, OP_mul, OP_maximum, OP_minimum, OP_add, OP_mul };
    ValueId in[] = { pick(r), pick(r) };
    OpId op = ops[draw(r, COUNT_OF(ops))];
    if (draw(r, 6) == 0) {
        in[1] = positive(r, in[1]);
        op = OP_div;
    } else if (draw(r, 5) == 0) {
        in[1] = build_constant(&r->b, 0.25 + draw(r, 8));
    } else if (draw(r, 10) == 0) {
        in[0] = positive(r, in[0]);
        in[1] = build_constant(&r->b, (double)draw(r, 7) * 0.5 - 1);
        op = OP_pow;
    }
    NodeSpec spec = node_spec(op, in, 2, (Span){ 0 }, "");
    return add_node(r, &spec);
}

static ValueId add_where(Random *r)
{
    static const OpId compare[] = { OP_lt, OP_le, OP_gt, OP_ge };
    ValueId in[] = { pick(r), build_constant(&r->b, 0.125) };
    const ValueId a = in[0];
    NodeSpec spec = node_spec(compare[draw(r, 4)], in, 2, (Span){ 0 }, "");
    const ValueId mask = add_node(r, &spec);
    ValueId three[] = { mask, build1(&r->b, OP_sin, a), build_scale(&r->b, a, 0.5) };
    spec = node_spec(OP_where, three, 3, (Span){ 0 }, "");
    return mask == NO_VALUE ? NO_VALUE : add_node(r, &spec);
}

static ValueId add_reduce(Random *r)
{
    static const OpId ops[] = { OP_sum, OP_mean, OP_max, OP_min, OP_logsumexp, OP_mean };
    const ValueId x = pick(r);
    const int rank = shape_of(r, x)->rank;
    NodeSpec spec = spec1(ops[draw(r, COUNT_OF(ops))], &x);
    if (rank == 0)
        return NO_VALUE;
    spec.attr[0].i = draw(r, 6) == 0 ? ALL_AXES : (int64_t)(1 + draw(r, (1u << rank) - 1));
    return add_node(r, &spec);
}

static ValueId add_softmax(Random *r)
{
    const ValueId x = pick(r);
    NodeSpec spec = spec1(OP_softmax, &x);
    if (shape_of(r, x)->rank == 0)
        return NO_VALUE;
    spec.attr[0].i = draw(r, shape_of(r, x)->rank);
    return add_node(r, &spec);
}

/* Splits an axis in two, or merges two. */
static ValueId add_reshape(Random *r)
{
    const ValueId x = pick(r);
    const Shape *s = shape_of(r, x);
    Shape to = { 0 };
    const int axis = s->rank ? (int)draw(r, s->rank) : 0;
    const bool split = draw(r, 2);
    if (s->rank == 0 || (split && (s->rank == MAX_RANK || s->dim[axis].coef % 2)))
        return NO_VALUE;
    for (int a = 0; a < s->rank; a++) {
        if (a == axis && split) {
            to.dim[to.rank++] = dim_const(2);
            to.dim[to.rank] = s->dim[a];
            to.dim[to.rank++].coef /= 2;
        } else if (a == axis && a + 1 < s->rank) {
            dim_mul(s->dim[a], s->dim[a + 1], &to.dim[to.rank++]);
            a++;
        } else {
            to.dim[to.rank++] = s->dim[a];
        }
    }
    return build_reshape(&r->b, x, &to);
}

static ValueId add_transpose(Random *r)
{
    const ValueId x = pick(r);
    const int rank = shape_of(r, x)->rank;
    return rank < 2 ? NO_VALUE
        : build_transpose(&r->b, x, (int)draw(r, (uint32_t)rank), (int)draw(r, (uint32_t)rank));
}

static ValueId add_slice(Random *r)
{
    const ValueId x = pick(r);
    const Shape *s = shape_of(r, x);
    const int axis = s->rank ? (int)draw(r, s->rank) : 0;
    if (s->rank == 0 || !dim_is_const(s->dim[axis]) || s->dim[axis].coef < 2)
        return NO_VALUE;
    const uint32_t size = (uint32_t)s->dim[axis].coef, start = draw(r, size);
    return build_slice(&r->b, x, axis, start, start + 1 + draw(r, size - start));
}

static ValueId add_concat(Random *r)
{
    const ValueId x = pick(r), in[] = { x, build1(&r->b, OP_tanh, x), pick(r) };
    NodeSpec spec = node_spec(OP_concat, in, 2 + draw(r, 2), (Span){ 0 }, "");
    if (shape_of(r, x)->rank == 0)
        return NO_VALUE;
    spec.attr[0].i = draw(r, shape_of(r, x)->rank);
    return add_node(r, &spec);
}

static ValueId add_broadcast(Random *r)
{
    const ValueId x = pick(r);
    Shape s = *shape_of(r, x);
    if (s.rank >= MAX_RANK - 1)
        return NO_VALUE;
    Shape to = { .rank = (uint8_t)(s.rank + 1) };
    to.dim[0] = dim_const(1 + draw(r, 3));
    for (int a = 0; a < s.rank; a++)
        to.dim[a + 1] = s.dim[a];
    return build_broadcast(&r->b, x, &to);
}

/* With a parameter that fits, or with another value of the pool. */
static ValueId add_matmul(Random *r)
{
    const ValueId x = pick(r);
    const Shape *s = shape_of(r, x);
    ValueId in[] = { x, x };
    if (s->rank < 2)
        return NO_VALUE;
    const bool flip = draw(r, 2);
    NodeSpec spec = node_spec(OP_matmul, in, 2, (Span){ 0 }, "");
    if (draw(r, 3) && dim_is_const(s->dim[s->rank - 1])) {
        const Dim k = s->dim[s->rank - 1], n = dim_const(1 + draw(r, 12));
        in[1] = param(r, 2, flip ? (Dim[]){ n, k } : (Dim[]){ k, n });
        spec.attr[ATTR_INDEX(matmul, transpose_b)].i = flip;
    } else {                            /* x @ x' or x' @ x */
        spec.attr[ATTR_INDEX(matmul, transpose_a)].i = flip;
        spec.attr[ATTR_INDEX(matmul, transpose_b)].i = !flip;
    }
    return add_node(r, &spec);
}

/* [B, T, WIDTH] as [B, HEADS, T, WIDTH / HEADS]. */
static ValueId heads(Random *r, ValueId x)
{
    const Shape to = { 4, { r->batch, r->time, dim_const(HEADS), dim_const(WIDTH / HEADS) } };
    return build_transpose(&r->b, build_reshape(&r->b, x, &to), 1, 2);
}

static bool is_stream(const Random *r, ValueId x)
{
    const Shape *s = shape_of(r, x);
    return s->rank == 3 && dim_equal(s->dim[0], r->batch) && dim_equal(s->dim[1], r->time)
        && dim_is(s->dim[2], WIDTH);
}

static ValueId pick_stream(Random *r)
{
    for (int tries = 0; tries < 12; tries++) {
        const ValueId x = pick(r);
        if (is_stream(r, x))
            return x;
    }
    return r->pool[0];
}

static ValueId add_attention(Random *r)
{
    ValueId in[] = { heads(r, pick_stream(r)), heads(r, pick_stream(r)), heads(r, pick_stream(r)) };
    if (draw(r, 3) == 0) {
        NodeSpec positions = node_spec(OP_positions, NULL, 0, (Span){ 0 }, "");
        positions.attr[0].dim = r->time;
        ValueId two[] = { in[0], add_node(r, &positions) };
        NodeSpec rope = node_spec(OP_rope, two, 2, (Span){ 0 }, "");
        rope.attr[ATTR_INDEX(rope, style)].i = draw(r, N_STYLES);
        in[0] = add_node(r, &rope);
    }
    NodeSpec spec = node_spec(OP_attention, in, 3, (Span){ 0 }, "");
    spec.attr[ATTR_INDEX(attention, causal)].i = draw(r, 4) != 0;
    spec.attr[ATTR_INDEX(attention, window)].i = draw(r, 3) == 0 ? 1 + draw(r, 5) : 0;
    spec.attr[ATTR_INDEX(attention, soft_cap)].f = draw(r, 3) == 0 ? 2.5 : 0;
    if (draw(r, 4) == 0) {
        spec.attr[ATTR_INDEX(attention, drop)].f = 0.25;
        spec.attr[ATTR_INDEX(attention, site)].i = r->n_sites++;
    }
    const ValueId out = add_node(r, &spec);
    const Shape to = { 3, { r->batch, r->time, dim_const(WIDTH) } };
    return out == NO_VALUE ? out
        : build_reshape(&r->b, build_transpose(&r->b, out, 1, 2), &to);
}

/* softmax(causal_mask(q @ k' * c)) @ v, for the pass that recognises it, or nearly it. */
static ValueId add_spelled_attention(Random *r)
{
    const ValueId q = heads(r, pick_stream(r)), k = heads(r, pick_stream(r));
    ValueId scores = build_matmul(&r->b, q, build_transpose(&r->b, k, 2, 3), false, false, 1);
    scores = build_scale(&r->b, scores, 0.5);
    if (draw(r, 3))
        scores = build1(&r->b, OP_causal_mask, scores);
    NodeSpec softmax = spec1(OP_softmax, &scores);
    softmax.attr[0].i = 3;
    return build_matmul(&r->b, add_node(r, &softmax), heads(r, pick_stream(r)), false, false, 1);
}

static ValueId embed(Random *r, ValueId ids)
{
    const ValueId in[] = { param(r, 2, (Dim[]){ dim_const(VOCAB), dim_const(WIDTH) }), ids };
    NodeSpec spec = node_spec(OP_embedding, in, 2, (Span){ 0 }, "");
    return add_node(r, &spec);
}

/* Of tokens; every other one with the rows of positions, which are the same for every sequence. */
static ValueId add_embedding(Random *r)
{
    const bool places = r->n_params % 2;
    const ValueId tokens = embed(r, r->tokens);
    NodeSpec positions = node_spec(OP_positions, NULL, 0, (Span){ 0 }, "");
    positions.attr[0].dim = r->time;
    return places ? build2(&r->b, OP_add, tokens, embed(r, add_node(r, &positions))) : tokens;
}

static ValueId add_cross_entropy(Random *r)
{
    const ValueId w = param(r, 2, (Dim[]){ dim_const(WIDTH), dim_const(VOCAB) });
    const ValueId in[] = { build_matmul(&r->b, pick_stream(r), w, false, false, 1), r->targets };
    NodeSpec spec = node_spec(OP_cross_entropy, in, 2, (Span){ 0 }, "");
    return add_node(r, &spec);
}

static ValueId add_dropout(Random *r)
{
    const ValueId x = pick(r);
    NodeSpec spec = spec1(OP_dropout, &x);
    spec.attr[ATTR_INDEX(dropout, p)].f = 0.125 * (1 + draw(r, 4));
    spec.attr[ATTR_INDEX(dropout, site)].i = r->n_sites++;
    return add_node(r, &spec);
}

static ValueId add_norm(Random *r)
{
    const ValueId x = pick(r);
    const int rank = shape_of(r, x)->rank;
    if (rank == 0)
        return NO_VALUE;
    NodeSpec mean = spec1(OP_mean, &x);
    mean.attr[0].i = (int64_t)1 << (rank - 1);
    const ValueId d = build2(&r->b, OP_sub, x, add_node(r, &mean)), dd = build2(&r->b, OP_mul, d, d);
    mean.inputs = &dd;
    const ValueId v = build2(&r->b, OP_add, add_node(r, &mean), build_constant(&r->b, 0.1));
    return build2(&r->b, OP_mul, d, build1(&r->b, OP_rsqrt, v));
}

typedef ValueId AddFn(Random *r);
static AddFn *const adders[] = {
    add_unary, add_unary, add_unary, add_binary, add_binary, add_binary, add_where, add_reduce,
    add_reduce, add_softmax, add_reshape, add_transpose, add_slice, add_concat, add_broadcast,
    add_matmul, add_matmul, add_attention, add_spelled_attention, add_embedding,
    add_cross_entropy, add_dropout, add_norm, add_norm,
};

/* ---- the model --------------------------------------------------------------------------------- */

static ValueId input(Random *r, const char *name, Type type, int64_t limit, bool train_only)
{
    Storage s = { .name = name, .class = STORAGE_INPUT, .type = type, .index_limit = limit,
                  .train_only = train_only };
    return build_storage(&r->b, graph_storage(r->g, s));
}

static bool small_enough(const Random *r, ValueId v)
{
    const int64_t sizes[MAX_SYMBOLS] = { 3, 7, 1, 1, 1, 1, 1, 1 };
    Dim count;
    int64_t n;
    return shape_count(shape_of(r, v), &count) && dim_eval(count, sizes, &n) && n <= 4096;
}

/* Mean of the squares of several values. */
static ValueId loss_of(Random *r)
{
    ValueId loss = build_constant(&r->b, 0.25);
    for (int i = 0; i < 4; i++) {
        const ValueId x = r->pool[r->n_pool - 1 - draw(r, r->n_pool < 12 ? r->n_pool : 12)];
        ValueId y = build2(&r->b, OP_mul, x, x);
        NodeSpec mean = spec1(OP_mean, &y);
        loss = build2(&r->b, OP_add, loss, add_node(r, &mean));
    }
    return loss;
}

Graph *random_graph(uint64_t seed, Arena *arena)
{
    Random r = { .seed = seed, .g = graph_new(arena, "random", PROGRAM_model) };
    diag_init(&r.diags, arena);
    r.b = builder_at(r.g, NULL);
    r.batch = dim_symbol(graph_symbol(r.g, "B", ROLE_BATCH, 3, (Span){ 0 }));
    r.time = dim_symbol(graph_symbol(r.g, "T", ROLE_SEQUENCE, 7, (Span){ 0 }));
    const Dim stream[] = { r.batch, r.time, dim_const(WIDTH) };
    r.pool[r.n_pool++] = input(&r, "x", type_of(DTYPE_f32, 3, stream), 0, false);
    r.tokens = input(&r, "tokens", type_of(DTYPE_i32, 2, stream), VOCAB, false);
    r.targets = input(&r, "targets", type_of(DTYPE_i32, 2, stream), VOCAB, false);
    r.pool[r.n_pool++] = param(&r, 1, (Dim[]){ dim_const(WIDTH) });
    r.pool[r.n_pool++] = param(&r, 2, (Dim[]){ dim_const(5), dim_const(WIDTH) });
    const uint32_t wanted = r.n_pool + 4 + draw(&r, 24);
    for (int tries = 0; r.n_pool < wanted && tries < 200; tries++) {
        const ValueId v = adders[draw(&r, COUNT_OF(adders))](&r);
        if (v == NO_VALUE || !small_enough(&r, v))
            continue;
        r.pool[r.n_pool++] = draw(&r, 3) ? build1(&r.b, OP_tanh, v) : v;
    }
    graph_output(r.g, "last", r.pool[r.n_pool - 1], (Span){ 0 });
    graph_output(r.g, "other", pick(&r), (Span){ 0 });
    r.g->loss = loss_of(&r);
    r.g->optimizer = (Optimizer){ .kind = OPTIMIZER_sgd, .lr = 0.1, .momentum = 0.5 };
    return r.g;
}
