/*
 * sector: see sector.h. One idea: as stored, a word in use is never close to zero (X2). So a word
 * that did not reach the disk is recognised by being zero, while one flipped bit can neither turn a
 * word into zero nor zero into a word.
 */
#include "sector.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hash.h"
#include "hpo.h"

#define WORD_SIZE 8u
#define WORDS (SECTOR_SIZE / WORD_SIZE)
#define PAGE_SIZE 4096u
/* Byte positions in a sector. */
#define AT_CHECK 0u
#define AT_USED 4u
#define AT_FIRST 6u
#define AT_MASK 7u
#define AT_DURABLE 8u
/* Where the search for a mask begins: a value that runs of equal bytes in numbers and text seldom
 * have. Mask 0 is never chosen, so word 0 has two non-zero bytes whatever the check is. */
#define MASK_PREFERRED 0xA5u

static_assert(SECTOR_PAYLOAD_SIZE % WORD_SIZE == 0, "payload in words");
/* Each word rules out at most one mask (see word_forbids), so in 512 bytes one is always left. */
static_assert(WORDS < 255, "a mask always exists");

static uint64_t broadcast(uint8_t byte)
{
    return byte * UINT64_C(0x0101010101010101);
}

/* The number of non-zero bytes of a word. */
static unsigned nonzero_bytes(uint64_t word)
{
    uint64_t low7 = word & broadcast(0x7F);
    uint64_t high = ((low7 + broadcast(0x7F)) | word) & broadcast(0x80);

    return (unsigned)__builtin_popcountll(high);
}

/* Whether the word goes with the mask: at least two bytes differ from it (X2). */
static bool word_fits(uint64_t word, uint8_t mask)
{
    return nonzero_bytes(word ^ broadcast(mask)) >= 2;
}

/* The mask that a word rules out, or 0 (never chosen anyway): the value of seven or eight equal
 * bytes, which byte 0 or byte 1 must have. */
static uint8_t word_forbids(uint64_t word)
{
    if (!word_fits(word, (uint8_t)word))
        return (uint8_t)word;
    if (!word_fits(word, (uint8_t)(word >> 8)))
        return (uint8_t)(word >> 8);
    return 0;
}

static uint32_t check_of(const uint8_t *stored, uint64_t salt, uint64_t offset)
{
    return (uint32_t)hash64(salt + offset, stored + AT_USED, SECTOR_SIZE - AT_USED);
}

static bool used_possible(uint32_t used)
{
    return used >= WORD_SIZE && used <= SECTOR_PAYLOAD_SIZE && used % WORD_SIZE == 0;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint64_t any = 0;

    for (size_t i = 0; i < size; i += WORD_SIZE)
        any |= codec_load_u64(bytes + i);
    return any == 0;
}

/* Fields that every writer leaves so; a sector that verifies without them was not written by one.
 */
static bool fields_sane(const uint8_t *stored)
{
    uint32_t used = sector_used(stored), first = stored[AT_FIRST];

    return used_possible(used) && (first == SECTOR_FIRST_NONE || first * WORD_SIZE < used);
}

/* Whether every non-zero word from byte `begin` on has at least two non-zero bytes. */
static bool words_plausible(const uint8_t *stored, size_t begin)
{
    for (size_t i = begin; i < SECTOR_SIZE; i += WORD_SIZE) {
        if (nonzero_bytes(codec_load_u64(stored + i)) == 1)
            return false;
    }
    return true;
}

/* Whether another `used`, or one flipped bit of word 0, makes the sector verify: then it is whole
 * but for its first word, which is damage, not a tear. */
static bool verifies_otherwise(const uint8_t *stored, uint64_t salt, uint64_t offset)
{
    uint8_t copy[SECTOR_SIZE];

    memcpy(copy, stored, SECTOR_SIZE);
    for (uint32_t used = WORD_SIZE; used <= SECTOR_PAYLOAD_SIZE; used += WORD_SIZE) {
        codec_store_u16(copy + AT_USED, (uint16_t)used);
        if (check_of(copy, salt, offset) == codec_load_u32(copy))
            return true;
    }
    memcpy(copy, stored, WORD_SIZE);
    /* A flipped bit of the check itself: the sum differs from it in one bit. */
    if (__builtin_popcount(check_of(copy, salt, offset) ^ codec_load_u32(copy)) <= 1)
        return true;
    for (unsigned bit = AT_USED * 8; bit < WORD_SIZE * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (check_of(copy, salt, offset) == codec_load_u32(copy))
            return true;
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return false;
}

/* The sector with everything behind `used` taken as zero verifies. */
static bool verifies_up_to_used(const uint8_t *stored, uint64_t salt, uint64_t offset)
{
    uint8_t copy[SECTOR_SIZE];
    uint32_t end = SECTOR_HEADER_SIZE + sector_used(stored);

    memcpy(copy, stored, end);
    memset(copy + end, 0, SECTOR_SIZE - end);
    return check_of(copy, salt, offset) == codec_load_u32(copy);
}

/* Some word that must have been written is missing. */
static bool lacks_a_word(const uint8_t *stored)
{
    uint32_t end = SECTOR_HEADER_SIZE + sector_used(stored);

    for (size_t i = 0; i < end; i += WORD_SIZE) {
        if (codec_load_u64(stored + i) == 0)
            return true;
    }
    return false;
}

enum sector_class sector_classify(const uint8_t stored[SECTOR_SIZE], uint64_t salt, uint64_t offset,
                                  bool other_boot)
{
    uint32_t used = sector_used(stored);
    bool sane = fields_sane(stored);
    size_t end;

    if (sane && check_of(stored, salt, offset) == codec_load_u32(stored) &&
        all_zero(stored + SECTOR_HEADER_SIZE + used, SECTOR_PAYLOAD_SIZE - used))
        return SECTOR_VALID;
    if (all_zero(stored, SECTOR_SIZE))
        return SECTOR_ZERO;
    if (!other_boot)
        return SECTOR_FOREIGN;
    end = SECTOR_HEADER_SIZE + used;
    if (sane && words_plausible(stored, end) && verifies_up_to_used(stored, salt, offset))
        return SECTOR_OUTRUN;
    if (!words_plausible(stored, 0))
        return SECTOR_FOREIGN;
    if (codec_load_u64(stored) == 0)
        return SECTOR_TORN;
    if (used_possible(used) && lacks_a_word(stored) && !verifies_otherwise(stored, salt, offset))
        return SECTOR_TORN;
    return SECTOR_FOREIGN;
}

uint32_t sector_used(const uint8_t stored[SECTOR_SIZE])
{
    return codec_load_u16(stored + AT_USED);
}

uint32_t sector_first(const uint8_t stored[SECTOR_SIZE])
{
    return stored[AT_FIRST];
}

uint64_t sector_durable(const uint8_t stored[SECTOR_SIZE])
{
    return codec_load_u64(stored + AT_DURABLE) ^ broadcast(stored[AT_MASK]);
}

size_t sector_payload(const uint8_t stored[SECTOR_SIZE], uint32_t begin, uint8_t *to)
{
    uint32_t used = sector_used(stored);
    uint64_t mask = broadcast(stored[AT_MASK]);

    assert(used <= SECTOR_PAYLOAD_SIZE && begin <= used && begin % WORD_SIZE == 0);
    for (uint32_t i = begin; i < used; i += WORD_SIZE)
        codec_store_u64(to + (i - begin), codec_load_u64(stored + SECTOR_HEADER_SIZE + i) ^ mask);
    return used - begin;
}

void sector_seal(struct sector_tail *tail)
{
    if (tail->used == 0)
        return;
    tail->offset += SECTOR_SIZE;
    tail->used = 0;
}

uint64_t sector_bytes_for(uint64_t size)
{
    return (size + SECTOR_PAYLOAD_SIZE - 1) / SECTOR_PAYLOAD_SIZE * SECTOR_SIZE;
}

void sector_buffer_release(const struct hpo_os *os, struct sector_buffer *buffer)
{
    os->free(os->self, buffer->memory);
    *buffer = (struct sector_buffer){0};
}

/* Memory for `size` bytes that will lie at `offset` of the file, congruent modulo a page. */
static uint8_t *buffer_take(const struct hpo_os *os, struct sector_buffer *buffer, size_t size,
                            uint64_t offset)
{
    size_t lead = (size_t)(offset % PAGE_SIZE);
    size_t need = size + 2 * PAGE_SIZE, room = buffer->size ? buffer->size : 4 * PAGE_SIZE;
    uintptr_t base;

    if (buffer->size < need) {
        while (room < need)
            room *= 2;
        sector_buffer_release(os, buffer);
        buffer->memory = os->alloc(os->self, room);
        if (!buffer->memory)
            return NULL;
        buffer->size = room;
    }
    base = (uintptr_t)buffer->memory;
    return buffer->memory + ((PAGE_SIZE - base % PAGE_SIZE) % PAGE_SIZE) + lead;
}

/* The batch to be laid out, as one stream of words. */
struct source {
    const uint8_t *header;
    const uint8_t *records;
    size_t size;
};

static uint64_t source_word(const struct source *source, size_t at)
{
    return at < BATCH_HEADER_SIZE ? codec_load_u64(source->header + at)
                                  : codec_load_u64(source->records + (at - BATCH_HEADER_SIZE));
}

/* Whether the words [0, count) all go with the mask. */
static bool source_fits(const struct source *source, size_t size, uint8_t mask)
{
    for (size_t i = 0; i < size; i += WORD_SIZE) {
        if (!word_fits(source_word(source, i), mask))
            return false;
    }
    return true;
}

static uint8_t choose_mask(const struct source *source, size_t at, size_t size, uint64_t durable)
{
    bool forbidden[256] = {true}; /* 0 is never chosen */
    uint8_t mask = MASK_PREFERRED;

    forbidden[word_forbids(durable)] = true;
    for (size_t i = at; i < at + size; i += WORD_SIZE)
        forbidden[word_forbids(source_word(source, i))] = true;
    while (forbidden[mask])
        mask++; /* wraps; ends because fewer than 255 are forbidden */
    return mask;
}

/* Store `size` bytes of the source from `at` behind byte `used` of the payload, and the check. */
static void fill_sector(uint8_t *stored, uint64_t salt, uint64_t offset,
                        const struct source *source, size_t at, uint32_t used, uint32_t size)
{
    uint64_t mask = broadcast(stored[AT_MASK]);
    uint8_t *to = stored + SECTOR_HEADER_SIZE + used;

    for (size_t i = 0; i < size; i += WORD_SIZE)
        codec_store_u64(to + i, source_word(source, at + i) ^ mask);
    codec_store_u16(stored + AT_USED, (uint16_t)(used + size));
    codec_store_u32(stored + AT_CHECK, check_of(stored, salt, offset));
}

static void begin_sector(uint8_t *stored, uint8_t mask, uint64_t durable)
{
    memset(stored, 0, SECTOR_SIZE);
    stored[AT_FIRST] = SECTOR_FIRST_NONE;
    stored[AT_MASK] = mask;
    codec_store_u64(stored + AT_DURABLE, durable ^ broadcast(mask));
}

int sector_append(const struct hpo_os *os, struct sector_buffer *buffer,
                  const struct sector_tail *tail, uint64_t salt, uint64_t segment_bytes,
                  uint64_t durable, const uint8_t header[BATCH_HEADER_SIZE], const uint8_t *records,
                  size_t records_size, struct sector_write *out)
{
    const struct source source = {header, records, BATCH_HEADER_SIZE + records_size};
    uint64_t offset = tail->offset, total;
    uint32_t used = tail->used, share = 0;
    size_t at = 0, taken;
    uint8_t *bytes, *sector;

    assert(records_size % WORD_SIZE == 0 && records_size <= BATCH_RECORDS_MAX);
    assert(offset % SECTOR_SIZE == 0 && used <= SECTOR_PAYLOAD_SIZE && used % WORD_SIZE == 0);
    /* What goes into the open sector: as much as it holds, or nothing (X3). */
    if (used > 0 && used < SECTOR_PAYLOAD_SIZE) {
        share = SECTOR_PAYLOAD_SIZE - used;
        if (share > source.size)
            share = (uint32_t)source.size;
        if (!source_fits(&source, share, tail->image[AT_MASK]))
            share = 0;
    }
    if (used > 0 && share == 0) {
        offset += SECTOR_SIZE;
        used = 0;
    }
    total = (share ? SECTOR_SIZE : 0) + sector_bytes_for(source.size - share);
    if (offset > segment_bytes || total > segment_bytes - offset)
        return SECTOR_FULL;
    bytes = buffer_take(os, buffer, (size_t)total, offset);
    if (!bytes)
        return HPO_NOMEM;
    for (sector = bytes; at < source.size; sector += SECTOR_SIZE, used = 0, at += taken) {
        uint64_t place = offset + (uint64_t)(sector - bytes);

        if (sector == bytes && share) {
            taken = share;
            memcpy(sector, tail->image, SECTOR_SIZE);
        } else {
            taken = source.size - at < SECTOR_PAYLOAD_SIZE ? source.size - at : SECTOR_PAYLOAD_SIZE;
            begin_sector(sector, choose_mask(&source, at, taken, durable), durable);
        }
        if (at == 0 && sector[AT_FIRST] == SECTOR_FIRST_NONE)
            sector[AT_FIRST] = (uint8_t)(used / WORD_SIZE);
        fill_sector(sector, salt, place, &source, at, used, (uint32_t)taken);
    }
    assert((uint64_t)(sector - bytes) == total);
    sector -= SECTOR_SIZE;
    out->bytes = bytes;
    out->size = (size_t)total;
    out->offset = offset;
    out->tail =
        (struct sector_tail){.offset = offset + total - SECTOR_SIZE, .used = sector_used(sector)};
    memcpy(out->tail.image, sector, SECTOR_SIZE);
    return 0;
}
