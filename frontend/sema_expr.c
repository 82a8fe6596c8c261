/* Expressions: numbers are computed, tensors become nodes. */
#include "frontend/sema.h"

#include <string.h>

/* ---- nodes ------------------------------------------------------------------------------------- */

Val sema_node(Sema *s, NodeSpec *spec)
{
    if (s->stop || s->quiet)
        return (Val){ 0 };
    uint32_t before = s->diags->n;
    ValueId v = graph_add(s->g, spec, s->diags);
    s->muted = false;
    if (v == NO_VALUE && s->diags->n > before) {
        int shown = 0;
        for (const Frame *f = s->frame; f && shown < 6; f = f->caller)
            if (f->block) {
                diag_note(s->diags, f->call->span, "in the call of `%s` here", f->block->name);
                shown++;
            }
        s->stop |= s->diags->n_errors >= MAX_ERRORS;
    }
    return val_tensor(v);
}

Val sema_op(Sema *s, OpId op, const ValueId *inputs, uint32_t n, Span at)
{
    NodeSpec spec = node_spec(op, inputs, n, at, s->frame->path);
    return sema_node(s, &spec);
}

static Val constant(Sema *s, double value, DType dtype, Span at)
{
    NodeSpec spec = node_spec(OP_constant, NULL, 0, at, s->frame->path);
    spec.attr[ATTR_INDEX(constant, value)].f = value;
    spec.attr[ATTR_INDEX(constant, dtype)].i = dtype;
    return sema_node(s, &spec);
}

Val sema_tensor(Sema *s, Val v, Span at, bool integers)
{
    switch (v.kind) {
    case VAL_poison:
    case VAL_tensor: return v;
    case VAL_int:
        if (integers && (v.u.i < INT32_MIN || v.u.i > INT32_MAX))
            return sema_error(s, at, DIAG_E0403, "%lld does not fit i32", (long long)v.u.i);
        return constant(s, (double)v.u.i, integers ? DTYPE_i32 : DTYPE_f32, at);
    case VAL_float: return constant(s, v.u.f, DTYPE_f32, at);
    case VAL_bool: return constant(s, v.u.b, DTYPE_bool, at);
    case VAL_dim: {
        NodeSpec spec = node_spec(OP_extent, NULL, 0, at, s->frame->path);
        spec.attr[ATTR_INDEX(extent, size)].dim = v.u.dim;
        return sema_node(s, &spec);
    }
    case VAL_string:
    case VAL_list:
    case VAL_tuple: break;
    }
    return sema_error(s, at, DIAG_E0400, "expected a tensor, not %s", val_kind_name(v));
}

/* ---- sizes -------------------------------------------------------------------------------------- */

/* What a computed size is called in messages: its own text, "3 * width". */
static uint32_t origin_of(Sema *s, Expr *e)
{
    if (!e->origin && !s->quiet) {
        Buf b = { 0 };
        expr_print(&b, e);
        if (!b.failed && b.len < 80)
            e->origin = graph_origin(s->g, b.data, e->span);
        buf_free(&b);
    }
    return e->origin;
}

bool sema_size_of(Sema *s, Expr *e, Val v, Dim *out)
{
    switch (v.kind) {
    case VAL_poison: return false;
    case VAL_dim:
        *out = v.u.dim;
        return true;
    case VAL_int:
        if (v.u.i < 1) {
            sema_error(s, e->span, DIAG_E0218, "a size is at least 1, not %lld", (long long)v.u.i);
            return false;
        }
        if (v.u.i >= (int64_t)1 << 40) {
            sema_error(s, e->span, DIAG_E0417, "%lld is too large for a size", (long long)v.u.i);
            return false;
        }
        *out = dim_const(v.u.i);
        out->origin = v.origin;
        return true;
    case VAL_tensor:
        sema_error(s, e->span, DIAG_E0417, "a size is a whole number, not a tensor");
        sema_label(s, "sizes known only at run time can be multiplied, and divided exactly");
        return false;
    case VAL_float: case VAL_bool: case VAL_string: case VAL_list: case VAL_tuple: break;
    }
    sema_error(s, e->span, DIAG_E0417, "a size is a whole number, not %s", val_kind_name(v));
    return false;
}

bool sema_dims(Sema *s, Expr *list, Shape *out, int *guess)
{
    *out = (Shape){ 0 };
    if (guess)
        *guess = -1;
    if (!list)
        return true;
    if (list->kind != EXPR_list) {
        sema_error(s, list->span, DIAG_E0400, "expected a shape like [B, T, 64]");
        return false;
    }
    if (list->u.list.n > MAX_RANK) {
        sema_error(s, list->span, DIAG_E0417, "a tensor has at most %d axes, not %u", MAX_RANK,
                   list->u.list.n);
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; i < list->u.list.n; i++) {
        Expr *e = list->u.list.items[i];
        Val v = e->kind == EXPR_rest ? sema_error(s, e->span, DIAG_E0417, "`..` is no size here")
                                     : sema_expr(s, e);
        if (guess && v.kind == VAL_int && v.u.i == -1 && *guess < 0) {
            *guess = (int)i;
            out->dim[i] = dim_const(1);
        } else {
            ok = sema_size_of(s, e, v, &out->dim[i]) && ok;
        }
    }
    out->rank = (uint8_t)list->u.list.n;
    return ok;
}

/* ---- names --------------------------------------------------------------------------------------- */

static Val eval_name(Sema *s, Expr *e)
{
    const Val *v = frame_find(s->frame, e->u.name);
    if (v)
        return *v;
    uint32_t broken;
    bool library = s->frame->block && s->frame->block->library;
    const Global *g = library ? NULL : sema_global(s, e->u.name);
    if (g && g->set)
        return g->value;
    if (e->reported || name_map_get(&s->broken, e->u.name, &broken))
        return (Val){ 0 };
    if (g) {
        Val poison = sema_error(s, e->span, DIAG_E0307, "`%s` is used before it is defined",
                                e->u.name);
        sema_note(s, g->stmt->name_span, "defined here");
        return poison;
    }
    Val poison = sema_error(s, e->span, DIAG_E0307, "`%s` has no value here", e->u.name);
    Nearest near = nearest_of(e->u.name);
    for (uint32_t i = 0; i < s->frame->n_locals; i++)
        sema_try(s, &near, s->frame->locals[i].name);
    for (const Frame *f = s->frame->parent; f; f = f->parent)
        for (uint32_t i = 0; i < f->n_locals; i++)
            sema_try(s, &near, f->locals[i].name);
    if (near.found)
        sema_suggest(s, &near);
    else
        sema_label(s, "only a branch or loop that is not taken gives it one");
    return poison;
}

/* ---- operators ------------------------------------------------------------------------------------ */

static OpId op_of(BinaryOp op)
{
    OpId id = OP_add;
    op_from_name(binary_name(op), &id);
    return id;
}

static Val binary_bool(Sema *s, const Expr *e, Val x, Val y)
{
    BinaryOp op = e->u.binary.op;
    if (x.kind == VAL_bool && y.kind == VAL_bool) {
        if (op == BINARY_and)
            return val_bool(x.u.b && y.u.b);
        if (op == BINARY_or)
            return val_bool(x.u.b || y.u.b);
    }
    Val bad = x.kind == VAL_bool ? y : x;
    return sema_error(s, e->span, DIAG_E0400, "`%s` takes true or false, not %s", binary_text(op),
                      val_kind_name(bad));
}

/* Sizes known only at run time are multiplied, divided and compared without knowing them; false when
 * that is not possible. */
static bool binary_dim(const Expr *e, Val x, Val y, Val *out)
{
    Dim a = x.kind == VAL_dim ? x.u.dim : dim_const(x.u.i);
    Dim b = y.kind == VAL_dim ? y.u.dim : dim_const(y.u.i);
    Dim r;
    bool positive = a.coef > 0 && b.coef > 0;
    if (x.kind == VAL_float || y.kind == VAL_float || !positive)
        return false;
    if ((e->u.binary.op == BINARY_mul && dim_mul(a, b, &r)) ||
        (e->u.binary.op == BINARY_div && dim_div(a, b, &r))) {
        *out = val_dim(r);
        return true;
    }
    return false;
}

static bool is_i32(const Sema *s, Val v)
{
    return v.kind == VAL_tensor && value_type(s->g, v.u.tensor)->dtype == DTYPE_i32;
}

static Val binary_tensor(Sema *s, Expr *e, Val x, Val y)
{
    BinaryOp op = e->u.binary.op;
    if (op == BINARY_mod)
        return sema_error(s, e->span, DIAG_E0400, "`%%` works on whole numbers only");
    Val *bad = op == BINARY_matmul ? (x.kind != VAL_tensor ? &x : y.kind != VAL_tensor ? &y : NULL)
                                   : NULL;
    if (bad)
        return sema_error(s, e->span, DIAG_E0400, "`@` multiplies tensors, not %s",
                          val_kind_name(*bad));
    bool integers = is_i32(s, x) || is_i32(s, y);
    x = sema_tensor(s, x, e->u.binary.x->span, integers);
    y = sema_tensor(s, y, e->u.binary.y->span, integers);
    if (x.kind != VAL_tensor || y.kind != VAL_tensor)
        return (Val){ 0 };
    return sema_op(s, op_of(op), (ValueId[]){ x.u.tensor, y.u.tensor }, 2, e->span);
}

static bool is_size_number(Val v)
{
    return val_is_number(v) || v.kind == VAL_dim;
}

/* Behind an error: where a whole number that has a name comes from. */
static void note_number(Sema *s, Val v)
{
    if (v.kind != VAL_int || !v.origin)
        return;
    Dim d = dim_const(v.u.i);
    d.origin = v.origin;
    sema_note_origin(s, d);
}

static Val eval_binary(Sema *s, Expr *e)
{
    BinaryOp op = e->u.binary.op;
    Val x = sema_expr(s, e->u.binary.x);
    if (x.kind == VAL_bool && ((op == BINARY_and && !x.u.b) || (op == BINARY_or && x.u.b)))
        return x;                       /* what stands behind need not make sense then */
    Val y = sema_expr(s, e->u.binary.y);
    if (x.kind == VAL_poison || y.kind == VAL_poison)
        return (Val){ 0 };
    if (op == BINARY_and || op == BINARY_or)
        return binary_bool(s, e, x, y);
    if (val_is_number(x) && val_is_number(y)) {
        Val r = sema_number_binary(s, e, x, y);
        if (r.kind == VAL_int && (x.origin || y.origin))
            r.origin = origin_of(s, e);
        if (r.kind == VAL_poison) {
            note_number(s, x);
            note_number(s, y);
        }
        return r;
    }
    bool equality = op == BINARY_eq || op == BINARY_ne;
    if (equality && x.kind == VAL_bool && y.kind == VAL_bool)
        return val_bool((x.u.b == y.u.b) == (op == BINARY_eq));
    if (equality && x.kind == VAL_string && y.kind == VAL_string)
        return val_bool((strcmp(x.u.s, y.u.s) == 0) == (op == BINARY_eq));
    Val r;
    if (is_size_number(x) && is_size_number(y) && binary_dim(e, x, y, &r))
        return r;
    bool tensors = (x.kind == VAL_tensor || is_size_number(x)) &&
                   (y.kind == VAL_tensor || is_size_number(y));
    if (!tensors && (x.kind != VAL_tensor || y.kind != VAL_bool)) {
        Val bad = x.kind == VAL_tensor || is_size_number(x) ? y : x;
        return sema_error(s, e->span, DIAG_E0400, "`%s` takes numbers and tensors, not %s",
                          binary_text(op), val_kind_name(bad));
    }
    return binary_tensor(s, e, x, y);
}

static Val eval_unary(Sema *s, Expr *e)
{
    Val x = sema_expr(s, e->u.unary.x);
    bool negate = e->u.unary.op == UNARY_neg;
    if (x.kind == VAL_poison)
        return x;
    if (!negate && x.kind == VAL_bool)
        return val_bool(!x.u.b);
    if (negate && x.kind == VAL_int && x.u.i != INT64_MIN)
        return val_int(-x.u.i);
    if (negate && x.kind == VAL_float)
        return val_float(-x.u.f);
    if (negate && x.kind == VAL_dim)
        x = sema_tensor(s, x, e->u.unary.x->span, false);
    if (negate && x.kind == VAL_tensor)
        return sema_op(s, OP_neg, &x.u.tensor, 1, e->span);
    return sema_error(s, e->span, DIAG_E0400, "`%s` does not work on %s", negate ? "-" : "not",
                      val_kind_name(x));
}

static Val eval_transpose(Sema *s, Expr *e)
{
    Val x = sema_expr(s, e->u.x);
    if (x.kind == VAL_tensor)
        return sema_op(s, OP_transpose, &x.u.tensor, 1, e->span);
    if (x.kind == VAL_poison)
        return x;
    return sema_error(s, e->span, DIAG_E0400, "`'` transposes a tensor, not %s", val_kind_name(x));
}

static Val eval_list(Sema *s, Expr *e)
{
    Val v = { .kind = VAL_list, .u.list.n = e->u.list.n };
    v.u.list.items = arena_array(s->arena, e->u.list.n, sizeof *v.u.list.items);
    for (uint32_t i = 0; i < e->u.list.n; i++) {
        Expr *item = e->u.list.items[i];
        if (item->kind == EXPR_rest)
            sema_error(s, item->span, DIAG_E0400, "`..` stands in patterns and slices only");
        else
            v.u.list.items[i] = sema_expr(s, item);
    }
    return v;
}

static Val eval_call(Sema *s, Expr *e)
{
    if (e->u.call.callee == CALLEE_block)
        return sema_call_block(s, e);
    if (e->u.call.callee == CALLEE_op)
        return sema_call_op(s, e);
    if (e->u.call.callee == CALLEE_split)
        return sema_call_split(s, e);
    const ArgList *args = &e->u.call.args;
    Val *values = arena_array(s->arena, args->n, sizeof *values);
    for (uint32_t i = 0; i < args->n; i++)
        values[i] = sema_expr(s, args->items[i].value);
    if (e->u.call.callee != CALLEE_number || e->reported)
        return (Val){ 0 };
    return sema_call_number(s, e, (int)e->u.call.op, values, args->n);
}

static Val eval(Sema *s, Expr *e)
{
    switch (e->kind) {
    case EXPR_int: return val_int(e->u.i);
    case EXPR_float: return val_float(e->u.f);
    case EXPR_bool: return val_bool(e->u.b);
    case EXPR_string: return (Val){ .kind = VAL_string, .u.s = e->u.name };
    case EXPR_name: return eval_name(s, e);
    case EXPR_rest: break;
    case EXPR_unary: return eval_unary(s, e);
    case EXPR_binary: return eval_binary(s, e);
    case EXPR_transpose: return eval_transpose(s, e);
    case EXPR_index: return sema_index(s, e);
    case EXPR_call: return eval_call(s, e);
    case EXPR_list: return eval_list(s, e);
    }
    return (Val){ 0 };
}

Val sema_exprs(Sema *s, Expr *e)
{
    if (!sema_step(s, e->span))
        return (Val){ 0 };
    if (s->depth == MAX_DEPTH)
        return sema_error(s, e->span, DIAG_E0107, "too deep inside blocks and expressions");
    s->depth++;
    Val v = eval(s, e);
    s->depth--;
    return v;
}

Val sema_expr(Sema *s, Expr *e)
{
    Val v = sema_exprs(s, e);
    if (v.kind != VAL_tuple)
        return v;
    return sema_error(s, e->span, DIAG_E0408, "%u values where one is expected", v.u.list.n);
}
