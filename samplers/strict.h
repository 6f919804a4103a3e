/*
 * strict: included first by every source file here. It refuses compilations whose arithmetic would
 * not be the one that studies were made with: a * b + c must round twice, and doubles must be
 * doubles. (Contraction into fused multiply-adds cannot be seen from here: -ffp-contract=off is set
 * by CMakeLists.txt, and the self-test of detmath.c notices when it is missing on a machine that
 * has them.)
 */
#ifndef HPO_SAMPLERS_STRICT_H
#define HPO_SAMPLERS_STRICT_H

#include <float.h>

#ifdef __FAST_MATH__
#error "samplers/ must not be compiled with -ffast-math"
#endif
/* 16 (GCC, where the processor knows _Float16) differs from 0 only in what it does with _Float16.
 */
#if !defined(FLT_EVAL_METHOD) || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "samplers/ needs double arithmetic that rounds to double (32-bit x86: -msse2 -mfpmath=sse)"
#endif
#if DBL_MANT_DIG != 53 || DBL_MAX_EXP != 1024
#error "samplers/ needs IEEE 754 binary64"
#endif

#endif
