/* What programs mean: each case is an expression, and what the evaluator makes of its graph. */
#include "ir/eval.h"
#include "support.h"

#include <math.h>

/* B = 2, T = 3; `t` is [0, 1, 2] along the sequence, `m` is [[0, 1, 2, 3], [4, 5, 6, 7]]. */
static const char prelude[] =
    "model test\n"
    "config width = 8\nconfig heads = 2\nconfig name = \"abc\"\nconfig yes = true\n"
    "batch B\nsequence T <= 16\n"
    "input ids : i32[B, T]\ninput x : f32[B, T, width]\n"
    "t = cast(positions(T), f32)\n"
    "m = cast(reshape(positions(8), [2, 4]), f32)\n"
    "block twice(a) { return 2 * a }\n"
    "block pair(a, b = 10.0) { return a + b, a - b }\n"
    "block affine(a : [.., n], out, start = 1.0) {\n"
    "  param weight[n, out] = constant(start)\n"
    "  return a @ weight\n}\n"
    "block sizes(a : [r, c]) { return r * 10 + c }\n"
    "block middle(a : [r, .., c]) { return r * 10 + c }\n";

typedef struct Case {
    const char *body;                   /* statements that end with `output o = ...` */
    uint32_t n;
    double want[12];
} Case;

#define WANT(...) sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double), { __VA_ARGS__ }

static const Case cases[] = {
    /* numbers */
    { "output o = t * 0 + 7 / 7 + 2 * 3", WANT(7, 7, 7) },
    { "output o = sum(t) + 1 / 2.0", WANT(3.5) },
    { "output o = m[0, 0] + 2 ^ 3 ^ 2 / 512", WANT(1) },
    { "output o = m[0, 0] - 2 ^ 2", WANT(-4) },
    { "output o = m[0, 0] + (-2) ^ 2", WANT(4) },
    { "output o = m[0, 0] + 2 ^ -1", WANT(0.5) },
    { "output o = m[0, 0] + sqrt(16) + floor(2.7) + ceil(2.1) + round(2.5)", WANT(12) },
    { "output o = m[0, 0] + min(3, 4) * max(3, 4) + abs(0 - 5)", WANT(17) },
    { "output o = m[0, 0] + width / heads", WANT(4) },
    { "output o = m[0, 0] + exp(0) + log(1) + 7 - 2 - 1", WANT(5) },
    { "output o = m[0, 0] + 7 % 4 * 10 + (0 - 1) % 4", WANT(33) },
    /* broadcasting and precedence */
    { "output o = t * 2 + 1", WANT(1, 3, 5) },
    { "output o = 1 - t", WANT(1, 0, -1) },
    { "output o = -t ^ 2", WANT(0, -1, -4) },
    { "output o = t + reshape(t, [T, 1])", WANT(0, 1, 2, 1, 2, 3, 2, 3, 4) },
    { "output o = positions(T) * 2 + 1", WANT(1, 3, 5) },
    { "output o = m @ m'", WANT(14, 38, 38, 126) },
    /* slices */
    { "output o = m[0]", WANT(0, 1, 2, 3) },
    { "output o = m[-1, -2]", WANT(6) },
    { "output o = m[.., 1:3]", WANT(1, 2, 5, 6) },
    { "output o = m[.., -2:]", WANT(2, 3, 6, 7) },
    { "output o = m[:, :1]", WANT(0, 4) },
    { "output o = m[1:, ..]", WANT(4, 5, 6, 7) },
    { "output o = m[.., 0]", WANT(0, 4) },
    { "output o = slice(m, -1, 3, 4)", WANT(3, 7) },
    /* shapes */
    { "output o = reshape(m, [4, 2])'", WANT(0, 2, 4, 6, 1, 3, 5, 7) },
    { "output o = reshape(m, [-1, 2])[3]", WANT(6, 7) },
    { "output o = transpose(m, 0, 1)[0]", WANT(0, 4) },
    { "output o = broadcast(t, [2, T])", WANT(0, 1, 2, 0, 1, 2) },
    { "output o = broadcast(t, shape = [2, T])", WANT(0, 1, 2, 0, 1, 2) },
    { "output o = concat(m, m + 10, 0)[2]", WANT(10, 11, 12, 13) },
    { "output o = concat(m, m + 10, axis = -1)[0]", WANT(0, 1, 2, 3, 10, 11, 12, 13) },
    { "a, b = split(m, 2, -1)\noutput o = b - a", WANT(2, 2, 2, 2) },
    { "a, b = split(m, [1, 3], -1)\noutput o = b - a", WANT(1, 2, 3, 1, 2, 3) },
    { "a, b = split(m, 2, axis = 0)\noutput o = b - a", WANT(4, 4, 4, 4) },
    /* reductions keep the axis */
    { "output o = sum(m)", WANT(28) },
    { "output o = sum(m, -1)", WANT(6, 22) },
    { "output o = m - max(m, axis = 1)", WANT(-3, -2, -1, 0, -3, -2, -1, 0) },
    { "output o = min(m, 0)", WANT(0, 1, 2, 3) },
    { "output o = sum(m, [0, 1])", WANT(28) },
    { "output o = mean(t)", WANT(1) },
    { "output o = softmax(0 * t)", WANT(1.0 / 3, 1.0 / 3, 1.0 / 3) },
    /* sizes as numbers */
    { "output o = sum(t) / T", WANT(1) },
    { "output o = t + T", WANT(3, 4, 5) },
    { "output o = t * 0 + 2 * T / T", WANT(2, 2, 2) },
    { "output o = m[0, 0] + sizes(m)", WANT(24) },
    { "output o = m[0, 0] + middle(m)", WANT(24) },
    { "output o = m[0, 0] + middle(reshape(m, [4, 1, 1, 2]))", WANT(42) },
    /* comparisons and choices */
    { "output o = where(t > 0.5, t, -1.0)", WANT(-1, 1, 2) },
    { "output o = where(t == 1, 10, 20)", WANT(20, 10, 20) },
    { "output o = cast(t >= 1, f32)", WANT(0, 1, 1) },
    { "output o = where(positions(T) != 1, 1.0, 0.0)", WANT(1, 0, 1) },
    { "if yes and not (width < 8) { o = t } else { o = 2 * t }\noutput o", WANT(0, 1, 2) },
    { "if width == 9 { o = t } else if name == \"abc\" { o = 3 * t }\noutput o", WANT(0, 3, 6) },
    { "if false and 1 / 0 == 1 { o = t } else { o = t + 1 }\noutput o", WANT(1, 2, 3) },
    /* loops, assignment, blocks */
    { "y = t\nfor i in 1..4 { y = y + i }\noutput o = y", WANT(6, 7, 8) },
    { "y = t\nfor i in 0..2 { for j in 0..3 { y = y + i * j } }\noutput o = y", WANT(3, 4, 5) },
    { "y = t\nfor i in 3..3 { y = y + 1 }\noutput o = y", WANT(0, 1, 2) },
    { "output o = twice(twice(t))", WANT(0, 4, 8) },
    { "a, b = pair(t)\noutput o = a * b", WANT(-100, -99, -96) },
    { "a, b = pair(b = 1.0, a = t)\noutput o = a * b", WANT(-1, 0, 3) },
    { "max = max(t)\noutput o = max", WANT(2) },
    /* other operations */
    { "output o = dropout(t, 0.0)", WANT(0, 1, 2) },
    { "output o = sigmoid(0 * t)", WANT(0.5, 0.5, 0.5) },
    { "output o = relu(t - 1)", WANT(0, 0, 1) },
    { "output o = embedding(m, positions(2))[1]", WANT(4, 5, 6, 7) },
    { "z = reshape(t * 0, [1, 1, T, 1])\n"
      "output o = attention(z, z, reshape(t, [1, 1, T, 1]), causal = true)", WANT(0, 0.5, 1) },
    { "z = reshape(t * 0, [1, 1, T, 1])\n"
      "output o = attention(z, z, reshape(t, [1, 1, T, 1]), causal = false)", WANT(1, 1, 1) },
    { "z = reshape(t * 0, [1, 1, T, 1])\n"
      "output o = attention(z, z, reshape(t, [1, 1, T, 1]), window = 2)", WANT(0, 0.5, 1.5) },
    { "z = reshape(concat(reshape(t, [T, 1]), reshape(t * 0, [T, 1]), 1), [1, 1, T, 2])\n"
      "output o = rope(z, positions(T), factors = broadcast(1e9, [1]))",
      WANT(0, 0, 1, 1e-9, 2, 4e-9) },
};

static void fill(Eval *e)
{
    for (StorageId s = 0; s < e->g->n_storages; s++) {
        const Storage *st = &e->g->storages[s];
        if (st->class != STORAGE_PARAM)
            continue;
        for (int64_t i = 0; i < e->storages[s].count; i++)
            e->storages[s].data[i] = st->init == INIT_ones ? 1 : st->init_value;
    }
}

static void check(const Case *c)
{
    Buf text = { 0 };
    buf_printf(&text, "%s%s\n", prelude, c->body);
    Compiled *done = compile_text(text.data, text.len);
    if (!done->g) {
        compile_show(done);
        fail_msg("does not compile: %s", c->body);
    }
    int64_t sizes[MAX_SYMBOLS] = { 2, 3 };
    Eval e = eval_begin(done->g, &done->arena, sizes);
    fill(&e);
    eval_run(&e);
    const Tensor *o = eval_output(&e, "o");
    assert_non_null(o);
    if (o->count != c->n)
        fail_msg("%s: %lld elements, not %u", c->body, (long long)o->count, c->n);
    for (uint32_t i = 0; i < c->n; i++)
        if (!(fabs(o->data[i] - c->want[i]) < 1e-6))
            fail_msg("%s: element %u is %g, not %g", c->body, i, o->data[i], c->want[i]);
    compile_end(done);
    buf_free(&text);
}

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

/* ---- parameters, paths, sharing ----------------------------------------------------------------- */

static Compiled *compile_body(const char *body)
{
    Buf text = { 0 };
    buf_printf(&text, "%s%s\n", prelude, body);
    Compiled *c = compile_text(text.data, text.len);
    if (!c->g)
        compile_show(c);
    assert_non_null(c->g);
    buf_free(&text);
    return c;
}

static void expect_storages(const char *body, const char *names)
{
    Compiled *c = compile_body(body);
    Buf b = { 0 };
    for (StorageId s = 0; s < c->g->n_storages; s++)
        if (c->g->storages[s].class == STORAGE_PARAM)
            buf_printf(&b, "%s ", c->g->storages[s].name);
    assert_string_equal(b.data ? b.data : "", names);
    buf_free(&b);
    compile_end(c);
}

static void test_paths(void **state)
{
    (void)state;
    expect_storages("output o = affine(m, 3)", "affine.weight ");
    expect_storages("output o = affine(m, 3) as a.b", "a.b.weight ");
    expect_storages("output o = affine(m, 3) as model.for.{1 + 1}.if", "model.for.2.if.weight ");
    expect_storages("for i in 0..2 as h.{i} { m = affine(m, 4) as x }\noutput o = m",
                    "h.0.x.weight h.1.x.weight ");
    expect_storages("for i in 0..2 { m = affine(m, 4) as {name}.{i} }\noutput o = m",
                    "abc.0.weight abc.1.weight ");
    expect_storages("for i in 0..2 * floor(1.5) as h.{i} { m = affine(m, 4) as x }\noutput o = m",
                    "h.0.x.weight h.1.x.weight ");
    expect_storages("block outer(a) { return affine(affine(a, 4) as p, 4) as q }\n"
                    "output o = outer(m) as top", "top.p.weight top.q.weight ");
    expect_storages("param scale[4] = ones\noutput o = m * scale", "scale ");
    expect_storages("output o = m * 1.0", "");
}

/* A parameter that is passed as an argument is one parameter, and one value. */
static void test_sharing(void **state)
{
    (void)state;
    static const char body[] = "block table(r, c) { param weight[r, c] = ones return weight }\n"
                               "w = table(4, 4)\noutput o = m @ w @ w'";
    expect_storages(body, "table.weight ");
    Compiled *c = compile_body(body);
    uint32_t sources = 0;
    for (NodeId n = 0; n < c->g->n_nodes; n++)
        sources += c->g->nodes[n].op == OP_param;
    assert_int_equal(sources, 1);
    compile_end(c);
}

static void expect_type(const char *body, const char *type)
{
    Compiled *c = compile_body(body);
    Buf b = { 0 };
    type_print(&b, c->g, value_type(c->g, c->g->outputs[0].value));
    assert_string_equal(b.data, type);
    buf_free(&b);
    compile_end(c);
}

static void test_types(void **state)
{
    (void)state;
    expect_type("output o = x", "f32[B, T, 8]");
    expect_type("output o = affine(x, 3 * width)", "f32[B, T, 24]");
    expect_type("output o = reshape(x, [B * T, width])", "f32[B*T, 8]");
    expect_type("output o = reshape(x, [B, T, heads, -1])", "f32[B, T, 2, 4]");
    expect_type("output o = reshape(x, [-1, width])", "f32[B*T, 8]");
    expect_type("output o = x[.., 0]", "f32[B, T]");
    expect_type("output o = ids + 1", "i32[B, T]");
    expect_type("output o = ids > 3", "bool[B, T]");
    expect_type("output o = mean(x, -1)", "f32[B, T, 1]");
    expect_type("output o = mean(x, [0, 1])", "f32[1, 1, 8]");
    expect_type("output o = embedding(m, ids)", "f32[B, T, 4]");
    expect_type("output o = cast(x, i32)", "i32[B, T, 8]");
    expect_type("output o = cross_entropy(x, ids)", "f32[B, T]");
    expect_type("output o = rope(reshape(x, [B, 1, T, 8]), positions(T), style = interleaved)",
                "f32[B, 1, T, 8]");
}

/* ids used directly as rows or targets get their range; the smaller one where there are two. */
static void test_ranges_of_ids(void **state)
{
    (void)state;
    Compiled *c = compile_body("y = embedding(m, ids)\n"
                               "output o = cross_entropy(x, ids, ignore_index = -1)");
    const Storage *ids = &c->g->storages[graph_find_storage(c->g, "ids")];
    assert_int_equal(ids->index_limit, 2);
    assert_int_equal(ids->index_ignore, -1);
    compile_end(c);
}

/* A wrong size is explained by the configs on both sides. */
static void test_origins(void **state)
{
    (void)state;
    static const char text[] = "model m\nconfig wide = 12\nconfig narrow = 5\nbatch B\n"
                               "input x : f32[B, 2 * wide]\nparam w[narrow, 3] = zeros\n"
                               "output o = x @ w\n";
    Compiled *c = compile_text(text, sizeof text - 1);
    assert_null(c->g);
    assert_int_equal(c->diags.n, 1);
    Buf b = { 0 };
    carets_print(&b, &c->diags, &c->sources, false);
    assert_non_null(strstr(b.data, "24 is `2 * wide` (test.smg:5)"));
    assert_non_null(strstr(b.data, "5 is `narrow` (test.smg:3)"));
    assert_non_null(strstr(b.data, "    7 | output o = x @ w\n      |            ^~~~~ "));
    buf_free(&b);
    compile_end(c);
}

/* The command line replaces a config before anything is made of it. */
static void test_defines(void **state)
{
    (void)state;
    static const char text[] = "model m\nconfig a = 7\nconfig b = a / 2\nconfig f = 1.0\n"
                               "config s = \"x\"\nbatch B\ninput x : f32[B, b]\n"
                               "if s == \"7\" { x = x * f }\noutput o = x\n";
    const char *defines[] = { "a=8", "f=3", "s=7", "a=6" };
    Compiled *c = compile_begin();
    FrontendOptions options = compile_options(c, defines, 4);
    c->g = frontend_compile("m.smg", text, sizeof text - 1, &options, &c->arena, &c->diags);
    compile_show(c);
    assert_non_null(c->g);
    assert_int_equal(c->g->storages[0].type.shape.dim[1].coef, 3);
    assert_int_equal(c->g->nodes[1].op, OP_constant);
    assert_true(NODE_ATTR(&c->g->nodes[1], constant, value).f == 3);
    compile_end(c);
}

/* Numbers that do not go together tell their names, and that the command line set them. */
static void test_numbers_tell_their_names(void **state)
{
    (void)state;
    static const char text[] = "model m\nconfig width = 96\nconfig heads = 12\nconfig head = width / heads\n"
                               "config none = 5 / (width * 0)\n";
    const char *defines[] = { "width=97" };
    Compiled *c = compile_begin();
    FrontendOptions options = compile_options(c, defines, 1);
    c->g = frontend_compile("m.smg", text, sizeof text - 1, &options, &c->arena, &c->diags);
    assert_null(c->g);
    const Diag *d = c->diags.diags;
    assert_int_equal(d[0].code, DIAG_E0402);
    assert_int_equal(d[0].n_notes, 2);
    assert_string_equal(d[0].notes[0].text, "97 is `width`, as set by -D width=97");
    assert_string_equal(d[0].notes[1].text, "12 is `heads`");
    assert_int_equal(d[1].code, DIAG_E0403);
    assert_int_equal(d[1].n_notes, 1);
    assert_string_equal(d[1].notes[0].text, "0 is `width * 0`");
    compile_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),      cmocka_unit_test(test_paths),
        cmocka_unit_test(test_sharing),       cmocka_unit_test(test_types),
        cmocka_unit_test(test_ranges_of_ids), cmocka_unit_test(test_origins),
        cmocka_unit_test(test_defines),       cmocka_unit_test(test_numbers_tell_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
