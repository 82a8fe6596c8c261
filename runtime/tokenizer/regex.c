/* PCRE2 behind the interface of regex.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/tokenizer/regex.h"

#include "base/buf.h"
#include "runtime/tokenizer/unicode.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_PATTERN = 1 << 16,
    STACK_START = 32 << 10,
    STACK_MAX = 4 << 20,
    MAX_STEPS = 20 * 1000 * 1000,
    MAX_HEAP_KIB = 64 << 10,
    MAX_CODE = 1 << 9, MAX_CODE_BYTE = 8,      /* compiled: in all, and for each byte of the pattern */
};

struct Regex {
    pcre2_code *code;
    bool jit;
};

struct RegexScratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- rewriting -------------------------------------------------------------------------------- */

/* Members of a set, without its brackets.  Oniguruma's \w has the marks, which PCRE2's leaves out, and
 * where it stands in no set, of the numbers that are neither digits nor letters those of Latin-1. */
#define SPACES "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
               "\\x{205f}\\x{3000}"
#define WORDS REGEX_WORDS "\\xb2\\xb3\\xb9\\xbc-\\xbe"
#define HEX "0-9A-Fa-f"

static const char *set_of(char letter, bool in_set)
{
    switch (letter | 32) {
    case 's': return SPACES;
    case 'w': return in_set ? REGEX_WORDS : WORDS;
    case 'h': return HEX;
    }
    return NULL;
}

#define BEHIND_WORD "(?<=[" WORDS "])"
#define BEHIND_NONE "(?<![" WORDS "])"
#define BEFORE_WORD "(?=[" WORDS "])"
#define BEFORE_NONE "(?![" WORDS "])"
static const char boundary[] = "(?:" BEHIND_WORD BEFORE_NONE "|" BEHIND_NONE BEFORE_WORD ")";
static const char no_boundary[] = "(?:" BEHIND_WORD BEFORE_WORD "|" BEHIND_NONE BEFORE_NONE ")";

/* The escape at `p`, of which 2 bytes are there. */
static bool rewrite_escape(Buf *out, const char *p, bool in_set, Error *err)
{
    const char *set = set_of(p[1], in_set);
    const bool negated = p[1] >= 'A' && p[1] <= 'Z';
    if (!in_set && (p[1] | 32) == 'b')
        buf_puts(out, negated ? no_boundary : boundary);
    else if (!set)
        buf_add(out, p, 2);
    else if (!in_set)
        buf_printf(out, "[%s%s]", negated ? "^" : "", set);
    else if (!negated)
        buf_puts(out, set);
    else if (p[1] == 'S')
        buf_puts(out, "\\S");
    else
        return error_set(err, "\\%c inside a set is not supported", p[1]);
    return true;
}

/* Copies the pattern in PCRE2's words. */
static bool rewrite(Buf *out, const char *p, size_t n, Error *err)
{
    bool in_set = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\\' && i + 1 < n) {
            if (!rewrite_escape(out, p + i, in_set, err))
                return false;
            i++;
        } else if (in_set && p[i] == '&' && i + 1 < n && p[i + 1] == '&') {
            return error_set(err, "the intersection of sets (&&) is not supported");
        } else if (in_set && p[i] == '[' && !(i + 1 < n && p[i + 1] == ':')) {
            return error_set(err, "a set inside a set is not supported");
        } else if (in_set && p[i] == '[') {
            const char *end = memmem(p + i, n - i, ":]", 2);
            const size_t length = end ? (size_t)(end - (p + i)) + 2 : n - i;
            buf_add(out, p + i, length);
            i += length - 1;
        } else {
            if (p[i] == '[') {
                in_set = true;
                buf_putc(out, '[');
                if (i + 1 < n && p[i + 1] == '^')
                    buf_putc(out, p[++i]);
                if (i + 1 < n && p[i + 1] == ']')
                    buf_putc(out, p[++i]);
                continue;
            }
            in_set = in_set && p[i] != ']';
            buf_putc(out, p[i]);
        }
    }
    return !out->failed || error_set(err, "out of memory");
}

/* ---- compiling -------------------------------------------------------------------------------- */

/* A repeated group is compiled as often as it may stand; a few of them within each other would take
 * memory without end. */
static bool check_size(const pcre2_code *code, size_t n, Error *err)
{
    size_t bytes = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &bytes);
    return bytes <= MAX_CODE + MAX_CODE_BYTE * n
        || error_set(err, "compiled, the pattern has %zu bytes; its groups are repeated too often", bytes);
}

static pcre2_code *compile(const Buf *pattern, Error *err)
{
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR why[160] = { 0 };
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context)
        pcre2_set_parens_nest_limit(context, 64);
    pcre2_code *out = pcre2_compile((PCRE2_SPTR)(pattern->data ? pattern->data : ""), pattern->len,
                                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                    &code, &at, context);
    pcre2_compile_context_free(context);
    if (!out) {
        pcre2_get_error_message(code, why, sizeof why);
        error_set(err, "the pattern is wrong at its byte %zu: %s", (size_t)at, (char *)why);
    }
    if (out && !check_size(out, pattern->len, err)) {
        pcre2_code_free(out);
        return NULL;
    }
    return out;
}

Regex *regex_compile(const char *pattern, size_t n, Error *err)
{
    Buf text = { 0 };
    Regex *r = NULL;
    pcre2_code *code = NULL;
    if (n > MAX_PATTERN)
        error_set(err, "a pattern of %zu bytes; at most %d are read", n, MAX_PATTERN);
    else if (!unicode_valid(pattern, n))
        error_set(err, "the pattern is not valid UTF-8");
    else if (rewrite(&text, pattern, n, err))
        code = compile(&text, err);
    buf_free(&text);
    if (!code)
        return NULL;
    r = malloc(sizeof *r);
    if (!r) {
        pcre2_code_free(code);
        error_set(err, "out of memory");
        return NULL;
    }
    *r = (Regex){ code, pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0 };
    return r;
}

void regex_free(Regex *r)
{
    if (r)
        pcre2_code_free(r->code);
    free(r);
}

RegexScratch *regex_scratch(void)
{
    RegexScratch *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->match = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, NULL);
    if (!s->match || !s->context) {
        regex_scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->context, MAX_STEPS);
    pcre2_set_heap_limit(s->context, MAX_HEAP_KIB);
    if (s->stack)                       /* NULL where this PCRE2 has no JIT */
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void regex_scratch_free(RegexScratch *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    free(s);
}

/* ---- matching --------------------------------------------------------------------------------- */

RegexWalk regex_walk(const Regex *r, RegexScratch *s, const char *text, size_t n)
{
    return (RegexWalk){ .regex = r, .scratch = s, .text = n ? text : "", .n = n,
                        .last_end = SIZE_MAX };
}

static int match_at(RegexWalk *w)
{
    const Regex *r = w->regex;
    RegexScratch *s = w->scratch;
    return r->jit ? pcre2_jit_match(r->code, (PCRE2_SPTR)w->text, w->n, w->at, PCRE2_NO_UTF_CHECK,
                                    s->match, s->context)
                  : pcre2_match(r->code, (PCRE2_SPTR)w->text, w->n, w->at, PCRE2_NO_UTF_CHECK,
                                s->match, s->context);
}

bool regex_next(RegexWalk *w, size_t *begin, size_t *end, bool *found, Error *err)
{
    *found = false;
    while (!w->done) {
        const int rc = match_at(w);
        if (rc == PCRE2_ERROR_NOMATCH) {
            w->done = true;
            break;
        }
        if (rc < 0) {
            PCRE2_UCHAR why[160] = { 0 };
            pcre2_get_error_message(rc, why, sizeof why);
            return error_set(err, "byte %zu of the text: the tokenizer's pattern gives up: %s",
                             w->at, (char *)why);
        }
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(w->scratch->match);
        const size_t from = at[0], to = at[1];
        /* A look-behind with \K could claim what was already given; nothing before `at` is ours. */
        if (from < w->at || to < from) {
            w->done = true;
            break;
        }
        const bool empty = from == to;
        w->at = empty && to < w->n ? to + utf8_length(w->text[to]) : to;
        w->done = empty && to == w->n;
        if (empty && to == w->last_end)
            continue;
        w->last_end = to;
        *begin = from;
        *end = to;
        *found = true;
        break;
    }
    return true;
}
