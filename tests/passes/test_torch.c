/* The evaluator, the gradients and the optimizers against PyTorch in float64: results that this
 * project did not compute itself (tests/reference/README.md). */
#include "tests/passes/lab.h"

#include "base/check.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REFERENCE SOURCE_DIR "/tests/reference/"

static json_t *load(const char *path)
{
    json_error_t err;
    json_t *root = json_load_file(path, 0, &err);
    if (!root)
        fail_msg("%s:%d: %s", path, err.line, err.text);
    return root;
}

/* ---- single operations ----------------------------------------------------------------------- */

static Shape shape_of(const json_t *tensor)
{
    const json_t *dims = json_object_get(tensor, "shape");
    Shape s = { .rank = (uint8_t)json_array_size(dims) };
    for (size_t i = 0; i < s.rank; i++)
        s.dim[i] = dim_const(json_integer_value(json_array_get(dims, i)));
    return s;
}

static Tensor tensor_of(Arena *arena, const json_t *tensor)
{
    const json_t *values = json_object_get(tensor, "values");
    Tensor t = { .count = (int64_t)json_array_size(values) };
    t.data = arena_array(arena, (size_t)t.count, sizeof *t.data);
    for (int64_t i = 0; i < t.count; i++)
        t.data[i] = json_number_value(json_array_get(values, (size_t)i));
    return t;
}

static ValueId reduced(Builder *b, OpId op, ValueId x, int64_t axes)
{
    NodeSpec spec = node_spec(op, &x, 1, b->span, b->path);
    spec.attr[0].i = axes;
    return graph_add(b->g, &spec, NULL);
}

/* x / sqrt(mean(x^2) + eps) weight */
static ValueId rms_norm(Builder *b, ValueId x, ValueId weight, double eps)
{
    const int last = value_type(b->g, x)->shape.rank - 1;
    ValueId power = reduced(b, OP_mean, build2(b, OP_mul, x, x), (int64_t)1 << last);
    ValueId some = build2(b, OP_add, power, build_constant(b, eps));
    return build2(b, OP_mul, build2(b, OP_mul, x, build1(b, OP_rsqrt, some)), weight);
}

static ValueId layer_norm(Builder *b, const ValueId *in, double eps)
{
    const int last = value_type(b->g, in[0])->shape.rank - 1;
    ValueId mean = reduced(b, OP_mean, in[0], (int64_t)1 << last);
    ValueId scaled = rms_norm(b, build2(b, OP_sub, in[0], mean), in[1], eps);
    return build2(b, OP_add, scaled, in[2]);
}

/* The attributes are the table's own. */
static void set_attrs(NodeSpec *spec, const json_t *attrs)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)attrs, name, value) {
        const int i = op_attr(spec->op, name);
        assert_true(i >= 0);
        if (json_is_string(value))
            spec->attr[i].i = strcmp(json_string_value(value), "half") == 0 ? STYLE_half
                                                                           : STYLE_interleaved;
        else if (op_info(spec->op)->attrs[i].kind == ATTR_FLOAT)
            spec->attr[i].f = json_number_value(value);
        else
            spec->attr[i].i = json_is_boolean(value) ? json_is_true(value)
                                                     : json_integer_value(value);
    }
}

static ValueId apply(Builder *b, const char *op, const json_t *attrs, const ValueId *in,
                     uint32_t n)
{
    const double eps = json_number_value(json_object_get(attrs, "eps"));
    OpId id;
    if (strcmp(op, "layer_norm") == 0)
        return layer_norm(b, in, eps);
    if (strcmp(op, "rms_norm") == 0)
        return rms_norm(b, in[0], in[1], eps);
    bool known = op_from_name(op, &id);
    assert_true(known);
    NodeSpec spec = node_spec(id, in, n, b->span, b->path);
    if (id == OP_logsumexp) {
        const json_int_t axis = json_integer_value(json_object_get(attrs, "axis"));
        spec.attr[0].i = (int64_t)1 << (axis < 0 ? axis + value_type(b->g, in[0])->shape.rank
                                                 : axis);
        return graph_add(b->g, &spec, NULL);
    }
    set_attrs(&spec, attrs);
    return graph_add(b->g, &spec, NULL);
}

static void fill(Eval *e, const json_t *tensors)
{
    const char *name;
    json_t *tensor;
    json_object_foreach((json_t *)(uintptr_t)tensors, name, tensor) {
        Tensor from = tensor_of(e->arena, tensor), *to = eval_storage(e, name);
        assert_int_equal(from.count, to->count);
        memcpy(to->data, from.data, (size_t)to->count * sizeof *to->data);
    }
}

static void check_case(const json_t *c)
{
    const char *what = json_string_value(json_object_get(c, "name")), *name;
    const json_t *cotangent = json_object_get(c, "cotangent");
    json_t *inputs = json_object_get(c, "inputs"), *grads = json_object_get(c, "grads"), *tensor;
    Lab l;
    lab_begin(&l);
    l.g->program = PROGRAM_train;
    ValueId in[4];
    uint32_t n = 0;
    json_object_foreach(inputs, name, tensor) {
        const bool whole = strcmp(json_string_value(json_object_get(tensor, "dtype")), "i32") == 0;
        const Shape shape = shape_of(tensor);
        in[n++] = lab_tensor(&l, whole ? STORAGE_INPUT : STORAGE_PARAM, name,
                             whole ? DTYPE_i32 : DTYPE_f32, 0, 1, &shape);
    }
    ValueId y = apply(&l.b, json_string_value(json_object_get(c, "op")),
                      json_object_get(c, "attrs"), in, n);
    const bool cached = value_def(l.g, y)->op == OP_attention_cached;   /* has no gradient */
    const Shape shape = shape_of(cotangent);
    ValueId weight = lab_tensor(&l, STORAGE_INPUT, "cotangent", DTYPE_f32, 0, 1, &shape);
    ValueId loss = build_sum(&l.b, build2(&l.b, OP_mul, y, weight), ALL_AXES);
    graph_output(l.g, "y", y, (Span){ 0 });
    graph_output(l.g, "loss", loss, (Span){ 0 });

    Graph *g = cached ? l.g : lab_passes(&l, PROGRAM_train, "autodiff decompose");
    Eval e = lab_values(&l, g, &l.arena);
    fill(&e, inputs);
    Tensor from = tensor_of(&l.arena, cotangent);
    memcpy(eval_storage(&e, "cotangent")->data, from.data, (size_t)from.count * sizeof(double));
    eval_run(&e);
    Tensor want = tensor_of(&l.arena, json_object_get(c, "output"));
    lab_compare(eval_output(&e, "y"), &want, 1e-12, what);
    if (!cached)
        json_object_foreach(grads, name, tensor) {
            want = tensor_of(&l.arena, tensor);
            lab_compare(eval_output(&e, arena_printf(&l.arena, "grad.%s", name)), &want, 1e-12,
                        what);
        }
    lab_end(&l);
}

static void operations(void **state)
{
    (void)state;
    json_t *root = load(REFERENCE "ops.json"), *cases = json_object_get(root, "cases"), *c;
    size_t i;
    assert_true(json_array_size(cases) >= 28);
    json_array_foreach(cases, i, c)
        check_case(c);
    json_decref(root);
}

/* ---- ten steps of training ------------------------------------------------------------------- */

/* A safetensors file: the bytes of a JSON header, the header, the data. */
typedef struct Tensors {
    unsigned char *bytes;
    json_t *header;
    const unsigned char *data;
} Tensors;

static Tensors tensors_open(Arena *arena, const char *path)
{
    enum { MOST = 1 << 20 };
    Tensors t = { .bytes = arena_alloc(arena, MOST) };
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(t.bytes, 1, MOST, f);
    fclose(f);
    uint64_t length;
    memcpy(&length, t.bytes, sizeof length);
    assert_true(n < MOST && length < n);
    t.header = json_loadb((const char *)t.bytes + 8, length, 0, NULL);
    assert_non_null(t.header);
    t.data = t.bytes + 8 + length;
    return t;
}

/* Elements first.. of the tensor, as many as `to` has; false when the file does not have it. */
static bool tensors_read(const Tensors *t, const char *name, int64_t first, Tensor *to)
{
    const json_t *info = json_object_get(t->header, name);
    if (!info)
        return false;
    const json_t *offsets = json_object_get(info, "data_offsets");
    const unsigned char *p = t->data + json_integer_value(json_array_get(offsets, 0)) + 4 * first;
    const bool whole = strcmp(json_string_value(json_object_get(info, "dtype")), "I32") == 0;
    for (int64_t i = 0; i < to->count; i++, p += 4) {
        float x;
        int32_t n;
        memcpy(&x, p, sizeof x);
        memcpy(&n, p, sizeof n);
        to->data[i] = whole ? n : (double)x;
    }
    return true;
}

static void read_storages(Eval *e, const Tensors *t, StorageClass class, int64_t batch)
{
    for (StorageId s = 0; s < e->g->n_storages; s++) {
        const Storage *storage = &e->g->storages[s];
        if (storage->class == class && storage->name[0] != '$' &&
            !tensors_read(t, storage->name, batch * e->storages[s].count, &e->storages[s]))
            fail_msg("the file has no `%s`", storage->name);
    }
}

static double number(const json_t *root, const char *list, size_t i)
{
    return json_number_value(json_array_get(json_object_get(root, list), i));
}

static void train_ten_steps(const char *name, const char *const *defines, uint32_t n, int64_t batch)
{
    Lab l;
    Arena files;
    arena_init(&files, NULL);
    lab_model(&l, arena_printf(&files, SOURCE_DIR "/models/%s.smg", name), defines, n);
    json_t *want = load(arena_printf(&files, REFERENCE "tiny_%s.json", name));
    Tensors weights = tensors_open(&files, arena_printf(&files, REFERENCE "tiny_%s.safetensors",
                                                        name));
    Tensors batches = tensors_open(&files, arena_printf(&files, REFERENCE
                                                        "tiny_%s_batches.safetensors", name));
    l.sizes[0] = batch;
    l.sizes[1] = 16;
    Graph *g = lab_passes(&l, PROGRAM_train, "specialize autodiff update decompose dce");
    Arena arena;
    arena_init(&arena, NULL);
    Eval e = lab_values(&l, g, &arena);
    read_storages(&e, &weights, STORAGE_PARAM, 0);
    eval_storage(&e, "$lr")->data[0] = json_number_value(json_object_get(want, "lr"));
    eval_storage(&e, "$clip")->data[0] = json_number_value(json_object_get(want, "clip"));
    for (int step = 0; step < 10; step++) {
        read_storages(&e, &batches, STORAGE_INPUT, step);
        if (eval_storage(&e, "$step"))
            eval_storage(&e, "$step")->data[0] = step + 1;
        eval_run(&e);
        const double loss = eval_output(&e, "loss")->data[0];
        const double norm = eval_output(&e, "grad_norm")->data[0];
        if (!(fabs(loss - number(want, "losses_f64", (size_t)step)) < 1e-8))
            fail_msg("%s: loss %.12g at step %d, not %.12g", name, loss, step,
                     number(want, "losses_f64", (size_t)step));
        if (!(fabs(norm - number(want, "grad_norms_f64", (size_t)step)) < 1e-7))
            fail_msg("%s: norm %.12g at step %d, not %.12g", name, norm, step,
                     number(want, "grad_norms_f64", (size_t)step));
    }
    json_decref(weights.header);
    json_decref(batches.header);
    json_decref(want);
    arena_free(&arena);
    lab_end(&l);
    arena_free(&files);
}

static void gpt2(void **state)
{
    (void)state;
    const char *defines[] = { "vocab=64", "context=32", "width=32", "depth=2", "heads=4" };
    train_ten_steps("gpt2", defines, COUNT_OF(defines), 4);
}

static void llama(void **state)
{
    (void)state;
    const char *defines[] = { "vocab=64", "context=32", "width=32", "depth=2", "heads=4",
                              "kv_heads=2", "hidden=64" };
    train_ten_steps("llama", defines, COUNT_OF(defines), 4);
}

static void mlp(void **state)
{
    (void)state;
    train_ten_steps("mlp", NULL, 0, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations),
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llama),
        cmocka_unit_test(mlp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
