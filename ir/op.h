/* The operations as an enum and as facts, all from ops.def. */
#ifndef IR_OP_H
#define IR_OP_H

#include "ir/type.h"

typedef enum OpId {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) OP_##name,
#include "ir/ops.def"
    N_OPS
} OpId;

typedef enum OpClass {
    CLASS_SOURCE,       /* reads nothing */
    CLASS_MAP,          /* element by element, NumPy broadcasting */
    CLASS_REDUCE,
    CLASS_VIEW,         /* may be another way to see its input's bytes */
    CLASS_MOVE,         /* copies elements about */
    CLASS_MATMUL,
    CLASS_KERNEL,       /* a kernel of its own */
    CLASS_WRITE,        /* changes storage */
} OpClass;

enum {
    OP_SURFACE = 1,     /* callable from .smg */
    OP_COMMUTES = 2,
    OP_RANDOM = 4,      /* a function of the seed too */
    OP_WRITES = 8,      /* writes the storage of input 0 */
    OP_PAIRED = 16,     /* the last result is of the last input, and missing where that is */
    OP_SQUARED = 32,    /* one more result, behind all, where its last attribute, `squares`, says so;
                         * of ops that are paired too, one more for the last input's, before it */
};

enum { ALL_AXES = -1, MAX_ATTRS = 8 };

typedef enum AttrKind {
    ATTR_INT, ATTR_FLOAT, ATTR_BOOL, ATTR_AXIS, ATTR_AXES, ATTR_DTYPE, ATTR_STYLE, ATTR_DIM,
    ATTR_MAP
} AttrKind;

typedef enum RopeStyle { STYLE_half, STYLE_interleaved, N_STYLES } RopeStyle;

typedef union AttrValue {
    int64_t i;          /* INT, BOOL, AXIS (0..rank-1), AXES, DTYPE, STYLE, MAP (OpId) */
    double f;           /* FLOAT */
    Dim dim;            /* DIM */
} AttrValue;

typedef struct AttrInfo {
    const char *name;
    AttrKind kind;
    double value;       /* the default */
} AttrInfo;

typedef struct OpInfo {
    const char *name;
    uint8_t min_inputs, max_inputs, n_outputs, n_attrs;
    OpClass class;
    unsigned flags;
    const AttrInfo *attrs;
} OpInfo;

const OpInfo *op_info(OpId op);
bool op_from_name(const char *name, OpId *out);
/* May input `input` be of an element type that programs only store (bf16, blocks)? */
bool op_reads_stored(OpId op, unsigned input);
/* May input `input` be what round_bf16 made, or a state of bf16? */
bool op_reads_rounded(OpId op, unsigned input);
/* May an attribute MAP be this op: element by element, of one input and nothing else; or copy? */
bool op_is_activation(int64_t op);
/* Results of the op when it has so many inputs and these attributes. */
unsigned op_n_results(OpId op, unsigned n_inputs, const AttrValue *attr);
/* Is the derivative of y = op(x), an activation, c[0] + c[1] y + c[2] y^2? */
bool op_slope_of_result(OpId op, double c[3]);
/* The op that is the derivative at x of op(x), an activation that has one of its own; OP_copy: it has none. */
OpId op_slope(OpId op);
/* Index of an attribute, -1 when the op has none of that name. */
int op_attr(OpId op, const char *name);

/* A node's attribute by its names in the table: NODE_ATTR(node, rope, base).f */
enum {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) \
    ATTR_FIRST_##name, ATTR_BEFORE_##name = ATTR_FIRST_##name - 1,
#define ATTR(op, name, kind, value) ATTR_OF_##op##_##name,
#include "ir/ops.def"
};
#define ATTR_INDEX(op, name) (ATTR_OF_##op##_##name - (int)ATTR_FIRST_##op)
#define NODE_ATTR(node, op_, name_) ((node)->attr[ATTR_INDEX(op_, name_)])

#endif
