/* The tokenizers of models that are trained here: they are what house_char.json and house_byte.json
 * hold, which Hugging Face's `tokenizers` reads and gives the same ids; characters are numbered by
 * code point and bytes by value, and what is no text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "runtime/tokenizer/house.h"
#include "runtime/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char text[] = "First Citizen:\nBefore we proceed \xc3\xa9\xe4\xb8\xad\xf0\x9f\xa6\x99 "
                           "\t\"x\\y\"  z\xcc\x81.";

static HfTokenizer *characters_of(const char *s)
{
    Error err = { "" };
    HfTokenizer *t = house_characters(s, strlen(s), &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static TokenIds encode(const HfTokenizer *t, const char *s, size_t n)
{
    Error err = { "" };
    TokenIds ids = { 0 };
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_non_null(e);
    if (!hf_encode(e, s, n, HF_ADD_SPECIAL, &ids, &err))
        fail_msg("%s", err.text);
    hf_encoder_free(e);
    return ids;
}

static void assert_ids(const HfTokenizer *t, const char *s, const int32_t *want, size_t n)
{
    Error err = { "" };
    Buf out = { 0 };
    TokenIds ids = encode(t, s, strlen(s));
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.id, want, n * sizeof *want);
    assert_true(hf_decode(t, ids.id, ids.n, true, &out, &err));
    assert_int_equal(out.len, strlen(s));
    assert_memory_equal(out.data, s, out.len);
    buf_free(&out);
    free(ids.id);
}

/* The committed file, read, is the same tokenizer. */
static void assert_file(const HfTokenizer *t, const char *path)
{
    Error err = { "" };
    Buf want = { 0 }, got = { 0 };
    HfTokenizer *file = hf_tokenizer_open(path, &err);
    if (!file || !hf_tokenizer_print(file, &want, &err) || !hf_tokenizer_print(t, &got, &err))
        fail_msg("%s", err.text);
    assert_string_equal(got.data, want.data);
    hf_tokenizer_free(file);
    buf_free(&want);
    buf_free(&got);
}

static void characters(void **state)
{
    (void)state;
    const int32_t want[] = { 2, 5, 3, 3, 4, 1, 6, 7, 0 };
    HfTokenizer *t = characters_of("h\xc3\xabllo \xe2\x82\xac\xf0\x9f\x98\x80\n");
    assert_int_equal(hf_tokenizer_size(t), 8);
    assert_ids(t, "h\xc3\xabllo \xe2\x82\xac\xf0\x9f\x98\x80\n", want, COUNT_OF(want));
    assert_false(hf_tokenizer_takes_bytes(t));
    hf_tokenizer_free(t);
    t = characters_of(text);
    assert_file(t, SOURCE_DIR "/tests/tokenizer/house_char.json");
    hf_tokenizer_free(t);
}

static void bytes(void **state)
{
    (void)state;
    Error err = { "" };
    const int32_t want[] = { 'a', 0xc3, 0xab, '\n' };
    HfTokenizer *t = house_bytes(&err);
    assert_non_null(t);
    assert_ids(t, "a\xc3\xab\n", want, COUNT_OF(want));
    assert_file(t, SOURCE_DIR "/tests/tokenizer/house_byte.json");
    /* Any bytes, not only those of text. */
    char all[256];
    for (int b = 0; b < 256; b++)
        all[b] = (char)b;
    assert_true(hf_tokenizer_takes_bytes(t));
    TokenIds ids = encode(t, all, sizeof all);
    assert_int_equal(ids.n, sizeof all);
    for (int b = 0; b < 256; b++)
        assert_int_equal(ids.id[b], b);
    free(ids.id);
    hf_tokenizer_free(t);
}

static void unseen(void **state)
{
    (void)state;
    Error err = { "" };
    TokenIds ids = { 0 };
    HfTokenizer *t = characters_of("abc");
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_false(hf_encode(e, "ab\xc3\xa9", 4, 0, &ids, &err));
    assert_non_null(strstr(err.text, "U+00E9 \"\xc3\xa9\" has no token"));
    assert_int_equal(ids.n, 0);
    free(ids.id);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

static void no_text(void **state)
{
    (void)state;
    Error err;
    static const struct { const char *text; size_t n; const char *why; } cases[] = {
        { "ab\xff", 3, "byte 2 of the text, 0xff" },
        { "a\0b", 3, "byte 1 of the text is zero" },
        { "\xc0\x80", 2, "byte 0" },            /* overlong */
        { "\xed\xa0\x80", 3, "byte 0" },        /* a surrogate */
        { "\xf4\x90\x80\x80", 4, "byte 0" },    /* beyond U+10FFFF */
        { "x\xe2\x82", 3, "byte 1" },           /* cut off */
        { "", 0, "empty" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_null(house_characters(cases[i].text, cases[i].n, &err));
        if (!strstr(err.text, cases[i].why))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char s[4];
        uint32_t back = 0;
        const size_t n = utf8_encode(c, s);
        const int length = utf8_decode((const uint8_t *)s, n, &back);
        if (c >= 0xd800 && c < 0xe000)
            assert_int_equal(length, 0);
        else if (length != (int)n || back != c)
            fail_msg("U+%04X becomes U+%04X", c, back);
    }
}

/* A byte that a later one may complete is held back; one that nothing can complete is U+FFFD. */
static void half_characters(void **state)
{
    (void)state;
    Error err = { "" };
    Buf out = { 0 };
    static const struct { int32_t id; const char *gives; } stream[] = {
        { 0xf0, "" }, { 0x9f, "" }, { 0x98, "" }, { 0x80, "\xf0\x9f\x98\x80" }, { 'a', "a" },
    };
    HfTokenizer *t = house_bytes(&err);
    HfDecoder *d = hf_decoder_new(t, true, &err);
    assert_non_null(d);
    for (size_t i = 0; i < COUNT_OF(stream); i++) {
        buf_clear(&out);
        assert_true(hf_decoder_add(d, stream[i].id, &out, &err));
        assert_int_equal(out.len, strlen(stream[i].gives));
        if (out.len)
            assert_memory_equal(out.data, stream[i].gives, out.len);
    }
    buf_clear(&out);
    assert_true(hf_decoder_add(d, 0xe2, &out, &err) && out.len == 0);
    assert_true(hf_decoder_add(d, 'b', &out, &err));
    assert_string_equal(out.data, "\xef\xbf\xbd" "b");
    buf_clear(&out);
    assert_true(hf_decoder_add(d, 0xe2, &out, &err) && out.len == 0);
    assert_true(hf_decoder_end(d, &out, &err));
    assert_string_equal(out.data, "\xef\xbf\xbd");
    buf_free(&out);
    hf_decoder_free(d);
    hf_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters),
        cmocka_unit_test(bytes),
        cmocka_unit_test(unseen),
        cmocka_unit_test(no_text),
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(half_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
