/* What a kernel is: a function over a fixed grid of tasks, told everything by a bound Call.
 *
 * A Call is one instruction of a plan with its addresses and sizes filled in.  The runtime binds it
 * once for given sizes (kernel_prepare), then every thread runs its share of the tasks (kernel_share).
 * The grid depends on the sizes alone, never on the number of threads, and no two tasks write the
 * same element; so the bits are the same for any number of threads.  Kernels allocate nothing,
 * cannot fail, and never synchronise.
 *
 * Safety: kernel_check is run once on a Call bound at the largest sizes.  Afterwards sizes only
 * shrink, so a Call whose operands lie inside their buffers then lies inside them always.  Values
 * (token ids, positions) are not covered: a kernel that indexes with a value bounds it itself.
 *
 * Kinds of operand: `[..]` any leading axes; strides in elements, >= 0, 0 where broadcast.  "any
 * strides" means just that; "rows" means that the last axis has stride 1 (or size 1).
 *
 *  family              operands (outputs first)                          immediates
 *  row                 see row.h: any number of inputs and outputs       the row program
 *  gemm                C[.., M, N] rows, A[.., M, K], B[.., K, N],       f0 = alpha, i0 = accumulate,
 *                      [bias[N] rows], [residual[.., M, N] rows],        i1 = has bias, i2 = has
 *                      [squares[ceil(M / 64), N] rows];                  residual, i5 = has squares;
 *                      C = act(alpha A B (+ C) + bias) + residual;       i3 = act, a RowOp
 *                      leading axes of A and B broadcast by stride 0;    of one float input (ROW_copy:
 *                      a transposed operand is one whose strides say     none), i4 = precision
 *                      so; any strides.  What follows the product has the bits of the row program
 *                      that would compute it from C; the residual shares no memory with C.  With
 *                      squares (of two axes only), squares[g, j] is the sum of C[i, j]^2 over the rows
 *                      64 g <= i < 64 (g + 1), added row by row as they are written
 *                      A and B are f32 or bf16 each, all else is f32.  Precision 0: products of
 *                      floats, bf16 widened exactly.  Precision 1: floats of A and B are rounded to
 *                      bf16 (nearest, ties to even), and products, exact in float, are summed in
 *                      float; subnormal numbers, given or met on the way, may count as zero.  An
 *                      element is within (K + 4) 2^-24 of its sum of magnitudes either way; the order
 *                      of its sum depends on sizes, strides and instruction set alone (gemm.h)
 *  gemm_shared         C_1 .. C_n, A, B_1 .. B_n, 2 to 8 products       f0, i0, i3 and i4 of gemm,
 *                      of one A by B of one type; each is a gemm         for all of them
 *                      without bias and residual, and has its bits
 *  gemm_q              C[.., M, N] rows, A[.., M, K] rows, B[N, K]       f0 = alpha
 *                      blocks (q8_0 .. q6_k, base/dtypes.def) in panels (panel.h), in whole
 *                      panels of memory; C = alpha Q(A) B'.
 *                      Q rounds each row of A in blocks of 32: in float,
 *                      d = max |x| / 127 and q = x * (1 / d) to the nearest whole number, ties to
 *                      even; x becomes d q.  A block whose d is below 2^-126 becomes zeros, one
 *                      that holds NaN or an infinity becomes NaN.  Products of decoded numbers,
 *                      sums in float in any fixed order
 *  gemm_q_shared       C_1 .. C_n, A, B_1 .. B_n, 2 to 8 products       f0 = alpha
 *                      of one A, each a gemm_q, B of one type
 *  attention           out[B, H, T, E] rows, lse[B, H, T] any,           i0 = causal, i1 = window (0:
 *                      q[B, H, T, D] rows, k[B, G, S, D] rows,           none), i2 = has past, i3 =
 *                      v[B, G, S, E] rows, [past i32[]], [seed i32[2]]   site, i4 = has seed; f0 =
 *                      H a multiple of G: head h reads group h*G/H.      scale, f1 = soft cap (0:
 *                      Query t stands at position p = past + t, key s    none), f2 = drop probability
 *                      at s; seen when s <= p (causal) and s > p - window (window != 0); keys at
 *                      s >= past + T are not there when past is given.  score = scale q.k, soft
 *                      capped as c tanh(score / c); weights = softmax; dropped as op dropout with
 *                      element index ((b H + h) T + t) S + s; lse = log sum exp of scores.
 *                      Without causal (i0 = 0) every key is seen.  A query that sees none: zeros.
 *                      With a past, k and v may both be bf16, or both q8_0: read as the numbers
 *                      that they stand for.  i5 = precision, 1: what products multiply (q, k, v,
 *                      weights, and in the gradient dout and that of the scores) may be rounded to
 *                      bf16; sums, softmax and lse are float
 *  attention_grad      dq, dk, dv (shapes of q, k, v; rows), q, k, v,    as attention (no past)
 *                      out, lse, dout, [seed]
 *  embedding           out[.., C] rows, table[V, C] rows, ids i32[..];   none
 *                      an id outside 0..V-1 gives a row of NaN; a table may be of any type of
 *                      numbers in base/dtypes.def
 *  decode              out[.., C] rows, x the same shape, rows of bf16,  none
 *                      f16 or blocks, as f32
 *  embedding_grad      table grad[V, C] rows (read and added to),        i0 = has squares
 *                      ids i32[..], g[.., C] rows, [squares[ceil(C / 32)]]; ids outside the table are
 *                      skipped.  squares[b] is the sum of g (old + new) over what is added to columns
 *                      32 b <= c < 32 (b + 1): by how much their sum of squares changes
 *  masked_matmul       out[.., N] rows, x[.., K] rows, w[N, K] rows,    none
 *                      gate[.., 1] any; out = x w' where gate is not 0, else zeros.  w is f32, bf16,
 *                      or blocks in panels: products and their bits are those of gemm and gemm_q
 *  rope                out[B, H, T, D] rows, x the same shape,           i0 = style (0 half, 1
 *                      positions i32[T], [factors f32[D/2]]; out may     interleaved), i1 = inverse;
 *                      be x; angle of pair j = position *                f0 = base
 *                      base^(-2j/D) / factor[j], computed in double
 *  cross_entropy       loss[..] any, lse[..] any, logits[.., V] rows,    i0 = ignored id
 *                      targets i32[..]; loss = lse - logit[target], 0 where ignored; a target
 *                      outside 0..V-1 that is not the ignored id gives NaN
 *  cross_entropy_grad  grad[.., V] rows, logits, lse, targets, g[..];    i0 = ignored id; f0, f1, f2
 *                      grad = (exp(logit - lse) - [v == target]) g       = the slope of what makes the
 *                      (f0 + f1 logit + f2 logit^2); may be logits in    logits: 1, 0, 0 is none
 *                      place; or of bf16, rounded, and then each row may begin where its logits do
 *  reduce_sum/max/min  out, in (same rank; axes of size 1 in out and     sums: i0 = accumulate, onto
 *                      more in in are reduced), [squares[ceil(N / 64)]]; what is there, i1 = has
 *                      any strides.  With squares out has N elements on  squares
 *                      one axis; squares[b] is the sum of the squares of 64 of them
 *  partial_sum         out[N_PARTIALS], in[..] any strides; out[i] = sum over elements
 *                      [i n/P, (i+1) n/P) of the row-major order         i0 = square them first
 *  copy                out, in (same shape) any strides, 4-byte lanes    none
 *  cache_write         cache[B, G, S, D] rows, new[B, G, T, D] rows,     with positions, as rope: i0
 *                      past i32[], [positions i32[T], [factors           = style, i1 = inverse; f0 =
 *                      f32[D/2]]]; positions past..past+T-1 of the       base
 *                      cache; those beyond S are dropped.  With positions the new rows are turned as
 *                      rope turns them.  A cache may be bf16: rounded to nearest, ties to even; or
 *                      q8_0: the bytes of blocks_encode (base/blocks.h), NaN for a block that it
 *                      refuses
 *  positions           out i32[T], [past i32[]]; out[t] = past + t       none
 */
#ifndef KERNELS_KERNEL_H
#define KERNELS_KERNEL_H

#include "base/dtype.h"
#include "base/shape.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_OPERANDS = 32, MAX_IMM = 8, MAX_DERIVED = 24 };

typedef enum KernelId {
#define KERNEL(name, min, max) KERNEL_##name,
#include "runtime/kernels/kernels.def"
    N_KERNELS
} KernelId;

/* Where the elements of a tensor lie: by its strides; or it is B of products only, a matrix of bf16 that a
 * session packed (gemm_packed.h); or B of products and a table, which a session coded (gemm_coded.h).  Then the
 * strides say how it lay before.  Plans know strides alone. */
typedef enum OperandLayout { LAYOUT_STRIDES, LAYOUT_PAIRS, LAYOUT_HALVES, LAYOUT_CODED } OperandLayout;

/* A tensor in memory.  `data` is aligned to its element only. */
typedef struct Operand {
    void *data;
    int64_t dim[MAX_RANK];
    int64_t stride[MAX_RANK];
    int32_t rank;
    DType dtype;
    OperandLayout layout;
} Operand;

struct RowProgram;

typedef struct Call {
    KernelId kernel;
    int32_t n_operands;
    Operand *operand;                   /* n_operands of them */
    int64_t i[MAX_IMM];                 /* immediates of the plan */
    double f[MAX_IMM];
    const struct RowProgram *row;       /* for KERNEL_row */

    /* Filled by kernel_prepare. */
    int64_t n_tasks;
    int64_t derived[MAX_DERIVED];       /* what the family works out once from the sizes */
} Call;

/* Runs tasks [first, last).  `scratch`: at least kernel_scratch(call) bytes, aligned to 64, owned by
 * the calling thread for the duration. */
typedef void KernelFn(const Call *call, int64_t first, int64_t last, void *scratch);

const char *kernel_name(KernelId id);
bool kernel_from_name(const char *name, KernelId *out);

/* Is the call, bound at its largest sizes, one that the family's contract allows?  Assumes that the
 * operands lie inside their buffers; checks everything else (ranks, dtypes, sizes that must agree,
 * immediates, row programs). */
bool kernel_check(const Call *call, Error *err);

/* Fills n_tasks and derived for the sizes now in the operands.  Zero sizes give zero tasks. */
void kernel_prepare(Call *call);

/* Tasks [first, last). */
typedef struct KernelShare { int64_t first, last; } KernelShare;

/* What thread i of n runs. */
static inline KernelShare kernel_share(const Call *call, int i, int n)
{
    return (KernelShare){ i * call->n_tasks / n, (i + 1) * call->n_tasks / n };
}

/* Is operand `i` written (and perhaps read)? */
bool kernel_writes(const Call *call, int32_t i);
/* How many results stand first among `n` operands of a family; 0: `row`, whose programs say it. */
int32_t kernel_results(KernelId id, int32_t n);
/* Is the last operand a result as well: the squares of a product? */
bool kernel_squares(KernelId id, const int64_t *immediates);

/* Elements [begin, end) of an operand, counted from its first in memory. */
typedef struct KernelReach { int64_t begin, end; } KernelReach;

/* Where all lies that these tasks of a prepared call touch in operand `i`, and perhaps more; empty
 * without tasks. */
KernelReach kernel_reach(const Call *call, int32_t i, KernelShare tasks);
/* All of operand `i`. */
KernelReach kernel_extent(const Call *call, int32_t i);

/* Bytes of scratch a thread needs; monotone in the sizes. */
size_t kernel_scratch(const Call *call);

/* What does the operations of a call at best.  Those of products need no multiply-adds of floats where an
 * instruction set multiplies bf16 or bytes faster: a product of floats is six of their parts in bf16, of a
 * float by a bf16 three (gemm_bf16.inc). */
typedef enum KernelUnit { UNIT_fma, UNIT_bf16_six, UNIT_bf16_three, UNIT_bf16, UNIT_int8 } KernelUnit;

/* Floating-point operations and bytes moved, for reports and benchmarks (an FMA counts two). */
typedef struct KernelCost {
    double flops, bytes;
    KernelUnit unit;
} KernelCost;
KernelCost kernel_cost(const Call *call);

/* The per-family halves of the four functions above; each family's .c defines its own. */
typedef struct KernelFamily {
    const char *name;
    int32_t min_operands, max_operands;
    bool (*check)(const Call *call, Error *err);
    void (*prepare)(Call *call);
    size_t (*scratch)(const Call *call);
    KernelCost (*cost)(const Call *call);
} KernelFamily;
#define KERNEL(name, min, max) extern const KernelFamily family_##name;
#include "runtime/kernels/kernels.def"

/* kernel_reach, of families whose tasks are rows; `tasks` are some and not all. */
typedef KernelReach KernelReachFn(const Call *call, int32_t i, KernelShare tasks);
KernelReachFn reach_row, reach_embedding, reach_cross_entropy, reach_cross_entropy_grad;

#endif
