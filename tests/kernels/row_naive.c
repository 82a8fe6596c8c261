/* check_against_naive: an interpreter of row programs that goes through the space one element at a time. */
#include "tests/kernels/row_program.h"

typedef struct Naive {
    const KernelTable *table;
    const Case *c;
    const RowProgram *p;
    int n_operands, n_regs;
    int64_t n;                          /* elements of a row */
    float *memory[MAX_ROW_REGS];        /* copies of the operands' memory; a row of every other register */
    int64_t first[MAX_ROW_REGS];        /* where in it this row begins, */
    int64_t step[MAX_ROW_REGS];         /* and how far apart its elements are: 0 for one value per row */
    float *row;                         /* what a reduction reads */
} Naive;

static void *copy_of(const void *from, size_t bytes)
{
    void *p = malloc(bytes + 1);
    assert_non_null(p);
    return memcpy(p, from, bytes);
}

static Naive naive_new(const Case *c, const KernelTable *table)
{
    const RowProgram *p = c->call.row;
    Naive v = { .table = table, .c = c, .p = p, .n = p->dim[p->rank - 1], .n_operands = c->call.n_operands };
    v.n_regs = v.n_operands + p->n_consts + p->n_temps;
    for (int i = 0; i < v.n_operands; i++) {
        const Operand *o = &c->operand[i];
        v.memory[i] = copy_of(c->before[i], c->memory[i].bytes);
        v.step[i] = o->dim[o->rank - 1] == 1 ? 0 : o->stride[o->rank - 1];
    }
    for (int i = v.n_operands; i < v.n_regs; i++) {
        v.memory[i] = calloc((size_t)v.n + 1, sizeof(float));
        assert_non_null(v.memory[i]);
        v.step[i] = !program_per_row(c, p, i);
        if (i < v.n_operands + p->n_consts)
            memcpy(v.memory[i], &p->consts[i - v.n_operands], sizeof(float));
    }
    v.row = calloc((size_t)v.n + 1, sizeof(float));
    assert_non_null(v.row);
    return v;
}

static void naive_free(Naive *v)
{
    for (int i = 0; i < v->n_regs; i++)
        free(v->memory[i]);
    free(v->row);
}

/* Rows are counted over the leading axes. */
static void enter_row(Naive *v, int64_t row)
{
    for (int i = 0; i < v->n_operands; i++) {
        const Operand *o = &v->c->operand[i];
        int64_t left = row;
        v->first[i] = 0;
        for (int a = o->rank - 2; a >= 0; a--) {
            v->first[i] += o->dim[a] == 1 ? 0 : left % v->p->dim[a] * o->stride[a];
            left /= v->p->dim[a];
        }
    }
}

static float read_at(const Naive *v, int reg, int64_t j)
{
    return v->memory[reg][v->first[reg] + j * v->step[reg]];
}

static float gather(const Naive *v, const RowInstr *in, float id_bits, int64_t j)
{
    const Operand *table = &v->c->operand[in->a];
    int32_t id;
    memcpy(&id, &id_bits, sizeof id);
    if (id < 0 || id >= table->dim[0])
        return NAN;
    return v->memory[in->a][id * table->stride[0] + (table->dim[1] > 1 ? j : 0)];
}

static float dropout(const Naive *v, const RowInstr *in, float a, int64_t index)
{
    const uint32_t *word = (const void *)v->memory[in->b];
    const uint64_t seed = (uint64_t)word[1] << 32 | word[0];
    const uint32_t random = random_u32(seed, in->site, (uint64_t)index);
    return random >= (double)in->imm * 0x1p32 ? a / (1 - in->imm) : 0;
}

static float one_element(const Naive *v, const RowInstr *in, int64_t row, int64_t j)
{
    const RowOp op = (RowOp)in->op;
    const RowFn f = v->table->row[op];
    float a = op == ROW_gather ? 0 : read_at(v, in->a, j), b = 0, c = 0, y = 0;
    const Lane la = { &a, 0, 1 }, lb = { &b, 0, 1 }, lc = { &c, 0, 1 }, ly = { &y, 0, 1 };
    if (row_op_inputs(op) > 1 && op != ROW_dropout)
        b = read_at(v, in->b, j);
    if (row_op_inputs(op) > 2)
        c = read_at(v, in->c, j);
    switch (row_op_kind(op)) {
    case ROW_MAP1: f.map1(1, 1, ly, la); break;
    case ROW_MAP2: f.map2(1, 1, ly, la, lb); break;
    case ROW_MAP3: f.map3(1, 1, ly, la, lb, lc); break;
    case ROW_GATHER: return gather(v, in, b, j);
    case ROW_RANDOM: return dropout(v, in, a, row * v->n + j);
    case ROW_REDUCE: case ROW_ROUND: case ROW_COLUMNS: break;
    }
    return y;
}

static float one_row(const Naive *v, const RowInstr *in)
{
    float y = 0;
    for (int64_t j = 0; j < v->n; j++)
        v->row[j] = read_at(v, in->a, j);
    v->table->row[in->op].reduce(1, (size_t)v->n, (Lane){ &y, 0, 1 }, (Lane){ v->row, 0, 1 });
    return y;
}

/* The row of sums that row `row` of `rows` is added to. */
static float *columns_of(const Naive *v, int reg, int64_t row, int64_t rows)
{
    const Operand *o = &v->c->operand[reg];
    int64_t part = 0;
    while (row >= (part + 1) * rows / o->dim[0])
        part++;
    return v->memory[reg] + part * o->stride[0];
}

static void clear_columns(const Naive *v)
{
    for (int i = 0; i < v->p->n_instrs; i++) {
        const int reg = v->p->instrs[i].dst;
        const Operand *o = &v->c->operand[reg];
        for (int64_t k = 0; v->p->instrs[i].op == ROW_column_sums && k < o->dim[0] * o->dim[1]; k++)
            v->memory[reg][k / o->dim[1] * o->stride[0] + k % o->dim[1]] = 0;
    }
}

static void interpret(const Naive *v, const RowInstr *in, int64_t row, int64_t rows)
{
    const int64_t first = v->first[in->dst], step = v->step[in->dst], n = step == 0 ? 1 : v->n;
    float *y = v->memory[in->dst];
    if (in->op == ROW_column_sums) {
        float *sums = columns_of(v, in->dst, row, rows);
        for (int64_t j = 0; j < v->n; j++)
            sums[j] += read_at(v, in->a, j);
    } else if (in->op == ROW_round_bf16) {
        for (int64_t j = 0; j < n; j++)
            ((uint16_t *)y)[first + j * step] = bf16_of_f32(read_at(v, in->a, j));
    } else if (row_op_kind((RowOp)in->op) == ROW_REDUCE) {
        y[first] = one_row(v, in);
    } else {
        for (int64_t j = 0; j < n; j++)
            y[first + j * step] = one_element(v, in, row, j);
    }
}

static void compare(const Naive *v, int operand, const char *what)
{
    const size_t bytes = v->c->memory[operand].bytes;
    const float *got = v->c->memory[operand].p, *want = v->memory[operand];
    const bool bf16 = v->c->operand[operand].dtype == DTYPE_bf16;
    if (memcmp(got, want, bytes) == 0)
        return;
    for (size_t e = 0; e < bytes / (bf16 ? sizeof(uint16_t) : sizeof(float)); e++) {
        const float x = bf16 ? f32_of_bf16(((const uint16_t *)got)[e]) : got[e];
        const float y = bf16 ? f32_of_bf16(((const uint16_t *)want)[e]) : want[e];
        if (memcmp(&x, &y, sizeof x) != 0 && !(isnan(x) && isnan(y)))
            fail_msg("%s on %s: operand %d, number %zu: %a, not %a", what, isa_name(v->table->isa), operand, e,
                     (double)x, (double)y);
    }
}

void check_against_naive(const Case *c, const KernelTable *table, const char *what)
{
    Naive v = naive_new(c, table);
    int64_t rows = 1;
    for (int a = 0; a + 1 < v.p->rank; a++)
        rows *= v.p->dim[a];
    clear_columns(&v);
    for (int64_t row = 0; row < rows && v.n > 0; row++) {
        enter_row(&v, row);
        for (int i = 0; i < v.p->n_instrs; i++)
            interpret(&v, &v.p->instrs[i], row, rows);
    }
    for (int i = 0; i < v.n_operands; i++)
        compare(&v, i, what);
    naive_free(&v);
}
