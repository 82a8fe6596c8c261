/* Golden text of the passes: what a pass makes of a small graph, byte by byte, and that both graphs
 * compute the same.
 *
 *     test_golden              compares
 *     test_golden --update     rewrites the expectations, for review with git diff
 *
 * golden/<pass>/<case>.smir is a graph (its first line says what the case shows), a line of `===`,
 * and the graph that the pass makes of it, or the mistakes that it reports.  What `specialize` is to make
 * of a model is the first word of the case's name. */
#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "bisect/placed.h"
#include "passes/run.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GOLDEN SOURCE_DIR "/tests/passes/golden"
static const char marker[] = "\n===\n";
static const struct {
    const char *name;
    bool changes;                       /* what outputs there are, or their numbers: others prove those */
} passes[] = {
    { "copies", false }, { "specialize", true }, { "attention", false }, { "fold", false }, { "simplify", false },
    { "cse", false }, { "dce", false }, { "precision", true }, { "loss", false }, { "cache", false },
    { "last", true }, { "autodiff", true }, { "update", true }, { "decompose", false }, { "absorb", false },
    { "rope_write", false }, { "round", false }, { "recompute", false }, { "norm", false }, { "store", false },
    { "columns", false }, { "layout", false }, { "fuse", false }, { "epilogue", false }, { "place", false },
    { "pool", false },
};
enum { FEWEST_CASES = 4, LARGEST_FILE = 1 << 20 };

static bool update;
static unsigned n_failed;

typedef struct Golden {
    char path[512];
    const PassInfo *pass;
    Arena arena, scratch;
    DiagSink diags;
    Buf file;
    size_t n_input;                     /* bytes before the marker, its newline included */
    const char *want;                   /* after it; NULL: not written yet */
    Graph *before, *after;              /* after: NULL when the pass reported mistakes */
} Golden;

static void failed(const Golden *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void failed(const Golden *t, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_message("%s: %s\n", t->path, text);
    n_failed++;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool golden_read(Golden *t)
{
    Error err;
    if (!file_read(t->path, LARGEST_FILE, &t->file, &err)) {
        failed(t, "%s", err.text);
        return false;
    }
    const char *at = strstr(t->file.data, marker);
    t->n_input = at ? (size_t)(at - t->file.data) + 1 : t->file.len;
    t->want = at ? at + strlen(marker) : NULL;
    t->before = graph_read(t->file.data, t->n_input, &t->arena, &err);
    if (!t->before || !graph_verify(t->before, &t->scratch, &err)) {
        failed(t, "%s", err.text);
        return false;
    }
    return true;
}

static void print_diags(Buf *out, const DiagSink *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const Diag *d = &s->diags[i];
        buf_printf(out, "%u:%u+%u: %s[%s]: %s\n", d->span.line, d->span.column, d->span.length,
                   d->warning ? "warning" : "error", diag_code_name(d->code), d->text);
        for (uint32_t k = 0; k < d->n_notes; k++)
            buf_printf(out, "note: %s\n", d->notes[k].text);
    }
}

static Program program_of(const Golden *t)
{
    char word[32];
    Program p = t->before->program;
    const char *name = strrchr(t->path, '/') + 1;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "_."), name);
    if (strcmp(t->pass->name, "specialize") == 0)
        assert_true(program_from_name(word, &p));
    return p;
}

static void golden_run(Golden *t, Buf *got)
{
    PassOptions options = { .level = 2, .program = program_of(t), .precision = DTYPE_bf16 };
    for (Fusion f = 0; f < N_FUSIONS; f++)
        fusion_switch(&options.fusions, f, true);
    t->after = graph_clone(t->before, &t->arena);
    if (!pass_run(t->pass, t->after, &options, &t->diags, &t->scratch))
        t->after = NULL;
    print_diags(got, &t->diags);
    if (t->after)
        graph_print(got, t->after);
}

/* The first line that differs. */
static void show_difference(const Golden *t, const char *got)
{
    const char *want = t->want ? t->want : "";
    unsigned line = 1;
    for (;; line++) {
        const size_t a = strcspn(got, "\n"), b = strcspn(want, "\n");
        if (a != b || memcmp(got, want, a) != 0 || got[a] != want[b] || !got[a]) {
            failed(t, "line %u after the marker is\n  %.*s\nnot\n  %.*s", line, (int)a, got, (int)b,
                   want);
            return;
        }
        got += a + 1;
        want += b + 1;
    }
}

static void golden_compare(Golden *t, const Buf *got)
{
    if (t->want && strcmp(got->data, t->want) == 0)
        return;
    if (!update) {
        show_difference(t, got->data);
        return;
    }
    Buf file = { 0 };
    Error err;
    buf_add(&file, t->file.data, t->n_input);
    buf_puts(&file, marker + 1);
    buf_add(&file, got->data, got->len);
    if (!file_replace(t->path, file.data, file.len, &err))
        failed(t, "%s", err.text);
    print_message("%s: rewritten\n", t->path);
    buf_free(&file);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void fill(Tensor *x, const Storage *s)
{
    uint64_t stream = 7;
    for (const char *c = s->name; *c; c++)
        stream = stream * 131 + (unsigned char)*c;
    const double limit = s->index_limit ? (double)s->index_limit : 5;
    for (int64_t i = 0; i < x->count; i++) {
        const double u = random_uniform(3, stream, (uint64_t)i);
        x->data[i] = s->type.dtype == DTYPE_i32 ? floor(limit * u)
            : s->type.dtype == DTYPE_bool ? u < 0.5 : 2 * u - 1;
    }
}

/* Symbols are 2, 3, 4, ...; what `before` does not have (a cache, the past) is zero. */
static Eval values(Golden *t, const Graph *g)
{
    int64_t sizes[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = 2 + i;
    Eval e = eval_begin(g, &t->arena, sizes);
    for (StorageId s = 0; s < g->n_storages; s++)
        if (graph_find_storage(t->before, g->storages[s].name) != NO_STORAGE)
            fill(&e.storages[s], &g->storages[s]);
    return e;
}

static void compare_tensor(const Golden *t, const char *name, const Tensor *a, const Tensor *b)
{
    double largest = 0;
    for (int64_t i = 0; i < a->count; i++)
        largest = isfinite(a->data[i]) ? fmax(largest, fabs(a->data[i])) : largest;
    for (int64_t i = 0; i < a->count; i++) {
        const double x = a->data[i], y = b->count == a->count ? b->data[i] : NAN;
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-12 * largest)) {
            failed(t, "`%s`[%lld] was %.17g and is %.17g", name, (long long)i, x, y);
            return;
        }
    }
}

static void golden_evaluate(Golden *t)
{
    Eval a = values(t, t->before), b = values(t, t->after);
    Error err;
    eval_run(&a);
    if (t->after->n_buffers > 0)
        assert_true(placed_run(&b, &err));
    else
        eval_run(&b);
    if (t->before->n_outputs != t->after->n_outputs)
        failed(t, "%u outputs became %u", t->before->n_outputs, t->after->n_outputs);
    for (uint32_t i = 0; i < t->before->n_outputs; i++) {
        const char *name = t->before->outputs[i].name;
        const Tensor *now = eval_output(&b, name);
        if (now)
            compare_tensor(t, name, eval_output(&a, name), now);
        else
            failed(t, "output `%s` is gone", name);
    }
    for (StorageId s = 0; s < t->before->n_storages; s++) {
        const char *name = t->before->storages[s].name;
        const Tensor *now = eval_storage(&b, name);
        if (now)
            compare_tensor(t, name, &a.storages[s], now);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void run_case(const PassInfo *pass, const char *path, bool changes)
{
    Golden t = { .pass = pass };
    Buf got = { 0 };
    snprintf(t.path, sizeof t.path, "%s", path);
    arena_init(&t.arena, NULL);
    arena_init(&t.scratch, NULL);
    diag_init(&t.diags, &t.arena);
    if (golden_read(&t)) {
        golden_run(&t, &got);
        golden_compare(&t, &got);
        if (t.after && !changes)
            golden_evaluate(&t);
    }
    buf_free(&got);
    buf_free(&t.file);
    arena_free(&t.scratch);
    arena_free(&t.arena);
}

static int is_case(const struct dirent *d)
{
    const size_t n = strlen(d->d_name);
    return n > 5 && strcmp(d->d_name + n - 5, ".smir") == 0;
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(passes); i++) {
        char path[512];
        struct dirent **names;
        const PassInfo *pass = pass_find(passes[i].name);
        snprintf(path, sizeof path, GOLDEN "/%s", passes[i].name);
        const int n = scandir(path, &names, is_case, alphasort);
        if (n < FEWEST_CASES)
            fail_msg("%s: %d cases", path, n);
        for (int k = 0; k < n; k++) {
            snprintf(path, sizeof path, GOLDEN "/%s/%.200s", passes[i].name, names[k]->d_name);
            run_case(pass, path, passes[i].changes);
            free(names[k]);
        }
        free(names);
    }
    assert_int_equal(n_failed, 0);
}

/* A new pass has cases of its own. */
static void test_all_passes(void **state)
{
    (void)state;
    for (int row = 0; row < n_passes; row++) {
        bool listed = false;
        for (size_t i = 0; i < COUNT_OF(passes); i++)
            listed = listed || strcmp(passes[i].name, pass_table[row].name) == 0;
        if (!listed)
            fail_msg("pass %s has no golden cases", pass_table[row].name);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden), cmocka_unit_test(test_all_passes) };
    update = argc > 1 && strcmp(argv[1], "--update") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
