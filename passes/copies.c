/* Weights that products in bf16 read are kept in bf16 as well.
 *
 * needs  program `model`; a weight's own products alone, so nothing of what the other passes do
 * keeps  every node
 *
 * In mixed precision every product of a step would round its weight again, reading floats.  The
 * optimizer, which has the new weight in a register, rounds it once (passes/update.c), and products read
 * what it left (passes/round.c).  The storage is added to the model because programs of one plan share it:
 * `apply` writes what `accumulate` reads.  No checkpoint holds it: sessions make it from the weight whenever
 * that was changed from outside (runtime/session.h). */
#include "ir/build.h"
#include "passes/pass.h"
#include "passes/precision.h"

/* One that lies in the first-level cache as floats is rounded there at no cost. */
static bool is_large(const Storage *s)
{
    enum { SMALL = 1 << 14 };           /* bytes */
    Dim count;
    return shape_count(&s->type.shape, &count) && dim_is_const(count) && count.coef > SMALL / (int64_t)sizeof(float);
}

static void add_copy(Graph *g, StorageId weight, Arena *scratch)
{
    const Storage *w = &g->storages[weight];
    const char *name = copy_name(scratch, w->name);
    if (graph_find_storage(g, name) != NO_STORAGE)
        return;
    Storage copy = { .name = name, .class = STORAGE_STATE, .type = w->type, .rounded_of = w->name,
                     .span = w->span };
    copy.type.dtype = DTYPE_bf16;
    graph_storage(g, copy);
}

/* Without the fusions that write it in the optimizer's pass, or read it, a copy saves nothing. */
static bool pays(const PassOptions *o)
{
    return o->precision == DTYPE_bf16 && fusion_on(o->fusions, FUSE_rounded_weights)
        && fusion_on(o->fusions, FUSE_rounding) && fusion_on(o->fusions, FUSE_optimizer);
}

bool pass_copies(Graph *g, PassContext *cx)
{
    if (!pays(cx->options))
        return true;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const StorageId weight = precision_weight(g, &g->nodes[n]);
        if (weight != NO_STORAGE && g->storages[weight].stored == DTYPE_f32 && is_large(&g->storages[weight]))
            add_copy(g, weight, cx->scratch);
    }
    return true;
}
