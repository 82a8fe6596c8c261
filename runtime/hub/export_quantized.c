/* A folder's tensors, as they go over to GGUF, handed to the quantizer one at a time. */
#include "runtime/hub/export.h"

#include <string.h>

typedef struct Rounding {
    Export x;
    uint32_t *first;                    /* of each tensor's parts in x.going */
    Going *held;                        /* whose bytes were asked for last */
} Rounding;

static bool add_values(void *owner, GgufWriter *w, Error *err)
{
    bool has_tokenizer;
    return export_head(&((Rounding *)owner)->x, w, &has_tokenizer, err);
}

static const uint8_t *part(void *owner, uint32_t tensor, uint32_t i, Error *err)
{
    Rounding *r = owner;
    if (r->held)
        export_let_go(r->held);
    r->held = &r->x.going[r->first[tensor] + i];
    return export_bytes(&r->x, r->held, err);
}

static QuantizeInput *list(Rounding *r, uint32_t *n)
{
    Export *x = &r->x;
    QuantizeInput *out = arena_array(&x->arena, x->n, sizeof *out);
    r->first = arena_array(&x->arena, x->n, sizeof *r->first);
    *n = 0;
    for (uint32_t i = 0, parts; i < x->n; i += parts) {
        const HubTensor t = export_target(x, i, &parts);
        const HubTensor *from = x->going[i].from;
        QuantizeInput *in = &out[*n];
        *in = (QuantizeInput){ .name = t.name, .type = (uint8_t)dtype_ggml(t.type), .rank = t.rank,
                               .parts = parts, .bytes = t.bytes, .hub_name = from ? from->name : NULL };
        for (uint32_t a = 0; a < t.rank && a < GGUF_MAX_RANK; a++)
            in->dim[a] = (uint64_t)t.dim[t.rank - 1 - a];
        r->first[(*n)++] = i;
    }
    return out;
}

static bool quantize_folder(const char *from, const QuantizeOptions *o, const char *out, Progress *progress,
                            QuantizeReport *report, Error *err)
{
    Rounding r = { 0 };
    bool ok = export_open(&r.x, from, out, true, err);
    if (ok) {
        QuantizeSource s = { .where = r.x.source.where, .owner = &r, .add_values = add_values, .part = part };
        s.tensor = list(&r, &s.n);
        ok = quantize_write(&s, o, out, progress, report, err);
    }
    if (r.held)
        export_let_go(r.held);
    export_close(&r.x);
    return ok;
}

bool export_quantized(const char *from, const QuantizeOptions *o, const char *out, Progress *progress,
                      QuantizeReport *report, Error *err)
{
    char source[MAX_SOURCE_PATH];
    *report = (QuantizeReport){ 0 };
    if (!export_source(from, source, err))
        return false;
    if (file_same(source, out))
        return error_set(err, "%s: it is the model that is read; give the new one another name", out);
    return (tensor_format(source) == FORMAT_GGUF ? quantize_gguf : quantize_folder)(source, o, out, progress,
                                                                                    report, err);
}
