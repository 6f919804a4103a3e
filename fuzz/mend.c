/*
 * mend: see mend.h.
 */
#include "mend.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "fuzz.h"
#include "hash.h"

#define COPY_SIZE 2048u
#define PAYLOAD 496u

void mend_start(struct mend *mend, const uint8_t uuid[16])
{
    memset(mend, 0, sizeof(*mend));
    mend->chains[0] = hash64(0, uuid, 16);
    mend->known[0] = true;
}

static void remember(struct mend *mend, const struct log_position *at)
{
    if (mend && at->lsn < MEND_LSNS) {
        mend->chains[at->lsn] = at->chain;
        mend->known[at->lsn] = true;
    }
}

void mend_copies(uint8_t *bytes, size_t size, uint32_t number)
{
    if (size < COPY_SIZE)
        return;
    for (unsigned i = 0; i < 2 && (i + 1) * COPY_SIZE <= size; i++) {
        uint8_t *copy = bytes + (size_t)i * COPY_SIZE;

        memmove(copy, bytes, COPY_SIZE - 8);
        codec_store_u64(copy + COPY_SIZE - 8,
                        hash64(4096ull * number + i * COPY_SIZE, copy, COPY_SIZE - 8));
    }
}

/* One batch at the start of [at, at + left); its length, 0 if there is no room for one. */
static size_t mend_batch(struct mend *mend, uint8_t *at, size_t left, struct log_position *position)
{
    uint32_t length;

    if (left < 40)
        return 0;
    length = codec_load_u32(at + 16);
    if (length < 40 || length % 8 != 0 || length > left)
        length = (uint32_t)left;
    codec_store_u64(at, position->lsn + 1);
    codec_store_u32(at + 16, length);
    if (codec_load_u32(at + 20) == 1)
        codec_store_u64(at + 8, position->lsn + 1);
    else if (codec_load_u64(at + 8) > position->lsn)
        codec_store_u64(at + 8, position->lsn);
    codec_store_u16(at + 26, 0);
    codec_store_u32(at + 28, 0);
    position->chain = hash64_joined(position->chain, at, 32, at + 40, length - 40);
    position->lsn++;
    codec_store_u64(at + 32, position->chain);
    remember(mend, position);
    return length;
}

static bool zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

static uint32_t used_of(const uint8_t *sector)
{
    uint32_t used = codec_load_u16(sector + 4);

    return used % 8 == 0 && used >= 8 && used <= PAYLOAD ? used : (used % 62 + 1) * 8;
}

void mend_sectors(struct mend *mend, uint8_t *sectors, size_t size, uint64_t offset, uint64_t salt,
                  struct log_position *at)
{
    size_t count = 0, filled = 0, begin = 0, n, place = 0, next_begin;
    uint8_t *stream = malloc(size + 1), *first = NULL;

    FUZZ_REQUIRE(stream, "no memory");
    while ((count + 1) * 512 <= size && !zero(sectors + count * 512, 512)) {
        const uint8_t *sector = sectors + count++ * 512;

        for (uint32_t i = 0, used = used_of(sector); i < used; i++)
            stream[filled++] = sector[16 + i] ^ sector[7];
    }
    first = calloc(1, filled / 8 + 1); /* 1: a batch begins at this word of the stream */
    FUZZ_REQUIRE(first, "no memory");
    while ((n = mend_batch(mend, stream + begin, filled - begin, at)) > 0) {
        first[begin / 8] = 1;
        begin += n;
    }
    for (size_t s = 0; s < count; s++) {
        uint8_t *sector = sectors + s * 512;
        uint32_t used = used_of(sector);

        for (uint32_t i = 0; i < used; i++)
            sector[16 + i] = stream[place + i] ^ sector[7];
        memset(sector + 16 + used, 0, PAYLOAD - used);
        codec_store_u16(sector + 4, (uint16_t)used);
        for (next_begin = place / 8; next_begin < (place + used) / 8 && !first[next_begin];)
            next_begin++;
        sector[6] = next_begin < (place + used) / 8 ? (uint8_t)(next_begin - place / 8) : 0xff;
        place += used;
        codec_store_u32(sector, (uint32_t)hash64(salt + offset + s * 512, sector + 4, 508));
    }
    free(first);
    free(stream);
}

void mend_segment(struct mend *mend, uint8_t *bytes, size_t size, uint32_t number)
{
    struct log_position at;

    if (size < 4096)
        return;
    at.lsn = codec_load_u64(bytes + 72);
    if (at.lsn < MEND_LSNS && mend->known[at.lsn])
        codec_store_u64(bytes + 80, mend->chains[at.lsn]);
    at.chain = codec_load_u64(bytes + 80);
    mend_copies(bytes, size, number);
    mend_sectors(mend, bytes + 4096, size - 4096, 4096, codec_load_u64(bytes + 56), &at);
}

void mend_attest(const struct mend *mend, uint8_t *bytes, size_t size, const uint8_t uuid[16])
{
    for (unsigned i = 0; i < 2 && (i + 1) * 512 <= size; i++) {
        uint8_t *slot = bytes + (size_t)i * 512;
        uint64_t lsn = codec_load_u64(slot + 8), index = i;

        if (zero(slot, 512))
            continue;
        if (mend && lsn < MEND_LSNS && mend->known[lsn])
            codec_store_u64(slot + 16, mend->chains[lsn]);
        codec_store_u64(slot + 504, hash64(hash64(index, uuid, 16), slot, 504));
    }
}
