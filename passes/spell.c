/* Ops spelled from simpler ones. */
#include "passes/spell.h"

#include "base/check.h"

Dim spell_reduced(const Shape *shape, int64_t axes)
{
    Dim n = dim_const(1);
    for (int a = 0; a < shape->rank; a++)
        if (axes == ALL_AXES || axes >> a & 1) {
            bool fits = dim_mul(n, shape->dim[a], &n);
            CHECK(fits, "a reduction of more than 2^62 elements");
        }
    return n;
}

ValueId spell_divide(Builder *b, ValueId x, Dim n)
{
    if (dim_is_const(n))
        return build_scale(b, x, 1 / (double)n.coef);
    return build2(b, OP_mul, x, build1(b, OP_recip, build_extent(b, n)));
}

static ValueId positions(Builder *b, Dim length)
{
    NodeSpec spec = node_spec(OP_positions, NULL, 0, b->span, b->path);
    spec.attr[ATTR_INDEX(positions, length)].dim = length;
    return graph_add(b->g, &spec, NULL);
}

ValueId spell_visible(Builder *b, const Shape *scores)
{
    const Dim queries = scores->dim[scores->rank - 2], keys = scores->dim[scores->rank - 1];
    const Shape column = { .rank = 2, .dim = { queries, dim_const(1) } };
    ValueId key = positions(b, keys);
    ValueId query = build_reshape(b, positions(b, queries), &column);
    return build2(b, OP_le, key, query);
}
