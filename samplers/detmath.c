/*
 * detmath: exp, log and their relatives near 1 by argument reduction, a short polynomial, and sums
 * whose lost bits are put back.
 *
 * "Put back": after s = a + b with |a| >= |b| the rounding error is exactly (a - s) + b. Adding it
 * to the smaller terms before the last addition leaves that addition's own half ulp and little
 * more. No step is written a * b + c in a place where fusing it would be an improvement; the
 * compiler is told not to (strict.h), and every build must give the same bits.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/detmath_bits.h"
#include "samplers/detmath_coefficients.h"

#define TWO_52 0x1p52

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

/* exp x = 2^exponent (high + low), not yet added; -746 <= x < 710. */
struct exp_parts {
    double high, low;
    int exponent;
};

static inline struct exp_parts exp_parts(double x)
{
    /* x = k ln 2 + (r + low), |r| <= ln 2 / 2. k LN2_HIGH is exact, and so is the subtraction. */
    double k = det_rint(x * LN2_INVERSE);
    double high = x - k * LN2_HIGH;
    double part = k * LN2_LOW;
    double r = high - part;
    double low = (high - r) - part;
    double r2 = r * r;
    double small = (0.5 * r2 + exp_rest(r, r2)) + (low + low * r);
    double sum = 1 + r;

    return (struct exp_parts){sum, ((1 - sum) + r) + small, (int)k};
}

double det_exp(double x)
{
    if (!(x < 710))
        return x >= 710 ? INFINITE : NOT_A_NUMBER;
    if (x < -746)
        return 0;

    struct exp_parts parts = exp_parts(x);
    double result = parts.high + parts.low;

    /* 2^k in two factors: k may be 1024 or -1075, where 2^k is no normal number. The first product
     * is exact, and the second one too unless the result is subnormal, which then is rounded once
     * more. */
    int half = parts.exponent / 2;

    return (result * power_of_two(half)) * power_of_two(parts.exponent - half);
}

double det_expm1(double x)
{
    if (!(x < 710))
        return x >= 710 ? INFINITE : NOT_A_NUMBER;
    if (x < -40)
        return -1;
    if (det_abs(x) < 0x1p-54)
        return x;
    if (det_abs(x) < 0.3) { /* inside the reduced range: the series without its 1 */
        double x2 = x * x;

        return x + (0.5 * x2 + exp_rest(x, x2));
    }
    if (x > 45)
        return det_exp(x);

    /* 2^k high is exact, and 1 goes into the large part; then the small one. */
    struct exp_parts parts = exp_parts(x);
    double scale = power_of_two(parts.exponent);
    double high = parts.high * scale, low = parts.low * scale;
    double sum = high - 1;
    double lost = high >= 1 ? (high - sum) - 1 : high - (sum + 1);

    return sum + (lost + low);
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

/* ln(2^k (1 + f)), 1 + f in [sqrt 1/2, sqrt 2). */
static inline double log_parts(double f, int k)
{
    /* With s = f / (2 + f): ln(1 + f) = 2 atanh s = f - f^2/2 + s (f^2/2 + rest(s^2)). f^2/2 =
     * square + square_low with square exact, for f cut after 26 bits. */
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
    return log_parts(m - 1, k); /* m - 1 is exact */
}

double det_log1p(double x)
{
    if (!(x > -1))
        return x == -1 ? -INFINITE : NOT_A_NUMBER;
    if (det_abs(x) < 0x1p-54 || x == INFINITE)
        return x;
    if (x >= -0.29 && x < 0.41)
        return log_parts(x, 0);

    /* 1 + x loses some bits: exactly `lost`, put back to first order. */
    double sum = 1 + x;
    double lost = x >= 1 ? 1 - (sum - x) : x - (sum - 1);

    return det_log(sum) + lost / sum;
}
