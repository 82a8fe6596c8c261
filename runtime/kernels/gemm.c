/* The family gemm: what is a legal product, and how one is cut into tasks and blocks. */
#include "runtime/kernels/gemm.h"

#include "runtime/kernels/operand.h"
#include "runtime/kernels/select.h"

enum { C, A, B };

/* Immediates: i[..]. */
enum { ACCUMULATE, HAS_BIAS, HAS_RESIDUAL, ACTIVATION, PRECISION, HAS_SQUARES };

static const Operand *bias_of(const Call *call)
{
    return call->i[HAS_BIAS] ? &call->operand[B + 1] : NULL;
}

static const Operand *residual_of(const Call *call)
{
    return call->i[HAS_RESIDUAL] ? &call->operand[B + 1 + call->i[HAS_BIAS]] : NULL;
}

static const Operand *squares_of(const Call *call)
{
    return call->i[HAS_SQUARES] ? &call->operand[call->n_operands - 1] : NULL;
}

/* Slots of Call.derived. */
enum { AT_M, AT_A_M, AT_C_M, AT_R_M, AT_LEAD, AT_SWAPPED, AT_TILE_M, AT_TILE_N, AT_BLOCK_K, AT_BLOCK_N, N_AT };
_Static_assert((int)N_AT == (int)GEMM_DERIVED, "what gemm_bind reads");

enum {
    TILE_M = 64, TILE_N = 128,      /* a task, where the product is large */
    TASKS = 64,                     /* as many tasks are wanted, for even shares */
    MIN_TILE_N = 32,
    ROW_TILE_N = 16,                /* of a single row, whose shares are small */
};

static int64_t round_up(int64_t x, int64_t unit)
{
    return ceil_div(x, unit) * unit;
}

/* Sizes of the axes from the last: 0 the columns, 1 the rows, 2.. leading. */
static int64_t dim(const Operand *o, int32_t from_last)
{
    return o->dim[o->rank - 1 - from_last];
}

static int64_t stride(const Operand *o, int32_t from_last)
{
    return o->stride[o->rank - 1 - from_last];
}

/* Elements of C are distinct when each axis steps over all that the axes of smaller stride span. */
static bool check_distinct(const Operand *c, Error *err)
{
    if (count_elements(c) == 0)
        return true;
    bool seen[MAX_RANK] = { false };
    int64_t span = 0;
    for (int32_t left = c->rank; left > 0; left--) {
        int32_t axis = -1;
        for (int32_t i = 0; i < c->rank; i++)
            if (!seen[i] && (axis < 0 || c->stride[i] < c->stride[axis]))
                axis = i;
        seen[axis] = true;
        if (c->dim[axis] <= 1)
            continue;
        if (c->stride[axis] <= span)
            return error_set(err, "gemm: elements of C overlap along axis %d", axis);
        int64_t step;
        if (!i64_mul(c->dim[axis] - 1, c->stride[axis], &step) || !i64_add(span, step, &span))
            return error_set(err, "gemm: C spans more than memory");
    }
    return true;
}

static bool check_immediates(const Call *call, Error *err)
{
    static const char *const names[] = { "accumulate", "bias", "residual" };
    for (int i = ACCUMULATE; i <= HAS_RESIDUAL; i++)
        if (call->i[i] != 0 && call->i[i] != 1)
            return error_set(err, "gemm: %s is %lld, expected 0 or 1", names[i],
                             (long long)call->i[i]);
    if (call->i[HAS_SQUARES] != 0 && call->i[HAS_SQUARES] != 1)
        return error_set(err, "gemm: squares is %lld, expected 0 or 1",
                         (long long)call->i[HAS_SQUARES]);
    if (call->i[PRECISION] != 0 && call->i[PRECISION] != 1)
        return error_set(err, "gemm: precision is %lld, expected 0 (float) or 1 (bf16)",
                         (long long)call->i[PRECISION]);
    const int64_t act = call->i[ACTIVATION];
    if (act < 0 || act >= N_ROW_OPS || row_op_kind((RowOp)act) != ROW_MAP1 ||
        act == ROW_i32_neg || act == ROW_i32_to_f32 || act == ROW_f32_to_i32)
        return error_set(err, "gemm: activation %lld is no operation on one float",
                         (long long)act);
    return true;
}

static bool check_squares(const Call *call, Error *err)
{
    const Operand *c = &call->operand[C];
    const int32_t at = call->n_operands - 1;
    const Operand *s = &call->operand[at];
    if (c->rank != 2)
        return error_set(err, "gemm: squares of a product of %d axes, expected 2", c->rank);
    if (!operand_check_rows(call, at, DTYPE_f32, 2, err) || !check_distinct(s, err))
        return false;
    if (s->dim[0] != ceil_div(dim(c, 1), GEMM_SQUARED) || s->dim[1] != dim(c, 0))
        return error_set(err, "gemm: squares [%lld, %lld] of C [%lld, %lld]", (long long)s->dim[0],
                         (long long)s->dim[1], (long long)dim(c, 1), (long long)dim(c, 0));
    return true;
}

static bool check_epilogue(const Call *call, Error *err)
{
    const Operand *c = &call->operand[C];
    const int32_t at = B + 1;
    if (call->i[HAS_BIAS] && !operand_check_rows(call, at, DTYPE_f32, 1, err))
        return false;
    if (call->i[HAS_BIAS] && call->operand[at].dim[0] != dim(c, 0))
        return error_set(err, "gemm: C has %lld columns, the bias has %lld", (long long)dim(c, 0),
                         (long long)call->operand[at].dim[0]);
    const int32_t residual = at + (int32_t)call->i[HAS_BIAS];
    if (call->i[HAS_SQUARES] && !check_squares(call, err))
        return false;
    return !call->i[HAS_RESIDUAL] || (operand_check_rows(call, residual, DTYPE_f32, c->rank, err) &&
                                      operand_check_same(call, C, residual, err));
}

static bool check_factor(const Call *call, int32_t i, int32_t rank, Error *err)
{
    DType t = call->operand[i].dtype;
    return operand_check(call, i, t == DTYPE_bf16 ? t : DTYPE_f32, rank, err);
}

static bool check(const Call *call, Error *err)
{
    if (!check_immediates(call, err) ||
        !operand_check_count(call, 3 + (int32_t)(call->i[HAS_BIAS] + call->i[HAS_RESIDUAL]
                                                 + call->i[HAS_SQUARES]), err))
        return false;
    int32_t rank = call->operand[C].rank;
    if (rank < 2)
        return error_set(err, "gemm: rank %d, expected at least 2", rank);
    if (!operand_check_rows(call, C, DTYPE_f32, rank, err) ||
        !check_factor(call, A, rank, err) || !check_factor(call, B, rank, err) ||
        !operand_check_leading(call, C, A, rank - 1, err) ||
        !operand_check_leading(call, C, B, rank - 2, err) ||
        !check_distinct(&call->operand[C], err))
        return false;
    const Operand *a = &call->operand[A], *b = &call->operand[B], *c = &call->operand[C];
    if (dim(c, 0) != dim(b, 0))
        return error_set(err, "gemm: C has %lld columns, B has %lld", (long long)dim(c, 0),
                         (long long)dim(b, 0));
    if (dim(a, 0) != dim(b, 1))
        return error_set(err, "gemm: A has %lld columns, B has %lld rows", (long long)dim(a, 0),
                         (long long)dim(b, 1));
    return check_epilogue(call, err);
}

/* Rows of A, C and the residual, and their strides. */
typedef struct Rows { int64_t m, a_m, c_m, r_m; } Rows;

/* Leading axes join the rows where B is the same over them and the rows go on at their stride.
 * Returns how many leading axes are left. */
static int32_t fold_rows(const Call *call, Rows *rows)
{
    const Operand *a = &call->operand[A], *b = &call->operand[B], *c = &call->operand[C];
    const Operand *residual = residual_of(call), *r = residual ? residual : c;
    *rows = (Rows){ dim(c, 1), stride(a, 1), stride(c, 1), stride(r, 1) };
    int32_t lead = c->rank - 2;
    for (; lead > 0; lead--) {
        int32_t i = lead - 1;
        if (c->dim[i] == 1)
            continue;
        if (b->stride[i] != 0)
            break;
        if (rows->m == 1) {
            rows->a_m = a->stride[i];
            rows->c_m = c->stride[i];
            rows->r_m = r->stride[i];
        } else if (a->stride[i] != rows->a_m * rows->m || c->stride[i] != rows->c_m * rows->m ||
                   r->stride[i] != rows->r_m * rows->m) {
            break;
        }
        rows->m *= c->dim[i];
    }
    return lead;
}

/* Kept, because asking the processor takes longer than a small product. */
static int64_t l2_floats(void)
{
    static _Atomic size_t bytes;
    size_t known = bytes;
    if (known == 0)
        bytes = known = cpu_caches().l2;
    return (int64_t)(known / sizeof(float));
}

/* Blocks of K are even and owe nothing to the machine, so neither do the bits.  A block of B takes
 * half of the second-level cache. */
static void choose_blocks(int64_t k, int64_t n, int64_t *block_k, int64_t *block_n)
{
    int64_t blocks = max_i64(1, ceil_div(k, GEMM_BLOCK_K));
    *block_k = blocks == 1 ? max_i64(k, 1) : round_up(ceil_div(k, blocks), 16);
    int64_t fit = l2_floats() / 2 / *block_k;
    fit = max_i64(GEMM_PANEL_N, min_i64(fit, GEMM_BLOCK_N)) / GEMM_PANEL_N * GEMM_PANEL_N;
    *block_n = min_i64(fit, round_up(n, GEMM_PANEL_N));
}

/* Even tiles near TILE_M x TILE_N; narrower ones where that would give few tasks.  They begin where
 * panels of bf16 begin, so those are the same for any number of threads. */
static void choose_tiles(int64_t batch, int64_t m, int64_t n, int64_t *tile_m, int64_t *tile_n)
{
    *tile_m = round_up(ceil_div(m, ceil_div(m, TILE_M)), GEMM16_NR);
    int64_t rows = batch * ceil_div(m, *tile_m);
    int64_t columns = max_i64(ceil_div(n, TILE_N), ceil_div(TASKS, rows));
    const int64_t least = m == 1 ? ROW_TILE_N : MIN_TILE_N;
    columns = min_i64(columns, ceil_div(n, least));
    *tile_n = round_up(ceil_div(n, columns), least);
}

static bool finishes(const Call *call)
{
    return call->i[HAS_BIAS] || call->i[HAS_RESIDUAL] || call->i[ACTIVATION] != ROW_copy ||
           call->i[HAS_SQUARES];
}

static void prepare(Call *call)
{
    const Operand *c = &call->operand[C], *a = &call->operand[A];
    int64_t n = dim(c, 0), k = dim(a, 0);
    Rows folded;
    call->n_tasks = 0;
    if (count_elements(c) == 0)
        return;
    int32_t lead = fold_rows(call, &folded);
    int64_t m = folded.m;

    /* A single column is the row of the transposed product. */
    bool swapped = n == 1 && m > 1 && folded.c_m == 1 && !finishes(call);
    int64_t rows = swapped ? 1 : m, columns = swapped ? m : n;
    int64_t tile_m, tile_n, block_k, block_n;
    int64_t batch = count_leading(c, lead);
    choose_tiles(batch, rows, columns, &tile_m, &tile_n);
    choose_blocks(k, columns, &block_k, &block_n);
    if (call->i[HAS_SQUARES])           /* a group of rows belongs to one task */
        tile_m = round_up(tile_m, GEMM_SQUARED);
    call->derived[AT_M] = m;
    call->derived[AT_A_M] = folded.a_m;
    call->derived[AT_C_M] = folded.c_m;
    call->derived[AT_R_M] = folded.r_m;
    call->derived[AT_LEAD] = lead;
    call->derived[AT_SWAPPED] = swapped;
    call->derived[AT_TILE_M] = tile_m;
    call->derived[AT_TILE_N] = tile_n;
    call->derived[AT_BLOCK_K] = block_k;
    call->derived[AT_BLOCK_N] = block_n;
    call->n_tasks = batch * ceil_div(rows, tile_m) * ceil_div(columns, tile_n);
}

static GemmKind kind(const Call *call, int32_t i)
{
    if (call->operand[i].dtype == DTYPE_bf16)
        return GEMM_WIDENED;
    return call->i[PRECISION] ? GEMM_ROUNDED : GEMM_FLOAT;
}

Gemm gemm_bind(const Call *call)
{
    const int64_t *d = call->derived;
    const Operand *a = &call->operand[A], *b = &call->operand[B], *c = &call->operand[C];
    Gemm g = {
        .m = d[AT_M], .n = dim(c, 0), .k = dim(a, 0), .a_m = d[AT_A_M], .a_k = stride(a, 0),
        .b_k = stride(b, 1), .b_n = stride(b, 0), .c_m = d[AT_C_M],
        .tile_m = d[AT_TILE_M], .tile_n = d[AT_TILE_N],
        .block_k = d[AT_BLOCK_K], .block_n = d[AT_BLOCK_N], .l2 = l2_floats(),
        .lead = (int32_t)d[AT_LEAD], .ia = A, .ib = B,
        .alpha = (float)call->f[0], .accumulate = call->i[ACCUMULATE] != 0,
        .bias = bias_of(call) ? bias_of(call)->data : NULL, .r_m = d[AT_R_M],
        .finish = finishes(call), .activation = (RowOp)call->i[ACTIVATION],
        .squares = squares_of(call) ? squares_of(call)->data : NULL,
        .s_m = squares_of(call) ? squares_of(call)->stride[0] : 0,
        .rounds = call->i[PRECISION] != 0,
        .a_kind = kind(call, A), .b_kind = kind(call, B), .b_layout = b->layout,
    };
    if (d[AT_SWAPPED]) {
        g.n = g.m;
        g.m = 1;
        g.b_n = g.a_m;
        g.a_m = 0;
        int64_t a_k = g.a_k;
        g.a_k = g.b_k;
        g.b_k = a_k;
        g.c_m = 0;
        g.ia = B;
        g.ib = A;
        g.a_kind = kind(call, B);
        g.b_kind = kind(call, A);
    }
    g.tiles_m = ceil_div(g.m, g.tile_m);
    g.tiles_n = ceil_div(g.n, g.tile_n);
    g.across = g.m > g.n;
    return g;
}

/* g with a, b and c at matrix `batch` of the leading axes. */
static void seek(Gemm *g, const Call *call, int64_t batch)
{
    const Operand *o = call->operand;
    g->a = gemm_at(o[g->ia].data, g->a_kind, leading_offset(&o[C], &o[g->ia], g->lead, batch));
    g->b = gemm_at(o[g->ib].data, g->b_kind, leading_offset(&o[C], &o[g->ib], g->lead, batch));
    g->c = (float *)o[C].data + leading_offset(&o[C], &o[C], g->lead, batch);
    const Operand *r = residual_of(call);
    if (r)
        g->residual = (const float *)r->data + leading_offset(&o[C], r, g->lead, batch);
}

int64_t gemm_tiles(const Gemm *g, int64_t first, int64_t last, GemmRect *r)
{
    int64_t inner = g->across ? g->tiles_n : g->tiles_m, outer = g->across ? g->tiles_m : g->tiles_n;
    int64_t i = first % inner, o = first / inner % outer, n_i = min_i64(inner - i, last - first);
    int64_t n_o = n_i == inner ? min_i64((last - first) / inner, outer - o) : 1;
    int64_t tile_m = g->across ? o : i, down = g->across ? n_o : n_i;
    int64_t tile_n = g->across ? i : o, along = g->across ? n_i : n_o;
    *r = (GemmRect){
        .m0 = tile_m * g->tile_m, .m1 = min_i64((tile_m + down) * g->tile_m, g->m),
        .n0 = tile_n * g->tile_n, .n1 = min_i64((tile_n + along) * g->tile_n, g->n),
    };
    return n_i * n_o;
}

int64_t gemm_rect(Gemm *g, const Call *call, int64_t first, int64_t last, GemmRect *r)
{
    seek(g, call, first / (g->tiles_m * g->tiles_n));
    return gemm_tiles(g, first, last, r);
}

/* A block of B and panels of A; or all of a few rows of A; or a block of one row of A and sums: at their
 * upper bounds for these sizes. */
static size_t scratch(const Call *call)
{
    const Operand *c = &call->operand[C];
    int64_t all_k = dim(&call->operand[A], 0), k = min_i64(all_k, GEMM_BLOCK_K);
    int64_t n = dim(c, 0) == 1 ? count_elements(c) : dim(c, 0);
    n = min_i64(round_up(max_i64(n, 1), GEMM_PANEL_N), GEMM_BLOCK_N);
    size_t floats = sizeof(float) * (size_t)(k * (n + GEMM_CHUNK_LANES));
    size_t rows = sizeof(float) * (size_t)(GEMM_PANEL_M * round_up(all_k, GEMM_SPLIT_K));
    floats = floats > rows ? floats : rows;
    rows = sizeof(float) * (GEMM_BLOCK_K + GEMM_ROW_N);
    floats = floats > rows ? floats : rows;
    const bool whole = call->i[PRECISION] ||
        (call->operand[A].dtype == DTYPE_bf16 && call->operand[B].dtype == DTYPE_bf16);
    k = min_i64(round_up(all_k, GEMM16_STEP), whole ? GEMM16_BLOCK_K : GEMM16_SPLIT_BLOCK_K);
    n = whole ? n : 3 * min_i64(n, GEMM16_FEW_N);
    size_t halves = sizeof(uint16_t) * (size_t)(GEMM16_SPARE + 2 * GEMM16_PANEL + k * n);
    return halves > floats ? halves : floats;
}

/* Bytes in memory: an axis of stride 0 repeats what is there.  Of a coded matrix, those of its cells. */
static double bytes_stored(const Operand *o)
{
    double n = (double)dtype_size(o->dtype) - (o->layout == LAYOUT_CODED ? 0.5 : 0);
    for (int32_t i = 0; i < o->rank; i++)
        if (o->stride[i] != 0 || o->dim[i] == 0)
            n *= (double)o->dim[i];
    return n;
}

static KernelUnit unit(const Call *call)
{
    const int halves = (call->operand[A].dtype == DTYPE_bf16) + (call->operand[B].dtype == DTYPE_bf16);
    if (call->i[PRECISION] || halves == 2)
        return UNIT_bf16;
    return halves == 1 ? UNIT_bf16_three : UNIT_bf16_six;
}

static KernelCost cost(const Call *call)
{
    const Operand *c = &call->operand[C], *a = &call->operand[A], *b = &call->operand[B];
    const Operand *bias = bias_of(call), *r = residual_of(call), *squares = squares_of(call);
    double n_c = (double)count_elements(c);
    return (KernelCost){
        .flops = 2 * n_c * (double)dim(a, 0) + (squares ? 2 * n_c : 0),
        .bytes = bytes_stored(a) + bytes_stored(b) + (call->i[ACCUMULATE] ? 8 : 4) * n_c +
                 (bias ? bytes_stored(bias) : 0) + (r ? bytes_stored(r) : 0) +
                 (squares ? bytes_stored(squares) : 0),
        .unit = unit(call),
    };
}

const KernelFamily family_gemm = { "gemm", 3, 6, check, prepare, scratch, cost };
