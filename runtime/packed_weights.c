/* What such a file must be, and whether it is. */
#include "runtime/packed_weights.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define PACKED_MAGIC "smgpack\n"
enum { ALIGN = 64 };

typedef struct PackedHeader {
    char magic[8];
    uint32_t version, n_records;
    uint64_t key, file_bytes, checksum;
    uint8_t rest[24];                   /* zeros, to a multiple of ALIGN */
} PackedHeader;

typedef struct PackedRecord {
    uint64_t name;                      /* its hash */
    uint64_t dtype, rows, k;
    uint64_t offset, bytes;             /* of its panels, from the start of the file */
    int64_t storage;                    /* in the plan */
    uint64_t unused;
} PackedRecord;

_Static_assert(sizeof(PackedHeader) % ALIGN == 0 && sizeof(PackedRecord) == ALIGN, "no hidden bytes");

/* What the file of this plan and source is, but for the panels. */
typedef struct Expected {
    PackedHeader header;
    PackedRecord *record;
} Expected;

struct PackedWeights {
    FileMap map;
    Expected expected;
};

static bool has_blocks(const PlanStorage *st)
{
    return st->class == PLAN_PARAM && dtype_block((DType)st->dtype) > 1;
}

static bool expect_record(const Plan *p, uint32_t i, size_t *end, PackedRecord *out)
{
    const PlanStorage *st = &p->storages[i];
    const char *name = plan_string(p, st->name);
    const int64_t none[MAX_SYMBOLS] = { 0 };
    int64_t count;
    size_t bytes;
    if (!plan_storage_count(st, none, &count) || !plan_storage_bytes(p, st, UINT32_MAX, &bytes))
        return false;
    const int64_t k = st->dim[st->rank - 1].coef;
    *out = (PackedRecord){ .name = hash_bytes(name, strlen(name)), .dtype = st->dtype, .rows = (uint64_t)(count / k),
                           .k = (uint64_t)k, .offset = *end, .bytes = bytes, .storage = i };
    return size_add(*end, bytes, end) && size_align(*end, ALIGN, end);
}

static bool expect(const Plan *p, uint64_t key, Expected *e, Error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_storages; i++)
        n += has_blocks(&p->storages[i]);
    *e = (Expected){ .header = { .magic = PACKED_MAGIC, .version = PACKED_VERSION, .n_records = n, .key = key },
                     .record = calloc(n + 1u, sizeof *e->record) };
    size_t end = sizeof e->header + n * sizeof *e->record;
    if (!e->record)
        return error_set(err, "out of memory");
    n = 0;
    for (uint32_t i = 0; i < p->n_storages; i++)
        if (has_blocks(&p->storages[i]) && !expect_record(p, i, &end, &e->record[n++]))
            return error_set(err, "the plan's weights are larger than can be counted");
    e->header.file_bytes = end;
    return n > 0 || error_set(err, "the plan has no weights in blocks");
}

/* From the end of a record's panels to what comes next. */
static size_t gap_behind(const Expected *e, uint32_t i)
{
    const PackedRecord *r = &e->record[i];
    return (i + 1 < e->header.n_records ? r[1].offset : e->header.file_bytes) - r->offset - r->bytes;
}

static bool check(const Expected *e, const FileMap *map, Error *err)
{
    const size_t records = e->header.n_records * sizeof *e->record;
    PackedHeader header;
    if (map->size != e->header.file_bytes)
        return error_set(err, "it has %zu bytes, not %llu", map->size, (unsigned long long)e->header.file_bytes);
    memcpy(&header, map->data, sizeof header);
    const uint64_t checksum = header.checksum;
    header.checksum = 0;
    if (memcmp(&header, &e->header, sizeof header) != 0
        || memcmp(map->data + sizeof header, e->record, records) != 0)
        return error_set(err, "it is of another source, plan or version");
    uint64_t hash = hash_bytes(e->record, records);
    for (uint32_t i = 0; i < e->header.n_records; i++) {
        const uint8_t *panels = map->data + e->record[i].offset, *gap = panels + e->record[i].bytes;
        hash = hash_seeded(gap, gap_behind(e, i), hash_seeded(panels, e->record[i].bytes, hash));
    }
    if (hash != checksum)
        return error_set(err, "its checksum does not match: it was altered");
    return true;
}

bool packed_open(const Plan *p, const char *path, uint64_t key, PackedWeights **out, Error *err)
{
    PackedWeights *w = *out = calloc(1, sizeof *w);
    if (!w)
        return error_set(err, "%s: out of memory", path);
    if (file_map(path, &w->map, err) && ((expect(p, key, &w->expected, err) && check(&w->expected, &w->map, err))
                                         || error_prefix(err, "%s", path)))
        return true;
    packed_close(w);
    *out = NULL;
    return false;
}

void packed_close(PackedWeights *w)
{
    if (!w)
        return;
    file_unmap(&w->map);
    free(w->expected.record);
    free(w);
}

const void *packed_panels(const PackedWeights *w, int32_t storage, size_t *bytes)
{
    for (uint32_t i = 0; i < w->expected.header.n_records; i++) {
        const PackedRecord *r = &w->expected.record[i];
        if (r->storage != storage)
            continue;
        *bytes = r->bytes;
        return w->map.data + r->offset;
    }
    return NULL;
}

static const uint8_t zeros[ALIGN];

static uint64_t hash_panels(Session *s, const Expected *e)
{
    uint64_t hash = hash_bytes(e->record, e->header.n_records * sizeof *e->record);
    for (uint32_t i = 0; i < e->header.n_records; i++) {
        const PackedRecord *r = &e->record[i];
        hash = hash_seeded(session_storage(s, (int32_t)r->storage), r->bytes, hash);
        hash = hash_seeded(zeros, gap_behind(e, i), hash);
    }
    return hash;
}

bool packed_write(Session *s, const char *path, uint64_t key, Error *err)
{
    Expected e;
    FileWriter w;
    bool ok = expect(session_plan(s), key, &e, err) || error_prefix(err, "%s", path);
    for (uint32_t i = 0; ok && i < e.header.n_records; i++)
        if (!session_storage(s, (int32_t)e.record[i].storage))
            ok = error_set(err, "%s: the session does not hold every weight of the plan", path);
    if (ok && file_writer_open(&w, path, err)) {
        e.header.checksum = hash_panels(s, &e);
        file_writer_add(&w, &e.header, sizeof e.header);
        file_writer_add(&w, e.record, e.header.n_records * sizeof *e.record);
        for (uint32_t i = 0; i < e.header.n_records; i++) {
            file_writer_add(&w, session_storage(s, (int32_t)e.record[i].storage), e.record[i].bytes);
            file_writer_add(&w, zeros, gap_behind(&e, i));
        }
        ok = file_writer_commit(&w, err);
    } else {
        ok = false;
    }
    free(e.record);
    return ok;
}
