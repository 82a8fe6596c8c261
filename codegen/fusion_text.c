/* `smc compile --dump=fusion`: what fusion did to a program, for people. */
#include "codegen/fusion_text.h"

#include "codegen/lower.h"
#include "codegen/show.h"
#include "codegen/table.h"
#include "passes/fusion_report.h"
#include "passes/norm.h"

#include <string.h>

typedef struct FusionText {
    Buf *out;
    const Graph *g;
    Arena *arena;
    FusionReport report;
    PlanBuilder plan;
} FusionText;

/* ---- head ------------------------------------------------------------------------------------- */

static void print_sizes(Buf *out, const Graph *g)
{
    for (uint32_t s = 0; s < g->n_symbols; s++)
        buf_printf(out, "%s%s <= %lld", s ? ", " : " at ", g->symbol[s].name,
                   (long long)g->symbol[s].max);
}

static void print_head(const FusionText *t)
{
    const FusionReport *r = &t->report;
    uint32_t grouped = 0, groups = 0, nodes = 0;
    for (uint32_t i = 0; i < r->n_units; i++) {
        const uint32_t n = r->units[i].last - r->units[i].first;
        groups += r->units[i].group > 0;
        grouped += r->units[i].group > 0 ? n : 0;
        nodes += n;
    }
    buf_printf(t->out, "%s, program %s", t->g->name, program_name(t->g->program));
    print_sizes(t->out, t->g);
    buf_printf(t->out, "\n  nodes    %u, of which %u are in %u groups\n", nodes, grouped, groups);
    buf_printf(t->out, "  edges    %u fused, %u not\n", r->n_fused, r->n_edges);
    buf_printf(t->out, "  traffic  %s each node for itself, %s fused\n",
               show_bytes(t->arena, r->traffic.before), show_bytes(t->arena, r->traffic.after));
}

/* ---- groups ----------------------------------------------------------------------------------- */

static bool same_node(Arena *a, const Node *x, const Node *y)
{
    if (x->op == OP_product && y->op == OP_product
        && (NODE_ATTR(x, product, bias).i != NODE_ATTR(y, product, bias).i
            || NODE_ATTR(x, product, residual).i != NODE_ATTR(y, product, residual).i
            || NODE_ATTR(x, product, activation).i != NODE_ATTR(y, product, activation).i))
        return false;
    return x->op == y->op && x->span.line == y->span.line
        && strcmp(show_pattern(a, x->path), show_pattern(a, y->path)) == 0;
}

/* Do two groups differ in nothing but the instance? */
static bool same_unit(const FusionText *t, const FusionUnit *x, const FusionUnit *y)
{
    const uint32_t n = x->last - x->first;
    if (n != y->last - y->first || x->traffic.after != y->traffic.after)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!same_node(t->arena, &t->g->nodes[x->first + i], &t->g->nodes[y->first + i]))
            return false;
    return true;
}

/* The instruction that a unit became; NULL for none. */
static const PlanInstr *instr_of(const FusionText *t, const FusionUnit *u)
{
    for (uint32_t i = 0; i < t->plan.n_instrs; i++)
        if (t->plan.instr_nodes[i] >= u->first && t->plan.instr_nodes[i] < u->last)
            return &t->plan.instrs[i];
    return NULL;
}

static void print_program(const FusionText *t, const FusionUnit *u)
{
    const PlanInstr *in = instr_of(t, u);
    if (in && in->row == NO_ROW) {
        buf_printf(t->out, "  became   %s: %u products of one input\n", t->plan.strings.data + in->kernel,
                   u->last - u->first);
        return;
    }
    if (!in) {
        buf_puts(t->out, "  became   nothing that runs\n");
        return;
    }
    const PlanRow *row = &t->plan.rows[in->row];
    const unsigned written = (unsigned)__builtin_popcount(row->outputs);
    buf_printf(t->out, "  became   a row program: %u instructions, reads %u, writes %u, "
               "%u temporaries, %u constants\n", row->n_instrs, in->n_operands - written, written,
               row->n_temps, row->n_consts);
}

static void print_group(const FusionText *t, const FusionUnit *u, uint32_t n_like_it)
{
    Table table = { .arena = t->arena, .columns = "lllll" };
    buf_printf(t->out, "\ngroup %u", u->group);
    if (n_like_it)
        buf_printf(t->out, ", and %u like it", n_like_it);
    buf_putc(t->out, '\n');
    print_program(t, u);
    buf_printf(t->out, "  traffic  %s, %s each node for itself\n",
               show_bytes(t->arena, u->traffic.after), show_bytes(t->arena, u->traffic.before));
    for (NodeId n = u->first; n < u->last; n++) {
        const Node *node = &t->g->nodes[n];
        TABLE_ROW(&table, arena_printf(t->arena, "%%%u", node->first_output),
                  op_info(node->op)->name, show_type(t->arena, t->g, node->first_output),
                  show_line(t->arena, t->g, node), node->path);
    }
    table_print(t->out, &table, 4);
}

/* ---- products ---------------------------------------------------------------------------------- */

static const char *product_text(const FusionText *t, const Node *n)
{
    if (n->op == OP_assign_product)
        return "gemm that adds to what is there";
    if (n->op == OP_cache_write)
        return "cache_write that turns what it writes";
    if (norm_tells(t->g, (NodeId)(n - t->g->nodes)))
        return arena_printf(t->arena, "%s that adds up the squares of what it writes",
                            n->op == OP_matmul_squares ? "gemm" : n->op == OP_sum_squares ? "reduce_sum"
                            : op_info(n->op)->name);
    const int64_t act = NODE_ATTR(n, product, activation).i;
    return arena_printf(t->arena, "gemm with%s%s%s%s%s", NODE_ATTR(n, product, bias).i ? " bias" : "",
                        NODE_ATTR(n, product, bias).i && act != OP_copy ? "," : "",
                        act != OP_copy ? " " : "", act != OP_copy ? op_info((OpId)act)->name : "",
                        !NODE_ATTR(n, product, residual).i ? ""
                        : NODE_ATTR(n, product, bias).i || act != OP_copy ? ", residual"
                                                                          : " residual");
}

static void print_step(const FusionText *t, Table *table, const char *op, ValueId operand)
{
    const Node *def = operand == NO_VALUE ? NULL : value_def(t->g, operand);
    const bool source = def && op_info(def->op)->class == CLASS_SOURCE;
    TABLE_ROW(table, "", op, !def ? "" : show_type(t->arena, t->g, operand),
              !def ? "" : show_line(t->arena, t->g, def),
              !def ? "" : source ? t->g->storages[def->attr[0].i].name
                   : arena_printf(t->arena, "%%%u %s%s%s", operand, op_info(def->op)->name,
                                  *def->path ? " " : "", def->path));
}

static void print_steps(const FusionText *t, const Node *n, Table *table)
{
    if (norm_tells(t->g, (NodeId)(n - t->g->nodes))) {
        print_step(t, table, "partial_sum", NO_VALUE);
        return;
    }
    if (n->op == OP_cache_write) {
        print_step(t, table, "cache_write", node_input(t->g, n, 0));
        return;
    }
    if (n->op == OP_assign_product) {
        print_step(t, table, "add", node_input(t->g, n, 0));
        print_step(t, table, "assign", NO_VALUE);
        return;
    }
    const OpId act = (OpId)NODE_ATTR(n, product, activation).i;
    if (NODE_ATTR(n, product, bias).i)
        print_step(t, table, "add", node_input(t->g, n, 2));
    if (act != OP_copy)
        print_step(t, table, op_info(act)->name, NO_VALUE);
    if (NODE_ATTR(n, product, residual).i)
        print_step(t, table, "add", node_input(t->g, n, n->n_inputs - 1u));
}

static void print_product(const FusionText *t, const FusionUnit *u, uint32_t n_like_it)
{
    const Node *n = &t->g->nodes[u->first];
    Table table = { .arena = t->arena, .columns = "lllll" };
    const bool rope = n->op == OP_cache_write, product = op_info(n->op)->class == CLASS_MATMUL
        || n->op == OP_assign_product;
    buf_printf(t->out, "\n%s %%%u", rope ? "write" : product ? "product" : "kernel", n->first_output);
    if (n_like_it)
        buf_printf(t->out, ", and %u like it", n_like_it);
    buf_printf(t->out, "\n  became   %s\n  traffic  %s, %s each node for itself\n",
               product_text(t, n), show_bytes(t->arena, u->traffic.after),
               show_bytes(t->arena, u->traffic.before));
    TABLE_ROW(&table, arena_printf(t->arena, "%%%u", n->first_output),
              rope ? "rope" : product ? "matmul" : n->op == OP_sum_squares ? "sum" : op_info(n->op)->name,
              show_type(t->arena, t->g, rope ? node_input(t->g, n, 1) : n->first_output),
              show_line(t->arena, t->g, n), n->path);
    print_steps(t, n, &table);
    table_print(t->out, &table, 4);
}

static bool is_fused(const FusionText *t, const FusionUnit *u)
{
    const Node *n = &t->g->nodes[u->first];
    return u->group || n->op == OP_product || n->op == OP_assign_product
        || norm_tells(t->g, u->first)
        || (n->op == OP_cache_write && n->n_inputs > 3);
}

static void print_groups(const FusionText *t)
{
    const FusionReport *r = &t->report;
    bool *shown = arena_array(t->arena, r->n_units, sizeof *shown);
    for (uint32_t i = 0; i < r->n_units; i++) {
        uint32_t n = 0;
        if (!is_fused(t, &r->units[i]) || shown[i])
            continue;
        for (uint32_t k = i + 1; k < r->n_units; k++)
            if (is_fused(t, &r->units[k]) && !shown[k] && same_unit(t, &r->units[i], &r->units[k])) {
                shown[k] = true;
                n++;
            }
        if (r->units[i].group)
            print_group(t, &r->units[i], n);
        else
            print_product(t, &r->units[i], n);
    }
}

/* ---- what stands alone ------------------------------------------------------------------------ */

typedef struct Alone {
    const char *kernel;                 /* "" for what became no instruction */
    uint32_t n;
    int64_t bytes;
} Alone;

static void count_alone(const FusionText *t, const FusionUnit *u, Alone *kinds, uint32_t *n)
{
    const PlanInstr *in = instr_of(t, u);
    const char *kernel = !in ? "nothing: its bytes lie there already"
        : in->row != NO_ROW  ? "a row program of one node" : t->plan.strings.data + in->kernel;
    uint32_t k = 0;
    while (k < *n && strcmp(kinds[k].kernel, kernel) != 0)
        k++;
    *n += k == *n;
    kinds[k].kernel = kernel;
    kinds[k].n++;
    kinds[k].bytes += in ? u->traffic.after : 0;
}

static void print_alone(const FusionText *t)
{
    const FusionReport *r = &t->report;
    Table table = { .arena = t->arena, .columns = "lrr" };
    Alone *kinds = arena_array(t->arena, r->n_units + 1, sizeof *kinds);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_units; i++)
        if (!is_fused(t, &r->units[i]))
            count_alone(t, &r->units[i], kinds, &n);
    if (n == 0)
        return;
    buf_puts(t->out, "\nin no group\n");
    for (uint32_t k = 0; k < n; k++)
        TABLE_ROW(&table, kinds[k].kernel, show_count(t->arena, kinds[k].n),
                  show_bytes(t->arena, kinds[k].bytes));
    table_print(t->out, &table, 4);
}

/* ---- what was not fused ----------------------------------------------------------------------- */

static bool same_edge(const FusionText *t, const FusionEdge *x, const FusionEdge *y)
{
    const Node *nodes = t->g->nodes;
    return x->reason == y->reason && same_node(t->arena, &nodes[x->producer], &nodes[y->producer])
        && same_node(t->arena, &nodes[x->reader], &nodes[y->reader]);
}

static const char *node_place(const FusionText *t, NodeId n)
{
    const Node *node = &t->g->nodes[n];
    const char *line = show_line(t->arena, t->g, node);
    return arena_printf(t->arena, "%s%s%s%s%s", op_info(node->op)->name, *line ? " " : "", line,
                        *node->path ? " " : "", node->path);
}

static void print_edges_of(const FusionText *t, FusionReason reason, bool *shown)
{
    const FusionReport *r = &t->report;
    Table table = { .arena = t->arena, .columns = "rllll" };
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < r->n_edges; i++) {
        const FusionEdge *e = &r->edges[i];
        uint32_t n = 1;
        if (e->reason != reason)
            continue;
        n_all++;
        if (shown[i])
            continue;
        for (uint32_t k = i + 1; k < r->n_edges; k++)
            if (!shown[k] && same_edge(t, e, &r->edges[k])) {
                shown[k] = true;
                n++;
            }
        TABLE_ROW(&table, arena_printf(t->arena, "%u x", n), node_place(t, e->producer),
                  arena_printf(t->arena, "%s %s", e->siblings ? "beside" : "->", node_place(t, e->reader)),
                  show_type(t->arena, t->g, e->value),
                  e->through == NO_NODE ? ""
                      : arena_printf(t->arena, "through %s", node_place(t, e->through)));
    }
    if (n_all == 0)
        return;
    buf_printf(t->out, "\n  %s, %u: %s\n", fusion_reason_name(reason), n_all,
               fusion_reason_text(reason));
    table_print(t->out, &table, 4);
}

static void print_not_fused(const FusionText *t)
{
    bool *shown = arena_array(t->arena, t->report.n_edges + 1, sizeof *shown);
    buf_printf(t->out, "\nnot fused: %u edges\n", t->report.n_edges);
    for (FusionReason reason = 0; reason < N_FUSION_REASONS; reason++)
        print_edges_of(t, reason, shown);
}

void fusion_print(Buf *out, const Graph *g, FusionSet fusions, Arena *arena, Arena *scratch)
{
    FusionText t = { .out = out, .g = g, .arena = arena,
                     .report = fusion_report(g, fusions, arena, scratch) };
    plan_builder_init(&t.plan, arena, g->name);
    lower_program(&t.plan, g);
    print_head(&t);
    print_groups(&t);
    print_alone(&t);
    print_not_fused(&t);
    plan_builder_free(&t.plan);
}
