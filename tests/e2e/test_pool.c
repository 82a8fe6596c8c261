/* The pool, poisoned and with red zones.
 *
 * Each program runs twice: as planned, with buffers over each other's dead bytes, and with every
 * buffer in bytes of its own between red zones.  Before each run the pool is filled with a pattern
 * that is NaN as a number.  Then
 *     a write outside of a buffer            changes a red zone
 *     a read of what nobody wrote            makes NaN of what comes of it
 *     a read of a value that is dead         differs between the two runs
 * and faults of each kind, put into plans on purpose, are caught. */
#include "codegen/lower.h"
#include "passes/specialize.h"
#include "tests/e2e/compare.h"
#include "tests/e2e/compiled.h"
#include "tests/e2e/random_graph.h"

#include "base/check.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RED_ZONE = 256, N_RANDOM = 120, N_FAULTS = 150 };
static const uint32_t poison = 0x7fc0dead;

typedef struct Subject {
    Arena arena, scratch;
    DiagSink diags;
    Graph *g;                           /* a program after all passes */
    PlanBuilder builder;
} Subject;

static void subject_begin(Subject *s)
{
    arena_init(&s->arena, NULL);
    arena_init(&s->scratch, NULL);
    diag_init(&s->diags, &s->arena);
}

static void subject_end(Subject *s)
{
    arena_free(&s->scratch);
    arena_free(&s->arena);
}

/* ---- every buffer for itself ------------------------------------------------------------------ */

typedef struct Range {
    int64_t begin, end;                 /* bytes of the pool */
} Range;

typedef struct Ranges {
    Range *range;                       /* ascending; what lies between them is red */
    uint32_t n;
    int64_t pool_bytes;                 /* ends with a red zone as large as the largest buffer */
} Ranges;

static int64_t exact_bytes(const Graph *g, const Buffer *b)
{
    int64_t sizes[MAX_SYMBOLS], n = 0;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)g->n_symbols ? g->symbol[i].max : 1;
    assert_true(dim_eval(b->elements, sizes, &n));
    return 4 * n;
}

static Ranges set_apart(Graph *g, Arena *arena)
{
    Ranges r = { .range = arena_array(arena, g->n_buffers, sizeof *r.range) };
    int64_t largest = 0;
    for (BufferId i = 0; i < g->n_buffers; i++) {
        Buffer *b = &g->buffers[i];
        if (b->storage != NO_STORAGE)
            continue;
        b->offset = r.pool_bytes + RED_ZONE;
        r.range[r.n++] = (Range){ b->offset, b->offset + exact_bytes(g, b) };
        r.pool_bytes = b->offset + b->bytes;
        largest = b->bytes > largest ? b->bytes : largest;
    }
    r.pool_bytes += RED_ZONE + largest;
    g->pool_bytes = r.pool_bytes;
    return r;
}

/* ---- a run ------------------------------------------------------------------------------------ */

typedef struct Outcome {
    Buf bits;                           /* outputs, then storages */
    bool red_intact, finite;
} Outcome;

/* The pool's first byte, told from any operand in it; NULL when nothing is. */
static char *pool_of(const Session *s, const PlanBuilder *b, PlanProgramKind kind)
{
    for (uint32_t k = 0; k < b->n_instrs; k++) {
        const PlanInstr *in = &b->instrs[k];
        for (uint32_t i = 0; i < in->n_operands; i++) {
            const PlanOperand *o = &b->operands[in->first_operand + i];
            if (o->storage < 0 && o->offset.coef == 0)
                return (char *)session_call(s, kind, k)->operand[i].data - o->byte_offset;
        }
    }
    return NULL;
}

static void fill_pool(char *pool, int64_t bytes)
{
    for (int64_t i = 0; pool && i + 4 <= bytes; i += 4)
        memcpy(pool + i, &poison, 4);
}

static bool is_poison(const char *pool, int64_t from, int64_t to)
{
    for (; from + 4 <= to; from += 4)
        if (memcmp(pool + from, &poison, 4) != 0)
            return false;
    return true;
}

static bool red_intact(const char *pool, const Ranges *r)
{
    int64_t at = 0;
    for (uint32_t i = 0; pool && i < r->n; i++) {
        if (!is_poison(pool, at, r->range[i].begin))
            return false;
        at = (r->range[i].end + 3) / 4 * 4;
    }
    return !pool || is_poison(pool, at, r->pool_bytes);
}

static void keep_floats(Outcome *o, const void *data, size_t bytes)
{
    const float *x = data;
    buf_add(&o->bits, data, bytes);
    for (size_t i = 0; i < bytes / sizeof *x; i++)
        o->finite = o->finite && x[i] - x[i] == 0;
}

static void keep_results(Outcome *o, Session *s, PlanProgramKind kind)
{
    const Plan *p = session_plan(s);
    const PlanProgram *program = plan_program(p, kind);
    for (uint32_t i = 0; i < program->n_outputs; i++) {
        const PlanOutput *out = &p->outputs[program->first_output + i];
        const Operand x = output(s, kind, plan_string(p, out->name));
        size_t n = 1;
        for (int a = 0; a < x.rank; a++)
            n *= (size_t)x.dim[a];
        keep_floats(o, x.data, n * sizeof(float));
    }
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (session_storage(s, (int32_t)i) && p->storages[i].dtype == DTYPE_f32)
            keep_floats(o, session_storage(s, (int32_t)i), storage_bytes(p, (int32_t)i, 1u << kind));
}

/* The plan of the graph, as the builder has it. */
static void lower(Subject *s)
{
    plan_builder_init(&s->builder, &s->arena, s->g->name);
    s->builder.context = s->g->context;
    lower_program(&s->builder, s->g);
}

/* Runs what lower made; `red` NULL: a pool without red zones. */
static Outcome run(Subject *s, const Ranges *red)
{
    Outcome o = { .finite = true, .red_intact = true };
    Compiled c = { 0 };
    int64_t sizes[MAX_SYMBOLS];
    Error err;
    assert_true(plan_builder_write(&s->builder, &c.bytes));
    if (!plan_view(c.bytes.data, c.bytes.len, &c.plan, &err))
        fail_msg("%s", err.text);
    const PlanProgramKind kind = c.plan.programs[0].kind;
    Session *session = compiled_session(&c, 1u << kind, 2, NULL);
    fill_storages(session, 1u << kind, 5);
    largest_sizes(&c.plan, kind, sizes);
    bind(session, kind, sizes);
    char *pool = pool_of(session, &s->builder, kind);
    fill_pool(pool, c.plan.programs[0].pool_bytes);
    session_run(session, kind);
    keep_results(&o, session, kind);
    o.red_intact = !red || red_intact(pool, red);
    session_close(session);
    compiled_close(&c);
    plan_builder_free(&s->builder);
    return o;
}

static bool same(const Outcome *a, const Outcome *b)
{
    return a->bits.len == b->bits.len && memcmp(a->bits.data, b->bits.data, a->bits.len) == 0;
}

/* ---- whole programs --------------------------------------------------------------------------- */

static CompileOptions options_of(int64_t limit)
{
    return (CompileOptions){ .level = 2, .batch = 3, .chunk = 4, .memory_limit = limit };
}

static bool compile(Subject *s, const Graph *model, Program p, int64_t limit)
{
    const CompileOptions o = options_of(limit);
    s->g = compile_program(model, p, &o, &s->arena, &s->scratch, &s->diags);
    return s->g;
}

/* Both runs agree, and with those before of the same model, whatever was recomputed in either. */
static void check_program(Subject *s, const char *what, Buf *before)
{
    lower(s);
    Outcome planned = run(s, NULL);
    const Ranges red = set_apart(s->g, &s->arena);
    lower(s);
    Outcome apart = run(s, &red);
    if (!apart.red_intact)
        fail_msg("%s, program %s: a red zone was written to", what, program_name(s->g->program));
    if (!same(&planned, &apart))
        fail_msg("%s, program %s: something dead was read", what, program_name(s->g->program));
    if (before && before->len && memcmp(before->data, apart.bits.data, apart.bits.len) != 0)
        fail_msg("%s, program %s: recomputation changed bits", what, program_name(s->g->program));
    if (before && !before->len)
        buf_add(before, apart.bits.data, apart.bits.len);
    if (!before)
        assert_true(apart.finite);
    buf_free(&planned.bits);
    buf_free(&apart.bits);
}

static const struct {
    const char *path, *defines[8];
    uint32_t n_defines;
} models[] = {
    { SOURCE_DIR "/models/mlp.smg", { 0 }, 0 },
    { SOURCE_DIR "/models/gpt2.smg",
      { "vocab=67", "context=12", "width=32", "depth=2", "heads=4", "drop=0.25" }, 6 },
    { SOURCE_DIR "/models/llama.smg",
      { "vocab=67", "context=12", "width=32", "depth=2", "heads=4", "kv_heads=2", "hidden=48" }, 7 },
    { SOURCE_DIR "/models/gemma.smg",
      { "vocab=67", "context=12", "width=32", "depth=2", "heads=4", "kv_heads=2", "head=8",
        "hidden=48" }, 8 },
    { SOURCE_DIR "/models/chargpt.smg", { "vocab=67", "context=12", "width=32", "depth=2" }, 4 },
};

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Subject s;
        subject_begin(&s);
        const Graph *model = compare_read(models[i].path, models[i].defines, models[i].n_defines,
                                          &s.arena);
        for (Program p = PROGRAM_score; p < N_PROGRAMS; p++)
            if (program_possible(model, p) && compile(&s, model, p, 0))
                check_program(&s, models[i].path, NULL);
        subject_end(&s);
    }
}

/* Random models, trained with all kept, with what is free recomputed, and under limits. */
static void check_random(uint64_t seed, uint32_t *n_limited)
{
    char what[32];
    Subject s;
    Buf bits = { 0 };
    subject_begin(&s);
    snprintf(what, sizeof what, "seed %u", (unsigned)seed);
    const Graph *model = random_graph(seed, &s.arena);
    assert_true(compile(&s, model, PROGRAM_train, INT64_MAX));
    const int64_t all = s.g->pool_bytes;
    check_program(&s, what, &bits);
    assert_true(compile(&s, model, PROGRAM_train, 0));
    check_program(&s, what, &bits);
    for (int part = 1; part <= 3; part++) {
        const int64_t limit = all - all * part / 24;
        if (!compile(&s, model, PROGRAM_train, limit))
            break;
        assert_true(s.g->pool_bytes <= limit);
        check_program(&s, what, &bits);
        ++*n_limited;
    }
    buf_free(&bits);
    subject_end(&s);
}

static void test_random(void **state)
{
    (void)state;
    uint32_t n_limited = 0;
    for (uint64_t seed = 1; seed <= N_RANDOM; seed++)
        check_random(seed + 31000, &n_limited);
    print_message("%u runs under a limit\n", n_limited);
    assert_true(n_limited > 0);
}

/* ---- faults ----------------------------------------------------------------------------------- */

typedef struct Dice {
    uint64_t n;
} Dice;

static uint32_t roll(Dice *d, uint32_t sides)
{
    return random_u32(17, 3, d->n++) % sides;
}

static void begin_small(Subject *s)
{
    subject_begin(s);
    const Graph *model = compare_read(models[1].path, models[1].defines, models[1].n_defines,
                                      &s->arena);
    assert_true(compile(s, model, PROGRAM_train, 0));
}

static BufferId roll_buffer(const Graph *g, Dice *d)
{
    BufferId b;
    do
        b = roll(d, g->n_buffers);
    while (g->buffers[b].storage != NO_STORAGE);
    return b;
}

/* Two buffers that are alive together share bytes: some value is dead when it is read. */
static void test_overlaps(void **state)
{
    (void)state;
    Subject s;
    Dice dice = { 0 };
    uint32_t n_caught = 0;
    begin_small(&s);
    lower(&s);
    Outcome right = run(&s, NULL);
    for (int k = 0; k < N_FAULTS; k++) {
        Buffer *a, *b;
        do {
            a = &s.g->buffers[roll_buffer(s.g, &dice)];
            b = &s.g->buffers[roll_buffer(s.g, &dice)];
        } while (a == b || a->last <= b->first || b->last <= a->first
                 || b->offset + a->bytes > s.g->pool_bytes);
        const int64_t offset = a->offset;
        a->offset = b->offset;
        lower(&s);
        Outcome wrong = run(&s, NULL);
        n_caught += !same(&right, &wrong);
        buf_free(&wrong.bits);
        a->offset = offset;
    }
    print_message("overlaps: %u of %d caught\n", n_caught, N_FAULTS);
    assert_true(n_caught >= N_FAULTS * 95 / 100);
    buf_free(&right.bits);
    subject_end(&s);
}

/* One operand of one instruction is elsewhere, in bytes that are nobody's: a result is written, or an
 * input read, where it should not. */
static void test_strays(void **state)
{
    (void)state;
    Subject s;
    Dice dice = { 1000 };
    uint32_t n_caught = 0;
    begin_small(&s);
    const Ranges red = set_apart(s.g, &s.arena);
    lower(&s);
    Outcome right = run(&s, &red);
    assert_true(right.red_intact && right.finite);
    for (int k = 0; k < N_FAULTS; k++) {
        const Range last = red.range[red.n - 1];
        lower(&s);
        PlanOperand *o;
        do
            o = &s.builder.operands[roll(&dice, s.builder.n_operands)];
        while (o->storage >= 0);
        o->byte_offset = (last.end + RED_ZONE + 63) / 64 * 64;
        Outcome wrong = run(&s, &red);
        n_caught += !wrong.red_intact || !wrong.finite || !same(&right, &wrong);
        buf_free(&wrong.bits);
    }
    print_message("strays: %u of %d caught\n", n_caught, N_FAULTS);
    assert_true(n_caught >= N_FAULTS * 95 / 100);
    buf_free(&right.bits);
    subject_end(&s);
}

/* A buffer that begins 64 bytes late: its last element lies in the red zone behind it. */
static void test_edges(void **state)
{
    (void)state;
    Subject s;
    Dice dice = { 2000 };
    begin_small(&s);
    const Ranges red = set_apart(s.g, &s.arena);
    for (int k = 0; k < N_FAULTS; k++) {
        Buffer *b = &s.g->buffers[roll_buffer(s.g, &dice)];
        b->offset += 64;
        lower(&s);
        Outcome wrong = run(&s, &red);
        if (wrong.red_intact)
            fail_msg("a buffer of %lld bytes over the edge was not noticed", (long long)b->bytes);
        buf_free(&wrong.bits);
        b->offset -= 64;
    }
    subject_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models), cmocka_unit_test(test_random),
        cmocka_unit_test(test_overlaps), cmocka_unit_test(test_strays),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
