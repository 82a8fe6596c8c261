/* The families embedding, embedding_grad and decode: rows of a table picked by ids, sums into them, and
 * rows that are stored in other types as f32. */
#include "runtime/kernels/operand.h"

enum { GRAIN = 16384, COLUMNS = 32 };

static bool check_table(const Call *call, int32_t table, DType type, int32_t ids, int32_t rows,
                        Error *err)
{
    if (!operand_check_rows(call, table, type, 2, err) ||
        !operand_check_rows(call, rows, DTYPE_f32, RANK_ANY, err) ||
        !operand_check(call, ids, DTYPE_i32, call->operand[rows].rank - 1, err) ||
        !operand_check_leading(call, rows, ids, call->operand[ids].rank, err) ||
        !operand_check_output(call, 0, err))
        return false;
    const Operand *r = &call->operand[rows];
    if (r->dim[r->rank - 1] != call->operand[table].dim[1])
        return error_set(err, "rows of %lld elements from a table of %lld columns",
                         (long long)r->dim[r->rank - 1], (long long)call->operand[table].dim[1]);
    return true;
}

static bool check(const Call *call, Error *err)
{
    const DType t = call->operand[1].dtype;
    return operand_check_count(call, 3, err)
        && check_table(call, 1, dtype_is_lane(t) ? DTYPE_f32 : t, 2, 0, err);
}

/* derived: 0 rows, 1 rows a task, 2 columns. */
static void prepare(Call *call)
{
    const Operand *out = &call->operand[0];
    int64_t rows = count_leading(out, out->rank - 1), columns = out->dim[out->rank - 1];
    int64_t per_task = items_per_task(columns, GRAIN);
    call->derived[0] = rows;
    call->derived[1] = per_task;
    call->derived[2] = columns;
    call->n_tasks = columns > 0 ? ceil_div(rows, per_task) : 0;
}

KernelReach reach_embedding(const Call *call, int32_t i, KernelShare tasks)
{
    const Operand *out = &call->operand[0];
    const int64_t per_task = call->derived[1];
    if (i == 1)                         /* the table: any row of it */
        return kernel_extent(call, i);
    return reach_rows(call, i, out, out->rank - 1, tasks.first * per_task,
                      min_i64(tasks.last * per_task, call->derived[0]));
}

static size_t scratch(const Call *call)
{
    (void)call;
    return 0;
}

static KernelCost cost(const Call *call)
{
    double n = (double)count_elements(&call->operand[0]);
    return (KernelCost){ .flops = 0, .bytes = 8 * n };
}

const KernelFamily family_embedding = {
    "embedding", 3, 3, check, prepare, scratch, cost,
};

static bool check_decode(const Call *call, Error *err)
{
    if (!operand_check_count(call, 2, err))
        return false;
    const DType t = call->operand[1].dtype;
    if (dtype_is_lane(t))
        return error_set(err, "operand 1: %s needs no decoding", dtype_name(t));
    return operand_check_rows(call, 0, DTYPE_f32, RANK_ANY, err) &&
           operand_check_rows(call, 1, t, RANK_ANY, err) && operand_check_same(call, 0, 1, err) &&
           operand_check_output(call, 0, err);
}

const KernelFamily family_decode = {
    "decode", 2, 2, check_decode, prepare, scratch, cost,
};

static bool check_grad(const Call *call, Error *err)
{
    const bool squares = call->i[0] != 0;
    if (call->i[0] < 0 || call->i[0] > 1)
        return error_set(err, "immediate 0: expected 0 or 1");
    if (!operand_check_count(call, 3 + squares, err) || !check_table(call, 0, DTYPE_f32, 1, 2, err))
        return false;
    if (!squares)
        return true;
    const int64_t columns = call->operand[0].dim[1], groups = ceil_div(columns, COLUMNS);
    if (!operand_check(call, 3, DTYPE_f32, 1, err) || !operand_check_output(call, 3, err))
        return false;
    return call->operand[3].dim[0] == groups
        || error_set(err, "%lld squares of %lld columns", (long long)call->operand[3].dim[0],
                     (long long)columns);
}

/* A task owns a block of columns, so that the ids are added in one order whatever the threads.
 * derived: 0 tokens, 1 columns a task, 2 columns. */
static void prepare_grad(Call *call)
{
    const Operand *g = &call->operand[2];
    int64_t columns = g->dim[g->rank - 1], tokens = count_leading(g, g->rank - 1);
    call->derived[0] = tokens;
    call->derived[1] = COLUMNS;
    call->derived[2] = columns;
    call->n_tasks = tokens > 0 || call->i[0] ? ceil_div(columns, COLUMNS) : 0;
}

/* A sum of squares for each column. */
static size_t scratch_grad(const Call *call)
{
    return call->i[0] ? (size_t)(ceil_div(call->operand[0].dim[1], COLUMNS) * COLUMNS) * sizeof(float) : 0;
}

static KernelCost cost_grad(const Call *call)
{
    double n = (double)count_elements(&call->operand[2]);
    return (KernelCost){ .flops = n, .bytes = 12 * n };
}

const KernelFamily family_embedding_grad = {
    "embedding_grad", 3, 4, check_grad, prepare_grad, scratch_grad, cost_grad,
};
