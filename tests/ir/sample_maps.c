/* Samples of sources, maps, reductions and views. */
#include "tests/ir/sample_rule.h"

#include <math.h>

void sample_storage(Sample *s, OpId op)
{
    StorageClass class = op == OP_input   ? STORAGE_INPUT
                         : op == OP_param ? STORAGE_PARAM
                                          : STORAGE_STATE;
    sample_value(s, class, DTYPE_f32, DIMS(C(3), C(4)));
    sample_value(s, class, DTYPE_i32, 0, NULL);
}

void sample_constant(Sample *s, OpId op)
{
    static const double values[] = {
        0, -0.0, 1, -3, 0.1, 1e-5, 1.0 / 3, 1e300, 5e-324, 0.02 / 4.898979485566356, 123456789012,
        1e15, 1e16 + 2, INFINITY, -INFINITY, NAN,
    };
    for (size_t i = 0; i < COUNT_OF(values); i++)
        build_constant(&s->b, values[i]);
    NodeSpec n = rule_spec(s, op, NULL, 0);
    rule_attr(&n, "dtype")->i = DTYPE_i32;
    rule_attr(&n, "value")->f = 7;
    rule_add(s, &n);
}

void sample_extent(Sample *s, OpId op)
{
    NodeSpec n = rule_spec(s, op, NULL, 0);
    rule_add(s, &n);
    CHECK(dim_mul(s->B, s->T, &rule_attr(&n, "size")->dim), "B * T");
    rule_add(s, &n);
}

void sample_positions(Sample *s, OpId op)
{
    NodeSpec n = rule_spec(s, op, NULL, 0);
    rule_attr(&n, "length")->dim = s->T;
    rule_add(s, &n);
    ValueId past = scalar_input(s, DTYPE_i32);
    n = rule_spec(s, op, &past, 1);
    rule_attr(&n, "length")->dim = s->T;
    rule_add(s, &n);
}

/* x of the full shape, then ones that stretch. */
static void sample_map_of(Sample *s, OpId op, DType dtype)
{
    ValueId in[] = {
        sample_input(s, dtype, DIMS(s->B, s->T, C(8))),
        sample_input(s, dtype, DIMS(s->T, C(1))),
        sample_input(s, dtype, 0, NULL),
    };
    NodeSpec n = rule_spec(s, op, in, op_info(op)->min_inputs);
    rule_add(s, &n);
}

void sample_map_float(Sample *s, OpId op)
{
    sample_map_of(s, op, DTYPE_f32);
}

void sample_map(Sample *s, OpId op)
{
    sample_map_of(s, op, DTYPE_f32);
    sample_map_of(s, op, DTYPE_i32);
}

void sample_compare(Sample *s, OpId op)
{
    sample_map(s, op);
}

void sample_where(Sample *s, OpId op)
{
    ValueId in[] = {
        sample_input(s, DTYPE_bool, DIMS(s->T, C(1))),
        f32_input(s, DIMS(s->B, s->T, C(8))), scalar_input(s, DTYPE_f32),
    };
    NodeSpec n = rule_spec(s, op, in, 3);
    rule_add(s, &n);
}

void sample_decode(Sample *s, OpId op)
{
    static const DType types[] = { DTYPE_bf16, DTYPE_f16, DTYPE_q8_0, DTYPE_q6_k };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        ValueId x = sample_value(s, STORAGE_PARAM, types[i], DIMS(C(3), C(256)));
        NodeSpec n = rule_spec(s, op, &x, 1);
        rule_add(s, &n);
        sample_value(s, STORAGE_PARAM, DTYPE_f32, DIMS(C(3), C(256)));
        s->g->storages[s->g->n_storages - 1].stored = types[i];
    }
    const char *weight = s->g->storages[s->g->n_storages - 1].name;
    sample_value(s, STORAGE_STATE, DTYPE_bf16, DIMS(C(3), C(256)));
    s->g->storages[s->g->n_storages - 1].rounded_of = weight;
}

void sample_cast(Sample *s, OpId op)
{
    for (int to = 0; to < N_DTYPES; to++)
        for (int from = 0; from < N_DTYPES; from++) {
            if (!dtype_is_lane((DType)to) || !dtype_is_lane((DType)from))
                continue;
            ValueId x = sample_input(s, (DType)from, DIMS(s->B));
            NodeSpec n = rule_spec(s, op, &x, 1);
            rule_attr(&n, "dtype")->i = to;
            rule_add(s, &n);
        }
}

void sample_round_bf16(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
}

void sample_dropout(Sample *s, OpId op)
{
    ValueId in[] = { f32_input(s, DIMS(s->B, s->T, C(8))), seed_input(s) };
    NodeSpec n = rule_spec(s, op, in, 1);
    rule_add(s, &n);
    n = rule_spec(s, op, in, 2);
    rule_attr(&n, "p")->f = 0.1;
    rule_attr(&n, "site")->i = 3;
    rule_add(s, &n);
}

void sample_reduce(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
    rule_attr(&n, "axes")->i = 1 << 2;
    rule_add(s, &n);
    rule_attr(&n, "axes")->i = 1 << 0 | 1 << 2;
    rule_add(s, &n);
}

void sample_softmax(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
    rule_attr(&n, "axis")->i = 1;
    rule_add(s, &n);
}

void sample_partial_sum(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(C(64), C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
    rule_attr(&n, "square")->i = 1;
    rule_add(s, &n);
}

void sample_column_sums(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
    rule_attr(&n, "parts")->i = 3;
    rule_add(s, &n);
}

void sample_sum_squares(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(70)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_attr(&n, "axes")->i = 3;
    rule_add(s, &n);
}

void sample_reshape(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    n.shape = type_of(DTYPE_f32, DIMS(s->B, s->T, C(2), C(4))).shape;
    rule_add(s, &n);
    Dim rows;
    CHECK(dim_mul(s->B, s->T, &rows) && dim_mul(rows, C(2), &rows), "2 B T");
    n.shape = type_of(DTYPE_f32, DIMS(rows, C(4))).shape;
    rule_add(s, &n);
}

void sample_transpose(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, s->T, C(2), C(4)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_add(s, &n);
    rule_attr(&n, "a")->i = 1;
    rule_attr(&n, "b")->i = 2;
    rule_add(s, &n);
}

void sample_slice(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(C(6), s->T, C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_attr(&n, "stop")->i = 3;
    rule_add(s, &n);
    rule_attr(&n, "start")->i = 2;
    rule_attr(&n, "axis")->i = 0;
    rule_add(s, &n);
}

void sample_broadcast(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->T, C(1)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    n.shape = type_of(DTYPE_f32, DIMS(s->B, s->T, C(8))).shape;
    rule_add(s, &n);
}

void sample_concat(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, C(3), C(8))), f32_input(s, DIMS(s->B, C(5), C(8))),
        f32_input(s, DIMS(s->B, C(5), C(2))),
    };
    NodeSpec n = rule_spec(s, op, in, 1);
    rule_add(s, &n);
    n = rule_spec(s, op, in, 2);
    rule_attr(&n, "axis")->i = 1;
    rule_add(s, &n);
    n = rule_spec(s, op, in + 1, 2);
    rule_add(s, &n);
}

void sample_pad(Sample *s, OpId op)
{
    ValueId x = f32_input(s, DIMS(s->B, C(5), C(8)));
    NodeSpec n = rule_spec(s, op, &x, 1);
    rule_attr(&n, "before")->i = 1;
    rule_add(s, &n);
    rule_attr(&n, "axis")->i = 1;
    rule_attr(&n, "after")->i = 2;
    rule_add(s, &n);
}

void sample_copy(Sample *s, OpId op)
{
    build1(&s->b, op, f32_input(s, DIMS(s->B, s->T)));
}

void sample_after(Sample *s, OpId op)
{
    build2(&s->b, op, f32_input(s, DIMS(s->B, s->T)), f32_input(s, DIMS(C(8))));
}
