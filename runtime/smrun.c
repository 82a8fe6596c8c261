/* smrun: compiled models at work, on one page.
 *
 * Every command is a row of commands.def and a file; this one finds it.  Exit codes:
 *     0    done
 *     1    a fault of the world: a file, memory, data that does not fit
 *     2    a command line that makes no sense
 *     130  interrupted (143: terminated); training wrote a checkpoint before */
#include "base/check.h"
#include "base/str.h"
#include "runtime/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void on_signal(int sig)
{
    command_stop = sig;
    signal(sig, SIG_DFL);
}

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, what) { #name, what, smrun_##name },
#include "runtime/commands.def"
#undef COMMAND
};

static void print_usage(FILE *to)
{
    fputs("smrun runs compiled models (smc makes them).\n\n"
          "usage: smrun COMMAND [PLAN.smp] [options]     smrun COMMAND --help\n\n", to);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].what);
    fputs("\nexit codes: 0 done; 1 a file, memory or data, with a message; 2 usage; 130 interrupted\n"
          "environment: SMG_CPU=scalar|avx2|avx512|... narrows the instructions that are used\n", to);
}

static int unknown_command(const char *name)
{
    Nearest best = nearest_of(name);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        nearest_try(&best, commands[i].name);
    fprintf(stderr, "smrun: no command \"%s\"", name);
    fprintf(stderr, best.found ? "; did you mean %s?\n" : "; smrun --help lists them\n",
            best.found);
    return EXIT_USAGE;
}

/* Signals that would end us between two bytes of a file become errors or requests. */
static void set_signals(void)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN }, stop = { .sa_handler = on_signal };
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
}

int main(int argc, char **argv)
{
    set_signals();
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
    }
    if (strcmp(argv[1], "--version") == 0)
        return puts("smrun " SMALLMIND_VERSION) >= 0 && fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAULT;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    return unknown_command(argv[1]);
}
