/*
 * snapshot_hash: XXH3-128 of something that comes in pieces.
 */
#ifndef HPO_ENGINE_SNAPSHOT_HASH_H
#define HPO_ENGINE_SNAPSHOT_HASH_H

#include "hash.h"

/* Gives the next piece: its size, 0 at the end, or a negative error. */
typedef int64_t (*hash_next_fn)(void *arg, const void **piece);

/* The hash of all pieces as if they were one. 0, or the error that `next` gave. */
int hash128_pieces(hash_next_fn next, void *arg, struct hash128 *out);

#endif
