/* The formatter works on tokens, so that no comment is lost and nothing is printed that was not
 * written; the tree only tells where statements begin. */
#include "frontend/fmt.h"

#include "base/check.h"

#include "parse.tab.h"

/* What is lined up with its neighbours: lines of one class that follow each other. */
typedef enum LineClass {
    LINE_other, LINE_config, LINE_size, LINE_input, LINE_output, LINE_param, LINE_assign,
    LINE_training
} LineClass;

typedef struct Line {
    uint32_t first, last;               /* tokens [first, last) */
    uint32_t indent;                    /* blanks before it */
    bool blank;                         /* an empty line before it */
    bool inside;                        /* of a statement begun on a line before */
    bool continues;                     /* the same, and no comment */
    LineClass class;
    uint32_t column;                    /* the token that is lined up, or `last` */
    uint32_t comment;                   /* the comment at the end, or `last` */
} Line;

typedef struct Format {
    const Parse *p;
    Arena *arena;
    bool *starts;                       /* by token: begins a statement */
    uint8_t *kinds;                     /* by token: StmtKind of the statement that begins */
    uint32_t *space;                    /* by token: blanks before it on its line */
    Line *lines;
    uint32_t n_lines, cap_lines;
} Format;

static const Token *token(const Format *f, uint32_t i)
{
    return &f->p->tokens[i];
}

/* ---- statements ------------------------------------------------------------------------------- */

static uint32_t token_at(const Format *f, uint32_t byte)
{
    uint32_t lo = 0, hi = f->p->n_tokens - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (token(f, mid)->loc.first < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void mark_starts(Format *f, const StmtList *body)
{
    for (uint32_t i = 0; i < body->n; i++) {
        uint32_t t = token_at(f, body->items[i]->first);
        f->starts[t] = t == 0 || token(f, t - 1)->kind != TOKEN_ELSE;
        f->kinds[t] = (uint8_t)body->items[i]->kind;
        mark_starts(f, &body->items[i]->body);
        mark_starts(f, &body->items[i]->otherwise);
    }
}

/* ---- lines -------------------------------------------------------------------------------------- */

static bool breaks_before(const Format *f, uint32_t i)
{
    const Token *t = token(f, i), *before = i ? t - 1 : NULL;
    if (!before || before->kind == TOKEN_COMMENT)
        return true;
    if (t->kind == TOKEN_COMMENT)
        return t->starts_line;
    if (t->kind == TOKEN_BODY_CLOSE)
        return before->kind != TOKEN_BODY_OPEN;
    if (t->kind == TOKEN_ELSE || t->kind == TOKEN_BODY_OPEN || before->kind == TOKEN_ELSE)
        return false;
    return f->starts[i] || before->kind == TOKEN_BODY_OPEN || t->starts_line;
}

static LineClass class_of(StmtKind kind)
{
    switch (kind) {
    case STMT_config: return LINE_config;
    case STMT_batch: case STMT_sequence: case STMT_dim: return LINE_size;
    case STMT_input: return LINE_input;
    case STMT_output: return LINE_output;
    case STMT_param: return LINE_param;
    case STMT_assign: return LINE_assign;
    case STMT_loss: case STMT_optimizer: return LINE_training;
    case STMT_model: case STMT_use: case STMT_block: case STMT_return: case STMT_for: case STMT_if:
    case STMT_train: case STMT_broken: case N_STMT_KINDS: break;
    }
    return LINE_other;
}

/* The token that stands in a column: `=`, `:`, or what follows a keyword. */
static uint32_t column_of(const Format *f, const Line *l)
{
    int wanted = l->class == LINE_input ? ':' : '=';
    if (l->class == LINE_other)
        return l->last;
    if (l->class == LINE_size || l->class == LINE_training)
        return l->first + 1;
    uint32_t depth = 0;
    for (uint32_t i = l->first; i < l->last; i++) {
        int kind = token(f, i)->kind;
        depth += kind == '(' || kind == '[';
        depth -= (kind == ')' || kind == ']') && depth;
        if (kind == wanted && depth == 0)
            return i;
    }
    return l->last;
}

/* Does the token belong to the statement before it rather than to what comes next? */
static bool is_inside(const Format *f, uint32_t i)
{
    while (token(f, i)->kind == TOKEN_COMMENT)
        i++;
    int kind = token(f, i)->kind;
    return !f->starts[i] && kind != TOKEN_BODY_CLOSE && kind != TOKEN_END && kind != TOKEN_ELSE;
}

static void add_line(Format *f, uint32_t first, uint32_t depth, bool after_open)
{
    const Token *t = token(f, first);
    bool inside = first && is_inside(f, first);
    uint32_t outer = t->kind == TOKEN_BODY_CLOSE ? depth - 1 : depth;
    Line l = {
        .first = first, .last = first, .indent = 2 * outer + (inside ? 4 : 0),
        .inside = inside, .continues = inside && t->kind != TOKEN_COMMENT,
        .class = f->starts[first] ? class_of((StmtKind)f->kinds[first]) : LINE_other,
    };
    l.blank = first && !after_open && t->kind != TOKEN_BODY_CLOSE &&
              t->loc.line > token(f, first - 1)->loc.last_line + 1;
    ARENA_PUSH(f->arena, f->lines, f->n_lines, f->cap_lines, l);
}

static void make_lines(Format *f)
{
    uint32_t depth = 0, n = f->p->n_tokens - 1;         /* without the end */
    for (uint32_t i = 0; i < n; i++) {
        bool after_open = i && token(f, i - 1)->kind == TOKEN_BODY_OPEN;
        if (breaks_before(f, i))
            add_line(f, i, depth, after_open);
        f->lines[f->n_lines - 1].last = i + 1;
        depth += token(f, i)->kind == TOKEN_BODY_OPEN;
        depth -= token(f, i)->kind == TOKEN_BODY_CLOSE && depth;
    }
    for (uint32_t i = 0; i < f->n_lines; i++) {
        Line *l = &f->lines[i];
        l->column = column_of(f, l);
        uint32_t end = l->last - 1;
        l->comment = end > l->first && token(f, end)->kind == TOKEN_COMMENT ? end : l->last;
        if (l->column >= l->comment)
            l->column = l->last;
    }
}

/* ---- blanks within a line ----------------------------------------------------------------------- */

static bool ends_value(int kind)
{
    return kind == TOKEN_NAME || kind == TOKEN_INT || kind == TOKEN_FLOAT || kind == TOKEN_STRING ||
           kind == TOKEN_TRUE || kind == TOKEN_FALSE || kind == ')' || kind == ']' || kind == '\'' ||
           kind == TOKEN_WORD || kind == TOKEN_PATH_CLOSE;
}

/* Is token `i`, a minus, the sign of what follows? */
static bool is_sign(const Format *f, uint32_t i)
{
    return i == 0 || !ends_value(token(f, i - 1)->kind);
}

/* Blanks between token i - 1 and i on one line; `bracket` is the innermost open one, or 0. */
static uint32_t blanks_before(const Format *f, uint32_t i, int bracket)
{
    int a = token(f, i - 1)->kind, b = token(f, i)->kind;
    if (b == TOKEN_COMMENT)
        return 2;
    if (a == '(' || a == '[' || a == TOKEN_PATH_OPEN || a == TOKEN_DOT || a == TOKEN_RANGE)
        return 0;
    if (b == ')' || b == ']' || b == TOKEN_PATH_CLOSE || b == ',' || b == '\'' || b == TOKEN_DOT)
        return 0;
    if (b == '(')
        return a != TOKEN_NAME;
    if (b == '[')
        return !ends_value(a);
    if (b == TOKEN_RANGE)
        return a == ',';
    if (b == ':')
        return a == ',' || bracket != '[';
    if (a == ':')
        return bracket != '[';
    if (a == '-' && is_sign(f, i - 1))
        return 0;
    return 1;
}

static void set_spaces(Format *f)
{
    int open[MAX_BRACKETS + 1];
    uint32_t n_open = 0;
    for (uint32_t k = 0; k < f->n_lines; k++) {
        const Line *l = &f->lines[k];
        for (uint32_t i = l->first; i < l->last; i++) {
            int kind = token(f, i)->kind;
            if (i > l->first)
                f->space[i] = blanks_before(f, i, n_open ? open[n_open - 1] : 0);
            if ((kind == '(' || kind == '[') && n_open < MAX_BRACKETS)
                open[n_open++] = kind;
            if ((kind == ')' || kind == ']') && n_open)
                n_open--;
        }
    }
}

/* ---- columns --------------------------------------------------------------------------------------- */

static uint32_t width_of(const Format *f, uint32_t i)
{
    uint32_t width = 0;
    const Loc *loc = &token(f, i)->loc;
    for (uint32_t k = loc->first; k < loc->last; k++)
        width += ((unsigned char)f->p->text[k] & 0xC0) != 0x80;
    return width;
}

/* Characters up to token `end` of the line, without the blanks before that. */
static uint32_t width_before(const Format *f, const Line *l, uint32_t end)
{
    uint32_t width = l->indent;
    for (uint32_t i = l->first; i < end; i++) {
        width += i > l->first ? f->space[i] : 0;
        width += width_of(f, i);
    }
    return width;
}

/* Did the author put more blanks before the token than it needs? */
static bool was_spaced(const Format *f, uint32_t i, uint32_t needed)
{
    const Loc *a = &token(f, i - 1)->loc, *b = &token(f, i)->loc;
    return a->last_line == b->line && b->first - a->last > needed;
}

/* `pick` says which token of a line is lined up: the column or the comment. */
static uint32_t pick(const Line *l, bool comments)
{
    return comments ? l->comment : l->column;
}

static bool joins(const Format *f, uint32_t k, bool comments)
{
    const Line *a = &f->lines[k - 1], *b = &f->lines[k];
    bool whole = k + 1 == f->n_lines || !f->lines[k + 1].continues;
    return !b->blank && b->indent == a->indent && pick(b, comments) < b->last &&
           (comments || (a->class == b->class && !b->continues && whole));
}

static void align(Format *f, bool comments)
{
    uint32_t needed = comments ? 2 : 1;
    for (uint32_t k = 0; k < f->n_lines;) {
        uint32_t end = k + 1;
        if (pick(&f->lines[k], comments) == f->lines[k].last) {
            k = end;
            continue;
        }
        bool statement = comments || end == f->n_lines || !f->lines[end].continues;
        while (statement && end < f->n_lines && joins(f, end, comments))
            end++;
        bool spaced = false;
        uint32_t widest = 0;
        for (uint32_t i = k; i < end; i++) {
            uint32_t at = pick(&f->lines[i], comments);
            uint32_t width = width_before(f, &f->lines[i], at);
            spaced |= was_spaced(f, at, needed);
            widest = width > widest ? width : widest;
        }
        for (uint32_t i = k; spaced && i < end; i++) {
            uint32_t at = pick(&f->lines[i], comments);
            f->space[at] = widest - width_before(f, &f->lines[i], at) + needed;
        }
        k = end;
    }
}

/* What continues inside of brackets stands behind the innermost open one, unless that ends its line. */
static void set_indents(Format *f)
{
    struct { uint32_t column; bool ends_line; } open[MAX_BRACKETS + 1];
    uint32_t n_open = 0;
    for (uint32_t k = 0; k < f->n_lines; k++) {
        Line *l = &f->lines[k];
        if (l->inside && n_open && !open[n_open - 1].ends_line)
            l->indent = open[n_open - 1].column + 1;
        uint32_t column = l->indent;
        for (uint32_t i = l->first; i < l->last; i++) {
            int kind = token(f, i)->kind;
            column += i > l->first ? f->space[i] : 0;
            if ((kind == '(' || kind == '[') && n_open < MAX_BRACKETS) {
                open[n_open].column = column;
                open[n_open++].ends_line = i + 1 >= l->comment;
            }
            if ((kind == ')' || kind == ']') && n_open)
                n_open--;
            column += width_of(f, i);
        }
    }
}

/* ---- output ------------------------------------------------------------------------------------------ */

static void put_lines(const Format *f, Buf *out)
{
    for (uint32_t k = 0; k < f->n_lines; k++) {
        const Line *l = &f->lines[k];
        if (l->blank)
            buf_putc(out, '\n');
        buf_printf(out, "%*s", (int)l->indent, "");
        for (uint32_t i = l->first; i < l->last; i++) {
            const Loc *loc = &token(f, i)->loc;
            if (i > l->first)
                buf_printf(out, "%*s", (int)f->space[i], "");
            buf_add(out, f->p->text + loc->first, loc->last - loc->first);
        }
        buf_putc(out, '\n');
    }
}

void format_tokens(const Parse *p, Buf *out)
{
    Format f = { .p = p, .arena = p->arena };
    CHECK(p->n_tokens > 0, "a text without an end");
    f.starts = arena_array(p->arena, p->n_tokens, sizeof *f.starts);
    f.kinds = arena_array(p->arena, p->n_tokens, sizeof *f.kinds);
    f.space = arena_array(p->arena, p->n_tokens, sizeof *f.space);
    mark_starts(&f, &p->ast->items);
    make_lines(&f);
    set_spaces(&f);
    align(&f, false);
    set_indents(&f);
    align(&f, true);
    put_lines(&f, out);
}
