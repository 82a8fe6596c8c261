/* Quantising a GGUF file: what is rounded and to what, values carried over, faults that name the place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/check.h"
#include "runtime/quantize.h"
#include "tests/runtime/scratch_dir.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 3, LONG = 512, SHORT = 96, ODD = 40 };

static const char source[] = "source.gguf", target[] = "target.gguf";
static float numbers[ROWS * LONG];

/* Four weights: rows of whole blocks of 256, of 32, of neither; and norms, which stay. */
static void write_source(const char *spoiled)
{
    GgufWriter w = { 0 };
    Error err;
    static const GgufString words[] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
    for (int i = 0; i < ROWS * LONG; i++)
        numbers[i] = (float)sin(i * 0.37) * (1 + (float)(i % 11));
    numbers[LONG + 7] = spoiled && strcmp(spoiled, "nan") == 0 ? NAN : spoiled ? 1e30f : 1;
    gguf_add_string(&w, "general.architecture", "llama");
    gguf_add_u32(&w, "general.file_type", 0);
    gguf_add_strings(&w, "tokenizer.ggml.tokens", words, 3);
    gguf_add_array(&w, "tokenizer.ggml.scores", GGUF_f32, numbers, 3);
    gguf_add_tensor(&w, "a.weight", GGML_f32, 2, (uint64_t[]){ LONG, ROWS });
    gguf_add_tensor(&w, "b.weight", GGML_f32, 3, (uint64_t[]){ SHORT, ROWS, 2 });
    gguf_add_tensor(&w, "c.weight", GGML_f32, 2, (uint64_t[]){ ODD, 2 });
    gguf_add_tensor(&w, "a_norm.weight", GGML_f32, 1, (uint64_t[]){ LONG });
    gguf_add_tensor(&w, "position_embd.weight", GGML_f32, 2, (uint64_t[]){ LONG, 2 });
    assert_true(gguf_write_begin(&w, source, &err));
    gguf_write_data(&w, numbers, ROWS * LONG * sizeof *numbers);
    gguf_write_data(&w, numbers, ROWS * 2 * SHORT * sizeof *numbers);
    gguf_write_data(&w, numbers, 2 * ODD * sizeof *numbers);
    gguf_write_data(&w, numbers, LONG * sizeof *numbers);
    gguf_write_data(&w, numbers, 2 * LONG * sizeof *numbers);
    assert_true(gguf_write_end(&w, &err));
}

static bool quantize(DType type, const QuantizeRule *rule, int threads, QuantizeReport *r, Error *err)
{
    Progress silent = { 0 };
    const QuantizeOptions o = { .type = type, .rules = rule, .n_rules = rule != NULL, .n_threads = threads };
    return quantize_gguf(source, &o, target, &silent, r, err);
}

static void assert_type(const Gguf *g, const char *name, GgmlType t)
{
    const GgufTensor *tensor = gguf_find_tensor(g, name);
    assert_non_null(tensor);
    if (tensor->type != t)
        fail_msg("%s is %s", name, ggml_type_name((GgmlType)tensor->type));
}

static void rows_choose_the_type(void **state)
{
    (void)state;
    Error err;
    Gguf g;
    QuantizeReport r;
    uint64_t type;
    write_source(NULL);
    assert_true(quantize(DTYPE_q4_k, NULL, 2, &r, &err));
    assert_true(gguf_open(target, &g, &err));
    assert_type(&g, "a.weight", GGML_q4_k);
    assert_type(&g, "b.weight", GGML_q5_0);
    assert_type(&g, "c.weight", GGML_f16);
    assert_type(&g, "a_norm.weight", GGML_f32);
    assert_type(&g, "position_embd.weight", GGML_f32);
    assert_memory_equal(gguf_find_tensor(&g, "a_norm.weight")->data, numbers, LONG * sizeof *numbers);
    assert_true(gguf_get_u64(&g, "general.file_type", &type));
    assert_int_equal(type, 14);
    const GgufValue *words = gguf_find(&g, "tokenizer.ggml.tokens");
    assert_int_equal(words->n, 3);
    gguf_close(&g);
    quantize_report_free(&r);
}

static void the_report_tells_the_errors(void **state)
{
    (void)state;
    Error err;
    Gguf g;
    QuantizeReport r;
    static float back[ROWS * LONG];
    double error = 0, sum = 0, largest = 0;
    write_source(NULL);
    assert_true(quantize(DTYPE_q8_0, NULL, 1, &r, &err));
    assert_true(gguf_open(target, &g, &err));
    blocks_decode(DTYPE_q8_0, ROWS * LONG, gguf_find_tensor(&g, "a.weight")->data, back);
    for (int i = 0; i < ROWS * LONG; i++) {
        double d = fabs((double)back[i] - (double)numbers[i]);
        error += d * d;
        sum += (double)numbers[i] * (double)numbers[i];
        largest = fmax(largest, d);
    }
    assert_string_equal(r.tensor[0].name, "a.weight");
    assert_true(largest > 0 && r.tensor[0].largest_error == largest);
    assert_true(fabs(quantize_relative_error(r.tensor[0].error_squares, r.tensor[0].sum_squares)
                     - sqrt(error / sum)) < 1e-12);
    assert_true(r.bytes_to < r.bytes_from);
    gguf_close(&g);
    quantize_report_free(&r);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    Error err;
    QuantizeReport r;
    Buf one = { 0 }, three = { 0 };
    write_source(NULL);
    assert_true(quantize(DTYPE_q6_k, NULL, 1, &r, &err));
    quantize_report_free(&r);
    assert_true(file_read(target, 1 << 20, &one, &err));
    assert_true(quantize(DTYPE_q6_k, NULL, 3, &r, &err));
    quantize_report_free(&r);
    assert_true(file_read(target, 1 << 20, &three, &err));
    assert_int_equal(one.len, three.len);
    assert_memory_equal(one.data, three.data, one.len);
    buf_free(&one);
    buf_free(&three);
}

static void rules_hold_for_names(void **state)
{
    (void)state;
    Error err;
    Gguf g;
    QuantizeReport r;
    write_source(NULL);
    assert_true(quantize(DTYPE_q4_0, &(QuantizeRule){ "a*", DTYPE_q8_0 }, 1, &r, &err));
    assert_true(gguf_open(target, &g, &err));
    assert_type(&g, "a.weight", GGML_q8_0);
    assert_type(&g, "a_norm.weight", GGML_q8_0);
    assert_type(&g, "b.weight", GGML_q4_0);
    gguf_close(&g);
    quantize_report_free(&r);
    assert_false(quantize(DTYPE_q4_0, &(QuantizeRule){ "c.*", DTYPE_q6_k }, 1, &r, &err));
    assert_non_null(strstr(err.text, "tensor c.weight"));
    quantize_report_free(&r);
}

static void faults_name_tensor_and_row(void **state)
{
    (void)state;
    static const char *const faults[] = { "nan", "huge" };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        Error err;
        QuantizeReport r;
        write_source(faults[i]);
        remove(target);
        assert_false(quantize(DTYPE_q8_0, NULL, 2, &r, &err));
        if (!strstr(err.text, "tensor a.weight, row 1: element"))
            fail_msg("%s", err.text);
        assert_false(file_exists(target));
        quantize_report_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_choose_the_type), cmocka_unit_test(the_report_tells_the_errors),
        cmocka_unit_test(threads_change_no_byte), cmocka_unit_test(rules_hold_for_names),
        cmocka_unit_test(faults_name_tensor_and_row),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
