/* Row programs of tests: a program with room for its instructions, and the operands of a call. */
#ifndef TESTS_KERNELS_ROW_PROGRAM_H
#define TESTS_KERNELS_ROW_PROGRAM_H

#include "tests/kernels/harness.h"

#include "runtime/kernels/row.h"

typedef struct Program {
    RowProgram p;
    uint32_t consts[MAX_ROW_CONSTS];
    uint8_t per_row[MAX_ROW_REGS];
    RowInstr instrs[MAX_ROW_INSTRS];
} Program;

/* An empty program over a space that the caller sets; `r` keeps what it points to. */
void program_new(Program *r);

/* A call over rows of n elements, whose operands are all of the space, and of which those of `outputs` are
 * written; its program `r` is still without instructions. */
Case program_case(Program *r, int64_t rows, int64_t n, int n_operands, uint32_t outputs);

/* Adds an instruction; operations of one input leave out b. */
void program_add(Program *r, RowOp op, int dst, int a, int b);

/* Adds a constant. */
void program_const(Program *r, float value);

/* Registers are operands, then constants, then temporaries.  Has this one a single value for a row? */
bool program_per_row(const Case *c, const RowProgram *p, int reg);

/* Runs the call's program over copies of what the operands held at first, by an interpreter that goes through
 * the space one element at a time, with the instructions' own functions: all memory must have the same bits, NaNs
 * aside.  For the body of CASE_EACH_ISA. */
void check_against_naive(const Case *c, const KernelTable *table, const char *what);

#endif
