/* Weights that generation only multiplies with lie packed: the logits have the bits that they have without, on
 * every instruction set, for a prompt, a few positions and single ones; and what must not be packed is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/half.h"
#include "runtime/text_model.h"
#include "runtime/weight_packing.h"
#include "runtime/weights.h"

#include <math.h>
#include <string.h>

static const struct { const char *path; bool whole, turned, floats; } plans[] = {
    { PACK_GPT2, false, false, false }, { PACK_GPT2_BF16, true, false, false }, { PACK_TURNED, false, true, false },
    { PACK_FLOATS, false, true, true },
};

static Session *open_session(const Plan *p, const char *cpu, bool pack, bool near)
{
    const SessionOptions o = { .n_threads = 2, .cpu = cpu, .programs = 1u << PLAN_generate, .pack = pack,
                               .near = near };
    Session *s;
    Error err;
    if (!session_open(p, &o, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static int count_in(const Session *s, OperandLayout layout)
{
    int n = 0;
    for (uint32_t i = 0; i < session_plan(s)->n_storages; i++)
        n += session_layout(s, (int32_t)i) == layout;
    return n;
}

/* The logits behind `n` more positions. */
static Operand feed(Session *s, const TextModel *m, int64_t past, int64_t n)
{
    int64_t sizes[MAX_SYMBOLS];
    Operand logits;
    Error err;
    plan_largest_sizes(session_plan(s), PLAN_generate, sizes);
    sizes[m->batch] = 1;
    sizes[m->sequence] = n;
    if (!session_bind(s, PLAN_generate, sizes, &err))
        fail_msg("%s", err.text);
    int32_t *tokens = session_storage(s, m->tokens);
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((past + i) * 7 % m->vocab);
    *(int32_t *)session_storage_named(s, "$past") = (int32_t)past;
    session_run(s, PLAN_generate);
    assert_true(session_output(s, PLAN_generate, text_model_logits(session_plan(s), m, PLAN_generate, &err), &logits));
    return logits;
}

/* A prompt that fills panels of rows, a shorter piece, and tokens. */
static void assert_same_logits(Session *plain, Session *packed, const char *isa)
{
    static const int64_t pieces[] = { 50, 1, 17, 1, 3, 2, 1 };
    TextModel m;
    Error err;
    int64_t past = 0;
    assert_true(text_model_of(session_plan(plain), &m, &err));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; past += pieces[i++]) {
        const Operand a = feed(plain, &m, past, pieces[i]), b = feed(packed, &m, past, pieces[i]);
        assert_int_equal(a.dim[2], m.vocab);
        if (memcmp(a.data, b.data, sizeof(float) * (size_t)(a.dim[1] * m.vocab)) != 0)
            fail_msg("%s: other logits with weights packed, %d positions behind %d", isa, (int)pieces[i], (int)past);
    }
}

static void logits_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        for (int isa = 0; isa < N_ISAS; isa++) {
            Plan p;
            Error err;
            if (!isa_supported((Isa)isa))
                continue;
            if (!plan_open(plans[i].path, &p, &err))
                fail_msg("%s", err.text);
            Session *plain = open_session(&p, isa_name((Isa)isa), false, false);
            Session *packed = open_session(&p, isa_name((Isa)isa), true, plans[i].floats);
            weights_init(plain, 3);
            weights_init(packed, 3);
            const PackFor packs = session_kernels(packed)->packs;
            const OperandLayout layout = plans[i].whole ? packs.whole : packs.split;
            const int n_packed = layout != LAYOUT_STRIDES && !plans[i].turned ? 8 : 0;
            assert_int_equal(count_in(plain, LAYOUT_PAIRS) + count_in(plain, LAYOUT_HALVES), 0);
            assert_int_equal(count_in(packed, LAYOUT_PAIRS) + count_in(packed, LAYOUT_HALVES), n_packed);
            assert_int_equal(count_in(plain, LAYOUT_CODED), 0);
            /* wte too; but a cell or two that stay as they are outweigh what a small matrix saves. */
            const bool codes = plans[i].floats ? packs.codes_near : packs.codes;
            assert_in_range(count_in(packed, LAYOUT_CODED), codes, codes ? 9 - n_packed : 0);
            assert_same_logits(plain, packed, isa_name((Isa)isa));
            session_close(packed);
            session_close(plain);
            plan_close(&p);
        }
}

/* What the last cache holds is coded by sets that decode faster than it is read, and floats nowhere else. */
static void coded_by_where_weights_are(void **state)
{
    (void)state;
    for (int isa = 0; isa < N_ISAS; isa++)
        for (int c = 0; isa_supported((Isa)isa) && c < 4; c++) {
            const bool floats = c / 2 == 1, near = c % 2 == 1;
            Plan p;
            Error err;
            assert_true(plan_open(floats ? PACK_FLOATS : PACK_TURNED, &p, &err));
            Session *s = open_session(&p, isa_name((Isa)isa), true, near);
            weights_init(s, 3);
            const PackFor packs = session_kernels(s)->packs;
            const bool coded = floats ? near && packs.codes_near : near ? packs.codes_near : packs.codes;
            assert_int_equal(count_in(s, LAYOUT_CODED) > 0, coded);
            session_close(s);
            plan_close(&p);
        }
}

/* Which weights: none that is gathered from, or that panels would make much larger. */
static void only_factors_are_packed(void **state)
{
    (void)state;
    const PackFor packs = { LAYOUT_HALVES, LAYOUT_PAIRS, true, true, CODED_BYTES,
                            kernels_table(ISA_scalar)->packs.fill };
    static const struct { const char *plan, *name; OperandLayout layout; } cases[] = {
        { PACK_GPT2, "wte.weight", LAYOUT_CODED },                      /* gathered from, and a factor */
        { PACK_GPT2, "wpe.weight", LAYOUT_STRIDES },
        { PACK_GPT2, "h.0.attn.c_attn.weight", LAYOUT_HALVES },
        { PACK_GPT2, "h.1.mlp.c_proj.weight", LAYOUT_HALVES },
        { PACK_GPT2, "h.0.ln_1.weight", LAYOUT_STRIDES },
        { PACK_GPT2_BF16, "h.0.attn.c_attn.weight", LAYOUT_PAIRS },
        { PACK_TURNED, "h.0.attn.c_attn.weight", LAYOUT_CODED },        /* columns are runs of memory */
        { PACK_NARROW, "h.0.attn.c_proj.weight", LAYOUT_STRIDES },      /* 40 columns would take 64, coded or not */
        { PACK_FLOATS, "h.0.attn.c_attn.weight", LAYOUT_CODED },
        { PACK_FLOATS, "wpe.weight", LAYOUT_STRIDES },                  /* only gathered from */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Plan p;
        Error err;
        assert_true(plan_open(cases[i].plan, &p, &err));
        const int32_t storage = plan_storage(&p, cases[i].name);
        assert_true(storage >= 0);
        const WeightPacking w = weight_packing(&p, storage, 1u << PLAN_generate, packs);
        if (w.layout != cases[i].layout)
            fail_msg("%s has layout %d, expected %d", cases[i].name, (int)w.layout, (int)cases[i].layout);
        assert_int_equal(weight_packing(&p, storage, 1u << PLAN_generate, (PackFor){ .codes = false }).layout,
                         LAYOUT_STRIDES);
        plan_close(&p);
    }
}

/* Coded in bytes, cells lie column after column where all that reads the weight are products that are not turned. */
static void columns_of_cells_are_runs(void **state)
{
    (void)state;
    const PackFor packs = { .codes = true, .form = CODED_BYTES, .fill = kernels_table(ISA_scalar)->packs.fill };
    static const struct { const char *plan, *name; CodedForm form; } cases[] = {
        { PACK_GPT2, "wte.weight", CODED_BYTES },
        { PACK_GPT2, "h.0.attn.c_attn.weight", CODED_BYTES_DOWN },
        { PACK_TURNED, "h.0.attn.c_attn.weight", CODED_BYTES },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Plan p;
        Error err;
        assert_true(plan_open(cases[i].plan, &p, &err));
        const WeightPacking w = weight_packing(&p, plan_storage(&p, cases[i].name), 1u << PLAN_generate, packs);
        assert_int_equal(w.layout, LAYOUT_CODED);
        if (w.form != cases[i].form)
            fail_msg("%s has form %d, expected %d", cases[i].name, (int)w.form, (int)cases[i].form);
        plan_close(&p);
    }
}

/* A weight that has an infinity stays as it is; written anew it is packed; a bound program follows both. */
static void filled_again(void **state)
{
    (void)state;
    Plan p;
    Error err;
    assert_true(plan_open(PACK_GPT2, &p, &err));
    Session *plain = open_session(&p, NULL, false, false), *packed = open_session(&p, NULL, true, false);
    const int32_t w = plan_storage(&p, "h.0.attn.c_attn.weight");
    const bool packs = session_kernels(packed)->packs.split != LAYOUT_STRIDES;
    weights_init(plain, 3);
    weights_init(packed, 3);
    assert_same_logits(plain, packed, "filled once");
    weights_init(plain, 4);
    weights_init(packed, 4);
    assert_same_logits(plain, packed, "filled again");
    const OperandLayout before = session_layout(packed, w);
    assert_int_equal(before == LAYOUT_PAIRS || before == LAYOUT_HALVES, packs);
    Session *both[] = { plain, packed };
    for (int i = 0; i < 2; i++) {
        uint16_t *x = session_storage(both[i], w);
        for (int k = 0; k < 64 * 192; k++)
            x[k] = bf16_of_f32((float)(k % 11) / 8 - 0.5f);
        x[77] = bf16_of_f32(INFINITY);
        session_pack(both[i], w);
    }
    assert_true(!packs || session_layout(packed, w) == LAYOUT_STRIDES);
    assert_same_logits(plain, packed, "with an infinity");
    session_close(packed);
    session_close(plain);
    plan_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_same),
        cmocka_unit_test(coded_by_where_weights_are),
        cmocka_unit_test(only_factors_are_packed),
        cmocka_unit_test(columns_of_cells_are_runs),
        cmocka_unit_test(filled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
