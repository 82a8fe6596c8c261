/* Panels kept on disk: what was written comes back, and nothing else is ever taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "runtime/packed_weights.h"
#include "runtime/weights.h"
#include "tests/runtime/scratch_dir.h"

enum { KEY = 77, MAX_FILE = 1 << 24 };
static const char path[] = "packed.bin";

static Session *open_stored(Plan *p)
{
    const SessionOptions o = { .n_threads = 2, .programs = 1u << PLAN_score };
    Session *s = NULL;
    Error err;
    if (!plan_open(STORED_PLAN, p, &err) || !session_open(p, &o, &s, &err))
        fail_msg("%s", err.text);
    weights_init(s, 5);
    return s;
}

static void panels_come_back(void **state)
{
    (void)state;
    Plan p;
    Session *s = open_stored(&p);
    PackedWeights *w;
    Error err;
    unsigned n = 0;
    if (!packed_write(s, path, KEY, &err) || !packed_open(&p, path, KEY, &w, &err))
        fail_msg("%s", err.text);
    for (int32_t i = 0; i < (int32_t)p.n_storages; i++) {
        const PlanStorage *st = &p.storages[i];
        size_t bytes, want;
        const void *panels = packed_panels(w, i, &bytes);
        assert_int_equal(panels != NULL, st->class == PLAN_PARAM && dtype_block((DType)st->dtype) > 1);
        if (!panels)
            continue;
        assert_true(plan_storage_bytes(&p, st, UINT32_MAX, &want));
        assert_int_equal(bytes, want);
        assert_memory_equal(panels, session_storage(s, i), bytes);
        assert_int_equal((uintptr_t)panels % 64, 0);
        n++;
    }
    assert_true(n > 4);
    packed_close(w);
    session_close(s);
    plan_close(&p);
}

static void expect_refused(const Plan *p, const void *data, size_t n, uint64_t key, const char *why)
{
    PackedWeights *w;
    Error err = { "" };
    assert_true(file_replace(path, data, n, &err));
    assert_false(packed_open(p, path, key, &w, &err));
    assert_null(w);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

/* Any byte changed, a piece cut off or added, another source or plan. */
static void nothing_else_is_trusted(void **state)
{
    (void)state;
    Plan p, tiny;
    Session *s = open_stored(&p);
    Buf file = { 0 };
    PackedWeights *w;
    Error err;
    assert_true(packed_write(s, path, KEY, &err) && file_read(path, MAX_FILE, &file, &err));
    uint8_t *bytes = (uint8_t *)file.data;
    for (size_t at = 0; at < file.len; at += at < 128 ? 3 : 1999) {
        bytes[at] ^= (uint8_t)(1 << at % 8);
        expect_refused(&p, bytes, file.len, KEY, "packed.bin: it");
        bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    for (size_t cut = 1; cut < file.len; cut = 3 * cut + 1)
        expect_refused(&p, bytes, file.len - cut, KEY, "bytes, not");
    expect_refused(&p, "", 0, KEY, "it has 0 bytes");
    buf_putc(&file, 0);
    expect_refused(&p, file.data, file.len, KEY, "bytes, not");
    expect_refused(&p, file.data, file.len - 1, KEY + 1, "of another source");
    assert_true(plan_open(TINY_PLAN, &tiny, &err));
    expect_refused(&tiny, file.data, file.len - 1, KEY, "no weights in blocks");
    unlink(path);
    assert_false(packed_open(&p, path, KEY, &w, &err));
    plan_close(&tiny);
    buf_free(&file);
    session_close(s);
    plan_close(&p);
}

/* A table that says something else is refused before anything is looked up by it. */
static void tables_are_not_followed(void **state)
{
    (void)state;
    enum { RECORD = 64, OFFSET = 32 };
    Plan p;
    Session *s = open_stored(&p);
    Buf file = { 0 };
    Error err;
    assert_true(packed_write(s, path, KEY, &err) && file_read(path, MAX_FILE, &file, &err));
    const uint64_t far = (uint64_t)1 << 40;
    memcpy(file.data + RECORD + OFFSET, &far, sizeof far);
    expect_refused(&p, file.data, file.len, KEY, "another source, plan or version");
    buf_free(&file);
    session_close(s);
    plan_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(panels_come_back, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(nothing_else_is_trusted, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(tables_are_not_followed, enter_scratch, leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
