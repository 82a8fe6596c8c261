/* A file of tensors, safetensors or GGUF, told apart by its first bytes; its tensors by name, with
 * shapes and types said in one way whatever the format. */
#ifndef RUNTIME_HUB_TENSOR_FILE_H
#define RUNTIME_HUB_TENSOR_FILE_H

#include "base/arena.h"
#include "base/dtype.h"
#include "runtime/gguf.h"
#include "runtime/safetensors.h"

typedef struct HubTensor {
    const char *name;
    DType type;                         /* N_DTYPES: one that no parameter has */
    uint32_t rank;
    int64_t dim[MAX_RANK];              /* the outermost first */
    const uint8_t *data;                /* any alignment */
    size_t bytes;
    uint32_t file;                      /* for whoever puts files together */
} HubTensor;

typedef struct TensorFile {
    bool is_gguf;
    Gguf gguf;
    SafeTensors safetensors;
    HubTensor *tensor;                  /* by name; owned.  They borrow from the file's map */
    size_t n;
    Arena names;                        /* of GGUF's tensors */
} TensorFile;

bool file_is_gguf(const char *path);    /* false for what cannot be read, too */

/* Checks the whole file.  Close it in every case. */
bool tensor_file_open(TensorFile *out, const char *path, Error *err);
void tensor_file_close(TensorFile *f);

/* Of an array in the order of names; NULL when there is none. */
const HubTensor *hub_tensor_find(const HubTensor *tensor, size_t n, const char *name);
int hub_tensor_order(const void *a, const void *b);

/* All its elements as `to`: the bytes where that is its type, else decoded to f32.  False when neither
 * is possible. */
bool hub_tensor_read(const HubTensor *t, DType to, void *dst);

#endif
