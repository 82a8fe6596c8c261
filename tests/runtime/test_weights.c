/* First values of parameters, and a session's storages in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/half.h"
#include "base/random.h"
#include "runtime/kernels/panel.h"
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

/* ---- storage types --------------------------------------------------------------------------- */

static void open_stored(Opened *o, void *const *given)
{
    Error err;
    if (!plan_open(STORED_PLAN, &o->plan, &err))
        fail_msg("%s", err.text);
    const SessionOptions so = { .n_threads = 2, .programs = 1u << PLAN_score, .given = given };
    if (!session_open(&o->plan, &so, &o->session, &err))
        fail_msg("%s", err.text);
}

enum { WIDTH = 32, VOCAB = 50, CONTEXT = 32 };

static float number(uint64_t stream, int64_t i)
{
    return (float)random_normal(11, stream, (uint64_t)i);
}

/* All parameters of the stored model as floats of a file. */
static void write_floats(const Plan *p, const char *path)
{
    static float x[1 << 20];
    const int64_t none[MAX_SYMBOLS] = { 0 };
    SafeEntry entry[64];
    int64_t at = 0, count;
    size_t n = 0;
    Error err;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        if (st->class != PLAN_PARAM)
            continue;
        assert_true(plan_storage_count(st, none, &count) && at + count <= 1 << 20 && n < 64);
        entry[n] = (SafeEntry){ .name = plan_string(p, st->name), .type = DTYPE_f32,
                                .rank = st->rank, .data = x + at };
        for (uint32_t a = 0; a < st->rank; a++)
            entry[n].dim[a] = st->dim[a].coef;
        for (int64_t k = 0; k < count; k++)
            x[at++] = number(i, k);
        n++;
    }
    assert_true(safetensors_write(path, entry, n, &err));
}

static void floats_are_rounded_to_what_is_stored(void **state)
{
    (void)state;
    Opened o;
    Error err;
    open_stored(&o, NULL);
    write_floats(&o.plan, "floats.safetensors");
    if (!weights_load(o.session, WEIGHTS_PARAMS, "floats.safetensors", true, &err))
        fail_msg("%s", err.text);
    const int32_t wpe = plan_storage(&o.plan, "wpe.weight"), wte = plan_storage(&o.plan, "wte.weight");
    const uint16_t *halves = session_storage(o.session, wpe);
    assert_int_equal(o.plan.storages[wpe].dtype, DTYPE_bf16);
    for (int64_t i = 0; i < CONTEXT * WIDTH; i++)
        assert_int_equal(halves[i], bf16_of_f32(number((uint64_t)wpe, i)));
    assert_int_equal(o.plan.storages[wte].dtype, DTYPE_q8_0);
    for (int64_t r = 0; r < VOCAB; r++) {
        float x[WIDTH], want[WIDTH], got[WIDTH];
        uint8_t block[34];
        for (int64_t i = 0; i < WIDTH; i++)
            x[i] = number((uint64_t)wte, r * WIDTH + i);
        assert_true(blocks_encode(DTYPE_q8_0, WIDTH, x, block, &err));
        blocks_decode(DTYPE_q8_0, WIDTH, block, want);
        panel_decode_row(DTYPE_q8_0, WIDTH, session_storage(o.session, wte), r, got);
        assert_memory_equal(got, want, sizeof want);
    }
    assert_false(weights_save(o.session, WEIGHTS_PARAMS, "q.safetensors", &err));
    assert_non_null(strstr(err.text, "stored as q8_0, which safetensors files do not have"));
    close_tiny(&o);
}

static void first_values_are_rounded_too(void **state)
{
    (void)state;
    Opened o;
    open_stored(&o, NULL);
    weights_init(o.session, 3);
    const void *wte = session_storage_named(o.session, "wte.weight");
    double squares = 0;
    for (int64_t r = 0; r < VOCAB; r++) {
        float x[WIDTH];
        panel_decode_row(DTYPE_q8_0, WIDTH, wte, r, x);
        for (int i = 0; i < WIDTH; i++)
            squares += (double)x[i] * (double)x[i];
    }
    const double n = VOCAB * WIDTH;
    assert_true(fabs(sqrt(squares / n) - 0.02) < 5 * 0.02 / sqrt(2.0 * n) + 0.02 / 100);
    close_tiny(&o);
}

/* The same outputs, in a block smaller by what was given. */
static void storages_may_lie_elsewhere(void **state)
{
    (void)state;
    Opened a, b;
    Error err;
    SessionSize whole, rest;
    open_stored(&a, NULL);
    weights_init(a.session, 5);
    void *given[64] = { NULL };
    assert_true(a.plan.n_storages <= 64);
    for (uint32_t i = 0; i < a.plan.n_storages; i++)
        if (a.plan.storages[i].class == PLAN_PARAM)
            given[i] = session_storage(a.session, (int32_t)i);
    open_stored(&b, given);
    SessionOptions so = { .n_threads = 2, .programs = 1u << PLAN_score };
    assert_true(session_size(&a.plan, &so, &whole, &err));
    so.given = given;
    assert_true(session_size(&a.plan, &so, &rest, &err));
    assert_int_equal(rest.params, 0);
    assert_int_equal(rest.total, whole.total - whole.params);
    const int64_t sizes[MAX_SYMBOLS] = { 1, 8, 1, 1, 1, 1, 1, 1 };
    Operand x, y;
    for (int k = 0; k < 2; k++) {
        Opened *o = k ? &b : &a;
        assert_true(session_bind(o->session, PLAN_score, sizes, &err));
        int32_t *tokens = session_storage_named(o->session, "tokens");
        for (int i = 0; i < 8; i++)
            tokens[i] = 3 * i;
        session_run(o->session, PLAN_score);
        assert_true(session_output(o->session, PLAN_score, "logits", k ? &y : &x));
    }
    assert_memory_equal(x.data, y.data, 8 * VOCAB * sizeof(float));
    close_tiny(&b);
    close_tiny(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_depend_on_seed_and_path_only),
        cmocka_unit_test(files_bring_back_every_storage),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(floats_are_rounded_to_what_is_stored),
        cmocka_unit_test(first_values_are_rounded_too),
        cmocka_unit_test(storages_may_lie_elsewhere),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
