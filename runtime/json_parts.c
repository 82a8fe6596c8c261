/* Batches of parts: enough text at once that jansson's start does not count, too little for its tree
 * to. */
#include "runtime/json_parts.h"

#include "base/check.h"

enum { BATCH = 1024, FREE_BYTES = 64 << 10 };

/* ---- what a tree takes ------------------------------------------------------------------------ */

/* Bytes of jansson's nodes with what the allocator adds, tables that just grew included. */
enum { TREE_OBJECT = 240, TREE_MEMBER = 128, TREE_ARRAY = 144, TREE_ELEMENT = 24, TREE_LEAF = 80 };

/* At most; calls itself as deep as the text nests, which is bounded. */
static size_t tree_bytes(JsonText v)
{
    JsonText key, part;
    if (!json_is(v, '{') && !json_is(v, '['))
        return TREE_LEAF + v.n;
    size_t bytes = json_is(v, '{') ? TREE_OBJECT : TREE_ARRAY;
    for (JsonWalk w = json_walk(v); json_walk_next(&w, &key, &part);)
        bytes += (key.n ? TREE_MEMBER + key.n : TREE_ELEMENT) + tree_bytes(part);
    return bytes;
}

/* While a string is read, jansson holds up to twice its bytes besides: so the tree may have half of what
 * refusing may cost. */
static bool afford(const JsonSource *s, JsonText v, size_t *bytes, Error *err)
{
    *bytes = tree_bytes(v);
    return *bytes <= s->budget
        || error_set(err, "byte %zu: a value of %zu bytes would take %zu bytes of memory, more than twice "
                     "the text", (size_t)(v.text - s->text), v.n, *bytes);
}

/* ---- values ----------------------------------------------------------------------------------- */

bool json_source_open(JsonSource *s, const char *text, size_t n, size_t flags, Error *err)
{
    *s = (JsonSource){ .text = text, .flags = flags | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES };
    return (size_mul(n, 2, &s->budget) && size_add(s->budget, FREE_BYTES, &s->budget))
        ? json_scan(text, n, &s->root, err) : error_set(err, "out of memory");
}

/* `text` is the source's at `at`, behind `added` bytes that are not. */
static json_t *decode(const JsonSource *s, JsonText text, const char *at, size_t added, Error *err)
{
    json_error_t why;
    json_t *out = json_loadb(text.text, text.n, s->flags, &why);
    const size_t position = (size_t)(why.position > 0 ? why.position : 0);
    if (!out)
        error_set(err, "byte %zu: not valid JSON: %s",
                  (size_t)(at - s->text) + (position > added ? position - added : 0), why.text);
    return out;
}

json_t *json_source_look(const JsonSource *s, JsonText value, Error *err)
{
    size_t bytes;
    return afford(s, value, &bytes, err) ? decode(s, value, value.text, 0, err) : NULL;
}

json_t *json_source_load(JsonSource *s, JsonText value, Error *err)
{
    size_t bytes;
    if (!afford(s, value, &bytes, err))
        return NULL;
    s->budget -= bytes;
    return decode(s, value, value.text, 0, err);
}

bool json_source_add(JsonSource *s, json_t *object, JsonText key, JsonText value, Error *err)
{
    json_t *name = json_source_load(s, key, err);
    if (!name)
        return false;
    const char *text = json_string_value(name);
    const size_t n = json_string_length(name);
    json_t *v = NULL;
    bool ok = !json_object_getn(object, text, n)
        || error_set(err, "byte %zu: not valid JSON: the key \"%.60s\" is there twice",
                     (size_t)(key.text - s->text), text);
    ok = ok && (v = json_source_load(s, value, err)) != NULL;
    ok = ok && (json_object_setn_new(object, text, n, v) == 0 || error_set(err, "out of memory"));
    json_decref(name);
    return ok;
}

/* ---- parts ------------------------------------------------------------------------------------ */

static void look_ahead(JsonParts *p)
{
    if (!json_walk_next(&p->walk, &p->next_key, &p->next_value))
        p->next_value = (JsonText){ NULL, 0 };
}

JsonParts json_parts(JsonSource *s, JsonText list)
{
    JsonParts p = { .source = s, .walk = json_walk(list) };
    look_ahead(&p);
    return p;
}

static void drop_batch(JsonParts *p)
{
    json_decref(p->batch);
    json_decref(p->batch_key);
    p->batch = p->batch_key = NULL;
    p->member = NULL;
    p->element = 0;
}

/* A part too long for a batch, decoded where it lies. */
static bool take_alone(JsonParts *p, Error *err)
{
    const JsonText key = p->next_key, value = p->next_value;
    look_ahead(p);
    if (key.n && (p->batch_key = json_source_look(p->source, key, err)) == NULL)
        return false;
    p->batch = json_source_look(p->source, value, err);
    return p->batch != NULL;
}

/* As many parts as a batch holds, with the brackets of their list around them. */
static bool take_several(JsonParts *p, Error *err)
{
    const bool object = p->walk.object;
    const char *begin = object ? p->next_key.text : p->next_value.text, *end = begin;
    while (p->next_value.n && (size_t)(p->next_value.text + p->next_value.n - begin) <= BATCH) {
        end = p->next_value.text + p->next_value.n;
        look_ahead(p);
    }
    buf_clear(&p->text);
    buf_putc(&p->text, object ? '{' : '[');
    buf_add(&p->text, begin, (size_t)(end - begin));
    buf_putc(&p->text, object ? '}' : ']');
    if (p->text.failed)
        return error_set(err, "out of memory");
    p->batch = decode(p->source, (JsonText){ p->text.data, p->text.len }, begin, 1, err);
    if (p->batch && object)
        p->member = json_object_iter(p->batch);
    return p->batch != NULL;
}

/* The next part of the batch that is decoded. */
static bool take_decoded(JsonParts *p)
{
    if (!p->walk.object) {
        p->value = json_array_get(p->batch, p->element++);
    } else {
        p->value = json_object_iter_value(p->member);
        if (p->value) {
            p->key = json_object_iter_key(p->member);
            p->key_n = json_object_iter_key_len(p->member);
            p->member = json_object_iter_next(p->batch, p->member);
        }
    }
    return p->value != NULL;
}

static bool take_batch(JsonParts *p, Error *err)
{
    const char *begin = p->next_key.n ? p->next_key.text : p->next_value.text;
    drop_batch(p);
    if ((size_t)(p->next_value.text + p->next_value.n - begin) <= BATCH)
        return take_several(p, err) && take_decoded(p);
    if (!take_alone(p, err))
        return false;
    p->value = p->batch;
    p->key = json_string_value(p->batch_key);
    p->key_n = json_string_length(p->batch_key);
    p->element = SIZE_MAX;              /* nothing more in this batch */
    return true;
}

bool json_parts_next(JsonParts *p, Error *err)
{
    const bool inside = p->batch && p->element != SIZE_MAX && take_decoded(p);
    if (!inside && !p->next_value.n)
        return false;
    if (!inside && !take_batch(p, err)) {
        p->failed = true;
        return false;
    }
    p->index = p->begun++;
    return true;
}

void json_parts_close(JsonParts *p)
{
    drop_batch(p);
    buf_free(&p->text);
}
