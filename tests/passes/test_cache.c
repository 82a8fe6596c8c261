/* The proof of cached generation against numbers: what program generate computes in chunks of random
 * sizes, against caches, is what the whole sequence gives at once; for the shipped models, for random
 * causal graphs, and for whatever the proof accepts of random graphs that were not made to be causal. */
#include "base/check.h"
#include "base/random.h"
#include "tests/passes/lab.h"
#include "tests/e2e/random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { MOST_STEPS = 64, N_CAUSAL = 300, N_ANY = 3000 };
static const char whole[] = "specialize dce";
static const char cached[] = "specialize attention dce cache";
static const char at_last[] = "specialize attention dce cache last";
static const char cleaned[] = "specialize attention fold simplify cse dce cache decompose fold "
                              "simplify absorb cse dce layout";

static uint64_t seed, drawn;

static uint32_t draw(uint32_t n)
{
    return random_u32(seed, 4, drawn++) % n;
}

/* ---- whole and in chunks ----------------------------------------------------------------------- */

/* The axis that is as long as the sequence; -1: none, -2: one that holds it several times. */
static int sequence_axis(const Graph *g, const Shape *s)
{
    const int t = graph_sequence(g);
    for (int a = 0; a < s->rank; a++)
        if (dim_has(s->dim[a], t))
            return s->dim[a].coef == 1 && s->dim[a].power[t] == 1 ? a : -2;
    return -1;
}

/* Elements [past, past + part's steps) of `axis` of x, out of it or into it. */
static void copy_steps(Tensor *x, Tensor *part, int axis, int64_t past, bool out)
{
    int64_t inner = 1, outer = 1;
    for (int a = 0; a < x->rank; a++) {
        inner *= a > axis ? x->dim[a] : 1;
        outer *= a < axis ? x->dim[a] : 1;
    }
    const int64_t run = inner * (axis < 0 ? 1 : part->dim[axis]);
    const int64_t skip = inner * (axis < 0 ? 1 : x->dim[axis]);
    for (int64_t o = 0; o < (axis < 0 ? 1 : outer); o++) {
        double *in_x = x->data + o * skip + (axis < 0 ? 0 : past * inner);
        double *in_part = part->data + o * run;
        memcpy(out ? in_part : in_x, out ? in_x : in_part, (size_t)run * sizeof(double));
    }
}

/* One run of the cached program over `steps` positions from `past` on; its state is kept in `all`. */
static Eval run_chunk(Lab *l, const Graph *g, Eval *all, Tensor *state, int64_t past, int64_t steps,
                      Arena *arena)
{
    int64_t sizes[MAX_SYMBOLS];
    memcpy(sizes, l->sizes, sizeof sizes);
    sizes[graph_sequence(g)] = steps;
    Eval e = eval_begin(g, arena, sizes);
    for (StorageId s = 0; s < g->n_storages; s++) {
        const Storage *storage = &g->storages[s];
        Tensor *from = eval_storage(all, storage->name);
        if (storage->class == STORAGE_STATE)
            copy_steps(&state[s], &e.storages[s], -1, 0, true);
        else if (from)
            copy_steps(from, &e.storages[s], sequence_axis(g, &storage->type.shape), past, true);
        else
            e.storages[s].data[0] = (double)past;
    }
    eval_run(&e);
    for (StorageId s = 0; s < g->n_storages; s++)
        if (g->storages[s].class == STORAGE_STATE)
            state[s] = e.storages[s];
    return e;
}

/* Caches begin with what must never be read. */
static Tensor *empty_state(const Eval *e, Arena *arena)
{
    Tensor *state = arena_array(arena, e->g->n_storages, sizeof *state);
    for (StorageId s = 0; s < e->g->n_storages; s++) {
        state[s] = e->storages[s];
        for (int64_t i = 0; i < state[s].count; i++)
            state[s].data[i] = NAN;
    }
    return state;
}

/* Values are of size about 1, or differences of such. */
static void compare(const Tensor *got, const Tensor *want, const char *what)
{
    double size = 0.1;
    assert_int_equal(got->count, want->count);
    for (int64_t i = 0; i < want->count; i++)
        size = isfinite(want->data[i]) ? fmax(size, fabs(want->data[i])) : size;
    for (int64_t i = 0; i < want->count; i++) {
        const double x = got->data[i], y = want->data[i];
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-10 * size))
            fail_msg("%s: element %lld is %.17g, not %.17g", what, (long long)i, x, y);
    }
}

static void compare_chunk(Eval *all, Eval *chunk, int64_t past, const char *what, Arena *arena)
{
    for (uint32_t i = 0; i < all->g->n_outputs; i++) {
        const Output *o = &all->g->outputs[i];
        const int axis = sequence_axis(all->g, &value_type(all->g, o->value)->shape);
        const Tensor *got = eval_output(chunk, o->name);
        Tensor want = *got;
        int64_t from = past;
        if (axis >= 0 && got->dim[axis] == 1)
            from += chunk->sizes[graph_sequence(chunk->g)] - 1;     /* the last alone, or of one */
        want.data = arena_array(arena, (size_t)want.count, sizeof *want.data);
        if (axis == -2)
            continue;
        copy_steps(&all->values[o->value], &want, axis, from, true);
        compare(got, &want, what);
    }
}

/* The model of l, which the proof accepted as g. */
static void check_generate(Lab *l, const Graph *g, int64_t steps, const char *what)
{
    Arena arena;
    arena_init(&arena, NULL);
    l->sizes[graph_sequence(l->g)] = steps;
    Graph *score = lab_passes(l, PROGRAM_score, whole);
    Eval all = lab_values(l, score, &arena);
    eval_run(&all);
    Eval begin = eval_begin(g, &arena, l->sizes);
    Tensor *state = empty_state(&begin, &arena);
    for (int64_t past = 0, n; past < steps; past += n) {
        n = 1 + draw(draw(2) ? 3 : 9);
        n = n < steps - past ? n : steps - past;
        Eval chunk = run_chunk(l, g, &all, state, past, n, &arena);
        compare_chunk(&all, &chunk, past, what, &arena);
    }
    arena_free(&arena);
}

/* The same of one text, where only the last of the new positions comes out. */
static void check_last(Lab *l, const Graph *g, int64_t steps, const char *what)
{
    const int batch = graph_batch(l->g);
    const int64_t before = batch < 0 ? 1 : l->sizes[batch];
    if (batch >= 0)
        l->sizes[batch] = 1;
    check_generate(l, g, steps, what);
    if (batch >= 0)
        l->sizes[batch] = before;
}

/* ---- models ------------------------------------------------------------------------------------ */

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *path, *defines[8];
        uint32_t n_defines;
    } models[] = {
        { SOURCE_DIR "/models/gpt2.smg",
          { "vocab=31", "context=24", "width=16", "depth=2", "heads=4" }, 5 },
        { SOURCE_DIR "/models/llama.smg",
          { "vocab=31", "context=24", "width=16", "depth=2", "heads=4", "kv_heads=2",
            "hidden=24" }, 7 },
        { SOURCE_DIR "/models/chargpt.smg", { "vocab=31", "context=24", "width=32", "depth=2" }, 4 },
        { SOURCE_DIR "/models/profile.smg",
          { "vocab=31", "context=24", "width=32", "depth=2", "hidden=24" }, 5 },
    };
    for (size_t i = 0; i < COUNT_OF(models); i++)
        for (seed = 1; seed <= 5; seed++) {
            Lab l;
            lab_model(&l, models[i].path, models[i].defines, models[i].n_defines);
            check_generate(&l, lab_passes(&l, PROGRAM_generate, cached), 24, models[i].path);
            check_generate(&l, lab_passes(&l, PROGRAM_generate, cleaned), 24, models[i].path);
            const Graph *last = lab_passes(&l, PROGRAM_generate, at_last);
            assert_int_equal(sequence_axis(last, &value_type(last, last->outputs[0].value)->shape),
                             -1);
            check_last(&l, last, 24, models[i].path);
            lab_end(&l);
        }
}

/* ---- random causal graphs ---------------------------------------------------------------------- */

enum { WIDTH = 4, HEADS = 2, HEAD = WIDTH / HEADS, VOCAB = 7, MAX_POOL = 32 };

typedef struct Causal {
    Lab l;
    Dim b, t;
    ValueId pool[MAX_POOL];             /* [B, T, WIDTH] */
    uint32_t n_pool, n_params;
} Causal;

static ValueId pick(Causal *c)
{
    return c->pool[draw(2) ? c->n_pool - 1 : draw(c->n_pool)];
}

static ValueId add(Causal *c, OpId op, const ValueId *in, uint32_t n)
{
    NodeSpec spec = node_spec(op, in, n, (Span){ 0 }, "");
    return graph_add(c->l.g, &spec, NULL);
}

static ValueId param(Causal *c, const Shape *shape)
{
    const char *name = arena_printf(&c->l.arena, "p.%u", c->n_params++);
    Storage s = { .name = name, .class = STORAGE_PARAM, .type = { DTYPE_f32, *shape },
                  .init = INIT_normal, .init_value = 1 };
    return build_storage(&c->l.b, graph_storage(c->l.g, s));
}

#define SHAPE(...) (&(const Shape){ sizeof (Dim[]){ __VA_ARGS__ } / sizeof(Dim), { __VA_ARGS__ } })

static ValueId stream_of(Causal *c, ValueId x)
{
    return build_reshape(&c->l.b, x, SHAPE(c->b, c->t, dim_const(WIDTH)));
}

static ValueId positions(Causal *c)
{
    NodeSpec spec = node_spec(OP_positions, NULL, 0, (Span){ 0 }, "");
    spec.attr[0].dim = c->t;
    return graph_add(c->l.g, &spec, NULL);
}

static ValueId heads(Causal *c, ValueId x, int64_t n)
{
    const ValueId y = n == HEADS ? x : build_slice(&c->l.b, x, 2, 0, n * HEAD);
    return build_transpose(&c->l.b, build_reshape(&c->l.b, y, SHAPE(c->b, c->t, dim_const(n),
                                                                    dim_const(HEAD))), 1, 2);
}

static ValueId turned(Causal *c, ValueId x)
{
    const ValueId in[] = { x, positions(c) };
    return draw(2) ? x : add(c, OP_rope, in, 2);
}

static ValueId merged_heads(Causal *c, ValueId x)
{
    return stream_of(c, build_transpose(&c->l.b, x, 1, 2));
}

static ValueId add_attention(Causal *c)
{
    const int64_t groups = draw(2) ? HEADS : 1;
    const ValueId in[] = { turned(c, heads(c, pick(c), HEADS)),
                           turned(c, heads(c, pick(c), groups)), heads(c, pick(c), groups) };
    NodeSpec spec = node_spec(OP_attention, in, 3, (Span){ 0 }, "");
    spec.attr[ATTR_INDEX(attention, window)].i = draw(2) ? 0 : 1 + draw(5);
    spec.attr[ATTR_INDEX(attention, soft_cap)].f = draw(2) ? 0 : 1.5;
    spec.attr[ATTR_INDEX(attention, scale)].f = draw(2) ? 0 : 0.75;
    return merged_heads(c, graph_add(c->l.g, &spec, NULL));
}

static ValueId add_spelled_attention(Causal *c)
{
    Builder *b = &c->l.b;
    const ValueId q = heads(c, pick(c), HEADS), k = heads(c, pick(c), HEADS);
    ValueId scores = build_matmul(b, q, build_transpose(b, k, 2, 3), false, false, 1);
    const bool inside = draw(2);
    if (inside)
        scores = build1(b, OP_causal_mask, scores);
    scores = build_scale(b, scores, 0.5);
    if (!inside)
        scores = build1(b, OP_causal_mask, draw(2) ? scores : build1(b, OP_tanh, scores));
    NodeSpec softmax = node_spec(OP_softmax, &scores, 1, (Span){ 0 }, "");
    return merged_heads(c, build_matmul(b, graph_add(c->l.g, &softmax, NULL),
                                        heads(c, pick(c), HEADS), false, false, 1));
}

static ValueId add_product(Causal *c)
{
    Builder *b = &c->l.b;
    const ValueId w = param(c, SHAPE(dim_const(WIDTH), dim_const(WIDTH)));
    if (draw(2))
        return build_matmul(b, pick(c), w, false, draw(2), 1);
    /* w' x', whose rows then run along the last axis. */
    return build_transpose(b, build_matmul(b, w, pick(c), true, true, 1), 1, 2);
}

static ValueId add_norm(Causal *c)
{
    Builder *b = &c->l.b;
    const ValueId x = pick(c), square = build2(b, OP_mul, x, x);
    const ValueId sum = build2(b, OP_add, build_sum(b, square, 4), build_constant(b, 0.5));
    return build2(b, OP_mul, x, build1(b, OP_rsqrt, sum));
}

static ValueId add_places(Causal *c)
{
    const ValueId table = param(c, SHAPE(dim_const(MOST_STEPS), dim_const(WIDTH)));
    const ValueId in[] = { table, positions(c) };
    return build2(&c->l.b, OP_add, pick(c), add(c, OP_embedding, in, 2));
}

/* Batch and sequence merged, the width split and part of it moved: rows on other axes. */
static ValueId add_shuffle(Causal *c)
{
    Builder *b = &c->l.b;
    Dim bt, tw;
    assert_true(dim_mul(c->b, c->t, &bt) && dim_mul(c->t, dim_const(WIDTH), &tw));
    const Shape *merged = draw(2) ? SHAPE(bt, dim_const(2), dim_const(WIDTH / 2))
                                  : SHAPE(c->b, tw, dim_const(1));
    const ValueId x = build_reshape(b, pick(c), merged);
    const ValueId y = build2(b, OP_add, build1(b, OP_sin, x), build_reshape(b, pick(c), merged));
    if (merged->dim[1].coef != 2)
        return stream_of(c, y);
    const ValueId in[] = { build_slice(b, y, 1, 1, 2), build_slice(b, x, 1, 0, 1) };
    NodeSpec concat = node_spec(OP_concat, in, 2, (Span){ 0 }, "");
    concat.attr[0].i = 1;
    return stream_of(c, graph_add(c->l.g, &concat, NULL));
}

static ValueId add_reduced(Causal *c)
{
    static const OpId ops[] = { OP_sum, OP_mean, OP_max, OP_min, OP_logsumexp };
    const ValueId x = pick(c);
    NodeSpec spec = node_spec(ops[draw(COUNT_OF(ops))], &x, 1, (Span){ 0 }, "");
    spec.attr[0].i = draw(2) ? 4 : 5;
    return build2(&c->l.b, OP_mul, pick(c), graph_add(c->l.g, &spec, NULL));
}

/* What the batch and a fixed table give for every position alike. */
static ValueId add_fixed(Causal *c)
{
    Builder *b = &c->l.b;
    const ValueId w = param(c, SHAPE(dim_const(3), dim_const(WIDTH)));
    const ValueId wide = build_broadcast(b, build_sum(b, w, 1), SHAPE(c->t, dim_const(WIDTH)));
    return build2(b, OP_sub, pick(c), draw(2) ? build1(b, OP_tanh, wide) : wide);
}

typedef ValueId CausalFn(Causal *c);
static CausalFn *const adders[] = { add_attention, add_attention, add_spelled_attention,
                                    add_product, add_norm, add_places, add_shuffle, add_reduced,
                                    add_fixed };

static void causal_begin(Causal *c)
{
    *c = (Causal){ 0 };
    lab_begin(&c->l);
    c->b = dim_symbol(graph_symbol(c->l.g, "B", ROLE_BATCH, 4, (Span){ 0 }));
    c->t = dim_symbol(graph_symbol(c->l.g, "T", ROLE_SEQUENCE, MOST_STEPS, (Span){ 0 }));
    const ValueId table = param(c, SHAPE(dim_const(VOCAB), dim_const(WIDTH)));
    const ValueId ids = lab_tensor(&c->l, STORAGE_INPUT, "tokens", DTYPE_i32, 0, VOCAB,
                                   SHAPE(c->b, c->t));
    const ValueId in[] = { table, ids };
    c->pool[c->n_pool++] = add(c, OP_embedding, in, 2);
    c->pool[c->n_pool++] = lab_tensor(&c->l, STORAGE_INPUT, "x", DTYPE_f32, -1, 1,
                                      SHAPE(c->b, c->t, dim_const(WIDTH)));
}

static void test_random_causal(void **state)
{
    (void)state;
    for (seed = 1; seed <= N_CAUSAL; seed++) {
        Causal c;
        causal_begin(&c);
        for (int n = 3 + (int)draw(10); n > 0; n--) {
            const ValueId v = adders[draw(COUNT_OF(adders))](&c);
            c.pool[c.n_pool++] = draw(2) ? build1(&c.l.b, OP_tanh, v) : v;
        }
        graph_output(c.l.g, "y", c.pool[c.n_pool - 1], (Span){ 0 });
        graph_output(c.l.g, "z", pick(&c), (Span){ 0 });
        const char *what = arena_printf(&c.l.arena, "seed %u", (unsigned)seed);
        check_generate(&c.l, lab_passes(&c.l, PROGRAM_generate, cached), 5 + draw(12), what);
        check_generate(&c.l, lab_passes(&c.l, PROGRAM_generate, cleaned), 5 + draw(12), what);
        check_last(&c.l, lab_passes(&c.l, PROGRAM_generate, at_last), 5 + draw(12), what);
        lab_end(&c.l);
    }
}

/* ---- whatever is accepted ---------------------------------------------------------------------- */

static bool reads_sequence(const Graph *g)
{
    for (ValueId v = 0; v < g->n_values; v++)
        if (sequence_axis(g, &value_type(g, v)->shape) >= 0)
            return true;
    return false;
}

static void test_any(void **state)
{
    (void)state;
    unsigned accepted = 0, refused = 0;
    for (seed = 1; seed <= N_ANY; seed++) {
        Lab l;
        Graph *g;
        lab_begin(&l);
        l.g = random_graph(seed + 500000, &l.arena);
        l.g->symbol[graph_batch(l.g)].max = 4;
        if (lab_try_passes(&l, PROGRAM_generate, cached, &g)) {
            accepted += reads_sequence(g);
            check_generate(&l, g, 7, arena_printf(&l.arena, "seed %u", (unsigned)seed));
            check_last(&l, lab_passes(&l, PROGRAM_generate, at_last), 7,
                       arena_printf(&l.arena, "seed %u", (unsigned)seed));
        } else {
            refused++;
            assert_int_equal(l.diags.diags[0].code, DIAG_E0401);
        }
        lab_end(&l);
    }
    print_message("%u accepted, %u refused\n", accepted, refused);
    assert_true(accepted > 100 && refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_random_causal),
        cmocka_unit_test(test_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
