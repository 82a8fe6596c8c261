/* Which weights a session keeps packed for its products (kernels/gemm_packed.h), instead of as they are stored:
 * matrices of bf16 that every program of the session reads as B of products and in no other way, whole, and
 * always beside an A of the same kind.  An embedding that is gathered from too stays as it is, and so does
 * what would grow by more than a sixteenth from panels that are not full; and a matrix whose columns are runs
 * of memory ([N, K] as stored), for a single row of A reads those faster than panels. */
#ifndef RUNTIME_WEIGHT_PACKING_H
#define RUNTIME_WEIGHT_PACKING_H

#include "runtime/kernels/gemm_packed.h"
#include "runtime/kernels/select.h"
#include "runtime/plan.h"
#include "runtime/threads.h"

typedef struct WeightPacking {
    OperandLayout layout;               /* LAYOUT_STRIDES: stays as it is; the rest is nothing then */
    GemmUnpacked matrix;                /* as products see it; no data */
    size_t bytes;                       /* packed */
} WeightPacking;

/* programs: bit per PlanProgramKind of the session; packs: its kernels'. */
WeightPacking weight_packing(const Plan *p, int32_t storage, uint32_t programs, PackFor packs);

/* Packs a matrix in place, by the team's threads: `data`, of max(bytes stored, w->bytes), from rows to panels.
 * False where it stays as it is: it has infinities or NaN, whose products are told by their strides, or there
 * is no memory for a copy of it. */
bool weight_pack(const WeightPacking *w, Team *team, int n_threads, void *data);

#endif
