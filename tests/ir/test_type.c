/* Sizes as monomials: exact products and quotients, values at given sizes, and their spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/graph.h"

#include <string.h>

static Dim times(Dim a, Dim b)
{
    Dim r;
    assert_true(dim_mul(a, b, &r));
    return r;
}

static Dim B(void) { return dim_symbol(0); }
static Dim T(void) { return dim_symbol(1); }

static void products(void **state)
{
    (void)state;
    Dim a = times(times(dim_const(3), B()), T()), b = times(T(), times(B(), dim_const(3)));
    assert_true(dim_equal(a, b));
    assert_false(dim_equal(a, times(a, T())));
    assert_false(dim_is_const(a));
    assert_true(dim_has(a, 0) && dim_has(a, 1) && !dim_has(a, 2) && !dim_has(a, -1));
    assert_true(dim_is(times(dim_const(3), dim_const(4)), 12));
    assert_false(dim_is(a, 3));
    /* Nothing is left of B in 0 * B. */
    assert_true(dim_is(times(dim_const(0), B()), 0));
}

static void products_that_do_not_fit(void **state)
{
    (void)state;
    Dim big = dim_const((int64_t)1 << 61), r;
    assert_false(dim_mul(big, dim_const(2), &r));
    assert_true(dim_mul(big, dim_const(1), &r));
    assert_false(dim_mul(dim_const(INT64_MAX), dim_const(1), &r));
    Dim power = B();
    for (int i = 1; i < 255; i++)
        power = times(power, B());
    assert_int_equal(power.power[0], 255);
    assert_false(dim_mul(power, B(), &r));
}

static void quotients(void **state)
{
    (void)state;
    Dim a = times(dim_const(12), times(B(), T())), r;
    assert_true(dim_div(a, times(dim_const(4), T()), &r));
    assert_true(dim_equal(r, times(dim_const(3), B())));
    assert_false(dim_div(a, dim_const(5), &r));
    assert_false(dim_div(B(), T(), &r));
    assert_false(dim_div(a, dim_const(0), &r));
    assert_true(dim_div(dim_const(0), dim_const(7), &r) && dim_is(r, 0));
}

/* A size keeps the name it was given only while it is that size. */
static void origins(void **state)
{
    (void)state;
    Dim width = dim_const(768), one = dim_const(1), r;
    width.origin = 5;
    one.origin = 9;
    assert_int_equal(times(width, dim_const(1)).origin, 5);
    assert_int_equal(times(dim_const(1), width).origin, 5);
    assert_int_equal(times(one, width).origin, 5);
    assert_int_equal(times(width, dim_const(3)).origin, 0);
    assert_true(dim_equal(width, dim_const(768)));
    assert_true(dim_div(width, dim_const(1), &r) && r.origin == 5);
    assert_true(dim_div(width, dim_const(12), &r) && r.origin == 0);
}

static void values(void **state)
{
    (void)state;
    const int64_t sizes[MAX_SYMBOLS] = { 4, 1024 };
    int64_t n;
    Dim a = times(times(dim_const(3), B()), times(T(), T()));
    assert_true(dim_eval(a, sizes, &n));
    assert_int_equal(n, 3 * 4 * 1024 * 1024);
    for (int i = 0; i < 4; i++)
        a = times(a, T());
    assert_true(dim_eval(a, sizes, &n) == false);
    assert_true(dim_eval(dim_const(7), sizes, &n) && n == 7);
    assert_false(dim_eval(dim_const(INT64_MAX), sizes, &n));
}

static void shapes(void **state)
{
    (void)state;
    Type t = type_of(DTYPE_f32, 3, (Dim[]){ B(), T(), dim_const(8) });
    Dim count, stride[MAX_RANK];
    assert_true(shape_count(&t.shape, &count));
    assert_true(dim_equal(count, times(dim_const(8), times(B(), T()))));
    assert_true(shape_strides(&t.shape, stride));
    assert_true(dim_equal(stride[0], times(dim_const(8), T())));
    assert_true(dim_is(stride[1], 8) && dim_is(stride[2], 1));
    Type scalar = type_scalar(DTYPE_i32);
    assert_true(shape_count(&scalar.shape, &count) && dim_is(count, 1));
    assert_true(type_equal(&t, &t));
    assert_false(type_equal(&t, &scalar));
    Type other = t;
    other.dtype = DTYPE_i32;
    assert_true(shape_equal(&t.shape, &other.shape));
    assert_false(type_equal(&t, &other));
}

static void spelling(void **state)
{
    (void)state;
    Arena arena;
    arena_init(&arena, NULL);
    Graph *g = graph_new(&arena, "g", PROGRAM_model);
    graph_symbol(g, "B", ROLE_BATCH, 0, (Span){ 0 });
    graph_symbol(g, "T", ROLE_SEQUENCE, 0, (Span){ 0 });
    const struct {
        Dim d;
        const char *text;
    } rows[] = {
        { dim_const(1), "1" }, { dim_const(0), "0" }, { dim_const(-7), "-7" }, { B(), "B" },
        { times(dim_const(3), B()), "3*B" }, { times(T(), B()), "B*T" },
        { times(times(T(), T()), dim_const(2)), "2*T^2" }, { dim_symbol(5), "?5" },
    };
    Buf text = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&text);
        dim_print(&text, g, rows[i].d);
        assert_string_equal(text.data, rows[i].text);
    }
    buf_clear(&text);
    Type t = type_of(DTYPE_f32, 3, (Dim[]){ B(), T(), dim_const(768) });
    type_print(&text, g, &t);
    t = type_scalar(DTYPE_bool);
    type_print(&text, g, &t);
    assert_string_equal(text.data, "f32[B, T, 768]bool[]");
    buf_free(&text);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(products_that_do_not_fit),
        cmocka_unit_test(quotients),
        cmocka_unit_test(origins),
        cmocka_unit_test(values),
        cmocka_unit_test(shapes),
        cmocka_unit_test(spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
