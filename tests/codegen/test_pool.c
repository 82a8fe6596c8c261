/* smc pool on good and bad tables; pools of the shipped models against their bounds. */
#include "base/check.h"
#include "base/file.h"
#include "codegen/compile.h"
#include "passes/specialize.h"
#include "tests/passes/lab.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- the command ------------------------------------------------------------------------------ */

static const char table[] = BINARY_DIR "/test_pool.csv", result[] = BINARY_DIR "/test_pool.out",
                  said[] = BINARY_DIR "/test_pool.err";

static void read_all(const char *path, Buf *out)
{
    Error err;
    if (!file_read(path, 1 << 20, out, &err))
        fail_msg("%s", err.text);
    buf_puts(out, "");
}

/* Runs smc pool on a table; its exit code. */
static int run_pool(const char *text, size_t n, const char *options, Buf *out, Buf *errors)
{
    char command[2048];
    Error err;
    if (!file_replace(table, text, n, &err))
        fail_msg("%s", err.text);
    snprintf(command, sizeof command, "'%s' pool '%s' %s >'%s' 2>'%s'", SMC, table, options, result,
             said);
    const int status = system(command);
    assert_true(WIFEXITED(status));
    read_all(result, out);
    read_all(said, errors);
    unlink(table);
    unlink(result);
    unlink(said);
    return WEXITSTATUS(status);
}

static void expect_run(const char *text, const char *options, int code, const char *out,
                       const char *error)
{
    Buf got = { 0 }, errors = { 0 };
    assert_int_equal(run_pool(text, strlen(text), options, &got, &errors), code);
    if (out)
        assert_string_equal(got.data ? got.data : "", out);
    if (!strstr(errors.data ? errors.data : "", error))
        fail_msg("`%s` is not in `%s`", error, errors.data);
    buf_free(&got);
    buf_free(&errors);
}

#define HEADER "id,lower,upper,size\n"

/* What ends where another begins may share its place. */
static void test_tables(void **state)
{
    (void)state;
    expect_run(HEADER "a,0,4,100\nb,4,8,60\nc,-2,5,8\n", "", 0,
               "id,lower,upper,size,offset\na,0,4,100,0\nb,4,8,60,0\nc,-2,5,8,100\n",
               "3 blocks: peak 108, bound 108, ratio 1.0000, by size, best fit");
    expect_run(HEADER, "", 0, "id,lower,upper,size,offset\n", "0 blocks: peak 0, bound 0");
    expect_run("id,lower,upper,size\r\nx,1,2,3\r\n\r\ny,1,2,3", "", 0,
               "id,lower,upper,size,offset\nx,1,2,3,0\ny,1,2,3,3\n", "peak 6");
}

static void test_capacity(void **state)
{
    (void)state;
    static const char text[] = HEADER "0,6,7,3\n1,5,8,2\n2,3,6,1\n3,4,6,2\n4,2,3,2\n5,2,4,3\n"
                               "6,3,5,1\n7,0,1,2\n";   /* 5 alive at once, 6 needed */
    expect_run(text, "--capacity 6", 0, NULL, "peak 6, bound 5");
    expect_run(text, "--capacity 5", 1, NULL, "no plan fits into 5 bytes: at least 6 are needed");
    expect_run(text, "--capacity 4", 1, NULL, "no plan fits into 4 bytes");
    expect_run(text, "--capacity 0", 2, NULL, "--capacity");
    expect_run(text, "again", 2, NULL, "");
}

static void test_json(void **state)
{
    (void)state;
    Buf got = { 0 }, errors = { 0 };
    static const char text[] = HEADER "a,0,4,100\nb,0,4,60\n";
    assert_int_equal(run_pool(text, sizeof text - 1, "--json", &got, &errors), 0);
    json_error_t why;
    json_t *root = json_loads(got.data, 0, &why), *offsets;
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "peak")), 160);
    assert_int_equal(json_integer_value(json_object_get(root, "bound")), 160);
    offsets = json_object_get(root, "offsets");
    assert_int_equal(json_array_size(offsets), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(offsets, 1), "offset")), 100);
    json_decref(root);
    buf_free(&got);
    buf_free(&errors);
}

static void test_bad_tables(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } bad[] = {
        { "", "line 1: expected `id,lower,upper,size`" },
        { "0,1,2,3\n", "line 1: expected `id,lower,upper,size`" },
        { HEADER "a,1,2\n", "line 2: expected 4 fields (id,lower,upper,size), found 3" },
        { HEADER "a,1,2,3,4\n", "found more" },
        { HEADER "a\n", "found 1" },
        { HEADER ",1,2,3\n", "line 2: id: expected" },
        { HEADER "\"q\",1,2,3\n", "id: expected" },
        { HEADER "a,one,2,3\n", "lower: expected a whole number" },
        { HEADER "a,1,2.5,3\n", "upper: expected a whole number" },
        { HEADER "a,1,2,-3\n", "size: expected a whole number from 0" },
        { HEADER "a,1,2,99999999999999999999\n", "size: expected a whole number" },
        { HEADER "a,9223372036854775807,9223372036854775807,1\n", "lower: expected" },
        { HEADER "a,1,2,3\n\nb,5,5,1\n", "line 4: upper: expected more than lower, 5, found 5" },
        { HEADER "a,0,1,2305843009213693951\nb,0,1,1\n", "line 3: size: all blocks together" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_run(bad[i].text, "", 1, "", bad[i].error);
    Buf got = { 0 }, errors = { 0 };
    static const char zero[] = HEADER "a,1,2\0,3\n";
    assert_int_equal(run_pool(zero, sizeof zero - 1, "", &got, &errors), 1);
    assert_non_null(strstr(errors.data, "a byte of value 0"));
    buf_free(&got);
    buf_free(&errors);
}

static void test_too_many_rows(void **state)
{
    (void)state;
    Buf text = { 0 };
    buf_puts(&text, HEADER);
    for (int i = 0; i <= 1 << 15; i++)
        buf_puts(&text, "a,0,1,1\n");
    expect_run(text.data, "", 1, "", "line 32770: expected at most 32768 blocks");
    buf_free(&text);
}

/* ---- models ----------------------------------------------------------------------------------- */

/* Every program of every model at its full size, one sequence and four: the peak is at most 1.001 times
 * the bound. */
static void test_models(void **state)
{
    (void)state;
    static const char *const models[] = { "chargpt", "gemma", "gpt2", "llama",
                                          "mlp",     "moe",   "phi3", "profile" };
    unsigned n_programs = 0;
    for (size_t i = 0; i < 2 * COUNT_OF(models); i++) {
        Lab l;
        char path[512];
        const char *model = models[i / 2];
        const CompileOptions options = { .level = 2, .batch = i % 2 ? 4 : 1 };
        snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", model);
        lab_model(&l, path, NULL, 0);
        for (Program p = PROGRAM_score; p < N_PROGRAMS; p++) {
            if (!program_possible(l.g, p))
                continue;
            const Graph *g = compile_program(l.g, p, &options, &l.arena, &l.scratch, &l.diags);
            if (!g)
                continue;               /* no cached generation for this one */
            n_programs++;
            assert_true(g->pool_bound > 0 && g->pool_bytes >= g->pool_bound);
            if ((double)g->pool_bytes > 1.001 * (double)g->pool_bound)
                fail_msg("%s, %s: pool of %lld, bound %lld", model, program_name(p),
                         (long long)g->pool_bytes, (long long)g->pool_bound);
        }
        lab_end(&l);
    }
    assert_true(n_programs == 2 * 47);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),   cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_json),     cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_too_many_rows), cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
