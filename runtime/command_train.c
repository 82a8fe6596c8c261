/* smrun train: trains a model on text or samples. */
#include "base/check.h"
#include "base/progress.h"
#include "runtime/command.h"
#include "runtime/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int report_training(TrainEnd end, const TrainOptions *o, const TrainResult *r,
                           const Error *err)
{
    char time[32], val[48] = "";
    if (end == TRAIN_FAILED)
        return command_fault(err);
    duration_text(time, sizeof time, r->seconds);
    if (!isnan(r->val_loss))
        snprintf(val, sizeof val, ", val_loss %.4f", r->val_loss);
    printf("%s after step %" PRId64 ": loss %.4f%s, %s at %.0f/s; the run is in %s\n",
           end == TRAIN_DONE ? "done" : "stopped", r->step, r->loss, val, time, r->tokens_per_s,
           o->out);
    if (end == TRAIN_DONE)
        return command_flushed();
    fprintf(stderr, "smrun: stopped by a signal; the same command with --resume goes on\n");
    return EXIT_BY_SIGNAL + (int)command_stop;
}

int smrun_train(int argc, char **argv)
{
    Common c = { 0 };
    ArgList data = { 0 };
    TrainOptions o = { .eval_every = 250, .eval_iters = 20, .checkpoint_every = 500,
                       .stop = &command_stop };
    Hyper *h = &o.hyper;
    const char *schedule = "", *order = "";
    bool quiet = false;
    hyper_unset(h);
    const Arg options[] = {
        { "--data", "FILE...", ARG_REST, &data, "text files, or one .safetensors with samples", 0, 0,
          NULL },
        { "--out", "DIR", ARG_STRING, &o.out, "the run: weights, tokenizer, state, log.jsonl", 0, 0,
          NULL },
        { "--steps", "N", ARG_INT, &o.steps, "train until this step is done", 1, 2e9, NULL },
        { "--resume", NULL, ARG_FLAG, &o.resume, "go on with the run in DIR, with its options", 0, 0,
          NULL },
        { "--init", "WEIGHTS", ARG_STRING, &o.init, "begin with these weights: a run or a file", 0, 0,
          NULL },
        { "--lr", "X", ARG_DOUBLE, &h->lr, "learning rate (default: the model's)", 0, 1e6, NULL },
        { "--min-lr", "X", ARG_DOUBLE, &h->min_lr, "where it falls to (default: a tenth)", 0, 1e6,
          NULL },
        { "--warmup", "N", ARG_INT, &h->warmup, "steps in which it rises first (default 0)", 0, 2e9,
          NULL },
        { "--schedule", "KIND", ARG_CHOICE, &schedule, "cosine (default), linear, constant", 0, 0,
          "cosine|linear|constant" },
        { "--decay-steps", "N", ARG_INT, &h->decay_steps, "where --min-lr is reached (default: "
          "--steps)", 1, 2e9, NULL },
        { "--clip", "X", ARG_DOUBLE, &h->clip, "largest norm of the gradient; 0: any (default 1)", 0,
          1e30, NULL },
        { "--accumulate", "N", ARG_INT, &h->accumulate, "batches a step (default 1)", 1, 1e6, NULL },
        { "--batch", "N", ARG_INT, &h->batch, "of at most what the plan was compiled for (default)",
          1, 1e9, NULL },
        { "--seq", "N", ARG_INT, &h->seq, "likewise, positions of a window", 1, 1e9, NULL },
        { "--seed", "N", ARG_INT, &h->seed, "of weights, order and dropout (default 1)", 0, 1e15,
          NULL },
        { "--order", "KIND", ARG_CHOICE, &order, "random windows (default) or sequential", 0, 0,
          "random|sequential" },
        { "--tokenizer", "KIND", ARG_STRING, &o.tokenizer, "char (default), byte, or a "
          "tokenizer.json", 0, 0, NULL },
        { "--val-fraction", "F", ARG_DOUBLE, &h->val_fraction, "held out (default 0.1 of text, "
          "nothing of samples)", 0, 0.99, NULL },
        { "--eval-every", "N", ARG_INT, &o.eval_every, "steps between validations; 0: never (default "
          "250)", 0, 2e9, NULL },
        { "--eval-iters", "N", ARG_INT, &o.eval_iters, "batches of a validation (default 20)", 0, 1e6,
          NULL },
        { "--checkpoint-every", "N", ARG_INT, &o.checkpoint_every, "steps; 0: only at the end "
          "(default 500)", 0, 2e9, NULL },
        { "--quiet", NULL, ARG_FLAG, &quiet, "no progress", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun train PLAN.smp --data FILE... --out DIR --steps N [options]",
               .about =
        "Trains a model on text, or on ready-made samples: a .safetensors file with one tensor for\n"
        "each input of the model (those of its train block too), samples along the first axis.\n"
        "Each step is a line of DIR/log.jsonl. Ctrl-C finishes the step and writes a checkpoint.\n"
        "A run that is resumed gives the same bytes as one that was never stopped.\n\n"
        "  smrun train chargpt.smp --data stories.txt --out run --steps 2000\n"
        "  smrun train chargpt.smp --data stories.txt --out run --steps 4000 --resume\n"
        "  smrun train mlp.smp --data samples.safetensors --order sequential --out run --steps 10\n\n"
        "exit codes: 0 done; 1 a file, the data or memory, with a message; 2 usage; 130 interrupted,\n"
        "after a checkpoint",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    TrainResult result;
    int code;
    if (!command_begin(&a, argc, argv, &plan, &code))
        return code;
    snprintf(h->schedule, sizeof h->schedule, "%s", schedule);
    snprintf(h->order, sizeof h->order, "%s", order);
    o.plan_path = a.positional[0];
    o.data = data.item;
    o.n_data = data.n;
    o.n_threads = command_threads(&c);
    o.cpu = command_cpu();
    o.progress = quiet ? NULL : stderr;
    if (data.n == 0 || !o.out || o.steps == 0) {
        code = command_usage(&a, "--data, --out and --steps say what to train on, where to and how long");
    } else if (o.resume && o.init) {
        code = command_usage(&a, "--init begins a run and --resume goes on with one");
    } else {
        const TrainEnd end = train_run(&plan, &o, &result, &c.err);
        code = report_training(end, &o, &result, &c.err);
    }
    plan_close(&plan);
    return code;
}
