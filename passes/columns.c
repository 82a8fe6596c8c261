/* Sums of columns, taken where the rows are in cache.
 *
 * needs  sums that keep the last axis alone, as the gradients of gains and biases are
 * keeps  order, meaning; the order of a sum's terms is another matter
 *
 * sum(x) over all axes but the last reads all of x for few numbers.  Where a row program makes x, or reads
 * it anyway, it becomes sum(column_sums(x)): the program adds each row to the sums of its part of the rows,
 * and what is left is a sum over the parts.  Parts are fixed here, from the largest sizes, so the bits owe
 * nothing to the threads; there are enough of them for many threads, and rows enough in each that the sums
 * of the parts are little to read.  Sums that the fuser leaves alone it makes what they were. */
#include "ir/build.h"
#include "passes/fuse.h"
#include "passes/pass.h"

#include "base/check.h"

/* Fewer elements are read again from the second-level cache for less than the parts cost. */
enum { MOST_PARTS = 64, LEAST_ROWS = 16, LEAST_ELEMENTS = 1 << 16 };

typedef struct Columns {
    Rewriter rw;
    bool *in_rows;                      /* by value: a row program has its rows */
    int64_t sizes[MAX_SYMBOLS];
} Columns;

/* All axes but the last? */
static bool keeps_last_axis(const Graph *g, const Node *n)
{
    const int last = value_type(g, node_input(g, n, 0))->shape.rank - 1;
    return (n->op == OP_sum || n->op == OP_sum_squares) && last > 0
        && NODE_ATTR(n, sum, axes).i == ((int64_t)1 << last) - 1;
}

/* Values that a row op makes, and those that one reads which are as large as its rows. */
static void find_rows(Columns *c, const Graph *g)
{
    for (NodeId id = 0; id < g->n_nodes; id++) {
        const Node *n = &g->nodes[id];
        if (!fuse_knows(g, n) || op_info(n->op)->class == CLASS_WRITE)
            continue;
        const bool map = op_info(n->op)->class == CLASS_MAP;
        c->in_rows[n->first_output] = c->in_rows[n->first_output] || map;
        for (unsigned i = 0; i < n->n_inputs; i++) {
            const ValueId x = node_input(g, n, i);
            const bool whole = !map || shape_equal(&value_type(g, x)->shape,
                                                   &value_type(g, n->first_output)->shape);
            c->in_rows[x] = c->in_rows[x] || (whole && n->op != OP_embedding);
        }
    }
}

static int64_t largest_count(const Columns *c, const Shape *s)
{
    Dim count;
    int64_t n;
    return shape_count(s, &count) && dim_eval(count, c->sizes, &n) ? n : 0;
}

/* How many parts the rows of `x` are summed in; 0 where they are too few, or it is too small. */
static int64_t parts_of(const Columns *c, const Shape *x)
{
    Shape leading = *x;
    leading.rank--;
    const int64_t rows = largest_count(c, &leading);
    if (rows < 2 * LEAST_ROWS || largest_count(c, x) < LEAST_ELEMENTS)
        return 0;
    return rows / LEAST_ROWS < MOST_PARTS ? rows / LEAST_ROWS : MOST_PARTS;
}

static bool split(Columns *c, NodeId id)
{
    const Graph *old = c->rw.old;
    const Node *n = &old->nodes[id];
    if (!keeps_last_axis(old, n))
        return false;
    const ValueId x = node_input(old, n, 0);
    const int64_t parts = parts_of(c, &value_type(old, x)->shape);
    if (!c->in_rows[x] || parts == 0)
        return false;
    const ValueId rows = rewrite_of(&c->rw, x);
    NodeSpec spec = node_spec(OP_column_sums, &rows, 1, n->span, n->path);
    spec.attr[ATTR_INDEX(column_sums, parts)].i = parts;
    const ValueId sums = graph_add(c->rw.new_, &spec, NULL);
    spec = node_spec(n->op, &sums, 1, n->span, n->path);
    spec.attr[ATTR_INDEX(sum, axes)] = NODE_ATTR(n, sum, axes);
    const ValueId first = graph_add(c->rw.new_, &spec, NULL);
    for (unsigned i = 0; i < n->n_outputs; i++)
        c->rw.map[n->first_output + i] = first + i;
    return true;
}

bool pass_columns(Graph *g, PassContext *cx)
{
    Columns c = { .in_rows = arena_array(cx->scratch, g->n_values, sizeof *c.in_rows) };
    if (!fusion_on(cx->options->fusions, FUSE_column_sums))
        return true;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        c.sizes[s] = s < (int)g->n_symbols ? g->symbol[s].max : 1;
    find_rows(&c, g);
    c.rw = rewrite_begin(g, cx->scratch);
    for (NodeId n = 0; n < c.rw.old->n_nodes; n++)
        if (!split(&c, n))
            rewrite_copy(&c.rw, n);
    rewrite_end(&c.rw);
    return true;
}
