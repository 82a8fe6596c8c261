/* `smc summary`: what a model is made of and what its programs need, in numbers.
 *
 *     Summary s = summary_begin(model, arena);
 *     summary_add(&s, g, scratch);            // every program, after every pass
 *     summary_print(out, &s); or summary_json(out, &s);
 *
 * All numbers are at the largest sizes of the programs. */
#ifndef CODEGEN_SUMMARY_H
#define CODEGEN_SUMMARY_H

#include "base/buf.h"
#include "ir/graph.h"

/* Of a block instance with those inside of it. */
typedef struct BlockSum {
    int64_t parameters;
    double flops;                       /* of one forward pass */
    int64_t activations;                /* bytes that training keeps for the backward pass */
    int64_t cache;                      /* bytes that generation keeps for each token */
} BlockSum;

typedef struct Block {
    const char *name;                   /* "h.3": a number goes with the part before it */
    const char *path;
    BlockSum sum;
    uint32_t child, sibling;            /* indices; 0: none.  In order of first appearance */
} Block;

/* Of what is alive when most is; see passes/peak.h. */
typedef struct PeakLine {
    int64_t bytes;
    uint32_t tensors;
    const char *op, *type, *line, *path;
} PeakLine;
enum { N_PEAK_LINES = 10 };

typedef struct ProgramSum {
    Program program;
    double flops;
    int64_t pool, bound;                /* bytes: the peak, and the most live at once */
    int64_t plain;                      /* bytes when no two tensors share any */
    int64_t traffic;                    /* bytes read and written */
    uint32_t instructions, barriers;
    const char *peak_line, *peak_path, *peak_op;    /* where in the program the peak is */
    PeakLine peak[N_PEAK_LINES];        /* the most bytes first */
    uint32_t n_peak;
} ProgramSum;

typedef struct Summary {
    Arena *arena;
    const Graph *model;
    Block *blocks;                      /* [0] is the model */
    uint32_t n_blocks, cap_blocks;
    ProgramSum programs[N_PROGRAMS];
    uint32_t n_programs;
    int64_t parameter_bytes, optimizer_bytes, cache_bytes;
    int64_t sizes[MAX_SYMBOLS];
    uint32_t n_symbols;
    const char *symbols[MAX_SYMBOLS];
} Summary;

Summary summary_begin(const Graph *model, Arena *arena);
void summary_add(Summary *s, const Graph *g, Arena *scratch);

/* Tables.  Neighbours that differ in nothing but their number are one line. */
void summary_print(Buf *out, const Summary *s);
/* One object: model, sizes, blocks (every instance, with its path), programs, memory. */
void summary_json(Buf *out, const Summary *s);

#endif
