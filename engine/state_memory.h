/*
 * state_memory: lists that grow, maps from numbers to numbers, and memory for blocks that stay.
 *
 * All memory comes from the os table. Nothing here is ever walked in an order that depends on
 * addresses or hashes.
 */
#ifndef HPO_ENGINE_STATE_MEMORY_H
#define HPO_ENGINE_STATE_MEMORY_H

#include "hpo.h"
#include "os.h"

void *state_alloc(const struct hpo_os *os, size_t size);   /* zeroed; NULL: no memory */
void state_release(const struct hpo_os *os, void *memory); /* NULL is harmless */

/* A list with room for `need` (at least 1) items of `size` bytes, holding what `items` held;
 * `*capacity` counts items. NULL: no memory, the list is as before. */
void *list_grow(const struct hpo_os *os, void *items, size_t *capacity, size_t need, size_t size);
/* The same for the pointer at `items`. 0, HPO_NOMEM. */
#define list_reserve(os, items, capacity, need)                                          \
    ({                                                                                   \
        void *grown_ = list_grow((os), *(items), (capacity), (need), sizeof(**(items))); \
        if (grown_)                                                                      \
            *(items) = grown_;                                                           \
        grown_ ? 0 : HPO_NOMEM;                                                          \
    })
/* Make a gap for one item at `index`, or close it; there is room for count + 1. */
void list_open(void *items, size_t count, size_t index, size_t size);
void list_close(void *items, size_t count, size_t index, size_t size);

/* A map from keys to non-zero values. Zero-initialise with the os. */
struct map {
    const struct hpo_os *os;
    struct map_slot *slots;
    size_t count, capacity; /* capacity: a power of two, or 0 */
};
int map_reserve(struct map *map, size_t count); /* room for so many without growing. 0, HPO_NOMEM */
int map_put(struct map *map, uint64_t key, uint64_t value); /* adds or replaces. 0, HPO_NOMEM */
uint64_t map_get(const struct map *map, uint64_t key);      /* 0: not there */
void map_remove(struct map *map, uint64_t key);             /* harmless if not there */
void map_release(struct map *map);

/* Memory that is freed all at once, in big pieces: a list of chunks, NULL in the beginning. */
struct chunk;
void *chunk_alloc(const struct hpo_os *os, struct chunk **chunks,
                  size_t size); /* aligned to 8, not zeroed; NULL */
void chunks_release(const struct hpo_os *os, struct chunk **chunks);

#endif
