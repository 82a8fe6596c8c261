/* `smc compile --emit=dot`: a graph for Graphviz. */
#include "codegen/dot.h"

#include "codegen/show.h"

#include <string.h>

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
    const bool source = n->op == OP_input || n->op == OP_param || n->op == OP_state;
    buf_puts(out, op_info(n->op)->name);
    if (source) {
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

static void add_nodes(Buf *out, const Graph *g, Arena *scratch)
{
    uint32_t group = 0;
    for (NodeId i = 0; i < g->n_nodes; i++) {
        const Node *n = &g->nodes[i];
        if (group && n->group != group)
            buf_puts(out, "  }\n");
        if (n->group && n->group != group)
            buf_printf(out, "  subgraph cluster_%u {\n    label=\"group %u\";\n", n->group,
                       n->group);
        group = n->group;
        if (is_bare(n))
            continue;
        buf_printf(out, "%s  n%u [label=\"", group ? "  " : "", i);
        add_label(out, g, n, scratch);
        buf_printf(out, "\"%s%s];\n", *style_of(n) ? ", " : "", style_of(n));
    }
    if (group)
        buf_puts(out, "  }\n");
}

static void add_edges(Buf *out, const Graph *g)
{
    for (NodeId i = 0; i < g->n_nodes; i++)
        for (unsigned k = 0; k < g->nodes[i].n_inputs; k++) {
            const NodeId from = g->values[node_input(g, &g->nodes[i], k)].def;
            if (!is_bare(&g->nodes[from]))
                buf_printf(out, "  n%u -> n%u;\n", from, i);
        }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const NodeId from = g->values[g->outputs[i].value].def;
        if (is_bare(&g->nodes[from]))
            continue;
        buf_printf(out, "  out%u [shape=plaintext, label=\"", i);
        add_text(out, g->outputs[i].name);
        buf_printf(out, "\"];\n  n%u -> out%u;\n", from, i);
    }
}

void dot_print(Buf *out, const Graph *g)
{
    Arena scratch;
    arena_init(&scratch, NULL);
    buf_puts(out, "digraph \"");
    add_text(out, g->name);
    buf_printf(out, " %s\" {\n  node [shape=box, fontname=\"monospace\", fontsize=10];\n"
               "  graph [fontname=\"monospace\", fontsize=10];\n", program_name(g->program));
    add_nodes(out, g, &scratch);
    add_edges(out, g);
    buf_puts(out, "}\n");
    arena_free(&scratch);
}
