/* Any bytes as a .bin of llama2.c or llm.c; what is accepted must be readable to its last number.
 *
 *     build/fuzz/fuzz_bin -max_len=16384 CORPUS fuzz/corpus/bin */
#include "base/check.h"
#include "runtime/hub/bin_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    BinFile b;
    Error err = { "" };
    const bool ok = bin_file_parse(data, n, &b, &err);
    CHECK(ok || err.text[0] != 0, "refused without a word");
    for (size_t i = 0; ok && i < b.n; i++) {
        const HubTensor *t = &b.tensor[i];
        const int64_t count = t->dim[0] * (t->rank == 2 ? t->dim[1] : 1);
        float *x = malloc((size_t)count * sizeof *x);
        CHECK(x && hub_tensor_read(t, DTYPE_f32, x), "%s cannot be read", t->name);
        CHECK(hub_tensor_find(b.tensor, b.n, t->name) == t, "%s is not found", t->name);
        free(x);
    }
    bin_file_close(&b);
    return 0;
}
