/* A tensor of a published file, whatever the file's format. */
#ifndef RUNTIME_HUB_TENSOR_H
#define RUNTIME_HUB_TENSOR_H

#include "base/dtype.h"
#include "base/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HubTensor {
    const char *name;
    DType type;                         /* N_DTYPES: one that no parameter has */
    const char *type_name;              /* as the file's format calls it; said where `type` is N_DTYPES */
    uint32_t rank;
    int64_t dim[MAX_RANK];              /* the outermost first */
    const uint8_t *data;                /* any alignment */
    size_t bytes;
    uint32_t file;                      /* for whoever puts files together */
    /* Of llama2.c's bytes in groups: `type` is what they are read as, f32; data is i8, and the f32
     * scale of each group is here.  0: the tensor is what its type says. */
    int64_t group;
    const uint8_t *scales;
} HubTensor;

/* In an array in the order of names; NULL when there is none. */
const HubTensor *hub_tensor_find(const HubTensor *tensor, size_t n, const char *name);
int hub_tensor_order(const void *a, const void *b);

/* All its elements as `to`: the bytes where that is its type, else decoded to f32.  False when neither
 * is possible. */
bool hub_tensor_read(const HubTensor *t, DType to, void *dst);

#endif
