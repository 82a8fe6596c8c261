/* Tensors by name, and their numbers. */
#include "runtime/hub/tensor.h"

#include "base/blocks.h"

#include <stdlib.h>
#include <string.h>

int hub_tensor_order(const void *a, const void *b)
{
    return strcmp(((const HubTensor *)a)->name, ((const HubTensor *)b)->name);
}

const HubTensor *hub_tensor_find(const HubTensor *tensor, size_t n, const char *name)
{
    const HubTensor key = { .name = name };
    return bsearch(&key, tensor, n, sizeof key, hub_tensor_order);
}

static void read_groups(const HubTensor *t, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        float scale;
        memcpy(&scale, t->scales + i / (size_t)t->group * sizeof scale, sizeof scale);
        to[i] = (float)(int8_t)t->data[i] * scale;
    }
}

bool hub_tensor_read(const HubTensor *t, DType to, void *dst)
{
    size_t count = 1;
    for (uint32_t a = 0; a < t->rank; a++)
        count *= (size_t)t->dim[a];     /* bounded when the file was opened */
    if (t->group > 0 && to != DTYPE_f32)
        return false;
    if (t->group > 0)
        read_groups(t, count, dst);
    else if (t->type == to)
        memcpy(dst, t->data, t->bytes);
    else if (to == DTYPE_f32 && t->type != DTYPE_i32 && t->type != N_DTYPES)
        blocks_decode(t->type, count, t->data, dst);
    else
        return false;
    return true;
}
