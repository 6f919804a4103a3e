/*
 * detmath_selftest: does this build, on this machine, now, compute the right bits?
 *
 * Each function gets fixed arguments, and the digest of its results is compared with the one
 * written here. The arguments lie where the function's bits are hardest to get right: at its ends,
 * at the places where its formula changes, and spread over its domain.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/common.h"
#include "samplers/detmath_bits.h"
#include "samplers/fpenv.h"

#include <xxhash.h>

#define TEST_COUNT 256
/* XXH3-64 of the results below, little-endian. They follow from the definitions above and must
 * never be changed without a new DETMATH_VERSION. */
#define DIGEST_EXP UINT64_C(0x8BE4CC7262589538)
#define DIGEST_LOG UINT64_C(0x2A90B507A9E816FA)
#define DIGEST_LOG1P UINT64_C(0x5EA875877AF20EFD)
#define DIGEST_EXPM1 UINT64_C(0xCCBD15ADEC84805F)
#define DIGEST_ERF UINT64_C(0x8DC09DAB28AD7F39)
#define DIGEST_ERFC UINT64_C(0xDD4A8521726C3850)
#define DIGEST_ERFCX UINT64_C(0x669B07009B35BE54)
#define DIGEST_NDTR UINT64_C(0xF08FA524E91AC0D0)
#define DIGEST_LOG_NDTR UINT64_C(0xF9560EC9DA292CB5)
#define DIGEST_NDTRI UINT64_C(0x48FF956DFEC4D5D8)

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

/* Special ones, or low ... high evenly, or (an eighth) any size from 2^-60 on, below `high`. */
static double test_between(uint64_t i, const double special[SPECIAL_COUNT], double low, double high)
{
    uint64_t word = test_word(i);
    double unit = (double)(word >> 11) * 0x1p-53;

    if (i < SPECIAL_COUNT)
        return special[i];
    if (i % 8 == 0)
        return high * unit * power_of_two(-(int)(word % 60));
    return low + (high - low) * unit;
}

static double test_argument_log1p(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0,       -1,    -2, -0x1.fffffffffffffp-1, -0x1.28f5c28f5c28fp-2, 0x1.a3d70a3d70a3ep-2,
        0x1p-54, 1e300,
    };

    return test_between(i, special, -1, i % 8 == 4 ? 1e9 : 4);
}

static double test_argument_expm1(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, -0x1p-54, 0x1.3333333333333p-2, -0x1.3333333333333p-2, 45, -40, 709.5, INFINITE,
    };

    return test_between(i, special, i % 8 == 4 ? -41 : -2, i % 8 == 4 ? 709 : 3);
}

static double test_argument_erf(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, 0.5, -0.5, 0.25, 0x1.0000000000001p-1, 27.25, 28.5, INFINITE,
    };

    return test_between(i, special, -7, i % 8 == 4 ? 27.3 : 6);
}

static double test_argument_erfcx(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, 50, 0x1.9000000000001p+5, 0x1p-1074, 1e160, 1e300, INFINITE, -1,
    };

    return test_between(i, special, 0, i % 8 == 4 ? 1e6 : 60);
}

static double test_argument_normal(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, -0.5, 0.5, -38.5, 38.5, -0x1.0000000000001p-1, -1e100, INFINITE,
    };

    return test_between(i, special, i % 8 == 4 ? -1000 : -39, 10);
}

static double test_argument_ndtri(uint64_t i)
{
    static const double special[SPECIAL_COUNT] = {
        0, 1, 0x1p-1074, 0x1p-53, 0x1.3333333333333p-4, 0x1.d99999999999ap-1, 0.5, -1,
    };
    double x = test_between(i, special, 0, 1);

    return i >= SPECIAL_COUNT && i % 8 == 4 ? x * power_of_two(-(int)(i * 3)) : x;
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
        {det_log1p, test_argument_log1p, DIGEST_LOG1P},
        {det_expm1, test_argument_expm1, DIGEST_EXPM1},
        {det_erf, test_argument_erf, DIGEST_ERF},
        {det_erfc, test_argument_erf, DIGEST_ERFC},
        {det_erfcx, test_argument_erfcx, DIGEST_ERFCX},
        {det_ndtr, test_argument_normal, DIGEST_NDTR},
        {det_log_ndtr, test_argument_normal, DIGEST_LOG_NDTR},
        {det_ndtri, test_argument_ndtri, DIGEST_NDTRI},
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
