/*
 * detmath: exp and log by argument reduction, a short polynomial, and sums whose lost bits are put
 * back.
 *
 * "Put back": after s = a + b with |a| >= |b| the rounding error is exactly (a - s) + b. Adding it
 * to the smaller terms before the last addition leaves that addition's own half ulp and little
 * more. No step is written a * b + c in a place where fusing it would be an improvement; the
 * compiler is told not to (strict.h), and every build must give the same bits.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/common.h"
#include "samplers/detmath_coefficients.h"
#include "samplers/fpenv.h"

#include <string.h>
#include <xxhash.h>

#define INFINITE __builtin_inf()
#define NOT_A_NUMBER __builtin_nan("")
#define TWO_52 0x1p52
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define MANTISSA_MASK ((UINT64_C(1) << MANTISSA_BITS) - 1)

static uint64_t to_bits(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* 2^k for the exponents of normal numbers. */
static double power_of_two(int k)
{
    return from_bits((uint64_t)(k + EXPONENT_BIAS) << MANTISSA_BITS);
}

double det_abs(double x)
{
    return from_bits(to_bits(x) & ~(UINT64_C(1) << 63));
}

double det_rint(double x)
{
    /* Beyond 2^52 every double is an integer, and 2^52 + y keeps just the integer part of y below
     * it. */
    if (!(det_abs(x) < TWO_52))
        return x;
    return x >= 0 ? (x + TWO_52) - TWO_52 : (x - TWO_52) + TWO_52;
}

double det_floor(double x)
{
    double nearest = det_rint(x);

    return nearest > x ? nearest - 1 : nearest;
}

double det_next_below(double x)
{
    uint64_t bits = to_bits(x);

    if (x == 0)
        return -from_bits(1);
    return from_bits(x > 0 ? bits - 1 : bits + 1);
}

/* r^3 EXP_REST(r) = exp r - 1 - r - r^2/2; the terms in pairs, so that a processor can compute them
 * side by side. */
static double exp_rest(double r, double r2)
{
    const double *c = EXP_REST;
    double r4 = r2 * r2;
    double p01 = c[0] + c[1] * r, p23 = c[2] + c[3] * r;
    double p45 = c[4] + c[5] * r, p67 = c[6] + c[7] * r;
    double p89 = c[8] + c[9] * r;
    double p03 = p01 + p23 * r2, p47 = p45 + p67 * r2;

    return (r2 * r) * (p03 + r4 * (p47 + r4 * p89));
}

double det_exp(double x)
{
    if (!(x < 710))
        return x >= 710 ? INFINITE : NOT_A_NUMBER;
    if (x < -746)
        return 0;

    /* x = k ln 2 + (r + low), |r| <= ln 2 / 2. k LN2_HIGH is exact, and so is the subtraction. */
    double k = det_rint(x * LN2_INVERSE);
    double high = x - k * LN2_HIGH;
    double part = k * LN2_LOW;
    double r = high - part;
    double low = (high - r) - part;
    double r2 = r * r;
    double small = (0.5 * r2 + exp_rest(r, r2)) + (low + low * r);
    double sum = 1 + r;
    double result = sum + (((1 - sum) + r) + small);

    /* 2^k in two factors: k may be 1024 or -1075, where 2^k is no normal number. The first product
     * is exact, and the second one too unless the result is subnormal, which then is rounded once
     * more. */
    int exponent = (int)k;
    int half = exponent / 2;

    return (result * power_of_two(half)) * power_of_two(exponent - half);
}

static double log_rest(double z)
{
    const double *c = LOG_REST;
    double z2 = z * z;
    double z4 = z2 * z2;
    double p01 = c[0] + c[1] * z, p23 = c[2] + c[3] * z;
    double p45 = c[4] + c[5] * z, p67 = c[6] + c[7] * z;

    return z * ((p01 + p23 * z2) + z4 * (p45 + p67 * z2));
}

double det_log(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITE : NOT_A_NUMBER;
    if (x == INFINITE)
        return x;

    /* x = 2^k m, m in [sqrt 1/2, sqrt 2), by way of m in [1, 2). */
    int k = 0;

    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }

    uint64_t bits = to_bits(x);
    double m;

    k += (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
    m = from_bits((bits & MANTISSA_MASK) | (uint64_t)EXPONENT_BIAS << MANTISSA_BITS);
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }

    /* With f = m - 1 (exact), s = f / (2 + f): ln m = 2 atanh s = f - f^2/2 + s (f^2/2 +
     * rest(s^2)). f^2/2 = square + square_low with square exact, for f cut after 26 bits. */
    double f = m - 1;
    double s = f / (2 + f);
    double cut = from_bits(to_bits(f) & ~((UINT64_C(1) << 27) - 1));
    double square = 0.5 * cut * cut;
    double square_low = 0.5 * (f - cut) * (f + cut);
    double tail = s * ((square + square_low) + log_rest(s * s));

    /* k LN2_HIGH + f - square, with what the two additions lose; the larger term always stands
     * first. */
    double whole = k * LN2_HIGH;
    double sum = whole + f;
    double lost = (whole - sum) + f;

    if (k == 0) /* then whole = 0 is the smaller one */
        lost = 0;

    double high = sum - square;
    double low = ((sum - high) - square) + lost;

    return high + (low + ((tail - square_low) + k * LN2_LOW));
}

/* -- self-test -- */

#define TEST_COUNT 256
/* XXH3-64 of the results below, little-endian. They follow from the definitions above and must
 * never be changed without a new DETMATH_VERSION. */
#define DIGEST_EXP UINT64_C(0x8BE4CC7262589538)
#define DIGEST_LOG UINT64_C(0x2A90B507A9E816FA)

/* Argument i: 64 well-mixed bits, the same everywhere. */
static uint64_t test_word(uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    z = (z ^ z >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return z ^ z >> 32;
}

#define SPECIAL_COUNT 8

/* The ends and the exact places; then an eighth over the whole range, an eighth with subnormal
 * results, the rest where the reduced argument counts. */
static double test_argument_exp(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0,        1,         -1, 0x1.62e42fefa39efp+9, 0x1.62e42fefa39fp+9, -0x1.74910d52d3051p+9,
        INFINITE, -INFINITE,
    };
    double unit = (double)(test_word(i) >> 11) * 0x1p-53;

    if (i < SPECIAL_COUNT)
        return special[i];
    if (i % 8 == 0)
        return unit * 1460 - 749;
    return i % 8 == 4 ? unit * 38 - 746 : unit * 32 - 16;
}

/* Special ones; then an eighth over all positive doubles, an eighth subnormal, the rest in [2^-32,
 * 2^32). */
static double test_argument_log(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, 1, 2, -1, 0x1.6a09e667f3bcdp+0, 0x1p-1074, 0x1.fffffffffffffp+1023, INFINITE,
    };
    uint64_t word = test_word(i);

    if (i < SPECIAL_COUNT)
        return special[i];
    if (i % 8 == 0)
        return from_bits(word >> 1);
    if (i % 8 == 4)
        return from_bits((word & MANTISSA_MASK) >> (word >> 58) % MANTISSA_BITS);
    return from_bits((word & MANTISSA_MASK) | (EXPONENT_BIAS - 32 + (word >> 58)) << MANTISSA_BITS);
}

static uint64_t test_digest(double (*function)(double), double (*argument)(uint64_t))
{
    uint8_t bytes[8 * TEST_COUNT];

    for (uint64_t i = 0; i < TEST_COUNT; i++) {
        double result = function(argument(i));
        /* The bits of a NaN are the machine's business. */
        uint64_t bits = result == result ? to_bits(result) : UINT64_C(0x7FF8000000000000);

        for (int b = 0; b < 8; b++)
            bytes[8 * i + (uint64_t)b] = (uint8_t)(bits >> 8 * b);
    }
    return XXH3_64bits(bytes, sizeof(bytes));
}

struct self_test {
    double (*function)(double);
    double (*argument)(uint64_t);
    uint64_t digest;
};

/* XOR of what each function's digest is and must be: 0 if all is well. */
static uint64_t self_test_difference(void)
{
    /* Volatile: the calls must happen at run time, with the environment that is set then. */
    static const volatile struct self_test tests[] = {
        {det_exp, test_argument_exp, DIGEST_EXP},
        {det_log, test_argument_log, DIGEST_LOG},
    };
    struct fpenv saved;
    uint64_t difference = 0;

    fpenv_enter(&saved);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        uint64_t digest = test_digest(tests[i].function, tests[i].argument);

        if (digest != tests[i].digest)
            difference = difference * UINT64_C(0x9E3779B97F4A7C15) + (digest ^ tests[i].digest);
    }
    fpenv_leave(&saved);
    return difference;
}

int detmath_self_test(void)
{
    return self_test_difference() == 0 ? SAMPLER_OK : SAMPLER_MATH;
}

uint32_t detmath_version(void)
{
    uint64_t difference = self_test_difference();

    if (difference == 0)
        return DETMATH_VERSION;
    return UINT32_C(0x80000000) | (uint32_t)(difference ^ difference >> 32);
}
