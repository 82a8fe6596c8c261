/* Products of one A have the bits that each of them has alone, on every instruction set, in any shares of
 * tasks; and what is no such call is refused. */
#include "tests/kernels/harness.h"

#include "base/half.h"

enum { MOST = 8 };

typedef struct Shared {
    Case c;
    int n;                              /* products */
} Shared;

/* [lead, rows, columns] with the layout of rows, or of columns. */
static int add_matrix(Case *c, DType dtype, int64_t lead, int64_t rows, int64_t columns, bool across)
{
    const int64_t dim[] = { lead, across ? columns : rows, across ? rows : columns };
    const int i = case_add(c, DTYPE_f32, 3, dim, ROWS);
    Operand *o = &c->operand[i];
    if (across) {
        const int64_t stride = o->stride[1];
        o->stride[1] = o->stride[2];
        o->stride[2] = stride;
        o->dim[1] = rows;
        o->dim[2] = columns;
    }
    o->dtype = dtype;
    for (size_t k = 0; dtype == DTYPE_bf16 && k < c->memory[i].bytes / 2; k++)
        ((uint16_t *)o->data)[k] = bf16_of_f32(draw_float());
    return i;
}

typedef struct Sizes {
    int n;
    int64_t lead, m, k, columns[MOST];
    bool a_across, b_across;
    DType a, b;
    bool rounds, accumulate;
} Sizes;

static Shared shared_new(const Sizes *z)
{
    Shared s = { .c = case_new(KERNEL_gemm_shared), .n = z->n };
    for (int i = 0; i < z->n; i++)
        add_matrix(&s.c, DTYPE_f32, z->lead, z->m, z->columns[i], false);
    add_matrix(&s.c, z->a, z->lead, z->m, z->k, z->a_across);
    for (int i = 0; i < z->n; i++) {
        const int b = add_matrix(&s.c, z->b, z->lead, z->k, z->columns[i], z->b_across);
        case_broadcast(&s.c, b, 0);
    }
    s.c.call.f[0] = draw(2) ? 1 : -0.37;
    s.c.call.i[0] = z->accumulate;
    s.c.call.i[3] = draw(4) ? ROW_copy : ROW_silu;
    s.c.call.i[4] = z->rounds;
    return s;
}

/* Product i as a call of its own, on the same memory. */
static void run_alone(const Shared *s, int i, const KernelTable *table)
{
    Operand operand[] = { s->c.operand[i], s->c.operand[s->n], s->c.operand[s->n + 1 + i] };
    Call call = s->c.call;
    call.kernel = KERNEL_gemm;
    call.n_operands = 3;
    call.operand = operand;
    kernel_prepare(&call);
    Guarded scratch = guarded((kernel_scratch(&call) + 63) / 64 * 64);
    memset(scratch.p, 0xff, scratch.bytes);
    if (call.n_tasks > 0)
        table->run[KERNEL_gemm](&call, 0, call.n_tasks, scratch.p);
    release(&scratch);
}

static void verify(Shared *s)
{
    CASE_EACH_ISA(&s->c, (1u << s->n) - 1, table)
    {
        for (int i = 0; i < s->n; i++) {
            const size_t bytes = s->c.memory[i].bytes;
            float *together = malloc(bytes + 1);
            assert_non_null(together);
            memcpy(together, s->c.memory[i].p, bytes);
            memcpy(s->c.memory[i].p, s->c.before[i], bytes);
            run_alone(s, i, table);
            if (memcmp(together, s->c.memory[i].p, bytes) != 0)
                fail_msg("%s: product %d of %d has other bits alone", isa_name(table->isa), i + 1, s->n);
            free(together);
        }
    }
    case_free(&s->c);
}

static void verify_sizes(Sizes z)
{
    static const struct { DType a, b; bool rounds; } modes[] = {
        { DTYPE_f32, DTYPE_f32, false }, { DTYPE_f32, DTYPE_f32, true },
        { DTYPE_f32, DTYPE_bf16, false }, { DTYPE_f32, DTYPE_bf16, true },
        { DTYPE_bf16, DTYPE_bf16, true },
    };
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        z.a = modes[mode].a;
        z.b = modes[mode].b;
        z.rounds = modes[mode].rounds;
        Shared s = shared_new(&z);
        verify(&s);
    }
}

/* Rows by the few and the many, one block of K and several, columns alike and not. */
static void test_sizes(void **state)
{
    (void)state;
    static const Sizes sizes[] = {
        { .n = 3, .lead = 1, .m = 1, .k = 96, .columns = { 96, 32, 32 }, .b_across = true },
        { .n = 3, .lead = 1, .m = 1, .k = 300, .columns = { 96, 33, 31 } },
        { .n = 2, .lead = 1, .m = 4, .k = 96, .columns = { 200, 200 }, .b_across = true },
        { .n = 2, .lead = 2, .m = 9, .k = 40, .columns = { 70, 70 } },
        { .n = 3, .lead = 1, .m = 70, .k = 520, .columns = { 150, 40, 40 } },
        { .n = 3, .lead = 1, .m = 130, .k = 64, .columns = { 60, 60, 60 }, .a_across = true },
        { .n = 8, .lead = 1, .m = 31, .k = 33, .columns = { 1, 2, 3, 40, 5, 64, 7, 130 }, .b_across = true },
        { .n = 2, .lead = 1, .m = 300, .k = 20, .columns = { 17, 33 }, .accumulate = true },
        { .n = 2, .lead = 1, .m = 20, .k = 270, .columns = { 1100, 700 } },
        { .n = 2, .lead = 1, .m = 500, .k = 258, .columns = { 40, 50 }, .a_across = true },
        { .n = 2, .lead = 1, .m = 1100, .k = 12, .columns = { 40, 50 } },
        { .n = 2, .lead = 1, .m = 5, .k = 0, .columns = { 40, 50 } },
        { .n = 2, .lead = 1, .m = 5, .k = 9, .columns = { 0, 50 } },
        { .n = 2, .lead = 1, .m = 0, .k = 9, .columns = { 8, 8 } },
    };
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        verify_sizes(sizes[i]);
}

/* Leading axes in any order and with gaps: some C fold into rows of A, others do not. */
static void test_random(void **state)
{
    (void)state;
    for (int turn = 0; turn < 60; turn++) {
        Sizes z = { .n = 2 + (int)draw(3), .lead = 1 + draw(3), .m = 1 + draw(turn % 2 ? 90 : 8),
                    .k = 1 + draw(turn % 5 ? 60 : 600), .a_across = draw(2), .b_across = draw(2),
                    .accumulate = draw(4) == 0 };
        for (int i = 0; i < z.n; i++)
            z.columns[i] = 1 + draw(turn % 3 ? 80 : 400);
        verify_sizes(z);
    }
}

/* The grid is that of the joined columns, and A is read once. */
static void test_grid(void **state)
{
    (void)state;
    Operand operand[] = {
        { .rank = 2, .dim = { 256, 384 }, .stride = { 384, 1 } },
        { .rank = 2, .dim = { 256, 128 }, .stride = { 128, 1 } },
        { .rank = 2, .dim = { 256, 512 }, .stride = { 512, 1 } },
        { .rank = 2, .dim = { 512, 384 }, .stride = { 384, 1 } },
        { .rank = 2, .dim = { 512, 128 }, .stride = { 128, 1 } },
    };
    Call call = { .kernel = KERNEL_gemm_shared, .n_operands = 5, .operand = operand, .f = { 1 } };
    Operand all[] = { operand[0], operand[2], operand[3] };
    Call joined = { .kernel = KERNEL_gemm, .n_operands = 3, .operand = all, .f = { 1 } };
    all[0].dim[1] = all[2].dim[1] = 512;
    kernel_prepare(&call);
    kernel_prepare(&joined);
    assert_int_equal(call.n_tasks, joined.n_tasks);
    assert_true(kernel_cost(&call).flops == kernel_cost(&joined).flops);
    assert_true(kernel_cost(&call).bytes == kernel_cost(&joined).bytes);
}

static void test_refusals(void **state)
{
    (void)state;
    const Sizes z = { .n = 2, .lead = 2, .m = 5, .k = 9, .columns = { 8, 16 }, .a = DTYPE_f32,
                      .b = DTYPE_f32 };
    for (int fault = 0; fault < 9; fault++) {
        Shared s = shared_new(&z);
        s.c.call.i[3] = ROW_copy;
        s.c.call.operand = s.c.operand;
        case_expect_legal(&s.c);
        switch (fault) {
        case 0: s.c.call.n_operands = 4; break;
        case 1: s.c.call.n_operands = 3; break;
        case 2: s.c.operand[1].dim[2] = 15; break;
        case 3: s.c.operand[4].dim[1] = 10; break;
        case 4: s.c.operand[4].dtype = DTYPE_bf16; break;
        case 5: s.c.operand[1].dim[1] = 4; break;
        case 6: s.c.call.i[1] = 1; break;
        case 7: s.c.call.i[0] = 2; break;
        case 8: s.c.operand[0].stride[1] = 0; break;
        }
        case_expect_illegal(&s.c);
        s.c.call.n_operands = 5;
        case_free(&s.c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_random), cmocka_unit_test(test_grid),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
