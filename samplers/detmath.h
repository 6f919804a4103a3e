/*
 * detmath: elementary functions that give the same bits on every machine.
 *
 * libm picks its code by CPU (FMA or not) and changes between versions; a single last bit can flip
 * a rounding or an argmax and with it the rest of a study. These use + - * / sqrt on doubles in a
 * fixed order and nothing else. Accuracy is good (below), but sameness is the point: changing any
 * bit of any result is a new DETMATH_VERSION.
 *
 * The rounding mode must be to nearest and subnormals must be on: fpenv.h.
 */
#ifndef HPO_SAMPLERS_DETMATH_H
#define HPO_SAMPLERS_DETMATH_H

#include <stdint.h>

#define DETMATH_VERSION 1u

/* Within 1 ulp on the whole domain, subnormal results too. NaN -> NaN, -inf -> 0, above 709.78...
 * -> inf. */
double det_exp(double x);
/* Within 1 ulp, subnormal arguments too. 0 -> -inf, negative and NaN -> NaN, inf -> inf, 1 -> +0.
 */
double det_log(double x);
/* ln(1 + x) within 2 ulp. -1 -> -inf, below and NaN -> NaN, inf -> inf. */
double det_log1p(double x);
/* exp x - 1 within 2 ulp. -inf -> -1, above 709.78... and inf -> inf, NaN -> NaN. */
double det_expm1(double x);

/* Error functions, NaN -> NaN: erf within 2 ulp, erfc within 4, erfcx = exp(x^2) erfc x for x >= 0
 * (negative -> NaN) within 2. */
double det_erf(double x);
double det_erfc(double x);
double det_erfcx(double x);

/* The normal distribution Phi (within 4 ulp), its logarithm (2, and 4 where that rises above -1/3),
 * and its inverse on (0, 1) (1e-15 relative; 0 -> -inf, 1 -> inf, else NaN; ndtri(1 - u) =
 * -ndtri(u) exactly where 1 - u is exact). */
double det_ndtr(double a);
double det_log_ndtr(double a);
double det_ndtri(double u);

/* Basic operations without a library call; exact. |x| >= 2^52, infinities and NaN come back
 * unchanged. */
double det_rint(double x); /* half to even */
double det_floor(double x);
double det_abs(double x);
double det_next_below(double x); /* the largest double < x; x finite */

/* Compute fixed arguments through every function and compare the digests with those compiled in:
 * does this build, on this machine, now, compute the right bits? 0 or SAMPLER_MATH. Some
 * 50 microseconds. */
int detmath_self_test(void);

/* The number a study records: DETMATH_VERSION if the self-test passes; else a number with the top
 * bit set, made from the wrong bits, so that a study made by a broken build is recognised as such.
 */
uint32_t detmath_version(void);

#endif
