/* smc: the compiler on one page.
 *
 * Every command is a row of `commands`; each opens a compilation, runs what it names, and says what
 * went wrong on standard error.  Exit codes: 0 done, 1 mistakes in the model or a fault of the world,
 * 2 a command line that makes no sense. */
#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "codegen/command.h"
#include "codegen/dot.h"
#include "codegen/dump.h"
#include "codegen/model_options.h"
#include "frontend/carets.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/weight_types.h"
#include "runtime/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_GRAPH_TEXT = 1 << 30 };

static void say(const char *fmt, va_list ap)
{
    fputs("smc: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int fault(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_FAULT;
}

int misuse(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

/* ---- what a failed CHECK leaves behind -------------------------------------------------------- */

static void save_graph_at_fault(void *arg)
{
    (void)arg;
    const Graph *g = passes_at_fault();
    Buf text = { 0 };
    Error err;
    if (!g)
        return;
    graph_print(&text, g);
    if (!text.failed && file_replace("crash.smir", text.data, text.len, &err))
        fputs("smc: the graph is in crash.smir; please report it with the command line\n", stderr);
    buf_free(&text);
}

/* ---- a compilation ---------------------------------------------------------------------------- */

static void compilation_begin(Compilation *c)
{
    arena_init(&c->arena, &c->out_of_memory);
    arena_init(&c->scratch, &c->out_of_memory);
    diag_init(&c->diags, &c->arena);
    c->sources = (Sources){ 0 };
    c->watch = (SearchWatch){ search_tell, c };
    progress_begin(&c->progress, stderr);
}

static void compilation_end(Compilation *c)
{
    progress_clear(&c->progress);
    arena_free(&c->scratch);
    arena_free(&c->arena);
}

static bool wants_colour(void)
{
    return isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

/* Shows what was collected; the exit code that it amounts to. */
int report(Compilation *c, bool json)
{
    Buf out = { 0 };
    progress_clear(&c->progress);
    diag_sort(&c->diags);
    if (json)
        carets_json(&out, &c->diags);
    else
        carets_print(&out, &c->diags, &c->sources, wants_colour());
    if (out.len)
        fwrite(out.data, 1, out.len, json ? stdout : stderr);
    buf_free(&out);
    return c->diags.n_errors ? EXIT_FAULT : EXIT_DONE;
}

/* To a file, or to standard output. */
int deliver(Buf *out, const char *path)
{
    Error err;
    int code = EXIT_DONE;
    if (out->failed)
        code = fault("out of memory");
    else if (path && strcmp(path, "-") != 0)
        code = file_replace(path, out->data, out->len, &err) ? EXIT_DONE : fault("%s", err.text);
    else if (fwrite(out->data, 1, out->len, stdout) != out->len || fflush(stdout) != 0)
        code = fault("standard output: %s", strerror(errno));
    buf_free(out);
    return code;
}

/* Where `use` finds the library's blocks: in the source tree, if nobody says otherwise. */
static const char *library_dir(void)
{
    const char *set = getenv("SMALLMIND_LIB");
    return set ? set : SMALLMIND_LIBRARY_DIR;
}

Graph *read_model(Compilation *c, const char *path, const ArgList *defines)
{
    const FrontendOptions options = { .defines = defines ? defines->item : NULL,
                                      .n_defines = defines ? defines->n : 0,
                                      .library_dir = library_dir(), .sources = &c->sources };
    return frontend_read(path, &options, &c->arena, &c->diags);
}

/* ---- compile ---------------------------------------------------------------------------------- */

typedef struct CompileArgs {
    ModelOptions of;
    const char *out, *emit, *after, *dump, *program;
    bool json;
} CompileArgs;

static int emit_graph(Compilation *c, const Graph *model, const CompileArgs *a,
                      CompileOptions *options, Dump *dump)
{
    Buf out = { 0 };
    Program p = PROGRAM_model;
    void (*const print)(Buf *, const Graph *) = strcmp(a->emit, "dot") == 0 ? dot_print : graph_print;
    const bool whole = !a->program || strcmp(a->program, program_name(PROGRAM_model)) == 0;
    if (!whole && program_asked(a->program, &p) != EXIT_DONE)
        return EXIT_USAGE;
    if (whole) {
        print(&out, model);
        return deliver(&out, a->out);
    }
    const Graph *g = compile_program(model, p, options, &c->arena, &c->scratch, &c->diags);
    if (!g)
        return report(c, a->json);
    if (!a->after)
        print(&out, g);
    else if (dump->kept.len == 0)
        return fault("pass %s did not run for program %s", a->after, a->program);
    else
        buf_add(&out, dump->kept.data, dump->kept.len);
    return deliver(&out, a->out);
}

static int emit_plan(Compilation *c, const Graph *model, const CompileArgs *a,
                     const CompileOptions *options, const char *path)
{
    Buf bytes = { 0 }, text = { 0 };
    Plan plan;
    Error err;
    const bool done = compile_plan(model, options, &c->arena, &c->scratch, &c->diags, &bytes);
    const int code = report(c, a->json);
    if (!done || code != EXIT_DONE) {
        buf_free(&bytes);
        return code != EXIT_DONE ? code : fault("out of memory");
    }
    const bool sound = plan_view(bytes.data, bytes.len, &plan, &err);
    CHECK(sound, "the plan does not pass its own check: %s", err.text);
    if (a->emit && strcmp(a->emit, "plan") == 0) {
        plan_print(&text, &plan);
        plan_close(&plan);
        buf_free(&bytes);
        return deliver(&text, a->out);
    }
    plan_close(&plan);
    return deliver(&bytes, path);
}

static int emit_ast(Compilation *c, const char *path, const CompileArgs *a)
{
    Buf text = { 0 }, out = { 0 };
    Error err;
    if (!file_read(path, MAX_GRAPH_TEXT, &text, &err))
        return fault("%s", err.text);
    const bool ok = frontend_dump_ast(path, text.data ? text.data : "", text.len, &out, &c->arena,
                                      &c->diags);
    buf_free(&text);
    const int code = deliver(&out, a->out);
    return ok ? code : report(c, a->json);
}

/* A folder of a name that is nearly `fusion` was hardly meant; ./NAME is one. */
static bool dump_is_typo(const char *dump)
{
    Nearest near = nearest_of(dump);
    nearest_try(&near, "fusion");
    return near.found && near.distance > 0 && !strchr(dump, '/') && !file_exists(dump);
}

static int compile(Compilation *c, const char *path, const CompileArgs *a)
{
    const bool fusion = a->dump && strcmp(a->dump, "fusion") == 0;
    Dump dump = { .dir = fusion ? NULL : a->dump, .after = a->after, .arena = &c->arena };
    CompileOptions options;
    Graph *model;
    Error err;
    if (a->after && !pass_asked(a->after))
        return EXIT_USAGE;
    if (dump.dir && dump_is_typo(dump.dir))
        return misuse("--dump=%s; did you mean fusion? A folder of that name is ./%s", dump.dir, dump.dir);
    if (dump.dir && !file_make_dirs(dump.dir, &err))
        return fault("%s", err.text);
    if (a->emit && strcmp(a->emit, "ast") == 0)
        return emit_ast(c, path, a);
    int code = model_read(c, path, &a->of, a->program, a->json, &options, &model);
    if (code != EXIT_DONE)
        return code;
    if (dump.dir || a->after)
        options.observer = (PassObserver){ dump_after, &dump };
    if (fusion)
        return dump_fusion(c, model, a->program, &options, a->out);
    options.command = model_command(&c->arena, "compile", path, &a->of);
    if (dump.dir || a->after)
        dump_begin(&dump, model);
    const bool graph = a->emit && (strcmp(a->emit, "graph") == 0 || strcmp(a->emit, "dot") == 0);
    code = graph ? emit_graph(c, model, a, &options, &dump)
        : emit_plan(c, model, a, &options,
                    a->out ? a->out : model_file(&c->arena, path, "smp"));
    dump_end(&dump);
    return dump.failed ? fault("%s", dump.err.text) : code;
}

/* ---- the commands ----------------------------------------------------------------------------- */

int usage_or_help(Args *a, bool parsed, const Error *err)
{
    Buf out = { 0 };
    if (parsed && a->help) {
        args_help(&out, a);
        return deliver(&out, NULL);
    }
    if (!parsed)
        fprintf(stderr, "smc: %s\n", err->text);
    else
        fprintf(stderr, "usage: %s\n", a->usage);
    return EXIT_USAGE;
}

static int command_compile(Compilation *c, int argc, char **argv)
{
    CompileArgs v = { .of = MODEL_OPTIONS_DEFAULT };
    const Arg options[] = {
        { "-o", "FILE", ARG_STRING, &v.out, "where to write (default: MODEL.smp here)", 0, 0, NULL },
        MODEL_ARGS(v.of),
        { "--emit", "WHAT", ARG_CHOICE, &v.emit, "print ast, graph or plan as text instead, or the "
          "graph for Graphviz", 0, 0, "ast|graph|dot|plan" },
        { "--program", "P", ARG_STRING, &v.program, "with --emit=graph, --emit=dot, --dump=fusion: "
          "score, eval, train, ...", 0, 0, NULL },
        { "--after", "PASS", ARG_STRING, &v.after, "with --emit=graph: as it is after this pass",
          0, 0, NULL },
        { "--dump", "DIR", ARG_STRING, &v.dump, "write the graph after every pass that changed it, "
          "and the change; `fusion`: print what was fused, what was not and why, instead", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &v.json, "diagnostics as JSON on standard output", 0, 0, NULL },
    };
    Args a = { .usage = "smc compile MODEL.smg [-o PLAN.smp] [-D NAME=VALUE]... [options]",
               .about = "Compiles a model into a plan: its gradients, optimizer step, fused groups,\n"
                        "memory layout and cached generation.\n\n"
                        "  smc compile gpt2.smg -D depth=2 --batch 8 --seq 256\n"
                        "  smc compile gpt2.smg --emit=graph --program=train --after=fuse",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    return compile(c, a.positional[0], &v);
}

static int command_check(Compilation *c, int argc, char **argv)
{
    ArgList defines = { 0 };
    bool json = false;
    const Arg options[] = {
        { "-D", "NAME=VALUE", ARG_LIST, &defines, "replace the value of a config", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &json, "diagnostics as JSON on standard output", 0, 0, NULL },
    };
    Args a = { .usage = "smc check MODEL.smg [-D NAME=VALUE]... [--json]",
               .about = "Reports every mistake in a model; writes nothing.",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    read_model(c, a.positional[0], &defines);
    return report(c, json);
}

static int format_file(Compilation *c, const char *path, bool check, bool print)
{
    Buf text = { 0 }, out = { 0 };
    Error err;
    int code = EXIT_DONE;
    if (!file_read(path, MAX_GRAPH_TEXT, &text, &err))
        return fault("%s", err.text);
    const char *bytes = text.data ? text.data : "";
    if (!frontend_format(path, bytes, text.len, &out, &c->arena, &c->diags)) {
        Sources *s = &c->sources;
        const SourceText source = { path, arena_strndup(&c->arena, bytes, text.len), text.len };
        ARENA_PUSH(&c->arena, s->texts, s->n, s->cap, source);
        code = report(c, false);
    } else if (print) {
        fwrite(out.data, 1, out.len, stdout);
    } else if (out.len != text.len || memcmp(out.data, bytes, out.len) != 0) {
        code = check ? fault("%s is not formatted; smc fmt %s mends it", path, path)
            : file_replace(path, out.data, out.len, &err) ? EXIT_DONE : fault("%s", err.text);
    }
    buf_free(&text);
    buf_free(&out);
    return code;
}

static int command_fmt(Compilation *c, int argc, char **argv)
{
    bool check = false, print = false;
    const Arg options[] = {
        { "--check", NULL, ARG_FLAG, &check, "change nothing; exit 1 when a file would change", 0,
          0, NULL },
        { "--stdout", NULL, ARG_FLAG, &print, "print instead of rewriting the file", 0, 0, NULL },
    };
    Args a = { .usage = "smc fmt MODEL.smg... [--check | --stdout]",
               .about = "Rewrites models in the one canonical layout.  Comments stay.",
               .options = options, .n = COUNT_OF(options), .max_positional = 16 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional == 0)
        return usage_or_help(&a, parsed, &err);
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < a.n_positional; i++) {
        const int one = format_file(c, a.positional[i], check, print);
        code = one > code ? one : code;
    }
    return code;
}

static int command_explain(Compilation *c, int argc, char **argv)
{
    Args a = { .usage = "smc explain CODE", .about = "Explains an error code, such as E0210.",
               .max_positional = 1 };
    Error err;
    DiagCode code;
    (void)c;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    if (!diag_code_from_name(a.positional[0], &code))
        return fault("no error has the code %s; codes look like E0210", a.positional[0]);
    Buf out = { 0 };
    buf_printf(&out, "%s: %s\n\n%s\n", diag_code_name(code), diag_code_title(code), diag_code_text(code));
    return deliver(&out, NULL);
}

/* Runs the passes of a comma-separated list. */
static int opt_passes(Compilation *c, Graph *g, char *list, const PassOptions *options)
{
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        const PassInfo *pass = pass_asked(name);
        if (!pass)
            return EXIT_USAGE;
        if (!pass_run(pass, g, options, &c->diags, &c->scratch))
            return report(c, false);
    }
    return EXIT_DONE;
}

static int command_opt(Compilation *c, int argc, char **argv)
{
    const char *passes = "", *out = NULL, *program = NULL, *fusion = NULL;
    PassOptions options = { .level = 2 };
    const Arg specs[] = {
        { "--passes", "A,B", ARG_STRING, &passes, "passes to run, in this order", 0, 0, NULL },
        { "--program", "P", ARG_STRING, &program, "what `specialize` makes of a model", 0, 0, NULL },
        { "--batch", "N", ARG_INT, &options.batch, "largest batch", 1, 1e6, NULL },
        { "--seq", "N", ARG_INT, &options.sequence, "longest sequence", 1, 1e9, NULL },
        { "--chunk", "N", ARG_INT, &options.chunk, "most new positions at once", 1, 1e6, NULL },
        { "--fusion", "LIST", ARG_STRING, &fusion, "fusions to switch, --fusion=-name,+name", 0, 0,
          NULL },
        { "-o", "FILE", ARG_STRING, &out, "where to write (default: standard output)", 0, 0, NULL },
    };
    Args a = { .usage = "smc opt GRAPH.smir [--passes=A,B,...] [-o FILE]",
               .about = "Reads graph text, verifies it, runs passes, prints the result.",
               .options = specs, .n = COUNT_OF(specs), .max_positional = 1 };
    Error err;
    Buf text = { 0 }, printed = { 0 };
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    if (program && program_asked(program, &options.program) != EXIT_DONE)
        return EXIT_USAGE;
    if (fusion && !fusion_parse(fusion, &options.fusions, &err))
        return misuse("%s", err.text);
    if (!file_read(a.positional[0], MAX_GRAPH_TEXT, &text, &err))
        return fault("%s", err.text);
    Graph *g = graph_read(text.data ? text.data : "", text.len, &c->arena, &err);
    buf_free(&text);
    if (!g || !graph_verify(g, &c->scratch, &err))
        return fault("%s: %s", a.positional[0], err.text);
    if (!program)
        options.program = g->program;
    const int code = opt_passes(c, g, arena_strdup(&c->arena, passes), &options);
    if (code != EXIT_DONE)
        return code;
    graph_print(&printed, g);
    return deliver(&printed, out);
}

static int command_passes(Compilation *c, int argc, char **argv)
{
    Args a = { .usage = "smc passes", .about = "Lists the passes in their order, each with the least -O "
               "at which it runs, and the fusions." };
    Error err;
    Buf out = { 0 };
    (void)c;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help)
        return usage_or_help(&a, parsed, &err);
    for (int i = 0; i < n_passes; i++)
        buf_printf(&out, "%-11s -O%d  %s\n", pass_table[i].name, pass_table[i].level, pass_table[i].what);
    buf_puts(&out, "\nfusions, which --fusion=-name,+name switches\n");
    for (Fusion f = 0; f < N_FUSIONS; f++)
        buf_printf(&out, "%-18s %-4s %s\n", fusion_table[f].name, fusion_table[f].on ? "on" : "off",
                   fusion_table[f].what);
    return deliver(&out, NULL);
}

typedef struct Command {
    const char *name, *what;
    int (*run)(Compilation *c, int argc, char **argv);
} Command;

static const Command commands[] = {
    { "compile", "a model into a plan", command_compile },
    { "check", "a model for mistakes", command_check },
    { "fmt", "models into the canonical layout", command_fmt },
    { "explain", "an error code", command_explain },
    { "summary", "what a model is made of, in numbers", command_summary },
    { "report", "everything about a compilation, as one page for a browser", command_report },
    { "expect", "hold the compiler to a fusion, or to a bound", command_expect },
    { "pool", "plan the memory of a table of blocks", command_pool },
    { "bisect", "find the pass and the op that a compilation goes wrong in", command_bisect },
    { "opt", "run passes on graph text", command_opt },
    { "passes", "list the passes in order, and the fusions", command_passes },
};

static void print_usage(FILE *to)
{
    fputs("usage: smc COMMAND ...\n\nThe compiler of smallmind: a page of .smg in, one plan out.\n\n",
          to);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(to, "  smc %-8s  %s\n", commands[i].name, commands[i].what);
    fputs("\nsmc COMMAND --help tells more; smc --version.\n\n"
          "exit codes: 0 done; 1 mistakes in the model, or a file, with a message; 2 usage\n"
          "environment: SMALLMIND_LIB=DIR holds the blocks of `use`; NO_COLOR=1: no colours\n", to);
}

static int unknown_command(const char *name)
{
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        nearest_try(&best, commands[i].name);
    return best.found ? misuse("no command \"%s\"; did you mean %s?", name, best.found)
                      : misuse("no command \"%s\"; smc --help lists them", name);
}

int main(int argc, char **argv)
{
    static Compilation c;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    check_set_hook(save_graph_at_fault, NULL);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
    }
    if (strcmp(argv[1], "--version") == 0)
        return puts("smc " SMALLMIND_VERSION) >= 0 && fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        compilation_begin(&c);
        if (setjmp(c.out_of_memory))
            return fault("out of memory");
        const int code = commands[i].run(&c, argc - 2, argv + 2);
        compilation_end(&c);
        return code;
    }
    return unknown_command(argv[1]);
}
