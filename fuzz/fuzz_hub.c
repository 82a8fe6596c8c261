/* Any bytes as config.json of a published model, and every kind of question that is asked of one.
 *
 *     build/fuzz/fuzz_hub -max_len=4096 -dict=fuzz/json.dict CORPUS fuzz/corpus/hub */
#include "base/check.h"
#include "runtime/hub/json.h"
#include "runtime/hub/settings.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask(Settings *s, SettingKey k)
{
    const int64_t whole = settings_int(s, k, 1, 1000, 7);
    CHECK(whole >= 1 && whole <= 1000, "a whole number out of its bounds");
    s->failed = false;
    const double real = settings_real(s, k, 0, 1, 0.5);
    CHECK(real >= 0 && real <= 1, "a number out of its bounds");
    s->failed = false;
    (void)settings_bool(s, k, false);
    s->failed = false;
    const char *text = settings_text(s, k, "");
    CHECK(text && strlen(text) <= MAX_HUB_JSON, "a text");
    s->failed = false;
    (void)settings_list(s, k);
    s->failed = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const SettingKey keys[] = {
        SETTING("hidden_size|n_embd", ""), SETTING("rope_scaling.factor", ""),
        SETTING("tie_word_embeddings", ""), SETTING("hidden_act", ""), SETTING("layer_types", ""),
        SETTING("rope_parameters.sliding_attention.rope_theta|rope_theta", ""), SETTING("", ""),
        SETTING("a.b|.|..|a.", ""),
    };
    Settings s = { 0 };
    Error err = { "" };
    json_t *json = hub_json_parse(n ? (const char *)data : "", n, &err);
    CHECK(json || err.text[0] != 0, "refused without a word");
    if (!json)
        return 0;
    const bool ok = settings_of_json(&s, json, "config.json", &err);
    CHECK(ok || err.text[0] != 0, "refused without a word");
    for (size_t i = 0; ok && i < COUNT_OF(keys); i++)
        ask(&s, keys[i]);
    settings_close(&s);
    return 0;
}
