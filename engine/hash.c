/*
 * hash: see hash.h. xxHash is inlined here: its streaming state then lies on our stack and its
 * layout cannot disagree with that of a shared library of another version.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "hash.h"

uint64_t hash64(uint64_t seed, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

uint64_t hash64_joined(uint64_t seed, const void *first, size_t first_size, const void *second,
                       size_t second_size)
{
    XXH3_state_t state;

    state.seed = 0; /* what reset looks at to see whether it must derive its secret anew */
    state.extSecret = NULL;
    (void)XXH3_64bits_reset_withSeed(&state, seed);
    (void)XXH3_64bits_update(&state, first, first_size);
    (void)XXH3_64bits_update(&state, second, second_size);
    return XXH3_64bits_digest(&state);
}

struct hash128 hash128(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, size);

    return (struct hash128){.low = hash.low64, .high = hash.high64};
}
