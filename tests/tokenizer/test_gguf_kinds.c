/* Tokenizers inside GGUF files that ../shared has no example of: a tokenizer.json of the references,
 * written as GGUF files hold it, gives the ids that it gives itself; and every named pattern is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "runtime/tokenizer/hf_tokenizer.h"
#include "runtime/tokenizer/regex.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER SOURCE_DIR "/tests/reference/tokenizers/"
#define SIGN "\xe2\x96\x81"

/* ---- files ------------------------------------------------------------------------------------ */

typedef struct Tokens {
    Buf text;                           /* one after the other */
    GgufString *token;
    int32_t *type;
    size_t n;
} Tokens;

/* As files of WordPiece have them: a sign before what begins a word, none before what goes on. */
static void mark_word(Buf *out, const char *s, size_t n)
{
    const bool bracketed = n > 1 && s[0] == '[' && s[n - 1] == ']';
    const bool goes_on = n > 2 && s[0] == '#' && s[1] == '#';
    if (!bracketed && !goes_on)
        buf_puts(out, SIGN);
    buf_add(out, goes_on ? s + 2 : s, goes_on ? n - 2 : n);
}

static Tokens tokens_of(const HfTokenizer *t, bool words)
{
    Tokens out = { .n = (size_t)hf_tokenizer_size(t) };
    out.token = calloc(out.n, sizeof *out.token);
    out.type = calloc(out.n, sizeof *out.type);
    size_t *begin = calloc(out.n, sizeof *begin);
    assert_true(out.token && out.type && begin);
    for (size_t id = 0; id < out.n; id++) {
        size_t n = 0;
        const char *s = hf_tokenizer_token(t, (int32_t)id, &n);
        assert_non_null(s);
        begin[id] = out.text.len;
        if (words)
            mark_word(&out.text, s, n);
        else
            buf_add(&out.text, s, n);
        out.token[id].n = out.text.len - begin[id];
        out.type[id] = hf_tokenizer_is_special(t, (int32_t)id) ? 3 : 1;
    }
    for (size_t id = 0; id < out.n; id++)
        out.token[id].text = out.text.data + begin[id];
    free(begin);
    return out;
}

static HfTokenizer *write_and_open(GgufWriter *w, Tokens *tokens)
{
    char path[] = "/tmp/tokenizer-XXXXXX";
    Error err = { "" };
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_add_strings(w, "tokenizer.ggml.tokens", tokens->token, tokens->n);
    gguf_add_array(w, "tokenizer.ggml.token_type", GGUF_i32, tokens->type, tokens->n);
    if (!gguf_write_begin(w, path, &err) || !gguf_write_end(w, &err))
        fail_msg("%s", err.text);
    HfTokenizer *t = hf_tokenizer_open(path, &err);
    if (!t)
        fail_msg("%s", err.text);
    unlink(path);
    buf_free(&tokens->text);
    free(tokens->token);
    free(tokens->type);
    return t;
}

/* ---- strings ---------------------------------------------------------------------------------- */

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Of the strings without `without`, where a file cannot tell its token from what it marks. */
static void same_ids(const HfTokenizer *a, const HfTokenizer *b, const char *without)
{
    Error err = { "" };
    Buf lines = { 0 }, s = { 0 };
    HfEncoder *e[2] = { hf_encoder_new(a, &err), hf_encoder_new(b, &err) };
    assert_true(e[0] && e[1] && file_read(FOLDER "strings.hex", 1 << 24, &lines, &err));
    int n = 0;
    for (const char *line = lines.data; *line; line++, n++) {
        TokenIds ids[2] = { { 0 }, { 0 } };
        buf_clear(&s);
        for (; *line != '\n'; line += 2)
            buf_putc(&s, (char)(16 * digit(line[0]) + digit(line[1])));
        if (without && s.len && memmem(s.data, s.len, without, strlen(without)))
            continue;
        for (int k = 0; k < 2; k++)
            if (!hf_encode(e[k], s.len ? s.data : "", s.len, HF_ADD_SPECIAL, &ids[k], &err))
                fail_msg("%s", err.text);
        if (ids[0].n != ids[1].n || memcmp(ids[0].id, ids[1].id, ids[0].n * sizeof *ids[0].id) != 0)
            fail_msg("other ids for \"%.*s\"", (int)s.len, s.data);
        free(ids[0].id);
        free(ids[1].id);
    }
    assert_int_equal(n, 1000);
    hf_encoder_free(e[0]);
    hf_encoder_free(e[1]);
    buf_free(&lines);
    buf_free(&s);
}

static HfTokenizer *open_reference(const char *name)
{
    char path[512];
    Error err = { "" };
    snprintf(path, sizeof path, FOLDER "%s.json", name);
    HfTokenizer *t = hf_tokenizer_open(path, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static void bert(void **state)
{
    (void)state;
    HfTokenizer *want = open_reference("bert");
    Tokens tokens = tokens_of(want, true);
    GgufWriter w = { .alignment = 32 };
    gguf_add_string(&w, "tokenizer.ggml.model", "bert");
    gguf_add_u32(&w, "tokenizer.ggml.unknown_token_id", (uint32_t)hf_tokenizer_id(want, "[UNK]", 5));
    gguf_add_u32(&w, "tokenizer.ggml.cls_token_id", (uint32_t)hf_tokenizer_id(want, "[CLS]", 5));
    gguf_add_u32(&w, "tokenizer.ggml.seperator_token_id", (uint32_t)hf_tokenizer_id(want, "[SEP]", 5));
    HfTokenizer *got = write_and_open(&w, &tokens);
    assert_int_equal(hf_tokenizer_size(got), hf_tokenizer_size(want));
    same_ids(want, got, SIGN);
    hf_tokenizer_free(want);
    hf_tokenizer_free(got);
}

/* The bytes that four digits of base64 stand for, and so on. */
static Buf bytes_of(const char *base64, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Buf out = { 0 };
    uint32_t bits = 0;
    for (size_t i = 0; i < n && base64[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, base64[i]) - digits);
        if (i % 4 > 0)
            buf_putc(&out, (char)(bits >> (6 - 2 * (i % 4)) & 0xff));
    }
    return out;
}

/* As T5's files hold it; scores are in the reference's JSON. */
static void t5(void **state)
{
    (void)state;
    Error err = { "" };
    Buf file = { 0 };
    assert_true(file_read(FOLDER "t5_charsmap.json", 1 << 20, &file, &err));
    json_t *json = json_loadb(file.data, file.len, 0, NULL);
    const json_t *vocab = json_object_get(json_object_get(json, "model"), "vocab");
    const json_t *map = json_object_get(json_object_get(json, "normalizer"), "precompiled_charsmap");
    HfTokenizer *want = open_reference("t5_charsmap");
    Tokens tokens = tokens_of(want, false);
    Buf charsmap = bytes_of(json_string_value(map), json_string_length(map));
    double *score = calloc(tokens.n, sizeof *score);
    assert_true(score && json_array_size(vocab) == tokens.n);
    for (size_t i = 0; i < tokens.n; i++)
        score[i] = json_number_value(json_array_get(json_array_get(vocab, i), 1));
    GgufWriter w = { .alignment = 32 };
    gguf_add_string(&w, "tokenizer.ggml.model", "t5");
    gguf_add_bool(&w, "tokenizer.ggml.add_space_prefix", true);
    gguf_add_bool(&w, "tokenizer.ggml.remove_extra_whitespaces", true);
    gguf_add_array(&w, "tokenizer.ggml.scores", GGUF_f64, score, tokens.n);
    gguf_add_array(&w, "tokenizer.ggml.precompiled_charsmap", GGUF_u8, charsmap.data, charsmap.len);
    HfTokenizer *got = write_and_open(&w, &tokens);
    same_ids(want, got, NULL);
    assert_int_equal(hf_tokenizer_role(got, HF_EOS), 1);
    free(score);
    buf_free(&charsmap);
    buf_free(&file);
    json_decref(json);
    hf_tokenizer_free(want);
    hf_tokenizer_free(got);
}

/* What a user types is text, also to a model that has the special token among its words. */
static void plain_text(void **state)
{
    (void)state;
    Error err = { "" };
    HfTokenizer *t = open_reference("t5_charsmap");
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_non_null(e);
    for (int plain = 0; plain < 2; plain++) {
        TokenIds ids = { 0 };
        bool ended = false;
        assert_true(hf_encode(e, "a </s> b</s>", 12, plain ? HF_PLAIN : 0, &ids, &err));
        for (size_t i = 0; i < ids.n; i++)
            ended = ended || ids.id[i] == 1;
        assert_int_equal(ended, !plain);
        free(ids.id);
    }
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

/* ---- the table of patterns -------------------------------------------------------------------- */

enum { MOST_PATTERNS = 8, MOST_NAMES = 32 };

static const struct {
    const char *pattern[MOST_PATTERNS], *name[MOST_NAMES];
} rows[] = {
#define P(...) { __VA_ARGS__ }
#define PRE(patterns, ignore_merges, add_bos, ...) { patterns, { __VA_ARGS__ } },
#include "runtime/tokenizer/pretokenizers.def"
#undef PRE
#undef P
};

static void patterns(void **state)
{
    (void)state;
    size_t n = 0;
    const char *all[COUNT_OF(rows) * MOST_NAMES];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_non_null(rows[i].pattern[0]);
        for (int k = 0; k < MOST_PATTERNS && rows[i].pattern[k]; k++) {
            Error err = { "" };
            Regex *r = regex_compile(rows[i].pattern[k], strlen(rows[i].pattern[k]), &err);
            if (!r)
                fail_msg("%s: %s", rows[i].name[0], err.text);
            regex_free(r);
        }
        for (int k = 0; k < MOST_NAMES && rows[i].name[k]; k++)
            all[n++] = rows[i].name[k];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(all[i], all[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert), cmocka_unit_test(t5), cmocka_unit_test(plain_text),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
