/* The tokenizer.json files that smrun writes for its own models, of characters and of bytes, give the
 * same ids and texts here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/tokenizer.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static const char text[] = "First Citizen:\nBefore we proceed \xc3\xa9\xe4\xb8\xad\xf0\x9f\xa6\x99 "
                           "\t\"x\\y\"  z\xcc\x81.";

static void compare(const Tokenizer *ours)
{
    Error err = { "" };
    Buf json = { 0 }, out = { 0 };
    TokenIds ids = { 0 };
    int32_t want[sizeof text];
    size_t n_want = 0;
    assert_true(tokenizer_print(ours, &json, &err));
    HfTokenizer *t = hf_tokenizer_parse(json.data, json.len, &err);
    if (!t)
        fail_msg("%s", err.text);
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_int_equal(hf_tokenizer_size(t), ours->n);
    assert_true(tokenizer_encode(ours, text, sizeof text - 1, want, &n_want, &err));
    if (!hf_encode(e, text, sizeof text - 1, HF_ADD_SPECIAL, &ids, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ids.n, n_want);
    assert_memory_equal(ids.id, want, n_want * sizeof *want);
    assert_true(hf_decode(t, ids.id, ids.n, true, &out, &err));
    assert_int_equal(out.len, sizeof text - 1);
    assert_memory_equal(out.data, text, out.len);
    free(ids.id);
    buf_free(&out);
    buf_free(&json);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
}

static void characters(void **state)
{
    (void)state;
    Error err = { "" };
    Tokenizer ours;
    assert_true(tokenizer_chars(text, sizeof text - 1, &ours, &err));
    compare(&ours);
    tokenizer_free(&ours);
}

static void bytes(void **state)
{
    (void)state;
    Tokenizer ours;
    tokenizer_bytes(&ours);
    compare(&ours);
    tokenizer_free(&ours);
}

/* A character that the model never saw is an error that shows it, as there. */
static void unseen(void **state)
{
    (void)state;
    Error err = { "" };
    Tokenizer ours;
    Buf json = { 0 };
    TokenIds ids = { 0 };
    assert_true(tokenizer_chars("abc", 3, &ours, &err) && tokenizer_print(&ours, &json, &err));
    HfTokenizer *t = hf_tokenizer_parse(json.data, json.len, &err);
    assert_non_null(t);
    HfEncoder *e = hf_encoder_new(t, &err);
    assert_false(hf_encode(e, "abd", 3, 0, &ids, &err));
    assert_non_null(strstr(err.text, "\"d\" has no token"));
    assert_int_equal(ids.n, 0);
    free(ids.id);
    buf_free(&json);
    hf_encoder_free(e);
    hf_tokenizer_free(t);
    tokenizer_free(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters),
        cmocka_unit_test(bytes),
        cmocka_unit_test(unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
