/*
 * philox: ten rounds, each two 64 x 64 -> 128 bit products and some exclusive-ors.
 */
#include "samplers/strict.h"
#include "samplers/philox.h"
#include "samplers/wide.h"

#define ROUNDS 10
/* Multipliers and key increments of the paper (table 2 and section 4.2); the increments are the
 * golden ratio and sqrt 3 - 1. */
#define MULTIPLIER_0 UINT64_C(0xD2E7470EE14C6C93)
#define MULTIPLIER_1 UINT64_C(0xCA5A826395121157)
#define WEYL_0 UINT64_C(0x9E3779B97F4A7C15)
#define WEYL_1 UINT64_C(0xBB67AE8584CAA73B)

void philox_block(const struct philox_key *key, const uint64_t counter[4], uint64_t out[4])
{
    uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint64_t k0 = key->words[0], k1 = key->words[1];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t low0, low1;
        uint64_t high0 = wide_multiply(MULTIPLIER_0, c0, &low0);
        uint64_t high1 = wide_multiply(MULTIPLIER_1, c2, &low1);

        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
