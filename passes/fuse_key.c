/* Keys of nodes that do not depend on the order in which the nodes stand.
 *
 * Two hashes make one: of what a node computes (its op, attributes, types and those of everything it
 * needs) and of what becomes of it (who reads it, at which input, up to the outputs).  Where it was
 * written is a part of it, so that equal things at two places differ. */
#include "passes/fuse.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h, uint64_t x)
{
    return hash_seeded(&x, sizeof x, h);
}

static uint64_t mix_text(uint64_t h, const char *s)
{
    return s ? hash_seeded(s, strlen(s), h) : h;
}

static uint64_t mix_dim(uint64_t h, Dim d)
{
    return hash_seeded(d.power, sizeof d.power, mix(h, (uint64_t)d.coef));
}

static uint64_t mix_type(uint64_t h, const Type *t)
{
    h = mix(h, (uint64_t)t->dtype << 8 | t->shape.rank);
    for (int k = 0; k < t->shape.rank; k++)
        h = mix_dim(h, t->shape.dim[k]);
    return h;
}

static uint64_t mix_attr(uint64_t h, AttrKind kind, AttrValue v)
{
    uint64_t bits;
    switch (kind) {
    case ATTR_FLOAT:
        memcpy(&bits, &v.f, sizeof bits);
        return mix(h, bits);
    case ATTR_DIM:
        return mix_dim(h, v.dim);
    case ATTR_INT:
    case ATTR_BOOL:
    case ATTR_AXIS:
    case ATTR_AXES:
    case ATTR_DTYPE:
    case ATTR_MAP:
    case ATTR_STYLE:
        break;
    }
    return mix(h, (uint64_t)v.i);
}

static uint64_t hash_node(const Graph *g, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    const bool source = n->op == OP_input || n->op == OP_param || n->op == OP_state;
    uint64_t h = mix_text(mix_text(0, info->name), n->path);
    h = mix(h, (uint64_t)n->span.line << 32 | n->span.column);
    if (source)
        return mix_text(h, g->storages[n->attr[0].i].name);
    for (int a = 0; a < info->n_attrs; a++)
        h = mix_attr(h, info->attrs[a].kind, n->attr[a]);
    for (unsigned i = 0; i < n->n_outputs; i++)
        h = mix_type(h, value_type(g, n->first_output + i));
    return h;
}

/* From the sources on: depth, and the hash of what a node computes. */
static void look_up(const Fuse *f, FuseKey *keys)
{
    const Graph *g = f->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        FuseKey *key = &keys[n];
        key->hash = hash_node(g, node);
        for (unsigned i = 0; i < node->n_inputs; i++) {
            const Value *in = &g->values[node_input(g, node, i)];
            key->hash = mix(mix(key->hash, keys[in->def].hash), in->index);
        }
        for (uint32_t i = 0; i < f->n_preds[n]; i++)
            if (keys[f->preds[n][i]].depth >= key->depth)
                key->depth = keys[f->preds[n][i]].depth + 1;
    }
}

/* From the outputs back.  Readers add up, as they have no order among themselves. */
static void look_down(const Fuse *f, FuseKey *keys)
{
    const Graph *g = f->g;
    uint64_t *fate = arena_array(f->scratch, g->n_nodes, sizeof *fate);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const Value *v = &g->values[g->outputs[i].value];
        fate[v->def] += mix_text(v->index, g->outputs[i].name);
    }
    for (NodeId n = g->n_nodes; n-- > 0;) {
        const Node *node = &g->nodes[n];
        keys[n].hash = mix(keys[n].hash, fate[n]);
        for (unsigned i = 0; i < node->n_inputs; i++) {
            const Value *in = &g->values[node_input(g, node, i)];
            fate[in->def] += mix(mix(keys[n].hash, i), in->index);
        }
    }
}

FuseKey *fuse_keys(const Fuse *f)
{
    FuseKey *keys = arena_array(f->scratch, f->g->n_nodes, sizeof *keys);
    look_up(f, keys);
    look_down(f, keys);
    return keys;
}

static int compare_turns(const void *a, const void *b)
{
    const FuseTurn *x = a, *y = b;
    if (x->key.depth != y->key.depth)
        return x->key.depth < y->key.depth ? -1 : 1;
    if (x->key.hash != y->key.hash)
        return x->key.hash < y->key.hash ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void fuse_sort_turns(FuseTurn *turns, uint32_t n)
{
    if (n > 1)
        qsort(turns, n, sizeof *turns, compare_turns);
}
