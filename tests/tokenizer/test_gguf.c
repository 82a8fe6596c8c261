/* GGUF: what is written reads back, a file by Python's `gguf` reads, and broken files are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/file.h"
#include "runtime/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const float matrix[2][32] = { { 1, 2, 3 }, { 4, 5, 6 } };
static const uint8_t quants[34] = { 7, 8, 9 };

/* Writes a file with a value of each kind and two tensors, and reads its bytes. */
static Buf sample(uint32_t alignment)
{
    char path[] = "/tmp/gguf-XXXXXX";
    Error err = { "" };
    Buf bytes = { 0 };
    GgufWriter w = { .alignment = alignment };
    static const GgufString words[] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
    static const int32_t types[] = { 1, -3 };
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_add_string(&w, "general.architecture", "llama");
    gguf_add_u32(&w, "a.u32", 7);
    gguf_add_u64(&w, "a.u64", UINT64_MAX);
    gguf_add_f32(&w, "a.f32", 0.5f);
    gguf_add_bool(&w, "a.bool", true);
    gguf_add_strings(&w, "a.strings", words, 3);
    gguf_add_array(&w, "a.i32s", GGUF_i32, types, 2);
    gguf_add_tensor(&w, "m", GGML_f32, 2, (uint64_t[]){ 32, 2 });
    gguf_add_tensor(&w, "q", GGML_q8_0, 1, (uint64_t[]){ 32 });
    if (!gguf_write_begin(&w, path, &err))
        fail_msg("%s", err.text);
    gguf_write_data(&w, matrix, 100);
    gguf_write_data(&w, (const uint8_t *)matrix + 100, sizeof matrix - 100);
    gguf_write_data(&w, quants, sizeof quants);
    if (!gguf_write_end(&w, &err) || !file_read(path, 1 << 20, &bytes, &err))
        fail_msg("%s", err.text);
    unlink(path);
    return bytes;
}

static void check_sample(const Gguf *g)
{
    uint64_t u;
    double f;
    bool b;
    int64_t i;
    GgufString s;
    assert_true(gguf_get_string(g, "general.architecture", &s) && s.n == 5 && !memcmp(s.text, "llama", 5));
    assert_true(gguf_get_u64(g, "a.u32", &u) && u == 7);
    assert_true(gguf_get_u64(g, "a.u64", &u) && u == UINT64_MAX);
    assert_true(gguf_get_f64(g, "a.f32", &f) && f == 0.5);
    assert_true(gguf_get_bool(g, "a.bool", &b) && b);
    assert_false(gguf_get_u64(g, "a.f32", &u));
    assert_false(gguf_get_string(g, "a.strings", &s));
    const GgufValue *v = gguf_find(g, "a.strings");
    GgufWalk walk = gguf_walk(v);
    assert_true(gguf_walk_next(&walk, &s) && s.n == 3 && !memcmp(s.text, "one", 3));
    assert_true(gguf_walk_next(&walk, &s) && s.n == 0);
    assert_true(gguf_walk_next(&walk, &s) && s.n == 5);
    assert_false(gguf_walk_next(&walk, &s));
    assert_true(gguf_array_i64(gguf_find(g, "a.i32s"), 1, &i) && i == -3);
    const GgufTensor *m = gguf_find_tensor(g, "m"), *q = gguf_find_tensor(g, "q");
    assert_true(m && m->type == GGML_f32 && m->rank == 2 && m->dim[0] == 32 && m->dim[1] == 2);
    assert_int_equal(m->bytes, sizeof matrix);
    assert_memory_equal(m->data, matrix, sizeof matrix);
    assert_true(q && q->type == GGML_q8_0 && q->bytes == sizeof quants);
    assert_memory_equal(q->data, quants, sizeof quants);
    assert_null(gguf_find_tensor(g, "none"));
}

static void round_trip(void **state)
{
    (void)state;
    for (uint32_t alignment = 1; alignment <= 4096; alignment *= 8) {
        Error err = { "" };
        Gguf g;
        Buf bytes = sample(alignment);
        if (!gguf_read((const uint8_t *)bytes.data, bytes.len, &g, &err))
            fail_msg("%s", err.text);
        assert_int_equal(g.alignment, alignment);
        check_sample(&g);
        gguf_close(&g);
        buf_free(&bytes);
    }
}

/* tests/reference/make_tokenizers.py wrote it, the same values by Python's `gguf`. */
static void by_python(void **state)
{
    (void)state;
    Error err = { "" };
    Gguf g;
    if (!gguf_open(SOURCE_DIR "/tests/reference/tokenizers/python.gguf", &g, &err))
        fail_msg("%s", err.text);
    check_sample(&g);
    gguf_close(&g);
}

static void refuse(const void *data, size_t n, const char *why)
{
    Error err = { "" };
    Gguf g;
    /* A copy of exact size, so that a sanitizer sees a byte read too many. */
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    if (gguf_read(copy, n, &g, &err))
        fail_msg("accepted, expected: %s", why);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    free(copy);
}

/* Every beginning of a good file is refused, but for what only lacks the padding at its end. */
static void cut_off(void **state)
{
    (void)state;
    Buf bytes = sample(32);
    const size_t padding = (32 - sizeof quants % 32) % 32;
    for (size_t n = 0; n < bytes.len - padding; n++)
        refuse(bytes.data, n, "");
    buf_free(&bytes);
}

/* Any byte changed to anything: refused, or read within the file. */
static void changed_bytes(void **state)
{
    (void)state;
    Buf bytes = sample(32);
    uint8_t *copy = malloc(bytes.len);
    assert_non_null(copy);
    for (size_t at = 0; at < bytes.len; at++)
        for (unsigned v = 0; v < 256; v += at < 64 ? 1 : 15) {
            Gguf g;
            Error err = { "" };
            memcpy(copy, bytes.data, bytes.len);
            copy[at] = (uint8_t)v;
            if (!gguf_read(copy, bytes.len, &g, &err)) {
                assert_true(err.text[0] != 0);
                continue;
            }
            for (uint32_t i = 0; i < g.n_tensors; i++)
                assert_true(g.tensors[i].data >= copy &&
                            g.tensors[i].data + g.tensors[i].bytes <= copy + bytes.len);
            gguf_close(&g);
        }
    free(copy);
    buf_free(&bytes);
}

/* ---- files made by hand ----------------------------------------------------------------------- */

static void put32(Buf *b, uint32_t v)
{
    buf_add(b, &v, sizeof v);
}

static void put64(Buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof v);
}

static void put_string(Buf *b, const char *s)
{
    put64(b, strlen(s));
    buf_puts(b, s);
}

static Buf header(uint32_t version, uint64_t tensors, uint64_t values)
{
    Buf b = { 0 };
    buf_puts(&b, "GGUF");
    put32(&b, version);
    put64(&b, tensors);
    put64(&b, values);
    return b;
}

static void refuse_buf(Buf b, const char *why)
{
    refuse(b.data, b.len, why);
    buf_free(&b);
}

static void bad_headers(void **state)
{
    (void)state;
    refuse("", 0, "byte 0");
    refuse("GGML\3\0\0\0", 8, "no GGUF file");
    refuse_buf(header(0, 0, 0), "version 0");
    refuse_buf(header(1, 0, 0), "version 1");
    refuse_buf(header(4, 0, 0), "version 4");
    refuse_buf(header(0x03000000, 0, 0), "big-endian");
    refuse_buf(header(3, UINT64_MAX, 0), "byte 8: 18446744073709551615 tensors");
    refuse_buf(header(3, 0, UINT64_MAX), "byte 16: 18446744073709551615 values");
    refuse_buf(header(3, 1000, 0), "do not fit");
    refuse_buf(header(3, 0, 1000), "do not fit");
    Gguf g;
    Error err = { "" };
    Buf empty = header(2, 0, 0);
    assert_true(gguf_read((const uint8_t *)empty.data, empty.len, &g, &err));
    gguf_close(&g);
    buf_free(&empty);
}

static Buf one_value(const char *key, uint32_t type)
{
    Buf b = header(3, 0, 1);
    put_string(&b, key);
    put32(&b, type);
    return b;
}

static void bad_values(void **state)
{
    (void)state;
    Buf b = one_value("", GGUF_u32);
    put32(&b, 1);
    refuse_buf(b, "byte 24: a value's name has 0 bytes");
    b = one_value("k", 13);
    put32(&b, 1);
    refuse_buf(b, "13 is no type");
    b = one_value("k", GGUF_bool);
    buf_putc(&b, 2);
    refuse_buf(b, "byte 37: a bool is 2");
    b = one_value("k", GGUF_string);
    put64(&b, UINT64_MAX);
    refuse_buf(b, "18446744073709551615 bytes, but 0 are left");
    b = one_value("k", GGUF_array);
    put32(&b, GGUF_array);
    put64(&b, 0);
    refuse_buf(b, "array of arrays");
    b = one_value("k", GGUF_array);
    put32(&b, GGUF_u64);
    put64(&b, (uint64_t)1 << 61);               /* times eight wraps round to nothing */
    refuse_buf(b, "2305843009213693952 elements; at most 0");
    b = one_value("k", GGUF_array);
    put32(&b, GGUF_string);
    put64(&b, 1u << 30);
    refuse_buf(b, "1073741824 elements");
    b = header(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_string(&b, "twin");
        put32(&b, GGUF_u8);
        buf_putc(&b, 1);
    }
    refuse_buf(b, "the value twin is there twice");
    static const uint32_t alignments[] = { 0, 3, 1u << 21, 1u << 30 };
    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        b = one_value("general.alignment", GGUF_u32);
        put32(&b, alignments[i]);
        refuse_buf(b, "general.alignment is ");
    }
    b = one_value("general.alignment", GGUF_f32);
    put32(&b, 0);
    refuse_buf(b, "no whole number");
}

static void put_tensor(Buf *b, const char *name, uint32_t rank, uint64_t d0, uint64_t d1, uint32_t type,
                       uint64_t offset)
{
    put_string(b, name);
    put32(b, rank);
    for (uint32_t a = 0; a < rank && a < 8; a++)
        put64(b, a == 0 ? d0 : d1);
    put32(b, type);
    put64(b, offset);
}

static void bad_tensor(uint32_t rank, uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset,
                       const char *why)
{
    Buf b = header(3, 1, 0);
    put_tensor(&b, "t", rank, d0, d1, type, offset);
    buf_align(&b, 32);
    for (int i = 0; i < 64; i++)
        buf_putc(&b, 0);
    refuse_buf(b, why);
}

static void bad_tensors(void **state)
{
    (void)state;
    bad_tensor(0, 0, 0, GGML_f32, 0, "0 axes");
    bad_tensor(5, 1, 1, GGML_f32, 0, "5 axes");
    bad_tensor(1, 0, 0, GGML_f32, 0, "no size");
    bad_tensor(2, 16, 0, GGML_f32, 0, "no size");
    bad_tensor(1, 33, 0, GGML_q8_0, 0, "no size for q8_0");
    bad_tensor(2, (uint64_t)1 << 62, 4, GGML_f32, 0, "no size");
    bad_tensor(3, (uint64_t)1 << 31, (uint64_t)1 << 31, GGML_f32, 0, "no size");
    bad_tensor(1, 16, 0, 4, 0, "unknown type 4");
    bad_tensor(1, 16, 0, 1000, 0, "unknown type 1000");
    bad_tensor(1, 16, 0, GGML_f32, 32, "a hole");
    bad_tensor(1, 16, 0, GGML_f32, UINT64_MAX - 31, "begins at byte 18446744073709551584");
    bad_tensor(1, 17, 0, GGML_f32, 0, "cut off");
    bad_tensor(1, (uint64_t)1 << 60, 0, GGML_f32, 0, "cut off");
    bad_tensor(1, 8, 0, GGML_f32, 0, "bytes follow the last tensor");
    Buf b = header(3, 2, 0);
    put_tensor(&b, "t", 1, 8, 0, GGML_f32, 0);
    put_tensor(&b, "u", 1, 8, 0, GGML_f32, 0);
    buf_align(&b, 32);
    put64(&b, 0);
    buf_align(&b, 32);
    refuse_buf(b, "an overlap");
    b = header(3, 2, 0);
    put_tensor(&b, "t", 1, 8, 0, GGML_f32, 0);
    put_tensor(&b, "t", 1, 8, 0, GGML_f32, 32);
    buf_align(&b, 32);
    refuse_buf(b, "the tensor t is there twice");
}

static void bad_writes(void **state)
{
    (void)state;
    Error err = { "" };
    GgufWriter w = { 0 };
    gguf_add_tensor(&w, "t", GGML_q4_k, 1, (uint64_t[]){ 100 });
    assert_false(gguf_write_begin(&w, "/tmp/gguf-never", &err));
    assert_non_null(strstr(err.text, "t: no name or no size"));
    gguf_write_abandon(&w);
    GgufWriter short_of = { 0 };
    gguf_add_tensor(&short_of, "t", GGML_f32, 1, (uint64_t[]){ 8 });
    assert_true(gguf_write_begin(&short_of, "/tmp/gguf-never", &err));
    gguf_write_data(&short_of, matrix, 31);
    assert_false(gguf_write_end(&short_of, &err));
    assert_false(file_exists("/tmp/gguf-never"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(by_python), cmocka_unit_test(cut_off),
        cmocka_unit_test(changed_bytes), cmocka_unit_test(bad_headers), cmocka_unit_test(bad_values),
        cmocka_unit_test(bad_tensors), cmocka_unit_test(bad_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
