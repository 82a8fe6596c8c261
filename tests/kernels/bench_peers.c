/* Other libraries' matrix products, by the names that they all have. */
#include "tests/kernels/bench_peers.h"

#include <dlfcn.h>
#include <omp.h>
#include <string.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void BlasGemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int DnnGemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const void *a,
                    int64_t lda, const void *b, int64_t ldb, float beta, float *c, int64_t ldc);
typedef void SetThreads(int n);

typedef struct Library {
    bool opened;
    BlasGemm *blas;
    DnnGemm *f32, *bf16;
    SetThreads *threads;
} Library;

static Library libraries[N_PEERS];
static const char *const names[N_PEERS] = {
#define X(name, library) [PEER_##name] = #name,
    BENCH_PEERS(X)
#undef X
};
static const char *const files[N_PEERS] = {
#define X(name, library) [PEER_##name] = library,
    BENCH_PEERS(X)
#undef X
};

BenchPeer bench_peer_named(const char *name)
{
    int i = 0;
    while (i < N_PEERS && strcmp(names[i], name) != 0)
        i++;
    return (BenchPeer)i;
}

const char *bench_peer_name(BenchPeer p)
{
    return names[p];
}

/* POSIX has functions and data of one size; ISO C has no cast between pointers to them. */
static void symbol(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
}

/* A library may have a product of bf16 by name alone: where the processor has none, it returns at once. */
static bool multiplies(DnnGemm *bf16)
{
    const uint16_t one = 0x3f80;
    float product = 0;
    return bf16('N', 'N', 1, 1, 1, 1, &one, 1, &one, 1, 0, &product, 1) == 0 && product == 1;
}

static Library *open_library(BenchPeer p)
{
    Library *l = &libraries[p];
    void *file = l->opened ? NULL : dlopen(files[p], RTLD_NOW | RTLD_LOCAL);
    l->opened = true;
    if (!file)
        return l;
    symbol(file, "cblas_sgemm", &l->blas);
    symbol(file, "dnnl_sgemm", &l->f32);
    symbol(file, "dnnl_gemm_bf16bf16f32", &l->bf16);
    if (l->bf16 && !multiplies(l->bf16))
        l->bf16 = NULL;
    symbol(file, p == PEER_blis ? "bli_thread_set_num_threads" : "openblas_set_num_threads",
           &l->threads);
    return l;
}

bool bench_peer_can(BenchPeer p, const BenchCase *b)
{
    const Library *l = open_library(p);
    const DType x = b->operand[1].dtype, y = b->operand[2].dtype;
    if (b->call.kernel != KERNEL_gemm || b->operand[2].layout != LAYOUT_STRIDES || x != y
        || (b->call.i[4] != 0) != (x == DTYPE_bf16))
        return false;
    return x == DTYPE_bf16 ? l->bf16 != NULL : l->blas || l->f32;
}

void bench_peer_threads(BenchPeer p, int n)
{
    const Library *l = open_library(p);
    if (l->threads)
        l->threads(n);
    omp_set_num_threads(n);
}

void bench_peer_run(BenchPeer p, const BenchCase *b)
{
    const Library *l = &libraries[p];
    const bool ta = b->transposed[0], tb = b->transposed[1];
    const int64_t lda = ta ? b->m : b->k, ldb = tb ? b->k : b->n;
    const DType t = b->operand[1].dtype;
    DnnGemm *dnn = t == DTYPE_bf16 ? l->bf16 : l->f32;
    for (int64_t i = 0; i < b->batch; i++) {
        const void *x = (const char *)b->operand[1].data + i * b->m * b->k * (int64_t)dtype_size(t);
        const void *y = (const char *)b->operand[2].data + i * b->k * b->n * (int64_t)dtype_size(t);
        float *c = (float *)b->operand[0].data + i * b->m * b->n;
        if (l->blas)
            l->blas(ROW_MAJOR, ta ? TRANSPOSED : PLAIN, tb ? TRANSPOSED : PLAIN, (int)b->m, (int)b->n,
                    (int)b->k, 1, x, (int)lda, y, (int)ldb, 0, c, (int)b->n);
        else
            dnn(ta ? 'T' : 'N', tb ? 'T' : 'N', b->m, b->n, b->k, 1, x, lda, y, ldb, 0, c, b->n);
    }
}
