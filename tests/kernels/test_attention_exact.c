/* Attention and its gradient where the results are exact: numbers that come through as they were given, and
 * numbers that are none, which reach what sees them and nothing else. */
#include "tests/kernels/attention_problem.h"

/* Queries that see one key each, and rows with a single 1, make products that are numbers as they were given:
 * no bit of one may be missing. */
enum { EXACT_LENGTH = 288, EXACT_SIZE = 64 };

static Problem exact_problem(void)
{
    Problem p = { SIZES(1, 1, 1, EXACT_LENGTH, EXACT_LENGTH, EXACT_SIZE, EXACT_SIZE), .causal = true,
                  .window = 1 };
    p.scale = 1;
    return p;
}

static void keep_every(Case *c, int operand, int64_t first, int64_t step)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        if (i % step != first)
            *element(c, operand, i) = 0;
}

static void make_diagonal(Case *c, int operand)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        *element(c, operand, i) = i % EXACT_SIZE == i / EXACT_SIZE % EXACT_SIZE;
}

static void fill(Case *c, int operand, float value)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        *element(c, operand, i) = value;
}

/* Element of row `row` that its diagonal has. */
static float hot(const Case *c, int operand, int64_t row)
{
    return *element(c, operand, row * EXACT_SIZE + row % EXACT_SIZE);
}

static void expect_same(const Case *c, int operand, int other)
{
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++)
        expect_near("exact", *element(c, operand, i), *element(c, other, i), 0);
}

static void test_exact_forward(void **state)
{
    (void)state;
    const Problem p = exact_problem();
    for (int unit = 2; unit < 4; unit++) {      /* of q and k the other is drawn */
        Case c = forward_case(&p);
        make_diagonal(&c, unit);
        CASE_EACH_ISA(&c, 3, table) {
            expect_same(&c, 0, 4);
            for (int64_t i = 0; i < EXACT_LENGTH; i++)
                expect_near("lse", *element(&c, 1, i), hot(&c, 5 - unit, i), 0);
        }
        case_free(&c);
    }
}

/* As it was given, or rounded to the nearest bf16. */
static void expect_rounded(float value, float given)
{
    const float nearest = f32_of_bf16(bf16_of_f32(given));
    expect_near("rounded", value, value == given ? given : nearest, 0);
}

static void test_exact_rounded(void **state)
{
    (void)state;
    Problem p = exact_problem();
    p.rounded = true;
    for (int unit = 2; unit < 4; unit++) {
        Case c = forward_case(&p);
        make_diagonal(&c, unit);
        CASE_EACH_ISA(&c, 3, table) {
            for (int64_t i = 0; i < EXACT_LENGTH; i++)
                expect_rounded(*element(&c, 1, i), hot(&c, 5 - unit, i));
            for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                expect_rounded(*element(&c, 0, i), *element(&c, 4, i));
        }
        case_free(&c);
    }
}

/* All weights are 1 and dot is 0, so dscores are the diagonal of dout V^T. */
static void test_exact_backward(void **state)
{
    (void)state;
    const Problem p = exact_problem();
    for (int drawn = 5; drawn <= 8; drawn += 3) {       /* v or dout */
        Case c = backward_case(&p);
        fill(&c, 6, 0);
        fill(&c, 7, 1);
        for (int i = 3; i <= 8; i++)
            if (i != drawn && i != 6 && i != 7)
                make_diagonal(&c, i);
        CASE_EACH_ISA(&c, 7, table) {
            expect_same(&c, 2, 8);
            for (int64_t i = 0; i < EXACT_LENGTH; i++) {
                expect_near("dq", hot(&c, 0, i), hot(&c, drawn, i), 0);
                expect_near("dk", hot(&c, 1, i), hot(&c, drawn, i), 0);
            }
        }
        case_free(&c);
    }
    Case c = backward_case(&p);
    fill(&c, 6, 0);
    fill(&c, 7, 0);
    keep_every(&c, 3, 0, 2);                            /* so that all scores are 0 */
    keep_every(&c, 4, 1, 2);
    make_diagonal(&c, 5);
    make_diagonal(&c, 8);
    CASE_EACH_ISA(&c, 7, table) {
        expect_same(&c, 0, 4);
        expect_same(&c, 1, 3);
    }
    case_free(&c);
}

/* A NaN or an infinity reaches the queries that see it, and those alone: no key of a later tile. */
static void check_strange(int64_t length, int64_t at, float value)
{
    const bool huge = isfinite(value);
    Problem p = { SIZES(1, 1, 1, length, length, 32, 32), .causal = true };
    problem_alloc(&p);
    Case c = forward_case(&p);
    for (int64_t e = 0; e < p.e; e++)
        *element(&c, 4, at * p.e + e) = value;
    CASE_EACH_ISA(&c, 3, table) {
        for (int64_t i = 0; i < length; i++) {
            if (i < at / 32 * 32 - 32)
                assert_true(isfinite(*element(&c, 0, i * p.e)));
            if (i >= at && isinf(value))
                assert_true(isinf(*element(&c, 0, i * p.e)));
            else if (i >= at)
                assert_true((isfinite(*element(&c, 0, i * p.e)) != 0) == huge);
            assert_true(isfinite(*element(&c, 1, i)));
        }
    }
    case_free(&c);
    problem_free(&p);
}

static void test_strange(void **state)
{
    (void)state;
    static const float values[] = { NAN, INFINITY, FLT_MAX };
    for (size_t n = 0; n < COUNT_OF(values); n++) {
        check_strange(200, 130, values[n]);
        check_strange(400, 330, values[n]);
    }
}

/* A value that is no number makes none of the gradients of its own key and of the queries that see it. */
static void test_strange_backward(void **state)
{
    (void)state;
    enum { LENGTH = 300, AT = 290, SIZE = 32 };
    Problem p = { SIZES(1, 1, 1, LENGTH, LENGTH, SIZE, SIZE), .causal = true };
    problem_alloc(&p);
    Case c = backward_case(&p);
    backward_inputs(&c, &p);
    for (int64_t e = 0; e < SIZE; e++)
        *element(&c, 5, AT * SIZE + e) = NAN;
    CASE_EACH_ISA(&c, 7, table) {
        for (int64_t i = 0; i < LENGTH; i++) {
            if (i < AT - 32)
                assert_true(isfinite(*element(&c, 0, i * SIZE)));
            if (i >= AT)
                assert_true(!isfinite(*element(&c, 0, i * SIZE)));
            assert_true((isfinite(*element(&c, 1, i * SIZE)) != 0) == (i != AT));
            assert_true(isfinite(*element(&c, 2, i * SIZE)));
        }
    }
    case_free(&c);
    problem_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_forward),
        cmocka_unit_test(test_exact_rounded),
        cmocka_unit_test(test_exact_backward),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_strange_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
