/* smc pool: the memory planner on a plain problem, a table of blocks in a file.
 *
 *     id,lower,upper,size          alive from lower up to, not including, upper; bytes
 *
 * The file is untrusted: its size, its rows and every sum over them are bounded before use. */
#include "codegen/command.h"

#include "base/check.h"
#include "base/file.h"
#include "base/str.h"
#include "passes/pool_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FILE = 1 << 23, MAX_ROWS = 1 << 15, MAX_ID = 64 };
#define MAX_NUMBER (INT64_MAX / 4)
static const char header[] = "id,lower,upper,size";

typedef struct Problem {
    PoolBlock *blocks;
    const char **ids;
    uint32_t n, cap, cap_ids;
    int64_t total;                      /* bytes of all blocks */
} Problem;

/* ---- reading ---------------------------------------------------------------------------------- */

/* Ids are printed again, as JSON too, so they are plain words. */
static bool is_id(const char *s)
{
    const size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\')
            return false;
    return n > 0 && n <= MAX_ID;
}

/* Cuts a line into exactly four fields, in place. */
static bool cut(char *line, char *field[4], Error *err)
{
    for (int i = 0; i < 4; i++) {
        field[i] = line;
        char *comma = strchr(line, ',');
        if ((comma != NULL) != (i < 3))
            return error_set(err, "expected 4 fields (%s), found %s", header,
                             comma ? "more" : i == 0 ? "1" : i == 1 ? "2" : "3");
        if (comma) {
            *comma = '\0';
            line = comma + 1;
        }
    }
    return true;
}

static bool number(const char *name, const char *text, int64_t lo, int64_t *out, Error *err)
{
    return str_to_i64(text, lo, MAX_NUMBER, out)
        || error_set(err, "%s: expected a whole number from %" PRId64 " to %" PRId64
                     ", found `%.40s`", name, lo, MAX_NUMBER, text);
}

static bool read_row(Problem *p, char *line, Arena *a, Error *err)
{
    char *field[4];
    int64_t lower, upper, size;
    if (!cut(line, field, err))
        return false;
    if (!is_id(field[0]))
        return error_set(err, "id: expected 1 to %d printable characters without quotes, "
                         "backslashes and spaces", MAX_ID);
    if (!number("lower", field[1], -MAX_NUMBER, &lower, err)
        || !number("upper", field[2], -MAX_NUMBER, &upper, err)
        || !number("size", field[3], 0, &size, err))
        return false;
    if (upper <= lower)
        return error_set(err, "upper: expected more than lower, %" PRId64 ", found %" PRId64,
                         lower, upper);
    if (p->n == MAX_ROWS)
        return error_set(err, "expected at most %d blocks", MAX_ROWS);
    if (size > MAX_NUMBER - p->total)
        return error_set(err, "size: all blocks together have more than %" PRId64 " bytes",
                         MAX_NUMBER);
    p->total += size;
    const PoolBlock block = { .bytes = size, .first = lower, .last = upper - 1 };
    const uint32_t n = p->n;
    ARENA_PUSH(a, p->blocks, p->n, p->cap, block);
    p->n = n;
    ARENA_PUSH(a, p->ids, p->n, p->cap_ids, (const char *)field[0]);
    return true;
}

static bool read_rows(Problem *p, char *text, Arena *a, Error *err)
{
    uint32_t number_of_line = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        const size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r')
            line[n - 1] = '\0';
        number_of_line++;
        if (number_of_line == 1 && strcmp(line, header) != 0)
            error_set(err, "expected `%s`, found `%.40s`", header, line);
        else if (number_of_line == 1 || line[0] == '\0' || read_row(p, line, a, err))
            continue;
        return error_prefix(err, "line %u", number_of_line);
    }
    return true;
}

/* Ids borrow from the arena's copy of the text. */
static bool read_problem(Problem *p, const char *path, Arena *a, Error *err)
{
    Buf file = { 0 };
    if (!file_read(path, MAX_FILE, &file, err))
        return false;
    const bool zero = file.len && memchr(file.data, 0, file.len);
    char *text = arena_strndup(a, file.data ? file.data : "", file.len);
    buf_free(&file);
    if (zero)
        return error_set(err, "%s: expected text, found a byte of value 0", path);
    return read_rows(p, text, a, err) || error_prefix(err, "%s", path);
}

/* ---- showing ---------------------------------------------------------------------------------- */

static void print_csv(Buf *out, const Problem *p)
{
    buf_printf(out, "%s,offset\n", header);
    for (uint32_t i = 0; i < p->n; i++) {
        const PoolBlock *b = &p->blocks[i];
        buf_printf(out, "%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n", p->ids[i], b->first,
                   b->last + 1, b->bytes, b->offset);
    }
}

static void print_json(Buf *out, const Problem *p, const PoolResult *r)
{
    buf_printf(out, "{\n  \"blocks\": %u,\n  \"peak\": %" PRId64 ",\n  \"bound\": %" PRId64
               ",\n  \"refuted\": %" PRId64 ",\n  \"method\": \"%s\",\n  \"steps\": %" PRIu64
               ",\n  \"offsets\": [", p->n, r->peak, r->bound, r->refuted, r->method, r->steps);
    for (uint32_t i = 0; i < p->n; i++)
        buf_printf(out, "%s\n    {\"id\": \"%s\", \"offset\": %" PRId64 "}", i ? "," : "", p->ids[i],
                   p->blocks[i].offset);
    buf_puts(out, p->n ? "\n  ]\n}\n" : "]\n}\n");
}

static void tell(const Problem *p, const PoolResult *r)
{
    fprintf(stderr, "%u blocks: peak %" PRId64 ", bound %" PRId64 ", ratio %.4f, by %s", p->n,
            r->peak, r->bound, r->bound ? (double)r->peak / (double)r->bound : 1.0, r->method);
    if (r->steps)
        fprintf(stderr, " (%" PRIu64 " steps)", r->steps);
    fputc('\n', stderr);
}

/* ---- the command ------------------------------------------------------------------------------ */

static int plan_pool(Compilation *c, const char *path, PoolGoal goal, bool json, const char *to)
{
    Problem p = { 0 };
    Error err;
    Buf out = { 0 };
    uint32_t a, b;
    if (!read_problem(&p, path, &c->arena, &err))
        return fault("%s", err.text);
    const PoolResult r = pool_solve(p.blocks, p.n, goal, &c->scratch);
    const bool sound = pool_check(p.blocks, p.n, r.peak, &c->scratch, &a, &b);
    CHECK(sound, "blocks %u and %u overlap in the pool", a, b);
    if (json)
        print_json(&out, &p, &r);
    else
        print_csv(&out, &p);
    const int code = deliver(&out, to);
    tell(&p, &r);
    if (goal.capacity == 0 || r.peak <= goal.capacity || code != EXIT_DONE)
        return code;
    return r.refuted >= goal.capacity
        ? fault("%s: no plan fits into %" PRId64 " bytes: at least %" PRId64 " are needed", path,
                goal.capacity, r.refuted + 1)
        : fault("%s: no plan within %" PRId64 " bytes was found in %" PRIu64 " steps; --steps allows "
                "more", path, goal.capacity, goal.steps);
}

int command_pool(Compilation *c, int argc, char **argv)
{
    int64_t capacity = 0, steps = INT64_C(4000000000);
    bool json = false;
    const char *out = NULL;
    const Arg options[] = {
        { "--capacity", "BYTES", ARG_INT, &capacity, "stop at a plan that fits; exit 1 without one",
          1, 2e18, NULL },
        { "--steps", "N", ARG_INT, &steps, "most work of the search (default 4e9, some 5 seconds)",
          1, 1e15, NULL },
        { "--json", NULL, ARG_FLAG, &json, "the result as JSON", 0, 0, NULL },
        { "-o", "FILE", ARG_STRING, &out, "where to write (default: standard output)", 0, 0, NULL },
    };
    Args a = { .usage = "smc pool FILE.csv [--capacity BYTES] [--steps N] [--json] [-o FILE]",
               .about = "Runs the memory planner on a table `id,lower,upper,size` of blocks, each "
                        "alive from\nlower up to, not including, upper; writes the table with "
                        "offsets.",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Error err;
    const bool parsed = args_parse(&a, argc, argv, &err);
    if (!parsed || a.help || a.n_positional != 1)
        return usage_or_help(&a, parsed, &err);
    const PoolGoal goal = { .capacity = capacity, .steps = (uint64_t)steps };
    return plan_pool(c, a.positional[0], goal, json, out);
}
