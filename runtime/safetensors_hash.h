/* The checksum that our safetensors files carry: what reader and writer agree on. */
#ifndef RUNTIME_SAFETENSORS_HASH_H
#define RUNTIME_SAFETENSORS_HASH_H

#include "runtime/safetensors.h"

/* Carries the hash of the tensors before on over one tensor's name, type and shape; its bytes as
 * they stand in the file follow by hash_seeded with the result as seed. */
uint64_t safetensors_hash(uint64_t before, const char *name, StType type, uint32_t rank,
                          const int64_t *dim);

#endif
