/* Row programs: what a fused group becomes.
 *
 * A row program runs over a space of rows, [.., n]: the leading axes count rows, the last is the
 * row.  It is a straight list of instructions on registers.  A register holds one value per element
 * of the tile in work; its kind says along which axes the values differ:
 *
 *     operands    0 .. n_operands-1: memory, an input or an output.  An operand of the Call has the
 *                 rank of the space; a stride of 0 (or a size of 1) means that it is broadcast.
 *     constants   the next n_consts: one float, or the same bits as an integer
 *     temporaries the rest: a tile in the thread's scratch, never in memory; either full (a value
 *                 per element) or per row (the result of a reduction, and what is computed from it)
 *
 * An instruction whose destination is an operand writes memory.  An output is broadcast nowhere, but
 * it may hold one value per row: size 1 and stride 0 on the last axis.  What makes one value per row
 * reads such values and constants only, or is a reduction.
 *
 * In place: the program runs tile by tile, all of it on one tile before the next begins.  So an
 * output may be an input, as one operand or as two with the same address and strides; of two, the
 * input's last reading must come before the output's first writing (an operand that had to be
 * gathered would still show the old value).  Any other overlap of an output is the planner's to avoid.
 *
 * Reductions run over the last axis.  Canonical tree of a row sum, the same for every instruction
 * set: 64 partial sums, partial i adding elements i, i + 64, i + 128, ... in order, from zero; then
 * partials i and i + 32 are added, i and i + 16, and so on to one.  So a row sum has the same bits
 * whatever the vector length.
 *
 * The op list is kernels.def (MAP*, IMAP*, REDUCE) and some of its own, which name operands that are
 * no tensors of the space:
 *     dropout   dst = keep(seed, site, element index) ? a / (1 - p) : 0; b: the seed, an input
 *               operand of dtype i32 with 2 elements on its last axis (stride 1) and size 1 on all
 *               others, whatever the space; imm: p, site in the instruction; the element index is
 *               that of the row-major order of the space.  keep: random_u32(seed, site, index) >=
 *               p * 2^32 as an integer (base/random.h)
 *     round_bf16 dst = a, rounded to nearest, ties to even; dst: an output operand of bf16, which nothing
 *               else names
 *     gather    dst = the row of a table that the row's id names, as floats; a: the table, an input
 *               operand of rank 2, rows, of any type of numbers in base/dtypes.def, with as many
 *               columns as the space; b: the ids, an input operand of dtype i32 with one value per
 *               row.  An id outside of the table gives a row of NaN.
 *     column_sums dst = sums of the columns of a, in parts of the rows; dst: an output operand of rank 2,
 *               rows, [parts, columns of the space], which nothing else names.  Row p of it is the sum of
 *               rows p R / parts .. (p + 1) R / parts - 1 of the R rows of the space, added one by one.  A
 *               program with such sums has as many tasks as parts, the same for all of them. */
#ifndef KERNELS_ROW_H
#define KERNELS_ROW_H

#include "runtime/kernels/kernel.h"

enum { MAX_ROW_INSTRS = 256, MAX_ROW_CONSTS = 64, MAX_ROW_REGS = 192 };

typedef enum RowOp {
#define MAP1(name) ROW_##name,
#define MAP2(name) ROW_##name,
#define MAP3(name) ROW_##name,
#define IMAP1(name) ROW_##name,
#define IMAP2(name) ROW_##name,
#define REDUCE(name) ROW_##name,
#include "runtime/kernels/kernels.def"
    ROW_dropout,
    ROW_gather,
    ROW_round_bf16,
    ROW_column_sums,
    N_ROW_OPS
} RowOp;

typedef enum RowKind { ROW_MAP1, ROW_MAP2, ROW_MAP3, ROW_REDUCE, ROW_RANDOM, ROW_GATHER, ROW_ROUND, ROW_COLUMNS } RowKind;

const char *row_op_name(RowOp op);
bool row_op_from_name(const char *name, RowOp *out);
RowKind row_op_kind(RowOp op);
int row_op_inputs(RowOp op);

typedef struct RowInstr {
    uint16_t op;                /* RowOp */
    uint16_t dst;               /* operand (output) or temporary */
    uint16_t a, b, c;           /* as many as row_op_inputs, else 0 */
    uint16_t unused;            /* 0 */
    uint32_t site;              /* dropout */
    float imm;                  /* dropout */
} RowInstr;

/* As it stands in the plan, and as bound: pointers into the plan's bytes. */
typedef struct RowProgram {
    int32_t rank;               /* of the space, 1..MAX_RANK */
    int64_t dim[MAX_RANK];      /* sizes of the space */
    int32_t n_consts, n_temps, n_instrs;
    const uint32_t *consts;     /* bits */
    const uint8_t *temp_per_row;/* n_temps: 1 when one value per row, else a full tile */
    const RowInstr *instrs;
    uint32_t outputs;           /* bit i: operand i is written */
} RowProgram;

/* Is an operand of the program a table, of which rows are picked and nothing else is read? */
bool row_is_table(const RowProgram *p, int32_t operand);

#endif
