/* Cases of shape rules, read and run. */
#include "tests/ir/infer_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A graph whose values are inputs of the given types, and the type of `shape` last. */
static Graph *graph_of(const InferCase *c, Arena *arena, ValueId inputs[MOST_INPUTS], uint32_t *n,
                       Shape *shape)
{
    Buf text = { 0 }, nodes = { 0 };
    buf_puts(&text, "graph \"g\" model\nsymbol B batch max=4\nsymbol T sequence max=16\n");
    *n = 0;
    char types[1000];
    snprintf(types, sizeof types, "%s", c->inputs);
    for (char *t = strtok(types, ";"); t; t = strtok(NULL, ";")) {
        assert_true(*n < MOST_INPUTS);
        buf_printf(&text, "storage input \"%u\" %s\n", *n, t);
        buf_printf(&nodes, "%%%u = input() storage=\"%u\" : %s\n", *n, *n, t);
        inputs[*n] = *n;
        ++*n;
    }
    if (c->shape)
        buf_printf(&text, "storage input \"shape\" %s\n", c->shape);
    if (nodes.len)
        buf_puts(&text, nodes.data);
    Error err = { 0 };
    Graph *g = graph_read(text.data, text.len, arena, &err);
    if (!g)
        fail_msg("%s\n%s", text.data, err.text);
    *shape = c->shape ? g->storages[g->n_storages - 1].type.shape : (Shape){ 0 };
    buf_free(&text);
    buf_free(&nodes);
    return g;
}

static void set_attrs(NodeSpec *spec, const char *attrs)
{
    const OpInfo *info = op_info(spec->op);
    char text[200];
    snprintf(text, sizeof text, "%s", attrs ? attrs : "");
    for (char *a = strtok(text, " "); a; a = strtok(NULL, " ")) {
        char *value = strchr(a, '=');
        assert_non_null(value);
        *value++ = 0;
        int i = op_attr(spec->op, a);
        if (i < 0)
            fail_msg("%s has no %s", info->name, a);
        if (info->attrs[i].kind == ATTR_FLOAT)
            spec->attr[i].f = strtod(value, NULL);
        else if (info->attrs[i].kind == ATTR_DIM)
            spec->attr[i].dim = *value == 'T' ? dim_symbol(1) : dim_const(strtoll(value, NULL, 10));
        else
            spec->attr[i].i = strtoll(value, NULL, 10);
    }
}

Graph *infer_case_read(const InferCase *c, OpId op, Arena *arena, ValueId inputs[MOST_INPUTS], NodeSpec *spec)
{
    uint32_t n;
    Shape shape;
    Graph *g = graph_of(c, arena, inputs, &n, &shape);
    *spec = node_spec(op, inputs, n, (Span){ 0, 7, 1, 1 }, NULL);
    set_attrs(spec, c->attrs);
    spec->shape = shape;
    return g;
}

/* The types of the results by semicolons, or "E0210: message". */
static void outcome(const InferCase *c, OpId op, Buf *out)
{
    Arena arena;
    arena_init(&arena, NULL);
    ValueId inputs[MOST_INPUTS];
    NodeSpec spec;
    Graph *g = infer_case_read(c, op, &arena, inputs, &spec);
    DiagSink sink;
    diag_init(&sink, &arena);
    ValueId v = graph_add(g, &spec, &sink);
    if (v == NO_VALUE) {
        assert_int_equal(sink.n, 1);
        assert_int_equal(sink.diags[0].span.line, 7);
        buf_printf(out, "%s: %s", diag_code_name(sink.diags[0].code), sink.diags[0].text);
    } else {
        assert_int_equal(sink.n, 0);
        for (unsigned i = 0; i < value_def(g, v)->n_outputs; i++) {
            if (i)
                buf_putc(out, ';');
            type_print(out, g, value_type(g, v + i));
        }
    }
    arena_free(&arena);
}

static const char *const shape_rules[N_OPS] = {
#define OP(name, min, max, outs, shape, eval, grad, lower, class, flags) [OP_##name] = #shape,
#include "ir/ops.def"
};

void infer_case_all_seen(const bool *seen, const char *where)
{
    for (int op = 0; op < N_OPS; op++)
        if (!seen[op] && strcmp(shape_rules[op], "storage") != 0)
            fail_msg("%s has no %s case", op_info((OpId)op)->name, where);
}

void infer_case_run(const InferCase *c, bool *seen)
{
    char ops[500];
    snprintf(ops, sizeof ops, "%s", c->ops);
    char *next = ops;
    while (*next) {
        char *name = next;
        next += strcspn(next, " ");
        if (*next)
            *next++ = 0;
        OpId op;
        if (!op_from_name(name, &op))
            fail_msg("no op %s", name);
        seen[op] = true;
        Buf got = { 0 };
        outcome(c, op, &got);
        bool as_wanted = c->code ? strncmp(got.data, c->code, 5) == 0 && strstr(got.data, c->want)
                                 : strcmp(got.data, c->want) == 0;
        if (!as_wanted)
            fail_msg("%s(%s) %s gave \"%s\", not \"%s\"", name, c->inputs,
                     c->attrs ? c->attrs : "", got.data, c->want);
        buf_free(&got);
    }
}
