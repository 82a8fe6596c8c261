/* Recomputation: compute again, behind the forward pass, what would otherwise be kept for it.
 *
 * needs  an output `loss`; decomposed, no buffers; no cse behind it
 * keeps  every bit of what the program computes: a copy is the same node on the same bits
 *
 * Without a limit, row ops are computed again as long as that is nearly free.  With one, the least
 * work that meets it is looked for among the choices of two numbers: how many narrow places of the
 * forward pass lie between two that are kept (the segments of Chen et al. 2016), and the price of
 * work in bytes, for which recompute_cut knows the best choice; then, between the last choice that
 * did not meet the limit and the first that did, how much of the forward pass follows the second.
 * Every choice is measured by running the passes that follow on a copy of the graph, so what is
 * promised is what the pool's planner delivers.  (Jain et al. 2020, "Checkmate", search the same
 * choices with exact lifetimes as an integer program.) */
#include "passes/recompute.h"

#include "passes/pass.h"
#include "passes/peak.h"
#include "passes/pool.h"

#include "base/check.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

/* Row ops are computed again without being asked for where that is at most this part of all work. */
static const double FREE_WORK = 0.02;

typedef struct Choose {
    Recompute *r;
    PassContext *cx;
    int64_t limit;
    bool thorough;                      /* the pool's planner searches when its orders fall short */
    Arena trial, scratch;               /* of one trial */
    bool *keep;                         /* the choice that is tried */
    bool *best;                         /* the least work that meets the limit */
    double best_work;                   /* INFINITY: none does */
    bool *least;                        /* the choice with the smallest bound of the pool */
    int64_t least_bound;
    bool *loose, *tight;                /* between which the last step looks */
    int64_t tried, most;                /* choices so far, and how many there can be */
} Choose;

static bool *new_choice(const Choose *c)
{
    return arena_array(c->cx->scratch, c->r->g->n_values, sizeof(bool));
}

static void copy_choice(const Choose *c, bool *to, const bool *from)
{
    memcpy(to, from, c->r->g->n_values * sizeof *to);
}

/* ---- trying ----------------------------------------------------------------------------------- */

/* The passes behind this one up to `place`, on a copy of the graph with this choice. */
static Graph *finish(Choose *c, const bool *keep, double *work)
{
    Graph *g = graph_clone(c->r->g, &c->trial);
    int row = 0;
    while (strcmp(pass_table[row].name, "recompute") != 0)
        row++;
    arena_reset(&c->scratch);
    *work = recompute_apply(c->r, keep, g, &c->scratch);
    for (row++; strcmp(pass_table[row].name, "pool") != 0; row++) {
        const PassInfo *pass = &pass_table[row];
        PassContext cx = { .options = c->cx->options, .scratch = &c->scratch,
                           .diags = c->cx->diags };
        if (!(pass->programs & 1u << c->cx->options->program) || pass->level > cx.options->level)
            continue;
        arena_reset(&c->scratch);
        const bool done = pass->run(g, &cx);
        CHECK(done, "pass %s reports mistakes after recompute", pass->name);
    }
    arena_reset(&c->scratch);
    return g;
}

static void tell(Choose *c)
{
    const PassOptions *o = c->cx->options;
    c->tried++;
    if (o->watch)
        o->watch->tell(o->watch->arg, o->program, c->tried, c->most);
}

/* Does the choice in c->keep meet the limit? */
static bool meets(Choose *c)
{
    double work;
    const Graph *g = finish(c, c->keep, &work);
    const int64_t bound = pool_graph_bound(g, &c->scratch);
    if (bound < c->least_bound) {
        c->least_bound = bound;
        copy_choice(c, c->least, c->keep);
    }
    const bool met = bound <= c->limit && pool_graph_fits(g, c->limit, c->thorough, &c->scratch);
    arena_reset(&c->trial);
    tell(c);
    if (met && work < c->best_work) {
        c->best_work = work;
        copy_choice(c, c->best, c->keep);
    }
    return met;
}

/* ---- segments --------------------------------------------------------------------------------- */

/* Keeps what crosses every `step`-th narrow place, counted from the last. */
static void force_segments(const Recompute *r, uint32_t step, bool *forced)
{
    const Graph *g = r->g;
    memset(forced, 0, g->n_values * sizeof *forced);
    for (NodeId n = 0; n < g->n_nodes; n++) {
        if (r->stage[n] > STAGE_LOSS)
            continue;
        for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
            const ValueId v = r->base[node_input(g, &g->nodes[n], i)];
            for (uint32_t k = r->n_narrow; k > 0; k = k > step ? k - step : 0)
                forced[v] = forced[v] || (g->values[v].def <= r->narrow[k - 1]
                                          && n > r->narrow[k - 1]);
        }
    }
}

/* ---- the search ------------------------------------------------------------------------------- */

enum {
    LOWEST_PRICE = -14, HIGHEST_PRICE = 8, N_HALVINGS = 6,      /* powers of two */
    PRICE_STEP = 2, N_PRICES = (HIGHEST_PRICE - LOWEST_PRICE) / PRICE_STEP + 1,
};

static bool try_price(Choose *c, const bool *forced, double power)
{
    const CutOptions o = { .price = exp2(power), .forced = forced };
    recompute_cut(c->r, &o, c->keep);
    return meets(c);
}

/* The part of the forward pass that follows the tight choice, halved as often as pays. */
static void try_parts(Choose *c)
{
    const Graph *g = c->r->g;
    NodeId low = 0, high = c->r->root;
    for (int k = 0; k < N_HALVINGS && high - low > 1; k++) {
        const NodeId middle = low + (high - low) / 2;
        for (ValueId v = 0; v < g->n_values; v++)
            c->keep[v] = g->values[v].def < middle ? c->tight[v] : c->loose[v];
        if (meets(c))
            high = middle;
        else
            low = middle;
    }
}

static void try_segments(Choose *c, const bool *forced)
{
    double low = LOWEST_PRICE, high = HIGHEST_PRICE;
    if (!try_price(c, forced, low))
        return;
    copy_choice(c, c->tight, c->keep);
    memset(c->loose, true, c->r->g->n_values * sizeof *c->loose);
    for (int k = 0; k < N_HALVINGS; k++) {
        const double middle = (low + high) / 2;
        if (try_price(c, forced, middle)) {
            low = middle;
            copy_choice(c, c->tight, c->keep);
        } else {
            high = middle;
            copy_choice(c, c->loose, c->keep);
        }
    }
    try_parts(c);
}

/* Every price on a grid: where halving finds nothing. */
static void try_all_prices(Choose *c, const bool *forced)
{
    for (int power = HIGHEST_PRICE; power >= LOWEST_PRICE; power -= PRICE_STEP)
        try_price(c, forced, power);
}

static uint32_t next_step(uint32_t step)
{
    return step + step / 2 + 1;
}

/* The least work that meets c->limit, in c->best. */
static bool search(Choose *c)
{
    bool *forced = new_choice(c);
    const uint32_t most = c->r->n_narrow > 0 ? c->r->n_narrow : 1;
    c->best_work = INFINITY;
    c->most = 1;
    for (uint32_t step = 1; step <= most; step = next_step(step))
        c->most += 1 + 2 * N_HALVINGS + N_PRICES;
    memset(c->keep, true, c->r->g->n_values * sizeof *c->keep);
    if (meets(c))
        return true;
    for (uint32_t step = 1; step <= most; step = next_step(step)) {
        force_segments(c->r, step, forced);
        try_segments(c, forced);
    }
    c->thorough = true;
    for (uint32_t step = 1; step <= most && isinf(c->best_work); step = next_step(step)) {
        force_segments(c->r, step, forced);
        try_all_prices(c, forced);
    }
    return !isinf(c->best_work);
}

/* ---- without a limit -------------------------------------------------------------------------- */

static void choose_free(Choose *c)
{
    CutOptions o = { .price = 1, .rows_only = true };
    for (double work = INFINITY; work > FREE_WORK * c->r->total_work; o.price *= 2) {
        recompute_cut(c->r, &o, c->best);
        Graph *g = graph_clone(c->r->g, &c->trial);
        work = recompute_apply(c->r, c->best, g, &c->scratch);
        arena_reset(&c->scratch);
        arena_reset(&c->trial);
    }
}

/* ---- the pass --------------------------------------------------------------------------------- */

/* What is alive at the peak of the smallest pool, the most first. */
static void note_what_dominates(Choose *c, const Graph *g)
{
    enum { MOST = 5 };
    const Peak peak = peak_find(g, &c->trial, &c->trial);
    uint32_t n;
    const PeakGroup *groups = peak_groups(g, &peak, &c->trial, &n);
    for (uint32_t i = 0; i < n && i < MOST; i++) {
        const Node *node = &g->nodes[groups[i].node];
        char bytes[32];
        str_bytes(bytes, sizeof bytes, (uint64_t)groups[i].bytes);
        diag_note(c->cx->diags, node->span, "%s in %u tensor%s of %s%s%s", bytes, groups[i].n,
                  groups[i].n == 1 ? "" : "s", op_info(node->op)->name, *node->path ? " in " : "",
                  node->path);
    }
}

/* The whole graph of a choice, pool and all; as a limit of its pool's size would have it too. */
static Graph *plan(Choose *c, const bool *keep)
{
    const PassOptions o = { .memory_limit = 0 };
    double work;
    Graph *g = finish(c, keep, &work);
    pass_pool(g, &(PassContext){ .options = &o, .scratch = &c->scratch });
    return g;
}

static bool refuse(Choose *c)
{
    const PassOptions *o = c->cx->options;
    const Graph *g = plan(c, c->least);
    diag_error(c->cx->diags, (Span){ 0 }, DIAG_E0433,
               "program %s cannot do with %lld bytes of pool; the least it can be given is %lld",
               program_name(o->program), (long long)o->memory_limit, (long long)g->pool_bytes);
    note_what_dominates(c, g);
    return false;
}

/* At -O0 nothing is done that was not asked for. */
bool pass_recompute(Graph *g, PassContext *cx)
{
    const PassOptions *o = cx->options;
    Recompute r = recompute_facts(g, cx->scratch);
    r.slopes = cx->options->level >= 2 && fusion_on(cx->options->fusions, FUSE_slopes);
    Choose c = { .r = &r, .cx = cx, .limit = o->memory_limit, .least_bound = INT64_MAX };
    bool done = true;
    if (o->level == 0 && o->memory_limit == 0)
        return true;
    c.keep = new_choice(&c);
    c.best = new_choice(&c);
    c.least = new_choice(&c);
    c.loose = new_choice(&c);
    c.tight = new_choice(&c);
    arena_init(&c.trial, cx->scratch->on_out_of_memory);
    arena_init(&c.scratch, cx->scratch->on_out_of_memory);
    if (o->memory_limit == 0)
        choose_free(&c);
    else if (o->memory_limit == INT64_MAX)
        memset(c.best, true, g->n_values * sizeof *c.best);
    else
        done = search(&c) || refuse(&c);
    arena_free(&c.scratch);
    arena_free(&c.trial);
    if (done)
        recompute_apply(&r, c.best, g, cx->scratch);
    return done;
}
