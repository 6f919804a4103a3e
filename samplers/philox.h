/*
 * philox: Philox4x64-10 (Salmon, Moraes, Dror, Shaw 2011), a random generator without state.
 *
 * A block of four words is a pure function of a counter and a key, so a stream of random numbers is
 * a name, not a state that has to be saved: nothing is lost in a crash and no worker disturbs
 * another.
 */
#ifndef HPO_SAMPLERS_PHILOX_H
#define HPO_SAMPLERS_PHILOX_H

#include <stdint.h>

/* The seed of a study: seed mod 2^64, seed >> 64. */
struct philox_key {
    uint64_t words[2];
};

void philox_block(const struct philox_key *key, const uint64_t counter[4], uint64_t out[4]);

#endif
