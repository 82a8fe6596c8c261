/* copy, cache_write and positions: every element where it belongs, bit for bit. */
#include "tests/kernels/harness.h"

#include "base/blocks.h"

#include "runtime/kernels/operand.h"

typedef struct Shape {
    int32_t rank;
    int64_t dim[MAX_RANK];
} Shape;

static const Shape shapes[] = {
    { 0, { 0 } }, { 1, { 1 } }, { 1, { 40000 } }, { 2, { 100, 70 } }, { 2, { 3, 20000 } },
    { 3, { 7, 33, 65 } }, { 4, { 2, 17, 3, 64 } }, { 6, { 2, 3, 4, 3, 2, 5 } }, { 2, { 0, 5 } },
    { 3, { 5, 0, 3 } }, { 2, { 129, 16 } },
};

static void test_copy(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++)
        for (int round = 0; round < 12; round++) {
            DType t = (const DType[]){ DTYPE_f32, DTYPE_i32, DTYPE_bool }[round % 3];
            Case c = case_new(KERNEL_copy);
            case_add(&c, t, shapes[s].rank, shapes[s].dim, ANY);
            case_add(&c, t, shapes[s].rank, shapes[s].dim, ANY);
            if (round > 8 && shapes[s].rank > 0)
                case_broadcast(&c, 1, (int)draw(shapes[s].rank));
            for (int64_t i = 0; i < elements(&c.operand[1]); i++)
                *element_i32(&c, 1, i) = (int32_t)random_u32(3, s, (uint64_t)i);   /* NaNs too */
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < elements(&c.operand[0]); i++)
                    assert_int_equal(*element_i32(&c, 0, i), *element_i32(&c, 1, i));
            }
            case_free(&c);
        }
}

static void test_cache_write(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 1, 5, 95, 99, 100, 101, -1, -4, -200, INT32_MAX, INT32_MIN };
    static const int64_t counts[] = { 0, 1, 7, 100, 300 };
    for (size_t p = 0; p < COUNT_OF(pasts); p++)
        for (size_t n = 0; n < COUNT_OF(counts); n++) {
            int64_t t = counts[n], past = pasts[p], d = 1 + draw(40);
            Case c = case_new(KERNEL_cache_write);
            case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 100, d }, ROWS);
            case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, t, d }, ROWS);
            case_scalar_i32(&c, pasts[p]);
            CASE_EACH_ISA(&c, 1, table) {
                const Operand *cache = &c.operand[0];
                for (int64_t i = 0; i < elements(cache); i++) {
                    int64_t head = i / d / 100, s = i / d % 100, e = i % d;
                    bool new = s >= past && s < past + t;
                    const float *want = new ? element(&c, 1, (head * t + s - past) * d + e)
                                            : &c.before[0][at(cache, i)];
                    assert_memory_equal(element(&c, 0, i), want, sizeof(float));
                }
            }
            case_free(&c);
        }
}

/* A cache of another type: its bytes before, and those that blocks_encode makes of the new rows. */
typedef struct Stored {
    DType type;
    int64_t room, t, d, past;
    size_t row, bytes;                      /* of a row, of all */
    uint8_t *before, *want;
} Stored;

enum { STORED_HEADS = 6 };

static Stored stored_new(DType type, int64_t t, int64_t d, int64_t past, const Case *c, int new)
{
    Stored s = { .type = type, .room = 40, .t = t, .d = d, .past = past };
    int64_t row;
    assert_true(dtype_offset(type, d, &row));
    s.row = (size_t)row;
    s.bytes = s.row * STORED_HEADS * (size_t)s.room;
    s.before = malloc(s.bytes);
    s.want = malloc(s.bytes);
    float *x = calloc((size_t)d, sizeof *x);
    assert_true(s.before && s.want && x);
    for (size_t i = 0; i < s.bytes; i++)
        s.before[i] = s.want[i] = (uint8_t)draw(256);
    for (int64_t h = 0; h < STORED_HEADS; h++)
        for (int64_t i = max_i64(0, -past); i < t && past + i < s.room; i++) {
            uint8_t *to = s.want + (size_t)(h * s.room + past + i) * s.row;
            for (int64_t e = 0; e < d; e++)
                x[e] = *element(c, new, (h * t + i) * d + e);
            assert_true(blocks_encode(type, (size_t)d, x, to, NULL));
        }
    free(x);
    return s;
}

static void stored_check(const Stored *s, Case *c, const KernelTable *table, int pieces)
{
    Guarded cache = guarded(s->bytes);
    const int64_t head = s->room * s->d;
    memcpy(cache.p, s->before, s->bytes);
    c->operand[0] = (Operand){ .data = cache.p, .dim = { 2, 3, s->room, s->d }, .rank = 4,
                               .stride = { 3 * head, head, s->d, 1 }, .dtype = s->type };
    case_expect_legal(c);
    case_run(c, table, pieces);
    assert_memory_equal(cache.p, s->want, s->bytes);
    release(&cache);
}

/* Spread over many sizes, with blocks of zeros, of halves between two steps, and of tiny numbers. */
static void spread(Case *c, int new, int64_t d)
{
    for (int64_t i = 0; i < elements(&c->operand[new]); i++) {
        float *x = element(c, new, i);
        switch (i / d % 5) {
        case 0: *x = 0; break;
        case 1: *x = i % d == 0 ? 127 : floorf(*x * 126) + 0.5f; break;
        case 2: *x *= 1e-6f; break;
        case 3: *x *= 3e4f; break;
        }
    }
}

static void test_cache_types(void **state)
{
    (void)state;
    static const struct { DType type; int64_t d; } types[] = {
        { DTYPE_bf16, 5 }, { DTYPE_bf16, 64 }, { DTYPE_q8_0, 32 }, { DTYPE_q8_0, 96 },
    };
    static const int32_t pasts[] = { 0, 7, 39, 40, -3, INT32_MIN };
    static const int64_t counts[] = { 1, 7, 130 };
    for (size_t k = 0; k < COUNT_OF(types); k++)
        for (size_t p = 0; p < COUNT_OF(pasts); p++)
            for (size_t n = 0; n < COUNT_OF(counts); n++) {
                Case c = case_new(KERNEL_cache_write);
                const int64_t d = types[k].d, t = counts[n];
                case_add(&c, DTYPE_f32, 0, NULL, ANY);
                case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, t, d }, ROWS);
                case_scalar_i32(&c, pasts[p]);
                spread(&c, 1, d);
                Stored s = stored_new(types[k].type, t, d, pasts[p], &c, 1);
                c.call.operand = c.operand;
                for (int isa = 0; isa < N_ISAS; isa++)
                    if (isa_brings(isa, KERNEL_cache_write)) {
                        stored_check(&s, &c, kernels_table((Isa)isa), 1);
                        stored_check(&s, &c, kernels_table((Isa)isa), 4);
                    }
                free(s.before);
                free(s.want);
                case_free(&c);
            }
}

/* With positions, cache_write leaves the bytes that rope and cache_write leave one after the other. */
typedef struct Turned {
    Case c;                                 /* cache, new, past, positions, factors */
    float *rope;                            /* what rope makes of new */
    uint8_t *want, *got;
    size_t bytes;
} Turned;

enum { TURNED_ROOM = 40, TURNED_T = 9, TURNED_HEADS = 6 };

static Turned turned_new(DType type, int64_t d, int32_t past, bool factors)
{
    const int64_t t = TURNED_T, half = d / 2;
    int64_t bytes;
    Turned u = { .c = case_new(KERNEL_cache_write) };
    case_add(&u.c, DTYPE_f32, 0, NULL, ANY);
    case_add(&u.c, DTYPE_f32, 4, (int64_t[]){ 2, 3, t, d }, ROWS);
    case_scalar_i32(&u.c, past);
    case_add(&u.c, DTYPE_i32, 1, &t, ANY);
    for (int64_t i = 0; i < t; i++)
        *element_i32(&u.c, 3, i) = (int32_t)draw(3000);
    if (factors)
        case_add(&u.c, DTYPE_f32, 1, &half, ANY);
    for (int64_t j = 0; factors && j < half; j++)
        *element(&u.c, 4, j) = 1 + (float)draw(64) / 8;
    assert_true(dtype_offset(type, TURNED_HEADS * TURNED_ROOM * d, &bytes));
    u.bytes = (size_t)bytes;
    u.want = calloc(u.bytes, 1);
    u.got = calloc(u.bytes, 1);
    u.rope = calloc((size_t)(TURNED_HEADS * t * d), sizeof *u.rope);
    assert_true(u.want && u.got && u.rope);
    const int64_t head = TURNED_ROOM * d;
    u.c.operand[0] = (Operand){ .dim = { 2, 3, TURNED_ROOM, d }, .rank = 4, .dtype = type,
                                .stride = { 3 * head, head, d, 1 } };
    return u;
}

static void run_whole(Call *call, const KernelTable *table)
{
    Error err = { "" };
    assert_true(kernel_check(call, &err));
    kernel_prepare(call);
    void *scratch = malloc(kernel_scratch(call) + 1);
    assert_non_null(scratch);
    for (int64_t k = call->n_tasks; k-- > 0;)
        table->run[call->kernel](call, k, k + 1, scratch);
    free(scratch);
}

static void turned_check(Turned *u, const KernelTable *table)
{
    Operand rope[4], write[3], both[5];
    const int64_t *dim = u->c.operand[1].dim;
    const int n = u->c.call.n_operands;
    memcpy(both, u->c.operand, sizeof both);
    memset(u->got, 0, u->bytes);
    memset(u->want, 0, u->bytes);
    both[0].data = u->got;
    rope[0] = (Operand){ .data = u->rope, .rank = 4, .dtype = DTYPE_f32,
                         .dim = { dim[0], dim[1], dim[2], dim[3] },
                         .stride = { dim[1] * dim[2] * dim[3], dim[2] * dim[3], dim[3], 1 } };
    rope[1] = both[1];
    rope[2] = both[3];
    rope[3] = both[4];
    write[0] = both[0];
    write[0].data = u->want;
    write[1] = rope[0];
    write[2] = both[2];
    Call turned = u->c.call, apart = u->c.call, plain = { .kernel = KERNEL_cache_write };
    turned.operand = both;
    apart.kernel = KERNEL_rope;
    apart.operand = rope;
    apart.n_operands = n - 1;
    plain.operand = write;
    plain.n_operands = 3;
    run_whole(&apart, table);
    run_whole(&plain, table);
    run_whole(&turned, table);
    assert_memory_equal(u->got, u->want, u->bytes);
}

static void test_cache_turned(void **state)
{
    (void)state;
    static const struct { DType type; int64_t d; } types[] = {
        { DTYPE_f32, 6 }, { DTYPE_f32, 64 }, { DTYPE_bf16, 34 }, { DTYPE_q8_0, 64 },
    };
    static const int32_t pasts[] = { 0, 7, 35, 40, -3, INT32_MIN };
    for (size_t k = 0; k < COUNT_OF(types); k++)
        for (size_t p = 0; p < COUNT_OF(pasts); p++)
            for (int way = 0; way < 4; way++) {
                Turned u = turned_new(types[k].type, types[k].d, pasts[p], way & 2);
                u.c.call.i[0] = way & 1;
                u.c.call.f[0] = 10000;
                for (int isa = 0; isa < N_ISAS; isa++)
                    if (isa_brings(isa, KERNEL_cache_write))
                        turned_check(&u, kernels_table((Isa)isa));
                free(u.want);
                free(u.got);
                free(u.rope);
                case_free(&u.c);
            }
}

static void expect_turn_refused(Case *c, int operand, int64_t dim, double base)
{
    Operand kept = c->operand[operand];
    c->operand[operand].dim[operand == 1 ? 3 : 0] = dim;
    c->call.f[0] = base;
    case_expect_illegal(c);
    c->operand[operand] = kept;
    c->call.f[0] = 10000;
}

static void test_turned_check(void **state)
{
    (void)state;
    Turned u = turned_new(DTYPE_f32, 6, 0, true);
    u.c.operand[0].data = u.got;
    u.c.call.operand = u.c.operand;
    u.c.call.f[0] = 10000;
    case_expect_legal(&u.c);
    expect_turn_refused(&u.c, 3, TURNED_T - 1, 10000);
    expect_turn_refused(&u.c, 4, 2, 10000);
    expect_turn_refused(&u.c, 4, 3, 0);
    expect_turn_refused(&u.c, 4, 3, NAN);
    u.c.call.i[0] = 2;
    case_expect_illegal(&u.c);
    u.c.call.i[0] = 0;
    u.c.operand[0].dim[3] = u.c.operand[1].dim[3] = 5;
    case_expect_illegal(&u.c);
    free(u.want);
    free(u.got);
    free(u.rope);
    case_free(&u.c);
}

/* What q8_0 cannot hold makes its block NaN, and no other. */
static void test_cache_strange(void **state)
{
    (void)state;
    static const float strange[] = { NAN, INFINITY, -INFINITY, 1e7f };
    uint8_t block[3 * 34];
    float x[96], got[96];
    int32_t past = 0;
    for (size_t k = 0; k < COUNT_OF(strange); k++) {
        for (int i = 0; i < 96; i++)
            x[i] = i == 40 ? strange[k] : 1;
        Operand o[] = { { .data = block, .dim = { 1, 1, 1, 96 }, .stride = { 96, 96, 96, 1 }, .rank = 4,
                          .dtype = DTYPE_q8_0 },
                        { .data = x, .dim = { 1, 1, 1, 96 }, .stride = { 96, 96, 96, 1 }, .rank = 4 },
                        { .data = &past, .dtype = DTYPE_i32 } };
        Call call = { .kernel = KERNEL_cache_write, .n_operands = 3, .operand = o };
        for (int isa = 0; isa < N_ISAS; isa++) {
            if (!isa_brings(isa, KERNEL_cache_write))
                continue;
            kernel_prepare(&call);
            kernels_table((Isa)isa)->run[call.kernel](&call, 0, call.n_tasks, NULL);
            blocks_decode(DTYPE_q8_0, 96, block, got);
            for (int i = 0; i < 96; i++)
                assert_true(i / 32 == 1 ? isnan(got[i]) : fabsf(got[i] - 1) < 1e-3f);
        }
    }
}

static void test_positions(void **state)
{
    (void)state;
    static const int32_t pasts[] = { 0, 17, -3, INT32_MAX };
    for (size_t p = 0; p < COUNT_OF(pasts); p++)
        for (int64_t n = 0; n < 40; n += 13) {
            Case c = case_new(KERNEL_positions);
            case_add(&c, DTYPE_i32, 1, &n, ANY);
            if (p > 0)
                case_scalar_i32(&c, pasts[p]);
            CASE_EACH_ISA(&c, 1, table) {
                for (int64_t i = 0; i < n; i++)
                    assert_int_equal((uint32_t)*element_i32(&c, 0, i),
                                     (uint32_t)pasts[p] + (uint32_t)i);
            }
            case_free(&c);
        }
}

static void test_check(void **state)
{
    (void)state;
    Case c = case_new(KERNEL_copy);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 4 }, ANY);
    case_add(&c, DTYPE_f32, 2, (int64_t[]){ 3, 4 }, ANY);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[1].dim[0] = 2;
    case_expect_illegal(&c);
    c.operand[1].dim[0] = 3;
    c.operand[1].dtype = DTYPE_i32;
    case_expect_illegal(&c);
    c.operand[1].dtype = DTYPE_f32;
    c.operand[1].rank = MAX_RANK + 1;
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_cache_write);
    case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 4, 5 }, ROWS);
    case_add(&c, DTYPE_f32, 4, (int64_t[]){ 2, 3, 2, 5 }, ROWS);
    case_scalar_i32(&c, 0);
    case_keep(&c);
    case_expect_legal(&c);
    c.operand[1].dim[3] = 4;
    case_expect_illegal(&c);
    case_free(&c);
    c = case_new(KERNEL_positions);
    case_add(&c, DTYPE_f32, 1, (int64_t[]){ 4 }, ANY);
    case_expect_illegal(&c);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_cache_write),
        cmocka_unit_test(test_cache_types),
        cmocka_unit_test(test_cache_turned),
        cmocka_unit_test(test_turned_check),
        cmocka_unit_test(test_cache_strange),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
