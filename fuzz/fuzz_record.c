/*
 * fuzz_record: records, distributions, parameters.
 *
 * Input: bytes of records, one after another. Each is decoded as it comes, and again as a record of
 * exactly the bytes that are there (its length made right, padding zero): so lengths do not stop
 * mutations.
 *
 * Oracles: what decodes encodes to the same bytes (R1); every borrowed pointer can be read; no
 * error but those of record.h; no allocation above 16 times the input.
 */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "fuzz.h"
#include "hpo.h"
#include "record.h"

#define INPUT_MAX (64u << 10)

struct coders {
    struct record_scratch scratch;
    struct record_buffer buffer;
};

static void check_record(struct coders *coders, const uint8_t *bytes, size_t size, size_t *used)
{
    struct record record;
    int err;

    *used = 0;
    record_scratch_reset(&coders->scratch);
    err = record_decode(bytes, size, &coders->scratch, &record, used);
    if (err < 0) {
        FUZZ_REQUIRE(err == HPO_CORRUPT || err == HPO_UNSUPPORTED, "record_decode: %d", err);
        *used = 0;
        return;
    }
    FUZZ_REQUIRE(*used >= 8 && *used <= size && *used % 8 == 0, "a record of %zu bytes in %zu",
                 *used, size);
    if (record.skipped)
        return;
    record_buffer_clear(&coders->buffer);
    err = record_encode(&coders->buffer, &record);
    FUZZ_REQUIRE(err == 0, "%s decodes, but does not encode: %d", record_type_name(record.type),
                 err);
    FUZZ_REQUIRE(coders->buffer.size == *used && memcmp(coders->buffer.data, bytes, *used) == 0,
                 "%s decodes from two encodings", record_type_name(record.type));
}

static void check_parts(struct coders *coders, const uint8_t *bytes, size_t size)
{
    struct record_distribution distribution;
    struct record_param param;
    size_t used;

    record_scratch_reset(&coders->scratch);
    if (record_decode_distribution(bytes, size, &coders->scratch, &distribution, &used) == 0) {
        record_buffer_clear(&coders->buffer);
        FUZZ_REQUIRE(record_encode_distribution(&coders->buffer, &distribution) == 0 &&
                         coders->buffer.size == used &&
                         (used == 0 || memcmp(coders->buffer.data, bytes, used) == 0),
                     "a distribution decodes from two encodings");
    }
    record_scratch_reset(&coders->scratch);
    if (record_decode_param(bytes, size, &coders->scratch, &param, &used) == 0) {
        record_buffer_clear(&coders->buffer);
        FUZZ_REQUIRE(record_encode_param(&coders->buffer, &param) == 0 &&
                         coders->buffer.size == used &&
                         (used == 0 || memcmp(coders->buffer.data, bytes, used) == 0),
                     "a parameter decodes from two encodings");
    }
}

/* The bytes as one record: its length is theirs. A copy of its very size, so that reading beyond it
 * is seen. */
static void check_mended(struct coders *coders, const uint8_t *bytes, size_t size)
{
    size_t room = (size + 7) & ~(size_t)7, used;
    uint8_t *copy = calloc(1, room);

    FUZZ_REQUIRE(copy, "no memory");
    memcpy(copy, bytes, size);
    codec_store_u32(copy, (uint32_t)size);
    copy[5] = 1;
    codec_store_u16(copy + 6, codec_load_u16(copy + 6) & RECORD_SKIPPABLE);
    check_record(coders, copy, room, &used);
    codec_store_u16(copy + 6, 0);
    check_record(coders, copy, room, &used);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coders coders = {{.os = fuzz_os()}, {.os = fuzz_os()}};
    const uint8_t *at = data;
    size_t left = size, used;

    if (size < 8 || size > INPUT_MAX)
        return 0;
    fuzz_bound(size, 64u << 10);
    do {
        check_record(&coders, at, left, &used);
        at += used;
        left -= used;
    } while (used > 0 && left > 0);
    check_mended(&coders, data, size);
    check_parts(&coders, data + 8, size - 8);
    record_buffer_release(&coders.buffer);
    record_scratch_release(&coders.scratch);
    return 0;
}
