/* A GGUF file's weights in fewer bits.
 *
 * Values are copied as they are, tensors in their order.  What products and embeddings read becomes the
 * type that is asked for: tensors of two and more axes whose name ends in ".weight", but for positions,
 * token types and the routers of experts.  Rows that are no whole blocks of a type of 256 take the next
 * wider type of 32 (q4_k: q5_0, q5_k: q5_1, q6_k: q8_0), and f16 when they are no whole blocks of 32. */
#ifndef RUNTIME_QUANTIZE_H
#define RUNTIME_QUANTIZE_H

#include "base/dtype.h"
#include "base/status.h"
#include "runtime/gguf.h"
#include "runtime/progress.h"

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
 * row; so is a rule that a tensor's rows do not allow.  Free the report in every case. */
bool quantize_gguf(const char *source, const QuantizeOptions *o, const char *out, Progress *progress,
                   QuantizeReport *report, Error *err);
void quantize_report_free(QuantizeReport *r);

/* Root mean square of the errors over that of the numbers; 0 where nothing changed. */
double quantize_relative_error(double error_squares, double sum_squares);

#endif
