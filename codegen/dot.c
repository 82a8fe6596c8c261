/* `smc compile --emit=dot`: a graph for Graphviz.
 *
 * Graphviz takes minutes for some thousand nodes, or gives up; so of the instances of a block in a loop the
 * first is drawn, and one node stands for all others. */
#include "codegen/dot.h"

#include "codegen/show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Instances 1 to `last` of a block; block is "h." for h.1. */
typedef struct Rest {
    const char *block;
    uint32_t last, n_nodes;
} Rest;

typedef struct Dot {
    Buf *out;
    const Graph *g;
    Arena scratch;
    Rest *rests;
    uint32_t n_rests, cap_rests;
    uint32_t *rest_of;                  /* by node, SHOWN where it is drawn */
} Dot;

enum { SHOWN = UINT32_MAX };

/* Inside a quoted string of DOT. */
static void add_text(Buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *s);
    }
}

static bool is_bare(const Node *n)
{
    return n->op == OP_constant || n->op == OP_extent;
}

static bool is_source(const Node *n)
{
    return n->op == OP_input || n->op == OP_param || n->op == OP_state;
}

static const char *style_of(const Node *n)
{
    switch (op_info(n->op)->class) {
    case CLASS_SOURCE:
        return "shape=ellipse";
    case CLASS_VIEW:
        return "style=dashed";
    case CLASS_MATMUL:
    case CLASS_KERNEL:
        return "style=bold";
    case CLASS_MAP:
    case CLASS_REDUCE:
    case CLASS_MOVE:
    case CLASS_WRITE:
        break;
    }
    return "";
}

static void add_constants(Buf *out, const Graph *g, const Node *n)
{
    for (unsigned i = 0; i < n->n_inputs; i++) {
        const Node *from = value_def(g, node_input(g, n, i));
        if (from->op == OP_constant)
            buf_printf(out, " %g", NODE_ATTR(from, constant, value).f);
        else if (from->op == OP_extent) {
            buf_putc(out, ' ');
            dim_print(out, g, NODE_ATTR(from, extent, size).dim);
        }
    }
}

static void add_label(Buf *out, const Graph *g, const Node *n, Arena *scratch)
{
    buf_puts(out, op_info(n->op)->name);
    if (is_source(n)) {
        buf_putc(out, ' ');
        add_text(out, g->storages[n->attr[0].i].name);
    }
    add_constants(out, g, n);
    buf_puts(out, "\\n");
    type_print(out, g, value_type(g, n->first_output));
    const char *line = show_line(scratch, g, n);
    if (*line || *n->path) {
        buf_puts(out, "\\n");
        add_text(out, line);
        buf_puts(out, *line && *n->path ? " " : "");
        add_text(out, n->path);
    }
}

/* ---- what is drawn ------------------------------------------------------------------------------- */

/* The name of the parameter that each group writes: steps of the optimizer are of no block. */
static const char **group_places(Dot *d)
{
    const Graph *g = d->g;
    const char **place = arena_array(&d->scratch, g->n_groups + 1, sizeof *place);
    for (NodeId i = 0; i < g->n_nodes; i++) {
        const Node *n = &g->nodes[i];
        if (n->op != OP_assign || !n->group)
            continue;
        const Node *to = value_def(g, node_input(g, n, 0));
        if (to->op == OP_param || (is_source(to) && !place[n->group]))
            place[n->group] = g->storages[to->attr[0].i].name;
    }
    return place;
}

/* The first instance in `path` that is not the first of its block: of "h.0.experts.3.up" it is 3, and the
 * block "h.0.experts.".  0 when there is none. */
static uint32_t later_instance(Arena *a, const char *path, const char **block)
{
    for (const char *p = path; *p; p += *p == '.') {
        const size_t part = strcspn(p, ".");
        const unsigned long instance = part > 0 && strspn(p, "0123456789") == part ? strtoul(p, NULL, 10) : 0;
        if (instance > 0) {
            *block = arena_strndup(a, path, (size_t)(p - path));
            return (uint32_t)instance;
        }
        p += part;
    }
    return 0;
}

static uint32_t rest_of_block(Dot *d, const char *block, uint32_t instance)
{
    uint32_t i = 0;
    while (i < d->n_rests && strcmp(d->rests[i].block, block) != 0)
        i++;
    if (i == d->n_rests)
        ARENA_PUSH(&d->scratch, d->rests, d->n_rests, d->cap_rests, (Rest){ .block = block });
    if (d->rests[i].last < instance)
        d->rests[i].last = instance;
    d->rests[i].n_nodes++;
    return i;
}

static void find_rests(Dot *d)
{
    const Graph *g = d->g;
    const char **places = group_places(d);
    d->rest_of = arena_array(&d->scratch, g->n_nodes, sizeof *d->rest_of);
    for (NodeId i = 0; i < g->n_nodes; i++) {
        const Node *n = &g->nodes[i];
        const char *block = NULL, *place = n->path;
        if (!*place)
            place = is_source(n) ? g->storages[n->attr[0].i].name : n->group ? places[n->group] : NULL;
        const uint32_t instance = place && !is_bare(n) ? later_instance(&d->scratch, place, &block) : 0;
        d->rest_of[i] = instance ? rest_of_block(d, block, instance) : SHOWN;
    }
}

/* ---- nodes and edges ------------------------------------------------------------------------------- */

static void add_name(Dot *d, NodeId n)
{
    if (d->rest_of[n] == SHOWN)
        buf_printf(d->out, "n%u", n);
    else
        buf_printf(d->out, "more%u", d->rest_of[n]);
}

static void add_nodes(Dot *d)
{
    const Graph *g = d->g;
    uint32_t group = 0;
    for (NodeId i = 0; i < g->n_nodes; i++) {
        const Node *n = &g->nodes[i];
        if (is_bare(n) || d->rest_of[i] != SHOWN)
            continue;
        if (group && n->group != group)
            buf_puts(d->out, "  }\n");
        if (n->group && n->group != group)
            buf_printf(d->out, "  subgraph cluster_%u {\n    label=\"group %u\";\n", n->group,
                       n->group);
        group = n->group;
        buf_printf(d->out, "%s  n%u [label=\"", group ? "  " : "", i);
        add_label(d->out, g, n, &d->scratch);
        buf_printf(d->out, "\"%s%s];\n", *style_of(n) ? ", " : "", style_of(n));
    }
    if (group)
        buf_puts(d->out, "  }\n");
}

static void add_rests(Dot *d)
{
    for (uint32_t i = 0; i < d->n_rests; i++) {
        const Rest *r = &d->rests[i];
        buf_printf(d->out, "  more%u [label=\"", i);
        add_text(d->out, r->last == 1 ? arena_printf(&d->scratch, "%s1, like %s0", r->block, r->block)
                 : arena_printf(&d->scratch, "%s1 to %s%" PRIu32 ", like %s0", r->block, r->block, r->last,
                                r->block));
        buf_printf(d->out, "\\n%" PRIu32 " nodes\", shape=box3d];\n", r->n_nodes);
    }
}

/* One edge for all between the instances that are not drawn and a node, or others of them. */
static void add_edges(Dot *d)
{
    const Graph *g = d->g;
    const uint64_t n_ends = (uint64_t)g->n_nodes + d->n_rests;
    bool *drawn = arena_array(&d->scratch, 2 * d->n_rests * n_ends, sizeof *drawn);
    for (NodeId i = 0; i < g->n_nodes; i++)
        for (unsigned k = 0; k < g->nodes[i].n_inputs; k++) {
            const NodeId from = g->values[node_input(g, &g->nodes[i], k)].def;
            const uint32_t a = d->rest_of[from], b = d->rest_of[i];
            if (is_bare(&g->nodes[from]) || (a != SHOWN && a == b))
                continue;
            const uint64_t end = a == SHOWN ? from : b == SHOWN ? i : g->n_nodes + (uint64_t)b;
            bool *seen = a == SHOWN && b == SHOWN ? NULL
                : &drawn[(a != SHOWN ? 2 * (uint64_t)a : 2 * (uint64_t)b + 1) * n_ends + end];
            if (seen && *seen)
                continue;
            if (seen)
                *seen = true;
            buf_puts(d->out, "  ");
            add_name(d, from);
            buf_puts(d->out, " -> ");
            add_name(d, i);
            buf_puts(d->out, ";\n");
        }
}

static void add_outputs(Dot *d)
{
    const Graph *g = d->g;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const NodeId from = g->values[g->outputs[i].value].def;
        if (is_bare(&g->nodes[from]))
            continue;
        buf_printf(d->out, "  out%u [shape=plaintext, label=\"", i);
        add_text(d->out, g->outputs[i].name);
        buf_puts(d->out, "\"];\n  ");
        add_name(d, from);
        buf_printf(d->out, " -> out%u;\n", i);
    }
}

void dot_print(Buf *out, const Graph *g)
{
    Dot d = { .out = out, .g = g };
    arena_init(&d.scratch, NULL);
    find_rests(&d);
    buf_puts(out, "digraph \"");
    add_text(out, g->name);
    buf_printf(out, " %s\" {\n  node [shape=box, fontname=\"monospace\", fontsize=10];\n"
               "  graph [fontname=\"monospace\", fontsize=10];\n", program_name(g->program));
    add_nodes(&d);
    add_rests(&d);
    add_edges(&d);
    add_outputs(&d);
    buf_puts(out, "}\n");
    arena_free(&d.scratch);
}
