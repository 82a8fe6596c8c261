/* Learning rates at the steps where something happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/schedule.h"

#include <math.h>

static void near(double x, double expected)
{
    if (!(fabs(x - expected) <= 1e-12))
        fail_msg("%.17g, expected %.17g", x, expected);
}

static void warmup_rises_to_the_rate(void **state)
{
    (void)state;
    const Schedule s = { SCHEDULE_constant, 1, 0.1, 4, 100 };
    near(schedule_rate(&s, 1), 0.2);
    near(schedule_rate(&s, 4), 0.8);
    near(schedule_rate(&s, 5), 1);
    near(schedule_rate(&s, 1000), 1);
}

static void cosine_and_linear_fall_to_the_least(void **state)
{
    (void)state;
    const Schedule cosine = { SCHEDULE_cosine, 1, 0.1, 10, 110 };
    const Schedule linear = { SCHEDULE_linear, 1, 0.1, 10, 110 };
    near(schedule_rate(&cosine, 11), 1);
    near(schedule_rate(&cosine, 61), 0.55);
    near(schedule_rate(&cosine, 36), 0.1 + 0.45 * (1 + sqrt(0.5)));
    near(schedule_rate(&cosine, 111), 0.1);
    near(schedule_rate(&cosine, 5000), 0.1);
    near(schedule_rate(&linear, 11), 1);
    near(schedule_rate(&linear, 36), 0.775);
    near(schedule_rate(&linear, 111), 0.1);
}

static void names(void **state)
{
    (void)state;
    ScheduleKind k;
    assert_true(schedule_from_name("linear", &k));
    assert_int_equal(k, SCHEDULE_linear);
    assert_false(schedule_from_name("line", &k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warmup_rises_to_the_rate),
        cmocka_unit_test(cosine_and_linear_fall_to_the_least),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
