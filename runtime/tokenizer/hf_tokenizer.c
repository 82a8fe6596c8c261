/* Running a tokenizer: text through its parts to ids, ids through its decoders to text. */
#include "runtime/tokenizer/assemble.h"

#include "base/file.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

struct HfEncoder {
    const HfTokenizer *t;
    Workspace work;
};

struct HfDecoder {
    const HfTokenizer *t;
    DecoderStream *stream;
    bool skip_special;
};

/* ---- life ------------------------------------------------------------------------------------- */

HfTokenizer *tokenizer_new(Error *err)
{
    HfTokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        error_set(err, "out of memory");
        return NULL;
    }
    for (int r = 0; r < N_HF_ROLES; r++)
        t->role[r] = -1;
    return t;
}

void hf_tokenizer_free(HfTokenizer *t)
{
    if (!t)
        return;
    bpe_free(t->bpe);
    unigram_free(t->unigram);
    wordpiece_free(t->wordpiece);
    free(t->unk);
    normalizer_free(t->normalizer);
    pretokenizer_free(t->pretokenizer);
    added_free(t->added);
    post_free(t->post);
    decoder_free(t->decoder);
    vocab_free(&t->vocab);
    json_decref(t->frame);
    free(t);
}

bool workspace_init(Workspace *w, Error *err)
{
    *w = (Workspace){ .regex = regex_scratch(), .cache = cache_new() };
    if (w->regex && w->cache)
        return true;
    workspace_free(w);
    return error_set(err, "out of memory");
}

void workspace_free(Workspace *w)
{
    regex_scratch_free(w->regex);
    cache_free(w->cache);
    bpe_scratch_free(w->bpe);
    buf_free(&w->clean);
    buf_free(&w->normal);
    buf_free(&w->spare);
    buf_free(&w->paths);
    pieces_free(&w->pieces[0]);
    pieces_free(&w->pieces[1]);
    *w = (Workspace){ 0 };
}

static bool present(const json_t *o)
{
    return o && !json_is_null(o);
}

enum { MAX_PARTS = 64 };

/* Objects that name their type: small as they are written, they may take much more when they are made. */
static size_t count_parts(const json_t *o)
{
    const char *key;
    json_t *v;
    size_t n = json_object_get(o, "type") != NULL;
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
        n += count_parts(v);
    for (size_t i = 0; i < json_array_size(o); i++)
        n += count_parts(json_array_get(o, i));
    return n;
}

bool assemble(HfTokenizer *t, json_t *frame, Error *err)
{
    const json_t *normalizer = json_object_get(frame, "normalizer");
    const json_t *pre = json_object_get(frame, "pre_tokenizer");
    t->frame = frame;
    t->added = added_new(err);
    if (!t->added)
        return false;
    if (count_parts(frame) > MAX_PARTS)
        return error_set(err, "it has more than %d parts", MAX_PARTS);
    const char *part = "normalizer";
    bool ok = !present(normalizer) || (t->normalizer = normalizer_read(normalizer, err)) != NULL;
    if (ok) {
        part = "pre_tokenizer";
        ok = !present(pre) || (t->pretokenizer = pretokenizer_read(pre, err)) != NULL;
    }
    if (ok) {
        part = "post_processor";
        ok = (t->post = post_read(json_object_get(frame, "post_processor"), err)) != NULL;
    }
    if (ok) {
        part = "decoder";
        ok = (t->decoder = decoder_read(json_object_get(frame, "decoder"), err)) != NULL;
    }
    return ok || error_prefix(err, "\"%s\"", part);
}

bool assemble_end(HfTokenizer *t, Error *err)
{
    Workspace w;
    if (!workspace_init(&w, err))
        return false;
    const bool ok = added_index(t->added, t->normalizer, &w, err) ||
                    error_prefix(err, "\"added_tokens\"");
    workspace_free(&w);
    for (size_t i = 0; t->unigram && i < added_count(t->added); i++) {
        size_t n;
        int32_t id;
        unsigned flags;
        added_get(t->added, i, &n, &id, &flags);
        if (flags & ADDED_SPECIAL)
            unigram_mark(t->unigram, id);
    }
    const int32_t added = added_ids(t->added);
    t->size = added > (int32_t)t->vocab.n ? added : (int32_t)t->vocab.n;
    return ok;
}

/* ---- looking up ------------------------------------------------------------------------------- */

int32_t hf_tokenizer_size(const HfTokenizer *t)
{
    return t->size;
}

bool hf_tokenizer_takes_bytes(const HfTokenizer *t)
{
    return !t->normalizer && t->pretokenizer && pretokenizer_takes_bytes(t->pretokenizer) &&
           added_count(t->added) == 0;
}

int32_t hf_tokenizer_id(const HfTokenizer *t, const char *token, size_t n)
{
    for (size_t i = 0; i < added_count(t->added); i++) {
        size_t length;
        int32_t id;
        unsigned flags;
        const char *text = added_get(t->added, i, &length, &id, &flags);
        if (length == n && memcmp(text, token, n) == 0)
            return id;
    }
    return vocab_find(&t->vocab, token, n);
}

const char *hf_tokenizer_token(const HfTokenizer *t, int32_t id, size_t *n)
{
    const char *added = added_text(t->added, id, n);
    return added ? added : vocab_text(&t->vocab, id, n);
}

bool hf_tokenizer_is_special(const HfTokenizer *t, int32_t id)
{
    return added_is_special(t->added, id);
}

int32_t hf_tokenizer_role(const HfTokenizer *t, HfRole role)
{
    return t->role[role];
}

/* ---- encoding --------------------------------------------------------------------------------- */

HfEncoder *hf_encoder_new(const HfTokenizer *t, Error *err)
{
    HfEncoder *e = calloc(1, sizeof *e);
    if (!e) {
        error_set(err, "out of memory");
        return NULL;
    }
    e->t = t;
    if (workspace_init(&e->work, err))
        return e;
    free(e);
    return NULL;
}

void hf_encoder_free(HfEncoder *e)
{
    if (!e)
        return;
    workspace_free(&e->work);
    free(e);
}

void hf_encoder_forget(HfEncoder *e)
{
    cache_clear(e->work.cache);
}

uint64_t hf_encoder_steps(const HfEncoder *e)
{
    return e->work.steps + bpe_scratch_steps(e->work.bpe);
}

static bool encode_cached(HfEncoder *e, const char *text, size_t n, TokenIds *out, Error *err)
{
    const HfTokenizer *t = e->t;
    const size_t before = out->n;
    if (cache_get(e->work.cache, text, n, out))
        return true;
    const bool ok = t->kind == MODEL_WORDPIECE
                        ? wordpiece_encode(t->wordpiece, text, n, out, err)
                        : wordlevel_encode(&t->vocab, t->unk, text, n, out, err);
    if (ok)
        cache_put(e->work.cache, text, n, out->id + before, out->n - before);
    return ok;
}

static bool encode_piece(HfEncoder *e, const char *text, size_t n, TokenIds *out, Error *err)
{
    switch (e->t->kind) {
    case MODEL_BPE: return bpe_encode(e->t->bpe, &e->work, text, n, out, err);
    case MODEL_UNIGRAM: return unigram_encode(e->t->unigram, &e->work, text, n, out, err);
    case MODEL_WORDPIECE: case MODEL_WORDLEVEL: break;
    }
    return encode_cached(e, text, n, out, err);
}

typedef struct Going {
    HfEncoder *encoder;
    TokenIds *out;
} Going;

static bool take_pieces(void *arg, const Pieces *p, Error *err)
{
    const Going *g = arg;
    for (size_t i = 0; i < p->n; i++)
        if (!encode_piece(g->encoder, p->text.data + p->piece[i].begin,
                          p->piece[i].end - p->piece[i].begin, g->out, err))
            return false;
    return true;
}

/* What lies in pieces[0].text holds no added token any more. */
static bool encode_pieces(HfEncoder *e, bool first, TokenIds *out, Error *err)
{
    Workspace *w = &e->work;
    Going going = { e, out };
    const PieceSink sink = { take_pieces, &going };
    int at = 0;
    if (w->pieces[0].text.failed)
        return error_set(err, "out of memory");
    w->pieces[0].n = 0;
    w->pieces[0].sink = NULL;
    return pieces_push(&w->pieces[0], 0, w->pieces[0].text.len, err) &&
           (!e->t->pretokenizer ||
            pretokenizer_run(e->t->pretokenizer, w, first, &at, &sink, err)) &&
           take_pieces(&going, &w->pieces[at], err);
}

static bool encode_normalized(HfEncoder *e, bool first, int flags, TokenIds *out, Error *err)
{
    Workspace *w = &e->work;
    AddedWalk walk = { .normalized = true, .plain = flags & HF_PLAIN };
    Span place;
    int32_t id = 0;
    bool found = true;
    while (found) {
        /* The parts before the last share w->normal; the last takes it over when it is whole. */
        const size_t done = walk.done;
        found = added_next(e->t->added, &walk, w->normal.data, w->normal.len, &place, &id);
        const size_t next = found ? place.begin : w->normal.len, end = next > done ? next : done;
        if (done == 0 && !found) {
            const Buf text = w->pieces[0].text;
            w->pieces[0].text = w->normal;
            w->normal = text;
        } else {
            buf_clear(&w->pieces[0].text);
            buf_add(&w->pieces[0].text, w->normal.data + done, end - done);
        }
        if (!encode_pieces(e, first && done == 0, out, err) || (found && !ids_push(out, id, err)))
            return false;
    }
    return true;
}

static bool encode_raw(HfEncoder *e, const char *text, size_t n, bool first, int flags,
                       TokenIds *out, Error *err)
{
    Workspace *w = &e->work;
    if (n == 0)
        return true;
    buf_clear(&w->normal);
    buf_add(&w->normal, text, n);
    if (w->normal.failed)
        return error_set(err, "out of memory");
    w->beheaded = false;
    return normalizer_run(e->t->normalizer, w, err) &&
           (w->normal.len == 0 || encode_normalized(e, first && !w->beheaded, flags, out, err));
}

static bool encode_text(HfEncoder *e, const char *text, size_t n, int flags, TokenIds *out,
                        Error *err)
{
    AddedWalk walk = { .plain = flags & HF_PLAIN };
    size_t done = 0;
    Span place;
    int32_t id = 0;
    while (added_next(e->t->added, &walk, text, n, &place, &id)) {
        const size_t between = place.begin > done ? place.begin - done : 0;
        if (!encode_raw(e, text + done, between, done == 0, flags, out, err) || !ids_push(out, id, err))
            return false;
        done = walk.done;
    }
    return encode_raw(e, text + done, n - done, done == 0, flags, out, err);
}

static bool push_all(TokenIds *out, const TokenIds *ids, Error *err)
{
    for (size_t i = 0; i < ids->n; i++)
        if (!ids_push(out, ids->id[i], err))
            return false;
    return true;
}

bool hf_encode(HfEncoder *e, const char *text, size_t n, int flags, TokenIds *out, Error *err)
{
    const size_t before = out->n;
    const bool special = flags & HF_ADD_SPECIAL, plain = flags & HF_PLAIN;
    if (plain != e->work.plain)
        cache_clear(e->work.cache);             /* the same words may have other ids now */
    e->work.plain = plain;
    /* From here on the array is never NULL, even where a text gives no id. */
    bool ok = ids_push(out, 0, err);
    out->n = before;
    if (ok && !hf_tokenizer_takes_bytes(e->t) && !unicode_valid(text, n)) {
        buf_clear(&e->work.clean);
        unicode_clean(&e->work.clean, text, n);
        text = e->work.clean.data;
        n = e->work.clean.len;
        ok = !e->work.clean.failed || error_set(err, "out of memory");
    }
    ok = ok && (!special || push_all(out, post_before(e->t->post), err)) &&
         encode_text(e, n ? text : "", n, flags, out, err) &&
         (!special || push_all(out, post_after(e->t->post), err));
    if (!ok)
        out->n = before;
    return ok;
}

/* ---- decoding --------------------------------------------------------------------------------- */

HfDecoder *hf_decoder_new(const HfTokenizer *t, bool skip_special, Error *err)
{
    HfDecoder *d = calloc(1, sizeof *d);
    if (!d) {
        error_set(err, "out of memory");
        return NULL;
    }
    *d = (HfDecoder){ t, decoder_stream(t->decoder, err), skip_special };
    if (d->stream)
        return d;
    free(d);
    return NULL;
}

void hf_decoder_free(HfDecoder *d)
{
    if (!d)
        return;
    decoder_stream_free(d->stream);
    free(d);
}

bool hf_decoder_add(HfDecoder *d, int32_t id, Buf *out, Error *err)
{
    size_t n;
    const char *token = hf_tokenizer_token(d->t, id, &n);
    if (!token || (d->skip_special && hf_tokenizer_is_special(d->t, id)))
        return true;
    return decoder_token(d->stream, token, n, out, err);
}

bool hf_decoder_end(HfDecoder *d, Buf *out, Error *err)
{
    return decoder_end(d->stream, out, err);
}

bool hf_decode(const HfTokenizer *t, const int32_t *id, size_t n, bool skip_special, Buf *out,
               Error *err)
{
    HfDecoder *d = hf_decoder_new(t, skip_special, err);
    bool ok = d != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = hf_decoder_add(d, id[i], out, err);
    ok = ok && hf_decoder_end(d, out, err);
    hf_decoder_free(d);
    return ok;
}
