/* A plan against the evaluator, instruction by instruction: the kernels run one after the other, on
 * one thread, and after each the values that it made are looked at where they lie. */
#include "bisect/bisect.h"

#include "bisect/held.h"
#include "codegen/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Steps {
    const Graph *g;
    Lower lower;
    PlanBuilder builder;
    Buf bytes;
    Plan plan;
    Session *session;
    PlanProgramKind kind;
    Trial trial;
    const uint32_t *uses;               /* of each value */
    Arena *arena;
    Difference *difference;
} Steps;

static bool fault(Steps *s, const char *what)
{
    snprintf(s->difference->text, sizeof s->difference->text, "%s", what);
    return false;
}

/* ---- the session -------------------------------------------------------------------------------- */

static bool plan_of_graph(Steps *s)
{
    Error err;
    plan_builder_init(&s->builder, s->arena, s->g->name);
    s->builder.context = s->g->context;
    lower_program(&s->builder, s->g);
    if (!plan_builder_write(&s->builder, &s->bytes))
        return fault(s, "out of memory");
    if (!plan_view(s->bytes.data, s->bytes.len, &s->plan, &err))
        return fault(s, err.text);
    s->kind = held_kind(s->g->program);
    s->lower = (Lower){ .plan = &s->builder, .g = s->g, .program = 1u << s->kind };
    s->lower.storage_of = arena_array(s->arena, s->g->n_storages + 1, sizeof(uint32_t));
    for (StorageId i = 0; i < s->g->n_storages; i++)
        s->lower.storage_of[i] = (uint32_t)plan_storage(&s->plan, s->g->storages[i].name);
    return true;
}

static bool open_session(Steps *s, const BisectOptions *options, const TrialInputs *in)
{
    const SessionOptions so = { .n_threads = 1, .cpu = options->cpu, .programs = 1u << s->kind };
    Error err;
    if (!session_open(&s->plan, &so, &s->session, &err)
        || !session_bind(s->session, s->kind, in->sizes, &err))
        return fault(s, err.text);
    held_fill(s->session, s->g, in, s->arena);
    return true;
}

/* ---- what an instruction made ------------------------------------------------------------------- */

/* The value in memory: found from an operand of the instruction that lies in the same buffer. */
static bool find_value(Steps *s, uint32_t k, ValueId v, Operand *out)
{
    const PlanInstr *in = &s->builder.instrs[k];
    const Call *call = session_call(s->session, s->kind, k);
    const PlanOperand want = lower_operand(&s->lower, v);
    const int64_t *sizes = s->trial.exact.sizes;
    int64_t at, there;
    if (!plan_bind_operand(&want, sizes, out, &at))
        return false;
    for (uint32_t i = 0; i < in->n_operands; i++) {
        const PlanOperand *o = &s->builder.operands[in->first_operand + i];
        Operand bound;
        if (o->storage != want.storage || o->byte_offset != want.byte_offset
            || !plan_bind_operand(o, sizes, &bound, &there))
            continue;
        out->data = (char *)call->operand[i].data + (at - there);
        return true;
    }
    return false;
}

static bool in_unit(const Graph *g, NodeId n, NodeId of)
{
    return n == of || (g->nodes[of].group && g->nodes[n].group == g->nodes[of].group);
}

/* Does a later member of the unit write over the value? */
static bool overwritten(const Graph *g, ValueId v, NodeId of)
{
    const Place *place = &g->values[v].place;
    for (NodeId n = g->values[v].def + 1; n < g->n_nodes && in_unit(g, n, of); n++)
        for (unsigned i = 0; i < g->nodes[n].n_outputs; i++)
            if (g->values[g->nodes[n].first_output + i].place.buffer == place->buffer)
                return true;
    return false;
}

static bool value_right(Steps *s, uint32_t k, ValueId v)
{
    char name[160];
    const Node *n = value_def(s->g, v);
    Operand o;
    if (!find_value(s, k, v, &o))
        return true;
    const Tensor got = held_tensor(&o, s->arena);
    snprintf(name, sizeof name, "instruction %u, kernel %s, %s%s%s", k,
             s->plan.strings + s->builder.instrs[k].kernel, op_info(n->op)->name,
             n->path && *n->path ? " of " : "", n->path ? n->path : "");
    return trial_value_is(&s->trial, name, v, &got, s->difference);
}

static bool results_right(Steps *s, uint32_t k, NodeId *op)
{
    const NodeId of = s->builder.instr_nodes[k];
    NodeId first = of;
    while (first > 0 && in_unit(s->g, first - 1, of))
        first--;
    for (NodeId n = first; n < s->g->n_nodes && in_unit(s->g, n, of); n++)
        for (unsigned i = 0; i < s->g->nodes[n].n_outputs; i++) {
            const ValueId v = s->g->nodes[n].first_output + i;
            if (s->g->values[v].place.buffer == NO_BUFFER || s->uses[v] == 0
                || overwritten(s->g, v, of))
                continue;               /* what nobody reads may be anything */
            *op = n;
            if (!value_right(s, k, v))
                return false;
        }
    return true;
}

static bool run_steps(Steps *s, NodeId *op)
{
    const PlanProgram *p = plan_program(&s->plan, s->kind);
    const KernelTable *kernels = session_kernels(s->session);
    bool right = true;
    for (uint32_t k = 0; k < p->n_instrs && right; k++) {
        const Call *call = session_call(s->session, s->kind, k);
        const size_t bytes = (kernel_scratch(call) + 63) & ~(size_t)63;
        void *scratch = aligned_alloc(64, bytes + 64);
        if (!scratch)
            return fault(s, "out of memory");
        if (call->n_tasks > 0)
            kernels->run[call->kernel](call, 0, call->n_tasks, scratch);
        free(scratch);
        const bool more = k + 1 < p->n_instrs     /* a concat or a pad is several */
            && s->builder.instr_nodes[k + 1] == s->builder.instr_nodes[k];
        right = more || results_right(s, k, op);
    }
    return right;
}

/* The whole program once more, as it is run: outputs and storages. */
static bool run_whole(Steps *s, const TrialInputs *in)
{
    held_fill(s->session, s->g, in, s->arena);
    session_run(s->session, s->kind);
    for (uint32_t i = 0; i < s->g->n_outputs; i++) {
        Operand o;
        if (!session_output(s->session, s->kind, s->g->outputs[i].name, &o))
            return fault(s, "an output is gone");
        const Tensor got = held_tensor(&o, s->arena);
        if (!trial_output(&s->trial, &s->g->outputs[i], &got, s->difference))
            return false;
    }
    for (StorageId id = 0; id < s->g->n_storages; id++) {
        Tensor got;
        if (held_storage(s->session, &s->g->storages[id], &s->trial.exact.storages[id], s->arena, &got)
            && !trial_storage(&s->trial, id, &got, s->difference))
            return false;
    }
    return true;
}

bool bisect_plan(const Graph *g, const BisectOptions *options, Arena *arena, NodeId *op,
                 Difference *difference)
{
    bool right = true;
    *op = NO_NODE;
    for (int smaller = 0; smaller < 2 && right; smaller++) {
        Steps s = { .g = g, .uses = graph_uses(g, arena), .arena = arena,
                    .difference = difference };
        const TrialInputs in = bisect_inputs(g, options, smaller);
        right = plan_of_graph(&s);
        if (right) {
            s.trial = trial_run(g, &in, UNIT_FLOAT, arena);
            right = open_session(&s, options, &in) && run_steps(&s, op);
            *op = right ? NO_NODE : *op;
            right = right && run_whole(&s, &in);
            session_close(s.session);
            plan_close(&s.plan);
        }
        plan_builder_free(&s.builder);
        buf_free(&s.bytes);
    }
    return right;
}
