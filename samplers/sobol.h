/*
 * sobol: single points of Sobol's sequence, scrambled by Owen's method, without any state.
 *
 * Point i is computed from i alone, so a point belongs to a trial's number and needs no counter
 * that workers share. Scrambling permutes, in every dimension, the two halves of the unit interval,
 * of each half, of each quarter and so on, each by one random bit of its own; those bits are named
 * words of Philox, so they need no memory either. The points keep their evenness and become
 * unbiased.
 */
#ifndef HPO_SAMPLERS_SOBOL_H
#define HPO_SAMPLERS_SOBOL_H

#include "samplers/philox.h"

#define SOBOL_DIGITS 32

uint32_t sobol_dimension_count(void);

/* The direction numbers of a dimension (< sobol_dimension_count()): v[b] belongs to bit b. */
void sobol_directions(uint32_t dimension, uint32_t v[SOBOL_DIGITS]);

/* Coordinate of point `index`, in Gray-code order, times 2^32. */
uint32_t sobol_point(const uint32_t v[SOBOL_DIGITS], uint32_t index);

/* Scramble a coordinate: 32 permuted digits and 20 random ones below them, 52 in all. The bits are
 * those of domain 6 under the key and instance. */
uint64_t sobol_scramble(const struct philox_key *key, uint32_t instance, uint32_t dimension,
                        uint32_t x);

/* In [0, 1), and of the 52 scrambled digits, in (0, 1). */
double sobol_unit(uint32_t x);
double sobol_unit_scrambled(uint64_t digits);

#endif
