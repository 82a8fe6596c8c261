/* Any bytes as a tokenizer.json and a text for it: what stands before a line "----" is the file, what
 * follows is the text.  What reads must print, and what is printed must read and give the same ids.
 *
 *     build/fuzz/fuzz_tokenizer -max_len=32768 CORPUS tests/reference/tokenizers */
#include "base/check.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool encode(const HfTokenizer *t, const char *text, size_t n, TokenIds *ids)
{
    Error err;
    HfEncoder *e = hf_encoder_new(t, &err);
    const bool ok = e && hf_encode(e, text, n, HF_ADD_SPECIAL, ids, &err);
    CHECK(ok || ids->n == 0, "ids after a failure");
    hf_encoder_free(e);
    return ok;
}

static void print_and_read(const HfTokenizer *t, const char *text, size_t n, const TokenIds *want)
{
    Error err;
    Buf json = { 0 };
    TokenIds ids = { 0 };
    CHECK(hf_tokenizer_print(t, &json, &err), "%s", err.text);
    HfTokenizer *back = hf_tokenizer_parse(json.data, json.len, &err);
    CHECK(back, "what was printed does not read: %s", err.text);
    CHECK(encode(back, text, n, &ids) && ids.n == want->n &&
          (ids.n == 0 || memcmp(ids.id, want->id, ids.n * sizeof *ids.id) == 0),
          "what was printed gives other ids");
    free(ids.id);
    hf_tokenizer_free(back);
    buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char bar[] = "\n----\n", usual[] = "Hello w\xc3\xb6rld 12345 \xff don't  \n\n x";
    const uint8_t *end = n ? memmem(data, n, bar, sizeof bar - 1) : NULL;
    const char *text = end ? (const char *)end + sizeof bar - 1 : usual;
    const size_t json_n = end ? (size_t)(end - data) : n;
    const size_t text_n = end ? n - json_n - (sizeof bar - 1) : sizeof usual - 1;
    Error err = { "" };
    TokenIds ids = { 0 };
    Buf out = { 0 };
    HfTokenizer *t = hf_tokenizer_parse(n ? (const char *)data : "", json_n, &err);
    CHECK(t || err.text[0] != 0, "refused without a word");
    if (t && encode(t, text, text_n, &ids)) {
        CHECK(hf_decode(t, ids.id, ids.n, true, &out, &err) || err.text[0] != 0, "no decoding");
        print_and_read(t, text, text_n, &ids);
    }
    buf_free(&out);
    free(ids.id);
    hf_tokenizer_free(t);
    return 0;
}
