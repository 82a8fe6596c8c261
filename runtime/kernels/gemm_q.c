/* The families gemm_q and gemm_q_shared: what is a legal product with a matrix of blocks, or several of
 * one A. */
#include "runtime/kernels/gemm_q.h"

#include "runtime/kernels/gemm_shared.h"

enum { C, A, B };

static bool check_blocks(const Operand *b, Error *err)
{
    int64_t bytes;
    if (b->rank != 2)
        return error_set(err, "B has rank %d, expected 2", b->rank);
    if ((unsigned)b->dtype >= N_DTYPES || dtype_block(b->dtype) == 1)
        return error_set(err, "B is not of blocks");
    if (b->dim[0] < 0 || b->dim[1] < 0 || !panel_bytes(b->dtype, b->dim[0], b->dim[1], &bytes)
        || bytes > INT64_MAX >> 16)
        return error_set(err, "B: rows of %lld are no whole blocks of %s, or too many",
                         (long long)b->dim[1], dtype_name(b->dtype));
    if (b->stride[1] != 1 || (b->dim[0] > 1 && b->stride[0] != b->dim[1]))
        return error_set(err, "B is not one run of rows");
    return true;
}

static bool check(const Call *call, Error *err)
{
    if (!operand_check_count(call, 3, err))
        return false;
    int32_t rank = call->operand[C].rank;
    if (rank < 2)
        return error_set(err, "rank %d, expected at least 2", rank);
    const Operand *c = &call->operand[C], *a = &call->operand[A], *b = &call->operand[B];
    if (!operand_check_rows(call, C, DTYPE_f32, rank, err) || !operand_check_output(call, C, err)
        || !operand_check_rows(call, A, DTYPE_f32, rank, err)
        || !operand_check_leading(call, C, A, rank - 1, err) || !check_blocks(b, err))
        return false;
    if (c->dim[rank - 1] != b->dim[0] || a->dim[rank - 1] != b->dim[1])
        return error_set(err, "C has %lld columns, A %lld; B is [%lld, %lld]", (long long)c->dim[rank - 1],
                         (long long)a->dim[rank - 1], (long long)b->dim[0], (long long)b->dim[1]);
    return true;
}

static int64_t groups(int64_t rows)
{
    return max_i64(1, ceil_div(rows, GEMM_Q_GROUP)) * GEMM_Q_GROUP;
}

/* The most rows that a tile has, whole groups. */
static int64_t most_rows(int64_t k)
{
    int64_t fit = (int64_t)(GEMM_Q_TILE_BYTES / gemm_q_rounded_bytes(GEMM_Q_GROUP, max_i64(k, 32)));
    return min_i64(GEMM_Q_TILE, max_i64(fit, 1) * GEMM_Q_GROUP);
}

/* derived: 0 rows, 1 panels, 2 rows of a tile: tiles are of one size, as threads have shares of them. */
static void prepare(Call *call)
{
    const Operand *c = &call->operand[C];
    int64_t rows = count_leading(c, c->rank - 1), tiles = ceil_div(rows, most_rows(call->operand[B].dim[1]));
    call->derived[0] = rows;
    call->derived[1] = ceil_div(c->dim[c->rank - 1], PANEL_ROWS);
    call->derived[2] = groups(ceil_div(rows, max_i64(tiles, 1)));
    call->n_tasks = call->derived[1] * ceil_div(rows, call->derived[2]);
}

/* For the largest tile that so many rows, or fewer, have. */
static size_t scratch(const Call *call)
{
    const Operand *c = &call->operand[C];
    int64_t k = call->operand[B].dim[1];
    int64_t tile = min_i64(most_rows(k), groups(count_leading(c, c->rank - 1)));
    return gemm_q_rounded_bytes(tile, k) + gemm_q_opened_bytes(k)
           + (size_t)tile * (PANEL_ROWS * sizeof(float) + sizeof(float *));
}

static KernelCost cost(const Call *call)
{
    const Operand *a = &call->operand[A], *b = &call->operand[B], *c = &call->operand[C];
    int64_t weights = 0;
    bool ok = panel_bytes(b->dtype, b->dim[0], b->dim[1], &weights);
    CHECK(ok, "checked before");
    double m = (double)count_leading(c, c->rank - 1), n = (double)b->dim[0], k = (double)b->dim[1];
    return (KernelCost){ .flops = 2 * m * n * k,
                         .bytes = (double)weights + 4 * (double)count_elements(a) + 4 * m * n,
                         .unit = UNIT_int8 };
}

const KernelFamily family_gemm_q = { "gemm_q", 3, 3, check, prepare, scratch, cost };

/* ---- products of one A ------------------------------------------------------------------------ */

static bool check_shared(const Call *call, Error *err)
{
    return gemm_shared_check(call, &family_gemm_q, err);
}

/* derived: as for one product, with the panels of all. */
static void prepare_shared(Call *call)
{
    call->derived[1] = 0;
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        Operand operand[3];
        Call part = gemm_shared_part(call, i, operand);
        prepare(&part);
        call->derived[0] = part.derived[0];
        call->derived[1] += part.derived[1];
        call->derived[2] = part.derived[2];
    }
    call->n_tasks = call->derived[1] * ceil_div(call->derived[0], call->derived[2]);
}

static size_t scratch_shared(const Call *call)
{
    Operand operand[3];
    const Call part = gemm_shared_part(call, 0, operand);
    return scratch(&part);
}

/* A is read once. */
static KernelCost cost_shared(const Call *call)
{
    const double a = 4 * (double)count_elements(&call->operand[gemm_shared_count(call)]);
    KernelCost sum = { .bytes = a, .unit = UNIT_int8 };
    for (int32_t i = 0; i < gemm_shared_count(call); i++) {
        Operand operand[3];
        const Call part = gemm_shared_part(call, i, operand);
        const KernelCost alone = cost(&part);
        sum.flops += alone.flops;
        sum.bytes += alone.bytes - a;
    }
    return sum;
}

const KernelFamily family_gemm_q_shared = { "gemm_q_shared", 5, 2 * GEMM_SHARED + 1, check_shared,
                                            prepare_shared, scratch_shared, cost_shared };
