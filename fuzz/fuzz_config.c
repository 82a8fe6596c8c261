/* Any bytes as the small JSON files beside weights: a run's trainer.json, and the configurations that
 * name the ids which end a text.
 *
 *     build/fuzz/fuzz_config -max_len=4096 -dict=fuzz/json.dict CORPUS fuzz/corpus/config */
#include "base/check.h"
#include "runtime/run_record.h"
#include "runtime/stop_ids.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = n ? (const char *)data : "";
    Error err = { "" };
    RunRecord record;
    StopIds ids;
    CHECK(run_record_parse(text, n, &record, &err) || err.text[0] != 0, "refused without a word");
    err.text[0] = 0;
    CHECK(stop_ids_parse(text, n, &ids, &err) || err.text[0] != 0, "refused without a word");
    CHECK(ids.n <= MAX_STOP_IDS, "%u ids", ids.n);
    return 0;
}
