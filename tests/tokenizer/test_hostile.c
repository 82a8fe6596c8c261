/* Files that no tool would write, texts that no one would type: a typed error or a result, never more.
 *
 * Long runs are encoded on a small stack, which shows that its depth does not follow the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER SOURCE_DIR "/tests/reference/tokenizers/"
#define DATA SHARED_DIR "/data/tokenizers/"

static const char *const kinds[] = {
    FOLDER "gpt2.json", FOLDER "llama3.json", FOLDER "o200k.json", FOLDER "llama2.json",
    FOLDER "mistral.json", FOLDER "t5.json", FOLDER "unigram_bytes.json", FOLDER "bert.json",
    FOLDER "words.json", FOLDER "added.json", FOLDER "clip.json", FOLDER "prefixed.json",
    FOLDER "splits.json", DATA "gpt-2.gguf", DATA "llama-spm.gguf",
};

static HfTokenizer *open_tokenizer(const char *path)
{
    Error err = { "" };
    HfTokenizer *t = hf_tokenizer_open(path, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

/* ---- broken files ----------------------------------------------------------------------------- */

static void refuse(const char *json, const char *why)
{
    Error err = { "" };
    HfTokenizer *t = hf_tokenizer_parse(json, strlen(json), &err);
    if (t)
        fail_msg("accepted %s", json);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

#define MODEL "\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0}, \"unk_token\": \"a\"}"
#define WITH(part) "{" part ", " MODEL "}"
#define BPE(more) "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, " more "}}"

static void bad_files(void **state)
{
    (void)state;
    refuse("", "not valid JSON");
    refuse("{\"a\": [1, 2}", "byte 11");
    refuse("{\"a\": 1, \"a\": 2}", "not valid JSON");
    refuse("{}", "\"model\": it is missing");
    refuse("{\"model\": {\"type\": \"Magic\"}}", "the model \"Magic\" is not supported");
    refuse("{\"model\": {\"type\": \"BPE\"}}", "\"vocab\" is missing");
    refuse(BPE("\"merges\": 3"), "\"merges\" is missing or no array");
    refuse(BPE("\"merges\": [\"a\"]"), "number 0: it is not two tokens");
    refuse(BPE("\"merges\": [\"a b c\"]"), "number 0: it is not two tokens");
    refuse(BPE("\"merges\": [[\"a\", \"b\"], [\"b\", \"a\"]]"), "number 1: \"ba\" is not in the vocabulary");
    refuse(BPE("\"merges\": [], \"dropout\": 0.1"), "dropout");
    refuse(BPE("\"merges\": [], \"fuse_unk\": 1"), "\"fuse_unk\" is not true or false");
    refuse("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": -1}}}", "has the id -1");
    refuse("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 2000000000}}}", "has the id 2000000000");
    refuse("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0, \"b\": 0}}}", "two tokens have the id 0");
    refuse("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": \"0\"}}}", "no whole number");
    refuse("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], \"unk_id\": 1}}", "\"unk_id\" is 1 of 1");
    refuse("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}}", "number 0 is no token");
    refuse("{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", "empty");
    refuse(WITH("\"normalizer\": {\"type\": \"Magic\"}"), "the normalizer \"Magic\" is not supported");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\"}"), "\"precompiled_charsmap\" is missing");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AA*A\"}"), "byte 2 is no digit");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAAA\"}"), "ends within a byte");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAA=\"}"), "it has 2 bytes");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"BAAAAAAA\"}"), "4 bytes of 2");
    refuse(WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"BAAAAAAAAAD/\"}"), "not UTF-8");
    refuse(WITH("\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{}]}"), "\"type\" is missing");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Magic\"}"), "the pre-tokenizer \"Magic\"");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}}"), "the pattern is wrong");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a&&b]\"}}"), "intersection");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\\\\p{L}{1,200}){1,200}\"}}"),
           "repeated too often");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"X\"}"),
           "the behavior \"X\"");
    refuse(WITH("\"decoder\": {\"type\": \"Magic\"}"), "the decoder \"Magic\"");
    refuse(WITH("\"decoder\": {\"type\": \"CTC\", \"word_delimiter_token\": \"\"}"), "is empty");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"Runes\"}"), "the pre-tokenizer \"Runes\"");
    refuse(WITH("\"pre_tokenizer\": {\"type\": \"FixedLength\", \"length\": 0}"), "\"length\" is 0");
    refuse(WITH("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": []}"), "no sequence");
    refuse(WITH("\"added_tokens\": [{\"content\": \"x\"}]"), "\"id\" is missing");
    refuse(WITH("\"added_tokens\": [{\"id\": 99999999, \"content\": \"x\"}]"), "too large");
}

static void too_deep(void **state)
{
    (void)state;
    Buf text = { 0 };
    buf_puts(&text, "{\"normalizer\": ");
    for (int i = 0; i < 100000; i++)
        buf_puts(&text, "[");
    refuse(text.data, "nested deeper than 64");
    buf_free(&text);
}

/* A file with bytes changed, cut out or doubled; what still reads must still encode and decode. */
static void try_broken(const uint8_t *data, size_t n, const char *text, size_t text_n)
{
    Error err = { "" };
    Gguf g = { 0 };
    Buf out = { 0 };
    TokenIds ids = { 0 };
    HfTokenizer *t = NULL;
    if (n < 4 || memcmp(data, "GGUF", 4) != 0)
        t = hf_tokenizer_parse((const char *)data, n, &err);
    else if (gguf_read(data, n, &g, &err))
        t = hf_tokenizer_of_gguf(&g, &err);
    gguf_close(&g);
    if (!t) {
        assert_true(err.text[0] != 0);
        return;
    }
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_non_null(e);
    if (hf_encode(e, text, text_n, HF_ADD_SPECIAL, &ids, &err))
        hf_decode(t, ids.id, ids.n, false, &out, &err);
    buf_free(&out);
    free(ids.id);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

static void break_file(const char *path, uint64_t stream, int rounds)
{
    static const char text[] = "Hello w\xc3\xb6rld \xf0\x9f\xa6\x99 12345 <s> \xff don't  \n\n x";
    Error err = { "" };
    Buf file = { 0 };
    assert_true(file_read(path, 1 << 24, &file, &err));
    uint8_t *copy = malloc(file.len);
    assert_non_null(copy);
    for (int round = 0; round < rounds; round++) {
        const uint64_t at = (uint64_t)round * 4;
        memcpy(copy, file.data, file.len);
        size_t n = file.len;
        for (uint32_t k = 0; k <= random_u32(5, stream, at) % 3; k++) {
            const uint32_t r = random_u32(6, stream, at + k);
            /* The structure is at the file's front as often as anywhere. */
            const size_t span = r & 1 ? n : n < 600 ? n : 600;
            copy[random_u32(7, stream, at + k) % span] = (uint8_t)(r >> 8);
        }
        if (round % 7 == 0)
            n = random_u32(8, stream, at) % n;
        try_broken(copy, n, text, sizeof text - 1);
    }
    free(copy);
    buf_free(&file);
}

static void changed_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        break_file(kinds[i], i, strstr(kinds[i], ".json") ? 300 : 6);
}

/* ---- long runs -------------------------------------------------------------------------------- */

typedef struct Run {
    const HfTokenizer *t;
    const char *unit;
    size_t n;
    bool ok;
    Error err;
} Run;

static void *encode_run(void *arg)
{
    Run *run = arg;
    Buf text = { 0 }, out = { 0 };
    TokenIds ids = { 0 };
    HfEncoder *e = hf_encoder_new(run->t, &run->err);
    while (text.len < run->n)
        buf_puts(&text, run->unit);
    run->ok = e && hf_encode(e, text.data, text.len, HF_ADD_SPECIAL, &ids, &run->err) &&
              hf_decode(run->t, ids.id, ids.n, false, &out, &run->err);
    buf_free(&text);
    buf_free(&out);
    free(ids.id);
    hf_encoder_free(e);
    return NULL;
}

static void long_runs(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a", " ", "Z", "\n", "\xcc\x81", "\xe4\xb8\xad", "\xf0\x9f\xa6\x99", "1", ".", "us", "\xff", " \n",
        "a\xcc\x81\xcc\xa3",
    };
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    /* Sanitizers need more of it themselves. */
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        HfTokenizer *t = open_tokenizer(kinds[k]);
        for (size_t u = 0; u < COUNT_OF(units); u++) {
            Run run = { .t = t, .unit = units[u], .n = 1 << 18 };
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, &attr, encode_run, &run), 0);
            pthread_join(thread, NULL);
            if (!run.ok)
                fail_msg("%s: run of \"%s\": %s", kinds[k], units[u], run.err.text);
        }
        hf_tokenizer_free(t);
    }
    pthread_attr_destroy(&attr);
}

/* A pattern that backtracks without end is stopped and told. */
static void endless_pattern(void **state)
{
    (void)state;
    static const char json[] =
        "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a|a)*(a|a)*(a|a)*[bc]\"}}, " MODEL "}";
    Error err = { "" };
    TokenIds ids = { 0 };
    char text[4096];
    memset(text, 'a', sizeof text);
    HfTokenizer *t = hf_tokenizer_parse(json, sizeof json - 1, &err);
    assert_non_null(t);
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_false(hf_encode(e, text, sizeof text, 0, &ids, &err));
    assert_non_null(strstr(err.text, "the tokenizer's pattern gives up"));
    assert_int_equal(ids.n, 0);
    free(ids.id);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

/* ---- streams ---------------------------------------------------------------------------------- */

/* Text that came out id by id is that of all ids at once, and whole characters at every step. */
static void streams(void **state)
{
    (void)state;
    static const char text[] = " Hello, w\xc3\xb6rld! \xf0\x9f\xa6\x99\xe4\xb8\xad\xe6\x96\x87 don't 3.14\n\n<s>x";
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        Error err = { "" };
        Buf whole = { 0 }, parts = { 0 };
        TokenIds ids = { 0 };
        HfTokenizer *t = open_tokenizer(kinds[k]);
        HfEncoder *e = hf_encoder_new(t, &err);
        HfDecoder *d = hf_decoder_new(t, false, &err);
        assert_true(e && d && hf_encode(e, text, sizeof text - 1, HF_ADD_SPECIAL, &ids, &err));
        assert_true(hf_decode(t, ids.id, ids.n, false, &whole, &err));
        for (int again = 0; again < 2; again++) {       /* a decoder that ended starts anew */
            buf_clear(&parts);
            for (size_t i = 0; i < ids.n; i++) {
                assert_true(hf_decoder_add(d, ids.id[i], &parts, &err));
                assert_true(parts.len <= whole.len);
                if (parts.len)
                    assert_memory_equal(parts.data, whole.data, parts.len);
                if (parts.len < whole.len)
                    assert_int_not_equal((uint8_t)whole.data[parts.len] & 0xc0, 0x80);
            }
            assert_true(hf_decoder_end(d, &parts, &err));
            assert_int_equal(parts.len, whole.len);
            assert_memory_equal(parts.data, whole.data, whole.len);
        }
        free(ids.id);
        buf_free(&whole);
        buf_free(&parts);
        hf_encoder_free(e);
        hf_decoder_free(d);
        hf_tokenizer_free(t);
    }
}

/* A name that the table of patterns lacks is refused, with the name. */
static void unknown_pretokenizer(void **state)
{
    (void)state;
    Error err = { "" };
    Gguf g;
    Buf file = { 0 };
    assert_true(file_read(DATA "gpt-2.gguf", 1 << 24, &file, &err));
    char *name = memmem(file.data, file.len, "tokenizer.ggml.pre", 18);
    assert_non_null(name);
    memcpy(name + 18 + 4 + 8, "gpt-9", 5);
    assert_true(gguf_read((const uint8_t *)file.data, file.len, &g, &err));
    assert_null(hf_tokenizer_of_gguf(&g, &err));
    assert_non_null(strstr(err.text, "tokenizer.ggml.pre is \"gpt-9\""));
    gguf_close(&g);
    buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files), cmocka_unit_test(too_deep), cmocka_unit_test(changed_files),
        cmocka_unit_test(long_runs), cmocka_unit_test(endless_pattern), cmocka_unit_test(streams),
        cmocka_unit_test(unknown_pretokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
