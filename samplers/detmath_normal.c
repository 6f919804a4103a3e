/*
 * detmath_normal: the error function, the normal distribution, and its inverse.
 *
 * Everything large in a tail is a power of e, and everything else in it is erfcx, which is smooth
 * and harmless. So erfcx comes from a table of short polynomials, and a tail is erfcx times
 * exp(-x^2), where x^2 is split so that its rounding does not count: exp would multiply it by x^2.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/detmath_bits.h"
#include "samplers/detmath_coefficients.h"

/* exp(-scale x^2); scale is 1 or 1/2, x finite and at least 0. With x = cut + rest, cut^2 is exact,
 * and what is left, scale rest (cut + x), is small enough for three terms. */
static double exp_minus_square(double x, double scale)
{
    double cut = from_bits(to_bits(x) & ~((UINT64_C(1) << 27) - 1));
    double whole = det_exp(-(scale * cut * cut));
    double d = -(scale * (x - cut) * (x + cut)); /* above -x^2 2^-25 */

    return whole + whole * (d + d * d * (0.5 + d * (1.0 / 6)));
}

double det_erfcx(double x)
{
    if (!(x >= 0))
        return NOT_A_NUMBER;
    if (x > 50) {
        /* 1 / (x sqrt pi) (1 - h + 3 h^2 - 15 h^3 + 105 h^4 - 945 h^5 ...), h = 1/(2 x^2) */
        double h = 0.5 / (x * x);

        return SQRT_PI_INVERSE / x * (1 - h * (1 - h * (3 - h * (15 - h * (105 - h * 945)))));
    }

    /* The piece p of 256 / (4 + x), and l without the rounding of that quotient:
     * (256 - (p + 1/2)(4 + x)) / (4 + x), the constant part in one exact number. */
    int piece = (int)(256 / (4 + x));

    if (piece > ERFCX_LAST)
        piece = ERFCX_LAST;

    const double *c = ERFCX_PIECES[piece - ERFCX_FIRST];
    double middle = piece + 0.5;
    double l = ((256 - 4 * middle) - middle * x) / (4 + x);
    double l2 = l * l;
    double high = (c[5] + c[6] * l) + l2 * (c[7] + c[8] * l);
    double low = (c[1] + c[2] * l) + l2 * (c[3] + c[4] * l);

    return c[0] + l * (low + l2 * l2 * high);
}

/* erf x = x + x rest, |x| <= 1/2. */
static double erf_rest(double x)
{
    const double *c = ERF_REST;
    double y = x * x, y2 = y * y, y4 = y2 * y2;
    double p01 = c[0] + c[1] * y, p23 = c[2] + c[3] * y;
    double p45 = c[4] + c[5] * y, p67 = c[6] + c[7] * y;
    double p89 = c[8] + c[9] * y;

    return (p01 + p23 * y2) + y4 * ((p45 + p67 * y2) + y4 * p89);
}

/* erfc x for x > 1/2. */
static double erfc_tail(double x)
{
    return x > 28 ? 0 : det_erfcx(x) * exp_minus_square(x, 1);
}

double det_erf(double x)
{
    if (x != x)
        return x;
    if (det_abs(x) <= 0.5)
        return x + x * erf_rest(x);
    return x > 0 ? 1 - erfc_tail(x) : erfc_tail(-x) - 1;
}

double det_erfc(double x)
{
    if (x != x)
        return x;
    if (x > 0.5)
        return erfc_tail(x);
    if (x < -0.5)
        return 2 - erfc_tail(-x);
    return x > 0.25 ? 0.5 - ((x - 0.5) + x * erf_rest(x)) : 1 - (x + x * erf_rest(x));
}

/* Phi(-a), a > 1/2: erfcx needs a / sqrt 2, and rounding that is harmless; the power does not. */
static double normal_tail(double a)
{
    return a > 40 ? 0 : 0.5 * det_erfcx(a * SQRT_HALF) * exp_minus_square(a, 0.5);
}

double det_ndtr(double a)
{
    if (a != a)
        return a;
    if (a < -0.5)
        return normal_tail(-a);
    if (a > 0.5)
        return 1 - normal_tail(a);

    double x = a * SQRT_HALF;

    return 0.5 + 0.5 * (x + x * erf_rest(x));
}

double det_log_ndtr(double a)
{
    if (a != a)
        return a;
    if (a <= -0.5)
        return det_log(0.5 * det_erfcx(-a * SQRT_HALF)) - 0.5 * a * a;
    return det_log1p(-det_ndtr(-a));
}

static double quotient(const double *upper, const double *lower, double x)
{
    double x2 = x * x, x4 = x2 * x2;
    double above = ((upper[0] + upper[1] * x) + x2 * (upper[2] + upper[3] * x)) +
                   x4 * ((upper[4] + upper[5] * x) + x2 * (upper[6] + upper[7] * x));
    double below = ((lower[0] + lower[1] * x) + x2 * (lower[2] + lower[3] * x)) +
                   x4 * ((lower[4] + lower[5] * x) + x2 * (lower[6] + lower[7] * x));

    return above / below;
}

double det_ndtri(double u)
{
    double q = u - 0.5;

    if (!(u > 0 && u < 1))
        return u == 0 ? -INFINITE : u == 1 ? INFINITE : NOT_A_NUMBER;
    if (det_abs(q) <= 0.425)
        return q * quotient(NDTRI_CENTRE_UPPER, NDTRI_CENTRE_LOWER, 0.180625 - q * q);

    double r = __builtin_sqrt(-det_log(q < 0 ? u : 1 - u));
    double z = r <= 5 ? quotient(NDTRI_MIDDLE_UPPER, NDTRI_MIDDLE_LOWER, r - 1.6)
                      : quotient(NDTRI_FAR_UPPER, NDTRI_FAR_LOWER, r - 5);

    return q < 0 ? -z : z;
}
