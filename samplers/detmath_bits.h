/*
 * detmath_bits: doubles as bits, for the files of detmath.
 */
#ifndef HPO_SAMPLERS_DETMATH_BITS_H
#define HPO_SAMPLERS_DETMATH_BITS_H

#include <stdint.h>
#include <string.h>

#define INFINITE __builtin_inf()
#define NOT_A_NUMBER __builtin_nan("")
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define MANTISSA_MASK ((UINT64_C(1) << MANTISSA_BITS) - 1)

static inline uint64_t to_bits(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double from_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* 2^k for the exponents of normal numbers. */
static inline double power_of_two(int k)
{
    return from_bits((uint64_t)(k + EXPONENT_BIAS) << MANTISSA_BITS);
}

#endif
