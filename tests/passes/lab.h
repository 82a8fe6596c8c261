/* Graphs with values: built by hand or from .smg text, filled with repeatable numbers, evaluated in
 * double, their gradients held against central differences. */
#ifndef TESTS_PASSES_LAB_H
#define TESTS_PASSES_LAB_H

#include "ir/build.h"
#include "ir/eval.h"
#include "passes/fusion_report.h"
#include "passes/run.h"

typedef struct Range {
    const char *name;                   /* of a storage */
    double low, high;
} Range;

typedef struct Lab {
    Arena arena, scratch;
    DiagSink diags;
    Graph *g;
    Builder b;
    int64_t sizes[MAX_SYMBOLS];         /* that graphs are evaluated at */
    Range ranges[32];
    int n_ranges;
} Lab;

/* An empty graph of program model. */
void lab_begin(Lab *l);
/* The graph of a model; fails the test with its diagnostics when there are any errors. */
void lab_model(Lab *l, const char *path, const char *const *defines, uint32_t n_defines);
void lab_text(Lab *l, const char *text);
/* A graph as text, which must be a legal one; it does not become g. */
Graph *lab_graph(Lab *l, const char *text);
void lab_end(Lab *l);

/* A storage of g with values in [low, high) (whole ones for i32), and its source. */
ValueId lab_tensor(Lab *l, StorageClass class, const char *name, DType dtype, double low,
                   double high, const Shape *shape);

/* Runs passes by name ("specialize decompose") on a copy of g and verifies what comes out. */
Graph *lab_passes(Lab *l, Program program, const char *names);
/* The same; false when a pass reported the author's mistakes. */
bool lab_try_passes(Lab *l, Program program, const char *names, Graph **out);

/* Runs the pass on g itself, with the fusions that are on by default. */
void lab_fuse(Lab *l, Graph *g);

/* Storages filled: a storage's numbers depend on its name alone, so they are the same in every
 * program of a model.  State is zero. */
Eval lab_values(const Lab *l, const Graph *g, Arena *arena);

/* Gradients of output `loss`, as autodiff derives them, against central differences at no more than
 * `most` elements of each parameter.  The error is relative to the parameter's largest gradient. */
void lab_check_gradients(Lab *l, const Graph *forward, unsigned most, double tolerance,
                         const char *what);

/* Every edge was fused or has a reason why not: none is left that a pass could still take. */
void lab_check_reasons(const FusionReport *r);

/* Fails unless |a - b| <= tolerance * largest |b|, elementwise, infinities and NaN equal. */
void lab_compare(const Tensor *a, const Tensor *b, double tolerance, const char *what);

#endif
