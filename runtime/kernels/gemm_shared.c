/* The family gemm_shared: what legal products of one A are, and how they are cut into tasks. */
#include "runtime/kernels/gemm_shared.h"

#include <string.h>

/* Slots of Call.derived, behind those that gemm_bind reads (of the joined columns). */
enum { AT_APART = GEMM_DERIVED, AT_C_M, N_AT = AT_C_M + GEMM_SHARED };
_Static_assert((int)N_AT <= (int)MAX_DERIVED, "slots of a call");

Call gemm_shared_part(const Call *call, int32_t i, Operand operand[3])
{
    const int32_t n = gemm_shared_count(call);
    operand[0] = call->operand[i];
    operand[1] = call->operand[n];
    operand[2] = call->operand[n + 1 + i];
    Call part = *call;
    part.kernel = call->kernel == KERNEL_gemm_shared ? KERNEL_gemm : KERNEL_gemm_q;
    part.n_operands = 3;
    part.operand = operand;
    return part;
}

static int64_t columns_of(const Call *call, int32_t i)
{
    return call->operand[i].dim[call->operand[i].rank - 1];
}

/* The product of all columns.  Its C and B are at no place; all that is asked of it is its grid. */
static Call join(const Call *call, Operand operand[3])
{
    Call joined = gemm_shared_part(call, 0, operand);
    int64_t *columns = &operand[0].dim[operand[0].rank - 1];
    for (int32_t i = 1; i < gemm_shared_count(call); i++)
        *columns += columns_of(call, i);
    operand[2].dim[operand[2].rank - 1] = *columns;
    return joined;
}

bool gemm_shared_check(const Call *call, const KernelFamily *one, Error *err)
{
    const int32_t n = gemm_shared_count(call);
    int64_t columns = 0;
    if (call->n_operands != 2 * n + 1 || n < 2 || n > GEMM_SHARED)
        return error_set(err, "%d operands, expected 2 n + 1 for 2 to %d products", call->n_operands,
                         GEMM_SHARED);
    for (int32_t i = 0; i < n; i++) {
        Operand operand[3];
        const Call part = gemm_shared_part(call, i, operand);
        if (!one->check(&part, err))
            return error_prefix(err, "product %d of %d", i + 1, n);
        if (operand[2].dtype != call->operand[n + 1].dtype)
            return error_set(err, "the products' B are of several types");
        if (!i64_add(columns, columns_of(call, i), &columns) || columns > INT64_MAX >> 16)
            return error_set(err, "too many columns");
    }
    return true;
}

static bool check(const Call *call, Error *err)
{
    if (call->i[1] || call->i[2])
        return error_set(err, "no bias and no residual is taken");
    return gemm_shared_check(call, &family_gemm, err);
}

/* Is product i, where it has elements, one of the same rows as the joined ones? */
static bool agrees(const Call *call, int32_t i, const Gemm *joined, int64_t *c_m)
{
    Operand operand[3];
    Call part = gemm_shared_part(call, i, operand);
    *c_m = 0;
    family_gemm.prepare(&part);
    if (part.n_tasks == 0)
        return true;
    const Gemm g = gemm_bind(&part);
    *c_m = g.c_m;
    return g.m == joined->m && g.a_m == joined->a_m && g.lead == joined->lead && g.ia == joined->ia;
}

static void prepare_apart(Call *call)
{
    call->derived[AT_APART] = true;
    call->n_tasks = 0;
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        Operand operand[3];
        Call part = gemm_shared_part(call, i, operand);
        family_gemm.prepare(&part);
        call->n_tasks += part.n_tasks;
    }
}

static void prepare(Call *call)
{
    Operand operand[3];
    Call joined = join(call, operand);
    call->derived[AT_APART] = false;
    call->n_tasks = 0;
    family_gemm.prepare(&joined);
    if (joined.n_tasks == 0)
        return;
    const Gemm all = gemm_bind(&joined);
    memcpy(call->derived, joined.derived, GEMM_DERIVED * sizeof *call->derived);
    int64_t tiles = 0;
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        if (!agrees(call, i, &all, &call->derived[AT_C_M + i])) {
            prepare_apart(call);
            return;
        }
        tiles += ceil_div(columns_of(call, i), all.tile_n);
    }
    call->n_tasks = joined.n_tasks / all.tiles_n * tiles;
}

bool gemm_shared_apart(const Call *call)
{
    return call->derived[AT_APART];
}

Gemm gemm_shared_joined(const Call *call)
{
    Operand operand[3];
    const Call joined = join(call, operand);
    Gemm g = gemm_bind(&joined);
    g.tiles_n = 0;
    for (int32_t i = 0; i < gemm_shared_count(call); i++)
        g.tiles_n += ceil_div(columns_of(call, i), g.tile_n);
    g.n = g.tiles_n * g.tile_n;
    return g;
}

/* A product is the joined one but for its B and C. */
GemmShared gemm_shared_bind(const Call *call)
{
    GemmShared s = { .n = gemm_shared_count(call) };
    s.joined = gemm_shared_joined(call);
    for (int32_t i = 0; i < s.n; i++) {
        const Operand *b = &call->operand[s.n + 1 + i];
        Gemm *g = &s.g[i];
        *g = s.joined;
        g->n = columns_of(call, i);
        g->tiles_n = ceil_div(g->n, g->tile_n);
        g->b_k = b->stride[b->rank - 2];
        g->b_n = b->stride[b->rank - 1];
        g->b_layout = b->layout;
        g->c_m = call->derived[AT_C_M + i];
    }
    return s;
}

/* g of product i at matrix `batch` of the leading axes. */
static void seek(Gemm *g, const Call *call, int32_t i, int64_t batch)
{
    const int32_t n = gemm_shared_count(call);
    const Operand *c = &call->operand[i], *a = &call->operand[n], *b = &call->operand[n + 1 + i];
    g->a = gemm_at(a->data, g->a_kind, leading_offset(c, a, g->lead, batch));
    g->b = gemm_at(b->data, g->b_kind, leading_offset(c, b, g->lead, batch));
    g->c = (float *)c->data + leading_offset(c, c, g->lead, batch);
}

/* The rectangles that tasks [first, last) begin with; returns how many tasks they are. */
static int64_t take_rects(GemmShared *s, const Call *call, int64_t first, int64_t last)
{
    GemmRect all;
    const int64_t n_tasks = gemm_tiles(&s->joined, first, last, &all);
    const int64_t batch = first / (s->joined.tiles_m * s->joined.tiles_n);
    int64_t start = 0;
    for (int32_t i = 0; i < s->n; i++) {
        Gemm *g = &s->g[i];
        s->r[i] = (GemmRect){ all.m0, all.m1, max_i64(all.n0 - start, 0), min_i64(all.n1 - start, g->n) };
        start += g->tiles_n * g->tile_n;
        seek(g, call, i, batch);
    }
    s->joined.a = s->g[0].a;
    return n_tasks;
}

static void run_apart(const Call *call, int64_t first, int64_t last, void *scratch, KernelFn *alone)
{
    for (int32_t i = 0; i < gemm_shared_count(call) && last > 0; i++) {
        Operand operand[3];
        Call part = gemm_shared_part(call, i, operand);
        family_gemm.prepare(&part);
        const int64_t from = max_i64(first, 0), to = min_i64(last, part.n_tasks);
        if (from < to)
            alone(&part, from, to, scratch);
        first -= part.n_tasks;
        last -= part.n_tasks;
    }
}

void gemm_shared_run(const Call *call, int64_t first, int64_t last, void *scratch, KernelFn *alone,
                     GemmSharedFn *rects)
{
    if (gemm_shared_apart(call)) {
        run_apart(call, first, last, scratch, alone);
        return;
    }
    GemmShared s = gemm_shared_bind(call);
    while (first < last) {
        first += take_rects(&s, call, first, last);
        rects(&s, scratch);
    }
}

/* As the joined product, whose members begin panels of their own, with more of A packed; or the most that
 * one product alone needs. */
static size_t scratch(const Call *call)
{
    Operand operand[3];
    Call part = join(call, operand);
    operand[0].dim[operand[0].rank - 1] += gemm_shared_count(call) * GEMM16_NR;
    operand[2].dim[operand[2].rank - 1] += gemm_shared_count(call) * GEMM16_NR;
    const int64_t rows = min_i64(count_elements(&operand[1]) / max_i64(operand[1].dim[operand[1].rank - 1], 1),
                                 GEMM_KEPT_ROWS);
    const int64_t k = min_i64(operand[1].dim[operand[1].rank - 1], GEMM_BLOCK_K) + GEMM16_STEP;
    size_t bytes = family_gemm.scratch(&part) + sizeof(float) * (size_t)(gemm_kept_lanes(rows) * k);
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        part = gemm_shared_part(call, i, operand);
        const size_t alone = family_gemm.scratch(&part);
        bytes = alone > bytes ? alone : bytes;
    }
    return bytes;
}

/* A is read once: what a product of no columns reads is A. */
static KernelCost cost(const Call *call)
{
    KernelCost sum = { 0 };
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        Operand operand[3];
        const Call part = gemm_shared_part(call, i, operand);
        const KernelCost alone = family_gemm.cost(&part);
        operand[0].dim[operand[0].rank - 1] = operand[2].dim[operand[2].rank - 1] = 0;
        sum.unit = alone.unit;
        sum.flops += alone.flops;
        sum.bytes += alone.bytes - (i > 0 ? family_gemm.cost(&part).bytes : 0);
    }
    return sum;
}

const KernelFamily family_gemm_shared = { "gemm_shared", 5, 2 * GEMM_SHARED + 1, check, prepare, scratch,
                                          cost };
