/* Post-processors: the ids that are put before and after a text. */
#include "runtime/tokenizer/parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The order of `names`. */
typedef enum PostKind { POST_SEQUENCE, POST_TEMPLATE, POST_BERT, POST_ROBERTA, POST_BYTE_LEVEL } PostKind;

static const char *const names[] = {
    "Sequence", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel",
};

struct PostProcessor {
    TokenIds before, after;
};

static bool push_front(TokenIds *ids, size_t at, int32_t id, Error *err)
{
    if (!ids_push(ids, id, err))
        return false;
    memmove(ids->id + at + 1, ids->id + at, (ids->n - 1 - at) * sizeof *ids->id);
    ids->id[at] = id;
    return true;
}

/* Ids of the special token `name`, appended. */
static bool special_ids(const json_t *o, const char *name, TokenIds *out, Error *err)
{
    const json_t *list =
        json_object_get(json_object_get(json_object_get(o, "special_tokens"), name), "ids");
    if (!json_is_array(list))
        return error_set(err, "\"special_tokens\" lacks the ids of \"%.60s\"", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > 1 << 24)
            return error_set(err, "\"ids\" of \"%.60s\" are no ids", name);
        if (!ids_push(out, (int32_t)json_integer_value(id), err))
            return false;
    }
    return true;
}

/* A later processor puts its ids around those of an earlier one. */
static bool wrap(PostProcessor *p, const TokenIds *before, const TokenIds *after, Error *err)
{
    for (size_t i = 0; i < before->n; i++)
        if (!push_front(&p->before, i, before->id[i], err))
            return false;
    for (size_t i = 0; i < after->n; i++)
        if (!ids_push(&p->after, after->id[i], err))
            return false;
    return true;
}

static bool read_template(const json_t *o, PostProcessor *p, Error *err)
{
    const json_t *single = json_object_get(o, "single");
    TokenIds side[2] = { { 0 }, { 0 } };
    int passed = 0;
    bool ok = json_is_array(single) || error_set(err, "\"single\" is missing");
    for (size_t i = 0; ok && i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const char *name =
            json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
        if (name)
            ok = special_ids(o, name, &side[passed], err);
        else if (json_object_get(item, "Sequence") && !passed)
            passed = 1;
        else
            ok = error_set(err, "\"single\" is not one sequence among special tokens");
    }
    if (ok && !passed)
        ok = error_set(err, "\"single\" has no sequence");
    ok = ok && wrap(p, &side[0], &side[1], err);
    free(side[0].id);
    free(side[1].id);
    return ok;
}

/* [token, id] */
static bool read_pair(const json_t *o, const char *key, int32_t *id, Error *err)
{
    const json_t *n = json_array_get(json_object_get(o, key), 1);
    if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > 1 << 24)
        return error_set(err, "\"%s\" is not a token and its id", key);
    *id = (int32_t)json_integer_value(n);
    return true;
}

static bool read_into(const json_t *o, PostProcessor *p, Error *err)
{
    const char *type = field_type(o, err);
    const int kind = type ? word_index(type, names, sizeof names / sizeof *names, "post-processor",
                                       err) : -1;
    int32_t cls, sep;
    if (kind < 0)
        return false;
    switch ((PostKind)kind) {
    case POST_SEQUENCE: {
        const json_t *list = json_object_get(o, "processors");
        for (size_t i = 0; i < json_array_size(list); i++)
            if (!read_into(json_array_get(list, i), p, err))
                return false;
        return true;
    }
    case POST_TEMPLATE:
        return read_template(o, p, err);
    case POST_BERT: case POST_ROBERTA:
        return read_pair(o, "cls", &cls, err) && read_pair(o, "sep", &sep, err) &&
               push_front(&p->before, 0, cls, err) && ids_push(&p->after, sep, err);
    case POST_BYTE_LEVEL:               /* moves offsets only */
        break;
    }
    return true;
}

PostProcessor *post_read(const json_t *o, Error *err)
{
    PostProcessor *p = calloc(1, sizeof *p);
    if (!p) {
        error_set(err, "out of memory");
        return NULL;
    }
    if (o && !json_is_null(o) && !read_into(o, p, err)) {
        post_free(p);
        return NULL;
    }
    return p;
}

void post_free(PostProcessor *p)
{
    if (!p)
        return;
    free(p->before.id);
    free(p->after.id);
    free(p);
}

const TokenIds *post_before(const PostProcessor *p)
{
    return &p->before;
}

const TokenIds *post_after(const PostProcessor *p)
{
    return &p->after;
}
