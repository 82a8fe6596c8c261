/* The front end against texts that nobody would write: one typo away from a model, many mistakes at
 * once, and bytes changed at random. */
#include "base/random.h"
#include "support.h"

#include <ctype.h>
#include <dirent.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const models[] = { "gpt2", "llama", "mlp" };

static Buf read_model(const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/models/%s.smg", SHARED_DIR, name);
    return read_text(path);
}

/* ---- typos -------------------------------------------------------------------------------------- */

enum { SHORTEST = 4 };                  /* of shorter names nobody can tell what was meant */

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Does the whole word occur in the text? */
static bool has_word(const Buf *text, const char *word, size_t n)
{
    for (size_t i = 0; i + n <= text->len; i++)
        if (memcmp(text->data + i, word, n) == 0 && (i == 0 || !is_name_byte(text->data[i - 1])) &&
            (i + n == text->len || !is_name_byte(text->data[i + n])))
            return true;
    return false;
}

/* Words whose spelling nothing depends on: comments, paths, the name of the model. */
static bool is_free(const Buf *text, size_t at)
{
    size_t line = at;
    while (line > 0 && text->data[line - 1] != '\n')
        line--;
    if (memchr(text->data + line, '#', at - line) || memcmp(text->data + line, "model ", 6) == 0)
        return true;
    size_t back = at;
    while (back > line && (is_name_byte(text->data[back - 1]) || text->data[back - 1] == '.'))
        back--;
    return back >= line + 4 && memcmp(text->data + back - 4, " as ", 4) == 0;
}

/* One of three typos: two letters swapped, one lost, one doubled. */
static size_t misspell(const char *word, size_t n, int kind, char *out)
{
    size_t middle = n / 2;
    memcpy(out, word, n);
    if (kind == 0) {
        out[middle] = word[middle - 1];
        out[middle - 1] = word[middle];
        return n;
    }
    if (kind == 1) {
        memmove(out + middle, out + middle + 1, n - middle - 1);
        return n - 1;
    }
    memmove(out + middle + 1, word + middle, n - middle);
    return n + 1;
}

static bool suggests(const DiagSink *diags)
{
    for (uint32_t i = 0; i < diags->n; i++)
        if (diags->diags[i].label && strstr(diags->diags[i].label, "did you mean"))
            return true;
    return false;
}

static bool try_typo(const Buf *text, size_t at, size_t n, int kind)
{
    char word[128];
    size_t length = misspell(text->data + at, n, kind, word);
    bool same = length == n && memcmp(word, text->data + at, n) == 0;
    if (same || has_word(text, word, length))
        return false;
    Buf changed = { 0 };
    buf_add(&changed, text->data, at);
    buf_add(&changed, word, length);
    buf_add(&changed, text->data + at + n, text->len - at - n);
    Compiled *c = compile_text(changed.data, changed.len);
    bool output = at > 7 && memcmp(text->data + at - 7, "output ", 7) == 0;
    if (!suggests(&c->diags) && !(output && c->g)) {    /* in a branch not taken: nobody asks */
        compile_show(c);
        fail_msg("no suggestion for `%.*s`", (int)length, word);
    }
    compile_end(c);
    buf_free(&changed);
    return true;
}

/* Wherever a name of a model is misspelt, somebody is told what was meant. */
static void test_typos_get_suggestions(void **state)
{
    (void)state;
    for (size_t m = 0; m < 3; m++) {
        Buf text = read_model(models[m]);
        uint32_t tried = 0;
        for (size_t at = 0; at < text.len;) {
            size_t n = 0;
            while (at + n < text.len && is_name_byte(text.data[at + n]))
                n++;
            bool word = n >= SHORTEST && n < 100 && !isdigit((unsigned char)text.data[at]);
            if (word && !is_free(&text, at))
                for (int kind = 0; kind < 3; kind++)
                    tried += try_typo(&text, at, n, kind);
            at += n + 1;
        }
        assert_true(tried > 60);
        buf_free(&text);
    }
}

/* ---- many mistakes -------------------------------------------------------------------------------- */

static void test_all_independent_errors_in_one_run(void **state)
{
    (void)state;
    enum { MISTAKES = 40 };
    Buf text = { 0 };
    buf_puts(&text, "model m\nbatch B\ninput x : f32[B, 4]\n");
    for (int i = 0; i < MISTAKES; i++)
        buf_printf(&text, i % 2 ? "y%d = x + nothing_%d\n" : "y%d = x * (2 + \n", i, i);
    buf_puts(&text, "output o = x\n");
    Compiled *c = compile_text(text.data, text.len);
    assert_null(c->g);
    assert_int_equal(c->diags.n_errors, MISTAKES);
    compile_end(c);
    buf_free(&text);
}

/* Poison is silent: one mistake, one message, however often the value is used. */
static void test_one_mistake_is_told_once(void **state)
{
    (void)state;
    static const char text[] =
        "model m\nbatch B\ninput x : f32[B, 4]\nblock f(a : [.., n]) { return a * n }\n"
        "y = x @ x\nfor i in 0..100 { y = f(y) + y[.., 0:1] @ y' }\n"
        "a, b = split(y, 2, -1)\nif mean(y) { z = 1 }\noutput o = reshape(a + b, [B, z])\n"
        "train {\n  loss mean(y)\n  optimizer sgd(lr = 0.1)\n}\n";
    Compiled *c = compile_text(text, sizeof text - 1);
    assert_int_equal(c->diags.n_errors, 1);
    compile_end(c);
}

static void test_errors_end_somewhere(void **state)
{
    (void)state;
    Buf text = { 0 };
    buf_puts(&text, "model m\n");
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "y%d = nothing_%d + $\n", i, i);
    Compiled *c = compile_text(text.data, text.len);
    assert_null(c->g);
    assert_true(c->diags.n_errors >= 100 && c->diags.n_errors <= 101);
    compile_end(c);
    buf_free(&text);
}

/* ---- limits ----------------------------------------------------------------------------------------- */

static void expect_code(const Buf *text, const char *code)
{
    Compiled *c = compile_text(text->data, text->len);
    assert_null(c->g);
    bool found = false;
    for (uint32_t i = 0; i < c->diags.n; i++)
        found |= strcmp(diag_code_name(c->diags.diags[i].code), code) == 0;
    if (!found) {
        compile_show(c);
        fail_msg("%s did not come", code);
    }
    compile_end(c);
}

static void repeat(Buf *out, const char *text, int n)
{
    for (int i = 0; i < n; i++)
        buf_puts(out, text);
}

/* Each text would exhaust a stack, the memory or the patience of a careless front end. */
static void test_limits(void **state)
{
    (void)state;
    static const struct { const char *open, *middle, *close, *code; int n; } cases[] = {
        { "(", "1", ")", "E0107", 30000 },
        { "[", "1", "]", "E0107", 30000 },
        { "- ", "1", "", "E0107", 30000 },
        { "not ", "true", "", "E0107", 30000 },
        { "", "w", "'", "E0107", 30000 },
        { "", "1", " + 1", "E0107", 30000 },
        { "2 ^ ", "1", "", "E0107", 30000 },
        { "relu(", "1", ")", "E0107", 90 },
        { "", "1 }", " if true {", "E0107", 30000 },
        { "", "1 if true { }", " else if true { }", "E0107", 30000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf text = { 0 };
        buf_puts(&text, "model m\nparam w[2, 2] = ones\noutput o = ");
        repeat(&text, cases[i].open, cases[i].n);
        buf_puts(&text, cases[i].middle);
        repeat(&text, cases[i].close, cases[i].n);
        if (i != 7)
            expect_code(&text, cases[i].code);
        LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.len);
        buf_free(&text);
    }
}

/* Blocks that double at each level are copied 2^40 times. */
static void test_calls_cannot_explode(void **state)
{
    (void)state;
    Buf text = { 0 };
    buf_puts(&text, "model m\nbatch B\ninput x : f32[B]\nblock b0(x) { return x + 1 }\n");
    for (int i = 1; i <= 40; i++)
        buf_printf(&text, "block b%d(x) { return b%d(b%d(x)) }\n", i, i - 1, i - 1);
    buf_puts(&text, "output o = b40(x)\n");
    expect_code(&text, "E0405");
    buf_clear(&text);
    buf_puts(&text, "model m\nbatch B\ninput x : f32[B]\nblock b0(x) { return x }\n");
    for (int i = 1; i <= 300; i++)
        buf_printf(&text, "block b%d(x) { return b%d(x) }\n", i, i - 1);
    buf_puts(&text, "output o = b300(x)\n");
    expect_code(&text, "E0107");
    buf_free(&text);
}

static void test_files_are_bounded(void **state)
{
    (void)state;
    Buf text = { 0 };
    repeat(&text, "# nothing but a comment of some length, again and again and again\n", 20000);
    expect_code(&text, "E0100");
    buf_free(&text);
    Compiled *c = compile_file("/no/such/file.smg", NULL, 0);
    assert_null(c->g);
    assert_int_equal(c->diags.n, 1);
    assert_int_equal(c->diags.diags[0].code, DIAG_E0100);
    assert_non_null(strstr(c->diags.diags[0].text, "/no/such/file.smg"));
    compile_end(c);
}

static void test_nothing_at_all(void **state)
{
    (void)state;
    LLVMFuzzerTestOneInput(NULL, 0);
    const Buf empty = { .data = (char[]){ "" } };
    expect_code(&empty, "E0410");
}

/* ---- random changes ----------------------------------------------------------------------------------- */

typedef struct Dice {
    uint64_t at;
} Dice;

static size_t roll(Dice *d, size_t sides)
{
    return sides ? random_u32(20240611, 0, d->at++) % sides : 0;
}

static const char *const pieces[] = {
    "{", "}", "(", ")", "[", "]", "..", "'", "as ", "as h.{i} ", "for i in 0..3 {", "block f(x) {",
    "return ", "if true {", "else {", "train {", "= ", ", ", ": ", "-1", "0", "x", "T", "B", "width",
    "1e308", "9223372036854775807", "\"", "#", "\n", "\xC3\xA9", "\xFF", "config ", "param ", "mean(",
};

/* Deletes, doubles or overwrites a piece of the text, or puts something in. */
static void change(Dice *d, Buf *text)
{
    size_t at = roll(d, text->len + 1), n = roll(d, 12);
    n = n < text->len - at ? n : text->len - at;
    Buf out = { 0 };
    buf_add(&out, text->data, at);
    switch (roll(d, 5)) {
    case 0: break;
    case 1: buf_add(&out, text->data + at, n); n = 0; break;
    case 2: buf_putc(&out, (char)roll(d, 256)); break;
    case 3: n = text->len - at < 300 ? 0 : roll(d, 300); break;
    default:
        buf_puts(&out, pieces[roll(d, sizeof pieces / sizeof *pieces)]);
        n = 0;
        break;
    }
    buf_add(&out, text->data + at + n, text->len - at - n);
    buf_free(text);
    *text = out;
}

static void test_random_changes(void **state)
{
    (void)state;
    enum { ROUNDS = 600 };
    Dice d = { 0 };
    for (size_t m = 0; m < 3; m++)
        for (int i = 0; i < ROUNDS; i++) {
            Buf text = read_model(models[m]);
            for (size_t k = 1 + roll(&d, 8); k > 0; k--)
                change(&d, &text);
            LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.len);
            buf_free(&text);
        }
}

/* A model cut off anywhere. */
static void test_cut_off(void **state)
{
    (void)state;
    Buf text = read_model("mlp");
    for (size_t n = 0; n < text.len; n++) {
        Compiled *c = compile_text(text.data, n);
        LLVMFuzzerTestOneInput((const uint8_t *)text.data, n);
        compile_end(c);
    }
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typos_get_suggestions),
        cmocka_unit_test(test_all_independent_errors_in_one_run),
        cmocka_unit_test(test_one_mistake_is_told_once),
        cmocka_unit_test(test_errors_end_somewhere),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_calls_cannot_explode),
        cmocka_unit_test(test_files_are_bounded),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
