/* Names of the kernels, and each question about a call passed on to its family. */
#include "runtime/kernels/operand.h"
#include "runtime/kernels/row.h"

#include <string.h>

static const KernelFamily *const families[N_KERNELS] = {
#define KERNEL(name, min, max) [KERNEL_##name] = &family_##name,
#include "runtime/kernels/kernels.def"
};

const char *kernel_name(KernelId id)
{
    return families[id]->name;
}

bool kernel_from_name(const char *name, KernelId *out)
{
    for (int i = 0; i < N_KERNELS; i++)
        if (strcmp(families[i]->name, name) == 0) {
            *out = (KernelId)i;
            return true;
        }
    return false;
}

bool kernel_check(const Call *call, Error *err)
{
    if ((unsigned)call->kernel >= N_KERNELS)
        return error_set(err, "kernel %u: there are %d", (unsigned)call->kernel, N_KERNELS);
    const KernelFamily *f = families[call->kernel];
    if (call->n_operands < f->min_operands || call->n_operands > f->max_operands)
        return error_set(err, "%s: %d operands, expected %d to %d", f->name, call->n_operands,
                         f->min_operands, f->max_operands);
    return f->check(call, err) || error_prefix(err, "%s", f->name);
}

void kernel_prepare(Call *call)
{
    families[call->kernel]->prepare(call);
}

int32_t kernel_results(KernelId id, int32_t n)
{
    static const int8_t others[N_KERNELS] = {
        [KERNEL_attention] = 2, [KERNEL_attention_grad] = 3, [KERNEL_cross_entropy] = 2,
    };
    if (id == KERNEL_gemm_shared || id == KERNEL_gemm_q_shared)
        return n / 2;
    return id == KERNEL_row ? 0 : others[id] > 0 ? others[id] : 1;
}

bool kernel_squares(KernelId id, const int64_t *immediates)
{
    return (id == KERNEL_gemm && immediates[5] != 0) || (id == KERNEL_reduce_sum && immediates[1] != 0)
        || (id == KERNEL_embedding_grad && immediates[0] != 0);
}

bool kernel_writes(const Call *call, int32_t i)
{
    if (call->row)
        return call->row->outputs >> i & 1;
    return i < kernel_results(call->kernel, call->n_operands)
        || (kernel_squares(call->kernel, call->i) && i + 1 == call->n_operands);
}

KernelReach kernel_extent(const Call *call, int32_t i)
{
    const Operand *o = &call->operand[i];
    int64_t last = 0;
    if (count_elements(o) == 0)
        return (KernelReach){ 0, 0 };
    for (int32_t a = 0; a < o->rank; a++)
        last += (o->dim[a] - 1) * o->stride[a];
    return (KernelReach){ 0, last + 1 };
}

KernelReach kernel_reach(const Call *call, int32_t i, KernelShare tasks)
{
    static KernelReachFn *const by_rows[N_KERNELS] = {
        [KERNEL_row] = reach_row, [KERNEL_embedding] = reach_embedding,
        [KERNEL_cross_entropy] = reach_cross_entropy,
        [KERNEL_cross_entropy_grad] = reach_cross_entropy_grad,
    };
    if (tasks.first >= tasks.last)
        return (KernelReach){ 0, 0 };
    if (!by_rows[call->kernel] || tasks.last - tasks.first == call->n_tasks)
        return kernel_extent(call, i);
    return by_rows[call->kernel](call, i, tasks);
}

size_t kernel_scratch(const Call *call)
{
    return families[call->kernel]->scratch(call);
}

KernelCost kernel_cost(const Call *call)
{
    return families[call->kernel]->cost(call);
}
