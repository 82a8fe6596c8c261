/* JSON from outside, decoded by jansson a little at a time.
 *
 * jansson makes a tree of what it reads, and a tree may take fifty times its text.  So a long list is
 * never decoded whole: its parts come a few at a time, and are gone when the next ones come.  What is
 * decoded whole, small objects with settings, may take memory only as the text has bytes.  Refusing a
 * text so takes at most four times its bytes, and 128 KiB. */
#ifndef RUNTIME_JSON_PARTS_H
#define RUNTIME_JSON_PARTS_H

#include "base/buf.h"
#include "base/json_scan.h"
#include "base/status.h"

#include <jansson.h>

typedef struct JsonSource {
    const char *text;                   /* borrowed; messages count bytes from here */
    JsonText root;
    size_t budget;                      /* bytes that trees may still take */
    size_t flags;                       /* of jansson */
} JsonSource;

/* The text is JSON, and no deeper than MAX_JSON_DEPTH. */
bool json_source_open(JsonSource *s, const char *text, size_t n, size_t flags, Error *err);

/* One value whole: a new reference, NULL with a message.  What is loaded stays, and lessens the budget;
 * what is looked at is let go before the next one. */
json_t *json_source_load(JsonSource *s, JsonText value, Error *err);
json_t *json_source_look(const JsonSource *s, JsonText value, Error *err);

/* Adds the member `key`: `value` of a source to `object`, where it must not be yet. */
bool json_source_add(JsonSource *s, json_t *object, JsonText key, JsonText value, Error *err);

/* A walk along an array or an object of a source.
 *
 *     JsonParts p = json_parts(&source, list);
 *     while (json_parts_next(&p, err))
 *         ... p.value, and in an object p.key ...          both gone with the next
 *     ok = !p.failed;
 *     json_parts_close(&p);
 *
 * A key that is there twice is not always seen: that is for the caller to find. */
typedef struct JsonParts {
    const char *key;
    size_t key_n, index;                /* index: of this part, from 0 */
    const json_t *value;
    bool failed;
    JsonSource *source;
    JsonWalk walk;
    JsonText next_key, next_value;      /* of the part that comes next in the text; empty: none */
    json_t *batch, *batch_key;          /* what is decoded; batch_key where a part stands alone */
    void *member;                       /* of the batch: jansson's place in an object */
    size_t element, begun;              /* its place in an array; parts taken altogether */
    Buf text;
} JsonParts;
JsonParts json_parts(JsonSource *s, JsonText list);
bool json_parts_next(JsonParts *p, Error *err);
void json_parts_close(JsonParts *p);

#endif
