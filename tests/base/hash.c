/* The hash is XXH3-64: its published values hold, so files written today can be checked anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static void known_values(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_bytes(NULL, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_seeded("", 0, 0) == hash_bytes("", 0));
}

static void every_byte_and_the_seed_count(void **state)
{
    (void)state;
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    uint64_t whole = hash_bytes(bytes, sizeof bytes);
    assert_true(whole == hash_bytes(bytes, sizeof bytes));
    assert_true(whole != hash_bytes(bytes, sizeof bytes - 1));
    assert_true(whole == hash_seeded(bytes, sizeof bytes, 0));
    assert_true(whole != hash_seeded(bytes, sizeof bytes, 1));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_true(whole != hash_bytes(bytes, sizeof bytes));
        bytes[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_byte_and_the_seed_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
