/* Who is alive when most is. */
#include "passes/peak.h"

#include <stdlib.h>

static bool in_pool(const Buffer *b)
{
    return b->storage == NO_STORAGE && b->bytes > 0 && b->first <= b->last;
}

static NodeId find_node(const Graph *g, Arena *scratch, int64_t *most)
{
    int64_t *change = arena_array(scratch, (size_t)g->n_nodes + 1, sizeof *change), live = 0;
    NodeId at = 0;
    for (BufferId b = 0; b < g->n_buffers; b++) {
        if (!in_pool(&g->buffers[b]))
            continue;
        change[g->buffers[b].first] += g->buffers[b].bytes;
        change[g->buffers[b].last + 1] -= g->buffers[b].bytes;
    }
    *most = 0;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        live += change[n];
        if (live > *most) {
            *most = live;
            at = n;
        }
    }
    return at;
}

static int64_t count_elements(const Graph *g, ValueId v)
{
    int64_t sizes[MAX_SYMBOLS], n;
    Dim count;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        sizes[i] = i < (int)g->n_symbols && g->symbol[i].max > 0 ? g->symbol[i].max : 1;
    return shape_count(&value_type(g, v)->shape, &count) && dim_eval(count, sizes, &n) ? n : 0;
}

static int compare_tensors(const void *a, const void *b)
{
    const PeakTensor *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

Peak peak_find(const Graph *g, Arena *arena, Arena *scratch)
{
    Peak p = { .tensors = arena_array(arena, g->n_buffers, sizeof *p.tensors) };
    ValueId *largest = arena_array(scratch, g->n_buffers, sizeof *largest);
    int64_t *elements = arena_array(scratch, g->n_buffers, sizeof *elements);
    p.node = find_node(g, scratch, &p.live);
    for (ValueId v = 0; v < g->n_values; v++) {
        const BufferId b = g->values[v].place.buffer;
        if (b == NO_BUFFER || op_info(value_def(g, v)->op)->class == CLASS_VIEW
            || count_elements(g, v) <= elements[b])
            continue;
        largest[b] = v;
        elements[b] = count_elements(g, v);
    }
    for (BufferId b = 0; b < g->n_buffers; b++) {
        const Buffer *buffer = &g->buffers[b];
        if (in_pool(buffer) && buffer->first <= p.node && buffer->last >= p.node)
            p.tensors[p.n++] = (PeakTensor){ b, largest[b], buffer->bytes };
    }
    if (p.n > 0)
        qsort(p.tensors, p.n, sizeof *p.tensors, compare_tensors);
    return p;
}

static bool same_source(const Node *a, const Node *b)
{
    return a->op == b->op && a->span.file == b->span.file && a->span.line == b->span.line
        && a->span.column == b->span.column;
}

static int compare_groups(const void *a, const void *b)
{
    const PeakGroup *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

PeakGroup *peak_groups(const Graph *g, const Peak *p, Arena *arena, uint32_t *n)
{
    PeakGroup *groups = arena_array(arena, p->n, sizeof *groups);
    *n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const NodeId node = g->values[p->tensors[i].value].def;
        uint32_t k = 0;
        while (k < *n && (groups[k].bytes != groups[k].n * p->tensors[i].bytes
                          || !same_source(&g->nodes[groups[k].node], &g->nodes[node])))
            k++;
        if (k == *n)
            groups[(*n)++] = (PeakGroup){ .node = node };
        if (node < groups[k].node)
            groups[k].node = node;
        groups[k].n++;
        groups[k].bytes += p->tensors[i].bytes;
    }
    if (*n > 0)
        qsort(groups, *n, sizeof *groups, compare_groups);
    return groups;
}
