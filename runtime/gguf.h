/* GGUF files, versions 2 and 3, little-endian: named values, then tensors by name.
 *
 * Reading maps the file and hands out pointers into it: values and tensors borrow from the map and
 * die with it.  Nothing of the file is trusted: counts, lengths and offsets are bounded before they
 * are used, names are unique, tensors cover the data without overlap and without holes but for the
 * padding of the alignment.  What is wrong is told with its byte offset.
 *
 * Limits: 100 MB of metadata, 65,536 values, 1,048,576 tensors of 1 to 4 axes, names of 64 KiB,
 * alignment a power of two up to 1 MiB. */
#ifndef RUNTIME_GGUF_H
#define RUNTIME_GGUF_H

#include "base/buf.h"
#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  name, number in the file, bytes (0: of any length) */
#define GGUF_TYPES(X) \
    X(u8, 0, 1) X(i8, 1, 1) X(u16, 2, 2) X(i16, 3, 2) X(u32, 4, 4) X(i32, 5, 4) X(f32, 6, 4) \
    X(bool, 7, 1) X(string, 8, 0) X(array, 9, 0) X(u64, 10, 8) X(i64, 11, 8) X(f64, 12, 8)

typedef enum GgufType {
#define X(name, number, bytes) GGUF_##name = number,
    GGUF_TYPES(X)
#undef X
    N_GGUF_TYPES
} GgufType;

/*  name, number in the file, elements of a block, bytes of a block */
#define GGML_TYPES(X) \
    X(f32, 0, 1, 4) X(f16, 1, 1, 2) X(q4_0, 2, 32, 18) X(q4_1, 3, 32, 20) X(q5_0, 6, 32, 22) \
    X(q5_1, 7, 32, 24) X(q8_0, 8, 32, 34) X(q8_1, 9, 32, 36) X(q2_k, 10, 256, 84) \
    X(q3_k, 11, 256, 110) X(q4_k, 12, 256, 144) X(q5_k, 13, 256, 176) X(q6_k, 14, 256, 210) \
    X(q8_k, 15, 256, 292) X(iq2_xxs, 16, 256, 66) X(iq2_xs, 17, 256, 74) \
    X(iq3_xxs, 18, 256, 98) X(iq1_s, 19, 256, 50) X(iq4_nl, 20, 32, 18) X(iq3_s, 21, 256, 110) \
    X(iq2_s, 22, 256, 82) X(iq4_xs, 23, 256, 136) X(i8, 24, 1, 1) X(i16, 25, 1, 2) \
    X(i32, 26, 1, 4) X(i64, 27, 1, 8) X(f64, 28, 1, 8) X(iq1_m, 29, 256, 56) X(bf16, 30, 1, 2) \
    X(tq1_0, 34, 256, 54) X(tq2_0, 35, 256, 66) X(mxfp4, 39, 32, 17)

typedef enum GgmlType {
#define X(name, number, elements, bytes) GGML_##name = number,
    GGML_TYPES(X)
#undef X
    N_GGML_TYPES
} GgmlType;

const char *ggml_type_name(GgmlType t);                 /* "q4_k" */
/* Bytes of a row of n elements; false when n is no whole number of blocks, or too many. */
bool ggml_row_bytes(GgmlType t, uint64_t n, size_t *bytes);

/* A string of the file: not terminated, any bytes. */
typedef struct GgufString {
    const char *text;
    size_t n;
} GgufString;

typedef struct GgufValue {
    const char *key;                    /* not terminated */
    uint32_t key_n;
    uint8_t type;                       /* GgufType; of an array: of its elements */
    bool is_array;
    uint64_t n;                         /* elements; 1 when it is no array */
    const uint8_t *data;                /* not aligned: read it with the functions below */
} GgufValue;

enum { GGUF_MAX_RANK = 4 };
typedef struct GgufTensor {
    const char *name;                   /* not terminated */
    uint32_t name_n;
    uint8_t type;                       /* GgmlType */
    uint8_t rank;                       /* 1 .. 4 */
    uint64_t dim[GGUF_MAX_RANK];        /* dim[0] is the innermost, contiguous axis */
    const uint8_t *data;
    size_t bytes;
} GgufTensor;

typedef struct Gguf {
    FileMap map;                        /* empty when the bytes are the caller's */
    uint32_t version, alignment;
    uint32_t n_values, n_tensors;
    GgufValue *values;                  /* in the file's order; owned */
    GgufTensor *tensors;                /* in the file's order; owned */
} Gguf;

bool gguf_open(const char *path, Gguf *out, Error *err);
/* The same over bytes that outlive `out`. */
bool gguf_read(const uint8_t *data, size_t n, Gguf *out, Error *err);
void gguf_close(Gguf *g);

/* By name, in time linear in their number; NULL when there is none. */
const GgufValue *gguf_find(const Gguf *g, const char *key);
const GgufTensor *gguf_find_tensor(const Gguf *g, const char *name);

/* Of the value `key`; false, *out untouched, when it is missing or of another kind.  Whole numbers
 * are read from every whole type that holds them. */
bool gguf_get_u64(const Gguf *g, const char *key, uint64_t *out);
bool gguf_get_f64(const Gguf *g, const char *key, double *out);
bool gguf_get_bool(const Gguf *g, const char *key, bool *out);
bool gguf_get_string(const Gguf *g, const char *key, GgufString *out);

/* Element i < n of an array of numbers; false when its type does not fit. */
bool gguf_array_i64(const GgufValue *v, uint64_t i, int64_t *out);
bool gguf_array_f64(const GgufValue *v, uint64_t i, double *out);
/* Walks an array of strings (of any other value: nothing).  False after the last. */
typedef struct GgufWalk {
    const uint8_t *at;
    uint64_t left;
} GgufWalk;
GgufWalk gguf_walk(const GgufValue *v);
bool gguf_walk_next(GgufWalk *w, GgufString *out);

/* ---- writing ---------------------------------------------------------------------------------- */

/* Values first, then the tensors' shapes, then begin, then each tensor's bytes in the same order:
 *
 *     GgufWriter w = { .alignment = 32 };
 *     gguf_add_string(&w, "general.architecture", "llama");
 *     gguf_add_tensor(&w, "token_embd.weight", GGML_f32, 2, (uint64_t[]){ 64, 1000 });
 *     ok = gguf_write_begin(&w, path, err);
 *     gguf_write_data(&w, data, bytes);           may come in several parts
 *     ok = ok && gguf_write_end(&w, err);         or gguf_write_abandon(&w)
 *
 * The first fault is kept and told by begin or end.  The file appears whole or not at all. */
typedef struct GgufWriter {
    uint32_t alignment;                 /* 0: 32 */
    Buf values, tensors;
    uint64_t n_values, n_tensors;
    Buf ends;                           /* size_t: where each tensor's bytes end in the data */
    uint64_t next;                      /* tensors whose bytes are written */
    size_t planned, written;            /* bytes of data, the padding between tensors counted */
    FileWriter file;
    bool failed, begun;
    Error err;
} GgufWriter;

void gguf_add_u32(GgufWriter *w, const char *key, uint32_t v);
void gguf_add_u64(GgufWriter *w, const char *key, uint64_t v);
void gguf_add_f32(GgufWriter *w, const char *key, float v);
void gguf_add_bool(GgufWriter *w, const char *key, bool v);
void gguf_add_string(GgufWriter *w, const char *key, const char *v);
/* n elements of a type of fixed size, as they lie in memory. */
void gguf_add_array(GgufWriter *w, const char *key, GgufType type, const void *data, uint64_t n);
void gguf_add_strings(GgufWriter *w, const char *key, const GgufString *v, uint64_t n);
void gguf_add_value(GgufWriter *w, const GgufValue *v);         /* as another file has it */
void gguf_add_tensor(GgufWriter *w, const char *name, GgmlType type, uint32_t rank,
                     const uint64_t *dim);
bool gguf_write_begin(GgufWriter *w, const char *path, Error *err);
void gguf_write_data(GgufWriter *w, const void *data, size_t n);
bool gguf_write_end(GgufWriter *w, Error *err);         /* frees the writer's memory either way */
void gguf_write_abandon(GgufWriter *w);

#endif
