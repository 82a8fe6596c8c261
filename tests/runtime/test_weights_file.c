/* Weights that stay in their file: the same numbers as copied ones, memory that is not taken, and files that
 * do not allow it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "runtime/weights.h"
#include "runtime/weights_file.h"
#include "tests/runtime/scratch_dir.h"

enum { PROGRAMS = 1u << PLAN_score };

static void open_plan(Plan *p, const char *path)
{
    Error err;
    if (!plan_open(path, p, &err))
        fail_msg("%s", err.text);
}

static Session *open_session(const Plan *p, void *const *given, SessionSize *size)
{
    const SessionOptions o = { .n_threads = 1, .programs = PROGRAMS, .given = given };
    Session *s = NULL;
    Error err;
    if (!session_size(p, &o, size, &err) || !session_open(p, &o, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* A number for every element of every parameter, as floats whatever the plan stores. */
static void write_weights(const Plan *p, const char *path)
{
    const int64_t none[MAX_SYMBOLS] = { 0 };
    SafeEntry entries[64] = { 0 };
    size_t n = 0;
    Error err;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        int64_t count;
        if (st->class != PLAN_PARAM)
            continue;
        assert_true(n < COUNT_OF(entries) && plan_storage_count(st, none, &count));
        float *x = malloc((size_t)count * sizeof *x);
        assert_non_null(x);
        for (int64_t k = 0; k < count; k++)
            x[k] = (float)random_normal(4, i, (uint64_t)k) / 8;
        entries[n] = (SafeEntry){ .name = plan_string(p, st->name), .type = DTYPE_f32, .rank = st->rank,
                                  .data = x };
        for (uint32_t a = 0; a < st->rank; a++)
            entries[n].dim[a] = st->dim[a].coef;
        n++;
    }
    assert_true(safetensors_write(path, entries, n, &err));
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)entries[i].data);
}

static WeightsFile *open_file(const Plan *p, const char *path)
{
    WeightsFile *f;
    Error err;
    if (!weights_file_open(p, path, false, &f, &err))
        fail_msg("%s", err.text);
    return f;
}

/* The logits of a few ids. */
static void run(Session *s, float out[50])
{
    int64_t sizes[MAX_SYMBOLS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    Operand logits;
    Error err;
    sizes[plan_symbol(session_plan(s), PLAN_SEQUENCE)] = 5;
    assert_true(session_bind(s, PLAN_score, sizes, &err));
    int32_t *ids = session_storage_named(s, "tokens");
    for (int32_t i = 0; i < 5; i++)
        ids[i] = 7 * i + 3;
    session_run(s, PLAN_score);
    assert_true(session_output(s, PLAN_score, "logits", &logits));
    for (int64_t v = 0; v < 50; v++)
        out[v] = ((const float *)logits.data)[4 * logits.stride[1] + v * logits.stride[2]];
}

/* Every parameter is where the file is: the session is smaller by all of them, and works the same. */
static void nothing_is_copied_that_need_not_be(void **state)
{
    (void)state;
    Plan p;
    SessionSize copied, mapped;
    Error err;
    int64_t count, bytes;
    uint32_t n_tensors;
    float want[50], got[50];
    open_plan(&p, TINY_PLAN);
    write_weights(&p, "model.safetensors");
    Session *own = open_session(&p, NULL, &copied);
    assert_true(weights_load(own, WEIGHTS_PARAMS, "model.safetensors", true, &err));
    run(own, want);
    WeightsFile *f = open_file(&p, "model.safetensors");
    Session *s = open_session(&p, weights_file_given(f), &mapped);
    assert_true(weights_file_load(f, s, &err));
    run(s, got);
    weights_count(&p, &count, &bytes, &n_tensors);
    assert_int_equal(weights_file_bytes(f), bytes);
    assert_int_equal(mapped.params, 0);
    assert_int_equal(copied.total - mapped.total, copied.params);
    assert_memory_equal(want, got, sizeof want);
    session_close(own);
    session_close(s);
    weights_file_close(f);
    plan_close(&p);
}

/* What is written to such a parameter reaches no file. */
static void writes_stay_in_memory(void **state)
{
    (void)state;
    Plan p;
    SessionSize size;
    Buf before = { 0 }, after = { 0 };
    Error err;
    open_plan(&p, TINY_PLAN);
    write_weights(&p, "model.safetensors");
    assert_true(file_read("model.safetensors", 1 << 24, &before, &err));
    WeightsFile *f = open_file(&p, "model.safetensors");
    Session *s = open_session(&p, weights_file_given(f), &size);
    for (int32_t i = 0; i < (int32_t)p.n_storages; i++)
        if (weights_file_given(f)[i])
            *(volatile float *)session_storage(s, i) = 1e9f;
    session_close(s);
    weights_file_close(f);
    assert_true(file_read("model.safetensors", 1 << 24, &after, &err));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    buf_free(&before);
    buf_free(&after);
    plan_close(&p);
}

/* Blocks become panels and floats become bf16: copied, as before; what is f32 in both stays. */
static void other_types_are_copied(void **state)
{
    (void)state;
    Plan p;
    SessionSize size;
    Error err;
    float want[50], got[50];
    open_plan(&p, STORED_PLAN);
    write_weights(&p, "model.safetensors");
    Session *own = open_session(&p, NULL, &size);
    assert_true(weights_load(own, WEIGHTS_PARAMS, "model.safetensors", false, &err));
    run(own, want);
    WeightsFile *f = open_file(&p, "model.safetensors");
    Session *s = open_session(&p, weights_file_given(f), &size);
    assert_true(weights_file_load(f, s, &err));
    run(s, got);
    assert_memory_equal(want, got, sizeof want);
    for (int32_t i = 0; i < (int32_t)p.n_storages; i++)
        assert_true((weights_file_given(f)[i] != NULL)
                    == (p.storages[i].class == PLAN_PARAM && p.storages[i].dtype == DTYPE_f32));
    session_close(own);
    session_close(s);
    weights_file_close(f);
    plan_close(&p);
}

/* The file again with `shift` blanks behind its header, and without its checksum. */
static void shift_data(const char *from, const char *to, unsigned shift)
{
    Buf file = { 0 }, out = { 0 };
    Error err;
    uint64_t n;
    assert_true(file_read(from, 1 << 24, &file, &err));
    memcpy(&n, file.data, sizeof n);
    const uint64_t longer = n + shift;
    buf_add(&out, &longer, sizeof longer);
    buf_add(&out, file.data + 8, n);
    for (unsigned i = 0; i < shift; i++)
        buf_putc(&out, ' ');
    buf_add(&out, file.data + 8 + n, file.len - 8 - n);
    assert_true(file_replace(to, out.data, out.len, &err));
    buf_free(&file);
    buf_free(&out);
}

static void unaligned_tensors_are_copied(void **state)
{
    (void)state;
    Plan p;
    SessionSize size;
    Error err;
    float want[50], got[50];
    open_plan(&p, TINY_PLAN);
    write_weights(&p, "model.safetensors");
    for (unsigned shift = 0; shift < 5; shift++) {
        shift_data("model.safetensors", "shifted.safetensors", shift);
        WeightsFile *f = open_file(&p, "shifted.safetensors");
        assert_int_equal(weights_file_bytes(f) == 0, shift % 4 != 0);
        Session *s = open_session(&p, weights_file_given(f), &size);
        assert_true(weights_file_load(f, s, &err));
        run(s, shift == 0 ? want : got);
        if (shift)
            assert_memory_equal(want, got, sizeof want);
        session_close(s);
        weights_file_close(f);
    }
    plan_close(&p);
}

/* A file that lacks its end is refused before anything is read from it. */
static void short_files_are_refused(void **state)
{
    (void)state;
    Plan p;
    Buf file = { 0 };
    Error err;
    open_plan(&p, TINY_PLAN);
    write_weights(&p, "model.safetensors");
    assert_true(file_read("model.safetensors", 1 << 24, &file, &err));
    for (size_t cut = 1; cut < 5000; cut += 999) {
        WeightsFile *f;
        assert_true(file_replace("cut.safetensors", file.data, file.len - cut, &err));
        assert_false(weights_file_open(&p, "cut.safetensors", false, &f, &err));
        assert_non_null(strstr(err.text, "cut.safetensors"));
        weights_file_close(f);
    }
    buf_free(&file);
    plan_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_copied_that_need_not_be, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(writes_stay_in_memory, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(other_types_are_copied, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(unaligned_tensors_are_copied, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(short_files_are_refused, enter_scratch, leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
