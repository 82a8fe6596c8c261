/* The report's facts: against the graph that they tell of, and hostile texts that must not end the
 * page's script early. */
#include "codegen/report_parts.h"

#include "codegen/compile.h"
#include "passes/specialize.h"
#include "tests/passes/lab.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_PAGE = 2 << 20 };            /* what GPT-2's page may take */

typedef struct Page {
    Lab lab;
    Sources sources;
    Report *report;
    Summary summary;
} Page;

static void compile_page(Page *p, const char *model, CompileOptions options)
{
    char path[512];
    snprintf(path, sizeof path, SOURCE_DIR "/models/%s.smg", model);
    lab_model(&p->lab, path, NULL, 0);
    p->report = report_new(p->lab.g, &p->sources, &p->lab.arena);
    p->summary = summary_begin(p->lab.g, &p->lab.arena);
    options.observer = report_observer(p->report);
    for (Program k = PROGRAM_score; k < N_PROGRAMS; k++) {
        if (!program_possible(p->lab.g, k))
            continue;
        const Graph *g = compile_program(p->lab.g, k, &options, &p->lab.arena, &p->lab.scratch,
                                         &p->lab.diags);
        assert_non_null(g);
        report_add(p->report, g, options.fusions, &p->lab.scratch);
        summary_add(&p->summary, g, &p->lab.scratch);
    }
}

static json_t *facts_of(const Buf *page)
{
    static const char begin[] = "<script id=\"facts\" type=\"application/json\">";
    const char *from = strstr(page->data, begin);
    assert_non_null(from);
    from += strlen(begin);
    const char *to = strstr(from, "</script>");
    assert_non_null(to);
    json_t *facts = json_loadb(from, (size_t)(to - from), 0, NULL);
    assert_non_null(facts);
    return facts;
}

/* Every unit's reads are earlier units, every buffer lies in the pool, and the bytes live at the
 * peak are the lower bound. */
static void check_program(json_t *program)
{
    json_t *units = json_object_get(program, "units"), *buffers = json_object_get(program, "buffers");
    const json_int_t pool = json_integer_value(json_object_get(program, "pool"));
    const json_int_t nodes = json_integer_value(json_object_get(program, "nodes"));
    size_t i, k;
    json_t *unit, *read, *b;
    assert_true(json_array_size(units) > 0);
    json_array_foreach(units, i, unit)
        json_array_foreach(json_array_get(unit, 7), k, read)
            assert_true((size_t)json_integer_value(read) < i);
    json_int_t most = 0;
    for (json_int_t n = 0; n < nodes; n++) {
        json_int_t live = 0;
        json_array_foreach(buffers, i, b)
            if (json_integer_value(json_array_get(b, 2)) <= n
                && n <= json_integer_value(json_array_get(b, 3)))
                live += json_integer_value(json_array_get(b, 1));
        most = live > most ? live : most;
    }
    json_array_foreach(buffers, i, b)
        assert_true(json_integer_value(json_array_get(b, 0))
                    + json_integer_value(json_array_get(b, 1)) <= pool);
    assert_int_equal(most, json_integer_value(json_object_get(program, "bound")));
}

static void test_facts(void **state)
{
    (void)state;
    static Page p;
    Buf page = { 0 };
    compile_page(&p, "chargpt", (CompileOptions){ .level = 2, .batch = 2, .sequence = 32 });
    assert_true(report_print(&page, p.report, &p.summary, "smc report"));
    json_t *facts = facts_of(&page), *program;
    size_t i;
    assert_string_equal(json_string_value(json_object_get(facts, "model")), "chargpt");
    json_array_foreach(json_object_get(facts, "programs"), i, program)
        check_program(program);
    assert_int_equal(i, 6);
    assert_true(json_array_size(json_object_get(facts, "changes")) > 20);
    assert_null(strstr(page.data, "src="));     /* it needs nothing else */
    assert_null(strstr(page.data, "<link"));
    json_decref(facts);
    buf_free(&page);
    report_free(p.report);
    lab_end(&p.lab);
}

static void test_gpt2_is_small(void **state)
{
    (void)state;
    static Page p;
    Buf page = { 0 };
    compile_page(&p, "gpt2", (CompileOptions){ .level = 2, .batch = 4, .sequence = 1024 });
    assert_true(report_print(&page, p.report, &p.summary, "smc report"));
    assert_true(page.len < MAX_PAGE);
    buf_free(&page);
    report_free(p.report);
    lab_end(&p.lab);
}

/* A name cannot end the script that holds the facts, nor the title. */
static void test_hostile_text(void **state)
{
    (void)state;
    Buf page = { 0 };
    report_page(&page, "</title><b>", "{\"x\": \"</script><script>alert(1)\"}");
    assert_null(strstr(page.data, "</title><b>"));
    assert_null(strstr(page.data, "</script><script>alert"));
    assert_non_null(strstr(page.data, "\\u003c/script>\\u003cscript>alert(1)"));
    buf_free(&page);
}

static void test_equal_changes_once(void **state)
{
    (void)state;
    Lab l;
    Buf out = { 0 };
    const char *diff = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-%1 = add %0\n+%1 = sub %0\n"
                       "@@ -9,2 +9,2 @@\n-%71 = add %70\n+%71 = sub %70\n"
                       "@@ -20 +20 @@\n-%80 = exp %70\n";
    lab_begin(&l);
    report_change(&out, diff, 4096, &l.scratch);
    assert_string_equal(out.data, "@@ -1,2 +1,2 @@\n-%1 = add %0\n+%1 = sub %0\n"
                        "... and 1 more like this\n@@ -20 +20 @@\n-%80 = exp %70\n");
    buf_clear(&out);
    report_change(&out, diff, 50, &l.scratch);
    assert_non_null(strstr(out.data, "... and 1 other changes"));
    buf_free(&out);
    lab_end(&l);
}

static void refuse(const char *text, const char *why)
{
    static Page p;
    Error err;
    char path[] = "/tmp/profile-XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs(text, f);
    fclose(f);
    lab_model(&p.lab, SOURCE_DIR "/models/mlp.smg", NULL, 0);
    p.report = report_new(p.lab.g, &p.sources, &p.lab.arena);
    assert_false(report_profile(p.report, path, &err));
    assert_non_null(strstr(err.text, why));
    remove(path);
    report_free(p.report);
    lab_end(&p.lab);
}

static void test_wrong_profiles(void **state)
{
    (void)state;
    refuse("{", ":1:");
    refuse("[]", "not a profile");
    refuse("{\"program\": \"train\", \"model\": \"gpt2\", \"instructions\": []}",
           "a profile of model gpt2, and this is mlp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_gpt2_is_small),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_equal_changes_once),
        cmocka_unit_test(test_wrong_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
