/* A model's weights in fewer bits, as a GGUF file.
 *
 * What is rounded is a GGUF file, or a QuantizeSource: a published folder on its way to become one.
 * Values are copied as they are, tensors in their order.  What products and embeddings read becomes the
 * type that is asked for: tensors of two and more axes whose name ends in ".weight", but for positions,
 * token types and the routers of experts.  Rows that are no whole blocks of a type of 256 take the next
 * wider type of 32 (q4_k: q5_0, q5_k: q5_1, q6_k: q8_0), and f16 when they are no whole blocks of 32. */
#ifndef RUNTIME_QUANTIZE_H
#define RUNTIME_QUANTIZE_H

#include "base/dtype.h"
#include "base/progress.h"
#include "base/status.h"
#include "runtime/gguf.h"

/* For tensors whose name matches the pattern (`*` any run of characters, `?` one); the last holds. */
typedef struct QuantizeRule {
    const char *pattern;
    DType type;
} QuantizeRule;

typedef struct QuantizeOptions {
    DType type;
    const QuantizeRule *rules;
    uint32_t n_rules;
    int n_threads;
} QuantizeOptions;

/* A tensor to be written, whole rows of which come in `parts` of equal size, one at a time: the experts
 * of a stack lie apart in a folder. */
typedef struct QuantizeInput {
    const char *name;
    const char *hub_name;               /* another name that rules may use, or NULL */
    uint8_t type;                       /* GgmlType */
    uint32_t rank, parts;
    uint64_t dim[GGUF_MAX_RANK];        /* the innermost first */
    size_t bytes;                       /* of all parts */
} QuantizeInput;

typedef struct QuantizeSource {
    const char *where;                  /* for messages */
    uint32_t alignment, n;
    const QuantizeInput *tensor;
    void *owner;
    /* Everything but general.file_type and general.quantization_version. */
    bool (*add_values)(void *owner, GgufWriter *w, Error *err);
    /* A part's bytes, valid until the next is asked for; NULL, with a message, when there are none. */
    const uint8_t *(*part)(void *owner, uint32_t tensor, uint32_t part, Error *err);
} QuantizeSource;

/* What became of a tensor. */
typedef struct QuantizedTensor {
    char *name;
    uint8_t from, to;                   /* GgmlType; equal: copied */
    uint32_t rank;
    uint64_t dim[GGUF_MAX_RANK];        /* the innermost first */
    size_t bytes_from, bytes_to;
    double sum_squares, error_squares;  /* over its numbers, 0 where copied */
    double largest_error;
} QuantizedTensor;

typedef struct QuantizeReport {
    QuantizedTensor *tensor;            /* owned */
    uint32_t n;
    size_t bytes_from, bytes_to;        /* of all tensors */
} QuantizeReport;

/* "q4_0", "f16", ..: a type that tensors can be written in. */
bool quantize_type(const char *name, DType *out, Error *err);

/* Writes `out` whole or not at all.  A number that a type cannot hold is an error that names tensor and
 * row; so is a rule that a tensor's rows do not allow, or that no tensor matches.  Free the report in
 * every case. */
bool quantize_gguf(const char *source, const QuantizeOptions *o, const char *out, Progress *progress,
                   QuantizeReport *report, Error *err);
bool quantize_write(const QuantizeSource *source, const QuantizeOptions *o, const char *out,
                    Progress *progress, QuantizeReport *report, Error *err);
void quantize_report_free(QuantizeReport *r);

/* Root mean square of the errors over that of the numbers; 0 where nothing changed. */
double quantize_relative_error(double error_squares, double sum_squares);

#endif
