/* `smc compile --dump=DIR` and `--after=PASS`: the graphs between the passes, as text. */
#ifndef CODEGEN_DUMP_H
#define CODEGEN_DUMP_H

#include "base/buf.h"
#include "base/status.h"
#include "passes/run.h"

/* Owns its buffers: dump_end. */
typedef struct Dump {
    const char *dir;                    /* exists; NULL: write nothing */
    const char *after;                  /* keep the text after the last run of this pass, or NULL */
    Arena *arena;
    Buf kept;
    Buf model;                          /* what every program begins as */
    Buf last;                           /* the text before the pass that runs now */
    Program program;                    /* whose text that is */
    char last_name[128];
    bool failed;                        /* a file could not be written; err says why */
    Error err;
} Dump;

/* `model` is what the first pass of every program changes; it is written as model.smir. */
void dump_begin(Dump *d, const Graph *model);
/* A PassObserver.  Writes PROGRAM.ROW.PASS.smir for a pass that changed the graph, and the change
 * from the text before it as PROGRAM.ROW.PASS.diff. */
void dump_after(void *arg, const PassInfo *pass, int row, const Graph *g);
void dump_end(Dump *d);

#endif
