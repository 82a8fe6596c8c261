/* The validator of plans.
 *
 * Order: header and checksum, bounds of every table, then the records, each index before it is
 * followed.  Instructions come last: their operands are bound at the largest sizes of the program,
 * must lie inside their buffer there, and the kernel's own contract must hold.  Every size is a
 * monomial with a coefficient >= 0, so what fits at the largest sizes fits at all smaller ones. */
#include "runtime/plan_check.h"

#include "base/check.h"
#include "base/hash.h"
#include "runtime/kernels/panel.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a storage or an output: sums over all tensors of a model need no care. */
#define MAX_ELEMENTS ((int64_t)1 << 40)

/* Tables of the header in file order, with the size of a record. */
typedef struct TableInfo {
    const char *name;
    size_t at;                          /* of the PlanTable in the header */
    size_t record;
} TableInfo;

static const TableInfo tables[] = {
    { "symbols", offsetof(PlanHeader, symbols), sizeof(PlanSymbol) },
    { "storages", offsetof(PlanHeader, storages), sizeof(PlanStorage) },
    { "programs", offsetof(PlanHeader, programs), sizeof(PlanProgram) },
    { "outputs", offsetof(PlanHeader, outputs), sizeof(PlanOutput) },
    { "instrs", offsetof(PlanHeader, instrs), sizeof(PlanInstr) },
    { "operands", offsetof(PlanHeader, operands), sizeof(PlanOperand) },
    { "rows", offsetof(PlanHeader, rows), sizeof(PlanRow) },
    { "row_consts", offsetof(PlanHeader, row_consts), sizeof(PlanRowConst) },
    { "row_temps", offsetof(PlanHeader, row_temps), sizeof(uint8_t) },
    { "row_instrs", offsetof(PlanHeader, row_instrs), sizeof(RowInstr) },
    { "strings", offsetof(PlanHeader, strings), sizeof(char) },
};

static const PlanTable *table_of(const Plan *p, const TableInfo *info)
{
    return (const PlanTable *)(const void *)((const char *)p->header + info->at);
}

static bool check_header(Plan *p, Error *err)
{
    size_t n = p->file.size;
    if (n < sizeof(PlanHeader))
        return error_set(err, "not a plan: %zu bytes, the header alone takes %zu", n,
                         sizeof(PlanHeader));
    if ((uintptr_t)p->file.data % 8)
        return error_set(err, "plan bytes are not aligned to 8");
    const PlanHeader *h = p->header = (const void *)p->file.data;
    if (memcmp(h->magic, PLAN_MAGIC, sizeof h->magic) != 0)
        return error_set(err, "not a plan: it does not begin with \"smgplan\"; smc compile makes plans");
    if (h->version != PLAN_VERSION)
        return error_set(err, "plan version %" PRIu32 ", this smrun reads version %d: compile the "
                         "model again with the smc beside it", h->version, PLAN_VERSION);
    if (h->header_bytes != sizeof *h)
        return error_set(err, "header of %" PRIu32 " bytes, expected %zu", h->header_bytes,
                         sizeof *h);
    if (h->file_bytes != n)
        return error_set(err, "plan of %" PRIu64 " bytes is %zu bytes long: it was cut off or added "
                         "to", h->file_bytes, n);
    size_t from = offsetof(PlanHeader, checksum) + sizeof h->checksum;
    if (hash_bytes(p->file.data + from, n - from) != h->checksum)
        return error_set(err, "checksum does not match: the plan was altered after it was written");
    if (h->context < 0 || h->context > INT32_MAX)
        return error_set(err, "context of %" PRId64 " positions", h->context);
    return true;
}

static bool check_tables(Plan *p, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        const PlanTable *t = table_of(p, &tables[i]);
        size_t bytes, end;
        if (t->offset % PLAN_ALIGN || t->count > UINT32_MAX / 2
            || !size_mul(t->count, tables[i].record, &bytes) || !size_add(t->offset, bytes, &end)
            || t->offset < sizeof(PlanHeader) || end > p->file.size)
            return error_set(err, "table %s: %" PRIu64 " records at byte %" PRIu64 " do not lie in "
                             "the file", tables[i].name, t->count, t->offset);
    }
    const uint8_t *base = p->file.data;
    const PlanHeader *h = p->header;
    p->symbols = (const void *)(base + h->symbols.offset);
    p->storages = (const void *)(base + h->storages.offset);
    p->programs = (const void *)(base + h->programs.offset);
    p->outputs = (const void *)(base + h->outputs.offset);
    p->instrs = (const void *)(base + h->instrs.offset);
    p->operands = (const void *)(base + h->operands.offset);
    p->rows = (const void *)(base + h->rows.offset);
    p->row_consts = (const void *)(base + h->row_consts.offset);
    p->row_temps = base + h->row_temps.offset;
    p->row_instrs = (const void *)(base + h->row_instrs.offset);
    p->strings = (const void *)(base + h->strings.offset);
    p->n_symbols = (uint32_t)h->symbols.count;
    p->n_storages = (uint32_t)h->storages.count;
    p->n_programs = (uint32_t)h->programs.count;
    if (h->strings.count == 0 || p->strings[h->strings.count - 1] != '\0')
        return error_set(err, "the string table does not end in a zero byte");
    return true;
}

static bool check_string(const Plan *p, uint32_t s, const char *what, Error *err)
{
    if (s >= p->header->strings.count)
        return error_set(err, "%s: string %" PRIu32 " is outside the string table", what, s);
    return true;
}

/* [first, first + n) inside a table of `count`. */
static bool in_range(uint64_t first, uint64_t n, uint64_t count)
{
    return first <= count && n <= count - first;
}

static bool check_dim(const Plan *p, const PlanDim *d, int64_t least, Error *err)
{
    if (d->coef < least)
        return error_set(err, "size with coefficient %" PRId64, d->coef);
    for (uint32_t s = p->n_symbols; s < MAX_SYMBOLS; s++)
        if (d->power[s])
            return error_set(err, "size that names symbol %" PRIu32 " of %" PRIu32, s,
                             p->n_symbols);
    return true;
}

static bool check_symbols(const Plan *p, Error *err)
{
    if (p->n_symbols > MAX_SYMBOLS)
        return error_set(err, "%" PRIu32 " symbols, at most %d", p->n_symbols, MAX_SYMBOLS);
    for (uint32_t i = 0; i < p->n_symbols; i++) {
        if (!check_string(p, p->symbols[i].name, "symbol", err))
            return false;
        if (p->symbols[i].role >= N_PLAN_ROLES)
            return error_set(err, "symbol %" PRIu32 ": role %" PRIu32, i, p->symbols[i].role);
    }
    return true;
}

static bool dim_is_constant(const PlanDim *d)
{
    static const uint8_t none[MAX_SYMBOLS];
    return memcmp(d->power, none, sizeof none) == 0;
}

static bool check_storage(const Plan *p, const PlanStorage *s, Error *err)
{
    if (s->class >= N_PLAN_CLASSES || s->dtype >= N_DTYPES || s->rank > MAX_RANK
        || s->init >= N_PLAN_INITS || s->programs >> N_PLAN_PROGRAMS || !isfinite(s->init_value))
        return error_set(err, "a field is out of range");
    if (s->index_limit < 0 || s->index_limit > INT32_MAX
        || (s->index_limit > 0 && s->dtype != DTYPE_i32))
        return error_set(err, "index limit %" PRId64, s->index_limit);
    const DType dtype = (DType)s->dtype;
    const bool whole = s->class == PLAN_PARAM && dtype_is_lane(dtype) && dtype != DTYPE_f32;
    if (whole || (s->class == PLAN_INPUT && !dtype_is_lane(dtype)))
        return error_set(err, "%s of %s", whole ? "a parameter" : "an input", dtype_name(dtype));
    const int64_t block = dtype_block(dtype);
    const bool cache = s->class == PLAN_STATE && dtype_is_cache(dtype);
    if (block > 1 && ((s->class != PLAN_PARAM && !cache) || s->rank == 0
                      || s->dim[s->rank - 1].coef % block || !dim_is_constant(&s->dim[s->rank - 1])))
        return error_set(err, "it is no parameter or cache whose rows are whole blocks of %" PRId64,
                         block);
    for (uint32_t a = 0; a < s->rank; a++) {
        if (!check_dim(p, &s->dim[a], 1, err))
            return false;
        if (s->class == PLAN_PARAM && !dim_is_constant(&s->dim[a]))
            return error_set(err, "axis %" PRIu32 " has no fixed size", a);
    }
    /* Of fixed sizes it must be countable even where no program uses it. */
    static const int64_t ones[MAX_SYMBOLS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    size_t bytes;
    int64_t count;
    if (!plan_storage_bytes(p, s, UINT32_MAX, &bytes) || !plan_storage_count(s, ones, &count)
        || count > MAX_ELEMENTS)
        return error_set(err, "more elements than can be counted");
    return true;
}

/* A session makes a copy from its parameter, so it holds that too. */
static bool check_copy(const Plan *p, const PlanStorage *s, Error *err)
{
    if (s->rounded_of == 0)
        return true;
    const PlanStorage *of = s->rounded_of <= p->n_storages ? &p->storages[s->rounded_of - 1] : NULL;
    if (!of || s->class != PLAN_STATE || s->dtype != DTYPE_bf16 || of->class != PLAN_PARAM
        || of->dtype != DTYPE_f32 || of->rank != s->rank
        || memcmp(of->dim, s->dim, s->rank * sizeof *s->dim) != 0 || (s->programs & ~of->programs))
        return error_set(err, "storage %" PRIu32 " cannot be what it is rounded of", s->rounded_of - 1);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names are what weights are found by; two of one name would be one too many. */
static bool check_names_differ(const Plan *p, Error *err)
{
    const char **names = malloc((p->n_storages + 1) * sizeof *names);
    if (!names)
        return error_set(err, "out of memory");
    for (uint32_t i = 0; i < p->n_storages; i++)
        names[i] = plan_string(p, p->storages[i].name);
    qsort(names, p->n_storages, sizeof *names, by_name);
    bool ok = true;
    for (uint32_t i = 1; i < p->n_storages && ok; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            ok = error_set(err, "two storages are called %s", names[i]);
    free(names);
    return ok;
}

static bool check_storages(const Plan *p, Error *err)
{
    for (uint32_t i = 0; i < p->n_storages; i++) {
        if (!check_string(p, p->storages[i].name, "storage", err))
            return false;
        if (!check_storage(p, &p->storages[i], err) || !check_copy(p, &p->storages[i], err))
            return error_prefix(err, "storage %s", plan_string(p, p->storages[i].name));
    }
    return check_names_differ(p, err);
}

static bool check_program_record(const Plan *p, const PlanProgram *g, Error *err)
{
    const PlanHeader *h = p->header;
    if (!in_range(g->first_instr, g->n_instrs, h->instrs.count)
        || !in_range(g->first_output, g->n_outputs, h->outputs.count))
        return error_set(err, "instructions or outputs outside their tables");
    if (g->pool_bytes < 0 || g->pool_bytes % PLAN_ALIGN || g->pool_bytes > INT64_MAX / 4)
        return error_set(err, "pool of %" PRId64 " bytes", g->pool_bytes);
    for (uint32_t s = 0; s < MAX_SYMBOLS; s++)
        if (g->max[s] < 1 || g->max[s] > INT32_MAX)
            return error_set(err, "size %" PRId64 " for symbol %" PRIu32, g->max[s], s);
    return true;
}

static bool check_programs(const Plan *p, Error *err)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        if (g->kind >= N_PLAN_PROGRAMS || (seen & 1u << g->kind))
            return error_set(err, "program %" PRIu32 " is of kind %" PRIu32, i, g->kind);
        seen |= 1u << g->kind;
        if (!check_program_record(p, g, err))
            return error_prefix(err, "program %s", plan_program_name((PlanProgramKind)g->kind));
    }
    return true;
}

/* Whole blocks can be addressed, and nothing in between: rows of them at multiples of a block. */
static bool check_blocks(const PlanOperand *o, Error *err)
{
    const int64_t block = dtype_block((DType)o->dtype);
    if (block == 1)
        return true;
    const uint32_t last = o->rank - 1;
    bool ok = o->rank > 0 && o->dim[last].coef % block == 0 && o->offset.coef % block == 0
        && o->stride[last].coef == 1 && dim_is_constant(&o->stride[last]);
    for (uint32_t a = 0; a < last && ok; a++)
        ok = o->stride[a].coef % block == 0;
    return ok || error_set(err, "a view of %s that cuts blocks of %" PRId64,
                           dtype_name((DType)o->dtype), block);
}

/* Bytes [start, end) that an operand touches, for strides >= 0. */
static bool operand_end(const Operand *o, int64_t start, int64_t *end)
{
    int64_t last = 0, step;
    for (int a = 0; a < o->rank; a++) {
        if (o->dim[a] == 0) {
            *end = start;
            return true;
        }
        if (!i64_mul(o->dim[a] - 1, o->stride[a], &step) || !i64_add(last, step, &last))
            return false;
    }
    return i64_add(last, 1, &last) && dtype_offset(o->dtype, last, &last)
        && i64_add(start, last, end);
}

static bool check_cut(const PlanCut *c, uint32_t rank, Error *err)
{
    if (c->most == 0 ? c->axis || c->skip || c->from
                     : c->axis >= rank || c->most < 0 || c->most > MAX_ELEMENTS || c->skip < 0
                       || c->skip > MAX_ELEMENTS || c->from < 0 || c->from > MAX_ELEMENTS)
        return error_set(err, "a cut of axis %" PRIu32 " that is none", c->axis);
    return true;
}

/* Blocks of parameters lie in panels of 16 rows (kernels/panel.h): a view is of whole rows, from the first
 * of a panel.  Caches are viewed whole, which is both. */
static bool check_panels(const PlanStorage *s, const PlanOperand *o)
{
    if (dtype_block((DType)s->dtype) == 1)
        return true;
    const int64_t row = s->rank > 0 ? s->dim[s->rank - 1].coef : 0;
    const uint32_t last = o->rank - 1;
    bool ok = row > 0 && o->rank > 0 && o->cut.most == 0 && o->dim[last].coef == row
        && dim_is_constant(&o->dim[last]) && o->offset.coef % (PANEL_ROWS * row) == 0;
    for (uint32_t a = 0; a < last && ok; a++)
        ok = o->stride[a].coef % row == 0;
    return ok;
}

static bool check_operand(const Plan *p, const PlanProgram *g, const PlanOperand *o, Operand *bound,
                          Error *err)
{
    if (o->dtype >= N_DTYPES || o->rank > MAX_RANK || o->storage < -1
        || (o->storage >= 0 && (uint32_t)o->storage >= p->n_storages))
        return error_set(err, "a field is out of range");
    if (!check_dim(p, &o->offset, 0, err))
        return false;
    for (uint32_t a = 0; a < o->rank; a++)
        if (!check_dim(p, &o->dim[a], 1, err) || !check_dim(p, &o->stride[a], 0, err))
            return false;
    if (!check_cut(&o->cut, o->rank, err))
        return false;
    int64_t start, end, room = g->pool_bytes;
    if (o->storage >= 0) {
        const PlanStorage *s = &p->storages[o->storage];
        int64_t count;
        if (!(s->programs & 1u << g->kind))
            return error_set(err, "storage %s is not one of this program's",
                             plan_string(p, s->name));
        if (o->dtype != s->dtype)
            return error_set(err, "a %s view of storage %s of %s", dtype_name((DType)o->dtype),
                             plan_string(p, s->name), dtype_name((DType)s->dtype));
        if (o->byte_offset != 0 || !plan_storage_count(s, g->max, &count)
            || !dtype_offset((DType)s->dtype, count, &room) || !check_panels(s, o))
            return error_set(err, "bad view of storage %s", plan_string(p, s->name));
    } else if (!dtype_is_lane((DType)o->dtype) && o->dtype != DTYPE_bf16) {
        return error_set(err, "%s outside of storages", dtype_name((DType)o->dtype));
    }
    if (!check_blocks(o, err))
        return false;
    if (o->byte_offset < 0 || o->byte_offset % (int64_t)sizeof(float)
        || !plan_bind_operand(o, g->max, bound, &start) || !operand_end(bound, start, &end)
        || end > room)
        return error_set(err, "it passes the end of its buffer of %" PRId64 " bytes", room);
    return true;
}

bool plan_bind_row(const Plan *p, uint32_t row, const int64_t sizes[MAX_SYMBOLS], RowProgram *out,
                   uint32_t *consts)
{
    const PlanRow *r = &p->rows[row];
    *out = (RowProgram){ .rank = (int32_t)r->rank, .n_consts = (int32_t)r->n_consts,
                         .n_temps = (int32_t)r->n_temps, .n_instrs = (int32_t)r->n_instrs,
                         .consts = consts, .temp_per_row = p->row_temps + r->first_temp,
                         .instrs = p->row_instrs + r->first_instr, .outputs = r->outputs };
    for (uint32_t a = 0; a < r->rank; a++)
        if (!plan_dim(&r->dim[a], sizes, &out->dim[a]))
            return false;
    if (r->cut.most)
        out->dim[r->cut.axis] = plan_cut(&r->cut, out->dim[r->cut.axis]);
    for (uint32_t i = 0; i < r->n_consts; i++) {
        const PlanRowConst *c = &p->row_consts[r->first_const + i];
        consts[i] = c->bits;
        if (c->is_size) {
            int64_t n;
            if (!plan_dim(&c->size, sizes, &n))
                return false;
            float f = (float)n;
            memcpy(&consts[i], &f, sizeof f);
        }
    }
    return true;
}

static bool check_row_record(const Plan *p, const PlanRow *r, Error *err)
{
    const PlanHeader *h = p->header;
    if (r->rank < 1 || r->rank > MAX_RANK || r->n_consts > MAX_ROW_CONSTS
        || r->n_temps > MAX_ROW_REGS || r->n_instrs > MAX_ROW_INSTRS
        || !in_range(r->first_const, r->n_consts, h->row_consts.count)
        || !in_range(r->first_temp, r->n_temps, h->row_temps.count)
        || !in_range(r->first_instr, r->n_instrs, h->row_instrs.count))
        return error_set(err, "row program outside its tables");
    for (uint32_t a = 0; a < r->rank; a++)
        if (!check_dim(p, &r->dim[a], 1, err))
            return false;
    if (!check_cut(&r->cut, r->rank, err))
        return false;
    for (uint32_t i = 0; i < r->n_consts; i++) {
        const PlanRowConst *c = &p->row_consts[r->first_const + i];
        if (c->is_size > 1 || (c->is_size && !check_dim(p, &c->size, 1, err)))
            return error_set(err, "bad constant %" PRIu32 " of a row program", i);
    }
    return true;
}

/* A cache of blocks is written and read row by row, a parameter in panels: no kernel may take one for the
 * other. */
static bool check_blocks_home(const Plan *p, const PlanInstr *in, KernelId kernel, Error *err)
{
    const bool rows = kernel == KERNEL_cache_write || kernel == KERNEL_attention;
    for (uint32_t i = 0; i < in->n_operands; i++) {
        const PlanOperand *o = &p->operands[in->first_operand + i];
        if (o->storage < 0 || dtype_block((DType)o->dtype) == 1)
            continue;
        const PlanStorage *s = &p->storages[o->storage];
        if (rows != (s->class == PLAN_STATE))
            return error_set(err, "operand %" PRIu32 ": %s is kept in %s", i, plan_string(p, s->name),
                             rows ? "panels, which this kernel does not read"
                                  : "rows, where this kernel reads panels");
    }
    return true;
}

static bool check_instr(Plan *p, const PlanProgram *g, uint32_t index, Error *err)
{
    const PlanInstr *in = &p->instrs[index];
    Operand bound[MAX_OPERANDS];
    RowProgram row;
    uint32_t consts[MAX_ROW_CONSTS];
    Call call = { .operand = bound, .n_operands = (int32_t)in->n_operands };
    if (!check_string(p, in->kernel, "kernel", err) || !check_string(p, in->label, "label", err))
        return false;
    if (!kernel_from_name(plan_string(p, in->kernel), &call.kernel))
        return error_set(err, "this smrun has no kernel \"%.64s\"", plan_string(p, in->kernel));
    p->kernels[index] = call.kernel;
    if (in->n_operands > MAX_OPERANDS
        || !in_range(in->first_operand, in->n_operands, p->header->operands.count)
        || (in->flags & ~(uint32_t)INSTR_BARRIER))
        return error_set(err, "a field is out of range");
    for (uint32_t i = 0; i < in->n_operands; i++)
        if (!check_operand(p, g, &p->operands[in->first_operand + i], &bound[i], err))
            return error_prefix(err, "operand %" PRIu32, i);
    if (!check_blocks_home(p, in, call.kernel, err))
        return false;
    for (int k = 0; k < MAX_IMM; k++) {
        call.i[k] = in->i[k];
        call.f[k] = in->f[k];
    }
    if ((call.kernel == KERNEL_row) != (in->row != NO_ROW))
        return error_set(err, "a row program where none belongs, or none where one does");
    if (call.kernel == KERNEL_row) {
        if (in->row >= p->header->rows.count)
            return error_set(err, "row program %" PRIu32 " does not exist", in->row);
        if (!check_row_record(p, &p->rows[in->row], err))
            return false;
        if (!plan_bind_row(p, in->row, g->max, &row, consts))
            return error_set(err, "row program with a size that cannot be counted");
        call.row = &row;
    }
    return kernel_check(&call, err);
}

/* An axis of stride 0 takes no room, however long it is. */
static bool check_count(const Operand *o, Error *err)
{
    int64_t count = 1;
    for (int a = 0; a < o->rank; a++)
        if (!i64_mul(count, o->dim[a], &count) || count > MAX_ELEMENTS)
            return error_set(err, "more elements than can be counted");
    return true;
}

static bool check_outputs(const Plan *p, const PlanProgram *g, Error *err)
{
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const PlanOutput *o = &p->outputs[g->first_output + i];
        Operand bound;
        if (!check_string(p, o->name, "output", err))
            return false;
        if (o->operand >= p->header->operands.count
            || !check_operand(p, g, &p->operands[o->operand], &bound, err)
            || !check_count(&bound, err))
            return error_prefix(err, "output %s", plan_string(p, o->name));
        if (!dtype_is_lane(bound.dtype))
            return error_set(err, "output %s is of %s", plan_string(p, o->name),
                             dtype_name(bound.dtype));
    }
    return true;
}

static bool check_code(Plan *p, Error *err)
{
    p->kernels = calloc(p->header->instrs.count + 1, sizeof *p->kernels);
    if (!p->kernels)
        return error_set(err, "out of memory");
    for (uint32_t i = 0; i < p->n_programs; i++) {
        const PlanProgram *g = &p->programs[i];
        for (uint32_t k = 0; k < g->n_instrs; k++)
            if (!check_instr(p, g, g->first_instr + k, err))
                return error_prefix(err, "program %s, instruction %" PRIu32,
                                    plan_program_name((PlanProgramKind)g->kind), k);
        if (!check_outputs(p, g, err))
            return error_prefix(err, "program %s", plan_program_name((PlanProgramKind)g->kind));
    }
    return true;
}

bool plan_check(Plan *p, Error *err)
{
    if (check_header(p, err) && check_tables(p, err)
        && check_string(p, p->header->model, "model", err)
        && check_string(p, p->header->compiler, "compiler", err)
        && check_string(p, p->header->command, "command", err)
        && check_string(p, p->header->configs, "configs", err) && check_symbols(p, err)
        && check_programs(p, err) && check_storages(p, err) && check_code(p, err))
        return true;
    free(p->kernels);
    p->kernels = NULL;
    return false;
}
