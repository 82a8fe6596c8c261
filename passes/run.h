/* Running passes: in the order of the table, with the verifier after each. */
#ifndef PASSES_RUN_H
#define PASSES_RUN_H

#include "passes/pass.h"

/* Called after every pass that ran, for dumps. */
typedef struct PassObserver {
    void (*after)(void *arg, const PassInfo *pass, int row, const Graph *g);
    void *arg;
} PassObserver;

/* All rows that apply to options->program.  False when the author's mistakes went to `diags`; a
 * graph that fails its verification is a bug of ours and stops the program (the graph at fault is
 * given to the check hook through `passes_at_fault`). */
bool passes_run(Graph *g, const PassOptions *options, DiagSink *diags, Arena *scratch,
                const PassObserver *observer);

/* One pass by name, or NULL. */
const PassInfo *pass_find(const char *name);
bool pass_run(const PassInfo *pass, Graph *g, const PassOptions *options, DiagSink *diags,
              Arena *scratch);

/* The graph that was being worked on, for the hook of a failed CHECK; NULL outside of passes. */
const Graph *passes_at_fault(void);

#endif
