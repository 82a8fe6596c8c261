/* Graph text: what is printed reads back and prints again to the same bytes, and no bytes at all
 * make the reader do worse than complain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/ir/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads `text` and prints it again; fails the test when it does not read. */
static Graph *reread(const char *text, size_t n, Arena *arena, Buf *again)
{
    Error err = { 0 };
    Graph *g = graph_read(text, n, arena, &err);
    if (!g)
        fail_msg("%s", err.text);
    graph_print(again, g);
    return g;
}

static void assert_survives(const Graph *g)
{
    Arena arena;
    arena_init(&arena, NULL);
    Buf first = { 0 }, second = { 0 };
    graph_print(&first, g);
    reread(first.data, first.len, &arena, &second);
    assert_string_equal(first.data, second.data);
    assert_int_equal(first.len, second.len);
    buf_free(&first);
    buf_free(&second);
    arena_free(&arena);
}

static void every_op_survives(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    for (int op = 0; op < N_OPS; op++) {
        Sample s = sample_begin(&arena);
        sample_op(&s, (OpId)op);
        assert_survives(s.g);
    }
    assert_survives(sample_graph(&arena));
    assert_survives(sample_placed(&arena));
    arena_free(&arena);
}

/* The values come back as they were, not only the text. */
static void the_graph_read_is_the_graph_printed(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = sample_placed(&arena);
    Buf text = { 0 }, again = { 0 };
    graph_print(&text, g);
    Graph *r = reread(text.data, text.len, &arena, &again);
    assert_string_equal(g->name, r->name);
    assert_int_equal(g->n_nodes, r->n_nodes);
    assert_int_equal(g->n_values, r->n_values);
    assert_int_equal(g->n_storages, r->n_storages);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *a = &g->nodes[n], *b = &r->nodes[n];
        assert_int_equal(a->op, b->op);
        assert_int_equal(a->n_inputs, b->n_inputs);
        assert_int_equal(a->group, b->group);
        assert_string_equal(a->path, b->path);
        assert_memory_equal(&a->span, &b->span, sizeof a->span);
        for (int i = 0; i < op_info(a->op)->n_attrs; i++)
            if (op_info(a->op)->attrs[i].kind != ATTR_FLOAT || !isnan(a->attr[i].f))
                assert_memory_equal(&a->attr[i], &b->attr[i], sizeof a->attr[i]);
        for (unsigned i = 0; i < a->n_inputs; i++)
            assert_int_equal(node_input(g, a, i), node_input(r, b, i));
    }
    for (ValueId v = 0; v < g->n_values; v++) {
        assert_true(type_equal(value_type(g, v), value_type(r, v)));
        assert_int_equal(g->values[v].place.buffer, r->values[v].place.buffer);
    }
    for (BufferId b = 0; b < g->n_buffers; b++) {
        assert_int_equal(g->buffers[b].storage, r->buffers[b].storage);
        assert_int_equal(g->buffers[b].offset, r->buffers[b].offset);
        assert_int_equal(g->buffers[b].bytes, r->buffers[b].bytes);
        assert_int_equal(g->buffers[b].first, r->buffers[b].first);
        assert_int_equal(g->buffers[b].last, r->buffers[b].last);
    }
    for (StorageId s = 0; s < g->n_storages; s++) {
        const Storage *a = &g->storages[s], *b = &r->storages[s];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->class, b->class);
        assert_int_equal(a->init, b->init);
        assert_true(a->init_value == b->init_value);
        assert_int_equal(a->train_only, b->train_only);
        assert_int_equal(a->index_limit, b->index_limit);
        assert_int_equal(a->index_ignore, b->index_ignore);
    }
    assert_memory_equal(&g->optimizer, &r->optimizer, sizeof g->optimizer);
    assert_int_equal(g->pool_bytes, r->pool_bytes);
    assert_int_equal(g->pool_bound, r->pool_bound);
    assert_int_equal(g->loss, r->loss);
    assert_int_equal(g->context, r->context);
    buf_free(&text);
    buf_free(&again);
    arena_free(&arena);
}

static bool is_default(const AttrInfo *info, const AttrValue *v)
{
    if (info->kind == ATTR_FLOAT)
        return v->f == info->value;
    if (info->kind == ATTR_DIM)
        return dim_is(v->dim, (int64_t)info->value);
    return v->i == (int64_t)info->value;
}

/* Else the tests above could pass without ever seeing an attribute. */
static void samples_set_every_attribute(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = sample_graph(&arena);
    for (int op = 0; op < N_OPS; op++) {
        const OpInfo *info = op_info((OpId)op);
        for (int i = 0; i < info->n_attrs; i++) {
            bool set = false;
            for (NodeId n = 0; n < g->n_nodes; n++)
                set |= g->nodes[n].op == (OpId)op &&
                       !is_default(&info->attrs[i], &g->nodes[n].attr[i]);
            if (!set)
                fail_msg("no sample sets %s of %s", info->attrs[i].name, info->name);
        }
    }
    arena_free(&arena);
}

/* ---- the form itself ------------------------------------------------------------------------- */

static const char small[] =
    "graph \"tiny\" train\n"
    "file 0 \"tiny.smg\"\n"
    "symbol B batch max=4 @0:3:1+7\n"
    "symbol T sequence max=16\n"
    "context 1024\n"
    "storage input \"x\" f32[B, T, 8]\n"
    "storage param \"w\" f32[4, 8] init=normal(0.02) @0:9:3+20\n"
    "storage state \"m\" f32[4, 8]\n"
    "storage input \"targets\" i32[B, T] train_only=true limit=50257 ignore=-100\n"
    "optimizer adamw lr=0.0006 beta1=0.9 beta2=0.95 eps=1e-08 weight_decay=0.1\n"
    "groups 1\n"
    "buffer b0 storage=\"x\" elements=8*B*T bytes=2048 offset=-1 live=%0..%2\n"
    "buffer b1 elements=4*B*T bytes=1024 offset=64 live=%2..none\n"
    "pool bytes=1088 bound=1024\n"
    "%0 = input() storage=\"x\" : f32[B, T, 8] place=b0+0[8*T, 8, 1]\n"
    "%1 = param() storage=\"w\" : f32[4, 8]\n"
    "%2 = matmul(%0, %1) transpose_b=true : f32[B, T, 4] @0:52:13+9 \"h.0.attn\" place=b1+0[4*T, 4, "
    "1]\n"
    "%3 = reshape(%2) : f32[B*T, 4] group=1\n"
    "%4 = sum(%3) axes=[0, 1] : f32[1, 1] group=1\n"
    "%5 = constant() value=0.1 : f32[]\n"
    "%6, %7 = cross_entropy(%0, %8) : f32[B, T], f32[B, T]\n";

static void small_text_is_canonical(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    char text[sizeof small + 200];
    snprintf(text, sizeof text, "%.*s%s", (int)(strstr(small, "%6, ") - small), small,
             "%6 = input() storage=\"targets\" : i32[B, T]\n"
             "%7, %8 = cross_entropy(%0, %6) : f32[B, T], f32[B, T] place=none, b1+B*T^2[T, 1]\n"
             "output \"y\" %2 @0:60:1+1\n"
             "loss %5\n");
    Buf again = { 0 };
    reread(text, strlen(text), &arena, &again);
    assert_string_equal(again.data, text);
    buf_free(&again);
    arena_free(&arena);
}

/* The example of docs/graph.md, its last indented lines, is canonical too. */
static void the_documented_example_is_canonical(void **state)
{
    (void)state;
    Buf doc = { 0 }, text = { 0 }, again = { 0 };
    Error err = { 0 };
    if (!file_read(SOURCE_DIR "/docs/graph.md", 1 << 20, &doc, &err))
        fail_msg("%s", err.text);
    const char *line = strstr(doc.data, "    graph \"tiny\"");
    assert_non_null(line);
    while (strncmp(line, "    ", 4) == 0) {
        size_t n = strcspn(line, "\n") + 1;
        buf_add(&text, line + 4, n - 4);
        line += n;
    }
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = reread(text.data, text.len, &arena, &again);
    assert_string_equal(again.data, text.data);
    assert_true(graph_verify(g, &arena, &err));
    buf_free(&doc);
    buf_free(&text);
    buf_free(&again);
    arena_free(&arena);
}

static void blanks_and_comments_are_skipped(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    static const char text[] = "\n# a graph\n  graph \"g\"   model # here\n\n%0=constant( ):f32[ ]";
    Buf again = { 0 };
    reread(text, sizeof text - 1, &arena, &again);
    assert_string_equal(again.data, "graph \"g\" model\n%0 = constant() : f32[]\n");
    buf_free(&again);
    arena_free(&arena);
}

static void numbers_take_the_fewest_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        { 0.1, "0.1" }, { 1e-5, "1e-05" }, { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" }, { 5e-324, "5e-324" }, { -3, "-3" },
        { -0.0, "-0" }, { 1e15, "1e+15" }, { 123456789012345, "123456789012345" },
        { INFINITY, "inf" }, { -INFINITY, "-inf" }, { NAN, "nan" }, { 2.5e-310, "2.5e-310" },
    };
    Arena arena;
    arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Graph *g = graph_new(&arena, "g", PROGRAM_model);
        Builder b = builder_at(g, NULL);
        build_constant(&b, rows[i].value);
        Buf text = { 0 };
        graph_print(&text, g);
        char want[100];
        snprintf(want, sizeof want, "graph \"g\" model\n%%0 = constant() value=%s : f32[]\n",
                 rows[i].text);
        assert_string_equal(text.data, want);
        buf_free(&text);
        assert_survives(g);
    }
    arena_free(&arena);
}

/* Any double, bit patterns drawn at random, comes back as it was. */
static void random_numbers_survive(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = graph_new(&arena, "g", PROGRAM_model);
    Builder b = builder_at(g, NULL);
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t bits = (uint64_t)random_u32(7, 1, i) << 32 | random_u32(7, 2, i);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isnan(v))
            build_constant(&b, v);
    }
    Buf text = { 0 }, again = { 0 };
    graph_print(&text, g);
    Graph *r = reread(text.data, text.len, &arena, &again);
    assert_string_equal(text.data, again.data);
    for (NodeId n = 0; n < g->n_nodes; n++)
        assert_memory_equal(&g->nodes[n].attr[0], &r->nodes[n].attr[0], sizeof(double));
    buf_free(&text);
    buf_free(&again);
    arena_free(&arena);
}

/* ---- what is refused ------------------------------------------------------------------------- */

#define HEAD "graph \"g\" model\n"
#define SIZES HEAD "symbol B batch\nsymbol T sequence\n"
#define INPUT SIZES "storage input \"x\" f32[B, 8]\n"
#define SOURCE INPUT "%0 = input() storage=\"x\" : f32[B, 8]\n"

static const struct {
    const char *text, *message;
} refused[] = {
    { "", "the text holds no graph" },
    { "# nothing\n", "the text holds no graph" },
    { "grph \"g\" model", "line 1, column 1: expected a line of a graph, found `grph`" },
    { "symbol B batch", "the first line must be `graph`" },
    { "graph \"g\" modl", "there is no program `modl`" },
    { "graph \"g model\n", "a string without its closing \"" },
    { "graph \"\\q\" model", "a backslash stands before" },
    { "graph \"\\x00\" model", "not both 0" },
    { HEAD HEAD, "line 2, column 6: a second `graph`" },
    { HEAD "file 1 \"a\"", "file 1 comes where 0 is next" },
    { HEAD "symbol B batch\nfile 0 \"a\"", "`file` comes after `symbol`" },
    { HEAD "symbol 9 batch", "expected a word, found `9`" },
    { HEAD "symbol B bath", "expected batch, sequence or free, found `bath`" },
    { HEAD "symbol B batch max=-1", "lies outside" },
    { SIZES "symbol T free", "a second symbol `T`" },
    { HEAD "symbol a free\nsymbol b free\nsymbol c free\nsymbol d free\nsymbol e free\n"
           "symbol f free\nsymbol g free\nsymbol h free\nsymbol i free\n", "more than 8 symbols" },
    { HEAD "symbol B batch @0:1:1+1", "file 0 of 0" },
    { HEAD "storage inpt \"x\" f32[]", "expected input, param or state" },
    { HEAD "storage input \"\" f32[]", "a storage without a name" },
    { HEAD "storage input \"x\" f64[]", "expected an element type, found `f64[]`" },
    { HEAD "storage input \"x\" f32[C]", "expected a number or a symbol of this graph" },
    { HEAD "storage input \"x\" f32[0]", "a size below 1" },
    { HEAD "storage input \"x\" f32[1, 1, 1, 1, 1, 1, 1]", "more than 6 axes" },
    { HEAD "storage input \"x\" f32[4611686018427387903, 2]", "more than 2^62 elements" },
    { HEAD "storage input \"x\" f32[4611686018427387903*2]", "does not fit 62 bits" },
    { HEAD "storage input \"x\" f32[9999999999999999999]", "lies outside" },
    { SIZES "storage input \"x\" f32[B^256]", "lies outside" },
    { SIZES "storage input \"x\" f32[B^200*B^200]", "does not fit 62 bits" },
    { HEAD "storage param \"x\" f32[] init=norml(0.02)", "expected a way to begin" },
    { HEAD "storage param \"x\" f32[] init=normal(1e999)", "expected a number" },
    { INPUT "storage input \"x\" f32[]\n%0 = input() storage=\"x\" : f32[]", "two storages above" },
    { HEAD "context -1", "lies outside" },
    { HEAD "context 1\ncontext 1", "a second `context`" },
    { HEAD "optimizer adam", "expected an optimizer" },
    { HEAD "buffer b1 elements=1", "b1 comes where b0 is next" },
    { HEAD "buffer b0 elements=1 bytes=64 offset=-2 live=none..none", "lies outside" },
    { HEAD "buffer b0 elements=1 bytes=64 offset=0 live=%0..none", "no node's first result" },
    { SIZES "storage input \"x\" f32[B, 8]\nstorage input \"t\" i32[B]\n"
            "buffer b0 elements=1 bytes=64 offset=0 live=%2..%3\n"
            "%0 = input() storage=\"x\" : f32[B, 8]\n%1 = input() storage=\"t\" : i32[B]\n"
            "%2, %3 = cross_entropy(%0, %1) : f32[B], f32[B]\n",
      "b0 lives at %3, which is no node's first result" },
    { HEAD "buffer b0 storage=\"x\" elements=1", "there is no storage \"x\"" },
    { HEAD "pool bytes=1\n", "expected bound" },
    { HEAD "%1 = constant() : f32[]", "%1 comes where %0 is next" },
    { HEAD "%0 = neg(%0) : f32[]", "%0 is not defined above" },
    { HEAD "%0 = negate() : f32[]", "there is no op `negate`" },
    { HEAD "%0, %1 = constant() : f32[], f32[]", "constant has 1 results, not 2" },
    { HEAD "%0 = constant() valu=1 : f32[]", "constant has no attribute `valu`" },
    { HEAD "%0 = constant() value=1 value=1 : f32[]", "value is given twice" },
    { HEAD "%0 = constant() dtype=f64 : f32[]", "there is no element type `f64`" },
    { HEAD "%0 = constant() : i32[]", "%0 is f32[], not i32[]" },
    { HEAD "%0 = constant() : f32[] group=1", "lies outside" },
    { HEAD "%0 = constant() : f32[] place=b0+0[]", "there is no b0" },
    { HEAD "%0 = constant() : f32[] more", "expected the end of the line, found `more`" },
    { HEAD "%0 = input() : f32[]", "input needs storage=" },
    { HEAD "%0 = input() storage=\"x\" : f32[]", "there is no storage \"x\"" },
    { SOURCE "%1 = neg(%0, %0) : f32[B, 8]", "neg: takes 1 input, not 2" },
    { SOURCE "%1 = sum(%0) axes=[2] : f32[B, 8]", "sum: there is no axis 2" },
    { SOURCE "%1 = sum(%0) axes=[9] : f32[B, 8]", "lies outside" },
    { SOURCE "%1 = reshape(%0) : f32[B, 9]", "reshape: x has another number of elements" },
    { SOURCE "%1 = rope(%0, %0) style=hal : f32[B, 8]", "expected half or interleaved" },
    { SOURCE "output \"y\" %1", "%1 is not defined above" },
    { SOURCE "loss %1", "%1 is not defined above" },
    { SOURCE "output \"y\" %0\n%1 = neg(%0) : f32[B, 8]", "`%` comes after `output`" },
};

static void wrong_text_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Arena arena;
        arena_init(&arena, NULL);
        Error err = { 0 };
        Graph *g = graph_read(refused[i].text, strlen(refused[i].text), &arena, &err);
        if (g || !strstr(err.text, refused[i].message))
            fail_msg("%s\ngave \"%s\"\nnot  \"%s\"", refused[i].text, g ? "a graph" : err.text,
                     refused[i].message);
        arena_free(&arena);
    }
}

/* ---- any bytes ------------------------------------------------------------------------------- */

/* Reads from a copy of exactly n bytes, so that a sanitizer sees the first one too many.  What does
 * read must survive printing like anything else. */
static void try_bytes(const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Error err = { 0 };
    Graph *g = graph_read(copy, n, &arena, &err);
    if (g) {
        graph_verify(g, &scratch, &err);
        assert_survives(g);
    } else {
        assert_true(err.text[0] != 0);
    }
    arena_free(&arena);
    arena_free(&scratch);
    free(copy);
}

/* A few lines of each kind, so that every length and many bytes can be tried. */
static void sample_text(Buf *out)
{
    Arena arena;
    arena_init(&arena, NULL);
    Sample s = sample_begin(&arena);
    static const OpId ops[] = { OP_matmul, OP_rope, OP_attention, OP_sum, OP_constant };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        sample_op(&s, ops[i]);
    graph_print(out, s.g);
    arena_free(&arena);
}

static void every_truncation_is_read_or_refused(void **state)
{
    (void)state;
    Buf text = { 0 };
    sample_text(&text);
    for (size_t n = 0; n <= text.len; n++)
        try_bytes(text.data, n);
    for (size_t n = 0; n < sizeof small; n++)
        try_bytes(small, n);
    buf_free(&text);
}

static void changed_bytes_are_read_or_refused(void **state)
{
    (void)state;
    static const char likely[] = "0129-+*^[](),:.=\"\\%@#bBTx \n\t\x80\xff";
    Buf text = { 0 };
    sample_text(&text);
    for (size_t i = 0; i < text.len; i++) {
        char kept = text.data[i];
        for (uint64_t k = 0; k < 3; k++) {
            uint32_t r = random_u32(11, k, i);
            text.data[i] = k < 2 ? likely[r % sizeof likely] : (char)r;
            try_bytes(text.data, text.len);
        }
        text.data[i] = kept;
    }
    buf_free(&text);
}

/* Runs of lines dropped, doubled or moved. */
static void changed_lines_are_read_or_refused(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Buf text = { 0 };
    graph_print(&text, sample_placed(&arena));
    for (uint64_t i = 0; i < 200; i++) {
        size_t at = random_u32(13, 0, i) % text.len, n = random_u32(13, 1, i) % 2000;
        const char *from = strchr(text.data + at, '\n');
        if (!from)
            continue;
        const char *to = from + (n < strlen(from) ? n : strlen(from));
        Buf changed = { 0 };
        buf_add(&changed, text.data, (size_t)(from - text.data));
        if (i % 2)
            buf_add(&changed, from, (size_t)(to - from));
        buf_puts(&changed, i % 2 ? from : to);
        try_bytes(changed.data, changed.len);
        buf_free(&changed);
    }
    buf_free(&text);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_survives),
        cmocka_unit_test(the_graph_read_is_the_graph_printed),
        cmocka_unit_test(samples_set_every_attribute),
        cmocka_unit_test(small_text_is_canonical),
        cmocka_unit_test(the_documented_example_is_canonical),
        cmocka_unit_test(blanks_and_comments_are_skipped),
        cmocka_unit_test(numbers_take_the_fewest_digits),
        cmocka_unit_test(random_numbers_survive),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(every_truncation_is_read_or_refused),
        cmocka_unit_test(changed_bytes_are_read_or_refused),
        cmocka_unit_test(changed_lines_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
