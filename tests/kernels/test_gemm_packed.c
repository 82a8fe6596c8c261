/* Operands that lie as the kernel reads them, packed before or in rows of whole lines: the bits of those that the
 * product has to pack itself. */
#include "tests/kernels/gemm_product.h"

#include "base/half.h"
#include "runtime/kernels/gemm_packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Packs B for the set, in memory that ends where it must; false where the set would have it as it is. */
static bool pack_b(Product *p, const KernelTable *table, Guarded *packed)
{
    Operand *b = &p->operand[2];
    bool split;
    size_t bytes;
    assert_true(gemm_reads_as_b(&p->call, 2, &split));
    const OperandLayout layout = split ? table->packs.split : table->packs.whole;
    const GemmUnpacked from = { b->data, b->dim[0], b->dim[1] };
    if (layout == LAYOUT_STRIDES)
        return false;
    assert_true(gemm_packed_bytes(from.k, from.n, &bytes));
    *packed = guarded(bytes);
    const int64_t panels = (from.n + GEMM16_NR - 1) / GEMM16_NR, some = draw(panels + 1);
    gemm_packed_fill(&from, layout, some, panels, (void *)packed->p);
    gemm_packed_fill(&from, layout, 0, some, (void *)packed->p);
    b->data = packed->p;
    b->layout = layout;
    return true;
}

/* Whole and in pieces, packed, has the bits that it has without. */
static void verify_packed(Product *p, int *met)
{
    const size_t bytes = p->memory[0].bytes;
    const Operand b = p->operand[2];
    float *c = p->operand[0].data, *before = malloc(bytes), *want = malloc(bytes);
    assert_true(before && want);
    memcpy(before, c, bytes);
    for (int t = 0; t < N_ISAS; t++) {
        Guarded packed;
        if (!isa_supported((Isa)t))
            continue;
        const KernelTable *table = kernels_table((Isa)t);
        product_run(p, table, 1);
        memcpy(want, c, bytes);
        for (int pieces = 1; pieces < 6 && pack_b(p, table, &packed); pieces += 4) {
            memcpy(c, before, bytes);
            product_run(p, table, pieces);
            if (memcmp(c, want, bytes) != 0)
                fail_msg("%s: %lld x %lld x %lld has other bits with B packed, in %d pieces", isa_name((Isa)t),
                         (long long)p->operand[0].dim[0], (long long)p->operand[1].dim[1],
                         (long long)b.dim[1], pieces);
            p->operand[2] = b;
            release(&packed);
            ++*met;
        }
        memcpy(c, before, bytes);
    }
    free(before);
    free(want);
}

/* Sizes around panels, steps, blocks of K and the few rows that have paths of their own. */
static void test_packed(void **state)
{
    static const int64_t ms[] = { 1, 2, 3, 4, 5, 6, 7, 13, 31, 32, 33, 64, 70 };
    static const int64_t ns[] = { 2, 15, 16, 17, 32, 33, 48, 64, 96, 130, 200 };
    static const int64_t ks[] = { 1, 16, 31, 32, 33, 64, 130, 256, 272, 300, 576, 1030 };
    int met = 0, wanted = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        const int64_t m = ms[i % 13], n = ns[draw(11)], k = ks[draw(12)];
        const bool across = draw(4) == 0;
        Product p = { .operand = {
            { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n + draw(3), 1 } },
            { .rank = 2, .dtype = draw(3) ? DTYPE_f32 : DTYPE_bf16, .dim = { m, k },
              .stride = { across ? 1 : k, across ? m : 1 } },
            { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, n }, .stride = { n, 1 } },
        } };
        product_fill(&p);
        p.call.i[0] = draw(2);
        p.call.i[4] = draw(2);
        p.call.f[0] = draw(2) ? 1 : 0.7;
        if (i % 7 == 0)                 /* a panel of A that has no parts */
            for (int j = 0; j < 2; j++)
                if (p.operand[1].dtype == DTYPE_f32)
                    ((float *)p.operand[1].data)[draw(m * k)] = j ? INFINITY : NAN;
        for (int t = 0; t < N_ISAS; t++)
            wanted += isa_supported((Isa)t) && (Isa)t == kernels_table((Isa)t)->isa
                && kernels_table((Isa)t)->packs.whole != LAYOUT_STRIDES;
        verify_packed(&p, &met);
        product_free(&p);
    }
    assert_true(wanted == 0 || met > wanted / 2);
}

/* Rows enough to fetch a packed B's next block beside this one's products, whose last columns are fewer. */
static void test_packed_blocks(void **state)
{
    (void)state;
    int met = 0;
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { 144, 600 }, .stride = { 600, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { 144, 576 }, .stride = { 576, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { 576, 600 }, .stride = { 600, 1 } },
    } };
    product_fill(&p);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    verify_packed(&p, &met);
    product_free(&p);
}

/* Rows of A in whole lines of memory are read where they lie, others packed: with the same bits, beside a B that
 * is packed and one that is not. */
static void verify_rows(int64_t m, int64_t n, int64_t k)
{
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { m, k }, .stride = { k, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, n }, .stride = { n, 1 } },
    } };
    const size_t bytes = sizeof(float) * (size_t)(m * n);
    uint16_t *apart = malloc(sizeof *apart * (size_t)(m * (k + 2)));
    float *want = malloc(bytes);
    product_fill(&p);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    Operand *a = &p.operand[1];
    const Operand lies = *a;
    assert_true(apart && want);
    for (int64_t i = 0; i < m; i++)
        memcpy(apart + i * (k + 2), (const uint16_t *)lies.data + i * k, sizeof *apart * (size_t)k);
    for (int t = 0; t < N_ISAS; t++) {
        if (!isa_supported((Isa)t) || kernels_table((Isa)t)->packs.whole == LAYOUT_STRIDES)
            continue;
        a->data = apart;
        a->stride[0] = k + 2;
        product_run(&p, kernels_table((Isa)t), 1);
        memcpy(want, p.operand[0].data, bytes);
        *a = lies;
        product_run(&p, kernels_table((Isa)t), 1);
        if (memcmp(p.operand[0].data, want, bytes) != 0)
            fail_msg("%s: %lld x %lld x %lld has other bits where rows of A lie apart", isa_name((Isa)t),
                     (long long)m, (long long)k, (long long)n);
    }
    free(apart);
    free(want);
    product_free(&p);
}

static void test_rows(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        { 16, 64, 160 }, { 48, 40, 1088 }, { 170, 320, 544 }, { 128, 33, 1024 }, { 33, 70, 256 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        verify_rows(sizes[i][0], sizes[i][1], sizes[i][2]);
}

/* A B of many columns, each a run of memory, is packed with all of its K at once: a few of its columns alone, which
 * are packed by blocks of K, have the same bits. */
static void test_many_columns(void **state)
{
    (void)state;
    const int64_t m = 20, k = 544, n = 61720, some = 100, first = n - some;
    Product p = { .operand = {
        { .rank = 2, .dtype = DTYPE_f32, .dim = { m, n }, .stride = { n, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { m, k }, .stride = { k, 1 } },
        { .rank = 2, .dtype = DTYPE_bf16, .dim = { k, 1 }, .stride = { 1, k } },
    } };
    product_fill(&p);
    uint16_t *b = malloc(sizeof *b * (size_t)(k * n));
    float *c = p.operand[0].data, *few = malloc(sizeof *few * (size_t)(m * some));
    assert_true(b && few);
    for (int64_t i = 0; i < k * n; i++)
        b[i] = bf16_of_f32((float)(i * 7919 % 65537 - 32768) / 32768);
    p.call.i[4] = 1;
    p.call.f[0] = 1;
    for (int t = 0; t < N_ISAS; t++) {
        if (!isa_supported((Isa)t) || kernels_table((Isa)t)->packs.whole == LAYOUT_STRIDES)
            continue;
        Product all = p, part = p;
        all.call.operand = all.operand;
        all.operand[2].data = b;
        all.operand[2].dim[1] = n;
        product_run(&all, kernels_table((Isa)t), 1);
        part.call.operand = part.operand;
        part.operand[0] = (Operand){ .rank = 2, .dtype = DTYPE_f32, .dim = { m, some }, .stride = { some, 1 },
                                     .data = few };
        part.operand[2].data = b + first * k;
        part.operand[2].dim[1] = some;
        product_run(&part, kernels_table((Isa)t), 1);
        for (int64_t i = 0; i < m; i++)
            if (memcmp(c + i * n + first, few + i * some, sizeof *few * (size_t)some) != 0)
                fail_msg("%s: row %lld has other bits among many columns", isa_name((Isa)t), (long long)i);
    }
    free(b);
    free(few);
    product_free(&p);
}

/* What is no matrix to pack. */
static void test_packed_refusals(void **state)
{
    bool split;
    (void)state;
    Operand o[4] = {
        { .rank = 3, .dtype = DTYPE_f32, .dim = { 2, 4, 64 }, .stride = { 256, 64, 1 } },
        { .rank = 3, .dtype = DTYPE_f32, .dim = { 2, 4, 32 }, .stride = { 128, 32, 1 } },
        { .rank = 3, .dtype = DTYPE_bf16, .dim = { 2, 32, 64 }, .stride = { 0, 64, 1 } },
    };
    Call call = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = o, .f = { 1 } };
    assert_true(gemm_reads_as_b(&call, 2, &split) && split);
    call.i[4] = 1;
    assert_true(gemm_reads_as_b(&call, 2, &split) && !split);
    assert_false(gemm_reads_as_b(&call, 1, &split));
    o[2].stride[0] = 32 * 64;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* a batch of matrices */
    o[2].stride[0] = 0;
    o[2].stride[1] = 65;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* part of a larger one */
    o[2].stride[1] = 1;
    o[2].stride[2] = 32;
    assert_false(gemm_reads_as_b(&call, 2, &split));                    /* transposed */
    o[2].stride[1] = 64;
    o[2].stride[2] = 1;
    o[2].dtype = DTYPE_f32;
    assert_false(gemm_reads_as_b(&call, 2, &split));
    o[2].dtype = DTYPE_bf16;
    call.kernel = KERNEL_masked_matmul;
    assert_false(gemm_reads_as_b(&call, 2, &split));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_packed_blocks),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_many_columns),
        cmocka_unit_test(test_packed_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
