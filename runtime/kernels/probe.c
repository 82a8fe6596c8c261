/* Running the probes of an instruction set by name. */
#include "runtime/kernels/probe.h"

#include <string.h>

static const char *const names[N_PROBES] = {
#define X(name) [PROBE_##name] = #name,
    PROBES(X)
#undef X
};

bool probe_from_name(const char *name, Probe *out)
{
    for (int i = 0; i < N_PROBES; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (Probe)i;
            return true;
        }
    return false;
}

const char *probe_name(Probe p)
{
    return names[p];
}

bool probe_moves(Probe p)
{
    return p >= PROBE_read;
}

bool probe_exists(const ProbeFns *fn, Probe p)
{
    return p == PROBE_bf16 ? fn->bf16.run != NULL : p == PROBE_int8 ? fn->int8.run != NULL : true;
}

/* From 1/2 to 1, no two neighbours alike. */
static void numbers(float data[PROBE_FLOATS])
{
    for (unsigned i = 0; i < PROBE_FLOATS; i++)
        data[i] = 0.5f + (float)(i * 2654435761u >> 8) * 0x1p-25f;
}

static volatile float sink;

double probe_run(const ProbeFns *fn, Probe p, size_t floats, float *memory)
{
    enum { ROUNDS = 2500 };
    float data[PROBE_FLOATS];
    const size_t quarter = floats / PROBE_UNIT * PROBE_FLOATS, half = 2 * quarter, all = 4 * quarter;
    if (!probe_moves(p))
        numbers(data);
    switch (p) {
    case PROBE_fma:
        sink = fn->fma.run(ROUNDS, data);
        return ROUNDS * fn->fma.ops;
    case PROBE_bf16:
        sink = fn->bf16.run(ROUNDS, data);
        return ROUNDS * fn->bf16.ops;
    case PROBE_int8:
        sink = fn->int8.run(ROUNDS, data);
        return ROUNDS * fn->int8.ops;
    case PROBE_read:
        sink = fn->read(all, memory);
        return (double)(all * sizeof *memory);
    case PROBE_copy:
        fn->copy(half, memory, memory + half);
        return (double)(all * sizeof *memory);
    case PROBE_stream:
        fn->stream(half, memory, memory + half);
        return (double)(all * sizeof *memory);
    case PROBE_update:
        fn->update(quarter, memory);
        return (double)(7 * quarter * sizeof *memory);
    case N_PROBES:
        break;
    }
    return 0;
}
