/* The train block: what only training needs. */
#include "frontend/sema.h"


#include <string.h>

void sema_train(Sema *s, const Stmt *stmt)
{
    if (s->train) {
        sema_error(s, stmt->span, DIAG_E0412, "a model has one `train` block");
        sema_note(s, s->train->span, "the first is here");
        return;
    }
    s->train = stmt;
    Frame *f = frame_push(s);
    f->parent = f->caller;
    sema_body(s, &stmt->body);
    frame_pop(s);
    if (stmt->has_broken || s->stop)
        return;
    if (!s->loss)
        sema_error(s, stmt->span, DIAG_E0412, "`train` without a `loss`");
    if (!s->optimizer)
        sema_error(s, stmt->span, DIAG_E0413, "`train` without an `optimizer`");
}

void sema_loss(Sema *s, const Stmt *stmt)
{
    Val v = sema_expr(s, stmt->value);
    if (s->loss) {
        sema_error(s, stmt->span, DIAG_E0412, "a model has one loss");
        sema_note(s, s->loss->span, "the first is here");
        return;
    }
    s->loss = stmt;
    if (v.kind == VAL_poison)
        return;
    const Type *t = v.kind == VAL_tensor ? value_type(s->g, v.u.tensor) : NULL;
    if (t && t->dtype == DTYPE_f32 && t->shape.rank == 0) {
        s->g->loss = v.u.tensor;
        return;
    }
    Buf type = { 0 };
    if (t)
        type_print(&type, s->g, t);
    sema_error(s, stmt->value->span, DIAG_E0412, "the loss is a scalar of type f32, not %s",
               t ? type.data : val_kind_name(v));
    buf_free(&type);
    if (t && t->dtype == DTYPE_f32)
        sema_label(s, "`mean(...)` makes one of it");
}

/* ---- the optimizer --------------------------------------------------------------------------------- */

typedef struct Setting {
    const char *name;
    double fallback, least, below;      /* least <= value < below */
    bool required;
    size_t field;                       /* of Optimizer */
} Setting;

#define NO_END 1e300
#define FIELD(name) offsetof(Optimizer, name)
static const Setting sgd[] = {
    { "lr", 0, 0, NO_END, true, FIELD(lr) },
    { "momentum", 0, 0, 1, false, FIELD(momentum) },
    { "weight_decay", 0, 0, NO_END, false, FIELD(weight_decay) },
    { NULL, 0, 0, 0, false, 0 },
};
static const Setting adamw[] = {
    { "lr", 0, 0, NO_END, true, FIELD(lr) },
    { "beta1", 0.9, 0, 1, false, FIELD(beta1) },
    { "beta2", 0.999, 0, 1, false, FIELD(beta2) },
    { "eps", 1e-8, 0, NO_END, false, FIELD(eps) },
    { "weight_decay", 0.01, 0, NO_END, false, FIELD(weight_decay) },
    { NULL, 0, 0, 0, false, 0 },
};

static const Setting *settings_of(OptimizerKind kind)
{
    switch (kind) {
    case OPTIMIZER_sgd: return sgd;
    case OPTIMIZER_adamw: return adamw;
    case OPTIMIZER_none:
    case N_OPTIMIZERS: break;
    }
    return NULL;
}

static OptimizerKind kind_of(Sema *s, const char *name, Span at)
{
    static const char *const names[] = {
#define X(name) #name,
        OPTIMIZERS(X)
#undef X
    };
    Nearest near = nearest_of(name);
    for (int i = 1; i < N_OPTIMIZERS; i++) {
        if (strcmp(names[i], name) == 0)
            return (OptimizerKind)i;
        nearest_try(&near, names[i]);
    }
    sema_error(s, at, DIAG_E0413, "unknown optimizer `%s`", name);
    if (near.found)
        sema_suggest(s, &near);
    else
        sema_label(s, "sgd or adamw");
    return OPTIMIZER_none;
}

static const Setting *find_setting(Sema *s, const Setting *settings, const Arg *a, uint32_t i,
                                   const char *optimizer)
{
    Nearest near = nearest_of(a->name ? a->name : "");
    for (uint32_t k = 0; settings[k].name; k++) {
        if (a->name ? strcmp(settings[k].name, a->name) == 0 : k == i)
            return &settings[k];
        if (a->name)
            nearest_try(&near, settings[k].name);
    }
    if (a->name) {
        sema_error(s, a->name_span, DIAG_E0302, "`%s` has no argument `%s`", optimizer, a->name);
        sema_suggest(s, &near);
    } else {
        sema_error(s, a->value->span, DIAG_E0311, "too many arguments for `%s`", optimizer);
    }
    return NULL;
}

static void set_setting(Sema *s, const Setting *setting, Expr *e, Optimizer *out)
{
    Val v = sema_expr(s, e);
    if (v.kind == VAL_poison)
        return;
    if (!val_is_number(v)) {
        sema_error(s, e->span, DIAG_E0400, "`%s` is a number, not %s", setting->name,
                   val_kind_name(v));
        return;
    }
    double f = val_number(v);
    if (f < setting->least || f >= setting->below) {
        sema_error(s, e->span, DIAG_E0413, "`%s` = %g is out of range", setting->name, f);
        sema_label(s, setting->below == 1 ? "at least 0 and below 1" : "at least 0");
    }
    memcpy((char *)out + setting->field, &f, sizeof f);
}

static void set_settings(Sema *s, Expr *e, Optimizer *out)
{
    const Setting *settings = settings_of(out->kind);
    const ArgList *args = &e->u.call.args;
    unsigned given = 0;
    for (uint32_t k = 0; settings[k].name; k++)
        memcpy((char *)out + settings[k].field, &settings[k].fallback, sizeof(double));
    for (uint32_t i = 0; i < args->n; i++) {
        const Setting *setting = find_setting(s, settings, &args->items[i], i, e->u.call.name);
        if (!setting)
            continue;
        unsigned bit = 1u << (setting - settings);
        if (given & bit)
            sema_error(s, args->items[i].value->span, DIAG_E0312, "`%s` is given twice",
                       setting->name);
        given |= bit;
        set_setting(s, setting, args->items[i].value, out);
    }
    for (uint32_t k = 0; settings[k].name; k++)
        if (settings[k].required && !(given >> k & 1))
            sema_error(s, e->span, DIAG_E0310, "`%s` needs an argument `%s`", e->u.call.name,
                       settings[k].name);
}

void sema_optimizer(Sema *s, const Stmt *stmt)
{
    Expr *e = stmt->value;
    if (s->optimizer) {
        sema_error(s, stmt->span, DIAG_E0413, "a model has one optimizer");
        sema_note(s, s->optimizer->span, "the first is here");
        return;
    }
    s->optimizer = stmt;
    if (e->kind != EXPR_call || e->u.call.path) {
        sema_error(s, e->span, DIAG_E0413, "expected an optimizer, as in adamw(lr = 3e-4)");
        return;
    }
    Optimizer o = { .kind = kind_of(s, e->u.call.name, e->u.call.name_span), .span = stmt->span };
    if (o.kind == OPTIMIZER_none)
        return;
    set_settings(s, e, &o);
    s->g->optimizer = o;
}
