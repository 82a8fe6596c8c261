/* reduce_sum, reduce_max, reduce_min and partial_sum against plain loops in double.
 *
 * Tolerance of a sum of n floats in any order: n u sum |x| (Higham 4.2); maxima are exact.  A partial
 * sum's bits are those of the 64 lanes of row.h, written out here. */
#include "tests/kernels/harness.h"

typedef struct Shape {
    int32_t rank;
    int64_t dim[MAX_RANK];
} Shape;

static const Shape shapes[] = {
    { 0, { 0 } }, { 1, { 1 } }, { 1, { 1000 } }, { 2, { 300, 70 } }, { 2, { 5, 131 } },
    { 3, { 7, 3, 65 } }, { 3, { 2, 200, 33 } }, { 4, { 3, 4, 5, 6 } }, { 6, { 2, 3, 2, 3, 2, 5 } },
    { 2, { 0, 5 } }, { 2, { 5, 0 } }, { 3, { 40, 1, 64 } },
};

/* What the elements that go into one element of the output come to. */
typedef struct Fold {
    double sum, size, max, min, n;
    bool nan;
} Fold;

/* One Fold per element of the output, in row-major order. */
static Fold *fold(const Case *c)
{
    const Operand *out = &c->operand[0], *in = &c->operand[1];
    Fold *folds = calloc((size_t)elements(out) + 1, sizeof *folds);
    assert_non_null(folds);
    for (int64_t i = 0; i < elements(out); i++)
        folds[i] = (Fold){ .max = -INFINITY, .min = INFINITY };
    for (int64_t e = 0; e < elements(in); e++) {
        int64_t rest = e, where = 0, step = 1;
        for (int i = in->rank - 1; i >= 0; i--) {
            where += out->dim[i] == 1 ? 0 : rest % in->dim[i] * step;
            step *= out->dim[i];
            rest /= in->dim[i];
        }
        Fold *f = &folds[where];
        double x = *element(c, 1, e);
        f->sum += x;
        f->size += fabs(x);
        f->max = fmax(f->max, x);
        f->min = fmin(f->min, x);
        f->nan = f->nan || isnan(x);
        f->n++;
    }
    return folds;
}

static void expect_fold(const Fold *f, KernelId kernel, double got)
{
    bool sum = kernel == KERNEL_reduce_sum;
    double want = f->nan ? NAN : sum ? f->sum : kernel == KERNEL_reduce_max ? f->max : f->min;
    expect_near(kernel_name(kernel), got, want, sum && isfinite(f->size) ? f->n * ULP * f->size : 0);
}

static void check_reduce(const Shape *s, uint32_t reduced, KernelId kernel, int strange)
{
    int64_t out[MAX_RANK];
    for (int i = 0; i < s->rank; i++)
        out[i] = reduced >> i & 1 ? 1 : s->dim[i];
    Case c = case_new(kernel);
    case_add(&c, DTYPE_f32, s->rank, out, ANY);
    case_add(&c, DTYPE_f32, s->rank, s->dim, ANY);
    if (strange == 1 && s->rank > 1)
        case_broadcast(&c, 1, (int)draw(s->rank));
    if (strange == 2 && elements(&c.operand[1]) > 0)
        *element(&c, 1, draw(elements(&c.operand[1]))) = draw(2) ? NAN : INFINITY;
    Fold *want = fold(&c);
    CASE_EACH_ISA(&c, 1, table) {
        for (int64_t i = 0; i < elements(&c.operand[0]); i++)
            expect_fold(&want[i], kernel, *element(&c, 0, i));
    }
    free(want);
    case_free(&c);
}

static void test_reduce(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (uint32_t reduced = 0; reduced < 1u << shapes[s].rank; reduced++)
            for (int strange = 0; strange < 3; strange++) {
                if (shapes[s].rank > 4 && draw(4) != 0)
                    continue;
                static const KernelId kernels[] = { KERNEL_reduce_sum, KERNEL_reduce_max,
                                                    KERNEL_reduce_min };
                check_reduce(&shapes[s], reduced, kernels[draw(3)], strange);
                check_reduce(&shapes[s], reduced, KERNEL_reduce_sum, strange);
            }
}

/* Onto what is there: a sum of two, of which the first has the bound above. */
static void test_accumulate(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (uint32_t reduced = 0; reduced < 1u << shapes[s].rank; reduced++) {
            int64_t out[MAX_RANK];
            for (int i = 0; i < shapes[s].rank; i++)
                out[i] = reduced >> i & 1 ? 1 : shapes[s].dim[i];
            Case c = case_new(KERNEL_reduce_sum);
            case_add(&c, DTYPE_f32, shapes[s].rank, out, ANY);
            case_add(&c, DTYPE_f32, shapes[s].rank, shapes[s].dim, ANY);
            c.call.i[0] = 1;
            Fold *want = fold(&c);
            const int64_t n = elements(&c.operand[0]);
            for (int64_t i = 0; i < n; i++) {
                const double old = *element(&c, 0, i);
                want[i] = (Fold){ want[i].sum + old, want[i].size + fabs(old), .n = want[i].n + 1 };
            }
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < n; i++)
                    expect_fold(&want[i], KERNEL_reduce_sum, *element(&c, 0, i));
            }
            free(want);
            case_free(&c);
        }
}

/* Sums that keep one axis, with their squares, 64 at a time: of at most 64, each rounded and added, within
 * 65 roundings of the sum. */
static void check_squares(const int64_t in[3], int kept, int mode)
{
    const int64_t n = in[kept];
    int64_t out[3] = { 1, 1, 1 };
    out[kept] = n;
    Case c = case_new(KERNEL_reduce_sum);
    case_add(&c, DTYPE_f32, 3, out, mode & 2 ? ANY : ROWS);
    case_add(&c, DTYPE_f32, 3, in, mode & 2 ? ANY : ROWS);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ (n + 63) / 64 }, ANY);
    c.call.i[0] = mode & 1;
    c.call.i[1] = 1;
    Fold *want = fold(&c);
    for (int64_t i = 0; i < n && mode & 1; i++) {
        const double old = *element(&c, 0, i);
        want[i] = (Fold){ want[i].sum + old, want[i].size + fabs(old), .n = want[i].n + 1 };
    }
    CASE_EACH_ISA(&c, 5, table) {
        for (int64_t i = 0; i < n; i++)
            expect_fold(&want[i], KERNEL_reduce_sum, *element(&c, 0, i));
        for (int64_t b = 0; b < elements(&c.operand[2]); b++) {
            double sum = 0;
            for (int64_t i = 64 * b; i < n && i < 64 * (b + 1); i++)
                sum += (double)*element(&c, 0, i) * (double)*element(&c, 0, i);
            expect_near("squares", *element(&c, 2, b), sum, 65 * ULP * sum);
        }
    }
    free(want);
    case_free(&c);
}

static void test_squares(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 5, 3, 1 }, { 7, 20, 64 }, { 3, 50, 131 }, { 1, 300, 768 }, { 0, 4, 70 }, { 2, 130, 3 }, { 4, 4, 0 },
    };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (int mode = 0; mode < 12; mode++)
            check_squares(sizes[s], mode % 3, mode / 3);
}

static float partial(const Case *c, int64_t begin, int64_t end, bool square)
{
    float lane[64] = { 0 };
    for (int64_t i = begin; i < end; i++) {
        float x = *element(c, 1, i);
        lane[(i - begin) % 64] += square ? x * x : x;
    }
    for (int half = 32; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static void test_partial_sum(void **state)
{
    (void)state;
    static const Shape sizes[] = {
        { 0, { 0 } }, { 1, { 7 } }, { 1, { 256 } }, { 1, { 100000 } }, { 2, { 300, 71 } },
        { 3, { 40, 13, 129 } }, { 2, { 3, 0 } },
    };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (int round = 0; round < 6; round++) {
            Case c = case_new(KERNEL_partial_sum);
            case_add(&c, DTYPE_f32, 1, (int64_t[]){ N_PARTIALS }, ANY);
            case_add(&c, DTYPE_f32, sizes[s].rank, sizes[s].dim, round % 3 == 0 ? ROWS : ANY);
            c.call.i[0] = round & 1;
            int64_t n = elements(&c.operand[1]);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < N_PARTIALS; i++) {
                    float want = partial(&c, i * n / N_PARTIALS, (i + 1) * n / N_PARTIALS, round & 1);
                    assert_memory_equal(element(&c, 0, i), &want, sizeof want);
                }
            }
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_reduce_sum);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, 4 }, ANY);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 4 }, ANY);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[0].dim[0] = 2;
    case_expect_illegal(&c);
    c.operand[0].dim[0] = 1;
    c.operand[1].rank = 1;
    case_expect_illegal(&c);
    c.operand[1].rank = 2;
    c.operand[0].stride[1] = 0;
    case_expect_illegal(&c);
    c.operand[0].stride[1] = INT64_MAX;
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_reduce_sum);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ 1, 1, 70 }, ROWS);
    case_add(&c, DTYPE_f32, 3, (int64_t[]){ 2, 1, 70 }, ROWS);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ 2 }, ANY);
    case_keep(&c);
    case_expect_illegal(&c);            /* three operands, and nothing about squares */
    c.call.i[1] = 1;
    case_expect_legal(&c);
    c.call.i[1] = 2;
    case_expect_illegal(&c);
    c.call.i[1] = 1;
    c.operand[2].dim[0] = 1;
    case_expect_illegal(&c);
    c.operand[2].dim[0] = 2;
    c.operand[0].dim[0] = 2;            /* two axes are left */
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_partial_sum);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ N_PARTIALS - 1 }, ANY);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ 3 }, ANY);
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_partial_sum),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
