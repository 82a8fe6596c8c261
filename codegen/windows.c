/* The commands that look into a compilation: summary, expect, and the walk over programs. */
#include "codegen/command.h"
#include "codegen/model_options.h"

#include "codegen/expect.h"
#include "codegen/fusion_text.h"
#include "codegen/summary.h"
#include "passes/specialize.h"

#include "base/check.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

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
    if (program && program_asked(program, &only) != EXIT_DONE)
        return EXIT_USAGE;
    for (Program p = PROGRAM_score; p < N_PROGRAMS && code == EXIT_DONE; p++) {
        if (program ? p != only : !program_possible(model, p))
            continue;
        const uint32_t n_before = c->diags.n;
        const Graph *g = compile_program(model, p, options, &c->arena, &c->scratch, &c->diags);
        if (g)
            code = visit(arg, c, options, g);
        else if (p == PROGRAM_generate && !program)
            demote_from(&c->diags, n_before);
        else
            return report(c, false);
    }
    return code == EXIT_DONE ? report(c, false) : code;
}

/* ---- --dump=fusion ---------------------------------------------------------------------------- */

static int visit_fusion(void *arg, Compilation *c, const CompileOptions *options, const Graph *g)
{
    Buf *out = arg;
    if (out->len)
        buf_puts(out, "\n\n");
    fusion_print(out, g, options->fusions, &c->arena, &c->scratch);
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

/* ---- expect ----------------------------------------------------------------------------------- */

enum { MAX_EXPECTATIONS = 256, MAX_EXPECT_TEXT = 1 << 20 };

typedef struct Expected {
    const char *text;
    Expectation e;
    uint32_t n_held;                    /* programs */
    const char *why[N_PROGRAMS];        /* those where it does not hold */
} Expected;

typedef struct Expecting {
    Expected all[MAX_EXPECTATIONS];
    uint32_t n;
} Expecting;

static bool expect_add(Expecting *x, Compilation *c, const char *text)
{
    Error err;
    if (x->n == MAX_EXPECTATIONS) {
        fault("more than %d expectations", MAX_EXPECTATIONS);
        return false;
    }
    x->all[x->n].text = text;
    if (!expectation_parse(text, &c->arena, &x->all[x->n].e, &err)) {
        fault("%s: %s", text, err.text);
        return false;
    }
    x->n++;
    return true;
}

/* One a line; `#` begins a comment. */
static bool expect_add_file(Expecting *x, Compilation *c, const char *path)
{
    Buf text = { 0 };
    Error err;
    if (!file_read(path, MAX_EXPECT_TEXT, &text, &err)) {
        fault("%s", err.text);
        return false;
    }
    bool ok = true;
    char *copy = arena_strndup(&c->arena, text.data ? text.data : "", text.len);
    for (char *line = strtok(copy, "\n"); line && ok; line = strtok(NULL, "\n")) {
        line[strcspn(line, "#\r")] = '\0';
        line += strspn(line, " \t");
        for (size_t n = strlen(line); n > 0 && strchr(" \t", line[n - 1]); n--)
            line[n - 1] = '\0';
        ok = *line == '\0' || expect_add(x, c, line);
    }
    buf_free(&text);
    return ok;
}

static int visit_expect(void *arg, Compilation *c, const CompileOptions *options, const Graph *g)
{
    Expecting *x = arg;
    for (uint32_t i = 0; i < x->n; i++) {
        const char *why = "";
        const ExpectResult r = expectation_check(&x->all[i].e, g, options->fusions,
                                                 &c->arena, &c->scratch, &why);
        x->all[i].n_held += r == EXPECT_HOLDS;
        if (r == EXPECT_FAILS)
            x->all[i].why[g->program] = why;
    }
    return EXIT_DONE;
}

/* Each reason once, after the programs that it is about.  False when there is none. */
static bool print_reasons(Buf *out, const Expected *e)
{
    bool any = false;
    for (Program p = 0; p < N_PROGRAMS; p++) {
        bool told = !e->why[p];
        for (Program q = 0; q < p && !told; q++)
            told = e->why[q] && strcmp(e->why[q], e->why[p]) == 0;
        if (told)
            continue;
        buf_printf(out, "       %s", program_name(p));
        for (Program q = p + 1; q < N_PROGRAMS; q++)
            if (e->why[q] && strcmp(e->why[q], e->why[p]) == 0)
                buf_printf(out, ", %s", program_name(q));
        buf_printf(out, ": %s\n", e->why[p]);
        any = true;
    }
    return any;
}

static int expect_report(const Expecting *x)
{
    Buf out = { 0 };
    bool all_hold = true;
    for (uint32_t i = 0; i < x->n; i++) {
        const Expected *e = &x->all[i];
        Buf reasons = { 0 };
        const bool fails = print_reasons(&reasons, e);
        if (!fails && e->n_held == 0)
            buf_printf(&reasons, "       nothing matches `%s` in any program that it is about\n",
                       e->e.n_selectors ? e->e.selectors[0].text : e->text);
        all_hold = all_hold && reasons.len == 0;
        buf_printf(&out, "%s  %s\n%s", reasons.len ? "fails" : "holds", e->text,
                   reasons.len ? reasons.data : "");
        buf_free(&reasons);
    }
    const int code = deliver(&out, NULL);
    return code != EXIT_DONE ? code : all_hold ? EXIT_DONE : EXIT_FAULT;
}

int command_expect(Compilation *c, int argc, char **argv)
{
    ModelOptions of = MODEL_OPTIONS_DEFAULT;
    CompileOptions v;
    Graph *model;
    const char *file = NULL;
    const Arg options[] = {
        MODEL_ARGS(of),
        { "--file", "FILE", ARG_STRING, &file, "more expectations, one a line, `#` for comments",
          0, 0, NULL },
    };
    Args a = { .usage = "smc expect MODEL.smg [EXPECTATION]... [--file FILE] [options]",
               .about = "Exit 1 when the compiler does not do to a model what is expected of it, "
                        "and the\nreason.  An expectation is one of\n\n"
                        "  fused(SELECTOR, SELECTOR...)  all that the first finds have one of each "
                        "other\n                                in their group\n"
                        "  has(SELECTOR...)              each finds something\n"
                        "  MEASURE <= N, MEASURE >= N    pool, bound, traffic (bytes; 700M, 2G), "
                        "barriers,\n                                instructions, groups\n\n"
                        "with `not` in front of it or not, and `train:` or another program in "
                        "front of that.\nA selector is OP, OP@BLOCK, @BLOCK, and any of them with "
                        ":LINE; in blocks `*`\nstands for any run of characters within one part "
                        "of the path.\n\n"
                        "  smc expect gpt2.smg 'fused(gelu_tanh, add @ h.*.mlp.c_fc)'\n"
                        "  smc expect gpt2.smg --batch 4 'train: pool <= 4G' "
                        "'generate: barriers <= 130'",
               .options = options, .n = COUNT_OF(options),
               .max_positional = COUNT_OF(a.positional) };
    static Expecting x;
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional < 1 || (a.n_positional < 2 && !file))
        return usage_or_help(&a, parsed, &err);
    bool ok = !file || expect_add_file(&x, c, file);
    for (uint32_t i = 1; i < a.n_positional && ok; i++)
        ok = expect_add(&x, c, a.positional[i]);
    if (!ok)
        return EXIT_USAGE;
    int code = model_read(c, a.positional[0], &of, NULL, false, &v, &model);
    if (code != EXIT_DONE)
        return code;
    code = each_program(c, model, NULL, &v, visit_expect, &x);
    return code == EXIT_DONE ? expect_report(&x) : code;
}

/* ---- summary ---------------------------------------------------------------------------------- */

static int visit_summary(void *arg, Compilation *c, const CompileOptions *options, const Graph *g)
{
    (void)options;
    summary_add(arg, g, &c->scratch);
    return EXIT_DONE;
}

int command_summary(Compilation *c, int argc, char **argv)
{
    ModelOptions of = MODEL_OPTIONS_DEFAULT;
    CompileOptions v;
    Graph *model;
    bool json = false;
    const Arg options[] = {
        MODEL_ARGS(of),
        { "--json", NULL, ARG_FLAG, &json, "as one JSON object", 0, 0, NULL },
    };
    Args a = { .usage = "smc summary MODEL.smg [-D NAME=VALUE]... [--batch N] [--seq N] [--json]",
               .about = "Counts what a model is made of, block by block (parameters, operations, "
                        "activations,\ncache), and what each of its programs needs (pool, its lower "
                        "bound, memory traffic,\ninstructions, barriers).\n\n"
                        "  smc summary gpt2.smg --batch 4 --seq 1024",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Error err;
    Buf out = { 0 };
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    int code = model_read(c, a.positional[0], &of, NULL, false, &v, &model);
    if (code != EXIT_DONE)
        return code;
    Summary s = summary_begin(model, &c->arena);
    code = each_program(c, model, NULL, &v, visit_summary, &s);
    if (code != EXIT_DONE)
        return code;
    if (json)
        summary_json(&out, &s);
    else
        summary_print(&out, &s);
    return deliver(&out, NULL);
}
