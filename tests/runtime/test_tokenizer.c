/* Tokenizers: ids there and back, the file that Hugging Face reads, whole characters from a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "runtime/tokenizer.h"
#include "runtime/utf8.h"

#include <stdlib.h>
#include <string.h>

static Tokenizer chars_of(const char *text)
{
    Tokenizer t;
    Error err;
    if (!tokenizer_chars(text, strlen(text), &t, &err))
        fail_msg("%s", err.text);
    return t;
}

static void assert_ids(const Tokenizer *t, const char *text, const int32_t *expected, size_t n)
{
    int32_t ids[64];
    size_t count = 0;
    Error err;
    if (!tokenizer_encode(t, text, strlen(text), ids, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, n);
    assert_memory_equal(ids, expected, n * sizeof *ids);
    Buf back = { 0 };
    TextStream stream = { 0 };
    for (size_t i = 0; i < n; i++) {
        char piece[4];
        text_stream_add(&stream, piece, tokenizer_piece(t, ids[i], piece), &back);
    }
    text_stream_end(&stream, &back);
    assert_string_equal(back.data, text);
    buf_free(&back);
}

static void chars_are_sorted_by_code_point(void **state)
{
    (void)state;
    Tokenizer t = chars_of("hëllo €😀\n");
    const int32_t expected[] = { 2, 5, 3, 3, 4, 1, 6, 7, 0 };
    assert_int_equal(t.n, 8);
    assert_ids(&t, "hëllo €😀\n", expected, COUNT_OF(expected));
    tokenizer_free(&t);
}

static void bytes_are_their_values(void **state)
{
    (void)state;
    Tokenizer t;
    tokenizer_bytes(&t);
    const int32_t expected[] = { 'a', 0xc3, 0xab, '\n' };
    assert_ids(&t, "aë\n", expected, COUNT_OF(expected));
    tokenizer_free(&t);
}

static void unknown_characters_are_named(void **state)
{
    (void)state;
    Tokenizer t = chars_of("abc");
    int32_t ids[8];
    size_t n;
    Error err;
    assert_false(tokenizer_encode(&t, "aé", 3, ids, &n, &err));
    assert_non_null(strstr(err.text, "U+00E9 \"é\" at byte 1"));
    tokenizer_free(&t);
}

static void text_that_is_none_is_refused(void **state)
{
    (void)state;
    Tokenizer t;
    Error err;
    const struct { const char *text; size_t n; const char *why; } cases[] = {
        { "ab\xff", 3, "byte 2 of the text, 0xff" },
        { "a\0b", 3, "byte 1 of the text is zero" },
        { "\xc0\x80", 2, "byte 0" },            /* overlong */
        { "\xed\xa0\x80", 3, "byte 0" },        /* a surrogate */
        { "\xf4\x90\x80\x80", 4, "byte 0" },    /* beyond U+10FFFF */
        { "x\xe2\x82", 3, "byte 1" },           /* cut off */
        { "", 0, "empty" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_false(tokenizer_chars(cases[i].text, cases[i].n, &t, &err));
        if (!strstr(err.text, cases[i].why))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char text[4];
        uint32_t back = 0;
        const size_t n = utf8_encode(c, text);
        const int length = utf8_decode((const uint8_t *)text, n, &back);
        if (c >= 0xd800 && c < 0xe000)
            assert_int_equal(length, 0);
        else if (length != (int)n || back != c)
            fail_msg("U+%04X becomes U+%04X", c, back);
    }
}

/* ---- the file --------------------------------------------------------------------------------- */

static void assert_file_round_trips(const Tokenizer *t)
{
    Buf text = { 0 }, again = { 0 };
    Tokenizer back;
    Error err;
    assert_true(tokenizer_print(t, &text, &err));
    if (!tokenizer_parse(text.data, text.len, &back, &err))
        fail_msg("%s", err.text);
    assert_int_equal(back.kind, t->kind);
    assert_int_equal(back.n, t->n);
    assert_int_equal(back.hash, t->hash);
    assert_true(tokenizer_print(&back, &again, &err));
    assert_string_equal(text.data, again.data);
    tokenizer_free(&back);
    buf_free(&text);
    buf_free(&again);
}

static void files_round_trip(void **state)
{
    (void)state;
    Tokenizer t = chars_of("\"\\ \n\té€😀abcdefghijk\x7f");
    assert_file_round_trips(&t);
    tokenizer_free(&t);
    tokenizer_bytes(&t);
    assert_file_round_trips(&t);
}

/* The file of "ab" with `from` replaced. */
static void assert_refused(const Tokenizer *t, const char *from, const char *to, const char *why)
{
    Buf text = { 0 }, changed = { 0 };
    Tokenizer back;
    Error err = { 0 };
    assert_true(tokenizer_print(t, &text, &err));
    char *at = strstr(text.data, from);
    if (!at)
        fail_msg("\"%s\" is not in\n%s", from, text.data);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_puts(&changed, to);
    buf_puts(&changed, at + strlen(from));
    if (tokenizer_parse(changed.data, changed.len, &back, &err))
        fail_msg("accepted with %s", to);
    if (!strstr(err.text, why))
        fail_msg("%s: says \"%s\"", to, err.text);
    buf_free(&text);
    buf_free(&changed);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    Tokenizer t = chars_of("ab");
    assert_refused(&t, "\"a\": 0", "\"a\": 1", "ids must be 0 to 1, each once");
    assert_refused(&t, "\"a\": 0", "\"a\": 7", "ids must be 0 to 1, each once");
    assert_refused(&t, "\"a\": 0", "\"and\": 0", "\"and\" is not one character");
    assert_refused(&t, "\"a\": 0", "\"a\": 0, \"a\": 1", "not valid JSON");
    assert_refused(&t, "Isolated", "Removed", "\"pre_tokenizer\" is");
    assert_refused(&t, "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}",
                   "\"normalizer\" is");
    assert_refused(&t, "\"added_tokens\": []", "\"added_tokens\": [{}]", "\"added_tokens\" is");
    assert_refused(&t, "WordLevel", "Unigram", "its model is \"Unigram\"");
    assert_refused(&t, "{", "", "not valid JSON");
    tokenizer_free(&t);
    tokenizer_bytes(&t);
    assert_refused(&t, "\"merges\": []", "\"merges\": [\"a b\"]", "has merges");
    assert_refused(&t, "\"!\": 33", "\"!\": 34", "each once");
}

/* ---- streams ---------------------------------------------------------------------------------- */

static void streams_hold_back_half_characters(void **state)
{
    (void)state;
    TextStream s = { 0 };
    Buf out = { 0 };
    text_stream_add(&s, "\xf0\x9f", 2, &out);
    assert_int_equal(out.len, 0);
    text_stream_add(&s, "\x98", 1, &out);
    assert_int_equal(out.len, 0);
    text_stream_add(&s, "\x80", 1, &out);
    assert_string_equal(out.data, "😀");
    buf_clear(&out);
    text_stream_add(&s, "\xe2\x82" "a\xff", 4, &out);
    assert_string_equal(out.data, "��a�");
    buf_clear(&out);
    text_stream_add(&s, "\xe2\x82", 2, &out);
    assert_int_equal(out.len, 0);
    text_stream_end(&s, &out);
    assert_string_equal(out.data, "��");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chars_are_sorted_by_code_point),
        cmocka_unit_test(bytes_are_their_values),
        cmocka_unit_test(unknown_characters_are_named),
        cmocka_unit_test(text_that_is_none_is_refused),
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(files_round_trip),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(streams_hold_back_half_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
