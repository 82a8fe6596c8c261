/* What shape rules are made of: looking at inputs and attributes, and saying what is wrong.  Private
 * to the files infer*.c.
 *
 * Every need_* returns false after reporting; a rule is a chain of them joined by &&. */
#ifndef IR_INFER_RULE_H
#define IR_INFER_RULE_H

#include "ir/infer.h"

#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) bool infer_##shape(Infer *in);
#include "ir/ops.def"

static inline const Type *input_type(const Infer *in, unsigned i)
{
    return value_type(in->g, in->spec->inputs[i]);
}
static inline const Shape *input_shape(const Infer *in, unsigned i)
{
    return &input_type(in, i)->shape;
}
static inline Dim input_dim(const Infer *in, unsigned i, int axis)
{
    return input_type(in, i)->shape.dim[axis];
}

/* What the op calls its input ("x", "w", "table"). */
typedef struct InputName {
    char text[16];
} InputName;
InputName input_name(const Infer *in, unsigned i);

/* "matmul: " and the message, with the types of all inputs as the label.  Returns false. */
bool mistake(Infer *in, DiagCode code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Notes for the newest mistake: where two sizes come from, and free text. */
void note_sizes(Infer *in, Dim a, Dim b);
void note_text(Infer *in, const char *text);

bool need_dtype(Infer *in, unsigned input, DType dtype);
bool need_rank(Infer *in, unsigned input, int least, int most);
/* "seed must be i32[2]": an exact type. */
bool need_type(Infer *in, unsigned input, Type type);
/* The attributes of rope, for rows like input x, positions, and factors behind them when there are any. */
bool need_turn(Infer *in, unsigned x, unsigned positions);
/* Equal sizes of axis `a` of input i and axis `b` of input j. */
bool need_equal(Infer *in, unsigned i, int a, unsigned j, int b);
bool need_same_shape(Infer *in, unsigned i, unsigned j);

/* Attributes, by their index in the table. */
bool need_axis(Infer *in, int attr, int rank);          /* -rank..rank-1; becomes 0..rank-1 */
bool need_int(Infer *in, int attr, int64_t least, int64_t most);
bool need_float(Infer *in, int attr, double least, double below);   /* least <= value < below */
bool need_known(Infer *in, unsigned input, int axis);   /* a size that is a constant */

static inline bool set_out(Infer *in, DType dtype, const Shape *shape)
{
    in->out[0] = (Type){ .dtype = dtype, .shape = *shape };
    return true;
}

#endif
