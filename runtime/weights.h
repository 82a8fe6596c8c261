/* A session's storages to and from files, and the first values of parameters.
 *
 * Initial values are pure functions of (seed, path of the parameter, element), so a model grows the
 * same weights on every machine, and another parameter more changes none of the others.
 *
 *   zeros ones constant(c)    as they say
 *   normal(std)               mean 0
 *   uniform(bound)            from -bound to bound
 *   xavier                    uniform, bound sqrt(6 / (fan_in + fan_out))      (Glorot, Bengio 2010)
 *   kaiming                   normal, std sqrt(2 / fan_in)                     (He et al. 2015)
 *
 * Fans are PyTorch's, for a weight [out, in, ...]: fan_in is the product of all axes but the first,
 * fan_out of all but the second; of a vector both are its length. */
#ifndef RUNTIME_WEIGHTS_H
#define RUNTIME_WEIGHTS_H

#include "runtime/checkpoint.h"
#include "runtime/safetensors.h"
#include "runtime/session.h"

/* What a file holds of a session: its parameters, or the state that training carries from step to
 * step (moments; neither caches, nor gradients, which are zero between steps, nor copies of weights). */
typedef enum WeightsPart { WEIGHTS_PARAMS, WEIGHTS_OPTIMIZER } WeightsPart;

/* Fills all parameters that the session holds. */
void weights_init(Session *s, uint64_t seed);
/* Something to measure with, for large models: of each parameter the first values, over and over. */
void weights_stand_in(Session *s);

/* Loads every storage of the part from the file, a .safetensors or an imported model's weights.json.  One
 * that is missing, or of another type or shape, is an error that names it; so are tensors that the model
 * does not have when `exact`.  On failure the storages may hold parts of both. */
bool weights_load(Session *s, WeightsPart part, const char *path, bool exact, Error *err);
/* The same from an open file; a storage that is the tensor itself is left alone. */
bool weights_fill(Session *s, WeightsPart part, const SafeTensors *file, bool exact, Error *err);
bool weights_save(Session *s, WeightsPart part, const char *path, Error *err);

/* The file that `where` means: itself, or in a directory weights.json of an imported model, or
 * model.safetensors of a run. */
bool weights_path(const char *where, char out[CHECKPOINT_PATH], Error *err);
/* A file of the same run or folder, such as tokenizer.json; false when there is none. */
bool weights_beside(const char *where, const char *name, char out[CHECKPOINT_PATH]);

/* Elements of the plan's parameters and their bytes. */
void weights_count(const Plan *p, int64_t *count, int64_t *bytes, uint32_t *n_tensors);

#endif
