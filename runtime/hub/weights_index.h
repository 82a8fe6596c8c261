/* Where the values of a model's parameters are, when they stay in the files that were published:
 * weights.json of an imported model.
 *
 *     { "source":  "/models/llama",
 *       "files":   ["/models/llama/model-00001-of-00002.safetensors", "factors.safetensors", ...],
 *       "tensors": { "model.norm.weight": [0, "model.norm.weight"], ... } }
 *
 * A path that is not absolute is beside weights.json. */
#ifndef RUNTIME_HUB_WEIGHTS_INDEX_H
#define RUNTIME_HUB_WEIGHTS_INDEX_H

#include "runtime/hub/tensor.h"
#include "runtime/session.h"

#define WEIGHTS_INDEX "weights.json"

typedef struct WeightsIndex WeightsIndex;

/* Reads it, opens the files that it names, and finds the tensors of the plan's parameters.  Close it in every
 * case; `path` must stay. */
bool weights_index_open(const Plan *p, const char *path, WeightsIndex **out, Error *err);
void weights_index_close(WeightsIndex *x);

/* The tensor of a parameter, or NULL. */
const HubTensor *weights_index_tensor(const WeightsIndex *x, int32_t storage);

/* A number for the index and its files' paths, sizes and times.  Equal numbers: the same tensors, unless somebody sets
 * clocks back. */
uint64_t weights_index_facts(const WeightsIndex *x);

/* Fills the session's parameters, but those whose storage is the tensor itself, and those that are `filled`
 * already (per storage of the plan; NULL: none).  One that is missing, or of another shape or type, is an
 * error that names it and the file. */
bool weights_index_fill(const WeightsIndex *x, Session *s, const bool *filled, Error *err);
/* Opens, fills and closes. */
bool weights_index_load(Session *s, const char *path, Error *err);

#endif
