/* The commands that look into a compilation: summary, expect, and the walk over programs. */
#include "codegen/command.h"

#include "codegen/fusion_text.h"
#include "passes/specialize.h"

#include "base/check.h"

/* A model for which generation cannot be proved is sound otherwise. */
static void demote_from(DiagSink *diags, uint32_t first)
{
    for (uint32_t i = first; i < diags->n; i++)
        diags->diags[i].warning = true;
    diags->n_errors = 0;
}

int each_program(Compilation *c, const Graph *model, const char *program,
                 const CompileOptions *options, ProgramVisit *visit, void *arg)
{
    Program only = PROGRAM_model;
    int code = EXIT_DONE;
    if (program && (!program_from_name(program, &only) || only == PROGRAM_model))
        return fault("no program is called %s; they are score, eval, train, accumulate, apply, "
                     "generate", program);
    if (program && !program_possible(model, only))
        return fault("%s has no program %s: it lacks a train block or an output", model->name,
                     program);
    for (Program p = PROGRAM_score; p < N_PROGRAMS && code == EXIT_DONE; p++) {
        if ((program && p != only) || !program_possible(model, p))
            continue;
        const uint32_t n_before = c->diags.n;
        const Graph *g = compile_program(model, p, options, &c->arena, &c->scratch, &c->diags);
        if (g)
            code = visit(arg, c, g);
        else if (p == PROGRAM_generate && !program)
            demote_from(&c->diags, n_before);
        else
            return report(c, false);
    }
    return code;
}

/* ---- --dump=fusion ---------------------------------------------------------------------------- */

static int visit_fusion(void *arg, Compilation *c, const Graph *g)
{
    Buf *out = arg;
    if (out->len)
        buf_puts(out, "\n\n");
    fusion_print(out, g, &c->arena, &c->scratch);
    return EXIT_DONE;
}

int dump_fusion(Compilation *c, const Graph *model, const char *program,
                const CompileOptions *options, const char *out)
{
    Buf text = { 0 };
    const int code = each_program(c, model, program, options, visit_fusion, &text);
    if (code == EXIT_DONE)
        return deliver(&text, out);
    buf_free(&text);
    return code;
}
