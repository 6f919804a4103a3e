/* Made by samplers/coefficients/detmath.py; do not edit. */
/* clang-format off */
#ifndef HPO_SAMPLERS_DETMATH_COEFFICIENTS_H
#define HPO_SAMPLERS_DETMATH_COEFFICIENTS_H

/* ln 2 in two parts, the first of 32 bits, and 1 / ln 2. */
static const double LN2_HIGH = 0x1.62e42ff000000p-1;
static const double LN2_LOW = -0x1.718432a1b0e26p-35;
static const double LN2_INVERSE = 0x1.71547652b82fep+0;

/* exp r = 1 + r + r^2/2 + r^3 times this polynomial in r, |r| <= ln 2 / 2.
 * Error of the result 4.5e-19, with rounded coefficients 9.8e-19. */
static const double EXP_REST[10] = {
    0x1.5555555555556p-3,
    0x1.5555555555555p-5,
    0x1.11111111109b5p-7,
    0x1.6c16c16c167e2p-10,
    0x1.a01a01a7c2f2cp-13,
    0x1.a01a01a47a5abp-16,
    0x1.71de0db2eb873p-19,
    0x1.27e4e1f71bcbbp-22,
    0x1.af389eea54156p-26,
    0x1.1f66d957d0ef0p-29,
};

/* 2 atanh s = 2 s + s z times this polynomial in z = s^2, s <= (sqrt 2 - 1)/(sqrt 2 + 1).
 * Error of the result 3.0e-20, with rounded coefficients 5.3e-19. */
static const double LOG_REST[8] = {
    0x1.5555555555555p-1,
    0x1.9999999999a38p-2,
    0x1.2492492476ccbp-2,
    0x1.c71c7201592a1p-3,
    0x1.745cf9048617ap-3,
    0x1.3b1c355c3560fp-3,
    0x1.0fbe95aaf31a8p-3,
    0x1.0c039e172b8dfp-3,
};

#endif
