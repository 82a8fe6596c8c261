/* Draws and guarded memory. */
#include "tests/kernels/guarded.h"

#include "base/random.h"

#include <sys/mman.h>
#include <unistd.h>

bool isa_brings(int isa, KernelId family)
{
    return isa_supported((Isa)isa) && kernels_own((Isa)isa, family);
}

static uint64_t draws;

int64_t draw(int64_t n)
{
    return (int64_t)(random_u32(11, 1, draws++) % (uint64_t)n);
}

float draw_float(void)
{
    return (float)(random_uniform(11, 2, draws++) * 2 - 1);
}

/* Memory that was released and waits for the next of its size: mapping takes longer than most calls under test. */
static struct Spare { void *map; size_t mapped; } spare[64];

static void *spare_of_size(size_t mapped)
{
    for (size_t i = 0; i < COUNT_OF(spare); i++)
        if (spare[i].map && spare[i].mapped == mapped) {
            void *map = spare[i].map;
            spare[i].map = NULL;
            return map;
        }
    return NULL;
}

Guarded guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = { .bytes = bytes, .mapped = (bytes + page - 1) / page * page + page };
    g.map = spare_of_size(g.mapped);
    if (!g.map) {
        g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(g.map != MAP_FAILED);
        assert_int_equal(mprotect((char *)g.map + g.mapped - page, page, PROT_NONE), 0);
    }
    g.p = (float *)(void *)((char *)g.map + g.mapped - page - bytes);
    return g;
}

/* What stood longest in its place is given back. */
void release(Guarded *g)
{
    static size_t turn;
    struct Spare *s = &spare[turn++ % COUNT_OF(spare)];
    if (s->map)
        munmap(s->map, s->mapped);
    *s = (struct Spare){ g->map, g->mapped };
}

int64_t extent(const Operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->rank; i++) {
        if (o->dim[i] == 0)
            return 0;
        n += (o->dim[i] - 1) * o->stride[i];
    }
    return n;
}
