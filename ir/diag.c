/* The sink of the author's mistakes. */
#include "ir/diag.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *title, *text;
} codes[N_DIAGS] = {
#define DIAG(code, title, text) { #code, title, text },
#include "ir/diags.def"
};

const char *diag_code_name(DiagCode c)
{
    CHECK((size_t)c < N_DIAGS, "code %d", (int)c);
    return codes[c].name;
}

const char *diag_code_title(DiagCode c)
{
    CHECK((size_t)c < N_DIAGS, "code %d", (int)c);
    return codes[c].title;
}

const char *diag_code_text(DiagCode c)
{
    CHECK((size_t)c < N_DIAGS, "code %d", (int)c);
    return codes[c].text;
}

bool diag_code_from_name(const char *name, DiagCode *out)
{
    for (size_t i = 0; i < N_DIAGS; i++)
        if (strcmp(name, codes[i].name) == 0) {
            *out = (DiagCode)i;
            return true;
        }
    return false;
}

void diag_init(DiagSink *s, Arena *arena)
{
    *s = (DiagSink){ .arena = arena };
}

uint32_t diag_file(DiagSink *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i], name) == 0)
            return i;
    ARENA_PUSH(s->arena, s->files, s->n_files, s->cap_files, arena_strdup(s->arena, name));
    return s->n_files - 1;
}

/* Puts the key into the set of those seen; false when it is there already.  A loop of the model
 * repeats a mistake thousands of times, so this must not walk the list. */
static bool insert_key(uint64_t *keys, uint32_t cap, uint64_t key)
{
    uint32_t at = (uint32_t)key & (cap - 1);
    for (; keys[at]; at = (at + 1) & (cap - 1))
        if (keys[at] == key)
            return false;
    keys[at] = key;
    return true;
}

static bool first_time(DiagSink *s, uint64_t key)
{
    if (2 * (s->n + 1) > s->cap_keys) {
        uint32_t cap = s->cap_keys ? 2 * s->cap_keys : 64;
        uint64_t *keys = arena_array(s->arena, cap, sizeof *keys);
        for (uint32_t i = 0; i < s->cap_keys; i++)
            if (s->keys[i])
                insert_key(keys, cap, s->keys[i]);
        s->keys = keys;
        s->cap_keys = cap;
    }
    return insert_key(s->keys, s->cap_keys, key);
}

static void diag_add(DiagSink *s, Span at, DiagCode code, bool warning, const char *fmt, va_list ap)
{
    const char *text = arena_vprintf(s->arena, fmt, ap);
    const uint32_t place[] = { at.file, at.line, at.column, at.length, (uint32_t)code, warning };
    uint64_t key = hash_seeded(text, strlen(text), hash_bytes(place, sizeof place));
    s->repeated = !first_time(s, key | 1);              /* 0 marks a free slot */
    if (s->repeated)
        return;
    Diag d = { .code = code, .warning = warning, .span = at, .text = text };
    ARENA_PUSH(s->arena, s->diags, s->n, s->cap, d);
    if (!warning)
        s->n_errors++;
}

void diag_error(DiagSink *s, Span at, DiagCode code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(s, at, code, false, fmt, ap);
    va_end(ap);
}

void diag_warning(DiagSink *s, Span at, DiagCode code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(s, at, code, true, fmt, ap);
    va_end(ap);
}

void diag_label(DiagSink *s, const char *fmt, ...)
{
    if (s->repeated)
        return;
    CHECK(s->n > 0, "a label before any diagnostic");
    va_list ap;
    va_start(ap, fmt);
    s->diags[s->n - 1].label = arena_vprintf(s->arena, fmt, ap);
    va_end(ap);
}

void diag_note(DiagSink *s, Span at, const char *fmt, ...)
{
    if (s->repeated)
        return;
    CHECK(s->n > 0, "a note before any diagnostic");
    va_list ap;
    va_start(ap, fmt);
    DiagNote note = { .span = at, .text = arena_vprintf(s->arena, fmt, ap) };
    va_end(ap);
    Diag *d = &s->diags[s->n - 1];
    ARENA_PUSH(s->arena, d->notes, d->n_notes, d->cap_notes, note);
}

static int compare_u32(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

/* Those at one place stay in the order in which they came: their addresses tell it. */
static int compare_diags(const void *a, const void *b)
{
    const Diag *x = *(const Diag *const *)a, *y = *(const Diag *const *)b;
    int c = compare_u32(x->span.file, y->span.file);
    if (c == 0)
        c = compare_u32(x->span.line, y->span.line);
    if (c == 0)
        c = compare_u32(x->span.column, y->span.column);
    return c ? c : x < y ? -1 : x > y;
}

void diag_sort(DiagSink *s)
{
    if (s->n < 2)
        return;
    Diag **order = arena_array(s->arena, s->n, sizeof(Diag *));
    Diag *sorted = arena_array(s->arena, s->n, sizeof *sorted);
    for (uint32_t i = 0; i < s->n; i++)
        order[i] = &s->diags[i];
    qsort(order, s->n, sizeof(Diag *), compare_diags);
    for (uint32_t i = 0; i < s->n; i++)
        sorted[i] = *order[i];
    s->diags = sorted;
    s->cap = s->n;
}
