/* attention_grad against the gradient written out in double (attention_problem.h), and that and this against
 * central differences; and both directions where operands may be rounded to bf16. */
#include "tests/kernels/attention_problem.h"

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBLEMS; i++)
        check_backward(attention_problems[i]);
}

static void test_rounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        Problem p = attention_problems[i];
        p.rounded = true;
        check_forward(p, 1);
        check_backward(p);
    }
}

/* sum of dout * out. */
static double objective(Problem *p)
{
    double sum = 0;
    problem_forward(p);
    for (int64_t i = 0; i < q_rows(p) * p->e; i++)
        sum += p->dout[i] * p->out[i];
    return sum;
}

static void differences(Problem *p, const Case *c, int operand, double *x)
{
    const double h = 1e-5;
    for (int64_t i = 0; i < elements(&c->operand[operand]); i++) {
        double old = x[i];
        x[i] = old + h;
        double up = objective(p);
        x[i] = old - h;
        double down = objective(p);
        x[i] = old;
        expect_near("difference", *element(c, operand, i), (up - down) / (2 * h), 2e-5);
    }
}

static void test_differences(void **state)
{
    (void)state;
    static const Problem small[] = {
        { SIZES(1, 2, 1, 6, 6, 5, 4), .causal = true },
        { SIZES(1, 2, 2, 5, 7, 3, 4), .cap = 0.5 },
        { SIZES(2, 2, 1, 9, 9, 4, 4), .causal = true, .window = 3, .cap = 1 },
        { SIZES(1, 4, 2, 6, 6, 4, 4), .causal = true, .drop = 0.3, .seed = 8, .site = 2 },
    };
    for (size_t i = 0; i < COUNT_OF(small); i++) {
        Problem p = small[i];
        problem_alloc(&p);
        Case c = backward_case(&p);
        backward_inputs(&c, &p);
        CASE_EACH_ISA(&c, 7, table) {
            differences(&p, &c, 0, p.q);
            differences(&p, &c, 1, p.k);
            differences(&p, &c, 2, p.v);
        }
        case_free(&c);
        problem_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_rounded),
        cmocka_unit_test(test_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
