/* The one place that knows which hash library we use. */
#include "base/hash.h"

#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

uint64_t hash_seeded(const void *data, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, n, seed);
}
