/* Added tokens: words that are found in the text before anything cuts it.  The leftmost is taken, of
 * those that begin at one place the longest. */
#include "runtime/tokenizer/parts.h"
#include "runtime/tokenizer/trie.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ID = 1 << 24, MAX_TRIED = 16 << 20 };

typedef struct Added {
    uint32_t begin, n;                  /* of its text in `bytes` */
    int32_t id;
    uint32_t flags;                     /* AddedFlags */
} Added;

struct AddedTokens {
    Added *token;
    size_t n, cap;
    Buf bytes;                          /* the texts, as the file writes them, and normalized */
    Piece *shown;                       /* by token: where in `bytes` it is normalized; NULL: none differs */
    Trie trie[2];                       /* by whether they are looked for in normalized text */
    bool begins[2][256];                /* whether a token begins with the byte */
    int32_t *by_id;                     /* index of the token of an id, -1; owned */
    int32_t n_ids;
};

/* ---- reading ---------------------------------------------------------------------------------- */

AddedTokens *added_new(Error *err)
{
    AddedTokens *a = calloc(1, sizeof *a);
    if (!a)
        error_set(err, "out of memory");
    return a;
}

bool added_add(AddedTokens *a, const char *text, size_t n, int32_t id, unsigned flags, Error *err)
{
    if (a->n == a->cap) {
        const size_t cap = a->cap ? 2 * a->cap : 16;
        Added *grown = realloc(a->token, cap * sizeof *grown);
        if (!grown)
            return error_set(err, "out of memory");
        a->token = grown;
        a->cap = cap;
    }
    if (n > UINT32_MAX - MAX_TRIED - a->bytes.len)
        return error_set(err, "the added tokens have too many bytes together");
    a->token[a->n++] = (Added){ (uint32_t)a->bytes.len, (uint32_t)n, id, flags };
    buf_add(&a->bytes, n ? text : "", n);
    a->n_ids = id >= a->n_ids ? id + 1 : a->n_ids;
    return !a->bytes.failed || error_set(err, "out of memory");
}

static bool read_flag(const json_t *o, const char *key, bool fallback, unsigned flag, unsigned *flags,
                      Error *err)
{
    bool set;
    if (!field_bool(o, key, fallback, &set, err))
        return false;
    *flags |= set ? flag : 0;
    return true;
}

bool added_read(AddedTokens *a, const json_t *o, Error *err)
{
    const char *text;
    size_t n, id;
    unsigned flags = 0;
    const json_t *number = json_object_get(o, "id");
    if (!json_is_integer(number) || !field_size(o, "id", 0, &id, err))
        return error_set(err, "\"id\" is missing or no id");
    if (id > MAX_ID)
        return error_set(err, "the id %zu is too large", id);
    if (!field_string(o, "content", &text, &n, err))
        return false;
    if (!text)
        return error_set(err, "\"content\" is missing");
    return read_flag(o, "special", false, ADDED_SPECIAL, &flags, err) &&
           read_flag(o, "single_word", false, ADDED_SINGLE_WORD, &flags, err) &&
           read_flag(o, "lstrip", false, ADDED_LSTRIP, &flags, err) &&
           read_flag(o, "rstrip", false, ADDED_RSTRIP, &flags, err) &&
           read_flag(o, "normalized", !(flags & ADDED_SPECIAL), ADDED_NORMALIZED, &flags, err) &&
           added_add(a, text, n, (int32_t)id, flags, err);
}

/* ---- making them findable --------------------------------------------------------------------- */

static const char *text_of(const AddedTokens *a, const Added *t)
{
    return a->bytes.data + t->begin;
}

/* What a token is looked for as: normalized, where it is looked for in normalized text. */
static bool sought(const AddedTokens *a, const Added *t, const Normalizer *m, Workspace *w,
                   const char **text, size_t *n, Error *err)
{
    *text = text_of(a, t);
    *n = t->n;
    if (!(t->flags & ADDED_NORMALIZED) || !m)
        return true;
    buf_clear(&w->normal);
    buf_add(&w->normal, *text, *n);
    if (!normalizer_run(m, w, err))
        return false;
    *text = w->normal.data;
    *n = w->normal.len;
    return true;
}

static bool add_to_trie(AddedTokens *a, size_t i, const Normalizer *m, Workspace *w, Error *err)
{
    Added *t = &a->token[i];
    const bool normalized = t->flags & ADDED_NORMALIZED;
    const char *text;
    size_t n;
    if (!sought(a, t, m, w, &text, &n, err))
        return false;
    if (n != t->n || memcmp(text, text_of(a, t), n) != 0) {
        if (!a->shown)
            a->shown = calloc(a->n, sizeof *a->shown);
        if (a->shown)
            a->shown[i] = (Piece){ (uint32_t)a->bytes.len, (uint32_t)(a->bytes.len + n) };
        buf_add(&a->bytes, n ? text : "", n);
        if (!a->shown || a->bytes.failed)
            return error_set(err, "out of memory");
    }
    if (n == 0)
        return true;
    a->begins[normalized][(uint8_t)*text] = true;
    return trie_add(&a->trie[normalized], text, n, (int32_t)i, err);
}

/* All of them are normalized before the first takes memory: a normalizer may fail, or write pages for
 * each. */
static bool try_all(const AddedTokens *a, const Normalizer *m, Workspace *w, Error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < a->n; i++) {
        const char *text;
        size_t n;
        if (!sought(a, &a->token[i], m, w, &text, &n, err))
            return false;
        total += n;
        if (total > MAX_TRIED)
            return error_set(err, "they have more than %d bytes together", MAX_TRIED);
    }
    return true;
}

static bool index_ids(AddedTokens *a, Error *err)
{
    a->by_id = malloc(((size_t)a->n_ids + 1) * sizeof *a->by_id);
    if (!a->by_id)
        return error_set(err, "out of memory");
    memset(a->by_id, 0xff, (size_t)a->n_ids * sizeof *a->by_id);
    for (size_t i = 0; i < a->n; i++)
        a->by_id[a->token[i].id] = (int32_t)i;
    return true;
}

bool added_index(AddedTokens *a, const Normalizer *m, Workspace *w, Error *err)
{
    bool ok = try_all(a, m, w, err);
    /* Of tokens that are sought as the same text, the first special one is found, else the first. */
    for (int special = 0; special < 2; special++)
        for (size_t i = a->n; ok && i-- > 0;)
            if (((a->token[i].flags & ADDED_SPECIAL) != 0) == special)
                ok = add_to_trie(a, i, m, w, err);
    return ok && index_ids(a, err);
}

void added_free(AddedTokens *a)
{
    if (!a)
        return;
    free(a->token);
    buf_free(&a->bytes);
    free(a->shown);
    trie_free(&a->trie[0]);
    trie_free(&a->trie[1]);
    free(a->by_id);
    free(a);
}

size_t added_count(const AddedTokens *a)
{
    return a->n;
}

int32_t added_ids(const AddedTokens *a)
{
    return a->n_ids;
}

const char *added_get(const AddedTokens *a, size_t i, size_t *n, int32_t *id, unsigned *flags)
{
    *n = a->token[i].n;
    *id = a->token[i].id;
    *flags = a->token[i].flags;
    return text_of(a, &a->token[i]);
}

static const Added *of_id(const AddedTokens *a, int32_t id)
{
    return id >= 0 && id < a->n_ids && a->by_id[id] >= 0 ? &a->token[a->by_id[id]] : NULL;
}

const char *added_text(const AddedTokens *a, int32_t id, size_t *n)
{
    const Added *t = of_id(a, id);
    if (!t)
        return NULL;
    const Piece shown = a->shown ? a->shown[t - a->token] : (Piece){ 0, 0 };
    *n = shown.end ? shown.end - shown.begin : t->n;
    return a->bytes.data + (shown.end ? shown.begin : t->begin);
}

bool added_is_special(const AddedTokens *a, int32_t id)
{
    const Added *t = of_id(a, id);
    return t && (t->flags & ADDED_SPECIAL);
}

/* ---- finding ---------------------------------------------------------------------------------- */

/* Begin of the character that ends before `at`. */
static size_t step_back(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
    return at;
}

static bool stands_alone(const char *text, size_t n, size_t begin, size_t end)
{
    uint32_t c;
    if (begin > 0) {
        utf8_next(text + step_back(text, begin), &c);
        if (unicode_is_word(c))
            return false;
    }
    if (end < n) {
        utf8_next(text + end, &c);
        if (unicode_is_word(c))
            return false;
    }
    return true;
}

/* The end of a run of spaces is found once for all tokens that end in it. */
static void swallow(const Added *t, AddedWalk *walk, const char *text, size_t n, Span *place)
{
    uint32_t c;
    while ((t->flags & ADDED_LSTRIP) && place->begin > walk->done) {
        const size_t back = step_back(text, place->begin);
        utf8_next(text + back, &c);
        if (!unicode_is_space(c))
            break;
        place->begin = back;
    }
    if (!(t->flags & ADDED_RSTRIP))
        return;
    place->end = place->end < walk->spaces_end ? walk->spaces_end : place->end;
    while (place->end < n) {
        const size_t length = utf8_next(text + place->end, &c);
        if (!unicode_is_space(c))
            break;
        place->end += length;
    }
    walk->spaces_end = place->end;
}

/* The longest token at `text`; -1 when there is none. */
static int32_t longest(const Trie *t, const char *text, size_t n, size_t *length)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = trie_step(t, node, (uint8_t)text[i]);
        if (node == 0)
            break;
        if (t->value[node] >= 0) {
            best = t->value[node];
            *length = i + 1;
        }
    }
    return best;
}

bool added_next(const AddedTokens *a, AddedWalk *walk, const char *text, size_t n, Span *place, int32_t *id)
{
    const Trie *trie = &a->trie[walk->normalized];
    const bool *begins = a->begins[walk->normalized];
    while (trie->n && walk->at < n) {
        size_t length = 0;
        const int32_t found = begins[(uint8_t)text[walk->at]]
                                  ? longest(trie, text + walk->at, n - walk->at, &length) : -1;
        if (found < 0) {
            walk->at++;
            continue;
        }
        const Added *t = &a->token[found];
        *place = (Span){ walk->at, walk->at + length };
        walk->at = place->end;
        if ((walk->plain && (t->flags & ADDED_SPECIAL)) ||
            ((t->flags & ADDED_SINGLE_WORD) && !stands_alone(text, n, place->begin, place->end)))
            continue;
        swallow(t, walk, text, n, place);
        walk->done = place->end;
        *id = t->id;
        return true;
    }
    return false;
}
