/* The headers of .bin files, and the tables of what follows them. */
#include "runtime/hub/bin_file.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LLAMA_MAGIC = 0x616b3432, GPT2_MAGIC = 20240326, HEADER_0 = 28, HEADER_1 = 256, HEADER_GPT2 = 1024,
       MAX_LAYERS = 1000 };
#define MAX_SIZE ((int64_t)1 << 24)

/* ---- what a header says ------------------------------------------------------------------------ */

/* Extents of tensors. */
typedef enum Extent { ONE, WIDTH, KV_WIDTH, HIDDEN, VOCAB, TABLE_ROWS, CONTEXT, HALF_HEAD, QKV,
                      N_EXTENTS } Extent;

typedef struct Header {
    BinKind kind;
    size_t bytes;                       /* before the first tensor */
    int64_t layers, heads, kv_heads, group;
    bool shared;                        /* the head is the table of tokens */
    DType type;
    int64_t extent[N_EXTENTS];
} Header;

static int64_t number_at(const uint8_t *data, size_t i)
{
    const uint8_t *b = data + 4 * i;
    const uint32_t u = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return u > INT32_MAX ? (int64_t)u - ((int64_t)1 << 32) : (int64_t)u;
}

static bool within(const char *what, int64_t v, int64_t most, Error *err)
{
    return (v >= 1 && v <= most)
        || error_set(err, "the header: %s is %" PRId64 ", and not from 1 to %" PRId64, what, v, most);
}

static bool check_header(Header *h, Error *err)
{
    int64_t *x = h->extent;
    if (!within("the width", x[WIDTH], MAX_SIZE, err) || !within("the hidden width", x[HIDDEN], MAX_SIZE, err)
        || !within("the number of layers", h->layers, MAX_LAYERS, err)
        || !within("the number of heads", h->heads, x[WIDTH], err)
        || !within("the number of key/value heads", h->kv_heads, h->heads, err)
        || !within("the vocabulary", x[VOCAB], MAX_SIZE, err)
        || !within("the table of tokens", x[TABLE_ROWS], MAX_SIZE, err)
        || !within("the context", x[CONTEXT], MAX_SIZE, err))
        return false;
    if (x[WIDTH] % h->heads != 0 || h->heads % h->kv_heads != 0)
        return error_set(err, "the header: %" PRId64 " heads do not divide a width of %" PRId64 ", or %" PRId64
                         " key/value heads them", h->heads, x[WIDTH], h->kv_heads);
    if (x[TABLE_ROWS] < x[VOCAB])
        return error_set(err, "the header: a table of %" PRId64 " rows for a vocabulary of %" PRId64,
                         x[TABLE_ROWS], x[VOCAB]);
    x[ONE] = 1;
    x[KV_WIDTH] = x[WIDTH] / h->heads * h->kv_heads;
    x[HALF_HEAD] = x[WIDTH] / h->heads / 2;
    x[QKV] = 3 * x[WIDTH];
    return true;
}

/* The seven numbers of llama2.c from number `at` on. */
static void take_llama(Header *h, const uint8_t *data, size_t at)
{
    const int64_t vocab = number_at(data, at + 5);
    h->type = DTYPE_f32;
    h->extent[WIDTH] = number_at(data, at);
    h->extent[HIDDEN] = number_at(data, at + 1);
    h->layers = number_at(data, at + 2);
    h->heads = number_at(data, at + 3);
    h->kv_heads = number_at(data, at + 4);
    h->shared = vocab > 0;
    h->extent[VOCAB] = h->extent[TABLE_ROWS] = vocab < 0 && h->kind == BIN_LLAMA_0 ? -vocab : vocab;
    h->extent[CONTEXT] = number_at(data, at + 6);
}

static bool read_ak42(Header *h, const uint8_t *data, Error *err)
{
    const int64_t version = number_at(data, 1);
    if (version != 1 && version != 2)
        return error_set(err, "byte 4: version %" PRId64 " of llama2.c's files; 0, 1 and 2 are read", version);
    h->kind = version == 1 ? BIN_LLAMA_1 : BIN_LLAMA_2;
    h->bytes = HEADER_1;
    take_llama(h, data, 2);
    h->shared = data[36] != 0;
    if (data[36] > 1)
        return error_set(err, "byte 36: a shared head is 0 or 1, and not %d", data[36]);
    h->group = version == 2 ? number_at(data + 37, 0) : 0;
    return version == 1 || within("the size of a group", h->group, MAX_SIZE, err);
}

static bool read_gpt2(Header *h, const uint8_t *data, Error *err)
{
    const int64_t version = number_at(data, 1);
    if (version != 3 && version != 5)
        return error_set(err, "byte 4: version %" PRId64 " of llm.c's files; 3 (f32) and 5 (bf16) are read",
                         version);
    *h = (Header){ .kind = BIN_GPT2, .bytes = HEADER_GPT2, .type = version == 3 ? DTYPE_f32 : DTYPE_bf16,
                   .layers = number_at(data, 4), .heads = number_at(data, 5),
                   .kv_heads = number_at(data, 5), .shared = true };
    h->extent[CONTEXT] = number_at(data, 2);
    h->extent[VOCAB] = number_at(data, 3);
    h->extent[WIDTH] = number_at(data, 6);
    h->extent[TABLE_ROWS] = number_at(data, 7);
    h->extent[HIDDEN] = 4 * h->extent[WIDTH];
    return true;
}

static bool read_header(Header *h, const uint8_t *data, size_t n, Error *err)
{
    *h = (Header){ .kind = BIN_LLAMA_0, .bytes = HEADER_0 };
    const int64_t magic = n >= 4 ? number_at(data, 0) : 0;
    const size_t need = magic == LLAMA_MAGIC ? HEADER_1 : magic == GPT2_MAGIC ? HEADER_GPT2 : HEADER_0;
    if (n < need)
        return error_set(err, "byte %zu: the file ends within its header of %zu bytes", n, need);
    if (magic == LLAMA_MAGIC ? !read_ak42(h, data, err) : magic == GPT2_MAGIC && !read_gpt2(h, data, err))
        return false;
    if (h->kind == BIN_LLAMA_0)
        take_llama(h, data, 0);
    return check_header(h, err);
}

/* ---- what follows ------------------------------------------------------------------------------ */

typedef struct Entry {
    const char *name;                   /* NULL: bytes that nobody reads; %: of each layer in turn */
    Extent rows, columns;               /* columns ONE: a vector */
} Entry;

#define L "model.layers.%."
#define NORM_IN     { L "input_layernorm.weight", WIDTH, ONE }
#define NORM_MIDDLE { L "post_attention_layernorm.weight", WIDTH, ONE }
#define NORM_OUT    { "model.norm.weight", WIDTH, ONE }
#define TOKENS      { "model.embed_tokens.weight", VOCAB, WIDTH }
#define ATTENTION   { L "self_attn.q_proj.weight", WIDTH, WIDTH }, { L "self_attn.k_proj.weight", KV_WIDTH, WIDTH }, \
                    { L "self_attn.v_proj.weight", KV_WIDTH, WIDTH }, { L "self_attn.o_proj.weight", WIDTH, WIDTH }
#define MLP         { L "mlp.gate_proj.weight", HIDDEN, WIDTH }, { L "mlp.down_proj.weight", WIDTH, HIDDEN }, \
                    { L "mlp.up_proj.weight", HIDDEN, WIDTH }
#define HEAD        { "lm_head.weight", VOCAB, WIDTH }

/* Version 0 keeps a cosine and a sine for each pair of a head at each position. */
static const Entry llama_0[] = { TOKENS, NORM_IN, ATTENTION, NORM_MIDDLE, MLP, NORM_OUT,
                                 { NULL, CONTEXT, HALF_HEAD }, { NULL, CONTEXT, HALF_HEAD }, HEAD };
static const Entry llama_1[] = { NORM_IN, NORM_MIDDLE, NORM_OUT, TOKENS, ATTENTION, MLP, HEAD };

static const Entry gpt2[] = {
    { "wte.weight", TABLE_ROWS, WIDTH }, { "wpe.weight", CONTEXT, WIDTH },
    { "h.%.ln_1.weight", WIDTH, ONE }, { "h.%.ln_1.bias", WIDTH, ONE },
    { "h.%.attn.c_attn.weight", QKV, WIDTH }, { "h.%.attn.c_attn.bias", QKV, ONE },
    { "h.%.attn.c_proj.weight", WIDTH, WIDTH }, { "h.%.attn.c_proj.bias", WIDTH, ONE },
    { "h.%.ln_2.weight", WIDTH, ONE }, { "h.%.ln_2.bias", WIDTH, ONE },
    { "h.%.mlp.c_fc.weight", HIDDEN, WIDTH }, { "h.%.mlp.c_fc.bias", HIDDEN, ONE },
    { "h.%.mlp.c_proj.weight", WIDTH, HIDDEN }, { "h.%.mlp.c_proj.bias", WIDTH, ONE },
    { "ln_f.weight", WIDTH, ONE }, { "ln_f.bias", WIDTH, ONE },
};

/* Its entries; the head is the last of llama2.c's. */
static const Entry *table_of(const Header *h, size_t *n)
{
    const Entry *table = h->kind == BIN_GPT2 ? gpt2 : h->kind == BIN_LLAMA_0 ? llama_0 : llama_1;
    *n = h->kind == BIN_GPT2 ? COUNT_OF(gpt2) : h->kind == BIN_LLAMA_0 ? COUNT_OF(llama_0) : COUNT_OF(llama_1);
    *n -= h->kind != BIN_GPT2 && h->shared;
    return table;
}

static int64_t repeats(const Header *h, const Entry *e)
{
    return e->name && strchr(e->name, '%') ? h->layers : 1;
}

static bool is_grouped(const Header *h, const Entry *e)
{
    return h->kind == BIN_LLAMA_2 && e->columns != ONE;
}

/* Bytes of one tensor of the entry: at most 2^48 elements, so nothing overflows. */
static bool bytes_of(const Header *h, const Entry *e, size_t *out, Error *err)
{
    const size_t count = (size_t)(h->extent[e->rows] * h->extent[e->columns]);
    if (!is_grouped(h, e)) {
        *out = count * dtype_size(h->type);
        return true;
    }
    *out = count + count / (size_t)h->group * sizeof(float);
    return count % (size_t)h->group == 0
        || error_set(err, "%s: %zu numbers are no groups of %" PRId64, e->name, count, h->group);
}

/* The whole file's size, and the number of tensors that have a name. */
static bool measure(const Header *h, size_t *size, size_t *n_tensors, Error *err)
{
    size_t n;
    const Entry *table = table_of(h, &n);
    *size = h->bytes;
    *n_tensors = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes, all;
        if (!bytes_of(h, &table[i], &bytes, err))
            return false;
        if (!size_mul(bytes, (size_t)repeats(h, &table[i]), &all) || !size_add(*size, all, size))
            return error_set(err, "the header: its tensors are larger than any file");
        *n_tensors += table[i].name ? (size_t)repeats(h, &table[i]) : 0;
    }
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static const char *name_of(BinFile *b, const Entry *e, int64_t layer)
{
    const char *mark = strchr(e->name, '%');
    return mark ? arena_printf(&b->names, "%.*s%" PRId64 "%s", (int)(mark - e->name), e->name, layer, mark + 1)
                : e->name;
}

static HubTensor tensor_of(const Header *h, const Entry *e, const char *name, const uint8_t *at)
{
    const bool table = e->rows == TABLE_ROWS;   /* rows that only fill it up are not its tensor's */
    HubTensor t = { .name = name, .type = h->type, .rank = e->columns == ONE ? 1 : 2, .data = at,
                    .dim = { h->extent[table ? VOCAB : e->rows], h->extent[e->columns] } };
    const size_t count = (size_t)(t.dim[0] * h->extent[e->columns]);
    t.bytes = count * dtype_size(h->type);
    if (t.rank == 1)
        t.dim[1] = 0;
    if (is_grouped(h, e)) {
        t.group = h->group;
        t.scales = at + count;
        t.bytes = count + count / (size_t)h->group * sizeof(float);
    }
    return t;
}

static void list_tensors(const Header *h, const uint8_t *data, BinFile *b)
{
    size_t n, bytes = 0;
    const Entry *table = table_of(h, &n);
    const uint8_t *at = data + h->bytes;
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < repeats(h, &table[i]); k++, at += bytes) {
            bool ok = bytes_of(h, &table[i], &bytes, NULL);
            CHECK(ok, "measured before");
            if (table[i].name)
                b->tensor[b->n++] = tensor_of(h, &table[i], name_of(b, &table[i], k), at);
        }
    qsort(b->tensor, b->n, sizeof *b->tensor, hub_tensor_order);
}

/* What the two programs have as constants stands here as well. */
static json_t *config_of(const Header *h)
{
    const int64_t *x = h->extent;
    if (h->kind == BIN_GPT2)
        return json_pack("{s:[s], s:I, s:I, s:I, s:I, s:f, s:s}", "architectures", "GPT2LMHeadModel", "n_embd",
                         (json_int_t)x[WIDTH], "n_layer", (json_int_t)h->layers, "n_head", (json_int_t)h->heads,
                         "n_positions", (json_int_t)x[CONTEXT], "layer_norm_epsilon", 1e-5,
                         "activation_function", "gelu_new");
    return json_pack("{s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:b}", "architectures",
                     "LlamaForCausalLM", "hidden_size", (json_int_t)x[WIDTH], "intermediate_size",
                     (json_int_t)x[HIDDEN], "num_hidden_layers", (json_int_t)h->layers, "num_attention_heads",
                     (json_int_t)h->heads, "num_key_value_heads", (json_int_t)h->kv_heads,
                     "max_position_embeddings", (json_int_t)x[CONTEXT], "rms_norm_eps", 1e-5, "rope_theta",
                     10000.0, "hidden_act", "silu", "tie_word_embeddings", (int)h->shared);
}

bool bin_file_parse(const uint8_t *data, size_t n, BinFile *out, Error *err)
{
    Header h;
    size_t size, n_tensors;
    *out = (BinFile){ 0 };
    arena_init(&out->names, NULL);
    if (!read_header(&h, data, n, err) || !measure(&h, &size, &n_tensors, err))
        return false;
    if (size != n)
        return error_set(err, "the header asks for %zu bytes; the file has %zu", size, n);
    out->tensor = calloc(n_tensors, sizeof *out->tensor);
    out->config = config_of(&h);
    if (!out->tensor || !out->config)
        return error_set(err, "out of memory");
    list_tensors(&h, data, out);
    return true;
}

bool bin_file_open(const char *path, BinFile *out, Error *err)
{
    FileMap map;
    *out = (BinFile){ 0 };
    if (!file_map(path, &map, err))
        return false;
    const bool ok = bin_file_parse(map.data, map.size, out, err) || error_prefix(err, "%s", path);
    out->map = map;
    return ok;
}

void bin_file_close(BinFile *b)
{
    json_decref(b->config);
    free(b->tensor);
    arena_free(&b->names);
    file_unmap(&b->map);
    *b = (BinFile){ 0 };
}

BinKind bin_file_kind(const char *path)
{
    uint8_t head[HEADER_GPT2];
    Header h;
    Error err;
    struct stat st;
    size_t size, n_tensors;
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    const bool regular = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
    if (f)
        fclose(f);
    if (!regular || n < HEADER_0)
        return BIN_NONE;
    if (number_at(head, 0) == LLAMA_MAGIC)
        return number_at(head, 1) == 2 ? BIN_LLAMA_2 : BIN_LLAMA_1;
    if (number_at(head, 0) == GPT2_MAGIC)
        return BIN_GPT2;
    return read_header(&h, head, n, &err) && measure(&h, &size, &n_tensors, &err)
        && st.st_size >= 0 && size == (size_t)st.st_size ? BIN_LLAMA_0 : BIN_NONE;
}
