/* What refusing a hostile file costs: at most four times its metadata, whatever the parser.  The
 * allocator's functions are replaced by ones that know how much is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "runtime/hub/json.h"
#include "runtime/hub/shard_index.h"
#include "runtime/safetensors.h"
#include "runtime/stop_ids.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { BIG = 1 << 19, FREE_BYTES = 128 << 10 };

/* ---- the allocator that knows ------------------------------------------------------------------ */

static size_t held, peak;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static void *taken(void *p)
{
    held += p ? malloc_usable_size(p) + sizeof(size_t) : 0;
    peak = held > peak ? held : peak;
    return p;
}

static void given(void *p)
{
    held -= p ? malloc_usable_size(p) + sizeof(size_t) : 0;
}

void *malloc(size_t n)
{
    return taken(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return taken(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    given(p);
    return taken(__libc_realloc(p, n));
}

void free(void *p)
{
    given(p);
    __libc_free(p);
}

/* ---- parsers ----------------------------------------------------------------------------------- */

typedef bool Parse(const char *text, size_t n, Error *err);

static bool parse_tokenizer(const char *text, size_t n, Error *err)
{
    HfTokenizer *t = hf_tokenizer_parse(text, n, err);
    hf_tokenizer_free(t);
    return t != NULL;
}

/* The text is a whole file here. */
static bool parse_safetensors(const char *text, size_t n, Error *err)
{
    SafeTensors st;
    const bool ok = safetensors_view(text, n, &st, err);
    if (ok)
        safetensors_close(&st);
    return ok;
}

static bool parse_config(const char *text, size_t n, Error *err)
{
    json_t *root = hub_json_parse(text, n, err);
    const bool ok = root != NULL;
    json_decref(root);
    return ok;
}

static bool parse_stop_ids(const char *text, size_t n, Error *err)
{
    StopIds ids;
    return stop_ids_parse(text, n, &ids, err);
}

static bool parse_index(const char *text, size_t n, Error *err)
{
    ShardIndex x;
    const char *file;
    if (!shard_index_read(&x, text, n, err))
        return false;
    JsonParts p = json_parts(&x.source, x.weight_map);
    while (shard_index_next(&p, &file, err))
        ;
    const bool ok = !p.failed;
    json_parts_close(&p);
    return ok;
}

static bool parse_gguf(const char *text, size_t n, Error *err)
{
    Gguf g;
    if (!gguf_read((const uint8_t *)text, n, &g, err))
        return false;
    HfTokenizer *t = hf_tokenizer_of_gguf(&g, err);
    hf_tokenizer_free(t);
    gguf_close(&g);
    return t != NULL;
}

/* ---- checks ------------------------------------------------------------------------------------ */

/* Refused, or accepted where a parser has no reason to refuse; cheap where it was refused. */
static bool is_cheap(Parse *parse, const char *what, const Buf *text)
{
    Error err = { "" };
    const size_t before = held;
    peak = held;
    const bool accepted = parse(text->data, text->len, &err);
    const size_t cost = peak - before;
    assert_int_equal(held, before);
    assert_true(accepted || err.text[0]);
    if (!accepted && cost > 4 * text->len + FREE_BYTES)
        fail_msg("%s: %zu bytes cost %zu, %.1f times as much (%s)", what, text->len, cost,
                 (double)cost / (double)text->len, err.text);
    return !accepted;
}

static void fill(Buf *out, const char *open, const char *part, const char *close)
{
    buf_puts(out, open);
    for (size_t i = 0; out->len < BIG; i++) {
        char numbered[64];
        snprintf(numbered, sizeof numbered, part, i, i, i);
        if (i && *close)
            buf_putc(out, ',');
        buf_puts(out, numbered);
    }
    buf_puts(out, close);
}

/* Every number of the parts is %1$zu, or there is none. */
static const struct { const char *open, *part, *close; } values[] = {
    { "", "[", "" }, { "", "{\"a\":", "" }, { "[", "[]", "]" }, { "[", "{}", "]" }, { "[", "0", "]" },
    { "[", "[[]]", "]" }, { "[", "\"\"", "]" }, { "[", "\"a b\"", "]" }, { "[", "[\"a\",0]", "]" },
    { "[", "[\"%1$zu\",0]", "]" }, { "[", "[\"a\",\"b\"]", "]" }, { "[", "{\"id\":0,\"content\":\"\"}", "]" },
    { "[", "{\"type\":\"NFC\"}", "]" }, { "[", "{\"type\":\"ByteLevel\"}", "]" },
    { "[", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a{9}){9}(b{9}){9}\"}}", "]" }, { "{", "\"%1$zu\":0", "}" }, { "{", "\"%1$zu\":%1$zu", "}" },
    { "{", "\"%1$zu\":[]", "}" }, { "{", "\"%1$zu\":\"\"", "}" }, { "{", "\"a\":0", "}" },
    { "{", "\"%1$zu\":\"a.safetensors\"", "}" }, { "{", "\"%1$zu\":{\"dtype\":\"U8\"}", "}" },
    { "{", "\"%1$zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", "}" },
};

static const struct { const char *before, *after; } places[] = {
    { "", "" }, { "{\"a\":", "}" }, { "{\"normalizer\":", ",\"model\":{}}" },
    { "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":", "},\"model\":{}}" },
    { "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":", "},\"model\":{}}" },
    { "{\"added_tokens\":", ",\"model\":{}}" }, { "{\"model\":", "}" }, { "{\"model\":{\"vocab\":", "}}" },
    { "{\"model\":{\"type\":\"Unigram\",\"vocab\":", "}}" },
    { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":", ",\"dropout\":7}}" },
    { "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":", "}}" },
    { "{\"weight_map\":", "}" }, { "{\"__metadata__\":", "}" }, { "{\"eos_token_id\":", "}" },
};

static void put_length(Buf *text, size_t n)
{
    const uint64_t length = n;
    buf_add(text, &length, sizeof length);
}

static void hostile_json(void **state)
{
    static Parse *const parsers[] = { parse_tokenizer, parse_config, parse_stop_ids, parse_index };
    size_t refused = 0;
    (void)state;
    for (size_t v = 0; v < COUNT_OF(values); v++)
        for (size_t p = 0; p < COUNT_OF(places); p++) {
            Buf text = { 0 }, file = { 0 };
            buf_puts(&text, places[p].before);
            fill(&text, values[v].open, values[v].part, values[v].close);
            buf_puts(&text, places[p].after);
            put_length(&file, text.len);
            buf_add(&file, text.data, text.len);
            assert_false(text.failed || file.failed);
            char what[128];
            snprintf(what, sizeof what, "%s%s%s", places[p].before, values[v].open, values[v].part);
            for (size_t k = 0; k < COUNT_OF(parsers); k++)
                refused += is_cheap(parsers[k], what, &text);
            refused += is_cheap(parse_safetensors, what, &file);
            buf_free(&text);
            buf_free(&file);
        }
    assert_true(refused > COUNT_OF(values) * COUNT_OF(places));
}

/* So few parts that they are made, each as large as a pattern can be. */
static void large_patterns(void **state)
{
    Buf text = { 0 };
    (void)state;
    buf_puts(&text, "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < 60; i++)
        buf_printf(&text, "%s{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\\\\p{L}{1,9}){1,9}\"}}", i ? "," : "");
    buf_puts(&text, "]},\"model\":{}}");
    assert_true(is_cheap(parse_tokenizer, "patterns", &text));
    buf_free(&text);
}

/* One string that is nearly the whole file, in every place. */
static void huge_strings(void **state)
{
    static Parse *const parsers[] = { parse_tokenizer, parse_config, parse_stop_ids, parse_index };
    (void)state;
    for (size_t p = 0; p < COUNT_OF(places); p++)
        for (int key = 0; key < 2; key++) {
            Buf text = { 0 }, file = { 0 };
            buf_puts(&text, places[p].before);
            buf_puts(&text, key ? "{\"" : "\"");
            while (text.len < BIG)
                buf_puts(&text, "0123456789abcdef");
            buf_puts(&text, key ? "\":0}" : "\"");
            buf_puts(&text, places[p].after);
            put_length(&file, text.len);
            buf_add(&file, text.data, text.len);
            for (size_t k = 0; k < COUNT_OF(parsers); k++)
                is_cheap(parsers[k], places[p].before, &text);
            is_cheap(parse_safetensors, places[p].before, &file);
            buf_free(&text);
            buf_free(&file);
        }
}

/* ---- files that are good but for their end ----------------------------------------------------- */

static Buf read_whole(const char *path)
{
    Buf text = { 0 };
    Error err = { "" };
    if (!file_read(path, 1 << 28, &text, &err))
        fail_msg("%s", err.text);
    return text;
}

/* The last place where the text has `what`. */
static char *last_of(const Buf *text, const char *what)
{
    char *found = NULL, *next = text->data;
    while ((next = memmem(next, text->len - (size_t)(next - text->data), what, strlen(what))) != NULL)
        found = next++;
    assert_non_null(found);
    return found;
}

static void last_merge(void **state)
{
    Error err = { "" };
    Buf text = { 0 };
    (void)state;
    HfTokenizer *t = hf_tokenizer_open(SHARED_DIR "/data/tokenizers/gpt-2.gguf", &err);
    assert_non_null(t);
    assert_true(hf_tokenizer_print(t, &text, &err));
    hf_tokenizer_free(t);
    assert_true(parse_tokenizer(text.data, text.len, &err));
    memcpy(last_of(&text, "\"\n      ]") - 2, "~~", 2);
    assert_true(is_cheap(parse_tokenizer, "a merge", &text));
    buf_free(&text);
    text = read_whole(SHARED_DIR "/data/tokenizers/gpt-2.gguf");
    assert_true(parse_gguf(text.data, text.len, &err));
    text.len -= text.len > 32 ? 32 : 0;
    assert_true(is_cheap(parse_gguf, "a file cut off", &text));
    buf_free(&text);
}

static void last_entry(void **state)
{
    static const struct { Parse *parse; const char *open, *part, *close; } lists[] = {
        { parse_index, "{\"weight_map\":{", "\"layer.%1$zu\":\"a.safetensors\"", ",\"x\":7}}" },
        { parse_tokenizer, "{\"model\":{\"type\":\"Unigram\",\"vocab\":[", "[\"a%1$zu\",-1]", ",[\"a0\",-1]]}}" },
        { parse_tokenizer, "{\"model\":{\"vocab\":{", "\"a%1$zu\":%1$zu", ",\"b\":0}}}" },
        { parse_tokenizer, "{\"model\":{\"vocab\":{\"a\":0}},\"added_tokens\":[",
          "{\"id\":%1$zu,\"content\":\"<%1$zu>\"}", ",{}]}" },
        { parse_tokenizer, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[",
          "\"a b\"", ",\"b a\"]}}" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        Buf text = { 0 };
        fill(&text, lists[i].open, lists[i].part, lists[i].close);
        assert_true(is_cheap(lists[i].parse, lists[i].open, &text));
        buf_free(&text);
    }
    Buf header = { 0 }, file = { 0 };
    fill(&header, "{", "\"%1$zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
         ",\"0\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    put_length(&file, header.len);
    buf_add(&file, header.data, header.len);
    assert_true(is_cheap(parse_safetensors, "a name twice", &file));
    buf_free(&header);
    buf_free(&file);
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

static void put_u32(Buf *b, uint32_t x)
{
    buf_add(b, &x, sizeof x);
}

static void put_string(Buf *b, const char *s)
{
    put_length(b, strlen(s));
    buf_puts(b, s);
}

/* Values and tensors as small as they can be, then the end of the file where more was announced. */
static void gguf_counts(void **state)
{
    (void)state;
    for (int tensors = 0; tensors < 2; tensors++) {
        Buf file = { 0 };
        const size_t n = tensors ? 20000 : 60000;
        char name[16];
        buf_puts(&file, "GGUF");
        put_u32(&file, 3);
        put_length(&file, tensors ? n : 1);
        put_length(&file, tensors ? 0 : n);
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "%zx", i);
            put_string(&file, name);
            if (tensors) {
                put_u32(&file, 1);
                put_length(&file, 1);
                put_u32(&file, GGML_f32);
                put_length(&file, 32 * i);
            } else {
                put_u32(&file, GGUF_u8);
                buf_putc(&file, 0);
            }
        }
        for (int i = 0; i < 64; i++)
            buf_putc(&file, 0);
        assert_true(is_cheap(parse_gguf, tensors ? "tensors" : "values", &file));
        buf_free(&file);
    }
}

/* A tokenizer of control tokens, each of which would be an added token, without what its kind needs. */
static void gguf_tokens(void **state)
{
    static const char *const kinds[] = { "llama", "bert", "t5", "gpt2", "none" };
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        Buf file = { 0 };
        const size_t n = 40000;
        char name[16];
        buf_puts(&file, "GGUF");
        put_u32(&file, 3);
        put_length(&file, 0);
        put_length(&file, 4);
        put_string(&file, "tokenizer.ggml.model");
        put_u32(&file, GGUF_string);
        put_string(&file, kinds[k]);
        put_string(&file, "tokenizer.ggml.pre");
        put_u32(&file, GGUF_string);
        put_string(&file, "gpt-2");
        put_string(&file, "tokenizer.ggml.tokens");
        put_u32(&file, GGUF_array);
        put_u32(&file, GGUF_string);
        put_length(&file, n);
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "%zx", i);
            put_string(&file, name);
        }
        put_string(&file, "tokenizer.ggml.token_type");
        put_u32(&file, GGUF_array);
        put_u32(&file, GGUF_i32);
        put_length(&file, n);
        for (size_t i = 0; i < n; i++)
            put_u32(&file, 3);
        assert_true(is_cheap(parse_gguf, kinds[k], &file));
        buf_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_json), cmocka_unit_test(large_patterns), cmocka_unit_test(huge_strings), cmocka_unit_test(last_merge),
        cmocka_unit_test(last_entry), cmocka_unit_test(gguf_counts), cmocka_unit_test(gguf_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
