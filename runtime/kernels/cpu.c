/* What the processor says about itself. */
#include "runtime/kernels/select.h"

#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>

typedef struct Regs { uint32_t a, b, c, d; } Regs;

/* All zero where the processor does not have the leaf. */
static Regs leaf(uint32_t number, uint32_t sub)
{
    Regs r = { 0 };
    if (!__get_cpuid_count(number, sub, &r.a, &r.b, &r.c, &r.d))
        r = (Regs){ 0 };
    return r;
}

static bool has_all(uint32_t bits, uint32_t wanted)
{
    return (bits & wanted) == wanted;
}

/* Register files that the operating system saves: bit 1 SSE, 2 AVX, 5 to 7 AVX-512. */
static uint32_t saved_state(void)
{
    uint32_t a, d;
    if (!(leaf(1, 0).c & bit_OSXSAVE))
        return 0;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has_avx2(void)
{
    return has_all(leaf(1, 0).c, bit_AVX | bit_FMA | bit_F16C) &&
           has_all(leaf(7, 0).b, bit_AVX2) && has_all(saved_state(), 0x6);
}

static bool has_avx512(void)
{
    return has_avx2() && has_all(saved_state(), 0xe6) &&
           has_all(leaf(7, 0).b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
}

static bool has_avx512_vnni(void)
{
    return has_avx512() && has_all(leaf(7, 0).c, bit_AVX512VNNI) &&
           has_all(leaf(7, 1).a, bit_AVX512BF16);
}

/* Linux saves the tiles (register files 17 and 18) of a process that asked for them, once for all of
 * its threads, also those that are yet to come. */
static bool may_use_tiles(void)
{
#if defined(__linux__)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static bool has_amx(void)
{
    const uint32_t bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
    return has_avx512_vnni() && has_all(saved_state(), 0x60000) &&
           has_all(leaf(7, 0).d, bf16 | tile | int8) && may_use_tiles();
}

/* Leaf 4 of Intel, which AMD gives under another number: one cache for each sub-leaf. */
static void read_caches(uint32_t number, CacheSizes *c)
{
    size_t *const level[] = { NULL, &c->l1, &c->l2, &c->l3 };
    for (uint32_t sub = 0; sub < 16; sub++) {
        Regs r = leaf(number, sub);
        uint32_t type = r.a & 31, at = r.a >> 5 & 7;
        if (type == 0)
            return;
        bool holds_data = type == 1 || type == 3;
        if (!holds_data || at < 1 || at > 3)
            continue;
        size_t ways = (r.b >> 22) + 1, parts = (r.b >> 12 & 0x3ff) + 1, line = (r.b & 0xfff) + 1;
        *level[at] = ways * parts * line * ((size_t)r.c + 1);
    }
}

static void ask_processor(CacheSizes *c)
{
    read_caches(4, c);
    if (c->l1 == 0)
        read_caches(0x8000001d, c);
}

void cpu_model(char *out, size_t cap)
{
    char brand[49] = { 0 };
    for (uint32_t i = 0; i < 3; i++) {
        Regs r = leaf(0x80000002 + i, 0);
        memcpy(brand + 16 * i, &r, sizeof r);
    }
    const char *start = brand + strspn(brand, " ");
    size_t n = strlen(start);
    while (n > 0 && start[n - 1] == ' ')
        n--;
    snprintf(out, cap, "%.*s", (int)n, n ? start : "");
}

#else

static void ask_processor(CacheSizes *c) { (void)c; }

void cpu_model(char *out, size_t cap)
{
    snprintf(out, cap, "unknown processor");
}

#endif

static bool has(Isa isa)
{
    switch (isa) {
    case ISA_scalar: return true;
#if defined(__x86_64__)
    case ISA_avx2: return has_avx2();
    case ISA_avx512: return has_avx512();
    case ISA_avx512_vnni: return has_avx512_vnni();
    case ISA_amx: return has_amx();
#endif
#if defined(__aarch64__)
    case ISA_neon: return true;
    case ISA_neon_dot: return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
    case N_ISAS: break;
    }
    return false;
}

/* Asked once: a hypervisor takes microseconds to answer. */
static bool supported[N_ISAS];

static void ask_all(void)
{
    for (int i = 0; i < N_ISAS; i++)
        supported[i] = has((Isa)i);
}

bool isa_supported(Isa isa)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, ask_all);
    return supported[isa];
}

/* The processor, else the system, else a small machine of today. */
static size_t settle(size_t found, int name, size_t guess)
{
    if (found == 0) {
        long told = sysconf(name);
        found = told > 0 ? (size_t)told : guess;
    }
    return found;
}

CacheSizes cpu_caches(void)
{
    CacheSizes c = { 0 };
    ask_processor(&c);
    c.l1 = settle(c.l1, _SC_LEVEL1_DCACHE_SIZE, 32u << 10);
    c.l2 = settle(c.l2, _SC_LEVEL2_CACHE_SIZE, 512u << 10);
    c.l3 = settle(c.l3, _SC_LEVEL3_CACHE_SIZE, 4u << 20);
    return c;
}
