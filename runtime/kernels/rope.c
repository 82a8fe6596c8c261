/* The family rope: pairs of elements turned by an angle that grows with the position. */
#include "runtime/kernels/rope.h"

#include <math.h>

enum { GRAIN = 16384 };

/* Positions, factors (one to a pair) when there are any, and immediates, for rows like operand `x`. */
bool rope_check_turn(const Call *call, int32_t x_at, int32_t positions, Error *err)
{
    const Operand *x = &call->operand[x_at];
    const int32_t factors = positions + 1;
    if (!operand_check(call, positions, DTYPE_i32, 1, err) ||
        (call->n_operands > factors && !operand_check(call, factors, DTYPE_f32, 1, err)))
        return false;
    if (x->dim[2] != call->operand[positions].dim[0])
        return error_set(err, "%lld positions for %lld rows",
                         (long long)call->operand[positions].dim[0], (long long)x->dim[2]);
    if (x->dim[3] % 2 != 0)
        return error_set(err, "a head of %lld elements has no pairs", (long long)x->dim[3]);
    if (call->n_operands > factors && call->operand[factors].dim[0] != x->dim[3] / 2)
        return error_set(err, "%lld factors for %lld pairs",
                         (long long)call->operand[factors].dim[0], (long long)x->dim[3] / 2);
    if (call->i[0] < 0 || call->i[0] > 1 || call->i[1] < 0 || call->i[1] > 1)
        return error_set(err, "unknown style or direction");
    if (!isfinite(call->f[0]) || call->f[0] <= 0)
        return error_set(err, "base %g is not a positive number", call->f[0]);
    return true;
}

static bool check(const Call *call, Error *err)
{
    return operand_check_rows(call, 0, DTYPE_f32, 4, err) &&
           operand_check_rows(call, 1, DTYPE_f32, 4, err) && operand_check_same(call, 0, 1, err) &&
           operand_check_output(call, 0, err) && rope_check_turn(call, 1, 2, err);
}

void rope_prepare_turn(Call *call)
{
    const Operand *x = &call->operand[1];
    int64_t per_position = x->dim[0] * x->dim[1] * x->dim[3];
    call->derived[0] = items_per_task(per_position, GRAIN);
    call->n_tasks = per_position > 0 ? ceil_div(x->dim[2], call->derived[0]) : 0;
}

/* Frequencies in double, then cosines and sines of one position, each for D / 2 pairs; and a row. */
size_t rope_scratch_turn(const Call *call)
{
    size_t pairs = (size_t)call->operand[1].dim[3] / 2;
    return pairs * (sizeof(double) + 4 * sizeof(float));
}

static KernelCost cost(const Call *call)
{
    double n = (double)count_elements(&call->operand[0]);
    return (KernelCost){ .flops = 3 * n, .bytes = 8 * n };
}

const KernelFamily family_rope = { "rope", 3, 4, check, rope_prepare_turn, rope_scratch_turn, cost };
