/* Cases of kernels: operands, runs in shares of tasks, and what must not have changed. */
#include "tests/kernels/harness.h"

#include "base/blocks.h"
#include "runtime/kernels/panel.h"

Case case_new(KernelId kernel)
{
    return (Case){ .call = { .kernel = kernel } };
}

int case_add(Case *c, DType dtype, int32_t rank, const int64_t *dim, enum Strides kind)
{
    int n = c->call.n_operands++;
    Operand *o = &c->operand[n];
    *o = (Operand){ .rank = rank, .dtype = dtype };
    int order[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        o->dim[i] = dim[i];
        order[i] = i;
    }
    int movable = kind == ROWS ? rank - 1 : rank;
    for (int i = movable - 1; i > 0; i--) {
        int j = (int)draw(i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    int64_t step = 1;
    bool gaps = draw(2);
    for (int i = rank - 1; i >= 0; i--) {
        if (gaps && !(kind == ROWS && i == rank - 1))
            step += draw(3);
        o->stride[order[i]] = step;
        step *= dim[order[i]] > 0 ? dim[order[i]] : 1;
    }
    const int64_t numbers = extent(o);
    c->memory[n] = guarded((size_t)numbers * dtype_size(dtype));
    o->data = c->memory[n].p;
    for (int64_t i = 0; i < numbers; i++) {
        const float x = draw_float();
        if (dtype == DTYPE_bf16)
            ((uint16_t *)o->data)[i] = bf16_of_f32(x);
        else
            c->memory[n].p[i] = x;
    }
    return n;
}

void case_store(Case *c, int i, DType t, double *numbers)
{
    Operand *o = &c->operand[i];
    const size_t n = (size_t)elements(o);
    int64_t bytes, step = 1;
    float *x = malloc((n + 1) * sizeof *x);
    assert_true(x && dtype_offset(t, (int64_t)n, &bytes));
    for (size_t e = 0; e < n; e++)
        x[e] = *element(c, i, (int64_t)e);
    Guarded stored = guarded((size_t)bytes);
    assert_true(blocks_encode(t, n, x, stored.p, NULL));
    blocks_decode(t, n, stored.p, x);
    for (size_t e = 0; e < n; e++)
        numbers[e] = x[e];
    free(x);
    release(&c->memory[i]);
    c->memory[i] = stored;
    o->data = stored.p;
    o->dtype = t;
    for (int a = o->rank; a-- > 0; step *= o->dim[a])
        o->stride[a] = step;
}

void case_pack(Case *c, int i)
{
    Operand *o = &c->operand[i];
    int64_t bytes = 0;
    assert_true(panel_bytes(o->dtype, count_leading(o, o->rank - 1), o->dim[o->rank - 1], &bytes));
    Guarded packed = guarded((size_t)bytes), temp = guarded((size_t)bytes);
    memset(packed.p, 0, packed.bytes);
    memcpy(packed.p, c->memory[i].p, c->memory[i].bytes);
    panel_pack(o->dtype, count_leading(o, o->rank - 1), o->dim[o->rank - 1], packed.p, temp.p);
    release(&temp);
    release(&c->memory[i]);
    c->memory[i] = packed;
    o->data = packed.p;
}

void case_scalar_i32(Case *c, int32_t value)
{
    *element_i32(c, case_add(c, DTYPE_i32, 0, NULL, ANY), 0) = value;
}

void case_broadcast(Case *c, int i, int axis)
{
    c->operand[i].stride[axis] = 0;
}

void case_free(Case *c)
{
    for (int i = 0; i < c->call.n_operands; i++) {
        release(&c->memory[i]);
        free(c->before[i]);
    }
}

void case_keep(Case *c)
{
    c->call.operand = c->operand;
    for (int i = 0; i < c->call.n_operands; i++) {
        free(c->before[i]);
        c->before[i] = malloc(c->memory[i].bytes + 1);
        assert_non_null(c->before[i]);
        memcpy(c->before[i], c->memory[i].p, c->memory[i].bytes);
    }
}

void case_restore(Case *c)
{
    for (int i = 0; i < c->call.n_operands; i++)
        memcpy(c->memory[i].p, c->before[i], c->memory[i].bytes);
}

void case_run(Case *c, const KernelTable *table, int pieces)
{
    kernel_prepare(&c->call);
    Guarded scratch = guarded((kernel_scratch(&c->call) + 63) / 64 * 64);
    int64_t end = c->call.n_tasks;
    while (end > 0) {
        int64_t begin = pieces > 1 ? draw(end) : 0;
        memset(scratch.p, 0xff, scratch.bytes);
        table->run[c->call.kernel](&c->call, begin, end, scratch.p);
        end = begin;
        pieces--;
    }
    release(&scratch);
}

/* Every number that is no element of an output is what it was. */
static void case_check_rest(const Case *c, uint32_t outputs)
{
    for (int i = 0; i < c->call.n_operands; i++) {
        const size_t size = c->operand[i].dtype == DTYPE_bf16 ? sizeof(uint16_t) : sizeof(float);
        const size_t n = c->memory[i].bytes / size;
        uint8_t *mine = calloc(n + 1, 1);
        assert_non_null(mine);
        for (int64_t e = 0; outputs >> i & 1 && e < elements(&c->operand[i]); e++)
            mine[at(&c->operand[i], e)] = 1;
        for (size_t e = 0; e < n; e++)
            if (!mine[e] && memcmp((char *)c->memory[i].p + e * size,
                                   (char *)c->before[i] + e * size, size) != 0)
                fail_msg("%s: operand %d: number %zu was overwritten", kernel_name(c->call.kernel),
                         i, e);
        free(mine);
    }
}

void case_check_split(Case *c, const KernelTable *table, uint32_t outputs)
{
    float *whole[MAX_OPERANDS] = { 0 };
    case_restore(c);
    case_run(c, table, 1);
    for (int i = 0; i < c->call.n_operands; i++) {
        whole[i] = malloc(c->memory[i].bytes + 1);
        assert_non_null(whole[i]);
        memcpy(whole[i], c->memory[i].p, c->memory[i].bytes);
    }
    case_restore(c);
    case_run(c, table, 2 + (int)draw(5));
    for (int i = 0; i < c->call.n_operands; i++) {
        if (memcmp(whole[i], c->memory[i].p, c->memory[i].bytes) != 0)
            fail_msg("%s on %s: operand %d depends on the share of tasks",
                     kernel_name(c->call.kernel), isa_name(table->isa), i);
        free(whole[i]);
    }
    case_check_rest(c, outputs);
}

void case_expect_legal(Case *c)
{
    Error err = { "" };
    if (!kernel_check(&c->call, &err))
        fail_msg("%s", err.text);
}

void case_expect_illegal(Case *c)
{
    Error err = { "" };
    c->call.operand = c->operand;
    assert_false(kernel_check(&c->call, &err));
    assert_true(err.text[0] != '\0');
}

void expect_near(const char *what, double got, double want, double tolerance)
{
    if (isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance)
        return;
    fail_msg("%s: got %.9g, want %.9g, tolerance %.3g", what, got, want, tolerance);
}
