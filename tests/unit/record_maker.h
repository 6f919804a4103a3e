/*
 * record_maker: random records of every type, valid ones, for tests of what reads them.
 */
#ifndef HPO_TESTS_RECORD_MAKER_H
#define HPO_TESTS_RECORD_MAKER_H

#include "record.h"

/* SplitMix64: the whole state of a random run is one number, which a failing test prints. */
struct maker {
    uint64_t state;
    uint8_t *memory; /* what the last record points into */
    size_t used;
};

void maker_init(struct maker *maker, uint64_t seed);
void maker_release(struct maker *maker);

uint64_t maker_next(struct maker *maker);
uint64_t maker_below(struct maker *maker, uint64_t bound); /* 0 .. bound - 1 */
bool maker_chance(struct maker *maker, unsigned percent);

/* Types in order, 0 behind the last. */
uint8_t maker_type(unsigned index);

/* A random record of the type; what it points into lives until the next one. */
struct record maker_record(struct maker *maker, uint8_t type);

/* HPO_TEST_SCALE (default 0.1) times `count`, at least 1. */
uint64_t maker_scaled(uint64_t count);

#endif
