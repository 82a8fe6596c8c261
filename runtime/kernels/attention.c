/* The families attention and attention_grad: softmax(scale Q K^T) V and its gradient, in tiles. */
#include "runtime/kernels/attention_cells.h"

#include <math.h>

static bool check_immediates(const Call *call, Error *err)
{
    const int64_t *i = call->i;
    const double *f = call->f;
    if (i[0] < 0 || i[0] > 1 || i[2] < 0 || i[2] > 1 || i[4] < 0 || i[4] > 1)
        return error_set(err, "immediates 0, 2, 4: expected 0 or 1");
    if (i[5] < 0 || i[5] > 1)
        return error_set(err, "precision is %lld, expected 0 (float) or 1 (bf16)", (long long)i[5]);
    if (i[1] < 0 || i[1] > INT64_MAX >> 16)
        return error_set(err, "window %lld is out of range", (long long)i[1]);
    if (i[3] < 0)
        return error_set(err, "dropout site %lld is negative", (long long)i[3]);
    if (!isfinite(f[0]))
        return error_set(err, "scale %g is not finite", f[0]);
    if (!(f[1] >= 0) || !isfinite(f[1]))
        return error_set(err, "soft cap %g is out of range", f[1]);
    if (!(f[2] >= 0 && f[2] < 1))
        return error_set(err, "drop probability %g is not within 0 and 1", f[2]);
    if (f[2] > 0 && !i[4])
        return error_set(err, "dropout without a seed");
    return true;
}

/* q[B, H, T, D], k[B, G, S, D], v[B, G, S, E] from operand q on; k and v of type `stored`. */
static bool check_inputs(const Call *call, int32_t q, DType stored, Error *err)
{
    for (int32_t i = q; i < q + 3; i++)
        if (!operand_check_rows(call, i, i == q ? DTYPE_f32 : stored, 4, err))
            return false;
    const Operand *o = call->operand;
    if (!operand_check_leading(call, q + 1, q + 2, 3, err) ||
        !operand_check_leading(call, q, q + 1, 1, err))
        return false;
    if (o[q].dim[3] != o[q + 1].dim[3])
        return error_set(err, "queries of %lld elements and keys of %lld",
                         (long long)o[q].dim[3], (long long)o[q + 1].dim[3]);
    int64_t heads = o[q].dim[1], groups = o[q + 1].dim[1];
    if (groups == 0 ? heads != 0 : heads % groups != 0)
        return error_set(err, "%lld heads do not share %lld", (long long)heads, (long long)groups);
    return true;
}

/* out[B, H, T, E] or its gradient, and per query an lse. */
static bool check_out(const Call *call, int32_t out, int32_t q, Error *err)
{
    if (!operand_check_rows(call, out, DTYPE_f32, 4, err) ||
        !operand_check_leading(call, out, q, 3, err))
        return false;
    if (call->operand[out].dim[3] != call->operand[q + 2].dim[3])
        return error_set(err, "outputs and values have different sizes");
    return true;
}

static bool check_lse(const Call *call, int32_t lse, int32_t q, Error *err)
{
    return operand_check(call, lse, DTYPE_f32, 3, err) &&
           operand_check_leading(call, lse, q, 3, err);
}

static bool check_seed(const Call *call, int32_t seed, Error *err)
{
    if (!operand_check(call, seed, DTYPE_i32, 1, err))
        return false;
    if (call->operand[seed].dim[0] != 2)
        return error_set(err, "a seed of %lld words", (long long)call->operand[seed].dim[0]);
    return true;
}

static bool check(const Call *call, Error *err)
{
    if (!check_immediates(call, err))
        return false;
    int32_t past = (int32_t)call->i[2], seed = (int32_t)call->i[4];
    if (!operand_check_count(call, 5 + past + seed, err))
        return false;
    DType k = call->operand[3].dtype, stored = past && dtype_is_cache(k) ? k : DTYPE_f32;
    return check_inputs(call, 2, stored, err) &&
           check_out(call, 0, 2, err) && check_lse(call, 1, 2, err) &&
           operand_check_output(call, 0, err) && operand_check_output(call, 1, err) &&
           (!past || operand_check(call, 5, DTYPE_i32, 0, err)) &&
           (!seed || check_seed(call, 5 + past, err));
}

/* Queries of a task. */
static int64_t block_queries(int64_t heads, int64_t queries)
{
    int64_t block = ATTENTION_QUERIES;
    while (block > ATTENTION_LEAST && heads * ceil_div(queries, block) < ATTENTION_TASKS)
        block /= 2;
    return block;
}

static void prepare(Call *call)
{
    const Operand *q = &call->operand[2], *k = &call->operand[3];
    int64_t heads = q->dim[1], groups = k->dim[1], queries = q->dim[2];
    bool rows = queries == 1 && call->f[2] == 0;
    call->derived[ATTENTION_MODE] = rows ? ATTENTION_ROWS : ATTENTION_STRIPS;
    if (groups == 0 || q->dim[0] == 0) {
        call->n_tasks = 0;
        return;
    }
    const int64_t block = block_queries(q->dim[0] * heads, queries);
    int64_t blocks = rows ? ceil_div(heads / groups, ATTENTION_SHARED) : ceil_div(queries, block);
    call->derived[ATTENTION_BLOCKS] = blocks;
    call->derived[ATTENTION_PER_TASK] = block;
    call->n_tasks = q->dim[0] * (rows ? groups : heads) * blocks;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Floats of the forward tiles: keys turned; scores of the strips beside each other; per query of a task the maximum
 * and the sum; a tile of keys or values as floats, and the queries of a task, one row after the other. */
static size_t tile_floats(size_t d, size_t e)
{
    return ATTENTION_KEYS * (d + most(d, e)) + ATTENTION_BESIDE * ATTENTION_STRIP * ATTENTION_KEYS
         + ATTENTION_QUERIES * (d + 2);
}

/* Of the rows: scores, and the sum of values, of the heads that work together. */
static size_t row_floats(size_t e)
{
    return ATTENTION_SHARED * (ATTENTION_ROW_KEYS + e);
}

static size_t scratch(const Call *call)
{
    size_t d = (size_t)call->operand[2].dim[3], e = (size_t)call->operand[4].dim[3];
    size_t tiles = tile_floats(d, e), rows = row_floats(e);
    const Attention a = attention_sizes(call, 2);
    const int64_t block = min_i64(block_queries(call->operand[2].dim[0] * a.heads, a.queries), a.queries);
    const size_t cells = cells_take(&a) ? cells_forward(a.key_size, a.value_size, cell_steps(block)).end : 0;
    return most(sizeof(float) * most(tiles, rows), cells);
}

/* Pairs of a query and a key that it sees, without a past. */
static double pairs_seen(const Call *call, int32_t q)
{
    const Operand *o = &call->operand[q];
    double t = (double)o->dim[2], s = (double)call->operand[q + 1].dim[2];
    double window = call->i[1] > 0 ? (double)call->i[1] : t + s;
    double seen = t * s;
    if (call->i[0] && call->i[2])
        seen = t * fmin(s, window);             /* at most: the past is a value */
    else if (call->i[0]) {
        double ramp = fmin(fmin(t, s), window);
        seen = ramp * (ramp + 1) / 2 + (t - ramp) * ramp;
    }
    return seen * (double)(o->dim[0] * o->dim[1]);
}

static double bytes_of(const Call *call, int32_t first, int32_t last)
{
    double n = 0;
    for (int32_t i = first; i <= last; i++)
        n += operand_bytes(&call->operand[i]);
    return n;
}

/* Two products, and an exponential that counts as one operation. */
static KernelCost cost(const Call *call)
{
    double each = 2 * (double)(call->operand[2].dim[3] + call->operand[4].dim[3]) + 1;
    return (KernelCost){ .flops = each * pairs_seen(call, 2), .bytes = bytes_of(call, 0, 4),
                         .unit = call->i[5] ? UNIT_bf16
                               : call->operand[3].dtype == DTYPE_bf16 ? UNIT_bf16_three : UNIT_bf16_six };
}

const KernelFamily family_attention = {
    "attention", 5, 7, check, prepare, scratch, cost,
};

static bool check_grad(const Call *call, Error *err)
{
    if (!check_immediates(call, err))
        return false;
    if (call->i[2])
        return error_set(err, "a gradient with a past");
    int32_t seed = (int32_t)call->i[4];
    if (!operand_check_count(call, 9 + seed, err) || !check_inputs(call, 3, DTYPE_f32, err))
        return false;
    for (int32_t i = 0; i < 3; i++)
        if (!operand_check_rows(call, i, DTYPE_f32, 4, err) ||
            !operand_check_same(call, i, i + 3, err) || !operand_check_output(call, i, err))
            return false;
    return check_out(call, 6, 3, err) && check_lse(call, 7, 3, err) &&
           check_out(call, 8, 3, err) && (!seed || check_seed(call, 9, err));
}

/* A task: all heads of one group of one sequence, which share what dk and dv collect. */
static void prepare_grad(Call *call)
{
    call->n_tasks = call->operand[4].dim[0] * call->operand[4].dim[1];
}

/* Floats: keys and values of a tile turned; weights and dscores that a block of queries has there; tanh and
 * factors of dropout of a strip; per query of a head the lse and the sum of dout * out; keys of the tile, queries of
 * the block and what dout has for them, one row after the other. */
static size_t scratch_grad(const Call *call)
{
    size_t d = (size_t)call->operand[3].dim[3], e = (size_t)call->operand[5].dim[3];
    size_t rows = 2 * (ATTENTION_BLOCK_QUERIES + ATTENTION_STRIP), queries = (size_t)call->operand[3].dim[2];
    size_t gathered = ATTENTION_KEYS * d + ATTENTION_BLOCK_QUERIES * (d + e);
    size_t tile = sizeof(float) * (ATTENTION_KEYS * (d + e + rows) + 2 * queries + gathered);
    const Attention a = attention_sizes(call, 3);
    return most(tile, cells_take(&a) ? cells_grad(a.key_size, a.value_size, a.keys, a.queries).end : 0);
}

static KernelCost cost_grad(const Call *call)
{
    double d = (double)call->operand[3].dim[3], e = (double)call->operand[5].dim[3];
    return (KernelCost){ .flops = (6 * d + 4 * e + 4) * pairs_seen(call, 3),
                         .bytes = bytes_of(call, 0, 8), .unit = call->i[5] ? UNIT_bf16 : UNIT_bf16_six };
}

const KernelFamily family_attention_grad = {
    "attention_grad", 9, 10, check_grad, prepare_grad, scratch_grad, cost_grad,
};
