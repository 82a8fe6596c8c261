/* Every MAP, IMAP and REDUCE row of kernels.def on every instruction set of this processor.
 *
 * Values: one-input functions against the double oracle (oracle.h, where the bounds are derived), on
 * special values, on a sweep over all exponents and on a fine grid where the functions bend.  Two and
 * three inputs against C's own operators.  Reductions against the canonical tree written out.
 *
 * Places: every size from 0 to three vectors and one, and some larger; odd addresses; each kind of
 * lane (a value per element, per row, one for all), row pitches with gaps; in place.  What is not an
 * element of the destination must keep its bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "runtime/kernels/select.h"
#include "tests/kernels/oracle.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

enum { LONGEST = 333, ROWS = 5, PITCH = 400, ROOM = ROWS * PITCH + 64 };

/* Instruction sets that have instructions of row programs for themselves. */
#define EACH_TABLE(t)                                                                         \
    for (int t##_i = 0; t##_i < N_ISAS; t##_i++)                                              \
        for (const KernelTable *t = kernels_table((Isa)t##_i); t; t = NULL)                   \
            if (isa_supported(t->isa) && kernels_own(t->isa, KERNEL_row))

static uint32_t bits_of(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static float float_of(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static const float specials[] = {
    0.0f, -0.0f, 1, -1, 0.5f, -0.5f, 2, -2, 3, -3, 0x1p-149f, -0x1p-149f, 0x1.fffffcp-127f,
    -0x1.fffffcp-127f, FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN, -NAN,
    0x1p23f, 0x1p24f, -0x1p24f, 0x1.fffffep23f, 0x1p31f, -0x1p31f, 0x1.fffffep30f, 0x1p32f,
    1 + FLT_EPSILON, 1 - FLT_EPSILON / 2, -1 - FLT_EPSILON, 88.72f, 88.73f, -87.33f, -103.9f,
    -104.1f, 127.99f, 128, -126, -149, -150, 0.625f, 0.62499f, 15, -15, 14.2f, -14.2f, 1.5f, -2.5f,
    0x1p20f, -0x1p20f, 0x1.fffffep19f, 0x1.921fb6p+0f, 0x1.921fb6p+1f, 0x1.f0d89p+90f, 1e30f,
};

enum { BATCH = 1000 };

static void check_batch(const KernelTable *t, const Oracle *o, const float *x, size_t n)
{
    static float y[BATCH];
    t->row[o->op].map1(1, n, (Lane){ y, 0, 1 }, (Lane){ (float *)(uintptr_t)x, 0, 1 });
    for (size_t i = 0; i < n; i++) {
        double e = oracle_error(o, x[i], y[i]);
        if (!(e <= o->ulps))
            fail_msg("%s %s(%a) = %a, %.3f ulps away", isa_name(t->isa), row_op_name(o->op),
                     (double)x[i], (double)y[i], e);
    }
}

static void check_values(const KernelTable *t, const Oracle *o)
{
    static float x[BATCH];
    check_batch(t, o, specials, COUNT_OF(specials));
    /* Every exponent and sign, with mantissas that no pattern favours. */
    for (uint64_t start = 0; start >> 32 == 0; start += BATCH * UINT64_C(20011)) {
        for (uint64_t i = 0; i < BATCH; i++)
            x[i] = float_of((uint32_t)(start + i * 20011));
        check_batch(t, o, x, BATCH);
    }
    for (int step = -110; step < 110; step++) {
        for (int i = 0; i < BATCH; i++)
            x[i] = (float)step + (float)i / BATCH;
        check_batch(t, o, x, BATCH);
    }
}

static void test_one_input_values(void **state)
{
    (void)state;
    EACH_TABLE(t)
        for (size_t i = 0; i < COUNT_OF(oracles); i++)
            check_values(t, &oracles[i]);
}

/* The oracle table misses no float function of one input. */
static void test_oracles_are_complete(void **state)
{
    (void)state;
    bool seen[N_ROW_OPS] = { false };
    for (size_t i = 0; i < COUNT_OF(oracles); i++)
        seen[oracles[i].op] = true;
#define MAP1(name) assert_true(seen[ROW_##name]);
#include "runtime/kernels/kernels.def"
}

static void test_signs_of_zero(void **state)
{
    (void)state;
    static const RowOp odd[] = { ROW_copy, ROW_expm1, ROW_sqrt, ROW_tanh, ROW_sin, ROW_erf,
                                 ROW_silu, ROW_gelu, ROW_gelu_tanh };
    EACH_TABLE(t)
        for (size_t i = 0; i < COUNT_OF(odd); i++) {
            float x[2] = { 0.0f, -0.0f }, y[2] = { 1, 1 };
            t->row[odd[i]].map1(1, 2, (Lane){ y, 0, 1 }, (Lane){ x, 0, 1 });
            assert_int_equal(bits_of(y[0]), 0);
            assert_int_equal(bits_of(y[1]), 0x80000000);
        }
}

static float larger(float a, float b) { return isnan(a) || isnan(b) ? NAN : a > b ? a : b; }
static float smaller(float a, float b) { return isnan(a) || isnan(b) ? NAN : a < b ? a : b; }

static uint32_t integer_result(RowOp op, uint32_t a, uint32_t b)
{
    int32_t x = (int32_t)a, y = (int32_t)b;
    switch ((int)op) {
    case ROW_i32_add: return a + b;
    case ROW_i32_sub: return a - b;
    case ROW_i32_mul: return a * b;
    case ROW_i32_lt: return bits_of(x < y);
    case ROW_i32_le: return bits_of(x <= y);
    case ROW_i32_gt: return bits_of(x > y);
    case ROW_i32_ge: return bits_of(x >= y);
    case ROW_i32_eq: return bits_of(x == y);
    case ROW_i32_ne: return bits_of(x != y);
    }
    fail_msg("no meaning for %s", row_op_name(op));
    return 0;
}

static float float_result(RowOp op, float a, float b)
{
    switch ((int)op) {
    case ROW_add: return a + b;
    case ROW_sub: return a - b;
    case ROW_mul: return a * b;
    case ROW_div: return a / b;
    case ROW_maximum: return larger(a, b);
    case ROW_minimum: return smaller(a, b);
    case ROW_lt: return a < b;
    case ROW_le: return a <= b;
    case ROW_gt: return a > b;
    case ROW_ge: return a >= b;
    case ROW_eq: return a == b;
    case ROW_ne: return a != b;
    }
    fail_msg("no meaning for %s", row_op_name(op));
    return 0;
}

static bool is_integer_op(RowOp op)
{
    return strncmp(row_op_name(op), "i32_", 4) == 0;
}

/* Equal as numbers: any NaN for a NaN, either zero for a zero. */
static bool same_number(float a, float b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

static void check_pair(const KernelTable *t, RowOp op, float a, float b, float y)
{
    if (op == ROW_pow) {
        double want = pow((double)a, (double)b), e = ulps_apart(y, want, fabs(want));
        if (!(e <= 1))
            fail_msg("%s pow(%a, %a) = %a, %.3f ulps away", isa_name(t->isa), (double)a, (double)b,
                     (double)y, e);
    } else if (is_integer_op(op)) {
        assert_int_equal(bits_of(y), integer_result(op, bits_of(a), bits_of(b)));
    } else if (!same_number(y, float_result(op, a, b))) {
        fail_msg("%s %s(%a, %a) = %a", isa_name(t->isa), row_op_name(op), (double)a, (double)b,
                 (double)y);
    }
}

/* A float of any exponent, or a special value. */
static float draw_any(uint64_t i)
{
    uint32_t r = random_u32(1, 1, i);
    return r % 4 == 0 ? specials[r / 4 % COUNT_OF(specials)] : float_of(random_u32(1, 2, i));
}

/* Bases near 1 and exponents that together stay within the range. */
static float draw_near(uint64_t i)
{
    return (float)exp(6 * (2 * random_uniform(1, 3, i) - 1));
}

static void check_pairs(const KernelTable *t, RowOp op)
{
    enum { N = 997 };
    static float a[N], b[N], y[N];
    for (uint64_t round = 0; round < 60; round++) {
        for (uint64_t i = 0; i < N; i++) {
            uint64_t k = 2 * (round * N + i);
            a[i] = round % 2 ? draw_near(k) : draw_any(k);
            b[i] = round % 4 == 1 ? draw_near(k + 1) : round % 4 == 3 ? (float)(int)(k % 41) - 20
                                                                      : draw_any(k + 1);
            if (round % 8 == 7)
                a[i] = -a[i];
        }
        t->row[op].map2(1, N, (Lane){ y, 0, 1 }, (Lane){ a, 0, 1 }, (Lane){ b, 0, 1 });
        for (int i = 0; i < N; i++)
            check_pair(t, op, a[i], b[i], y[i]);
    }
    for (size_t i = 0; i < COUNT_OF(specials); i++)
        for (size_t j = 0; j < COUNT_OF(specials); j++) {
            float p = specials[i], q = specials[j], r = 0;
            t->row[op].map2(1, 1, (Lane){ &r, 0, 1 }, (Lane){ &p, 0, 1 }, (Lane){ &q, 0, 1 });
            check_pair(t, op, p, q, r);
        }
}

static void test_two_input_values(void **state)
{
    (void)state;
    EACH_TABLE(t)
        for (int op = 0; op < N_ROW_OPS; op++)
            if (row_op_kind((RowOp)op) == ROW_MAP2)
                check_pairs(t, (RowOp)op);
}

static void test_three_input_values(void **state)
{
    (void)state;
    enum { N = 4099 };
    static float a[N], b[N], c[N], y[N];
    for (uint64_t i = 0; i < N; i++) {
        a[i] = i % 3 ? draw_any(3 * i) : i % 2 ? 0.0f : -0.0f;
        b[i] = draw_any(3 * i + 1);
        c[i] = draw_any(3 * i + 2);
    }
    EACH_TABLE(t) {
        Lane la = { a, 0, 1 }, lb = { b, 0, 1 }, lc = { c, 0, 1 }, ly = { y, 0, 1 };
        t->row[ROW_where].map3(1, N, ly, la, lb, lc);
        for (int i = 0; i < N; i++)
            assert_int_equal(bits_of(y[i]), bits_of(a[i] != 0 ? b[i] : c[i]));
        t->row[ROW_fma].map3(1, N, ly, la, lb, lc);
        for (int i = 0; i < N; i++)
            if (!same_number(y[i], fmaf(a[i], b[i], c[i])) &&
                ulps_apart(y[i], (double)fmaf(a[i], b[i], c[i]), fabs((double)y[i])) > 1)
                fail_msg("%s fma(%a, %a, %a) = %a", isa_name(t->isa), (double)a[i], (double)b[i],
                         (double)c[i], (double)y[i]);
    }
}

static int32_t saturated(float x)
{
    return isnan(x) ? 0 : x >= 0x1p31f ? INT32_MAX : x <= -0x1p31f ? INT32_MIN : (int32_t)x;
}

static void test_integers_of_one_input(void **state)
{
    (void)state;
    enum { N = 4099 };
    static float a[N], y[N];
    for (uint64_t i = 0; i < N; i++)
        a[i] = i < COUNT_OF(specials) ? specials[i] : draw_any(i);
    EACH_TABLE(t) {
        Lane la = { a, 0, 1 }, ly = { y, 0, 1 };
        t->row[ROW_f32_to_i32].map1(1, N, ly, la);
        for (int i = 0; i < N; i++)
            assert_int_equal((int32_t)bits_of(y[i]), saturated(a[i]));
        t->row[ROW_i32_to_f32].map1(1, N, ly, la);
        for (int i = 0; i < N; i++)
            assert_int_equal(bits_of(y[i]), bits_of((float)(int32_t)bits_of(a[i])));
        t->row[ROW_i32_neg].map1(1, N, ly, la);
        for (int i = 0; i < N; i++)
            assert_int_equal(bits_of(y[i]), 0u - bits_of(a[i]));
    }
}

/* A block of lanes with every float of its memory known. */
typedef struct Block {
    float memory[ROOM];
    Lane lane;
} Block;

typedef enum Kind { FULL, FLAT, PER_ROW, ONE_ROW, ONE, N_KINDS } Kind;

static void block_fill(Block *b, Kind kind, size_t n, uint64_t seed)
{
    enum { POOL = 2 * ROOM };
    static float pool[POOL];
    for (uint64_t i = 0; pool[POOL - 1] == 0 && i < POOL; i++)
        pool[i] = (float)(random_uniform(1, 4, i) * 4 - 2);
    memcpy(b->memory, pool + seed * 31 % ROOM, sizeof b->memory);
    float *p = b->memory + 17 + seed % 3;
    switch (kind) {
    case FULL: b->lane = (Lane){ p, PITCH, 1 }; break;
    case FLAT: b->lane = (Lane){ p, (ptrdiff_t)n, 1 }; break;
    case PER_ROW: b->lane = (Lane){ p, 3, 0 }; break;
    case ONE_ROW: b->lane = (Lane){ p, 0, 1 }; break;
    case ONE: case N_KINDS: b->lane = (Lane){ p, 0, 0 }; break;
    }
}

static float lane_at(Lane a, size_t r, size_t j)
{
    return a.p[(ptrdiff_t)r * a.row + (ptrdiff_t)j * a.col];
}

static void apply(const KernelTable *t, RowOp op, size_t rows, size_t n, Lane dst, const Lane in[3])
{
    RowFn f = t->row[op];
    switch (row_op_kind(op)) {
    case ROW_MAP1: f.map1(rows, n, dst, in[0]); break;
    case ROW_MAP2: f.map2(rows, n, dst, in[0], in[1]); break;
    case ROW_MAP3: f.map3(rows, n, dst, in[0], in[1], in[2]); break;
    case ROW_REDUCE: f.reduce(rows, n, dst, in[0]); break;
    case ROW_RANDOM:
    case ROW_GATHER:
    case ROW_ROUND:
    case ROW_COLUMNS: break;
    }
}

/* What the op makes of one element alone: values are proved elsewhere, here it is about places. */
static float alone(const KernelTable *t, RowOp op, const Lane in[3], size_t r, size_t j)
{
    float x[3], y = 0;
    Lane lane[3];
    for (int k = 0; k < 3; k++) {
        x[k] = k < row_op_inputs(op) ? lane_at(in[k], r, j) : 0;
        lane[k] = (Lane){ &x[k], 0, 1 };
    }
    apply(t, op, 1, 1, (Lane){ &y, 0, 1 }, lane);
    return y;
}

static void check_places(const KernelTable *t, RowOp op, size_t rows, size_t n, Kind to,
                         const Kind kind[3], bool in_place)
{
    static Block block[3], dst, before;
    Lane in[3];
    for (int k = 0; k < 3; k++) {
        block_fill(&block[k], kind[k], n, (uint64_t)k + n);
        in[k] = block[k].lane;
    }
    block_fill(&dst, to, n, 99 + n);
    before = dst;
    if (in_place) {
        in[0] = dst.lane;
        in[0].p = before.memory + (dst.lane.p - dst.memory);
    }
    Lane used[3] = { in_place ? dst.lane : in[0], in[1], in[2] };
    apply(t, op, rows, n, dst.lane, used);
    size_t first = (size_t)(dst.lane.p - dst.memory), pitch = (size_t)dst.lane.row;
    for (size_t i = 0; i < ROOM; i++) {
        size_t r = i < first || pitch == 0 ? 0 : (i - first) / pitch;
        size_t j = i < first ? 0 : i - first - r * pitch;
        bool mine = i >= first && r < rows && j < n && n > 0;
        float want = mine ? alone(t, op, in, r, j) : before.memory[i];
        if (bits_of(dst.memory[i]) != bits_of(want))
            fail_msg("%s %s rows %zu n %zu kinds %d <- %d %d %d: float %zu is %a, not %a",
                     isa_name(t->isa), row_op_name(op), rows, n, to, kind[0], kind[1], kind[2],
                     i - first, (double)dst.memory[i], (double)want);
    }
}

static void check_sizes(const KernelTable *t, RowOp op, const Kind kind[3])
{
    static const size_t sizes[] = { 63, 64, 65, 127, 130, 256, LONGEST };
    for (size_t n = 0; n <= 49; n++)
        check_places(t, op, 1 + n % ROWS, n, n % 2 ? FULL : FLAT, kind, false);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        check_places(t, op, 2, sizes[i], FULL, kind, false);
}

static void test_places(void **state)
{
    (void)state;
    EACH_TABLE(t)
        for (int i = 0; i < N_ROW_OPS; i++) {
            RowOp op = (RowOp)i;
            RowKind k = row_op_kind(op);
            if (k == ROW_REDUCE || k == ROW_RANDOM || k == ROW_GATHER || k == ROW_ROUND
                || k == ROW_COLUMNS)
                continue;
            /* Inputs that an op lacks keep the kind of the first, so that nothing runs twice. */
            for (int code = 0; code < N_KINDS * N_KINDS * N_KINDS; code++) {
                Kind kind[3] = { (Kind)(code % N_KINDS), (Kind)(code / N_KINDS % N_KINDS),
                                 (Kind)(code / N_KINDS / N_KINDS) };
                bool again = (k == ROW_MAP1 && code >= N_KINDS) ||
                             (k == ROW_MAP2 && code >= N_KINDS * N_KINDS);
                if (!again)
                    check_sizes(t, op, kind);
            }
            for (size_t n = 1; n <= 49; n++) {
                check_places(t, op, 3, n, FULL, (const Kind[3]){ FULL, ONE, PER_ROW }, true);
                check_places(t, op, 3, n, FLAT, (const Kind[3]){ FLAT, FLAT, ONE }, true);
            }
        }
}

static float tree_join(RowOp op, float a, float b)
{
    return op == ROW_sum ? a + b : op == ROW_max ? larger(a, b) : smaller(a, b);
}

/* The definition in row.h, word for word. */
static float tree(RowOp op, Lane a, size_t r, size_t n)
{
    float part[64];
    for (int i = 0; i < 64; i++)
        part[i] = op == ROW_sum ? 0 : op == ROW_max ? -INFINITY : INFINITY;
    for (size_t j = 0; j < n; j++)
        part[j % 64] = tree_join(op, part[j % 64], lane_at(a, r, j));
    for (int half = 32; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] = tree_join(op, part[i], part[i + half]);
    return part[0];
}

static void check_reduction(const KernelTable *t, RowOp op, size_t n, Kind kind, float special)
{
    static Block a;
    float y[2 * ROWS + 2];
    block_fill(&a, kind, n, n);
    if (special != 0 && n > 0)
        a.lane.p[kind == FULL ? n / 2 : 0] = special;
    for (size_t i = 0; i < COUNT_OF(y); i++)
        y[i] = 77;
    t->row[op].reduce(ROWS, n, (Lane){ y + 1, 2, 1 }, a.lane);
    for (size_t i = 0; i < COUNT_OF(y); i++) {
        bool mine = i % 2 == 1 && i / 2 < ROWS;
        float want = mine ? tree(op, a.lane, i / 2, n) : 77;
        if (isnan(want) ? !isnan(y[i]) : bits_of(y[i]) != bits_of(want))
            fail_msg("%s %s of %zu, kind %d: %a, not %a", isa_name(t->isa), row_op_name(op), n,
                     kind, (double)y[i], (double)want);
    }
}

static void test_reductions(void **state)
{
    (void)state;
    static const float special[] = { 0, NAN, INFINITY, -INFINITY, FLT_MAX, 0x1p-149f };
    EACH_TABLE(t)
        for (int op = 0; op < N_ROW_OPS; op++)
            for (size_t n = 0; row_op_kind((RowOp)op) == ROW_REDUCE && n <= 200; n++)
                for (int kind = 0; kind < N_KINDS; kind++)
                    for (size_t i = 0; i < COUNT_OF(special); i++)
                        check_reduction(t, (RowOp)op, n, (Kind)kind, special[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracles_are_complete),
        cmocka_unit_test(test_one_input_values),
        cmocka_unit_test(test_signs_of_zero),
        cmocka_unit_test(test_two_input_values),
        cmocka_unit_test(test_three_input_values),
        cmocka_unit_test(test_integers_of_one_input),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_reductions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
