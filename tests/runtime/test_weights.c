/* First values of parameters, and a session's storages in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/weights.h"
#include "tests/runtime/scratch_dir.h"

#include <math.h>

/* A session of the tiny model, trained or not. */
typedef struct Opened {
    Plan plan;
    Session *session;
} Opened;

static void open_tiny(Opened *o)
{
    Error err;
    if (!plan_open(TINY_PLAN, &o->plan, &err))
        fail_msg("%s", err.text);
    const SessionOptions so = { .n_threads = 2, .programs = 1u << PLAN_train };
    if (!session_open(&o->plan, &so, &o->session, &err))
        fail_msg("%s", err.text);
}

static void close_tiny(Opened *o)
{
    session_close(o->session);
    plan_close(&o->plan);
}

static void values_depend_on_seed_and_path_only(void **state)
{
    (void)state;
    Opened a, b;
    open_tiny(&a);
    open_tiny(&b);
    const float *x = session_storage_named(a.session, "h.0.attn.c_attn.weight");
    const float *y = session_storage_named(b.session, "h.0.attn.c_attn.weight");
    const float *other = session_storage_named(a.session, "h.1.attn.c_attn.weight");
    const float *ones = session_storage_named(a.session, "ln_f.weight");
    enum { N = 32 * 96 };
    weights_init(a.session, 3);
    weights_init(b.session, 3);
    assert_memory_equal(x, y, N * sizeof *x);
    assert_memory_not_equal(x, other, N * sizeof *x);
    weights_init(b.session, 4);
    assert_memory_not_equal(x, y, N * sizeof *x);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    /* normal(0.02): mean and deviation within five of their own. */
    assert_true(fabs(sum / N) < 5 * 0.02 / sqrt(N));
    assert_true(fabs(sqrt(squares / N) - 0.02) < 5 * 0.02 / sqrt(2.0 * N));
    for (int i = 0; i < 32; i++)
        assert_true(ones[i] == 1);
    close_tiny(&a);
    close_tiny(&b);
}

static void files_bring_back_every_storage(void **state)
{
    (void)state;
    Opened a, b;
    open_tiny(&a);
    open_tiny(&b);
    Error err;
    weights_init(a.session, 3);
    float *m = session_storage_named(a.session, "adamw.m.wpe.weight");
    assert_non_null(m);
    m[5] = 42;
    assert_true(weights_save(a.session, WEIGHTS_PARAMS, "model.safetensors", &err));
    assert_true(weights_save(a.session, WEIGHTS_OPTIMIZER, "optimizer.safetensors", &err));
    if (!weights_load(b.session, WEIGHTS_PARAMS, "model.safetensors", true, &err)
        || !weights_load(b.session, WEIGHTS_OPTIMIZER, "optimizer.safetensors", true, &err))
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < a.plan.n_storages; i++) {
        size_t bytes;
        assert_true(plan_storage_bytes(&a.plan, &a.plan.storages[i], 1u << PLAN_train, &bytes));
        if (a.plan.storages[i].class != PLAN_INPUT && bytes)
            assert_memory_equal(session_storage(a.session, (int32_t)i),
                                session_storage(b.session, (int32_t)i), bytes);
    }
    assert_false(weights_load(b.session, WEIGHTS_PARAMS, "optimizer.safetensors", false, &err));
    assert_non_null(strstr(err.text, "optimizer.safetensors: there is no tensor wte.weight"));
    close_tiny(&a);
    close_tiny(&b);
}

/* Saves the tiny model's parameters with one thing changed. */
static void save_changed(Session *s, const char *name, int64_t rows, const char *extra)
{
    SafeEntry entries[64];
    size_t n = 0;
    Error err;
    SafeTensors st;
    assert_true(weights_save(s, WEIGHTS_PARAMS, "whole.safetensors", &err));
    assert_true(safetensors_open("whole.safetensors", &st, &err));
    for (size_t i = 0; i < st.n; i++) {
        const SafeTensor *t = &st.tensors[i];
        entries[n] = (SafeEntry){ t->name, DTYPE_f32, t->rank, { t->dim[0], t->dim[1] }, t->data };
        if (strcmp(t->name, name) == 0)
            entries[n].dim[0] = rows;
        n += strcmp(t->name, name) != 0 || rows > 0;
    }
    if (extra)
        entries[n++] = (SafeEntry){ extra, DTYPE_f32, 1, { 1 }, st.tensors[0].data };
    assert_true(safetensors_write("changed.safetensors", entries, n, &err));
    safetensors_close(&st);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    Opened a;
    Error err;
    open_tiny(&a);
    save_changed(a.session, "h.1.ln_2.bias", 0, NULL);
    assert_false(weights_load(a.session, WEIGHTS_PARAMS, "changed.safetensors", false, &err));
    assert_non_null(strstr(err.text, "no tensor h.1.ln_2.bias, which the model has as [32]; did you"));
    save_changed(a.session, "h.1.ln_2.bias", 31, NULL);
    assert_false(weights_load(a.session, WEIGHTS_PARAMS, "changed.safetensors", false, &err));
    assert_non_null(strstr(err.text, "h.1.ln_2.bias is [31]; the model has it as [32]"));
    save_changed(a.session, "", 0, "h.9.more");
    assert_true(weights_load(a.session, WEIGHTS_PARAMS, "changed.safetensors", false, &err));
    assert_false(weights_load(a.session, WEIGHTS_PARAMS, "changed.safetensors", true, &err));
    assert_non_null(strstr(err.text, "the model has no tensor h.9.more"));
    close_tiny(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_depend_on_seed_and_path_only),
        cmocka_unit_test(files_bring_back_every_storage),
        cmocka_unit_test(what_does_not_fit_is_named),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
