/* Matrix products of other libraries, where they are installed: found when the program runs. */
#ifndef TESTS_BENCH_PEERS_H
#define TESTS_BENCH_PEERS_H

#include "bench_case.h"

/* X(name, library): its cblas_sgemm, or its dnnl_sgemm and dnnl_gemm_bf16bf16f32. */
#define BENCH_PEERS(X) \
    X(openblas, "libopenblas.so.0") X(blis, "libblis.so.4") X(onednn, "libdnnl.so.2") \
    X(onednn3, "libdnnl.so.3")

typedef enum BenchPeer {
#define X(name, library) PEER_##name,
    BENCH_PEERS(X)
#undef X
    N_PEERS
} BenchPeer;

/* N_PEERS when there is none of that name. */
BenchPeer bench_peer_named(const char *name);
const char *bench_peer_name(BenchPeer p);

/* Is it installed, and can it compute the case? */
bool bench_peer_can(BenchPeer p, const BenchCase *b);
/* How many threads it uses from here on. */
void bench_peer_threads(BenchPeer p, int n);
void bench_peer_run(BenchPeer p, const BenchCase *b);

#endif
