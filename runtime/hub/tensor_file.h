/* A file of tensors, safetensors, GGUF or .bin (bin_file.h), told apart by its first bytes; its tensors by
 * name, with shapes and types said in one way whatever the format.
 *
 * GGUF stacks the matrices of a layer's experts, blk.0.ffn_up_exps.weight [experts, out, in]; here each is a
 * tensor of its own, blk.0.ffn_up_exps.3.weight [out, in], as the hub's files have them.  Files of before
 * 2024 hold them so already, as blk.0.ffn_up.3.weight. */
#ifndef RUNTIME_HUB_TENSOR_FILE_H
#define RUNTIME_HUB_TENSOR_FILE_H

#include "base/arena.h"
#include "runtime/gguf.h"
#include "runtime/hub/bin_file.h"
#include "runtime/hub/tensor.h"
#include "runtime/safetensors.h"

/* GGUF files name tensors and settings otherwise than the hub does; .bin files as the hub. */
typedef enum TensorFormat { FORMAT_SAFETENSORS, FORMAT_GGUF, FORMAT_BIN } TensorFormat;

typedef struct TensorFile {
    TensorFormat format;
    Gguf gguf;
    SafeTensors safetensors;
    BinFile bin;
    HubTensor *tensor;                  /* by name; owned.  They borrow from the file's map */
    size_t n;
    Arena names;                        /* of GGUF's tensors */
} TensorFile;

/* Of a file that cannot be read, safetensors. */
TensorFormat tensor_format(const char *path);

/* Checks the whole file.  Close it in every case. */
bool tensor_file_open(TensorFile *out, const char *path, Error *err);
void tensor_file_close(TensorFile *f);

#endif
