/* Which weights a session keeps in another form than they are stored in, and their bringing into it.
 *
 * Packed for products (kernels/gemm_packed.h): matrices of bf16 that every program of the session reads as B of
 * products and in no other way, whole, and always beside an A of the same kind.  An embedding that is gathered from
 * too stays as it is, and so does what would grow by more than a sixteenth from panels that are not full; and a matrix
 * whose columns are runs of memory ([N, K] as stored), for a single row of A reads those faster than panels.
 *
 * Coded (kernels/gemm_coded.h): other matrices of bf16 and f32 that its programs read as B of products, in either
 * order, or pick rows of, where that saves a twelfth of their bytes; f32 only where `packs.codes_near`. */
#ifndef RUNTIME_WEIGHT_PACKING_H
#define RUNTIME_WEIGHT_PACKING_H

#include "runtime/kernels/gemm_coded.h"
#include "runtime/kernels/gemm_packed.h"
#include "runtime/kernels/select.h"
#include "runtime/plan.h"
#include "runtime/threads.h"

typedef struct WeightPacking {
    OperandLayout layout;               /* LAYOUT_STRIDES: stays as it is; the rest is nothing then */
    int64_t count;                      /* packed: numbers */
    GemmUnpacked matrix;                /* packed: as products see it; no data */
    Coded coded;                        /* coded; no data */
    CodedForm form;
    CodedFill *fill;
    size_t bytes;                       /* that it takes while it is brought into its layout */
} WeightPacking;

/* programs: bit per PlanProgramKind of the session; packs: its kernels'. */
WeightPacking weight_packing(const Plan *p, int32_t storage, uint32_t programs, PackFor packs);

/* Brings a matrix into its layout in place, by the team's threads: `data`, of max(bytes stored, w->bytes) bytes
 * and aligned to 64.  False where it stays as it is: there is no memory for a copy of it; packed, it would have
 * infinities or NaN, whose products are told by their strides; coded, it saves too little. */
bool weight_pack(const WeightPacking *w, Team *team, int n_threads, void *data);

#endif
