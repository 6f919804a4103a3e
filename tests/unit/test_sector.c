/* sector: the mask's properties, growth, tears and flips. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "hash.h"
#include "hpo.h"
#include "sector.h"

#define SALT UINT64_C(0xfeedfacecafebeef)
#define PLACE UINT64_C(8192)

static struct sector_buffer buffer;

/* Append records of `size` bytes at the tail; the batch need not make sense to anybody. */
static struct sector_write append(const struct sector_tail *tail, uint64_t durable,
                                  const uint8_t *bytes, size_t size)
{
    struct sector_write write;

    cr_assert_eq(sector_append(os_linux(), &buffer, tail, SALT, 1 << 20, durable, bytes,
                               bytes + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE, &write),
                 0);
    return write;
}

static void release(void)
{
    sector_buffer_release(os_linux(), &buffer);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 11;
}

/* Content of many kinds: zeros, 0xFF, one byte, text, numbers, random. */
static void fill(uint8_t *bytes, size_t size, unsigned kind, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t r = next_random(&seed);

        codec_store_u64(bytes + i, kind == 0      ? 0
                                   : kind == 1    ? UINT64_MAX
                                   : kind == 2    ? (r & 0xff) * UINT64_C(0x0101010101010101)
                                   : kind == 3    ? UINT64_C(0xA5A5A5A5A5A5A5A5)
                                   : kind == 4    ? r & 0xff
                                   : kind == 5    ? r << 30 | r
                                   : (r & 3) == 0 ? 0
                                                  : r & 0xffff);
    }
}

static unsigned nonzero(const uint8_t *word)
{
    unsigned count = 0;

    for (unsigned i = 0; i < 8; i++)
        count += word[i] != 0;
    return count;
}

TestSuite(sector, .fini = release);

Test(sector, the_fields_lie_where_the_format_says)
{
    uint8_t batch[64];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;
    const uint8_t *s;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 77, batch, sizeof(batch));
    s = write.bytes;
    cr_assert_eq(write.size, 512);
    cr_assert_eq(write.offset, PLACE);
    cr_assert_eq(codec_load_u16(s + 4), 64);
    cr_assert_eq(s[6], 0);
    cr_assert_eq(codec_load_u64(s + 8), 77 ^ s[7] * UINT64_C(0x0101010101010101));
    for (unsigned i = 0; i < 64; i++)
        cr_assert_eq(s[16 + i] ^ s[7], batch[i]);
    for (unsigned i = 80; i < 512; i++)
        cr_assert_eq(s[i], 0);
    cr_assert_eq(codec_load_u32(s), (uint32_t)hash64(SALT + PLACE, s + 4, 508));
    cr_assert_eq(sector_classify(s, SALT, PLACE, false), SECTOR_VALID);
    cr_assert_eq(sector_durable(s), 77);
    cr_assert_eq(sector_used(s), 64);
    cr_assert_eq(sector_first(s), 0);
}

Test(sector, a_sector_is_valid_in_its_own_place_and_segment_only)
{
    uint8_t batch[64];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 77, batch, sizeof(batch));
    cr_assert_eq(sector_classify(write.bytes, SALT, PLACE + 512, false), SECTOR_FOREIGN);
    cr_assert_eq(sector_classify(write.bytes, SALT, PLACE + 512, true), SECTOR_FOREIGN);
    cr_assert_eq(sector_classify(write.bytes, SALT + 1, PLACE, true), SECTOR_FOREIGN);
}

Test(sector, every_used_word_has_two_nonzero_bytes_as_stored)
{
    static uint8_t batch[4096], payload[SECTOR_PAYLOAD_SIZE];
    uint64_t seed = 1;
    unsigned words = 0;

    for (unsigned round = 0; round < 7000; round++) {
        size_t size = 48 + next_random(&seed) % 500 / 8 * 8;
        struct sector_tail tail = {.offset = PLACE};
        struct sector_write write;

        fill(batch, size, round % 7, round);
        write = append(&tail, round % 3 ? round : 0, batch, size);
        for (size_t s = 0, at = 0; s < write.size; s += 512) {
            const uint8_t *stored = write.bytes + s;

            cr_assert_eq(sector_classify(stored, SALT, PLACE + s, false), SECTOR_VALID);
            for (unsigned w = 0; w < 16 + sector_used(stored); w += 8, words++)
                cr_assert_geq(nonzero(stored + w), 2);
            cr_assert_eq(sector_payload(stored, 0, payload), sector_used(stored));
            cr_assert_eq(memcmp(payload, batch + at, sector_used(stored)), 0);
            at += sector_used(stored);
        }
    }
    cr_assert_gt(words, 200000);
}

Test(sector, a_mask_exists_even_if_every_word_forbids_another_one)
{
    uint8_t batch[SECTOR_PAYLOAD_SIZE];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    /* 62 words that forbid 0xA5, 0xA6 ... and `durable` the one after. */
    for (unsigned i = 0; i < SECTOR_PAYLOAD_SIZE / 8; i++)
        memset(batch + 8 * i, (int)(0xA5 + i) & 0xff, 8);
    write = append(&tail, UINT64_C(0xE3E3E3E3E3E3E3E3), batch, sizeof(batch));
    cr_assert_eq(write.size, 512);
    cr_assert_eq(write.bytes[7], 0xE4);
    cr_assert_eq(sector_classify(write.bytes, SALT, PLACE, false), SECTOR_VALID);
}

Test(sector, the_open_sector_grows_and_keeps_its_bytes)
{
    uint8_t batch[48];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;
    uint8_t before[512];
    unsigned batches = 0;

    for (;; batches++) {
        fill(batch, sizeof(batch), 5, batches);
        write = append(&tail, batches, batch, sizeof(batch));
        cr_assert_eq(write.offset, PLACE);
        if (batches > 0) { /* all that was there stays: mask, durable, words */
            cr_assert_eq(write.bytes[7], before[7]);
            cr_assert_eq(memcmp(write.bytes + 8, before + 8, 8 + tail.used), 0);
        }
        memcpy(before, write.bytes, 512);
        tail = write.tail;
        if (write.size > 512)
            break;
    }
    cr_assert_eq(batches, SECTOR_PAYLOAD_SIZE / sizeof(batch));
    cr_assert_eq(sector_used(write.bytes), SECTOR_PAYLOAD_SIZE);
    cr_assert_eq(sector_durable(write.bytes), 0); /* it was begun by the first */
    cr_assert_eq(sector_first(write.bytes), 0);
    cr_assert_eq(sector_durable(write.bytes + 512), batches);
    cr_assert_eq(sector_first(write.bytes + 512), SECTOR_FIRST_NONE);
    cr_assert_eq(tail.offset, PLACE + 512);
    cr_assert_eq(tail.used, sector_used(write.bytes + 512));
}

Test(sector, a_batch_that_does_not_go_with_the_mask_begins_a_new_sector)
{
    uint8_t batch[64];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 1, batch, sizeof(batch));
    tail = write.tail;
    memset(batch + 48, tail.image[7], 8); /* a word that the mask would make zero */
    write = append(&tail, 2, batch, sizeof(batch));
    cr_assert_eq(write.offset, PLACE + 512);
    cr_assert_eq(write.size, 512);
    cr_assert_eq(sector_durable(write.bytes), 2);
    cr_assert_neq(write.bytes[7], tail.image[7]);
}

Test(sector, a_sealed_sector_is_not_written_again)
{
    uint8_t batch[64];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 1, batch, sizeof(batch));
    tail = write.tail;
    sector_seal(&tail);
    sector_seal(&tail); /* sealing twice is the same */
    cr_assert_eq(tail.offset, PLACE + 512);
    write = append(&tail, 2, batch, sizeof(batch));
    cr_assert_eq(write.offset, PLACE + 512);
}

Test(sector, a_full_open_sector_is_left_alone)
{
    uint8_t batch[SECTOR_PAYLOAD_SIZE];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 1, batch, sizeof(batch));
    cr_assert_eq(write.tail.used, SECTOR_PAYLOAD_SIZE);
    tail = write.tail;
    write = append(&tail, 2, batch, 48);
    cr_assert_eq(write.offset, PLACE + 512);
    cr_assert_eq(write.size, 512);
}

Test(sector, writes_lie_in_memory_as_in_the_file)
{
    static uint8_t batch[100000];
    uint64_t seed = 3;

    for (unsigned round = 0; round < 300; round++) {
        struct sector_tail tail = {.offset = 4096 + next_random(&seed) % 64 * 512};
        size_t size = 48 + next_random(&seed) % 90000 / 8 * 8;
        struct sector_write write;

        fill(batch, size, 5, round);
        write = append(&tail, 1, batch, size);
        cr_assert_eq(((uintptr_t)write.bytes ^ write.offset) & 4095, 0);
        cr_assert_eq(write.size, sector_bytes_for(size));
    }
}

Test(sector, a_batch_never_goes_beyond_the_end_of_its_segment)
{
    uint8_t batch[2000];
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    for (uint64_t room = 0; room <= 12; room++) {
        struct sector_tail tail = {.offset = PLACE};
        int err =
            sector_append(os_linux(), &buffer, &tail, SALT, PLACE + 512 * room, 1, batch,
                          batch + BATCH_HEADER_SIZE, sizeof(batch) - BATCH_HEADER_SIZE, &write);

        cr_assert_eq(err, room < 5 ? SECTOR_FULL : 0); /* 2000 bytes: 5 sectors */
    }
}

/* Two or three batches in one sector, as they are appended: version by version. */
static unsigned versions_of(uint8_t versions[4][512], unsigned kind, uint64_t seed)
{
    struct sector_tail tail = {.offset = PLACE};
    uint8_t batch[256];
    unsigned count = 0;

    memset(versions[0], 0, 512);
    while (count < 3) {
        size_t size = 48 + next_random(&seed) % 80 / 8 * 8;
        struct sector_write write;

        fill(batch, size, kind, seed);
        write = append(&tail, 5, batch, size);
        if (write.offset != PLACE || write.size != 512)
            break;
        memcpy(versions[++count], write.bytes, 512);
        tail = write.tail;
    }
    return count;
}

Test(sector, every_flipped_bit_of_every_sector_is_loud)
{
    uint8_t versions[4][512], flipped[512];
    unsigned cases = 0;

    for (unsigned kind = 0; kind < 7; kind++) {
        unsigned count = versions_of(versions, kind, kind + 1);

        for (unsigned v = 0; v <= count; v++) {
            for (unsigned bit = 0; bit < 4096; bit++, cases++) {
                memcpy(flipped, versions[v], 512);
                flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
                cr_assert_eq(sector_classify(flipped, SALT, PLACE, false), SECTOR_FOREIGN);
                cr_assert_eq(sector_classify(flipped, SALT, PLACE, true), SECTOR_FOREIGN,
                             "kind %u version %u bit %u", kind, v, bit);
            }
        }
    }
    cr_assert_gt(cases, 80000);
}

/*
 * Goal: what a power loss leaves of an unsynced sector is never taken for damage and never for more
 * than was written. Method: each word of the sector is the one of any version (0: zero), the model
 * of the disk; all mixtures where they are few, random ones else.
 */
Test(sector, every_mixture_of_versions_is_a_tear_and_never_damage)
{
    uint8_t versions[4][512], torn[512], payload[SECTOR_PAYLOAD_SIZE], whole[SECTOR_PAYLOAD_SIZE];
    unsigned seen[5] = {0};
    uint64_t seed = 99;

    for (unsigned round = 0; round < 20000; round++) {
        unsigned count = versions_of(versions, round % 7, round + 1);
        enum sector_class class;
        bool is_version = false;

        for (unsigned word = 0; word < 64; word++)
            memcpy(torn + 8 * word, versions[next_random(&seed) % (count + 1)] + 8 * word, 8);
        if (round % 3 == 0) /* an older word 0 with all the newer words behind */
            memcpy(torn + 8, versions[count] + 8, 504);
        if (round % 3 == 1) /* a word 0 that arrived, and most of the rest */
            memcpy(torn, versions[1 + next_random(&seed) % count], 8);
        class = sector_classify(torn, SALT, PLACE, true);
        cr_assert_neq(class, SECTOR_FOREIGN, "round %u", round);
        for (unsigned v = 0; v <= count; v++)
            is_version |= memcmp(torn, versions[v], 512) == 0;
        cr_assert_eq(class == SECTOR_VALID || class == SECTOR_ZERO, is_version);
        if (class == SECTOR_OUTRUN) { /* then it is a version and newer words */
            size_t size = sector_payload(torn, 0, payload);

            cr_assert_eq(sector_payload(versions[count], 0, whole), sector_used(versions[count]));
            cr_assert_eq(memcmp(payload, whole, size), 0);
        }
        seen[class]++;
    }
    printf("sector: mixtures zero %u valid %u outrun %u torn %u foreign %u\n", seen[0], seen[1],
           seen[2], seen[3], seen[4]);
    cr_assert(seen[SECTOR_OUTRUN] > 500 && seen[SECTOR_TORN] > 5000 && seen[SECTOR_VALID] > 100);
}

Test(sector, without_a_reboot_nothing_is_torn)
{
    uint8_t versions[4][512], torn[512];

    cr_assert_eq(versions_of(versions, 5, 1), 3);
    memcpy(torn, versions[3], 512);
    memcpy(torn, versions[1], 8);
    cr_assert_eq(sector_classify(torn, SALT, PLACE, true), SECTOR_OUTRUN);
    cr_assert_eq(sector_classify(torn, SALT, PLACE, false), SECTOR_FOREIGN);
    memcpy(torn, versions[3], 512);
    memset(torn + 16, 0, 8);
    cr_assert_eq(sector_classify(torn, SALT, PLACE, true), SECTOR_TORN);
    cr_assert_eq(sector_classify(torn, SALT, PLACE, false), SECTOR_FOREIGN);
}

Test(sector, a_missing_word_of_each_kind_is_a_tear)
{
    uint8_t versions[4][512], torn[512];

    cr_assert_eq(versions_of(versions, 5, 1), 3);
    for (unsigned word = 0; word < 2 + sector_used(versions[3]) / 8; word++) {
        memcpy(torn, versions[3], 512);
        memset(torn + 8 * word, 0, 8);
        cr_assert_eq(sector_classify(torn, SALT, PLACE, true), SECTOR_TORN, "word %u", word);
    }
}

Test(sector, a_word_zeroed_and_a_bit_flipped_is_damage)
{
    uint8_t versions[4][512], torn[512];

    /* Two faults at once: a flip beside a missing word shows where the word it hits has one byte
     * left, or would make `used` impossible. */
    cr_assert_eq(versions_of(versions, 5, 1), 3);
    memcpy(torn, versions[3], 512);
    memset(torn + 16, 0, 8);
    torn[16] = 4;
    cr_assert_eq(sector_classify(torn, SALT, PLACE, true), SECTOR_FOREIGN);
    memset(torn + 16, 0, 8);
    torn[4] ^= 1;
    cr_assert_eq(sector_classify(torn, SALT, PLACE, true), SECTOR_FOREIGN);
}

Test(sector, impossible_fields_are_foreign_even_if_the_check_agrees)
{
    static const struct {
        unsigned at;
        uint16_t value;
    } damage[] = {{4, 0}, {4, 4}, {4, 504}, {4, 0xffff}, {6, 62}, {6, 0xfe}};
    uint8_t batch[SECTOR_PAYLOAD_SIZE], bad[512];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 1, batch, sizeof(batch));
    for (unsigned i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        memcpy(bad, write.bytes, 512);
        if (damage[i].at == 4)
            codec_store_u16(bad + 4, damage[i].value);
        else
            bad[damage[i].at] = (uint8_t)damage[i].value;
        codec_store_u32(bad, (uint32_t)hash64(SALT + PLACE, bad + 4, 508));
        cr_assert_eq(sector_classify(bad, SALT, PLACE, false), SECTOR_FOREIGN, "case %u", i);
    }
    /* Words behind `used`, and a check that covers them. */
    tail = (struct sector_tail){.offset = PLACE};
    write = append(&tail, 1, batch, 64);
    memcpy(bad, write.bytes, 512);
    memset(bad + 300, 7, 8);
    codec_store_u32(bad, (uint32_t)hash64(SALT + PLACE, bad + 4, 508));
    cr_assert_eq(sector_classify(bad, SALT, PLACE, true), SECTOR_FOREIGN);
}

/* Only a sector that no writer makes has a zero word in use and verifies. If one bit of its first
 * word flips then, it must not pass for a tear. */
Test(sector, a_flipped_first_word_is_not_taken_for_a_missing_word)
{
    uint8_t batch[96], stored[512];
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;

    fill(batch, sizeof(batch), 5, 1);
    write = append(&tail, 1, batch, sizeof(batch));
    memcpy(stored, write.bytes, 512);
    memset(stored + 40, 0, 8);
    codec_store_u32(stored, (uint32_t)hash64(SALT + PLACE, stored + 4, 508));
    cr_assert_eq(sector_classify(stored, SALT, PLACE, true), SECTOR_VALID);
    for (unsigned bit = 0; bit < 64; bit++) {
        stored[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(sector_classify(stored, SALT, PLACE, true), SECTOR_FOREIGN, "bit %u", bit);
        stored[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void *no_memory(void *self, size_t n)
{
    (void)self, (void)n;
    return NULL;
}

Test(sector, without_memory_nothing_is_laid_out_and_the_next_try_works)
{
    struct hpo_os poor = *os_linux();
    struct sector_buffer empty = {0};
    struct sector_tail tail = {.offset = PLACE};
    struct sector_write write;
    uint8_t batch[64];

    poor.alloc = no_memory;
    fill(batch, sizeof(batch), 5, 1);
    cr_assert_eq(sector_append(&poor, &empty, &tail, SALT, 1 << 20, 1, batch,
                               batch + BATCH_HEADER_SIZE, 24, &write),
                 HPO_NOMEM);
    cr_assert_null(empty.memory);
    cr_assert_eq(sector_append(os_linux(), &empty, &tail, SALT, 1 << 20, 1, batch,
                               batch + BATCH_HEADER_SIZE, 24, &write),
                 0);
    sector_buffer_release(os_linux(), &empty);
}
