/* Ops that move elements about. */
#include "ir/eval_rule.h"

#include <math.h>
#include <string.h>

/* copy, reshape: the same elements in the same order. */
void eval_same(EvalNode *n)
{
    eval_copy(n->in[0], &n->out[0]);
}

void eval_transpose(EvalNode *n)
{
    const int a = (int)EVAL_ATTR(n, transpose, a).i, b = (int)EVAL_ATTR(n, transpose, b).i;
    Tensor *out = &n->out[0];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++) {
        Index from = at;
        from.i[a] = at.i[b];
        from.i[b] = at.i[a];
        out->data[i] = n->in[0]->data[index_offset(&from, n->in[0])];
        index_next(&at, out);
    }
}

void eval_slice(EvalNode *n)
{
    const int axis = (int)EVAL_ATTR(n, slice, axis).i;
    Tensor *out = &n->out[0];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++) {
        Index from = at;
        from.i[axis] += EVAL_ATTR(n, slice, start).i;
        out->data[i] = n->in[0]->data[index_offset(&from, n->in[0])];
        index_next(&at, out);
    }
}

void eval_broadcast(EvalNode *n)
{
    Tensor *out = &n->out[0];
    Index at = { 0 };
    for (int64_t i = 0; i < out->count; i++) {
        out->data[i] = n->in[0]->data[index_broadcast(&at, out->rank, n->in[0])];
        index_next(&at, out);
    }
}

/* Puts `part` into `whole` from `start` of `axis` on. */
static void put_part(Tensor *whole, const Tensor *part, int axis, int64_t start)
{
    Index at = { 0 };
    for (int64_t i = 0; i < part->count; i++) {
        Index to = at;
        to.i[axis] += start;
        whole->data[index_offset(&to, whole)] = part->data[i];
        index_next(&at, part);
    }
}

void eval_concat(EvalNode *n)
{
    const int axis = (int)EVAL_ATTR(n, concat, axis).i;
    int64_t start = 0;
    for (unsigned k = 0; k < n->node->n_inputs; k++) {
        put_part(&n->out[0], n->in[k], axis, start);
        start += n->in[k]->dim[axis];
    }
}

void eval_pad(EvalNode *n)
{
    put_part(&n->out[0], n->in[0], (int)EVAL_ATTR(n, pad, axis).i, EVAL_ATTR(n, pad, before).i);
}

/* An id outside the table gives a row of NaN. */
void eval_embedding(EvalNode *n)
{
    const Tensor *table = n->in[0], *ids = n->in[1];
    const int64_t width = table->dim[1];
    for (int64_t i = 0; i < ids->count; i++) {
        const bool known = ids->data[i] >= 0 && ids->data[i] < (double)table->dim[0];
        const double *row = known ? table->data + (int64_t)ids->data[i] * width : NULL;
        for (int64_t c = 0; c < width; c++)
            n->out[0].data[i * width + c] = row ? row[c] : NAN;
    }
}

void eval_embedding_grad(EvalNode *n)
{
    const Tensor *ids = n->in[1], *g = n->in[2];
    Tensor *out = &n->out[0];
    const int64_t width = out->dim[1];
    eval_copy(n->in[0], out);
    for (int64_t i = 0; i < ids->count; i++)
        for (int64_t c = 0; c < width; c++) {
            double *to = &out->data[(int64_t)ids->data[i] * width + c];
            const double d = g->data[i * width + c];
            if (ids->data[i] < 0 || ids->data[i] >= (double)out->dim[0])
                continue;
            if (EVAL_ATTR(n, embedding_grad, squares).i)
                n->out[1].data[c / 32] += d * (*to + (*to + d));
            *to += d;
        }
}
