/* Names of the kernels, and each question about a call passed on to its family. */
#include "runtime/kernels/kernel.h"

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

size_t kernel_scratch(const Call *call)
{
    return families[call->kernel]->scratch(call);
}

KernelCost kernel_cost(const Call *call)
{
    return families[call->kernel]->cost(call);
}
