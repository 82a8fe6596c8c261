/* Random programs on random spaces and strides against a naive interpreter (row_program.h): both must agree to the
 * bit, for every instruction set and any split of the tasks (harness.h). */
#include "tests/kernels/row_program.h"

/* A space of 1 to 4 axes with few elements, or one with long rows or with many, and then few of the others: MOST
 * elements are several tiles of the longest rows, and tens of tasks of the shortest. */
static void draw_space(RowProgram *p)
{
    enum { MOST = 20000 };
    int64_t count = 1;
    p->rank = 1 + (int32_t)draw(4);
    for (int a = 0; a < p->rank; a++)
        p->dim[a] = 1 + draw(6);
    p->dim[p->rank - 1] = 1 + (draw(3) ? draw(70) : draw(5) ? draw(700) : draw(9000));
    if (draw(40) == 0)
        p->dim[draw(p->rank)] = 0;
    if (p->rank > 1 && p->dim[p->rank - 1] < 80 && draw(3) == 0)
        p->dim[p->rank - 2] = 1 + draw(400);
    for (int a = 0; a < p->rank; a++)
        count *= p->dim[a];
    while (count > MOST) {
        int64_t *dim = &p->dim[draw(p->rank - 1)];
        const int64_t others = count / *dim;
        *dim = max_i64(1, MOST / others);
        count = others * *dim;
    }
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

/* A register that may be read now; with one value per row, if asked for. */
static int draw_source(const Case *c, const RowProgram *p, int seed, uint32_t readable[], bool row)
{
    int n_regs = c->call.n_operands + p->n_consts + p->n_temps;
    for (;;) {
        int reg = (int)draw(n_regs);
        if (reg != seed && readable[reg] && (!row || program_per_row(c, p, reg)))
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
    static const RowOp gates[] = { ROW_silu, ROW_gelu, ROW_gelu_tanh, ROW_silu_slope, ROW_gelu_slope,
                                   ROW_gelu_tanh_slope };
    bool one = program_per_row(c, p, dst), chained = p->n_instrs > 0 && draw(2);
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
    if (chained && (!row || program_per_row(c, p, last)))
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
    const bool one = program_per_row(c, p, rounded);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_smaller_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
