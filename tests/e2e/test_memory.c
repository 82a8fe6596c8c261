/* Memory of a session: one block of the size that was stated, nothing more while it works, and a
 * clean way out when there is none.  The allocator's functions are replaced by ones that count, and
 * that fail where they are told to. */
#include "tests/e2e/compiled.h"

#include "base/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- the allocator that counts ----------------------------------------------------------------- */

static atomic_bool watching;
static atomic_size_t n_taken, n_given, bytes_taken;
static atomic_size_t fail_at;           /* the allocation that fails, from 1; 0: none */

/* Counts one allocation; false when it is to fail. */
static bool allocation(size_t bytes)
{
    if (!watching)
        return true;
    bytes_taken += bytes;
    const size_t index = ++n_taken;
    return index != fail_at;
}

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

void *malloc(size_t n)
{
    return allocation(n) ? __libc_malloc(n) : NULL;
}

void *calloc(size_t n, size_t size)
{
    return allocation(n * size) ? __libc_calloc(n, size) : NULL;
}

void *realloc(void *p, size_t n)
{
    if (!allocation(n))
        return NULL;
    if (watching && p)
        n_given++;
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return allocation(n) ? __libc_memalign(align, n) : NULL;
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = allocation(n) ? __libc_memalign(align, n) : NULL;
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    if (watching && p)
        n_given++;
    __libc_free(p);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (allocation(n))
        return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int munmap(void *p, size_t n)
{
    if (watching)
        n_given++;
    return (int)syscall(SYS_munmap, p, n);
}

static char *large_from, *large_to;     /* memory that large pages were asked for */

int madvise(void *p, size_t n, int advice)
{
    if (watching && advice == MADV_HUGEPAGE) {
        large_from = p;
        large_to = large_from + n;
    }
    return (int)syscall(SYS_madvise, p, n, advice);
}

static void watch(size_t failing)
{
    large_from = large_to = NULL;
    n_taken = n_given = bytes_taken = 0;
    fail_at = failing;
    watching = true;
}

static void rest(void)
{
    watching = false;
}

/* ---- a model ----------------------------------------------------------------------------------- */

static const ModelSpec model = {
    "llama", { "vocab=67", "context=40", "width=32", "depth=2", "heads=4", "kv_heads=2",
               "hidden=80" },
};
static const char plan_path[] = BINARY_DIR "/test_memory.smp";
enum { ALL = (1u << N_PLAN_PROGRAMS) - 1 };

static void open_model(Compiled *c)
{
    const CompileOptions co = { .level = 2, .batch = 3, .sequence = 33, .chunk = 8 };
    compiled_open(c, &model, &co);
}

/* ---- one block --------------------------------------------------------------------------------- */

/* Besides the block there is only what the system takes to start a thread, such as its table of
 * thread-local storage. */
enum { A_THREAD = 4096 };

static void expect_one_block(const Compiled *c, uint32_t programs, int n_threads)
{
    const SessionOptions o = { .n_threads = n_threads, .programs = programs };
    SessionSize size;
    Session *s;
    Error err;
    watch(0);
    assert_true(session_size(&c->plan, &o, &size, &err));
    rest();
    assert_int_equal(n_taken, 0);
    watch(0);
    assert_true(session_open(&c->plan, &o, &s, &err));
    rest();
    assert_in_range(n_taken, 1, n_threads);
    assert_in_range(bytes_taken, size.total, size.total + (size_t)(n_threads - 1) * A_THREAD);
    assert_int_equal(size.total, size.params + size.state + size.inputs + size.pool + size.scratch
                                     + size.instrs);
    watch(0);
    session_close(s);
    rest();
    assert_in_range(n_given, 1, n_threads);
}

static void test_one_block(void **state)
{
    (void)state;
    Compiled c;
    open_model(&c);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        expect_one_block(&c, ALL, n_threads);
        expect_one_block(&c, 1u << PLAN_train, n_threads);
        expect_one_block(&c, 1u << PLAN_score | 1u << PLAN_generate, n_threads);
    }
    compiled_close(&c);
}

/* All large pages that are wholly in the block are asked for, and none of a small block. */
static void expect_large_pages(const char *vocab, size_t at_least)
{
    const CompileOptions co = { .level = 2, .batch = 1, .sequence = 8, .programs = 1u << PROGRAM_score };
    const SessionOptions o = { .n_threads = 1, .programs = 1u << PLAN_score };
    const size_t page = (size_t)2 << 20;
    ModelSpec wide = model;
    SessionSize size;
    Compiled c;
    Session *s;
    Error err;
    wide.defines[0] = vocab;
    compiled_open(&c, &wide, &co);
    watch(0);
    assert_true(session_size(&c.plan, &o, &size, &err) && session_open(&c.plan, &o, &s, &err));
    rest();
    assert_int_equal((uintptr_t)large_from % page, 0);
    assert_in_range(large_to - large_from, at_least * page, size.total);
    assert_true(at_least == 0 || (size_t)(large_to - large_from) + 2 * page > size.total);
    session_close(s);
    compiled_close(&c);
}

static void test_large_pages(void **state)
{
    (void)state;
    expect_large_pages("vocab=67", 0);
    expect_large_pages("vocab=64000", 3);
}

/* ---- a session at work ------------------------------------------------------------------------- */

/* Binds anew and runs; nothing may be taken or given back. */
static void expect_no_allocation(Session *s, PlanProgramKind program,
                                 const int64_t sizes[MAX_SYMBOLS])
{
    Error err;
    Operand o;
    const char *name = program == PLAN_apply ? "grad_norm" : program == PLAN_score
                       || program == PLAN_generate ? "logits" : "loss";
    watch(0);
    bool ok = session_bind(s, program, sizes, &err);
    session_run(s, program);
    ok = session_output(s, program, name, &o) && ok;
    rest();
    assert_true(ok);
    if (n_taken || n_given)
        fail_msg("program %s: %zu allocations, %zu given back", plan_program_name(program),
                 (size_t)n_taken, (size_t)n_given);
}

static void test_no_allocation(void **state)
{
    (void)state;
    Compiled c;
    open_model(&c);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        Session *s = compiled_session(&c, ALL, n_threads, NULL);
        int64_t sizes[MAX_SYMBOLS], ones[MAX_SYMBOLS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
        fill_storages(s, ALL, 5);
        largest_sizes(&c.plan, PLAN_score, sizes);
        bind(s, PLAN_score, sizes);
        session_run(s, PLAN_score);
        for (PlanProgramKind k = 0; k < N_PLAN_PROGRAMS; k++) {
            largest_sizes(&c.plan, k, sizes);
            expect_no_allocation(s, k, sizes);
            expect_no_allocation(s, k, ones);
            expect_no_allocation(s, k, sizes);
        }
        session_close(s);
    }
    compiled_close(&c);
}

/* ---- no memory --------------------------------------------------------------------------------- */

/* Opens plan and session with allocation `n` failing; true when there was none so late. */
static bool open_failing(size_t n)
{
    const SessionOptions o = { .n_threads = 2, .programs = ALL };
    Error err = { "" };
    Plan plan;
    Session *s = NULL;
    watch(n);
    const bool opened = plan_open(plan_path, &plan, &err);
    const bool ok = opened && session_open(&plan, &o, &s, &err);
    if (ok)
        session_close(s);
    if (opened)
        plan_close(&plan);
    rest();
    const bool failed = n_taken >= n;
    assert_int_equal(ok, !failed);
    assert_int_equal(n_taken - failed, n_given);
    if (failed)
        print_message("allocation %zu: %s\n", n, err.text);
    assert_true(ok || err.text[0]);
    return !failed;
}

static void test_no_memory(void **state)
{
    (void)state;
    Compiled c;
    Error err;
    size_t n = 1;
    open_model(&c);
    if (!file_replace(plan_path, c.bytes.data, c.bytes.len, &err))
        fail_msg("%s", err.text);
    while (!open_failing(n))
        n++;
    assert_true(n > 3);                 /* the map, the kernels, the session at least */
    unlink(plan_path);
    compiled_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_block),
        cmocka_unit_test(test_large_pages),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
