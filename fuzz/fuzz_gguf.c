/* Any bytes as a GGUF file: refused, or every value and tensor of it can be read; and its tokenizer,
 * where it has one, encodes.
 *
 *     build/fuzz/fuzz_gguf -max_len=65536 CORPUS tests/reference/tokenizers */
#include "base/check.h"
#include "runtime/gguf.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t touch_values(const Gguf *g)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->n_values; i++) {
        const GgufValue *v = &g->values[i];
        GgufWalk walk = gguf_walk(v);
        GgufString s;
        while (gguf_walk_next(&walk, &s))
            sum += s.n ? (uint8_t)s.text[s.n - 1] : 0;
        for (uint64_t k = 0; v->type != GGUF_string && k < v->n; k++) {
            int64_t whole = 0;
            double real = 0;
            if (gguf_array_i64(v, k, &whole) || gguf_array_f64(v, k, &real))
                sum += (uint64_t)whole + (real > 0);
        }
    }
    return sum;
}

static uint64_t touch_tensors(const Gguf *g)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        for (size_t k = 0; k < g->tensors[i].bytes; k++)
            sum += g->tensors[i].data[k];
    return sum;
}

static void try_tokenizer(const Gguf *g)
{
    static const char text[] = "Hello w\xc3\xb6rld \xf0\x9f\xa6\x99 12345 \xff don't  \n\n x";
    Error err;
    TokenIds ids = { 0 };
    Buf out = { 0 };
    HfTokenizer *t = hf_tokenizer_of_gguf(g, &err);
    HfEncoder *e = t ? hf_encoder_new(t, &err) : NULL;
    if (e && hf_encode(e, text, sizeof text - 1, HF_ADD_SPECIAL, &ids, &err))
        CHECK(hf_decode(t, ids.id, ids.n, false, &out, &err), "%s", err.text);
    buf_free(&out);
    free(ids.id);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Gguf g;
    Error err = { "" };
    if (!gguf_read(data, n, &g, &err)) {
        CHECK(err.text[0] != 0, "refused without a word");
        return 0;
    }
    const uint64_t sum = touch_values(&g) + touch_tensors(&g);
    __asm__ volatile("" : : "r"(sum));          /* so that the bytes are really read */
    try_tokenizer(&g);
    gguf_close(&g);
    return 0;
}
