/* The judge of `update`: optimizer steps by their published formulas, one number at a time.
 * AdamW: Loshchilov and Hutter 2019, algorithm 2; SGD with momentum as torch.optim.SGD; clipping by
 * the norm of all gradients as torch.nn.utils.clip_grad_norm_. */
#include "bisect/oracle.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Step {
    const Graph *before;
    const Optimizer *o;
    Eval *graph;                        /* what is judged, after its run */
    Eval start;                         /* storages before it; gradients as outputs */
    Arena *arena;
    Difference *difference;
    double factor, lr, step;
} Step;

static double input(const Step *s, const char *name, double otherwise)
{
    const Tensor *t = eval_storage(s->graph, name);
    return t ? t->data[0] : otherwise;
}

static const Tensor *state(Step *s, const char *kind, const char *param)
{
    return eval_storage(s->graph, arena_printf(s->arena, "%s.%s", kind, param));
}

/* The start value of a storage that the pass added. */
static double start_of(const Step *s, const char *kind, const char *param, int64_t i,
                       const TrialInputs *in)
{
    const Storage storage = { .name = arena_printf(s->arena, "%s.%s", kind, param),
                              .class = STORAGE_STATE, .type = type_scalar(DTYPE_f32) };
    return trial_value(&storage, in, i);
}

/* Summed over several runs, or of this one. */
static double gradient(Step *s, const Storage *p, int64_t i, const TrialInputs *in)
{
    if (s->before->program == PROGRAM_apply)
        return start_of(s, "grad", p->name, i, in);
    return eval_output(&s->start, arena_printf(s->arena, "grad.%s", p->name))->data[i];
}

static bool is(Step *s, const char *name, int64_t i, const Tensor *t, double want, double size)
{
    if (!t) {
        snprintf(s->difference->text, sizeof s->difference->text, "there is no %s", name);
        return false;
    }
    return oracle_near(name, i, t->data[i], want, 1e-9 * fmax(size, fabs(want)), s->difference);
}

static bool adamw_is(Step *s, const Storage *p, int64_t i, double x, double g, double decay,
                     const TrialInputs *in)
{
    const Optimizer *o = s->o;
    const double m = o->beta1 * start_of(s, "adamw.m", p->name, i, in) + (1 - o->beta1) * g;
    const double v = o->beta2 * start_of(s, "adamw.v", p->name, i, in) + (1 - o->beta2) * g * g;
    const double m_hat = m / (1 - pow(o->beta1, s->step)), v_hat = v / (1 - pow(o->beta2, s->step));
    const double want = x - s->lr * (m_hat / (sqrt(v_hat) + o->eps) + decay * x);
    return is(s, p->name, i, eval_storage(s->graph, p->name), want, fabs(x))
        && is(s, "the first moment", i, state(s, "adamw.m", p->name), m, fabs(g))
        && is(s, "the second moment", i, state(s, "adamw.v", p->name), v, g * g);
}

static bool sgd_is(Step *s, const Storage *p, int64_t i, double x, double g, double decay,
                   const TrialInputs *in)
{
    g += decay * x;
    if (s->o->momentum != 0) {
        g += s->o->momentum * start_of(s, "sgd.buf", p->name, i, in);
        if (!is(s, "the momentum", i, state(s, "sgd.buf", p->name), g, fabs(g)))
            return false;
    }
    return is(s, p->name, i, eval_storage(s->graph, p->name), x - s->lr * g, fabs(x));
}

static bool element_is(Step *s, const Storage *p, int64_t i, const TrialInputs *in)
{
    const double x = trial_value(p, in, i), sum = gradient(s, p, i, in), g = sum * s->factor;
    const double decay = p->type.shape.rank >= 2 ? s->o->weight_decay : 0;
    if (s->before->program == PROGRAM_accumulate)
        return is(s, "the summed gradient", i, state(s, "grad", p->name),
                  start_of(s, "grad", p->name, i, in) + sum, fabs(sum));
    if (s->before->program == PROGRAM_apply
        && !is(s, "the cleared gradient", i, state(s, "grad", p->name), 0, 0))
        return false;
    return s->o->kind == OPTIMIZER_sgd ? sgd_is(s, p, i, x, g, decay, in)
                                       : adamw_is(s, p, i, x, g, decay, in);
}

/* Of f32 parameters only. */
static int64_t count_of(const Step *s, StorageId id)
{
    const Storage *p = &s->before->storages[id];
    return p->class == STORAGE_PARAM && p->type.dtype == DTYPE_f32 ? s->start.storages[id].count : 0;
}

static bool numbers_of_step(Step *s, const TrialInputs *in)
{
    double squares = 0;
    for (StorageId id = 0; id < s->before->n_storages; id++)
        for (int64_t i = 0; i < count_of(s, id); i++)
            squares += pow(gradient(s, &s->before->storages[id], i, in), 2);
    const double scale = input(s, "$scale", 1), norm = scale * sqrt(squares);
    s->factor = scale * fmin(1, input(s, "$clip", INFINITY) / (norm + 1e-6));
    s->lr = input(s, "$lr", 0);
    s->step = input(s, "$step", 1);
    return s->before->program == PROGRAM_accumulate
        || is(s, "grad_norm", 0, eval_output(s->graph, "grad_norm"), norm, norm);
}

bool oracle_update(const Graph *before, const Graph *after, const TrialInputs *in, Arena *arena,
                   Difference *difference)
{
    Eval e = eval_begin(after, arena, in->sizes);
    Step s = { .before = before, .o = &before->optimizer, .graph = &e,
               .start = eval_begin(before, arena, in->sizes), .arena = arena,
               .difference = difference };
    trial_fill(&s.start, in);
    eval_run(&s.start);
    trial_fill(&e, in);
    eval_run(&e);
    bool right = numbers_of_step(&s, in);
    for (StorageId id = 0; id < before->n_storages && right; id++) {
        const int64_t n = count_of(&s, id), stride = n > 8 ? n / 8 : 1;
        for (int64_t i = 0; i < n && right; i += stride)
            right = element_is(&s, &before->storages[id], i, in);
    }
    return right;
}
