/* Strides of views, held against the evaluator: a tensor of addresses seen through a view must be the
 * addresses that the view's strides give. */
#include "base/check.h"
#include "base/random.h"
#include "tests/passes/lab.h"
#include "passes/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { N_CHAINS = 1500, MAX_CHAIN = 5 };

/* Sizes of B and T with nothing in common with each other or with the constants of the tests. */
static const int64_t sizes[2][MAX_SYMBOLS] = { { 5, 7, 1, 1, 1, 1, 1, 1 },
                                               { 7, 11, 1, 1, 1, 1, 1, 1 } };
static uint64_t drawn;

static uint32_t draw(uint32_t n)
{
    return random_u32(5, 3, drawn++) % n;
}

static void begin(Lab *l)
{
    lab_begin(l);
    graph_symbol(l->g, "B", ROLE_BATCH, 64, (Span){ 0 });
    graph_symbol(l->g, "T", ROLE_SEQUENCE, 64, (Span){ 0 });
}

static Dim dim(int64_t n, unsigned b, unsigned t)
{
    Dim d = dim_const(n);
    d.power[0] = (uint8_t)b;
    d.power[1] = (uint8_t)t;
    return d;
}

#define SHAPE(...) (&(const Shape){ sizeof (Dim[]){ __VA_ARGS__ } / sizeof(Dim), { __VA_ARGS__ } })
#define N(n) dim(n, 0, 0)
#define B dim(1, 1, 0)
#define T dim(1, 0, 1)

static ValueId tensor(Lab *l, const Shape *shape)
{
    return lab_tensor(l, STORAGE_INPUT, "x", DTYPE_f32, 0, 1, shape);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static int64_t number(Dim d, const int64_t *at)
{
    int64_t n;
    assert_true(dim_eval(d, at, &n));
    return n;
}

static Tensor addresses(const Strided *s, const int64_t *at, Arena *arena)
{
    Tensor x = { .rank = s->shape.rank, .count = 1 };
    int64_t stride[MAX_RANK];
    const int64_t offset = number(s->offset, at);
    for (int a = 0; a < x.rank; a++) {
        x.count *= x.dim[a] = number(s->shape.dim[a], at);
        stride[a] = number(s->stride[a], at);
    }
    x.data = arena_array(arena, (size_t)x.count, sizeof *x.data);
    for (int64_t i = 0; i < x.count; i++) {
        int64_t rest = i, address = offset;
        for (int a = x.rank; a-- > 0; rest /= x.dim[a])
            address += rest % x.dim[a] * stride[a];
        x.data[i] = (double)address;
    }
    return x;
}

/* What the view makes of its input's addresses. */
static Tensor through(const Graph *g, const Node *n, const Tensor *in, const int64_t *at,
                      Arena *arena)
{
    const Strided shape = strided_dense(&value_type(g, n->first_output)->shape);
    Tensor out = addresses(&shape, at, arena);
    const Tensor *ins[] = { in };
    EvalNode e = { .g = g, .node = n, .in = ins, .out = &out, .sizes = at };
    eval_rules[n->op](&e);
    return out;
}

static bool same_addresses(const Tensor *a, const Tensor *b)
{
    return a->count == b->count
        && memcmp(a->data, b->data, (size_t)a->count * sizeof *a->data) == 0;
}

/* Are these the addresses of some offset and strides? */
static bool is_strided(const Tensor *x)
{
    int64_t stride[MAX_RANK] = { 0 }, step = 1;
    for (int a = x->rank; a-- > 0; step *= x->dim[a])
        stride[a] = x->dim[a] > 1 ? (int64_t)(x->data[step] - x->data[0]) : 0;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t rest = i, address = (int64_t)x->data[0];
        for (int a = x->rank; a-- > 0; rest /= x->dim[a])
            address += rest % x->dim[a] * stride[a];
        if (x->data[i] != (double)address)
            return false;
    }
    return true;
}

/* Checks strided_view of node n; returns whether there is one. */
static bool check_view(Lab *l, const Node *n, const Strided *in, Strided *out)
{
    const bool possible = strided_view(l->g, n, in, out);
    bool strided = true;
    for (int k = 0; k < 2; k++) {
        Arena arena;
        arena_init(&arena, NULL);
        const Tensor from = addresses(in, sizes[k], &arena);
        const Tensor want = through(l->g, n, &from, sizes[k], &arena);
        strided = strided && is_strided(&want);
        if (possible) {
            const Tensor got = addresses(out, sizes[k], &arena);
            assert_true(shape_equal(&out->shape, &value_type(l->g, n->first_output)->shape));
            assert_true(same_addresses(&got, &want));
        }
        arena_free(&arena);
    }
    /* A slice may be strided, but begin at a sum of sizes that no Dim can say. */
    if (!possible && strided && n->op != OP_slice)
        fail_msg("a %s that needs no copy is refused", op_info(n->op)->name);
    return possible;
}

/* ---- random chains of views ------------------------------------------------------------------- */

static ValueId random_reshape(Lab *l, ValueId x)
{
    const Shape *s = &value_type(l->g, x)->shape;
    Shape to = { 0 };
    const int axis = (int)draw(s->rank), ones = (int)draw(2);
    const unsigned how = draw(4);
    for (int a = 0; a < s->rank; a++) {
        if (a == axis && how == 0 && s->dim[a].coef % 2 == 0) {
            to.dim[to.rank++] = dim_const(2);
            to.dim[to.rank] = s->dim[a];
            to.dim[to.rank++].coef /= 2;
        } else if (a == axis && how == 1 && s->dim[a].power[0] + s->dim[a].power[1] > 1) {
            Dim first = dim_symbol(s->dim[a].power[0] ? 0 : 1), rest;
            assert_true(dim_div(s->dim[a], first, &rest));
            to.dim[to.rank++] = first;
            to.dim[to.rank++] = rest;
        } else if (a == axis && a + 1 < s->rank) {
            assert_true(dim_mul(s->dim[a], s->dim[a + 1], &to.dim[to.rank++]));
            a++;
        } else {
            to.dim[to.rank++] = s->dim[a];
        }
    }
    if (ones && to.rank < MAX_RANK - 1)
        to.dim[to.rank++] = dim_const(1);
    return to.rank < MAX_RANK ? build_reshape(&l->b, x, &to) : x;
}

static ValueId random_slice(Lab *l, ValueId x)
{
    const Shape *s = &value_type(l->g, x)->shape;
    const int axis = (int)draw(s->rank);
    if (!dim_is_const(s->dim[axis]))
        return x;
    const uint32_t n = (uint32_t)s->dim[axis].coef, start = draw(n);
    return build_slice(&l->b, x, axis, start, start + 1 + draw(n - start));
}

static ValueId random_broadcast(Lab *l, ValueId x)
{
    Shape s = value_type(l->g, x)->shape;
    for (int a = 0; a < s.rank; a++)
        if (dim_is(s.dim[a], 1) && draw(2))
            s.dim[a] = draw(2) ? dim_const(3) : dim_symbol(1);
    if (s.rank < 4 && draw(3) == 0) {
        memmove(s.dim + 1, s.dim, s.rank * sizeof *s.dim);
        s.dim[0] = dim_const(2);
        s.rank++;
    }
    return build_broadcast(&l->b, x, &s);
}

static ValueId random_view(Lab *l, ValueId x)
{
    const uint32_t rank = value_type(l->g, x)->shape.rank;
    switch (draw(5)) {
    case 0: return build_transpose(&l->b, x, (int)draw(rank), (int)draw(rank));
    case 1: return random_slice(l, x);
    case 2: return random_broadcast(l, x);
    default: return random_reshape(l, x);
    }
}

static bool small(const Lab *l, ValueId v)
{
    Dim count;
    return shape_count(&value_type(l->g, v)->shape, &count) && number(count, sizes[1]) <= 20000;
}

/* Back from the view: what comes of it must give the view again. */
static unsigned check_unview(Lab *l, const Node *n, const Strided *out)
{
    Strided in, again;
    if (!strided_unview(l->g, n, out, &in))
        return 0;
    assert_true(n->op == OP_reshape || n->op == OP_transpose);
    assert_true(shape_equal(&in.shape, &value_type(l->g, node_input(l->g, n, 0))->shape));
    assert_true(strided_view(l->g, n, &in, &again));
    assert_true(strided_equal(&again, out));
    return 1;
}

static void test_random_chains(void **state)
{
    (void)state;
    unsigned possible = 0, refused = 0, back = 0;
    for (int chain = 0; chain < N_CHAINS; chain++) {
        Lab l;
        begin(&l);
        ValueId x = tensor(&l, SHAPE(B, T, N(6), N(4)));
        Strided s = strided_dense(&value_type(l.g, x)->shape), out;
        for (int k = 0; k < MAX_CHAIN; k++) {
            const ValueId y = random_view(&l, x);
            if (y == x || !small(&l, y))
                continue;
            const Node *n = value_def(l.g, y);
            const Strided dense = strided_dense(&value_type(l.g, y)->shape);
            back += check_unview(&l, n, &dense);
            if (!check_view(&l, n, &s, &out)) {
                refused++;
                break;
            }
            back += check_unview(&l, n, &out);
            possible++;
            s = out;
            x = y;
        }
        lab_end(&l);
    }
    assert_true(possible > 1000 && refused > 50 && back > 1000);
}

/* ---- by hand --------------------------------------------------------------------------------- */

static Strided view_of(Lab *l, ValueId y, const Strided *in)
{
    Strided out;
    assert_true(check_view(l, value_def(l->g, y), in, &out));
    return out;
}

static void expect_strides(const Strided *s, Dim offset, const Shape *strides)
{
    assert_int_equal(s->shape.rank, strides->rank);
    assert_true(dim_equal(s->offset, offset));
    for (int a = 0; a < strides->rank; a++)
        assert_true(dim_equal(s->stride[a], strides->dim[a]));
}

/* [B, T, 24] as heads and back, B and T merged and parted. */
static void test_reshapes(void **state)
{
    (void)state;
    Lab l;
    begin(&l);
    const ValueId x = tensor(&l, SHAPE(B, T, N(24)));
    const Strided dense = strided_dense(&value_type(l.g, x)->shape);
    expect_strides(&dense, N(0), SHAPE(dim(24, 0, 1), N(24), N(1)));

    const ValueId merged = build_reshape(&l.b, x, SHAPE(dim(1, 1, 1), N(24)));
    const Strided m = view_of(&l, merged, &dense);
    expect_strides(&m, N(0), SHAPE(N(24), N(1)));
    const ValueId parted = build_reshape(&l.b, merged, SHAPE(B, T, N(2), N(12)));
    const Strided p = view_of(&l, parted, &m);
    expect_strides(&p, N(0), SHAPE(dim(24, 0, 1), N(24), N(12), N(1)));
    const ValueId swapped = build_transpose(&l.b, parted, 1, 2);
    const Strided s = view_of(&l, swapped, &p);
    expect_strides(&s, N(0), SHAPE(dim(24, 0, 1), N(12), N(24), N(1)));
    assert_false(strided_is_dense(&s));
    assert_true(strided_rows(&s));

    /* Heads that stand before T cannot be merged with what stands after it, but split. */
    Strided out;
    const ValueId flat = build_reshape(&l.b, swapped, SHAPE(B, N(2), dim(12, 0, 1)));
    assert_false(check_view(&l, value_def(l.g, flat), &s, &out));
    /* An axis of size 1 in between is no hindrance, whatever its stride. */
    const ValueId one = build_transpose(&l.b, build_reshape(&l.b, x, SHAPE(dim(1, 1, 1), N(24), N(1))),
                                        1, 2);
    Strided column = { .shape = value_type(l.g, one)->shape,
                       .stride = { N(24), N(7), N(1) }, .offset = N(0) };
    const ValueId row = build_reshape(&l.b, one, SHAPE(dim(24, 1, 1)));
    const Strided r = view_of(&l, row, &column);
    expect_strides(&r, N(0), SHAPE(N(1)));
    const ValueId split = build_reshape(&l.b, swapped, SHAPE(B, N(2), T, N(3), N(4)));
    const Strided q = view_of(&l, split, &s);
    expect_strides(&q, N(0), SHAPE(dim(24, 0, 1), N(12), N(24), N(4), N(1)));
    lab_end(&l);
}

static void test_slices(void **state)
{
    (void)state;
    Lab l;
    begin(&l);
    const ValueId x = tensor(&l, SHAPE(N(3), T, N(24)));
    const Strided dense = strided_dense(&value_type(l.g, x)->shape);
    const ValueId tail = build_slice(&l.b, x, 2, 8, 16);
    const Strided t = view_of(&l, tail, &dense);
    expect_strides(&t, N(8), SHAPE(dim(24, 0, 1), N(24), N(1)));
    const ValueId again = build_slice(&l.b, tail, 2, 3, 4);
    const Strided a = view_of(&l, again, &t);
    expect_strides(&a, N(11), SHAPE(dim(24, 0, 1), N(24), N(1)));

    /* 8 + 24 T is no product of sizes. */
    Strided out;
    const ValueId row = build_slice(&l.b, tail, 0, 1, 2), first = build_slice(&l.b, tail, 0, 0, 2);
    assert_false(strided_view(l.g, value_def(l.g, row), &t, &out));
    const Strided f = view_of(&l, first, &t);
    expect_strides(&f, N(8), SHAPE(dim(24, 0, 1), N(24), N(1)));
    const ValueId whole = build_slice(&l.b, x, 0, 2, 3);
    const Strided w = view_of(&l, whole, &dense);
    expect_strides(&w, dim(48, 0, 1), SHAPE(dim(24, 0, 1), N(24), N(1)));
    assert_true(strided_is_dense(&w));
    lab_end(&l);
}

static void test_broadcasts(void **state)
{
    (void)state;
    Lab l;
    begin(&l);
    const ValueId x = tensor(&l, SHAPE(T, N(1), N(6)));
    const Strided dense = strided_dense(&value_type(l.g, x)->shape);
    const ValueId y = build_broadcast(&l.b, x, SHAPE(B, T, N(4), N(6)));
    const Strided s = view_of(&l, y, &dense);
    expect_strides(&s, N(0), SHAPE(N(0), N(6), N(0), N(1)));
    Strided out;
    assert_false(strided_unview(l.g, value_def(l.g, y), &s, &out));
    const ValueId cut = build_slice(&l.b, x, 2, 0, 2);
    assert_false(strided_unview(l.g, value_def(l.g, cut), &s, &out));
    /* Merged, the repeated rows would have to be copied. */
    const ValueId merged = build_reshape(&l.b, y, SHAPE(B, T, N(24)));
    assert_false(check_view(&l, value_def(l.g, merged), &s, &out));
    /* But two axes that both repeat are one that does. */
    const ValueId z = build_broadcast(&l.b, x, SHAPE(N(2), B, T, N(1), N(6)));
    const Strided r = view_of(&l, z, &dense);
    const ValueId pair = build_reshape(&l.b, z, SHAPE(dim(2, 1, 0), T, N(6)));
    const Strided q = view_of(&l, pair, &r);
    expect_strides(&q, N(0), SHAPE(N(0), N(6), N(1)));
    lab_end(&l);
}

/* From the dense [B, T, H D] that is wanted back to the [B, H, T, D] that attention writes. */
static void test_unviews(void **state)
{
    (void)state;
    Lab l;
    begin(&l);
    const ValueId x = tensor(&l, SHAPE(B, N(2), T, N(12)));
    const ValueId y = build_transpose(&l.b, x, 1, 2);
    const ValueId z = build_reshape(&l.b, y, SHAPE(B, T, N(24)));
    const Strided want = strided_dense(&value_type(l.g, z)->shape);
    Strided at_y, at_x;
    assert_true(strided_unview(l.g, value_def(l.g, z), &want, &at_y));
    assert_true(strided_unview(l.g, value_def(l.g, y), &at_y, &at_x));
    expect_strides(&at_x, N(0), SHAPE(dim(24, 0, 1), N(12), N(24), N(1)));
    lab_end(&l);
}

static void test_parts(void **state)
{
    (void)state;
    Strided part;
    const Strided whole = strided_dense(SHAPE(N(4), B, N(6)));
    assert_true(strided_part(&whole, 0, 3, dim_const(1), &part));
    expect_strides(&part, dim(18, 1, 0), SHAPE(dim(6, 1, 0), N(6), N(1)));
    assert_true(dim_is(part.shape.dim[0], 1));
    Strided inner = part;
    assert_true(strided_part(&part, 1, 0, B, &inner));
    assert_true(strided_equal(&inner, &part));
    assert_false(strided_part(&part, 2, 2, dim_const(2), &inner));
}

/* Axes of size 1 have no stride to speak of. */
static void test_predicates(void **state)
{
    (void)state;
    Strided s = strided_dense(SHAPE(T, N(1), N(6), N(1)));
    const Strided dense = s;
    s.stride[1] = s.stride[3] = dim_const(77);
    assert_true(strided_is_dense(&s) && strided_rows(&s) && strided_equal(&s, &dense));
    s.stride[2] = dim_const(2);
    assert_false(strided_is_dense(&s) || strided_equal(&s, &dense));
    s.offset = dim_const(8);
    s.stride[2] = dim_const(1);
    assert_true(strided_is_dense(&s));
    assert_false(strided_equal(&s, &dense));
    Strided columns = strided_dense(SHAPE(N(3), N(4)));
    columns.stride[1] = dim_const(3);
    assert_false(strided_rows(&columns));
    const Strided scalar = strided_dense(&(const Shape){ 0 });
    assert_true(strided_is_dense(&scalar) && strided_rows(&scalar));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_chains), cmocka_unit_test(test_reshapes),
        cmocka_unit_test(test_slices),        cmocka_unit_test(test_broadcasts),
        cmocka_unit_test(test_unviews),       cmocka_unit_test(test_parts),
        cmocka_unit_test(test_predicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
