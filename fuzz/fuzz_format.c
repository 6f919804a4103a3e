/*
 * fuzz_format: FORMAT, the header of a segment, the slots of attest.
 *
 * Input: one byte that chooses, then the fields from the start of a copy; the copies are filled up
 * with zeros and hashed as chosen. What is chosen as raw is decoded as it comes.
 *
 * Oracles: a copy that was hashed and has the magic decodes; what decodes encodes to the same
 * fields, and that decodes to the same struct.
 */
#include <string.h>

#include "attest.h"
#include "fuzz.h"
#include "mend.h"

enum {
    CHOOSE_KIND = 3, /* 0 FORMAT, 1 header, 2 attest, 3 raw, as all of them */
    CHOOSE_HASH_FIRST = 4,
    CHOOSE_HASH_SECOND = 8,
    CHOOSE_SECOND_OWN = 16, /* the second copy has fields of its own */
    CHOOSE_SHORT = 32,      /* the file ends somewhere */
};

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static const uint8_t *chosen(const uint8_t *bytes, enum format_copies copies)
{
    return bytes + (copies == FORMAT_COPY_SECOND ? FORMAT_COPY_SIZE : 0);
}

/* The first two copies agree in every field between the offsets. */
static bool fields_same(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
    return memcmp(a + from, b + from, to - from) == 0;
}

static enum format_copies check_format(const uint8_t *bytes, size_t size)
{
    enum format_copies copies;
    struct format format, again;
    uint8_t encoded[FORMAT_SIZE];
    const uint8_t *copy;

    memset(&format, 0, sizeof(format));
    copies = format_decode(bytes, size, &format);
    if (copies == FORMAT_COPIES_NONE)
        return copies;
    copy = chosen(bytes, copies);
    format_encode(&format, encoded);
    FUZZ_REQUIRE(fields_same(copy, encoded, 0, 28) && fields_same(copy, encoded, 32, 56),
                 "FORMAT encodes to other fields");
    FUZZ_REQUIRE(format_decode(encoded, sizeof(encoded), &again) == FORMAT_COPIES_BOTH,
                 "FORMAT as encoded does not decode");
    FUZZ_REQUIRE(memcmp(again.uuid, format.uuid, 16) == 0 &&
                     again.created_us == format.created_us &&
                     again.features.incompat == format.features.incompat,
                 "FORMAT decodes to another struct");
    return copies;
}

static enum format_copies check_header(const uint8_t *bytes, size_t size, uint32_t number)
{
    enum format_copies copies;
    struct segment_header header, again;
    uint8_t encoded[SEGMENT_HEADER_SIZE];
    const uint8_t *copy;

    copies = segment_header_decode(bytes, size, number, &header);
    if (copies == FORMAT_COPIES_NONE || format_access(&header.features) == FORMAT_REFUSED)
        return copies;
    copy = chosen(bytes, copies);
    FUZZ_REQUIRE(header.number == number && header.first_lsn == header.end.lsn + 1 &&
                     header.bytes >= SEGMENT_BYTES_MIN && header.bytes <= SEGMENT_BYTES_MAX,
                 "a header that makes no sense decodes");
    segment_header_encode(&header, encoded);
    FUZZ_REQUIRE(fields_same(copy, encoded, 0, 28) && fields_same(copy, encoded, 32, 100) &&
                     fields_same(copy, encoded, 104, 128),
                 "a header encodes to other fields");
    FUZZ_REQUIRE(segment_header_decode(encoded, sizeof(encoded), number, &again) ==
                     FORMAT_COPIES_BOTH,
                 "a header as encoded does not decode");
    FUZZ_REQUIRE(again.salt == header.salt && again.end.chain == header.end.chain &&
                     again.reason == header.reason,
                 "a header decodes to another struct");
    return copies;
}

static void check_attest(const uint8_t *bytes, size_t size)
{
    for (unsigned i = 0; i < 2 && (i + 1) * ATTEST_SLOT_SIZE <= size; i++) {
        const uint8_t *from = bytes + (size_t)i * ATTEST_SLOT_SIZE;
        uint8_t encoded[ATTEST_SLOT_SIZE];
        struct attest_slot slot, again;

        attest_decode(from, uuid, i, &slot);
        if (slot.state != ATTEST_GOOD)
            continue;
        attest_encode(&slot, uuid, i, encoded);
        FUZZ_REQUIRE(fields_same(from, encoded, 0, 28), "a slot encodes to other fields");
        attest_decode(encoded, uuid, i, &again);
        FUZZ_REQUIRE(again.state == ATTEST_GOOD && again.at.lsn == slot.at.lsn &&
                         again.at.chain == slot.at.chain && again.epoch == slot.epoch,
                     "a slot decodes to another struct");
        attest_decode(encoded, uuid, 1 - i, &again);
        FUZZ_REQUIRE(again.state == ATTEST_BAD, "a slot verifies in the other place");
    }
}

static void copies(struct fuzz_input *input, uint8_t choice)
{
    uint8_t bytes[FORMAT_SIZE] = {0};
    size_t n, size = sizeof(bytes);
    const uint8_t *from = fuzz_bytes(input, 160, &n);
    bool magic, first = choice & CHOOSE_HASH_FIRST, whole = true;
    uint32_t number = 0;
    enum format_copies found;

    memcpy(bytes, from, n);
    memcpy(bytes + FORMAT_COPY_SIZE, bytes, FORMAT_COPY_SIZE);
    if (choice & CHOOSE_SECOND_OWN) {
        from = fuzz_bytes(input, 160, &n);
        memcpy(bytes + FORMAT_COPY_SIZE, from, n);
    }
    if ((choice & CHOOSE_KIND) == 1)
        number = codec_load_u32(bytes + 48);
    if (first)
        format_copy_seal(bytes, number, 0);
    if (choice & CHOOSE_HASH_SECOND)
        format_copy_seal(bytes + FORMAT_COPY_SIZE, number, FORMAT_COPY_SIZE);
    if (choice & CHOOSE_SHORT) {
        size = fuzz_u16(input) % (FORMAT_SIZE + 1);
        whole = size >= FORMAT_COPY_SIZE;
    }
    if ((choice & CHOOSE_KIND) == 1) {
        (void)check_header(bytes, size, number);
        return;
    }
    magic = memcmp(bytes, "HPOF\r\n\x1a\n", 8) == 0;
    found = check_format(bytes, size);
    if (first && magic && whole && !(choice & CHOOSE_HASH_SECOND))
        FUZZ_REQUIRE(found == FORMAT_COPY_FIRST, "one good copy is not enough: %d", (int)found);
}

static void slots(struct fuzz_input *input, uint8_t choice)
{
    uint8_t bytes[ATTEST_SIZE] = {0};
    struct mend mend;

    for (unsigned i = 0; i < 2; i++) {
        size_t n;
        const uint8_t *from = fuzz_bytes(input, 40, &n);

        memcpy(bytes + (size_t)i * ATTEST_SLOT_SIZE, from, n);
    }
    check_attest(bytes, sizeof(bytes));
    mend_start(&mend, uuid);
    if (choice & CHOOSE_HASH_FIRST)
        mend_attest(&mend, bytes, sizeof(bytes), uuid);
    check_attest(bytes, sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    uint8_t choice = fuzz_u8(&input);

    switch (choice & CHOOSE_KIND) {
    case 2:
        slots(&input, choice);
        break;
    case 3:
        if (size > 0) {
            (void)check_format(data, size);
            (void)check_header(data, size, 1);
            check_attest(data, size);
        }
        break;
    default:
        copies(&input, choice);
    }
    return 0;
}
