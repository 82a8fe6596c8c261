/* Parts of tensors: x[.., a:b] and split. */
#include "frontend/sema.h"

#include <string.h>

/* Whole number of an index, or NULL in *given when there is none; from the end when negative. */
static bool place_of(Sema *s, Expr *e, int64_t size, bool known, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (!e)
        return true;
    Val v = sema_expr(s, e);
    if (v.kind == VAL_int) {
        *out = v.u.i < 0 && known ? v.u.i + size : v.u.i;
        return true;
    }
    if (v.kind == VAL_dim)
        sema_error(s, e->span, DIAG_E0209, "a slice needs numbers, and %s is known only at run time",
                   sema_dim(s, v.u.dim));
    else if (v.kind != VAL_poison)
        sema_error(s, e->span, DIAG_E0400, "an index is a whole number, not %s", val_kind_name(v));
    return false;
}

/* One item of the brackets, on one axis. */
static Val slice_axis(Sema *s, Expr *e, Val x, const IndexItem *it, int axis)
{
    Dim d = value_type(s->g, x.u.tensor)->shape.dim[axis];
    bool known = dim_is_const(d);
    int64_t size = known ? d.coef : INT64_MAX, start, stop;
    if (!it->start && !it->stop)
        return x;
    if (!place_of(s, it->start, size, known, 0, &start))
        return (Val){ 0 };
    if (it->kind == INDEX_at)
        stop = start < INT64_MAX ? start + 1 : start;
    else if (!place_of(s, it->stop, size, known, size, &stop))
        return (Val){ 0 };
    NodeSpec spec = node_spec(OP_slice, &x.u.tensor, 1, e->span, s->frame->path);
    spec.attr[ATTR_INDEX(slice, axis)].i = axis;
    spec.attr[ATTR_INDEX(slice, start)].i = start;
    spec.attr[ATTR_INDEX(slice, stop)].i = stop;
    return sema_node(s, &spec);
}

/* The axes that an index took a single place of disappear, as in NumPy. */
static Val drop_axes(Sema *s, Expr *e, Val x, unsigned dropped)
{
    const Shape *from = &value_type(s->g, x.u.tensor)->shape;
    NodeSpec spec = node_spec(OP_reshape, &x.u.tensor, 1, e->span, s->frame->path);
    for (int i = 0; i < from->rank; i++)
        if (!(dropped >> i & 1))
            spec.shape.dim[spec.shape.rank++] = from->dim[i];
    return sema_node(s, &spec);
}

/* The number of axes that are named, or -1 when there is more than one `..`. */
static int count_axes(Sema *s, const IndexList *items, int *rest)
{
    int n = 0;
    *rest = -1;
    for (uint32_t i = 0; i < items->n; i++) {
        if (items->items[i].kind != INDEX_rest) {
            n++;
            continue;
        }
        if (*rest >= 0) {
            sema_error(s, items->items[i].span, DIAG_E0400, "an index has one `..` at most");
            return -1;
        }
        *rest = (int)i;
    }
    return n;
}

Val sema_index(Sema *s, Expr *e)
{
    Val x = sema_expr(s, e->u.index.x);
    const IndexList *items = &e->u.index.items;
    if (x.kind == VAL_poison)
        return x;
    if (x.kind != VAL_tensor)
        return sema_error(s, e->span, DIAG_E0400, "an index takes a part of a tensor, not of %s",
                          val_kind_name(x));
    const Shape shape = value_type(s->g, x.u.tensor)->shape;
    int rest, n = count_axes(s, items, &rest);
    if (n < 0)
        return (Val){ 0 };
    if (n > shape.rank) {
        Val poison = sema_error(s, e->span, DIAG_E0201, "an index of %d axes on a tensor of %d", n,
                                shape.rank);
        sema_label(s, "it is %s", sema_shape(s, &shape));
        return poison;
    }
    unsigned dropped = 0;
    for (uint32_t i = 0; i < items->n && x.kind == VAL_tensor; i++) {
        const IndexItem *it = &items->items[i];
        if (it->kind == INDEX_rest)
            continue;
        int axis = rest >= 0 && (int)i > rest ? shape.rank - (int)(items->n - i) : (int)i;
        x = slice_axis(s, e, x, it, axis);
        if (it->kind == INDEX_at)
            dropped |= 1u << axis;
    }
    return x.kind == VAL_tensor && dropped ? drop_axes(s, e, x, dropped) : x;
}

/* ---- split ------------------------------------------------------------------------------------------ */

enum { MAX_PARTS = 256 };

typedef struct Split {
    Sema *s;
    Expr *e;
    ValueId x;
    int axis;
    int64_t size;
} Split;

/* Lengths of the parts: n equal ones, or those of a list. */
static bool part_lengths(Split *sp, Val parts, Span at, int64_t *lengths, uint32_t *n)
{
    Sema *s = sp->s;
    if (parts.kind == VAL_int && parts.u.i >= 1 && parts.u.i <= MAX_PARTS) {
        *n = (uint32_t)parts.u.i;
        if (sp->size % parts.u.i != 0) {
            sema_error(s, at, DIAG_E0402, "split: %lld does not divide into %u equal parts",
                       (long long)sp->size, *n);
            sema_note_origin(s, value_type(s->g, sp->x)->shape.dim[sp->axis]);
            return false;
        }
        for (uint32_t i = 0; i < *n; i++)
            lengths[i] = sp->size / *n;
        return true;
    }
    if (parts.kind != VAL_list || parts.u.list.n == 0 || parts.u.list.n > MAX_PARTS) {
        if (parts.kind != VAL_poison)
            sema_error(s, at, DIAG_E0400,
                       "split takes a number of parts from 1 to %d, or a list of their sizes",
                       MAX_PARTS);
        return false;
    }
    int64_t sum = 0;
    *n = parts.u.list.n;
    for (uint32_t i = 0; i < *n; i++) {
        const Val *v = &parts.u.list.items[i];
        if (v->kind != VAL_int || v->u.i < 1 || v->u.i > sp->size - sum) {
            sum = -1;
            break;
        }
        sum += lengths[i] = v->u.i;
    }
    if (sum == sp->size)
        return true;
    sema_error(s, at, DIAG_E0402, "split: these sizes do not add up to %lld", (long long)sp->size);
    sema_note_origin(s, value_type(s->g, sp->x)->shape.dim[sp->axis]);
    return false;
}

static bool split_axis(Split *sp, Expr *axis)
{
    Sema *s = sp->s;
    const Shape *shape = &value_type(s->g, sp->x)->shape;
    Val v = axis ? sema_expr(s, axis) : val_int(-1);
    Span at = axis ? axis->span : sp->e->span;
    if (v.kind != VAL_int) {
        if (v.kind != VAL_poison)
            sema_error(s, at, DIAG_E0400, "split: `axis` is a whole number, not %s",
                       val_kind_name(v));
        return false;
    }
    int64_t a = v.u.i < 0 ? v.u.i + shape->rank : v.u.i;
    if (a < 0 || a >= shape->rank) {
        sema_error(s, at, DIAG_E0201, "split: there is no axis %lld", (long long)v.u.i);
        sema_label(s, "x is %s", sema_shape(s, shape));
        return false;
    }
    sp->axis = (int)a;
    if (!dim_is_const(shape->dim[a])) {
        sema_error(s, at, DIAG_E0209, "split: axis %lld has size %s, known only at run time",
                   (long long)v.u.i, sema_dim(s, shape->dim[a]));
        return false;
    }
    sp->size = shape->dim[a].coef;
    return true;
}

static Val cut(Split *sp, const int64_t *lengths, uint32_t n)
{
    Sema *s = sp->s;
    Val r = { .kind = VAL_tuple, .u.list.n = n };
    r.u.list.items = arena_array(s->arena, n, sizeof *r.u.list.items);
    int64_t start = 0;
    for (uint32_t i = 0; i < n; i++) {
        NodeSpec spec = node_spec(OP_slice, &sp->x, 1, sp->e->span, s->frame->path);
        spec.attr[ATTR_INDEX(slice, axis)].i = sp->axis;
        spec.attr[ATTR_INDEX(slice, start)].i = start;
        spec.attr[ATTR_INDEX(slice, stop)].i = start += lengths[i];
        r.u.list.items[i] = sema_node(s, &spec);
    }
    return n == 1 ? r.u.list.items[0] : r;
}

Val sema_call_split(Sema *s, Expr *e)
{
    const ArgList *args = &e->u.call.args;
    if (e->reported)
        return (Val){ 0 };
    if (args->n < 2 || args->items[0].name || args->items[1].name)
        return sema_error(s, e->span, DIAG_E0310, "split takes a tensor, parts and an axis");
    if (args->n > 3)
        return sema_error(s, args->items[3].value->span, DIAG_E0311, "too many arguments for `split`");
    Val x = sema_expr(s, args->items[0].value), parts = sema_expr(s, args->items[1].value);
    if (x.kind == VAL_poison || parts.kind == VAL_poison)
        return (Val){ 0 };
    if (x.kind != VAL_tensor)
        return sema_error(s, args->items[0].value->span, DIAG_E0400, "split takes a tensor, not %s",
                          val_kind_name(x));
    Split sp = { .s = s, .e = e, .x = x.u.tensor };
    int64_t lengths[MAX_PARTS];
    uint32_t n;
    if (!split_axis(&sp, args->n > 2 ? args->items[2].value : NULL) ||
        !part_lengths(&sp, parts, args->items[1].value->span, lengths, &n))
        return (Val){ 0 };
    return cut(&sp, lengths, n);
}
