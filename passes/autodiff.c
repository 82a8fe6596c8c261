/* Reverse-mode differentiation (Linnainmaa 1970): walks the forward nodes from the last to the
 * first, and by the rules of passes/vjp.h gives every value the cotangent of the loss. */
#include "base/check.h"
#include "passes/pass.h"
#include "passes/vjp.h"

#include <stdlib.h>
#include <string.h>

/* A cotangent of elements start..stop of an axis, from a slice. */
typedef struct Part {
    int axis;
    int64_t start, stop;
    ValueId g;
    struct Part *next;
} Part;

typedef struct Tape {
    Graph *g;
    PassContext *cx;
    bool *active;                       /* per forward value: float, and made from a parameter */
    ValueId *cotangent;                 /* the sum so far, NO_VALUE: nothing came yet */
    Part **parts;                       /* what slices gave besides */
} Tape;

/* ---- what depends on a parameter ------------------------------------------------------------- */

static void find_active(Tape *t)
{
    const Graph *g = t->g;
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        bool active = node->op == OP_param;
        for (unsigned i = 0; i < node->n_inputs; i++)
            active = active || t->active[node_input(g, node, i)];
        for (unsigned i = 0; i < node->n_outputs; i++) {
            const ValueId v = node->first_output + i;
            t->active[v] = active && value_type(g, v)->dtype == DTYPE_f32;
        }
    }
}

/* ---- sums of cotangents ---------------------------------------------------------------------- */

/* The axes of `from` along which `to` was stretched to it. */
static int64_t stretched(const Shape *from, const Shape *to)
{
    int64_t axes = 0;
    const int more = from->rank - to->rank;
    for (int a = 0; a < from->rank; a++)
        if (!dim_is(from->dim[a], 1) && (a < more || dim_is(to->dim[a - more], 1)))
            axes |= (int64_t)1 << a;
    return axes;
}

static bool one_element(const Shape *s)
{
    for (int a = 0; a < s->rank; a++)
        if (!dim_is(s->dim[a], 1))
            return false;
    return true;
}

/* A rule's cotangent in the shape of the input it belongs to. */
static ValueId fit(Builder *b, ValueId x, const Shape *to)
{
    const Shape from = value_type(b->g, x)->shape;
    if (shape_equal(&from, to))
        return x;
    if (from.rank >= to->rank) {
        int64_t axes = stretched(&from, to);
        if (axes && one_element(to))
            x = build_sum(b, x, ALL_AXES);
        else if (axes)
            x = build_sum(b, x, axes);
    }
    Dim have, want;
    const Shape now = value_type(b->g, x)->shape;
    bool counted = shape_count(&now, &have) && shape_count(to, &want);
    CHECK(counted, "a tensor of more than 2^62 elements");
    return dim_equal(have, want) ? build_reshape(b, x, to) : build_broadcast(b, x, to);
}

static void accumulate(Tape *t, Builder *b, ValueId v, ValueId g)
{
    t->cotangent[v] = t->cotangent[v] == NO_VALUE ? g : build2(b, OP_add, t->cotangent[v], g);
}

/* Parts are kept until all have come, because together they may be the whole. */
static void accumulate_part(Tape *t, Vjp *v, ValueId of)
{
    for (Part *p = t->parts[of]; p; p = p->next)
        if (p->axis == v->axis && p->start == v->start && p->stop == v->stop) {
            p->g = build2(&v->b, OP_add, p->g, v->d[0]);
            return;
        }
    Part *p = arena_alloc(t->cx->scratch, sizeof *p);
    *p = (Part){ v->axis, v->start, v->stop, v->d[0], t->parts[of] };
    t->parts[of] = p;
}

static int by_start(const void *a, const void *b)
{
    const int64_t x = (*(Part *const *)a)->start, y = (*(Part *const *)b)->start;
    return (x > y) - (x < y);
}

/* Do the sorted parts lie side by side from 0 to `size` of one axis? */
static bool tile(Part *const *parts, unsigned n, int64_t size)
{
    int64_t end = 0;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i]->axis != parts[0]->axis || parts[i]->start != end)
            return false;
        end = parts[i]->stop;
    }
    return end == size;
}

static ValueId join(Builder *b, Part *const *parts, unsigned n)
{
    ValueId in[32];
    const unsigned most = op_info(OP_concat)->max_inputs;
    if (n == 1)
        return parts[0]->g;
    if (n > most) {
        in[0] = join(b, parts, n / 2);
        in[1] = join(b, parts + n / 2, n - n / 2);
    }
    for (unsigned i = 0; i < n && n <= most; i++)
        in[i] = parts[i]->g;
    NodeSpec spec = node_spec(OP_concat, in, n <= most ? n : 2, b->span, b->path);
    spec.attr[ATTR_INDEX(concat, axis)].i = parts[0]->axis;
    return graph_add(b->g, &spec, NULL);
}

static ValueId padded(Builder *b, const Part *p, int64_t size)
{
    NodeSpec spec = node_spec(OP_pad, &p->g, 1, b->span, b->path);
    spec.attr[ATTR_INDEX(pad, axis)].i = p->axis;
    spec.attr[ATTR_INDEX(pad, before)].i = p->start;
    spec.attr[ATTR_INDEX(pad, after)].i = size - p->stop;
    return graph_add(b->g, &spec, NULL);
}

static void join_parts(Tape *t, ValueId v)
{
    Builder b = builder_at(t->g, value_def(t->g, v));
    const Shape shape = value_type(t->g, v)->shape;
    unsigned n = 0;
    for (Part *p = t->parts[v]; p; p = p->next)
        n++;
    Part **parts = arena_array(t->cx->scratch, n, sizeof *parts);
    n = 0;
    for (Part *p = t->parts[v]; p; p = p->next)
        parts[n++] = p;
    qsort(parts, n, sizeof *parts, by_start);
    if (tile(parts, n, shape.dim[parts[0]->axis].coef)) {
        accumulate(t, &b, v, join(&b, parts, n));
    } else {
        for (unsigned i = 0; i < n; i++)
            accumulate(t, &b, v, padded(&b, parts[i], shape.dim[parts[i]->axis].coef));
    }
    t->parts[v] = NULL;
}

/* The whole cotangent of a value, once every use of it has been walked. */
static ValueId cotangent_of(Tape *t, ValueId v)
{
    if (t->parts[v])
        join_parts(t, v);
    return t->cotangent[v];
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool no_gradient(Tape *t, const Node *n, const char *what)
{
    diag_error(t->cx->diags, n->span, DIAG_E0431, "%s has no gradient%s", op_info(n->op)->name,
               what);
    diag_label(t->cx->diags, "a parameter reaches the loss through this");
    return false;
}

static void spread(Tape *t, Vjp *v)
{
    for (unsigned i = 0; i < v->node->n_inputs; i++) {
        if (!v->wanted[i] || v->d[i] == NO_VALUE)
            continue;
        if (v->part) {
            accumulate_part(t, v, v->in[i]);
            continue;
        }
        const Shape shape = value_type(t->g, v->in[i])->shape;
        accumulate(t, &v->b, v->in[i], fit(&v->b, v->d[i], &shape));
    }
}

static bool step_back(Tape *t, NodeId id)
{
    const Node node = t->g->nodes[id];          /* a copy: rules add nodes, and the array moves */
    ValueId in[UINT8_MAX], d[UINT8_MAX];
    bool wanted[UINT8_MAX], any = false;
    for (unsigned i = 0; i < node.n_inputs; i++) {
        in[i] = node_input(t->g, &node, i);
        d[i] = NO_VALUE;
        wanted[i] = t->active[in[i]];
        any = any || wanted[i];
    }
    if (!any)
        return true;
    for (unsigned i = 1; i < node.n_outputs; i++)
        if (cotangent_of(t, node.first_output + i) != NO_VALUE)
            return no_gradient(t, &node, " for its second result");
    ValueId g = cotangent_of(t, node.first_output);
    if (g == NO_VALUE)
        return true;
    if (vjp_rules[node.op] == vjp_none)
        return no_gradient(t, &node, "");
    Vjp v = {
        .b = builder_at(t->g, &node), .node = &node, .in = in, .out = node.first_output, .g = g,
        .wanted = wanted, .d = d,
    };
    vjp_rules[node.op](&v);
    spread(t, &v);
    return true;
}

/* ---- the pass -------------------------------------------------------------------------------- */

static ValueId find_output(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, name) == 0)
            return g->outputs[i].value;
    return NO_VALUE;
}

/* Zero, and a warning, where the loss does not depend on the parameter. */
static ValueId gradient(Tape *t, StorageId s, ValueId source)
{
    ValueId g = source == NO_VALUE ? NO_VALUE : cotangent_of(t, source);
    if (g != NO_VALUE)
        return g;
    const Storage *p = &t->g->storages[s];
    diag_warning(t->cx->diags, p->span, DIAG_W0502, "the loss does not depend on `%s`", p->name);
    Builder b = { .g = t->g, .span = p->span, .path = "" };
    return build_zeros(&b, &p->type);
}

static void name_gradients(Tape *t, NodeId n_forward)
{
    Graph *g = t->g;
    ValueId *source = arena_array(t->cx->scratch, g->n_storages, sizeof *source);
    for (StorageId s = 0; s < g->n_storages; s++)
        source[s] = NO_VALUE;
    for (NodeId n = 0; n < n_forward; n++)
        if (g->nodes[n].op == OP_param)
            source[NODE_ATTR(&g->nodes[n], param, storage).i] = g->nodes[n].first_output;
    for (StorageId s = 0; s < g->n_storages; s++) {
        const Storage p = g->storages[s];
        if (p.class != STORAGE_PARAM || p.type.dtype != DTYPE_f32)
            continue;
        const char *name = arena_printf(t->cx->scratch, "grad.%s", p.name);
        graph_output(g, name, gradient(t, s, source[s]), p.span);
    }
}

/* needs  an output `loss`, f32[]; programs train and accumulate
 * keeps  the forward nodes and their order; adds the backward ones behind them, at the places of the
 *        nodes they come from, and an output `grad.<path>` for every float parameter */
bool pass_autodiff(Graph *g, PassContext *cx)
{
    const NodeId n_forward = g->n_nodes;
    const ValueId loss = find_output(g, "loss");
    CHECK(loss != NO_VALUE, "autodiff without an output `loss`");
    Tape t = {
        .g = g, .cx = cx,
        .active = arena_array(cx->scratch, g->n_values, sizeof(bool)),
        .cotangent = arena_array(cx->scratch, g->n_values, sizeof(ValueId)),
        .parts = arena_array(cx->scratch, g->n_values, sizeof(Part *)),
    };
    for (ValueId v = 0; v < g->n_values; v++)
        t.cotangent[v] = NO_VALUE;
    find_active(&t);
    Builder b = builder_at(g, value_def(g, loss));
    t.cotangent[loss] = build_constant(&b, 1);
    bool ok = true;
    for (NodeId n = n_forward; n-- > 0;)
        ok = step_back(&t, n) && ok;
    if (ok)
        name_gradients(&t, n_forward);
    return ok;
}
