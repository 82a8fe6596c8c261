/* Plans, weights and tokenizers with bytes changed at random: refused with a message, or, where the
 * change means nothing, as good as before.  Seeded: a failure prints what repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"
#include "runtime/safetensors.h"
#include "runtime/session.h"
#include "runtime/tokenizer/house.h"
#include "runtime/weights.h"
#include "tests/runtime/scratch_dir.h"

enum { ROUNDS = 3000, SEED = 20 };

static uint64_t drawn;

static uint32_t draw(uint32_t below)
{
    return random_u32(SEED, 1, drawn++) % below;
}

/* Flips bits, sets bytes, copies a piece elsewhere, or cuts the end; *n becomes the new length. */
static void mutate(uint8_t *bytes, size_t *n)
{
    for (uint32_t times = 1 + draw(4); times > 0 && *n > 8; times--) {
        const size_t at = draw((uint32_t)*n), from = draw((uint32_t)*n);
        const size_t room = *n - (at > from ? at : from);
        switch (draw(8)) {
        case 0:  *n = at; break;
        case 1:  memmove(bytes + at, bytes + from, draw((uint32_t)(room < 64 ? room : 64) + 1)); break;
        case 2:  bytes[at] = (uint8_t)draw(256); break;
        case 3:  bytes[at] = '9'; break;
        case 4:  memset(bytes + at, 0xff, room < 8 ? room : 8); break;
        default: bytes[at] ^= (uint8_t)(1u << draw(8)); break;
        }
    }
}

static Buf load(const char *path)
{
    Buf b = { 0 };
    Error err;
    if (!file_read(path, 1 << 28, &b, &err))
        fail_msg("%s", err.text);
    return b;
}

/* A copy of its own size, so that a sanitizer sees the first byte behind it. */
static uint8_t *mutated(const Buf *b, size_t *n)
{
    uint8_t *work = malloc(b->len);
    assert_non_null(work);
    memcpy(work, b->data, b->len);
    *n = b->len;
    mutate(work, n);
    uint8_t *exact = malloc(*n ? *n : 1);
    assert_non_null(exact);
    memcpy(exact, work, *n);
    free(work);
    return exact;
}

static void safetensors_survive(void **state)
{
    (void)state;
    Error err;
    Plan p;
    Session *s;
    const SessionOptions so = { .n_threads = 1, .programs = 1u << PLAN_score };
    assert_true(plan_open(TINY_PLAN, &p, &err));
    assert_true(session_open(&p, &so, &s, &err));
    weights_init(s, 1);
    assert_true(weights_save(s, WEIGHTS_PARAMS, "m.safetensors", &err));
    Buf file = load("m.safetensors");
    /* Nearly all of the file is data; only the header is interesting to change. */
    uint64_t length;
    memcpy(&length, file.data, 8);
    Buf head = { .data = file.data, .len = 8 + (size_t)length };
    for (int i = 0; i < ROUNDS; i++) {
        SafeTensors st;
        size_t n;
        uint8_t *bytes = mutated(&head, &n);
        uint8_t *whole = malloc(n + file.len - head.len);
        assert_non_null(whole);
        memcpy(whole, bytes, n);
        memcpy(whole + n, file.data + head.len, file.len - head.len);
        err = (Error){ 0 };
        if (safetensors_view(whole, n + file.len - head.len, &st, &err))
            safetensors_close(&st);
        else
            assert_true(err.text[0] != '\0');
        free(whole);
        free(bytes);
    }
    buf_free(&file);
    session_close(s);
    plan_close(&p);
}

static void tokenizers_survive(void **state)
{
    (void)state;
    Error err;
    HfTokenizer *t = house_characters("abc é€😀\n\"", 15, &err);
    assert_non_null(t);
    Buf text = { 0 };
    assert_true(hf_tokenizer_print(t, &text, &err));
    for (int i = 0; i < ROUNDS; i++) {
        size_t n;
        uint8_t *bytes = mutated(&text, &n);
        err = (Error){ 0 };
        HfTokenizer *back = hf_tokenizer_parse((const char *)bytes, n, &err);
        assert_true(back || err.text[0] != '\0');
        hf_tokenizer_free(back);
        free(bytes);
    }
    hf_tokenizer_free(t);
    buf_free(&text);
}

/* With the checksum mended, so that the checks behind it are reached. */
static void seal(uint8_t *bytes, size_t n)
{
    const size_t from = offsetof(PlanHeader, checksum) + sizeof(uint64_t);
    if (n <= sizeof(PlanHeader))
        return;
    memcpy(bytes + offsetof(PlanHeader, file_bytes), &(uint64_t){ n }, 8);
    memcpy(bytes + offsetof(PlanHeader, checksum), &(uint64_t){ hash_bytes(bytes + from, n - from) },
           8);
}

/* A plan that is accepted must run. */
static void run_it(const Plan *p)
{
    Error err;
    Session *s;
    SessionSize size;
    const SessionOptions so = { .n_threads = 1, .programs = 1u << PLAN_score };
    const PlanProgram *g = plan_program(p, PLAN_score);
    if (!g || !session_size(p, &so, &size, &err) || size.total > 64 << 20
        || !session_open(p, &so, &s, &err))
        return;
    int64_t sizes[MAX_SYMBOLS];
    memcpy(sizes, g->max, sizeof sizes);
    if (session_bind(s, PLAN_score, sizes, &err))
        session_run(s, PLAN_score);
    session_close(s);
}

static void plans_survive(void **state)
{
    (void)state;
    Error err;
    Buf file = load(TINY_PLAN);
    int accepted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        Plan p;
        size_t n;
        uint8_t *bytes = mutated(&file, &n);
        err = (Error){ 0 };
        if (n == file.len && memcmp(bytes, file.data, n) != 0 && plan_view(bytes, n, &p, &err))
            fail_msg("round %d of seed %d: a changed plan passes its checksum", i, SEED);
        seal(bytes, n);
        if (plan_view(bytes, n, &p, &err)) {
            accepted++;
            run_it(&p);
            plan_close(&p);
        } else {
            assert_true(err.text[0] != '\0');
        }
        free(bytes);
    }
    assert_true(accepted > 0);          /* names, immediates: many changes are legal plans */
    buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_survive),
        cmocka_unit_test(tokenizers_survive),
        cmocka_unit_test(plans_survive),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
