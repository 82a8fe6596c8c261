/* Scores of a text against a plain computation in double: every id predicted by a run of its own, from
 * the ids that its window holds before it.
 *
 * The runs differ from those that are tested in their length alone, so the logits differ by the order
 * of some sums of floats: a few roundings of 2^-24 in logits of about 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/perplexity.h"
#include "runtime/text_model.h"
#include "runtime/weights.h"
#include "tests/runtime/scratch_dir.h"

#include <math.h>

enum { VOCAB = 50, BOS = 49, N_IDS = 75, CONTEXT = 32, WIDTH = 32 };

static const double tolerance = 1e-5;

/* ---- a model, a tokenizer, a text -------------------------------------------------------------- */

/* Ids 0 to 25 are the letters; a text begins with BOS where `begins`. */
static void write_tokenizer(const char *path, bool begins)
{
    Buf out = { 0 };
    Error err;
    buf_printf(&out, "{\"added_tokens\": [{\"id\": %d, \"content\": \"<s>\", \"special\": true, \"single_word\": false, "
               "\"lstrip\": false, \"rstrip\": false, \"normalized\": false}], ", BOS);
    if (begins)
        buf_printf(&out, "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
                   "[{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
                   "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\": "
                   "{\"<s>\": {\"id\": \"<s>\", \"ids\": [%d], \"tokens\": [\"<s>\"]}}}, ", BOS);
    buf_puts(&out, "\"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (char c = 'a'; c <= 'z'; c++)
        buf_printf(&out, "\"%c\": %d, ", c, c - 'a');
    buf_printf(&out, "\"<s>\": %d}, \"merges\": []}}", BOS);
    if (!file_replace(path, out.data, out.len, &err))
        fail_msg("%s", err.text);
    buf_free(&out);
}

static int32_t text_id(int64_t i)
{
    return (int32_t)((7 * i * i + 3 * i) % 26);
}

static void write_text(void)
{
    char text[N_IDS];
    Error err;
    for (int64_t i = 0; i < N_IDS; i++)
        text[i] = (char)('a' + text_id(i));
    if (!file_replace("text.txt", text, sizeof text, &err))
        fail_msg("%s", err.text);
}

static Session *open_session(const Plan *p)
{
    const SessionOptions so = { .n_threads = 1, .programs = 1u << PLAN_score };
    Session *s;
    Error err;
    if (!session_open(p, &so, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* Embeddings larger than their first size, so that logits say something; places more than letters, or
 * what two models with tied embeddings say first would be the letter that they just read. */
static void write_weights(const Plan *p, uint64_t seed, const char *path)
{
    Session *s = open_session(p);
    Error err;
    weights_init(s, seed);
    float *letters = session_storage_named(s, "wte.weight"), *places = session_storage_named(s, "wpe.weight");
    for (int i = 0; i < VOCAB * WIDTH; i++)
        letters[i] *= 10;
    for (int i = 0; i < CONTEXT * WIDTH; i++)
        places[i] *= 20;
    if (!weights_save(s, WEIGHTS_PARAMS, path, &err))
        fail_msg("%s", err.text);
    session_close(s);
}

/* ---- the plain computation --------------------------------------------------------------------- */

/* The distribution behind n ids. */
static void predict(const Plan *p, const char *weights, const int32_t *ids, int64_t n, double q[VOCAB])
{
    Session *s = open_session(p);
    int64_t sizes[MAX_SYMBOLS];
    Operand o;
    Error err;
    double sum = 0;
    plan_largest_sizes(p, PLAN_score, sizes);
    sizes[plan_symbol(p, PLAN_BATCH)] = 1;
    sizes[plan_symbol(p, PLAN_SEQUENCE)] = n;
    if (!weights_load(s, WEIGHTS_PARAMS, weights, true, &err)
        || !session_bind(s, PLAN_score, sizes, &err))
        fail_msg("%s", err.text);
    memcpy(session_storage_named(s, "tokens"), ids, (size_t)n * sizeof *ids);
    session_run(s, PLAN_score);
    assert_true(session_output(s, PLAN_score, "logits", &o));
    const float *x = (const float *)o.data + (n - 1) * o.stride[1];
    for (int v = 0; v < VOCAB; v++)
        sum += q[v] = exp((double)x[v * o.stride[2]]);
    for (int v = 0; v < VOCAB; v++)
        q[v] /= sum;
    session_close(s);
}

/* What stands before id i in the first window that reaches it. */
static int64_t before(int64_t i, int64_t window, int64_t stride, bool begins, int32_t ids[CONTEXT])
{
    const int64_t held = window - (begins ? 1 : 0);
    int64_t first = 0, n = 0;
    while (first + held < i)
        first += stride;
    if (begins)
        ids[n++] = BOS;
    while (first < i)
        ids[n++] = text_id(first++);
    return n;
}

static int likeliest(const double *p)
{
    int best = 0;
    for (int v = 1; v < VOCAB; v++)
        best = p[v] > p[best] ? v : best;
    return best;
}

static PerplexityResult expected(const Plan *p, int64_t window, int64_t stride, bool begins)
{
    PerplexityResult r = { 0 };
    double q[VOCAB], other[VOCAB];
    int32_t ids[CONTEXT];
    for (int64_t i = begins ? 0 : 1; i < N_IDS; i++) {
        const int64_t n = before(i, window, stride, begins, ids);
        predict(p, "a/model.safetensors", ids, n, q);
        predict(p, "b.safetensors", ids, n, other);
        r.nll -= log(q[text_id(i)]);
        r.nll_against -= log(other[text_id(i)]);
        for (int v = 0; v < VOCAB; v++)
            r.kl += other[v] * log(other[v] / q[v]);
        r.agreement += likeliest(q) == likeliest(other);
        r.n_scored++;
    }
    r.nll /= (double)r.n_scored;
    r.nll_against /= (double)r.n_scored;
    r.kl /= (double)r.n_scored;
    r.agreement /= (double)r.n_scored;
    return r;
}

/* ---- the tests --------------------------------------------------------------------------------- */

static void open_tiny(Plan *p)
{
    Error err;
    if (!plan_open(TINY_PLAN, p, &err) || !file_make_dirs("a", &err))
        fail_msg("%s", err.text);
    write_text();
    write_weights(p, 1, "a/model.safetensors");
    write_weights(p, 2, "b.safetensors");
}

static PerplexityResult scored(const Plan *p, int64_t window, int64_t stride, int n_threads,
                               const char *against)
{
    const PerplexityOptions o = { .model = { p, "a" }, .against = { against ? p : NULL, against },
                                  .text = "text.txt", .window = window, .stride = stride,
                                  .n_threads = n_threads };
    Progress progress;
    PerplexityResult r;
    Error err;
    progress_begin(&progress, NULL);
    if (!perplexity(&o, &progress, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

static void every_id_is_predicted_from_its_window(void **state)
{
    (void)state;
    static const struct { int64_t window, stride; } cases[] = { { 0, 0 }, { 16, 0 }, { 16, 5 }, { 2, 1 } };
    Plan p;
    open_tiny(&p);
    for (int begins = 0; begins < 2; begins++) {
        write_tokenizer("a/tokenizer.json", begins);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const PerplexityResult r = scored(&p, cases[i].window, cases[i].stride, 2, "b.safetensors");
            const PerplexityResult want = expected(&p, r.window, r.stride, begins);
            assert_int_equal(r.window, cases[i].window ? cases[i].window : CONTEXT);
            assert_int_equal(r.stride, cases[i].stride ? cases[i].stride : r.window - begins);
            assert_int_equal(r.n_scored, want.n_scored);
            assert_int_equal(r.n_ids, N_IDS);
            assert_float_equal(r.nll, want.nll, tolerance);
            assert_float_equal(r.nll_against, want.nll_against, tolerance);
            assert_float_equal(r.kl, want.kl, tolerance);
            assert_float_equal(r.agreement, want.agreement, 1e-12);
            assert_true(want.kl > 0.1);
        }
    }
    plan_close(&p);
}

static void a_model_is_as_good_as_itself(void **state)
{
    (void)state;
    Plan p;
    open_tiny(&p);
    write_tokenizer("a/tokenizer.json", true);
    const PerplexityResult one = scored(&p, 20, 7, 1, "a"), more = scored(&p, 20, 7, 3, "a");
    assert_true(one.kl == 0 && one.agreement == 1 && one.nll == one.nll_against);
    assert_true(more.kl == 0 && more.agreement == 1 && more.nll == one.nll);
    plan_close(&p);
}

static void refuses(const Plan *p, int64_t window, int64_t stride, const char *why)
{
    const PerplexityOptions o = { .model = { p, "a" }, .text = "text.txt", .window = window,
                                  .stride = stride, .n_threads = 1 };
    Progress progress;
    PerplexityResult r;
    Error err;
    progress_begin(&progress, NULL);
    assert_false(perplexity(&o, &progress, &r, &err));
    if (!strstr(err.text, why))
        fail_msg("expected \"%s\" in: %s", why, err.text);
}

static void windows_that_leave_ids_out_are_refused(void **state)
{
    (void)state;
    Plan p;
    Error err;
    open_tiny(&p);
    write_tokenizer("a/tokenizer.json", true);
    refuses(&p, 33, 0, "--window 33: the model computes at most 32 positions");
    refuses(&p, 1, 0, "leaves no room");
    refuses(&p, 8, 8, "--stride 8: ids would be left out; a window holds 7");
    write_tokenizer("a/tokenizer.json", false);
    assert_true(file_replace("text.txt", "a", 1, &err));
    refuses(&p, 0, 0, "1 ids are too few");
    assert_true(remove("a/tokenizer.json") == 0);
    refuses(&p, 0, 0, "there is no tokenizer.json");
    plan_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_id_is_predicted_from_its_window, enter_scratch,
                                        leave_scratch),
        cmocka_unit_test_setup_teardown(a_model_is_as_good_as_itself, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(windows_that_leave_ids_out_are_refused, enter_scratch,
                                        leave_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
