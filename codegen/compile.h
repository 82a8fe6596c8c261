/* The compiler as one function: a model's graph in, a plan's bytes out. */
#ifndef CODEGEN_COMPILE_H
#define CODEGEN_COMPILE_H

#include "base/buf.h"
#include "ir/graph.h"
#include "passes/run.h"

typedef struct CompileOptions {
    int level;                          /* 0 or 2 */
    int64_t batch, sequence, chunk;     /* largest sizes; 0: the defaults of `specialize` */
    int64_t memory_limit;               /* see passes/pass.h */
    DType precision;                    /* of products with weights: f32 or bf16 */
    DType cache;                        /* f32, bf16 or q8_0 */
    uint32_t programs;                  /* bit per Program; 0: all that the model supports */
    FusionSet fusions;
    const char *command;                /* kept in the plan, for messages; NULL: not known */
    PassObserver observer;              /* after NULL: nobody watches */
    const SearchWatch *watch;           /* see passes/pass.h */
} CompileOptions;

/* The same for the passes of one program. */
PassOptions compile_pass_options(const CompileOptions *options, Program program);

/* One program of the model, through every pass.  NULL when the author's mistakes went to `diags`. */
Graph *compile_program(const Graph *model, Program program, const CompileOptions *options,
                       Arena *arena, Arena *scratch, DiagSink *diags);

/* All programs that the options ask for, as one plan; those that train only where every weight is
 * stored as f32.  A model for which cached generation cannot be proved still gets its other programs;
 * the reason becomes a warning, unless `generate` was asked for by name.  False with diagnostics, or, `diags` without errors, when memory ran out. */
bool compile_plan(const Graph *model, const CompileOptions *options, Arena *arena, Arena *scratch,
                  DiagSink *diags, Buf *plan);

#endif
