/* A published model as it lies on disk: a folder of the hub's files, one GGUF file, or one .bin file of
 * llama2.c or llm.c (bin_file.h).
 *
 *     config.json, model.safetensors, or several model*.safetensors with or without
 *     model.safetensors.index.json; tokenizer.json and generation_config.json where they are there
 *
 * Opening checks every file whole (runtime/safetensors.h, runtime/gguf.h) and that no tensor is there
 * twice; an index must name exactly the tensors of the files it names.  Tensors borrow from maps of
 * the files. */
#ifndef RUNTIME_HUB_SOURCE_H
#define RUNTIME_HUB_SOURCE_H

#include "runtime/hub/settings.h"
#include "runtime/hub/tensor_file.h"

enum { MAX_SOURCE_FILES = 1024, MAX_SOURCE_PATH = 4096 };

typedef struct Source {
    char where[MAX_SOURCE_PATH];        /* the folder or the file, without links */
    bool is_gguf, is_bin;
    TensorFile *file;
    char (*path)[MAX_SOURCE_PATH];      /* of each file with tensors */
    uint32_t n_files;
    HubTensor *tensor;                  /* of all files, by name */
    size_t n_tensors;
    char config[MAX_SOURCE_PATH + 16];  /* config.json, or the one file */
    Settings settings;
} Source;

/* Is there a published model at `path`: a folder with a config.json, a file that begins as GGUF does, or
 * a .bin? */
bool source_is_there(const char *path);

/* Is it plain what somebody meant who named `path`, which is no model: a folder without config.json, one of a
 * folder's files, an empty file?  Then err says so. */
bool source_mistaken(const char *path, Error *err);

/* Close it in every case. */
bool source_open(Source *out, const char *path, Error *err);
void source_close(Source *s);

const HubTensor *source_find(const Source *s, const char *name);     /* or NULL */

/* The path of a file beside the source's, such as tokenizer.json; false when there is none, or the source
 * is a GGUF file, which has all that it needs in itself. */
bool source_beside(const Source *s, const char *name, char out[MAX_SOURCE_PATH]);

/* A number for what can change: names, shapes, sizes and times of the files, and the small ones whole.
 * Equal numbers: the same model, unless somebody sets clocks back. */
bool source_hash(const Source *s, uint64_t *out, Error *err);

#endif
