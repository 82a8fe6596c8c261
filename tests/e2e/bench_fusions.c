/* What each fusion is worth: programs of the shipped models with and without it.
 *
 *     bench_fusions [--table | --json] [--only MODEL[,MODEL...]] [--fusion NAME[,NAME...]]
 *                   [--seconds X] [--keep FILE]
 *
 * Two plans, the defaults with one fusion on and with it off, run in turns on one thread, on the same
 * numbers, and beside them a control: the first plan once more.  A figure is the median over rounds of the
 * processor time without the fusion over that with it: above 1 it pays.  Processor time, because machines
 * are shared; what two threads gain from fewer barriers is not in it.  Programs whose instructions a
 * fusion leaves as they were have no figure.  X (0.5) is the processor time that a figure gets; a program
 * that takes long has five rounds and takes what they take.
 *
 * A figure is slower when it lies further below 1 than its own control may, and than any control of this
 * model and program strayed; and does so again when it is measured a second time, in new sessions.  --table
 * prints all of it for docs/fusion.md, a verdict on each fusion with it.  The exit status is 1 when a
 * fusion that is on by default makes a program slower.
 *
 * FILE takes a line for each figure as soon as it is there; those that it holds already are not measured
 * again, so a run that was stopped goes on.  It is one build's and one machine's. */
#include "tests/e2e/fusion_pair.h"

#include "base/check.h"
#include "base/progress.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const FusionCase cases[] = {
    { "chargpt", { "chargpt", { "vocab=65", "context=64" } }, 12, 64, 32 },
    { "gpt2", { "gpt2", { "context=128", "depth=1", "vocab=2048" } }, 4, 64, 64 },
    { "gpt2_256", { "gpt2", { "context=256", "depth=3", "width=384", "heads=6",
                              "vocab=2048" } }, 1, 256, 128 },
    { "llama", { "llama", { "vocab=4096", "context=256", "width=288", "depth=6", "heads=6",
                            "kv_heads=6", "hidden=768" } }, 4, 64, 64 },
    { "profile", { "profile", { NULL } }, 4, 128, 64 },
    { "gemma", { "gemma", { "vocab=4096", "context=128", "width=256", "depth=2", "heads=4",
                            "kv_heads=1", "head=64", "hidden=1024" } }, 4, 64, 64 },
    { "phi3", { "phi3", { "vocab=2048", "context=128", "width=192", "depth=2", "heads=4", "kv_heads=4",
                          "hidden=512" } }, 4, 64, 64 },
    { "moe", { "moe", { "vocab=1024", "context=128", "width=192", "depth=2", "heads=4", "kv_heads=2",
                        "hidden=384", "experts=4", "chosen=2" } }, 2, 64, 64 },
    { "mlp", { "mlp", { NULL } }, 256, 0, 0 },
};
static const PlanProgramKind programs[] = { PLAN_eval, PLAN_train, PLAN_accumulate, PLAN_apply,
                                            PLAN_generate };

enum { N_CASES = COUNT_OF(cases), N_KINDS = COUNT_OF(programs), MAX_CELLS = N_CASES * N_KINDS * N_FUSIONS };

/* A fusion in a program of a model that it changes. */
typedef struct Cell {
    Fusion fusion;
    size_t model, kind;                 /* in `cases`, in `programs` */
    bool measured;
    FusionFigure figure;
} Cell;

typedef enum Form { FORM_LINES, FORM_TABLE, FORM_JSON } Form;

typedef struct Bench {
    Form form;
    double seconds;
    const char *fusions, *only, *keep;  /* NULL: all, all, nowhere */
    Cell cells[MAX_CELLS];
    int n;
} Bench;

/* ---- what there is to measure ------------------------------------------------------------------- */

/* Is `name` in the list "a,b"?  NULL lists all. */
static bool is_listed(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == 0 || at[n] == ','))
            return true;
    return !list;
}

static void find_cells(Bench *b, Progress *progress)
{
    b->n = 0;
    for (Fusion f = 0; f < N_FUSIONS; f++)
        for (size_t i = 0; i < N_CASES; i++)
            for (size_t k = 0; k < N_KINDS; k++) {
                if (!is_listed(b->fusions, fusion_table[f].name) || !is_listed(b->only, cases[i].name))
                    continue;
                if (progress_due(progress, false))
                    progress_show(progress, "bench_fusions: which programs does each fusion change?");
                if (fusion_touches(&cases[i], programs[k], f))
                    b->cells[b->n++] = (Cell){ .fusion = f, .model = i, .kind = k };
            }
}

/* ---- figures that a run before has kept --------------------------------------------------------- */

static void keep_figure(const Bench *b, const Cell *c)
{
    FILE *out = b->keep ? fopen(b->keep, "a") : NULL;
    const FusionFigure *x = &c->figure;
    if (b->keep && !out)
        fprintf(stderr, "bench_fusions: %s: %s\n", b->keep, strerror(errno));
    if (!out)
        return;
    fprintf(out, "%s %s %s %.6f %.6f %.6f %.6f %d\n", fusion_table[c->fusion].name, cases[c->model].name,
            plan_program_name(programs[c->kind]), x->ratio, x->control, x->noise, x->ms, x->rounds);
    fclose(out);
}

static void take_figure(Bench *b, const char *fusion, const char *model, const char *program, FusionFigure x)
{
    for (int i = 0; i < b->n; i++) {
        Cell *c = &b->cells[i];
        if (strcmp(fusion_table[c->fusion].name, fusion) == 0 && strcmp(cases[c->model].name, model) == 0
            && strcmp(plan_program_name(programs[c->kind]), program) == 0) {
            c->figure = x;
            c->measured = true;
        }
    }
}

static void read_kept(Bench *b)
{
    FILE *in = b->keep ? fopen(b->keep, "r") : NULL;
    char fusion[32], model[32], program[32];
    FusionFigure x;
    if (!in)
        return;
    while (fscanf(in, "%31s %31s %31s %lf %lf %lf %lf %d", fusion, model, program, &x.ratio, &x.control,
                  &x.noise, &x.ms, &x.rounds) == 8)
        take_figure(b, fusion, model, program, x);
    fclose(in);
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

/* How far from 1 figures of this model and program mean nothing. */
static double margin_of(const Bench *b, const Cell *cell)
{
    double margin = cell->figure.noise;
    for (int i = 0; i < b->n; i++) {
        const Cell *c = &b->cells[i];
        if (c->measured && c->model == cell->model && c->kind == cell->kind)
            margin = fmax(margin, fabs(c->figure.control - 1));
    }
    return margin;
}

static bool is_slower(const Bench *b, const Cell *c)
{
    return c->figure.ratio < 1 - margin_of(b, c);
}

static bool does_pay(const Bench *b, const Cell *c)
{
    return c->figure.ratio > 1 + margin_of(b, c);
}

/* ---- measuring ---------------------------------------------------------------------------------- */

/* What is left, each figure as long as the last of its model and program took, or as it should take. */
static double seconds_left(const Bench *b, double took[N_CASES][N_KINDS])
{
    double left = 0;
    for (int i = 0; i < b->n; i++) {
        const Cell *c = &b->cells[i];
        const double known = took[c->model][c->kind];
        left += c->measured ? 0 : known > 0 ? known : 1.3 * b->seconds;
    }
    return left;
}

static void show_progress(const Bench *b, const Cell *at, double left, Progress *progress)
{
    char line[160], gone[32], rest[32];
    duration_text(gone, sizeof gone, clock_seconds() - progress->began);
    duration_text(rest, sizeof rest, left);
    snprintf(line, sizeof line, "bench_fusions: figure %d of %d, %s of %s, %s: %s gone, about %s left",
             (int)(at - b->cells) + 1, b->n, plan_program_name(programs[at->kind]), cases[at->model].name,
             fusion_table[at->fusion].name, gone, rest);
    if (progress_due(progress, false))
        progress_show(progress, line);
}

/* What looks slower is measured again, and the better figure counts. */
static void measure_cell(const Bench *b, Cell *c)
{
    c->figure = fusion_measure(&cases[c->model], programs[c->kind], c->fusion, b->seconds);
    c->measured = true;
    if (!is_slower(b, c))
        return;
    const FusionFigure again = fusion_measure(&cases[c->model], programs[c->kind], c->fusion, b->seconds);
    if (again.ratio > c->figure.ratio)
        c->figure = again;
}

static void print_line(const Cell *c)
{
    printf("%-18s %-4s %-9s %-10s  %6.3f  +-%.3f  %10.3f ms  %4d\n", fusion_table[c->fusion].name,
           fusion_table[c->fusion].on ? "on" : "off", cases[c->model].name,
           plan_program_name(programs[c->kind]), c->figure.ratio, c->figure.noise, c->figure.ms,
           c->figure.rounds);
    fflush(stdout);
}

static void measure_all(Bench *b, Progress *progress)
{
    static double took[N_CASES][N_KINDS];
    for (int i = 0; i < b->n; i++) {
        Cell *c = &b->cells[i];
        if (!c->measured) {
            const double from = clock_seconds();
            show_progress(b, c, seconds_left(b, took), progress);
            measure_cell(b, c);
            keep_figure(b, c);
            took[c->model][c->kind] = clock_seconds() - from;
        }
        if (b->form == FORM_LINES) {
            progress_end(progress);
            print_line(c);
        }
    }
    progress_end(progress);
}

/* ---- the table and the JSON --------------------------------------------------------------------- */

/* From cell i on, those of one fusion and model: a line.  The first of the next. */
static int print_row(const Bench *b, int i)
{
    const Cell *first = &b->cells[i];
    bool slower = false, pays = false;
    printf("| `%s` | %s | %s |", fusion_table[first->fusion].name, fusion_table[first->fusion].on ? "on" : "off",
           cases[first->model].name);
    for (size_t k = 0; k < N_KINDS; k++) {
        const Cell *c = &b->cells[i];
        if (i == b->n || c->fusion != first->fusion || c->model != first->model || c->kind != k) {
            printf(" |");
            continue;
        }
        printf(" %.3f ± %.3f |", c->figure.ratio, c->figure.noise);
        slower = slower || is_slower(b, c);
        pays = pays || does_pay(b, c);
        i++;
    }
    printf(" %s |\n", slower ? "slower" : pays ? "pays" : "no difference");
    return i;
}

static void print_strays(const Bench *b, size_t model)
{
    printf("| controls at most | | %s |", cases[model].name);
    for (size_t k = 0; k < N_KINDS; k++) {
        double stray = -1;
        for (int i = 0; i < b->n; i++)
            if (b->cells[i].model == model && b->cells[i].kind == k)
                stray = fmax(stray, fabs(b->cells[i].figure.control - 1));
        if (stray < 0)
            printf(" |");
        else
            printf(" ± %.3f |", stray);
    }
    printf(" |\n");
}

static void print_table(const Bench *b)
{
    printf("| fusion | by default | model |");
    for (size_t k = 0; k < N_KINDS; k++)
        printf(" %s |", plan_program_name(programs[k]));
    printf(" verdict |\n|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_CASES; i++)
        if (is_listed(b->only, cases[i].name))
            print_strays(b, i);
    for (int i = 0; i < b->n;)
        i = print_row(b, i);
}

static void print_json(const Bench *b)
{
    for (int i = 0; i < b->n; i++) {
        const Cell *c = &b->cells[i];
        printf("%s\n  { \"fusion\": \"%s\", \"on\": %s, \"model\": \"%s\", \"program\": \"%s\", "
               "\"without_over_with\": %.4f, \"control\": %.4f, \"noise\": %.4f, \"margin\": %.4f, "
               "\"ms_with\": %.4f, \"rounds\": %d, \"slower\": %s }",
               i ? "," : "[", fusion_table[c->fusion].name, fusion_table[c->fusion].on ? "true" : "false",
               cases[c->model].name, plan_program_name(programs[c->kind]), c->figure.ratio, c->figure.control,
               c->figure.noise, margin_of(b, c), c->figure.ms, c->figure.rounds,
               is_slower(b, c) ? "true" : "false");
    }
    puts(b->n ? "\n]" : "[]");
}

/* ---- the command -------------------------------------------------------------------------------- */

/* Names those that make a program slower although they are on; true when there are any. */
static bool say_slower(const Bench *b)
{
    bool any = false;
    for (int i = 0; i < b->n; i++) {
        const Cell *c = &b->cells[i];
        if (!fusion_table[c->fusion].on || !is_slower(b, c))
            continue;
        fprintf(stderr, "bench_fusions: %s of %s is slower with %s: %.3f, and the margin is %.3f\n",
                plan_program_name(programs[c->kind]), cases[c->model].name, fusion_table[c->fusion].name,
                c->figure.ratio, margin_of(b, c));
        any = true;
    }
    return any;
}

/* Every name of the list is a row's; else the first that is not, on standard error. */
static bool names_known(const char *list, bool models)
{
    size_t n;
    for (const char *at = list; at; at = at[n] == ',' ? at + n + 1 : NULL) {
        bool known = false;
        n = strcspn(at, ",");
        for (size_t i = 0; i < (models ? (size_t)N_CASES : (size_t)N_FUSIONS); i++) {
            const char *name = models ? cases[i].name : fusion_table[i].name;
            known = known || (strlen(name) == n && strncmp(name, at, n) == 0);
        }
        if (!known) {
            fprintf(stderr, "bench_fusions: there is no %s '%.*s'; there are", models ? "model" : "fusion", (int)n, at);
            for (size_t i = 0; i < (models ? (size_t)N_CASES : (size_t)N_FUSIONS); i++)
                fprintf(stderr, " %s", models ? cases[i].name : fusion_table[i].name);
            fprintf(stderr, "\n");
            return false;
        }
    }
    return true;
}

static bool read_options(int argc, char **argv, Bench *b)
{
    bool good = true;
    for (int i = 1; i < argc && good; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--table") == 0 || strcmp(argv[i], "--json") == 0) {
            b->form = argv[i][2] == 't' ? FORM_TABLE : FORM_JSON;
            continue;
        }
        if (value && strcmp(argv[i], "--seconds") == 0)
            b->seconds = strtod(value, NULL);
        else if (value && strcmp(argv[i], "--fusion") == 0)
            b->fusions = value;
        else if (value && strcmp(argv[i], "--only") == 0)
            b->only = value;
        else if (value && strcmp(argv[i], "--keep") == 0)
            b->keep = value;
        else
            good = false;
        i++;
    }
    if (!good || !(b->seconds > 0))
        fprintf(stderr, "usage: bench_fusions [--table | --json] [--only MODEL[,MODEL...]] "
                        "[--fusion NAME[,NAME...]] [--seconds X] [--keep FILE]\n");
    return good && b->seconds > 0 && names_known(b->only, true) && names_known(b->fusions, false);
}

int main(int argc, char **argv)
{
    static Bench b = { .seconds = 0.5 };
    Progress progress;
    if (!read_options(argc, argv, &b))
        return 2;
    progress_begin(&progress, stderr);
    find_cells(&b, &progress);
    read_kept(&b);
    if (b.form == FORM_LINES)
        printf("%-18s %-4s %-9s %-10s  %6s  %7s  %13s  %s\n", "fusion", "is", "model", "program", "ratio",
               "control", "with it", "rounds");
    measure_all(&b, &progress);
    if (b.form == FORM_TABLE)
        print_table(&b);
    if (b.form == FORM_JSON)
        print_json(&b);
    return say_slower(&b);
}
