/* What the parser is handed, token by token, and what happens after an error.
 *
 * Line ends mean nothing to the grammar, but people do put a statement on a line of its own, and
 * indent what continues one.  So after an error reading goes on where a line begins with a keyword
 * of a statement, or with a name no further right than the broken statement; or at the brace that
 * closes the body around it; or inside the body that the broken statement opens. */
#include "frontend/parse.h"

#include "base/str.h"

#include "parse.tab.h"

#include <string.h>

bool token_starts_statement(int kind)
{
    switch (kind) {
    case TOKEN_MODEL: case TOKEN_USE: case TOKEN_CONFIG: case TOKEN_BATCH: case TOKEN_SEQUENCE:
    case TOKEN_DIM: case TOKEN_INPUT: case TOKEN_OUTPUT: case TOKEN_PARAM: case TOKEN_BLOCK:
    case TOKEN_RETURN: case TOKEN_FOR: case TOKEN_IF: case TOKEN_TRAIN: case TOKEN_LOSS:
    case TOKEN_OPTIMIZER:
        return true;
    }
    return false;
}

/* The statement being read begins with the first token behind the newest finished one. */
uint32_t recover_statement(const Parse *p)
{
    uint32_t i = p->last;
    while (i > 0 && p->tokens[i - 1].loc.first >= p->done)
        i--;
    while (i < p->last && p->tokens[i].kind == TOKEN_COMMENT)
        i++;
    return i;
}

/* May reading go on with token `i`?  `column` is where the broken statement began. */
static bool is_sync(const Parse *p, uint32_t i, uint32_t column, bool was_first)
{
    const Token *t = &p->tokens[i];
    if (t->kind == TOKEN_END || t->kind == TOKEN_BODY_CLOSE)
        return true;
    if (!t->starts_line || was_first)
        return false;
    return token_starts_statement(t->kind) ||
           (t->kind == TOKEN_NAME && t->loc.column <= column);
}

/* `x = a +` and, on the next line, `y = b`: the grammar took y for the missing value and stumbled over
 * the second `=`.  True when token `last - 1` began a statement in truth. */
static bool swallowed_next(const Parse *p, uint32_t start)
{
    if (p->last < start + 2)
        return false;
    const Token *bad = &p->tokens[p->last], *before = bad - 1;
    return (bad->kind == '=' || bad->kind == ',') && before->kind == TOKEN_NAME &&
           before->starts_line && before->loc.column <= p->tokens[start].loc.column;
}

static uint32_t recover(Parse *p, int *kind)
{
    uint32_t start = recover_statement(p);
    uint32_t column = p->tokens[start].loc.column;
    p->recovering = false;
    for (uint32_t i = p->last - swallowed_next(p, start);; i++) {
        const Token *t = &p->tokens[i];
        if (t->kind == TOKEN_BODY_OPEN) {
            *kind = TOKEN_BODY_SYNC;
            p->next = i + 1;
            return p->last = i;
        }
        if (is_sync(p, i, column, i == start)) {
            *kind = TOKEN_SYNC;
            p->next = i;
            return i;
        }
    }
}

uint32_t recover_next(Parse *p, int *kind)
{
    if (p->recovering)
        return recover(p, kind);
    while (p->next < p->n_tokens && p->tokens[p->next].kind == TOKEN_COMMENT)
        p->next++;
    if (p->next == p->n_tokens) {       /* asked again behind the end */
        *kind = 0;
        return p->n_tokens - 1;
    }
    p->last = p->next++;
    *kind = p->tokens[p->last].kind;
    return p->last;
}

/* ---- the message -------------------------------------------------------------------------- */

static bool is_among(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* "a value", "an operator" for what would otherwise be a list of twenty tokens. */
static bool belongs_to_value(const char *name)
{
    static const char *const names[] = { "a string", "a whole number", "a number", "`true`",
                                         "`false`", "`not`", "`-`", "`(`", "`[`", "a name" };
    return is_among(names, (int)(sizeof names / sizeof *names), name);
}

static bool belongs_to_operator(const char *name)
{
    static const char *const names[] = { "`and`", "`or`", "`==`", "`!=`", "`<=`", "`>=`", "`<`",
                                         "`>`", "`+`", "`-`", "`*`", "`/`", "`%`", "`^`", "`@`",
                                         "`'`", "`[`", "`(`", "`as`" };
    return is_among(names, (int)(sizeof names / sizeof *names), name);
}

static bool belongs_to_statement(const char *name)
{
    static const char *const names[] = {
        "`model`", "`use`", "`config`", "`batch`", "`sequence`", "`dim`", "`input`", "`output`",
        "`param`", "`block`", "`return`", "`for`", "`if`", "`train`", "`loss`", "`optimizer`",
        "the next statement", "the next body", "a name" };
    return is_among(names, (int)(sizeof names / sizeof *names), name);
}

enum { MAX_SHOWN = 4 };

/* Up to MAX_SHOWN phrases; returns their number, or 0 when there are more. */
static int phrases(const char *const *expected, int n, const char *out[MAX_SHOWN])
{
    bool value = is_among(expected, n, "a whole number");
    bool operator = is_among(expected, n, "`+`");
    bool statement = is_among(expected, n, "`config`");
    int shown = 0;
    if (value)
        out[shown++] = "a value";
    for (int i = 0; i < n; i++) {
        const char *name = expected[i];
        if ((value && belongs_to_value(name)) || (operator && belongs_to_operator(name)) ||
            (statement && belongs_to_statement(name)) || strcmp(name, "the end of the file") == 0)
            continue;
        if (shown == MAX_SHOWN)
            return 0;
        out[shown++] = name;
    }
    if (statement && !value && shown < MAX_SHOWN)
        out[shown++] = operator ? "an operator" : "a statement";
    else if (operator && shown < MAX_SHOWN)
        out[shown++] = "an operator";
    return shown;
}

static const char *describe(Parse *p, const Token *t)
{
    if (t->kind == TOKEN_END)
        return "the end of the file";
    if (t->loc.first == t->loc.last)
        return "the end of the body";
    int n = (int)(t->loc.last - t->loc.first);
    return arena_printf(p->arena, "`%.*s`", n > MAX_NAME ? MAX_NAME : n, p->text + t->loc.first);
}

static const char *const keywords[] = { "model", "use", "config", "batch", "sequence", "dim",
                                        "input", "output", "param", "block", "return", "for",
                                        "if", "else", "train", "loss", "optimizer" };

/* A keyword that the author may have meant: at the head of the statement where none was seen, or
 * in place of the guilty token. */
static const char *meant_keyword(Parse *p, const char *const *expected, int n_expected)
{
    const Token *first = &p->tokens[recover_statement(p)], *bad = &p->tokens[p->last];
    if (first->kind == TOKEN_NAME && first < bad) {
        Nearest near = nearest_of(first->u.name);
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
            nearest_try(&near, keywords[i]);
        if (near.found)
            return near.found;
    }
    if (bad->kind != TOKEN_NAME)
        return NULL;
    Nearest near = nearest_of(bad->u.name);
    for (int i = 0; i < n_expected; i++) {
        size_t n = strlen(expected[i]);
        if (expected[i][0] == '`' && n > 3)
            nearest_try(&near, arena_strndup(p->arena, expected[i] + 1, n - 2));
    }
    return near.found;
}

void recover_report(Parse *p, const char *const *expected, int n_expected)
{
    const Token *bad = &p->tokens[p->last];
    p->ast->n_syntax_errors++;
    p->recovering = true;
    if (bad->kind == TOKEN_BAD || p->gave_up)
        return;

    if (swallowed_next(p, recover_statement(p))) {
        const Token *end = bad - 2;
        while (end > p->tokens && end->kind == TOKEN_COMMENT)
            end--;
        parse_error(p, end->loc, DIAG_E0110, "something is missing after %s", describe(p, end));
        return;
    }
    const char *shown[MAX_SHOWN];
    int n = phrases(expected, n_expected, shown);
    Buf text = { 0 };
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", shown[i]);

    /* What is missing at the end of a line is missing there, not at the start of the next. */
    const Token *before = p->last ? bad - 1 : bad;
    while (before > p->tokens && before->kind == TOKEN_COMMENT)
        before--;
    bool at_line_end = before->loc.last > before->loc.first && before->kind != TOKEN_COMMENT &&
                       before->loc.line < bad->loc.line && before->loc.first >= p->done;
    const Token *at = at_line_end ? before : bad;
    if (n)
        parse_error(p, at->loc, DIAG_E0110, "expected %s%s%s, found %s", text.data,
                    at_line_end ? " after " : "", at_line_end ? describe(p, at) : "",
                    describe(p, bad));
    else
        parse_error(p, at->loc, DIAG_E0110, "unexpected %s", describe(p, bad));
    buf_free(&text);
    const char *keyword = meant_keyword(p, expected, n_expected);
    if (keyword)
        diag_label(p->diags, "did you mean `%s`?", keyword);
}
