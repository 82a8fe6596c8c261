/* Panels of a model's weights (kernels/panel.h), kept on disk for its next start.
 *
 *     header | a record for each parameter of blocks, in the plan's order | panels, each at a multiple of 64
 *
 * The file belongs to one source of weights, told by `key`, and to one plan: from the two follows every byte
 * of header and table but the checksum, so a reader compares them with what they must be and follows nothing
 * that a file says.  The panels are used when their checksum, XXH3 over table and panels, is right. */
#ifndef RUNTIME_PACKED_WEIGHTS_H
#define RUNTIME_PACKED_WEIGHTS_H

#include "runtime/session.h"

/* Raised whenever panel.h says something else; panels are the same on every processor. */
enum { PACKED_VERSION = 1 };

typedef struct PackedWeights PackedWeights;

/* Maps and checks a file.  False, *out being NULL, with what is wrong with it: it is not there, of another
 * source, plan or version, cut off, or altered. */
bool packed_open(const Plan *p, const char *path, uint64_t key, PackedWeights **out, Error *err);
void packed_close(PackedWeights *w);

/* The panels of a storage, there until packed_close, and their bytes; NULL for one without blocks. */
const void *packed_panels(const PackedWeights *w, int32_t storage, size_t *bytes);

/* Writes the panels of a session whose parameters are filled, all of them; replaces the file whole or not at
 * all. */
bool packed_write(Session *s, const char *path, uint64_t key, Error *err);

#endif
