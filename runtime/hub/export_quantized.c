/* A folder's tensors, as they go over to GGUF, handed to the quantizer one at a time. */
#include "runtime/hub/export.h"

#include <string.h>

typedef struct Rounding {
    Export x;
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
    (void)i;
    if (r->held)
        export_let_go(r->held);
    r->held = &r->x.going[tensor];
    return export_bytes(&r->x, r->held, err);
}

static QuantizeInput *list(Export *x)
{
    QuantizeInput *out = arena_array(&x->arena, x->n, sizeof *out);
    for (uint32_t i = 0; i < x->n; i++) {
        const HubTensor *t = &x->going[i].target;
        out[i] = (QuantizeInput){ .name = t->name, .type = (uint8_t)dtype_ggml(t->type), .rank = t->rank,
                                  .parts = 1, .bytes = t->bytes,
                                  .hub_name = x->going[i].from ? x->going[i].from->name : NULL };
        for (uint32_t a = 0; a < t->rank && a < GGUF_MAX_RANK; a++)
            out[i].dim[a] = (uint64_t)t->dim[t->rank - 1 - a];
    }
    return out;
}

static bool quantize_folder(const char *from, const QuantizeOptions *o, const char *out, Progress *progress,
                            QuantizeReport *report, Error *err)
{
    Rounding r = { 0 };
    bool ok = export_open(&r.x, from, true, err);
    if (ok) {
        const QuantizeSource s = { .where = r.x.source.where, .n = r.x.n, .tensor = list(&r.x), .owner = &r,
                                   .add_values = add_values, .part = part };
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
    return (tensor_format(source) == FORMAT_GGUF ? quantize_gguf : quantize_folder)(source, o, out, progress,
                                                                                    report, err);
}
