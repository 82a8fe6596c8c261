/* Plans cut off and altered, with the checksum made right again so that the validator itself is
 * tested: each is refused with a message, or does no harm. */
#include "tests/e2e/compiled.h"
#include "tests/e2e/exercise.h"

#include "base/check.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MUTATIONS = 3400, CUTS = 400 };

static const ModelSpec models[] = {
    { "gpt2", { "vocab=11", "context=6", "width=8", "depth=1", "heads=2", "drop=0.5" } },
    { "llama", { "vocab=11", "context=6", "width=8", "depth=1", "heads=4", "kv_heads=2",
                 "hidden=12" } },
    { "mlp", { "inputs=3", "hidden=5" } },
};

static const ModelSpec whole_blocks = {
    "llama", { "vocab=11", "context=6", "width=64", "depth=1", "heads=2", "kv_heads=1", "hidden=12" },
};

/* Generation keeps its caches in blocks where the heads allow it. */
static void compile_small(const ModelSpec *m, Program program, Buf *out)
{
    const CompileOptions co = { .level = 2, .batch = 2, .chunk = 3, .programs = 1u << program,
                                .cache = m == &whole_blocks ? DTYPE_q8_0 : DTYPE_f32 };
    compile_bytes(m, &co, out);
}

/* ---- mutations --------------------------------------------------------------------------------- */

typedef struct Dice {
    uint64_t seed, n;
} Dice;

static uint32_t roll(Dice *d, size_t sides)
{
    return (uint32_t)(random_u32(d->seed, 77, d->n++) % sides);
}

/* A place in the header, or in one of the tables: small ones as often as large ones. */
static size_t place(Dice *d, const uint8_t *bytes, size_t n)
{
    const size_t n_tables = (sizeof(PlanHeader) - offsetof(PlanHeader, symbols)) / sizeof(PlanTable);
    PlanTable t[16];
    const uint32_t pick = roll(d, n_tables + 1);
    memcpy(t, bytes + offsetof(PlanHeader, symbols), n_tables * sizeof *t);
    if (pick == n_tables)
        return roll(d, sizeof(PlanHeader));
    const size_t end = pick + 1 < n_tables ? t[pick + 1].offset : n;
    return end > t[pick].offset && end <= n ? t[pick].offset + roll(d, end - t[pick].offset) : 0;
}

static void mutate(Dice *d, uint8_t *bytes, size_t n, const uint8_t *original)
{
    static const int64_t odd[] = { 0, 1, 2, 3, 4, 5, 7, 8, -1, -2, 16, 31, 32, 33, 64, 255, 256,
        4096, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, INT64_MAX / 2, 1ll << 32,
        1ll << 46, 1ll << 47, 1ll << 61 };
    const uint32_t kind = roll(d, 6);
    size_t at = place(d, original, n), size = roll(d, 2) ? 4 : 8;
    at = at / size * size;
    if (at + size > n)
        return;
    int64_t word = 0;
    memcpy(&word, bytes + at, size);
    if (kind == 0) {
        bytes[at + roll(d, size)] ^= (uint8_t)(1u << roll(d, 8));
        return;
    }
    if (kind == 1) {
        bytes[at + roll(d, size)] = (uint8_t)roll(d, 256);
        return;
    }
    if (kind == 2)
        word = odd[roll(d, COUNT_OF(odd))];
    else if (kind == 3)
        word = (int64_t)((uint64_t)word + (roll(d, 2) ? 1 : UINT64_MAX));
    else if (kind == 4)
        word = (int64_t)((uint64_t)roll(d, UINT32_MAX) << 32 | roll(d, UINT32_MAX));
    else
        memcpy(&word, bytes + place(d, original, n) / size * size % (n - 7), size);
    memcpy(bytes + at, &word, size);
}

/* One to four changes, the more the rarer. */
static Exercise exercise_mutant(const Buf *plan, uint8_t *copy, uint64_t seed)
{
    Dice d = { seed, 0 };
    memcpy(copy, plan->data, plan->len);
    do
        mutate(&d, copy, plan->len, (const uint8_t *)plan->data);
    while (roll(&d, 4) == 0);
    plan_seal(copy, plan->len);
    return plan_exercise(copy, plan->len, seed);
}

static void check_mutants(const ModelSpec *m, Program program)
{
    int n[3] = { 0 };
    Buf plan = { 0 };
    compile_small(m, program, &plan);
    uint8_t *copy = malloc(plan.len);
    assert_non_null(copy);
    assert_int_equal(plan_exercise((const uint8_t *)plan.data, plan.len, 1), EXERCISE_RAN);
    for (uint64_t seed = 0; seed < MUTATIONS; seed++)
        n[exercise_mutant(&plan, copy, seed)]++;
    print_message("%s %s: %d refused, %d ran, %d too large to run\n", m->name,
                  program_name(program), n[EXERCISE_REFUSED], n[EXERCISE_RAN], n[EXERCISE_LARGE]);
    assert_true(n[EXERCISE_REFUSED] > MUTATIONS / 20 && n[EXERCISE_RAN] > MUTATIONS / 20);
    free(copy);
    buf_free(&plan);
}

static void test_mutants(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        check_mutants(&models[i], PROGRAM_train);
        check_mutants(&models[i], strcmp(models[i].name, "mlp") ? PROGRAM_generate
                                                                : PROGRAM_score);
    }
    check_mutants(&whole_blocks, PROGRAM_generate);
}

/* ---- cuts -------------------------------------------------------------------------------------- */

/* In a buffer of exactly that length; as it is, and with a header that agrees. */
static void check_cut(const Buf *plan, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, plan->data, n);
    assert_int_equal(plan_exercise(copy, n, 1), EXERCISE_REFUSED);
    plan_seal(copy, n);
    plan_exercise(copy, n, 1);
    free(copy);
}

static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Buf plan = { 0 };
        compile_small(&models[i], PROGRAM_train, &plan);
        for (size_t n = 0; n < 2 * sizeof(PlanHeader); n++)
            check_cut(&plan, n);
        for (size_t k = 0; k < CUTS; k++)
            check_cut(&plan, plan.len * k / CUTS + random_u32(3, 3, k) % (plan.len / CUTS));
        for (size_t n = plan.len - 64; n < plan.len; n++)
            check_cut(&plan, n);
        buf_free(&plan);
    }
}

/* ---- what no program touches ------------------------------------------------------------------- */

/* Whoever counts parameters or writes outputs relies on sizes that the kernels never see.  A program
 * without instructions shows nothing to the kernels. */
static void test_uncountable(void **state)
{
    (void)state;
    Buf plan = { 0 };
    compile_small(&models[2], PROGRAM_score, &plan);
    uint8_t *bytes = (uint8_t *)plan.data;
    PlanHeader h;
    memcpy(&h, bytes, sizeof h);
    PlanProgram *g = (PlanProgram *)(void *)(bytes + h.programs.offset);
    PlanStorage *last = (PlanStorage *)(void *)(bytes + h.storages.offset) + h.storages.count - 1;
    const PlanOutput *o = (const PlanOutput *)(const void *)(bytes + h.outputs.offset);
    PlanOperand *y = (PlanOperand *)(void *)(bytes + h.operands.offset) + o->operand;
    const PlanStorage before = *last;
    assert_int_equal(last->class, PLAN_PARAM);
    g->n_instrs = 0;
    plan_seal(bytes, plan.len);
    assert_int_equal(plan_exercise(bytes, plan.len, 1), EXERCISE_RAN);
    last->programs = 0;
    last->rank = 2;
    last->dim[0] = last->dim[1] = (PlanDim){ .coef = (int64_t)1 << 40 };
    plan_seal(bytes, plan.len);
    assert_int_equal(plan_exercise(bytes, plan.len, 1), EXERCISE_REFUSED);
    *last = before;
    y->rank = 2;
    y->dim[0] = y->dim[1] = (PlanDim){ .coef = (int64_t)1 << 40 };
    y->stride[0] = y->stride[1] = (PlanDim){ .coef = 0 };
    plan_seal(bytes, plan.len);
    assert_int_equal(plan_exercise(bytes, plan.len, 1), EXERCISE_REFUSED);
    buf_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_uncountable),
        cmocka_unit_test(test_mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
