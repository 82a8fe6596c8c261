/* What shape rules are made of. */
#include "ir/infer_rule.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- names of inputs ------------------------------------------------------------------------- */

static const char *const input_names[N_OPS] = {
    [OP_positions] = "past",
    [OP_after] = "x y",
    [OP_where] = "condition x y",
    [OP_dropout] = "x seed",
    [OP_matmul] = "x w",
    [OP_product] = "x w",
    [OP_matmul_squares] = "x w",
    [OP_masked_matmul] = "x w gate",
    [OP_embedding] = "table ids",
    [OP_sum_squares] = "x",
    [OP_embedding_grad] = "base ids g",
    [OP_rope] = "x positions factors",
    [OP_attention] = "q k v seed",
    [OP_attention_grad] = "q k v out lse dout seed",
    [OP_attention_cached] = "q k v past",
    [OP_cross_entropy] = "logits targets",
    [OP_cross_entropy_grad] = "logits lse targets g",
    [OP_linear_cross_entropy] = "x w targets bias",
    [OP_linear_cross_entropy_grad] = "x w targets g bias",
    [OP_cache_write] = "cache new past positions factors",
    [OP_assign] = "old new",
    [OP_assign_product] = "old x w",
};

InputName input_name(const Infer *in, unsigned i)
{
    InputName name;
    if (in->spec->op == OP_concat) {
        snprintf(name.text, sizeof name.text, "x%u", i);
        return name;
    }
    const char *words = input_names[in->spec->op] ? input_names[in->spec->op] : "x y z";
    for (; i && *words; i--) {
        words += strcspn(words, " ");
        words += *words == ' ';
    }
    snprintf(name.text, sizeof name.text, "%.*s", (int)strcspn(words, " "), words);
    return name;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* "x is [B, T, 768], w is [512, 64]": with element types where those are what is wrong. */
static void label_inputs(Infer *in, bool dtypes)
{
    enum { MOST = 8 };
    Buf text = { 0 };
    for (unsigned i = 0; i < in->spec->n_inputs && i < MOST; i++) {
        const Type *t = input_type(in, i);
        InputName name = input_name(in, i);
        buf_printf(&text, "%s%s is ", i ? ", " : "", name.text);
        if (dtypes)
            type_print(&text, in->g, t);
        else if (t->shape.rank == 0)
            buf_puts(&text, "a scalar");
        else
            shape_print(&text, in->g, &t->shape);
    }
    if (in->spec->n_inputs > MOST)
        buf_puts(&text, ", ...");
    if (text.len && !text.failed)
        diag_label(in->diags, "%s", text.data);
    buf_free(&text);
}

bool mistake(Infer *in, DiagCode code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *op = op_info(in->spec->op)->name;
    CHECK(in->diags, "%s: %s (%s)", op, text, in->spec->path ? in->spec->path : "");
    diag_error(in->diags, in->spec->span, code, "%s: %s", op, text);
    if (code != DIAG_E0200)
        label_inputs(in, code == DIAG_E0203 || code == DIAG_E0204);
    return false;
}

static void put_place(Buf *out, const Infer *in, Span at)
{
    if (at.line == 0)
        return;
    const char *file = at.file < in->g->n_files      ? in->g->files[at.file]
                       : at.file < in->diags->n_files ? in->diags->files[at.file]
                                                      : NULL;
    if (file)
        buf_printf(out, " (%s:%u)", file, at.line);
    else
        buf_printf(out, " (line %u)", at.line);
}

/* "768 is `width` (gpt.smg:5)", "T is the sequence (gpt.smg:7)"; nothing when nobody named it. */
static void put_origin(Buf *out, const Infer *in, Dim d)
{
    static const char *const roles[N_ROLES] = {
        [ROLE_BATCH] = "the batch", [ROLE_SEQUENCE] = "the sequence", [ROLE_FREE] = "a size",
    };
    const Graph *g = in->g;
    const char *comma = out->len ? ", " : "";
    if (d.origin > 0 && d.origin < g->n_origins) {
        buf_puts(out, comma);
        dim_print(out, g, d);
        buf_printf(out, " is `%s`", g->origins[d.origin].name);
        put_place(out, in, g->origins[d.origin].span);
        return;
    }
    for (uint32_t s = 0; s < g->n_symbols; s++)
        if (dim_equal(d, dim_symbol((int)s))) {
            buf_printf(out, "%s%s is %s", comma, g->symbol[s].name, roles[g->symbol[s].role]);
            put_place(out, in, g->symbol[s].span);
        }
}

void note_sizes(Infer *in, Dim a, Dim b)
{
    Buf text = { 0 };
    put_origin(&text, in, a);
    put_origin(&text, in, b);
    if (text.len && !text.failed)
        diag_note(in->diags, (Span){ 0 }, "%s", text.data);
    buf_free(&text);
}

void note_text(Infer *in, const char *text)
{
    diag_note(in->diags, (Span){ 0 }, "%s", text);
}

/* ---- needs ----------------------------------------------------------------------------------- */

bool need_dtype(Infer *in, unsigned input, DType dtype)
{
    DType have = input_type(in, input)->dtype;
    if (have == dtype)
        return true;
    InputName name = input_name(in, input);
    mistake(in, DIAG_E0203, "%s must be %s, not %s", name.text, dtype_name(dtype),
            dtype_name(have));
    char mend[64];
    snprintf(mend, sizeof mend, "cast(%s, %s) makes it one", name.text, dtype_name(dtype));
    note_text(in, mend);
    return false;
}

bool need_rank(Infer *in, unsigned input, int least, int most)
{
    int rank = input_shape(in, input)->rank;
    if (rank >= least && rank <= most)
        return true;
    InputName name = input_name(in, input);
    if (least == most)
        return mistake(in, DIAG_E0205, "%s must have %d ax%ss, not %d", name.text, least,
                       least == 1 ? "i" : "e", rank);
    if (rank < least)
        return mistake(in, DIAG_E0205, "%s must have at least %d ax%ss, not %d", name.text, least,
                       least == 1 ? "i" : "e", rank);
    return mistake(in, DIAG_E0205, "%s must have at most %d axes, not %d", name.text, most, rank);
}

bool need_type(Infer *in, unsigned input, Type type)
{
    if (type_equal(input_type(in, input), &type))
        return true;
    if (!need_dtype(in, input, type.dtype) ||
        !need_rank(in, input, type.shape.rank, type.shape.rank))
        return false;
    Buf want = { 0 };
    type_print(&want, in->g, &type);
    mistake(in, DIAG_E0216, "%s must be %s", input_name(in, input).text,
            want.failed ? "" : want.data);
    buf_free(&want);
    return false;
}

bool need_equal(Infer *in, unsigned i, int a, unsigned j, int b)
{
    Dim x = input_dim(in, i, a), y = input_dim(in, j, b);
    if (dim_equal(x, y))
        return true;
    mistake(in, DIAG_E0216, "axis %d of %s and axis %d of %s must have one size", a,
            input_name(in, i).text, b, input_name(in, j).text);
    note_sizes(in, x, y);
    return false;
}

bool need_same_shape(Infer *in, unsigned i, unsigned j)
{
    const Shape *x = input_shape(in, i), *y = input_shape(in, j);
    if (x->rank != y->rank)
        return mistake(in, DIAG_E0205, "%s and %s must have one shape", input_name(in, i).text,
                       input_name(in, j).text);
    for (int a = 0; a < x->rank; a++)
        if (!need_equal(in, i, a, j, a))
            return false;
    return true;
}

static const char *attr_name(const Infer *in, int attr)
{
    return op_info(in->spec->op)->attrs[attr].name;
}

bool need_axis(Infer *in, int attr, int rank)
{
    int64_t axis = in->attr[attr].i;
    if (axis < -rank || axis >= rank)
        return mistake(in, DIAG_E0201, "there is no axis %lld", (long long)axis);
    in->attr[attr].i = axis < 0 ? axis + rank : axis;
    return true;
}

bool need_int(Infer *in, int attr, int64_t least, int64_t most)
{
    int64_t value = in->attr[attr].i;
    if (value >= least && value <= most)
        return true;
    if (value < least)
        return mistake(in, DIAG_E0206, "%s must be at least %lld, not %lld", attr_name(in, attr),
                       (long long)least, (long long)value);
    return mistake(in, DIAG_E0206, "%s must be at most %lld, not %lld", attr_name(in, attr),
                   (long long)most, (long long)value);
}

bool need_float(Infer *in, int attr, double least, double below)
{
    double value = in->attr[attr].f;
    if (value >= least && value < below)
        return true;
    if (isinf(below))
        return mistake(in, DIAG_E0206, "%s must be a finite number of at least %g, not %g",
                       attr_name(in, attr), least, value);
    return mistake(in, DIAG_E0206, "%s must be at least %g and below %g, not %g",
                   attr_name(in, attr), least, below, value);
}

bool need_known(Infer *in, unsigned input, int axis)
{
    Dim d = input_dim(in, input, axis);
    if (dim_is_const(d))
        return true;
    mistake(in, DIAG_E0209, "the size of axis %d of %s is not a constant", axis,
            input_name(in, input).text);
    note_sizes(in, d, dim_const(0));
    return false;
}
