/* Finding tokens, targets and logits in a plan. */
#include "runtime/text_model.h"

#include "runtime/hub/tensor_file.h"
#include "runtime/hub/weights_index.h"
#include "runtime/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Exactly the symbol itself? */
static bool dim_is_symbol(const PlanDim *d, int symbol)
{
    if (d->coef != 1 || symbol < 0)
        return false;
    for (int s = 0; s < MAX_SYMBOLS; s++)
        if (d->power[s] != (s == symbol))
            return false;
    return true;
}

static bool is_ids(const PlanStorage *st, const TextModel *m)
{
    return st->dtype == DTYPE_i32 && st->rank == 2 && dim_is_symbol(&st->dim[0], m->batch)
        && dim_is_symbol(&st->dim[1], m->sequence) && st->index_limit > 0;
}

bool text_model_of(const Plan *p, TextModel *out, Error *err)
{
    *out = (TextModel){ .tokens = -1, .targets = -1, .batch = plan_symbol(p, PLAN_BATCH),
                        .sequence = plan_symbol(p, PLAN_SEQUENCE) };
    const char *model = plan_string(p, p->header->model);
    for (uint32_t i = 0; i < p->n_storages; i++) {
        const PlanStorage *st = &p->storages[i];
        const char *name = plan_string(p, st->name);
        int32_t *slot = st->train_only ? &out->targets : &out->tokens;
        if (st->class != PLAN_INPUT || name[0] == '$')
            continue;
        if (!is_ids(st, out) || *slot >= 0)
            return error_set(err, "%s is not a model of text: its input %s is %s", model, name,
                             *slot >= 0 ? "one too many" : "not ids i32[batch, sequence]");
        *slot = (int32_t)i;
    }
    if (out->tokens < 0)
        return error_set(err, "%s is not a model of text: it has no input of ids", model);
    out->vocab = p->storages[out->tokens].index_limit;
    if (out->targets >= 0 && p->storages[out->targets].index_limit != out->vocab)
        return error_set(err, "%s is not a model of text: it reads ids below %" PRId64 " and predicts "
                         "ids below %" PRId64, model, out->vocab,
                         p->storages[out->targets].index_limit);
    return true;
}

void plan_largest_sizes(const Plan *p, PlanProgramKind program, int64_t sizes[MAX_SYMBOLS])
{
    const PlanProgram *g = plan_program(p, program);
    for (uint32_t s = 0; s < MAX_SYMBOLS; s++)
        sizes[s] = g && s < p->n_symbols ? g->max[s] : 1;
}

const char *text_model_logits(const Plan *p, const TextModel *m, PlanProgramKind program,
                              Error *err)
{
    const PlanProgram *g = plan_program(p, program);
    const int64_t none[MAX_SYMBOLS] = { 0 };
    for (uint32_t i = 0; g && i < g->n_outputs; i++) {
        const PlanOutput *o = &p->outputs[g->first_output + i];
        const PlanOperand *op = &p->operands[o->operand];
        int64_t last, one;
        if (op->rank != 3 || op->dtype != DTYPE_f32)
            continue;
        const bool positions = program == PLAN_generate
            ? plan_dim(&op->dim[1], none, &one) && one == 1
            : dim_is_symbol(&op->dim[1], m->sequence);
        if (positions && plan_dim(&op->dim[2], none, &last) && last == m->vocab)
            return plan_string(p, o->name);
    }
    error_set(err, "%s has no program %s with an output [batch, %s, %" PRId64 "], logits over its ids",
              plan_string(p, p->header->model), plan_program_name(program),
              program == PLAN_generate ? "1" : "sequence", m->vocab);
    return NULL;
}

void text_model_mend(const Plan *p, const char *plan_path, int64_t vocab, char *out, size_t cap)
{
    const char *command = plan_string(p, p->header->command), old[] = " -D vocab=";
    const char *at = strstr(command, old);
    const char *rest = at ? at + strlen(old) + strcspn(at + strlen(old), " ") : "";
    if (*command)
        snprintf(out, cap, "%.*s%s -D vocab=%" PRId64 " -o %s",
                 (int)(at ? (size_t)(at - command) : strlen(command)), command, rest, vocab,
                 plan_path);
    else
        snprintf(out, cap, "smc compile %s.smg -D vocab=%" PRId64 " -o %s",
                 plan_string(p, p->header->model), vocab, plan_path);
}

bool text_model_fits(const Plan *p, const char *plan_path, const TextModel *m, int64_t n_ids,
                     bool exact, Error *err)
{
    char command[512];
    if (n_ids == m->vocab || (n_ids < m->vocab && !exact))
        return true;
    text_model_mend(p, plan_path, n_ids, command, sizeof command);
    return error_set(err, "the tokenizer has %" PRId64 " ids, but %s was compiled for a vocabulary of "
                     "%" PRId64 "; mend it with: %s", n_ids, plan_path, m->vocab, command);
}

bool text_model_takes(const Plan *p, const char *named, const char *weights, const TextModel *m,
                      int64_t n_ids, Error *err)
{
    char index[CHECKPOINT_PATH];
    if (n_ids <= m->vocab || !weights_beside(weights, WEIGHTS_INDEX, index))
        return text_model_fits(p, named, m, n_ids, false, err);
    return error_set(err, "%s: its tokenizer has %" PRId64 " ids, but the model only %" PRId64 "; it is another "
                     "model's", named, n_ids, m->vocab);
}

bool text_model_without_ids(const char *named, const char *weights, const char *then, Error *err)
{
    char path[CHECKPOINT_PATH];
    const bool imported = weights_beside(weights, WEIGHTS_INDEX, path);
    const char *model = imported ? named : weights;
    const char *what = imported && tensor_format(model) == FORMAT_GGUF
        ? "the file holds no tokenizer (tokenizer.ggml.model and what belongs to it)"
        : "there is no tokenizer.json beside the weights (a tokenizer.model is not read)";
    return error_set(err, "%s: %s; %s", model, what, then);
}
