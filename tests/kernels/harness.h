/* What the kernel tests share: operands in guarded memory, calls run in random shares of tasks on
 * every instruction set that this processor has.
 *
 *     Case c = case_new(KERNEL_rope);
 *     case_add(&c, DTYPE_f32, 4, dims, ROWS);   outputs and inputs in the contract's order, filled
 *     c.call.f[0] = 10000;                      with draws in (-1, 1); strides are drawn too
 *     CASE_EACH_ISA(&c, outputs, table) ...     runs it, then the body looks at the results
 *     case_free(&c);
 *
 * A run is made twice from the same memory, once in one piece and once in several, last pieces
 * first; both must leave the same bits, and everything that is not an element of an output (bit i of
 * `outputs`) as it was.  Operands and scratch end where a page that may not be touched begins, and
 * scratch is filled with NaN. */
#ifndef TESTS_KERNELS_HARNESS_H
#define TESTS_KERNELS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/check.h"
#include "base/half.h"
#include "base/random.h"
#include "runtime/kernels/operand.h"
#include "runtime/kernels/panel.h"
#include "runtime/kernels/select.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Half the distance from 1 to the next float. */
#define ULP (0x1p-24)

enum Strides { ROWS, ANY };

/* Has the processor the instruction set, and the set a kernel of this family for itself? */
static inline bool isa_brings(int isa, KernelId family)
{
    return isa_supported((Isa)isa) && kernels_own((Isa)isa, family);
}

static uint64_t harness_draws;

/* Uniform in 0..n-1. */
static inline int64_t draw(int64_t n)
{
    return (int64_t)(random_u32(11, 1, harness_draws++) % (uint64_t)n);
}

static inline float draw_float(void)
{
    return (float)(random_uniform(11, 2, harness_draws++) * 2 - 1);
}

typedef struct Guarded {
    void *map;
    size_t mapped, bytes;
    float *p;
} Guarded;

static inline Guarded guarded(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = { .bytes = bytes, .mapped = (bytes + page - 1) / page * page + page };
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)g.map + g.mapped - page, page, PROT_NONE), 0);
    g.p = (float *)(void *)((char *)g.map + g.mapped - page - bytes);
    return g;
}

static inline void release(Guarded *g)
{
    munmap(g->map, g->mapped);
}

typedef struct Case {
    Operand operand[MAX_OPERANDS];
    Guarded memory[MAX_OPERANDS];
    float *before[MAX_OPERANDS];    /* copies of the memory, from case_keep on */
    Call call;
} Case;

static inline Case case_new(KernelId kernel)
{
    return (Case){ .call = { .kernel = kernel } };
}

/* Where element `index` of the row-major order lies. */
static inline int64_t at(const Operand *o, int64_t index)
{
    int64_t offset = 0;
    for (int i = o->rank - 1; i >= 0; i--) {
        offset += index % o->dim[i] * o->stride[i];
        index /= o->dim[i];
    }
    return offset;
}

static inline int64_t elements(const Operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->rank; i++)
        n *= o->dim[i];
    return n;
}

static inline float *element(const Case *c, int i, int64_t index)
{
    const Operand *o = &c->operand[i];
    return (float *)o->data + at(o, index);
}

static inline int32_t *element_i32(const Case *c, int i, int64_t index)
{
    return (int32_t *)(void *)element(c, i, index);
}

/* Adds an operand and returns its index.  Its axes lie in a drawn order (the last one innermost for
 * ROWS) with drawn gaps. */
static inline int case_add(Case *c, DType dtype, int32_t rank, const int64_t *dim, enum Strides kind)
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
    int64_t extent = 1;
    for (int i = 0; i < rank; i++)
        extent = dim[i] == 0 || extent == 0 ? 0 : extent + (dim[i] - 1) * o->stride[i];
    c->memory[n] = guarded((size_t)extent * dtype_size(dtype));
    o->data = c->memory[n].p;
    for (int64_t i = 0; i < extent; i++) {
        const float x = draw_float();
        if (dtype == DTYPE_bf16)
            ((uint16_t *)o->data)[i] = bf16_of_f32(x);
        else
            c->memory[n].p[i] = x;
    }
    return n;
}

/* Operand i, of f32, becomes dense and of a type of storage; numbers[] gets what it stands for then. */
static inline void case_store(Case *c, int i, DType t, double *numbers)
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

/* Operand i, a matrix of blocks in rows, is laid in panels, as kernels read parameters. */
static inline void case_pack(Case *c, int i)
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

static inline void case_scalar_i32(Case *c, int32_t value)
{
    *element_i32(c, case_add(c, DTYPE_i32, 0, NULL, ANY), 0) = value;
}

/* Operand i becomes a broadcast along an axis. */
static inline void case_broadcast(Case *c, int i, int axis)
{
    c->operand[i].stride[axis] = 0;
}

static inline void case_free(Case *c)
{
    for (int i = 0; i < c->call.n_operands; i++) {
        release(&c->memory[i]);
        free(c->before[i]);
    }
}

/* Takes the memory as it stands for what every run begins with.  Binds the operands. */
static inline void case_keep(Case *c)
{
    c->call.operand = c->operand;
    for (int i = 0; i < c->call.n_operands; i++) {
        free(c->before[i]);
        c->before[i] = malloc(c->memory[i].bytes + 1);
        assert_non_null(c->before[i]);
        memcpy(c->before[i], c->memory[i].p, c->memory[i].bytes);
    }
}

static inline void case_restore(Case *c)
{
    for (int i = 0; i < c->call.n_operands; i++)
        memcpy(c->memory[i].p, c->before[i], c->memory[i].bytes);
}

/* Runs all tasks in `pieces` ranges, cut anywhere, the last range first. */
static inline void case_run(Case *c, const KernelTable *table, int pieces)
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
static inline void case_check_rest(const Case *c, uint32_t outputs)
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

static inline void case_check_split(Case *c, const KernelTable *table, uint32_t outputs)
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

static inline void case_expect_legal(Case *c)
{
    Error err = { "" };
    if (!kernel_check(&c->call, &err))
        fail_msg("%s", err.text);
}

static inline void case_expect_illegal(Case *c)
{
    Error err = { "" };
    c->call.operand = c->operand;
    assert_false(kernel_check(&c->call, &err));
    assert_true(err.text[0] != '\0');
}

#define CASE_EACH_ISA(c, outputs, table)                                                      \
    case_keep(c);                                                                             \
    case_expect_legal(c);                                                                     \
    for (int isa_ = 0; isa_ < N_ISAS; isa_++)                                                 \
        for (const KernelTable *table = kernels_table((Isa)isa_); table; table = NULL)        \
            if (isa_brings(isa_, (c)->call.kernel) &&                                         \
                (case_check_split((c), table, (outputs)), true))

/* A NaN is near a NaN, an infinity near the same. */
static inline void expect_near(const char *what, double got, double want, double tolerance)
{
    if (isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance)
        return;
    fail_msg("%s: got %.9g, want %.9g, tolerance %.3g", what, got, want, tolerance);
}

#endif
