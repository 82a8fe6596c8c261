/* Training: the learner against its definition on random words; and on tinyshakespeare the merges of
 * Hugging Face's BpeTrainer, which tests/reference/make_bpe.py recorded as hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "runtime/tokenizer/bpe_train.h"
#include "runtime/tokenizer/merge_learner.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the definition --------------------------------------------------------------------------- */

enum { N_WORDS = 40, MAX_LENGTH = 14, N_LETTERS = 4, MAX_IDS = 64 };

typedef struct Words {
    int32_t symbol[N_WORDS][MAX_LENGTH];
    size_t n[N_WORDS];
    int64_t count[N_WORDS];
} Words;

static Words random_words(uint64_t seed)
{
    Words w = { 0 };
    uint64_t at = 0;
    for (int i = 0; i < N_WORDS; i++) {
        w.n[i] = 1 + random_u32(1, seed, at++) % MAX_LENGTH;
        w.count[i] = 1 + random_u32(2, seed, at++) % 5;
        for (size_t k = 0; k < w.n[i]; k++)
            w.symbol[i][k] = (int32_t)(random_u32(3, seed, at++) % N_LETTERS);
    }
    return w;
}

/* Counts every pair anew. */
static int64_t best_pair(const Words *w, int32_t *left, int32_t *right)
{
    static int64_t count[MAX_IDS][MAX_IDS];
    int64_t best = 0;
    memset(count, 0, sizeof count);
    for (int i = 0; i < N_WORDS; i++)
        for (size_t k = 0; k + 1 < w->n[i]; k++)
            count[w->symbol[i][k]][w->symbol[i][k + 1]] += w->count[i];
    for (int32_t a = 0; a < MAX_IDS; a++)
        for (int32_t b = 0; b < MAX_IDS; b++)
            if (count[a][b] > best) {
                best = count[a][b];
                *left = a;
                *right = b;
            }
    return best;
}

static void join_all(Words *w, int32_t left, int32_t right, int32_t symbol)
{
    for (int i = 0; i < N_WORDS; i++) {
        int32_t *s = w->symbol[i];
        size_t out = 0;
        for (size_t in = 0; in < w->n[i]; out++) {
            const bool pair = in + 1 < w->n[i] && s[in] == left && s[in + 1] == right;
            s[out] = pair ? symbol : s[in];
            in += pair ? 2 : 1;
        }
        w->n[i] = out;
    }
}

static void definition(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        Error err = { "" };
        Words w = random_words(seed);
        MergeLearner *l = merge_learner_new(&err);
        assert_non_null(l);
        for (int i = 0; i < N_WORDS; i++)
            assert_true(merge_learner_add(l, w.symbol[i], w.n[i], w.count[i], &err));
        for (int32_t id = N_LETTERS; id < MAX_IDS; id++) {
            int32_t left = -1, right = -1, want_left = -1, want_right = -1;
            int64_t count;
            assert_true(merge_learner_best(l, &left, &right, &count, &err));
            assert_int_equal(count, best_pair(&w, &want_left, &want_right));
            if (count == 0)
                break;
            assert_int_equal(left, want_left);
            assert_int_equal(right, want_right);
            assert_true(merge_learner_join(l, id, &err));
            join_all(&w, left, right, id);
        }
        merge_learner_free(l);
    }
}

/* ---- tinyshakespeare -------------------------------------------------------------------------- */

static uint32_t fnv(uint32_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x01000193u;
    return h;
}

/* The lines of the reference, each with the hash of so many of the merges. */
static void compare_merges(const json_t *merges)
{
    FILE *want = fopen(SOURCE_DIR "/tests/reference/bpe_merges.txt", "r");
    assert_non_null(want);
    size_t n, done = 0;
    uint32_t hash = 0x811c9dc5u, expected;
    while (fscanf(want, "%zu %" SCNx32, &n, &expected) == 2) {
        assert_true(n <= json_array_size(merges));
        for (; done < n; done++) {
            const json_t *m = json_array_get(merges, done);
            hash = fnv(hash, json_string_value(json_array_get(m, 0)));
            hash = fnv(hash, " ");
            hash = fnv(hash, json_string_value(json_array_get(m, 1)));
            hash = fnv(hash, "\n");
        }
        if (hash != expected)
            fail_msg("the first %zu merges differ", n);
    }
    assert_int_equal(done, json_array_size(merges));
    fclose(want);
}

static void same_merges(void **state)
{
    (void)state;
    static const char *const path[] = { SHARED_DIR "/data/tinyshakespeare.txt" };
    static const char *const special[] = { "<|endoftext|>" };
    const BpeTrainOptions o = { .vocab = 20000, .special = special, .n_special = 1 };
    Error err = { "" };
    Buf text = { 0 };
    HfTokenizer *t = bpe_train(path, 1, &o, &err);
    if (!t || !hf_tokenizer_print(t, &text, &err))
        fail_msg("%s", err.text);
    assert_int_equal(hf_tokenizer_size(t), 20000);
    assert_int_equal(hf_tokenizer_id(t, special[0], strlen(special[0])), 0);
    assert_int_equal(hf_tokenizer_id(t, "!", 1), 1);
    json_t *file = json_loadb(text.data, text.len, 0, NULL);
    compare_merges(json_object_get(json_object_get(file, "model"), "merges"));
    json_decref(file);
    buf_free(&text);
    hf_tokenizer_free(t);
}

/* ---- what is refused, and what stops ---------------------------------------------------------- */

static bool stop(void *context, const char *what, size_t done, size_t total)
{
    (void)what;
    assert_true(done <= total);
    return --*(int *)context > 0;
}

static void refusals(void **state)
{
    (void)state;
    static const char *const path[] = { SHARED_DIR "/data/tinyshakespeare.txt" };
    static const char *const special[] = { "<a>", "<a>" };
    Error err = { "" };
    int left = 3;
    BpeTrainOptions o = { .vocab = 257, .special = special, .n_special = 2 };
    assert_null(bpe_train(path, 1, &o, &err));
    assert_non_null(strstr(err.text, "need more"));
    o.vocab = 300;
    assert_null(bpe_train(path, 1, &o, &err));
    assert_non_null(strstr(err.text, "special tokens: the token \"<a>\" has two ids"));
    o = (BpeTrainOptions){ .vocab = 2000, .progress = stop, .context = &left };
    assert_null(bpe_train(path, 1, &o, &err));
    assert_non_null(strstr(err.text, "stopped"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition),
        cmocka_unit_test(same_merges),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
