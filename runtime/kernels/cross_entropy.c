/* The families cross_entropy and cross_entropy_grad: the loss of a row of logits and its gradient,
 * without the row of probabilities between them. */
#include "runtime/kernels/operand.h"

enum { GRAIN = 8192 };

/* Rows of logits, and per row an i32 or f32. */
static bool check_rows(const Call *call, int32_t logits, int32_t per_row, DType dtype, Error *err)
{
    int32_t lead = call->operand[logits].rank - 1;
    return operand_check_rows(call, logits, DTYPE_f32, RANK_ANY, err) &&
           operand_check(call, per_row, dtype, lead, err) &&
           operand_check_leading(call, logits, per_row, lead, err);
}

static void split_rows(Call *call, const Operand *logits)
{
    int64_t columns = logits->dim[logits->rank - 1];
    int64_t rows = count_leading(logits, logits->rank - 1);
    call->derived[0] = rows;
    call->derived[1] = items_per_task(columns, GRAIN);
    call->n_tasks = ceil_div(rows, call->derived[1]);
}

static KernelReach reach(const Call *call, int32_t i, int32_t logits, KernelShare tasks)
{
    const Operand *shape = &call->operand[logits];
    const int64_t per_task = call->derived[1];
    return reach_rows(call, i, shape, shape->rank - 1, tasks.first * per_task,
                      min_i64(tasks.last * per_task, call->derived[0]));
}

KernelReach reach_cross_entropy(const Call *call, int32_t i, KernelShare tasks)
{
    return reach(call, i, 2, tasks);
}

KernelReach reach_cross_entropy_grad(const Call *call, int32_t i, KernelShare tasks)
{
    return reach(call, i, 1, tasks);
}

static size_t scratch(const Call *call)
{
    (void)call;
    return 0;
}

static bool check(const Call *call, Error *err)
{
    return operand_check_count(call, 4, err) && check_rows(call, 2, 0, DTYPE_f32, err) &&
           check_rows(call, 2, 1, DTYPE_f32, err) && check_rows(call, 2, 3, DTYPE_i32, err) &&
           operand_check_output(call, 0, err) && operand_check_output(call, 1, err);
}

/* derived: 0 rows, 1 rows a task. */
static void prepare(Call *call)
{
    split_rows(call, &call->operand[2]);
}

/* An exponential counts as one operation. */
static KernelCost cost(const Call *call)
{
    double n = (double)count_elements(&call->operand[2]);
    return (KernelCost){ .flops = 4 * n, .bytes = 4 * n };
}

const KernelFamily family_cross_entropy = {
    "cross_entropy", 4, 4, check, prepare, scratch, cost,
};

static bool check_grad(const Call *call, Error *err)
{
    if (!operand_check_count(call, 5, err))
        return false;
    const DType type = call->operand[0].dtype == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32;
    return operand_check_rows(call, 0, type, RANK_ANY, err) &&
           check_rows(call, 1, 2, DTYPE_f32, err) && check_rows(call, 1, 3, DTYPE_i32, err) &&
           check_rows(call, 1, 4, DTYPE_f32, err) && operand_check_same(call, 0, 1, err) &&
           operand_check_output(call, 0, err);
}

static void prepare_grad(Call *call)
{
    split_rows(call, &call->operand[1]);
}

static KernelCost cost_grad(const Call *call)
{
    double n = (double)count_elements(&call->operand[1]);
    return (KernelCost){ .flops = 3 * n, .bytes = 4 * n + operand_bytes(&call->operand[0]) };
}

const KernelFamily family_cross_entropy_grad = {
    "cross_entropy_grad", 5, 5, check_grad, prepare_grad, scratch, cost_grad,
};
