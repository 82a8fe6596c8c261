/* Running accepted plans, every buffer by itself. */
#include "tests/e2e/exercise.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "runtime/plan_check.h"
#include "runtime/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20 };
static const double most_work = 3e7;    /* operations and elements of one run */

void plan_seal(uint8_t *bytes, size_t n)
{
    PlanHeader h;
    const size_t from = offsetof(PlanHeader, checksum) + sizeof h.checksum;
    if (n < sizeof h)
        return;
    memcpy(&h, bytes, sizeof h);
    h.file_bytes = n;
    h.checksum = hash_bytes(bytes + from, n - from);
    memcpy(bytes, &h, sizeof h);
}

/* ---- values ------------------------------------------------------------------------------------ */

/* Lanes that are odd as an id, as a position, and as a number. */
static void fill_odd(void *data, size_t bytes, uint64_t seed)
{
    static const uint32_t odd[] = { 0, 1, 2, 3, 0xffffffff, 0x80000000, 0x7fffffff, 0x7fc00000,
                                    0x7f800000, 0xff800000, 0x3f800000, 0x00000001, 100, 1000 };
    uint32_t *lanes = data, word[4];
    for (size_t i = 0; i < bytes / sizeof *lanes; i++) {
        if (i % 4 == 0)
            philox4x32(seed, 1, i / 4, word);
        const uint32_t r = word[i % 4];
        lanes[i] = odd[r % COUNT_OF(odd)];
        if (r >> 31) {
            const float x = (float)(int32_t)(r << 1) * 0x1p-30f;
            memcpy(&lanes[i], &x, sizeof x);
        }
    }
}

/* ---- one instruction with buffers of its own --------------------------------------------------- */

typedef struct Bound {
    Call call;
    Operand operands[MAX_OPERANDS];
    int64_t starts[MAX_OPERANDS];
    RowProgram row;
    uint32_t consts[MAX_ROW_CONSTS];
} Bound;

static void bind_instr(const Plan *p, uint32_t index, const int64_t sizes[MAX_SYMBOLS], Bound *b)
{
    const PlanInstr *in = &p->instrs[index];
    b->call = (Call){ .kernel = p->kernels[index], .n_operands = (int32_t)in->n_operands,
                      .operand = b->operands };
    memcpy(b->call.i, in->i, sizeof in->i);
    memcpy(b->call.f, in->f, sizeof in->f);
    for (uint32_t k = 0; k < in->n_operands; k++)
        CHECK(plan_bind_operand(&p->operands[in->first_operand + k], sizes, &b->operands[k],
                                &b->starts[k]), "operand of an accepted plan");
    if (in->row != NO_ROW) {
        CHECK(plan_bind_row(p, in->row, sizes, &b->row, b->consts), "row of an accepted plan");
        b->call.row = &b->row;
    }
    kernel_prepare(&b->call);
}

static double count(const int64_t *dim, int32_t rank)
{
    double n = 1;
    for (int32_t a = 0; a < rank; a++)
        n *= (double)dim[a];
    return n;
}

/* What running the program takes, for plans that are valid and endless. */
static double work_of(const Plan *p, const PlanProgram *g)
{
    double work = 0;
    Bound b;
    for (uint32_t k = 0; k < g->n_instrs; k++) {
        bind_instr(p, g->first_instr + k, g->max, &b);
        const KernelCost cost = kernel_cost(&b.call);
        work += fabs(cost.flops) + fabs(cost.bytes) + (double)b.call.n_tasks;
        for (int32_t i = 0; i < b.call.n_operands; i++)
            work += count(b.operands[i].dim, b.operands[i].rank);
        if (b.call.row)
            work += count(b.row.dim, b.row.rank) * (1 + b.row.n_instrs);
    }
    return work;
}

/* ---- every buffer in an allocation of its own -------------------------------------------------- */

static void **take_buffers(const Plan *p, const PlanProgram *g, uint64_t seed)
{
    void **buffers = calloc(p->n_storages + 1, sizeof *buffers);
    CHECK(buffers, "memory");
    for (uint32_t i = 0; i <= p->n_storages; i++) {
        size_t bytes = (size_t)g->pool_bytes;
        if (i < p->n_storages && !(p->storages[i].programs & 1u << g->kind))
            continue;
        if (i < p->n_storages)
            CHECK(plan_storage_bytes(p, &p->storages[i], 1u << g->kind, &bytes), "counted before");
        buffers[i] = malloc(bytes ? bytes : 1);
        CHECK(buffers[i], "memory");
        fill_odd(buffers[i], bytes, seed + i);
    }
    return buffers;
}

static void run_apart(const Plan *p, const PlanProgram *g, const KernelTable *kernels,
                      void *const *buffers, const int64_t sizes[MAX_SYMBOLS])
{
    Bound largest, b;
    for (uint32_t k = 0; k < g->n_instrs; k++) {
        const PlanInstr *in = &p->instrs[g->first_instr + k];
        bind_instr(p, g->first_instr + k, g->max, &largest);
        bind_instr(p, g->first_instr + k, sizes, &b);
        for (uint32_t i = 0; i < in->n_operands; i++) {
            const int32_t storage = p->operands[in->first_operand + i].storage;
            char *base = buffers[storage < 0 ? p->n_storages : (uint32_t)storage];
            b.operands[i].data = base + b.starts[i];
        }
        const size_t bytes = kernel_scratch(&largest.call);
        CHECK(kernel_scratch(&b.call) <= bytes, "scratch grows while sizes shrink");
        void *scratch = aligned_alloc(PLAN_ALIGN, (bytes + PLAN_ALIGN) & ~(size_t)(PLAN_ALIGN - 1));
        CHECK(scratch, "memory");
        kernels->run[b.call.kernel](&b.call, 0, b.call.n_tasks, scratch);
        free(scratch);
    }
}

/* ---- as a session ------------------------------------------------------------------------------ */

static void fill_session(const Plan *p, Session *s, uint32_t programs, uint64_t seed)
{
    for (uint32_t i = 0; i < p->n_storages; i++) {
        size_t bytes;
        CHECK(plan_storage_bytes(p, &p->storages[i], programs, &bytes), "counted before");
        if (session_storage(s, (int32_t)i))
            fill_odd(session_storage(s, (int32_t)i), bytes, seed + i);
    }
}

static void run_session(const Plan *p, const PlanProgram *g, Session *s,
                        const int64_t sizes[MAX_SYMBOLS])
{
    const PlanProgramKind kind = (PlanProgramKind)g->kind;
    Error err;
    CHECK(session_bind(s, kind, sizes, &err), "%s", err.text);
    session_run(s, kind);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        Operand o;
        const char *name = plan_string(p, p->outputs[g->first_output + i].name);
        volatile uint8_t last;
        CHECK(session_output(s, kind, name, &o), "an output of the program");
        int64_t at = 0;
        for (int32_t a = 0; a < o.rank; a++)
            at += (o.dim[a] - 1) * o.stride[a];
        last = ((const uint8_t *)o.data)[at * (int64_t)dtype_size(o.dtype)];
        (void)last;
    }
}

/* ---- all of it --------------------------------------------------------------------------------- */

static void sizes_between(const PlanProgram *g, uint64_t seed, uint64_t round,
                          int64_t sizes[MAX_SYMBOLS])
{
    for (uint64_t i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = round == 0 ? g->max[i] : round == 1 ? 1
            : 1 + random_u32(seed, round, i) % g->max[i];
}

static Exercise exercise_program(const Plan *p, const PlanProgram *g, uint64_t seed)
{
    const SessionOptions o = { .n_threads = 1, .programs = 1u << g->kind };
    const KernelTable *plain = kernels_select("scalar", NULL);
    int64_t sizes[MAX_SYMBOLS];
    SessionSize size;
    Session *s;
    Error err;
    if (!session_size(p, &o, &size, &err) || size.total > MOST_BYTES || work_of(p, g) > most_work)
        return EXERCISE_LARGE;
    CHECK(session_open(p, &o, &s, &err), "%s", err.text);
    fill_session(p, s, o.programs, seed);
    void **buffers = take_buffers(p, g, seed);
    for (uint64_t round = 0; round < 3; round++) {
        sizes_between(g, seed, round, sizes);
        run_session(p, g, s, sizes);
        run_apart(p, g, plain, buffers, sizes);
    }
    for (uint32_t i = 0; i <= p->n_storages; i++)
        free(buffers[i]);
    free(buffers);
    session_close(s);
    return EXERCISE_RAN;
}

Exercise plan_exercise(const uint8_t *bytes, size_t n, uint64_t seed)
{
    Plan p;
    Error err = { "" };
    Exercise result = EXERCISE_RAN;
    if (!plan_view(bytes, n, &p, &err)) {
        CHECK(err.text[0], "refused without a word");
        return EXERCISE_REFUSED;
    }
    Buf text = { 0 };
    plan_print(&text, &p);
    buf_free(&text);
    for (uint32_t i = 0; i < p.n_programs; i++)
        if (exercise_program(&p, &p.programs[i], seed) == EXERCISE_LARGE)
            result = EXERCISE_LARGE;
    plan_close(&p);
    return result;
}
