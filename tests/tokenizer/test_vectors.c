/* The two vocabularies of ../shared/data/tokenizers against the ids that llama.cpp gives: 46 strings
 * each, and the counts of a whole file; and from there to a tokenizer.json and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define DATA SHARED_DIR "/data/tokenizers/"

static Buf read_whole(const char *path)
{
    Buf text = { 0 };
    Error err = { "" };
    if (!file_read(path, 1 << 24, &text, &err))
        fail_msg("%s", err.text);
    return text;
}

static HfTokenizer *open_tokenizer(const char *path)
{
    Error err = { "" };
    HfTokenizer *t = hf_tokenizer_open(path, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static TokenIds encode(HfEncoder *e, const char *text, size_t n, int flags)
{
    TokenIds ids = { 0 };
    Error err = { "" };
    if (!hf_encode(e, text, n, flags, &ids, &err))
        fail_msg("%s", err.text);
    return ids;
}

static void check_text(const HfTokenizer *t, const TokenIds *ids, const char *text, size_t n)
{
    Buf out = { 0 };
    Error err = { "" };
    assert_true(hf_decode(t, ids->id, ids->n, false, &out, &err));
    assert_int_equal(out.len, n);
    if (n)
        assert_memory_equal(out.data, text, n);
    buf_free(&out);
}

/* Compares with the ids of one line of the .out file; returns the line behind it. */
static const char *check_line(const HfTokenizer *t, HfEncoder *e, const char *text, size_t n,
                              const char *line)
{
    TokenIds ids = encode(e, text, n, HF_PLAIN);
    size_t i = 0;
    while (*line && *line != '\n') {
        char *end;
        const long want = strtol(line, &end, 10);
        if (end == line) {              /* a space before the end of the line */
            line++;
            continue;
        }
        if (i >= ids.n || ids.id[i] != want)
            fail_msg("\"%.*s\": id %zu is not %ld", (int)n, text, i, want);
        i++;
        line = end;
    }
    assert_int_equal(i, ids.n);
    check_text(t, &ids, text, n);
    free(ids.id);
    return *line ? line + 1 : line;
}

static void check_vectors(const HfTokenizer *t, const char *inputs, const char *outputs)
{
    static const char bar[] = "\n__ggml_vocab_test__\n";
    Error err = { "" };
    Buf in = read_whole(inputs), out = read_whole(outputs);
    HfEncoder *e = hf_encoder_new(t, &err);
    const char *text = in.data, *line = out.data, *end;
    int n = 0;
    assert_non_null(e);
    for (; (end = strstr(text, bar)) != NULL; text = end + strlen(bar), n++)
        line = check_line(t, e, text, (size_t)(end - text), line);
    assert_int_equal(n, 46);
    assert_int_equal(*line, 0);
    hf_encoder_free(e);
    buf_free(&in);
    buf_free(&out);
}

static void check_count(const HfTokenizer *t, size_t want)
{
    Error err = { "" };
    Buf text = read_whole(SHARED_DIR "/data/tinyshakespeare.txt");
    HfEncoder *e = hf_encoder_new(t, &err);
    TokenIds ids = encode(e, text.data, text.len, HF_PLAIN);
    assert_int_equal(ids.n, want);
    check_text(t, &ids, text.data, text.len);
    free(ids.id);
    hf_encoder_free(e);
    buf_free(&text);
}

/* The tokenizer as tokenizer.json, read back. */
static HfTokenizer *through_json(const HfTokenizer *t)
{
    Buf text = { 0 };
    Error err = { "" };
    assert_true(hf_tokenizer_print(t, &text, &err));
    HfTokenizer *back = hf_tokenizer_parse(text.data, text.len, &err);
    if (!back)
        fail_msg("%s", err.text);
    assert_int_equal(hf_tokenizer_size(back), hf_tokenizer_size(t));
    buf_free(&text);
    return back;
}

static void gpt2(void **state)
{
    (void)state;
    HfTokenizer *t = open_tokenizer(DATA "gpt-2.gguf"), *back = through_json(t);
    check_vectors(t, DATA "gpt-2.gguf.inp", DATA "gpt-2.gguf.out");
    check_vectors(back, DATA "gpt-2.gguf.inp", DATA "gpt-2.gguf.out");
    check_count(t, 338025);
    assert_int_equal(hf_tokenizer_size(t), 50257);
    assert_int_equal(hf_tokenizer_role(t, HF_EOS), 50256);
    assert_int_equal(hf_tokenizer_id(t, "\xc4\xa0the", 5), 262);
    hf_tokenizer_free(t);
    hf_tokenizer_free(back);
}

static void llama(void **state)
{
    (void)state;
    HfTokenizer *t = open_tokenizer(DATA "llama-spm.gguf"), *back = through_json(t);
    check_vectors(t, DATA "llama-spm.gguf.inp", DATA "llama-spm.gguf.out");
    check_vectors(back, DATA "llama-spm.gguf.inp", DATA "llama-spm.gguf.out");
    check_count(t, 368633);
    assert_int_equal(hf_tokenizer_size(t), 32000);
    assert_int_equal(hf_tokenizer_role(t, HF_BOS), 1);
    assert_int_equal(hf_tokenizer_role(t, HF_UNK), 0);
    hf_tokenizer_free(t);
    hf_tokenizer_free(back);
}

/* Control tokens are found in text unless it is plain, and BOS comes first when asked for. */
static void special(void **state)
{
    (void)state;
    Error err = { "" };
    HfTokenizer *t = open_tokenizer(DATA "llama-spm.gguf");
    HfEncoder *e = hf_encoder_new(t, &err);
    static const char text[] = "a</s>b";
    TokenIds plain = encode(e, text, 6, HF_PLAIN), marked = encode(e, text, 6, HF_ADD_SPECIAL);
    static const int32_t want[] = { 1, 263, 2, 289 };
    assert_int_equal(marked.n, 4);
    assert_memory_equal(marked.id, want, sizeof want);
    assert_true(hf_tokenizer_is_special(t, 2));
    for (size_t i = 0; i < plain.n; i++)
        assert_int_not_equal(plain.id[i], 2);
    check_text(t, &plain, text, 6);
    free(plain.id);
    free(marked.id);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llama),
        cmocka_unit_test(special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
