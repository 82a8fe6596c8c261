/* One pointer for each distinct name, and a map from names to numbers. */
#ifndef FRONTEND_INTERN_H
#define FRONTEND_INTERN_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* Maps interned pointers to numbers. A zeroed one is empty. */
typedef struct NameMap {
    struct NameSlot { const char *name; uint32_t value; } *slots;
    uint32_t n, cap;                    /* cap: a power of two, or 0 */
} NameMap;

bool name_map_get(const NameMap *m, const char *name, uint32_t *out);
void name_map_set(NameMap *m, Arena *arena, const char *name, uint32_t value);
void name_map_clear(NameMap *m);        /* keeps the memory */

typedef struct Intern {
    Arena *arena;
    const char **slots;
    uint32_t n, cap;
} Intern;

const char *intern(Intern *in, const char *text, size_t n);

#endif
