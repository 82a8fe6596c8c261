/* The choice of a table. */
#include "runtime/kernels/select.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const KernelTable *table;
} isas[N_ISAS] = {
#define ISA(name) [ISA_##name] = { #name, &kernels_##name },
#include "runtime/kernels/isas.def"
};

const char *isa_name(Isa isa)
{
    return isas[isa].name;
}

/* "scalar, avx2": those that this processor runs. */
static void list_supported(char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < N_ISAS; i++) {
        if (!isa_supported((Isa)i) || used >= cap)
            continue;
        int n = snprintf(out + used, cap - used, "%s%s", used ? ", " : "", isas[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
}

static const KernelTable *strongest(void)
{
    int i = N_ISAS - 1;
    while (!isa_supported((Isa)i))
        i--;
    return isas[i].table;
}

const KernelTable *kernels_select(const char *narrow, Error *err)
{
    if (!narrow)
        return strongest();
    char names[128];
    list_supported(names, sizeof names);
    for (int i = 0; i < N_ISAS; i++) {
        if (strcmp(isas[i].name, narrow) != 0)
            continue;
        if (isa_supported((Isa)i))
            return isas[i].table;
        error_set(err, "this processor does not run \"%s\"; it runs %s", narrow, names);
        return NULL;
    }
    error_set(err, "unknown instruction set \"%s\"; this processor runs %s", narrow, names);
    return NULL;
}
