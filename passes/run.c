/* The pass driver. */
#include "passes/run.h"

#include "base/check.h"
#include "ir/verify.h"

#include <string.h>

const PassInfo pass_table[] = {
#define PASS(name, programs, level, what) { #name, programs, level, what, pass_##name },
#include "passes/passes.def"
};
const int n_passes = COUNT_OF(pass_table);

static _Thread_local const Graph *at_fault;

const Graph *passes_at_fault(void)
{
    return at_fault;
}

const PassInfo *pass_find(const char *name)
{
    for (int i = 0; i < n_passes; i++)
        if (strcmp(pass_table[i].name, name) == 0)
            return &pass_table[i];
    return NULL;
}

bool pass_run(const PassInfo *pass, Graph *g, const PassOptions *options, DiagSink *diags,
              Arena *scratch)
{
    PassContext cx = { .options = options, .scratch = scratch, .diags = diags };
    Error err;
    at_fault = g;
    bool ok = pass->run(g, &cx);
    arena_reset(scratch);
    if (ok) {
        bool legal = graph_verify(g, scratch, &err);
        CHECK(legal, "after pass %s: %s", pass->name, err.text);
        arena_reset(scratch);
    }
    at_fault = NULL;
    return ok;
}

bool passes_run(Graph *g, const PassOptions *options, DiagSink *diags, Arena *scratch,
                const PassObserver *observer)
{
    for (int i = 0; i < n_passes; i++) {
        const PassInfo *pass = &pass_table[i];
        if (!(pass->programs & 1u << options->program) || pass->level > options->level)
            continue;
        if (!pass_run(pass, g, options, diags, scratch))
            return false;
        if (observer)
            observer->after(observer->arg, pass, i, g);
    }
    return true;
}
