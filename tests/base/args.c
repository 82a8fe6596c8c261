/* Command lines: what a table of options takes, what it refuses and how, and the help that it gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/args.h"
#include "base/check.h"

#include <math.h>
#include <string.h>

typedef struct Values {
    bool quiet;
    const char *out, *kind;
    ArgList defines, files;
    int64_t batch;
    double rate;
    uint64_t limit;
} Values;

/* Parses `line`, words with single spaces between them. */
static bool parse(const char *line, Values *v, Args *a, Error *err)
{
    static char text[256];
    static char *words[32];
    int n = 0;
    *v = (Values){ .kind = "char", .batch = 1 };
    const Arg options[] = {
        { "--quiet", NULL, ARG_FLAG, &v->quiet, "no progress", 0, 0, NULL },
        { "-o", "FILE", ARG_STRING, &v->out, "where to", 0, 0, NULL },
        { "-D", "NAME=VALUE", ARG_LIST, &v->defines, "a config", 0, 0, NULL },
        { "--data", "FILE...", ARG_REST, &v->files, "texts", 0, 0, NULL },
        { "--batch", "N", ARG_INT, &v->batch, "rows", 1, 1e6, NULL },
        { "--lr", "X", ARG_DOUBLE, &v->rate, "rate", 0, INFINITY, NULL },
        { "--limit", "BYTES", ARG_BYTES, &v->limit, "memory", 0, 0, NULL },
        { "--kind", "KIND", ARG_CHOICE, &v->kind, "char or byte", 0, 0, "char|byte" },
    };
    *a = (Args){ .usage = "run FILE", .about = "Runs.", .options = options, .n = COUNT_OF(options),
                 .max_positional = 2 };
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[n++] = word;
    const bool good = args_parse(a, n, words, err);
    a->options = NULL;                  /* they end here */
    return good;
}

static void takes_every_kind(void **state)
{
    (void)state;
    Values v;
    Args a;
    Error err;
    assert_true(parse("in --quiet -o out -D a=1 -Db=2 --batch=8 --lr -0 --limit 1.5K --kind byte -- -x",
                      &v, &a, &err));
    assert_true(v.quiet);
    assert_string_equal(v.out, "out");
    assert_int_equal(v.defines.n, 2);
    assert_string_equal(v.defines.item[0], "a=1");
    assert_string_equal(v.defines.item[1], "b=2");
    assert_int_equal(v.batch, 8);
    assert_int_equal(v.limit, 1536);
    assert_string_equal(v.kind, "byte");
    assert_int_equal(a.n_positional, 2);
    assert_string_equal(a.positional[0], "in");
    assert_string_equal(a.positional[1], "-x");
}

static void rest_ends_at_the_next_option(void **state)
{
    (void)state;
    Values v;
    Args a;
    Error err;
    assert_true(parse("--data a b - -o out in", &v, &a, &err));
    assert_int_equal(v.files.n, 3);
    assert_string_equal(v.files.item[2], "-");
    assert_int_equal(a.n_positional, 1);
    assert_true(parse("in --help", &v, &a, &err));
    assert_true(a.help);
}

static void refuses(void **state)
{
    (void)state;
    static const struct { const char *line, *why; } rows[] = {
        { "--bach 4", "unknown option --bach; did you mean --batch?" },
        { "--xyzzy", "unknown option --xyzzy; --help lists them" },
        { "--batch", "--batch needs a value: --batch N" },
        { "--batch 4x", "--batch takes a whole number, not \"4x\"" },
        { "--batch 0", "--batch 0: it must lie from 1 to 1000000" },
        { "--batch 1000001", "--batch 1000001: it must lie from 1 to 1000000" },
        { "--lr -1", "--lr -1: it must be at least 0" },
        { "--lr nan", "--lr takes a number, not \"nan\"" },
        { "--limit 1x", "--limit takes bytes, such as 700M or 1.5G, not \"1x\"" },
        { "--kind words", "--kind takes one of char|byte, not \"words\"" },
        { "--quiet=1", "--quiet takes no value" },
        { "a b c", "one argument too many: \"c\"; usage: run FILE" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Values v;
        Args a;
        Error err = { 0 };
        assert_false(parse(rows[i].line, &v, &a, &err));
        assert_string_equal(err.text, rows[i].why);
    }
}

/* No line is longer than the page, no word is lost or cut. */
static void help_is_wrapped(void **state)
{
    (void)state;
    static const char help[] = "what parameters that only products and embeddings read are stored in, such as "
                               "these and those, and a word_that_is_longer_than_what_any_line_of_the_page_could_ever_hold"
                               "_however_wide then";
    bool flag = false;
    const Arg option = { "--weights", "TYPE", ARG_STRING, &flag, help, 0, 0, NULL };
    const Args a = { .usage = "run", .about = "Runs.", .options = &option, .n = 1 };
    Buf out = { 0 };
    char words[512] = "";
    args_help(&out, &a);
    char *line = strtok(strstr(out.data, "  --weights TYPE"), "\n");
    for (bool first = true; line; line = strtok(NULL, "\n"), first = false) {
        assert_true(strlen(line) <= 80 || !strchr(line + 29, ' '));
        if (!first)
            assert_int_equal(strspn(line, " "), 29);
        strcat(strcat(words, first ? "" : " "), line + 29);
    }
    assert_string_equal(words, help);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_kind),
        cmocka_unit_test(rest_ends_at_the_next_option),
        cmocka_unit_test(refuses),
        cmocka_unit_test(help_is_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
