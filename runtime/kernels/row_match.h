/* Finds runs of instructions in row programs, for loops that stand for all of them (row_norm.inc).
 *
 * A formula is a list of lines, each of which an instruction has to match, one after the other.  What it names is a
 * symbol: the result of a line before it, or else an input, which stands for one register wherever it is named.  A
 * register that was written again in between is another value, and does not match; factors and terms may stand in
 * either order. */
#ifndef KERNELS_ROW_MATCH_H
#define KERNELS_ROW_MATCH_H

#include "runtime/kernels/row.h"

enum { MAX_ROW_SYMBOLS = 40, NO_ROW_REG = UINT16_MAX };

typedef struct RowLine {
    uint8_t op, dst, a, b;              /* RowOp and symbols; b of an op of one input is not looked at */
} RowLine;

typedef struct RowMatch {
    const RowProgram *p;
    int32_t begin, end;                 /* instructions found so far: [begin, end) */
    uint16_t reg[MAX_ROW_SYMBOLS];      /* NO_ROW_REG: not met yet */
    uint8_t held[MAX_ROW_REGS];         /* the symbol, plus one, whose result a register holds; 0: none */
} RowMatch;

RowMatch row_match_begin(const RowProgram *p, int32_t at);

/* Takes the instructions that follow; false, and nothing changed, where they are others. */
bool row_match(RowMatch *m, int32_t n_lines, const RowLine *line);

/* Does nobody outside of what was found read results but those of the symbols in `stored` (bit i: symbol i)?  Of
 * registers below `n_operands`, which are memory, everybody might. */
bool row_match_hides(const RowMatch *m, int32_t n_operands, uint32_t stored);

#endif
