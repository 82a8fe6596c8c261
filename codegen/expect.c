/* Expectations: their text, and whether a program meets them. */
#include "codegen/expect.h"

#include "codegen/lower.h"
#include "codegen/show.h"
#include "passes/fusion_report.h"

#include "base/check.h"
#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------- */

typedef struct Parse {
    const char *p;
    Arena *arena;
    Error *err;
} Parse;

static const char *const measure_names[N_MEASURES] = {
#define X(name) #name,
    MEASURES(X)
#undef X
};

static void skip(Parse *s)
{
    s->p += strspn(s->p, " \t");
}

static bool accept(Parse *s, const char *token)
{
    skip(s);
    if (strncmp(s->p, token, strlen(token)) != 0)
        return false;
    s->p += strlen(token);
    return true;
}

static bool wanted(Parse *s, const char *what)
{
    skip(s);
    return error_set(s->err, "expected %s at `%s`", what, *s->p ? s->p : "the end");
}

/* A run of letters, digits, underscores and what `more` has. */
static const char *word(Parse *s, const char *more)
{
    skip(s);
    const char *start = s->p;
    while (isalnum((unsigned char)*s->p) || *s->p == '_' || (*s->p && strchr(more, *s->p)))
        s->p++;
    return arena_strndup(s->arena, start, (size_t)(s->p - start));
}

static bool unknown_op(Parse *s, const char *name)
{
    Nearest best = nearest_of(name);
    for (int op = 0; op < N_OPS; op++)
        nearest_try(&best, op_info((OpId)op)->name);
    return error_set(s->err, "no op is called %s%s%s%s", name, best.found ? "; did you mean " : "",
                     best.found ? best.found : "", best.found ? "?" : "");
}

static bool parse_line(Parse *s, uint32_t *line)
{
    int64_t n;
    if (!str_to_i64(word(s, ""), 1, INT32_MAX, &n))
        return wanted(s, "a line number after `:`");
    *line = (uint32_t)n;
    return true;
}

static bool parse_selector(Parse *s, Selector *out)
{
    skip(s);
    const char *start = s->p, *op = word(s, "");
    *out = (Selector){ .any_op = *op == '\0' };
    if (*op && !op_from_name(op, &out->op))
        return unknown_op(s, op);
    if (accept(s, "@")) {
        out->path = word(s, ".*");
        if (*out->path == '\0')
            return wanted(s, "the path of a block after `@`");
    }
    if (accept(s, ":") && !parse_line(s, &out->line))
        return false;
    if (out->any_op && !out->path && !out->line)
        return wanted(s, "an op, `@` and a block, or `:` and a line");
    out->text = arena_strndup(s->arena, start, (size_t)(s->p - start));
    return true;
}

static bool parse_selectors(Parse *s, Expectation *e)
{
    if (!accept(s, "("))
        return wanted(s, "`(`");
    do {
        if (e->n_selectors == MAX_SELECTORS)
            return error_set(s->err, "more than %d selectors", MAX_SELECTORS);
        if (!parse_selector(s, &e->selectors[e->n_selectors++]))
            return false;
    } while (accept(s, ","));
    if (!accept(s, ")"))
        return wanted(s, "`,` or `)`");
    return true;
}

static bool parse_measure(Parse *s, const char *name, Expectation *e)
{
    uint64_t limit;
    while (e->measure < N_MEASURES && strcmp(measure_names[e->measure], name) != 0)
        e->measure++;
    if (e->measure == N_MEASURES)
        return error_set(s->err, "an expectation begins with fused, has, pool, bound, traffic, "
                         "barriers, instructions or groups, not with `%s`", name);
    e->at_least = accept(s, ">=");
    if (!e->at_least && !accept(s, "<="))
        return wanted(s, "`<=` or `>=`");
    if (!str_to_bytes(word(s, ""), &limit) || limit > INT64_MAX)
        return wanted(s, "a number such as 12 or 700M");
    e->limit = (int64_t)limit;
    return true;
}

static bool parse_clause(Parse *s, const char *name, Expectation *e)
{
    if (strcmp(name, "not") == 0) {
        e->negated = !e->negated;
        name = word(s, "");
    }
    e->kind = strcmp(name, "fused") == 0 ? EXPECT_FUSED
        : strcmp(name, "has") == 0       ? EXPECT_HAS : EXPECT_MEASURE;
    if (e->kind == EXPECT_MEASURE)
        return parse_measure(s, name, e);
    if (!parse_selectors(s, e))
        return false;
    if (e->kind == EXPECT_FUSED && e->n_selectors < 2)
        return error_set(s->err, "fused needs at least two ops");
    return true;
}

bool expectation_parse(const char *text, Arena *arena, Expectation *out, Error *err)
{
    Parse s = { text, arena, err };
    *out = (Expectation){ .program = PROGRAM_model };
    const char *name = word(&s, "");
    if (accept(&s, ":")) {
        if (!program_from_name(name, &out->program) || out->program == PROGRAM_model)
            return error_set(err, "no program is called %s; they are score, eval, train, "
                             "accumulate, apply, generate", name);
        name = word(&s, "");
    }
    if (!parse_clause(&s, name, out))
        return false;
    skip(&s);
    return *s.p == '\0' || wanted(&s, "the end");
}

/* ---- checking --------------------------------------------------------------------------------- */

typedef struct Checking {
    const Expectation *e;
    const Graph *g;
    Arena *arena;
    FusionReport report;
} Checking;

/* A product stands for the ops that it took in. */
static bool plays(const Node *n, OpId op)
{
    if (n->op == OP_cache_write && op == OP_rope)
        return n->n_inputs > 3;
    if (n->op == OP_matmul_squares)
        return op == n->op || op == OP_matmul;
    if (n->op == OP_sum_squares)
        return op == n->op || op == OP_sum;
    if (n->op == OP_assign_product)
        return op == n->op || op == OP_matmul || op == OP_add || op == OP_assign;
    if (n->op == op || n->op != OP_product)
        return n->op == op;
    const OpId act = (OpId)NODE_ATTR(n, product, activation).i;
    return op == OP_matmul || (op == act && act != OP_copy)
        || (op == OP_add && (NODE_ATTR(n, product, bias).i || NODE_ATTR(n, product, residual).i));
}

static bool selects(const Selector *s, const Node *n)
{
    return (s->any_op || plays(n, s->op)) && (!s->line || s->line == n->span.line)
        && (!s->path || path_matches(s->path, n->path));
}

static const char *name_node(const Checking *c, NodeId n)
{
    const Node *node = &c->g->nodes[n];
    const char *line = show_line(c->arena, c->g, node);
    return arena_printf(c->arena, "%s%s%s%s%s", op_info(node->op)->name, *line ? " " : "", line,
                        *node->path ? " " : "", node->path);
}

/* A node of n's group that the selector finds; n itself only where it is not the first selector. */
static NodeId partner(const Checking *c, NodeId n, const Selector *s)
{
    const Graph *g = c->g;
    const Selector *first = &c->e->selectors[0];
    const bool product = g->nodes[n].op == OP_product || g->nodes[n].op == OP_assign_product
        || g->nodes[n].op == OP_cache_write;
    if (product && s->op != first->op && selects(s, &g->nodes[n]))
        return n;
    for (NodeId m = 0; m < g->n_nodes && g->nodes[n].group; m++)
        if (m != n && g->nodes[m].group == g->nodes[n].group && selects(s, &g->nodes[m]))
            return m;
    return NO_NODE;
}

/* Why is nothing that `s` finds in the group of n? */
static const char *explain_apart(const Checking *c, NodeId n, const Selector *s)
{
    const char *who = name_node(c, n);
    const char *where = c->g->nodes[n].group
        ? arena_printf(c->arena, "in group %u", c->g->nodes[n].group) : "in no group";
    uint32_t n_found = 0;
    for (NodeId m = 0; m < c->g->n_nodes; m++) {
        FusionEdge e;
        if (m == n || !selects(s, &c->g->nodes[m]))
            continue;
        n_found++;
        if (!fusion_edge_between(&c->report, c->g, n, m, &e))
            continue;
        return arena_printf(c->arena, "%s is %s, without %s: %s (%s)%s%s; the edge is %s -> %s", who,
                            where, name_node(c, m), fusion_reason_name(e.reason),
                            fusion_reason_text(e.reason), e.through == NO_NODE ? "" : ", through ",
                            e.through == NO_NODE ? "" : name_node(c, e.through),
                            name_node(c, e.producer), name_node(c, e.reader));
    }
    if (n_found == 0)
        return arena_printf(c->arena, "nothing matches `%s`", s->text);
    return arena_printf(c->arena, "%s is %s, and no value goes from there to anything that `%s` "
                        "matches, nor back", who, where, s->text);
}

/* What recomputation would make of a node that reads `v`: the value behind all waiting, of the first node
 * that computes it. */
static ValueId first_made(const Graph *g, const NodeId *original, ValueId v)
{
    while (value_def(g, v)->op == OP_after)
        v = node_input(g, value_def(g, v), 0);
    const NodeId def = g->values[v].def;
    return g->nodes[original[def]].first_output + (v - g->nodes[def].first_output);
}

static bool computes_again(const Graph *g, const NodeId *original, const Node *n, const Node *first)
{
    if (n->op != first->op || n->n_inputs != first->n_inputs || n->span.line != first->span.line
        || strcmp(n->path, first->path) != 0)
        return false;
    for (unsigned i = 0; i < n->n_inputs; i++)
        if (first_made(g, original, node_input(g, n, i)) != first_made(g, original, node_input(g, first, i)))
            return false;
    return true;
}

/* For each node the one whose value it computes again for the backward pass, else itself. */
static NodeId *find_originals(const Graph *g, Arena *arena)
{
    NodeId *original = arena_array(arena, g->n_nodes, sizeof *original);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        const Node *node = &g->nodes[n];
        bool waits = false;
        original[n] = n;
        for (unsigned i = 0; i < node->n_inputs; i++) {
            const NodeId def = g->values[node_input(g, node, i)].def;
            waits |= g->nodes[def].op == OP_after || original[def] != def;
        }
        for (NodeId m = 0; waits && m < n && original[n] == n; m++)
            if (original[m] == m && computes_again(g, original, node, &g->nodes[m]))
                original[n] = m;
    }
    return original;
}

/* Every node of the first selector has partners for all others; what is computed again for the backward
 * pass does not count.  Negated: none has. */
static ExpectResult check_fused(const Checking *c, const char **why)
{
    const Expectation *e = c->e;
    const NodeId *original = find_originals(c->g, c->arena);
    bool any = false;
    for (NodeId n = 0; n < c->g->n_nodes; n++) {
        const Selector *missing = NULL;
        if (original[n] != n || !selects(&e->selectors[0], &c->g->nodes[n]))
            continue;
        any = true;
        for (uint32_t k = 1; k < e->n_selectors && !missing; k++)
            if (partner(c, n, &e->selectors[k]) == NO_NODE)
                missing = &e->selectors[k];
        if (!missing == !e->negated)
            continue;
        *why = missing ? explain_apart(c, n, missing)
                       : arena_printf(c->arena, "%s is with them, in group %u", name_node(c, n),
                                      c->g->nodes[n].group);
        return EXPECT_FAILS;
    }
    return any ? EXPECT_HOLDS : EXPECT_SILENT;
}

static ExpectResult check_has(const Checking *c, const char **why)
{
    const Expectation *e = c->e;
    for (uint32_t k = 0; k < e->n_selectors; k++) {
        NodeId n = 0;
        while (n < c->g->n_nodes && !selects(&e->selectors[k], &c->g->nodes[n]))
            n++;
        const bool found = n < c->g->n_nodes;
        if (found != e->negated)
            continue;
        if (!found && k == 0)
            return EXPECT_SILENT;
        *why = found ? arena_printf(c->arena, "there is %s", name_node(c, n))
                     : arena_printf(c->arena, "nothing matches `%s`", e->selectors[k].text);
        return EXPECT_FAILS;
    }
    return EXPECT_HOLDS;
}

static int64_t measured(const Checking *c)
{
    const Graph *g = c->g;
    PlanBuilder plan;
    int64_t barriers, instrs;
    plan_builder_init(&plan, c->arena, g->name);
    lower_program(&plan, g);
    barriers = plan.programs[0].n_barriers;
    instrs = plan.n_instrs;
    plan_builder_free(&plan);
    switch (c->e->measure) {
    case MEASURE_pool:
        return g->pool_bytes;
    case MEASURE_bound:
        return g->pool_bound;
    case MEASURE_traffic:
        return c->report.traffic.after;
    case MEASURE_barriers:
        return barriers;
    case MEASURE_instructions:
        return instrs;
    case MEASURE_groups:
        return g->n_groups;
    case N_MEASURES:
        break;
    }
    CHECK(false, "measure %d", (int)c->e->measure);
    return 0;
}

static ExpectResult check_measure(const Checking *c, const char **why)
{
    const int64_t is = measured(c), limit = c->e->limit;
    const bool holds = c->e->at_least ? is >= limit : is <= limit;
    if (holds != c->e->negated)
        return EXPECT_HOLDS;
    *why = arena_printf(c->arena, "%s is %" PRId64, measure_names[c->e->measure], is);
    return EXPECT_FAILS;
}

ExpectResult expectation_check(const Expectation *e, const Graph *g, FusionSet fusions,
                               Arena *arena, Arena *scratch,
                               const char **why)
{
    const Checking c = { e, g, arena, fusion_report(g, fusions, arena, scratch) };
    if (e->program != PROGRAM_model && e->program != g->program)
        return EXPECT_SILENT;
    switch (e->kind) {
    case EXPECT_FUSED:
        return check_fused(&c, why);
    case EXPECT_HAS:
        return check_has(&c, why);
    case EXPECT_MEASURE:
        return check_measure(&c, why);
    }
    return EXPECT_SILENT;
}
