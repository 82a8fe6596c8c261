/* Tables for terminals. */
#include "codegen/table.h"

#include <string.h>

enum { MAX_COLUMNS = 16 };

void table_row(Table *t, const char *const *cells)
{
    const size_t n = strlen(t->columns);
    for (size_t i = 0; i < n; i++)
        ARENA_PUSH(t->arena, t->cells, t->n_cells, t->cap_cells, cells[i]);
}

void table_print(Buf *out, const Table *t, int indent)
{
    const uint32_t n = (uint32_t)strlen(t->columns);
    int width[MAX_COLUMNS] = { 0 };
    for (uint32_t i = 0; i < t->n_cells; i++)
        if ((int)strlen(t->cells[i]) > width[i % n])
            width[i % n] = (int)strlen(t->cells[i]);
    for (uint32_t first = 0; first < t->n_cells; first += n) {
        uint32_t last = n;
        while (last > 0 && !*t->cells[first + last - 1])
            last--;
        buf_printf(out, "%*s", last ? indent : 0, "");
        for (uint32_t k = 0; k < last; k++) {
            const char *cell = t->cells[first + k];
            const int pad = k + 1 < last ? 2 : 0;
            if (t->columns[k] == 'r')
                buf_printf(out, "%*s%*s", width[k], cell, pad, "");
            else
                buf_printf(out, "%-*s%*s", pad ? width[k] : 0, cell, pad, "");
        }
        buf_putc(out, '\n');
    }
}
