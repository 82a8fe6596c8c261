/* What a pass changed, short enough to read: a model of twelve equal layers changes twelve times in
 * the same way. */
#include "codegen/report_parts.h"

#include "base/hash.h"

#include <ctype.h>
#include <string.h>

typedef struct Hunk {
    const char *begin, *end;
    uint64_t kind;                      /* of its text without numbers */
    uint32_t same;                      /* later hunks of this kind; on the first of them */
    bool repeats;
} Hunk;

static const char *line_end(const char *p)
{
    const char *end = strchr(p, '\n');
    return end ? end + 1 : p + strlen(p);
}

/* The lines after the head, every run of digits one mark. */
static uint64_t kind_of(const char *begin, const char *end, Arena *scratch)
{
    char *text = arena_alloc(scratch, (size_t)(end - begin) + 1), *to = text;
    for (const char *p = line_end(begin); p < end;) {
        const bool digit = isdigit((unsigned char)*p) != 0;
        *to++ = digit ? '#' : *p;
        do
            p++;
        while (digit && p < end && isdigit((unsigned char)*p));
    }
    return hash_bytes(text, (size_t)(to - text));
}

static Hunk *hunks_of(const char *diff, uint32_t *n, Arena *scratch)
{
    Hunk *all = NULL;
    uint32_t cap = 0;
    *n = 0;
    for (const char *p = diff; *p;) {
        const char *begin = p;
        p = line_end(p);
        if (strncmp(begin, "@@", 2) != 0)
            continue;
        while (*p && strncmp(p, "@@", 2) != 0)
            p = line_end(p);
        Hunk h = { .begin = begin, .end = p, .kind = kind_of(begin, p, scratch) };
        for (uint32_t i = 0; i < *n && !h.repeats; i++)
            if (!all[i].repeats && all[i].kind == h.kind) {
                all[i].same++;
                h.repeats = true;
            }
        ARENA_PUSH(scratch, all, *n, cap, h);
    }
    return all;
}

void report_change(Buf *out, const char *diff, size_t limit, Arena *scratch)
{
    uint32_t n, left = 0;
    const Hunk *all = hunks_of(diff, &n, scratch);
    const size_t start = out->len;
    for (uint32_t i = 0; i < n; i++) {
        const size_t bytes = (size_t)(all[i].end - all[i].begin);
        if (all[i].repeats)
            continue;
        if (left || out->len - start + bytes > limit) {
            left += 1 + all[i].same;
            continue;
        }
        buf_add(out, all[i].begin, bytes);
        if (all[i].same)
            buf_printf(out, "... and %u more like this\n", all[i].same);
    }
    if (left)
        buf_printf(out, "... and %u other changes: smc compile --dump=DIR writes them all\n", left);
}
