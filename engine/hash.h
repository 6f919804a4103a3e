/*
 * hash: XXH3, always seeded with where the bytes belong.
 *
 * xxHash is compiled into hash.c (its state lies on the stack, so no allocation), and nothing else
 * of the log includes its header.
 */
#ifndef HPO_ENGINE_HASH_H
#define HPO_ENGINE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t low;
    uint64_t high;
};

/* XXH3-64 of the bytes. */
uint64_t hash64(uint64_t seed, const void *bytes, size_t size);
/* XXH3-64 of two pieces as if they lay side by side. */
uint64_t hash64_joined(uint64_t seed, const void *first, size_t first_size, const void *second,
                       size_t second_size);
/* XXH3-128, seed 0. */
struct hash128 hash128(const void *bytes, size_t size);

#endif
