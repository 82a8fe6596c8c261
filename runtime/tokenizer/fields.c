/* What the parts share: reading the fields of their objects, growing arrays, patterns. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- fields ----------------------------------------------------------------------------------- */

static const json_t *field(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

bool field_bool(const json_t *o, const char *key, bool fallback, bool *out, Error *err)
{
    const json_t *v = field(o, key);
    *out = v ? json_is_true(v) : fallback;
    return !v || json_is_boolean(v) || error_set(err, "\"%s\" is not true or false", key);
}

bool field_size(const json_t *o, const char *key, size_t fallback, size_t *out, Error *err)
{
    const json_t *v = field(o, key);
    *out = fallback;
    if (!v)
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return error_set(err, "\"%s\" is not a whole number", key);
    *out = (size_t)json_integer_value(v);
    return true;
}

bool field_string(const json_t *o, const char *key, const char **out, size_t *n, Error *err)
{
    const json_t *v = field(o, key);
    *out = NULL;
    *n = 0;
    if (!v)
        return true;
    if (!json_is_string(v))
        return error_set(err, "\"%s\" is not a string", key);
    *out = json_string_value(v);
    *n = json_string_length(v);
    return true;
}

const char *field_type(const json_t *o, Error *err)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    if (!type)
        error_set(err, "\"type\" is missing");
    return type;
}

int word_index(const char *word, const char *const *words, int n, const char *what, Error *err)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    error_set(err, "the %s \"%.60s\" is not supported", what, word);
    return -1;
}

/* ---- arrays ----------------------------------------------------------------------------------- */

bool ids_push(TokenIds *ids, int32_t id, Error *err)
{
    if (ids->n == ids->cap) {
        const size_t cap = ids->cap ? 2 * ids->cap : 64;
        int32_t *grown = realloc(ids->id, cap * sizeof *grown);
        if (!grown)
            return error_set(err, "out of memory");
        ids->id = grown;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return true;
}

enum { BLOCK = 1024 };                  /* pieces that a sink takes at once */

bool pieces_push(Pieces *p, size_t begin, size_t end, Error *err)
{
    if (begin == end)
        return true;
    if (end > UINT32_MAX)
        return error_set(err, "the text is longer than 4 GiB; encode it in parts");
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 64;
        Piece *grown = realloc(p->piece, cap * sizeof *grown);
        if (!grown)
            return error_set(err, "out of memory");
        p->piece = grown;
        p->cap = cap;
    }
    p->piece[p->n++] = (Piece){ (uint32_t)begin, (uint32_t)end };
    if (!p->sink || p->n < BLOCK)
        return true;
    const bool ok = p->text.failed ? error_set(err, "out of memory") : p->sink->take(p->sink->arg, p, err);
    p->n = 0;
    if (p->rewritten)
        buf_clear(&p->text);
    return ok;
}

Span piece_span(const Pieces *p, size_t i)
{
    return (Span){ p->piece[i].begin, p->piece[i].end };
}

void pieces_clear(Pieces *p)
{
    buf_clear(&p->text);
    p->n = 0;
    p->sink = NULL;
    p->rewritten = false;
}

void pieces_free(Pieces *p)
{
    buf_free(&p->text);
    free(p->piece);
    *p = (Pieces){ 0 };
}

/* ---- patterns --------------------------------------------------------------------------------- */

bool pattern_literal(const char *s, size_t n, Pattern *out, Error *err)
{
    *out = (Pattern){ .literal = malloc(n + 1), .n = n };
    if (!out->literal)
        return error_set(err, "out of memory");
    memcpy(out->literal, s, n);
    out->literal[n] = 0;
    return true;
}

bool pattern_read(const json_t *o, Pattern *out, Error *err)
{
    *out = (Pattern){ 0 };
    const json_t *literal = json_object_get(o, "String"), *regex = json_object_get(o, "Regex");
    if (json_is_string(o))
        literal = o;
    if (json_is_string(literal))
        return pattern_literal(json_string_value(literal), json_string_length(literal), out, err);
    if (!json_is_string(regex))
        return error_set(err, "\"pattern\" is neither a String nor a Regex");
    out->regex = regex_compile(json_string_value(regex), json_string_length(regex), err);
    return out->regex != NULL;
}

void pattern_free(Pattern *p)
{
    regex_free(p->regex);
    free(p->literal);
    *p = (Pattern){ 0 };
}

static void replace_literal(const Pattern *p, const char *text, size_t n, const char *with,
                            size_t with_n, Buf *out)
{
    const char *found;
    while (p->n > 0 && (found = p->n == 1 ? memchr(text, *p->literal, n)
                                          : memmem(text, n, p->literal, p->n)) != NULL) {
        const size_t before = (size_t)(found - text);
        buf_add(out, text, before);
        buf_add(out, with, with_n);
        text += before + p->n;
        n -= before + p->n;
    }
    buf_add(out, text, n);
}

bool pattern_replace(const Pattern *p, Workspace *w, const char *text, size_t n, const char *with,
                     size_t with_n, Buf *out, Error *err)
{
    size_t begin, end, done = 0;
    bool found = true;
    if (!p->regex) {
        replace_literal(p, n ? text : "", n, with, with_n, out);
        return !out->failed || error_set(err, "out of memory");
    }
    RegexWalk walk = regex_walk(p->regex, w->regex, text, n);
    while (found) {
        if (!regex_next(&walk, &begin, &end, &found, err))
            return false;
        if (!found)
            break;
        buf_add(out, text + done, begin - done);
        buf_add(out, with, with_n);
        done = end;
    }
    if (n > done)
        buf_add(out, text + done, n - done);
    return !out->failed || error_set(err, "out of memory");
}
