/*
 * codec: see codec.h. Bytes are put together one by one, so that neither alignment nor the byte
 * order of the machine matters; compilers turn each of these into one load or store.
 */
#include "codec.h"

#include <assert.h>
#include <string.h>

uint16_t codec_load_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

uint32_t codec_load_u32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

uint64_t codec_load_u64(const uint8_t *from)
{
    return (uint64_t)codec_load_u32(from) | (uint64_t)codec_load_u32(from + 4) << 32;
}

void codec_store_u16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

void codec_store_u32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

void codec_store_u64(uint8_t *to, uint64_t value)
{
    codec_store_u32(to, (uint32_t)value);
    codec_store_u32(to + 4, (uint32_t)(value >> 32));
}

void codec_reader_init(struct codec_reader *reader, const void *bytes, size_t size)
{
    reader->at = bytes;
    reader->end = size ? (const uint8_t *)bytes + size : bytes;
    reader->failed = false;
}

size_t codec_reader_left(const struct codec_reader *reader)
{
    return reader->at ? (size_t)(reader->end - reader->at) : 0;
}

bool codec_reader_ok(const struct codec_reader *reader)
{
    return !reader->failed;
}

bool codec_reader_done(const struct codec_reader *reader)
{
    return !reader->failed && codec_reader_left(reader) == 0;
}

const uint8_t *codec_get_bytes(struct codec_reader *reader, size_t size)
{
    const uint8_t *bytes = reader->at;

    if (reader->failed || codec_reader_left(reader) < size) {
        reader->failed = true;
        return NULL;
    }
    if (size)
        reader->at += size;
    return bytes;
}

uint8_t codec_get_u8(struct codec_reader *reader)
{
    const uint8_t *bytes = codec_get_bytes(reader, 1);

    return bytes ? bytes[0] : 0;
}

uint16_t codec_get_u16(struct codec_reader *reader)
{
    const uint8_t *bytes = codec_get_bytes(reader, 2);

    return bytes ? codec_load_u16(bytes) : 0;
}

uint32_t codec_get_u32(struct codec_reader *reader)
{
    const uint8_t *bytes = codec_get_bytes(reader, 4);

    return bytes ? codec_load_u32(bytes) : 0;
}

uint64_t codec_get_u64(struct codec_reader *reader)
{
    const uint8_t *bytes = codec_get_bytes(reader, 8);

    return bytes ? codec_load_u64(bytes) : 0;
}

int64_t codec_get_i64(struct codec_reader *reader)
{
    uint64_t bits = codec_get_u64(reader);
    int64_t value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

double codec_get_f64(struct codec_reader *reader)
{
    uint64_t bits = codec_get_u64(reader);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

void codec_get_copy(struct codec_reader *reader, void *to, size_t size)
{
    const uint8_t *bytes = codec_get_bytes(reader, size);

    if (size == 0)
        return;
    if (bytes)
        memcpy(to, bytes, size);
    else
        memset(to, 0, size);
}

void codec_get_zeros(struct codec_reader *reader, size_t size)
{
    const uint8_t *bytes = codec_get_bytes(reader, size);

    for (size_t i = 0; bytes && i < size; i++) {
        if (bytes[i] != 0)
            reader->failed = true;
    }
}

void codec_writer_init(struct codec_writer *writer, void *bytes, size_t size)
{
    writer->start = bytes;
    writer->size = size;
    writer->position = 0;
    writer->failed = false;
}

bool codec_writer_ok(const struct codec_writer *writer)
{
    return !writer->failed;
}

/* Room for `size` more bytes, NULL if there is none or the writer only counts. */
static uint8_t *writer_take(struct codec_writer *writer, size_t size)
{
    uint8_t *to = NULL;

    if (writer->failed || size > SIZE_MAX - writer->position ||
        (writer->start && writer->position + size > writer->size)) {
        writer->failed = true;
        return NULL;
    }
    if (writer->start)
        to = writer->start + writer->position;
    writer->position += size;
    return to;
}

void codec_put_u8(struct codec_writer *writer, uint8_t value)
{
    uint8_t *to = writer_take(writer, 1);

    if (to)
        to[0] = value;
}

void codec_put_u16(struct codec_writer *writer, uint16_t value)
{
    uint8_t *to = writer_take(writer, 2);

    if (to)
        codec_store_u16(to, value);
}

void codec_put_u32(struct codec_writer *writer, uint32_t value)
{
    uint8_t *to = writer_take(writer, 4);

    if (to)
        codec_store_u32(to, value);
}

void codec_put_u64(struct codec_writer *writer, uint64_t value)
{
    uint8_t *to = writer_take(writer, 8);

    if (to)
        codec_store_u64(to, value);
}

void codec_put_i64(struct codec_writer *writer, int64_t value)
{
    codec_put_u64(writer, (uint64_t)value);
}

void codec_put_f64(struct codec_writer *writer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    codec_put_u64(writer, bits);
}

void codec_put_bytes(struct codec_writer *writer, const void *from, size_t size)
{
    uint8_t *to = writer_take(writer, size);

    if (to && size)
        memcpy(to, from, size);
}

void codec_put_zeros(struct codec_writer *writer, size_t size)
{
    uint8_t *to = writer_take(writer, size);

    if (to && size)
        memset(to, 0, size);
}

void codec_put_padding(struct codec_writer *writer, size_t alignment)
{
    assert(alignment && (alignment & (alignment - 1)) == 0);
    codec_put_zeros(writer, (alignment - (writer->position & (alignment - 1))) & (alignment - 1));
}
