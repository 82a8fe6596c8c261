/* Decoders: tokens flow through stages, each of which may hold back what a later token could change.
 *
 * Where the file joins all tokens into one (Fuse, ByteLevel), text still flows on as it comes, as long
 * as the stages behind care only for its beginning; else it is gathered until the end. */
#include "runtime/tokenizer/parts.h"

#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* The order of `names`. */
typedef enum StageKind {
    DEC_SEQUENCE, DEC_BYTE_LEVEL, DEC_METASPACE, DEC_WORDPIECE, DEC_BPE, DEC_BYTE_FALLBACK, DEC_FUSE,
    DEC_STRIP, DEC_REPLACE, DEC_CTC, DEC_WORDS,
} StageKind;

static const char *const names[] = {
    "Sequence", "ByteLevel", "Metaspace", "WordPiece", "BPEDecoder", "ByteFallback", "Fuse", "Strip",
    "Replace", "CTC",
};

enum { MAX_STAGES = 64 };

typedef struct Stage {
    StageKind kind;
    Pattern pattern;                    /* of a replacement; CTC's sign between words */
    char *text;                         /* content, prefix, suffix, sign or padding; owned */
    size_t n;
    size_t start, stop;                 /* of a strip */
    bool cleanup;                       /* of WordPiece and CTC */
    bool keep_first;                    /* Metaspace: the first sign is a space too */
    bool flows;                         /* a joining stage that need not gather */
    bool joined;                        /* the tokens that come here are parts of one */
} Stage;

struct DecoderPlan {
    Stage stage[MAX_STAGES];
    size_t n;
};

typedef struct StageState {
    Buf held;                           /* bytes, or the token before */
    size_t count;                       /* tokens seen; characters stripped */
    bool begun;
} StageState;

struct DecoderStream {
    const DecoderPlan *plan;
    StageState state[MAX_STAGES];
    Workspace work;                     /* for patterns: only its regex */
    Buf *out;
    Error *err;
};

/* ---- reading ---------------------------------------------------------------------------------- */

static bool read_stages(const json_t *o, DecoderPlan *d, Error *err);

static bool read_text(const json_t *o, const char *key, const char *fallback, Stage *s, Error *err)
{
    const char *text;
    if (!field_string(o, key, &text, &s->n, err))
        return false;
    if (!text && fallback) {
        text = fallback;
        s->n = strlen(text);
    }
    if (!text)
        return error_set(err, "\"%s\" is missing", key);
    s->text = malloc(s->n + 1);
    if (!s->text)
        return error_set(err, "out of memory");
    memcpy(s->text, text, s->n);
    s->text[s->n] = 0;
    return true;
}

static bool read_metaspace(const json_t *o, Stage *s, Error *err)
{
    const char *scheme;
    size_t n;
    bool prefix;
    if (!read_text(o, "replacement", "\xe2\x96\x81", s, err) ||
        !field_bool(o, "add_prefix_space", true, &prefix, err) ||
        !field_string(o, "prepend_scheme", &scheme, &n, err))
        return false;
    s->keep_first = scheme ? strcmp(scheme, "never") == 0 : !prefix;
    return true;
}

static bool read_ctc(const json_t *o, Stage *s, Error *err)
{
    const char *sign;
    size_t n;
    if (!read_text(o, "pad_token", "<pad>", s, err) ||
        !field_string(o, "word_delimiter_token", &sign, &n, err) ||
        !field_bool(o, "cleanup", true, &s->cleanup, err))
        return false;
    if (!sign) {
        sign = "|";
        n = 1;
    }
    return (n > 0 || error_set(err, "\"word_delimiter_token\" is empty")) &&
           pattern_literal(sign, n, &s->pattern, err);
}

static bool read_list(const json_t *o, DecoderPlan *d, Error *err)
{
    const json_t *list = json_object_get(o, "decoders");
    if (!json_is_array(list))
        return error_set(err, "\"decoders\" is missing");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!read_stages(json_array_get(list, i), d, err))
            return false;
    return true;
}

static bool read_fields(const json_t *o, Stage *s, Error *err)
{
    switch (s->kind) {
    case DEC_METASPACE:
        return read_metaspace(o, s, err);
    case DEC_WORDPIECE:
        return read_text(o, "prefix", "##", s, err) &&
               field_bool(o, "cleanup", true, &s->cleanup, err);
    case DEC_BPE:
        return read_text(o, "suffix", "</w>", s, err);
    case DEC_STRIP:
        return read_text(o, "content", " ", s, err) && field_size(o, "start", 0, &s->start, err) &&
               field_size(o, "stop", 0, &s->stop, err) &&
               ((s->n > 0 && utf8_length(*s->text) == s->n) ||
                error_set(err, "\"content\" is not one character"));
    case DEC_REPLACE:
        return pattern_read(json_object_get(o, "pattern"), &s->pattern, err) &&
               read_text(o, "content", NULL, s, err);
    case DEC_CTC:
        return read_ctc(o, s, err);
    case DEC_SEQUENCE: case DEC_BYTE_LEVEL: case DEC_BYTE_FALLBACK: case DEC_FUSE: case DEC_WORDS:
        break;
    }
    return true;
}

static bool read_stages(const json_t *o, DecoderPlan *d, Error *err)
{
    const char *type = field_type(o, err);
    const int kind = type ? word_index(type, names, sizeof names / sizeof *names, "decoder", err) : -1;
    if (kind < 0)
        return false;
    if (kind == DEC_SEQUENCE)
        return read_list(o, d, err);
    if (d->n == MAX_STAGES)
        return error_set(err, "more than %d decoders", MAX_STAGES);
    Stage *s = &d->stage[d->n++];
    s->kind = (StageKind)kind;
    return read_fields(o, s, err) || error_prefix(err, "%s", type);
}

static void see_joins(DecoderPlan *d)
{
    bool joined = false;
    for (size_t i = 0; i < d->n; i++) {
        Stage *s = &d->stage[i];
        s->joined = joined;
        if (s->kind != DEC_FUSE && s->kind != DEC_BYTE_LEVEL)
            continue;
        s->flows = true;
        for (size_t k = i + 1; k < d->n; k++)
            s->flows = s->flows && d->stage[k].kind == DEC_STRIP && d->stage[k].stop == 0;
        joined = s->flows;
    }
}

DecoderPlan *decoder_read(const json_t *o, Error *err)
{
    DecoderPlan *d = calloc(1, sizeof *d);
    if (!d) {
        error_set(err, "out of memory");
        return NULL;
    }
    if (!o || json_is_null(o)) {
        d->n = 1;
        d->stage[0].kind = DEC_WORDS;
    } else if (!read_stages(o, d, err)) {
        decoder_free(d);
        return NULL;
    }
    see_joins(d);
    return d;
}

void decoder_free(DecoderPlan *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++) {
        pattern_free(&d->stage[i].pattern);
        free(d->stage[i].text);
    }
    free(d);
}

/* ---- running ---------------------------------------------------------------------------------- */

static bool feed(DecoderStream *d, size_t i, const char *text, size_t n);

static bool no_memory(DecoderStream *d)
{
    return error_set(d->err, "out of memory");
}

/* The byte that <0xHH> stands for, -1 for other tokens. */
static int byte_token(const char *text, size_t n)
{
    int value = 0;
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f'
                                                               ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

/* Bytes in a row are text, or as many U+FFFD. */
static bool release_bytes(DecoderStream *d, size_t i)
{
    Buf *held = &d->state[i].held;
    bool ok = true;
    if (held->len == 0)
        return true;
    if (unicode_valid(held->data, held->len)) {
        ok = feed(d, i + 1, held->data, held->len);
    } else {
        for (size_t k = 0; ok && k < held->len; k++)
            ok = feed(d, i + 1, "\xef\xbf\xbd", 3);
    }
    buf_clear(held);
    return ok;
}

static bool feed_byte_fallback(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const int byte = byte_token(text, n);
    if (byte < 0)
        return release_bytes(d, i) && feed(d, i + 1, text, n);
    buf_putc(&d->state[i].held, (char)byte);
    return !d->state[i].held.failed || no_memory(d);
}

/* How many of the last bytes may begin a character that is not there yet. */
static size_t unfinished(const char *text, size_t n)
{
    uint32_t c;
    for (size_t back = 1; back <= 3 && back <= n; back++)
        if (((uint8_t)text[n - back] & 0xc0) == 0xc0)
            return utf8_decode((const uint8_t *)text + n - back, back, &c) == -1 ? back : 0;
    return 0;
}

/* What of the held bytes is certain flows on; `all` takes the rest too. */
static bool release_text(DecoderStream *d, size_t i, bool all)
{
    Buf *held = &d->state[i].held, clean = { 0 };
    const size_t rest = all || held->len == 0 ? 0 : unfinished(held->data, held->len);
    const size_t ready = held->len - rest;
    bool ok = true;
    if (ready == 0)
        return true;
    if (unicode_valid(held->data, ready)) {
        ok = feed(d, i + 1, held->data, ready);
    } else {
        unicode_clean(&clean, held->data, ready);
        ok = clean.failed ? no_memory(d) : feed(d, i + 1, clean.data, clean.len);
        buf_free(&clean);
    }
    memmove(held->data, held->data + ready, rest);
    held->len = rest;
    return ok;
}

/* A token is bytes when each of its characters stands for one, else it is its own text. */
static bool feed_byte_level(DecoderStream *d, size_t i, const char *text, size_t n)
{
    Buf *held = &d->state[i].held;
    const size_t before = held->len;
    uint32_t c;
    for (size_t at = 0; at < n;) {
        at += utf8_next(text + at, &c);
        const int byte = byte_level_byte(c);
        if (byte < 0) {
            held->len = before;
            buf_add(held, text, n);
            break;
        }
        buf_putc(held, (char)byte);
    }
    if (held->failed)
        return no_memory(d);
    return !d->plan->stage[i].flows || release_text(d, i, false);
}

static bool feed_replace(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const Stage *s = &d->plan->stage[i];
    Buf out = { 0 };
    const bool ok = pattern_replace(&s->pattern, &d->work, text, n, s->text, s->n, &out, d->err) &&
                    feed(d, i + 1, out.len ? out.data : "", out.len);
    buf_free(&out);
    return ok;
}

static bool feed_metaspace(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const Stage *s = &d->plan->stage[i];
    const bool drops = d->state[i].count++ == 0 && !s->keep_first;
    Buf out = { 0 };
    for (size_t at = 0; at < n;) {
        const size_t length = utf8_length(text[at]);
        const bool sign = length == s->n && memcmp(text + at, s->text, length) == 0;
        if (!sign)
            buf_add(&out, text + at, length);
        else if (!drops)
            buf_putc(&out, ' ');
        at += length;
    }
    const bool ok = out.failed ? no_memory(d) : feed(d, i + 1, out.len ? out.data : "", out.len);
    buf_free(&out);
    return ok;
}

/* Spaces that English does not write before punctuation and endings. */
static bool clean_up(DecoderStream *d, Buf *text)
{
    static const char *const change[][2] = {
        { " .", "." }, { " ?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" },
        { " n't", "n't" }, { " 'm", "'m" }, { " do not", " don't" }, { " 's", "'s" },
        { " 've", "'ve" }, { " 're", "'re" },
    };
    bool ok = true;
    for (size_t k = 0; ok && k < sizeof change / sizeof *change; k++) {
        Pattern p = { .literal = (char *)(uintptr_t)change[k][0], .n = strlen(change[k][0]) };
        Buf next = { 0 };
        ok = pattern_replace(&p, &d->work, text->len ? text->data : "", text->len, change[k][1],
                             strlen(change[k][1]), &next, d->err);
        buf_free(text);
        *text = next;
    }
    return ok;
}

static bool feed_wordpiece(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const Stage *s = &d->plan->stage[i];
    Buf out = { 0 };
    if (d->state[i].count++ > 0) {
        if (n >= s->n && memcmp(text, s->text, s->n) == 0) {
            text += s->n;
            n -= s->n;
        } else {
            buf_putc(&out, ' ');
        }
    }
    buf_add(&out, text, n);
    bool ok = !out.failed || no_memory(d);
    ok = ok && (!s->cleanup || clean_up(d, &out)) && feed(d, i + 1, out.len ? out.data : "", out.len);
    buf_free(&out);
    return ok;
}

/* The token held, its suffix replaced: by nothing when it is the last. */
static bool release_word(DecoderStream *d, size_t i, bool last)
{
    const Stage *s = &d->plan->stage[i];
    StageState *state = &d->state[i];
    Pattern suffix = { .literal = s->text, .n = s->n };
    Buf out = { 0 };
    if (!state->begun)
        return true;
    bool ok = pattern_replace(&suffix, &d->work, state->held.len ? state->held.data : "",
                              state->held.len, " ", last ? 0 : 1, &out, d->err) &&
              feed(d, i + 1, out.len ? out.data : "", out.len);
    buf_free(&out);
    return ok;
}

static bool feed_bpe(DecoderStream *d, size_t i, const char *text, size_t n)
{
    StageState *state = &d->state[i];
    if (!release_word(d, i, false))
        return false;
    state->begun = true;
    buf_clear(&state->held);
    buf_add(&state->held, text, n);
    return !state->held.failed || no_memory(d);
}

/* Speech: a token that goes on is one token, padding is none, a sign stands between words. */
static bool feed_ctc(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const Stage *s = &d->plan->stage[i];
    StageState *state = &d->state[i];
    const Pattern pad = { .literal = s->text, .n = s->n };
    Buf bare = { 0 }, out = { 0 };
    if (state->begun && state->held.len == n && (n == 0 || memcmp(state->held.data, text, n) == 0))
        return true;
    state->begun = true;
    buf_clear(&state->held);
    buf_add(&state->held, text, n);
    bool ok = (!state->held.failed || no_memory(d)) &&
              pattern_replace(&pad, &d->work, text, n, "", 0, &bare, d->err);
    if (s->cleanup)
        ok = ok && clean_up(d, &bare) &&
             pattern_replace(&s->pattern, &d->work, bare.data, bare.len, " ", 1, &out, d->err);
    const Buf *word = s->cleanup ? &out : &bare;
    ok = ok && (word->len == 0 || feed(d, i + 1, word->data, word->len));
    buf_free(&bare);
    buf_free(&out);
    return ok;
}

static bool feed_strip(DecoderStream *d, size_t i, const char *text, size_t n)
{
    const Stage *s = &d->plan->stage[i];
    StageState *state = &d->state[i];
    if (!s->joined) {
        state->count = 0;
        state->begun = false;
    }
    while (!state->begun && state->count < s->start && n >= s->n && memcmp(text, s->text, s->n) == 0) {
        text += s->n;
        n -= s->n;
        state->count++;
    }
    state->begun = state->begun || n > 0;
    for (size_t k = 0; k < s->stop && n >= s->n && memcmp(text + n - s->n, s->text, s->n) == 0; k++)
        n -= s->n;
    return feed(d, i + 1, text, n);
}

static bool feed_fuse(DecoderStream *d, size_t i, const char *text, size_t n)
{
    if (d->plan->stage[i].flows)
        return feed(d, i + 1, text, n);
    buf_add(&d->state[i].held, text, n);
    return !d->state[i].held.failed || no_memory(d);
}

static bool feed(DecoderStream *d, size_t i, const char *text, size_t n)
{
    if (i == d->plan->n) {
        buf_add(d->out, text, n);
        return !d->out->failed || no_memory(d);
    }
    switch (d->plan->stage[i].kind) {
    case DEC_BYTE_LEVEL: return feed_byte_level(d, i, text, n);
    case DEC_METASPACE: return feed_metaspace(d, i, text, n);
    case DEC_WORDPIECE: return feed_wordpiece(d, i, text, n);
    case DEC_BPE: return feed_bpe(d, i, text, n);
    case DEC_BYTE_FALLBACK: return feed_byte_fallback(d, i, text, n);
    case DEC_FUSE: return feed_fuse(d, i, text, n);
    case DEC_STRIP: return feed_strip(d, i, text, n);
    case DEC_REPLACE: return feed_replace(d, i, text, n);
    case DEC_CTC: return feed_ctc(d, i, text, n);
    case DEC_WORDS: return (d->state[i].count++ == 0 || feed(d, i + 1, " ", 1)) &&
                           feed(d, i + 1, text, n);
    case DEC_SEQUENCE: break;
    }
    return true;
}

static bool end_stage(DecoderStream *d, size_t i)
{
    const Stage *s = &d->plan->stage[i];
    Buf *held = &d->state[i].held;
    switch (s->kind) {
    case DEC_BYTE_LEVEL: return release_text(d, i, true);
    case DEC_BYTE_FALLBACK: return release_bytes(d, i);
    case DEC_BPE: return release_word(d, i, true);
    case DEC_FUSE: return s->flows || held->len == 0 || feed(d, i + 1, held->data, held->len);
    case DEC_SEQUENCE: case DEC_METASPACE: case DEC_WORDPIECE: case DEC_STRIP: case DEC_REPLACE:
    case DEC_CTC: case DEC_WORDS:
        break;
    }
    return true;
}

/* ---- streams ---------------------------------------------------------------------------------- */

DecoderStream *decoder_stream(const DecoderPlan *plan, Error *err)
{
    DecoderStream *d = calloc(1, sizeof *d);
    if (d) {
        d->plan = plan;
        d->work.regex = regex_scratch();
        if (d->work.regex)
            return d;
        free(d);
    }
    error_set(err, "out of memory");
    return NULL;
}

void decoder_stream_free(DecoderStream *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->plan->n; i++)
        buf_free(&d->state[i].held);
    regex_scratch_free(d->work.regex);
    free(d);
}

bool decoder_token(DecoderStream *d, const char *token, size_t n, Buf *out, Error *err)
{
    d->out = out;
    d->err = err;
    return feed(d, 0, token, n);
}

bool decoder_end(DecoderStream *d, Buf *out, Error *err)
{
    bool ok = true;
    d->out = out;
    d->err = err;
    for (size_t i = 0; i < d->plan->n; i++) {
        ok = ok && end_stage(d, i);
        buf_clear(&d->state[i].held);
        d->state[i].count = 0;
        d->state[i].begun = false;
    }
    return ok;
}
