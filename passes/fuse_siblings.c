/* Units that no edge joins, but that read one value. */
#include "passes/fuse.h"

FusePair fuse_pair(const Fuse *f, NodeId a, NodeId b)
{
    const uint32_t x = f->unit_of[a], y = f->unit_of[b];
    return f->units[x].place < f->units[y].place ? (FusePair){ x, y } : (FusePair){ y, x };
}

/* Values that have several readers, in the order of their keys. */
static uint32_t shared_values(const Fuse *f, const FuseKey *keys, FuseTurn *values)
{
    uint32_t n = 0;
    for (ValueId v = 0; v < f->g->n_values; v++)
        if (f->n_readers[v] > 1)
            values[n++] = (FuseTurn){ keys[f->g->values[v].def], v };
    fuse_sort_turns(values, n);
    return n;
}

/* The nodes that read `v`, each once, in the order of their keys. */
static uint32_t readers_of(const Fuse *f, const FuseKey *keys, ValueId v, FuseTurn *turns)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n_readers[v]; i++)
        if (i == 0 || f->readers[v][i - 1] != f->readers[v][i])
            turns[n++] = (FuseTurn){ keys[f->readers[v][i]], f->readers[v][i] };
    fuse_sort_turns(turns, n);
    return n;
}

static bool merge_two(Fuse *f, NodeId a, NodeId b, ValueId v, FuseMayMerge *may_merge)
{
    if (f->unit_of[a] == f->unit_of[b] || !may_merge(f, a, b, v))
        return false;
    const FusePair pair = fuse_pair(f, a, b);
    fuse_merge(f, pair.first, pair.second);
    return true;
}

bool fuse_siblings(Fuse *f, FuseMayMerge *may_merge)
{
    const FuseKey *keys = fuse_keys(f);
    FuseTurn *values = arena_array(f->scratch, f->g->n_values, sizeof *values);
    FuseTurn *turns = arena_array(f->scratch, f->g->n_nodes, sizeof *turns);
    const uint32_t n_values = shared_values(f, keys, values);
    bool merged = false;
    for (uint32_t k = 0; k < n_values; k++) {
        const uint32_t n = readers_of(f, keys, values[k].id, turns);
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t j = 0; j < i; j++)
                merged = merge_two(f, turns[j].id, turns[i].id, values[k].id, may_merge) || merged;
    }
    return merged;
}
