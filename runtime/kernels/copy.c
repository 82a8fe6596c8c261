/* The families copy, cache_write and positions: values moved, none computed. */
#include "runtime/kernels/copy.h"
#include "runtime/kernels/rope.h"

static size_t scratch(const Call *call)
{
    (void)call;
    return 0;
}

static bool check(const Call *call, Error *err)
{
    if (!operand_check_count(call, 2, err))
        return false;
    DType t = call->operand[0].dtype;
    if (!dtype_is_lane(t))
        return error_set(err, "operand 0: type %s, expected 4-byte elements", dtype_name(t));
    return operand_check(call, 0, t, RANK_ANY, err) && operand_check(call, 1, t, RANK_ANY, err) &&
           operand_check_same(call, 0, 1, err) && operand_check_output(call, 0, err);
}

/* Moves the axis that the input walks fastest next to the last, when it is another. */
static bool find_turn(Axes *a)
{
    if (a->n < 2 || a->axis[a->n - 1].in == 1)
        return false;
    int32_t fast = a->n - 1;
    for (int32_t i = 0; i < a->n - 1; i++)
        if (a->axis[i].in == 1)
            fast = i;
    if (fast == a->n - 1)
        return false;
    Axis x = a->axis[fast];
    for (int32_t i = fast; i < a->n - 2; i++)
        a->axis[i] = a->axis[i + 1];
    a->axis[a->n - 2] = x;
    return true;
}

static void prepare(Call *call)
{
    const Operand *out = &call->operand[0], *in = &call->operand[1];
    Axes a = { 0 };
    for (int32_t i = 0; i < out->rank; i++)
        axes_add(&a, out->dim[i], out->stride[i], in->stride[i]);
    axes_sort(&a);
    axes_join(&a);
    if (a.n == 0)
        a.axis[a.n++] = (Axis){ 1, 1, 1 };
    bool turn = find_turn(&a);
    int64_t last = a.axis[a.n - 1].dim, items, weight;
    if (turn) {
        int64_t blocks = ceil_div(a.axis[a.n - 2].dim, COPY_TILE);
        items = axes_count(&a, a.n - 2) * blocks;
        weight = COPY_TILE * last;
    } else {
        items = axes_count(&a, a.n - 1) * ceil_div(last, COPY_GRAIN);
        weight = min_i64(last, COPY_GRAIN);
    }
    axes_save(&a, call->derived);
    call->derived[COPY_MODE] = turn ? COPY_TURN : COPY_RUNS;
    call->derived[COPY_ITEMS] = items;
    call->derived[COPY_PER_TASK] = items_per_task(weight, COPY_GRAIN);
    call->n_tasks = last > 0 ? ceil_div(items, call->derived[COPY_PER_TASK]) : 0;
}

static KernelCost cost(const Call *call)
{
    return (KernelCost){ .flops = 0, .bytes = 8 * (double)count_elements(&call->operand[0]) };
}

const KernelFamily family_copy = { "copy", 2, 2, check, prepare, scratch, cost };

static bool check_cache(const Call *call, Error *err)
{
    const DType to = call->operand[0].dtype, t = dtype_is_cache(to) ? to : DTYPE_f32;
    if (!operand_check_rows(call, 0, t, 4, err) ||
        !operand_check_rows(call, 1, DTYPE_f32, 4, err) ||
        !operand_check(call, 2, DTYPE_i32, 0, err) ||
        !operand_check_leading(call, 0, 1, 2, err) || !operand_check_output(call, 0, err))
        return false;
    if (call->operand[0].dim[3] != call->operand[1].dim[3])
        return error_set(err, "a cache of heads of %lld and new ones of %lld",
                         (long long)call->operand[0].dim[3], (long long)call->operand[1].dim[3]);
    return call->n_operands == 3 || rope_check_turn(call, 1, 3, err);
}

static size_t scratch_cache(const Call *call)
{
    return call->n_operands > 3 ? rope_scratch_turn(call) : 0;
}

/* CACHE_ROWS new positions of one head of one sequence; a task holds several where they are short. */
static void prepare_cache(Call *call)
{
    const Operand *new = &call->operand[1];
    if (call->n_operands > 3) {
        rope_prepare_turn(call);
        return;
    }
    const int64_t rows = min_i64(new->dim[2], CACHE_ROWS), blocks = ceil_div(new->dim[2], CACHE_ROWS);
    const int64_t items = new->dim[0] * new->dim[1] * blocks;
    call->derived[CACHE_BLOCKS] = blocks;
    call->derived[CACHE_ITEMS] = items;
    call->derived[CACHE_PER_TASK] = items_per_task(rows * new->dim[3], CACHE_GRAIN);
    call->n_tasks = new->dim[3] > 0 ? ceil_div(items, call->derived[CACHE_PER_TASK]) : 0;
}

static KernelCost cost_cache(const Call *call)
{
    const Operand *cache = &call->operand[0], *new = &call->operand[1];
    const double each = (double)dtype_block_bytes(cache->dtype) / (double)dtype_block(cache->dtype);
    const double n = (double)count_elements(new);
    return (KernelCost){ .flops = call->n_operands > 3 ? 3 * n : 0, .bytes = (4 + each) * n };
}

const KernelFamily family_cache_write = {
    "cache_write", 3, 5, check_cache, prepare_cache, scratch_cache, cost_cache,
};

static bool check_positions(const Call *call, Error *err)
{
    return operand_check(call, 0, DTYPE_i32, 1, err) && operand_check_output(call, 0, err) &&
           (call->n_operands == 1 || (operand_check_count(call, 2, err) &&
                                      operand_check(call, 1, DTYPE_i32, 0, err)));
}

static void prepare_positions(Call *call)
{
    call->n_tasks = call->operand[0].dim[0] > 0;
}

static KernelCost cost_positions(const Call *call)
{
    return (KernelCost){ .flops = 0, .bytes = 4 * (double)call->operand[0].dim[0] };
}

const KernelFamily family_positions = {
    "positions", 1, 2, check_positions, prepare_positions, scratch, cost_positions,
};
