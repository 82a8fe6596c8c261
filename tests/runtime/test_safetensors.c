/* safetensors: what is written is read back, the bytes are the same every time, and no header makes
 * the reader look outside the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/safetensors.h"
#include "tests/runtime/scratch_dir.h"

#include <inttypes.h>

/* A file of this header and n bytes of data, checked: 1 read, 0 refused with the message in err. */
static int reads(const char *header, size_t n, Error *err)
{
    uint8_t file[4096] = { 0 };
    const size_t length = strlen(header);
    SafeTensors st;
    assert_true(8 + length + n <= sizeof file);
    memcpy(file, &(uint64_t){ length }, 8);
    memcpy(file + 8, header, length);
    *err = (Error){ 0 };
    if (!safetensors_view(file, 8 + length + n, &st, err))
        return 0;
    safetensors_close(&st);
    return 1;
}

#define TENSOR(dtype, shape, begin, end) \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

static void refuses(const char *header, size_t n, const char *why)
{
    Error err;
    if (reads(header, n, &err))
        fail_msg("accepted: %s", header);
    if (!strstr(err.text, why))
        fail_msg("%s\n  gives \"%s\"\n  expected \"%s\"", header, err.text, why);
}

static void takes_what_covers_the_data(void **state)
{
    (void)state;
    Error err;
    assert_true(reads("{}", 0, &err));
    assert_true(reads("{\"a\":" TENSOR("F32", "2", 0, 8) "}   ", 8, &err));
    assert_true(reads("{\"a\":" TENSOR("F32", "2", 4, 12) ",\"b\":" TENSOR("I32", "", 0, 4) "}", 12,
                      &err));
    assert_true(reads("{\"a\":" TENSOR("F32", "0,3", 0, 0) ",\"b\":" TENSOR("I8", "4", 0, 4) "}", 4,
                      &err));
}

static void refuses_what_does_not(void **state)
{
    (void)state;
    refuses("{\"a\":" TENSOR("F32", "2", 0, 8) "}", 4, "cut off");
    refuses("{\"a\":" TENSOR("F32", "2", 0, 8) "}", 9, "1 bytes follow");
    refuses("{\"a\":" TENSOR("F32", "3", 0, 8) "}", 8, "need another number");
    refuses("{\"a\":" TENSOR("F32", "1", 4, 8) "}", 8, "a hole");
    refuses("{\"a\":" TENSOR("F32", "2", 0, 8) ",\"b\":" TENSOR("F32", "1", 4, 8) "}", 8,
            "an overlap");
    refuses("{\"a\":" TENSOR("F32", "2", 8, 0) "}", 8, "cut off");
    refuses("{\"a\":" TENSOR("F32", "-2", 0, 8) "}", 8, "no size");
    refuses("{\"a\":" TENSOR("F32", "4611686018427387904,4", 0, 8) "}", 8, "no size");
    refuses("{\"a\":" TENSOR("F32", "4611686018427387904", 0, 8) "}", 8, "need another number");
    refuses("{\"a\":" TENSOR("F32", "1,1,1,1,1,1,1", 0, 4) "}", 4, "7 axes");
    refuses("{\"a\":" TENSOR("F31", "1", 0, 4) "}", 4, "unknown dtype");
    refuses("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no \"dtype\"");
    refuses("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no \"shape\"");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "no \"data_offsets\"");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0.5,4]}}", 4,
            "no \"data_offsets\"");
    refuses("{\"a\":" TENSOR("F32", "1", 0, 4) ",\"a\":" TENSOR("F32", "1", 0, 4) "}", 4,
            "tensor a is there twice");
    refuses("{\"a\":7}", 0, "no \"dtype\"");
    refuses("{\"\":" TENSOR("F32", "1", 0, 4) "}", 4, "the empty name");
    refuses("[]", 0, "not a JSON object");
    refuses("{\"__metadata__\":[]}", 0, "not an object");
    refuses("{\"__metadata__\":{\"x\":1}}", 0, "not a string");
    refuses("{\"__metadata__\":{\"xxh3\":\"0123456789abcdef\"},\"a\":" TENSOR("F32", "1", 0, 4) "}", 4,
            "was altered");
}

static void bounds_the_header(void **state)
{
    (void)state;
    SafeTensors st;
    Error err;
    uint8_t file[16] = { 0 };
    assert_false(safetensors_view(file, 7, &st, &err));
    assert_non_null(strstr(err.text, "7 bytes are no safetensors"));
    memset(file, 0xff, 8);
    assert_false(safetensors_view(file, sizeof file, &st, &err));
    assert_non_null(strstr(err.text, "18446744073709551615"));
    /* Nesting as deep as a header allows must not run the stack out. */
    enum { DEEP = 1 << 20 };
    uint8_t *deep = malloc(8 + DEEP);
    assert_non_null(deep);
    memcpy(deep, &(uint64_t){ DEEP }, 8);
    memset(deep + 8, '[', DEEP);
    assert_false(safetensors_view(deep, 8 + DEEP, &st, &err));
    assert_non_null(strstr(err.text, "byte 64: nested deeper than 64"));
    free(deep);
}

static const float weights[6] = { 1, -2, 3.5f, 0, 1e-30f, 7 };
static const int32_t ids[2] = { -1, 77 };
static const float truths[3] = { 1, 0, 1 };

static void write_sample(const char *path)
{
    const SafeEntry entries[] = {
        { "layer.weight", DTYPE_f32, 2, { 2, 3 }, weights },
        { "ids", DTYPE_i32, 1, { 2 }, ids },
        { "mask", DTYPE_bool, 1, { 3 }, truths },
    };
    Error err;
    if (!safetensors_write(path, entries, 3, &err))
        fail_msg("%s", err.text);
}

static void assert_tensor(const SafeTensors *st, const char *name, DType type, int64_t count,
                          const void *expected)
{
    float lanes[6];
    Error err;
    const SafeTensor *t = safetensors_find(st, name);
    assert_non_null(t);
    assert_int_equal(t->count, count);
    if (!safetensors_read(t, type, 0, count, lanes, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(lanes, expected, (size_t)count * 4);
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    SafeTensors st;
    Error err;
    write_sample("a.safetensors");
    if (!safetensors_open("a.safetensors", &st, &err))
        fail_msg("%s", err.text);
    assert_int_equal(st.n, 3);
    assert_tensor(&st, "layer.weight", DTYPE_f32, 6, weights);
    assert_tensor(&st, "ids", DTYPE_i32, 2, ids);
    assert_tensor(&st, "mask", DTYPE_bool, 3, truths);
    float lanes[6];
    assert_true(safetensors_read(safetensors_find(&st, "layer.weight"), DTYPE_f32, 2, 3, lanes,
                                 &err));
    assert_memory_equal(lanes, weights + 2, 12);
    assert_false(safetensors_read(safetensors_find(&st, "ids"), DTYPE_f32, 0, 2, lanes, &err));
    assert_non_null(strstr(err.text, "holds I32; expected F32, BF16 or F16"));
    assert_null(safetensors_find(&st, "layer"));
    safetensors_close(&st);
}

static void narrows_i64_only_when_it_fits(void **state)
{
    (void)state;
    const char *header = "{\"a\":" TENSOR("I64", "2", 0, 16) "}";
    uint8_t file[256];
    int32_t out[2];
    SafeTensors st;
    Error err;
    const size_t length = strlen(header);
    int64_t values[2] = { -5, INT64_C(1) << 31 };
    memcpy(file, &(uint64_t){ length }, 8);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, values, 16);
    assert_true(safetensors_view(file, 8 + length + 16, &st, &err));
    assert_true(safetensors_read(&st.tensors[0], DTYPE_i32, 0, 1, out, &err));
    assert_int_equal(out[0], -5);
    assert_false(safetensors_read(&st.tensors[0], DTYPE_i32, 0, 2, out, &err));
    assert_non_null(strstr(err.text, "element 1 is 2147483648"));
    safetensors_close(&st);
}

/* Halves widen exactly, floats round to nearest even, and blocks are not for these files. */
static void converts_floats(void **state)
{
    (void)state;
    const float x[3] = { 1.00390625f, -2.5f, 65504 };   /* the first: half way between two bf16 */
    uint16_t halves[3], back[3];
    float wide[3];
    SafeTensors st;
    Error err;
    SafeEntry entry = { .name = "x", .type = DTYPE_f32, .rank = 1, .dim = { 3 }, .data = x };
    assert_true(safetensors_write("f32", &entry, 1, &err));
    assert_true(safetensors_open("f32", &st, &err));
    assert_true(safetensors_read(&st.tensors[0], DTYPE_bf16, 0, 3, halves, &err));
    const uint16_t bf16[3] = { 0x3f80, 0xc020, 0x4780 };
    assert_memory_equal(halves, bf16, sizeof bf16);
    assert_true(safetensors_read(&st.tensors[0], DTYPE_f16, 0, 3, back, &err));
    const uint16_t f16[3] = { 0x3c04, 0xc100, 0x7bff };
    assert_memory_equal(back, f16, sizeof f16);
    assert_false(safetensors_read(&st.tensors[0], DTYPE_q8_0, 0, 3, wide, &err));
    assert_non_null(strstr(err.text, "holds F32; expected what a GGUF file holds"));
    safetensors_close(&st);

    entry = (SafeEntry){ .name = "x", .type = DTYPE_bf16, .rank = 1, .dim = { 3 }, .data = bf16 };
    assert_true(safetensors_write("bf16", &entry, 1, &err));
    assert_true(safetensors_open("bf16", &st, &err));
    assert_int_equal(st.tensors[0].type, ST_BF16);
    assert_true(safetensors_read(&st.tensors[0], DTYPE_f32, 1, 2, wide, &err));
    assert_true(wide[0] == -2.5f && wide[1] == 65536);
    assert_true(safetensors_read(&st.tensors[0], DTYPE_bf16, 0, 3, back, &err));
    assert_memory_equal(back, bf16, sizeof bf16);
    safetensors_close(&st);

    entry.type = DTYPE_q8_0;
    assert_false(safetensors_write("q8_0", &entry, 1, &err));
    assert_non_null(strstr(err.text, "stored as q8_0, which safetensors files do not have"));
}

static size_t slurp(const char *path, uint8_t *out, size_t cap)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(out, 1, cap, f);
    fclose(f);
    return n;
}

static void writes_the_same_bytes(void **state)
{
    (void)state;
    uint8_t a[4096], b[4096];
    write_sample("a.safetensors");
    write_sample("b.safetensors");
    const size_t n = slurp("a.safetensors", a, sizeof a);
    assert_int_equal(slurp("b.safetensors", b, sizeof b), n);
    assert_memory_equal(a, b, n);
    uint64_t length;
    memcpy(&length, a, 8);
    assert_int_equal((8 + length) % 8, 0);
}

/* Whatever bit of a file of ours is turned, the reader says so: of the data by the checksum. */
static void notices_every_changed_byte_of_data(void **state)
{
    (void)state;
    uint8_t file[4096];
    SafeTensors st;
    Error err;
    write_sample("a.safetensors");
    const size_t n = slurp("a.safetensors", file, sizeof file);
    uint64_t length;
    memcpy(&length, file, 8);
    for (size_t at = 8 + (size_t)length; at < n; at++) {
        file[at] ^= 1;
        assert_false(safetensors_view(file, n, &st, &err));
        assert_non_null(strstr(err.text, "altered"));
        file[at] ^= 1;
    }
    for (size_t cut = 0; cut < n; cut++)
        assert_false(safetensors_view(file, cut, &st, &err));
    assert_true(safetensors_view(file, n, &st, &err));
    safetensors_close(&st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_covers_the_data),
        cmocka_unit_test(refuses_what_does_not),
        cmocka_unit_test(bounds_the_header),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(narrows_i64_only_when_it_fits),
        cmocka_unit_test(converts_floats),
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(notices_every_changed_byte_of_data),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
