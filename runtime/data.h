/* What a model is trained on: text, or ready-made samples.
 *
 * text      files one after the other, turned into ids once.  The last part is held out for
 *           validation; batches are windows of the rest, the targets one id further on.
 * samples   a .safetensors file with a tensor for each input, samples along the first axis; the last
 *           ones may be held out.
 *
 * Which windows or samples a batch takes is a pure function of (seed, index of the batch), so a
 * resumed run reads on where it stopped:
 *   random       epoch by epoch: everything once, in a random order, before anything twice; windows
 *                of text follow each other from a random place on, another in every epoch
 *   sequential   from the front, batch after batch, and from the front again; windows of text do not
 *                overlap
 * Validation always takes the same batches: evenly spread over the part held out. */
#ifndef RUNTIME_DATA_H
#define RUNTIME_DATA_H

#include "runtime/safetensors.h"
#include "runtime/session.h"
#include "runtime/text_model.h"
#include "runtime/tokenizer/hf_tokenizer.h"

#define DATA_ORDERS(X) X(random) X(sequential)
typedef enum DataOrder {
#define X(name) DATA_##name,
    DATA_ORDERS(X)
#undef X
    N_DATA_ORDERS
} DataOrder;

bool data_order_from_name(const char *name, DataOrder *out);

typedef struct DataInput {              /* one tensor of a file of samples */
    int32_t storage;
    const SafeTensor *tensor;
    int64_t per_sample;                 /* elements */
} DataInput;

typedef struct Data {
    const Plan *plan;
    bool is_text;
    int64_t batch;                      /* samples or windows of a batch, at most */
    int64_t sizes[MAX_SYMBOLS];         /* of every symbol, the batch's at `batch` */
    int64_t n, n_train;                 /* ids or samples; the first n_train are for training */
    uint64_t hash;                      /* of ids or file */
    TextModel model;                    /* text */
    int32_t *ids;                       /* text; owned */
    SafeTensors file;                   /* samples */
    DataInput *inputs;                  /* samples; owned */
    uint32_t n_inputs;
} Data;

/* The files' text, one after the other; none may be empty, nor, unless any bytes will do, hold
 * anything but characters. */
bool data_read_text(const char *const *paths, size_t n, bool any_bytes, Buf *out, Error *err);

/* Text as ids.  `batch` and `seq` are at most what the plan's programs allow. */
bool data_open_text(const Plan *p, const TextModel *m, const HfTokenizer *t, const Buf *text,
                    int64_t batch, int64_t seq, double val_fraction, Data *out, Error *err);

/* Every input that one of `programs` (bits) reads must be in the file, with a fitting shape.  `batch`
 * 0: as many as `kind` allows. */
bool data_open_samples(const Plan *p, PlanProgramKind kind, const char *path, int64_t batch,
                       double val_fraction, Data *out, Error *err);
void data_close(Data *d);

/* Is a training batch possible, and is there anything to validate on? */
bool data_can_train(const Data *d, Error *err);
bool data_can_validate(const Data *d);

/* Copies batch `index` (0, 1, ...) into the session's inputs. */
bool data_fill(const Data *d, Session *s, DataOrder order, uint64_t seed, int64_t index, Error *err);
/* Batch `index` of `count` that spread over the held-out part. */
bool data_fill_validation(const Data *d, Session *s, int64_t index, int64_t count, Error *err);
/* Samples [first, first + count) in order; count at most the batch. */
bool data_fill_range(const Data *d, Session *s, int64_t first, int64_t count, Error *err);

/* Ids (text) or samples in one full batch, for tokens/s. */
/* Where item i of the random order begins, of `starts` places that an item can begin at, items of one
 * epoch being `stride` apart. */
int64_t data_random_start(int64_t starts, int64_t stride, uint64_t seed, int64_t i);

int64_t data_batch_tokens(const Data *d);

#endif
