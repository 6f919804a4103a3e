/*
 * state_memory: see state_memory.h. The map is open addressing with linear probing; removal moves
 * later entries of the run back, so there are no tombstones and lookups stay short however often
 * trials come and go.
 */
#include "state_memory.h"

#include <assert.h>
#include <string.h>

#define CHUNK_SIZE_FIRST 4096u
#define CHUNK_SIZE_MAX (1u << 20)

void *state_alloc(const struct hpo_os *os, size_t size)
{
    void *memory = os->alloc(os->self, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void state_release(const struct hpo_os *os, void *memory)
{
    if (memory)
        os->free(os->self, memory);
}

/* -- lists -- */

void *list_grow(const struct hpo_os *os, void *items, size_t *capacity, size_t need, size_t size)
{
    size_t wanted = *capacity ? *capacity : 8;
    void *memory;

    if (need <= *capacity)
        return items;
    if (need > SIZE_MAX / 4 / size)
        return NULL;
    while (wanted < need)
        wanted += wanted / 2 + 1;
    memory = os->realloc(os->self, items, wanted * size);
    if (memory)
        *capacity = wanted;
    return memory;
}

void list_open(void *items, size_t count, size_t index, size_t size)
{
    uint8_t *at = (uint8_t *)items + index * size;

    assert(index <= count);
    memmove(at + size, at, (count - index) * size);
}

void list_close(void *items, size_t count, size_t index, size_t size)
{
    uint8_t *at = (uint8_t *)items + index * size;

    assert(index < count);
    memmove(at, at + size, (count - index - 1) * size);
}

/* -- map -- */

struct map_slot {
    uint64_t key;
    uint64_t value; /* 0: free */
};

/* The finaliser of SplitMix64: ids come in a row, hashes come random, both spread well. */
static size_t slot_of(const struct map *map, uint64_t key)
{
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (size_t)(key ^ key >> 31) & (map->capacity - 1);
}

static void insert(struct map *map, uint64_t key, uint64_t value)
{
    size_t at = slot_of(map, key);

    while (map->slots[at].value)
        at = (at + 1) & (map->capacity - 1);
    map->slots[at] = (struct map_slot){.key = key, .value = value};
}

int map_reserve(struct map *map, size_t count)
{
    struct map old = *map;
    size_t capacity = old.capacity ? old.capacity : 16;
    struct map_slot *slots;

    if (count > SIZE_MAX / 64)
        return HPO_NOMEM;
    while (capacity / 4 * 3 < count)
        capacity *= 2;
    if (capacity == old.capacity)
        return 0;
    slots = state_alloc(map->os, capacity * sizeof(*slots));
    if (!slots)
        return HPO_NOMEM;
    map->slots = slots;
    map->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].value)
            insert(map, old.slots[i].key, old.slots[i].value);
    state_release(map->os, old.slots);
    return 0;
}

static struct map_slot *find(const struct map *map, uint64_t key)
{
    size_t at;

    if (map->capacity == 0)
        return NULL;
    for (at = slot_of(map, key); map->slots[at].value; at = (at + 1) & (map->capacity - 1))
        if (map->slots[at].key == key)
            return &map->slots[at];
    return NULL;
}

uint64_t map_get(const struct map *map, uint64_t key)
{
    const struct map_slot *slot = find(map, key);

    return slot ? slot->value : 0;
}

int map_put(struct map *map, uint64_t key, uint64_t value)
{
    struct map_slot *slot = find(map, key);
    int err;

    assert(value != 0);
    if (slot) {
        slot->value = value;
        return 0;
    }
    err = map_reserve(map, map->count + 1);
    if (err < 0)
        return err;
    insert(map, key, value);
    map->count++;
    return 0;
}

void map_remove(struct map *map, uint64_t key)
{
    struct map_slot *slot = find(map, key);
    size_t mask = map->capacity - 1, hole, at;

    if (!slot)
        return;
    hole = (size_t)(slot - map->slots);
    for (at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        size_t home = slot_of(map, map->slots[at].key);

        /* It may move back unless its home lies behind the hole. */
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct map_slot){0};
    map->count--;
}

void map_release(struct map *map)
{
    state_release(map->os, map->slots);
    map->slots = NULL;
    map->count = map->capacity = 0;
}

/* -- chunks -- */

struct chunk {
    struct chunk *next;
    size_t size, used; /* bytes after this header */
    size_t pad;
};

void *chunk_alloc(const struct hpo_os *os, struct chunk **chunks, size_t size)
{
    struct chunk *chunk = *chunks;
    size_t room;
    uint8_t *memory;

    size = (size + 7) & ~(size_t)7;
    if (!chunk || chunk->size - chunk->used < size) {
        room = chunk ? chunk->size * 2 : CHUNK_SIZE_FIRST;
        if (room > CHUNK_SIZE_MAX)
            room = CHUNK_SIZE_MAX;
        if (room < size)
            room = size;
        chunk = os->alloc(os->self, sizeof(*chunk) + room);
        if (!chunk)
            return NULL;
        *chunk = (struct chunk){.next = *chunks, .size = room};
        *chunks = chunk;
    }
    memory = (uint8_t *)(chunk + 1) + chunk->used;
    chunk->used += size;
    return memory;
}

void chunks_release(const struct hpo_os *os, struct chunk **chunks)
{
    while (*chunks) {
        struct chunk *chunk = *chunks;

        *chunks = chunk->next;
        state_release(os, chunk);
    }
}
