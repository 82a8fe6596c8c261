/* smrun profile: where the time of a program goes. */
#include "base/check.h"
#include "base/file.h"
#include "base/progress.h"
#include "runtime/command.h"
#include "runtime/profile.h"

#include <string.h>

static bool program_named(const char *name, PlanProgramKind *out)
{
    for (int k = 0; k < N_PLAN_PROGRAMS; k++)
        if (strcmp(plan_program_name((PlanProgramKind)k), name) == 0) {
            *out = (PlanProgramKind)k;
            return true;
        }
    return false;
}

static bool write_trace(const char *path, const Profile *p, Error *err)
{
    Buf out = { 0 };
    bool ok = profile_trace(&out, p);
    if (!ok)
        error_set(err, "out of memory");
    ok = ok && file_replace(path, out.data, out.len, err);
    buf_free(&out);
    return ok;
}

static int report_profile(const Profile *p, const char *trace, int64_t top, bool json)
{
    Error err;
    Buf out = { 0 };
    const bool ok = json ? profile_json(&out, p) : profile_print(&out, p, (uint32_t)top);
    out.failed = out.failed || !ok;
    int code = command_deliver(&out);
    buf_free(&out);
    if (code == EXIT_DONE && trace && !write_trace(trace, p, &err))
        code = command_fault(&err);
    return code;
}

int smrun_profile(int argc, char **argv)
{
    Common c = { 0 };
    ProfileOptions o = { .past = -1 };
    Progress progress;
    const char *program = "train", *clock = "wall", *trace = NULL;
    int64_t top = 12;
    const Arg options[] = {
        { "--program", "P", ARG_CHOICE, &program, "which of the plan's (default train)", 0, 0,
          "score|eval|train|accumulate|apply|generate" },
        { "--steps", "N", ARG_INT, &o.steps, "runs to time (default: two seconds of them)", 1, 1e6,
          NULL },
        { "--batch", "N", ARG_INT, &o.batch, "default: the largest of the plan", 1, 1e9, NULL },
        { "--seq", "N", ARG_INT, &o.seq, "positions; default: the most, but 1 for generate", 1, 1e9,
          NULL },
        { "--past", "N", ARG_INT, &o.past, "generate: positions in the cache (default: half of it)", 0,
          1e9, NULL },
        { "--clock", "KIND", ARG_CHOICE, &clock, "wall (default), or cpu: time of the processor, for "
          "machines that others use too", 0, 0, "wall|cpu" },
        { "--overhead", NULL, ARG_FLAG, &o.overhead, "measure what profiling itself costs", 0, 0, NULL },
        { "--top", "N", ARG_INT, &top, "rows of each table (default 12)", 1, 1e6, NULL },
        { "--json", NULL, ARG_FLAG, &c.json, "everything, for machines", 0, 0, NULL },
        { "--trace", "FILE", ARG_STRING, &trace, "one run for ui.perfetto.dev or chrome://tracing", 0,
          0, NULL },
        THREADS_OPTION(c),
    };
    Args a = { .usage = "smrun profile PLAN.smp [--program P] [--threads N] [--trace FILE] [options]",
               .about = "Says where the time of a program goes: by kernel, op, line of the model, part of the\n"
                        "model and instruction, beside the least that this machine's limits allow. Weights and\n"
                        "inputs are random.\n\n"
                        "  smrun profile gpt2.smp --threads 1\n"
                        "  smrun profile gpt2.smp --program generate --json > decode.json",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    Profile p;
    int code;
    if (!command_begin(&a, argc, argv, &plan, &code))
        return code;
    o.n_threads = command_threads(&c);
    o.cpu = command_cpu();
    o.cpu_clock = strcmp(clock, "cpu") == 0;
    progress_begin(&progress, stderr);
    o.progress = &progress;
    const bool known = program_named(program, &o.program);
    CHECK(known, "the choices of --program are the names of the programs");
    if (profile_run(&plan, &o, &p, &c.err)) {
        code = report_profile(&p, trace, top, c.json);
        profile_close(&p);
    } else {
        code = command_fault(&c.err);
    }
    plan_close(&plan);
    return code;
}
