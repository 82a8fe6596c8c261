/* Any bytes as model.safetensors.index.json; what is read names files that stay in their folder.
 *
 *     build/fuzz/fuzz_index -max_len=4096 -dict=fuzz/json.dict CORPUS fuzz/corpus/index */
#include "base/check.h"
#include "runtime/hub/shard_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    ShardIndex x;
    const char *file;
    Error err = { "" };
    char *exact = malloc(n ? n : 1);            /* so that the byte behind the last is seen */
    if (!exact)
        return 0;
    if (n)
        memcpy(exact, data, n);
    if (shard_index_read(&x, exact, n, &err)) {
        const size_t count = json_count(x.weight_map);
        size_t seen = 0;
        JsonParts p = json_parts(&x.source, x.weight_map);
        for (; shard_index_next(&p, &file, &err); seen++)
            CHECK(p.key && p.key_n == strlen(p.key) && !strchr(file, '/'), "a name that leads elsewhere");
        CHECK(p.failed ? err.text[0] != 0 : seen == count, "%zu of %zu parts", seen, count);
        json_parts_close(&p);
    } else {
        CHECK(err.text[0] != 0, "refused without a word");
    }
    free(exact);
    return 0;
}
