/* Common subexpressions: equal nodes become one.
 *
 * needs  nothing
 * keeps  order, meaning
 *
 * Two nodes are equal when op, attributes, inputs (already unified; sorted where the op commutes) and
 * result types are.  Nodes that write are never equal; random ones are, since their numbers are a
 * function of their site. */
#include "ir/build.h"
#include "passes/pass.h"

#include "base/hash.h"

#include <string.h>

typedef struct Key {
    ValueId inputs[UINT8_MAX];
    unsigned n_inputs;
} Key;

static Key key_of(const Rewriter *rw, const Node *n)
{
    Key key = { .n_inputs = n->n_inputs };
    for (unsigned i = 0; i < n->n_inputs; i++)
        key.inputs[i] = rewrite_of(rw, node_input(rw->old, n, i));
    if ((op_info(n->op)->flags & OP_COMMUTES) && key.inputs[0] > key.inputs[1]) {
        const ValueId swap = key.inputs[0];
        key.inputs[0] = key.inputs[1];
        key.inputs[1] = swap;
    }
    return key;
}

static bool attr_equal(const OpInfo *info, unsigned i, const AttrValue *a, const AttrValue *b)
{
    if (info->attrs[i].kind == ATTR_DIM)
        return dim_equal(a->dim, b->dim);
    if (info->attrs[i].kind == ATTR_FLOAT)
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    return a->i == b->i;
}

/* Of what structural equality compares, the parts that differ most. */
static uint64_t hash_node(const Graph *g, const Node *n, const Key *key)
{
    const OpInfo *info = op_info(n->op);
    uint64_t h = hash_seeded(key->inputs, key->n_inputs * sizeof *key->inputs, (uint64_t)n->op);
    for (unsigned i = 0; i < info->n_attrs; i++) {
        const AttrValue *a = &n->attr[i];
        h = info->attrs[i].kind == ATTR_DIM ? hash_seeded(&a->dim.coef, sizeof a->dim.coef, h)
            : info->attrs[i].kind == ATTR_FLOAT ? hash_seeded(&a->f, sizeof a->f, h)
            : hash_seeded(&a->i, sizeof a->i, h);
    }
    const Shape *s = &value_type(g, n->first_output)->shape;
    for (int a = 0; a < s->rank; a++)
        h = hash_seeded(&s->dim[a].coef, sizeof s->dim[a].coef, h);
    return h;
}

static bool node_equal(const Rewriter *rw, const Node *a, const Node *b, const Key *key_b)
{
    if (a->op != b->op || a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs)
        return false;
    const Key key_a = key_of(rw, a);
    if (memcmp(key_a.inputs, key_b->inputs, a->n_inputs * sizeof *key_a.inputs) != 0)
        return false;
    for (unsigned i = 0; i < op_info(a->op)->n_attrs; i++)
        if (!attr_equal(op_info(a->op), i, &a->attr[i], &b->attr[i]))
            return false;
    return type_equal(value_type(rw->old, a->first_output), value_type(rw->old, b->first_output));
}

bool pass_cse(Graph *g, PassContext *cx)
{
    Rewriter rw = rewrite_begin(g, cx->scratch);
    const Graph *old = rw.old;
    uint32_t n_slots = 64;
    while (n_slots < 2 * old->n_nodes)
        n_slots *= 2;
    NodeId *slots = arena_array(cx->scratch, n_slots, sizeof *slots);  /* node + 1, 0: empty */
    for (NodeId n = 0; n < old->n_nodes; n++) {
        const Node *node = &old->nodes[n];
        const Key key = key_of(&rw, node);
        uint32_t at = (uint32_t)hash_node(old, node, &key) & (n_slots - 1);
        if (op_info(node->op)->flags & OP_WRITES) {
            rewrite_copy(&rw, n);
            continue;
        }
        while (slots[at] && !node_equal(&rw, &old->nodes[slots[at] - 1], node, &key))
            at = (at + 1) & (n_slots - 1);
        if (slots[at]) {
            const Node *same = &old->nodes[slots[at] - 1];
            for (unsigned i = 0; i < node->n_outputs; i++)
                rw.map[node->first_output + i] = rw.map[same->first_output + i];
            continue;
        }
        slots[at] = n + 1;
        rewrite_copy(&rw, n);
    }
    rewrite_end(&rw);
    return true;
}
