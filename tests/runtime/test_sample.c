/* Sampling: which ids the filters keep, and how often each is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"
#include "runtime/sample.h"

#include <math.h>
#include <string.h>

enum { VOCAB = 6, DRAWS = 20000 };

/* Probabilities 0.4 0.3 0.15 0.1 0.04 0.01 for ids 3 1 5 0 4 2. */
static const double probability[VOCAB] = { 0.1, 0.3, 0.01, 0.4, 0.04, 0.15 };

static void draw(const SampleOptions *o, int64_t stride, const int32_t *seen, int count[VOCAB])
{
    Sampler s;
    Error err;
    float logits[VOCAB * 2];
    assert_true(sampler_open(&s, o, VOCAB, &err));
    for (int i = 0; i < VOCAB; i++)
        logits[i * stride] = (float)log(probability[i]);
    if (seen)
        sampler_see(&s, *seen);
    memset(count, 0, VOCAB * sizeof *count);
    for (uint64_t i = 0; i < DRAWS; i++) {
        const int32_t id = sampler_pick(&s, logits, stride, i);
        assert_in_range(id, 0, VOCAB - 1);
        count[id]++;
    }
    sampler_close(&s);
}

/* Five standard deviations around the expected share of each id. */
static void assert_shares(const int count[VOCAB], const double share[VOCAB])
{
    for (int i = 0; i < VOCAB; i++) {
        const double expected = share[i] * DRAWS;
        const double bound = 5 * sqrt(expected * (1 - share[i])) + 1e-9;
        if (fabs(count[i] - expected) > bound)
            fail_msg("id %d was drawn %d times, expected %.0f", i, count[i], expected);
    }
}

static void draws_by_probability(void **state)
{
    (void)state;
    int count[VOCAB];
    const SampleOptions o = { .temperature = 1, .top_p = 1, .repeat_penalty = 1, .seed = 5 };
    draw(&o, 1, NULL, count);
    assert_shares(count, probability);
    draw(&o, 2, NULL, count);
    assert_shares(count, probability);
}

static void temperature_sharpens(void **state)
{
    (void)state;
    int count[VOCAB];
    double share[VOCAB], sum = 0;
    const SampleOptions o = { .temperature = 0.5, .top_p = 1, .repeat_penalty = 1, .seed = 5 };
    for (int i = 0; i < VOCAB; i++)
        sum += share[i] = probability[i] * probability[i];
    for (int i = 0; i < VOCAB; i++)
        share[i] /= sum;
    draw(&o, 1, NULL, count);
    assert_shares(count, share);
}

static void keeps(SampleOptions o, unsigned ids)
{
    int count[VOCAB];
    double share[VOCAB], sum = 0;
    o.temperature = 1;
    o.repeat_penalty = 1;
    for (int i = 0; i < VOCAB; i++)
        sum += share[i] = ids >> i & 1 ? probability[i] : 0;
    for (int i = 0; i < VOCAB; i++)
        share[i] /= sum;
    draw(&o, 1, NULL, count);
    assert_shares(count, share);
}

static void filters_keep_the_likeliest(void **state)
{
    (void)state;
    keeps((SampleOptions){ .top_k = 1, .top_p = 1 }, 1u << 3);
    keeps((SampleOptions){ .top_k = 3, .top_p = 1 }, 1u << 3 | 1u << 1 | 1u << 5);
    keeps((SampleOptions){ .top_k = 100, .top_p = 1 }, 0x3f);
    keeps((SampleOptions){ .top_p = 0.69 }, 1u << 3 | 1u << 1);
    keeps((SampleOptions){ .top_p = 0.71 }, 1u << 3 | 1u << 1 | 1u << 5);
    keeps((SampleOptions){ .top_p = 0.01 }, 1u << 3);
    keeps((SampleOptions){ .top_p = 1, .min_p = 0.3 }, 1u << 3 | 1u << 1 | 1u << 5);
    keeps((SampleOptions){ .top_p = 1, .min_p = 1 }, 1u << 3);
    /* Of the first three 0.4 + 0.3 of 0.85 are 0.82. */
    keeps((SampleOptions){ .top_k = 3, .top_p = 0.8 }, 1u << 3 | 1u << 1);
}

static void penalty_makes_repeats_rarer(void **state)
{
    (void)state;
    int count[VOCAB];
    const int32_t seen = 3;
    double share[VOCAB], sum = 0;
    const SampleOptions o = { .temperature = 1, .top_p = 1, .repeat_penalty = 3, .seed = 2 };
    for (int i = 0; i < VOCAB; i++)
        sum += share[i] = i == seen ? pow(probability[i], 3) : probability[i];
    for (int i = 0; i < VOCAB; i++)
        share[i] /= sum;
    draw(&o, 1, &seen, count);
    assert_shares(count, share);
}

static void greedy_takes_the_first_of_equals(void **state)
{
    (void)state;
    Sampler s;
    Error err;
    const SampleOptions o = { .temperature = 0, .top_p = 1, .repeat_penalty = 1 };
    const float ties[VOCAB] = { -1, 2, 2, 1, 2, 0 };
    const float partly[VOCAB] = { NAN, NAN, -7, NAN, -8, NAN };
    const float none[VOCAB] = { NAN, NAN, NAN, NAN, NAN, NAN };
    assert_true(sampler_open(&s, &o, VOCAB, &err));
    assert_int_equal(sampler_pick(&s, ties, 1, 0), 1);
    assert_int_equal(sampler_pick(&s, partly, 1, 0), 2);
    assert_int_equal(sampler_pick(&s, none, 1, 0), -1);
    sampler_close(&s);
}

/* Of a vocabulary of `MANY`, id `place[r]` is the r-th likeliest, e^(-r/2) times as likely as the first. */
enum { MANY = 5003, FEW = 5 };

static void fill_many(float *logits, int32_t place[MANY])
{
    for (int32_t r = 0; r < MANY; r++) {
        place[r] = (int32_t)((r * 1999LL + 1234) % MANY);
        logits[place[r]] = -0.5F * (float)r;
    }
}

/* All draws are of the first FEW, and each of them is drawn. */
static void keeps_few(SampleOptions o)
{
    static float logits[MANY];
    static int32_t place[MANY];
    int count[FEW] = { 0 };
    Sampler s;
    Error err;
    fill_many(logits, place);
    o.temperature = 1;
    o.repeat_penalty = 1;
    assert_true(sampler_open(&s, &o, MANY, &err));
    for (uint64_t i = 0; i < 2000; i++) {
        const int32_t id = sampler_pick(&s, logits, 1, i);
        int r = 0;
        while (r < FEW && place[r] != id)
            r++;
        assert_in_range(r, 0, FEW - 1);
        count[r]++;
    }
    for (int r = 0; r < FEW; r++)
        assert_true(count[r] > 0);
    sampler_close(&s);
}

static void keeps_few_of_many(void **state)
{
    (void)state;
    const double fifth = exp(-0.5 * (FEW - 1));
    keeps_few((SampleOptions){ .top_k = FEW, .top_p = 1 });
    keeps_few((SampleOptions){ .top_p = 1, .min_p = fifth });
    keeps_few((SampleOptions){ .top_p = 1 - exp(-0.5 * FEW) - 1e-9 });
    keeps_few((SampleOptions){ .top_k = FEW + 1, .top_p = 1, .min_p = 0.99 * fifth });
    keeps_few((SampleOptions){ .top_k = 40, .top_p = 0.9999, .min_p = 0.99 * fifth });
}

/* The id that the draw falls on in exact weights; -1 where it falls so near to the end of one that
 * rounding decides. */
static int32_t exact_draw(const float *logits, double temperature, double u)
{
    double sum = 0, at = 0, top = -INFINITY;
    for (int i = 0; i < MANY; i++)
        top = logits[i] > top ? (double)logits[i] : top;
    for (int i = 0; i < MANY; i++)
        sum += isnan(logits[i]) ? 0 : exp(((double)logits[i] - top) / temperature);
    for (int i = 0; i < MANY; i++) {
        const double w = isnan(logits[i]) ? 0 : exp(((double)logits[i] - top) / temperature) / sum;
        if (u < at + w)
            return u - at < 2e-6 || at + w - u < 2e-6 ? -1 : i;
        at += w;
    }
    return -1;
}

/* Logits spread over 60, some that are none, some that are never drawn. */
static void draws_of_many_are_exact(void **state)
{
    (void)state;
    static float logits[MANY];
    const SampleOptions o = { .temperature = 0.7, .top_p = 1, .repeat_penalty = 1, .seed = 11 };
    Sampler s;
    Error err;
    int n_told = 0;
    for (int i = 0; i < MANY; i++)
        logits[i] = i % 97 == 5 ? NAN : i % 101 == 7 ? -INFINITY : (float)(i * 7919 % 6007) * 0.01F - 40;
    assert_true(sampler_open(&s, &o, MANY, &err));
    for (uint64_t i = 0; i < 400; i++) {
        const double u = random_uniform(o.seed, hash_bytes("$sample", 7), i);
        const int32_t want = exact_draw(logits, o.temperature, u), got = sampler_pick(&s, logits, 1, i);
        assert_true(want < 0 || got == want);
        assert_true(isfinite(logits[got]));
        n_told += want >= 0;
    }
    assert_true(n_told > 300);
    sampler_close(&s);
}

static void top_k_takes_the_first_of_equals(void **state)
{
    (void)state;
    static float logits[MANY];
    Sampler s;
    Error err;
    const SampleOptions o = { .temperature = 1, .top_k = FEW, .top_p = 1, .repeat_penalty = 1 };
    for (int i = 0; i < MANY; i++)
        logits[i] = i < 100 ? -1.0F : i < 200 ? 2.0F : 1.0F;
    assert_true(sampler_open(&s, &o, MANY, &err));
    for (uint64_t i = 0; i < 500; i++)
        assert_in_range(sampler_pick(&s, logits, 1, i), 100, 100 + FEW - 1);
    sampler_close(&s);
}

/* Wherever it stands, beside numbers and what is none. */
static void greedy_finds_the_largest(void **state)
{
    (void)state;
    static float logits[MANY];
    Sampler s;
    Error err;
    const SampleOptions o = { .temperature = 0, .top_p = 1, .repeat_penalty = 1 };
    assert_true(sampler_open(&s, &o, MANY, &err));
    for (int at = 0; at < MANY; at += 37) {
        for (int i = 0; i < MANY; i++)
            logits[i] = i % 3 ? (float)(i % 7) - 20 : NAN;
        logits[at] = -1;
        logits[MANY - 1] = at % 2 ? -1 : -INFINITY;
        assert_int_equal(sampler_pick(&s, logits, 1, 0), at);
    }
    for (int i = 0; i < MANY; i++)
        logits[i] = i < 17 ? NAN : -INFINITY;
    assert_int_equal(sampler_pick(&s, logits, 1, 0), 17);
    sampler_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_by_probability),
        cmocka_unit_test(temperature_sharpens),
        cmocka_unit_test(filters_keep_the_likeliest),
        cmocka_unit_test(penalty_makes_repeats_rarer),
        cmocka_unit_test(greedy_takes_the_first_of_equals),
        cmocka_unit_test(keeps_few_of_many),
        cmocka_unit_test(draws_of_many_are_exact),
        cmocka_unit_test(top_k_takes_the_first_of_equals),
        cmocka_unit_test(greedy_finds_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
