/* Hashes: XXH3 of libxxhash under the names that the rest of the house uses. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t n);
uint64_t hash_seeded(const void *data, size_t n, uint64_t seed);

#endif
