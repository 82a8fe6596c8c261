/* Rules, who reads a parameter, and what is possible for it. */
#include "passes/weight_types.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

/* ---- rules ------------------------------------------------------------------------------------ */

static bool parse_type(const char *word, size_t n, DType *out, Error *err)
{
    char name[16];
    if (n < sizeof name) {
        memcpy(name, word, n);
        name[n] = '\0';
        if (dtype_from_name(name, out) && *out == DTYPE_f16)
            return error_set(err, "no product reads f16; bf16 takes as little memory");
        if (dtype_from_name(name, out) && (*out == DTYPE_f32 || !dtype_is_lane(*out)))
            return true;
    }
    return error_set(err, "%.*s is no type of weights; they are f32, bf16, q8_0, q4_0, q4_1, "
                     "q5_0, q5_1, q4_k, q5_k, q6_k", n < 64 ? (int)n : 64, word);
}

bool weight_rule_parse(const char *text, Arena *arena, WeightRule *out, Error *err)
{
    const char *equals = strrchr(text, '=');
    const char *word = equals ? equals + 1 : text;
    *out = (WeightRule){ .pattern = equals ? arena_strndup(arena, text, (size_t)(equals - text))
                                           : "*" };
    for (;; word++) {
        const size_t n = strcspn(word, ",");
        if (out->n == MAX_WEIGHT_TYPES)
            return error_set(err, "%s: more than %d types", text, MAX_WEIGHT_TYPES);
        if (!parse_type(word, n, &out->type[out->n++], err))
            return false;
        word += n;
        if (!*word)
            return true;
    }
}

static bool name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *after = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            after = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++after;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* ---- readers ---------------------------------------------------------------------------------- */

/* How a parameter is read, all its readers together. */
typedef struct Readers {
    bool direct;                        /* by products on their right and by embeddings alone */
    bool rows;                          /* and by every product as rows [N, K] */
    bool any;
} Readers;

static bool swaps_last_axes(const Graph *g, const Node *n)
{
    const int rank = value_type(g, node_input(g, n, 0))->shape.rank;
    const int64_t a = NODE_ATTR(n, transpose, a).i, b = NODE_ATTR(n, transpose, b).i;
    return a == rank - 2 && b == rank - 1;
}

/* A value that is a parameter or its transpose. */
typedef struct Seen {
    StorageId storage;                  /* NO_STORAGE: another value */
    bool transposed;
} Seen;

static void read_by(const Graph *g, const Node *n, unsigned input, Seen *seen, Readers *readers)
{
    const ValueId v = node_input(g, n, input);
    Readers *r = &readers[seen[v].storage];
    r->any = true;
    if (n->op == OP_matmul && input == 1) {
        const bool rows = (NODE_ATTR(n, matmul, transpose_b).i != 0) != seen[v].transposed;
        r->rows = r->rows && rows && value_type(g, v)->shape.rank == 2;
    } else if (n->op == OP_transpose && !seen[v].transposed && swaps_last_axes(g, n)) {
        seen[n->first_output] = (Seen){ seen[v].storage, true };
    } else if (seen[v].transposed || !((n->op == OP_embedding && input == 0)
                                       || (n->op == OP_masked_matmul && input == 1))) {
        r->direct = false;
    }
}

/* Of every storage. */
static Readers *find_readers(const Graph *g, Arena *scratch)
{
    Readers *readers = arena_array(scratch, g->n_storages, sizeof *readers);
    Seen *seen = arena_array(scratch, g->n_values, sizeof *seen);
    for (StorageId s = 0; s < g->n_storages; s++)
        readers[s] = (Readers){ .direct = true, .rows = true };
    for (ValueId v = 0; v < g->n_values; v++)
        seen[v].storage = NO_STORAGE;
    for (NodeId id = 0; id < g->n_nodes; id++) {
        const Node *n = &g->nodes[id];
        if (n->op == OP_param)
            seen[n->first_output].storage = (StorageId)NODE_ATTR(n, param, storage).i;
        for (unsigned i = 0; i < n->n_inputs; i++)
            if (seen[node_input(g, n, i)].storage != NO_STORAGE)
                read_by(g, n, i, seen, readers);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (seen[g->outputs[i].value].storage != NO_STORAGE)
            readers[seen[g->outputs[i].value].storage].direct = false;
    return readers;
}

/* ---- choice ----------------------------------------------------------------------------------- */

static bool possible(const Storage *s, Readers r, DType t)
{
    const Type type = { .dtype = t, .shape = s->type.shape };
    return t == DTYPE_f32 || dtype_block(t) == 1 || (r.rows && type_has_blocks(&type));
}

static bool impossible(const Storage *s, Readers r, const WeightRule *rule, Error *err)
{
    const DType t = rule->type[rule->n - 1];
    const int64_t row = s->type.shape.dim[s->type.shape.rank - 1].coef;
    if (!r.rows)
        return error_set(err, "%s cannot be %s: a product reads it as [in, out], and blocks lie "
                         "along rows [out, in]; %s,bf16 stores such ones as bf16", s->name,
                         dtype_name(t), dtype_name(t));
    return error_set(err, "%s cannot be %s: its rows of %" PRId64 " are no whole blocks of %" PRId64
                     "; %s,%s stores such ones as %s", s->name, dtype_name(t), row, dtype_block(t),
                     dtype_name(t), row % 32 ? "bf16" : "q8_0", row % 32 ? "bf16" : "q8_0");
}

static bool set_type(Storage *s, Readers r, const WeightRule *rule, Error *err)
{
    for (uint32_t i = 0; i < rule->n; i++)
        if (possible(s, r, rule->type[i])) {
            s->stored = rule->type[i];
            return true;
        }
    return impossible(s, r, rule, err);
}

bool weight_types_set(Graph *model, const WeightRule *rules, uint32_t n, Arena *scratch, Error *err)
{
    const Readers *readers = find_readers(model, scratch);
    for (StorageId id = 0; id < model->n_storages; id++) {
        Storage *s = &model->storages[id];
        const WeightRule *rule = NULL;
        for (uint32_t i = 0; i < n; i++)
            if (name_matches(rules[i].pattern, s->name))
                rule = &rules[i];
        if (!rule || s->class != STORAGE_PARAM || s->type.shape.rank < 2)
            continue;
        const Readers r = readers[id];
        if (r.any && r.direct && !set_type(s, r, rule, err))
            return false;
    }
    return true;
}
