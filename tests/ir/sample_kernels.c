/* Samples of products, attention, losses and writes. */
#include "tests/ir/sample_rule.h"

void sample_product(Sample *s, OpId op)
{
    ValueId in[] = { f32_input(s, DIMS(C(2), C(8), s->T)), f32_input(s, DIMS(C(4), C(8))),
                     f32_input(s, DIMS(C(4))), f32_input(s, DIMS(C(2), s->T, C(4))) };
    NodeSpec n = rule_spec(s, op, in, 4);
    rule_attr(&n, "transpose_a")->i = 1;
    rule_attr(&n, "transpose_b")->i = 1;
    rule_attr(&n, "alpha")->f = 0.5;
    rule_attr(&n, "bias")->i = 1;
    rule_attr(&n, "residual")->i = 1;
    rule_attr(&n, "activation")->i = OP_silu;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
    in[2] = in[3];
    n.n_inputs = 3;
    rule_attr(&n, "bias")->i = 0;
    rule_attr(&n, "activation")->i = OP_copy;
    rule_add(s, &n);
}

void sample_matmul(Sample *s, OpId op)
{
    ValueId in[] = { f32_input(s, DIMS(s->B, C(2), s->T, C(8))), f32_input(s, DIMS(C(8), C(4))) };
    NodeSpec n = rule_spec(s, op, in, 2);
    rule_add(s, &n);
    in[1] = f32_input(s, DIMS(C(1), s->T, C(4)));
    rule_attr(&n, "transpose_a")->i = 1;
    rule_attr(&n, "alpha")->f = 0.125;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
    in[1] = f32_input(s, DIMS(C(4), s->T));
    rule_attr(&n, "transpose_b")->i = 1;
    rule_add(s, &n);
}

void sample_matmul_squares(Sample *s, OpId op)
{
    ValueId in[] = { f32_input(s, DIMS(s->T, C(70))), f32_input(s, DIMS(C(4), s->T)) };
    NodeSpec n = rule_spec(s, op, in, 2);
    rule_attr(&n, "transpose_a")->i = 1;
    rule_attr(&n, "transpose_b")->i = 1;
    rule_attr(&n, "alpha")->f = 0.5;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
}

void sample_embedding(Sample *s, OpId op)
{
    build2(&s->b, op, f32_input(s, DIMS(C(16), C(8))),
           sample_input(s, DTYPE_i32, DIMS(s->B, s->T)));
}

void sample_embedding_grad(Sample *s, OpId op)
{
    Type table = type_of(DTYPE_f32, DIMS(C(16), C(8)));
    ValueId in[] = { build_zeros(&s->b, &table), sample_input(s, DTYPE_i32, DIMS(s->B, s->T)),
                     f32_input(s, DIMS(s->B, s->T, C(8))) };
    NodeSpec n = rule_spec(s, op, in, 3);
    rule_add(s, &n);
    rule_attr(&n, "squares")->i = 1;
    rule_add(s, &n);
}

void sample_masked_matmul(Sample *s, OpId op)
{
    build3(&s->b, op, f32_input(s, DIMS(s->B, s->T, C(8))), f32_input(s, DIMS(C(6), C(8))),
           f32_input(s, DIMS(s->B, s->T, C(1))));
}

void sample_rope(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, C(2), s->T, C(8))), sample_input(s, DTYPE_i32, DIMS(s->T)),
    };
    NodeSpec n = rule_spec(s, op, in, 2);
    rule_add(s, &n);
    rule_attr(&n, "base")->f = 500000;
    rule_attr(&n, "style")->i = STYLE_interleaved;
    rule_attr(&n, "inverse")->i = 1;
    rule_add(s, &n);
    ValueId stretched[] = { in[0], in[1], f32_input(s, DIMS(C(4))) };
    n = rule_spec(s, op, stretched, 3);
    rule_add(s, &n);
}

void sample_causal_mask(Sample *s, OpId op)
{
    build1(&s->b, op, f32_input(s, DIMS(s->B, C(2), s->T, s->T)));
}

static void odd_attention(NodeSpec *n)
{
    rule_attr(n, "window")->i = 4;
    rule_attr(n, "scale")->f = 0.25;
    rule_attr(n, "soft_cap")->f = 30;
}

static void odd_dropping(NodeSpec *n)
{
    rule_attr(n, "drop")->f = 0.2;
    rule_attr(n, "site")->i = 5;
}

void sample_attention(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, C(4), s->T, C(8))), f32_input(s, DIMS(s->B, C(2), s->T, C(8))),
        f32_input(s, DIMS(s->B, C(2), s->T, C(6))), seed_input(s),
    };
    NodeSpec n = rule_spec(s, op, in, 3);
    rule_attr(&n, "causal")->i = 0;
    rule_add(s, &n);
    n = rule_spec(s, op, in, 4);
    odd_attention(&n);
    odd_dropping(&n);
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
}

void sample_attention_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, C(4), s->T, C(8))), f32_input(s, DIMS(s->B, C(2), s->T, C(8))),
        f32_input(s, DIMS(s->B, C(2), s->T, C(6))), f32_input(s, DIMS(s->B, C(4), s->T, C(6))),
        f32_input(s, DIMS(s->B, C(4), s->T)), f32_input(s, DIMS(s->B, C(4), s->T, C(6))), seed_input(s),
    };
    NodeSpec n = rule_spec(s, op, in, 6);
    rule_attr(&n, "causal")->i = 0;
    rule_add(s, &n);
    n = rule_spec(s, op, in, 7);
    odd_attention(&n);
    odd_dropping(&n);
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
}

void sample_attention_cached(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, C(4), s->T, C(8))), sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
        sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(6))), scalar_input(s, DTYPE_i32),
    };
    NodeSpec n = rule_spec(s, op, in, 4);
    rule_attr(&n, "causal")->i = 0;
    rule_add(s, &n);
    rule_attr(&n, "causal")->i = 1;
    odd_attention(&n);
    rule_add(s, &n);
}

void sample_cross_entropy(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, s->T, C(16))), sample_input(s, DTYPE_i32, DIMS(s->B, s->T)),
    };
    NodeSpec n = rule_spec(s, op, in, 2);
    rule_add(s, &n);
    rule_attr(&n, "ignore")->i = -1;
    rule_add(s, &n);
}

void sample_cross_entropy_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->B, s->T, C(16))), f32_input(s, DIMS(s->B, s->T)),
        sample_input(s, DTYPE_i32, DIMS(s->B, s->T)), f32_input(s, DIMS(s->B, s->T)),
    };
    NodeSpec n = rule_spec(s, op, in, 4);
    rule_add(s, &n);
    rule_attr(&n, "ignore")->i = 0;
    rule_add(s, &n);
}

void sample_linear_cross_entropy(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->T, C(8))), f32_input(s, DIMS(C(8), C(16))),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_input(s, DIMS(C(16))),
    };
    NodeSpec n = rule_spec(s, op, in, 3);
    rule_add(s, &n);
    in[1] = f32_input(s, DIMS(C(16), C(8)));
    rule_attr(&n, "transpose_w")->i = 1;
    rule_attr(&n, "alpha")->f = 0.5;
    rule_attr(&n, "chunk")->i = 4;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_attr(&n, "ignore")->i = 0;
    rule_attr(&n, "activation")->i = OP_tanh;
    rule_attr(&n, "gain")->f = 30;
    rule_add(s, &n);
    n.n_inputs = 4;
    rule_add(s, &n);
}

void sample_linear_cross_entropy_grad(Sample *s, OpId op)
{
    ValueId in[] = {
        f32_input(s, DIMS(s->T, C(8))), f32_input(s, DIMS(C(16), C(8))),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_input(s, DIMS(s->T)), f32_input(s, DIMS(C(16))),
    };
    NodeSpec n = rule_spec(s, op, in, 4);
    rule_attr(&n, "transpose_w")->i = 1;
    rule_attr(&n, "alpha")->f = 0.5;
    rule_attr(&n, "chunk")->i = 4;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_attr(&n, "ignore")->i = 0;
    rule_add(s, &n);
    rule_attr(&n, "activation")->i = OP_sigmoid;
    rule_attr(&n, "gain")->f = -2;
    rule_attr(&n, "squares")->i = 1;
    rule_add(s, &n);
    n.n_inputs = 5;
    rule_add(s, &n);
    rule_attr(&n, "squares")->i = 0;
    rule_add(s, &n);
}

void sample_cache_write(Sample *s, OpId op)
{
    build3(&s->b, op, sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
           f32_input(s, DIMS(s->B, C(2), s->T, C(8))), scalar_input(s, DTYPE_i32));
    ValueId in[] = {
        sample_state(s, DTYPE_f32, DIMS(s->B, C(2), C(32), C(8))),
        f32_input(s, DIMS(s->B, C(2), s->T, C(8))), scalar_input(s, DTYPE_i32),
        sample_input(s, DTYPE_i32, DIMS(s->T)), f32_input(s, DIMS(C(4))),
    };
    NodeSpec n = rule_spec(s, op, in, 5);
    rule_attr(&n, "base")->f = 500;
    rule_attr(&n, "style")->i = STYLE_interleaved;
    rule_attr(&n, "inverse")->i = 1;
    rule_add(s, &n);
}

void sample_assign(Sample *s, OpId op)
{
    build2(&s->b, op, sample_state(s, DTYPE_f32, DIMS(C(3), C(4))), f32_input(s, DIMS(C(3), C(4))));
}

void sample_assign_product(Sample *s, OpId op)
{
    ValueId in[] = { sample_state(s, DTYPE_f32, DIMS(C(3), C(4))), f32_input(s, DIMS(s->T, C(3))),
                     f32_input(s, DIMS(C(4), s->T)) };
    NodeSpec n = rule_spec(s, op, in, 3);
    rule_attr(&n, "transpose_a")->i = 1;
    rule_attr(&n, "transpose_b")->i = 1;
    rule_attr(&n, "alpha")->f = 2;
    rule_attr(&n, "precision")->i = DTYPE_bf16;
    rule_add(s, &n);
}
