/* Pre-tokenizers: a text is cut into pieces, none of which the model will look beyond. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* The order of `names`. */
typedef enum PreKind {
    PRE_SEQUENCE, PRE_BYTE_LEVEL, PRE_METASPACE, PRE_SPLIT, PRE_DIGITS, PRE_PUNCTUATION,
    PRE_WHITESPACE, PRE_WHITESPACE_SPLIT, PRE_BERT, PRE_CHAR_DELIMITER,
    PRE_FIXED_LENGTH, PRE_UNICODE_SCRIPTS,
} PreKind;

static const char *const names[] = {
    "Sequence", "ByteLevel", "Metaspace", "Split", "Digits", "Punctuation", "Whitespace",
    "WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit", "FixedLength",
    "UnicodeScripts",
};

/* What becomes of the matches of a pattern: the order of `behaviors`. */
typedef enum Behavior {
    SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS,
} Behavior;

static const char *const behaviors[] = {
    "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous",
};

typedef enum Scheme { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS } Scheme;
static const char *const schemes[] = { "never", "first", "always" };

struct PreTokenizer {
    PreKind kind;
    PreTokenizer **child;               /* of a sequence */
    size_t n_children;
    Pattern pattern;                    /* of Split, Whitespace, ByteLevel's own, Metaspace's sign */
    Behavior behavior;
    bool invert;
    bool prefix_space, use_regex;       /* of ByteLevel */
    Scheme scheme;                      /* of Metaspace */
    bool split;
    size_t length;                      /* of FixedLength, in characters */
};

/* ByteLevel's own pattern; Whitespace's, whose \w is that of Rust's regex and has the joiners. */
static const char byte_level_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
#define RUST_WORDS REGEX_WORDS "\\x{200c}\\x{200d}"
static const char word_pattern[] = "[" RUST_WORDS "]+|[^" RUST_WORDS "\\s]+";

/* ---- reading ---------------------------------------------------------------------------------- */

static bool read_children(const json_t *o, PreTokenizer *p, Error *err)
{
    const json_t *list = json_object_get(o, "pretokenizers");
    if (!json_is_array(list))
        return error_set(err, "\"pretokenizers\" is missing");
    p->child = calloc(json_array_size(list) + 1, sizeof(PreTokenizer *));
    if (!p->child)
        return error_set(err, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        p->child[i] = pretokenizer_read(json_array_get(list, i), err);
        if (!p->child[i])
            return false;
        p->n_children++;
    }
    return true;
}

static bool own_pattern(PreTokenizer *p, const char *pattern, Error *err)
{
    p->pattern.regex = regex_compile(pattern, strlen(pattern), err);
    return p->pattern.regex != NULL;
}

static bool read_behavior(const json_t *o, Behavior fallback, PreTokenizer *p, Error *err)
{
    const char *s;
    size_t n;
    p->behavior = fallback;
    if (!field_string(o, "behavior", &s, &n, err))
        return false;
    const int i = s ? word_index(s, behaviors, sizeof behaviors / sizeof *behaviors, "behavior", err)
                    : (int)fallback;
    if (i >= 0)
        p->behavior = (Behavior)i;
    return i >= 0;
}

/* A single character. */
static bool read_char(const json_t *o, const char *key, const char *fallback, PreTokenizer *p,
                      Error *err)
{
    const char *s;
    size_t n;
    if (!field_string(o, key, &s, &n, err))
        return false;
    if (!s && fallback) {
        s = fallback;
        n = strlen(s);
    }
    if (!s || n == 0 || utf8_length(*s) != n)
        return error_set(err, "\"%s\" is not one character", key);
    return pattern_literal(s, n, &p->pattern, err);
}

static bool read_metaspace(const json_t *o, PreTokenizer *p, Error *err)
{
    const char *s;
    size_t n;
    bool prefix;
    if (!read_char(o, "replacement", "\xe2\x96\x81", p, err) ||
        !field_bool(o, "split", true, &p->split, err) ||
        !field_bool(o, "add_prefix_space", true, &prefix, err) ||
        !field_string(o, "prepend_scheme", &s, &n, err))
        return false;
    p->scheme = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (s) {
        const int i = word_index(s, schemes, sizeof schemes / sizeof *schemes, "prepend_scheme", err);
        if (i < 0)
            return false;
        p->scheme = (Scheme)i;
    }
    return true;
}

static bool read_fields(const json_t *o, PreTokenizer *p, Error *err)
{
    bool individual;
    switch (p->kind) {
    case PRE_SEQUENCE:
        return read_children(o, p, err);
    case PRE_BYTE_LEVEL:
        return field_bool(o, "add_prefix_space", true, &p->prefix_space, err) &&
               field_bool(o, "use_regex", true, &p->use_regex, err) &&
               (!p->use_regex || own_pattern(p, byte_level_pattern, err));
    case PRE_METASPACE:
        return read_metaspace(o, p, err);
    case PRE_SPLIT:
        return pattern_read(json_object_get(o, "pattern"), &p->pattern, err) &&
               read_behavior(o, SPLIT_ISOLATED, p, err) &&
               field_bool(o, "invert", false, &p->invert, err);
    case PRE_DIGITS:
        if (!field_bool(o, "individual_digits", false, &individual, err))
            return false;
        p->behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        return true;
    case PRE_PUNCTUATION:
        return read_behavior(o, SPLIT_ISOLATED, p, err);
    case PRE_WHITESPACE:
        p->invert = true;               /* what lies between the matches goes */
        return own_pattern(p, word_pattern, err);
    case PRE_CHAR_DELIMITER:
        return read_char(o, "delimiter", NULL, p, err);
    case PRE_FIXED_LENGTH:
        return field_size(o, "length", 5, &p->length, err) &&
               (p->length > 0 || error_set(err, "\"length\" is 0"));
    case PRE_WHITESPACE_SPLIT: case PRE_BERT: case PRE_UNICODE_SCRIPTS:
        break;
    }
    return true;
}

PreTokenizer *pretokenizer_read(const json_t *o, Error *err)
{
    const char *type = field_type(o, err);
    const int kind = type ? word_index(type, names, sizeof names / sizeof *names, "pre-tokenizer",
                                       err) : -1;
    if (kind < 0)
        return NULL;
    PreTokenizer *p = calloc(1, sizeof *p);
    if (!p) {
        error_set(err, "out of memory");
        return NULL;
    }
    p->kind = (PreKind)kind;
    if (!read_fields(o, p, err)) {
        error_prefix(err, "%s", type);
        pretokenizer_free(p);
        return NULL;
    }
    return p;
}

bool pretokenizer_takes_bytes(const PreTokenizer *p)
{
    return p->kind == PRE_BYTE_LEVEL && !p->use_regex && !p->prefix_space;
}

void pretokenizer_free(PreTokenizer *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_children; i++)
        pretokenizer_free(p->child[i]);
    free(p->child);
    pattern_free(&p->pattern);
    free(p);
}

/* ---- splitting -------------------------------------------------------------------------------- */

/* Pieces on their way out: what is a match and what lies between come by turns, left to right. */
typedef struct Splitter {
    Pieces *out;
    Behavior behavior;
    bool open;                          /* `last` waits: what follows may be merged into it */
    bool last_match;
    Span last;
    Error *err;
} Splitter;

static bool flush(Splitter *s)
{
    const bool ok = !s->open || pieces_push(s->out, s->last.begin, s->last.end, s->err);
    s->open = false;
    return ok;
}

/* Whether a part joins the one before it. */
static bool joins(const Splitter *s, bool match)
{
    switch (s->behavior) {
    case SPLIT_CONTIGUOUS: return match == s->last_match;
    case SPLIT_MERGED_WITH_PREVIOUS: return match && !s->last_match;
    /* Of matches in a row, all but the last stand alone; the last joins what follows. */
    case SPLIT_MERGED_WITH_NEXT: return !match && s->last_match;
    case SPLIT_REMOVED: case SPLIT_ISOLATED: break;
    }
    return false;
}

static bool part(Splitter *s, size_t begin, size_t end, bool match)
{
    if (match && s->behavior == SPLIT_REMOVED)
        return true;
    if (s->behavior <= SPLIT_ISOLATED)
        return pieces_push(s->out, begin, end, s->err);
    const bool join = s->open && joins(s, match);
    if (join)
        s->last.end = end;
    else if (!flush(s))
        return false;
    else
        s->last = (Span){ begin, end };
    s->open = true;
    s->last_match = match;
    return true;
}

static bool split_regex(Splitter *s, const PreTokenizer *p, Workspace *w, const char *text, Span in)
{
    size_t begin = 0, end = 0, done = 0;
    bool found = true;
    RegexWalk walk = regex_walk(p->pattern.regex, w->regex, text + in.begin, in.end - in.begin);
    while (found) {
        if (!regex_next(&walk, &begin, &end, &found, s->err))
            return false;
        if (!found)
            break;
        if ((begin > done && !part(s, in.begin + done, in.begin + begin, p->invert)) ||
            !part(s, in.begin + begin, in.begin + end, !p->invert))
            return false;
        done = end;
    }
    return done == in.end - in.begin || part(s, in.begin + done, in.end, p->invert);
}

static bool split_literal(Splitter *s, const Pattern *p, bool invert, const char *text, Span in)
{
    const char *found;
    size_t at = in.begin;
    while (p->n > 0 && (found = memmem(text + at, in.end - at, p->literal, p->n)) != NULL) {
        const size_t begin = (size_t)(found - text);
        if ((begin > at && !part(s, at, begin, invert)) || !part(s, begin, begin + p->n, !invert))
            return false;
        at = begin + p->n;
    }
    return at == in.end || part(s, at, in.end, invert);
}

/* Every character that is such a one is a match. */
static bool split_chars(Splitter *s, bool (*is)(uint32_t), const char *text, Span in)
{
    size_t at = in.begin, done = in.begin;
    uint32_t c;
    while (at < in.end) {
        const size_t length = utf8_next(text + at, &c);
        if (is(c)) {
            if ((at > done && !part(s, done, at, false)) || !part(s, at, at + length, true))
                return false;
            done = at + length;
        }
        at += length;
    }
    return done == in.end || part(s, done, in.end, false);
}

static bool split_length(Splitter *s, size_t length, const char *text, Span in)
{
    for (size_t at = in.begin; at < in.end;) {
        const size_t begin = at;
        for (size_t k = 0; k < length && at < in.end; k++)
            at += utf8_length(text[at]);
        if (!pieces_push(s->out, begin, at, s->err))
            return false;
    }
    return true;
}

/* A piece begins where the script changes.  Characters without one, as the space, go on with the piece
 * before them, and are dropped where there is none. */
static bool split_scripts(Splitter *s, const char *text, Span in)
{
    size_t begin = in.end;
    unsigned current = 0;
    uint32_t c;
    for (size_t at = in.begin; at < in.end;) {
        const size_t length = utf8_next(text + at, &c);
        const unsigned script = unicode_script(c);
        if (script && script != current) {
            if (current && !pieces_push(s->out, begin, at, s->err))
                return false;
            begin = at;
            current = script;
        }
        at += length;
    }
    return pieces_push(s->out, begin, in.end, s->err);
}

/* What a pre-tokenizer that only cuts does with one piece. */
static bool split_piece(Splitter *s, const PreTokenizer *p, Workspace *w, const char *text, Span in)
{
    s->behavior = p->behavior;
    switch (p->kind) {
    case PRE_SPLIT:
        if (!p->pattern.regex)
            return split_literal(s, &p->pattern, p->invert, text, in) && flush(s);
        return split_regex(s, p, w, text, in) && flush(s);
    case PRE_WHITESPACE:
        s->behavior = SPLIT_REMOVED;
        return split_regex(s, p, w, text, in);
    case PRE_DIGITS: return split_chars(s, unicode_is_number, text, in) && flush(s);
    case PRE_PUNCTUATION: return split_chars(s, unicode_is_punctuation, text, in) && flush(s);
    case PRE_WHITESPACE_SPLIT:
        s->behavior = SPLIT_REMOVED;
        return split_chars(s, unicode_is_space, text, in);
    case PRE_CHAR_DELIMITER:
        s->behavior = SPLIT_REMOVED;
        return split_literal(s, &p->pattern, false, text, in);
    case PRE_FIXED_LENGTH: return split_length(s, p->length, text, in);
    case PRE_UNICODE_SCRIPTS: return split_scripts(s, text, in);
    case PRE_SEQUENCE: case PRE_BYTE_LEVEL: case PRE_METASPACE: case PRE_BERT:
        break;
    }
    return true;
}

/* The text moves on, its pieces are cut anew. */
static bool run_split(const PreTokenizer *p, Workspace *w, int *at, const PieceSink *sink, Error *err)
{
    Pieces *in = &w->pieces[*at], *out = &w->pieces[!*at];
    const Buf text = in->text;
    in->text = out->text;
    pieces_clear(out);
    out->text = text;
    out->sink = sink;
    Splitter s = { .out = out, .err = err };
    for (size_t i = 0; i < in->n; i++)
        if (!split_piece(&s, p, w, text.data, piece_span(in, i)))
            return false;
    *at = !*at;
    return true;
}

/* ---- those that rewrite the text -------------------------------------------------------------- */

static bool byte_level_piece(const PreTokenizer *p, Workspace *w, const char *text, size_t n,
                             Pieces *out, Error *err)
{
    size_t begin = 0, end = 0, done = 0;
    bool found = p->use_regex;
    RegexWalk walk = regex_walk(p->pattern.regex, w->regex, text, n);
    while (found) {
        if (!regex_next(&walk, &begin, &end, &found, err))
            return false;
        if (!found)
            break;
        const Span part_of[2] = { { done, begin }, { begin, end } };
        for (int k = 0; k < 2; k++) {
            const size_t from = out->text.len;
            if (part_of[k].begin == part_of[k].end)
                continue;
            byte_level_put(&out->text, text + part_of[k].begin, part_of[k].end - part_of[k].begin);
            if (!pieces_push(out, from, out->text.len, err))
                return false;
        }
        done = end;
    }
    const size_t from = out->text.len;
    byte_level_put(&out->text, text + done, n - done);
    return pieces_push(out, from, out->text.len, err);
}

static bool run_byte_level(const PreTokenizer *p, Workspace *w, int *at, const PieceSink *sink, Error *err)
{
    Pieces *in = &w->pieces[*at], *out = &w->pieces[!*at];
    pieces_clear(out);
    out->sink = sink;
    out->rewritten = true;
    for (size_t i = 0; i < in->n; i++) {
        const char *text = in->text.data + in->piece[i].begin;
        size_t n = in->piece[i].end - in->piece[i].begin;
        if (p->prefix_space && *text != ' ') {
            buf_clear(&w->spare);
            buf_putc(&w->spare, ' ');
            buf_add(&w->spare, text, n);
            if (w->spare.failed)
                return error_set(err, "out of memory");
            text = w->spare.data;
            n++;
        }
        if (!byte_level_piece(p, w, text, n, out, err))
            return false;
    }
    *at = !*at;
    return !out->text.failed || error_set(err, "out of memory");
}

/* Spaces become signs, and a new piece begins at each when the file says so. */
static bool metaspace_piece(const PreTokenizer *p, const char *text, size_t n, bool prepend,
                            Pieces *out, Error *err)
{
    const char *sign = p->pattern.literal;
    const size_t sign_n = p->pattern.n;
    size_t from = out->text.len;
    const bool has = *text == ' ' || (n >= sign_n && memcmp(text, sign, sign_n) == 0);
    if (prepend && !has)
        buf_add(&out->text, sign, sign_n);
    for (size_t at = 0; at < n;) {
        const bool space = text[at] == ' ';
        const bool is_sign = space || (n - at >= sign_n && memcmp(text + at, sign, sign_n) == 0);
        const size_t length = space ? 1 : utf8_length(text[at]);
        if (is_sign && p->split) {
            if (!pieces_push(out, from, out->text.len, err))
                return false;
            from = out->text.len;
        }
        buf_add(&out->text, space ? sign : text + at, space ? sign_n : length);
        at += length;
    }
    return pieces_push(out, from, out->text.len, err);
}

static bool run_metaspace(const PreTokenizer *p, Workspace *w, bool first, int *at, const PieceSink *sink,
                          Error *err)
{
    Pieces *in = &w->pieces[*at], *out = &w->pieces[!*at];
    pieces_clear(out);
    out->sink = sink;
    out->rewritten = true;
    for (size_t i = 0; i < in->n; i++) {
        const bool prepend = p->scheme == PREPEND_ALWAYS ||
                             (p->scheme == PREPEND_FIRST && first && in->piece[i].begin == 0);
        if (!metaspace_piece(p, in->text.data + in->piece[i].begin,
                             in->piece[i].end - in->piece[i].begin, prepend, out, err))
            return false;
    }
    *at = !*at;
    return !out->text.failed || error_set(err, "out of memory");
}

bool pretokenizer_run(const PreTokenizer *p, Workspace *w, bool first, int *at, const PieceSink *sink,
                      Error *err)
{
    static const PreTokenizer bert[2] = {
        { .kind = PRE_WHITESPACE_SPLIT },
        { .kind = PRE_PUNCTUATION, .behavior = SPLIT_ISOLATED },
    };
    switch (p->kind) {
    case PRE_SEQUENCE:
        for (size_t i = 0; i < p->n_children; i++)
            if (!pretokenizer_run(p->child[i], w, first, at, i + 1 == p->n_children ? sink : NULL, err))
                return false;
        return true;
    case PRE_BERT:
        return run_split(&bert[0], w, at, NULL, err) && run_split(&bert[1], w, at, sink, err);
    case PRE_BYTE_LEVEL: return run_byte_level(p, w, at, sink, err);
    case PRE_METASPACE: return run_metaspace(p, w, first, at, sink, err);
    case PRE_SPLIT: case PRE_DIGITS: case PRE_PUNCTUATION: case PRE_WHITESPACE:
    case PRE_WHITESPACE_SPLIT: case PRE_CHAR_DELIMITER:
    case PRE_FIXED_LENGTH: case PRE_UNICODE_SCRIPTS:
        break;
    }
    return run_split(p, w, at, sink, err);
}
