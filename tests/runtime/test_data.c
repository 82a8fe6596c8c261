/* The random order of training: every epoch takes everything once. */
#include "runtime/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Windows of one epoch lie inside, do not overlap, and leave less than two strides uncovered. */
static void check_epochs(int64_t starts, int64_t stride)
{
    const int64_t shift = starts < stride ? starts : stride;
    const int64_t per_epoch = (starts - shift) / stride + 1;
    char *taken = calloc((size_t)(starts + stride), 1);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        memset(taken, 0, (size_t)(starts + stride));
        int64_t covered = 0;
        for (int64_t i = 0; i < per_epoch; i++) {
            const int64_t at = data_random_start(starts, stride, 5, epoch * per_epoch + i);
            assert_in_range(at, 0, starts - 1);
            for (int64_t k = 0; k < stride; k++) {
                assert_int_equal(taken[at + k], 0);
                taken[at + k] = 1;
            }
            covered += stride;
        }
        assert_true(starts - covered < 2 * stride);
    }
    free(taken);
}

static void epochs_take_everything_once(void **state)
{
    (void)state;
    for (int64_t starts = 1; starts < 200; starts++)
        check_epochs(starts, 1 + starts % 17);
    check_epochs(5000, 1);
    check_epochs(10001, 64);
}

static void epochs_differ(void **state)
{
    (void)state;
    int same = 0;
    for (int64_t i = 0; i < 100; i++)
        same += data_random_start(100, 1, 5, i) == data_random_start(100, 1, 5, 100 + i);
    assert_in_range(same, 0, 8);        /* 1 is to be expected */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epochs_take_everything_once),
        cmocka_unit_test(epochs_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
