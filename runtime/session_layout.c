/* The one block of a session: it is laid out by one function that runs twice, to count and to place. */
#include "runtime/session_parts.h"

#include "base/check.h"
#include "runtime/kernels/panel.h"

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
            bool ok = call_bind(p, g->first_instr + k, g->max, &call, operands, starts, &row,
                                consts);
            CHECK(ok, "the plan was checked at these sizes");
            kernel_prepare(&call);
            size_t bytes = kernel_scratch(&call);
            most = bytes > most ? bytes : most;
        }
    }
    return (most + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* How this session's weights are packed: floats are coded only near, bf16 near only by sets that gain there. */
static PackFor packs_of(const KernelTable *kernels, const SessionOptions *o)
{
    PackFor packs = o->pack ? kernels->packs : (PackFor){ .codes = false };
    if (o->near)
        packs.codes = packs.codes_near;
    else
        packs.codes_near = false;
    return packs;
}

bool session_lay_out(char *base, const Plan *p, const SessionOptions *o, const KernelTable *kernels, Session **out,
                     SessionSize *size)
{
    Layout lay = { .base = base }, *l = &lay;
    const size_t scratch = scratch_bytes(p, o->programs);
    const PackFor packs = packs_of(kernels, o);
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
    *out = s;
    return !l->overflow;
}
