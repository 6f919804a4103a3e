/*
 * draw: streams hand out words and enter each of them, as they do, into the digest of its draw
 * (W3).
 */
#include "samplers/strict.h"
#include "samplers/draw.h"
#include "samplers/detmath.h"
#include "samplers/wide.h"

#include <assert.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the size of its state, so that our allocator can hold it */
#include <xxhash.h>

#define HASH_ALIGNMENT 64u /* of XXH3_state_t; allocators promise less */

struct draw_entry {
    uint32_t domain, instance;
    uint64_t third;
    struct draw_part *parts; /* only the last one may have count 0 */
    uint32_t part_count, part_capacity;
    void *hash_block; /* holds *hash */
    XXH3_state_t *hash;
};

static void word_bytes(uint64_t word, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(word >> 8 * i);
}

static void hash_word(XXH3_state_t *hash, uint64_t word)
{
    uint8_t bytes[8];

    word_bytes(word, bytes);
    (void)XXH3_64bits_update(hash, bytes, sizeof(bytes)); /* fails for NULL only */
}

/* Make room for one entry more, with its hash. Entries beyond count keep their memory for the next
 * use. */
static int list_reserve(struct draw_list *list)
{
    const struct sampler_allocator *allocator = list->allocator;

    if (list->count < list->capacity)
        return SAMPLER_OK;

    uint32_t capacity = list->capacity ? 2 * list->capacity : 4;
    struct draw_entry *entries =
        allocator->realloc(allocator->context, list->entries, capacity * sizeof(*entries));

    if (!entries)
        return SAMPLER_NOMEM;
    memset(entries + list->capacity, 0, (capacity - list->capacity) * sizeof(*entries));
    list->entries = entries;
    list->capacity = capacity;
    return SAMPLER_OK;
}

static int entry_reserve_hash(struct draw_entry *entry, const struct sampler_allocator *allocator)
{
    if (entry->hash)
        return SAMPLER_OK;
    entry->hash_block =
        allocator->alloc(allocator->context, sizeof(XXH3_state_t) + HASH_ALIGNMENT - 1);
    if (!entry->hash_block)
        return SAMPLER_NOMEM;

    uintptr_t address = (uintptr_t)entry->hash_block;
    size_t skip = (HASH_ALIGNMENT - address % HASH_ALIGNMENT) % HASH_ALIGNMENT;

    entry->hash = (XXH3_state_t *)((uint8_t *)entry->hash_block + skip);
    return SAMPLER_OK;
}

static int entry_reserve_part(struct draw_entry *entry, const struct sampler_allocator *allocator)
{
    if (entry->part_count < entry->part_capacity)
        return SAMPLER_OK;

    uint32_t capacity = entry->part_capacity ? 2 * entry->part_capacity : 8;
    struct draw_part *parts =
        allocator->realloc(allocator->context, entry->parts, capacity * sizeof(*parts));

    if (!parts)
        return SAMPLER_NOMEM;
    entry->parts = parts;
    entry->part_capacity = capacity;
    return SAMPLER_OK;
}

static uint32_t list_find(const struct draw_list *list, uint32_t domain, uint32_t instance,
                          uint64_t third)
{
    uint32_t i = 0;

    while (i < list->count &&
           (list->entries[i].domain != domain || list->entries[i].instance != instance ||
            list->entries[i].third != third))
        i++;
    return i;
}

/* The entry of (domain, instance, third), new if need be, with a last part that words of `slot`
 * from `first` on can prolong. */
static int list_begin(struct draw_list *list, uint32_t domain, uint32_t instance, uint64_t third,
                      uint64_t slot, uint64_t first, uint32_t *index)
{
    uint32_t found = list_find(list, domain, instance, third);
    bool fresh = found == list->count;
    struct draw_entry *entry;
    int err;

    if (fresh) {
        err = list_reserve(list);
        if (err < 0)
            return err;
        entry = &list->entries[found];
        err = entry_reserve_hash(entry, list->allocator);
        if (err < 0)
            return err;
    } else {
        entry = &list->entries[found];
    }

    struct draw_part *last =
        fresh || entry->part_count == 0 ? NULL : &entry->parts[entry->part_count - 1];

    if (last && last->count == 0) {
        last->slot = slot;
        last->first = first;
    } else if (!last || last->slot != slot || last->first + last->count != first) {
        if (fresh)
            entry->part_count = 0;
        err = entry_reserve_part(entry, list->allocator);
        if (err < 0)
            return err;
        entry->parts[entry->part_count++] = (struct draw_part){.slot = slot, .first = first};
    }
    if (fresh) {
        entry->domain = domain;
        entry->instance = instance;
        entry->third = third;
        (void)XXH3_64bits_reset(entry->hash);
        list->count++;
    }
    *index = found;
    return SAMPLER_OK;
}

void draw_list_get(struct draw_list *list, uint32_t index, struct draw *out)
{
    assert(index < list->count);

    struct draw_entry *entry = &list->entries[index];
    uint32_t part_count = entry->part_count;

    if (entry->parts[part_count - 1].count == 0)
        part_count--;
    *out = (struct draw){.domain = entry->domain,
                         .instance = entry->instance,
                         .third = entry->third,
                         .parts = entry->parts,
                         .part_count = part_count,
                         .digest = XXH3_64bits_digest(entry->hash)};
}

void draw_list_clear(struct draw_list *list)
{
    list->count = 0;
}

void draw_list_release(struct draw_list *list)
{
    const struct sampler_allocator *allocator = list->allocator;

    for (uint32_t i = 0; i < list->capacity; i++) {
        allocator->free(allocator->context, list->entries[i].parts);
        allocator->free(allocator->context, list->entries[i].hash_block);
    }
    if (list->entries)
        allocator->free(allocator->context, list->entries);
    list->entries = NULL;
    list->count = 0;
    list->capacity = 0;
}

int stream_open(struct stream *stream, const struct philox_key *key, uint32_t domain,
                uint32_t instance, uint64_t third, uint64_t slot, uint64_t first,
                struct draw_list *list)
{
    uint32_t index = 0;

    if (list) {
        int err = list_begin(list, domain, instance, third, slot, first, &index);

        if (err < 0)
            return err;
    }
    *stream = (struct stream){.key = *key,
                              .slot = slot,
                              .third = third,
                              .domain = domain,
                              .instance = instance,
                              .position = first,
                              .list = list,
                              .entry = index,
                              .part = list ? list->entries[index].part_count - 1 : 0};
    return SAMPLER_OK;
}

/* Note the word that is about to be handed out. */
static void stream_record(struct stream *stream, uint64_t word)
{
    struct draw_entry *entry = &stream->list->entries[stream->entry];

    assert(stream->entry < stream->list->count);
    assert(stream->part ==
           entry->part_count - 1); /* no stream of the same draw was opened after this one */

    struct draw_part *part = &entry->parts[stream->part];

    assert(part->slot == stream->slot && part->first + part->count == stream->position); /* W2 */
    part->count++;
    hash_word(entry->hash, word);
}

uint64_t stream_word(struct stream *stream)
{
    uint64_t number = stream->position >> 2;

    if (!stream->block_valid || stream->block_number != number) {
        uint64_t counter[4] = {number, stream->slot, stream->third,
                               (uint64_t)stream->domain << 32 | stream->instance};

        philox_block(&stream->key, counter, stream->block);
        stream->block_number = number;
        stream->block_valid = true;
    }

    uint64_t word = stream->block[stream->position & 3];

    if (stream->list)
        stream_record(stream, word);
    stream->position++;
    return word;
}

double uniform_from_word(uint64_t word)
{
    return (double)(word >> 11) * 0x1p-53;
}

double open_from_word(uint64_t word)
{
    /* 52 bits, so that adding a half is exact: with 53 the largest one would round to 1. */
    return ((double)(word >> 12) + 0.5) * 0x1p-52;
}

double normal_from_word(uint64_t word)
{
    return det_ndtri(open_from_word(word));
}

double stream_uniform(struct stream *stream)
{
    return uniform_from_word(stream_word(stream));
}

double stream_open_unit(struct stream *stream)
{
    return open_from_word(stream_word(stream));
}

double stream_normal(struct stream *stream)
{
    return normal_from_word(stream_word(stream));
}

uint32_t stream_u32(struct stream *stream)
{
    return (uint32_t)(stream_word(stream) >> 32);
}

uint64_t stream_below(struct stream *stream, uint64_t n)
{
    uint64_t high, low;

    assert(n > 0);
    /* Of the 2^64 words, 2^64 mod n too many fall on the first results of their groups: exactly
     * those whose low half is below 2^64 mod n. The division is needed only when low < n. */
    do {
        high = wide_multiply(stream_word(stream), n, &low);
    } while (low < n && low < (0 - n) % n);
    return high;
}

void stream_permutation(struct stream *stream, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)stream_below(stream, i);
        uint32_t held = order[i - 1];

        order[i - 1] = order[j];
        order[j] = held;
    }
}

int draw_list_add(struct draw_list *list, uint32_t domain, uint32_t instance, uint64_t third,
                  uint64_t slot, uint64_t first, uint64_t count, const uint64_t *words)
{
    uint32_t index;
    int err = list_begin(list, domain, instance, third, slot, first, &index);

    if (err < 0)
        return err;

    struct draw_entry *entry = &list->entries[index];

    entry->parts[entry->part_count - 1].count += count;
    for (uint64_t i = 0; i < count; i++)
        hash_word(entry->hash, words[i]);
    return SAMPLER_OK;
}

uint64_t draw_word(const struct philox_key *key, const struct draw *draw, uint32_t part,
                   uint64_t index)
{
    struct stream stream;

    assert(part < draw->part_count && index < draw->parts[part].count);
    (void)stream_open(&stream, key, draw->domain, draw->instance, draw->third,
                      draw->parts[part].slot, draw->parts[part].first + index,
                      NULL); /* unrecorded: cannot fail */
    return stream_word(&stream);
}

int draw_digest(const struct philox_key *key, const struct draw *draw, uint64_t *digest)
{
    XXH3_state_t hash;

    if (draw->domain == DRAW_SOBOL || draw->domain == DRAW_FOREIGN)
        return SAMPLER_UNSUPPORTED;
    (void)XXH3_64bits_reset(&hash);
    for (uint32_t i = 0; i < draw->part_count; i++) {
        struct stream stream;

        (void)stream_open(&stream, key, draw->domain, draw->instance, draw->third,
                          draw->parts[i].slot, draw->parts[i].first,
                          NULL); /* unrecorded: cannot fail */
        for (uint64_t n = 0; n < draw->parts[i].count; n++)
            hash_word(&hash, stream_word(&stream));
    }
    *digest = XXH3_64bits_digest(&hash);
    return SAMPLER_OK;
}
