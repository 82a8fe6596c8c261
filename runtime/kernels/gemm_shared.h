/* Products of one A: how the columns of several C are cut as those of one product.
 *
 * The grid is that of one product with all columns, so shares stay even however narrow a member is;
 * only that tiles begin anew with each C.  A share meets several products: what it packs of A, it packs
 * once for all of them, where its rows are few enough to stay packed (GEMM_KEPT_ROWS).
 *
 * Which rows there are, and what a product is made of, is what it is for each product alone; so are its
 * bits.  Where the products do not agree on that (leading axes that fold into rows in one C and not in
 * another, single columns), they are run one after the other, each on a grid of its own. */
#ifndef KERNELS_GEMM_SHARED_H
#define KERNELS_GEMM_SHARED_H

#include "runtime/kernels/gemm.h"
#include "runtime/kernels/operand.h"

enum {
    GEMM_SHARED = 8,            /* products at most */
    GEMM_KEPT_ROWS = 1024,      /* rows of A by GEMM_BLOCK_K, in the second-level cache or near it */
};

/* Lanes of the panels that `rows` rows are packed in, at most: panels are VL high and no more than a
 * quarter of one is empty, but for the last. */
static inline int64_t gemm_kept_lanes(int64_t rows)
{
    return ceil_div(4 * rows, 3) + GEMM_PANEL_M;
}

/* Products at work on rectangles with the same rows; a product's may be empty. */
typedef struct GemmShared {
    int32_t n;
    Gemm joined;                /* all columns: the grid, and A */
    Gemm g[GEMM_SHARED];
    GemmRect r[GEMM_SHARED];
} GemmShared;

static inline bool gemm_is_empty(const GemmRect *r)
{
    return r->m0 >= r->m1 || r->n0 >= r->n1;
}

static inline int32_t gemm_shared_count(const Call *call)
{
    return (call->n_operands - 1) / 2;
}

/* Product i of the call as one of family gemm, or of gemm_q; its operands are put in `operand`. */
Call gemm_shared_part(const Call *call, int32_t i, Operand operand[3]);

/* Is each of the products legal in family `one`, and are they few enough? */
bool gemm_shared_check(const Call *call, const KernelFamily *one, Error *err);

/* Are they run one after the other? */
bool gemm_shared_apart(const Call *call);

GemmShared gemm_shared_bind(const Call *call);
Gemm gemm_shared_joined(const Call *call);      /* its `joined` alone */

/* Runs tasks [first, last) of a prepared call: by `alone` where they are apart, else rectangle by
 * rectangle by `rects`. */
typedef void GemmSharedFn(const GemmShared *s, void *scratch);
void gemm_shared_run(const Call *call, int64_t first, int64_t last, void *scratch, KernelFn *alone,
                     GemmSharedFn *rects);

#endif
