/* Parameters: how they begin, and how storages are kept in safetensors files. */
#include "runtime/weights.h"

#include "base/blocks.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/str.h"
#include "runtime/hub/weights_index.h"
#include "runtime/threads.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Parameters and state have constant sizes. */
static void constant_shape(const PlanStorage *st, int64_t dim[MAX_RANK], int64_t *count)
{
    const int64_t sizes[MAX_SYMBOLS] = { 0 };
    *count = 1;
    for (uint32_t a = 0; a < st->rank; a++) {
        bool ok = plan_dim(&st->dim[a], sizes, &dim[a]) && i64_mul(*count, dim[a], count);
        CHECK(ok, "checked when the plan was opened");
    }
}

void weights_count(const Plan *p, int64_t *count, int64_t *bytes, uint32_t *n_tensors)
{
    int64_t dim[MAX_RANK], n, size = 0;
    *count = *bytes = 0;
    *n_tensors = 0;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        if (p->storages[i].class != PLAN_PARAM)
            continue;
        constant_shape(&p->storages[i], dim, &n);
        *count += n;
        bool ok = dtype_offset((DType)p->storages[i].dtype, n, &size);
        CHECK(ok, "checked when the plan was opened");
        *bytes += size;
        ++*n_tensors;
    }
}

/* ---- first values ----------------------------------------------------------------------------- */

typedef struct Fans {
    double in, out;
} Fans;

static Fans fans_of(uint32_t rank, const int64_t *dim)
{
    Fans f = { 1, 1 };
    for (uint32_t a = 0; a < rank; a++) {
        f.in *= a != 0 || rank == 1 ? (double)dim[a] : 1;
        f.out *= a != 1 ? (double)dim[a] : 1;
    }
    return f;
}

/* How the elements of a parameter begin. */
typedef struct Fill {
    enum { FILL_CONSTANT, FILL_NORMAL, FILL_UNIFORM } kind;
    double value;                       /* the constant, the standard deviation, the bound */
    uint64_t seed, stream;
} Fill;

/* Elements [first, first + n). */
static void fill_floats(const Fill *f, int64_t first, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = (uint64_t)(first + i);
        x[i] = (float)(f->kind == FILL_CONSTANT ? f->value
                       : f->kind == FILL_NORMAL ? f->value * random_normal(f->seed, f->stream, at)
                       : f->value * (2 * random_uniform(f->seed, f->stream, at) - 1));
    }
}

enum { FILL_CHUNK = 4096 };             /* whole blocks of every type */

/* n elements, which begin a chunk, where they belong; zeros for what the type cannot hold. */
static void fill_chunk(const Fill *f, DType type, int64_t first, int64_t n, void *to)
{
    float chunk[FILL_CHUNK];
    int64_t at, bytes;
    if (type == DTYPE_f32) {
        fill_floats(f, first, n, (float *)to + first);
        return;
    }
    bool whole = dtype_offset(type, first, &at) && dtype_offset(type, n, &bytes);
    CHECK(whole, "checked when the plan was opened");
    fill_floats(f, first, n, chunk);
    if (!blocks_encode(type, (size_t)n, chunk, (char *)to + at, NULL))
        memset((char *)to + at, 0, (size_t)bytes);
}

/* The chunks of a parameter, to be shared by threads. */
typedef struct Filling {
    const Fill *f;
    DType type;
    int64_t n, chunks;
    int n_threads;
    void *to;
} Filling;

static void fill_share(void *arg, int thread)
{
    const Filling *w = arg;
    const ThreadShare share = thread_share(w->chunks, thread, w->n_threads);
    for (int64_t c = share.first; c < share.last; c++) {
        const int64_t first = c * FILL_CHUNK, left = w->n - first;
        fill_chunk(w->f, w->type, first, left < FILL_CHUNK ? left : FILL_CHUNK, w->to);
    }
}

/* With `repeat`, all that follows the first REPEATED numbers is as those. */
static void fill_parameter(const Fill *f, DType type, int64_t n, bool repeat, void *to)
{
    enum { REPEATED = 16 * FILL_CHUNK };
    const int64_t period = repeat && n > REPEATED ? REPEATED : n;
    int64_t all, part;
    Filling all_of = { f, type, n, (period + FILL_CHUNK - 1) / FILL_CHUNK, 0, to };
    all_of.n_threads = all_of.chunks > 1 ? threads_available() : 1;
    threads_each(all_of.n_threads, fill_share, &all_of);
    bool whole = dtype_offset(type, period, &part) && dtype_offset(type, n, &all);
    CHECK(whole, "checked when the plan was opened");
    for (int64_t at = part; at < all; at += part)
        memcpy((char *)to + at, to, (size_t)(part < all - at ? part : all - at));
}

static void init_parameter(const PlanStorage *st, const char *path, void *x, uint64_t seed,
                           bool repeat)
{
    int64_t dim[MAX_RANK], n;
    constant_shape(st, dim, &n);
    const Fans fans = fans_of(st->rank, dim);
    Fill f = { .value = st->init_value, .seed = seed, .stream = hash_bytes(path, strlen(path)) };
    switch ((PlanInit)st->init) {
    case PLAN_INIT_zeros:    f.value = 0; break;
    case PLAN_INIT_ones:     f.value = 1; break;
    case PLAN_INIT_constant: break;
    case PLAN_INIT_normal:   f.kind = FILL_NORMAL; break;
    case PLAN_INIT_uniform:  f.kind = FILL_UNIFORM; break;
    case PLAN_INIT_xavier:
        f.kind = FILL_UNIFORM;
        f.value = sqrt(6 / (fans.in + fans.out));
        break;
    case PLAN_INIT_kaiming:
        f.kind = FILL_NORMAL;
        f.value = sqrt(2 / fans.in);
        break;
    case N_PLAN_INITS:
        CHECK(false, "initialiser %" PRIu32 " of %s", st->init, path);
    }
    fill_parameter(&f, (DType)st->dtype, n, repeat, x);
}

static void init_parameters(Session *s, uint64_t seed, bool repeat)
{
    const Plan *p = session_plan(s);
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        void *x = session_storage(s, (int32_t)i);
        if (st->class != PLAN_PARAM || !x)
            continue;
        init_parameter(st, plan_string(p, st->name), x, seed, repeat);
        session_pack(s, (int32_t)i);
    }
}

void weights_init(Session *s, uint64_t seed)
{
    init_parameters(s, seed, false);
}

void weights_stand_in(Session *s)
{
    init_parameters(s, 1, true);
}

/* ---- files ------------------------------------------------------------------------------------ */

static bool belongs(const Plan *p, const PlanStorage *st, WeightsPart part)
{
    const char *name = plan_string(p, st->name);
    if (part == WEIGHTS_PARAMS)
        return st->class == PLAN_PARAM;
    return st->class == PLAN_STATE && !st->rounded_of && strncmp(name, "cache.", 6) != 0
        && strncmp(name, "grad.", 5) != 0;
}

static bool missing(const SafeTensors *file, const char *name, const char *shape, Error *err)
{
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < file->n; i++)
        nearest_try(&best, file->tensors[i].name);
    return error_set(err, "there is no tensor %s, which the model has as %s%s%s%s", name, shape,
                     best.found ? "; did you mean " : "", best.found ? best.found : "",
                     best.found ? "?" : "");
}

/* All n numbers as blocks, a chunk at a time. */
static bool round_tensor(const SafeTensor *t, DType type, int64_t n, uint8_t *to, Error *err)
{
    float chunk[FILL_CHUNK];
    for (int64_t first = 0; first < n; first += FILL_CHUNK) {
        const int64_t count = n - first < FILL_CHUNK ? n - first : FILL_CHUNK;
        int64_t at;
        const bool whole = dtype_offset(type, first, &at);
        CHECK(whole, "checked when the plan was opened");
        if (!safetensors_read(t, DTYPE_f32, first, count, chunk, err)
            || !blocks_encode(type, (size_t)count, chunk, to + at, err))
            return false;
    }
    return true;
}

static bool load_storage(Session *s, int32_t storage, const SafeTensors *file, Error *err)
{
    const Plan *p = session_plan(s);
    const PlanStorage *st = &p->storages[storage];
    const char *name = plan_string(p, st->name);
    int64_t dim[MAX_RANK], n;
    char expected[160], found[160];
    constant_shape(st, dim, &n);
    shape_text(expected, sizeof expected, st->rank, dim);
    const SafeTensor *t = safetensors_find(file, name);
    if (!t)
        return missing(file, name, expected, err);
    if (t->rank != st->rank || memcmp(t->dim, dim, st->rank * sizeof *dim) != 0) {
        shape_text(found, sizeof found, t->rank, t->dim);
        return error_set(err, "tensor %s is %s; the model has it as %s", name, found, expected);
    }
    if (session_storage(s, storage) == (const void *)t->data)
        return true;
    const bool ok = dtype_block((DType)st->dtype) == 1
        ? safetensors_read(t, (DType)st->dtype, 0, n, session_storage(s, storage), err)
        : round_tensor(t, (DType)st->dtype, n, session_storage(s, storage), err)
            || error_prefix(err, "tensor %s", name);
    session_pack(s, storage);
    return ok;
}

bool weights_fill(Session *s, WeightsPart part, const SafeTensors *file, bool exact, Error *err)
{
    const Plan *p = session_plan(s);
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_storages; i++) {
        if (!belongs(p, &p->storages[i], part) || !session_storage(s, (int32_t)i))
            continue;
        if (!load_storage(s, (int32_t)i, file, err))
            return false;
        n++;
    }
    for (size_t i = 0; exact && n < file->n && i < file->n; i++) {
        const int32_t k = plan_storage(p, file->tensors[i].name);
        if (k < 0 || !belongs(p, &p->storages[k], part))
            return error_set(err, "the model has no tensor %s", file->tensors[i].name);
    }
    return true;
}

bool weights_load(Session *s, WeightsPart part, const char *path, bool exact, Error *err)
{
    const size_t n = strlen(path);
    if (part == WEIGHTS_PARAMS && n > 5 && strcmp(path + n - 5, ".json") == 0)
        return weights_index_load(s, path, err);
    SafeTensors file;
    if (!safetensors_open(path, &file, err))
        return false;
    bool ok = weights_fill(s, part, &file, exact, err) || error_prefix(err, "%s", path);
    safetensors_close(&file);
    return ok;
}

bool weights_save(Session *s, WeightsPart part, const char *path, Error *err)
{
    const Plan *p = session_plan(s);
    SafeEntry *entries = calloc(p->n_storages + 1, sizeof *entries);
    size_t n = 0;
    if (!entries)
        return error_set(err, "%s: out of memory", path);
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        const void *data = session_storage(s, (int32_t)i);
        if (!belongs(p, st, part) || !data)
            continue;
        int64_t count;
        CHECK(session_layout(s, (int32_t)i) == LAYOUT_STRIDES, "a session that packs is not saved");
        entries[n] = (SafeEntry){ .name = plan_string(p, st->name), .type = (DType)st->dtype,
                                  .rank = st->rank, .data = data };
        constant_shape(st, entries[n++].dim, &count);
    }
    bool ok = safetensors_write(path, entries, n, err);
    free(entries);
    return ok;
}
