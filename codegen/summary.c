/* `smc summary`: counting. */
#include "codegen/summary.h"

#include "codegen/lower.h"
#include "codegen/show.h"
#include "passes/flops.h"
#include "passes/fusion_report.h"
#include "passes/peak.h"

#include "base/check.h"

#include <string.h>

/* ---- the tree of blocks ----------------------------------------------------------------------- */

/* Bytes of the first part of a path, a number after it included: "h.3" of "h.3.attn". */
static size_t first_part(const char *path)
{
    size_t n = strcspn(path, ".");
    const size_t digits = path[n] ? strspn(path + n + 1, "0123456789") : 0;
    const char end = digits ? path[n + 1 + digits] : 'x';
    return end == '.' || end == '\0' ? n + 1 + digits : n;
}

static uint32_t child_named(Summary *s, uint32_t parent, const char *name, size_t n)
{
    uint32_t last = 0;
    for (uint32_t c = s->blocks[parent].child; c; c = s->blocks[c].sibling) {
        if (strlen(s->blocks[c].name) == n && memcmp(s->blocks[c].name, name, n) == 0)
            return c;
        last = c;
    }
    Block b = { .name = arena_strndup(s->arena, name, n) };
    b.path = parent ? arena_printf(s->arena, "%s.%s", s->blocks[parent].path, b.name) : b.name;
    ARENA_PUSH(s->arena, s->blocks, s->n_blocks, s->cap_blocks, b);
    if (last)
        s->blocks[last].sibling = s->n_blocks - 1;
    else
        s->blocks[parent].child = s->n_blocks - 1;
    return s->n_blocks - 1;
}

static void add_sum(BlockSum *to, const BlockSum *what)
{
    to->parameters += what->parameters;
    to->flops += what->flops;
    to->activations += what->activations;
    to->cache += what->cache;
}

/* To the instance and to all that it is in. */
static void add_to_path(Summary *s, const char *path, const BlockSum *what)
{
    uint32_t at = 0;
    add_sum(&s->blocks[0].sum, what);
    while (path && *path) {
        const size_t n = first_part(path);
        at = child_named(s, at, path, n);
        add_sum(&s->blocks[at].sum, what);
        path += n + (path[n] == '.');
    }
}

/* ---- counting --------------------------------------------------------------------------------- */

static int64_t count_elements(const Type *t, const int64_t sizes[MAX_SYMBOLS])
{
    Dim count;
    int64_t n;
    return shape_count(&t->shape, &count) && dim_eval(count, sizes, &n) ? n : 0;
}

Summary summary_begin(const Graph *model, Arena *arena)
{
    Summary s = { .arena = arena, .model = model };
    Block root = { .name = model->name, .path = "" };
    ARENA_PUSH(arena, s.blocks, s.n_blocks, s.cap_blocks, root);
    for (int i = 0; i < MAX_SYMBOLS; i++)
        s.sizes[i] = 1;
    for (StorageId i = 0; i < model->n_storages; i++) {
        const Storage *p = &model->storages[i];
        const char *dot = strrchr(p->name, '.');
        if (p->class != STORAGE_PARAM)
            continue;
        const BlockSum sum = { .parameters = count_elements(&p->type, s.sizes) };
        add_to_path(&s, dot ? arena_strndup(arena, p->name, (size_t)(dot - p->name)) : "", &sum);
        s.parameter_bytes += 4 * sum.parameters;
    }
    return s;
}

static void largest(const Graph *g, int64_t sizes[MAX_SYMBOLS])
{
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
}

static void add_forward(Summary *s, const Graph *g)
{
    largest(g, s->sizes);
    s->n_symbols = g->n_symbols;
    for (uint32_t i = 0; i < g->n_symbols; i++)
        s->symbols[i] = arena_strdup(s->arena, g->symbol[i].name);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const BlockSum sum = { .flops = node_flops(g, &g->nodes[n], s->sizes) };
        add_to_path(s, g->nodes[n].path, &sum);
    }
}

/* A buffer is kept for the backward pass when it is alive as the loss becomes known. */
static void add_activations(Summary *s, const Graph *g)
{
    NodeId loss = NO_NODE;
    bool *seen = arena_array(s->arena, g->n_buffers + 1, sizeof *seen);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, "loss") == 0)
            loss = g->values[g->outputs[i].value].def;
    for (ValueId v = 0; v < g->n_values && loss != NO_NODE; v++) {
        const BufferId b = g->values[v].place.buffer;
        if (b == NO_BUFFER || seen[b] || g->buffers[b].storage != NO_STORAGE)
            continue;
        seen[b] = true;
        if (g->values[v].def > loss || g->buffers[b].last <= loss)
            continue;
        const BlockSum sum = { .activations = g->buffers[b].bytes };
        add_to_path(s, value_def(g, v)->path, &sum);
    }
}

static int64_t stored_bytes(DType t, int64_t count)
{
    int64_t bytes;
    return dtype_offset(t, count, &bytes) ? bytes : 0;
}

static void add_caches(Summary *s, const Graph *g)
{
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        if (node->op != OP_cache_write)
            continue;
        const Shape *cache = &value_type(g, node->first_output)->shape;
        const BlockSum sum = { .cache = stored_bytes(value_type(g, node->first_output)->dtype,
                                                     cache->dim[1].coef * cache->dim[3].coef) };
        add_to_path(s, node->path, &sum);
    }
}

static void add_state(Summary *s, const Graph *g)
{
    int64_t sizes[MAX_SYMBOLS], bytes = 0;
    largest(g, sizes);
    for (StorageId i = 0; i < g->n_storages; i++)
        if (g->storages[i].class == STORAGE_STATE)
            bytes += stored_bytes(g->storages[i].type.dtype, count_elements(&g->storages[i].type, sizes));
    if (g->program == PROGRAM_generate)
        s->cache_bytes = bytes;
    if (g->program == PROGRAM_train)
        s->optimizer_bytes = bytes;
}

static void add_peak(Summary *s, ProgramSum *p, const Graph *g, Arena *scratch)
{
    const Peak peak = peak_find(g, scratch, scratch);
    const PeakGroup *groups = peak_groups(g, &peak, scratch, &p->n_peak);
    const Node *at = &g->nodes[peak.node];
    p->peak_line = show_line(s->arena, g, at);
    p->peak_path = arena_strdup(s->arena, at->path);
    p->peak_op = op_info(at->op)->name;
    if (p->n_peak > N_PEAK_LINES)
        p->n_peak = N_PEAK_LINES;
    for (uint32_t i = 0; i < p->n_peak; i++) {
        const Node *n = &g->nodes[groups[i].node];
        p->peak[i] = (PeakLine){ .bytes = groups[i].bytes, .tensors = groups[i].n,
                                 .op = op_info(n->op)->name,
                                 .type = show_type(s->arena, g, n->first_output),
                                 .line = show_line(s->arena, g, n),
                                 .path = groups[i].n > 1 ? show_pattern(s->arena, n->path)
                                                         : arena_strdup(s->arena, n->path) };
    }
}

static void add_program(Summary *s, const Graph *g, Arena *scratch)
{
    ProgramSum *p = &s->programs[s->n_programs++];
    PlanBuilder plan;
    int64_t sizes[MAX_SYMBOLS];
    *p = (ProgramSum){ .program = g->program, .pool = g->pool_bytes, .bound = g->pool_bound,
                       .traffic = fusion_report(g, (FusionSet){ 0 }, s->arena, scratch).traffic.after };
    largest(g, sizes);
    for (NodeId n = 0; n < g->n_nodes; n++)
        p->flops += node_flops(g, &g->nodes[n], sizes);
    for (BufferId b = 0; b < g->n_buffers; b++)
        p->plain += g->buffers[b].storage == NO_STORAGE ? g->buffers[b].bytes : 0;
    plan_builder_init(&plan, s->arena, g->name);
    lower_program(&plan, g);
    p->instructions = plan.n_instrs;
    p->barriers = plan.programs[0].n_barriers;
    plan_builder_free(&plan);
    add_peak(s, p, g, scratch);
}

void summary_add(Summary *s, const Graph *g, Arena *scratch)
{
    CHECK(s->n_programs < N_PROGRAMS, "a program was added twice");
    if (g->program == PROGRAM_score || (g->program == PROGRAM_eval && s->n_programs == 0))
        add_forward(s, g);
    if (g->program == PROGRAM_train)
        add_activations(s, g);
    if (g->program == PROGRAM_generate)
        add_caches(s, g);
    add_state(s, g);
    add_program(s, g, scratch);
}
