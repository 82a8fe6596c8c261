/* Any bytes as a plan: opening, printing, and running what was accepted (tests/e2e/exercise.h).
 *
 * Built for libFuzzer with -DSMALLMIND_FUZZ=ON and clang; CORPUS begins as a few small plans:
 *     build/codegen/smc compile models/gpt2.smg -D vocab=11 -D context=6 -D width=8 -D depth=1 \
 *         -D heads=2 --batch 2 --chunk 3 -o CORPUS/gpt2.smp
 *     build/fuzz/fuzz_plan -max_len=200000 CORPUS
 * Length and checksum are made right before a plan is opened, so that what lies behind them is
 * reached.  tests/e2e/test_plan_bytes.c runs the same function over mutated plans. */
#include "tests/e2e/exercise.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);      /* of exactly that length, and aligned */
    if (!copy)
        return 0;
    if (n)
        memcpy(copy, data, n);
    plan_seal(copy, n);
    plan_exercise(copy, n, 1);
    free(copy);
    return 0;
}
