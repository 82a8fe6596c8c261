/* A plan being written: its tables as growing arrays, then one run of bytes.
 *
 * Records refer to each other by index and to names by offset into the string table, exactly as in
 * the file (runtime/plan.h), so writing is a header and eleven copies. */
#ifndef CODEGEN_PLAN_BUILDER_H
#define CODEGEN_PLAN_BUILDER_H

#include "base/arena.h"
#include "base/buf.h"
#include "runtime/plan.h"

typedef struct PlanBuilder {
    Arena *arena;
    const char *model;
    const char *command, *configs;      /* as in the header; NULL: not known */
    int64_t context;
    PlanSymbol *symbols;
    uint32_t n_symbols, cap_symbols;
    PlanStorage *storages;
    uint32_t n_storages, cap_storages;
    PlanProgram *programs;
    uint32_t n_programs, cap_programs;
    PlanOutput *outputs;
    uint32_t n_outputs, cap_outputs;
    PlanInstr *instrs;
    uint32_t n_instrs, cap_instrs;
    uint32_t *instr_nodes;              /* of each instruction, the node of its program's graph that
                                           it came from; for reports, not in the file */
    uint32_t n_instr_nodes, cap_instr_nodes;
    PlanOperand *operands;
    uint32_t n_operands, cap_operands;
    PlanRow *rows;
    uint32_t n_rows, cap_rows;
    PlanRowConst *row_consts;
    uint32_t n_row_consts, cap_row_consts;
    uint8_t *row_temps;
    uint32_t n_row_temps, cap_row_temps;
    RowInstr *row_instrs;
    uint32_t n_row_instrs, cap_row_instrs;
    Buf strings;
    uint32_t *string_slots;             /* open-addressed: offset + 1 of an interned string, or 0 */
    uint32_t n_strings, cap_strings;
} PlanBuilder;

void plan_builder_init(PlanBuilder *b, Arena *arena, const char *model);
/* Offset of `s` in the string table; equal strings are kept once. */
uint32_t plan_builder_string(PlanBuilder *b, const char *s);
/* The file's bytes.  False when memory ran out. */
bool plan_builder_write(PlanBuilder *b, Buf *out);
void plan_builder_free(PlanBuilder *b);

#endif
