/* cross_entropy and its gradient against sums of exponentials in double.
 *
 * Tolerance of lse: n exponentials, each within 1.5 ulp and with an argument rounded to u (|x| + |max|),
 * summed with error n u relative, then a logarithm and a sum: u (n + 8 + 2 range + 2 |lse|), where
 * range is the largest |x|.  The gradient's exponential takes the same from its argument; it may be zero where it
 * is below e^-86. */
#include "tests/kernels/harness.h"

static const int64_t shapes[][3] = {
    { 1, 1, 1 }, { 3, 4, 7 }, { 2, 9, 64 }, { 1, 5, 131 }, { 2, 3, 1000 }, { 0, 3, 5 },
    { 5, 40, 17 }, { 1, 1, 50257 },
};

enum { IGNORED = -100 };

static void draw_rows(Case *c, int logits, int targets, float scale)
{
    int64_t v = c->operand[logits].dim[2];
    for (int64_t i = 0; i < elements(&c->operand[logits]); i++)
        *element(c, logits, i) *= scale;
    static const int32_t wild[] = { -1, INT32_MIN, INT32_MAX };
    for (int64_t i = 0; i < elements(&c->operand[targets]); i++) {
        int64_t what = draw(8);
        *element_i32(c, targets, i) = what == 0 ? IGNORED : what == 1 ? wild[draw(3)]
                                    : what == 2 ? (int32_t)v : (int32_t)draw(v);
    }
}

/* log sum exp of a row, and what float may be off by. */
static double oracle_lse(const Case *c, int logits, int64_t row, double *tolerance)
{
    int64_t v = c->operand[logits].dim[2];
    double max = -INFINITY, sum = 0, range = 0;
    bool none = true;
    for (int64_t i = 0; i < v; i++) {
        double x = *element(c, logits, row * v + i);
        max = fmax(max, x);
        none = none && !isnan(x);
        range = isfinite(x) ? fmax(range, fabs(x)) : range;
    }
    double shift = isfinite(max) ? max : 0;
    for (int64_t i = 0; i < v; i++)
        sum += exp(*element(c, logits, row * v + i) - shift);
    double lse = shift + log(sum);
    *tolerance = ULP * ((double)v + 8 + 2 * range + 2 * (isfinite(lse) ? fabs(lse) : 0));
    return none ? lse : NAN;
}

static double oracle_loss(const Case *c, int logits, int target, int64_t row, double lse)
{
    int64_t v = c->operand[logits].dim[2], t = *element_i32(c, target, row);
    return t == IGNORED ? 0 : t < 0 || t >= v ? NAN : lse - *element(c, logits, row * v + t);
}

static void check_loss(Case *c)
{
    CASE_EACH_ISA(c, 3, table) {
        for (int64_t r = 0; r < elements(&c->operand[0]); r++) {
            double tolerance, lse = oracle_lse(c, 2, r, &tolerance);
            double loss = oracle_loss(c, 2, 3, r, lse);
            expect_near("lse", *element(c, 1, r), lse, tolerance);
            expect_near("loss", *element(c, 0, r), loss, tolerance + ULP * fabs(loss));
        }
    }
}

static Case loss_case(const int64_t *dim, float scale)
{
    Case c = case_new(KERNEL_cross_entropy);
    case_add(&c, DTYPE_f32, 2, dim, ANY);
    case_add(&c, DTYPE_f32, 2, dim, ANY);
    case_add(&c, DTYPE_f32, 3, dim, ROWS);
    case_add(&c, DTYPE_i32, 2, dim, ANY);
    c.call.i[0] = IGNORED;
    draw_rows(&c, 2, 3, scale);
    return c;
}

static void test_loss(void **state)
{
    (void)state;
    static const float scales[] = { 1, 30, 1000, 1e30f };
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (size_t k = 0; k < COUNT_OF(scales); k++) {
            Case c = loss_case(shapes[s], scales[k]);
            check_loss(&c);
            case_free(&c);
        }
}

/* Every piece of a row has a larger logit than all before it. */
static void test_rising(void **state)
{
    (void)state;
    static const float steps[] = { 0.001f, 0.05f, 1 };
    for (size_t k = 0; k < COUNT_OF(steps); k++) {
        const int64_t v = 4000;
        Case c = loss_case((int64_t[]){ 1, 3, v }, 1);
        for (int64_t i = 0; i < elements(&c.operand[2]); i++)
            *element(&c, 2, i) += steps[k] * (float)(i % v - v / 2);
        check_loss(&c);
        case_free(&c);
    }
}

/* Infinities and NaN anywhere, and finite rows that the largest logit so far rises through. */
static void test_strange(void **state)
{
    (void)state;
    for (int round = 0; round < 24; round++) {
        const int64_t v = round < 12 ? 75 : 3000;
        Case c = loss_case((int64_t[]){ 4, 3, v }, round < 12 ? 1 : 400);
        int64_t n = elements(&c.operand[2]);
        for (int64_t i = 0; i < n; i++)
            if (round % 12 < 2 || draw(v < 100 ? 30 : 2 * v) == 0)
                *element(&c, 2, i) = round % 3 == 0 ? -INFINITY : round % 3 == 1 ? INFINITY : NAN;
        check_loss(&c);
        case_free(&c);
    }
}

static void test_grad(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 4; round++) {
            const bool large = round & 1, sloped = round & 2;
            const double slope[] = { sloped ? 0.75 : 1, sloped ? -0.5 : 0, sloped ? 0.125 : 0 };
            const int64_t *dim = shapes[s];
            int64_t v = dim[2];
            Case c = case_new(KERNEL_cross_entropy_grad);
            case_add(&c, DTYPE_f32, 3, dim, ROWS);
            case_add(&c, DTYPE_f32, 3, dim, ROWS);
            case_add(&c, DTYPE_f32, 2, dim, ANY);
            case_add(&c, DTYPE_i32, 2, dim, ANY);
            case_add(&c, DTYPE_f32, 2, dim, ANY);
            c.call.i[0] = IGNORED;
            memcpy(c.call.f, slope, sizeof slope);
            if (large)
                case_broadcast(&c, 4, 0);
            draw_rows(&c, 1, 3, large ? 50 : 2);
            double tolerance;
            for (int64_t r = 0; r < dim[0] * dim[1]; r++)
                *element(&c, 2, r) = (float)oracle_lse(&c, 1, r, &tolerance);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++) {
                    int64_t r = i / v, t = *element_i32(&c, 3, r);
                    double x = *element(&c, 1, i), lse = *element(&c, 2, r);
                    double p = exp(x - lse), g = *element(&c, 4, r);
                    double want = t == IGNORED ? 0 : t < 0 || t >= v ? NAN
                                : (i % v == t ? expm1(x - lse) : p) * g;
                    double off = ULP * (6 + fabs(x) + fabs(lse)) * p + 4 * ULP * fabs(want) + 1e-38
                               + (p < exp(-86) ? fabs(want) : 0);
                    const double f = slope[0] + x * (slope[1] + x * slope[2]);
                    const double sizes = slope[0] + fabs(x) * (fabs(slope[1]) + fabs(x) * slope[2]);
                    off = off * sizes + 6 * ULP * fabs(want) * sizes;       /* of f: 4 operations */
                    want *= f;
                    expect_near("gradient", *element(&c, 0, i), want, off);
                }
            }
            case_free(&c);
        }
}

/* The gradient of a few rows. */
static Case few_rows(int64_t rows, int64_t n)
{
    Case c = case_new(KERNEL_cross_entropy_grad);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
    case_add(&c, DTYPE_f32, 1, &rows, ANY);
    case_add(&c, DTYPE_i32, 1, &rows, ANY);
    case_add(&c, DTYPE_f32, 1, &rows, ANY);
    c.call.i[0] = IGNORED;
    c.call.f[0] = 1;
    return c;
}

/* Where lse is 0 and g is 1 the gradient is the exponential of a softmax alone: within 1 ulp from -86 to 0,
 * and nothing below. */
static void test_exponential(void **state)
{
    (void)state;
    enum { N = 60000 };
    Case c = few_rows(1, N);
    *element(&c, 2, 0) = 0;
    *element_i32(&c, 3, 0) = 0;
    *element(&c, 4, 0) = 1;
    for (int64_t i = 0; i < N; i++)
        *element(&c, 1, i) = i % 3 == 0 ? -expf((float)(draw(1 << 20)) * 1e-4F - 100)
                           : -(float)draw(1 << 24) * (i % 3 == 1 ? 0x1p-24F * 86 : 0x1p-24F * 4);
    CASE_EACH_ISA(&c, 1, table)
        for (int64_t i = 1; i < N; i++) {
            const float x = *element(&c, 1, i), got = *element(&c, 0, i);
            const double want = exp(x);
            if (x < -86)
                assert_true(got == 0);
            else
                expect_near("exponential", got, want, ldexp(1, ilogb(want) - 23));
        }
    case_free(&c);
}

/* In bf16 a gradient is what floats of it are rounded to, also in the place of the logits. */
static void test_rounded(void **state)
{
    (void)state;
    enum { R = 4 };
    for (int round = 0; round < 8; round++) {
        const int64_t v = round < 4 ? 1 + draw(200) : 2500;
        Case c = few_rows(R, v);
        c.call.f[1] = round & 1 ? -0.5 : 0;
        for (int r = 0; r < R; r++) {
            *element_i32(&c, 3, r) = r == 1 ? IGNORED : r == 2 ? -1 : (int32_t)draw(v);
            *element(&c, 2, r) = logf((float)v);
        }
        uint16_t *want = malloc((size_t)(R * v) * sizeof *want);
        assert_non_null(want);
        case_keep(&c);
        for (int isa = 0; isa < N_ISAS; isa++) {
            if (!isa_brings(isa, KERNEL_cross_entropy_grad))
                continue;
            case_run(&c, kernels_table((Isa)isa), 1);
            for (int64_t i = 0; i < R * v; i++)
                want[i] = bf16_of_f32(*element(&c, 0, i));
            const Operand floats = c.operand[0];
            for (int in_place = 0; in_place < 2; in_place++) {
                case_restore(&c);
                Operand *grad = &c.operand[0];
                *grad = in_place ? c.operand[1] : floats;
                grad->dtype = DTYPE_bf16;
                grad->stride[0] *= 2;
                case_expect_legal(&c);
                case_run(&c, kernels_table((Isa)isa), 2);
                for (int r = 0; r < R; r++)
                    assert_memory_equal((uint16_t *)grad->data + r * grad->stride[0], want + r * v,
                                        (size_t)v * sizeof *want);
            }
            case_restore(&c);
            c.operand[0] = floats;
        }
        free(want);
        case_free(&c);
    }
}

/* In place, and against central differences of the double loss. */
static void test_differences(void **state)
{
    (void)state;
    for (int isa = 0; isa < N_ISAS; isa++) {
        if (!isa_brings(isa, KERNEL_cross_entropy_grad))
            continue;
        enum { N = 37 };
        Case c = few_rows(1, N);
        c.operand[0] = c.operand[1];
        *element_i32(&c, 3, 0) = 5;
        *element(&c, 4, 0) = 1;
        double x[N], h = 1e-5, sum = 0;
        for (int i = 0; i < N; i++) {
            x[i] = *element(&c, 1, i);
            sum += exp(x[i]);
        }
        *element(&c, 2, 0) = (float)log(sum);
        case_keep(&c);
        case_run(&c, kernels_table((Isa)isa), 1);
        for (int i = 0; i < N; i++) {
            double up = log(sum - exp(x[i]) + exp(x[i] + h)), down = log(sum - exp(x[i]) + exp(x[i] - h));
            double want = (up - down) / (2 * h) - (i == 5);
            expect_near("difference", *element(&c, 1, i), want, 1e-6);
        }
        case_free(&c);
    }
}

static void test_check(void **state)
{
    (void)state;
    Case c = loss_case((int64_t[]){ 2, 3, 5 }, 1);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[2].stride[2] = 2;
    case_expect_illegal(&c);
    c.operand[2].stride[2] = 1;
    c.operand[3].dim[1] = 2;
    case_expect_illegal(&c);
    c.operand[3].dim[1] = 3;
    c.operand[3].dtype = DTYPE_f32;
    case_expect_illegal(&c);
    c.operand[3].dtype = DTYPE_i32;
    c.operand[2].dim[2] = -1;
    case_expect_illegal(&c);
    c.operand[2].dim[2] = INT64_MAX;
    case_expect_illegal(&c);
    c.operand[2].dim[2] = 5;
    c.operand[2].rank = 0;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_rising),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_grad),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_rounded),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
