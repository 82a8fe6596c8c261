/* rope against cosines and sines in double.
 *
 * Tolerance: the turn is two products and a sum of terms at most |a| + |b| long, the cosine and sine
 * rounded to float once; with the angle's own error (2^-53 of the angle, at most 2^31) that is
 * 3 u (|a| + |b|) plus 2^-21 (|a| + |b|) for the largest positions. */
#include "tests/kernels/harness.h"

static void test_rope(void **state)
{
    (void)state;
    static const int64_t shapes[][4] = {
        { 1, 1, 1, 2 }, { 2, 3, 5, 8 }, { 1, 2, 33, 64 }, { 2, 1, 3, 34 }, { 1, 4, 300, 128 },
        { 2, 0, 3, 4 }, { 1, 2, 0, 4 }, { 1, 2, 3, 0 }, { 3, 2, 7, 30 },
    };
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int way = 0; way < 8; way++) {
            const int64_t *dim = shapes[s];
            int64_t pairs = dim[3] / 2;
            bool interleaved = way & 1, inverse = way & 2, stretched = way & 4;
            Case c = case_new(KERNEL_rope);
            case_add(&c, DTYPE_f32, 4, dim, ROWS);
            case_add(&c, DTYPE_f32, 4, dim, ROWS);
            case_add(&c, DTYPE_i32, 1, &dim[2], ANY);
            if (stretched)
                case_add(&c, DTYPE_f32, 1, &pairs, ANY);
            for (int64_t j = 0; stretched && j < pairs; j++)
                *element(&c, 3, j) = 1 + (float)draw(64) / 8;
            c.call.i[0] = interleaved;
            c.call.i[1] = inverse;
            c.call.f[0] = draw(2) ? 10000 : 500000;
            for (int64_t t = 0; t < dim[2]; t++)
                *element_i32(&c, 2, t) = draw(4) == 0 ? (int32_t)random_u32(5, 5, (uint64_t)t)
                                                      : (int32_t)draw(5000);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++) {
                    int64_t row = i / dim[3], e = i % dim[3], t = row % dim[2];
                    int64_t j = interleaved ? e / 2 : e % pairs;
                    int64_t a_at = interleaved ? 2 * j : j, b_at = interleaved ? 2 * j + 1 : j + pairs;
                    double angle = *element_i32(&c, 2, t) *
                                   pow(c.call.f[0], -2.0 * (double)j / (double)dim[3]) /
                                   (stretched ? *element(&c, 3, j) : 1);
                    double co = cos(angle), si = inverse ? -sin(angle) : sin(angle);
                    double a = *element(&c, 1, row * dim[3] + a_at);
                    double b = *element(&c, 1, row * dim[3] + b_at);
                    double want = e == a_at ? a * co - b * si : a * si + b * co;
                    double size = fabs(a) + fabs(b);
                    double far = fabs(angle) > 0x1p20 ? 0x1p-21 : 0;
                    expect_near("rope", *element(&c, 0, i), want, (3 * ULP + far) * size);
                }
            }
            case_free(&c);
        }
}

static void test_in_place(void **state)
{
    (void)state;
    for (int isa = 0; isa < N_ISAS; isa++)
        for (int style = 0; isa_brings(isa, KERNEL_rope) && style < 2; style++) {
            const int64_t dim[] = { 2, 3, 9, 46 };
            Case c = case_new(KERNEL_rope);
            case_add(&c, DTYPE_f32, 4, dim, ROWS);
            case_add(&c, DTYPE_f32, 4, dim, ROWS);
            case_add(&c, DTYPE_i32, 1, &dim[2], ANY);
            c.call.i[0] = style;
            c.call.f[0] = 10000;
            for (int64_t p = 0; p < dim[2]; p++)
                *element_i32(&c, 2, p) = (int32_t)(3 * p);
            case_keep(&c);
            case_run(&c, kernels_table((Isa)isa), 1);
            Operand out = c.operand[0];
            c.operand[0] = c.operand[1];
            float want[2 * 3 * 9 * 46];
            for (int64_t i = 0; i < elements(&out); i++)
                want[i] = ((float *)out.data)[at(&out, i)];
            case_run(&c, kernels_table((Isa)isa), 3);
            for (int64_t i = 0; i < elements(&out); i++)
                assert_memory_equal(&want[i], element(&c, 1, i), sizeof(float));
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    const int64_t dim[] = { 2, 3, 4, 6 };
    Case c = case_new(KERNEL_rope);
    case_add(&c, DTYPE_f32, 4, dim, ROWS);
    case_add(&c, DTYPE_f32, 4, dim, ROWS);
    case_add(&c, DTYPE_i32, 1, &dim[2], ANY);
    c.call.f[0] = 10000;
    case_keep(&c);
    case_expect_legal(&c);
    c.call.f[0] = -1;
    case_expect_illegal(&c);
    c.call.f[0] = NAN;
    case_expect_illegal(&c);
    c.call.f[0] = 10000;
    c.call.i[0] = 2;
    case_expect_illegal(&c);
    c.call.i[0] = 0;
    c.operand[0].dim[3] = c.operand[1].dim[3] = 5;
    case_expect_illegal(&c);
    c.operand[0].dim[3] = c.operand[1].dim[3] = 6;
    c.operand[2].dim[0] = 3;
    case_expect_illegal(&c);
    case_free(&c);
}

static void test_check_factors(void **state)
{
    (void)state;
    const int64_t dim[] = { 2, 3, 4, 6 }, pairs = 3;
    Case c = case_new(KERNEL_rope);
    case_add(&c, DTYPE_f32, 4, dim, ROWS);
    case_add(&c, DTYPE_f32, 4, dim, ROWS);
    case_add(&c, DTYPE_i32, 1, &dim[2], ANY);
    case_add(&c, DTYPE_f32, 1, &pairs, ANY);
    c.call.f[0] = 10000;
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[3].dim[0] = 6;
    case_expect_illegal(&c);
    c.operand[3].dim[0] = 3;
    c.operand[3].dtype = DTYPE_i32;
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
