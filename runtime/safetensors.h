/* Tensors in a file: the safetensors format, both ways.
 *
 *     u64 n | n bytes of JSON {"name": {"dtype", "shape", "data_offsets"}, ...} | the tensors' bytes
 *
 * A file is untrusted: its header is bounded, every tensor must lie inside the data, and together
 * they must cover it without holes or overlaps.  What we write carries a checksum in its metadata
 * ("xxh3"), over names, types, shapes and bytes, which a reader verifies where it is present; so a
 * changed weight is an error and not a worse model.  The same tensors give the same bytes. */
#ifndef RUNTIME_SAFETENSORS_H
#define RUNTIME_SAFETENSORS_H

#include "base/dtype.h"
#include "base/file.h"
#include "base/shape.h"
#include "base/status.h"

#include <stdint.h>

#define ST_TYPES(X)                                                                          \
    X(BOOL, 1) X(U8, 1) X(I8, 1) X(F8_E5M2, 1) X(F8_E4M3, 1) X(I16, 2) X(U16, 2) X(F16, 2)   \
    X(BF16, 2) X(I32, 4) X(U32, 4) X(F32, 4) X(F64, 8) X(I64, 8) X(U64, 8)
typedef enum StType {
#define X(name, bytes) ST_##name,
    ST_TYPES(X)
#undef X
    N_ST_TYPES
} StType;
const char *st_type_name(StType t);

enum { MAX_SAFETENSORS_HEADER = 100 << 20 };

typedef struct SafeTensor {
    const char *name;                   /* in `names` of the file */
    StType type;
    uint32_t rank;
    int64_t dim[MAX_RANK];
    int64_t count;                      /* product of dim */
    const uint8_t *data;                /* any alignment */
    size_t bytes;
} SafeTensor;

typedef struct SafeTensors {
    FileMap map;                        /* empty when the bytes are the caller's */
    char *names;                        /* one after the other; owned */
    SafeTensor *tensors;                /* in the order of their bytes */
    size_t n;
    uint64_t hash;                      /* over names, types, shapes and bytes */
} SafeTensors;

/* Maps and checks the whole file.  Messages begin with the path. */
bool safetensors_open(const char *path, SafeTensors *out, Error *err);
/* The same on bytes in memory, which must stay. */
bool safetensors_view(const void *data, size_t n, SafeTensors *out, Error *err);
void safetensors_close(SafeTensors *st);

const SafeTensor *safetensors_find(const SafeTensors *st, const char *name);    /* or NULL */

/* Elements [first, first + count) as elements of `to`: F32, BF16 and F16 as any of f32, bf16 and f16,
 * rounded to nearest, ties to even, where the new type is narrower; I32 and I64 (when it fits) as
 * i32; BOOL as bool.  Anything else is an error that names both types. */
bool safetensors_read(const SafeTensor *t, DType to, int64_t first, int64_t count, void *dst,
                      Error *err);

/* "[4, 8]" into out. */
void shape_text(char *out, size_t cap, uint32_t rank, const int64_t *dim);

/* One tensor to write; everything is borrowed.  Lanes of bool become bytes of 0 and 1. */
typedef struct SafeEntry {
    const char *name;
    DType type;
    uint32_t rank;
    int64_t dim[MAX_RANK];
    const void *data;
} SafeEntry;

/* Replaces `path` (see file.h). */
bool safetensors_write(const char *path, const SafeEntry *entries, size_t n, Error *err);

#endif
