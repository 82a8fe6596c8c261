/* The facts of one program: its units (groups, and nodes that run alone), what each reads, what
 * stayed apart and why, and where every buffer lies and when. */
#include "codegen/report_parts.h"

#include "codegen/lower.h"
#include "passes/flops.h"
#include "passes/fusion_report.h"

typedef struct Facts {
    ReportStrings *strings;
    const Graph *g;
    Arena *scratch;
    FusionReport fusion;
    PlanBuilder plan;
    int64_t sizes[MAX_SYMBOLS];
    uint32_t *unit_of;                  /* node -> unit; n_units: none */
} Facts;

static json_t *line_of(const Facts *f, NodeId n)
{
    (void)f;
    return report_line(f->g->nodes[n].span);
}

/* ---- units ------------------------------------------------------------------------------------ */

static json_t *nodes_json(const Facts *f, const FusionUnit *u)
{
    json_t *out = json_array();
    for (NodeId n = u->first; n < u->last; n++) {
        const Node *node = &f->g->nodes[n];
        Buf type = { 0 };
        if (node->op == OP_constant || node->op == OP_extent)
            continue;
        type_print(&type, f->g, value_type(f->g, node->first_output));
        json_array_append_new(out, json_pack(
            "[o, o, o]", report_string(f->strings, op_info(node->op)->name), line_of(f, n),
            report_string(f->strings, type.failed ? "" : type.data)));
        buf_free(&type);
    }
    return out;
}

/* What a value comes from, once views are looked through. */
static NodeId origin(const Graph *g, ValueId v)
{
    NodeId n = g->values[v].def;
    while (op_info(g->nodes[n].op)->class == CLASS_VIEW)
        n = g->values[node_input(g, &g->nodes[n], 0)].def;
    return n;
}

static bool append_once(json_t *list, json_t *number)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), number)) {
            json_decref(number);
            return false;
        }
    return json_array_append_new(list, number) == 0;
}

/* The units and the storages that a unit reads. */
static void reads_json(const Facts *f, uint32_t unit, json_t *units, json_t *storages)
{
    const FusionUnit *u = &f->fusion.units[unit];
    for (NodeId n = u->first; n < u->last; n++)
        for (unsigned i = 0; i < f->g->nodes[n].n_inputs; i++) {
            const NodeId from = origin(f->g, node_input(f->g, &f->g->nodes[n], i));
            const Node *source = &f->g->nodes[from];
            if (source->op == OP_param || source->op == OP_state || source->op == OP_input)
                append_once(storages, report_string(f->strings,
                                                    f->g->storages[source->attr[0].i].name));
            else if (f->unit_of[from] < f->fusion.n_units && f->unit_of[from] != unit)
                append_once(units, json_integer(f->unit_of[from]));
        }
}

/* Its instructions in the plan, and the kernel of the first. */
static json_t *instrs_json(const Facts *f, const FusionUnit *u, const char **kernel)
{
    json_t *out = json_array();
    *kernel = "";
    for (uint32_t i = 0; i < f->plan.n_instrs; i++) {
        if (f->plan.instr_nodes[i] < u->first || f->plan.instr_nodes[i] >= u->last)
            continue;
        if (!**kernel)
            *kernel = f->plan.strings.data + f->plan.instrs[i].kernel;
        json_array_append_new(out, json_integer(i));
    }
    return out;
}

static json_t *unit_json(const Facts *f, uint32_t i)
{
    const FusionUnit *u = &f->fusion.units[i];
    json_t *units = json_array(), *storages = json_array();
    const char *kernel, *path = "";
    double flops = 0;
    json_t *instrs = instrs_json(f, u, &kernel);
    for (NodeId n = u->first; n < u->last; n++) {
        flops += node_flops(f->g, &f->g->nodes[n], f->sizes);
        if (f->g->nodes[n].path && *f->g->nodes[n].path)
            path = f->g->nodes[n].path;
    }
    reads_json(f, i, units, storages);
    return json_pack("[o, o, o, I, I, f, o, o, o]", report_string(f->strings, kernel), instrs,
                     report_string(f->strings, path), (json_int_t)u->traffic.before,
                     (json_int_t)u->traffic.after, flops, nodes_json(f, u), units, storages);
}

static json_t *units_json(Facts *f)
{
    json_t *out = json_array();
    f->unit_of = arena_array(f->scratch, f->g->n_nodes + 1, sizeof *f->unit_of);
    for (NodeId n = 0; n < f->g->n_nodes; n++)
        f->unit_of[n] = f->fusion.n_units;
    for (uint32_t i = 0; i < f->fusion.n_units; i++)
        for (NodeId n = f->fusion.units[i].first; n < f->fusion.units[i].last; n++)
            f->unit_of[n] = i;
    for (uint32_t i = 0; i < f->fusion.n_units; i++)
        json_array_append_new(out, unit_json(f, i));
    return out;
}

/* [producer, reader, reason] for each pair of units that stayed apart. */
static json_t *apart_json(const Facts *f)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < f->fusion.n_edges; i++) {
        const FusionEdge *e = &f->fusion.edges[i];
        json_array_append_new(out, json_pack("[i, i, i]", (int)f->unit_of[e->producer],
                                             (int)f->unit_of[e->reader], (int)e->reason));
    }
    return out;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* The node that first writes each buffer. */
static NodeId *makers(const Facts *f)
{
    NodeId *maker = arena_array(f->scratch, f->g->n_buffers + 1, sizeof *maker);
    for (BufferId b = 0; b < f->g->n_buffers; b++)
        maker[b] = NO_NODE;
    for (ValueId v = 0; v < f->g->n_values; v++) {
        const BufferId b = f->g->values[v].place.buffer;
        if (b != NO_BUFFER && (maker[b] == NO_NODE || f->g->values[v].def < maker[b]))
            maker[b] = f->g->values[v].def;
    }
    return maker;
}

/* [offset, bytes, first, last, op, path, line] */
static json_t *buffers_json(const Facts *f)
{
    json_t *out = json_array();
    const NodeId *maker = makers(f);
    for (BufferId i = 0; i < f->g->n_buffers; i++) {
        const Buffer *b = &f->g->buffers[i];
        if (b->storage != NO_STORAGE || maker[i] == NO_NODE)
            continue;
        const Node *n = &f->g->nodes[maker[i]];
        json_array_append_new(out, json_pack(
            "[I, I, i, i, o, o, o]", (json_int_t)b->offset, (json_int_t)b->bytes, (int)b->first,
            (int)b->last, report_string(f->strings, op_info(n->op)->name),
            report_string(f->strings, n->path ? n->path : ""), line_of(f, maker[i])));
    }
    return out;
}

json_t *report_program(ReportStrings *s, const Graph *g, FusionSet fusions, Arena *scratch)
{
    Facts f = { .strings = s, .g = g, .scratch = scratch,
                .fusion = fusion_report(g, fusions, scratch, scratch) };
    for (int i = 0; i < MAX_SYMBOLS; i++)
        f.sizes[i] = i < (int)g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
    plan_builder_init(&f.plan, scratch, g->name);
    lower_program(&f.plan, g);
    json_t *units = units_json(&f);
    json_t *out = json_pack(
        "{s:s, s:i, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "name", program_name(g->program), "nodes",
        (int)g->n_nodes, "pool", (json_int_t)g->pool_bytes, "bound", (json_int_t)g->pool_bound,
        "before", (json_int_t)f.fusion.traffic.before, "after", (json_int_t)f.fusion.traffic.after,
        "units", units, "apart", apart_json(&f), "buffers", buffers_json(&f));
    plan_builder_free(&f.plan);
    return out;
}
