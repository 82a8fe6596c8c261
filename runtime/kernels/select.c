/* The choice of a table. */
#include "runtime/kernels/select.h"

#include <stdio.h>
#include <string.h>
#include <threads.h>

static const struct {
    const char *name;
    const KernelTable *own;
} isas[N_ISAS] = {
#define ISA(name) [ISA_##name] = { #name, &kernels_own_##name },
#include "runtime/kernels/isas.def"
};

static KernelTable complete[N_ISAS];

static void inherit(KernelTable *t, const KernelTable *weaker)
{
    if (!t->probe.fma.run) {
        const ProbeFns own = t->probe;
        t->probe = weaker->probe;
        if (own.bf16.run)
            t->probe.bf16 = own.bf16;
        if (own.int8.run)
            t->probe.int8 = own.int8;
    }
    if (t->packs.split == LAYOUT_STRIDES)
        t->packs.split = weaker->packs.split;
    if (t->packs.whole == LAYOUT_STRIDES)
        t->packs.whole = weaker->packs.whole;
    t->packs.codes |= weaker->packs.codes;
    t->packs.codes_near |= weaker->packs.codes_near;
    if (!t->packs.fill) {
        t->packs.fill = weaker->packs.fill;
        t->packs.form = weaker->packs.form;
    }
    for (int i = 0; i < N_KERNELS; i++)
        if (!t->run[i])
            t->run[i] = weaker->run[i];
    for (int i = 0; i < N_ROW_OPS; i++)
        if (!t->row[i].map1)
            t->row[i] = weaker->row[i];
}

static void complete_all(void)
{
    for (int i = 0; i < N_ISAS; i++) {
        complete[i] = *isas[i].own;
        if (i > 0)
            inherit(&complete[i], &complete[i - 1]);
    }
}

const KernelTable *kernels_table(Isa isa)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, complete_all);
    return &complete[isa];
}

bool kernels_own(Isa isa, KernelId id)
{
    return isas[isa].own->run[id] != NULL;
}

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
    return kernels_table((Isa)i);
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
            return kernels_table((Isa)i);
        error_set(err, "this processor does not run \"%s\"; it runs %s", narrow, names);
        return NULL;
    }
    error_set(err, "unknown instruction set \"%s\"; this processor runs %s", narrow, names);
    return NULL;
}
