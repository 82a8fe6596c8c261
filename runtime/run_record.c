/* Writing and reading trainer.json. */
#include "runtime/run_record.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "runtime/json_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_FORMAT = 2, MAX_RECORD = 1 << 20 };

static json_t *hex_json(uint64_t x)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, x);
    return json_string(hex);
}

static json_t *hyper_json(const Hyper *h)
{
    json_t *out = json_object();
    for (size_t i = 0; i < n_hypers; i++) {
        const HyperInfo *info = &hyper_table[i];
        const char *at = (const char *)h + info->offset;
        double number;
        int64_t count;
        memcpy(&number, at, sizeof number);
        memcpy(&count, at, sizeof count);
        if (!hyper_is_set(h, info))
            continue;
        json_object_set_new(out, info->name, info->kind == HYPER_NUMBER ? json_real(number)
                            : info->kind == HYPER_COUNT ? json_integer(count) : json_string(at));
    }
    return out;
}

static json_t *record_json(const RunRecord *r)
{
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:o}", "format", RECORD_FORMAT, "model",
                     r->model, "configs", r->configs, "parameters", (json_int_t)r->parameters, "step",
                     (json_int_t)r->step, "tokenizer_hash", hex_json(r->tokenizer), "data_hash",
                     hex_json(r->data), "data_size", (json_int_t)r->data_size, "run",
                     hyper_json(&r->hyper));
}

/* Of everything but itself. */
static json_t *checksum(const json_t *record)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)record);
    json_object_del(copy, "checksum");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_t *sum = text ? hex_json(hash_bytes(text, strlen(text))) : NULL;
    free(text);
    json_decref(copy);
    return sum;
}

bool run_record_save(const RunRecord *r, const char *path, Error *err)
{
    json_t *record = record_json(r);
    char *text = NULL;
    if (json_object_set_new(record, "checksum", checksum(record)) == 0)
        text = json_dumps(record, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(record);
    Buf out = { 0 };
    buf_printf(&out, "%s\n", text ? text : "");
    bool ok = text && !out.failed ? file_replace(path, out.data, out.len, err)
                                  : error_set(err, "%s: out of memory", path);
    free(text);
    buf_free(&out);
    return ok;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool read_count(const json_t *record, const char *name, int64_t *out, Error *err)
{
    const json_t *value = json_object_get(record, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, "\"%s\" is missing or no count", name);
    *out = json_integer_value(value);
    return true;
}

static bool read_hex(const json_t *record, const char *name, uint64_t *out, Error *err)
{
    const char *text = json_string_value(json_object_get(record, name));
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return error_set(err, "\"%s\" is missing or not 16 hexadecimal digits", name);
    *out = strtoull(text, NULL, 16);
    return true;
}

static bool read_word(const json_t *record, const char *name, char *out, size_t cap, Error *err)
{
    const char *text = json_string_value(json_object_get(record, name));
    if (!text || strlen(text) >= cap)
        return error_set(err, "\"%s\" is missing or no name", name);
    strcpy(out, text);
    return true;
}

static bool read_hyper(const json_t *run, Hyper *h, Error *err)
{
    hyper_unset(h);
    for (size_t i = 0; i < n_hypers; i++) {
        const HyperInfo *info = &hyper_table[i];
        const json_t *value = json_object_get(run, info->name);
        char *at = (char *)h + info->offset;
        const double number = json_number_value(value);
        const int64_t count = json_integer_value(value);
        const char *word = json_string_value(value);
        if (!value)
            continue;
        if (info->kind == HYPER_NUMBER && json_is_number(value))
            memcpy(at, &number, sizeof number);
        else if (info->kind == HYPER_COUNT && json_is_integer(value))
            memcpy(at, &count, sizeof count);
        else if (info->kind == HYPER_WORD && word && strlen(word) < HYPER_WORD_SIZE)
            strcpy(at, word);
        else
            return error_set(err, "\"run\": \"%s\" is of the wrong kind", info->name);
    }
    return true;
}

static bool read_record(const json_t *record, RunRecord *r, Error *err)
{
    int64_t format;
    json_t *sum = json_is_object(record) ? checksum(record) : NULL;
    const bool intact = sum && json_equal(sum, json_object_get(record, "checksum"));
    json_decref(sum);
    if (!json_is_object(record))
        return error_set(err, "it is not a JSON object");
    if (!read_count(record, "format", &format, err))
        return false;
    if (format != RECORD_FORMAT)
        return error_set(err, "its format is %" PRId64 "; this smrun reads %d", format,
                         RECORD_FORMAT);
    if (!intact)
        return error_set(err, "its checksum does not fit what it says: the file was altered");
    const bool has_configs = json_object_get(record, "configs") != NULL;       /* older ones have not */
    return read_word(record, "model", r->model, sizeof r->model, err)
        && (!has_configs || read_word(record, "configs", r->configs, sizeof r->configs, err))
        && read_count(record, "parameters", &r->parameters, err)
        && read_count(record, "step", &r->step, err)
        && read_hex(record, "tokenizer_hash", &r->tokenizer, err)
        && read_hex(record, "data_hash", &r->data, err)
        && read_count(record, "data_size", &r->data_size, err)
        && read_hyper(json_object_get(record, "run"), &r->hyper, err);
}

bool run_record_parse(const char *text, size_t n, RunRecord *out, Error *err)
{
    JsonSource source;
    *out = (RunRecord){ 0 };
    if (!json_source_open(&source, text, n, 0, err))
        return false;
    json_t *record = json_source_load(&source, source.root, err);
    const bool ok = record && read_record(record, out, err);
    json_decref(record);
    return ok;
}

bool run_record_open(const char *path, RunRecord *out, Error *err)
{
    Buf text = { 0 };
    bool ok = file_read(path, MAX_RECORD, &text, err);
    if (ok && !run_record_parse(text.len ? text.data : "", text.len, out, err))
        ok = error_prefix(err, "%s", path);
    buf_free(&text);
    return ok;
}

bool run_record_same(const RunRecord *then, const RunRecord *now, Error *err)
{
    if (strcmp(then->model, now->model) != 0)
        return error_set(err, "the run is one of model %s, this plan is %s", then->model, now->model);
    if (then->parameters != now->parameters)
        return error_set(err, "the run's model has %" PRId64 " parameters, this plan's %" PRId64
                         ": compile it with the same -D options", then->parameters,
                         now->parameters);
    if (then->tokenizer != now->tokenizer)
        return error_set(err, "the tokenizer is not the one that the run was begun with");
    if (then->data != now->data || then->data_size != now->data_size)
        return error_set(err, "the data is not what the run was begun with: %" PRId64 " %s then, "
                         "%" PRId64 " now%s", then->data_size, "items", now->data_size,
                         then->data_size == now->data_size ? ", with other content" : "");
    return true;
}
