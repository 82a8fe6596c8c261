/* Graphs with values. */
#include "tests/passes/lab.h"

#include "base/check.h"
#include "base/random.h"
#include "frontend/frontend.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void lab_begin(Lab *l)
{
    *l = (Lab){ 0 };
    arena_init(&l->arena, NULL);
    arena_init(&l->scratch, NULL);
    diag_init(&l->diags, &l->arena);
    for (int i = 0; i < MAX_SYMBOLS; i++)
        l->sizes[i] = 1;
    l->g = graph_new(&l->arena, "lab", PROGRAM_model);
    l->b = builder_at(l->g, NULL);
}

void lab_end(Lab *l)
{
    arena_free(&l->scratch);
    arena_free(&l->arena);
}

static void need_graph(Lab *l, Graph *g, const char *name)
{
    for (uint32_t i = 0; i < l->diags.n; i++)
        print_message("%s:%u: %s\n", name, l->diags.diags[i].span.line, l->diags.diags[i].text);
    assert_non_null(g);
    l->g = g;
    l->b = builder_at(g, NULL);
}

void lab_model(Lab *l, const char *path, const char *const *defines, uint32_t n_defines)
{
    lab_begin(l);
    FrontendOptions options = { .defines = defines, .n_defines = n_defines,
                                .library_dir = SOURCE_DIR "/models/lib" };
    need_graph(l, frontend_read(path, &options, &l->arena, &l->diags), path);
}

void lab_text(Lab *l, const char *text)
{
    lab_begin(l);
    FrontendOptions options = { 0 };
    Graph *g = frontend_compile("lab.smg", text, strlen(text), &options, &l->arena, &l->diags);
    need_graph(l, g, "lab.smg");
}

Graph *lab_graph(Lab *l, const char *text)
{
    Error err;
    lab_begin(l);
    Graph *g = graph_read(text, strlen(text), &l->arena, &err);
    if (!g || !graph_verify(g, &l->scratch, &err))
        fail_msg("%s\n%s", err.text, text);
    return g;
}

ValueId lab_tensor(Lab *l, StorageClass class, const char *name, DType dtype, double low,
                   double high, const Shape *shape)
{
    Storage s = { .name = name, .class = class, .type = { dtype, *shape } };
    StorageId id = graph_storage(l->g, s);
    assert_true(l->n_ranges < (int)COUNT_OF(l->ranges));
    l->ranges[l->n_ranges++] = (Range){ l->g->storages[id].name, low, high };
    return build_storage(&l->b, id);
}

bool lab_try_passes(Lab *l, Program program, const char *names, Graph **out)
{
    const PassOptions options = { .level = 2, .program = program, .batch = 4, .sequence = 0 };
    *out = graph_clone(l->g, &l->arena);
    for (const char *p = names; *p; p += strspn(p, " ")) {
        char name[32];
        const int n = (int)strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", n, p);
        p += n;
        const PassInfo *pass = pass_find(name);
        assert_non_null(pass);
        if (!pass_run(pass, *out, &options, &l->diags, &l->scratch))
            return false;
    }
    return true;
}

Graph *lab_passes(Lab *l, Program program, const char *names)
{
    Graph *g;
    bool ok = lab_try_passes(l, program, names, &g);
    for (uint32_t i = 0; !ok && i < l->diags.n; i++)
        print_message("%s\n", l->diags.diags[i].text);
    assert_true(ok);
    return g;
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t name_stream(const char *name)
{
    uint64_t h = 1469598103934665603u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static Range range_of(const Lab *l, const Storage *s)
{
    for (int i = 0; i < l->n_ranges; i++)
        if (strcmp(l->ranges[i].name, s->name) == 0)
            return l->ranges[i];
    if (s->type.dtype == DTYPE_f32)
        return (Range){ s->name, -0.5, 0.5 };
    return (Range){ s->name, 0, s->index_limit ? (double)s->index_limit : 1000 };
}

void lab_fuse(Lab *l, Graph *g)
{
    const PassOptions options = { .level = 2, .program = g->program };
    assert_true(pass_run(pass_find("fuse"), g, &options, &l->diags, &l->scratch));
}

Eval lab_values(const Lab *l, const Graph *g, Arena *arena)
{
    Eval e = eval_begin(g, arena, l->sizes);
    for (StorageId s = 0; s < g->n_storages; s++) {
        const Storage *storage = &g->storages[s];
        const Range r = range_of(l, storage);
        const uint64_t stream = name_stream(storage->name);
        for (int64_t i = 0; storage->class != STORAGE_STATE && i < e.storages[s].count; i++) {
            double x = r.low + (r.high - r.low) * random_uniform(1, stream, (uint64_t)i);
            e.storages[s].data[i] = storage->type.dtype == DTYPE_f32 ? x : floor(x);
        }
    }
    return e;
}

static bool same(double a, double b, double bound)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b))
        return a == b;
    return fabs(a - b) <= bound;
}

static double largest(const Tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (isfinite(t->data[i]))
            most = fmax(most, fabs(t->data[i]));
    return most;
}

void lab_compare(const Tensor *a, const Tensor *b, double tolerance, const char *what)
{
    assert_int_equal(a->count, b->count);
    const double bound = tolerance * largest(b);
    for (int64_t i = 0; i < b->count; i++)
        if (!same(a->data[i], b->data[i], bound))
            fail_msg("%s: element %lld is %.17g, not %.17g", what, (long long)i, a->data[i],
                     b->data[i]);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* The loss where element i of storage s is moved by d. */
static double loss_at(Lab *l, const Graph *g, StorageId s, int64_t i, double d)
{
    Arena arena;
    arena_init(&arena, NULL);
    Eval e = lab_values(l, g, &arena);
    e.storages[s].data[i] += d;
    eval_run(&e);
    double loss = eval_output(&e, "loss")->data[0];
    arena_free(&arena);
    return loss;
}

/* Of fourth order: truncation h^4 and rounding 1e-16 / h are both far below 1e-9. */
static double difference(Lab *l, const Graph *g, StorageId s, int64_t i)
{
    const double h = 1e-3;
    const double near = loss_at(l, g, s, i, h) - loss_at(l, g, s, i, -h);
    const double far = loss_at(l, g, s, i, 2 * h) - loss_at(l, g, s, i, -2 * h);
    return (8 * near - far) / (12 * h);
}

static void check_param(Lab *l, const Graph *forward, const Eval *e, StorageId s, unsigned most,
                        double tolerance, const char *what)
{
    const char *name = arena_printf(&l->arena, "grad.%s", forward->storages[s].name);
    const Tensor *grad = eval_output(e, name);
    assert_non_null(grad);
    assert_int_equal(grad->count, e->storages[s].count);
    const double scale = fmax(largest(grad), 1e-3);
    const int64_t stride = grad->count > most ? grad->count / most : 1;
    for (int64_t i = 0; i < grad->count; i += stride) {
        const double want = difference(l, forward, s, i);
        if (!(fabs(grad->data[i] - want) <= tolerance * scale))
            fail_msg("%s: %s[%lld] is %.12g, differences say %.12g", what, name, (long long)i,
                     grad->data[i], want);
    }
}

void lab_check_gradients(Lab *l, const Graph *forward, unsigned most, double tolerance,
                         const char *what)
{
    const PassOptions options = { .level = 2, .program = PROGRAM_train };
    Graph *g = graph_clone(forward, &l->arena);
    Arena arena;
    arena_init(&arena, NULL);
    if (!pass_run(pass_find("autodiff"), g, &options, &l->diags, &l->scratch))
        fail_msg("%s: %s", what, l->diags.diags[l->diags.n - 1].text);
    Eval e = lab_values(l, g, &arena);
    eval_run(&e);
    for (StorageId s = 0; s < forward->n_storages; s++)
        if (forward->storages[s].class == STORAGE_PARAM)
            check_param(l, forward, &e, s, most, tolerance, what);
    arena_free(&arena);
}

void lab_check_reasons(const FusionReport *r)
{
    for (uint32_t k = 0; k < r->n_edges; k++) {
        assert_int_not_equal(r->edges[k].reason, FUSION_none);
        assert_int_not_equal(r->edges[k].reason, FUSION_not_tried);
    }
}
