/* Facts about operations, expanded from ops.def. */
#include "ir/op.h"

#include "base/check.h"

#include <string.h>

static const AttrInfo attrs[] = {
#define ATTR(op, name, kind, value) { #name, ATTR_##kind, value },
#include "ir/ops.def"
};

/* One byte for each attribute of a row and one more, so that their sizes count them: the rows of
 * ATTR follow their OP, and only a struct is still open by then. */
struct attrs_before {
    char one;
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    };                                                                   \
    struct attrs_of_##name {                                             \
        char one;
#define ATTR(op, name, kind, value) char op##_##name;
#include "ir/ops.def"
};

#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    _Static_assert(sizeof(struct attrs_of_##name) - 1 <= MAX_ATTRS, "too many attributes: " #name);
#include "ir/ops.def"

static const OpInfo ops[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags)                       \
    [OP_##name] = { #name, min, max, outs, (uint8_t)(sizeof(struct attrs_of_##name) - 1), class, \
                    flags, attrs + ATTR_FIRST_##name },
#include "ir/ops.def"
};

const OpInfo *op_info(OpId op)
{
    CHECK((size_t)op < N_OPS, "op %d", (int)op);
    return &ops[op];
}

bool op_from_name(const char *name, OpId *out)
{
    for (size_t i = 0; i < N_OPS; i++)
        if (strcmp(name, ops[i].name) == 0) {
            *out = (OpId)i;
            return true;
        }
    return false;
}

bool op_reads_stored(OpId op, unsigned input)
{
    return ((op == OP_matmul || op == OP_linear_cross_entropy || op == OP_masked_matmul) && input == 1)
        || (op == OP_embedding && input == 0)
        || ((op == OP_decode || op == OP_cache_write) && input == 0)
        || (op == OP_attention_cached && (input == 1 || input == 2));
}

bool op_reads_rounded(OpId op, unsigned input)
{
    const OpClass class = op_info(op)->class;
    const bool loss = op == OP_linear_cross_entropy || op == OP_linear_cross_entropy_grad;
    return class == CLASS_VIEW || ((class == CLASS_MATMUL || loss) && input <= 1)
        || (op == OP_assign_product && (input == 1 || input == 2))
        || (op == OP_assign && input == 0);
}

bool op_is_activation(int64_t op)
{
    if (op < 0 || op >= N_OPS)
        return false;
    const OpInfo *info = op_info((OpId)op);
    return op == OP_copy
        || (info->class == CLASS_MAP && info->max_inputs == 1 && info->n_attrs == 0
            && op != OP_causal_mask && op != OP_round_bf16);
}

unsigned op_n_results(OpId op, unsigned n_inputs, const AttrValue *attr)
{
    const OpInfo *info = op_info(op);
    const bool unpaired = (info->flags & OP_PAIRED) && n_inputs < info->max_inputs;
    const bool plain = (info->flags & OP_SQUARED) && !attr[info->n_attrs - 1].i;
    const bool both = (info->flags & OP_PAIRED) && (info->flags & OP_SQUARED);
    return info->n_outputs - (unpaired ? 1u : 0u) - (plain ? 1u : 0u)
        - (both && (unpaired || plain) ? 1u : 0u);
}

bool op_slope_of_result(OpId op, double c[3])
{
    static const struct {
        OpId op;
        double c[3];
    } slopes[] = {
        { OP_copy, { 1, 0, 0 } },
        { OP_exp, { 0, 1, 0 } },
        { OP_tanh, { 1, 0, -1 } },
        { OP_sigmoid, { 0, 1, -1 } },
    };
    for (size_t i = 0; i < sizeof slopes / sizeof *slopes; i++)
        if (slopes[i].op == op) {
            memcpy(c, slopes[i].c, sizeof slopes[i].c);
            return true;
        }
    return false;
}

OpId op_slope(OpId op)
{
    return op == OP_silu        ? OP_silu_slope
           : op == OP_gelu      ? OP_gelu_slope
           : op == OP_gelu_tanh ? OP_gelu_tanh_slope
                                : OP_copy;
}

int op_attr(OpId op, const char *name)
{
    const OpInfo *info = op_info(op);
    for (int i = 0; i < info->n_attrs; i++)
        if (strcmp(name, info->attrs[i].name) == 0)
            return i;
    return -1;
}
