/*
 * codec: little-endian integers and byte strings, read and written within bounds.
 *
 * Every decoder of the engine reads through a codec_reader and every encoder writes through a
 * codec_writer. Both remember failure instead of returning it: after the first access that does not
 * fit, every later read yields zero and every later write does nothing, so a decoder reads all its
 * fields and asks once, at the end, whether they were there. Nothing is allocated.
 *
 * The load and store functions are for places whose bounds were checked already.
 */
#ifndef HPO_ENGINE_CODEC_H
#define HPO_ENGINE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint16_t codec_load_u16(const uint8_t *from);
uint32_t codec_load_u32(const uint8_t *from);
uint64_t codec_load_u64(const uint8_t *from);
void codec_store_u16(uint8_t *to, uint16_t value);
void codec_store_u32(uint8_t *to, uint32_t value);
void codec_store_u64(uint8_t *to, uint64_t value);

/* Reads [at, end). `failed` is set by the first read that does not fit and stays set. */
struct codec_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

/* The bytes must outlive the reader and whatever codec_get_bytes returned. */
void codec_reader_init(struct codec_reader *reader, const void *bytes, size_t size);
size_t codec_reader_left(const struct codec_reader *reader);
/* Whether every read so far did fit. */
bool codec_reader_ok(const struct codec_reader *reader);
/* Whether every read did fit and nothing is left over. */
bool codec_reader_done(const struct codec_reader *reader);

uint8_t codec_get_u8(struct codec_reader *reader);
uint16_t codec_get_u16(struct codec_reader *reader);
uint32_t codec_get_u32(struct codec_reader *reader);
uint64_t codec_get_u64(struct codec_reader *reader);
int64_t codec_get_i64(struct codec_reader *reader);
/* The 64 bits of an IEEE 754 double, as they are: NaN payloads and the sign of zero survive. */
double codec_get_f64(struct codec_reader *reader);
/* A pointer to the next `size` bytes, borrowed from the reader's bytes; NULL if they are not there.
 * NULL or not, a size of 0 is no failure. */
const uint8_t *codec_get_bytes(struct codec_reader *reader, size_t size);
/* Fill `to` with the next `size` bytes, with zeros if they are not there. */
void codec_get_copy(struct codec_reader *reader, void *to, size_t size);
/* Skip `size` bytes, which must all be zero, else the reader fails: padding says nothing. */
void codec_get_zeros(struct codec_reader *reader, size_t size);

/*
 * Writes [start, end). With start NULL (codec_writer_init with NULL) nothing is stored and the
 * writer counts, so that one function both measures and encodes.
 */
struct codec_writer {
    uint8_t *start;
    size_t size;     /* room */
    size_t position; /* bytes written, or counted */
    bool failed;
};

void codec_writer_init(struct codec_writer *writer, void *bytes, size_t size);
bool codec_writer_ok(const struct codec_writer *writer);

void codec_put_u8(struct codec_writer *writer, uint8_t value);
void codec_put_u16(struct codec_writer *writer, uint16_t value);
void codec_put_u32(struct codec_writer *writer, uint32_t value);
void codec_put_u64(struct codec_writer *writer, uint64_t value);
void codec_put_i64(struct codec_writer *writer, int64_t value);
void codec_put_f64(struct codec_writer *writer, double value);
void codec_put_bytes(struct codec_writer *writer, const void *from, size_t size);
void codec_put_zeros(struct codec_writer *writer, size_t size);
/* Zeros up to the next multiple of `alignment`, a power of two, counted from the start. */
void codec_put_padding(struct codec_writer *writer, size_t alignment);

#endif
