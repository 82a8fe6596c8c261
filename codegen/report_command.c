/* smc report: a compilation on one page, for a browser. */
#include "codegen/command.h"
#include "codegen/report.h"

#include "base/check.h"

#include <string.h>

typedef struct Reporting {
    Report *report;
    Summary summary;
} Reporting;

static int visit(void *arg, Compilation *c, const CompileOptions *options, const Graph *g)
{
    Reporting *r = arg;
    report_add(r->report, g, options->fusions, &c->scratch);
    summary_add(&r->summary, g, &c->scratch);
    return EXIT_DONE;
}

/* "gpt2.smg" -> "gpt2.html" */
static const char *page_path(Arena *a, const char *model)
{
    const char *slash = strrchr(model, '/');
    const char *name = slash ? slash + 1 : model;
    const char *dot = strrchr(name, '.');
    return arena_printf(a, "%.*s.html", (int)(dot ? (size_t)(dot - name) : strlen(name)), name);
}

static int write_report(Compilation *c, const char *model_path, const ArgList *defines,
                        CompileOptions *options, const char *profile, const char *out)
{
    Buf page = { 0 };
    Error err;
    const Graph *model = read_model(c, model_path, defines);
    if (!model)
        return report(c, false);
    Reporting r = { report_new(model, &c->sources, &c->arena), summary_begin(model, &c->arena) };
    options->observer = report_observer(r.report);
    int code = profile && !report_profile(r.report, profile, &err) ? fault("%s", err.text)
                                                                   : EXIT_DONE;
    if (code == EXIT_DONE)
        code = each_program(c, model, NULL, options, visit, &r);
    if (code == EXIT_DONE) {
        const char *command = arena_printf(&c->arena, "smc report %s", model_path);
        if (!report_print(&page, r.report, &r.summary, command))
            page.failed = true;
        code = deliver(&page, out ? out : page_path(&c->arena, model_path));
    }
    report_free(r.report);
    return code;
}

int command_report(Compilation *c, int argc, char **argv)
{
    CompileOptions v = { .level = 2 };
    ArgList defines = { 0 };
    const char *out = NULL, *profile = NULL, *fusion = NULL;
    const Arg options[] = {
        { "-o", "FILE", ARG_STRING, &out, "where to write (default: MODEL.html here; - for "
          "standard output)", 0, 0, NULL },
        { "-D", "NAME=VALUE", ARG_LIST, &defines, "replace the value of a config", 0, 0, NULL },
        { "--batch", "N", ARG_INT, &v.batch, "largest batch (default 1)", 1, 1e6, NULL },
        { "--seq", "N", ARG_INT, &v.sequence, "longest sequence (default: the model's bound)", 1,
          1e9, NULL },
        { "--chunk", "N", ARG_INT, &v.chunk, "most new positions at once in generation", 1, 1e6,
          NULL },
        { "--fusion", "LIST", ARG_STRING, &fusion, "fusions to switch, --fusion=-name,+name", 0, 0,
          NULL },
        { "--profile", "FILE", ARG_STRING, &profile, "lay what `smrun profile --json` measured over "
          "the graph", 0, 0, NULL },
    };
    Args a = { .usage = "smc report MODEL.smg [-o FILE.html] [-D NAME=VALUE]... [--profile FILE]",
               .about = "Everything about a compilation as one page for a browser, without network: "
                        "the graph\nand its fusion groups, what each pass changed, the tensor pool, "
                        "parameters, programs.\nEvery op leads back to its line.\n\n"
                        "  smc report gpt2.smg --batch 4 --seq 256 -o report.html\n"
                        "  smrun profile gpt2.smp --json > profile.json\n"
                        "  smc report gpt2.smg --batch 4 --seq 256 --profile profile.json",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    if (fusion && !fusion_parse(fusion, &v.fusions, &err))
        return fault("%s", err.text);
    return write_report(c, a.positional[0], &defines, &v, profile, out);
}
