/* The family `row`: names of the instructions, the check that makes any program harmless, and the
 * grid.  The programs run in row.inc. */
#include "runtime/kernels/row_adamw.h"

#include <string.h>

static const struct {
    const char *name;
    RowKind kind;
    int inputs;
} ops[N_ROW_OPS] = {
#define MAP1(n) [ROW_##n] = { #n, ROW_MAP1, 1 },
#define MAP2(n) [ROW_##n] = { #n, ROW_MAP2, 2 },
#define MAP3(n) [ROW_##n] = { #n, ROW_MAP3, 3 },
#define IMAP1(n) [ROW_##n] = { #n, ROW_MAP1, 1 },
#define IMAP2(n) [ROW_##n] = { #n, ROW_MAP2, 2 },
#define REDUCE(n) [ROW_##n] = { #n, ROW_REDUCE, 1 },
#include "runtime/kernels/kernels.def"
    [ROW_dropout] = { "dropout", ROW_RANDOM, 2 },
    [ROW_gather] = { "gather", ROW_GATHER, 2 },
    [ROW_round_bf16] = { "round_bf16", ROW_ROUND, 1 },
    [ROW_column_sums] = { "column_sums", ROW_COLUMNS, 1 },
};

const char *row_op_name(RowOp op)
{
    return ops[op].name;
}

bool row_op_from_name(const char *name, RowOp *out)
{
    for (int i = 0; i < N_ROW_OPS; i++)
        if (strcmp(ops[i].name, name) == 0) {
            *out = (RowOp)i;
            return true;
        }
    return false;
}

RowKind row_op_kind(RowOp op)
{
    return ops[op].kind;
}

int row_op_inputs(RowOp op)
{
    return ops[op].inputs;
}

static uint16_t instr_input(const RowInstr *in, int i)
{
    return i == 0 ? in->a : i == 1 ? in->b : in->c;
}

typedef struct Checker {
    const Call *call;
    const RowProgram *p;
    int32_t n_operands, first_temp, n_regs;
    uint32_t seeds;                     /* operands that only seed random numbers */
    uint32_t tables;                    /* operands of which rows are picked */
    uint32_t columns;                   /* operands that hold sums of columns */
    bool written[MAX_ROW_REGS];
    Error *err;
} Checker;

static bool is_operand(const Checker *c, uint16_t reg)
{
    return reg < c->n_operands;
}

static bool is_temp(const Checker *c, uint16_t reg)
{
    return reg >= c->first_temp;
}

/* Does the register hold one value per row, where rows have more than one element? */
static bool is_per_row(const Checker *c, uint16_t reg)
{
    if (is_temp(c, reg))
        return c->p->temp_per_row[reg - c->first_temp] != 0;
    if (!is_operand(c, reg))
        return true;
    return row_stride(c->call, reg, c->p->rank - 1) == 0;
}

static bool check_counts(Checker *c)
{
    const RowProgram *p = c->p;
    if (p->rank < 1 || p->rank > MAX_RANK)
        return error_set(c->err, "rank %d of the space", p->rank);
    if (p->n_consts < 0 || p->n_consts > MAX_ROW_CONSTS || p->n_temps < 0 ||
        p->n_temps > MAX_ROW_REGS || p->n_instrs < 0 || p->n_instrs > MAX_ROW_INSTRS)
        return error_set(c->err, "%d constants, %d temporaries, %d instructions", p->n_consts,
                         p->n_temps, p->n_instrs);
    c->first_temp = c->n_operands + p->n_consts;
    c->n_regs = c->first_temp + p->n_temps;
    if (c->n_regs > MAX_ROW_REGS)
        return error_set(c->err, "%d registers, at most %d", c->n_regs, MAX_ROW_REGS);
    int64_t count = 1;
    for (int32_t a = 0; a < p->rank; a++)
        if (p->dim[a] < 0 || !i64_mul(count, max_i64(p->dim[a], 1), &count) ||
            count > INT64_MAX >> 16)
            return error_set(c->err, "axis %d: size %lld", a, (long long)p->dim[a]);
    if (c->n_operands < 32 && p->outputs >> c->n_operands != 0)
        return error_set(c->err, "an output beyond the operands");
    return true;
}

static bool check_seed(const Checker *c, int32_t i)
{
    const Operand *o = &c->call->operand[i];
    if (!operand_check(c->call, i, DTYPE_i32, c->p->rank, c->err))
        return false;
    for (int32_t a = 0; a < o->rank; a++)
        if (o->dim[a] != (a + 1 == o->rank ? 2 : 1))
            return error_set(c->err, "operand %d: a seed has two elements", i);
    if (o->stride[o->rank - 1] != 1)
        return error_set(c->err, "operand %d: a seed's two elements lie together", i);
    if (c->p->outputs >> i & 1)
        return error_set(c->err, "operand %d: a seed is not written", i);
    return true;
}

static bool check_table(const Checker *c, int32_t i)
{
    const Operand *o = &c->call->operand[i];
    const DType t = (unsigned)o->dtype < N_DTYPES && !dtype_is_lane(o->dtype) ? o->dtype : DTYPE_f32;
    if (!operand_check_rows(c->call, i, t, 2, c->err))
        return false;
    if (o->dim[1] != c->p->dim[c->p->rank - 1])
        return error_set(c->err, "operand %d: a table of %lld columns for rows of %lld", i,
                         (long long)o->dim[1], (long long)c->p->dim[c->p->rank - 1]);
    if ((c->p->outputs | c->seeds) >> i & 1)
        return error_set(c->err, "operand %d: a table is nothing else", i);
    return true;
}

static bool check_columns(const Checker *c, int32_t i)
{
    const Operand *o = &c->call->operand[i];
    if (!operand_check_rows(c->call, i, DTYPE_f32, 2, c->err))
        return false;
    if (o->dim[1] != c->p->dim[c->p->rank - 1] || o->dim[0] != row_parts(c->call) || o->dim[0] < 1)
        return error_set(c->err, "operand %d: [%lld, %lld] sums of columns", i, (long long)o->dim[0],
                         (long long)o->dim[1]);
    if ((c->seeds | c->tables) >> i & 1 || o->stride[0] < o->dim[1])
        return error_set(c->err, "operand %d: sums of columns that overlap with something", i);
    return true;
}

static bool check_operand(const Checker *c, int32_t i)
{
    const Operand *o = &c->call->operand[i];
    if (c->columns >> i & 1)
        return check_columns(c, i);
    if (c->tables >> i & 1)
        return check_table(c, i);
    const bool rounded = o->dtype == DTYPE_bf16 && c->p->outputs >> i & 1;
    if ((unsigned)o->dtype >= N_DTYPES || !(dtype_is_lane(o->dtype) || rounded))
        return error_set(c->err, "operand %d: not of 4-byte elements", i);
    if (c->seeds >> i & 1)
        return check_seed(c, i);
    if (!operand_check(c->call, i, o->dtype, c->p->rank, c->err))
        return false;
    bool output = c->p->outputs >> i & 1;
    for (int32_t a = 0; a < o->rank; a++) {
        int64_t wanted = c->p->dim[a];
        bool last = a + 1 == o->rank;
        if (o->dim[a] != wanted && o->dim[a] != 1)
            return error_set(c->err, "operand %d, axis %d: size %lld in a space of %lld", i, a,
                             (long long)o->dim[a], (long long)wanted);
        if (!output || wanted == 1)
            continue;
        if (!last && (o->dim[a] == 1 || o->stride[a] == 0))
            return error_set(c->err, "operand %d, axis %d: a broadcast output", i, a);
        if (last && (o->dim[a] == 1) != (o->stride[a] == 0))
            return error_set(c->err, "operand %d: an output of size %lld with stride %lld", i,
                             (long long)o->dim[a], (long long)o->stride[a]);
    }
    return true;
}

static bool check_input(const Checker *c, int at, uint16_t reg)
{
    if (reg >= c->n_regs)
        return error_set(c->err, "instruction %d: register %u of %d", at, reg, c->n_regs);
    if (is_temp(c, reg) && !c->written[reg])
        return error_set(c->err, "instruction %d: reads temporary %u before it is written", at, reg);
    return true;
}

static bool check_target(const Checker *c, int at, uint16_t reg)
{
    if (reg >= c->n_regs)
        return error_set(c->err, "instruction %d: register %u of %d", at, reg, c->n_regs);
    if (is_operand(c, reg) ? !(c->p->outputs >> reg & 1) : !is_temp(c, reg))
        return error_set(c->err, "instruction %d: register %u is not to be written", at, reg);
    return true;
}

/* A row's one value is made by a reduction, or from other values of that kind. */
static bool check_kinds(const Checker *c, int at, const RowInstr *in)
{
    RowKind kind = row_op_kind((RowOp)in->op);
    if (kind == ROW_COLUMNS)
        return true;
    bool per_row = is_per_row(c, in->dst);
    bool rows_of_one = c->p->dim[c->p->rank - 1] == 1 && is_operand(c, in->dst);
    if (kind == ROW_REDUCE && !per_row)
        return error_set(c->err, "instruction %d: a reduction into register %u, which holds rows",
                         at, in->dst);
    if (kind == ROW_REDUCE || !per_row || rows_of_one)
        return true;
    if (kind == ROW_RANDOM || kind == ROW_GATHER)
        return error_set(c->err, "instruction %d: %s into one value per row", at,
                         row_op_name((RowOp)in->op));
    for (int i = 0; i < row_op_inputs((RowOp)in->op); i++)
        if (!is_per_row(c, instr_input(in, i)))
            return error_set(c->err, "instruction %d: one value per row made from a whole row", at);
    return true;
}

/* Ids are memory that the program only reads, one to a row. */
static bool check_ids(const Checker *c, int at, uint16_t reg)
{
    if (is_operand(c, reg) && !(c->p->outputs >> reg & 1) && is_per_row(c, reg)
        && c->call->operand[reg].dtype == DTYPE_i32)
        return true;
    return error_set(c->err, "instruction %d: register %u is no column of ids", at, reg);
}

/* What is rounded goes to memory of bf16, and nothing else does or comes from there. */
static bool check_rounding(const Checker *c, int at, const RowInstr *in)
{
    const Operand *o = c->call->operand;
    for (int i = 0; i < row_op_inputs((RowOp)in->op); i++) {
        const uint16_t reg = instr_input(in, i);
        if (is_operand(c, reg) && o[reg].dtype == DTYPE_bf16 && !(c->tables >> reg & 1))
            return error_set(c->err, "instruction %d: reads bf16", at);
    }
    const bool to_bf16 = is_operand(c, in->dst) && o[in->dst].dtype == DTYPE_bf16;
    if (to_bf16 != (in->op == ROW_round_bf16))
        return error_set(c->err, "instruction %d: %s into register %u", at,
                         row_op_name((RowOp)in->op), in->dst);
    return true;
}

static bool check_instr(Checker *c, int at)
{
    const RowInstr *in = &c->p->instrs[at];
    if (in->op >= N_ROW_OPS)
        return error_set(c->err, "instruction %d: op %u of %d", at, in->op, N_ROW_OPS);
    int n = row_op_inputs((RowOp)in->op);
    bool random = in->op == ROW_dropout, gather = in->op == ROW_gather;
    for (int i = 0; i < 3; i++) {
        uint16_t reg = instr_input(in, i);
        if (i >= n ? reg != 0 : !check_input(c, at, reg))
            return i < n ? false : error_set(c->err, "instruction %d: more inputs than %s has", at,
                                             row_op_name((RowOp)in->op));
        if (i < n && is_operand(c, reg) && (c->seeds >> reg & 1) && !(random && i == 1))
            return error_set(c->err, "instruction %d: computes with a seed", at);
        if (i < n && is_operand(c, reg) && (c->tables >> reg & 1) && !(gather && i == 0))
            return error_set(c->err, "instruction %d: computes with a table", at);
        if (i < n && is_operand(c, reg) && (c->columns >> reg & 1))
            return error_set(c->err, "instruction %d: reads sums of columns", at);
    }
    if (gather && !check_ids(c, at, in->b))
        return false;
    if (random && !(in->imm >= 0 && in->imm <= 1))
        return error_set(c->err, "instruction %d: probability %g", at, (double)in->imm);
    if (in->unused != 0)
        return error_set(c->err, "instruction %d: unused field %u", at, in->unused);
    if (is_operand(c, in->dst) && (c->columns >> in->dst & 1)
        && (in->op != ROW_column_sums || c->written[in->dst]))
        return error_set(c->err, "instruction %d: writes over sums of columns", at);
    if (!check_target(c, at, in->dst) || !check_kinds(c, at, in) || !check_rounding(c, at, in))
        return false;
    c->written[in->dst] = true;
    return true;
}

/* Seeds and tables are known by their use; their shape is not that of the space. */
static bool find_apart(Checker *c)
{
    for (int i = 0; i < c->p->n_instrs; i++) {
        const RowInstr *in = &c->p->instrs[i];
        if (in->op == ROW_dropout && in->b >= c->n_operands)
            return error_set(c->err, "instruction %d: a seed that is not an operand", i);
        if (in->op == ROW_gather && in->a >= c->n_operands)
            return error_set(c->err, "instruction %d: a table that is not an operand", i);
        if (in->op == ROW_column_sums && in->dst >= c->n_operands)
            return error_set(c->err, "instruction %d: sums of columns that are not an operand", i);
        if (in->op == ROW_column_sums)
            c->columns |= 1u << in->dst;
        if (in->op == ROW_dropout)
            c->seeds |= 1u << in->b;
        if (in->op == ROW_gather)
            c->tables |= 1u << in->a;
    }
    return true;
}

static bool check(const Call *call, Error *err)
{
    Checker c = { .call = call, .p = call->row, .n_operands = call->n_operands, .err = err };
    if (!c.p)
        return error_set(err, "no program");
    if (!check_counts(&c) || !find_apart(&c))
        return false;
    for (int32_t i = 0; i < c.n_operands; i++)
        if (!check_operand(&c, i))
            return false;
    for (int i = 0; i < c.p->n_instrs; i++)
        if (!check_instr(&c, i))
            return false;
    for (int32_t i = 0; i < c.n_operands; i++)
        if ((c.p->outputs >> i & 1) && !c.written[i])
            return error_set(err, "operand %d: an output that nothing writes", i);
    return true;
}

/* The last instruction that touches each temporary. */
static void find_last_uses(const RowProgram *p, int32_t first_temp, int16_t last[MAX_ROW_REGS])
{
    for (int i = 0; i < p->n_instrs; i++) {
        const RowInstr *in = &p->instrs[i];
        for (int k = 0; k < row_op_inputs((RowOp)in->op); k++)
            if (instr_input(in, k) >= first_temp)
                last[instr_input(in, k) - first_temp] = (int16_t)i;
        if (in->dst >= first_temp)
            last[in->dst - first_temp] = (int16_t)i;
    }
}

typedef struct SlotPool {
    uint8_t free[MAX_ROW_REGS];
    int32_t n_free, n;
} SlotPool;

static uint8_t slot_take(SlotPool *s)
{
    return s->n_free > 0 ? s->free[--s->n_free] : (uint8_t)s->n++;
}

/* Inputs that die are given back before the destination is placed: an instruction may write over
 * what it reads. */
void row_slots(const RowProgram *p, int32_t n_operands, RowSlots *out)
{
    int32_t first_temp = n_operands + p->n_consts;
    int16_t last[MAX_ROW_REGS];
    bool live[MAX_ROW_REGS] = { false };
    SlotPool pool[2] = { { .n = 0 }, { .n = 0 } };
    find_last_uses(p, first_temp, last);
    for (int i = 0; i < p->n_instrs; i++) {
        const RowInstr *in = &p->instrs[i];
        for (int k = 0; k < row_op_inputs((RowOp)in->op); k++) {
            int t = instr_input(in, k) - first_temp;
            if (t < 0 || last[t] != i || !live[t] || in->dst == t + first_temp)
                continue;
            SlotPool *s = &pool[p->temp_per_row[t] != 0];
            s->free[s->n_free++] = out->slot[t];
            live[t] = false;
        }
        int t = in->dst - first_temp;
        if (t < 0)
            continue;
        SlotPool *s = &pool[p->temp_per_row[t] != 0];
        if (!live[t])
            out->slot[t] = slot_take(s);
        live[t] = last[t] != i;
        if (!live[t])
            s->free[s->n_free++] = out->slot[t];
    }
    out->n_full = pool[0].n;
    out->n_per_row = pool[1].n;
}

/* Must rows stay whole?  The same for all sizes of a program, so that its scratch only shrinks. */
static bool keeps_rows(const Call *call)
{
    const RowProgram *p = call->row;
    for (int i = 0; i < p->n_instrs; i++)
        if (row_op_kind((RowOp)p->instrs[i].op) == ROW_REDUCE || p->instrs[i].op == ROW_gather
            || p->instrs[i].op == ROW_column_sums)
            return true;
    for (int i = 0; i < p->n_temps; i++)
        if (p->temp_per_row[i])
            return true;
    for (int32_t i = 0; i < call->n_operands; i++)
        if ((p->outputs >> i & 1) && row_stride(call, i, p->rank - 1) == 0)
            return true;
    return false;
}

/* Floats of a tile's temporaries and operands together, and bounds on its columns.  Where rows are whole a
 * tile also pays for its values per row, in calls that do little; more rows make that less, and what L1
 * does not hold comes from L2 in time. */
enum { L1_FLOATS = 8192, ROWS_FLOATS = 16384, MIN_WIDTH = 256, MAX_WIDTH = 4096 };

/* A multiple of 64, from the program alone. */
static int64_t tile_width(const Call *call, const RowSlots *slots)
{
    const int64_t floats = keeps_rows(call) ? ROWS_FLOATS : L1_FLOATS;
    int64_t width = floats / (slots->n_full + call->n_operands);
    return min_i64(MAX_WIDTH, max_i64(MIN_WIDTH, width)) & ~(int64_t)63;
}

uint32_t row_apart(const RowProgram *p)
{
    uint32_t apart = 0;
    for (int i = 0; i < p->n_instrs; i++) {
        if (p->instrs[i].op == ROW_dropout)
            apart |= 1u << p->instrs[i].b;
        if (p->instrs[i].op == ROW_gather)
            apart |= 1u << p->instrs[i].a;
        if (p->instrs[i].op == ROW_column_sums)
            apart |= 1u << p->instrs[i].dst;
    }
    return apart;
}

int64_t row_parts(const Call *call)
{
    for (int i = 0; i < call->row->n_instrs; i++)
        if (call->row->instrs[i].op == ROW_column_sums)
            return call->operand[call->row->instrs[i].dst].dim[0];
    return 0;
}

bool row_is_table(const RowProgram *p, int32_t operand)
{
    for (int i = 0; i < p->n_instrs; i++)
        if (p->instrs[i].op == ROW_gather && p->instrs[i].a == operand)
            return true;
    return false;
}

/* Scratch as the grid below may come to need it at these or any smaller sizes. */
RowScratch row_scratch(const Call *call, const RowSlots *slots)
{
    const RowProgram *p = call->row;
    bool rows = keeps_rows(call);
    int64_t width = tile_width(call, slots), n = p->dim[p->rank - 1], strided = 0;
    const uint32_t apart = row_apart(p);
    for (int32_t i = 0; i < call->n_operands; i++)
        strided += !rows || (!(apart >> i & 1) && row_is_strided(row_stride(call, i, p->rank - 1), n));
    int64_t tile = rows ? max_i64(width, (n + 15) & ~(int64_t)15) : width;
    /* The pad keeps slots from meeting in the same sets of L1. */
    return (RowScratch){ .tile = tile + 48, .per_row = width, .n_tiles = slots->n_full + strided };
}

/* May axis `a` of the space be one axis with `inner`, of size `size`, in every operand? */
static bool joins(const Call *call, int32_t a, int32_t inner, int64_t size, uint32_t apart)
{
    for (int32_t i = 0; i < call->n_operands; i++)
        if (!(apart >> i & 1) &&
            row_stride(call, i, a) != row_stride(call, i, inner) * size)
            return false;
    return true;
}

typedef struct Joined {
    int32_t n;
    int32_t axis[MAX_RANK];     /* innermost axis of each */
    int64_t dim[MAX_RANK];      /* innermost first */
} Joined;

static Joined join_axes(const Call *call, bool rows)
{
    const RowProgram *p = call->row;
    const uint32_t apart = row_apart(p);
    Joined j = { .n = 1, .axis = { p->rank - 1 }, .dim = { p->dim[p->rank - 1] } };
    for (int32_t a = p->rank - 2; a >= 0; a--) {
        int32_t last = j.n - 1;
        bool whole = rows && last == 0;
        if (p->dim[a] == 1)
            continue;
        if (!whole && j.dim[last] == 1) {
            j.axis[last] = a;
            j.dim[last] = p->dim[a];
        } else if (!whole && joins(call, a, j.axis[last], j.dim[last], apart)) {
            j.dim[last] *= p->dim[a];
        } else {
            j.axis[j.n] = a;
            j.dim[j.n++] = p->dim[a];
        }
    }
    return j;
}

static void prepare(Call *call)
{
    RowSlots slots;
    row_slots(call->row, call->n_operands, &slots);
    bool rows = keeps_rows(call);
    Joined j = join_axes(call, rows);
    int64_t *d = call->derived, width = tile_width(call, &slots), n = j.dim[0];
    d[ROW_N] = n;
    d[ROW_WIDTH] = rows ? n : min_i64(n, width);
    d[ROW_STRIPS] = n == 0 ? 0 : ceil_div(n, d[ROW_WIDTH]);
    d[ROW_ROWS] = j.n > 1 ? j.dim[1] : 1;
    d[ROW_HEIGHT] = min_i64(max_i64(1, width / max_i64(n, 1)), max_i64(1, d[ROW_ROWS]));
    d[ROW_STEPS] = ceil_div(d[ROW_ROWS], d[ROW_HEIGHT]);
    d[ROW_AXIS] = j.axis[0];
    d[ROW_HEIGHT_AXIS] = j.n > 1 ? j.axis[1] : -1;
    d[ROW_N_OUTER] = max_i64(0, j.n - 2);
    call->n_tasks = d[ROW_STRIPS] * d[ROW_STEPS];
    for (int32_t i = 2; i < j.n; i++) {
        d[ROW_OUTER + 2 * (i - 2)] = j.dim[i];
        d[ROW_OUTER + 2 * (i - 2) + 1] = j.axis[i];
        call->n_tasks *= j.dim[i];
    }
    if (row_parts(call) > 0 && n > 0)   /* no rows still have sums, no columns have none */
        call->n_tasks = row_parts(call);
    const RowAdamw adamw = row_adamw_match(call);
    memcpy(&d[ROW_ADAMW], &adamw, sizeof adamw);
}

/* Of tiles that count along one axis alone, which are one stretch of memory or of rows. */
KernelReach reach_row(const Call *call, int32_t i, KernelShare tasks)
{
    const int64_t *d = call->derived;
    if (row_apart(call->row) >> i & 1 || d[ROW_N_OUTER] > 0 || (d[ROW_STRIPS] > 1 && d[ROW_STEPS] > 1))
        return kernel_extent(call, i);
    const bool strips = d[ROW_STRIPS] > 1;
    const int64_t unit = strips ? d[ROW_WIDTH] : d[ROW_HEIGHT], parts = row_parts(call);
    const int64_t first = parts ? tasks.first * d[ROW_ROWS] / parts : tasks.first * unit;
    const int64_t last = parts ? tasks.last * d[ROW_ROWS] / parts - 1
                               : min_i64(tasks.last * unit, strips ? d[ROW_N] : d[ROW_ROWS]) - 1;
    const int64_t column = row_stride(call, i, (int32_t)d[ROW_AXIS]);
    if (last < first)                   /* fewer rows than parts */
        return (KernelReach){ 0, 0 };
    if (strips)
        return (KernelReach){ first * column, last * column + 1 };
    const int64_t row = d[ROW_HEIGHT_AXIS] < 0 ? 0
                      : row_stride(call, i, (int32_t)d[ROW_HEIGHT_AXIS]);
    return (KernelReach){ first * row, last * row + (d[ROW_N] - 1) * column + 1 };
}

static size_t scratch(const Call *call)
{
    RowSlots slots;
    row_slots(call->row, call->n_operands, &slots);
    RowScratch s = row_scratch(call, &slots);
    return (size_t)(s.tile * s.n_tiles + s.per_row * slots.n_per_row) * sizeof(float);
}

static double operand_count(const Call *call, int32_t i)
{
    const RowProgram *p = call->row;
    const bool table = row_is_table(p, i);  /* read a row at a time, as often as the space has rows */
    double count = 1;
    if (p->outputs >> i & 1 && row_apart(p) >> i & 1)
        return (double)count_elements(&call->operand[i]);
    if (!table && (row_apart(p) >> i & 1))
        return 2;
    for (int32_t a = 0; a < p->rank; a++)
        count *= !table && row_stride(call, i, a) == 0 ? 1 : (double)p->dim[a];
    return count;
}

/* Of an element; tables are counted as what is made of them. */
static double element_bytes(const Call *call, int32_t i)
{
    return call->row->outputs >> i & 1 ? (double)dtype_size(call->operand[i].dtype) : sizeof(float);
}

/* One operation an element and instruction, two for a fused multiply-add; each operand is moved once for
 * reading, unless the program has made it by then, and once for writing. */
static KernelCost cost(const Call *call)
{
    const RowProgram *p = call->row;
    KernelCost c = { 0 };
    double rows = 1, n = (double)p->dim[p->rank - 1];
    for (int32_t a = 0; a + 1 < p->rank; a++)
        rows *= (double)p->dim[a];
    uint32_t made = 0, read = 0;
    for (int i = 0; i < p->n_instrs; i++) {
        const RowInstr *in = &p->instrs[i];
        int t = in->dst - call->n_operands - p->n_consts;
        bool per_row = row_op_kind((RowOp)in->op) != ROW_REDUCE && t >= 0 && p->temp_per_row[t];
        if (in->op != ROW_copy && in->op != ROW_gather && in->op != ROW_round_bf16)
            c.flops += rows * (per_row ? 1 : n) * (in->op == ROW_fma ? 2 : 1);
        for (int k = 0; k < row_op_inputs((RowOp)in->op); k++)
            if (instr_input(in, k) < call->n_operands)
                read |= 1u << instr_input(in, k) & ~made;
        if (in->dst < call->n_operands)
            made |= 1u << in->dst;
    }
    for (int32_t i = 0; i < call->n_operands; i++)
        c.bytes += operand_count(call, i) * element_bytes(call, i)
                 * ((read >> i & 1) + (p->outputs >> i & 1));
    return c;
}

const KernelFamily family_row = {
    .name = "row", .min_operands = 1, .max_operands = MAX_OPERANDS,
    .check = check, .prepare = prepare, .scratch = scratch, .cost = cost,
};
