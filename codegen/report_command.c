/* smc report: a compilation on one page, for a browser. */
#include "codegen/model_options.h"
#include "codegen/report.h"

#include "base/check.h"

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

static int write_report(Compilation *c, const char *path, const ModelOptions *of,
                        const char *profile, const char *out)
{
    CompileOptions options;
    Graph *model;
    Buf page = { 0 };
    Error err;
    int code = model_read(c, path, of, NULL, false, &options, &model);
    if (code != EXIT_DONE)
        return code;
    Reporting r = { report_new(model, &c->sources, &c->arena), summary_begin(model, &c->arena) };
    options.observer = report_observer(r.report);
    if (profile && !report_profile(r.report, profile, &err))
        code = fault("%s", err.text);
    if (code == EXIT_DONE)
        code = each_program(c, model, NULL, &options, visit, &r);
    if (code == EXIT_DONE) {
        const char *command = model_command(&c->arena, "report", path, of);
        if (!report_print(&page, r.report, &r.summary, command))
            page.failed = true;
        code = deliver(&page, out ? out : model_file(&c->arena, path, "html"));
    }
    report_free(r.report);
    return code;
}

int command_report(Compilation *c, int argc, char **argv)
{
    ModelOptions of = MODEL_OPTIONS_DEFAULT;
    const char *out = NULL, *profile = NULL;
    const Arg options[] = {
        { "-o", "FILE", ARG_STRING, &out, "where to write (default: MODEL.html here; - for "
          "standard output)", 0, 0, NULL },
        MODEL_ARGS(of),
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
    return write_report(c, a.positional[0], &of, profile, out);
}
