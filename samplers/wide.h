/*
 * wide: the full 128-bit product of two 64-bit words, for Philox and for unbiased integers.
 */
#ifndef HPO_SAMPLERS_WIDE_H
#define HPO_SAMPLERS_WIDE_H

#include <stdint.h>

/* By four products of halves, for compilers without a 128-bit integer. Always compiled, so that the
 * tests see it. */
static inline uint64_t wide_multiply_halves(uint64_t a, uint64_t b, uint64_t *low)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32;
    uint64_t b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
    /* At most 3 (2^32 - 1): the carry into the high word is middle >> 32. */
    uint64_t middle = (p00 >> 32) + (uint32_t)p01 + (uint32_t)p10;

    *low = middle << 32 | (uint32_t)p00;
    return p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32);
}

/* High word of a * b; the low one goes to *low. */
static inline uint64_t wide_multiply(uint64_t a, uint64_t b, uint64_t *low)
{
#ifdef __SIZEOF_INT128__
    __uint128_t product = (__uint128_t)a * b;

    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    return wide_multiply_halves(a, b, low);
#endif
}

#endif
