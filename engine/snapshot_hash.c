/*
 * snapshot_hash: see snapshot_hash.h. xxHash is inlined as in hash.c, for the same reasons; the
 * pieces are asked for by callback so that its state stays on this stack.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "snapshot_hash.h"

int hash128_pieces(hash_next_fn next, void *arg, struct hash128 *out)
{
    XXH3_state_t state;
    XXH128_hash_t hash;
    const void *piece;
    int64_t size;

    state.seed = 0; /* what reset looks at to see whether it must derive its secret anew */
    state.extSecret = NULL;
    (void)XXH3_128bits_reset(&state);
    while ((size = next(arg, &piece)) > 0)
        (void)XXH3_128bits_update(&state, piece, (size_t)size);
    if (size < 0)
        return (int)size;
    hash = XXH3_128bits_digest(&state);
    *out = (struct hash128){.low = hash.low64, .high = hash.high64};
    return 0;
}
