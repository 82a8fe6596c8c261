/* Between the files of the samples: one function for each shape rule of ops.def, and what they build with. */
#ifndef TESTS_IR_SAMPLE_RULE_H
#define TESTS_IR_SAMPLE_RULE_H

#include "tests/ir/sample.h"

#include "base/check.h"

#define DIMS(...) (int)COUNT_OF(((Dim[]){ __VA_ARGS__ })), ((Dim[]){ __VA_ARGS__ })
#define C(n) dim_const(n)

/* A fresh storage of the class, as a value. */
ValueId sample_value(Sample *s, StorageClass class, DType dtype, int rank, const Dim *dims);
ValueId f32_input(Sample *s, int rank, const Dim *dims);
ValueId scalar_input(Sample *s, DType dtype);
ValueId seed_input(Sample *s);

/* The op on its inputs, attributes at their defaults; where the attribute of a name is; the node. */
NodeSpec rule_spec(Sample *s, OpId op, const ValueId *in, uint32_t n);
AttrValue *rule_attr(NodeSpec *spec, const char *name);
ValueId rule_add(Sample *s, const NodeSpec *spec);

#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) void sample_##shape(Sample *s, OpId op);
#include "ir/ops.def"

#endif
