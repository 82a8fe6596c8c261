/* The families reduce_sum, reduce_max, reduce_min and partial_sum: many elements into few. */
#include "runtime/kernels/reduce.h"

static bool has_squares(const Call *call)
{
    return call->kernel == KERNEL_reduce_sum && call->i[1] != 0;
}

/* The output is one axis, so REDUCE_SQUARED elements are some items either way. */
static bool check_squares(const Call *call, Error *err)
{
    const Operand *out = &call->operand[0], *s = &call->operand[2];
    int64_t n = 1;
    if (!operand_check(call, 2, DTYPE_f32, 1, err) || !operand_check_output(call, 2, err))
        return false;
    for (int32_t i = 0; i < out->rank; i++) {
        if (out->dim[i] != 1 && n != 1)
            return error_set(err, "squares of a sum with more than one axis");
        n *= out->dim[i];
    }
    if (s->dim[0] != ceil_div(n, REDUCE_SQUARED))
        return error_set(err, "%lld squares of %lld sums", (long long)s->dim[0], (long long)n);
    return true;
}

static bool check(const Call *call, Error *err)
{
    if (!operand_check_count(call, 2 + has_squares(call), err) ||
        !operand_check(call, 0, DTYPE_f32, RANK_ANY, err) ||
        !operand_check(call, 1, DTYPE_f32, call->operand[0].rank, err) ||
        !operand_check_output(call, 0, err))
        return false;
    const Operand *out = &call->operand[0], *in = &call->operand[1];
    for (int32_t i = 0; i < out->rank; i++)
        if (out->dim[i] != in->dim[i] && out->dim[i] != 1)
            return error_set(err, "axis %d: %lld elements reduced to %lld", i,
                             (long long)in->dim[i], (long long)out->dim[i]);
    for (int i = 0; i < 2; i++)
        if (call->i[i] != 0 && (call->i[i] != 1 || call->kernel != KERNEL_reduce_sum))
            return error_set(err, "immediate %d: expected 0, or 1 for a sum", i);
    return !has_squares(call) || check_squares(call, err);
}

/* Appends the axes of `tail` to those of `a`. */
static void append(Axes *a, const Axes *tail)
{
    for (int32_t i = 0; i < tail->n; i++)
        a->axis[a->n++] = tail->axis[i];
}

static void prepare(Call *call)
{
    const Operand *out = &call->operand[0], *in = &call->operand[1];
    Axes kept = { 0 }, reduced = { 0 };
    for (int32_t i = 0; i < out->rank; i++)
        if (out->dim[i] == 1 && in->dim[i] != 1)
            axes_add(&reduced, in->dim[i], 0, in->stride[i]);
        else
            axes_add(&kept, out->dim[i], out->stride[i], in->stride[i]);
    axes_sort(&kept);
    axes_join(&kept);
    axes_sort(&reduced);
    axes_join(&reduced);
    int64_t outputs = axes_count(&kept, kept.n), each = axes_count(&reduced, reduced.n);
    bool columns = kept.n > 0 && kept.axis[kept.n - 1].in == 1;
    int64_t width = columns ? kept.axis[kept.n - 1].dim : 1;
    call->derived[REDUCE_KEPT] = kept.n;
    append(&kept, &reduced);
    axes_save(&kept, call->derived);
    call->derived[REDUCE_MODE] = columns ? REDUCE_COLUMNS : REDUCE_ROWS;
    call->derived[REDUCE_ITEMS] = outputs;
    if (columns && outputs > 0)
        call->derived[REDUCE_ITEMS] = outputs / width * ceil_div(width, REDUCE_WIDTH);
    int64_t weight = each * min_i64(width, REDUCE_WIDTH);
    int64_t per_task = items_per_task(weight, REDUCE_GRAIN);
    if (has_squares(call) && !columns)
        per_task = ceil_div(per_task, REDUCE_SQUARED) * REDUCE_SQUARED;
    call->derived[REDUCE_PER_TASK] = per_task;
    call->n_tasks = ceil_div(call->derived[REDUCE_ITEMS], call->derived[REDUCE_PER_TASK]);
}

static size_t scratch(const Call *call)
{
    (void)call;
    return 0;
}

static KernelCost cost(const Call *call)
{
    double n = (double)count_elements(&call->operand[1]);
    return (KernelCost){ .flops = n, .bytes = 4 * n };
}

const KernelFamily family_reduce_sum = { "reduce_sum", 2, 3, check, prepare, scratch, cost };
const KernelFamily family_reduce_max = { "reduce_max", 2, 2, check, prepare, scratch, cost };
const KernelFamily family_reduce_min = { "reduce_min", 2, 2, check, prepare, scratch, cost };

static bool check_partial(const Call *call, Error *err)
{
    if (!operand_check_count(call, 2, err) || !operand_check(call, 0, DTYPE_f32, 1, err) ||
        !operand_check(call, 1, DTYPE_f32, RANK_ANY, err) || !operand_check_output(call, 0, err))
        return false;
    if (call->operand[0].dim[0] != N_PARTIALS)
        return error_set(err, "%lld partial sums, expected %d",
                         (long long)call->operand[0].dim[0], N_PARTIALS);
    if (call->i[0] < 0 || call->i[0] > 1)
        return error_set(err, "immediate 0: expected 0 or 1");
    return true;
}

static void prepare_partial(Call *call)
{
    const Operand *in = &call->operand[1];
    Axes a = { 0 };
    for (int32_t i = 0; i < in->rank; i++)
        axes_add(&a, in->dim[i], in->stride[i], in->stride[i]);
    axes_join(&a);
    if (a.n == 0)
        a.axis[a.n++] = (Axis){ 1, 1, 1 };
    axes_save(&a, call->derived);
    call->derived[PARTIAL_COUNT] = axes_count(&a, a.n);
    call->n_tasks = N_PARTIALS;
}

static size_t scratch_partial(const Call *call)
{
    (void)call;
    return PARTIAL_GATHER * sizeof(float);
}

static KernelCost cost_partial(const Call *call)
{
    double n = (double)count_elements(&call->operand[1]);
    return (KernelCost){ .flops = (call->i[0] ? 2 : 1) * n, .bytes = 4 * n };
}

const KernelFamily family_partial_sum = {
    "partial_sum", 2, 2, check_partial, prepare_partial, scratch_partial, cost_partial,
};
