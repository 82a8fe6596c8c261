/* The row executor: random programs on random spaces and strides against a naive interpreter that
 * goes through the space one row at a time, with the instructions' own functions on one element.
 * Both must agree to the bit, for every instruction set and any split of the tasks (harness.h).  And
 * programs that the check must refuse. */
#include "runtime/kernels/row_adamw.h"
#include "tests/kernels/harness.h"

typedef struct Naive {
    const KernelTable *table;
    const Case *c;
    const RowProgram *p;
    int64_t n;                          /* elements of a row */
    float *reg[MAX_ROW_REGS];           /* a row of each constant and temporary */
    float *memory[MAX_OPERANDS];        /* copies of the operands' memory */
} Naive;

static bool is_operand(const Naive *v, int reg)
{
    return reg < v->c->call.n_operands;
}

/* Where element j of row `row` (counted over the leading axes) lies in an operand. */
static int64_t offset_of(const Naive *v, int reg, int64_t row, int64_t j)
{
    const Operand *o = &v->c->operand[reg];
    int64_t offset = o->dim[o->rank - 1] == 1 ? 0 : j * o->stride[o->rank - 1];
    for (int a = o->rank - 2; a >= 0; a--) {
        offset += o->dim[a] == 1 ? 0 : row % v->p->dim[a] * o->stride[a];
        row /= v->p->dim[a];
    }
    return offset;
}

/* That element of any register. */
static float *place(const Naive *v, int reg, int64_t row, int64_t j)
{
    return is_operand(v, reg) ? v->memory[reg] + offset_of(v, reg, row, j) : &v->reg[reg][j];
}

static bool per_row(const Naive *v, int reg)
{
    int t = reg - v->c->call.n_operands - v->p->n_consts;
    if (t >= 0)
        return v->p->temp_per_row[t] != 0;
    const Operand *o = &v->c->operand[reg];
    return is_operand(v, reg) && (o->dim[o->rank - 1] == 1 || o->stride[o->rank - 1] == 0);
}

static float read_at(const Naive *v, int reg, int64_t row, int64_t j)
{
    bool one = !is_operand(v, reg) && (reg < v->c->call.n_operands + v->p->n_consts ||
                                       per_row(v, reg));
    return *place(v, reg, row, one ? 0 : j);
}

static float one_element(const Naive *v, const RowInstr *in, int64_t row, int64_t j)
{
    float a = in->op == ROW_gather ? 0 : read_at(v, in->a, row, j), b = 0, c = 0, y = 0;
    Lane la = { &a, 0, 1 }, lb = { &b, 0, 1 }, lc = { &c, 0, 1 }, ly = { &y, 0, 1 };
    RowFn f = v->table->row[in->op];
    if (row_op_inputs((RowOp)in->op) > 1 && in->op != ROW_dropout)
        b = read_at(v, in->b, row, j);
    if (row_op_inputs((RowOp)in->op) > 2)
        c = read_at(v, in->c, row, j);
    switch (row_op_kind((RowOp)in->op)) {
    case ROW_MAP1: f.map1(1, 1, ly, la); break;
    case ROW_MAP2: f.map2(1, 1, ly, la, lb); break;
    case ROW_MAP3: f.map3(1, 1, ly, la, lb, lc); break;
    case ROW_REDUCE: case ROW_ROUND: case ROW_COLUMNS: break;
    case ROW_GATHER: {
        const Operand *table = &v->c->operand[in->a];
        int32_t id;
        memcpy(&id, &b, sizeof id);
        return id < 0 || id >= table->dim[0]
            ? NAN : v->memory[in->a][id * table->stride[0] + (table->dim[1] > 1 ? j : 0)];
    }
    case ROW_RANDOM: {
        const uint32_t *word = (const void *)v->memory[in->b];
        uint64_t seed = (uint64_t)word[1] << 32 | word[0];
        uint32_t random = random_u32(seed, in->site, (uint64_t)(row * v->n + j));
        return random >= (double)in->imm * 0x1p32 ? a / (1 - in->imm) : 0;
    }
    }
    return y;
}

static float one_row(const Naive *v, const RowInstr *in, int64_t row)
{
    float *x = malloc((size_t)v->n * sizeof *x), y = 0;
    assert_non_null(x);
    for (int64_t j = 0; j < v->n; j++)
        x[j] = read_at(v, in->a, row, j);
    v->table->row[in->op].reduce(1, (size_t)v->n, (Lane){ &y, 0, 1 }, (Lane){ x, 0, 1 });
    free(x);
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

static void interpret_row(const Naive *v, int64_t row, int64_t rows)
{
    for (int i = 0; i < v->p->n_instrs; i++) {
        const RowInstr *in = &v->p->instrs[i];
        for (int64_t j = 0; in->op == ROW_column_sums && j < v->n; j++)
            columns_of(v, in->dst, row, rows)[j] += read_at(v, in->a, row, j);
        if (in->op == ROW_column_sums)
            continue;
        bool reduces = row_op_kind((RowOp)in->op) == ROW_REDUCE;
        int64_t n = reduces || per_row(v, in->dst) ? 1 : v->n;
        for (int64_t j = 0; j < n; j++)
            if (in->op == ROW_round_bf16)
                ((uint16_t *)v->memory[in->dst])[offset_of(v, in->dst, row, j)] =
                    bf16_of_f32(read_at(v, in->a, row, j));
            else
                *place(v, in->dst, row, j) = reduces ? one_row(v, in, row) : one_element(v, in, row, j);
    }
}

/* Runs the program over copies of what the operands held at first, and compares all the memory. */
static void check_against_naive(const Case *c, const KernelTable *table, const char *what)
{
    const RowProgram *p = c->call.row;
    Naive v = { .table = table, .c = c, .p = p, .n = p->dim[p->rank - 1] };
    int n_operands = c->call.n_operands, n_regs = n_operands + p->n_consts + p->n_temps;
    int64_t rows = 1;
    for (int a = 0; a + 1 < p->rank; a++)
        rows *= p->dim[a];
    for (int i = 0; i < n_operands; i++) {
        v.memory[i] = malloc(c->memory[i].bytes + 1);
        assert_non_null(v.memory[i]);
        memcpy(v.memory[i], c->before[i], c->memory[i].bytes);
    }
    for (int i = n_operands; i < n_regs; i++) {
        v.reg[i] = calloc((size_t)v.n + 1, sizeof(float));
        assert_non_null(v.reg[i]);
        if (i < n_operands + p->n_consts)
            memcpy(v.reg[i], &p->consts[i - n_operands], sizeof(float));
    }
    clear_columns(&v);
    for (int64_t row = 0; row < rows && v.n > 0; row++)
        interpret_row(&v, row, rows);
    for (int i = 0; i < n_operands; i++) {
        const bool bf16 = c->operand[i].dtype == DTYPE_bf16;
        for (size_t e = 0; bf16 && e < c->memory[i].bytes / sizeof(uint16_t); e++) {
            const float got = f32_of_bf16(((uint16_t *)c->memory[i].p)[e]);
            const float want = f32_of_bf16(((uint16_t *)v.memory[i])[e]);
            if (memcmp(&got, &want, sizeof got) != 0 && !(isnan(got) && isnan(want)))
                fail_msg("%s on %s: operand %d, number %zu of bf16: %a, not %a", what, isa_name(table->isa), i, e,
                         (double)got, (double)want);
        }
        for (size_t e = 0; !bf16 && e < c->memory[i].bytes / sizeof(float); e++) {
            float got = c->memory[i].p[e], want = v.memory[i][e];
            if (memcmp(&got, &want, sizeof got) != 0 && !(isnan(got) && isnan(want)))
                fail_msg("%s on %s: operand %d, float %zu: %a, not %a", what,
                         isa_name(table->isa), i, e, (double)got, (double)want);
        }
    }
    for (int i = 0; i < n_operands; i++)
        free(v.memory[i]);
    for (int i = n_operands; i < n_regs; i++)
        free(v.reg[i]);
}

typedef struct Program {
    RowProgram p;
    uint32_t consts[MAX_ROW_CONSTS];
    uint8_t per_row[MAX_ROW_REGS];
    RowInstr instrs[MAX_ROW_INSTRS];
} Program;

/* A space of 1 to 4 axes with few elements, or one with long rows. */
static void draw_space(RowProgram *p)
{
    p->rank = 1 + (int32_t)draw(4);
    for (int a = 0; a < p->rank; a++)
        p->dim[a] = 1 + draw(6);
    p->dim[p->rank - 1] = 1 + (draw(3) ? draw(70) : draw(5) ? draw(700) : draw(9000));
    if (draw(40) == 0)
        p->dim[draw(p->rank)] = 0;
    if (p->rank > 1 && p->dim[p->rank - 1] < 80 && draw(3) == 0)
        p->dim[p->rank - 2] = 1 + draw(400);
}

/* An operand of the space with some axes broadcast; an output only along the row. */
static int add_operand(Case *c, const RowProgram *p, bool output)
{
    int64_t dim[MAX_RANK];
    for (int a = 0; a < p->rank; a++)
        dim[a] = !output && draw(4) == 0 ? 1 : p->dim[a];
    if (draw(4) == 0)
        dim[p->rank - 1] = 1;
    int i = case_add(c, draw(4) ? DTYPE_f32 : DTYPE_i32, p->rank, dim, draw(3) ? ROWS : ANY);
    Operand *o = &c->operand[i];
    for (int a = 0; a < p->rank; a++)
        if (dim[a] == 1)
            o->stride[a] = 0;
    /* The other way to spell a broadcast. */
    for (int a = 0; !output && a < p->rank; a++)
        if (dim[a] == 1 && draw(2))
            o->dim[a] = p->dim[a];
    return i;
}

static int add_seed(Case *c, const RowProgram *p)
{
    int64_t dim[MAX_RANK] = { 1, 1, 1, 1, 1, 1 };
    dim[p->rank - 1] = 2;
    return case_add(c, DTYPE_i32, p->rank, dim, ROWS);
}

/* A table with rows of the space, and ids of which some are not in it.  Returns the table; the ids
 * follow it. */
static int add_table(Case *c, const RowProgram *p)
{
    int64_t dim[MAX_RANK], table[2] = { 1 + draw(9), p->dim[p->rank - 1] };
    for (int a = 0; a < p->rank; a++)
        dim[a] = a + 1 == p->rank || draw(4) == 0 ? 1 : p->dim[a];
    int i = case_add(c, DTYPE_f32, 2, table, ROWS);
    int ids = case_add(c, DTYPE_i32, p->rank, dim, draw(3) ? ROWS : ANY);
    for (int64_t e = 0; e < elements(&c->operand[ids]); e++)
        *element_i32(c, ids, e) = draw(8) ? (int32_t)draw(table[0]) : (int32_t)draw(40) - 20;
    for (int a = 0; a < p->rank; a++)
        if (dim[a] == 1)
            c->operand[ids].stride[a] = 0;
    return i;
}

static bool holds_row_value(const Case *c, const RowProgram *p, int reg)
{
    int n = c->call.n_operands;
    if (reg >= n + p->n_consts)
        return p->temp_per_row[reg - n - p->n_consts] != 0;
    return reg >= n || c->operand[reg].dim[p->rank - 1] == 1 ||
           c->operand[reg].stride[p->rank - 1] == 0;
}

/* A register that may be read now; with one value per row, if asked for. */
static int draw_source(const Case *c, const RowProgram *p, int seed, uint32_t readable[], bool row)
{
    int n_regs = c->call.n_operands + p->n_consts + p->n_temps;
    for (;;) {
        int reg = (int)draw(n_regs);
        if (reg != seed && readable[reg] && (!row || holds_row_value(c, p, reg)))
            return reg;
    }
}

static RowOp draw_op(bool reduce, bool seeded)
{
    for (;;) {
        RowOp op = (RowOp)draw(N_ROW_OPS);
        RowKind kind = row_op_kind(op);
        if (reduce ? kind == ROW_REDUCE : kind != ROW_REDUCE && kind != ROW_GATHER && kind != ROW_ROUND
                && kind != ROW_COLUMNS && (kind != ROW_RANDOM || seeded))
            return op;
    }
}

/* An activation, or behind one mostly the slope of what it read: row_slopes.inc runs both together. */
static bool draw_slope(const Case *c, const RowProgram *p, int seed, uint32_t readable[], RowInstr *in)
{
    static const RowOp pair[][2] = {
        { ROW_silu, ROW_silu_slope }, { ROW_gelu, ROW_gelu_slope }, { ROW_gelu_tanh, ROW_gelu_tanh_slope },
    };
    const RowInstr *last = p->n_instrs > 0 ? &p->instrs[p->n_instrs - 1] : NULL;
    for (size_t i = 0; i < COUNT_OF(pair); i++)
        if (last && last->op == pair[i][0] && draw(4)) {
            in->op = (uint16_t)pair[i][1];
            in->a = last->a;
            return true;
        }
    if (draw(6))
        return false;
    in->op = (uint16_t)pair[draw(COUNT_OF(pair))][0];
    in->a = (uint16_t)draw_source(c, p, seed, readable, false);
    return true;
}

/* Every second one reads what the last one made, as those do which row_pairs.inc runs together. */
static RowInstr draw_instr(const Case *c, const RowProgram *p, int seed, uint32_t readable[],
                           int dst)
{
    static const RowOp plain[] = { ROW_add, ROW_sub, ROW_mul };
    static const RowOp gates[] = { ROW_silu, ROW_gelu, ROW_gelu_tanh, ROW_silu_slope, ROW_gelu_slope, ROW_gelu_tanh_slope };
    bool one = holds_row_value(c, p, dst), chained = p->n_instrs > 0 && draw(2);
    bool rows_of_one = dst < c->call.n_operands && p->dim[p->rank - 1] == 1;
    RowOp op = draw_op(one && draw(3), seed >= 0 && (!one || rows_of_one));
    if (chained)
        op = one ? ROW_sum : plain[draw(COUNT_OF(plain))];
    else if (!one && draw(6) == 0)
        op = gates[draw(COUNT_OF(gates))];
    RowInstr in = { .op = (uint16_t)op, .dst = (uint16_t)dst };
    if (!one && draw_slope(c, p, seed, readable, &in))
        return in;
    bool row = one && row_op_kind(op) != ROW_REDUCE;
    uint16_t *field[3] = { &in.a, &in.b, &in.c };
    for (int k = 0; k < row_op_inputs(op); k++)
        *field[k] = (uint16_t)draw_source(c, p, seed, readable, row);
    const uint16_t last = chained ? p->instrs[p->n_instrs - 1].dst : 0;
    if (chained && (!row || holds_row_value(c, p, last)))
        for (int k = (int)draw(2); k < row_op_inputs(op); k += 1 + (int)draw(2))
            *field[k] = last;
    if (op == ROW_dropout) {
        in.b = (uint16_t)seed;
        in.site = (uint32_t)draw(1000);
        in.imm = draw(5) ? (float)draw(100) / 100 : (float)draw(2);
    }
    return in;
}

/* An output of bf16; -1 for none. */
static int add_rounded(Case *c, RowProgram *p)
{
    int64_t dim[MAX_RANK];
    memcpy(dim, p->dim, sizeof dim);
    if (draw(4) == 0)
        dim[p->rank - 1] = 1;
    const int i = case_add(c, DTYPE_bf16, p->rank, dim, draw(3) ? ROWS : ANY);
    if (dim[p->rank - 1] == 1)
        c->operand[i].stride[p->rank - 1] = 0;
    p->outputs |= 1u << i;
    return i;
}

static int add_columns(Case *c, RowProgram *p)
{
    const int i = case_add(c, DTYPE_f32, 2, (int64_t[]){ 1 + draw(9), p->dim[p->rank - 1] }, ROWS);
    p->outputs |= 1u << i;
    return i;
}

/* Every output is written; temporaries come and go. */
static void draw_program(Case *c, Program *r, int n_in, int n_out, int seed, int table, int rounded,
                         int columns)
{
    RowProgram *p = &r->p;
    uint32_t readable[MAX_ROW_REGS] = { 0 };
    int n = c->call.n_operands;
    for (int i = 0; i < n + p->n_consts; i++)
        readable[i] = i != table && i != rounded && i != columns;
    int n_work = (int)draw(20);
    for (int i = 0; i < n_work + n_out; i++) {
        bool to_temp = i < n_work && p->n_temps > 0;
        int dst = to_temp ? n + p->n_consts + (int)draw(p->n_temps) : n_in + i % n_out;
        r->instrs[p->n_instrs] = draw_instr(c, p, seed, readable, dst);
        p->n_instrs++;
        readable[dst] = 1;
    }
    for (int i = 0; i < n_out; i++) {
        bool written = false;
        for (int k = 0; k < p->n_instrs; k++)
            written |= r->instrs[k].dst == n_in + i;
        if (!written) {
            r->instrs[p->n_instrs] = draw_instr(c, p, seed, readable, n_in + i);
            p->n_instrs++;
        }
    }
    /* An operand of a seed's shape has to be one. */
    if (seed >= 0)
        r->instrs[p->n_instrs++] = (RowInstr){ .op = ROW_dropout, .dst = (uint16_t)n_in,
                                               .a = (uint16_t)draw(n_in), .b = (uint16_t)seed,
                                               .site = 7, .imm = 0.3f };
    if (table >= 0)
        r->instrs[p->n_instrs++] = (RowInstr){ .op = ROW_gather, .dst = (uint16_t)n_in,
                                               .a = (uint16_t)table, .b = (uint16_t)(table + 1) };
    if (columns >= 0)
        r->instrs[p->n_instrs++] = (RowInstr){ .op = ROW_column_sums, .dst = (uint16_t)columns,
                                               .a = (uint16_t)draw_source(c, p, seed, readable, false) };
    if (rounded < 0)
        return;
    const bool one = holds_row_value(c, p, rounded);
    r->instrs[p->n_instrs++] = (RowInstr){ .op = ROW_round_bf16, .dst = (uint16_t)rounded,
                                           .a = (uint16_t)draw_source(c, p, seed, readable, one) };
}

static Case draw_case(Program *r)
{
    *r = (Program){ .p = { .consts = r->consts, .temp_per_row = r->per_row, .instrs = r->instrs } };
    RowProgram *p = &r->p;
    draw_space(p);
    Case c = case_new(KERNEL_row);
    int n_in = 1 + (int)draw(4), n_out = 1 + (int)draw(3), seed = -1, table = -1;
    for (int i = 0; i < n_in; i++)
        add_operand(&c, p, false);
    for (int i = 0; i < n_out; i++)
        p->outputs |= 1u << add_operand(&c, p, true);
    bool first_is_full = c.operand[n_in].dim[p->rank - 1] > 1 || p->dim[p->rank - 1] == 1;
    if (first_is_full && draw(3) == 0)
        seed = add_seed(&c, p);
    if (first_is_full && draw(3) == 0)
        table = add_table(&c, p);
    const int rounded = draw(2) ? add_rounded(&c, p) : -1;
    const int columns = draw(3) == 0 ? add_columns(&c, p) : -1;
    p->n_consts = 1 + (int)draw(3);
    p->n_temps = (int)draw(7);
    for (int i = 0; i < p->n_consts; i++) {
        float value = draw_float() * 3;
        memcpy(&r->consts[i], &value, sizeof value);
    }
    for (int i = 0; i < p->n_temps; i++)
        r->per_row[i] = draw(3) == 0;
    c.call.row = p;
    draw_program(&c, r, n_in, n_out, seed, table, rounded, columns);
    return c;
}

static void test_random_programs(void **state)
{
    (void)state;
    static Program r;
    for (int i = 0; i < 500; i++) {
        char what[32];
        snprintf(what, sizeof what, "program %d", i);
        Case c = draw_case(&r);
        CASE_EACH_ISA(&c, r.p.outputs, table)
            check_against_naive(&c, table, what);
        case_free(&c);
    }
}

static Case simple_case(Program *r, int64_t rows, int64_t n, int n_operands, uint32_t outputs)
{
    *r = (Program){ .p = { .rank = 2, .dim = { rows, n }, .consts = r->consts, .outputs = outputs,
                           .temp_per_row = r->per_row, .instrs = r->instrs } };
    Case c = case_new(KERNEL_row);
    for (int i = 0; i < n_operands; i++)
        case_add(&c, DTYPE_f32, 2, r->p.dim, ROWS);
    c.call.row = &r->p;
    return c;
}

static void add(Program *r, RowOp op, int dst, int a, int b)
{
    r->instrs[r->p.n_instrs++] = (RowInstr){ .op = (uint16_t)op, .dst = (uint16_t)dst,
                                             .a = (uint16_t)a, .b = (uint16_t)b };
}

static void set_const(Program *r, float value)
{
    memcpy(&r->consts[r->p.n_consts++], &value, sizeof value);
}

/* Rows without columns: nothing is written, whatever else the program sums. */
static void test_no_columns(void **state)
{
    (void)state;
    Program r = { .p = { .rank = 2, .dim = { 3, 0 }, .consts = r.consts, .outputs = 1 << 1 | 1 << 2,
                         .temp_per_row = r.per_row, .instrs = r.instrs } };
    Case c = case_new(KERNEL_row);
    case_add(&c, DTYPE_f32, 2, r.p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 1 }, ROWS);
    c.operand[1].stride[1] = 0;
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 2, 0 }, ROWS);
    c.call.row = &r.p;
    add(&r, ROW_sum, 1, 0, 0);
    add(&r, ROW_column_sums, 2, 0, 0);
    CASE_EACH_ISA(&c, r.p.outputs, table)
        check_against_naive(&c, table, "no columns");
    case_free(&c);
}

/* softmax over rows of any length, from one operand into itself. */
static void test_softmax_in_place(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 3, 17 }, { 200, 5 }, { 7, 1000 }, { 2, 20011 } };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        static Program r;
        Case c = simple_case(&r, sizes[i][0], sizes[i][1], 1, 1);
        r.p.n_temps = 4;
        r.per_row[0] = r.per_row[2] = 1;
        add(&r, ROW_max, 1, 0, 0);
        add(&r, ROW_sub, 2, 0, 1);
        add(&r, ROW_exp, 2, 2, 0);
        add(&r, ROW_sum, 3, 2, 0);
        add(&r, ROW_div, 0, 2, 3);
        CASE_EACH_ISA(&c, 1, table) {
            check_against_naive(&c, table, "softmax");
            for (int64_t row = 0; row < sizes[i][0]; row++) {
                double sum = 0;
                for (int64_t j = 0; j < sizes[i][1]; j++)
                    sum += (double)*element(&c, 0, row * sizes[i][1] + j);
                /* Each weight carries the roundings of exp, sum and division. */
                expect_near("sum of weights", sum, 1, 40 * ULP);
            }
        }
        case_free(&c);
    }
}

/* y = (x - mean) rsqrt(var + eps), with the statistics kept, as a normalisation's forward does. */
static void test_normalisation(void **state)
{
    (void)state;
    static Program r;
    const int64_t n = 768, rows = 37;
    Case c = simple_case(&r, rows, n, 1, 6);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    c.operand[2].stride[1] = 0;
    set_const(&r, 1.0f / 768);
    set_const(&r, 1e-5f);
    r.p.n_temps = 3;
    r.per_row[0] = 1;
    const int x = 0, y = 1, rstd = 2, scale = 3, eps = 4, mean = 5, d = 6, square = 7;
    add(&r, ROW_sum, mean, x, 0);
    add(&r, ROW_mul, mean, mean, scale);
    add(&r, ROW_sub, d, x, mean);
    add(&r, ROW_mul, square, d, d);
    add(&r, ROW_sum, rstd, square, 0);
    add(&r, ROW_mul, rstd, rstd, scale);
    add(&r, ROW_add, rstd, rstd, eps);
    add(&r, ROW_rsqrt, rstd, rstd, 0);
    add(&r, ROW_mul, y, d, rstd);
    CASE_EACH_ISA(&c, 6, table)
        check_against_naive(&c, table, "normalisation");
    case_free(&c);
}

/* The gradient of a norm, of operands 0 to 4 (z, g, a residual, the weight, what rows are scaled with), with its
 * sums of columns and the norm's output; as compilers make it, but of copies of z and g, or without the residual. */
static Case norm_gradient(Program *r, int64_t rows, int64_t n, bool residual)
{
    enum { X, D, RESIDUAL, WEIGHT, RSTD, NORMED, OUT, SUMS, HALF, SCALE, T, U, MEAN, SLOPE, Z, G };
    Case c = simple_case(r, rows, n, 3, 1 << NORMED | 1 << OUT | 1 << SUMS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 1, n }, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ rows, 1 }, ROWS);
    case_add(&c, DTYPE_f32, 2, r->p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, r->p.dim, ROWS);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 2, n }, ROWS);
    set_const(r, -0.5f);
    set_const(r, 1.0f / (float)n);
    r->p.n_temps = 6;
    r->per_row[2] = r->per_row[3] = 1;
    add(r, ROW_copy, Z, X, 0);
    add(r, ROW_copy, G, D, 0);
#define INSTR(op, dst, x, y) add(r, ROW_##op, dst, x, y);
#define BESIDE(op, dst, x, y) if (residual) INSTR(op, dst, x, y)
#include "norm_gradient.def"
    return c;
}

/* False where the check refuses the program. */
static bool norm_gradient_agrees(Program *r, Case *c, const char *what)
{
    Error err;
    c->call.operand = c->operand;
    if (!kernel_check(&c->call, &err))
        return false;
    CASE_EACH_ISA(c, r->p.outputs, table)
        check_against_naive(c, table, what);
    return true;
}

static void test_norm_gradient(void **state)
{
    (void)state;
    static Program r;
    for (int i = 0; i < 40; i++) {
        Case c = norm_gradient(&r, 1 + draw(30), 2 + draw(200), i % 2);
        assert_true(norm_gradient_agrees(&r, &c, "norm's gradient"));
        case_free(&c);
    }
}

/* What instruction `at` makes is `reg`, for all that read it. */
static void rename_result(Program *r, int at, uint16_t reg)
{
    const uint16_t was = r->instrs[at].dst;
    r->instrs[at].dst = reg;
    for (int i = at + 1; i < r->p.n_instrs; i++) {
        RowInstr *in = &r->instrs[i];
        in->a = in->a == was ? reg : in->a;
        in->b = in->b == was && row_op_inputs((RowOp)in->op) > 1 ? reg : in->b;
        if (in->dst == was)
            return;
    }
}

/* With every register of every instruction another one, and every result in another one: a loop that took the
 * instructions for those that it has would be wrong. */
static void test_changed_norm_gradient(void **state)
{
    (void)state;
    static Program r;
    int legal = 0, changed = 0;
    for (int at = 0; changed >= 0; at++) {
        Case c = norm_gradient(&r, 3, 21, at % 2);
        const int n_regs = c.call.n_operands + r.p.n_consts + r.p.n_temps, n = at / 2;
        RowInstr *in = &r.instrs[n / n_regs / 4 % r.p.n_instrs];
        uint16_t *field[3] = { &in->dst, &in->a, &in->b };
        const int which = n / n_regs % 4;
        if (which < 3)
            *field[which] = (uint16_t)(n % n_regs);
        else
            rename_result(&r, n / n_regs / 4 % r.p.n_instrs, (uint16_t)(n % n_regs));
        char what[40];
        snprintf(what, sizeof what, "norm's gradient %d", at);
        legal += norm_gradient_agrees(&r, &c, what);
        changed = n / n_regs / 4 < r.p.n_instrs ? n : -1;
        case_free(&c);
    }
    assert_true(legal > 500);
}

/* Scratch never has to grow when sizes shrink, and one call can be bound again at smaller sizes. */
static void test_smaller_sizes(void **state)
{
    (void)state;
    static Program r;
    for (int i = 0; i < 200; i++) {
        Case c = draw_case(&r);
        case_keep(&c);
        case_expect_legal(&c);
        kernel_prepare(&c.call);
        size_t most = kernel_scratch(&c.call);
        int axis = (int)draw(r.p.rank);
        int64_t was = r.p.dim[axis];
        for (int64_t size = was; size >= 1; size = size / 2) {
            r.p.dim[axis] = size;
            for (int k = 0; k < c.call.n_operands; k++)
                if (c.operand[k].dim[axis] == was && c.operand[k].dtype != DTYPE_i32)
                    c.operand[k].dim[axis] = size;
            kernel_prepare(&c.call);
            assert_true(kernel_scratch(&c.call) <= most);
        }
        case_free(&c);
    }
}

/* Axes that are one run of memory in all operands are walked as one, whatever their number. */
static void test_long_runs_are_joined(void **state)
{
    (void)state;
    static Program r;
    Case c = simple_case(&r, 1000, 3, 2, 2);
    add(&r, ROW_exp, 1, 0, 0);
    for (int i = 0; i < 2; i++) {
        c.operand[i].stride[0] = 3;
        c.operand[i].stride[1] = 1;
    }
    c.call.operand = c.operand;
    kernel_prepare(&c.call);
    assert_int_equal(c.call.n_tasks, 1);
    c.operand[0].stride[0] = 0;     /* a broadcast: no longer one run */
    kernel_prepare(&c.call);
    assert_int_equal(c.call.n_tasks, 1);
    r.p.dim[0] = c.operand[0].dim[0] = c.operand[1].dim[0] = 1000000;
    kernel_prepare(&c.call);
    assert_true(c.call.n_tasks > 500);
    KernelCost cost = kernel_cost(&c.call);
    assert_true(cost.flops == 3e6 && cost.bytes == 4 * (3e6 + 3));
    case_free(&c);
}

/* What a program has made is near; what it reads before it writes comes from memory and goes there. */
static void test_cost_of_own_results(void **state)
{
    (void)state;
    static Program r;
    Case c = simple_case(&r, 4, 8, 3, 1u << 1 | 1u << 2);
    const double each = 4.0 * 4 * 8;
    add(&r, ROW_exp, 2, 0, 0);
    add(&r, ROW_mul, 1, 2, 0);
    c.call.operand = c.operand;
    assert_true(kernel_cost(&c.call).bytes == 3 * each);
    r.instrs[1].a = 1;
    assert_true(kernel_cost(&c.call).bytes == 4 * each);
    case_free(&c);
}

/* x: operand 0, y: operand 1 (output), a constant 2, a full temporary 3, a per-row one 4. */
static Case legal_case(Program *r)
{
    Case c = simple_case(r, 4, 8, 2, 2);
    set_const(r, 2);
    r->p.n_temps = 2;
    r->per_row[1] = 1;
    add(r, ROW_exp, 3, 0, 0);
    add(r, ROW_sum, 4, 3, 0);
    add(r, ROW_div, 1, 3, 4);
    return c;
}

typedef void Spoil(Case *c, Program *r);

static void no_program(Case *c, Program *r) { (void)r; c->call.row = NULL; }
static void rank_zero(Case *c, Program *r) { (void)c; r->p.rank = 0; }
static void rank_seven(Case *c, Program *r) { (void)c; r->p.rank = MAX_RANK + 1; }
static void other_rank(Case *c, Program *r) { (void)r; c->operand[0].rank = 1; }
static void negative_size(Case *c, Program *r) { (void)c; r->p.dim[0] = -1; }
static void huge_space(Case *c, Program *r) { (void)c; r->p.dim[0] = INT64_MAX / 4; }
static void other_size(Case *c, Program *r) { (void)r; c->operand[0].dim[1] = 7; }
static void larger_size(Case *c, Program *r) { (void)r; c->operand[1].dim[0] = 5; }
static void negative_stride(Case *c, Program *r) { (void)r; c->operand[0].stride[0] = -1; }
static void odd_dtype(Case *c, Program *r) { (void)r; c->operand[0].dtype = (DType)N_DTYPES; }
static void many_consts(Case *c, Program *r) { (void)c; r->p.n_consts = MAX_ROW_CONSTS + 1; }
static void many_regs(Case *c, Program *r) { (void)c; r->p.n_temps = MAX_ROW_REGS; }
static void many_instrs(Case *c, Program *r) { (void)c; r->p.n_instrs = MAX_ROW_INSTRS + 1; }
static void negative_instrs(Case *c, Program *r) { (void)c; r->p.n_instrs = -1; }
static void negative_temps(Case *c, Program *r) { (void)c; r->p.n_temps = -1; }
static void no_operands(Case *c, Program *r) { (void)r; c->call.n_operands = 0; }
static void odd_output(Case *c, Program *r) { (void)c; r->p.outputs |= 4; }
static void output_not_written(Case *c, Program *r) { (void)c; r->p.outputs |= 1; }
static void bad_op(Case *c, Program *r) { (void)c; r->instrs[1].op = N_ROW_OPS; }
static void bad_input(Case *c, Program *r) { (void)c; r->instrs[1].a = 5; }
static void bad_second_input(Case *c, Program *r) { (void)c; r->instrs[2].b = 65535; }
static void input_too_many(Case *c, Program *r) { (void)c; r->instrs[0].c = 1; }
static void bad_target(Case *c, Program *r) { (void)c; r->instrs[0].dst = 5; }
static void writes_input(Case *c, Program *r) { (void)c; r->instrs[0].dst = 0; }
static void writes_const(Case *c, Program *r) { (void)c; r->instrs[0].dst = 2; }
static void reads_unwritten(Case *c, Program *r) { (void)c; r->instrs[0].a = 3; }
static void reduces_to_rows(Case *c, Program *r) { (void)c; r->instrs[1].dst = 3; }
static void row_from_elements(Case *c, Program *r) { (void)c; r->instrs[1].op = ROW_neg; }
static void unused_field(Case *c, Program *r) { (void)c; r->instrs[1].unused = 1; }
static void broadcast_output(Case *c, Program *r) { (void)r; c->operand[1].stride[0] = 0; }
static void output_of_one_row(Case *c, Program *r) { (void)r; c->operand[1].dim[0] = 1; }
static void output_stride_zero(Case *c, Program *r) { (void)r; c->operand[1].stride[1] = 0; }

static void output_one_with_stride(Case *c, Program *r)
{
    c->operand[1].dim[1] = 1;
    c->operand[1].stride[1] = 1;
    r->instrs[2].a = 4;
}

static void seed_is_a_temp(Case *c, Program *r)
{
    (void)c;
    r->instrs[2] = (RowInstr){ .op = ROW_dropout, .dst = 1, .a = 3, .b = 3, .imm = 0.5f };
}

/* Operand 0 would have to be two words and a tensor of the space at once. */
static void seed_of_the_wrong_shape(Case *c, Program *r)
{
    (void)c;
    r->instrs[2] = (RowInstr){ .op = ROW_dropout, .dst = 1, .a = 3, .b = 0, .imm = 0.5f };
}

static void add_dropout(Case *c, Program *r, float p)
{
    int64_t dim[2] = { 1, 2 };
    case_add(c, DTYPE_i32, 2, dim, ROWS);
    r->instrs[0].dst = 4;
    r->instrs[1] = (RowInstr){ .op = ROW_sum, .dst = 5, .a = 4 };
    r->instrs[2] = (RowInstr){ .op = ROW_dropout, .dst = 1, .a = 4, .b = 2, .imm = p };
}

static void probability_of_two(Case *c, Program *r) { add_dropout(c, r, 2); }
static void probability_nan(Case *c, Program *r) { add_dropout(c, r, NAN); }
static void probability_negative(Case *c, Program *r) { add_dropout(c, r, -0.5f); }

static void seed_computed_with(Case *c, Program *r)
{
    add_dropout(c, r, 0.5f);
    r->instrs[0].a = 2;
}

static void seed_of_floats(Case *c, Program *r)
{
    add_dropout(c, r, 0.5f);
    c->operand[2].dtype = DTYPE_f32;
}

static void seed_apart(Case *c, Program *r)
{
    add_dropout(c, r, 0.5f);
    c->operand[2].stride[1] = 2;
}

static void seed_written(Case *c, Program *r)
{
    add_dropout(c, r, 0.5f);
    r->p.outputs |= 4;
}

static void dropout_of_row_values(Case *c, Program *r)
{
    add_dropout(c, r, 0.5f);
    r->instrs[1] = (RowInstr){ .op = ROW_dropout, .dst = 5, .a = 3, .b = 2, .imm = 0.5f };
}

/* Operand 1 becomes rows of the table of operand 2 that the ids of operand 3 name. */
static void add_gather(Case *c, Program *r)
{
    const int64_t table[2] = { 3, r->p.dim[1] }, ids[2] = { r->p.dim[0], 1 };
    case_add(c, DTYPE_f32, 2, table, ROWS);
    case_add(c, DTYPE_i32, 2, ids, ROWS);
    r->instrs[0].dst = 5;
    r->instrs[1] = (RowInstr){ .op = ROW_sum, .dst = 6, .a = 5 };
    r->instrs[2] = (RowInstr){ .op = ROW_gather, .dst = 1, .a = 2, .b = 3 };
}

static void table_is_a_temp(Case *c, Program *r) { add_gather(c, r); r->instrs[2].a = 5; }
static void table_computed_with(Case *c, Program *r) { add_gather(c, r); r->instrs[0].a = 2; }
static void table_is_the_ids(Case *c, Program *r) { add_gather(c, r); r->instrs[2].b = 2; }
static void ids_are_a_const(Case *c, Program *r) { add_gather(c, r); r->instrs[2].b = 4; }
static void ids_of_elements(Case *c, Program *r) { add_gather(c, r); r->instrs[2].b = 0; }
static void gather_of_row_values(Case *c, Program *r) { add_gather(c, r); r->instrs[2].dst = 6; }

static void table_of_more_columns(Case *c, Program *r)
{
    add_gather(c, r);
    c->operand[2].dim[1]++;
}

static void table_turned(Case *c, Program *r)
{
    add_gather(c, r);
    c->operand[2].stride[1] = 3;
}

static void table_of_ids(Case *c, Program *r)
{
    add_gather(c, r);
    c->operand[2].dtype = DTYPE_i32;
}

static void table_written(Case *c, Program *r)
{
    add_gather(c, r);
    r->p.outputs |= 4;
}

static void ids_of_floats(Case *c, Program *r)
{
    add_gather(c, r);
    c->operand[3].dtype = DTYPE_f32;
}

static void ids_written(Case *c, Program *r)
{
    add_gather(c, r);
    r->p.outputs |= 8;
}

/* Operand 2 is operand 0 rounded. */
static void add_rounding(Case *c, Program *r)
{
    case_add(c, DTYPE_bf16, 2, r->p.dim, ROWS);
    r->p.outputs |= 4;
    r->instrs[0].dst = 4;
    r->instrs[1] = (RowInstr){ .op = ROW_round_bf16, .dst = 2, .a = 4 };
    r->instrs[2] = (RowInstr){ .op = ROW_copy, .dst = 1, .a = 4 };
}

static void rounded_to_a_temp(Case *c, Program *r) { add_rounding(c, r); r->instrs[1].dst = 4; }
static void rounded_to_floats(Case *c, Program *r) { add_rounding(c, r); r->instrs[1].dst = 1; }
static void rounded_is_read(Case *c, Program *r) { add_rounding(c, r); r->instrs[2].a = 2; }
static void bf16_written_to(Case *c, Program *r) { add_rounding(c, r); r->instrs[1].op = ROW_copy; }

static void bf16_is_an_input(Case *c, Program *r)
{
    add_rounding(c, r);
    r->p.outputs &= ~4u;
    r->instrs[1] = (RowInstr){ .op = ROW_copy, .dst = 4, .a = 2 };
}

/* Operand 2 holds the sums of operand 0's columns in two parts. */
static void add_sums(Case *c, Program *r)
{
    case_add(c, DTYPE_f32, 2, (int64_t[]){ 2, r->p.dim[1] }, ROWS);
    r->p.outputs |= 4;
    r->instrs[0].dst = 4;
    r->instrs[1] = (RowInstr){ .op = ROW_column_sums, .dst = 2, .a = 4 };
    r->instrs[2] = (RowInstr){ .op = ROW_copy, .dst = 1, .a = 4 };
}

static void sums_of_a_temp(Case *c, Program *r) { add_sums(c, r); r->instrs[1].dst = 4; }
static void sums_are_read(Case *c, Program *r) { add_sums(c, r); r->instrs[2].a = 2; }
static void sums_written_over(Case *c, Program *r) { add_sums(c, r); r->instrs[2].dst = 2; }
static void sums_written_twice(Case *c, Program *r) { add_sums(c, r); r->instrs[2] = r->instrs[1]; }
static void sums_of_more_columns(Case *c, Program *r) { add_sums(c, r); c->operand[2].dim[1]++; }
static void sums_of_no_parts(Case *c, Program *r) { add_sums(c, r); c->operand[2].dim[0] = 0; }
static void sums_that_overlap(Case *c, Program *r) { add_sums(c, r); c->operand[2].stride[0] = 1; }
static void sums_turned(Case *c, Program *r) { add_sums(c, r); c->operand[2].stride[1] = 2; }
static void sums_of_ids(Case *c, Program *r) { add_sums(c, r); c->operand[2].dtype = DTYPE_i32; }
static void sums_are_an_input(Case *c, Program *r) { add_sums(c, r); r->p.outputs &= ~4u; }

static void sums_of_other_parts(Case *c, Program *r)
{
    add_sums(c, r);
    case_add(c, DTYPE_f32, 2, (int64_t[]){ 3, r->p.dim[1] }, ROWS);
    r->p.outputs |= 8;
    for (int i = 0; i < r->p.n_instrs; i++) {   /* temporaries stand behind the operands */
        r->instrs[i].dst = (uint16_t)(r->instrs[i].dst + (r->instrs[i].dst > 2));
        r->instrs[i].a = (uint16_t)(r->instrs[i].a + (r->instrs[i].a > 2));
    }
    r->instrs[r->p.n_instrs++] = (RowInstr){ .op = ROW_column_sums, .dst = 3, .a = r->instrs[1].a };
}

static void test_refused(void **state)
{
    (void)state;
    static Spoil *const spoils[] = {
        no_program, rank_zero, rank_seven, other_rank, negative_size, huge_space, other_size,
        larger_size, negative_stride, odd_dtype, many_consts, many_regs, many_instrs,
        negative_instrs, negative_temps, no_operands, odd_output, output_not_written, bad_op,
        bad_input, bad_second_input, input_too_many, bad_target, writes_input, writes_const,
        reads_unwritten, reduces_to_rows, row_from_elements, unused_field, broadcast_output,
        output_of_one_row, output_stride_zero, output_one_with_stride, seed_is_a_temp,
        seed_of_the_wrong_shape, probability_of_two, probability_nan, probability_negative,
        seed_computed_with, seed_of_floats, seed_apart, seed_written, dropout_of_row_values,
        table_is_a_temp, table_computed_with, table_is_the_ids, ids_are_a_const, ids_of_elements,
        gather_of_row_values, table_of_more_columns, table_turned, table_of_ids, table_written,
        ids_of_floats, ids_written, rounded_to_a_temp, rounded_to_floats, rounded_is_read,
        bf16_written_to, bf16_is_an_input, sums_of_a_temp, sums_are_read, sums_written_over,
        sums_written_twice, sums_of_more_columns, sums_of_no_parts, sums_that_overlap, sums_turned,
        sums_of_ids, sums_are_an_input, sums_of_other_parts,
    };
    static Program r;
    for (size_t i = 0; i < COUNT_OF(spoils); i++) {
        Case c = legal_case(&r);
        int had = c.call.n_operands;
        c.call.operand = c.operand;
        case_expect_legal(&c);
        spoils[i](&c, &r);
        Error err = { "" };
        if (kernel_check(&c.call, &err) || err.text[0] == '\0')
            fail_msg("spoiled program %zu was let through", i);
        if (c.call.n_operands < had)
            c.call.n_operands = had;
        case_free(&c);
    }
    Case c = legal_case(&r);
    c.call.operand = c.operand;
    add_dropout(&c, &r, 0.5f);
    case_expect_legal(&c);
    case_free(&c);
    c = legal_case(&r);
    c.call.operand = c.operand;
    add_gather(&c, &r);
    case_expect_legal(&c);
    case_free(&c);
    c = legal_case(&r);
    c.call.operand = c.operand;
    add_rounding(&c, &r);
    case_expect_legal(&c);
    case_free(&c);
    c = legal_case(&r);
    c.call.operand = c.operand;
    add_sums(&c, &r);
    case_expect_legal(&c);
    case_free(&c);
    c = legal_case(&r);
    c.call.operand = c.operand;
    sums_of_other_parts(&c, &r);
    c.operand[3].dim[0] = 2;            /* now they are as many */
    case_expect_legal(&c);
    case_free(&c);
}

/* A parameter's step, in place or apart: factors turned round at random, with what `variant` says. */
enum { DECAYS = 1, CLEARS = 2, APART = 4, SPOILED = 8, ROUNDS = 16, N_VARIANTS = 32 };

static void add_turned(Program *r, RowOp op, int dst, int a, int b)
{
    if (draw(2))
        add(r, op, dst, b, a);
    else
        add(r, op, dst, a, b);
}

static Case adamw_case(Program *r, int64_t rows, int64_t n, int variant)
{
    enum { GRAD, M, V, P, FACTOR, UNBIAS, KEEP, STEP, N_IN };
    const int out = variant & APART ? N_IN : M;
    *r = (Program){ .p = { .rank = 2, .dim = { rows, n }, .consts = r->consts, .n_temps = 3,
                           .temp_per_row = r->per_row, .instrs = r->instrs,
                           .outputs = 7u << out | (variant & CLEARS ? 1 : 0) } };
    Case c = case_new(KERNEL_row);
    const int64_t one[] = { 1, 1 };
    for (int i = 0; i < (variant & APART ? N_IN + 3 : N_IN); i++)
        case_add(&c, DTYPE_f32, 2, i >= FACTOR && i < N_IN ? one : r->p.dim, ROWS);
    const int rounded = c.call.n_operands;
    if (variant & ROUNDS) {
        case_add(&c, DTYPE_bf16, 2, r->p.dim, ROWS);
        r->p.outputs |= 1u << rounded;
    }
    for (int i = 0; i < c.call.n_operands; i++)
        for (int a = 0; a < 2; a++)
            c.operand[i].stride[a] = c.operand[i].dim[a] == 1 ? 0 : a ? 1 : n;
    for (int64_t e = 0; e < rows * n; e++)
        *element(&c, V, e) *= *element(&c, V, e);       /* a second moment */
    static const float consts[] = { 0.9f, 0.1f, 0.95f, 0.05f, 1e-8f, 0 };
    const int k = c.call.n_operands, t = k + (int)COUNT_OF(consts);
    for (size_t i = 0; i < COUNT_OF(consts); i++)
        set_const(r, consts[i]);
    c.call.row = &r->p;
    add_turned(r, ROW_mul, t, GRAD, FACTOR);
    add_turned(r, ROW_mul, t + 1, M, k);
    add_turned(r, ROW_mul, t + 2, t, k + 1);
    add_turned(r, ROW_add, out, t + 1, t + 2);
    add_turned(r, ROW_mul, t, t, t);
    add_turned(r, ROW_mul, t, t, k + 3);
    add_turned(r, ROW_mul, t + 1, V, k + 2);
    add_turned(r, ROW_add, out + 1, t, t + 1);
    add(r, ROW_sqrt, t, out + 1, 0);
    add_turned(r, ROW_mul, t, t, UNBIAS);
    add_turned(r, variant & SPOILED ? ROW_sub : ROW_add, t, t, k + 4);
    add(r, ROW_div, t, out, t);
    add_turned(r, ROW_mul, t, STEP, t);
    if (variant & DECAYS)
        add_turned(r, ROW_mul, t + 1, P, KEEP);
    add(r, ROW_sub, out + 2, variant & DECAYS ? t + 1 : P, t);
    if (variant & CLEARS)
        add(r, ROW_copy, GRAD, k + 5, 0);
    if (variant & ROUNDS)
        add(r, ROW_round_bf16, rounded, out + 2, 0);
    return c;
}

/* The loop of its own gives the bits of the instructions, and takes no other program. */
static void test_adamw(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = { { 1, 2 }, { 1, 63 }, { 5, 200 }, { 1, 6007 }, { 3, 5000 }, { 2, 4000 } };
    for (size_t i = 0; i < COUNT_OF(sizes) * N_VARIANTS; i++) {
        static Program r;
        const int variant = (int)(i % N_VARIANTS);
        Case c = adamw_case(&r, sizes[i / N_VARIANTS][0], sizes[i / N_VARIANTS][1], variant);
        CASE_EACH_ISA(&c, r.p.outputs, table) {
            assert_int_equal(row_adamw(&c.call).found, !(variant & SPOILED));
            check_against_naive(&c, table, "adamw");
        }
        case_free(&c);
    }
}

/* Programs of random bytes: what the check lets through must run inside its memory. */
static void test_hostile_programs(void **state)
{
    (void)state;
    static Program r;
    int ran = 0;
    for (int i = 0; i < 12000; i++) {
        Case c = legal_case(&r);
        c.call.operand = c.operand;
        for (int64_t k = draw(4); k >= 0; k--) {
            RowInstr *in = &r.instrs[draw(3)];
            uint16_t *field[] = { &in->op, &in->dst, &in->a, &in->b, &in->c, &in->unused };
            *field[draw(6)] = (uint16_t)draw(draw(2) ? 8 : 70);
        }
        if (draw(3) == 0)
            c.operand[draw(2)].stride[draw(2)] = 0;
        if (draw(5) == 0)
            c.operand[draw(2)].dim[draw(2)] = 1;
        Error err = { "" };
        c.call.operand = c.operand;
        if (kernel_check(&c.call, &err)) {
            ran++;
            case_keep(&c);
            for (int isa = 0; isa < N_ISAS; isa++)
                if (isa_brings(isa, c.call.kernel))
                    case_run(&c, kernels_table((Isa)isa), 1);
        }
        case_free(&c);
    }
    assert_true(ran > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_no_columns),
        cmocka_unit_test(test_softmax_in_place),
        cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_norm_gradient),
        cmocka_unit_test(test_changed_norm_gradient),
        cmocka_unit_test(test_smaller_sizes),
        cmocka_unit_test(test_long_runs_are_joined),
        cmocka_unit_test(test_cost_of_own_results),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
