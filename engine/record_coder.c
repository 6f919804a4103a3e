/*
 * record_coder: primitives of the walk over a record's fields; see record_coder.h.
 */
#include "record_coder.h"

#include <string.h>

#define CANONICAL_NAN 0x7ff8000000000000u

void coder_fail(struct coder *c, int error)
{
    if (!c->error)
        c->error = error;
}

/* A rule about a field. */
void coder_require(struct coder *c, bool holds)
{
    if (!holds)
        coder_fail(c, c->decoding ? HPO_CORRUPT : HPO_INVALID);
}

void code_u8(struct coder *c, uint8_t *field)
{
    if (c->decoding)
        *field = codec_get_u8(&c->reader);
    else
        codec_put_u8(&c->writer, *field);
}

/*
 * Numbers are mostly small: seven bits a byte, least significant first, the top bit says that more
 * follow. One encoding (R1): no leading zero group, nothing above `max`.
 */
static void code_varint(struct coder *c, uint64_t *field, uint64_t max)
{
    uint64_t value = 0, rest = *field;
    unsigned shift = 0;
    uint8_t byte;

    if (!c->decoding) {
        for (; rest >= 0x80; rest >>= 7)
            codec_put_u8(&c->writer, (uint8_t)(rest | 0x80));
        codec_put_u8(&c->writer, (uint8_t)rest);
        return;
    }
    do {
        byte = codec_get_u8(&c->reader);
        coder_require(c, shift < 63 || byte <= 1);
        if (c->error)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    coder_require(c, (byte != 0 || shift == 7) && value <= max);
    *field = c->error ? 0 : value;
}

void code_u16(struct coder *c, uint16_t *field)
{
    uint64_t value = c->decoding ? 0 : *field;

    code_varint(c, &value, UINT16_MAX);
    if (c->decoding)
        *field = (uint16_t)value;
}

void code_u32(struct coder *c, uint32_t *field)
{
    uint64_t value = c->decoding ? 0 : *field;

    code_varint(c, &value, UINT32_MAX);
    if (c->decoding)
        *field = (uint32_t)value;
}

void code_u64(struct coder *c, uint64_t *field)
{
    code_varint(c, field, UINT64_MAX);
}

/* Zigzag: 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
void code_i64(struct coder *c, int64_t *field)
{
    uint64_t value = 0;

    if (!c->decoding)
        value = (uint64_t)*field << 1 ^ (*field < 0 ? UINT64_MAX : 0);
    code_varint(c, &value, UINT64_MAX);
    if (c->decoding)
        *field = (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

void code_fixed(struct coder *c, uint64_t *field)
{
    if (c->decoding)
        *field = codec_get_u64(&c->reader);
    else
        codec_put_u64(&c->writer, *field);
}

void code_bool(struct coder *c, bool *field)
{
    uint8_t byte = c->decoding ? 0 : *field;

    code_u8(c, &byte);
    coder_require(c, byte <= 1);
    if (c->decoding)
        *field = byte != 0;
}

void code_enum(struct coder *c, uint8_t *field, unsigned low, unsigned high)
{
    code_u8(c, field);
    coder_require(c, *field >= low && *field <= high);
}

static double canonical_nan(void)
{
    uint64_t bits = CANONICAL_NAN;
    double nan;

    memcpy(&nan, &bits, sizeof(nan));
    return nan;
}

void code_f64(struct coder *c, double *field)
{
    if (c->decoding) {
        uint64_t bits;

        *field = codec_get_f64(&c->reader);
        memcpy(&bits, field, sizeof(bits));
        coder_require(c, *field == *field || bits == CANONICAL_NAN);
    } else {
        codec_put_f64(&c->writer, *field == *field ? *field : canonical_nan());
    }
}

void code_number(struct coder *c, double *field)
{
    code_f64(c, field);
    coder_require(c, *field == *field);
}

void code_raw(struct coder *c, uint8_t *bytes, size_t size)
{
    if (c->decoding)
        codec_get_copy(&c->reader, bytes, size);
    else
        codec_put_bytes(&c->writer, bytes, size);
}

void code_bytes(struct coder *c, struct bytes *field)
{
    uint32_t size = c->decoding ? 0 : (uint32_t)field->size;

    if (!c->decoding && field->size > RECORD_SIZE_MAX) {
        coder_fail(c, HPO_TOO_LARGE);
        return;
    }
    code_u32(c, &size);
    if (c->decoding) {
        *field = (struct bytes){.data = codec_get_bytes(&c->reader, size), .size = size};
        if (c->reader.failed)
            *field = (struct bytes){0};
    } else {
        coder_require(c, field->data || !size);
        if (!c->error)
            codec_put_bytes(&c->writer, field->data, size);
    }
}

/* Names and keys are short (R2). */
void code_name(struct coder *c, struct bytes *field)
{
    if (!c->decoding && field->size > RECORD_NAME_MAX)
        coder_fail(c, HPO_TOO_LARGE);
    code_bytes(c, field);
    coder_require(c, field->size <= RECORD_NAME_MAX);
}

void *code_items(struct coder *c, const void *items, uint32_t *count, size_t item_size,
                 size_t least)
{
    void *memory;

    code_u32(c, count);
    if (!c->decoding) {
        coder_require(c, items || !*count);
        if (c->error)
            *count = 0;
        return (void *)items;
    }
    if (c->reader.failed || *count > codec_reader_left(&c->reader) / least) {
        coder_fail(c, HPO_CORRUPT);
        *count = 0;
    }
    if (*count == 0)
        return NULL;
    memory = record_scratch_alloc(c->scratch, *count * item_size);
    if (!memory) {
        coder_fail(c, HPO_NOMEM);
        *count = 0;
        return NULL;
    }
    memset(memory, 0, *count * item_size);
    return memory;
}
