/* Names as pointers: an open-addressed set of strings, and a map keyed by its pointers. */
#include "frontend/intern.h"

#include "base/hash.h"

#include <string.h>

static uint32_t pointer_hash(const char *p)
{
    uint64_t h = (uint64_t)(uintptr_t)p * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32);
}

/* The slot that holds `name` or would. */
static uint32_t slot_of(const struct NameSlot *slots, uint32_t cap, const char *name)
{
    uint32_t i = pointer_hash(name) & (cap - 1);
    while (slots[i].name && slots[i].name != name)
        i = (i + 1) & (cap - 1);
    return i;
}

bool name_map_get(const NameMap *m, const char *name, uint32_t *out)
{
    if (m->cap == 0)
        return false;
    const struct NameSlot *s = &m->slots[slot_of(m->slots, m->cap, name)];
    if (!s->name)
        return false;
    *out = s->value;
    return true;
}

static void grow(NameMap *m, Arena *arena)
{
    uint32_t cap = m->cap ? 2 * m->cap : 16;
    struct NameSlot *slots = arena_array(arena, cap, sizeof *slots);
    for (uint32_t i = 0; i < m->cap; i++)
        if (m->slots[i].name)
            slots[slot_of(slots, cap, m->slots[i].name)] = m->slots[i];
    m->slots = slots;
    m->cap = cap;
}

void name_map_set(NameMap *m, Arena *arena, const char *name, uint32_t value)
{
    if (2 * (m->n + 1) > m->cap)
        grow(m, arena);
    struct NameSlot *s = &m->slots[slot_of(m->slots, m->cap, name)];
    m->n += s->name == NULL;
    *s = (struct NameSlot){ name, value };
}

void name_map_clear(NameMap *m)
{
    if (m->n)
        memset(m->slots, 0, m->cap * sizeof *m->slots);
    m->n = 0;
}

static uint32_t text_slot(const char **slots, uint32_t cap, const char *text, size_t n)
{
    uint32_t i = (uint32_t)hash_bytes(text, n) & (cap - 1);
    while (slots[i] && (strncmp(slots[i], text, n) != 0 || slots[i][n] != 0))
        i = (i + 1) & (cap - 1);
    return i;
}

const char *intern(Intern *in, const char *text, size_t n)
{
    n = strnlen(text, n);
    if (2 * (in->n + 1) > in->cap) {
        uint32_t cap = in->cap ? 2 * in->cap : 256;
        const char **slots = arena_array(in->arena, cap, sizeof *slots);
        for (uint32_t i = 0; i < in->cap; i++)
            if (in->slots[i])
                slots[text_slot(slots, cap, in->slots[i], strlen(in->slots[i]))] = in->slots[i];
        in->slots = slots;
        in->cap = cap;
    }
    const char **s = &in->slots[text_slot(in->slots, in->cap, text, n)];
    if (!*s) {
        *s = arena_strndup(in->arena, text, n);
        in->n++;
    }
    return *s;
}
