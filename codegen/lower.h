/* From a planned graph to the instructions of one program.
 *
 * Needs a graph that every pass has seen: places, groups and the pool are there.  What the lowering
 * relies on, and the passes give:
 *   - a value that a kernel, another group or an output reads has a place; only `constant` and
 *     `extent` nodes, and views of them, have none: they become constants of row programs
 *   - a group holds matmuls alone, alike but for their weights, or
 *   - its nodes share a row space: every member's shape is the space [.., n], or [.., 1] for what
 *     there is once per row; such groups hold CLASS_MAP nodes, reductions over the last axis, and
 *     assign
 *   - operands with `rows` in kernel.h have last stride 1
 *   - a value that shares its buffer with an input it replaces is written after the last read */
#ifndef CODEGEN_LOWER_H
#define CODEGEN_LOWER_H

#include "codegen/plan_builder.h"
#include "ir/graph.h"

/* Adds the graph's storages, instructions and outputs as one program. */
void lower_program(PlanBuilder *b, const Graph *g);

/* ---- between the files of this room ---- */

typedef struct Lower {
    PlanBuilder *plan;
    const Graph *g;
    uint32_t *storage_of;               /* storage of the graph -> storage of the plan */
    uint32_t program;                   /* bit of its kind */
    const int64_t *max;                 /* largest size of each symbol */
} Lower;

/* Where operand i of an instruction under construction stands. */
PlanDim plan_dim_of(Dim d);
PlanOperand lower_operand(const Lower *l, ValueId v);
/* Opens an instruction labelled after `n`; lower_add_operand appends to it. */
PlanInstr *lower_begin(Lower *l, const char *kernel, const Node *n);
void lower_add_operand(Lower *l, PlanOperand o);
/* The same for alpha A B: the family that reads B as it is stored.  Of blocks, B stays [N, K]. */
PlanInstr *lower_begin_product(Lower *l, const Node *n, DType b, double alpha, DType precision);

/* The last two axes of a matrix, the other way round. */
void lower_swap_last_axes(PlanOperand *o);

/* Nodes [first, last) as one row program. */
void lower_rows(Lower *l, NodeId first, NodeId last);

typedef void LowerFn(Lower *l, NodeId n);
LowerFn lower_linear_cross_entropy;

/* Marks where threads must meet; returns how many marks. */
uint32_t mark_barriers(PlanBuilder *b, const PlanProgram *program);

#endif
