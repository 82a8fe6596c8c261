/* attention against softmax(scale Q K^T) V written out in double (attention_problem.h), with and without a past and
 * a cache of keys in types of storage; and which calls are none, of the gradient too. */
#include "tests/kernels/attention_problem.h"

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBLEMS; i++)
        for (int round = 0; round < 3; round++)
            check_forward(attention_problems[i], round == 0 ? 1 : round == 1 ? 10 : 1000);
}

static void test_past(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 16, 63, 64, 90, 99, 100, 130, -1, -5, -40, INT32_MIN,
                                     INT32_MAX };
    static const int64_t counts[] = { 1, 7, 20, 33 };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (size_t n = 0; n < COUNT_OF(counts); n++)
            for (int kind = 0; kind < 4; kind++) {
                Problem p = { SIZES(1, 4, 2, counts[n], 100, 24, 16), .causal = kind > 0,
                              .window = kind > 1 ? 21 : 0, .has_past = true, .past = pasts[i],
                              .cap = kind == 3 ? 3 : 0 };
                check_forward(p, 1);
            }
}

/* The same with keys enough for tiles of bf16. */
static void test_long_past(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 31, 200, 257, 330, 500, -10, INT32_MAX };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (int kind = 0; kind < 3; kind++) {
            Problem p = { SIZES(1, 2, 1, kind == 2 ? 100 : 33, 400, 40, 33), .causal = kind > 0,
                          .window = kind == 2 ? 75 : 0, .has_past = true, .past = pasts[i] };
            check_forward(p, 1);
        }
}

/* Keys and values as a cache keeps them: exactly the numbers that they stand for, so the bounds are those
 * of floats. */
static void check_stored(Problem p, DType t)
{
    problem_alloc(&p);
    Case c = forward_case(&p);
    case_load(&c, 2, p.q);
    case_store(&c, 3, t, p.k);
    case_store(&c, 4, t, p.v);
    check_results(&p, &c);
}

static void test_stored(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 63, 90, 300, 700, -1, INT32_MIN, INT32_MAX };
    static const int64_t counts[] = { 1, 7, 33, 64 };
    static const struct { DType type; int64_t heads, groups, d, e; } stored[] = {
        { DTYPE_bf16, 2, 1, 24, 33 }, { DTYPE_bf16, 1, 1, 3, 5 }, { DTYPE_bf16, 6, 1, 64, 64 },
        { DTYPE_q8_0, 4, 2, 32, 96 }, { DTYPE_q8_0, 5, 1, 64, 32 }, { DTYPE_q8_0, 2, 2, 128, 128 },
    };
    for (size_t i = 0; i < COUNT_OF(pasts); i++)
        for (size_t n = 0; n < COUNT_OF(counts); n++)
            for (size_t k = 0; k < COUNT_OF(stored); k++) {
                Problem p = { SIZES(2, stored[k].heads, stored[k].groups, counts[n], 400, stored[k].d,
                                    stored[k].e), .causal = true, .window = n % 2 ? 0 : 150,
                              .has_past = true, .past = pasts[i], .cap = k == 4 ? 3 : 0 };
                check_stored(p, stored[k].type);
            }
}

/* No axis of any operand may be longer. */
static void expect_sizes_matter(Case *c)
{
    for (int i = 0; i < c->call.n_operands; i++)
        for (int axis = 0; axis < c->operand[i].rank; axis++) {
            c->operand[i].dim[axis]++;
            case_expect_illegal(c);
            c->operand[i].dim[axis]--;
        }
}

/* Keys and values in a type of storage come together, in whole blocks, and with a past. */
static void check_stored_calls(void)
{
    Problem past = { SIZES(1, 2, 2, 5, 9, 32, 64), .causal = true, .has_past = true };
    double numbers[2 * 9 * 64];
    Case c = forward_case(&past);
    case_store(&c, 3, DTYPE_q8_0, numbers);
    case_expect_illegal(&c);                /* k alone */
    case_store(&c, 4, DTYPE_q8_0, numbers);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[3].stride[2] += 16;           /* half a block */
    case_expect_illegal(&c);
    c.operand[3].stride[2] -= 16;
    c.call.i[2] = 0;
    c.call.n_operands--;
    case_expect_illegal(&c);                /* no cache without a past */
    c.call.n_operands++;
    case_free(&c);
}

static void test_check(void **state)
{
    (void)state;
    Problem p = { SIZES(2, 4, 2, 5, 9, 8, 6), .causal = true };
    Case c = forward_case(&p);
    case_keep(&c);
    case_expect_legal(&c);
    static const double wrong[][4] = {
        /* immediate, value */
        { 0, 2 }, { 1, -1 }, { 2, 1 }, { 3, -1 }, { 4, 1 }, { 5, 2 }, { 6, NAN }, { 7, -1 }, { 8, 1 },
        { 8, 0.5 }, { 8, NAN },
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Call kept = c.call;
        if (wrong[i][0] < 6)
            c.call.i[(int)wrong[i][0]] = (int64_t)wrong[i][1];
        else
            c.call.f[(int)wrong[i][0] - 6] = wrong[i][1];
        case_expect_illegal(&c);
        c.call = kept;
    }
    expect_sizes_matter(&c);
    case_free(&c);
    check_stored_calls();
    c = backward_case(&p);
    case_keep(&c);
    case_expect_legal(&c);
    expect_sizes_matter(&c);
    c.call.i[2] = 1;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_long_past),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
