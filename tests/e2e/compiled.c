/* Compiling a shipped model for a test, and giving its storages values. */
#include "tests/e2e/compiled.h"

#include "base/hash.h"
#include "base/random.h"
#include "tests/e2e/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint32_t count_defines(const ModelSpec *spec)
{
    uint32_t n = 0;
    while (n < sizeof spec->defines / sizeof *spec->defines && spec->defines[n])
        n++;
    return n;
}

void compile_bytes(const ModelSpec *spec, const CompileOptions *options, Buf *out)
{
    char path[512];
    Arena arena, scratch;
    DiagSink diags;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    diag_init(&diags, &arena);
    snprintf(path, sizeof path, "%s/models/%s.smg", SOURCE_DIR, spec->name);
    const Graph *model = compare_read(path, spec->defines, count_defines(spec), &arena);
    assert_true(compile_plan(model, options, &arena, &scratch, &diags, out));
    assert_int_equal(diags.n, 0);
    arena_free(&scratch);
    arena_free(&arena);
}

void compiled_open(Compiled *c, const ModelSpec *spec, const CompileOptions *options)
{
    Error err;
    *c = (Compiled){ 0 };
    compile_bytes(spec, options, &c->bytes);
    if (!plan_view(c->bytes.data, c->bytes.len, &c->plan, &err))
        fail_msg("%s", err.text);
}

void compiled_close(Compiled *c)
{
    plan_close(&c->plan);
    buf_free(&c->bytes);
}

Session *compiled_session(const Compiled *c, uint32_t programs, int n_threads, const char *cpu)
{
    const SessionOptions o = { .n_threads = n_threads, .cpu = cpu, .programs = programs };
    Session *s;
    Error err;
    if (!session_open(&c->plan, &o, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* ---- values ------------------------------------------------------------------------------------ */

static bool fixed_value(const char *name, double *out)
{
    static const struct { const char *name; double value; } fixed[] = {
        { "$lr", 1e-3 }, { "$clip", 1 }, { "$scale", 1 }, { "$step", 1 }, { "$past", 0 },
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(name, fixed[i].name) == 0) {
            *out = fixed[i].value;
            return true;
        }
    return false;
}

static float float_value(const PlanStorage *st, uint64_t seed, uint64_t stream, uint64_t i)
{
    const double x = random_normal(seed, stream, i);
    if (st->class == PLAN_STATE)
        return 0;
    if (st->class == PLAN_INPUT)
        return (float)x;
    return (float)(0.2 * x + (st->init == PLAN_INIT_ones));
}

void fill_storage(Session *s, uint32_t programs, int32_t id, uint64_t seed)
{
    const Plan *p = session_plan(s);
    const PlanStorage *st = &p->storages[id];
    const char *name = plan_string(p, st->name);
    const uint64_t stream = hash_bytes(name, strlen(name));
    const uint32_t limit = st->index_limit > 0 ? (uint32_t)st->index_limit : 1000;
    void *data = session_storage(s, id);
    size_t count = data ? storage_bytes(p, id, programs) / sizeof(float) : 0;
    double fixed;
    if (data && fixed_value(name, &fixed) && st->dtype == DTYPE_f32)
        *(float *)data = (float)fixed;
    else if (data && fixed_value(name, &fixed))
        *(int32_t *)data = (int32_t)fixed;
    else if (st->dtype == DTYPE_f32)
        for (size_t i = 0; i < count; i++)
            ((float *)data)[i] = float_value(st, seed, stream, i);
    else if (st->dtype == DTYPE_i32)
        for (size_t i = 0; i < count; i++)
            ((int32_t *)data)[i] = (int32_t)(random_u32(seed, stream, i) % limit);
}

void fill_storages(Session *s, uint32_t programs, uint64_t seed)
{
    for (uint32_t i = 0; i < session_plan(s)->n_storages; i++)
        fill_storage(s, programs, (int32_t)i, seed);
}

size_t storage_bytes(const Plan *p, int32_t id, uint32_t programs)
{
    size_t bytes;
    assert_true(plan_storage_bytes(p, &p->storages[id], programs, &bytes));
    return bytes;
}

/* ---- running ----------------------------------------------------------------------------------- */

void largest_sizes(const Plan *p, PlanProgramKind program, int64_t sizes[MAX_SYMBOLS])
{
    const PlanProgram *g = plan_program(p, program);
    assert_non_null(g);
    memcpy(sizes, g->max, sizeof g->max);
}

void bind(Session *s, PlanProgramKind program, const int64_t sizes[MAX_SYMBOLS])
{
    Error err;
    if (!session_bind(s, program, sizes, &err))
        fail_msg("%s", err.text);
}

Operand output(const Session *s, PlanProgramKind program, const char *name)
{
    Operand o;
    if (!session_output(s, program, name, &o))
        fail_msg("program %s has no output %s", plan_program_name(program), name);
    return o;
}

/* ---- what came of it --------------------------------------------------------------------------- */

/* Elements in row-major order. */
static void record_operand(Buf *out, const Operand *o)
{
    int64_t at[MAX_RANK] = { 0 };
    for (;;) {
        int64_t offset = 0;
        for (int a = 0; a < o->rank; a++)
            offset += at[a] * o->stride[a];
        buf_add(out, (const float *)o->data + offset, sizeof(float));
        int a = o->rank - 1;
        for (; a >= 0 && ++at[a] == o->dim[a]; a--)
            at[a] = 0;
        if (a < 0)
            return;
    }
}

void record_outputs(Buf *out, const Session *s, PlanProgramKind program)
{
    const Plan *p = session_plan(s);
    const PlanProgram *g = plan_program(p, program);
    assert_true(g->n_outputs > 0);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const Operand o = output(s, program, plan_string(p, p->outputs[g->first_output + i].name));
        record_operand(out, &o);
    }
}

void record_storages(Buf *out, Session *s, uint32_t programs)
{
    for (int32_t i = 0; i < (int32_t)session_plan(s)->n_storages; i++)
        if (session_storage(s, i))
            buf_add(out, session_storage(s, i), storage_bytes(session_plan(s), i, programs));
}
