/* Three formats, one list. */
#include "runtime/hub/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EXPERTS = 1024, MIN_EXPERT_BYTES = 128 };

TensorFormat tensor_format(const char *path)
{
    char magic[4] = { 0 };
    FILE *f = fopen(path, "rb");
    const bool ok = f && fread(magic, 1, sizeof magic, f) == sizeof magic;
    if (f)
        fclose(f);
    if (ok && memcmp(magic, "GGUF", sizeof magic) == 0)
        return FORMAT_GGUF;
    return bin_file_kind(path) != BIN_NONE ? FORMAT_BIN : FORMAT_SAFETENSORS;
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
        *out = (HubTensor){ .name = t->name, .type = type_of_safetensors(t->type),
                            .type_name = st_type_name(t->type), .rank = t->rank, .data = t->data,
                            .bytes = t->bytes };
        memcpy(out->dim, t->dim, sizeof out->dim);
    }
}

/* How many matrices a stack has; 0: it is none.  They have a size that makes up for listing them. */
static uint64_t stack_of(const GgufTensor *t)
{
    static const char ending[] = "_exps.weight";
    const size_t n = sizeof ending - 1;
    const bool stack = t->rank == 3 && t->name_n > n && memcmp(t->name + t->name_n - n, ending, n) == 0
        && t->dim[2] <= MAX_EXPERTS && t->bytes / t->dim[2] >= MIN_EXPERT_BYTES;
    return stack ? t->dim[2] : 0;
}

static size_t count_gguf(const Gguf *g)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        n += stack_of(&g->tensors[i]) ? (size_t)stack_of(&g->tensors[i]) : 1;
    return n;
}

static void add_gguf(TensorFile *f, const GgufTensor *t, const char *name, uint32_t rank, size_t offset,
                     size_t bytes)
{
    HubTensor *out = &f->tensor[f->n++];
    *out = (HubTensor){ .name = name, .type = N_DTYPES, .type_name = ggml_type_name(t->type), .rank = rank,
                        .data = t->data + offset, .bytes = bytes };
    dtype_from_ggml(t->type, &out->type);
    for (uint32_t a = 0; a < rank; a++)
        out->dim[a] = (int64_t)t->dim[rank - 1 - a];
}

static void list_stack(TensorFile *f, const GgufTensor *t, const char *name, uint64_t n)
{
    const int stem = (int)(strlen(name) - strlen(".weight"));
    const size_t each = t->bytes / (size_t)n;
    for (uint64_t e = 0; e < n; e++)
        add_gguf(f, t, arena_printf(&f->names, "%.*s.%u.weight", stem, name, (unsigned)e), 2, (size_t)e * each,
                 each);
}

/* blk.0.ffn_up.3.weight is blk.0.ffn_up_exps.3.weight; other names stay. */
static const char *name_of(TensorFile *f, const GgufTensor *t)
{
    unsigned layer, expert;
    char part[5];
    int end = 0;
    const char *name = arena_strndup(&f->names, t->name, t->name_n);
    const bool single = sscanf(name, "blk.%6u.ffn_%4[a-z].%6u.weight%n", &layer, part, &expert, &end) == 3
        && end > 0 && name[end] == '\0';
    return single ? arena_printf(&f->names, "blk.%u.ffn_%s_exps.%u.weight", layer, part, expert) : name;
}

static void list_gguf(TensorFile *f)
{
    for (uint32_t i = 0; i < f->gguf.n_tensors; i++) {
        const GgufTensor *t = &f->gguf.tensors[i];
        const char *name = name_of(f, t);
        if (stack_of(t))
            list_stack(f, t, name, stack_of(t));
        else
            add_gguf(f, t, name, t->rank, 0, t->bytes);
    }
}

static void list_bin(TensorFile *f)
{
    for (size_t i = 0; i < f->bin.n; i++)
        f->tensor[f->n++] = f->bin.tensor[i];
}

static bool open_format(TensorFile *f, const char *path, size_t *n, Error *err)
{
    bool ok = false;
    switch (f->format) {
    case FORMAT_SAFETENSORS: ok = safetensors_open(path, &f->safetensors, err); break;
    case FORMAT_GGUF:        ok = gguf_open(path, &f->gguf, err); break;
    case FORMAT_BIN:         ok = bin_file_open(path, &f->bin, err); break;
    }
    *n = f->safetensors.n + count_gguf(&f->gguf) + f->bin.n;
    return ok;
}

bool tensor_file_open(TensorFile *out, const char *path, Error *err)
{
    size_t n;
    *out = (TensorFile){ .format = tensor_format(path) };
    arena_init(&out->names, NULL);
    if (!open_format(out, path, &n, err))
        return false;
    out->tensor = calloc(n + 1, sizeof *out->tensor);
    if (!out->tensor)
        return error_set(err, "%s: out of memory", path);
    switch (out->format) {
    case FORMAT_SAFETENSORS: list_safetensors(out); break;
    case FORMAT_GGUF:        list_gguf(out); break;
    case FORMAT_BIN:         list_bin(out); break;
    }
    qsort(out->tensor, out->n, sizeof *out->tensor, hub_tensor_order);
    return true;
}

void tensor_file_close(TensorFile *f)
{
    free(f->tensor);
    arena_free(&f->names);
    switch (f->format) {
    case FORMAT_SAFETENSORS: safetensors_close(&f->safetensors); break;
    case FORMAT_GGUF:        gguf_close(&f->gguf); break;
    case FORMAT_BIN:         bin_file_close(&f->bin); break;
    }
    *f = (TensorFile){ 0 };
}
