/* Steps of training and tokens of generation ask nothing of the heap: a counter stands in front of
 * malloc and its kin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/generator.h"
#include "runtime/heap.h"
#include "runtime/run_log.h"
#include "runtime/sample.h"
#include "runtime/train.h"
#include "runtime/weights.h"
#include "tests/runtime/scratch_dir.h"

#include <signal.h>

static Plan open_plan(void)
{
    Plan p;
    Error err;
    if (!plan_open(TINY_PLAN, &p, &err))
        fail_msg("%s", err.text);
    return p;
}

static void the_counter_counts(void **state)
{
    (void)state;
    if (!heap_is_counted())
        skip();
    const uint64_t calls = heap_calls(), bytes = heap_bytes();
    void *volatile p = malloc(1000);
    assert_int_equal(heap_calls() - calls, 1);
    assert_int_equal(heap_bytes() - bytes, 1000);
    free(p);
}

/* What training allocates must not grow with the number of steps. */
static uint64_t calls_of_training(const Plan *p, const char *out, int64_t steps)
{
    static const char *const data[] = { SOURCE_DIR "/corpus/stories.txt" };
    TrainOptions o = { .plan_path = TINY_PLAN, .data = data, .n_data = 1, .out = out,
                       .steps = steps, .eval_every = 3, .eval_iters = 2, .n_threads = 2 };
    TrainResult result;
    Error err;
    hyper_unset(&o.hyper);
    o.hyper.decay_steps = 100;
    const uint64_t before = heap_calls();
    if (train_run(p, &o, &result, &err) != TRAIN_DONE)
        fail_msg("%s", err.text);
    return heap_calls() - before;
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    if (!heap_is_counted())
        skip();
    Plan p = open_plan();
    calls_of_training(&p, "warm", 2);
    const uint64_t few = calls_of_training(&p, "few", 4), many = calls_of_training(&p, "many", 40);
    if (few != many)
        fail_msg("4 steps allocate %lu times, 40 steps %lu times", (unsigned long)few,
                 (unsigned long)many);
    plan_close(&p);
}

static void tokens_allocate_nothing(void **state)
{
    (void)state;
    if (!heap_is_counted())
        skip();
    Plan p = open_plan();
    for (int cache = 0; cache < 2; cache++) {
        const GeneratorOptions go = { .cache = cache, .n_threads = 2 };
        const SampleOptions so = { .temperature = 1, .top_k = 20, .top_p = 0.9, .min_p = 0.01,
                                   .repeat_penalty = 1.1 };
        Generator g;
        Sampler s;
        Error err;
        if (!generator_open(&g, &p, &go, &err) || !sampler_open(&s, &so, g.model.vocab, &err))
            fail_msg("%s", err.text);
        weights_init(g.session, 1);
        int32_t ids[5] = { 1, 2, 3, 4, 5 };
        generator_feed(&g, ids, 5);
        const uint64_t before = heap_calls();
        for (uint64_t i = 0; i < 20; i++) {
            ids[0] = sampler_pick(&s, g.logits, g.logits_stride, i);
            assert_in_range(ids[0], 0, g.model.vocab - 1);
            generator_feed(&g, ids, 1);
        }
        assert_int_equal(heap_calls() - before, 0);
        sampler_close(&s);
        generator_close(&g);
    }
    plan_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(tokens_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
