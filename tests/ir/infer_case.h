/* Shape rules as text: ops on inputs of given types, and the types that they give or the mistake that they are. */
#ifndef TESTS_IR_INFER_CASE_H
#define TESTS_IR_INFER_CASE_H

#include "ir/infer.h"

#define X3 "f32[B, T, 8]"
#define QKV "f32[B, 4, T, 8];f32[B, 2, T, 8];f32[B, 2, T, 6]"

typedef struct InferCase {
    const char *ops;                    /* names, all of which behave alike */
    const char *inputs;                 /* types, by semicolons */
    const char *attrs;                  /* "axis=1 start=2", numbers only */
    const char *shape;                  /* of reshape and broadcast */
    const char *want;                   /* types of the results, or a part of the message */
    const char *code;                   /* of the mistake; NULL: it is right */
} InferCase;

enum { MOST_INPUTS = 40 };

/* The case's op as a graph of its inputs and the spec of the node, which is not in it yet. */
Graph *infer_case_read(const InferCase *c, OpId op, Arena *arena, ValueId inputs[MOST_INPUTS], NodeSpec *spec);

/* Runs the case with each of its ops, which are marked in `seen`. */
void infer_case_run(const InferCase *c, bool *seen);

/* A row of the op table without a case fails here; sources of storage have their own test. */
void infer_case_all_seen(const bool *seen, const char *where);

#endif
