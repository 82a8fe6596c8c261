/* Three sessions: A with the fusion, B without it, C as A.  A round runs A B C or A C B, so none follows
 * itself and each follows both others.  B over A is the figure; C over A is what the same plan in another
 * place of memory makes of it. */
#include "tests/e2e/fusion_pair.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 400, MIN_ROUNDS = 5 };

typedef struct Rounds {
    double ratio[MAX_ROUNDS], control[MAX_ROUNDS], seconds[MAX_ROUNDS];
    int n;
} Rounds;

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- plans and sessions ------------------------------------------------------------------------- */

static void compile_with(const FusionCase *c, PlanProgramKind kind, Fusion fusion, bool on, Compiled *out)
{
    Program p;
    CHECK(program_from_name(plan_program_name(kind), &p), "a program of plans");
    const bool one = kind == PLAN_generate;
    const bool mixed = fusion == FUSE_rounding || fusion == FUSE_rounded_weights;
    CompileOptions o = { .level = 2, .batch = one ? 1 : c->batch, .sequence = one ? 0 : c->sequence,
                         .precision = mixed ? DTYPE_bf16 : DTYPE_f32, .programs = 1u << p };
    fusion_switch(&o.fusions, fusion, on);
    compiled_open(out, &c->model, &o);
}

static bool same_instructions(const Plan *a, const Plan *b)
{
    const PlanHeader *x = a->header, *y = b->header;
    return x->file_bytes == y->file_bytes
        && memcmp(a->instrs, b->instrs, x->instrs.count * sizeof *a->instrs) == 0
        && memcmp(a->operands, b->operands, x->operands.count * sizeof *a->operands) == 0
        && memcmp(a->rows, b->rows, x->rows.count * sizeof *a->rows) == 0;
}

bool fusion_touches(const FusionCase *c, PlanProgramKind kind, Fusion fusion)
{
    Compiled with, without;
    /* Caching is proved of attention, not of its parts. */
    if (kind == PLAN_generate && (c->past == 0 || fusion == FUSE_attention))
        return false;
    /* The copies of weights that both make: `apply` writes what `accumulate` saves by. */
    if (kind == PLAN_apply && (fusion == FUSE_rounded_weights || fusion == FUSE_rounding))
        return false;
    compile_with(c, kind, fusion, true, &with);
    compile_with(c, kind, fusion, false, &without);
    const bool same = same_instructions(&with.plan, &without.plan);
    compiled_close(&with);
    compiled_close(&without);
    return !same;
}

/* Numbers of a model's storages, made once for all sessions of it: making them takes as long as using them. */
typedef struct Numbers {
    const FusionCase *model;
    char *name;
    void *data;
    size_t n;
    struct Numbers *next;
} Numbers;

static void fill_all(const FusionCase *c, Session *s, uint32_t programs)
{
    static Numbers *made;               /* until the program ends */
    const Plan *p = session_plan(s);
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++) {
        const char *name = plan_string(p, p->storages[i].name);
        const size_t n = storage_bytes(p, i, programs);
        const Numbers *at = made;
        if (!session_storage(s, i))
            continue;
        while (at && (at->model != c || at->n != n || strcmp(at->name, name) != 0))
            at = at->next;
        if (at) {
            memcpy(session_storage(s, i), at->data, n);
            continue;
        }
        Numbers *new = malloc(sizeof *new);
        CHECK(new, "memory");
        *new = (Numbers){ .model = c, .name = strdup(name), .data = malloc(n), .n = n, .next = made };
        CHECK(new->name && new->data, "memory");
        fill_storage(s, programs, i, 1);
        memcpy(new->data, session_storage(s, i), n);
        made = new;
    }
}

static Session *open_filled(const FusionCase *c, const Compiled *plan, PlanProgramKind kind)
{
    const uint32_t bit = 1u << kind;
    Session *s = compiled_session(plan, bit, 1, NULL);
    int64_t sizes[MAX_SYMBOLS];
    largest_sizes(&plan->plan, kind, sizes);
    fill_all(c, s, bit);
    if (kind == PLAN_generate) {
        const int t = plan_symbol(&plan->plan, PLAN_SEQUENCE);
        int32_t *past = session_storage_named(s, "$past");
        if (t >= 0)
            sizes[t] = 1;
        if (past)
            *past = (int32_t)c->past;
    }
    bind(s, kind, sizes);
    return s;
}

/* ---- rounds ------------------------------------------------------------------------------------- */

static double time_of(Session *s, PlanProgramKind kind, int repeats)
{
    const double from = thread_seconds();
    for (int i = 0; i < repeats; i++)
        session_run(s, kind);
    return (thread_seconds() - from) / repeats;
}

static void alternate(Session *const s[3], PlanProgramKind kind, double seconds, Rounds *out)
{
    double once = 0, spent = 0;
    for (int i = 0; i < 3; i++)
        once += time_of(s[i], kind, 1) / 3;
    const int repeats = once < 2e-3 ? (int)(2e-3 / once) + 1 : 1;   /* what one look at the clock covers */
    out->n = 0;
    while (out->n < MIN_ROUNDS || (out->n < MAX_ROUNDS && spent < seconds)) {
        const int second = out->n % 2 == 0 ? 1 : 2, third = 3 - second;
        double t[3];
        t[0] = time_of(s[0], kind, repeats);
        t[second] = time_of(s[second], kind, repeats);
        t[third] = time_of(s[third], kind, repeats);
        out->seconds[out->n] = t[0];
        out->ratio[out->n] = t[1] / t[0];
        out->control[out->n++] = t[2] / t[0];
        spent += (t[0] + t[1] + t[2]) * repeats;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* The median of what x was drawn from lies between its values of rank n / 2 -+ 0.98 sqrt(n), whatever
 * the distribution (the sign test's interval, by the normal approximation of the binomial). */
static double farthest_from_one(const double *sorted, int n)
{
    const int reach = (int)(0.98 * sqrt(n)) + 1;
    const int low = n / 2 - reach, high = (n - 1) / 2 + reach;
    return fmax(fabs(sorted[low < 0 ? 0 : low] - 1), fabs(sorted[high > n - 1 ? n - 1 : high] - 1));
}

FusionFigure fusion_measure(const FusionCase *c, PlanProgramKind kind, Fusion fusion, double seconds)
{
    static Rounds r;
    Compiled with, without;
    compile_with(c, kind, fusion, true, &with);
    compile_with(c, kind, fusion, false, &without);
    Session *s[3] = { open_filled(c, &with, kind), open_filled(c, &without, kind),
                      open_filled(c, &with, kind) };
    alternate(s, kind, seconds, &r);
    for (int i = 0; i < 3; i++)
        session_close(s[i]);
    compiled_close(&with);
    compiled_close(&without);
    FusionFigure f = { .ratio = median(r.ratio, r.n), .control = median(r.control, r.n),
                       .ms = 1e3 * median(r.seconds, r.n), .rounds = r.n };
    f.noise = farthest_from_one(r.control, r.n);
    return f;
}
