/* trainer.json and log.jsonl: kept to the bit, refused when altered, compared when resumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "runtime/run_log.h"
#include "runtime/run_record.h"
#include "tests/runtime/scratch_dir.h"

#include <math.h>

static const RunRecord sample = {
    .step = 123, .model = "gpt2", .tokenizer = 0xfedcba9876543210, .data = 17, .data_size = 1000,
    .parameters = 12345,
    .hyper = { .lr = 0.1 + 0.2, .min_lr = 1e-5, .clip = 1, .val_fraction = 0.1, .warmup = 100,
               .decay_steps = 2000, .seed = 7, .accumulate = 1, .batch = 12, .seq = 64,
               .schedule = "cosine", .order = "random" },
};

static void records_come_back_to_the_bit(void **state)
{
    (void)state;
    RunRecord back;
    Error err;
    assert_true(run_record_save(&sample, "trainer.json", &err));
    if (!run_record_open("trainer.json", &back, &err))
        fail_msg("%s", err.text);
    assert_true(run_record_same(&sample, &back, &err));
    assert_int_equal(back.step, 123);
    for (size_t i = 0; i < n_hypers; i++)
        if (!hyper_equal(&sample.hyper, &back.hyper, &hyper_table[i]))
            fail_msg("%s", hyper_table[i].name);
}

static void altered_records_are_refused(void **state)
{
    (void)state;
    Buf text = { 0 };
    RunRecord back;
    Error err;
    size_t harmless = 0;
    assert_true(run_record_save(&sample, "trainer.json", &err));
    assert_true(file_read("trainer.json", 1 << 20, &text, &err));
    for (size_t i = 0; i < text.len; i++) {
        const char was = text.data[i];
        text.data[i] = was == '1' ? '2' : '1';
        assert_true(file_replace("changed.json", text.data, text.len, &err));
        if (run_record_open("changed.json", &back, &err)) {
            harmless++;
            assert_true(run_record_same(&sample, &back, &err));
            assert_int_equal(back.step, sample.step);
        }
        text.data[i] = was;
    }
    assert_int_equal(harmless, 0);
    for (size_t cut = 0; cut + 2 < text.len; cut++) {
        assert_true(file_replace("changed.json", text.data, cut, &err));
        assert_false(run_record_open("changed.json", &back, &err));
    }
    buf_free(&text);
}

static void other_runs_are_told_apart(void **state)
{
    (void)state;
    Error err;
    RunRecord now = sample;
    strcpy(now.model, "llama");
    assert_false(run_record_same(&sample, &now, &err));
    assert_non_null(strstr(err.text, "gpt2, this plan is llama"));
    now = sample;
    now.parameters++;
    assert_false(run_record_same(&sample, &now, &err));
    now = sample;
    now.tokenizer++;
    assert_false(run_record_same(&sample, &now, &err));
    now = sample;
    now.data++;
    assert_false(run_record_same(&sample, &now, &err));
    assert_non_null(strstr(err.text, "other content"));
}

static void resuming_takes_what_was_not_given(void **state)
{
    (void)state;
    Hyper given;
    Error err;
    hyper_unset(&given);
    given.seed = 7;
    assert_true(hyper_resume(&given, &sample.hyper, &err));
    assert_int_equal(given.warmup, 100);
    hyper_unset(&given);
    given.min_lr = 1e-4;
    assert_false(hyper_resume(&given, &sample.hyper, &err));
    assert_non_null(strstr(err.text, "--min-lr is 0.0001, but the run was begun with 1e-05"));
    hyper_unset(&given);
    strcpy(given.order, "sequential");
    assert_false(hyper_resume(&given, &sample.hyper, &err));
}

static void assert_log(const char *expected_steps)
{
    Buf text = { 0 };
    Error err;
    char steps[64] = "";
    assert_true(file_read("log.jsonl", 1 << 20, &text, &err));
    for (char *at = text.data; at && (at = strstr(at, "\"step\": ")); at++) {
        strncat(steps, at + 8, strcspn(at + 8, ","));
        strcat(steps, " ");
    }
    assert_string_equal(steps, expected_steps);
    buf_free(&text);
}

static void logs_go_on_behind_the_step(void **state)
{
    (void)state;
    RunLog log;
    Error err;
    FILE *f;
    assert_true(run_log_open(&log, "log.jsonl", 0, &err));
    for (int64_t step = 1; step <= 5; step++) {
        const StepLine line = { step, 1.5, 1e-3, 2, 1000, (double)step, step == 2 ? 3.25 : NAN };
        assert_true(run_log_add(&log, &line, &err));
    }
    run_log_close(&log);
    assert_log("1 2 3 4 5 ");
    f = fopen("log.jsonl", "a");
    assert_non_null(f);
    fputs("{\"step\": 3, \"lo", f);
    fclose(f);
    assert_true(run_log_open(&log, "log.jsonl", 3, &err));
    assert_true(log.seconds == 3);
    const StepLine next = { 4, 1, 1, 1, 1, 4, NAN };
    assert_true(run_log_add(&log, &next, &err));
    run_log_close(&log);
    assert_log("1 2 3 4 ");
    assert_true(run_log_open(&log, "log.jsonl", 0, &err));
    run_log_close(&log);
    assert_log("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_to_the_bit),
        cmocka_unit_test(altered_records_are_refused),
        cmocka_unit_test(other_runs_are_told_apart),
        cmocka_unit_test(resuming_takes_what_was_not_given),
        cmocka_unit_test(logs_go_on_behind_the_step),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
