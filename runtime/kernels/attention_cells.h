/* How attention is cut where tiles of bf16 multiply (attention_amx.inc): cells of 32 keys by 32 queries, and
 * what lies where in a thread's scratch.
 *
 * Operands of products are packed as gemm_bf16.inc packs them, in panels of 32 items by steps of 32 along k,
 * of up to three parts.  All offsets are bytes and multiples of 64. */
#ifndef KERNELS_ATTENTION_CELLS_H
#define KERNELS_ATTENTION_CELLS_H

#include "runtime/kernels/attention.h"

enum {
    CELL = 32,                          /* keys, queries, and elements of a panel */
    CELL_PANEL = 3 * CELL * CELL,       /* bf16 of one step of a panel, at most */
    CELL_SPAN = 2,                      /* forward: panels of keys that strips meet at a time */
    CELL_STRIPS = 4,                    /* backward: strips that a panel of keys meets at a time */
    CELL_KEYS = 8,                      /* backward: panels of keys that stay packed for all queries */
    CELL_LEAST_KEYS = 256,              /* with fewer, or with smaller heads, packing and splitting them */
    CELL_LEAST_WHOLE = 128,             /* (packing alone where they are bf16, or rounded to it) takes */
    CELL_LEAST_SIZE = 32,               /* longer than multiply-adds */
};

/* What the operands A and B of products are. */
typedef enum CellKind {
    CELL_FLOATS,                        /* both floats, in three parts */
    CELL_WHOLE,                         /* A is bf16: keys and values of a cache */
    CELL_ROUNDED,                       /* both are rounded to bf16 */
} CellKind;

static inline int cell_a_parts(CellKind kind)
{
    return kind == CELL_FLOATS ? 3 : 1;
}

static inline int cell_b_parts(CellKind kind)
{
    return kind == CELL_ROUNDED ? 1 : 3;
}

/* bf16 of one step of a panel. */
static inline ptrdiff_t cell_panel(int parts)
{
    return parts * CELL * CELL;
}

static inline CellKind cell_kind(const Attention *a)
{
    return a->rounds ? CELL_ROUNDED : a->stored == DTYPE_bf16 ? CELL_WHOLE : CELL_FLOATS;
}

/* Steps, or panels, of `n` elements. */
static inline int64_t cell_steps(int64_t n)
{
    return ceil_div(n, CELL);
}

/* Whether cells are worth it; else the body of multiply-adds is the faster one. */
static inline bool cells_take(const Attention *a)
{
    const int64_t keys = a->rounds || a->stored == DTYPE_bf16 ? CELL_LEAST_WHOLE : CELL_LEAST_KEYS;
    return a->queries >= CELL && a->keys >= keys && a->key_size >= CELL_LEAST_SIZE
        && a->value_size >= CELL_LEAST_SIZE;
}

static inline size_t cell_place(size_t *end, size_t bytes)
{
    size_t at = *end;
    *end += (bytes + 63) / 64 * 64;
    return at;
}

static inline size_t cell_packed(size_t steps)
{
    return steps * CELL_PANEL * sizeof(uint16_t);
}

static inline size_t cell_floats(size_t panels)
{
    return panels * CELL * CELL * sizeof(float);
}

/* Forward.  Of each strip of a task: */
typedef struct CellsForward {
    size_t q, values, softmax;          /* packed; [E, lane]; maxima and sums */
    size_t strip;                       /* from one to the next */
    size_t k, v, weights;               /* packed, of a span of keys; weights and scores of two strips */
    size_t scores, sums, keep, turned, room, end;
} CellsForward;

static inline CellsForward cells_forward(int64_t key_size, int64_t value_size, int64_t strips)
{
    const size_t d = (size_t)cell_steps(key_size), e = (size_t)cell_steps(value_size), most = d > e ? d : e;
    CellsForward at = { 0 };
    at.q = cell_place(&at.strip, cell_packed(d));
    at.values = cell_place(&at.strip, cell_floats(e));
    at.softmax = cell_place(&at.strip, 2 * CELL * sizeof(float));
    at.end = at.strip * (size_t)strips;
    at.k = cell_place(&at.end, CELL_SPAN * cell_packed(d));
    at.v = cell_place(&at.end, CELL_SPAN * cell_packed(e));
    at.weights = cell_place(&at.end, 2 * cell_packed(CELL_SPAN));
    at.scores = cell_place(&at.end, 2 * cell_floats(CELL_SPAN));
    at.sums = cell_place(&at.end, cell_floats(e));
    at.keep = cell_place(&at.end, cell_floats(CELL_SPAN) + 2 * ATTENTION_PAD * CELL * sizeof(float));
    at.turned = cell_place(&at.end, cell_floats(most));
    at.room = cell_place(&at.end, cell_floats(most));
    return at;
}

/* Backward. */
typedef struct CellsGrad {
    size_t k, v, kt;                    /* packed, of a block of keys; kt: the elements of k are its items */
    size_t q, dout;                     /* packed, of each strip, turned: [D, lane], [E, lane] */
    size_t q_rows, dout_rows;           /* packed, of all strips, along queries */
    size_t lse, dot;                    /* per query */
    size_t p, ds, dst;                  /* packed, weights and dscores: along queries, of two panels; and
                                         * along keys, of all */
    size_t scores, dscores, tanhs, sums, keep, turned, end;
} CellsGrad;

/* For as many panels of keys and strips of queries as there are, up to a block of each. */
static inline CellsGrad cells_grad(int64_t key_size, int64_t value_size, int64_t keys, int64_t queries)
{
    const size_t d = (size_t)cell_steps(key_size), e = (size_t)cell_steps(value_size), most = d > e ? d : e;
    const size_t panels = (size_t)min_i64(CELL_KEYS, cell_steps(keys));
    const size_t strips = (size_t)min_i64(CELL_STRIPS, cell_steps(queries));
    CellsGrad at = { 0 };
    at.k = cell_place(&at.end, panels * cell_packed(d));
    at.v = cell_place(&at.end, panels * cell_packed(e));
    at.kt = cell_place(&at.end, panels * cell_packed(d));
    at.q = cell_place(&at.end, strips * cell_packed(d));
    at.dout = cell_place(&at.end, strips * cell_packed(e));
    at.q_rows = cell_place(&at.end, strips * cell_packed(d));
    at.dout_rows = cell_place(&at.end, strips * cell_packed(e));
    at.lse = cell_place(&at.end, strips * CELL * sizeof(float));
    at.dot = cell_place(&at.end, strips * CELL * sizeof(float));
    at.p = cell_place(&at.end, 2 * cell_packed(strips));
    at.ds = cell_place(&at.end, 2 * cell_packed(strips));
    at.dst = cell_place(&at.end, strips * cell_packed(panels));
    at.scores = cell_place(&at.end, cell_floats(2));
    at.dscores = cell_place(&at.end, cell_floats(2));
    at.tanhs = cell_place(&at.end, cell_floats(1));
    at.sums = cell_place(&at.end, cell_floats(d + e));
    at.keep = cell_place(&at.end, cell_floats(1) + 2 * ATTENTION_PAD * CELL * sizeof(float));
    at.turned = cell_place(&at.end, cell_floats(most));
    return at;
}

#endif
