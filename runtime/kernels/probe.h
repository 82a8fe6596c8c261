/* What this machine can do at most: loops that do nothing but keep the processor at a limit, for those
 * who measure it (runtime/limits.h, tests/kernels/bench_kernels.c). */
#ifndef KERNELS_PROBE_H
#define KERNELS_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/* fma, bf16, int8   operations on floats, pairs of bf16, and bytes into 32-bit sums; two a multiply-add
 * read              bytes read
 * copy, stream      bytes read and bytes written: by plain stores, by stores that pass the caches
 * update            the same, of what an optimizer with two moments moves: four runs read, three written */
#define PROBES(X) X(fma) X(bf16) X(int8) X(read) X(copy) X(stream) X(update)
typedef enum Probe {
#define X(name) PROBE_##name,
    PROBES(X)
#undef X
    N_PROBES
} Probe;

/* Those of an instruction set.  What computing loops and `read` return must be used, or a compiler may
 * drop the call.
 *
 * Computing loops do `ops` operations a round on numbers of `data` (PROBE_FLOATS of them, from 1/2 to
 * 1): zeros take less power, and processors are faster with them.  Moving loops take n elements, a
 * multiple of PROBE_FLOATS. */
enum { PROBE_FLOATS = 128 };
typedef float ProbeFn(size_t rounds, const float *data);
typedef struct ProbeFns {
    struct { ProbeFn *run; double ops; } fma, bf16, int8;       /* run is NULL where there is none */
    float (*read)(size_t n, const float *p);
    void (*copy)(size_t n, float *restrict to, const float *restrict from);
    void (*stream)(size_t n, float *restrict to, const float *restrict from);
    void (*update)(size_t n, float *restrict run);              /* of runs 0 to 3, n apart, writes 0 to 2 */
} ProbeFns;

bool probe_from_name(const char *name, Probe *out);
const char *probe_name(Probe p);
bool probe_moves(Probe p);                                      /* it counts bytes, not operations */
bool probe_exists(const ProbeFns *fn, Probe p);

/* Once, for some microseconds or over `memory` of so many floats, aligned to a page, of which a rest below
 * PROBE_UNIT is left out; the operations or bytes that it took. */
enum { PROBE_UNIT = 4 * PROBE_FLOATS };
double probe_run(const ProbeFns *fn, Probe p, size_t floats, float *memory);

#endif
