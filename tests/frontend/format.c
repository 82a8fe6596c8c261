/* The formatter: one layout, comments kept, the program unchanged, and a second time the same. */
#include "support.h"

#include <dirent.h>

static bool format(const char *text, size_t n, Buf *out)
{
    Arena arena;
    arena_init(&arena, NULL);
    DiagSink diags;
    diag_init(&diags, &arena);
    bool ok = frontend_format("test.smg", text, n, out, &arena, &diags);
    assert_true(ok == (diags.n_errors == 0));
    arena_free(&arena);
    return ok;
}

static void expect_format(const char *text, const char *want)
{
    Buf out = { 0 }, again = { 0 };
    assert_true(format(text, strlen(text), &out));
    assert_string_equal(out.data ? out.data : "", want);
    assert_true(format(want, strlen(want), &again));
    assert_string_equal(again.data ? again.data : "", want);
    buf_free(&out);
    buf_free(&again);
}

static void test_layout(void **state)
{
    (void)state;
    expect_format("", "");
    expect_format("# only a comment", "# only a comment\n");
    expect_format("model   m\n\n\n\nbatch B  # rows\n", "model m\n\nbatch B  # rows\n");
    expect_format("x=a+b*-c^2@d'[ .. ,1 : 2]", "x = a + b * -c ^ 2 @ d'[.., 1:2]\n");
    expect_format("config a=1 config b=2", "config a = 1\nconfig b = 2\n");
    expect_format("block f(x:[..,n],out=1){return x}\n",
                  "block f(x : [.., n], out = 1) {\n  return x\n}\n");
    expect_format("for i in 0 .. n as h . { i } {\nx=f(x)as y\n}\n",
                  "for i in 0..n as h.{i} {\n  x = f(x) as y\n}\n");
    expect_format("if a{x=b}\nelse if c{x=d}else{x=e}\n",
                  "if a {\n  x = b\n} else if c {\n  x = d\n} else {\n  x = e\n}\n");
    expect_format("input  x:f32[B,4]\n", "input x : f32[B, 4]\n");
    expect_format("y=f(a,\nb,  # why\nc)\n", "y = f(a,\n      b,  # why\n      c)\n");
    expect_format("y=f(\na,\nb)\n", "y = f(\n    a,\n    b)\n");
    expect_format("train {\n}\n", "train { }\n");
}

/* What stood in columns stays in columns; what did not is left alone. */
static void test_columns(void **state)
{
    (void)state;
    expect_format("config a   = 1\nconfig long = 2\n", "config a    = 1\nconfig long = 2\n");
    expect_format("config a = 1\nconfig long = 2\n", "config a = 1\nconfig long = 2\n");
    expect_format("x = 1  # a\nlong = 2     # b\n", "x = 1     # a\nlong = 2  # b\n");
    expect_format("batch     B\nsequence  T\n", "batch    B\nsequence T\n");
}

static void check_file(const char *path)
{
    Buf text = read_text(path), once = { 0 }, twice = { 0 };
    if (format(text.data, text.len, &once)) {
        assert_true(format(once.data, once.len, &twice));
        if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
            fail_msg("%s: formatting twice differs", path);
        size_t before = 0, after = 0;
        for (size_t i = 0; i < text.len; i++)
            before += text.data[i] == '#';
        for (size_t i = 0; i < once.len; i++)
            after += once.data[i] == '#';
        assert_int_equal(before, after);
    }
    buf_free(&text);
    buf_free(&once);
    buf_free(&twice);
}

static void check_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".smg") == 0)
            check_file(path);
    }
    closedir(dir);
}

static void test_all_files(void **state)
{
    (void)state;
    check_folder(SHARED_DIR "/models");
    check_folder(SOURCE_DIR "/models");
    check_folder(SOURCE_DIR "/models/lib");
    check_folder(SOURCE_DIR "/tests/frontend/wrong");
}

/* The library is kept in the layout that the formatter gives it. */
static void test_library_is_formatted(void **state)
{
    (void)state;
    static const char *const files[] = { "norm", "linear", "mlp", "attention" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s.smg", LIBRARY, files[i]);
        Buf text = read_text(path), once = { 0 };
        assert_true(format(text.data, text.len, &once));
        assert_string_equal(text.data, once.data);
        buf_free(&text);
        buf_free(&once);
    }
}

static uint32_t count_nodes(const Buf *text)
{
    Compiled *c = compile_text(text->data, text->len);
    assert_non_null(c->g);
    uint32_t n = c->g->n_nodes;
    compile_end(c);
    return n;
}

static void test_formatting_keeps_the_program(void **state)
{
    (void)state;
    Buf text = read_text(SHARED_DIR "/models/llama.smg"), once = { 0 };
    assert_true(format(text.data, text.len, &once));
    assert_int_equal(count_nodes(&text), count_nodes(&once));
    buf_free(&text);
    buf_free(&once);
}

static void test_wrong_text_is_not_formatted(void **state)
{
    (void)state;
    Buf out = { 0 };
    assert_false(format("x = (", 5, &out));
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_all_files),
        cmocka_unit_test(test_library_is_formatted),
        cmocka_unit_test(test_formatting_keeps_the_program),
        cmocka_unit_test(test_wrong_text_is_not_formatted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
