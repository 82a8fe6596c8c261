/* smc bisect: every program of a model, pass by pass and then instruction by instruction, against
 * what it must compute. */
#include "codegen/model_options.h"

#include "base/check.h"
#include "bisect/bisect.h"
#include "codegen/show.h"
#include "ir/text.h"
#include "passes/specialize.h"

#include <stdio.h>
#include <string.h>

static void say_who_stopped(void *arg)
{
    (void)arg;
    if (bisect_running())
        fprintf(stderr, "smc bisect: pass %s stops on a check of its own\n", bisect_running());
}

static int tell(Compilation *c, const Bisection *b, Program program, const char *out)
{
    Buf text = { 0 };
    const char *what = strcmp(b->pass, "plan") == 0 ? "the plan, after passes that are all right,"
                                                    : arena_printf(&c->arena, "pass %s", b->pass);
    printf("%s: %s is wrong\n  %s\n", program_name(program), what, b->fault);
    if (b->op != NO_NODE) {
        const Node *n = &b->graph->nodes[b->op];
        const char *line = show_line(&c->arena, b->graph, n);
        printf("  first op: %s%s%s%s%s\n", op_info(n->op)->name, *line ? "  " : "", line,
               n->path && *n->path ? "  " : "", n->path ? n->path : "");
    }
    graph_print(&text, b->graph);
    printf("  graph: %s, %u of %u nodes\n", out, b->graph->n_nodes, b->n_before);
    if (strcmp(b->pass, "plan") != 0)
        printf("  again: smc opt %s --program=%s --passes=%s\n", out, program_name(program), b->pass);
    const int code = deliver(&text, out);
    return code == EXIT_DONE ? EXIT_FAULT : code;
}

static int bisect_one(Compilation *c, const Graph *model, BisectOptions *options, Program program,
                      const char *out)
{
    Bisection b;
    const uint32_t n_before = c->diags.n;
    options->program = options->pass.program = program;
    if (!bisect_program(model, options, &c->arena, &c->diags, &b)) {
        if (program != PROGRAM_generate)
            return report(c, false);
        for (uint32_t i = n_before; i < c->diags.n; i++)
            c->diags.diags[i].warning = true;
        c->diags.n_errors = 0;
        printf("%s: not possible for this model\n", program_name(program));
        return report(c, false);
    }
    if (!b.agrees)
        return tell(c, &b, program, out);
    printf("%s: %u passes and the plan compute what they must\n", program_name(program), b.n_passes);
    fflush(stdout);
    return EXIT_DONE;
}

int command_bisect(Compilation *c, int argc, char **argv)
{
    ModelOptions of = MODEL_OPTIONS_DEFAULT;
    CompileOptions options;
    BisectOptions v = { .seed = 1 };
    Graph *model;
    const char *out = "wrong.smir", *program = NULL;
    int64_t seed = 1;
    Program only = PROGRAM_model;
    of.batch = 2;
    of.seq = of.chunk = 6;
    const Arg specs[] = {
        { "-o", "FILE", ARG_STRING, &out, "where the smallest graph goes (default: wrong.smir)", 0,
          0, NULL },
        { "--program", "P", ARG_STRING, &program, "only this one: score, eval, train, ...", 0, 0,
          NULL },
        MODEL_ARGS_OF(of, "2", "6", "6"),
        { "--seed", "N", ARG_INT, &seed, "of weights and inputs (default 1)", 0, 1e15, NULL },
        { "--cpu", "ISA", ARG_STRING, &v.cpu, "instruction set of the plan's run", 0, 0, NULL },
    };
    Args a = { .usage = "smc bisect MODEL.smg [-D NAME=VALUE]... [--program P] [-o GRAPH.smir]",
               .about = "Finds where a compilation goes wrong: evaluates every program in double "
                        "before and\nafter every pass, checks gradients by central differences, the "
                        "optimizer by its formulas,\nthe cached program by the whole sequence, and "
                        "runs the plan instruction by\ninstruction.  Names the first pass and op at "
                        "fault and writes the smallest graph found\nthat shows it.  Everything is "
                        "evaluated many times, so make the model small.\n\n"
                        "  smc bisect gpt2.smg -D depth=2 -D width=16 -D heads=2 -D vocab=11",
               .options = specs, .n = COUNT_OF(specs), .max_positional = 1 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    if (program && program_asked(program, &only) != EXIT_DONE)
        return EXIT_USAGE;
    if (of.weights.n || strcmp(of.cache, "f32") != 0 || strcmp(of.precision, "f32") != 0)
        return misuse("what is right is told in full precision; leave out --weights, --cache and "
                     "--precision");
    int code = model_read(c, a.positional[0], &of, program, false, &options, &model);
    if (code != EXIT_DONE)
        return code;
    v.pass = compile_pass_options(&options, only);
    v.seed = (uint64_t)seed;
    check_set_hook(say_who_stopped, NULL);
    for (Program p = PROGRAM_score; p < N_PROGRAMS && code == EXIT_DONE; p++)
        if (only == PROGRAM_model ? program_possible(model, p) : p == only)
            code = bisect_one(c, model, &v, p, out);
    return code;
}
