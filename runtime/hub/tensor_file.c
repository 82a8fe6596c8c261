/* Two formats, one list. */
#include "runtime/hub/tensor_file.h"

#include "base/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool file_is_gguf(const char *path)
{
    char magic[4] = { 0 };
    FILE *f = fopen(path, "rb");
    const bool ok = f && fread(magic, 1, sizeof magic, f) == sizeof magic;
    if (f)
        fclose(f);
    return ok && memcmp(magic, "GGUF", sizeof magic) == 0;
}

int hub_tensor_order(const void *a, const void *b)
{
    return strcmp(((const HubTensor *)a)->name, ((const HubTensor *)b)->name);
}

static DType type_of_safetensors(StType t)
{
    for (int d = 0; d < N_DTYPES; d++) {
        const char *name = dtype_safetensors((DType)d);
        if (name && strcmp(name, st_type_name(t)) == 0)
            return d == DTYPE_bool ? N_DTYPES : (DType)d;
    }
    return N_DTYPES;
}

static void list_safetensors(TensorFile *f)
{
    for (size_t i = 0; i < f->safetensors.n; i++) {
        const SafeTensor *t = &f->safetensors.tensors[i];
        HubTensor *out = &f->tensor[f->n++];
        *out = (HubTensor){ .name = t->name, .type = type_of_safetensors(t->type), .rank = t->rank,
                            .data = t->data, .bytes = t->bytes };
        memcpy(out->dim, t->dim, sizeof out->dim);
    }
}

static void list_gguf(TensorFile *f)
{
    for (uint32_t i = 0; i < f->gguf.n_tensors; i++) {
        const GgufTensor *t = &f->gguf.tensors[i];
        HubTensor *out = &f->tensor[f->n++];
        *out = (HubTensor){ .name = arena_strndup(&f->names, t->name, t->name_n), .type = N_DTYPES,
                            .rank = t->rank, .data = t->data, .bytes = t->bytes };
        dtype_from_ggml(t->type, &out->type);
        for (uint32_t a = 0; a < t->rank; a++)
            out->dim[a] = (int64_t)t->dim[t->rank - 1 - a];
    }
}

bool tensor_file_open(TensorFile *out, const char *path, Error *err)
{
    *out = (TensorFile){ .is_gguf = file_is_gguf(path) };
    arena_init(&out->names, NULL);
    if (!(out->is_gguf ? gguf_open(path, &out->gguf, err)
                       : safetensors_open(path, &out->safetensors, err)))
        return false;
    const size_t n = out->is_gguf ? out->gguf.n_tensors : out->safetensors.n;
    out->tensor = calloc(n + 1, sizeof *out->tensor);
    if (!out->tensor)
        return error_set(err, "%s: out of memory", path);
    if (out->is_gguf)
        list_gguf(out);
    else
        list_safetensors(out);
    qsort(out->tensor, out->n, sizeof *out->tensor, hub_tensor_order);
    return true;
}

void tensor_file_close(TensorFile *f)
{
    free(f->tensor);
    arena_free(&f->names);
    if (f->is_gguf)
        gguf_close(&f->gguf);
    else
        safetensors_close(&f->safetensors);
    *f = (TensorFile){ 0 };
}

const HubTensor *hub_tensor_find(const HubTensor *tensor, size_t n, const char *name)
{
    const HubTensor key = { .name = name };
    return bsearch(&key, tensor, n, sizeof key, hub_tensor_order);
}

bool hub_tensor_read(const HubTensor *t, DType to, void *dst)
{
    size_t count = 1;
    for (uint32_t a = 0; a < t->rank; a++)
        count *= (size_t)t->dim[a];     /* bounded when the file was opened */
    if (t->type == to)
        memcpy(dst, t->data, t->bytes);
    else if (to == DTYPE_f32 && t->type != DTYPE_i32 && t->type != N_DTYPES)
        blocks_decode(t->type, count, t->data, dst);
    else
        return false;
    return true;
}
