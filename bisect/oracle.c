/* Judges of passes, and the judge of those that keep the meaning. */
#include "bisect/oracle.h"

#include "bisect/placed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool oracle_near(const char *name, int64_t i, double got, double want, double bound,
                 Difference *difference)
{
    if (fabs(got - want) <= bound || (isnan(got) && isnan(want)) || got == want)
        return true;
    snprintf(difference->text, sizeof difference->text,
             "%s, element %lld: %.12g, not %.12g; off by %.3g where %.3g is allowed", name,
             (long long)i, got, want, fabs(got - want), bound);
    return false;
}

/* The same outputs and storages; in its memory, once the graph has places. */
static bool same_meaning(const Graph *before, const Graph *after, const TrialInputs *in,
                         Arena *arena, Difference *difference)
{
    const Trial t = trial_run(before, in, UNIT_DOUBLE, arena);
    Eval e = eval_begin(after, arena, in->sizes);
    Error err;
    trial_fill(&e, in);
    if (after->n_buffers == 0) {
        eval_run(&e);
    } else if (!placed_run(&e, &err)) {
        snprintf(difference->text, sizeof difference->text, "%s", err.text);
        return false;
    }
    return trial_same(&t, &e, difference);
}

bool oracle_judge(const char *pass, const Graph *before, const Graph *after, const TrialInputs *in,
                  Arena *arena, Difference *difference)
{
    static const struct { const char *pass; OracleFn *judge; } judges[] = {
        { "specialize", oracle_specialize }, { "autodiff", oracle_autodiff },
        { "update", oracle_update }, { "cache", oracle_cache }, { "last", oracle_last },
    };
    for (size_t i = 0; i < sizeof judges / sizeof *judges; i++)
        if (strcmp(pass, judges[i].pass) == 0)
            return judges[i].judge(before, after, in, arena, difference);
    return same_meaning(before, after, in, arena, difference);
}

/* ---- last -------------------------------------------------------------------------------------- */

/* What x has at the last index of the axis along which `like` has one. */
static Tensor last_of(const Tensor *x, const Tensor *like, Arena *arena)
{
    Tensor out = *x;
    int axis = 0;
    while (axis < x->rank && x->dim[axis] == like->dim[axis])
        axis++;
    if (axis == x->rank || like->dim[axis] != 1)
        return out;
    int64_t inner = 1;
    for (int a = axis + 1; a < x->rank; a++)
        inner *= x->dim[a];
    out.dim[axis] = 1;
    out.count /= x->dim[axis];
    out.data = arena_array(arena, (size_t)out.count, sizeof *out.data);
    for (int64_t i = 0; i < out.count; i += inner)
        memcpy(out.data + i, x->data + (i + inner) * x->dim[axis] - inner,
               (size_t)inner * sizeof *out.data);
    return out;
}

/* Outputs are those of the last position, and everything else is as it was. */
bool oracle_last(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                 Difference *difference)
{
    Trial t = trial_run(before, in, UNIT_DOUBLE, arena);
    Eval e = eval_begin(after, arena, in->sizes);
    trial_fill(&e, in);
    eval_run(&e);
    for (uint32_t i = 0; i < before->n_outputs; i++) {
        const ValueId v = before->outputs[i].value;
        const Tensor *got = eval_output(&e, before->outputs[i].name);
        if (!got || got->rank != t.exact.values[v].rank)
            continue;                   /* which trial_same will say */
        t.exact.values[v] = last_of(&t.exact.values[v], got, arena);
        for (int k = 0; k < TRIAL_RUNS; k++)
            t.noisy[k].values[v] = last_of(&t.noisy[k].values[v], got, arena);
    }
    return trial_same(&t, &e, difference);
}

/* ---- specialize -------------------------------------------------------------------------------- */

/* A copy in which nothing is dropped. */
static Graph *without_dropout(const Graph *g, Arena *arena)
{
    Graph *copy = graph_clone(g, arena);
    for (NodeId n = 0; n < copy->n_nodes; n++) {
        Node *node = &copy->nodes[n];
        if (node->op == OP_dropout)
            node->attr[ATTR_INDEX(dropout, p)].f = 0;
        if (node->op == OP_attention)
            node->attr[ATTR_INDEX(attention, drop)].f = 0;
    }
    return copy;
}

/* Every output of the program is one of the model's, or its loss. */
bool oracle_specialize(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                       Difference *difference)
{
    const Graph *model = without_dropout(before, arena), *program = without_dropout(after, arena);
    const Trial t = trial_run(model, in, UNIT_DOUBLE, arena);
    Eval e = eval_begin(program, arena, in->sizes);
    trial_fill(&e, in);
    eval_run(&e);
    bool same = true;
    for (uint32_t i = 0; i < program->n_outputs && same; i++) {
        const Output *o = &program->outputs[i];
        const Tensor *got = &e.values[o->value];
        bool found = strcmp(o->name, "loss") == 0 && model->loss != NO_VALUE;
        if (found)
            same = trial_value_is(&t, "loss", model->loss, got, difference);
        for (uint32_t k = 0; k < model->n_outputs && !found; k++)
            if ((found = strcmp(model->outputs[k].name, o->name) == 0))
                same = trial_output(&t, &model->outputs[k], got, difference);
        if (!found)
            snprintf(difference->text, sizeof difference->text, "the model has no output %s", o->name);
        same = same && found;
    }
    return same;
}

/* ---- autodiff ---------------------------------------------------------------------------------- */

enum { ELEMENTS = 2 };                  /* of each parameter whose gradient is looked at */

static double loss_at(const Graph *g, const TrialInputs *in, StorageId s, int64_t i, double d)
{
    Arena arena;
    arena_init(&arena, NULL);
    Eval e = eval_begin(g, &arena, in->sizes);
    trial_fill(&e, in);
    e.storages[s].data[i] += d;
    eval_run(&e);
    const double loss = eval_output(&e, "loss")->data[0];
    arena_free(&arena);
    return loss;
}

/* Of fourth order: truncation h^4 and rounding 1e-16 / h are both far below 1e-9 for h from 1e-3 to
 * 1e-5. */
static double derivative(const Graph *g, const TrialInputs *in, StorageId s, int64_t i, double h)
{
    const double near = loss_at(g, in, s, i, h) - loss_at(g, in, s, i, -h);
    const double far = loss_at(g, in, s, i, 2 * h) - loss_at(g, in, s, i, -2 * h);
    return (8 * near - far) / (12 * h);
}

static double largest(const Tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < t->count; i++)
        most = fmax(most, fabs(t->data[i]));
    return most;
}

/* At its largest element and at one more, against the size of the whole. */
static bool gradient_right(const Graph *before, const TrialInputs *in, StorageId s,
                           const Tensor *grad, double h, Difference *difference)
{
    const double bound = 1e-5 * fmax(largest(grad), 1e-3);
    int64_t at[ELEMENTS] = { 0, grad->count / 3 };
    for (int64_t i = 0; i < grad->count; i++)
        if (fabs(grad->data[i]) > fabs(grad->data[at[0]]))
            at[0] = i;
    for (int k = 0; k < ELEMENTS; k++)
        if (!oracle_near(before->storages[s].name, at[k], grad->data[at[k]],
                         derivative(before, in, s, at[k], h), bound, difference))
            return false;
    return true;
}

static bool gradients_right(const Graph *before, Eval *e, const TrialInputs *in, double h,
                            Arena *arena, Difference *difference)
{
    for (StorageId s = 0; s < before->n_storages; s++) {
        const Storage *p = &before->storages[s];
        if (p->class != STORAGE_PARAM || p->type.dtype != DTYPE_f32)
            continue;
        const Tensor *grad = eval_output(e, arena_printf(arena, "grad.%s", p->name));
        if (!grad || grad->count != e->storages[s].count) {
            snprintf(difference->text, sizeof difference->text, "no gradient of %s", p->name);
            return false;
        }
        if (grad->count && !gradient_right(before, in, s, grad, h, difference))
            return false;
    }
    return true;
}

/* A kink (relu, maximum, where) that the step of the differences passes over is no fault, and is not
 * there with other numbers and a smaller step. */
bool oracle_autodiff(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                     Difference *difference)
{
    static const double steps[] = { 1e-3, 1e-4, 1e-5 };
    bool right = false;
    for (size_t more = 0; more < sizeof steps / sizeof *steps && !right; more++) {
        TrialInputs other = *in;
        other.seed += more * 7919;
        Eval e = eval_begin(after, arena, other.sizes);
        trial_fill(&e, &other);
        eval_run(&e);
        right = gradients_right(before, &e, &other, steps[more], arena, difference);
    }
    return right;
}
