/* Unified diffs of graph text, up to the numbers of values.
 *
 * The lines are aligned by Myers' algorithm in its linear-space form: from both ends at once, as far
 * as D edits reach, until the two meet; then the same on either side of the meeting point. */
#include "codegen/diff.h"

#include "base/check.h"
#include "base/hash.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 3, MOST_EDITS = 6000 };    /* MOST_EDITS: from each end */
#define NONE UINT32_MAX

typedef struct Lines {
    const char **text;
    uint32_t n;
    uint64_t *key;                      /* equal for lines that may be aligned */
    uint64_t *kind;                     /* equal for nodes of one op, type and place in the source */
} Lines;

typedef struct Diff {
    Arena *scratch;
    Lines a, b;
    uint32_t *match;                    /* line of a -> line of b, or NONE */
    int *forward, *backward;            /* by diagonal: how far the edits so far reach; the pointers
                                           stand in the middle */
    uint32_t *renamed;                  /* old number -> new number, or NONE */
    uint32_t n_renamed;
} Diff;

/* ---- lines ------------------------------------------------------------------------------------ */

/* What later passes append to a line. */
static bool at_tail(const char *s)
{
    static const char *const tails[] = { " group=", " place=", " offset=", " live=" };
    for (size_t k = 0; k < COUNT_OF(tails); k++)
        if (strncmp(s, tails[k], strlen(tails[k])) == 0)
            return true;
    return false;
}

/* A reference to a value; *number is what it names, the result what follows it. */
static const char *take_value(const char *s, uint32_t *number)
{
    char *end;
    if (s[0] != '%' || !isdigit((unsigned char)s[1]))
        return NULL;
    *number = (uint32_t)strtoul(s + 1, &end, 10);
    return end;
}

static uint64_t line_key(const char *s, Buf *skeleton)
{
    buf_clear(skeleton);
    while (*s && !at_tail(s)) {
        uint32_t number;
        const char *after = take_value(s, &number);
        buf_putc(skeleton, *s);
        s = after ? after : s + 1;
    }
    return hash_bytes(skeleton->data, skeleton->len);
}

/* 0 for what is no node. */
static uint64_t line_kind(const char *s)
{
    uint32_t number;
    const char *op = strstr(s, " = "), *type = strstr(s, " : ");
    if (!take_value(s, &number) || !op || !type || op > type)
        return 0;
    size_t n = strcspn(type, "\n");
    for (size_t i = 0; i < n; i++)
        if (at_tail(type + i))
            n = i;
    return hash_seeded(type, n, hash_bytes(op, strcspn(op, "("))) | 1;
}

static Lines split(const char *text, Arena *scratch)
{
    Lines l = { 0 };
    uint32_t cap = 0;
    Buf skeleton = { 0 };
    for (const char *s = text; *s;) {
        const size_t n = strcspn(s, "\n");
        ARENA_PUSH(scratch, l.text, l.n, cap, arena_strndup(scratch, s, n));
        s += n + (s[n] == '\n');
    }
    l.key = arena_array(scratch, l.n, sizeof *l.key);
    l.kind = arena_array(scratch, l.n, sizeof *l.kind);
    for (uint32_t i = 0; i < l.n; i++) {
        l.key[i] = line_key(l.text[i], &skeleton);
        l.kind[i] = line_kind(l.text[i]);
    }
    buf_free(&skeleton);
    return l;
}

/* ---- alignment -------------------------------------------------------------------------------- */

typedef struct Box {
    int a0, a1, b0, b1;                 /* lines [a0, a1) of a and [b0, b1) of b */
} Box;

/* Where diagonal k comes to with one more edit, and on along equal lines. */
static int step(const Diff *d, const Box *box, const int *reach, int k, int edits, bool backward)
{
    const int n = box->a1 - box->a0, m = box->b1 - box->b0;
    const bool down = k == -edits || (k != edits && reach[k - 1] < reach[k + 1]);
    int x = down ? reach[k + 1] : reach[k - 1] + 1;
    for (; x < n && x - k < m; x++) {
        const int i = backward ? box->a1 - 1 - x : box->a0 + x;
        const int j = backward ? box->b1 - 1 - (x - k) : box->b0 + x - k;
        if (d->a.key[i] != d->b.key[j])
            break;
    }
    return x;
}

/* A point on a shortest way through the box; false when it has too many edits. */
static bool meet(const Diff *d, const Box *box, int *x, int *y)
{
    const int n = box->a1 - box->a0, m = box->b1 - box->b0, delta = n - m;
    const bool odd = delta & 1;
    d->forward[1] = d->backward[1] = 0;
    for (int edits = 0; edits <= (n + m + 1) / 2 && edits < MOST_EDITS; edits++) {
        const int low = -edits + 2 * (edits > m ? edits - m : 0);
        const int high = edits - 2 * (edits > n ? edits - n : 0);
        for (int k = low; k <= high; k += 2) {
            const int at = d->forward[k] = step(d, box, d->forward, k, edits, false);
            const bool crosses = odd && abs(delta - k) < edits;
            if (crosses && at + d->backward[delta - k] >= n) {
                *x = box->a0 + at;
                *y = box->b0 + at - k;
                return true;
            }
        }
        for (int k = low; k <= high; k += 2) {
            const int at = d->backward[k] = step(d, box, d->backward, k, edits, true);
            const bool crosses = !odd && abs(delta - k) <= edits;
            if (crosses && at + d->forward[delta - k] >= n) {
                *x = box->a1 - at;
                *y = box->b1 - (at - k);
                return true;
            }
        }
    }
    return false;
}

static void align(Diff *d, Box box)
{
    int x, y;
    while (box.a0 < box.a1 && box.b0 < box.b1 && d->a.key[box.a0] == d->b.key[box.b0])
        d->match[box.a0++] = (uint32_t)box.b0++;
    while (box.a0 < box.a1 && box.b0 < box.b1 && d->a.key[box.a1 - 1] == d->b.key[box.b1 - 1])
        d->match[--box.a1] = (uint32_t)--box.b1;
    if (box.a0 == box.a1 || box.b0 == box.b1 || !meet(d, &box, &x, &y))
        return;
    align(d, (Box){ box.a0, x, box.b0, y });
    align(d, (Box){ x, box.a1, y, box.b1 });
}

static void align_all(Diff *d)
{
    const size_t width = 2 * ((size_t)d->a.n + d->b.n) + 8;
    d->match = arena_array(d->scratch, d->a.n, sizeof *d->match);
    d->forward = (int *)arena_array(d->scratch, width, sizeof(int)) + width / 2;
    d->backward = (int *)arena_array(d->scratch, width, sizeof(int)) + width / 2;
    for (uint32_t i = 0; i < d->a.n; i++)
        d->match[i] = NONE;
    align(d, (Box){ 0, (int)d->a.n, 0, (int)d->b.n });
}

/* ---- numbers ---------------------------------------------------------------------------------- */

/* Values that a line defines: those before its " = ". */
static void learn_names(Diff *d, const char *old, const char *new_)
{
    uint32_t from, to;
    for (;;) {
        old = take_value(old, &from);
        new_ = take_value(new_, &to);
        if (!old || !new_)
            return;
        if (from < d->n_renamed)
            d->renamed[from] = to;
        if (strncmp(old, ", ", 2) != 0 || strncmp(new_, ", ", 2) != 0)
            return;
        old += 2;
        new_ += 2;
    }
}

/* A node that only got other inputs or attributes keeps its readers: of the lines between two
 * aligned ones, those of one kind are taken for the same value. */
static void learn_replaced(Diff *d)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < d->a.n; i++) {
        if (d->match[i] != NONE) {
            j = d->match[i] + 1;
            continue;
        }
        uint32_t end = i;
        while (end < d->a.n && d->match[end] == NONE)
            end++;
        const uint32_t stop = end < d->a.n ? d->match[end] : d->b.n;
        uint32_t k = j;
        while (d->a.kind[i] && k < stop && d->b.kind[k] != d->a.kind[i])
            k++;
        if (d->a.kind[i] && k < stop) {
            learn_names(d, d->a.text[i], d->b.text[k]);
            j = k + 1;
        }
    }
}

static void find_names(Diff *d)
{
    for (uint32_t i = 0; i < d->a.n; i++)
        for (const char *s = d->a.text[i]; *s; s++) {
            uint32_t number;
            if (take_value(s, &number) && number < UINT32_MAX / 2 && number >= d->n_renamed)
                d->n_renamed = number + 1;
        }
    /* A graph has no more values than lines by much; a larger number is no value of it. */
    if (d->n_renamed > 8 * d->a.n + 8)
        d->n_renamed = 8 * d->a.n + 8;
    d->renamed = arena_array(d->scratch, d->n_renamed, sizeof *d->renamed);
    for (uint32_t i = 0; i < d->n_renamed; i++)
        d->renamed[i] = NONE;
    for (uint32_t i = 0; i < d->a.n; i++)
        if (d->match[i] != NONE)
            learn_names(d, d->a.text[i], d->b.text[d->match[i]]);
    learn_replaced(d);
}

/* Old lines from here on speak in new numbers. */
static void rename_lines(Diff *d)
{
    Buf out = { 0 };
    for (uint32_t i = 0; i < d->a.n; i++) {
        buf_clear(&out);
        for (const char *s = d->a.text[i]; *s;) {
            uint32_t number;
            const char *after = take_value(s, &number);
            if (!after)
                buf_putc(&out, *s++);
            else if (number < d->n_renamed && d->renamed[number] != NONE)
                buf_printf(&out, "%%%u", d->renamed[number]);
            else
                buf_printf(&out, "%%%u'", number);
            s = after ? after : s;
        }
        d->a.text[i] = arena_strdup(d->scratch, out.len ? out.data : "");
    }
    buf_free(&out);
}

/* Aligned lines that are not the same after all. */
static void part_changed(Diff *d)
{
    for (uint32_t i = 0; i < d->a.n; i++)
        if (d->match[i] != NONE && strcmp(d->a.text[i], d->b.text[d->match[i]]) != 0)
            d->match[i] = NONE;
}

/* ---- hunks ------------------------------------------------------------------------------------ */

/* One step of the walk through both texts at once: past a common line, or past a changed one. */
typedef struct Walk {
    uint32_t i, j;
} Walk;

static bool at_common(const Diff *d, Walk w)
{
    return w.i < d->a.n && d->match[w.i] == w.j;
}

static bool at_end(const Diff *d, Walk w)
{
    return w.i == d->a.n && w.j == d->b.n;
}

/* Removals come before additions. */
static bool at_removed(const Diff *d, Walk w)
{
    return w.i < d->a.n && d->match[w.i] == NONE;
}

static void advance(const Diff *d, Walk *w)
{
    const bool common = at_common(d, *w), removed = at_removed(d, *w);
    w->i += common || removed;
    w->j += common || !removed;
}

/* From a changed line to behind the last one that is within two contexts of the one before. */
static Walk hunk_end(const Diff *d, Walk w)
{
    Walk end = w;
    uint32_t common = 0;
    while (!at_end(d, w) && common <= 2 * CONTEXT) {
        common = at_common(d, w) ? common + 1 : 0;
        advance(d, &w);
        if (common == 0)
            end = w;
    }
    return end;
}

static void print_hunk(Buf *out, const Diff *d, Walk from, Walk to)
{
    uint32_t before = CONTEXT, after = CONTEXT;
    before = from.i < before ? from.i : before;
    before = from.j < before ? from.j : before;
    after = d->a.n - to.i < after ? d->a.n - to.i : after;
    const uint32_t n_old = to.i + after - (from.i - before);
    const uint32_t n_new = to.j + after - (from.j - before);
    buf_printf(out, "@@ -%u,%u +%u,%u @@\n", from.i - before + (n_old > 0), n_old,
               from.j - before + (n_new > 0), n_new);
    for (uint32_t k = 0; k < before; k++)
        buf_printf(out, " %s\n", d->b.text[from.j - before + k]);
    for (Walk w = from; w.i < to.i || w.j < to.j; advance(d, &w))
        if (at_removed(d, w))
            buf_printf(out, "-%s\n", d->a.text[w.i]);
        else
            buf_printf(out, "%c%s\n", at_common(d, w) ? ' ' : '+', d->b.text[w.j]);
    for (uint32_t k = 0; k < after; k++)
        buf_printf(out, " %s\n", d->b.text[to.j + k]);
}

static void print_hunks(Buf *out, const Diff *d, const char *old_name, const char *new_name)
{
    bool any = false;
    for (Walk w = { 0, 0 }; !at_end(d, w);) {
        if (at_common(d, w)) {
            advance(d, &w);
            continue;
        }
        const Walk end = hunk_end(d, w);
        if (!any)
            buf_printf(out, "--- %s\n+++ %s\n", old_name, new_name);
        any = true;
        print_hunk(out, d, w, end);
        w = end;
    }
}

void graph_diff(Buf *out, const char *old_name, const char *old_text, const char *new_name,
                const char *new_text, Arena *scratch)
{
    Diff d = { .scratch = scratch, .a = split(old_text, scratch), .b = split(new_text, scratch) };
    align_all(&d);
    find_names(&d);
    rename_lines(&d);
    part_changed(&d);
    print_hunks(out, &d, old_name, new_name);
}
