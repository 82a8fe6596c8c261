/* Moving rows, columns and ones. */
#include "runtime/hub/layout.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

Layout layout_of(const Recipe *r, const char *param, uint32_t rank)
{
    const bool interleaved = strcmp(r->gguf, "llama") == 0 || strcmp(r->gguf, "smollm3") == 0;
    switch (r->model) {
    case FAMILY_gpt2:
        return rank == 2 && strncmp(param, "h.", 2) == 0 ? LAYOUT_TURNED : LAYOUT_SAME;
    case FAMILY_llama:
    case FAMILY_mixtral:
        return interleaved && (strstr(param, ".q_proj.") || strstr(param, ".k_proj."))
            ? LAYOUT_PAIRED : LAYOUT_SAME;
    case FAMILY_gemma1:
    case FAMILY_gemma:
        return rank == 1 && ends_with(param, "norm.weight") ? LAYOUT_SHIFTED : LAYOUT_SAME;
    case FAMILY_phi3:
    case FAMILY_qwen3moe:
    case N_FAMILY_MODELS: break;
    }
    return LAYOUT_SAME;
}

HubTensor layout_target(const HubTensor *t, Layout layout, bool to_gguf)
{
    HubTensor out = *t;
    if (layout == LAYOUT_TURNED) {
        out.dim[0] = t->dim[1];
        out.dim[1] = t->dim[0];
    }
    if ((to_gguf && t->rank < 2) || layout == LAYOUT_SHIFTED) {
        out.type = DTYPE_f32;
        out.bytes = (size_t)t->dim[0] * sizeof(float);
    }
    return out;
}

static bool turn(const HubTensor *t, uint8_t *out, Error *err)
{
    const size_t size = dtype_size(t->type), rows = (size_t)t->dim[0], columns = (size_t)t->dim[1];
    if (dtype_block(t->type) > 1)
        return error_set(err, "tensor %s: a matrix of %s blocks cannot be transposed", t->name,
                         dtype_name(t->type));
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(out + (c * rows + r) * size, t->data + (r * columns + c) * size, size);
    return true;
}

/* Row j of a head's first half and row j of its second become rows 2j and 2j + 1; or back. */
static bool pair(const HubTensor *t, bool to_gguf, int64_t head, uint8_t *out, Error *err)
{
    if (head < 2 || head % 2 != 0 || t->dim[0] % head != 0)
        return error_set(err, "tensor %s: %lld rows are no heads of %lld", t->name,
                         (long long)t->dim[0], (long long)head);
    const size_t row = t->bytes / (size_t)t->dim[0];
    for (int64_t r = 0; r < t->dim[0]; r++) {
        const int64_t at = r % head, first = r - at;
        const int64_t other = to_gguf ? at / 2 + at % 2 * (head / 2)
                                      : at % (head / 2) * 2 + at / (head / 2);
        memcpy(out + (size_t)r * row, t->data + (size_t)(first + other) * row, row);
    }
    return true;
}

static bool as_floats(const HubTensor *t, float shift, uint8_t *out, Error *err)
{
    if (!hub_tensor_read(t, DTYPE_f32, out))
        return error_set(err, "tensor %s holds no numbers that become f32", t->name);
    for (int64_t i = 0; i < t->dim[0]; i++) {
        float x;
        memcpy(&x, out + (size_t)i * sizeof x, sizeof x);
        x += shift;
        memcpy(out + (size_t)i * sizeof x, &x, sizeof x);
    }
    return true;
}

/* A bias may become f32 on the way. */
static bool pair_as(const HubTensor *t, bool to_gguf, int64_t head, const HubTensor *target,
                    uint8_t *out, Error *err)
{
    HubTensor floats = *target;
    if (target->type == t->type)
        return pair(t, to_gguf, head, out, err);
    uint8_t *x = malloc(target->bytes);
    bool ok = x || error_set(err, "out of memory");
    floats.data = x;
    ok = ok && as_floats(t, 0, x, err) && pair(&floats, to_gguf, head, out, err);
    free(x);
    return ok;
}

bool layout_convert(const HubTensor *t, Layout layout, bool to_gguf, int64_t head,
                    const HubTensor *target, uint8_t *out, Error *err)
{
    switch (layout) {
    case LAYOUT_TURNED:  return turn(t, out, err);
    case LAYOUT_SHIFTED: return as_floats(t, to_gguf ? 1 : -1, out, err);
    case LAYOUT_PAIRED:  return pair_as(t, to_gguf, head, target, out, err);
    case LAYOUT_SAME:
        if (target->type != t->type)
            return as_floats(t, 0, out, err);
        memcpy(out, t->data, t->bytes);
        return true;
    }
    return false;
}
