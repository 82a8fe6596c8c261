/* Configs, what `-D` makes of them, and the sizes that are known only at run time. */
#include "frontend/sema.h"

#include "base/buf.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const Span nowhere;              /* the command line has no line */

Global *sema_global(Sema *s, const char *name)
{
    uint32_t i;
    return name_map_get(&s->global_index, name, &i) ? &s->globals[i] : NULL;
}

/* ---- -D NAME=VALUE ------------------------------------------------------------------------------ */

void sema_parse_defines(Sema *s)
{
    uint32_t n = s->options ? s->options->n_defines : 0;
    s->defines = arena_array(s->arena, n, sizeof *s->defines);
    for (uint32_t i = 0; i < n; i++) {
        const char *text = s->options->defines[i], *equals = strchr(text, '=');
        if (!equals || equals == text) {
            sema_error(s, nowhere, DIAG_E0416, "-D %s: expected NAME=VALUE", text);
            continue;
        }
        Define *d = &s->defines[s->n_defines++];
        d->name = intern(&s->intern, text, (size_t)(equals - text));
        d->text = equals + 1;
    }
}

void sema_check_defines(Sema *s)
{
    for (uint32_t i = 0; i < s->n_defines; i++) {
        const Define *d = &s->defines[i];
        uint32_t unused;
        const Global *g = sema_global(s, d->name);
        if ((g && g->kind == GLOBAL_config) || name_map_get(&s->broken, d->name, &unused))
            continue;
        if (g) {
            sema_error(s, nowhere, DIAG_E0303, "-D %s: `%s` is a size known only at run time",
                       d->name, d->name);
            sema_note(s, g->stmt->name_span, "declared here");
            continue;
        }
        Nearest near = nearest_of(d->name);
        for (uint32_t k = 0; k < s->n_globals; k++)
            if (s->globals[k].kind == GLOBAL_config)
                nearest_try(&near, s->globals[k].stmt->name);
        sema_error(s, nowhere, DIAG_E0303, "-D %s: the model has no config of this name", d->name);
        sema_suggest(s, &near);
    }
}

const Define *sema_find_define(Sema *s, const char *name)
{
    const Define *found = NULL;
    for (uint32_t i = 0; i < s->n_defines; i++)
        if (strcmp(s->defines[i].name, name) == 0)
            found = &s->defines[i];
    return found;
}

static Val parse_value(Sema *s, const char *text)
{
    int64_t i;
    double f;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return val_bool(text[0] == 't');
    if (str_to_i64(text, INT64_MIN, INT64_MAX, &i))
        return val_int(i);
    if (str_to_double(text, &f))
        return val_float(f);
    return (Val){ .kind = VAL_string, .u.s = intern(&s->intern, text, strlen(text)) };
}

/* The value of the command line in place of the file's, which says what kind it must be. */
static Val override(Sema *s, const Stmt *stmt, const Define *d, Val was)
{
    Val v = parse_value(s, d->text);
    if (was.kind == VAL_poison)
        return v;
    if (was.kind == VAL_float && v.kind == VAL_int)
        return val_float((double)v.u.i);
    if (was.kind == VAL_string && v.kind != VAL_string)
        return (Val){ .kind = VAL_string, .u.s = intern(&s->intern, d->text, strlen(d->text)) };
    if (was.kind == v.kind)
        return v;
    Val poison = sema_error(s, nowhere, DIAG_E0416, "-D %s=%s: `%s` is %s, not %s", d->name,
                            d->text, d->name, val_kind_name(was), val_kind_name(v));
    sema_note(s, stmt->name_span, "defined here");
    return poison;
}

void sema_config(Sema *s, const Stmt *stmt)
{
    Global *g = sema_global(s, stmt->name);
    if (!g || g->stmt != stmt)
        return;                         /* a second definition, already told */
    const Define *d = sema_find_define(s, stmt->name);
    s->quiet += d != NULL;              /* what stands in the file no longer matters */
    Val v = sema_expr(s, stmt->value);
    s->quiet -= d != NULL;
    if (d)
        v = override(s, stmt, d, v);
    if (v.kind == VAL_tensor || v.kind == VAL_list || v.kind == VAL_dim)
        v = sema_error(s, stmt->value->span, DIAG_E0400,
                       "a config is a number, true or false, or a string, not %s",
                       val_kind_name(v));
    v.origin = v.kind == VAL_int ? graph_origin(s->g, stmt->name, stmt->name_span) : 0;
    g = sema_global(s, stmt->name);
    g->value = v;
    g->set = true;
}

static void print_value(Buf *out, Val v)
{
    switch (v.kind) {
    case VAL_int:    buf_printf(out, "%" PRId64, v.u.i); break;
    case VAL_float:  buf_printf(out, "%.17g", v.u.f); break;
    case VAL_bool:   buf_puts(out, v.u.b ? "true" : "false"); break;
    case VAL_string: buf_puts(out, v.u.s); break;
    case VAL_dim: case VAL_tensor: case VAL_list: case VAL_tuple: case VAL_poison: break;
    }
}

const char *sema_config_values(Sema *s)
{
    Buf out = { 0 };
    for (uint32_t i = 0; i < s->n_globals; i++) {
        const Global *g = &s->globals[i];
        if (g->kind != GLOBAL_config || !g->set || (g->value.kind == VAL_string && strchr(g->value.u.s, '\n')))
            continue;
        buf_printf(&out, "%s%s=", out.len ? "\n" : "", g->stmt->name);
        print_value(&out, g->value);
    }
    const char *text = arena_strdup(s->arena, out.len && !out.failed ? out.data : "");
    buf_free(&out);
    return text;
}

/* ---- batch, sequence, dim ----------------------------------------------------------------------- */

static SymbolRole role_of(const Stmt *stmt)
{
    return stmt->kind == STMT_batch      ? ROLE_BATCH
           : stmt->kind == STMT_sequence ? ROLE_SEQUENCE
                                         : ROLE_FREE;
}

/* One batch and one sequence: cached generation would not know along which to go. */
static bool is_second(Sema *s, const Stmt *stmt)
{
    SymbolRole role = role_of(stmt);
    if (role == ROLE_FREE)
        return false;
    for (uint32_t i = 0; i < s->g->n_symbols; i++)
        if (s->g->symbol[i].role == role) {
            sema_error(s, stmt->span, DIAG_E0411, "a model has one %s", stmt_kind_name(stmt->kind));
            sema_note(s, s->g->symbol[i].span, "it is `%s`", s->g->symbol[i].name);
            return true;
        }
    return false;
}

void sema_size(Sema *s, const Stmt *stmt)
{
    Global *g = sema_global(s, stmt->name);
    if (!g || g->stmt != stmt)
        return;
    int64_t max = 0;
    Dim bound;
    if (stmt->value) {
        Val v = sema_expr(s, stmt->value);
        if (v.kind == VAL_dim)
            sema_error(s, stmt->value->span, DIAG_E0417, "a bound is a number, not %s",
                       val_kind_name(v));
        else if (sema_size_of(s, stmt->value, v, &bound))
            max = bound.coef;
    }
    g->set = true;
    if (is_second(s, stmt))
        return;
    int symbol = graph_symbol(s->g, stmt->name, role_of(stmt), max, stmt->name_span);
    if (symbol < 0) {
        sema_error(s, stmt->span, DIAG_E0411, "a model has at most %d sizes of this kind",
                   MAX_SYMBOLS);
        return;
    }
    Dim d = dim_symbol(symbol);
    d.origin = graph_origin(s->g, stmt->name, stmt->name_span);
    g->value = val_dim(d);
}
