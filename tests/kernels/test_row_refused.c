/* Programs that the check must refuse, one for each thing that it looks at; and of programs of random bytes, those
 * that it lets through run inside their memory. */
#include "tests/kernels/row_program.h"

/* x: operand 0, y: operand 1 (output), a constant 2, a full temporary 3, a per-row one 4. */
static Case legal_case(Program *r)
{
    Case c = program_case(r, 4, 8, 2, 2);
    program_const(r, 2);
    r->p.n_temps = 2;
    r->per_row[1] = 1;
    program_add(r, ROW_exp, 3, 0, 0);
    program_add(r, ROW_sum, 4, 3, 0);
    program_add(r, ROW_div, 1, 3, 4);
    return c;
}

typedef void Change(Case *c, Program *r);

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

static void add_half_dropout(Case *c, Program *r) { add_dropout(c, r, 0.5f); }
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

static void sums_of_as_many_parts(Case *c, Program *r)
{
    sums_of_other_parts(c, r);
    c->operand[3].dim[0] = 2;
}

static Change *const spoils[] = {
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

/* With ops that a program may have besides. */
static void test_accepted(void **state)
{
    (void)state;
    static Change *const additions[] = { add_half_dropout, add_gather, add_rounding, add_sums, sums_of_as_many_parts };
    static Program r;
    for (size_t i = 0; i < COUNT_OF(additions); i++) {
        Case c = legal_case(&r);
        c.call.operand = c.operand;
        additions[i](&c, &r);
        case_expect_legal(&c);
        case_free(&c);
    }
}

static void test_refused(void **state)
{
    (void)state;
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
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
