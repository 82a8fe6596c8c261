/* Whatever the bytes, a plan that is accepted must be harmless.  Here an accepted plan is run: as a
 * session, and once more with every buffer in an allocation of its own, of exactly the size that the
 * plan gives it, so that AddressSanitizer sees every step over an edge. */
#ifndef TESTS_E2E_EXERCISE_H
#define TESTS_E2E_EXERCISE_H

#include <stddef.h>
#include <stdint.h>

typedef enum Exercise {
    EXERCISE_REFUSED,                   /* with a message */
    EXERCISE_LARGE,                     /* valid, but more memory or work than a test should take */
    EXERCISE_RAN,
} Exercise;

/* Makes length and checksum right, where there is room for a header. */
void plan_seal(uint8_t *bytes, size_t n);

/* Opens, prints, and runs every program at its largest sizes, at 1 and at sizes between, on storages
 * full of odd values.  `bytes` are aligned to 8.  CHECKs what must hold. */
Exercise plan_exercise(const uint8_t *bytes, size_t n, uint64_t seed);

#endif
