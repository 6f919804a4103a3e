/*
 * tpe_split: which finished trials are the good ones.
 *
 * Trials have an order: feasible COMPLETE ones by value, then PRUNED ones by how far they came and
 * their value there, then infeasible ones by how much they violate; ties by number. The first
 * n_below are below. With several objectives the COMPLETE ones have ranks of non-domination instead
 * of a value, and of the rank that does not fit as a whole those are taken that cover the largest
 * hypervolume.
 */
#ifndef HPO_SAMPLERS_TPE_SPLIT_H
#define HPO_SAMPLERS_TPE_SPLIT_H

#include "samplers/sampler.h"

enum tpe_class { TPE_COMPLETE = 0, TPE_PRUNED = 1, TPE_INFEASIBLE = 2 };

/* A finished trial's place in the order: by class, first, second, number. */
struct tpe_key {
    const struct sampler_trial *trial;
    uint8_t class;
    int64_t first;
    double second;
};

/* Of a COMPLETE or PRUNED trial. Several objectives: COMPLETE ones have no first and second. */
struct tpe_key tpe_key_of(const struct sampler_study *study, const struct sampler_trial *trial);

/* How many of n finished trials are below: a tenth, rounded up, with one objective at most 25. */
uint32_t tpe_below_count(uint32_t n, uint32_t objectives);

/*
 * keys[0 ... count - 1] are finished trials by number; below[i] becomes 1 for n_below of them (all,
 * if there are no more), else 0. 0 or SAMPLER_NOMEM.
 */
int tpe_split(const struct sampler_study *study, const struct tpe_key *keys, uint32_t count,
              uint32_t n_below, const struct sampler_allocator *allocator, uint8_t *below);

#endif
