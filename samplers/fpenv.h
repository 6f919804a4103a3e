/*
 * fpenv: the floating-point environment in which samplers compute.
 *
 * Other libraries in the process switch on flush-to-zero (anything linked with GCC's -ffast-math
 * before GCC 13) or change the rounding mode. The sampler_* functions enter the known state (round
 * to nearest, subnormals on, exceptions masked) and leave it again with the caller's state
 * restored, the caller's exception flags included. Per thread, as the register is. Whoever calls
 * det_* functions directly brackets them with these two.
 */
#ifndef HPO_SAMPLERS_FPENV_H
#define HPO_SAMPLERS_FPENV_H

#include <stdint.h>

struct fpenv {
    uint64_t control; /* MXCSR, FPCR */
    uint64_t status;  /* FPSR where it is separate */
};

void fpenv_enter(struct fpenv *saved);
void fpenv_leave(const struct fpenv *saved);

#endif
