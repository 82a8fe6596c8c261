/* Any bytes into the front end: reading, formatting, showing.
 *
 * Built for libFuzzer with -DSMALLMIND_FUZZ=ON and clang:
 *     build/fuzz/fuzz_frontend -max_len=4096 -dict=fuzz/smg.dict CORPUS models tests/frontend/wrong
 * The same function runs over mutated models in every test run (tests/frontend/recovery.c). */
#include "base/check.h"
#include "frontend/carets.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What the formatter makes of its own output is that output. */
static void format_twice(const char *text, size_t n, Arena *arena)
{
    DiagSink diags;
    diag_init(&diags, arena);
    Buf once = { 0 }, twice = { 0 };
    if (frontend_format("fuzz.smg", text, n, &once, arena, &diags)) {
        const char *again = once.data ? once.data : "";
        CHECK(frontend_format("fuzz.smg", again, once.len, &twice, arena, &diags),
              "formatted text does not parse");
        CHECK(once.len == twice.len && (once.len == 0 || !memcmp(once.data, twice.data, once.len)),
              "formatting twice differs");
    }
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena arena;
    arena_init(&arena, NULL);
    DiagSink diags;
    diag_init(&diags, &arena);
    Sources sources = { 0 };
    FrontendOptions options = { .sources = &sources };
    const char *text = n ? (const char *)data : "";
    const Graph *g = frontend_compile("fuzz.smg", text, n, &options, &arena, &diags);
    CHECK((g == NULL) == (diags.n_errors > 0), "%u errors", diags.n_errors);

    Buf out = { 0 };
    diag_sort(&diags);
    carets_print(&out, &diags, &sources, true);
    carets_json(&out, &diags);
    frontend_dump_ast("fuzz.smg", text, n, &out, &arena, &diags);
    buf_free(&out);
    format_twice(text, n, &arena);
    arena_free(&arena);
    return 0;
}
