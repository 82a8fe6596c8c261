/* copy, cache_write and positions: every element where it belongs, bit for bit. */
#include "harness.h"

typedef struct Shape {
    int32_t rank;
    int64_t dim[MAX_RANK];
} Shape;

static const Shape shapes[] = {
    { 0, { 0 } }, { 1, { 1 } }, { 1, { 40000 } }, { 2, { 100, 70 } }, { 2, { 3, 20000 } },
    { 3, { 7, 33, 65 } }, { 4, { 2, 17, 3, 64 } }, { 6, { 2, 3, 4, 3, 2, 5 } }, { 2, { 0, 5 } },
    { 3, { 5, 0, 3 } }, { 2, { 129, 16 } },
};

static void test_copy(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 12; round++) {
            DType t = (const DType[]){ DTYPE_f32, DTYPE_i32, DTYPE_bool }[round % 3];
            Case c = case_new(KERNEL_copy);
            case_add(&c, t, shapes[s].rank, shapes[s].dim, ANY);
            case_add(&c, t, shapes[s].rank, shapes[s].dim, ANY);
            if (round > 8 && shapes[s].rank > 0)
                case_broadcast(&c, 1, (int)draw(shapes[s].rank));
            for (int64_t i = 0; i < elements(&c.operand[1]); i++)
                *element_i32(&c, 1, i) = (int32_t)random_u32(3, s, (uint64_t)i);   /* NaNs too */
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                    assert_int_equal(*element_i32(&c, 0, i), *element_i32(&c, 1, i));
            }
            case_free(&c);
        }
}

static void test_cache_write(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 5, 95, 99, 100, 101, -1, -4, -200, INT32_MAX, INT32_MIN };
    static const int64_t counts[] = { 0, 1, 7, 100, 300 };
    for (size_t p = 0; p < COUNT_OF(pasts); p++)
        for (size_t n = 0; n < COUNT_OF(counts); n++) {
            int64_t t = counts[n], past = pasts[p], d = 1 + draw(40);
            Case c = case_new(KERNEL_cache_write);
            case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 100, d }, ROWS);
            case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, t, d }, ROWS);
            case_scalar_i32(&c, pasts[p]);
            CASE_EACH_ISA(&c, 1, table) {
                const Operand *cache = &c.operand[0];
                for (int64_t i = 0; i < elements(cache); i++) {
                    int64_t head = i / d / 100, s = i / d % 100, e = i % d;
                    bool new = s >= past && s < past + t;
                    const float *want = new ? element(&c, 1, (head * t + s - past) * d + e)
                                            : &c.before[0][at(cache, i)];
                    assert_memory_equal(element(&c, 0, i), want, sizeof(float));
                }
            }
            case_free(&c);
        }
}

static void test_positions(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 17, -3, INT32_MAX };
    for (size_t p = 0; p < COUNT_OF(pasts); p++)
        for (int64_t n = 0; n < 40; n += 13) {
            Case c = case_new(KERNEL_positions);
            case_add(&c, DTYPE_i32, 1, &n, ANY);
            if (p > 0)
                case_scalar_i32(&c, pasts[p]);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < n; i++)
                    assert_int_equal((uint32_t)*element_i32(&c, 0, i),
                                     (uint32_t)pasts[p] + (uint32_t)i);
            }
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_copy);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 4 }, ANY);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 4 }, ANY);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[1].dim[0] = 2;
    case_expect_illegal(&c);
    c.operand[1].dim[0] = 3;
    c.operand[1].dtype = DTYPE_i32;
    case_expect_illegal(&c);
    c.operand[1].dtype = DTYPE_f32;
    c.operand[1].rank = MAX_RANK + 1;
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_cache_write);
    case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 4, 5 }, ROWS);
    case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 2, 5 }, ROWS);
    case_scalar_i32(&c, 0);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[1].dim[3] = 4;
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_positions);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ 4 }, ANY);
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_cache_write),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
