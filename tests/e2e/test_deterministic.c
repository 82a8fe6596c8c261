/* The same text gives the same plan: compiled twice in one process, and in two processes, where
 * addresses differ. */
#include "tests/e2e/compiled.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const models[] = { "gpt2", "llama", "chargpt", "profile", "mlp" };
static const char *const sizes[] = { "vocab=67", "width=32", "depth=2", "heads=4" };

static void expect_same(const char *what, const Buf *a, const Buf *b)
{
    assert_true(a->len > 0);
    if (a->len != b->len || memcmp(a->data, b->data, a->len) != 0)
        fail_msg("%s: two plans of one model differ", what);
}

static void test_one_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int level = 0; level <= 2; level += 2) {
            const CompileOptions co = { .level = level, .batch = 3 };
            ModelSpec spec = { .name = models[i] };
            Buf a = { 0 }, b = { 0 };
            if (strcmp(models[i], "mlp") != 0)
                memcpy(spec.defines, sizes, sizeof sizes);
            compile_bytes(&spec, &co, &a);
            void *moved = malloc(1 << 20);      /* later allocations lie elsewhere */
            compile_bytes(&spec, &co, &b);
            free(moved);
            expect_same(models[i], &a, &b);
            buf_free(&a);
            buf_free(&b);
        }
}

/* What a compiler in a process of its own writes. */
static void compile_apart(const char *model, Buf *out)
{
    char command[1024], path[256];
    Error err;
    snprintf(path, sizeof path, "%s/test_deterministic_%s.smp", BINARY_DIR, model);
    snprintf(command, sizeof command, "'%s' compile '%s/models/%s.smg' --batch 1 --seq 32 -o '%s'",
             SMC, SOURCE_DIR, model, path);
    if (strcmp(model, "mlp") == 0)
        snprintf(command, sizeof command, "'%s' compile '%s/models/%s.smg' -o '%s'", SMC,
                 SOURCE_DIR, model, path);
    assert_int_equal(system(command), 0);
    if (!file_read(path, SIZE_MAX, out, &err))
        fail_msg("%s", err.text);
    unlink(path);
}

/* At their full sizes. */
static void test_two_processes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        Buf a = { 0 }, b = { 0 };
        compile_apart(models[i], &a);
        compile_apart(models[i], &b);
        expect_same(models[i], &a, &b);
        buf_free(&a);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_process),
        cmocka_unit_test(test_two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
