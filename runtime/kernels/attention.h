/* What attention.c and its bodies share: the grids, and a Call read once into plain numbers. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H

#include "runtime/kernels/operand.h"

enum {
    ATTENTION_STRIP = 16,       /* queries that meet a tile of keys together */
    ATTENTION_BESIDE = 2,       /* strips whose steps alternate: one's begins while the other's ends */
    ATTENTION_LANES = 32,       /* of random words that are made together */
    ATTENTION_QUERIES = 256,    /* of a task, at most: what they share is packed keys and values */
    ATTENTION_LEAST = 64,
    ATTENTION_TASKS = 16,       /* with fewer, tasks become smaller, of at least ATTENTION_LEAST */
    ATTENTION_KEYS = 64,        /* of a tile: turned keys stay in L1 */
    ATTENTION_BLOCK_QUERIES = 64,   /* backward: queries whose weights of a tile are kept */
    ATTENTION_ROW_KEYS = 256,   /* of a tile where there is one query */
    ATTENTION_SHARED = 4,       /* heads that read a group's keys and values together then */
    ATTENTION_PAD = 4,          /* rows that random words of a cell may stand out on either side */
};

/* derived: the grid of the forward pass.
 *  ATTENTION_MODE      ATTENTION_STRIPS: tasks are [B, H, blocks of queries];
 *                      ATTENTION_ROWS (one query a head): [B, G, blocks of heads]
 *  ATTENTION_BLOCKS    the size of the last axis of that grid
 *  ATTENTION_PER_TASK  queries of a block */
enum { ATTENTION_MODE, ATTENTION_BLOCKS, ATTENTION_PER_TASK };
enum { ATTENTION_STRIPS, ATTENTION_ROWS };

typedef struct Attention {
    const Operand *q, *k, *v;
    int64_t heads, groups, queries, keys, key_size, value_size;
    int64_t heads_per_group;
    int64_t axis;               /* of k's and v's positions, S: for indices of dropout */
    int64_t past, window;       /* window 0: none */
    bool causal;
    bool rounds;                /* operands of products may be rounded to bf16 */
    float scale, cap;
    uint64_t seed, site, drop_below;    /* a weight is dropped when its random word is below */
    float keep_scale;           /* 0: no dropout */
    DType stored;               /* of k and v */
    int64_t block, block_bytes; /* of that type */
} Attention;

/* Keys or values of one head, a row after another, as they are stored. */
typedef struct AttentionRows {
    const char *p;
    ptrdiff_t stride;           /* bytes */
} AttentionRows;

/* What a Call tells without its values; `q` is the operand that q is. */
static inline Attention attention_sizes(const Call *call, int32_t q)
{
    const Operand *o = call->operand;
    Attention a = {
        .q = &o[q], .k = &o[q + 1], .v = &o[q + 2],
        .heads = o[q].dim[1], .groups = o[q + 1].dim[1], .queries = o[q].dim[2],
        .keys = o[q + 1].dim[2], .key_size = o[q].dim[3], .value_size = o[q + 2].dim[3],
        .axis = o[q + 1].dim[2], .stored = o[q + 1].dtype,
        .block = dtype_block(o[q + 1].dtype),
        .block_bytes = (int64_t)dtype_block_bytes(o[q + 1].dtype), .causal = call->i[0] != 0, .window = call->i[1],
        .scale = (float)call->f[0], .cap = (float)call->f[1],
        .rounds = call->i[5] != 0,
    };
    a.heads_per_group = a.groups > 0 ? a.heads / a.groups : 0;
    return a;
}

/* All of it; `extra` is the first of the optional operands. */
static inline Attention attention_read(const Call *call, int32_t q, int32_t extra)
{
    const Operand *o = call->operand;
    Attention a = attention_sizes(call, q);
    if (call->i[2]) {
        a.past = *(const int32_t *)o[extra++].data;
        a.keys = max_i64(0, min_i64(a.keys, a.past + a.queries));
    }
    if (call->i[4] && call->f[2] > 0) {
        const uint32_t *seed = o[extra].data;
        a.seed = (uint64_t)seed[o[extra].stride[0]] << 32 | seed[0];
        a.site = (uint64_t)call->i[3];
        a.drop_below = (uint64_t)(call->f[2] * 0x1p32);
        a.keep_scale = (float)(1 / (1 - call->f[2]));
    }
    return a;
}

/* Query t sees the keys from attention_begin to attention_end; both grow with t. */
static inline int64_t attention_begin(const Attention *a, int64_t t)
{
    return a->causal && a->window > 0 ? max_i64(0, a->past + t - a->window + 1) : 0;
}

static inline int64_t attention_end(const Attention *a, int64_t t)
{
    return a->causal ? max_i64(0, min_i64(a->keys, a->past + t + 1)) : a->keys;
}

/* The rows [.., D] of one head. */
static inline float *attention_head(const Operand *o, int64_t b, int64_t head)
{
    return (float *)o->data + b * o->stride[0] + head * o->stride[1];
}

/* Those of k or v from `key` on.  Rows are whole blocks, so a block's elements divide every step. */
static inline AttentionRows attention_rows(const Attention *a, const Operand *o, int64_t b,
                                           int64_t head, int64_t key)
{
    int64_t at = b * o->stride[0] + head * o->stride[1] + key * o->stride[2];
    return (AttentionRows){ (const char *)o->data + at / a->block * a->block_bytes,
                            o->stride[2] / a->block * a->block_bytes };
}

/* The queries [t, end) of a forward task. */
typedef struct AttentionBlock { int64_t b, head, t, end; } AttentionBlock;

static inline AttentionBlock attention_block(const Attention *a, const Call *call, int64_t task)
{
    const int64_t blocks = call->derived[ATTENTION_BLOCKS], size = call->derived[ATTENTION_PER_TASK];
    const int64_t at = task % blocks, head = task / blocks;
    /* Early and late blocks in turn, since under a causal mask the late ones are the longer. */
    const int64_t t = (at % 2 == 0 ? at / 2 : blocks - 1 - at / 2) * size;
    return (AttentionBlock){ head / a->heads, head % a->heads, t, min_i64(t + size, a->queries) };
}

static inline int64_t attention_group(const Attention *a, int64_t head)
{
    return min_i64(head / max_i64(a->heads_per_group, 1), a->groups - 1);
}

#endif
