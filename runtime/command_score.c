/* smrun score: a model's outputs and loss for samples. */
#include "base/check.h"
#include "runtime/command.h"
#include "runtime/score.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static int print_loss(const ScoreResult *r)
{
    printf("loss %.6f over %" PRId64 " samples\n", r->loss, r->n);
    return command_flushed();
}

int smrun_score(int argc, char **argv)
{
    Common c = { 0 };
    ScoreOptions o = { 0 };
    ScoreResult r;
    const Arg options[] = {
        { "--weights", "DIR", ARG_STRING, &o.weights, "a run, or a .safetensors file", 0, 0, NULL },
        { "--data", "FILE", ARG_STRING, &o.data, "a .safetensors file with the model's inputs", 0, 0,
          NULL },
        { "-o", "FILE", ARG_STRING, &o.out, "where its outputs go, a tensor for each", 0, 0, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "the loss as JSON", 0, 0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun score PLAN.smp --weights DIR --data FILE.safetensors [-o OUT.safetensors]",
               .about = "Computes a model's outputs for samples, and prints the loss where the inputs of "
                        "its train\nblock are there too.\n\n"
                        "  smrun score mlp.smp --weights run --data samples.safetensors -o y.safetensors",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    int code;
    if (!command_begin(&a, argc, argv, &plan, &code))
        return code;
    o.n_threads = command_threads(&c);
    o.cpu = command_cpu();
    if (!o.weights || !o.data)
        code = command_usage(&a, "--weights and --data say what to score");
    else if (!score(&plan, &o, &r, &c.err))
        code = command_fault(&c.err);
    else if (c.json)
        code = command_deliver_json(json_pack("{s:I, s:o}", "samples", (json_int_t)r.n, "loss",
                                      r.has_loss ? json_real(r.loss) : json_null()));
    else if (r.has_loss)
        code = print_loss(&r);
    else
        code = EXIT_DONE;
    plan_close(&plan);
    return code;
}
