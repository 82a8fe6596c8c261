/* smrun quantize as a user calls it: on a folder, on the GGUF file that was exported of it, and on what
 * was imported of it.  All three give the same file, which smrun generate takes with its tokenizer. */
#include "tests/e2e/family.h"

#include "base/file.h"
#include "runtime/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* smrun with these arguments, in the tests' folder; its exit status, what it said in "out" and "err" there. */
static int smrun(const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && %s %s >out 2>err", family_root, SMRUN, arguments);
    const int status = system(command);
    return status < 0 || status % 256 ? -1 : status / 256;
}

static Buf text_of(const char *name)
{
    char path[FAMILY_PATH];
    Buf text = { 0 };
    Error err;
    family_path(path, family_root, name);
    if (!file_read(path, 1 << 24, &text, &err))
        fail_msg("%s", err.text);
    buf_putc(&text, '\0');
    text.len--;
    return text;
}

static void expect_done(const char *arguments)
{
    if (smrun(arguments) == 0)
        return;
    Buf said = text_of("err");
    fail_msg("smrun %s: %s", arguments, said.data);
}

static void expect_said(const char *name, const char *expected)
{
    Buf said = text_of(name);
    if (!strstr(said.data, expected))
        fail_msg("\"%s\" does not say \"%s\"", said.data, expected);
    buf_free(&said);
}

static void expect_same_file(const char *a, const char *b)
{
    Buf x = text_of(a), y = text_of(b);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_free(&x);
    buf_free(&y);
}

static void expect_type(const char *file, const char *tensor, GgmlType type)
{
    char path[FAMILY_PATH];
    Gguf g;
    Error err;
    family_path(path, family_root, file);
    if (!gguf_open(path, &g, &err))
        fail_msg("%s", err.text);
    const GgufTensor *t = gguf_find_tensor(&g, tensor);
    assert_non_null(t);
    assert_string_equal(ggml_type_name((GgmlType)t->type), ggml_type_name(type));
    gguf_close(&g);
}

/* A folder of the family `name` with a tokenizer of the letters a to z. */
static void write_folder(const char *name)
{
    char folder[FAMILY_PATH], path[FAMILY_PATH];
    FamilyCase f;
    Buf text = { 0 };
    Error err;
    family_open(&f, name);
    family_path(folder, family_root, name);
    family_write(&f, folder, DTYPE_f32, 2, true);
    buf_puts(&text, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": "
             "false}, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int c = 'a'; c <= 'z'; c++)
        buf_printf(&text, "%s\"%c\": %d", c > 'a' ? ", " : "", c, c - 'a');
    buf_puts(&text, "}, \"merges\": []}}");
    family_path(path, folder, "tokenizer.json");
    assert_true(file_replace(path, text.data, text.len, &err));
    buf_free(&text);
    family_close(&f);
}

static void test_three_ways(void **state)
{
    (void)state;
    write_folder("qwen3");
    expect_done("quantize qwen3 --type q8_0 --keep '*.ffn_down.weight=f16'");
    expect_said("out", "qwen3-q8_0.gguf: ");
    expect_said("out", "token_embd.weight");
    expect_done("export qwen3 -o whole.gguf");
    expect_done("quantize whole.gguf --type q8_0 --keep '*.ffn_down.weight=f16' -o second.gguf");
    expect_done("import qwen3 -o imported");
    expect_done("quantize imported --type q8_0 --keep '*.ffn_down.weight=f16' -o third.gguf");
    expect_done("import second.gguf -o again");
    expect_done("quantize again --type q8_0 --keep '*.ffn_down.weight=f16' -o fourth.gguf");
    expect_same_file("qwen3-q8_0.gguf", "second.gguf");
    expect_same_file("second.gguf", "fourth.gguf");
    expect_same_file("qwen3-q8_0.gguf", "third.gguf");
    Buf whole = text_of("whole.gguf"), less = text_of("qwen3-q8_0.gguf");
    assert_true(less.len < whole.len / 2);
    buf_free(&whole);
    buf_free(&less);
    expect_type("qwen3-q8_0.gguf", "blk.1.attn_q.weight", GGML_q8_0);
    expect_type("qwen3-q8_0.gguf", "blk.1.attn_norm.weight", GGML_f32);
    expect_type("qwen3-q8_0.gguf", "blk.1.ffn_down.weight", GGML_f16);
}

/* Its tokens are letters, so whatever ids come are text. */
static void test_generate(void **state)
{
    (void)state;
    write_folder("llama3");
    expect_done("quantize llama3 --type q8_0");
    expect_done("generate llama3-q8_0.gguf --prompt abc -n 12 --ignore-eos --temperature 0 --print-tokens");
    Buf ids = text_of("out");
    assert_true(ids.len >= 12 && strpbrk(ids.data, "0123456789"));
    buf_free(&ids);
    expect_done("generate llama3-q8_0.gguf --prompt abc -n 4");
}

/* The stacks of experts are rounded, the router is not; w2's rows of 48 are no whole blocks. */
static void test_mixture(void **state)
{
    (void)state;
    write_folder("mixtral");
    expect_done("quantize mixtral --type q4_0 --keep '*.experts.*.w3.weight=q8_0'");
    expect_type("mixtral-q4_0.gguf", "blk.1.ffn_gate_exps.weight", GGML_q4_0);
    expect_type("mixtral-q4_0.gguf", "blk.1.ffn_up_exps.weight", GGML_q8_0);
    expect_type("mixtral-q4_0.gguf", "blk.1.ffn_down_exps.weight", GGML_f16);
    expect_type("mixtral-q4_0.gguf", "blk.1.ffn_gate_inp.weight", GGML_f32);
    expect_done("export mixtral -o mixture.gguf");
    expect_done("quantize mixture.gguf --type q4_0 --keep '*.ffn_up_exps.weight=q8_0' -o mixture-q4_0.gguf");
    expect_same_file("mixtral-q4_0.gguf", "mixture-q4_0.gguf");
    expect_done("generate mixtral-q4_0.gguf --prompt abc -n 12 --ignore-eos --temperature 0 --print-tokens");
}

/* Rules may use the folder's names; what they ask for must be there, and possible. */
static void test_rules(void **state)
{
    (void)state;
    write_folder("qwen3");
    expect_done("quantize qwen3 --type q4_k --keep 'model.layers.0.*.q_proj.weight=q8_0' --keep 'lm_head*=f32' "
                "-o rules.gguf");
    expect_type("rules.gguf", "blk.0.attn_q.weight", GGML_q8_0);
    expect_type("rules.gguf", "blk.1.attn_q.weight", GGML_q5_0);    /* rows of 32: the next wider type */
    expect_type("rules.gguf", "output.weight", GGML_f32);
    assert_int_equal(smrun("quantize qwen3 --type q8_0 --keep 'outptu.weight=q6_k' -o no.gguf"), 1);
    expect_said("err", "no tensor is called outptu.weight; did you mean output.weight?");
    assert_int_equal(smrun("quantize qwen3 --type q8_0 --keep '*.experts.*=q6_k' -o no.gguf"), 1);
    expect_said("err", "no tensor is called *.experts.*; there are");
    assert_int_equal(smrun("quantize qwen3 --type q8_0 --keep '*.ffn_up.weight=q6_k' -o no.gguf"), 1);
    expect_said("err", "no whole blocks of 256");
    assert_int_equal(smrun("quantize qwen3 --type q8_0 --keep 'output.weight' -o no.gguf"), 2);
    expect_said("err", "expected PATTERN=TYPE");
    assert_int_equal(smrun("quantize nowhere --type q8_0"), 1);
    expect_said("err", "nowhere");
    expect_done("quantize qwen3 --type f16 -o half.gguf");
    char path[FAMILY_PATH];
    family_path(path, family_root, "no.gguf");
    assert_false(file_exists(path));
}

static int begin(void **state)
{
    return family_begin(state) != 0 ? -1 : setenv("XDG_CACHE_HOME", family_root, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_ways),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, begin, family_end);
}
