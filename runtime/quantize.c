/* Reading tensors, rounding them a stretch of rows at a time, writing them. */
#include "runtime/quantize.h"

#include "base/arena.h"
#include "base/blocks.h"
#include "base/check.h"
#include "base/str.h"
#include "runtime/threads.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* llama.cpp's number for what most of a file is (general.file_type). */
static uint32_t file_type(DType t)
{
    switch (t) {
    case DTYPE_f32: return 0;
    case DTYPE_f16: return 1;
    case DTYPE_q4_0: return 2;
    case DTYPE_q4_1: return 3;
    case DTYPE_q8_0: return 7;
    case DTYPE_q5_0: return 8;
    case DTYPE_q5_1: return 9;
    case DTYPE_q4_k: return 14;
    case DTYPE_q5_k: return 16;
    case DTYPE_q6_k: return 18;
    case DTYPE_bf16: return 32;
    case DTYPE_i32: case DTYPE_bool: case N_DTYPES: break;
    }
    CHECK(false, "no file of %s", dtype_name(t));
    return 0;
}

bool quantize_type(const char *name, DType *out, Error *err)
{
    if (dtype_from_name(name, out) && *out != DTYPE_i32 && *out != DTYPE_bool)
        return true;
    return error_set(err, "no type \"%s\"; there are q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, bf16, f16 "
                     "and f32", name);
}

double quantize_relative_error(double error_squares, double sum_squares)
{
    return sum_squares > 0 ? sqrt(error_squares / sum_squares) : 0;
}

void quantize_report_free(QuantizeReport *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        free(r->tensor[i].name);
    free(r->tensor);
    *r = (QuantizeReport){ 0 };
}

/* ---- which type ------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_weight(const QuantizedTensor *t)
{
    static const char *const others[] = {
        "position_embd.weight", "token_types.weight", "ffn_gate_inp.weight",
    };
    bool is = t->rank >= 2 && ends_with(t->name, ".weight") && !strstr(t->name, "_norm");
    for (size_t i = 0; i < COUNT_OF(others); i++)
        is = is && !ends_with(t->name, others[i]);
    return is;
}

static bool fits(DType t, const QuantizedTensor *x)
{
    return x->dim[0] % (uint64_t)dtype_block(t) == 0;
}

static DType next_wider(DType t)
{
    return t == DTYPE_q4_k ? DTYPE_q5_0 : t == DTYPE_q5_k ? DTYPE_q5_1
         : t == DTYPE_q6_k ? DTYPE_q8_0 : DTYPE_f16;
}

static bool matches(const QuantizeRule *rule, const QuantizeInput *x)
{
    return fnmatch(rule->pattern, x->name, 0) == 0
        || (x->hub_name && fnmatch(rule->pattern, x->hub_name, 0) == 0);
}

static bool choose(const QuantizeOptions *o, const QuantizeInput *x, QuantizedTensor *t, Error *err)
{
    DType from, type = o->type;
    const char *pattern = NULL;
    if (!dtype_from_ggml(t->from, &from) || from == DTYPE_i32)
        return true;
    for (uint32_t i = 0; i < o->n_rules; i++)
        if (matches(&o->rules[i], x)) {
            pattern = o->rules[i].pattern;
            type = o->rules[i].type;
        }
    if (!pattern && !is_weight(t))
        return true;
    if (pattern && !fits(type, t))
        return error_set(err, "%s=%s: rows of tensor %s have %" PRIu64 " numbers, no whole blocks of %" PRId64,
                         pattern, dtype_name(type), t->name, t->dim[0], dtype_block(type));
    while (!fits(type, t))
        type = next_wider(type);
    t->to = (uint8_t)dtype_ggml(type);
    return true;
}

/* A rule for no tensor is a slip of the pen: says which names are near, or how names look. */
static bool check_rule(const QuantizeSource *s, const QuantizeRule *rule, Error *err)
{
    Nearest best = nearest_of(rule->pattern);
    for (uint32_t i = 0; i < s->n; i++) {
        if (matches(rule, &s->tensor[i]))
            return true;
        nearest_try(&best, s->tensor[i].name);
        if (s->tensor[i].hub_name)
            nearest_try(&best, s->tensor[i].hub_name);
    }
    if (best.found)
        return error_set(err, "no tensor is called %s; did you mean %s?", rule->pattern, best.found);
    return error_set(err, "no tensor is called %s; there are %s .. %s", rule->pattern,
                     s->n ? s->tensor[0].name : "none", s->n ? s->tensor[s->n - 1].name : "none");
}

/* ---- one tensor ------------------------------------------------------------------------------- */

enum { STRETCH = 1 << 22 };             /* numbers that are worked on at a time */

typedef struct Work {
    const QuantizeOptions *o;
    const QuantizeSource *source;
    GgufWriter writer;
    Progress *progress;
    size_t done, all;                   /* bytes of the source */
} Work;

static void show_progress(Work *w, const QuantizedTensor *t)
{
    char line[160];
    if (!progress_due(w->progress, false) || clock_seconds() - w->progress->began < 2)
        return;
    snprintf(line, sizeof line, "%3.0f%%  %.100s", 100 * (double)w->done / (double)w->all, t->name);
    progress_show(w->progress, line);
}

/* Adds a row's errors; rows are added in order, whatever the threads. */
typedef struct RowError { double sum, error, largest; } RowError;

static RowError row_error(size_t n, const float *x, const float *back)
{
    RowError e = { 0 };
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)back[i] - (double)x[i]);
        e.sum += (double)x[i] * (double)x[i];
        e.error += d * d;
        e.largest = d > e.largest ? d : e.largest;
    }
    return e;
}

/* Rows to round, and whether each thread's could be. */
typedef struct Rounding {
    DType from, to;
    size_t k, row_from, row_to;         /* numbers and bytes of a row */
    int64_t rows;
    int n_threads;
    const uint8_t *src;
    float *x;                           /* a row as it is, and as it came back, side by side */
    uint8_t *dst;
    RowError *errors;
    atomic_bool ok;
} Rounding;

static void round_share(void *arg, int thread)
{
    Rounding *w = arg;
    const ThreadShare share = thread_share(w->rows, thread, w->n_threads);
    for (int64_t r = share.first; r < share.last; r++) {
        float *row = w->x + 2 * (size_t)r * w->k;
        uint8_t *to = w->dst + (size_t)r * w->row_to;
        blocks_decode(w->from, w->k, w->src + (size_t)r * w->row_from, row);
        if (!blocks_encode(w->to, w->k, row, to, NULL)) {
            atomic_store(&w->ok, false);
            continue;
        }
        blocks_decode(w->to, w->k, to, row + w->k);
        w->errors[r] = row_error(w->k, row, row + w->k);
    }
}

/* Rows [0, rows) of k numbers; false when one does not fit. */
static bool round_rows(const Work *w, const QuantizedTensor *t, int64_t rows, const uint8_t *src, float *x,
                       uint8_t *dst, RowError *errors)
{
    Rounding all = { .k = (size_t)t->dim[0], .rows = rows, .n_threads = w->o->n_threads, .src = src, .x = x,
                     .dst = dst, .errors = errors, .ok = true };
    dtype_from_ggml(t->from, &all.from);
    dtype_from_ggml(t->to, &all.to);
    all.row_from = all.k / (size_t)dtype_block(all.from) * dtype_block_bytes(all.from);
    all.row_to = all.k / (size_t)dtype_block(all.to) * dtype_block_bytes(all.to);
    threads_each(all.n_threads, round_share, &all);
    return all.ok;
}

/* The message for the first row that does not fit. */
static bool name_row(const QuantizedTensor *t, int64_t first, int64_t rows, const float *x, uint8_t *dst,
                     Error *err)
{
    DType to = DTYPE_f32;
    const size_t k = (size_t)t->dim[0];
    dtype_from_ggml(t->to, &to);
    for (int64_t r = 0; r < rows; r++)
        if (!blocks_encode(to, k, x + 2 * (size_t)r * k, dst, err))
            return error_prefix(err, "tensor %s, row %" PRId64, t->name, first + r);
    return true;
}

/* Room for a stretch of rows. */
typedef struct Room {
    size_t rows;
    float *x;                           /* each row as it was, then as it will be read */
    uint8_t *bytes;
    RowError *errors;
} Room;

static bool room_open(Room *room, const QuantizedTensor *t, size_t rows, size_t row_to, Error *err)
{
    const size_t k = (size_t)t->dim[0], most = STRETCH / k + 1;
    room->rows = most < rows ? most : rows;
    room->x = malloc(2 * room->rows * k * sizeof *room->x);
    room->bytes = malloc(room->rows * row_to);
    room->errors = malloc(room->rows * sizeof *room->errors);
    return (room->x && room->bytes && room->errors) || error_set(err, "out of memory for tensor %s", t->name);
}

static void room_close(Room *room)
{
    free(room->x);
    free(room->bytes);
    free(room->errors);
}

/* Rows [first, first + rows) of the tensor, from `src`. */
static bool round_part(Work *w, QuantizedTensor *t, const Room *room, size_t first, size_t rows,
                       const uint8_t *src, size_t row_from, size_t row_to, Error *err)
{
    for (size_t r = 0; r < rows; r += room->rows) {
        const int64_t n = (int64_t)(rows - r < room->rows ? rows - r : room->rows);
        if (!round_rows(w, t, n, src + r * row_from, room->x, room->bytes, room->errors)
            && !name_row(t, (int64_t)(first + r), n, room->x, room->bytes, err))
            return false;
        for (int64_t i = 0; i < n; i++) {
            t->sum_squares += room->errors[i].sum;
            t->error_squares += room->errors[i].error;
            t->largest_error = fmax(t->largest_error, room->errors[i].largest);
        }
        gguf_write_data(&w->writer, room->bytes, (size_t)n * row_to);
        w->done += (size_t)n * row_from;
        show_progress(w, t);
    }
    return true;
}

static bool write_tensor(Work *w, QuantizedTensor *t, uint32_t at, Error *err)
{
    const uint32_t parts = w->source->tensor[at].parts;
    size_t rows = 1;
    for (uint32_t a = 1; a < t->rank; a++)
        rows *= (size_t)t->dim[a];
    const size_t row_from = t->bytes_from / rows, row_to = t->bytes_to / rows, each = rows / parts;
    Room room = { 0 };
    bool ok = t->to == t->from || room_open(&room, t, each, row_to, err);
    for (uint32_t i = 0; ok && i < parts; i++) {
        const uint8_t *src = w->source->part(w->source->owner, at, i, err);
        ok = src != NULL;
        if (ok && t->to != t->from) {
            ok = round_part(w, t, &room, i * each, each, src, row_from, row_to, err);
        } else if (ok) {
            gguf_write_data(&w->writer, src, each * row_from);
            w->done += each * row_from;
        }
    }
    room_close(&room);
    return ok;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* Bytes of the tensor as `to`; false when they cannot be counted. */
static bool set_bytes(QuantizedTensor *t)
{
    bool ok = ggml_row_bytes((GgmlType)t->to, t->dim[0], &t->bytes_to);
    for (uint32_t a = 1; ok && a < t->rank; a++)
        ok = size_mul(t->bytes_to, (size_t)t->dim[a], &t->bytes_to);
    return ok;
}

static bool describe(const QuantizeSource *s, const QuantizeOptions *o, QuantizeReport *r, Error *err)
{
    r->tensor = calloc(s->n + 1, sizeof *r->tensor);
    if (!r->tensor)
        return error_set(err, "out of memory");
    r->n = s->n;
    for (uint32_t i = 0; i < r->n; i++) {
        const QuantizeInput *from = &s->tensor[i];
        QuantizedTensor *t = &r->tensor[i];
        *t = (QuantizedTensor){ .from = from->type, .to = from->type, .rank = from->rank,
                                .bytes_from = from->bytes, .name = strdup(from->name) };
        memcpy(t->dim, from->dim, sizeof t->dim);
        if (!t->name)
            return error_set(err, "out of memory");
        if (!choose(o, from, t, err))
            return false;
        if (!set_bytes(t))
            return error_set(err, "tensor %s is too large", t->name);
        r->bytes_from += t->bytes_from;
        r->bytes_to += t->bytes_to;
    }
    for (uint32_t i = 0; i < o->n_rules; i++)
        if (!check_rule(s, &o->rules[i], err))
            return false;
    return true;
}

static bool write_file(Work *w, QuantizeReport *r, const char *out, Error *err)
{
    w->writer = (GgufWriter){ .alignment = w->source->alignment };
    bool ok = w->source->add_values(w->source->owner, &w->writer, err);
    gguf_add_u32(&w->writer, "general.file_type", file_type(w->o->type));
    gguf_add_u32(&w->writer, "general.quantization_version", 2);
    for (uint32_t i = 0; i < r->n; i++)
        gguf_add_tensor(&w->writer, r->tensor[i].name, (GgmlType)r->tensor[i].to, r->tensor[i].rank,
                        r->tensor[i].dim);
    ok = ok && gguf_write_begin(&w->writer, out, err);
    for (uint32_t i = 0; ok && i < r->n; i++)
        ok = write_tensor(w, &r->tensor[i], i, err);
    if (ok)
        return gguf_write_end(&w->writer, err);
    gguf_write_abandon(&w->writer);
    return false;
}

bool quantize_write(const QuantizeSource *source, const QuantizeOptions *o, const char *out,
                    Progress *progress, QuantizeReport *report, Error *err)
{
    Work w = { .o = o, .source = source, .progress = progress };
    *report = (QuantizeReport){ 0 };
    const bool described = describe(source, o, report, err);
    w.all = report->bytes_from;
    const bool ok = (described && write_file(&w, report, out, err)) || error_prefix(err, "%s", source->where);
    progress_end(progress);
    return ok;
}

/* ---- a GGUF file as the source ---------------------------------------------------------------- */

static bool is_key(const GgufValue *v, const char *key)
{
    return v->key_n == strlen(key) && memcmp(v->key, key, v->key_n) == 0;
}

static bool add_values(void *owner, GgufWriter *w, Error *err)
{
    const Gguf *g = owner;
    (void)err;
    for (uint32_t i = 0; i < g->n_values; i++) {
        const GgufValue *v = &g->values[i];
        if (!is_key(v, "general.file_type") && !is_key(v, "general.quantization_version")
            && !is_key(v, "general.alignment"))
            gguf_add_value(w, v);
    }
    return true;
}

static const uint8_t *tensor_bytes(void *owner, uint32_t tensor, uint32_t part, Error *err)
{
    (void)part;
    (void)err;
    return ((const Gguf *)owner)->tensors[tensor].data;
}

static QuantizeInput *list_tensors(const Gguf *g, Arena *names)
{
    QuantizeInput *x = arena_array(names, g->n_tensors, sizeof *x);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const GgufTensor *t = &g->tensors[i];
        x[i] = (QuantizeInput){ .name = arena_strndup(names, t->name, t->name_n), .type = t->type,
                                .rank = t->rank, .parts = 1, .bytes = t->bytes };
        memcpy(x[i].dim, t->dim, sizeof x[i].dim);
    }
    return x;
}

bool quantize_gguf(const char *source, const QuantizeOptions *o, const char *out, Progress *progress,
                   QuantizeReport *report, Error *err)
{
    Gguf g;
    Arena names;
    *report = (QuantizeReport){ 0 };
    if (!gguf_open(source, &g, err))
        return false;
    arena_init(&names, NULL);
    const QuantizeSource s = { .where = source, .alignment = g.alignment, .n = g.n_tensors,
                               .tensor = list_tensors(&g, &names), .owner = &g,
                               .add_values = add_values, .part = tensor_bytes };
    const bool ok = quantize_write(&s, o, out, progress, report, err);
    arena_free(&names);
    gguf_close(&g);
    return ok;
}
