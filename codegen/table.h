/* Tables for terminals: cells in rows, columns as wide as their widest cell. */
#ifndef CODEGEN_TABLE_H
#define CODEGEN_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

typedef struct Table {
    Arena *arena;                       /* cells are not copied; they live at least as long */
    const char *columns;                /* a letter each: 'l' to the left, 'r' to the right */
    const char **cells;
    uint32_t n_cells, cap_cells;
} Table;

/* One row; as many cells as there are columns. */
void table_row(Table *t, const char *const *cells);
#define TABLE_ROW(t, ...) table_row((t), (const char *const[]){ __VA_ARGS__ })

/* Each line begins with `indent` blanks, columns stand two apart, no line ends in blanks. */
void table_print(Buf *out, const Table *t, int indent);

#endif
