/* Time is linear in the text, shown without a clock: eight times the run takes eight times the steps of
 * the model and eight times the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <malloc.h>
#include <stdlib.h>

#define FOLDER SOURCE_DIR "/tests/reference/tokenizers/"
#define DATA SHARED_DIR "/data/tokenizers/"

enum { SMALL = 1 << 14, LARGE = 8 * SMALL };

static const char *const kinds[] = {
    FOLDER "gpt2.json", FOLDER "llama3.json", FOLDER "llama2.json", FOLDER "mistral.json",
    FOLDER "t5.json", FOLDER "unigram_bytes.json", FOLDER "bert.json", FOLDER "words.json",
    FOLDER "clip.json", FOLDER "splits.json", FOLDER "scripts.json", FOLDER "dropped.json",
    FOLDER "bytes_first.json", DATA "gpt-2.gguf", DATA "llama-spm.gguf",
};

static const char *const units[] = {
    " ", "a", "\n", "1", ".", "us", "\xf0\x9f\xa6\x99", "\xcc\x81", "\xe4\xb8\xad", "a\xcc\x81", " \n",
};

/* ---- the allocator that counts ------------------------------------------------------------------ */

static size_t taken;                    /* bytes, what a block grew by included */

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    taken += n;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    taken += n * size;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    const size_t old = p ? malloc_usable_size(p) : 0;
    taken += n > old ? n - old : 0;
    return __libc_realloc(p, n);
}

/* ---- runs --------------------------------------------------------------------------------------- */

typedef struct Cost {
    uint64_t steps;
    size_t bytes;
} Cost;

static Cost cost_of(const HfTokenizer *t, const char *unit, size_t n)
{
    Error err = { "" };
    Buf text = { 0 };
    TokenIds ids = { 0 };
    Cost c;
    while (text.len < n)
        buf_puts(&text, unit);
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_non_null(e);
    const size_t before = taken;
    if (!hf_encode(e, text.data, text.len, 0, &ids, &err))
        fail_msg("%s", err.text);
    c.bytes = taken - before;
    c.steps = hf_encoder_steps(e);
    hf_encoder_forget(e);
    ids.n = 0;
    assert_true(hf_encode(e, text.data, text.len, 0, &ids, &err));
    assert_int_equal(hf_encoder_steps(e), 2 * c.steps);
    hf_encoder_free(e);
    free(ids.id);
    buf_free(&text);
    return c;
}

static void check_kind(void **state)
{
    const char *path = *state;
    Error err = { "" };
    HfTokenizer *t = hf_tokenizer_open(path, &err);
    if (!t)
        fail_msg("%s", err.text);
    for (size_t u = 0; u < COUNT_OF(units); u++) {
        const Cost small = cost_of(t, units[u], SMALL), large = cost_of(t, units[u], LARGE);
        /* A few bytes and steps are there for a text of any length. */
        if (large.steps > 8 * small.steps + 512 || large.bytes > 8 * small.bytes + 4096)
            fail_msg("a run of \"%s\": %zu and %zu steps, %zu and %zu bytes", units[u],
                     (size_t)small.steps, (size_t)large.steps, small.bytes, large.bytes);
    }
    hf_tokenizer_free(t);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(kinds)];
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        tests[i] = (struct CMUnitTest){ kinds[i], check_kind, NULL, NULL, (void *)(uintptr_t)kinds[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
