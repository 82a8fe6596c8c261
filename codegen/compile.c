/* Program by program: specialise and lower a copy of the model, add it to the plan. */
#include "codegen/compile.h"

#include "codegen/lower.h"
#include "passes/specialize.h"

PassOptions compile_pass_options(const CompileOptions *options, Program program)
{
    return (PassOptions){ .level = options->level, .batch = options->batch,
                          .sequence = options->sequence, .chunk = options->chunk,
                          .memory_limit = options->memory_limit,
                          .precision = options->precision, .cache = options->cache,
                          .program = program, .fusions = options->fusions,
                          .watch = options->watch };
}

Graph *compile_program(const Graph *model, Program program, const CompileOptions *options,
                       Arena *arena, Arena *scratch, DiagSink *diags)
{
    const PassOptions pass = compile_pass_options(options, program);
    Graph *g = graph_clone(model, arena);
    const PassObserver *observer = options->observer.after ? &options->observer : NULL;
    return passes_run(g, &pass, diags, scratch, observer) ? g : NULL;
}

/* That generation cannot be proved becomes a warning, where that is all that was said since `from`: the
 * rest of the model is sound. */
static bool demote(DiagSink *diags, uint32_t from)
{
    for (uint32_t i = from; i < diags->n; i++)
        if (!diags->diags[i].warning && diags->diags[i].code != DIAG_E0401)
            return false;
    for (uint32_t i = from; i < diags->n; i++)
        diags->diags[i].warning = true;
    diags->n_errors = 0;
    return true;
}

/* Training changes its weights, which are f32 then. */
static bool stores_weights(const Graph *model)
{
    for (StorageId s = 0; s < model->n_storages; s++)
        if (model->storages[s].stored != DTYPE_f32)
            return true;
    return false;
}

bool compile_plan(const Graph *model, const CompileOptions *options, Arena *arena, Arena *scratch,
                  DiagSink *diags, Buf *plan)
{
    PlanBuilder b;
    Arena graphs;                       /* a program's graph is gone once it is lowered */
    bool ok = true;
    arena_init(&graphs, arena->on_out_of_memory);
    plan_builder_init(&b, arena, model->name);
    b.command = options->command;
    b.configs = model->configs;
    for (Program p = PROGRAM_score; p < N_PROGRAMS && ok; p++) {
        const bool asked = options->programs >> p & 1;
        if ((options->programs && !asked) || !program_possible(model, p)
            || (FOR_TRAINING >> p & 1 && stores_weights(model)))
            continue;
        const uint32_t n_before = diags->n;
        Graph *g = compile_program(model, p, options, &graphs, scratch, diags);
        if (g) {
            b.context = g->context;
            lower_program(&b, g);
        } else {
            ok = p == PROGRAM_generate && !asked && demote(diags, n_before);
        }
        arena_reset(&graphs);
    }
    arena_free(&graphs);
    ok = ok && plan_builder_write(&b, plan);
    plan_builder_free(&b);
    return ok;
}
