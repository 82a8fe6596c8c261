/* The family masked_matmul: products of the rows that are asked for, and zeros for the others, whose
 * weights are not read: the experts of a mixture. */
#include "runtime/kernels/operand.h"

enum { GRAIN = 65536, COLUMNS = 16 };

static bool check(const Call *call, Error *err)
{
    if (!operand_check_count(call, 4, err) ||
        !operand_check_rows(call, 0, DTYPE_f32, RANK_ANY, err) ||
        !operand_check_rows(call, 1, DTYPE_f32, call->operand[0].rank, err) ||
        !operand_check_rows(call, 2, DTYPE_f32, 2, err) ||
        !operand_check(call, 3, DTYPE_f32, call->operand[0].rank, err) ||
        !operand_check_output(call, 0, err))
        return false;
    const Operand *out = &call->operand[0], *x = &call->operand[1], *w = &call->operand[2];
    const int32_t last = out->rank - 1;
    if (!operand_check_leading(call, 0, 1, last, err) || !operand_check_leading(call, 0, 3, last, err))
        return false;
    if (out->dim[last] != w->dim[0] || x->dim[last] != w->dim[1] || call->operand[3].dim[last] != 1)
        return error_set(err, "rows of %lld by weights [%lld, %lld] give no rows of %lld",
                         (long long)x->dim[last], (long long)w->dim[0], (long long)w->dim[1],
                         (long long)out->dim[last]);
    return true;
}

/* A task is a run of columns of all rows, so that weights are read once.
 * derived: 0 rows, 1 columns a task, 2 columns. */
static void prepare(Call *call)
{
    const Operand *out = &call->operand[0], *w = &call->operand[2];
    const int64_t rows = count_leading(out, out->rank - 1), columns = w->dim[0];
    const int64_t per_task = ceil_div(items_per_task(w->dim[1], GRAIN), COLUMNS) * COLUMNS;
    call->derived[0] = rows;
    call->derived[1] = per_task;
    call->derived[2] = columns;
    call->n_tasks = rows > 0 ? ceil_div(columns, per_task) : 0;
}

static size_t scratch(const Call *call)
{
    (void)call;
    return 0;
}

/* As if every row were asked for. */
static KernelCost cost(const Call *call)
{
    const Operand *out = &call->operand[0], *w = &call->operand[2];
    const double rows = (double)count_leading(out, out->rank - 1);
    const double weights = (double)count_elements(w);
    return (KernelCost){ .flops = 2 * rows * weights,
                         .bytes = 4 * (weights + rows * (double)(w->dim[0] + w->dim[1])) };
}

const KernelFamily family_masked_matmul = { "masked_matmul", 4, 4, check, prepare, scratch, cost };
