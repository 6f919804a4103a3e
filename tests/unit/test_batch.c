/* batch: the header's rules, the chain, and every damaged variant of both. */
#include <criterion/criterion.h>
#include <string.h>

#include "batch.h"
#include "codec.h"
#include "hash.h"
#include "hpo.h"

static const struct log_position before = {.lsn = 41, .chain = UINT64_C(0x1122334455667788)};

/* A batch of 64 bytes of records by session 7. */
static size_t make(uint8_t *bytes, struct batch_header *header)
{
    *header = (struct batch_header){.session = 7, .sequence = 3, .record_count = 2};
    for (unsigned i = 0; i < 64; i++)
        bytes[BATCH_HEADER_SIZE + i] = (uint8_t)(i * 7);
    cr_assert_eq(batch_header_encode(bytes, header, &before, bytes + BATCH_HEADER_SIZE, 64), 0);
    return BATCH_HEADER_SIZE + 64;
}

Test(batch, the_header_lies_where_the_format_says)
{
    uint8_t bytes[128];
    struct batch_header header;
    size_t size = make(bytes, &header);

    cr_assert_eq(codec_load_u64(bytes), 42);
    cr_assert_eq(codec_load_u64(bytes + 8), 7);
    cr_assert_eq(codec_load_u32(bytes + 16), size);
    cr_assert_eq(codec_load_u32(bytes + 20), 3);
    cr_assert_eq(codec_load_u16(bytes + 24), 2);
    cr_assert_eq(codec_load_u16(bytes + 26), 0);
    cr_assert_eq(codec_load_u32(bytes + 28), 0);
    cr_assert_eq(codec_load_u64(bytes + 32), header.chain);
    memmove(bytes + 32, bytes + 40, 64); /* the chain covers header and records, not itself */
    cr_assert_eq(header.chain, hash64(before.chain, bytes, 96));
}

Test(batch, what_is_encoded_verifies)
{
    uint8_t bytes[128];
    struct batch_header header;
    struct log_batch batch;
    size_t size = make(bytes, &header);

    cr_assert_eq(batch_verify(bytes, size, &before, &batch), BATCH_GOOD);
    cr_assert_eq(batch.at.lsn, 42);
    cr_assert_eq(batch.at.chain, header.chain);
    cr_assert_eq(batch.session, 7);
    cr_assert_eq(batch.sequence, 3);
    cr_assert_eq(batch.record_count, 2);
    cr_assert_eq(batch.records, bytes + BATCH_HEADER_SIZE);
    cr_assert_eq(batch.records_size, 64);
    cr_assert_eq(batch_verify(bytes, size + 8, &before, &batch), BATCH_GOOD);
}

Test(batch, a_session_begins_with_its_own_lsn)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct batch_header header = {0};

    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), 0);
    cr_assert_eq(header.session, 42);
    cr_assert_eq(header.sequence, 1);
}

Test(batch, broken_rules_are_not_encoded)
{
    uint8_t bytes[BATCH_HEADER_SIZE], records[16] = {0};
    struct log_position last = {.lsn = UINT64_MAX};
    struct batch_header header;

    header = (struct batch_header){.session = 43, .sequence = 2}; /* of the future */
    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), HPO_INVALID);
    header = (struct batch_header){.session = 42, .sequence = 2}; /* its first must be 1 */
    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), HPO_INVALID);
    header = (struct batch_header){.session = 7, .sequence = 1};
    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), HPO_INVALID);
    header = (struct batch_header){.session = 7, .sequence = 0};
    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), HPO_INVALID);
    header = (struct batch_header){.session = 7, .sequence = 2, .flags = 1};
    cr_assert_eq(batch_header_encode(bytes, &header, &before, NULL, 0), HPO_INVALID);
    header = (struct batch_header){.session = 7, .sequence = 2};
    cr_assert_eq(batch_header_encode(bytes, &header, &before, records, 12), HPO_INVALID);
    cr_assert_eq(batch_header_encode(bytes, &header, &last, records, 8), HPO_INVALID);
    cr_assert_eq(batch_header_encode(bytes, &header, &before, records, BATCH_RECORDS_MAX + 8),
                 HPO_TOO_LARGE);
}

Test(batch, the_largest_batch_fits_and_one_word_more_does_not)
{
    static uint8_t bytes[BATCH_SIZE_MAX];
    struct batch_header header = {.session = 1, .sequence = 2};
    struct log_batch batch;

    cr_assert_eq(
        batch_header_encode(bytes, &header, &before, bytes + BATCH_HEADER_SIZE, BATCH_RECORDS_MAX),
        0);
    cr_assert_eq(batch_verify(bytes, sizeof(bytes), &before, &batch), BATCH_GOOD);
    codec_store_u32(bytes + 16, BATCH_SIZE_MAX + 8);
    cr_assert_eq(batch_verify(bytes, sizeof(bytes), &before, &batch), BATCH_BAD_HEADER);
}

Test(batch, every_flipped_bit_is_noticed)
{
    uint8_t bytes[128];
    struct batch_header header;
    struct log_batch batch;
    size_t size = make(bytes, &header), cases = 0;

    for (size_t bit = 0; bit < size * 8; bit++, cases++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(batch_verify(bytes, size, &before, &batch), BATCH_GOOD, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(cases, 832);
}

Test(batch, every_shorter_piece_is_short)
{
    uint8_t bytes[128];
    struct batch_header header;
    struct log_batch batch;
    size_t size = make(bytes, &header);

    for (size_t n = 0; n < size; n++)
        cr_assert_eq(batch_verify(bytes, n, &before, &batch), BATCH_SHORT);
}

Test(batch, another_predecessor_is_noticed)
{
    uint8_t bytes[128];
    struct batch_header header;
    struct log_batch batch;
    size_t size = make(bytes, &header);
    struct log_position other = before;

    other.chain ^= 1;
    cr_assert_eq(batch_verify(bytes, size, &other, &batch), BATCH_BAD_CHAIN);
    other = (struct log_position){.lsn = 40, .chain = before.chain};
    cr_assert_eq(batch_verify(bytes, size, &other, &batch), BATCH_BAD_LSN);
}

Test(batch, damaged_fields_of_the_header_are_told_before_the_length_is_believed)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        enum batch_verdict verdict;
    } damage[] = {
        {0, 8, 0, BATCH_BAD_HEADER},    {0, 8, 43, BATCH_BAD_LSN},
        {8, 8, 0, BATCH_BAD_HEADER},    {8, 8, 43, BATCH_BAD_HEADER},
        {8, 8, 42, BATCH_BAD_HEADER},   {8, 8, 6, BATCH_BAD_CHAIN},
        {16, 4, 0, BATCH_BAD_HEADER},   {16, 4, 32, BATCH_BAD_HEADER},
        {16, 4, 100, BATCH_BAD_HEADER}, {16, 4, 112, BATCH_SHORT},
        {16, 4, 96, BATCH_BAD_CHAIN},   {16, 4, 0xfffffff8, BATCH_BAD_HEADER},
        {20, 4, 0, BATCH_BAD_HEADER},   {20, 4, 1, BATCH_BAD_HEADER},
        {20, 4, 4, BATCH_BAD_CHAIN},    {24, 2, 1, BATCH_BAD_CHAIN},
        {26, 2, 1, BATCH_BAD_HEADER},   {28, 4, 1, BATCH_BAD_HEADER},
        {32, 8, 0, BATCH_BAD_CHAIN},
    };
    uint8_t bytes[128], copy[128];
    struct batch_header header;
    struct log_batch batch;
    size_t size = make(bytes, &header);

    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        memcpy(copy, bytes, size);
        if (damage[i].size == 2)
            codec_store_u16(copy + damage[i].at, (uint16_t)damage[i].value);
        else if (damage[i].size == 4)
            codec_store_u32(copy + damage[i].at, (uint32_t)damage[i].value);
        else
            codec_store_u64(copy + damage[i].at, damage[i].value);
        cr_assert_eq(batch_verify(copy, size, &before, &batch), damage[i].verdict, "case %zu", i);
    }
}

Test(batch, the_beginning_of_the_next_batch_is_recognised_at_every_length)
{
    uint8_t bytes[128];
    struct batch_header header;
    struct log_position other = {.lsn = 7};
    size_t size = make(bytes, &header);

    cr_assert(batch_begins(bytes, 0, &before));
    cr_assert(!batch_begins(bytes, 4, &before)); /* words arrive whole */
    for (size_t n = 8; n < size; n += 8) {
        cr_assert(batch_begins(bytes, n, &before), "%zu", n);
        cr_assert(!batch_begins(bytes, n, &other), "%zu", n);
    }
    cr_assert(!batch_begins(bytes, size, &before)); /* whole: not merely a beginning */
    codec_store_u64(bytes + 8, 99);
    cr_assert(batch_begins(bytes, 8, &before));
    cr_assert(!batch_begins(bytes, 16, &before));
}
