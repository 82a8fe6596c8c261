/* What is shown of a search for what to compute again (--memory-limit): nothing for two seconds, then how far
 * it is and how long it may still take. */
#include "codegen/command.h"

#include <inttypes.h>

void search_tell(void *compilation, Program program, int64_t tried, int64_t most)
{
    enum { SOON = 2 };                  /* seconds */
    Compilation *c = compilation;
    char line[120], left[32];
    if (tried == 1)
        c->search_began = clock_seconds();
    const double seconds = clock_seconds() - c->search_began;
    if (seconds < SOON || !progress_due(&c->progress, false))
        return;
    duration_text(left, sizeof left, seconds / (double)tried * (double)(most - tried));
    snprintf(line, sizeof line, "smc: %s: %" PRId64 " of at most %" PRId64 " ways to meet the memory limit tried, "
             "%s left at most", program_name(program), tried, most, left);
    progress_show(&c->progress, line);
}
