/* Weights that the optimizer keeps in bf16 as well: a step that reads them has the bits of one whose products
 * round the weights themselves, whichever programs take part, whoever changes a weight in between, and after
 * a checkpoint, which does not hold them. */
#include "base/check.h"
#include "base/half.h"
#include "runtime/weights.h"
#include "tests/e2e/compiled.h"
#include "tests/runtime/scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { TRAINING = 1u << PLAN_train | 1u << PLAN_accumulate | 1u << PLAN_apply };

/* More rows than any kernel multiplies one by one: those sum in another order where a matrix is of bf16. */
enum { BATCH = 3, ROWS_BATCH = 40 };

typedef struct Case {
    ModelSpec spec;
    int64_t batch;
    const char *weight, *plain;         /* one that is kept in bf16, and one that no product reads */
} Case;

static const Case cases[] = {
    { { "gpt2", { "vocab=67", "context=24", "width=64", "depth=2", "heads=4", "drop=0.25" } }, BATCH,
      "wte.weight", "wpe.weight" },
    { { "gpt2", { "vocab=5003", "context=256", "width=64", "depth=1", "heads=4" } }, BATCH, "wte.weight", "wpe.weight" },
    { { "llama", { "vocab=67", "context=24", "width=64", "depth=2", "heads=4", "kv_heads=2", "hidden=80",
                   "tied=false" } }, BATCH, "lm_head.weight", "model.embed_tokens.weight" },
    { { "chargpt", { "vocab=67", "context=24", "width=64", "depth=2" } }, BATCH, NULL, NULL },
    { { "mlp", { "hidden=96" } }, ROWS_BATCH, NULL, NULL },
};

static void open_plan(const Case *k, bool copies, Compiled *c)
{
    CompileOptions o = { .level = 2, .batch = k->batch, .precision = DTYPE_bf16,
                         .programs = 1u << PROGRAM_train | 1u << PROGRAM_accumulate
                             | 1u << PROGRAM_apply };
    fusion_switch(&o.fusions, FUSE_rounded_weights, copies);
    compiled_open(c, &k->spec, &o);
}

static int32_t copy_of(const Plan *p, const char *weight)
{
    const int32_t of = plan_storage(p, weight);
    assert_true(of >= 0);
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].rounded_of == (uint32_t)of + 1)
            return (int32_t)i;
    return -1;
}

/* ---- one session ------------------------------------------------------------------------------ */

static Session *begin(const Compiled *c)
{
    Session *s = compiled_session(c, TRAINING, 2, NULL);
    int64_t sizes[MAX_SYMBOLS];
    fill_storages(s, TRAINING, 5);
    for (PlanProgramKind p = 0; p < N_PLAN_PROGRAMS; p++)
        if (TRAINING >> p & 1) {
            largest_sizes(&c->plan, p, sizes);
            bind(s, p, sizes);
        }
    return s;
}

static void run(Session *s, PlanProgramKind program, Buf *out)
{
    session_run(s, program);
    record_outputs(out, s, program);
}

/* Before anybody asks for a parameter, which would make the session round it anew. */
static void expect_copies(Session *s)
{
    const Plan *p = session_plan(s);
    uint32_t n_copies = 0;
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++) {
        if (!p->storages[i].rounded_of)
            continue;
        const int32_t of = (int32_t)p->storages[i].rounded_of - 1;
        const uint16_t *copy = session_storage(s, i);
        const float *x = session_storage(s, of);
        const size_t n = storage_bytes(p, of, TRAINING) / sizeof *x;
        for (size_t k = 0; k < n; k++)
            if (copy[k] != bf16_of_f32(x[k]))
                fail_msg("%s, element %zu: %g is kept as %g", plan_string(p, p->storages[of].name), k,
                         (double)x[k], (double)f32_of_bf16(copy[k]));
        n_copies++;
    }
    print_message("%s: %u copies\n", plan_string(p, p->header->model), n_copies);
}

/* Parameters and state, without copies. */
static void record_rest(Session *s, Buf *out)
{
    const Plan *p = session_plan(s);
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++)
        if (!p->storages[i].rounded_of && session_storage(s, i))
            buf_add(out, session_storage(s, i), storage_bytes(p, i, TRAINING));
}

static void negate_weights(Session *s)
{
    const Plan *p = session_plan(s);
    for (int32_t i = 0; i < (int32_t)p->n_storages; i++)
        if (p->storages[i].class == PLAN_PARAM) {
            float *x = session_storage(s, i);
            for (size_t k = 0; k < storage_bytes(p, i, TRAINING) / sizeof *x; k++)
                x[k] = -x[k];
        }
}

static void run_all(const Compiled *c, Buf *out)
{
    Session *s = begin(c);
    run(s, PLAN_train, out);
    run(s, PLAN_train, out);
    run(s, PLAN_accumulate, out);
    run(s, PLAN_accumulate, out);
    run(s, PLAN_apply, out);
    run(s, PLAN_train, out);
    negate_weights(s);
    run(s, PLAN_train, out);
    negate_weights(s);
    run(s, PLAN_accumulate, out);
    run(s, PLAN_apply, out);
    expect_copies(s);
    record_rest(s, out);
    session_close(s);
}

static void expect_equal(const char *what, const Buf *a, const Buf *b)
{
    size_t at = 0;
    assert_int_equal(a->len, b->len);
    while (at < a->len && a->data[at] == b->data[at])
        at++;
    if (at < a->len)
        fail_msg("%s: byte %zu of %zu differs", what, at, a->len);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Compiled with, without;
        Buf kept = { 0 }, rounded = { 0 };
        open_plan(&cases[i], true, &with);
        open_plan(&cases[i], false, &without);
        run_all(&with, &kept);
        run_all(&without, &rounded);
        expect_equal(cases[i].spec.name, &kept, &rounded);
        buf_free(&kept);
        buf_free(&rounded);
        compiled_close(&with);
        compiled_close(&without);
    }
}

/* ---- which weights ----------------------------------------------------------------------------- */

static void test_which(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Compiled with, without;
        if (!cases[i].weight)
            continue;
        open_plan(&cases[i], true, &with);
        open_plan(&cases[i], false, &without);
        const int32_t copy = copy_of(&with.plan, cases[i].weight);
        assert_true(copy >= 0);
        assert_int_equal(with.plan.storages[copy].programs, TRAINING);
        assert_int_equal(copy_of(&with.plan, cases[i].plain), -1);
        assert_int_equal(copy_of(&without.plan, cases[i].weight), -1);
        compiled_close(&with);
        compiled_close(&without);
    }
}

/* ---- checkpoints -------------------------------------------------------------------------------- */

static void must(bool ok, const Error *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

static void test_checkpoint(void **state)
{
    (void)state;
    Error err = { 0 };
    Compiled c;
    SafeTensors file;
    Buf went_on = { 0 }, resumed = { 0 };
    open_plan(&cases[0], true, &c);
    Session *a = begin(&c), *b = begin(&c);
    session_run(a, PLAN_train);
    must(weights_save(a, WEIGHTS_PARAMS, "model.safetensors", &err)
             && weights_save(a, WEIGHTS_OPTIMIZER, "optimizer.safetensors", &err), &err);
    run(a, PLAN_train, &went_on);
    must(safetensors_open("optimizer.safetensors", &file, &err), &err);
    for (size_t i = 0; i < file.n; i++)
        assert_null(strstr(file.tensors[i].name, "rounded"));
    safetensors_close(&file);
    must(weights_load(b, WEIGHTS_PARAMS, "model.safetensors", true, &err)
             && weights_load(b, WEIGHTS_OPTIMIZER, "optimizer.safetensors", true, &err), &err);
    run(b, PLAN_train, &resumed);
    record_rest(a, &went_on);
    record_rest(b, &resumed);
    expect_equal("resumed", &went_on, &resumed);
    buf_free(&went_on);
    buf_free(&resumed);
    session_close(a);
    session_close(b);
    compiled_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_which),
        cmocka_unit_test_setup_teardown(test_checkpoint, enter_scratch, leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
