/* smrun info: what a plan holds, and the memory a session of it needs. */
#include "base/check.h"
#include "runtime/command.h"
#include "runtime/info.h"

int smrun_info(int argc, char **argv)
{
    Common c = { 0 };
    bool text_twin = false;
    const Arg options[] = {
        THREADS_OPTION(c),
        { "--json", NULL, ARG_FLAG, &c.json, "for machines", 0, 0, NULL },
        { "--plan", NULL, ARG_FLAG, &text_twin, "the whole plan as text", 0, 0, NULL },
    };
    Args a = { .usage = "smrun info PLAN.smp [--threads N] [--json] [--plan]",
               .about = "Says what a plan holds: programs, parameters, barriers, and the memory of a\n"
                        "session to the byte.\n\n"
                        "  smrun info gpt2.smp\n"
                        "  smrun info gpt2.smp --plan | less",
               .options = options, .n = COUNT_OF(options), .max_positional = 1 };
    Plan plan;
    Buf out = { 0 };
    int code;
    if (!command_begin(&a, argc, argv, &plan, &code))
        return code;
    const InfoOptions o = { .path = a.positional[0], .n_threads = command_threads(&c),
                            .cpu = command_cpu(), .json = c.json };
    if (text_twin)
        plan_print(&out, &plan);
    code = text_twin || info(&plan, &o, &out, &c.err) ? command_deliver(&out) : command_fault(&c.err);
    buf_free(&out);
    plan_close(&plan);
    return code;
}
