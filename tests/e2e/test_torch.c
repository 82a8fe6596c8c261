/* Ten training steps of three models against PyTorch, from the same weights over the same batches
 * (tests/reference/README.md). */
#include "tests/e2e/compiled.h"

#include "runtime/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { STEPS = 10 };

/* A model as the JSON's `config` says. */
typedef struct Case {
    ModelSpec model;
    int64_t batch, sequence;            /* 0: the model has none */
    const char *out, *first;            /* output, and its key in the JSON */
    float lr;
} Case;

static const Case cases[] = {
    { { "gpt2", { "vocab=64", "context=32", "width=32", "depth=2", "heads=4" } }, 4, 16, "logits",
      "logits_first_row", 6e-4f },
    { { "llama", { "vocab=64", "context=32", "width=32", "depth=2", "heads=4", "kv_heads=2",
                   "hidden=64" } }, 4, 16, "logits", "logits_first_row", 3e-4f },
    { { "mlp", { "inputs=8", "hidden=64" } }, 8, 0, "y", "y_first_batch", 1e-2f },
};

/* The outside figures of a case. */
typedef struct Reference {
    json_t *json;
    SafeTensors weights, batches;
} Reference;

static void open_tensors(const char *model, const char *suffix, SafeTensors *out)
{
    char path[512];
    Error err;
    snprintf(path, sizeof path, "%s/tests/reference/tiny_%s%s.safetensors", SOURCE_DIR, model,
             suffix);
    if (!safetensors_open(path, out, &err))
        fail_msg("%s", err.text);
}

static void reference_open(Reference *r, const Case *c)
{
    char path[512];
    json_error_t why;
    snprintf(path, sizeof path, "%s/tests/reference/tiny_%s.json", SOURCE_DIR, c->model.name);
    r->json = json_load_file(path, 0, &why);
    if (!r->json)
        fail_msg("%s: %s", path, why.text);
    open_tensors(c->model.name, "", &r->weights);
    open_tensors(c->model.name, "_batches", &r->batches);
}

static void reference_close(Reference *r)
{
    json_decref(r->json);
    safetensors_close(&r->weights);
    safetensors_close(&r->batches);
}

static double figure(const Reference *r, const char *key, size_t i)
{
    const json_t *x = json_array_get(json_object_get(r->json, key), i);
    if (!json_is_number(x))
        fail_msg("no figure %s[%zu]", key, i);
    return json_number_value(x);
}

/* ---- storages ---------------------------------------------------------------------------------- */

/* Elements [first, first + count) of the tensor named as the storage; all when count is 0. */
static void load(Session *s, int32_t id, const SafeTensors *from, int64_t first, int64_t count)
{
    const PlanStorage *st = &session_plan(s)->storages[id];
    const char *name = plan_string(session_plan(s), st->name);
    const SafeTensor *t = safetensors_find(from, name);
    Error err;
    if (!t)
        fail_msg("no tensor %s", name);
    if (!safetensors_read(t, (DType)st->dtype, first, count ? count : t->count,
                          session_storage(s, id), &err))
        fail_msg("%s: %s", name, err.text);
}

static void load_weights(Session *s, const Reference *r)
{
    const Plan *p = session_plan(s);
    size_t n = 0;
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++)
        if (p->storages[i].class == PLAN_PARAM) {
            const SafeTensor *t = safetensors_find(&r->weights, plan_string(p, p->storages[i].name));
            assert_non_null(t);
            assert_int_equal((size_t)t->count * sizeof(float), storage_bytes(p, i, UINT32_MAX));
            load(s, i, &r->weights, 0, 0);
            n++;
        }
    assert_int_equal(n, r->weights.n);
}

/* Rows batch * step and following of every input that has batches. */
static void load_batch(Session *s, const Reference *r, int64_t step, int64_t batch)
{
    const Plan *p = session_plan(s);
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++) {
        const char *name = plan_string(p, p->storages[i].name);
        if (p->storages[i].class != PLAN_INPUT || name[0] == '$' || !session_storage(s, i))
            continue;
        const SafeTensor *t = safetensors_find(&r->batches, name);
        assert_non_null(t);
        assert_int_equal(t->dim[0], batch * STEPS);
        const int64_t count = t->count / STEPS;
        load(s, i, &r->batches, step * count, count);
    }
}

static void bind_batch(Session *s, PlanProgramKind program, const Case *c)
{
    const Plan *p = session_plan(s);
    int64_t sizes[MAX_SYMBOLS];
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = 1;
    sizes[plan_symbol(p, PLAN_BATCH)] = c->batch;
    if (c->sequence)
        sizes[plan_symbol(p, PLAN_SEQUENCE)] = c->sequence;
    bind(s, program, sizes);
}

/* ---- comparison -------------------------------------------------------------------------------- */

static double scalar(const Session *s, const char *name)
{
    return (double)*(const float *)output(s, PLAN_train, name).data;
}

static void expect_near(const Case *c, int level, const char *what, size_t i, double got,
                        double want, double allowed)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s -O%d, %s[%zu]: %.9g, PyTorch %.9g; off by %.2g where %.2g is allowed",
                 c->model.name, level, what, i, got, want, fabs(got - want), allowed);
}

/* Norm of a parameter after the last step.  The gradient of the keys' biases is zero but for rounding
 * noise, whose sign Adam follows. */
static void check_norms(const Case *c, int level, Session *s, const Reference *r)
{
    const json_t *norms = json_object_get(r->json, "final_norms_f64");
    const Plan *p = session_plan(s);
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++) {
        const char *name = plan_string(p, p->storages[i].name);
        const float *x = session_storage(s, i);
        double sum = 0;
        if (p->storages[i].class != PLAN_PARAM || strstr(name, "c_attn.bias"))
            continue;
        for (size_t k = 0; k < storage_bytes(p, i, UINT32_MAX) / sizeof *x; k++)
            sum += (double)x[k] * (double)x[k];
        const double want = json_number_value(json_object_get(norms, name));
        expect_near(c, level, name, 0, sqrt(sum), want, 2e-6 * want);
    }
}

static void train(const Compiled *compiled, const Case *c, int level, const Reference *r)
{
    Session *s = compiled_session(compiled, 1u << PLAN_train, 2, NULL);
    load_weights(s, r);
    bind_batch(s, PLAN_train, c);
    *(float *)session_storage_named(s, "$clip") = 1;
    *(float *)session_storage_named(s, "$lr") = c->lr;
    int32_t *step = session_storage_named(s, "$step");
    double worst = 0;
    for (int32_t i = 0; i < STEPS; i++) {
        if (step)
            *step = i + 1;
        load_batch(s, r, i, c->batch);
        session_run(s, PLAN_train);
        const double loss = scalar(s, "loss"), norm = scalar(s, "grad_norm");
        const double want = figure(r, "grad_norms_f64", (size_t)i);
        expect_near(c, level, "losses", (size_t)i, loss, figure(r, "losses", (size_t)i), 1e-4);
        expect_near(c, level, "losses_f64", (size_t)i, loss, figure(r, "losses_f64", (size_t)i),
                    1e-5);
        expect_near(c, level, "grad_norms", (size_t)i, norm, want, 1e-4 * want);
        worst = fmax(worst, fabs(loss - figure(r, "losses_f64", (size_t)i)));
    }
    check_norms(c, level, s, r);
    print_message("%s -O%d: losses within %.1e\n", c->model.name, level, worst);
    session_close(s);
}

/* Outputs of the initial weights: of sequence 0, or of the whole batch of a model without one. */
static void score(const Compiled *compiled, const Case *c, int level, const Reference *r)
{
    Session *s = compiled_session(compiled, 1u << PLAN_score, 2, NULL);
    load_weights(s, r);
    bind_batch(s, PLAN_score, c);
    load_batch(s, r, 0, c->batch);
    session_run(s, PLAN_score);
    const json_t *rows = json_object_get(r->json, c->first);
    const Operand o = output(s, PLAN_score, c->out);
    const int row = o.rank - 2, column = o.rank - 1;
    assert_int_equal((int64_t)json_array_size(rows), o.dim[row]);
    for (int64_t t = 0; t < o.dim[row]; t++) {
        const json_t *values = json_array_get(rows, (size_t)t);
        assert_int_equal((int64_t)json_array_size(values), o.dim[column]);
        for (int64_t v = 0; v < o.dim[column]; v++)
            expect_near(c, level, c->first, (size_t)(t * o.dim[column] + v),
                        (double)((const float *)o.data)[t * o.stride[row] + v * o.stride[column]],
                        json_number_value(json_array_get(values, (size_t)v)), 1e-4);
    }
    session_close(s);
}

static void check_case(const Case *c, int level)
{
    const CompileOptions co = { .level = level, .batch = c->batch, .sequence = c->sequence,
                                .programs = 1u << PROGRAM_score | 1u << PROGRAM_train };
    Compiled compiled;
    Reference r;
    reference_open(&r, c);
    assert_int_equal(json_integer_value(json_object_get(r.json, "batch")), c->batch);
    compiled_open(&compiled, &c->model, &co);
    score(&compiled, c, level, &r);
    train(&compiled, c, level, &r);
    compiled_close(&compiled);
    reference_close(&r);
}

static void test_torch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(&cases[i], 0);
        check_case(&cases[i], 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_torch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
