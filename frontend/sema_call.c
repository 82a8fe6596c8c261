/* Calls of operations.  Everything general comes from ops.def: tensors first, then the attributes in
 * the order of the table, or by name.  What a shape list, a list of tensors or a site number need
 * beyond that stands here as well. */
#include "frontend/sema.h"


#include <string.h>

/* ---- how the language shows an operation ------------------------------------------------------- */

unsigned surface_inputs(OpId op)
{
    switch (op) {
    case OP_concat: return 0;           /* as many as there are; see call_concat */
    default: return op_info(op)->min_inputs;
    }
}

bool surface_takes_shape(OpId op)
{
    return op == OP_reshape || op == OP_broadcast;
}

/* The compiler numbers the sites of random operations; rope backwards is for autodiff. */
static bool is_hidden(OpId op, const char *name)
{
    return strcmp(name, "site") == 0 || (op == OP_rope && strcmp(name, "inverse") == 0);
}

int surface_attr(OpId op, unsigned i)
{
    for (int a = 0; a < op_info(op)->n_attrs; a++)
        if (!is_hidden(op, op_info(op)->attrs[a].name) && i-- == 0)
            return a;
    return -1;
}

int surface_attr_named(OpId op, const char *name)
{
    if (op == OP_cross_entropy && strcmp(name, "ignore_index") == 0)
        name = "ignore";                /* as PyTorch calls it */
    bool axis = strcmp(name, "axis") == 0 && op_attr(op, "axes") >= 0;
    return is_hidden(op, name) ? -1 : op_attr(op, axis ? "axes" : name);
}

/* Which input a call may give by its name; it can be left out. */
static int optional_input(OpId op, const char *name)
{
    return op == OP_rope && strcmp(name, "factors") == 0 ? 2 : -1;
}

bool surface_keyword(OpId op, const char *name)
{
    return surface_attr_named(op, name) >= 0 || optional_input(op, name) >= 0
        || (surface_takes_shape(op) && strcmp(name, "shape") == 0);
}

/* ---- attributes ---------------------------------------------------------------------------------- */

typedef struct Call {
    Sema *s;
    Expr *e;
    OpId op;
    ValueId *inputs;
    Val *values;                        /* of the arguments that are no words */
    uint32_t n_inputs;
    NodeSpec spec;
    bool bad;                           /* something was wrong, and told */
} Call;

static void wrong_kind(Call *c, int attr, Span at, const char *expected, Val v)
{
    c->bad = true;
    if (v.kind != VAL_poison)
        sema_error(c->s, at, DIAG_E0400, "%s: `%s` is %s, not %s", op_info(c->op)->name,
                   op_info(c->op)->attrs[attr].name, expected, val_kind_name(v));
}

static int find_word(const char *word, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

/* f32, half: a bare word, or a string or a config that holds one. */
static void set_word(Call *c, int attr, Expr *e)
{
    static const char *const styles[] = { "half", "interleaved" };
    const char *dtypes[N_DTYPES];
    for (int i = 0; i < N_DTYPES; i++)
        dtypes[i] = dtype_name((DType)i);
    bool style = op_info(c->op)->attrs[attr].kind == ATTR_STYLE;
    const char *const *words = style ? styles : dtypes;
    int n = style ? N_STYLES : N_DTYPES;

    bool bare = e->kind == EXPR_name && !frame_find(c->s->frame, e->u.name) &&
                !sema_global(c->s, e->u.name);
    Val v = bare ? (Val){ .kind = VAL_string, .u.s = e->u.name } : sema_expr(c->s, e);
    if (v.kind != VAL_string) {
        wrong_kind(c, attr, e->span, "a word", v);
        return;
    }
    int i = find_word(v.u.s, words, n);
    c->spec.attr[attr].i = i;
    if (i >= 0)
        return;
    Nearest near = nearest_of(v.u.s);
    for (int k = 0; k < n; k++)
        nearest_try(&near, words[k]);
    sema_error(c->s, e->span, DIAG_E0316, "%s: unknown %s `%s`", op_info(c->op)->name,
               style ? "style" : "element type", v.u.s);
    if (near.found)
        sema_suggest(c->s, &near);
    else
        sema_label(c->s, style ? "half or interleaved" : "f32, i32 or bool");
    c->bad = true;
}

/* The bit of an axis; the rank is that of the first input. */
static void add_axis(Call *c, int attr, Span at, Val v)
{
    if (v.kind != VAL_int) {
        wrong_kind(c, attr, at, "an axis or a list of axes", v);
        return;
    }
    if (c->n_inputs == 0 || c->bad)
        return;
    const Type *x = value_type(c->s->g, c->inputs[0]);
    int64_t rank = x->shape.rank, axis = v.u.i < 0 ? v.u.i + rank : v.u.i;
    if (axis < 0 || axis >= rank) {
        sema_error(c->s, at, DIAG_E0201, "%s: there is no axis %lld", op_info(c->op)->name,
                   (long long)v.u.i);
        sema_label(c->s, "x is %s", sema_shape(c->s, &x->shape));
        c->bad = true;
        return;
    }
    c->spec.attr[attr].i |= (int64_t)1 << axis;
}

static void set_axes(Call *c, int attr, Span at, Val v)
{
    c->spec.attr[attr].i = 0;
    if (v.kind != VAL_list) {
        add_axis(c, attr, at, v);
        return;
    }
    for (uint32_t i = 0; i < v.u.list.n && !c->bad; i++)
        add_axis(c, attr, at, v.u.list.items[i]);
}

static void set_attr(Call *c, int attr, Expr *e)
{
    AttrKind kind = op_info(c->op)->attrs[attr].kind;
    AttrValue *out = &c->spec.attr[attr];
    if (kind == ATTR_DTYPE || kind == ATTR_STYLE) {
        set_word(c, attr, e);
        return;
    }
    Val v = sema_expr(c->s, e);
    switch (kind) {
    case ATTR_INT:
    case ATTR_AXIS:
        if (v.kind == VAL_int)
            out->i = v.u.i;
        else
            wrong_kind(c, attr, e->span, "a whole number", v);
        break;
    case ATTR_FLOAT:
        if (val_is_number(v))
            out->f = val_number(v);
        else
            wrong_kind(c, attr, e->span, "a number", v);
        break;
    case ATTR_BOOL:
        if (v.kind == VAL_bool)
            out->i = v.u.b;
        else
            wrong_kind(c, attr, e->span, "true or false", v);
        break;
    case ATTR_AXES: set_axes(c, attr, e->span, v); break;
    case ATTR_DIM:
        if (!sema_size_of(c->s, e, v, &out->dim))
            c->bad = true;
        break;
    case ATTR_DTYPE:
    case ATTR_STYLE:
    case ATTR_MAP: break;
    }
}

/* The shape of reshape and broadcast; in a reshape one -1 is what is left over. */
static void set_shape(Call *c, Expr *e)
{
    int guess = -1;
    if (!sema_dims(c->s, e, &c->spec.shape, c->op == OP_reshape ? &guess : NULL)) {
        c->bad = true;
        return;
    }
    if (guess < 0 || c->n_inputs == 0)
        return;
    Dim have, rest;
    if (shape_count(&value_type(c->s->g, c->inputs[0])->shape, &have) &&
        shape_count(&c->spec.shape, &rest) && dim_div(have, rest, &c->spec.shape.dim[guess]))
        return;
    sema_error(c->s, e->span, DIAG_E0207, "reshape: no size for -1 fits");
    sema_label(c->s, "x is %s",
               sema_shape(c->s, &value_type(c->s->g, c->inputs[0])->shape));
    c->bad = true;
}

/* ---- arguments ------------------------------------------------------------------------------------- */

/* Numbers among the inputs become constants of the type that the tensors beside them have. */
static void add_inputs(Call *c, const Val *values, uint32_t n)
{
    bool integers = false;
    for (uint32_t i = 0; i < n; i++)
        integers |= values[i].kind == VAL_tensor &&
                    value_type(c->s->g, values[i].u.tensor)->dtype == DTYPE_i32;
    bool counts = op_info(c->op)->class == CLASS_MAP || c->op == OP_concat;
    c->inputs = arena_array(c->s->arena, n + 1, sizeof *c->inputs);
    for (uint32_t i = 0; i < n; i++) {
        Val v = sema_tensor(c->s, values[i], c->e->u.call.args.items[i].value->span,
                            integers && counts);
        if (v.kind != VAL_tensor) {
            c->bad = true;
            return;
        }
        c->inputs[c->n_inputs++] = v.u.tensor;
    }
}

/* The tensor of `factors = x`. */
static void add_optional(Call *c, Expr *e)
{
    Val v = sema_expr(c->s, e);
    c->bad |= v.kind == VAL_poison;
    if (c->bad)
        return;
    v = sema_tensor(c->s, v, e->span, false);
    c->bad |= v.kind != VAL_tensor;
    if (!c->bad)
        c->inputs[c->n_inputs++] = v.u.tensor;
}

static uint32_t n_positional(const ArgList *args)
{
    uint32_t n = 0;
    while (n < args->n && !args->items[n].name)
        n++;
    return n;
}

/* Positional arguments behind the tensors, then those by name. */
static void set_attrs(Call *c, uint32_t first)
{
    const ArgList *args = &c->e->u.call.args;
    uint32_t given = 0, positional = n_positional(args);
    bool shape = !surface_takes_shape(c->op);
    for (uint32_t i = first; i < args->n; i++) {
        const Arg *a = &args->items[i];
        if (i >= positional && !a->name) {              /* told by the first walk */
            c->bad = true;
            return;
        }
        bool is_shape = !shape && (a->name ? strcmp(a->name, "shape") == 0 : true);
        if (is_shape) {
            set_shape(c, a->value);
            shape = true;
            continue;
        }
        if (a->name && optional_input(c->op, a->name) >= 0) {
            add_optional(c, a->value);
            continue;
        }
        int attr = i < positional ? surface_attr(c->op, i - first)
                                  : surface_attr_named(c->op, a->name);
        if (c->bad && (attr < 0 || (given & 1u << attr)))
            return;                     /* told by the first walk, most likely */
        if (attr < 0) {
            sema_error(c->s, a->value->span, DIAG_E0311, "too many arguments for `%s`",
                       op_info(c->op)->name);
            c->bad = true;
            return;
        }
        if (given & 1u << attr) {
            sema_error(c->s, a->value->span, DIAG_E0312, "`%s` is given twice",
                       op_info(c->op)->attrs[attr].name);
            c->bad = true;
        }
        given |= 1u << attr;
        set_attr(c, attr, a->value);
    }
    if (!shape) {
        sema_error(c->s, c->e->span, DIAG_E0310, "`%s` needs a shape", op_info(c->op)->name);
        c->bad = true;
    }
}

/* ---- operations with something of their own ---------------------------------------------------------- */

/* The numbers of an i32 input that is used as ids: what the runtime checks before a run. */
static void limit_index(Sema *s, ValueId ids, Dim rows, bool ignores, int64_t ignore)
{
    const Node *n = value_def(s->g, ids);
    if (n->op != OP_input || !dim_is_const(rows))
        return;
    Storage *st = &s->g->storages[NODE_ATTR(n, input, storage).i];
    if (st->index_limit == 0 || rows.coef < st->index_limit)
        st->index_limit = rows.coef;
    if (ignores)
        st->index_ignore = ignore;
}

static void note_ids(Sema *s, const Call *c)
{
    if (c->op == OP_embedding)
        limit_index(s, c->inputs[1], value_type(s->g, c->inputs[0])->shape.dim[0], false, 0);
    if (c->op == OP_cross_entropy) {
        const Shape *logits = &value_type(s->g, c->inputs[0])->shape;
        limit_index(s, c->inputs[1], logits->dim[logits->rank - 1], true,
                    c->spec.attr[ATTR_INDEX(cross_entropy, ignore)].i);
    }
}

/* concat(a, b, ..., axis): the last number is the axis. */
static void concat_inputs(Call *c, const Val *values, uint32_t n)
{
    if (n > 0 && values[n - 1].kind == VAL_int) {
        c->spec.attr[ATTR_INDEX(concat, axis)].i = values[n - 1].u.i;
        n--;
    }
    if (n == 0 || n > op_info(OP_concat)->max_inputs) {
        sema_error(c->s, c->e->span, n ? DIAG_E0311 : DIAG_E0310, "concat takes 1 to %u tensors, not %u",
                   op_info(OP_concat)->max_inputs, n);
        c->bad = true;
        return;
    }
    add_inputs(c, values, n);
}

/* Every dropout draws numbers of its own. */
static void number_site(Call *c)
{
    int p = c->op == OP_dropout ? ATTR_INDEX(dropout, p) : ATTR_INDEX(attention, drop);
    if (c->spec.attr[p].f != 0)
        c->spec.attr[op_attr(c->op, "site")].i = c->s->n_sites++;
}

/* Numbers only: the operation is done now, where it has a meaning on numbers. */
static bool folds(const Call *c, const Val *values, uint32_t n)
{
    bool numbers = n > 0 && number_function(op_info(c->op)->name) >= 0 && n == c->e->u.call.args.n;
    for (uint32_t i = 0; i < n; i++)
        numbers = numbers && val_is_number(values[i]);
    return numbers;
}

/* How many arguments from the left are values to be computed first: the tensors, and all of those of
 * a function that numbers may have. */
static uint32_t n_values(const Call *c, uint32_t positional)
{
    if (c->op == OP_concat || number_function(op_info(c->op)->name) >= 0)
        return positional;
    uint32_t inputs = surface_inputs(c->op);
    return positional < inputs ? positional : inputs;
}

static bool enough_inputs(Call *c, uint32_t n)
{
    uint32_t need = surface_inputs(c->op);
    if (n >= need)
        return true;
    sema_error(c->s, c->e->span, DIAG_E0310, "`%s` takes %u tensor%s, not %u",
               op_info(c->op)->name, need, need == 1 ? "" : "s", n);
    return false;
}

Val sema_call_op(Sema *s, Expr *e)
{
    const ArgList *args = &e->u.call.args;
    Call c = { .s = s, .e = e, .op = (OpId)e->u.call.op, .bad = e->reported };
    uint32_t positional = n_positional(args), n = n_values(&c, positional);
    Val *values = arena_array(s->arena, n, sizeof *values);
    for (uint32_t i = 0; i < n; i++) {
        values[i] = sema_expr(s, args->items[i].value);
        c.bad |= values[i].kind == VAL_poison;
    }
    if (!c.bad && folds(&c, values, n))
        return sema_call_number(s, e, number_function(op_info(c.op)->name), values, n);
    c.spec = node_spec(c.op, NULL, 0, e->span, s->frame->path);
    if (c.op == OP_concat) {
        if (!c.bad)
            concat_inputs(&c, values, n);
        set_attrs(&c, positional);
    } else {
        if (!enough_inputs(&c, positional))
            return (Val){ 0 };
        if (!c.bad)
            add_inputs(&c, values, surface_inputs(c.op));
        set_attrs(&c, surface_inputs(c.op));
    }
    if (c.bad || s->stop)
        return (Val){ 0 };
    if (c.op == OP_dropout && c.spec.attr[ATTR_INDEX(dropout, p)].f == 0)
        return val_tensor(c.inputs[0]);
    if (c.op == OP_dropout || c.op == OP_attention)
        number_site(&c);
    c.spec.inputs = c.inputs;
    c.spec.n_inputs = c.n_inputs;
    Val r = sema_node(s, &c.spec);
    if (r.kind == VAL_tensor)
        note_ids(s, &c);
    return r;
}
