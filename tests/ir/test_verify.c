/* The verifier: legal graphs pass, and each kind of broken graph is refused by the rule meant for
 * it.  Every row breaks one thing of a graph that is legal otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/text.h"
#include "ir/verify.h"
#include "tests/ir/sample.h"

#include <stdio.h>
#include <string.h>

#define DIMS(...) (int)(sizeof((Dim[]){ __VA_ARGS__ }) / sizeof(Dim)), ((Dim[]){ __VA_ARGS__ })
#define C(n) dim_const(n)

/* A small training step, all its parts by name.
 *
 *     y = relu(x @ w + b);  loss = sum(y);  b := b + 1
 *     t = transpose(y), u = neg(t)          u is an output
 *
 * Placed: y overwrites the sum, which overwrites the product; t is a view of y.  Group 1 is the
 * sum and relu when asked. */
typedef struct Parts {
    Graph *g;
    Sample s;
    ValueId x, w, b, product, sum, y, loss, t, u, one, next, b_new;
    NodeId write;
    BufferId b_y, b_u, b_loss, b_next;
} Parts;

static ValueId named_storage(Parts *p, StorageClass class, const char *name, int rank,
                             const Dim *dims)
{
    Storage s = { .name = name, .class = class, .type = type_of(DTYPE_f32, rank, dims) };
    return build_storage(&p->s.b, graph_storage(p->g, s));
}

static Parts parts_begin(Arena *arena)
{
    Parts p = { .s = sample_begin(arena) };
    Builder *b = &p.s.b;
    p.g = p.s.g;
    p.x = named_storage(&p, STORAGE_INPUT, "x", DIMS(p.s.B, C(8)));
    p.w = named_storage(&p, STORAGE_PARAM, "w", DIMS(C(8), C(16)));
    p.b = named_storage(&p, STORAGE_PARAM, "b", DIMS(C(16)));
    p.product = build_matmul(b, p.x, p.w, false, false, 1);
    p.sum = build2(b, OP_add, p.product, p.b);
    p.y = build1(b, OP_relu, p.sum);
    p.loss = build_sum(b, p.y, ALL_AXES);
    p.t = build_transpose(b, p.y, 0, 1);
    p.u = build1(b, OP_neg, p.t);
    p.one = build_constant(b, 1);
    p.next = build2(b, OP_add, p.b, p.one);
    p.write = p.g->n_nodes;
    p.b_new = build2(b, OP_assign, p.b, p.next);
    graph_output(p.g, "u", p.u, (Span){ 0 });
    p.g->loss = p.loss;
    return p;
}

static BufferId buffer(Graph *g, StorageId storage, Dim elements, int64_t bytes, int64_t offset,
                       NodeId first, NodeId last)
{
    Buffer b = { storage, elements, bytes, offset, first, last };
    ARENA_PUSH(g->arena, g->buffers, g->n_buffers, g->cap_buffers, b);
    return g->n_buffers - 1;
}

static void put(Parts *p, ValueId v, BufferId b)
{
    Value *value = &p->g->values[v];
    value->place = (Place){ .buffer = b };
    assert_true(shape_strides(&value->type.shape, value->place.stride));
}

static Parts parts_placed(Arena *arena)
{
    Parts p = parts_begin(arena);
    Graph *g = p.g;
    Dim by_16;
    assert_true(dim_mul(p.s.B, C(16), &by_16));
    Dim by_8;
    assert_true(dim_mul(p.s.B, C(8), &by_8));
    NodeId end = g->n_nodes - 1;
    put(&p, p.x, buffer(g, 0, by_8, 128, -1, NO_NODE, NO_NODE));
    put(&p, p.w, buffer(g, 1, C(128), 512, -1, NO_NODE, NO_NODE));
    put(&p, p.b, buffer(g, 2, C(16), 64, -1, NO_NODE, NO_NODE));
    put(&p, p.b_new, 2);
    p.b_y = buffer(g, NO_STORAGE, by_16, 256, 0, 3, 8);
    p.b_u = buffer(g, NO_STORAGE, by_16, 256, 256, 8, end);
    p.b_loss = buffer(g, NO_STORAGE, C(1), 64, 512, 6, end);
    p.b_next = buffer(g, NO_STORAGE, C(16), 64, 0, 10, end);
    put(&p, p.product, p.b_y);
    put(&p, p.sum, p.b_y);
    put(&p, p.y, p.b_y);
    put(&p, p.loss, p.b_loss);
    put(&p, p.t, p.b_y);
    g->values[p.t].place.stride[0] = C(1);
    g->values[p.t].place.stride[1] = C(16);
    put(&p, p.u, p.b_u);
    put(&p, p.next, p.b_next);
    g->pool_bytes = 576;
    return p;
}

static void assert_legal(const Graph *g)
{
    Arena scratch;
    arena_init(&scratch, NULL);
    Error err = { 0 };
    if (!graph_verify(g, &scratch, &err))
        fail_msg("%s", err.text);
    arena_free(&scratch);
}

static void legal_graphs_pass(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    assert_legal(graph_new(&arena, "empty", PROGRAM_model));
    assert_legal(parts_begin(&arena).g);
    assert_legal(parts_placed(&arena).g);
    assert_legal(sample_graph(&arena));
    assert_legal(sample_placed(&arena));
    arena_free(&arena);
}

/* The sum inside of a group needs no place, and a state may be written twice. */
static void groups_reuse_and_chains_of_writes_pass(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Parts p = parts_placed(&arena);
    Node *nodes = p.g->nodes;
    p.g->n_groups = 1;
    nodes[p.g->values[p.sum].def].group = nodes[p.g->values[p.y].def].group = 1;
    p.g->values[p.sum].place.buffer = NO_BUFFER;
    assert_legal(p.g);

    /* What nobody will read again may be written over by anything. */
    Parts r = parts_placed(&arena);
    put(&r, r.next, r.b_y);
    r.g->values[r.next].place.offset = C(3);
    r.g->buffers[r.b_y].last = r.g->n_nodes - 1;
    r.g->buffers[r.b_next].offset = 1024;
    r.g->pool_bytes = 2048;
    assert_legal(r.g);

    Parts q = parts_begin(&arena);
    ValueId more = build2(&q.s.b, OP_add, q.b_new, q.one);
    build2(&q.s.b, OP_assign, q.b_new, more);
    assert_legal(q.g);
    arena_free(&arena);
}

/* Two halves of the columns of one matrix, read while the other is written. */
static void columns_of_one_buffer_pass(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    ValueId x = sample_input(&s, DTYPE_f32, DIMS(C(4), C(8)));
    ValueId a = build1(&s.b, OP_neg, x), b = build1(&s.b, OP_exp, x);
    ValueId c = build2(&s.b, OP_add, a, b);
    graph_output(g, "c", c, (Span){ 0 });
    Parts p = { .g = g };
    put(&p, x, buffer(g, 0, C(32), 128, -1, NO_NODE, NO_NODE));
    BufferId both = buffer(g, NO_STORAGE, C(64), 256, 0, 1, 3);
    put(&p, a, both);
    put(&p, b, both);
    g->values[a].place.stride[0] = g->values[b].place.stride[0] = C(16);
    g->values[b].place.offset = C(8);
    put(&p, c, buffer(g, NO_STORAGE, C(32), 128, 256, 3, 3));
    g->pool_bytes = 384;
    assert_legal(g);

    g->values[b].place.offset = C(7);
    Error err = { 0 };
    Arena scratch;
    arena_init(&scratch, NULL);
    assert_false(graph_verify(g, &scratch, &err));
    assert_non_null(strstr(err.text, "%2 is written over %1, which is read later"));
    arena_free(&scratch);
    arena_free(&arena);
}

/* Joins halves that lie in the whole already, a at `first` and b at `second`. */
static bool join_passes(int64_t first, int64_t second)
{
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    ValueId x = sample_input(&s, DTYPE_f32, DIMS(C(4), C(8)));
    ValueId a = build1(&s.b, OP_neg, x), b = build1(&s.b, OP_exp, x);
    ValueId whole = build2(&s.b, OP_concat, a, b);
    graph_output(g, "whole", whole, (Span){ 0 });
    Parts p = { .g = g };
    put(&p, x, buffer(g, 0, C(32), 128, -1, NO_NODE, NO_NODE));
    BufferId both = buffer(g, NO_STORAGE, C(64), 256, 0, 1, 3);
    put(&p, a, both);
    put(&p, b, both);
    put(&p, whole, both);
    g->values[a].place.stride[0] = g->values[b].place.stride[0] = C(16);
    g->values[a].place.offset = C(first);
    g->values[b].place.offset = C(second);
    Error err = { 0 };
    bool ok = graph_verify(g, &scratch, &err);
    if (!ok)
        assert_non_null(strstr(err.text, "%3 is written over %1 while that is read"));
    arena_free(&scratch);
    arena_free(&arena);
    return ok;
}

static void parts_of_a_whole_may_lie_in_it(void **state)
{
    (void)state;
    assert_true(join_passes(0, 8));
    assert_false(join_passes(8, 0));
}

/* The two results of one node are written together. */
static void results_of_a_node_lie_apart(void **state)
{
    (void)state;
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    ValueId x = sample_input(&s, DTYPE_f32, DIMS(C(4), C(8)));
    ValueId t = sample_input(&s, DTYPE_i32, DIMS(C(4)));
    ValueId loss = build2(&s.b, OP_cross_entropy, x, t);
    Parts p = { .g = g };
    put(&p, x, buffer(g, 0, C(32), 128, -1, NO_NODE, NO_NODE));
    put(&p, t, buffer(g, 1, C(4), 64, -1, NO_NODE, NO_NODE));
    BufferId both = buffer(g, NO_STORAGE, C(16), 64, 0, 2, 2);
    put(&p, loss, both);
    put(&p, loss + 1, both);
    g->values[loss + 1].place.offset = C(4);
    assert_legal(g);
    g->values[loss + 1].place.offset = C(3);
    Error err = { 0 };
    assert_false(graph_verify(g, &scratch, &err));
    assert_non_null(strstr(err.text, "%3 is written over %2, written at the same time"));
    arena_free(&scratch);
    arena_free(&arena);
}

/* ---- one way to break each rule -------------------------------------------------------------- */

static Node *def(Parts *p, ValueId v)
{
    return &p->g->nodes[p->g->values[v].def];
}

static Place *place(Parts *p, ValueId v)
{
    return &p->g->values[v].place;
}

#define BREAKS(X)                                                                                  \
    X(no_op, def(p, p->y)->op = N_OPS, "does not exist")                                           \
    X(too_many_inputs, def(p, p->y)->n_inputs = 2, "2 inputs, not 1 to 1")                         \
    X(too_many_results, def(p, p->y)->n_outputs = 2, "2 results, not 1")                           \
    X(edges_outside, def(p, p->y)->first_input = p->g->n_edges, "outside of the edges")            \
    X(edges_far_outside, def(p, p->y)->first_input = UINT32_MAX, "outside of the edges")           \
    X(results_out_of_order, def(p, p->y)->first_output--, "are not the next values")               \
    X(values_left_over, p->g->n_nodes--, "values, but the nodes have")                             \
    X(use_before_definition, p->g->edges[def(p, p->y)->first_input] = p->u,                        \
      "which is not defined before")                                                               \
    X(use_of_itself, p->g->edges[def(p, p->y)->first_input] = p->y, "which is not defined before") \
    X(use_of_nothing, p->g->edges[def(p, p->y)->first_input] = NO_VALUE,                           \
      "which is not defined before")                                                               \
    X(wrong_def, p->g->values[p->y].def--, "does not point back")                                  \
    X(wrong_index, p->g->values[p->y].index = 1, "does not point back")                            \
    X(wrong_dtype, p->g->values[p->y].type.dtype = DTYPE_i32, "not the type that its shape rule")  \
    X(no_dtype, p->g->values[p->y].type.dtype = N_DTYPES, "the type of result 0 is none")          \
    X(wrong_dim, p->g->values[p->y].type.shape.dim[1] = C(17), "not the type that its shape rule") \
    X(zero_dim, p->g->values[p->y].type.shape.dim[1] = C(0), "the type of result 0 is none")       \
    X(unknown_symbol, p->g->values[p->y].type.shape.dim[1].power[7] = 1, "result 0 is none")       \
    X(wrong_rank, p->g->values[p->y].type.shape.rank = 1, "not the type that its shape rule")      \
    X(no_rank, p->g->values[p->y].type.shape.rank = MAX_RANK + 1, "the type of result 0 is none")  \
    X(inputs_do_not_fit, p->g->edges[def(p, p->product)->first_input + 1] = p->x,                  \
      "matmul: inner dimensions differ")                                                           \
    X(axis_not_normal, def(p, p->t)->attr[0].i = -2, "a has no such value")                        \
    X(axes_swapped, (def(p, p->t)->attr[0].i = 1, def(p, p->t)->attr[1].i = 0),                    \
      "a is not in its normal form")                                                               \
    X(no_bool, def(p, p->product)->attr[0].i = 2, "transpose_a has no such value")                 \
    X(no_dtype_attr, def(p, p->one)->attr[1].i = N_DTYPES, "dtype has no such value")              \
    X(stored_dtype_attr, def(p, p->one)->attr[1].i = DTYPE_bf16, "bf16 is a type of storage")      \
    X(stored_as_lanes, p->g->storages[1].stored = DTYPE_i32, "cannot be stored so")                \
    X(input_stored_otherwise, p->g->storages[0].stored = DTYPE_bf16, "cannot be stored so")        \
    X(no_whole_blocks, p->g->storages[1].stored = DTYPE_q4_k, "cannot be stored so")               \
    X(stored_as_nothing, p->g->storages[1].stored = N_DTYPES, "cannot be stored so")               \
    X(stored_input, p->g->storages[0].type.dtype = DTYPE_bf16, "is an input of bf16")              \
    X(rounded_input, p->g->storages[0].rounded_of = "w", "\"x\" cannot be \"w\" rounded")            \
    X(rounded_nothing, p->g->storages[2].rounded_of = "v", "\"b\" cannot be \"v\" rounded")          \
    X(rounded_floats, (p->g->storages[2].class = STORAGE_STATE, p->g->storages[2].rounded_of = "w"), \
      "\"b\" cannot be \"w\" rounded")                                                             \
    X(no_axes, def(p, p->loss)->attr[0].i = 0, "axes has no such value")                           \
    X(span_in_no_file, def(p, p->y)->span.file = 2, "its span is in file 2 of 2")                  \
    X(no_storage, def(p, p->x)->attr[0].i = 3, "storage 3 of 3")                                   \
    X(negative_storage, def(p, p->x)->attr[0].i = -1, "storage -1 of 3")                           \
    X(source_of_another_class, def(p, p->x)->op = OP_state, "is of another class")                 \
    X(storage_without_name, p->g->storages[0].name = "", "storage without a name")                 \
    X(storage_of_no_class, p->g->storages[0].class = N_STORAGE_CLASSES, "an unknown class")        \
    X(two_storages_of_one_name, p->g->storages[0].name = "w", "two storages are named \"w\"")      \
    X(two_symbols_of_one_name, p->g->symbol[1].name = "B", "two symbols are named \"B\"")          \
    X(symbol_of_no_role, p->g->symbol[1].role = N_ROLES, "symbol 1 has an unknown role")           \
    X(output_of_nothing, p->g->outputs[0].value = 99, "output \"u\" is %99")                       \
    X(output_without_name, p->g->outputs[0].name = "", "output without a name")                    \
    X(two_outputs_of_one_name, graph_output(p->g, "u", p->y, (Span){ 0 }),                         \
      "two outputs are named \"u\"")                                                               \
    X(output_in_no_file, p->g->outputs[0].span.file = 2, "output \"u\" is in file 2 of 2")         \
    X(loss_of_nothing, p->g->loss = 99, "the loss is %99")                                         \
    X(loss_no_scalar, p->g->loss = p->y, "is not f32[]")                                           \
    X(negative_context, p->g->context = -1, "a context of -1 positions")                           \
    X(no_group, def(p, p->y)->group = 1, "group 1 of 0")                                           \
    X(too_many_groups, p->g->n_groups = UINT32_MAX, "groups of")                                   \
    X(group_apart, (p->g->n_groups = 1, def(p, p->sum)->group = def(p, p->u)->group = 1),          \
      "the members of group 1 are not adjacent")                                                   \
    X(two_sources, build_storage(&p->s.b, 0), "a second source of \"x\"")                          \
    X(write_of_no_storage, build2(&p->s.b, OP_assign, p->next, p->b_new),                          \
      "is not the content of a storage")                                                           \
    X(write_of_a_view, build2(&p->s.b, OP_assign, build_transpose(&p->s.b, p->w, 0, 1),            \
                              build_transpose(&p->s.b, p->w, 0, 1)),                               \
      "is not the content of a storage")                                                           \
    X(write_of_an_input, build2(&p->s.b, OP_assign, p->x, build1(&p->s.b, OP_neg, p->x)),          \
      "writes \"x\", an input")                                                                    \
    X(write_of_old_content, build2(&p->s.b, OP_assign, p->b, p->next), "that was written over")    \
    X(read_of_old_content, build1(&p->s.b, OP_neg, p->b), "content of \"b\" that was written")     \
    X(output_of_old_content, graph_output(p->g, "b", p->b, (Span){ 0 }),                           \
      "output \"b\" is content that was written over")

#define X(name, action, message) \
    static void break_##name(Parts *p) { (void)(action); }
BREAKS(X)
#undef X

/* An old content read after the write by way of a view taken before it. */
static void break_view_of_old_content(Parts *p)
{
    Builder *b = &p->s.b;
    ValueId view = build_transpose(b, p->w, 0, 1);
    build2(b, OP_assign, p->w, build1(b, OP_neg, p->w));
    build1(b, OP_neg, view);
}

#define PLACED_BREAKS(X)                                                                           \
    X(no_buffer, place(p, p->y)->buffer = 99, "is in b99 of 7")                                    \
    X(unplaced_input, place(p, p->y)->buffer = NO_BUFFER, "which has no place")                    \
    X(unplaced_output, place(p, p->u)->buffer = NO_BUFFER, "output \"u\"")                         \
    X(unplaced_loss, place(p, p->loss)->buffer = NO_BUFFER, "the loss, %6, has no place")          \
    X(beyond_its_buffer, place(p, p->u)->offset = C(1), "reaches element 64 of b4, which has 64")  \
    X(far_beyond_its_buffer, place(p, p->u)->stride[0] = C((int64_t)1 << 61),                      \
      "strides or an offset that are none")                                                        \
    X(negative_offset, place(p, p->u)->offset.coef = -1, "strides or an offset that are none")     \
    X(stride_of_no_symbol, place(p, p->u)->stride[0].power[6] = 1, "that are none")                \
    X(size_not_bounded, p->g->symbol[0].max = 0, "symbol B has no largest size")                   \
    X(buffer_too_small, p->g->buffers[p->b_u].bytes = 192, "192 bytes, but its elements need 256") \
    X(buffer_not_rounded, p->g->buffers[p->b_u].bytes = 260, "in whole 64s")                       \
    X(elements_negative, p->g->buffers[p->b_u].elements.coef = -1, "number of elements is none")   \
    X(buffer_of_no_storage, p->g->buffers[0].storage = 9, "storage 9 of 3")                        \
    X(two_buffers_of_a_storage, p->g->buffers[1].storage = 0, "b0 and b1 both hold \"x\"")         \
    X(source_elsewhere, place(p, p->b)->buffer = p->b_next,                                        \
      "does not lie in the buffer of its storage")                                                 \
    X(result_in_a_storage, place(p, p->next)->buffer = 2, "lies in the buffer of \"b\"")           \
    X(write_elsewhere, place(p, p->b_new)->buffer = p->b_next, "does not lie where it writes")     \
    X(view_elsewhere, place(p, p->t)->buffer = p->b_u, "does not lie on its base")                 \
    X(view_of_wrong_strides, place(p, p->t)->stride[0] = C(0), "does not lie on its base")         \
    X(view_of_wrong_offset, (p->g->buffers[p->b_y].elements = C(128),                              \
                             p->g->buffers[p->b_y].bytes = 512, place(p, p->t)->offset = C(1)),    \
      "does not lie on its base")                                                                  \
    X(life_ends_early, p->g->buffers[p->b_y].last = 7, "its live range does not cover %7")         \
    X(life_begins_late, p->g->buffers[p->b_y].first = 4, "its live range does not cover %3")       \
    X(life_of_an_output, p->g->buffers[p->b_u].last--, "its live range does not cover %8")         \
    X(life_backwards, p->g->buffers[p->b_u].first = 99, "its live range is none")                  \
    X(life_absent, (p->g->buffers[p->b_u].first = NO_NODE,                                         \
                    p->g->buffers[p->b_u].last = NO_NODE), "does not cover %8")                    \
    X(overlap_in_the_pool, p->g->buffers[p->b_u].offset = 192, "overlap in the pool while both")   \
    X(overlap_from_below, (p->g->buffers[p->b_u].offset = 320, p->g->pool_bytes = 1024),           \
      "overlap in the pool while both")                                                            \
    X(overlap_with_the_next, p->g->buffers[p->b_next].offset = 512, "overlap in the pool")         \
    X(beyond_the_pool, p->g->pool_bytes = 575, "ends behind the pool's 575 bytes")                 \
    X(before_the_pool, p->g->buffers[p->b_u].offset = -1, "-1 is no offset in the pool")           \
    X(not_aligned, p->g->buffers[p->b_u].offset = 260, "260 is no offset in the pool")             \
    X(huge_offset, p->g->buffers[p->b_u].offset = INT64_MAX / 64 * 64, "ends behind the pool")     \
    X(overwritten_too_early, place(p, p->u)->buffer = p->b_y, "%8 is written over %7 while")

#define X(name, action, message) \
    static void break_placed_##name(Parts *p) { (void)(action); }
PLACED_BREAKS(X)
#undef X

/* The sum is read after y was written over it. */
static void break_placed_read_after(Parts *p)
{
    ValueId late = build1(&p->s.b, OP_neg, p->sum);
    Dim elements = p->g->buffers[p->b_u].elements;
    NodeId end = p->g->n_nodes - 1;
    put(p, late, buffer(p->g, NO_STORAGE, elements, 256, 1024, end, end));
    p->g->buffers[p->b_y].last = p->g->buffers[p->b_u].last = end;
    p->g->buffers[p->b_loss].last = end;
    p->g->buffers[p->b_next].offset = 2048;
    p->g->pool_bytes = 4096;
}

/* A product reads its input while it writes, so it cannot be written over it at any place. */
static void break_placed_kernel_in_place(Parts *p)
{
    Graph *g = p->g;
    ValueId square = named_storage(p, STORAGE_INPUT, "square", DIMS(p->s.B, p->s.B));
    Dim elements;
    assert_true(dim_mul(p->s.B, p->s.B, &elements));
    put(p, square, buffer(g, 3, elements, 64, -1, NO_NODE, NO_NODE));
    ValueId m = build_matmul(&p->s.b, p->u, square, false, false, 1);
    put(p, m, p->b_u);
    for (BufferId i = p->b_u; i <= p->b_loss; i++)
        g->buffers[i].last = g->n_nodes - 1;
    g->outputs[0].value = m;
}

/* Members of a group that are alive one after the other, but run at once. */
static void break_placed_group_runs_as_one(Parts *p)
{
    Graph *g = p->g;
    g->n_groups = 1;
    def(p, p->sum)->group = def(p, p->y)->group = 1;
    p->g->values[p->sum].place.buffer = NO_BUFFER;
    /* The product dies at the sum, y begins one node later: alone they could share bytes. */
    BufferId b = buffer(g, NO_STORAGE, g->buffers[p->b_y].elements, 256, 0, 3, 4);
    place(p, p->product)->buffer = b;
    g->buffers[p->b_y].first = 5;
}

static const struct {
    const char *name, *message;
    bool placed;
    void (*apply)(Parts *p);
} breaks[] = {
#define X(name, action, message) { #name, message, false, break_##name },
    BREAKS(X)
#undef X
    { "view_of_old_content", "content of \"w\" that was written", false,
      break_view_of_old_content },
#define X(name, action, message) { #name, message, true, break_placed_##name },
    PLACED_BREAKS(X)
#undef X
    { "read_after", "is written over %4, which is read later", true, break_placed_read_after },
    { "kernel_in_place", "is written over %8 while that is read", true,
      break_placed_kernel_in_place },
    { "group_runs_as_one", "overlap in the pool while both live", true,
      break_placed_group_runs_as_one },
};

static void broken_graphs_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        Arena arena, scratch;
        arena_init(&arena, NULL);
        arena_init(&scratch, NULL);
        Parts p = breaks[i].placed ? parts_placed(&arena) : parts_begin(&arena);
        breaks[i].apply(&p);
        Error err = { 0 };
        bool passed = graph_verify(p.g, &scratch, &err);
        if (passed || !strstr(err.text, breaks[i].message))
            fail_msg("%s gave \"%s\", not \"%s\"", breaks[i].name, passed ? "no error" : err.text,
                     breaks[i].message);
        /* Broken or not, it can be printed to be looked at. */
        Buf text = { 0 };
        graph_print(&text, p.g);
        buf_free(&text);
        arena_free(&scratch);
        arena_free(&arena);
    }
}

/* ---- views ----------------------------------------------------------------------------------- */

/* One view of x [4, 6, 8] at offset 16 of its buffer, with strides [48, 8, 1]; is the place legal? */
static bool view_passes(OpId op, AttrValue a, AttrValue b, AttrValue c, int rank, const Dim *dims,
                        int64_t offset, const int64_t *strides)
{
    Arena arena, scratch;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    Sample s = sample_begin(&arena);
    Graph *g = s.g;
    ValueId in = sample_input(&s, DTYPE_f32, DIMS(C(4), C(6), C(8)));
    ValueId x = build1(&s.b, OP_neg, in);
    NodeSpec spec = node_spec(op, &x, 1, (Span){ 0 }, NULL);
    spec.attr[0] = a;
    spec.attr[1] = b;
    spec.attr[2] = c;
    spec.shape = type_of(DTYPE_f32, rank, dims).shape;
    ValueId v = graph_add(g, &spec, NULL);
    graph_output(g, "v", v, (Span){ 0 });
    Parts p = { .g = g };
    put(&p, in, buffer(g, 0, C(192), 768, -1, NO_NODE, NO_NODE));
    BufferId base = buffer(g, NO_STORAGE, C(1024), 4096, 0, 1, 2);
    put(&p, x, base);
    g->values[x].place.offset = C(16);
    put(&p, v, base);
    g->values[v].place.offset = C(offset);
    for (int i = 0; i < g->values[v].type.shape.rank; i++)
        g->values[v].place.stride[i] = C(strides[i]);
    Error err = { 0 };
    bool ok = graph_verify(g, &scratch, &err);
    if (!ok)
        assert_non_null(strstr(err.text, "does not lie on its base"));
    arena_free(&scratch);
    arena_free(&arena);
    return ok;
}

#define I(n) ((AttrValue){ .i = (n) })
#define STRIDES(...) ((const int64_t[]){ __VA_ARGS__ })

static void views_lie_on_their_bases(void **state)
{
    (void)state;
    AttrValue o = I(0);
    /* x[2:5] on axis 1 */
    assert_true(view_passes(OP_slice, I(1), I(2), I(5), 0, NULL, 32, STRIDES(48, 8, 1)));
    assert_false(view_passes(OP_slice, I(1), I(2), I(5), 0, NULL, 16, STRIDES(48, 8, 1)));
    assert_false(view_passes(OP_slice, I(1), I(2), I(5), 0, NULL, 32, STRIDES(24, 8, 1)));
    /* axes 0 and 2 swapped */
    assert_true(view_passes(OP_transpose, I(0), I(2), o, 0, NULL, 16, STRIDES(1, 8, 48)));
    assert_false(view_passes(OP_transpose, I(0), I(2), o, 0, NULL, 16, STRIDES(48, 8, 1)));
    /* a new axis in front */
    assert_true(view_passes(OP_broadcast, o, o, o, DIMS(C(3), C(4), C(6), C(8)), 16,
                            STRIDES(0, 48, 8, 1)));
    assert_false(view_passes(OP_broadcast, o, o, o, DIMS(C(3), C(4), C(6), C(8)), 16,
                             STRIDES(192, 48, 8, 1)));
    /* split, merged, an axis of 1 whose stride says nothing */
    assert_true(view_passes(OP_reshape, o, o, o, DIMS(C(24), C(2), C(4)), 16, STRIDES(8, 4, 1)));
    assert_true(view_passes(OP_reshape, o, o, o, DIMS(C(192)), 16, STRIDES(1)));
    assert_true(view_passes(OP_reshape, o, o, o, DIMS(C(4), C(1), C(48)), 16, STRIDES(48, 7, 1)));
    assert_false(view_passes(OP_reshape, o, o, o, DIMS(C(24), C(2), C(4)), 16, STRIDES(8, 1, 2)));
    assert_false(view_passes(OP_reshape, o, o, o, DIMS(C(192)), 17, STRIDES(1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_graphs_pass),
        cmocka_unit_test(groups_reuse_and_chains_of_writes_pass),
        cmocka_unit_test(columns_of_one_buffer_pass),
        cmocka_unit_test(results_of_a_node_lie_apart),
        cmocka_unit_test(parts_of_a_whole_may_lie_in_it),
        cmocka_unit_test(broken_graphs_are_refused),
        cmocka_unit_test(views_lie_on_their_bases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
