/* Small tokenizers of each kind against Hugging Face's `tokenizers`: 1,000 strings each, whose ids and
 * decoded texts tests/reference/make_tokenizers.py recorded as hashes.  Each is also read back from
 * what we write, and decoded id by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER SOURCE_DIR "/tests/reference/tokenizers/"

enum { N_STRINGS = 1000 };

static uint32_t fnv(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x01000193u;
    return h;
}

static Buf read_whole(const char *path)
{
    Buf text = { 0 };
    Error err = { "" };
    if (!file_read(path, 1 << 24, &text, &err))
        fail_msg("%s", err.text);
    return text;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* One line of hexadecimal digits; returns the line behind it. */
static const char *read_hex(const char *line, Buf *out)
{
    buf_clear(out);
    for (; *line != '\n'; line += 2)
        buf_putc(out, (char)(16 * digit(line[0]) + digit(line[1])));
    return line + 1;
}

typedef struct Want {
    size_t n;
    uint32_t ids, text;
} Want;

static void complain(const char *kind, const Buf *s, const TokenIds *ids, const Buf *text, Want want)
{
    fprintf(stderr, "%s: \"%.*s\": %zu ids (expected %zu):", kind, (int)s->len, s->data, ids->n, want.n);
    for (size_t i = 0; i < ids->n; i++)
        fprintf(stderr, " %" PRId32, ids->id[i]);
    fprintf(stderr, "\n  as text \"%.*s\"\n", (int)text->len, text->len ? text->data : "");
}

static bool check_string(const char *kind, const HfTokenizer *t, HfEncoder *e, const Buf *s, Want want)
{
    Error err = { "" };
    TokenIds ids = { 0 };
    Buf text = { 0 };
    if (!hf_encode(e, s->len ? s->data : "", s->len, HF_ADD_SPECIAL, &ids, &err) ||
        !hf_decode(t, ids.id, ids.n, false, &text, &err))
        fail_msg("%s: %s", kind, err.text);
    const bool ok = ids.n == want.n && fnv(ids.id, ids.n * sizeof *ids.id) == want.ids &&
                    fnv(text.data, text.len) == want.text;
    if (!ok)
        complain(kind, s, &ids, &text, want);
    buf_free(&text);
    free(ids.id);
    return ok;
}

static void check_all(const char *kind, const HfTokenizer *t)
{
    char path[512];
    Error err = { "" };
    Buf s = { 0 };
    int wrong = 0;
    snprintf(path, sizeof path, FOLDER "%s.txt", kind);
    Buf strings = read_whole(FOLDER "strings.hex"), wanted = read_whole(path);
    const char *in = strings.data, *out = wanted.data;
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_non_null(e);
    for (int i = 0; i < N_STRINGS; i++) {
        Want want;
        in = read_hex(in, &s);
        assert_int_equal(sscanf(out, "%zu %" SCNx32 " %" SCNx32, &want.n, &want.ids, &want.text), 3);
        out = strchr(out, '\n') + 1;
        wrong += !check_string(kind, t, e, &s, want);
    }
    assert_int_equal(*in, 0);
    if (wrong)
        fail_msg("%s: %d strings differ", kind, wrong);
    hf_encoder_free(e);
    buf_free(&s);
    buf_free(&strings);
    buf_free(&wanted);
}

static void check_kind(void **state)
{
    const char *kind = *state;
    char path[512];
    Error err = { "" };
    Buf text = { 0 };
    snprintf(path, sizeof path, FOLDER "%s.json", kind);
    HfTokenizer *t = hf_tokenizer_open(path, &err), *back;
    if (!t)
        fail_msg("%s", err.text);
    check_all(kind, t);
    assert_true(hf_tokenizer_print(t, &text, &err));
    back = hf_tokenizer_parse(text.data, text.len, &err);
    if (!back)
        fail_msg("%s", err.text);
    check_all(kind, back);
    buf_free(&text);
    hf_tokenizer_free(t);
    hf_tokenizer_free(back);
}

int main(void)
{
#define KIND(name) { #name, check_kind, NULL, NULL, #name }
    const struct CMUnitTest tests[] = {
        KIND(gpt2), KIND(llama3), KIND(llama3_unmerged), KIND(o200k), KIND(llama2), KIND(mistral),
        KIND(t5), KIND(unigram_bytes), KIND(bert), KIND(bert_cased), KIND(words), KIND(added),
        KIND(clip), KIND(prefixed), KIND(splits), KIND(t5_charsmap), KIND(speech),
        KIND(roberta), KIND(scripts), KIND(dropped), KIND(bytes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
