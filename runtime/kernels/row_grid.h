/* What row.c works out about a row program and its bodies (row.inc) use: the grid of tiles, and where
 * temporaries live.
 *
 * The axes of the space are joined where every operand allows it; then the last is the row of the
 * tiles (of `n` elements), the one before it their height, and the others count tiles.  A program
 * that reduces, or holds a value per row, keeps its rows whole; any other program sees one long run
 * of elements wherever memory is one, cut into tiles of ROW_WIDTH columns.
 *
 * Of a program that sums columns a task is a part of the rows, in tiles that begin and end with it.
 *
 * A tile is small enough that its temporaries and its part of the operands stay in L1 together, or, where
 * rows are whole, near it, unless one row of the program is longer than that. */
#ifndef KERNELS_ROW_GRID_H
#define KERNELS_ROW_GRID_H

#include "runtime/kernels/operand.h"
#include "runtime/kernels/row.h"

/* derived[]: a task is a tile; tiles count [outer axes.., ROW_STEPS, ROW_STRIPS]. */
enum {
    ROW_N,          /* elements of a row */
    ROW_WIDTH,      /* columns of a tile, but for the last of a row */
    ROW_STRIPS,     /* tiles side by side in a row; 1 where rows are whole */
    ROW_HEIGHT,     /* rows of a tile, but for the last of the axis that it is cut from */
    ROW_ROWS,       /* size of that axis */
    ROW_STEPS,      /* tiles along that axis */
    ROW_AXIS,       /* of the space: the row's innermost axis, and that of the height */
    ROW_HEIGHT_AXIS,/* -1: none */
    ROW_N_OUTER,    /* outer axes, and for each its size and its innermost axis in the space */
    ROW_OUTER,
    ROW_WORDS = ROW_OUTER + 2 * (MAX_RANK - 2)
};
_Static_assert((int)ROW_WORDS <= (int)MAX_DERIVED, "the grid fits a call");

/* Where each temporary lives: full ones share slots of a tile, per-row ones slots of a value per
 * row; a slot is free again after the last instruction that touches its temporary. */
typedef struct RowSlots {
    int32_t n_full, n_per_row;
    uint8_t slot[MAX_ROW_REGS];         /* by temporary */
} RowSlots;

void row_slots(const RowProgram *p, int32_t n_operands, RowSlots *out);

/* Scratch of one thread, in floats: first the full slots, then a tile for every operand that has to
 * be gathered, then the per-row slots. */
typedef struct RowScratch {
    int64_t tile;               /* pitch of a tile */
    int64_t per_row;            /* pitch of a per-row slot */
    int64_t n_tiles;            /* slots and gathered operands together */
} RowScratch;

RowScratch row_scratch(const Call *call, const RowSlots *slots);

/* Elements between neighbours of operand `i` along `axis` of the space; 0 where broadcast.  Of an
 * output the stride alone decides, which is zero or not whatever the sizes: whether the rows of a
 * program are kept whole must not change when a size that only the output has becomes 1. */
static inline int64_t row_stride(const Call *call, int32_t i, int32_t axis)
{
    const Operand *o = &call->operand[i];
    bool output = call->row->outputs >> i & 1;
    return o->dim[axis] == 1 && !output ? 0 : o->stride[axis];
}

/* Bit i: operand i is no tensor of the space, but a seed, a table, or sums of columns. */
uint32_t row_apart(const RowProgram *p);

/* Parts of the rows whose columns are summed, each a task; 0 in a program without, whose tasks are tiles. */
int64_t row_parts(const Call *call);

/* Must the operand's part of a tile be copied so that its rows are contiguous? */
static inline bool row_is_strided(int64_t col, int64_t n)
{
    return n > 1 && col != 0 && col != 1;
}

#endif
