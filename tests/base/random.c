/* Philox against the known-answer vectors of Salmon et al., and the moments of what is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"

#include <math.h>

static uint64_t pair(uint32_t lo, uint32_t hi)
{
    return (uint64_t)hi << 32 | lo;
}

static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        { { 0, 0, 0, 0 }, { 0, 0 },
          { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint32_t *c = vectors[i].counter, *k = vectors[i].key;
        uint32_t out[4];
        philox4x32(pair(k[0], k[1]), pair(c[2], c[3]), pair(c[0], c[1]), out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
}

static void words_come_from_their_blocks(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        uint32_t block[4];
        philox4x32(5, 6, i / 4, block);
        assert_int_equal(random_u32(5, 6, i), block[i % 4]);
        assert_true(random_uniform(5, 6, i / 4) ==
                    (double)(pair(block[0], block[1]) >> 11) * 0x1p-53);
    }
}

/* Bits, not nearness: a seed means the same weights on every machine. */
static void normals_are_the_same_everywhere(void **state)
{
    (void)state;
    assert_true(random_normal(7, 3, 0) == -0x1.a7c7175451661p+0);
    assert_true(random_normal(7, 3, 1) == -0x1.3bfd8ae0e001ep+0);
    assert_true(random_normal(7, 3, 2) == -0x1.d6dc6ccc4d509p-3);
    assert_true(random_normal(7, 3, 3) == 0x1.bd103817b661bp-1);
}

/* Our logarithm and cosine against the C library's.  The radius is below 9, each of the three
 * factors is good to a few units of 2^-53, so 1e-14 leaves room for both sides. */
static void normals_follow_box_and_muller(void **state)
{
    (void)state;
    const double turn = 6.28318530717958647693;
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t w[4];
        philox4x32(1, 2, i, w);
        double u = (double)((pair(w[0], w[1]) >> 11) + 1) * 0x1p-53;
        double v = (double)(pair(w[2], w[3]) >> 11) * 0x1p-53;
        double want = sqrt(-2 * log(u)) * cos(turn * v);
        if (!(fabs(random_normal(1, 2, i) - want) <= 1e-14))
            fail_msg("draw %u: %a, expected %a", (unsigned)i, random_normal(1, 2, i), want);
    }
}

/* Means of the first four powers, each within five of its own standard errors. */
static void moments(void **state)
{
    (void)state;
    enum { N = 400000 };
    double u1 = 0, u2 = 0, m[4] = { 0 };
    for (uint64_t i = 0; i < N; i++) {
        double u = random_uniform(11, 0, i), z = random_normal(11, 1, i);
        assert_true(u >= 0 && u < 1);
        u1 += u / N;
        u2 += u * u / N;
        m[0] += z / N;
        m[1] += z * z / N;
        m[2] += z * z * z / N;
        m[3] += z * z * z * z / N;
    }
    double five = 5 / sqrt(N);
    assert_true(fabs(u1 - 1.0 / 2) < five * sqrt(1.0 / 12));
    assert_true(fabs(u2 - 1.0 / 3) < five * sqrt(4.0 / 45));
    assert_true(fabs(m[0]) < five * 1);
    assert_true(fabs(m[1] - 1) < five * sqrt(2));
    assert_true(fabs(m[2]) < five * sqrt(15));
    assert_true(fabs(m[3] - 3) < five * sqrt(96));
}

/* Every n up to a few hundred, and a large one where collisions would show. */
static void permutations_are_bijections(void **state)
{
    (void)state;
    static bool seen[5000];
    for (uint64_t n = 1; n <= 5000; n += n < 300 ? 1 : 470) {
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t at = random_permuted(7, n, n, i);
            assert_true(at < n);
            assert_false(seen[at]);
            seen[at] = true;
        }
    }
}

static void permutations_differ_and_mix(void **state)
{
    (void)state;
    int fixed = 0, same = 0, rises = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        const uint64_t at = random_permuted(1, 1, 1000, i);
        fixed += at == i;
        same += at == random_permuted(2, 1, 1000, i);
        same += at == random_permuted(1, 2, 1000, i);
        rises += at < random_permuted(1, 1, 1000, (i + 1) % 1000);
    }
    assert_in_range(fixed, 0, 8);       /* 1 is to be expected, and 2 of `same` */
    assert_in_range(same, 0, 12);
    assert_in_range(rises, 440, 560);   /* 500, give or take 9 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(words_come_from_their_blocks),
        cmocka_unit_test(normals_are_the_same_everywhere),
        cmocka_unit_test(normals_follow_box_and_muller),
        cmocka_unit_test(moments),
        cmocka_unit_test(permutations_are_bijections),
        cmocka_unit_test(permutations_differ_and_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
