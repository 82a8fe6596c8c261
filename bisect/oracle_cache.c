/* The judge of `cache`: what the cached program computes chunk after chunk is what the whole sequence
 * gives at once.  Caches begin with NaN, which must never be read. */
#include "bisect/oracle.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Chunks {
    const Graph *whole, *cached;
    const TrialInputs *in;
    Eval all;                           /* of `whole` */
    Tensor *state;                      /* of `cached`, by storage */
    Arena *arena;
    Difference *difference;
} Chunks;

/* The axis that runs over the sequence; -1: none, -2: one that holds it several times. */
static int sequence_axis(const Graph *g, const Shape *s)
{
    const int t = graph_sequence(g);
    for (int a = 0; a < s->rank && t >= 0; a++)
        if (dim_has(s->dim[a], t))
            return s->dim[a].coef == 1 && s->dim[a].power[t] == 1 ? a : -2;
    return -1;
}

/* Steps [from, from + to's) of `axis` of x; all of it without an axis. */
static void take_steps(const Tensor *x, Tensor *to, int axis, int64_t from)
{
    int64_t inner = 1, outer = 1;
    for (int a = 0; a < x->rank; a++) {
        inner *= a > axis ? x->dim[a] : 1;
        outer *= a < axis ? x->dim[a] : 1;
    }
    if (axis < 0) {
        memcpy(to->data, x->data, (size_t)to->count * sizeof *to->data);
        return;
    }
    for (int64_t o = 0; o < outer; o++)
        memcpy(to->data + o * to->dim[axis] * inner, x->data + (o * x->dim[axis] + from) * inner,
               (size_t)(to->dim[axis] * inner) * sizeof *to->data);
}

static void fill_chunk(Chunks *c, Eval *e, int64_t past)
{
    for (StorageId s = 0; s < c->cached->n_storages; s++) {
        const Storage *storage = &c->cached->storages[s];
        const Tensor *from = eval_storage(&c->all, storage->name);
        if (storage->class == STORAGE_STATE)
            e->storages[s] = c->state[s];
        else if (from)
            take_steps(from, &e->storages[s], sequence_axis(c->cached, &storage->type.shape), past);
        else
            e->storages[s].data[0] = (double)past;
    }
}

/* All its positions, or the last one where the program gives no other. */
static bool output_is(Chunks *c, Eval *e, const Output *o, int64_t past, int64_t steps)
{
    const Tensor *got = eval_output(e, o->name), *all = &c->all.values[o->value];
    const int axis = sequence_axis(c->whole, &value_type(c->whole, o->value)->shape);
    double size = 0.1;
    if (!got || got->rank != all->rank) {
        snprintf(c->difference->text, sizeof c->difference->text, "output %s is gone", o->name);
        return false;
    }
    if (axis == -2)
        return true;
    Tensor want = *got;
    want.data = arena_array(c->arena, (size_t)want.count, sizeof *want.data);
    take_steps(all, &want, axis, axis < 0 ? 0 : past + steps - got->dim[axis]);
    for (int64_t i = 0; i < want.count; i++)
        size = isfinite(want.data[i]) ? fmax(size, fabs(want.data[i])) : size;
    bool right = true;
    for (int64_t i = 0; i < want.count && right; i++)
        right = oracle_near(o->name, i, got->data[i], want.data[i], 1e-9 * size, c->difference);
    return right;
}

static bool chunk_is(Chunks *c, int64_t past, int64_t steps)
{
    TrialInputs in = *c->in;
    in.sizes[graph_sequence(c->cached)] = steps;
    Eval e = eval_begin(c->cached, c->arena, in.sizes);
    fill_chunk(c, &e, past);
    eval_run(&e);
    for (StorageId s = 0; s < c->cached->n_storages; s++)
        if (c->cached->storages[s].class == STORAGE_STATE)
            c->state[s] = e.storages[s];
    bool right = true;
    for (uint32_t i = 0; i < c->whole->n_outputs && right; i++)
        right = output_is(c, &e, &c->whole->outputs[i], past, steps);
    return right;
}

bool oracle_cache(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                  Difference *difference)
{
    static const int64_t chunks[] = { 2, 1, 3, 1, 2 };
    Chunks c = { .whole = before, .cached = after, .in = in, .arena = arena,
                 .all = eval_begin(before, arena, in->sizes), .difference = difference };
    const int t = graph_sequence(after);
    trial_fill(&c.all, in);
    eval_run(&c.all);
    const Eval begin = eval_begin(after, arena, in->sizes);
    c.state = begin.storages;
    for (StorageId s = 0; s < after->n_storages; s++)
        for (int64_t i = 0; after->storages[s].class == STORAGE_STATE && i < c.state[s].count; i++)
            c.state[s].data[i] = NAN;
    bool right = true;
    int64_t past = 0;
    for (size_t k = 0; t >= 0 && k < sizeof chunks / sizeof *chunks && past < in->sizes[t] && right; k++) {
        const int64_t left = in->sizes[t] - past, steps = chunks[k] < left ? chunks[k] : left;
        right = chunk_is(&c, past, steps);
        past += steps;
    }
    return right;
}
