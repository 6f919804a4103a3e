/*
 * fpenv: one register on x86-64, two on arm64.
 *
 * The empty asm statements keep the compiler from moving arithmetic that reads memory across the
 * switch; that callers reach the arithmetic through function pointers does the rest.
 */
#include "samplers/strict.h"
#include "samplers/fpenv.h"

#if defined(__SSE2__)
#include <xmmintrin.h>

/* Round to nearest, no flush-to-zero, no denormals-are-zero, all exceptions masked, no flag raised.
 */
#define MXCSR_KNOWN 0x1F80u

void fpenv_enter(struct fpenv *saved)
{
    saved->control = _mm_getcsr();
    saved->status = 0;
    _mm_setcsr(MXCSR_KNOWN);
    __asm__ volatile("" ::: "memory");
}

void fpenv_leave(const struct fpenv *saved)
{
    __asm__ volatile("" ::: "memory");
    _mm_setcsr((unsigned int)saved->control);
}

#elif defined(__aarch64__)

/* FPCR 0: round to nearest, no flush-to-zero of any kind, default NaN off, no trap. */
void fpenv_enter(struct fpenv *saved)
{
    uint64_t zero = 0;

    __asm__ volatile("mrs %0, fpcr" : "=r"(saved->control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(saved->status));
    __asm__ volatile("msr fpcr, %0" : : "r"(zero) : "memory");
}

void fpenv_leave(const struct fpenv *saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved->control) : "memory");
    __asm__ volatile("msr fpsr, %0" : : "r"(saved->status) : "memory");
}

#else
#error "fpenv.c must be taught how this machine sets rounding and flush-to-zero"
#endif
