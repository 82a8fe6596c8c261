/* Facts about element types, expanded from dtypes.def. */
#include "base/dtype.h"

#include "base/check.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
#define DTYPE(name, bytes, st) { #name, bytes },
#include "base/dtypes.def"
};

size_t dtype_size(DType t)
{
    CHECK((size_t)t < N_DTYPES, "dtype %d", (int)t);
    return dtypes[t].size;
}

const char *dtype_name(DType t)
{
    CHECK((size_t)t < N_DTYPES, "dtype %d", (int)t);
    return dtypes[t].name;
}

bool dtype_from_name(const char *name, DType *out)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (DType)i;
            return true;
        }
    return false;
}
