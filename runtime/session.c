/* Laying out a session's block, binding programs to sizes, running them. */
#include "runtime/session.h"

#include "base/check.h"
#include "base/half.h"
#include "runtime/barriers.h"
#include "runtime/kernels/panel.h"
#include "runtime/plan_check.h"
#include "runtime/threads.h"
#include "runtime/weight_packing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

/* A program with its addresses filled in.  Calls and operands stand in the order of the plan. */
typedef struct BoundProgram {
    const PlanProgram *plan;            /* NULL: not part of this session */
    bool bound;
    int64_t sizes[MAX_SYMBOLS];
    Call *calls;                        /* n_instrs */
    Operand *operands;                  /* of all calls, one after the other */
    RowProgram *rows;                   /* one per call of family row */
    uint32_t *consts;
    Extent *extents;                    /* of operands; for barriers_keep */
    bool *meet;                         /* do all threads meet before instruction k? */
    uint32_t n_barriers;
} BoundProgram;

struct Session {
    const Plan *plan;
    const KernelTable *kernels;
    int n_threads;
    BoundProgram program[N_PLAN_PROGRAMS];
    char **storage;                     /* per storage of the plan, NULL: not held */
    WeightPacking *packing;             /* likewise: what session_pack makes of it */
    OperandLayout *layout;              /* and what it is now */
    bool *changed;                      /* per storage: a copy of it may be out of date */
    bool any_changed;
    char *pool;
    char *scratch;
    size_t scratch_stride;              /* bytes of one thread */
    Team *team;                         /* n_threads */
};

/* ---- layout ------------------------------------------------------------------------------------
 * The block is laid out by one function that runs twice: with base NULL to count, then to place. */

typedef struct Layout {
    char *base;                         /* NULL while counting */
    size_t used;
    bool overflow;
} Layout;

static void *layout_take(Layout *l, size_t count, size_t size)
{
    size_t bytes, end;
    if (!size_mul(count, size, &bytes) || !size_add(l->used, bytes, &end)
        || !size_align(end, PLAN_ALIGN, &end)) {
        l->overflow = true;
        return NULL;
    }
    void *p = l->base ? l->base + l->used : NULL;
    l->used = end;
    return p;
}

typedef struct ProgramCounts {
    size_t operands, rows, consts;
} ProgramCounts;

static ProgramCounts count_program(const Plan *p, const PlanProgram *g)
{
    ProgramCounts c = { 0 };
    for (uint32_t i = 0; i < g->n_instrs; i++) {
        const PlanInstr *in = &p->instrs[g->first_instr + i];
        c.operands += in->n_operands;
        if (in->row != NO_ROW) {
            c.rows++;
            c.consts += p->rows[in->row].n_consts;
        }
    }
    return c;
}

static void layout_programs(Layout *l, const Plan *p, uint32_t programs, Session *s)
{
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        if (!(programs & 1u << g->kind))
            continue;
        ProgramCounts n = count_program(p, g);
        BoundProgram b = { .plan = g };
        b.calls = layout_take(l, g->n_instrs, sizeof *b.calls);
        b.operands = layout_take(l, n.operands, sizeof *b.operands);
        b.rows = layout_take(l, n.rows, sizeof *b.rows);
        b.consts = layout_take(l, n.consts, sizeof *b.consts);
        b.extents = layout_take(l, n.operands, sizeof *b.extents);
        b.meet = layout_take(l, g->n_instrs, sizeof *b.meet);
        if (s)
            s->program[g->kind] = b;
    }
}

/* Storages of one class; their bytes. */
static size_t layout_storages(Layout *l, const Plan *p, const SessionOptions *o, PackFor packs,
                              PlanStorageClass class, Session *s)
{
    size_t before = l->used, bytes;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        if (st->class != (uint32_t)class || !(st->programs & o->programs))
            continue;
        if (o->given && o->given[i]) {
            if (s)
                s->storage[i] = o->given[i];
            if (s)
                s->changed[i] = s->any_changed = true;
            continue;
        }
        if (!plan_storage_bytes(p, st, o->programs, &bytes)) {
            l->overflow = true;
            continue;
        }
        const WeightPacking packing = weight_packing(p, (int32_t)i, o->programs, packs);
        char *data = layout_take(l, packing.bytes > bytes ? packing.bytes : bytes, 1);
        if (s) {
            s->storage[i] = data;
            s->packing[i] = packing;
        }
    }
    return l->used - before;
}

static size_t pool_bytes(const Plan *p, uint32_t programs)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < p->n_programs; i++)
        if (programs & 1u << p->programs[i].kind && p->programs[i].pool_bytes > most)
            most = p->programs[i].pool_bytes;
    return (size_t)most;
}

/* Fills a call from instruction `in` for these sizes; data pointers stay byte offsets from NULL. */
static bool bind_call(const Plan *p, uint32_t index, const int64_t sizes[MAX_SYMBOLS], Call *call,
                      Operand *operands, int64_t *starts, RowProgram *row, uint32_t *consts)
{
    const PlanInstr *in = &p->instrs[index];
    *call = (Call){ .kernel = p->kernels[index], .n_operands = (int32_t)in->n_operands,
                    .operand = operands };
    for (int k = 0; k < MAX_IMM; k++) {
        call->i[k] = in->i[k];
        call->f[k] = in->f[k];
    }
    for (uint32_t i = 0; i < in->n_operands; i++)
        if (!plan_bind_operand(&p->operands[in->first_operand + i], sizes, &operands[i],
                               &starts[i]))
            return false;
    if (in->row != NO_ROW) {
        if (!plan_bind_row(p, in->row, sizes, row, consts))
            return false;
        call->row = row;
    }
    return true;
}

/* Bytes of a panel of the parameter, 0 when it has none; session_pack works in a thread's scratch. */
static size_t panel_of(const PlanStorage *s)
{
    int64_t bytes = 0;
    const bool blocks = dtype_block((DType)s->dtype) > 1;
    const bool ok = !blocks || panel_bytes((DType)s->dtype, 1, s->dim[s->rank - 1].coef, &bytes);
    CHECK(ok, "checked when the plan was opened");
    return (size_t)bytes;
}

/* The most scratch that any instruction needs, at the largest sizes. */
static size_t scratch_bytes(const Plan *p, uint32_t programs)
{
    size_t most = 0;
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (p->storages[i].programs & programs && panel_of(&p->storages[i]) > most)
            most = panel_of(&p->storages[i]);
    Operand operands[MAX_OPERANDS];
    int64_t starts[MAX_OPERANDS];
    RowProgram row;
    uint32_t consts[MAX_ROW_CONSTS];
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        if (!(programs & 1u << g->kind))
            continue;
        for (uint32_t k = 0; k < g->n_instrs; k++) {
            Call call;
            bool ok = bind_call(p, g->first_instr + k, g->max, &call, operands, starts, &row,
                                consts);
            CHECK(ok, "the plan was checked at these sizes");
            kernel_prepare(&call);
            size_t bytes = kernel_scratch(&call);
            most = bytes > most ? bytes : most;
        }
    }
    return (most + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static bool layout_session(Layout *l, const Plan *p, const SessionOptions *o, const KernelTable *kernels,
                           size_t scratch, Session **out, SessionSize *size)
{
    PackFor packs = o->pack ? kernels->packs : (PackFor){ .codes = false };
    packs.codes_floats = packs.codes && o->pack_floats;
    Session *s = layout_take(l, 1, sizeof *s);
    char **storage = layout_take(l, p->n_storages, sizeof *storage);
    bool *changed = layout_take(l, p->n_storages, sizeof *changed);
    WeightPacking *packing = layout_take(l, p->n_storages, sizeof *packing);
    OperandLayout *layout = layout_take(l, p->n_storages, sizeof *layout);
    Team *team = layout_take(l, team_bytes(o->n_threads), 1);
    if (s) {
        *s = (Session){ .plan = p, .kernels = kernels, .n_threads = o->n_threads, .storage = storage,
                        .packing = packing, .layout = layout, .changed = changed,
                        .scratch_stride = scratch, .team = team };
    }
    layout_programs(l, p, o->programs, s);
    size->instrs = l->used;
    size->params = layout_storages(l, p, o, packs, PLAN_PARAM, s);
    size->state = layout_storages(l, p, o, packs, PLAN_STATE, s);
    size->inputs = layout_storages(l, p, o, packs, PLAN_INPUT, s);
    size->pool = pool_bytes(p, o->programs);
    char *pool = layout_take(l, size->pool, 1);
    size_t before = l->used;
    char *scratch_base = layout_take(l, (size_t)o->n_threads, scratch);
    size->scratch = l->used - before;
    size->total = l->used;
    if (s) {
        s->pool = pool;
        s->scratch = scratch_base;
    }
    if (out)
        *out = s;
    return !l->overflow;
}

static bool check_options(const Plan *p, const SessionOptions *o, Error *err)
{
    CHECK(o->n_threads >= 1, "threads are the caller's to choose");
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (o->programs & 1u << k && !plan_program(p, (PlanProgramKind)k))
            return error_set(err, "model %s has no program %s", plan_string(p, p->header->model),
                             plan_program_name((PlanProgramKind)k));
    return true;
}

bool session_size(const Plan *p, const SessionOptions *o, SessionSize *out, Error *err)
{
    *out = (SessionSize){ 0 };
    const KernelTable *kernels = kernels_select(o->cpu, err);
    if (!kernels || !check_options(p, o, err))
        return false;
    Layout l = { 0 };
    if (!layout_session(&l, p, o, kernels, scratch_bytes(p, o->programs), NULL, out))
        return error_set(err, "the model needs more memory than can be counted");
    return true;
}

/* A step walks over all of the block, and large pages spare it most of the TLB's misses.  A wish: the
 * system may say no, and small blocks keep their pages. */
static void ask_large_pages(char *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t ahead = (LARGE_PAGE - (uintptr_t)block % LARGE_PAGE) % LARGE_PAGE;
    if (bytes >= ahead + LARGE_PAGE)
        (void)madvise(block + ahead, (bytes - ahead) / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#else
    (void)block;
    (void)bytes;
#endif
}

bool session_open(const Plan *p, const SessionOptions *o, Session **out, Error *err)
{
    *out = NULL;
    SessionSize size;
    const KernelTable *kernels = kernels_select(o->cpu, err);
    if (!kernels || !session_size(p, o, &size, err))
        return false;
    char *block = aligned_alloc(PLAN_ALIGN, size.total);
    if (!block)
        return error_set(err, "out of memory: the session takes one block of %zu bytes",
                         size.total);
    ask_large_pages(block, size.total);
    memset(block, 0, size.total);
    Layout l = { .base = block };
    bool ok = layout_session(&l, p, o, kernels, scratch_bytes(p, o->programs), out, &size);
    CHECK(ok, "counted before");
    if (team_open((*out)->team, o->n_threads, err))
        return true;
    free(block);
    *out = NULL;
    return false;
}

void session_close(Session *s)
{
    if (s)
        team_close(s->team);
    free(s);
}

void session_each_thread(Session *s, TeamFn *run, void *data)
{
    team_run(s->team, run, data);
}

const Plan *session_plan(const Session *s)
{
    return s->plan;
}

const KernelTable *session_kernels(const Session *s)
{
    return s->kernels;
}

int session_threads(const Session *s)
{
    return s->n_threads;
}

void *session_storage(Session *s, int32_t storage)
{
    if (storage < 0)
        return NULL;
    if (s->plan->storages[storage].class == PLAN_PARAM)
        s->changed[storage] = s->any_changed = true;
    return s->storage[storage];
}

void *session_storage_named(Session *s, const char *name)
{
    return session_storage(s, plan_storage(s->plan, name));
}

/* A matrix of blocks that is brought into panels; each thread takes panels of its own, by way of its
 * scratch. */
typedef struct BlockPacking {
    Session *session;
    DType type;
    int64_t rows, k, panel;             /* bytes of one */
    char *data;
} BlockPacking;

static void pack_blocks_share(void *data, int thread)
{
    const BlockPacking *p = data;
    Session *s = p->session;
    const int64_t n = (p->rows + PANEL_ROWS - 1) / PANEL_ROWS, last = (thread + 1) * n / s->n_threads;
    for (int64_t i = thread * n / s->n_threads; i < last; i++) {
        const int64_t left = p->rows - i * PANEL_ROWS;
        panel_pack(p->type, left < PANEL_ROWS ? left : PANEL_ROWS, p->k, p->data + i * p->panel,
                   s->scratch + (size_t)thread * s->scratch_stride);
    }
}

static void pack_blocks(Session *s, int32_t storage)
{
    const PlanStorage *st = &s->plan->storages[storage];
    const int64_t none[MAX_SYMBOLS] = { 0 };
    BlockPacking p = { .session = s, .type = (DType)st->dtype, .data = s->storage[storage] };
    int64_t count;
    p.k = st->dim[st->rank - 1].coef;
    bool ok = plan_storage_count(st, none, &count) && panel_bytes(p.type, 1, p.k, &p.panel);
    CHECK(ok, "checked when the plan was opened");
    p.rows = count / p.k;
    team_run(s->team, pack_blocks_share, &p);
}

OperandLayout session_layout(const Session *s, int32_t storage)
{
    return s->layout[storage];
}

/* ---- copies of parameters ---------------------------------------------------------------------- */

static void round_share(void *data, int thread)
{
    Session *s = data;
    const Plan *p = s->plan;
    const int64_t none[MAX_SYMBOLS] = { 0 };
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const uint32_t of = p->storages[i].rounded_of;
        int64_t n;
        if (!of || !s->storage[i] || !s->changed[of - 1])
            continue;
        bool ok = plan_storage_count(&p->storages[i], none, &n);
        CHECK(ok, "checked when the plan was opened");
        const float *from = (const float *)(const void *)s->storage[of - 1];
        uint16_t *to = (uint16_t *)(void *)s->storage[i];
        for (int64_t k = thread * n / s->n_threads; k < (thread + 1) * n / s->n_threads; k++)
            to[k] = bf16_of_f32(from[k]);
    }
}

/* After this, copies are what the parameters are, as the optimizer keeps them from run to run. */
static void round_changed(Session *s)
{
    if (!s->any_changed)
        return;
    team_run(s->team, round_share, s);
    memset(s->changed, 0, s->plan->n_storages * sizeof *s->changed);
    s->any_changed = false;
}

/* ---- binding and running ---------------------------------------------------------------------- */

static char *operand_base(const Session *s, const PlanOperand *o)
{
    return o->storage < 0 ? s->pool : s->storage[o->storage];
}

static void bind_program(Session *s, BoundProgram *b)
{
    const Plan *p = s->plan;
    Operand *operands = b->operands;
    RowProgram *row = b->rows;
    uint32_t *consts = b->consts;
    int64_t starts[MAX_OPERANDS];
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        uint32_t index = b->plan->first_instr + k;
        const PlanInstr *in = &p->instrs[index];
        Call *call = &b->calls[k];
        bool ok = bind_call(p, index, b->sizes, call, operands, starts, row, consts);
        CHECK(ok, "sizes only shrink from what the plan was checked at");
        for (uint32_t i = 0; i < in->n_operands; i++) {
            const PlanOperand *o = &p->operands[in->first_operand + i];
            operands[i].data = operand_base(s, o) + starts[i];
            operands[i].layout = o->storage < 0 ? LAYOUT_STRIDES : s->layout[o->storage];
        }
        kernel_prepare(call);
        operands += in->n_operands;
        if (in->row != NO_ROW) {
            consts += row->n_consts;
            row++;
        }
    }
    b->n_barriers = barriers_keep(p->instrs + b->plan->first_instr, b->calls, b->plan->n_instrs,
                                  s->n_threads, b->extents, b->meet);
    b->bound = true;
}

/* Large pages that a coded matrix has left free behind it go back to the system, which fills them with zeros when
 * they are written again.  Parts of one stay: taking it apart would cost what it is there for. */
static void give_back(Session *s, int32_t storage)
{
#ifdef MADV_HUGEPAGE
    const PlanStorage *st = &s->plan->storages[storage];
    const Coded *c = &s->packing[storage].coded;
    char *data = s->storage[storage];
    const CodedHead *head = (const void *)data;
    size_t used, bytes;
    const bool ok = coded_bytes(c, head->n_plain, &used) && plan_storage_bytes(s->plan, st, UINT32_MAX, &bytes);
    CHECK(ok, "counted before");
    const size_t ahead = (LARGE_PAGE - (uintptr_t)(data + used) % LARGE_PAGE) % LARGE_PAGE;
    if (used + ahead + LARGE_PAGE <= bytes)
        (void)madvise(data + used + ahead, (bytes - used - ahead) / LARGE_PAGE * LARGE_PAGE, MADV_DONTNEED);
#else
    (void)s, (void)storage;
#endif
}

void session_pack(Session *s, int32_t storage)
{
    const OperandLayout before = s->layout[storage];
    if (!s->storage[storage])
        return;
    if (dtype_block((DType)s->plan->storages[storage].dtype) > 1)
        pack_blocks(s, storage);
    else if (s->packing[storage].layout != LAYOUT_STRIDES)
        s->layout[storage] = weight_pack(&s->packing[storage], s->team, s->n_threads, s->storage[storage])
                           ? s->packing[storage].layout : LAYOUT_STRIDES;
    if (s->layout[storage] == LAYOUT_CODED)
        give_back(s, storage);
    for (int i = 0; i < N_PLAN_PROGRAMS && s->layout[storage] != before; i++)
        if (s->program[i].bound)
            bind_program(s, &s->program[i]);
}

bool session_bind(Session *s, PlanProgramKind program, const int64_t sizes[MAX_SYMBOLS],
                  Error *err)
{
    BoundProgram *b = &s->program[program];
    CHECK(b->plan, "session without program %s", plan_program_name(program));
    if (!plan_takes(s->plan, program, sizes, err))
        return false;
    round_changed(s);
    if (b->bound && memcmp(b->sizes, sizes, sizeof b->sizes) == 0)
        return true;
    memcpy(b->sizes, sizes, sizeof b->sizes);
    bind_program(s, b);
    return true;
}

/* A program that all threads walk over. */
typedef struct Walk {
    Session *session;
    const BoundProgram *program;
    ClockFn *now;                       /* walk_timed's */
    SessionSpan *spans;
} Walk;

static void walk(void *data, int thread)
{
    const Walk *w = data;
    Session *s = w->session;
    const BoundProgram *b = w->program;
    void *scratch = s->scratch + (size_t)thread * s->scratch_stride;
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        const Call *call = &b->calls[k];
        if (b->meet[k])
            barrier_wait(&s->team->barrier, (unsigned)s->n_threads, (unsigned)thread);
        const KernelShare share = kernel_share(call, thread, s->n_threads);
        if (share.first < share.last)
            s->kernels->run[call->kernel](call, share.first, share.last, scratch);
    }
}

void session_run(Session *s, PlanProgramKind program)
{
    Walk w = { .session = s, .program = &s->program[program] };
    CHECK(w.program->bound, "session_bind comes first");
    round_changed(s);
    team_run(s->team, walk, &w);
}

/* `walk` with a clock in hand; apart from it, so that a run nobody times pays nothing. */
static void walk_timed(void *data, int thread)
{
    const Walk *w = data;
    Session *s = w->session;
    const BoundProgram *b = w->program;
    SessionSpan *spans = w->spans + (size_t)thread * b->plan->n_instrs;
    void *scratch = s->scratch + (size_t)thread * s->scratch_stride;
    uint64_t t = w->now();
    for (uint32_t k = 0; k < b->plan->n_instrs; k++) {
        const Call *call = &b->calls[k];
        spans[k].ready = t;
        if (b->meet[k]) {
            barrier_wait(&s->team->barrier, (unsigned)s->n_threads, (unsigned)thread);
            t = w->now();
        }
        spans[k].begin = t;
        const KernelShare share = kernel_share(call, thread, s->n_threads);
        if (share.first < share.last)
            s->kernels->run[call->kernel](call, share.first, share.last, scratch);
        t = w->now();
        spans[k].end = t;
    }
}

void session_run_timed(Session *s, PlanProgramKind program, ClockFn *now, SessionSpan *spans)
{
    Walk w = { .session = s, .program = &s->program[program], .now = now, .spans = spans };
    CHECK(w.program->bound, "session_bind comes first");
    round_changed(s);
    team_run(s->team, walk_timed, &w);
}

const Call *session_call(const Session *s, PlanProgramKind program, uint32_t k)
{
    const BoundProgram *b = &s->program[program];
    CHECK(b->bound && k < b->plan->n_instrs, "instruction %" PRIu32 " of a bound program", k);
    return &b->calls[k];
}

bool session_meets_before(const Session *s, PlanProgramKind program, uint32_t k)
{
    const BoundProgram *b = &s->program[program];
    CHECK(b->bound && k < b->plan->n_instrs, "instruction %" PRIu32 " of a bound program", k);
    return b->meet[k];
}

uint32_t session_barriers(const Session *s, PlanProgramKind program)
{
    CHECK(s->program[program].bound, "session_bind comes first");
    return s->program[program].n_barriers;
}

bool session_output(const Session *s, PlanProgramKind program, const char *name, Operand *out)
{
    const BoundProgram *b = &s->program[program];
    const Plan *p = s->plan;
    for (uint32_t i = 0; b->plan && i < b->plan->n_outputs; i++) {
        const PlanOutput *o = &p->outputs[b->plan->first_output + i];
        if (strcmp(plan_string(p, o->name), name) != 0)
            continue;
        int64_t start;
        const PlanOperand *op = &p->operands[o->operand];
        bool ok = plan_bind_operand(op, b->sizes, out, &start);
        CHECK(ok, "checked at the largest sizes");
        out->data = operand_base(s, op) + start;
        return true;
    }
    return false;
}

bool session_check_ids(const Session *s, int32_t storage, size_t count, Error *err)
{
    const PlanStorage *st = &s->plan->storages[storage];
    const int32_t *ids = (const int32_t *)(const void *)s->storage[storage];
    if (st->index_limit == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if ((ids[i] < 0 || ids[i] >= st->index_limit) && ids[i] != st->index_ignore)
            return error_set(err, "%s holds id %" PRId32 " at element %zu; the model knows 0 to "
                             "%" PRId64, plan_string(s->plan, st->name), ids[i], i,
                             st->index_limit - 1);
    return true;
}
