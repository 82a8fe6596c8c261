/* Any bytes as a .safetensors file: refused, or every element of every tensor can be read.
 *
 *     build/fuzz/fuzz_safetensors -max_len=4096 -dict=fuzz/json.dict CORPUS fuzz/corpus/safetensors */
#include "base/check.h"
#include "base/dtype.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_all(const SafeTensor *t)
{
    static const DType types[] = { DTYPE_f32, DTYPE_i32, DTYPE_bool };
    Error err;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        void *lanes = malloc((size_t)t->count * dtype_size(types[i]) + 1);
        if (lanes)
            safetensors_read(t, types[i], 0, t->count, lanes, &err);
        free(lanes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SafeTensors st;
    Error err = { "" };
    uint8_t *exact = malloc(n ? n : 1);         /* so that the byte behind the last is seen */
    if (!exact)
        return 0;
    if (n)
        memcpy(exact, data, n);
    if (safetensors_view(exact, n, &st, &err)) {
        for (size_t i = 0; i < st.n; i++) {
            CHECK(safetensors_find(&st, st.tensors[i].name) == &st.tensors[i], "a name twice");
            read_all(&st.tensors[i]);
        }
        safetensors_close(&st);
    } else {
        CHECK(err.text[0] != 0, "refused without a word");
    }
    free(exact);
    return 0;
}
