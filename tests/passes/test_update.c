/* The optimizers against their formulas, written out here once more; programs that sum gradients
 * against the one that does not. */
#include "tests/passes/lab.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODEL(optimizer) \
    "model m\nbatch B\ninput x : f32[B, 3]\nparam w[3, 2] = normal(1)\nparam b[2] = zeros\n" \
    "output y = x @ w + b\ntrain {\n  loss mean(y * y)\n  optimizer " optimizer "\n}\n"
static const char adamw[] =
    MODEL("adamw(lr = 1e-2, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1)");
static const char sgd[] = MODEL("sgd(lr = 1e-2, momentum = 0.9, weight_decay = 0.05)");
static const char plain_sgd[] = MODEL("sgd(lr = 1e-2, momentum = 0.0)");

static const char train[] = "specialize autodiff update";

enum { N_W = 6, N_B = 2, N = N_W + N_B };

/* The parameters of the model in a row, and what the optimizer keeps of each. */
typedef struct Numbers {
    double p[N], m[N], v[N];
} Numbers;

static const char *const names[] = { "w", "b" };

static void put(Eval *e, const char *prefix, const double *from)
{
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        Tensor *t = eval_storage(e, name);
        if (t)
            memcpy(t->data, from + (i ? N_W : 0), (i ? N_B : N_W) * sizeof *from);
    }
}

static void get(Eval *e, const char *prefix, double *to)
{
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        Tensor *t = eval_storage(e, name);
        if (t)
            memcpy(to + (i ? N_W : 0), t->data, (i ? N_B : N_W) * sizeof *to);
    }
}

static void expect(const double *got, const double *want, const char *what)
{
    for (int i = 0; i < N; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 * fmax(1, fabs(want[i]))))
            fail_msg("%s[%d] is %.17g, not %.17g", what, i, got[i], want[i]);
}

static void set_number(Eval *e, const char *name, double value)
{
    Tensor *t = eval_storage(e, name);
    if (t)
        t->data[0] = value;
}

/* Gradients of the model at p, from the program that ends before the update. */
static void gradients(Lab *l, const double *p, double *out)
{
    Graph *g = lab_passes(l, PROGRAM_train, "specialize autodiff");
    Eval e = lab_values(l, g, &l->arena);
    put(&e, "", p);
    eval_run(&e);
    memcpy(out, eval_output(&e, "grad.w")->data, N_W * sizeof *out);
    memcpy(out + N_W, eval_output(&e, "grad.b")->data, N_B * sizeof *out);
}

static double norm_of(const double *g)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += g[i] * g[i];
    return sqrt(sum);
}

/* ---- the formulas ---------------------------------------------------------------------------- */

static void formula(const Optimizer *o, Numbers *x, const double *gradient, double lr, double clip,
                    int step)
{
    const double factor = fmin(1, clip / (norm_of(gradient) + 1e-6));
    for (int i = 0; i < N; i++) {
        const double decay = i < N_W ? o->weight_decay : 0;
        double g = gradient[i] * factor;
        if (o->kind == OPTIMIZER_sgd) {
            g += decay * x->p[i];
            x->m[i] = o->momentum * x->m[i] + g;
            x->p[i] -= lr * x->m[i];
            continue;
        }
        x->p[i] *= 1 - lr * decay;
        x->m[i] = o->beta1 * x->m[i] + (1 - o->beta1) * g;
        x->v[i] = o->beta2 * x->v[i] + (1 - o->beta2) * g * g;
        const double m = x->m[i] / (1 - pow(o->beta1, step));
        const double v = x->v[i] / (1 - pow(o->beta2, step));
        x->p[i] -= lr * m / (sqrt(v) + o->eps);
    }
}

/* ---- train ----------------------------------------------------------------------------------- */

/* Three steps; returns with the program's numbers equal to the formula's. */
static void follow(const char *text, double clip)
{
    Lab l;
    lab_text(&l, text);
    l.sizes[0] = 4;
    Graph *g = lab_passes(&l, PROGRAM_train, train);
    assert_int_equal(g->n_outputs, 2);
    Eval e = lab_values(&l, g, &l.arena);
    Numbers want = { 0 }, got = { 0 };
    get(&e, "", want.p);
    const char *m = l.g->optimizer.kind == OPTIMIZER_sgd ? "sgd.buf." : "adamw.m.";
    for (int step = 1; step <= 3; step++) {
        const double lr = 0.03 / step;
        double gradient[N];
        gradients(&l, want.p, gradient);
        set_number(&e, "$lr", lr);
        set_number(&e, "$clip", clip);
        set_number(&e, "$step", step);
        eval_run(&e);
        formula(&l.g->optimizer, &want, gradient, lr, clip, step);
        get(&e, "", got.p);
        get(&e, m, got.m);
        get(&e, "adamw.v.", got.v);
        expect(got.p, want.p, "parameters");
        if (l.g->optimizer.momentum != 0 || l.g->optimizer.kind == OPTIMIZER_adamw)
            expect(got.m, want.m, "first moments");
        expect(got.v, want.v, "second moments");
        const double norm = eval_output(&e, "grad_norm")->data[0];
        assert_true(fabs(norm - norm_of(gradient)) < 1e-12);
    }
    lab_end(&l);
}

static void adamw_follows_its_formula(void **state)
{
    (void)state;
    follow(adamw, 1e9);
    follow(adamw, INFINITY);
    follow(adamw, 0.01);
}

static void sgd_follows_its_formula(void **state)
{
    (void)state;
    follow(sgd, 1e9);
    follow(sgd, 0.01);
    follow(plain_sgd, 0.01);
}

static void no_state_without_momentum(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, plain_sgd);
    const Graph *g = lab_passes(&l, PROGRAM_train, train);
    for (StorageId s = 0; s < g->n_storages; s++)
        assert_int_not_equal(g->storages[s].class, STORAGE_STATE);
    lab_end(&l);
}

/* By expm1, and once a step for each moment, not once a parameter. */
static void bias_correction_has_no_cancellation(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, adamw);
    const Graph *g = lab_passes(&l, PROGRAM_train, train);
    unsigned n = 0;
    for (NodeId i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == OP_expm1;
    assert_int_equal(n, 2);
    lab_end(&l);
}

/* ---- accumulate and apply -------------------------------------------------------------------- */

/* State is carried from one program to the other, as the runtime does by name. */
static void carry(const Eval *from, Eval *to)
{
    for (StorageId s = 0; s < to->g->n_storages; s++) {
        const Storage *storage = &to->g->storages[s];
        const StorageId t = graph_find_storage(from->g, storage->name);
        if (storage->class != STORAGE_INPUT && t != NO_STORAGE)
            memcpy(to->storages[s].data, from->storages[t].data,
                   (size_t)to->storages[s].count * sizeof(double));
    }
}

static void two_runs_are_one_mean(void **state)
{
    (void)state;
    Lab l;
    lab_text(&l, adamw);
    l.sizes[0] = 4;
    Graph *accumulate = lab_passes(&l, PROGRAM_accumulate, train);
    Graph *apply = lab_passes(&l, PROGRAM_apply, "specialize update");
    Eval a = lab_values(&l, accumulate, &l.arena), b = lab_values(&l, apply, &l.arena);
    Numbers want = { 0 }, got = { 0 };
    get(&a, "", want.p);
    for (int step = 1; step <= 2; step++) {
        double gradient[N], sum[N];
        gradients(&l, want.p, gradient);
        eval_run(&a);
        eval_run(&a);
        get(&a, "grad.", sum);
        for (int i = 0; i < N; i++)
            sum[i] /= 2;
        expect(sum, gradient, "half the sum");
        carry(&a, &b);
        set_number(&b, "$lr", 0.02);
        set_number(&b, "$clip", 0.3);
        set_number(&b, "$step", step);
        set_number(&b, "$scale", 0.5);
        eval_run(&b);
        formula(&l.g->optimizer, &want, gradient, 0.02, 0.3, step);
        get(&b, "", got.p);
        expect(got.p, want.p, "parameters");
        assert_true(fabs(eval_output(&b, "grad_norm")->data[0] - norm_of(gradient)) < 1e-12);
        get(&b, "grad.", sum);
        expect(sum, (double[N]){ 0 }, "sums after apply");
        carry(&b, &a);
    }
    lab_end(&l);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* The gradient of each factor of sum(a * b) is the other one, here without any product between, as
 * algebra may leave it: the step on b must see the old a. */
static void entangled_parameters(void **state)
{
    (void)state;
    Lab l;
    lab_begin(&l);
    l.g->optimizer = (Optimizer){ .kind = OPTIMIZER_sgd };
    l.g->program = PROGRAM_train;
    const Shape shape = { 1, { dim_const(4) } };
    ValueId a = lab_tensor(&l, STORAGE_PARAM, "a", DTYPE_f32, 1, 2, &shape);
    ValueId b = lab_tensor(&l, STORAGE_PARAM, "b", DTYPE_f32, 1, 2, &shape);
    ValueId loss = build_sum(&l.b, build2(&l.b, OP_mul, a, b), ALL_AXES);
    graph_output(l.g, "loss", loss, (Span){ 0 });
    graph_output(l.g, "grad.a", b, (Span){ 0 });
    graph_output(l.g, "grad.b", a, (Span){ 0 });
    Graph *g = lab_passes(&l, PROGRAM_train, "update");
    Eval e = lab_values(&l, g, &l.arena);
    double old_a[4], old_b[4];
    memcpy(old_a, eval_storage(&e, "a")->data, sizeof old_a);
    memcpy(old_b, eval_storage(&e, "b")->data, sizeof old_b);
    set_number(&e, "$lr", 0.1);
    set_number(&e, "$clip", INFINITY);
    eval_run(&e);
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(eval_storage(&e, "a")->data[i] - (old_a[i] - 0.1 * old_b[i])) < 1e-12);
        assert_true(fabs(eval_storage(&e, "b")->data[i] - (old_b[i] - 0.1 * old_a[i])) < 1e-12);
    }
    lab_end(&l);
}

/* A loss that is a parameter is read after the step, but is the loss before it. */
static void the_loss_before_the_step(void **state)
{
    (void)state;
    Lab l;
    lab_begin(&l);
    l.g->optimizer = (Optimizer){ .kind = OPTIMIZER_sgd };
    l.g->program = PROGRAM_train;
    const Shape shape = { 1, { dim_const(1) } };
    ValueId p = lab_tensor(&l, STORAGE_PARAM, "p", DTYPE_f32, 1, 2, &shape);
    graph_output(l.g, "loss", build_reshape(&l.b, p, &(Shape){ 0 }), (Span){ 0 });
    Graph *g = lab_passes(&l, PROGRAM_train, "autodiff update");
    assert_int_equal(value_def(g, g->outputs[0].value)->op, OP_copy);
    lab_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(sgd_follows_its_formula),
        cmocka_unit_test(no_state_without_momentum),
        cmocka_unit_test(bias_correction_has_no_cancellation),
        cmocka_unit_test(two_runs_are_one_mean),
        cmocka_unit_test(entangled_parameters),
        cmocka_unit_test(the_loss_before_the_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
