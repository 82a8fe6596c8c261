/* Plans whose weights are stored in bf16 and in blocks, written by an enemy: types, sizes, offsets and
 * strides that would read beyond a storage, cut a block, or take a panel from its middle are refused, each
 * with the storage or the instruction named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/hash.h"
#include "runtime/plan.h"
#include "tests/runtime/scratch_dir.h"

/* A plan in memory, and a view of it as it was. */
typedef struct Forged {
    Buf file;
    Plan plan;
} Forged;

static Forged forged_open(const char *path)
{
    Forged f = { 0 };
    Error err;
    if (!file_read(path, 1 << 28, &f.file, &err) || !plan_view(f.file.data, f.file.len, &f.plan, &err))
        fail_msg("%s", err.text);
    return f;
}

static void forged_close(Forged *f)
{
    plan_close(&f->plan);
    buf_free(&f->file);
}

static void seal(char *bytes, size_t n)
{
    const size_t from = offsetof(PlanHeader, checksum) + sizeof(uint64_t);
    memcpy(bytes + offsetof(PlanHeader, checksum), &(uint64_t){ hash_bytes(bytes + from, n - from) }, 8);
}

/* The plan with `size` bytes at `record`, which is within it, replaced, is refused and says `expected`. */
static void expect_refused(const Forged *f, const char *what, const void *record, const void *with,
                           size_t size, const char *expected)
{
    char *bytes = malloc(f->file.len);
    Error err = { "" };
    Plan p;
    assert_non_null(bytes);
    memcpy(bytes, f->file.data, f->file.len);
    memcpy(bytes + ((const char *)record - f->file.data), with, size);
    seal(bytes, f->file.len);
    if (plan_view(bytes, f->file.len, &p, &err))
        fail_msg("%s: the plan is taken", what);
    if (!strstr(err.text, expected))
        fail_msg("%s: \"%s\" does not say \"%s\"", what, err.text, expected);
    free(bytes);
}

/* ---- views of stored weights ------------------------------------------------------------------ */

typedef struct ViewCase {
    const char *what;
    void (*change)(PlanOperand *o);
    const char *expected;
    bool blocks;                        /* of blocks alone */
} ViewCase;

static void as_f32(PlanOperand *o) { o->dtype = DTYPE_f32; }
static void as_f16(PlanOperand *o) { o->dtype = DTYPE_f16; }
static void as_q4_0(PlanOperand *o) { o->dtype = DTYPE_q4_0; }
static void no_type(PlanOperand *o) { o->dtype = N_DTYPES; }
static void in_pool(PlanOperand *o) { o->storage = -1; }
static void no_storage(PlanOperand *o) { o->storage = 1 << 20; }
static void from_byte(PlanOperand *o) { o->byte_offset = 2; }
static void from_element(PlanOperand *o) { o->offset.coef = 1; }
static void from_block(PlanOperand *o) { o->offset.coef = 32; }
static void from_row(PlanOperand *o) { o->offset.coef = o->dim[o->rank - 1].coef; }
static void from_far(PlanOperand *o) { o->offset.coef = (int64_t)1 << 60; }
static void before(PlanOperand *o) { o->offset.coef = -32; }
static void more_rows(PlanOperand *o) { o->dim[0].coef += 16; }
static void many_rows(PlanOperand *o) { o->dim[0].coef = (int64_t)1 << 60; }
static void wide_rows(PlanOperand *o) { o->dim[o->rank - 1].coef += 32; }
static void half_rows(PlanOperand *o) { o->dim[o->rank - 1].coef = 16; }
static void growing_rows(PlanOperand *o) { o->dim[o->rank - 1].power[0] = 1; }
static void far_rows(PlanOperand *o) { o->stride[0].coef *= 2; }
static void near_rows(PlanOperand *o) { o->stride[0].coef /= 2; }
static void one_row(PlanOperand *o) { o->stride[0].coef = 0; }
static void thin(PlanOperand *o) { o->stride[o->rank - 1].coef = 2; }
static void no_axes(PlanOperand *o) { o->rank = 0; }
static void many_axes(PlanOperand *o) { o->rank = MAX_RANK + 1; }
static void cut(PlanOperand *o) { o->cut.most = 3; }

static const ViewCase views[] = {
    { "f32", as_f32, "view of storage", false },
    { "f16", as_f16, "view of storage", false },
    { "other blocks", as_q4_0, "view of storage", false },
    { "no type", no_type, "out of range", false },
    { "the pool", in_pool, "outside of storages", true },     /* which may hold bf16 */
    { "no storage", no_storage, "out of range", false },
    { "a byte offset", from_byte, "bad view of storage", false },
    { "from element 1", from_element, "", false },
    { "from within a panel", from_row, "bad view of storage", true },
    { "from within a row", from_block, "", true },
    { "from far away", from_far, "", false },
    { "from before", before, "", false },
    { "more rows than there are", more_rows, "", false },
    { "rows without number", many_rows, "", false },
    { "rows that are too wide", wide_rows, "", false },
    { "half a block", half_rows, "", true },
    { "rows that grow", growing_rows, "", true },
    { "every other row", far_rows, "", false },
    { "rows that overlap", near_rows, "", true },
    { "every other number", thin, "", true },
    { "no axes", no_axes, "", false },
    { "too many axes", many_axes, "out of range", false },
    { "a cut", cut, "", true },
};

static void check_views(const Forged *f, const PlanInstr *in, uint32_t i)
{
    const PlanOperand *o = &f->plan.operands[in->first_operand + i];
    for (size_t v = 0; v < COUNT_OF(views); v++) {
        PlanOperand changed = *o;
        char what[128];
        if (views[v].blocks && dtype_block((DType)o->dtype) == 1)
            continue;
        views[v].change(&changed);
        snprintf(what, sizeof what, "%s, operand %u of %s: %s", plan_string(&f->plan, in->kernel), i,
                 dtype_name((DType)o->dtype), views[v].what);
        expect_refused(f, what, o, &changed, sizeof changed, views[v].expected);
    }
}

/* Panels hold different rows: a product may not take one for all of them.  A table may. */
static void check_repeated(const Forged *f, const PlanInstr *in, uint32_t i)
{
    const PlanOperand *o = &f->plan.operands[in->first_operand + i];
    PlanOperand changed = *o;
    one_row(&changed);
    expect_refused(f, plan_string(&f->plan, in->kernel), o, &changed, sizeof changed, "not one run of rows");
}

#define SEEN(name) ((uint64_t)1 << KERNEL_##name)
#define TABLES (SEEN(embedding) | SEEN(row) | SEEN(decode))

/* Of each kernel the first instruction that reads a type; returns a bit per kernel. */
static uint64_t check_plan(const char *path, DType type)
{
    Forged f = forged_open(path);
    uint64_t seen = 0;
    for (uint32_t n = 0; n < f.plan.header->instrs.count; n++) {
        const PlanInstr *in = &f.plan.instrs[n];
        for (uint32_t i = 0; i < in->n_operands; i++) {
            const PlanOperand *o = &f.plan.operands[in->first_operand + i];
            if (o->dtype != type || seen >> f.plan.kernels[n] & 1)
                continue;
            seen |= (uint64_t)1 << f.plan.kernels[n];
            check_views(&f, in, i);
            if (dtype_block(type) > 1 && !((uint64_t)1 << f.plan.kernels[n] & TABLES))
                check_repeated(&f, in, i);
        }
    }
    forged_close(&f);
    return seen;
}

static void views_of_blocks(void **state)
{
    (void)state;
    const uint64_t seen = check_plan(MIXTURE_PLAN, DTYPE_q8_0);
    assert_true(seen & SEEN(masked_matmul) && seen & (SEEN(gemm_q) | SEEN(gemm_q_shared)) && seen & TABLES);
    assert_true(check_plan(STORED_PLAN, DTYPE_q8_0) & SEEN(gemm_q));
}

static void views_of_halves(void **state)
{
    (void)state;
    assert_true(check_plan(MIXTURE_PLAN, DTYPE_bf16) & SEEN(masked_matmul));
    assert_true(check_plan(STORED_PLAN, DTYPE_bf16) & TABLES);
}

/* ---- the storages themselves ------------------------------------------------------------------ */

static void input_class(PlanStorage *s) { s->class = PLAN_INPUT; }
static void no_rows(PlanStorage *s) { s->rank = 0; }
static void blocks_of_256(PlanStorage *s) { s->dtype = DTYPE_q4_k; }
static void odd_rows(PlanStorage *s) { s->dim[1].coef -= 1; }
static void growing(PlanStorage *s) { s->dim[0].power[0] = 1; }
static void as_ids(PlanStorage *s) { s->dtype = DTYPE_i32; }
static void as_nothing(PlanStorage *s) { s->dtype = N_DTYPES; }
static void endless(PlanStorage *s) { s->dim[0].coef = (int64_t)1 << 58; }
static void below_zero(PlanStorage *s) { s->dim[0].coef = -16; }
static void fewer_rows(PlanStorage *s) { s->dim[0].coef -= 1; }
static void as_halves(PlanStorage *s) { s->dtype = DTYPE_f16; }

static const struct {
    const char *what;
    void (*change)(PlanStorage *s);
    const char *expected;
} storages[] = {
    { "an input", input_class, "an input of q8_0" },
    { "no rows", no_rows, "no parameter or cache whose rows are whole blocks of 32" },
    { "rows of 64 in blocks of 256", blocks_of_256, "whole blocks of 256" },
    { "rows of 63", odd_rows, "whole blocks of 32" },
    { "a size that is not fixed", growing, "has no fixed size" },
    { "ids", as_ids, "a parameter of i32" },
    { "no type", as_nothing, "out of range" },
    { "more than can be counted", endless, "can be counted" },
    { "a size below 0", below_zero, "" },
    { "a row less than its views", fewer_rows, "" },
    { "f16 where views are q8_0", as_halves, "a q8_0 view of storage" },
};

static void stored_parameters(void **state)
{
    Forged f = forged_open(MIXTURE_PLAN);
    const int32_t id = plan_storage(&f.plan, "model.layers.0.block_sparse_moe.experts.1.w1.weight");
    (void)state;
    assert_true(id >= 0 && f.plan.storages[id].dtype == DTYPE_q8_0);
    for (size_t i = 0; i < COUNT_OF(storages); i++) {
        PlanStorage changed = f.plan.storages[id];
        storages[i].change(&changed);
        expect_refused(&f, storages[i].what, &f.plan.storages[id], &changed, sizeof changed,
                       storages[i].expected);
    }
    forged_close(&f);
}

/* ---- copies of parameters ----------------------------------------------------------------------- */

static void of_itself(PlanStorage *s, uint32_t self) { s->rounded_of = self + 1; }
static void of_nobody(PlanStorage *s, uint32_t self) { (void)self; s->rounded_of = UINT32_MAX; }
static void of_another(PlanStorage *s, uint32_t self) { (void)self; s->rounded_of = 1; }
static void of_parameter(PlanStorage *s, uint32_t self) { (void)self; s->class = PLAN_PARAM; }
static void of_floats(PlanStorage *s, uint32_t self) { (void)self; s->dtype = DTYPE_f32; }
static void of_fewer_rows(PlanStorage *s, uint32_t self) { (void)self; s->dim[0].coef -= 1; }

static const struct {
    const char *what;
    void (*change)(PlanStorage *s, uint32_t self);
} copies[] = {
    { "itself", of_itself }, { "nobody", of_nobody }, { "another", of_another },
    { "a parameter", of_parameter }, { "floats", of_floats }, { "of fewer rows", of_fewer_rows },
};

static void copies_of_parameters(void **state)
{
    static const char expected[] = "cannot be what it is rounded of";
    Forged f = forged_open(MIXED_PLAN);
    uint32_t id = 0;
    (void)state;
    while (id < f.plan.n_storages && !f.plan.storages[id].rounded_of)
        id++;
    assert_true(id < f.plan.n_storages);
    for (size_t i = 0; i < COUNT_OF(copies); i++) {
        PlanStorage changed = f.plan.storages[id];
        copies[i].change(&changed, id);
        expect_refused(&f, copies[i].what, &f.plan.storages[id], &changed, sizeof changed, expected);
    }
    const PlanStorage *of = &f.plan.storages[f.plan.storages[id].rounded_of - 1];
    PlanStorage absent = *of;
    absent.programs = 0;
    expect_refused(&f, "where the parameter is not", of, &absent, sizeof absent, expected);
    forged_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_of_blocks),
        cmocka_unit_test(views_of_halves),
        cmocka_unit_test(stored_parameters),
        cmocka_unit_test(copies_of_parameters),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
