/* `smc summary`: tables for people, JSON for machines. */
#include "codegen/summary.h"

#include "codegen/show.h"
#include "codegen/table.h"

#include <inttypes.h>
#include <string.h>

/* ---- numbers ---------------------------------------------------------------------------------- */

/* "1.2 G": by thousands. */
static const char *show_operations(Arena *a, double n)
{
    static const char units[] = " KMGTPE";
    size_t unit = 0;
    while (n >= 999.95 && units[unit + 1]) {
        n /= 1000;
        unit++;
    }
    return unit ? arena_printf(a, "%.1f %c", n, units[unit]) : arena_printf(a, "%.0f", n);
}

static const char *blank_zero(const char *text, bool zero)
{
    return zero ? "" : text;
}

/* ---- blocks ----------------------------------------------------------------------------------- */

static bool same_sum(const BlockSum *a, const BlockSum *b)
{
    return a->parameters == b->parameters && a->activations == b->activations
        && a->cache == b->cache && !(a->flops < b->flops) && !(a->flops > b->flops);
}

/* Bytes of a name before its number, 0 when it has none. */
static size_t stem(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

/* Do two blocks differ in nothing but the number? */
static bool same_tree(const Summary *s, uint32_t a, uint32_t b, bool top)
{
    const Block *x = &s->blocks[a], *y = &s->blocks[b];
    const bool alike = top ? stem(x->name) && stem(x->name) == stem(y->name)
            && strncmp(x->name, y->name, stem(x->name)) == 0
        : strcmp(x->name, y->name) == 0;
    if (!alike || !same_sum(&x->sum, &y->sum))
        return false;
    uint32_t c = x->child, d = y->child;
    for (; c && d; c = s->blocks[c].sibling, d = s->blocks[d].sibling)
        if (!same_tree(s, c, d, false))
            return false;
    return c == d;
}

/* Blocks that only move data have no row. */
static void block_row(const Summary *s, Table *t, const char *name, int depth, uint32_t n,
                      const BlockSum *sum)
{
    static const BlockSum nothing = { 0 };
    if (same_sum(sum, &nothing))
        return;
    TABLE_ROW(t, arena_printf(s->arena, "%*s%s", 2 * depth, "", name),
              n > 1 ? arena_printf(s->arena, "%u x", n) : "",
              blank_zero(show_count(s->arena, sum->parameters), sum->parameters == 0),
              blank_zero(show_operations(s->arena, sum->flops), sum->flops < 1),
              blank_zero(show_bytes(s->arena, sum->activations), sum->activations == 0),
              blank_zero(show_bytes(s->arena, sum->cache), sum->cache == 0));
}

static void add_blocks(const Summary *s, Table *t, uint32_t first, int depth)
{
    for (uint32_t b = first, next; b; b = next) {
        uint32_t n = 1, last = b;
        for (next = s->blocks[b].sibling; next && same_tree(s, b, next, true);
             next = s->blocks[next].sibling) {
            last = next;
            n++;
        }
        const char *name = s->blocks[b].name;
        if (n > 1)
            name = arena_printf(s->arena, "%s..%s", name,
                                s->blocks[last].name + stem(s->blocks[last].name) + 1);
        block_row(s, t, name, depth, n, &s->blocks[b].sum);
        add_blocks(s, t, s->blocks[b].child, depth + 1);
    }
}

/* What belongs to no block: the model less its blocks. */
static BlockSum outside_blocks(const Summary *s)
{
    BlockSum rest = s->blocks[0].sum;
    for (uint32_t c = s->blocks[0].child; c; c = s->blocks[c].sibling) {
        rest.parameters -= s->blocks[c].sum.parameters;
        rest.flops -= s->blocks[c].sum.flops;
        rest.activations -= s->blocks[c].sum.activations;
        rest.cache -= s->blocks[c].sum.cache;
    }
    return rest;
}

static void print_blocks(Buf *out, const Summary *s)
{
    Table t = { .arena = s->arena, .columns = "lrrrrr" };
    const BlockSum rest = outside_blocks(s);
    TABLE_ROW(&t, "block", "", "parameters", "FLOPs", "activations", "cache/token");
    block_row(s, &t, s->blocks[0].name, 0, 1, &s->blocks[0].sum);
    add_blocks(s, &t, s->blocks[0].child, 1);
    block_row(s, &t, "(outside blocks)", 1, 1, &rest);
    table_print(out, &t, 0);
    buf_puts(out, "\nEach line includes the blocks inside of it; after `N x` it is for one of the N.\n"
                  "FLOPs are those of one forward pass, activations what training keeps for the "
                  "backward\npass, cache/token what generation keeps for each position.\n");
}

/* ---- programs --------------------------------------------------------------------------------- */

static double ratio(const ProgramSum *p)
{
    return p->bound > 0 ? (double)p->pool / (double)p->bound : 1;
}

static void print_programs(Buf *out, const Summary *s)
{
    Table t = { .arena = s->arena, .columns = "lrrrrrrrr" };
    TABLE_ROW(&t, "program", "pool", "bound", "ratio", "plain sum", "traffic", "FLOPs",
              "instructions", "barriers");
    for (uint32_t i = 0; i < s->n_programs; i++) {
        const ProgramSum *p = &s->programs[i];
        TABLE_ROW(&t, program_name(p->program), show_bytes(s->arena, p->pool),
                  show_bytes(s->arena, p->bound), arena_printf(s->arena, "%.4f", ratio(p)),
                  show_bytes(s->arena, p->plain), show_bytes(s->arena, p->traffic),
                  show_operations(s->arena, p->flops), show_count(s->arena, p->instructions),
                  show_count(s->arena, p->barriers));
    }
    table_print(out, &t, 0);
    buf_printf(out, "\nBesides the pool: parameters %s", show_bytes(s->arena, s->parameter_bytes));
    if (s->optimizer_bytes)
        buf_printf(out, ", optimizer %s", show_bytes(s->arena, s->optimizer_bytes));
    if (s->cache_bytes)
        buf_printf(out, ", cache %s", show_bytes(s->arena, s->cache_bytes));
    buf_puts(out, ".\n");
}

static const char *place(Arena *arena, const char *op, const char *line, const char *path)
{
    return arena_printf(arena, "%s%s%s%s%s", op, *line ? " " : "", line, *path ? " " : "", path);
}

/* Of training, where there is any: else of the program with the largest pool. */
static void print_peak(Buf *out, const Summary *s)
{
    const ProgramSum *p = s->programs;
    for (uint32_t i = 1; i < s->n_programs && p->program != PROGRAM_train; i++)
        if (s->programs[i].program == PROGRAM_train || s->programs[i].pool > p->pool)
            p = &s->programs[i];
    if (s->n_programs == 0 || p->n_peak == 0)
        return;
    Table t = { .arena = s->arena, .columns = "rrlll" };
    for (uint32_t i = 0; i < p->n_peak; i++) {
        const PeakLine *l = &p->peak[i];
        TABLE_ROW(&t, show_bytes(s->arena, l->bytes), arena_printf(s->arena, "%u x", l->tensors),
                  l->type, l->op, place(s->arena, l->line, "", l->path));
    }
    buf_printf(out, "\nMost is alive in program %s at %s; the largest then:\n\n",
               program_name(p->program), place(s->arena, p->peak_op, p->peak_line, p->peak_path));
    table_print(out, &t, 2);
}

void summary_print(Buf *out, const Summary *s)
{
    buf_puts(out, s->model->name);
    for (uint32_t i = 0; i < s->n_symbols; i++)
        buf_printf(out, "%s%s = %" PRId64, i ? ", " : " at ", s->symbols[i], s->sizes[i]);
    buf_puts(out, "\n\n");
    print_blocks(out, s);
    buf_putc(out, '\n');
    print_programs(out, s);
    print_peak(out, s);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static void json_block(Buf *out, const Block *b)
{
    buf_puts(out, "{\"path\": ");
    show_json_string(out, b->path);
    buf_printf(out, ", \"parameters\": %" PRId64 ", \"flops\": %.0f, \"activation_bytes\": %" PRId64
               ", \"cache_bytes_per_token\": %" PRId64 "}", b->sum.parameters, b->sum.flops,
               b->sum.activations, b->sum.cache);
}

static void json_peak(Buf *out, const ProgramSum *p)
{
    for (uint32_t i = 0; i < p->n_peak; i++) {
        const PeakLine *l = &p->peak[i];
        buf_printf(out, "%s{\"bytes\": %" PRId64 ", \"tensors\": %u, \"op\": \"%s\", \"type\": ",
                   i ? ", " : "", l->bytes, l->tensors, l->op);
        show_json_string(out, l->type);
        buf_puts(out, ", \"line\": ");
        show_json_string(out, l->line);
        buf_puts(out, ", \"path\": ");
        show_json_string(out, l->path);
        buf_putc(out, '}');
    }
}

static void json_program(Buf *out, const ProgramSum *p)
{
    buf_printf(out, "{\"program\": \"%s\", \"pool_bytes\": %" PRId64 ", \"bound_bytes\": %" PRId64
               ", \"ratio\": %.6f, \"plain_bytes\": %" PRId64 ", \"traffic_bytes\": %" PRId64
               ", \"flops\": %.0f, \"instructions\": %u, \"barriers\": %u, \"peak\": [",
               program_name(p->program), p->pool, p->bound, ratio(p), p->plain, p->traffic,
               p->flops, p->instructions, p->barriers);
    json_peak(out, p);
    buf_puts(out, "]}");
}

void summary_json(Buf *out, const Summary *s)
{
    buf_puts(out, "{\"model\": ");
    show_json_string(out, s->model->name);
    buf_puts(out, ", \"sizes\": {");
    for (uint32_t i = 0; i < s->n_symbols; i++) {
        buf_puts(out, i ? ", " : "");
        show_json_string(out, s->symbols[i]);
        buf_printf(out, ": %" PRId64, s->sizes[i]);
    }
    buf_puts(out, "},\n \"blocks\": [");
    for (uint32_t i = 0; i < s->n_blocks; i++) {
        buf_puts(out, i ? ",\n  " : "\n  ");
        json_block(out, &s->blocks[i]);
    }
    buf_puts(out, "],\n \"programs\": [");
    for (uint32_t i = 0; i < s->n_programs; i++) {
        buf_puts(out, i ? ",\n  " : "\n  ");
        json_program(out, &s->programs[i]);
    }
    buf_printf(out, "],\n \"parameter_bytes\": %" PRId64 ", \"optimizer_bytes\": %" PRId64
               ", \"cache_bytes\": %" PRId64 "}\n", s->parameter_bytes, s->optimizer_bytes,
               s->cache_bytes);
}
