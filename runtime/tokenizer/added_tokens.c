/* Added tokens: words that are found in the text before anything cuts it.  The leftmost is taken, of
 * those that begin at one place the longest. */
#include "runtime/tokenizer/parts.h"
#include "runtime/tokenizer/trie.h"
#include "runtime/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct Added {
    char *text;                         /* as the file writes it; owned */
    size_t n;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} Added;

struct AddedTokens {
    Added *token;
    size_t n;
    Trie trie[2];                       /* by whether they are looked for in normalized text */
    bool begins[2][256];                /* whether a token begins with the byte */
    int32_t *by_id;                     /* index of the token of an id, -1; owned */
    int32_t n_ids;
};

static bool read_token(const json_t *o, Added *t, Error *err)
{
    const char *text;
    size_t n, id;
    const json_t *number = json_object_get(o, "id");
    if (!json_is_integer(number) || !field_size(o, "id", 0, &id, err))
        return error_set(err, "\"id\" is missing or no id");
    if (id > 1 << 24)
        return error_set(err, "the id %zu is too large", id);
    if (!field_string(o, "content", &text, &n, err))
        return false;
    if (!text)
        return error_set(err, "\"content\" is missing");
    t->id = (int32_t)id;
    t->n = n;
    t->text = malloc(n + 1);
    if (!t->text)
        return error_set(err, "out of memory");
    memcpy(t->text, text, n);
    t->text[n] = 0;
    return field_bool(o, "special", false, &t->special, err) &&
           field_bool(o, "single_word", false, &t->single_word, err) &&
           field_bool(o, "lstrip", false, &t->lstrip, err) &&
           field_bool(o, "rstrip", false, &t->rstrip, err) &&
           field_bool(o, "normalized", !t->special, &t->normalized, err);
}

/* A token is looked for as the normalizer writes it, when it is looked for in normalized text. */
static bool add_to_trie(AddedTokens *a, size_t i, const Normalizer *m, Workspace *w, Error *err)
{
    const Added *t = &a->token[i];
    const char *text = t->text;
    size_t n = t->n;
    if (t->normalized && m) {
        buf_clear(&w->normal);
        buf_add(&w->normal, t->text, t->n);
        if (!normalizer_run(m, w, err))
            return false;
        text = w->normal.data;
        n = w->normal.len;
    }
    if (n == 0)
        return true;
    a->begins[t->normalized][(uint8_t)*text] = true;
    return trie_add(&a->trie[t->normalized], text, n, (int32_t)i, err);
}

static bool index_ids(AddedTokens *a, Error *err)
{
    for (size_t i = 0; i < a->n; i++)
        a->n_ids = a->token[i].id >= a->n_ids ? a->token[i].id + 1 : a->n_ids;
    a->by_id = malloc(((size_t)a->n_ids + 1) * sizeof *a->by_id);
    if (!a->by_id)
        return error_set(err, "out of memory");
    memset(a->by_id, 0xff, (size_t)a->n_ids * sizeof *a->by_id);
    for (size_t i = 0; i < a->n; i++)
        a->by_id[a->token[i].id] = (int32_t)i;
    return true;
}

AddedTokens *added_read(const json_t *o, const Normalizer *m, Workspace *w, Error *err)
{
    AddedTokens *a = calloc(1, sizeof *a);
    const size_t n = json_is_array(o) ? json_array_size(o) : 0;
    if (a)
        a->token = calloc(n + 1, sizeof *a->token);
    bool ok = (a && a->token) || error_set(err, "out of memory");
    if (ok && o && !json_is_array(o) && !json_is_null(o))
        ok = error_set(err, "it is not an array");
    for (size_t i = 0; ok && i < n; i++) {
        a->n++;
        ok = read_token(json_array_get(o, i), &a->token[i], err) && add_to_trie(a, i, m, w, err);
    }
    if (ok && index_ids(a, err))
        return a;
    added_free(a);
    return NULL;
}

void added_free(AddedTokens *a)
{
    if (!a)
        return;
    for (size_t i = 0; a->token && i < a->n; i++)
        free(a->token[i].text);
    free(a->token);
    trie_free(&a->trie[0]);
    trie_free(&a->trie[1]);
    free(a->by_id);
    free(a);
}

size_t added_count(const AddedTokens *a)
{
    return a->n;
}

const char *added_get(const AddedTokens *a, size_t i, size_t *n, int32_t *id, bool *special)
{
    *n = a->token[i].n;
    *id = a->token[i].id;
    *special = a->token[i].special;
    return a->token[i].text;
}

static const Added *of_id(const AddedTokens *a, int32_t id)
{
    return id >= 0 && id < a->n_ids && a->by_id[id] >= 0 ? &a->token[a->by_id[id]] : NULL;
}

const char *added_text(const AddedTokens *a, int32_t id, size_t *n)
{
    const Added *t = of_id(a, id);
    if (t)
        *n = t->n;
    return t ? t->text : NULL;
}

bool added_is_special(const AddedTokens *a, int32_t id)
{
    const Added *t = of_id(a, id);
    return t && t->special;
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

static void swallow(const Added *t, const char *text, size_t n, size_t floor, Span *place)
{
    uint32_t c;
    while (t->lstrip && place->begin > floor) {
        const size_t back = step_back(text, place->begin);
        utf8_next(text + back, &c);
        if (!unicode_is_space(c))
            break;
        place->begin = back;
    }
    while (t->rstrip && place->end < n) {
        const size_t length = utf8_next(text + place->end, &c);
        if (!unicode_is_space(c))
            break;
        place->end += length;
    }
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

bool added_find(const AddedTokens *a, bool normalized, bool plain, const char *text, size_t n,
                size_t *at, size_t floor, Span *place, int32_t *id)
{
    const Trie *trie = &a->trie[normalized];
    const bool *begins = a->begins[normalized];
    while (trie->n && *at < n) {
        size_t length = 0;
        if (!begins[(uint8_t)text[*at]]) {
            ++*at;
            continue;
        }
        const int32_t found = longest(trie, text + *at, n - *at, &length);
        if (found < 0) {
            ++*at;
            continue;
        }
        const Added *t = &a->token[found];
        *place = (Span){ *at, *at + length };
        *at = place->end;
        if ((plain && t->special) ||
            (t->single_word && !stands_alone(text, n, place->begin, place->end)))
            continue;
        swallow(t, text, n, floor, place);
        *at = place->end;
        *id = t->id;
        return true;
    }
    return false;
}
