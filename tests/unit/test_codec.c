/* codec: every read and write stays within its bounds, and failure sticks. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "codec.h"

static void put_all(struct codec_writer *w)
{
    codec_put_u8(w, 0x12);
    codec_put_u16(w, 0x3456);
    codec_put_u32(w, 0x789abcde);
    codec_put_u64(w, UINT64_C(0xf0e1d2c3b4a59687));
    codec_put_i64(w, INT64_MIN);
    codec_put_f64(w, -0.0);
    codec_put_bytes(w, "xyz", 3);
    codec_put_zeros(w, 2);
    codec_put_padding(w, 8);
}

Test(codec, integers_are_little_endian)
{
    uint8_t bytes[8];

    codec_store_u64(bytes, UINT64_C(0x0102030405060708));
    cr_assert_eq(memcmp(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8), 0);
    codec_store_u32(bytes, 0x01020304);
    cr_assert_eq(memcmp(bytes, "\x04\x03\x02\x01", 4), 0);
    codec_store_u16(bytes, 0x0102);
    cr_assert_eq(memcmp(bytes, "\x02\x01", 2), 0);
    cr_assert_eq(codec_load_u16((const uint8_t *)"\xfe\xff"), 0xfffe);
    cr_assert_eq(codec_load_u32((const uint8_t *)"\xfc\xfd\xfe\xff"), 0xfffefdfc);
    cr_assert_eq(codec_load_u64((const uint8_t *)"\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff"),
                 UINT64_C(0xfffefdfcfbfaf9f8));
}

Test(codec, what_is_written_reads_back)
{
    uint8_t bytes[64], text[3];
    struct codec_writer w;
    struct codec_reader r;
    double zero;

    codec_writer_init(&w, bytes, sizeof(bytes));
    put_all(&w);
    cr_assert(codec_writer_ok(&w));
    cr_assert_eq(w.position % 8, 0);
    codec_reader_init(&r, bytes, w.position);
    cr_assert_eq(codec_get_u8(&r), 0x12);
    cr_assert_eq(codec_get_u16(&r), 0x3456);
    cr_assert_eq(codec_get_u32(&r), 0x789abcde);
    cr_assert_eq(codec_get_u64(&r), UINT64_C(0xf0e1d2c3b4a59687));
    cr_assert_eq(codec_get_i64(&r), INT64_MIN);
    zero = codec_get_f64(&r);
    cr_assert(zero == 0 && signbit(zero));
    codec_get_copy(&r, text, 3);
    cr_assert_eq(memcmp(text, "xyz", 3), 0);
    codec_get_zeros(&r, codec_reader_left(&r));
    cr_assert(codec_reader_done(&r));
}

Test(codec, a_nan_keeps_its_payload)
{
    uint8_t bytes[8], again[8];
    struct codec_reader r;
    struct codec_writer w;

    codec_store_u64(bytes, UINT64_C(0x7ff4dead0000beef));
    codec_reader_init(&r, bytes, 8);
    codec_writer_init(&w, again, 8);
    codec_put_u64(&w, 0);
    codec_writer_init(&w, again, 8);
    codec_put_f64(&w, codec_get_f64(&r));
    cr_assert_eq(memcmp(bytes, again, 8), 0);
}

Test(codec, a_writer_without_memory_counts)
{
    uint8_t bytes[64];
    struct codec_writer count, w;

    codec_writer_init(&count, NULL, 0);
    put_all(&count);
    codec_writer_init(&w, bytes, sizeof(bytes));
    put_all(&w);
    cr_assert(codec_writer_ok(&count));
    cr_assert_eq(count.position, w.position);
}

Test(codec, every_shorter_room_fails_and_writes_nothing_beyond_it)
{
    uint8_t bytes[64];
    struct codec_writer w;
    size_t whole;

    codec_writer_init(&w, NULL, 0);
    put_all(&w);
    whole = w.position;
    for (size_t room = 0; room < whole; room++) {
        memset(bytes, 0xEE, sizeof(bytes));
        codec_writer_init(&w, bytes, room);
        put_all(&w);
        cr_assert(!codec_writer_ok(&w));
        for (size_t i = room; i < sizeof(bytes); i++)
            cr_assert_eq(bytes[i], 0xEE);
    }
}

Test(codec, every_shorter_input_fails_and_stays_failed)
{
    uint8_t bytes[33] = {1, 2, 3};
    struct codec_reader r;

    for (size_t size = 0; size < sizeof(bytes); size++) {
        codec_reader_init(&r, bytes, size);
        (void)codec_get_u64(&r);
        (void)codec_get_u32(&r);
        (void)codec_get_u16(&r);
        (void)codec_get_u8(&r);
        (void)codec_get_f64(&r);
        (void)codec_get_i64(&r);
        (void)codec_get_bytes(&r, 2);
        cr_assert(!codec_reader_ok(&r), "%zu", size);
        cr_assert(!codec_reader_done(&r));
        cr_assert_eq(codec_get_u8(&r), 0);
        cr_assert_null(codec_get_bytes(&r, 1));
    }
    codec_reader_init(&r, bytes, sizeof(bytes));
    cr_assert_null(codec_get_bytes(&r, SIZE_MAX));
    cr_assert_eq(codec_get_u64(&r), 0);
}

Test(codec, padding_that_is_not_zero_fails)
{
    uint8_t bytes[4] = {0, 0, 1, 0};
    struct codec_reader r;

    codec_reader_init(&r, bytes, 4);
    codec_get_zeros(&r, 2);
    cr_assert(codec_reader_ok(&r));
    codec_get_zeros(&r, 2);
    cr_assert(!codec_reader_ok(&r));
}

Test(codec, nothing_is_a_lawful_input)
{
    struct codec_reader r;
    struct codec_writer w;
    uint8_t one;

    codec_reader_init(&r, NULL, 0);
    cr_assert(codec_reader_done(&r));
    cr_assert_eq(codec_reader_left(&r), 0);
    (void)codec_get_bytes(&r, 0);
    codec_get_copy(&r, &one, 0);
    cr_assert(codec_reader_ok(&r));
    codec_writer_init(&w, &one, 1);
    codec_put_bytes(&w, NULL, 0);
    codec_put_zeros(&w, 0);
    cr_assert(codec_writer_ok(&w));
}

Test(codec, what_is_not_there_is_copied_as_zeros)
{
    uint8_t bytes[2] = {7, 7}, to[4] = {1, 1, 1, 1};
    struct codec_reader r;

    codec_reader_init(&r, bytes, 2);
    codec_get_copy(&r, to, 4);
    cr_assert(!codec_reader_ok(&r));
    cr_assert_eq(memcmp(to, "\0\0\0\0", 4), 0);
}
